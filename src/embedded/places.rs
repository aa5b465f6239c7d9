//! Where files lie that nobody has named a place for.
//!
//! As with PATH, where a user's files lie is part of the machine, not a setting of this program.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::cluster::Account;

/// What is ours below a place that others use too.
const OURS: &str = "kombo-mirror";

/// The user's cache; for root a place that the server's user can reach and nobody else can write to.
pub(super) fn cache(account: &Account) -> anyhow::Result<PathBuf> {
    let system = if cfg!(target_os = "macos") {
        "/Library/Caches"
    } else {
        "/var/cache"
    };
    Ok(of_user_or_root(account, "XDG_CACHE_HOME", ".cache", system)?.join(OURS))
}

/// The folder of a private Postgres that is to be kept, unless somebody names another.
///
/// # Errors
/// An ordinary user without a home.
pub fn default_data_dir(name: &str) -> anyhow::Result<PathBuf> {
    let account = Account::choose(None)?;
    let parent = of_user_or_root(&account, "XDG_DATA_HOME", ".local/share", "/var/lib")?;
    Ok(parent.join(OURS).join(name))
}

fn of_user_or_root(
    account: &Account,
    variable: &str,
    in_home: &str,
    for_root: &str,
) -> anyhow::Result<PathBuf> {
    if account.is_root() {
        return Ok(Path::new(for_root).to_owned());
    }
    let dir = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    dir(variable)
        .or_else(|| Some(dir("HOME")?.join(in_home)))
        .with_context(|| format!("neither {variable} nor HOME is set"))
}

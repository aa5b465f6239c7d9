//! Finds the `initdb` and `postgres` to run.
//!
//! The machine's own installation is preferred to a download, and one that fits the data to everything
//! else. Must never trust a name: a program counts only when both lie beside each other and say, run as
//! the server's user, that they are the same usable version. Scripts that merely stand in for a server
//! (a call of `docker run`, a shim of a version manager that root alone can read) drop out that way.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;

use super::cluster::Account;
use super::{Download, Error, Options, download};

/// The oldest major version that still gets fixes.
pub(super) const OLDEST_MAJOR: u32 = 14;

/// How long `--version` may take; some wrapper scripts wait for things.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// Where packages put the binaries; `*` stands for any version.
const USUAL_PLACES: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib64/pgsql/bin",
    "/usr/lib64/pgsql",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/opt/homebrew/opt/postgresql/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

#[cfg(target_os = "macos")]
pub(super) const INSTALL: &str = "brew install postgresql@17";
#[cfg(not(target_os = "macos"))]
pub(super) const INSTALL: &str =
    "apt-get install postgresql (or: dnf install postgresql-server, apk add postgresql)";

/// A usable Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installation {
    pub(super) bin_dir: PathBuf,
    pub(super) major: u32,
}

/// Chooses the installation: one of the data's version, or the first usable one where there is no data.
pub(super) async fn find(
    options: &Options,
    account: &Account,
    data: Option<u32>,
) -> anyhow::Result<Installation> {
    let fits = |major: u32| data.is_none_or(|data| data == major);
    let mut found = Vec::new();
    for dir in candidates(options) {
        match check(&dir, account).await {
            Ok(installation) if fits(installation.major) => return Ok(installation),
            Ok(installation) => found.push(installation.major),
            // What was asked for by name is used or refused, not passed over.
            Err(problem) if options.bin_dir.is_some() => return Err(problem),
            Err(problem) => {
                tracing::debug!(dir = %dir.display(), "no usable postgres here: {problem:#}")
            }
        }
    }
    if let (Download::From(base), None) = (&options.download, &options.bin_dir) {
        if fits(download::MAJOR) {
            return downloaded(base, options.cache_dir.as_deref(), account).await;
        }
        found.push(download::MAJOR);
    }
    Err(match data {
        Some(data) => Error::OtherVersion {
            dir: options.data_dir.clone().unwrap_or_default(),
            data,
            found: in_words(&mut found),
        },
        None => Error::NotInstalled { install: INSTALL },
    }
    .into())
}

async fn downloaded(
    base: &str,
    cache_dir: Option<&Path>,
    account: &Account,
) -> anyhow::Result<Installation> {
    let dir = download::fetch(base, cache_dir, account)
        .await
        .with_context(|| format!("could not download Postgres; install it with: {INSTALL}"))?;
    check(&dir, account).await.with_context(|| {
        format!("the downloaded Postgres does not run here; install it with: {INSTALL}")
    })
}

fn in_words(majors: &mut Vec<u32>) -> String {
    majors.sort_unstable();
    majors.dedup();
    match majors.as_slice() {
        [] => "none".to_owned(),
        majors => majors
            .iter()
            .map(|major| format!("version {major}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// The folders to look at, best first, each once.
fn candidates(options: &Options) -> Vec<PathBuf> {
    let listed = match (&options.bin_dir, &options.search) {
        (Some(dir), _) => vec![dir.clone()],
        (None, Some(search)) => search.clone(),
        (None, None) => {
            // PATH is part of the machine like the folders below, not a setting of this program.
            let path = std::env::var_os("PATH").unwrap_or_default();
            let usual = USUAL_PLACES.iter().flat_map(|pattern| expand(pattern));
            std::env::split_paths(&path).chain(usual).collect()
        }
    };
    let mut dirs: Vec<PathBuf> = Vec::new();
    for dir in listed {
        // PATH often has only a link to the binary; what belongs to it lies beside the real file.
        let Ok(program) = dir.join("postgres").canonicalize() else {
            continue;
        };
        for dir in [program.parent(), Some(dir.as_path())]
            .into_iter()
            .flatten()
        {
            if dir.is_absolute()
                && dir.join("initdb").is_file()
                && !dirs.iter().any(|seen| seen == dir)
            {
                dirs.push(dir.to_owned());
            }
        }
    }
    if let (Some(dir), true) = (&options.bin_dir, dirs.is_empty()) {
        // Looked at nevertheless, so that the error says what is missing in it.
        dirs.push(dir.clone());
    }
    dirs
}

/// The existing folders of a pattern with at most one `*`, the highest version first.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut versions: Vec<(Vec<u32>, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name
                .strip_prefix(prefix)?
                .split('.')
                .map(str::parse)
                .collect::<Result<_, _>>();
            // Postgres.app has a folder `latest` beside its versions, and no number means no harm.
            Some((
                version.unwrap_or_default(),
                PathBuf::from(format!("{parent}/{name}{after}")),
            ))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, dir)| dir).collect()
}

/// Asks both programs for their version, as the user who will run them.
async fn check(dir: &Path, account: &Account) -> anyhow::Result<Installation> {
    let server = version(&dir.join("postgres"), account).await?;
    let initdb = version(&dir.join("initdb"), account).await?;
    anyhow::ensure!(
        server == initdb,
        "initdb and postgres in {} are of different versions ({initdb} and {server})",
        dir.display()
    );
    anyhow::ensure!(
        server >= OLDEST_MAJOR,
        "Postgres {server} in {} is too old, {OLDEST_MAJOR} or newer is needed",
        dir.display()
    );
    Ok(Installation {
        bin_dir: dir.to_owned(),
        major: server,
    })
}

async fn version(program: &Path, account: &Account) -> anyhow::Result<u32> {
    let mut command = tokio::process::Command::from(account.command(program));
    command
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_LIMIT, command.output())
        .await
        .with_context(|| format!("{} does not tell its version", program.display()))?
        .with_context(|| format!("cannot run {}{}", program.display(), account.as_whom()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    major(&text)
        .filter(|_| output.status.success())
        .with_context(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            format!(
                "{} is not usable: {} {}",
                program.display(),
                text.trim(),
                complaint.trim()
            )
        })
}

/// Reads `postgres (PostgreSQL) 15.19 (Debian 15.19-0+deb12u1)`, also `18beta2` and `17devel`.
fn major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn versions_are_read_from_releases_and_betas() {
        assert_eq!(
            major("postgres (PostgreSQL) 15.19 (Debian 15.19-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major("initdb (PostgreSQL) 18beta2\n"), Some(18));
        assert_eq!(major("Unable to find image locally"), None);
    }

    #[test]
    fn the_highest_version_comes_first_by_number() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9.6", "latest", "10", "17"] {
            std::fs::create_dir_all(root.path().join(format!("v{version}/bin"))).unwrap();
        }
        let names = expand(&format!("{}/v*/bin", root.path().display()))
            .into_iter()
            .map(|dir| dir.strip_prefix(root.path()).unwrap().display().to_string())
            .collect::<Vec<_>>();
        assert_eq!(names, ["v17/bin", "v10/bin", "v9.6/bin", "vlatest/bin"]);
    }

    #[tokio::test]
    async fn a_script_that_only_looks_like_postgres_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["initdb", "postgres"] {
            let script = root.path().join(name);
            std::fs::write(
                &script,
                "#!/bin/sh\necho 'docker: command not found' >&2; exit 127\n",
            )
            .unwrap();
            std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        }
        let account = Account::choose(None).unwrap();
        let options = Options {
            search: Some(vec![root.path().to_owned()]),
            download: Download::Never,
            ..Options::default()
        };
        let error = find(&options, &account, None).await.unwrap_err();
        assert!(
            matches!(error.downcast_ref(), Some(Error::NotInstalled { .. })),
            "{error:#}"
        );

        let named = Options {
            bin_dir: Some(root.path().to_owned()),
            ..options
        };
        let error = find(&named, &account, None).await.unwrap_err();
        assert!(
            format!("{error:#}").contains("docker: command not found"),
            "{error:#}"
        );

        std::fs::remove_file(root.path().join("initdb")).unwrap();
        std::fs::write(
            root.path().join("postgres"),
            "#!/bin/sh\necho 'postgres (PostgreSQL) 16.1'\n",
        )
        .unwrap();
        let error = find(&named, &account, None).await.unwrap_err();
        assert!(format!("{error:#}").contains("/initdb"), "{error:#}");
    }
}

//! The commit that `--version` tells.
//!
//! It must never fail a build: a source tree without git, or a machine without it, builds a binary of an unknown
//! commit. Whoever builds from such a tree, as the Dockerfile does, names the commit in `KOMBO_MIRROR_COMMIT`.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through environment variables; no setting of the server is read here"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the commit; whatever git says is not asked then.
const GIVEN: &str = "KOMBO_MIRROR_COMMIT";

/// As long as `--version` shows it: enough to be the only one in any repository.
const SHOWN_LETTERS: usize = 12;

/// Hands the commit to the compiler.
///
/// Only a release build follows git: a script that ran has all of the crate compiled again, and who develops would
/// pay that after every commit.
pub(crate) fn main() {
    println!("cargo:rerun-if-env-changed={GIVEN}");
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let given = std::env::var(GIVEN).ok();
    let folder = Path::new(".");
    let commit = match given.filter(|commit| !commit.is_empty()) {
        Some(commit) => commit.chars().take(SHOWN_LETTERS).collect(),
        None if is_release => {
            for file in files_that_tell(folder) {
                println!("cargo:rerun-if-changed={}", file.display());
            }
            commit_of(folder).unwrap_or_else(|| "unknown".to_owned())
        }
        None => "debug build".to_owned(),
    };
    println!("cargo:rustc-env=KOMBO_MIRROR_BUILT_FROM={commit}");
}

/// The commit that is checked out in a folder; `None` where there is no git, or no commit.
pub(crate) fn commit_of(folder: &Path) -> Option<String> {
    let commit = git(folder, &["rev-parse", "HEAD"])?;
    Some(commit.chars().take(SHOWN_LETTERS).collect())
}

/// The files that change when another commit is checked out. Only those that exist: cargo would take a missing one
/// for a changed one, and run the script each time. In a worktree they are not below `.git`, so git is asked.
pub(crate) fn files_that_tell(folder: &Path) -> Vec<PathBuf> {
    let branch = git(folder, &["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD".to_owned(), "packed-refs".to_owned()];
    names
        .into_iter()
        .chain(branch)
        .filter_map(|name| git(folder, &["rev-parse", "--git-path", &name]))
        .map(|path| folder.join(path))
        .filter(|path| path.exists())
        .collect()
}

/// What git says, in one line.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .output()
        .ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let said = said.trim();
    (output.status.success() && !said.is_empty()).then(|| said.to_owned())
}

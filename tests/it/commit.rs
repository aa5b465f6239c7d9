//! What a build knows of the commit that it is made from, in every kind of folder that a build may happen in.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

#[path = "../../src/build/commit.rs"]
#[expect(dead_code, reason = "its way to cargo needs a build")]
mod built;

use built::{commit_of, files_that_tell};

/// Runs git in a folder, as nobody in particular.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=Nobody",
            "-c",
            "user.email=nobody@example.com",
        ])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is there");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    let said = String::from_utf8(output.stdout).expect("a text");
    said.trim().to_owned()
}

fn commit(folder: &Path) -> String {
    git(
        folder,
        &[
            "commit",
            "--quiet",
            "--allow-empty",
            "--message",
            "a commit",
        ],
    );
    let mut commit = git(folder, &["rev-parse", "HEAD"]);
    commit.truncate(12);
    commit
}

fn repository() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    git(
        folder.path(),
        &["init", "--quiet", "--initial-branch", "main"],
    );
    folder
}

#[test]
fn a_checkout_tells_its_commit_and_what_changes_with_it() {
    let repository = repository();
    let first = commit(repository.path());
    assert_eq!(commit_of(repository.path()), Some(first));
    let files = files_that_tell(repository.path());
    let of_branch = repository.path().join(".git/refs/heads/main");
    assert!(files.contains(&of_branch), "{files:?}");
    let second = commit(repository.path());
    assert_eq!(commit_of(repository.path()), Some(second));
}

// There .git is a file, and what it names is elsewhere.
#[test]
fn a_worktree_tells_its_own_commit() {
    let repository = repository();
    commit(repository.path());
    let worktree = repository.path().join("beside");
    git(
        repository.path(),
        &["worktree", "add", "--quiet", "-b", "other", "beside"],
    );
    let of_worktree = commit(&worktree);
    assert_eq!(commit_of(&worktree), Some(of_worktree.clone()));
    assert_ne!(commit_of(repository.path()), Some(of_worktree));
    let files = files_that_tell(&worktree);
    assert!(files.iter().all(|file| file.exists()));
    assert!(
        files.iter().any(|file| file.ends_with("refs/heads/other")),
        "{files:?}"
    );
}

#[test]
fn what_is_no_repository_has_no_commit_and_no_file_to_watch() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(commit_of(folder.path()), None);
    assert!(files_that_tell(folder.path()).is_empty());
    let empty = repository();
    assert_eq!(commit_of(empty.path()), None);
}

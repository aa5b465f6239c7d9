//! Other people's programs, installed in pinned versions where they are asked for, and once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Copies `sources` to `dir` and runs `install` there, unless that was done for the same `lock` file.
pub(crate) fn once(
    sources: &str,
    dir: &Path,
    lock: &str,
    install: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let copied = Command::new("cp")
        .args(["-r", sources, "-T"])
        .arg(dir)
        .status()?;
    ensure!(
        copied.success(),
        "cannot copy {sources} to {}",
        dir.display()
    );
    let lock = std::fs::read_to_string(dir.join(lock))?;
    let done = dir.join(".installed");
    if !std::fs::read_to_string(&done).is_ok_and(|installed| installed == lock) {
        println!("installing into {}, once", dir.display());
        install()?;
        std::fs::write(done, lock)?;
    }
    Ok(dir.to_owned())
}

/// Runs a program in `dir`; `remedy` says what to do where it is missing.
pub(crate) fn run(
    dir: &Path,
    program: &str,
    arguments: &[&str],
    remedy: &str,
) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .output()
        .with_context(|| format!("{program} is missing; {remedy}"))?;
    ensure!(
        output.status.success(),
        "{program} {} failed ({remedy}): {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

//! The shell script that owns the server's processes, and the settings they start with.
//!
//! Why a shell: something has to notice that this process is gone, and Rust has no safe way to say what
//! a child does then. A shell is on every machine that Postgres runs on.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::Options;
use super::binaries::Installation;
use super::cluster::{self, Account};

const SCRIPT: &str = include_str!("wrapper.sh");

/// The command that runs `initdb` where needed, then the server, and outlives us long enough to end it.
pub(super) fn command(
    options: &Options,
    account: &Account,
    installation: &Installation,
    run_dir: &Path,
    data_dir: &Path,
) -> Command {
    // Nobody needs a checkpoint of data that is about to be removed.
    let signal = if options.data_dir.is_some() {
        "INT"
    } else {
        "QUIT"
    };
    let mut command = account.command("/bin/sh");
    command
        .args(["-c", SCRIPT, "kombo-mirror-postgres"])
        .args([&installation.bin_dir, data_dir, run_dir])
        .args([signal, if options.durable { "" } else { "--no-sync" }])
        .args(server_arguments(options, run_dir))
        // Ctrl-C reaches the whole foreground group; the server has to outlive our own orderly end.
        .process_group(0);
    command
}

fn server_arguments(options: &Options, run_dir: &Path) -> Vec<OsString> {
    let mut settings = vec![
        format!("port={}", cluster::PORT),
        "listen_addresses=".to_owned(),
        "unix_socket_permissions=0700".to_owned(),
        "max_connections=200".to_owned(),
        "shared_buffers=128MB".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        "logging_collector=off".to_owned(),
        "log_checkpoints=off".to_owned(),
        // Nothing replicates from here, and bulk loads are cheaper so.
        "wal_level=minimal".to_owned(),
        "max_wal_senders=0".to_owned(),
    ];
    if !options.durable {
        let careless = [
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
        ];
        settings.extend(careless.map(str::to_owned));
    }
    settings.extend(
        options
            .settings
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );

    let mut sockets = OsString::from("unix_socket_directories=");
    sockets.push(run_dir);
    std::iter::once(sockets)
        .chain(settings.into_iter().map(OsString::from))
        .flat_map(|setting| [OsString::from("-c"), setting])
        .collect()
}

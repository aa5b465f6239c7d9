//! A Postgres of a test's own, which may stop, crash and be followed by standbys.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use kombo_mirror::embedded::{self, Postgres};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tempfile::TempDir;
use tokio::process::Command;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::look::eventually;

/// What lets standbys follow: a log of all that is written, and enough of it kept for one that was away.
const FOLLOWED: [(&str, &str); 6] = [
    ("wal_level", "replica"),
    ("max_wal_senders", "4"),
    ("wal_keep_size", "256MB"),
    ("hot_standby", "on"),
    // nobody pulls the plug of the machine, so its disk need not be waited for
    ("fsync", "off"),
    ("wal_receiver_status_interval", "1s"),
];

/// A Postgres of the test's own, whose address stays the same over a restart.
pub(crate) struct Cluster {
    folder: TempDir,
    settings: Vec<(String, String)>,
    server: Option<Postgres>,
}

impl Cluster {
    /// Without anybody who could follow.
    pub(crate) async fn start() -> Self {
        Self::with_database(&[]).await
    }

    /// With all that standbys need.
    pub(crate) async fn primary() -> Self {
        Self::with_database(&FOLLOWED).await
    }

    async fn with_database(settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::new(settings);
        cluster.start_again().await;
        let server = cluster.server.as_ref().expect("it runs");
        server.create_database("mirror", None).await.expect("SQL");
        cluster
    }

    fn new(settings: &[(&str, &str)]) -> Self {
        // where the user that root drops to can reach it
        let folder = tempfile::tempdir_in("/var/tmp").expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("it is ours");
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            folder,
            settings: settings.iter().map(own).collect(),
            server: None,
        }
    }

    /// A server that streams what this one writes, under the name `name`; its base backup is made as `pg_basebackup`
    /// makes it, which downloaded binaries do not have.
    pub(crate) async fn standby(&self, name: &str, settings: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = FOLLOWED.iter().chain(settings).copied().collect();
        let mut standby = Self::new(&settings);
        self.base_backup(&standby.data_dir()).await;
        let owner = fs::metadata(self.data_dir()).expect("the data");
        let conninfo = format!(
            "primary_conninfo = 'host={} user=postgres application_name={name}'\n",
            self.link().display()
        );
        for (file, text) in [
            ("postgresql.auto.conf", conninfo.as_str()),
            ("standby.signal", ""),
        ] {
            put(
                &standby.data_dir().join(file),
                text,
                owner.uid(),
                owner.gid(),
            );
        }
        standby.start_again().await;
        standby
    }

    async fn base_backup(&self, to: &Path) {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls)
            .await
            .expect("the primary answers");
        tokio::spawn(connection);
        let version = client.query_one("SHOW server_version_num", &[]).await;
        let version: String = version.expect("a version").get(0);
        let is_old = version.as_str() < "150000";
        let (start, stop) = if is_old {
            (
                "pg_start_backup('copy', true, false)",
                "pg_stop_backup(false, false)",
            )
        } else {
            ("pg_backup_start('copy', true)", "pg_backup_stop(false)")
        };
        let begun = client.simple_query(&format!("SELECT {start}")).await;
        begun.expect("a backup begins");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.data_dir()).arg(to);
        assert!(copy.status().await.expect("cp is there").success());
        let label = client
            .query_one(&format!("SELECT labelfile FROM {stop}"), &[])
            .await
            .expect("the backup ends");
        let owner = fs::metadata(self.data_dir()).expect("the data");
        let label: String = label.get(0);
        put(&to.join("backup_label"), &label, owner.uid(), owner.gid());
        // the primary's own
        for file in ["postmaster.pid", "postmaster.opts"] {
            let _ = fs::remove_file(to.join(file));
        }
        for entry in fs::read_dir(to.join("pg_wal")).expect("the log") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                fs::remove_file(path).expect("it is ours");
            }
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn link(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// As a URL names it.
    pub(crate) fn host(&self) -> String {
        let host = self.link().to_string_lossy().into_owned();
        utf8_percent_encode(&host, NON_ALPHANUMERIC).to_string()
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@{}/mirror", self.host())
    }

    pub(crate) async fn start_again(&mut self) {
        let server = Postgres::start(embedded::Options {
            data_dir: Some(self.data_dir()),
            durable: true,
            settings: self.settings.clone(),
            ..embedded::Options::default()
        })
        .await
        .expect("a private Postgres starts");
        let log = server.log_path();
        let sockets = log.parent().expect("the log is beside the socket");
        // gone or stale
        let _ = fs::remove_file(self.link());
        symlink(sockets, self.link()).expect("a link");
        self.server = Some(server);
    }

    pub(crate) async fn stop(&mut self) {
        let server = self.server.take().expect("it runs");
        server.stop().await.expect("it stops");
    }

    /// Ends every process of the server at once, as a crash of the machine would.
    pub(crate) async fn crash(&mut self) {
        let file = fs::read_to_string(self.data_dir().join("postmaster.pid")).expect("it runs");
        let pid = file.lines().next().expect("its process id");
        let sent = Command::new("kill").args(["-QUIT", pid]).status().await;
        assert!(sent.expect("kill is there").success());
        self.stop().await;
    }

    /// The server's log.
    pub(crate) fn said(&self) -> String {
        let server = self.server.as_ref().expect("it runs");
        fs::read_to_string(server.log_path()).expect("the log")
    }

    /// Makes a standby the primary.
    pub(crate) async fn promote(&self) {
        assert_eq!(self.text("SELECT pg_promote(true, 60)").await, "t");
    }

    /// The only value of a statement's row; empty without one.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls)
            .await
            .expect("it answers");
        tokio::spawn(connection);
        let answer = client.simple_query(sql).await;
        let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let value = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        value.unwrap_or_default()
    }

    /// Waits until the standby has applied all that this server has written.
    pub(crate) async fn is_followed_by(&self, standby: &Self) {
        let end = self.text("SELECT pg_current_wal_flush_lsn()").await;
        let reached = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
        eventually("the standby has it all", async || {
            standby.text(&reached).await == "t"
        })
        .await;
    }

    /// From now on a commit waits until the standby has it on its disk.
    pub(crate) async fn waits_for(&self, standby: &str) {
        let wait = format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'");
        self.text(&wait).await;
        self.text("SELECT pg_reload_conf()").await;
        let state = "SELECT sync_state FROM pg_stat_replication";
        eventually("the standby counts", async || {
            self.text(state).await == "sync"
        })
        .await;
    }
}

fn put(file: &Path, text: &str, uid: u32, gid: u32) {
    fs::write(file, text).expect("a file");
    chown(file, Some(uid), Some(gid)).expect("it is ours");
}

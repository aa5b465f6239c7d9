//! The private Postgres that everything runs against, and the ways to talk to it.
//!
//! It is as durable as one in production (fsync, synchronous commits, full pages in the WAL) and has memory enough
//! for all data, so that what is measured is work and not the disk. Must never be one that somebody else uses.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use kombo_mirror::embedded::{Options, Postgres};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Postgres's defaults but for memory and for the room between two checkpoints.
const SETTINGS: &[(&str, &str)] = &[
    ("shared_buffers", "512MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("wal_level", "replica"),
    ("max_connections", "300"),
];

/// A running server with its own data.
pub(crate) struct Cluster {
    runtime: Runtime,
    postgres: Option<Postgres>,
    /// Process id of the postmaster.
    pub(crate) pid: u32,
    bin_dir: PathBuf,
}

impl Cluster {
    /// Starts a server on the data in `dir`, which is kept.
    pub(crate) fn start(dir: &Path) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let settings = SETTINGS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let postgres = runtime.block_on(Postgres::start(Options {
            data_dir: Some(dir.join("postgres")),
            durable: true,
            settings: settings.collect(),
            ..Options::default()
        }))?;
        let pid_file = postgres.data_dir().join("postmaster.pid");
        let pid = std::fs::read_to_string(pid_file)?;
        let pid = pid.lines().next().context("an empty postmaster.pid")?;
        let pid = pid.trim().parse()?;
        let program = std::fs::read_link(format!("/proc/{pid}/exe"))?;
        let bin_dir = program.parent().context("postgres lies nowhere")?;
        Ok(Self {
            runtime,
            pid,
            bin_dir: bin_dir.to_owned(),
            postgres: Some(postgres),
        })
    }

    fn postgres(&self) -> &Postgres {
        // only `drop` takes it out
        self.postgres.as_ref().expect("the server runs")
    }

    /// The address of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        self.postgres().url(database)
    }

    /// Where the server writes its log.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.postgres().log_path()
    }

    /// The folder of the server's socket.
    pub(crate) fn socket_dir(&self) -> anyhow::Result<PathBuf> {
        let log = self.log_path();
        Ok(log.parent().context("the log lies nowhere")?.to_owned())
    }

    /// A program that came with the server, such as `pgbench`.
    pub(crate) fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let beside = self.bin_dir.join(name);
        ensure!(
            beside.exists(),
            "{} is missing; install the package that has it (Debian: postgresql-contrib or postgresql-15)",
            beside.display()
        );
        Ok(beside)
    }

    /// Makes a database; one of the name must not exist.
    pub(crate) fn create(&self, database: &str) -> anyhow::Result<()> {
        self.runtime
            .block_on(self.postgres().create_database(database, None))
    }

    /// Makes a database that is a copy of another, which nobody may use meanwhile.
    pub(crate) fn copy(&self, from: &str, database: &str) -> anyhow::Result<()> {
        self.runtime
            .block_on(self.postgres().create_database(database, Some(from)))
    }

    /// Drops a database if there is one of the name.
    pub(crate) fn drop(&self, database: &str) -> anyhow::Result<()> {
        self.runtime
            .block_on(self.postgres().drop_database(database))
    }

    /// Connects to a database.
    pub(crate) fn connect(&self, database: &str) -> anyhow::Result<Session<'_>> {
        let url = self.url(database);
        let client = self.runtime.block_on(async move {
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
            // ends with the client
            tokio::spawn(connection);
            anyhow::Ok(client)
        })?;
        Ok(Session {
            runtime: &self.runtime,
            client,
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(postgres) = self.postgres.take() {
            // what does not end in order is ended by its wrapper
            let _ = self.runtime.block_on(postgres.stop());
        }
    }
}

/// A connection for what is not measured.
pub(crate) struct Session<'a> {
    runtime: &'a Runtime,
    client: Client,
}

impl Session<'_> {
    /// Runs statements that answer nothing.
    pub(crate) fn run(&self, sql: &str) -> anyhow::Result<()> {
        let work = self.client.batch_execute(sql);
        self.runtime.block_on(work).with_context(|| refused(sql))
    }

    /// The first value of each row, as text; nulls are left out.
    pub(crate) fn texts(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let work = self.client.simple_query(sql);
        let messages = self.runtime.block_on(work).with_context(|| refused(sql))?;
        let texts = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(texts.collect())
    }

    /// The only value.
    pub(crate) fn text(&self, sql: &str) -> anyhow::Result<String> {
        let mut texts = self.texts(sql)?;
        texts.pop().with_context(|| format!("no answer to: {sql}"))
    }

    /// The only value, a number.
    pub(crate) fn number(&self, sql: &str) -> anyhow::Result<f64> {
        Ok(self.text(sql)?.parse()?)
    }
}

fn refused(sql: &str) -> String {
    format!(
        "Postgres refused: {}",
        sql.lines().next().unwrap_or_default()
    )
}

//! A private Postgres for `kombo-mirror demo` and for the test-suite, so that neither needs anything set up.
//!
//! Why not a crate: those that exist refuse to run as root, leave the server behind when the program is
//! killed, or cannot use the Postgres that is already installed. What is left to do is small: find the
//! binaries (`binaries`, else `download`), choose the folder and the user (`cluster`), and start
//! both `initdb` and `postgres` under a shell script (`wrapper.sh`) that ends them when this process is gone.
//!
//! Must never: listen on a network address (anybody who reaches the socket is superuser), leave a server
//! or a temporary folder behind however this process dies, touch a folder that another server uses, or
//! be used for data that `serve` is responsible for.

mod binaries;
mod cluster;
mod download;
mod places;
#[cfg(test)]
mod tests;
mod wrapper;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::NoTls;

use cluster::{Account, DataDir};
pub use places::default_data_dir;

/// The superuser of the private server; `initdb` in `wrapper.sh` creates it.
const SUPERUSER: &str = "postgres";

/// How often a condition is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(20);

/// How long a server may take to end; `wrapper.sh` stops being polite after 20 s.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// How much of the end of the server's log goes into an error.
const LOG_TAIL_BYTES: u64 = 4_000;

/// What to start and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of the data, created where missing and kept; a later start continues with it.
    /// `None`: a temporary one, removed when the server ends.
    pub data_dir: Option<PathBuf>,
    /// The folder of `initdb` and `postgres`. `None`: PATH, then the usual places, then the download.
    pub bin_dir: Option<PathBuf>,
    /// The folders to look for an installation in, instead of PATH and the usual places.
    pub search: Option<Vec<PathBuf>>,
    /// Whether binaries may be downloaded where no installation is found.
    pub download: Download,
    /// Where downloaded binaries are kept. `None`: the user's cache folder.
    pub cache_dir: Option<PathBuf>,
    /// Whether data survives a crash of the machine. `false` is for tests: no fsync, faster.
    pub durable: bool,
    /// Server settings on top of the built-in ones, as in `postgres -c name=value`; the last one wins.
    pub settings: Vec<(String, String)>,
    /// How long it may take until the server answers, without the download. Default 60 s: `initdb` takes
    /// one second on a quiet machine and the recovery of a kept folder some more.
    pub start_limit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data_dir: None,
            bin_dir: None,
            search: None,
            download: Download::From(download::PYPI_FILES.to_owned()),
            cache_dir: None,
            durable: false,
            settings: Vec::new(),
            start_limit: Duration::from_secs(60),
        }
    }
}

/// Whether Postgres may be downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Download {
    /// Never; a machine without Postgres is an error.
    Never,
    /// From a mirror of PyPI's file host; [`Options::default`] names the host itself. What it sends is
    /// checked against checksums that are part of this program.
    From(String),
}

/// The reasons not to start that a caller may want to tell apart; found with `downcast_ref`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable Postgres on this machine, and none was downloaded.
    #[error(
        "no Postgres {} or newer on this machine; install it with: {install}",
        binaries::OLDEST_MAJOR
    )]
    NotInstalled {
        /// The command to type.
        install: &'static str,
    },
    /// Another server works on the data folder.
    #[error("the folder {} is in use by another Postgres{}", dir.display(), process(*pid))]
    InUse {
        /// The data folder.
        dir: PathBuf,
        /// The process id of the other server, once it has written it down.
        pid: Option<u32>,
    },
    /// The data folder was written by a major version that is not to be had here.
    #[error(
        "the folder {} holds data of Postgres {data}, but here is {found}; \
         install version {data} or name another folder",
        dir.display()
    )]
    OtherVersion {
        /// The data folder.
        dir: PathBuf,
        /// The major version that wrote the folder.
        data: u32,
        /// The major versions at hand, in words.
        found: String,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// A running private server.
///
/// Dropping it, or the end of this process in whatever way, ends the server: the drop closes the pipe
/// that the wrapper waits on. [`Postgres::stop`] also waits until it is gone.
#[derive(Debug)]
pub struct Postgres {
    wrapper: Child,
    run_dir: PathBuf,
    data_dir: PathBuf,
    log: File,
    major: u32,
}

impl Postgres {
    /// Starts a server and returns once it answers.
    ///
    /// # Errors
    ///
    /// [`Error`] where the caller may want to choose something else; anything else with the end of the
    /// server's log.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let account = Account::choose(options.data_dir.as_deref())?;
        let kept = match &options.data_dir {
            Some(dir) => Some(DataDir::claim(dir, &account).await?),
            None => None,
        };
        let version = kept.as_ref().and_then(|data| data.version);
        let installation = binaries::find(&options, &account, version).await?;

        // Nobody removes this folder if we are killed before the wrapper runs, so no waiting in between.
        let run_dir = cluster::create_run_dir(&account)?;
        let data = match kept {
            Some(data) => data,
            None => DataDir::claim(&run_dir.path().join("data"), &account).await?,
        };
        let log_path = run_dir.path().join("server.log");
        let log = File::create_new(&log_path).context("cannot create the server's log")?;
        let log_reader = File::open(&log_path).context("cannot read the server's log")?;
        let wrapper = wrapper::command(
            &options,
            &account,
            &installation,
            run_dir.path(),
            &data.path,
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::from(data.lock))
        .stderr(Stdio::from(log))
        .spawn()
        .context("cannot start /bin/sh for the private Postgres")?;
        let mut postgres = Self {
            wrapper,
            // From here on the wrapper removes it.
            run_dir: run_dir.keep(),
            data_dir: data.path,
            log: log_reader,
            major: installation.major,
        };
        if let Err(problem) = postgres.wait_until_ready(options.start_limit).await {
            let tail = postgres.log_tail();
            // The log names the cause; that the server also would not end adds nothing to it.
            let _ = postgres.stop().await;
            return Err(problem.context(format!(
                "the private Postgres of {} did not start; its log ends with:\n{tail}",
                installation.bin_dir.display()
            )));
        }
        Ok(postgres)
    }

    /// The address of a database on this server, for any client that knows Unix sockets.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let host =
            utf8_percent_encode(&self.run_dir.to_string_lossy(), NON_ALPHANUMERIC).to_string();
        let database = utf8_percent_encode(database, NON_ALPHANUMERIC);
        format!("postgres://{SUPERUSER}@{host}/{database}")
    }

    /// The folder of the data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The server's log; it goes away with the server.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.run_dir.join("server.log")
    }

    /// Creates a database, as a copy of `template` where one is named. Sessions on the template have to
    /// end: Postgres waits five seconds for them, then refuses.
    ///
    /// # Errors
    ///
    /// When a name is not a plain identifier, or Postgres refuses.
    pub async fn create_database(&self, name: &str, template: Option<&str>) -> anyhow::Result<()> {
        let name = identifier(name)?;
        let template = identifier(template.unwrap_or("template1"))?;
        // The files are copied in 7 ms, the default way takes 20 ms; the two checkpoints that a copy needs
        // cost little here. Postgres 14 knows no other way and not the word.
        let strategy = if self.major >= 15 {
            "STRATEGY file_copy"
        } else {
            ""
        };
        self.execute(&format!(
            "CREATE DATABASE \"{name}\" TEMPLATE \"{template}\" {strategy}"
        ))
        .await
    }

    /// Drops a database if it exists, and disconnects whoever uses it.
    ///
    /// # Errors
    ///
    /// When the name is not a plain identifier, or Postgres refuses.
    pub async fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        let name = identifier(name)?;
        self.execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
            .await
    }

    /// Ends the server, in order where the data is kept, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it is still there after 40 s.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.wrapper.stdin.take());
        let begun = Instant::now();
        while self.wrapper.try_wait()?.is_none() {
            ensure!(
                begun.elapsed() < STOP_LIMIT,
                "the private Postgres in {} did not end within {} s",
                self.data_dir.display(),
                STOP_LIMIT.as_secs()
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn wait_until_ready(&mut self, limit: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        let socket = self.run_dir.join(format!(".s.PGSQL.{}", cluster::PORT));
        loop {
            if let Some(status) = self.wrapper.try_wait()? {
                bail!("it ended at once ({status})");
            }
            // Connecting before the socket exists would only fill the log.
            if socket.exists() {
                let problem = match tokio::time::timeout(limit, self.execute("SELECT 1")).await {
                    Ok(Ok(())) => return Ok(()),
                    Ok(Err(problem)) => problem,
                    Err(_) => anyhow::anyhow!("it accepts connections but does not answer"),
                };
                if begun.elapsed() >= limit {
                    return Err(problem);
                }
            }
            ensure!(
                begun.elapsed() < limit,
                "it was not ready within {} s",
                limit.as_secs_f32()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Runs one statement on a connection of its own: rare enough, and nothing is left to keep alive.
    async fn execute(&self, statement: &str) -> anyhow::Result<()> {
        let (client, connection) = tokio_postgres::connect(&self.url("postgres"), NoTls).await?;
        let work = async move {
            let answer = client.batch_execute(statement).await;
            drop(client);
            answer
        };
        // The connection ends once the client is dropped, so neither needs a task.
        let (answer, _) = tokio::join!(work, connection);
        answer.with_context(|| format!("the private Postgres refused: {statement}"))
    }

    fn log_tail(&self) -> String {
        // Through the open file: the wrapper may have removed its name already.
        let length = self.log.metadata().map_or(0, |log| log.len());
        let from = length.saturating_sub(LOG_TAIL_BYTES);
        let mut tail = vec![0; usize::try_from(length - from).unwrap_or_default()];
        let read = self.log.read_at(&mut tail, from).unwrap_or_default();
        String::from_utf8_lossy(&tail[..read]).trim().to_owned()
    }
}

/// Lets only names through that mean the same with and without quotes.
fn identifier(name: &str) -> anyhow::Result<&str> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    let starts_well = name
        .bytes()
        .next()
        .is_some_and(|c| plain(c) && !c.is_ascii_digit());
    ensure!(
        starts_well && name.len() <= 63 && name.bytes().all(plain),
        "{name:?} is no database name: up to 63 of a-z, 0-9 and _, not beginning with a digit"
    );
    Ok(name)
}

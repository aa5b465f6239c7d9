//! Full fetches by the real program, watched from outside: how long, how much WAL, how much CPU and memory.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use crate::Bench;
use crate::load::Connection;
use crate::machine::{self, Cpu};
use crate::mirror;
use crate::postgres::Session;
use crate::server::{self, Server};
use crate::simulator::Simulator;
use crate::workloads::Door;

/// Endpoints that are fetched.
const ENDPOINTS: usize = 4;

/// How long a fetch may take.
const LIMIT: Duration = Duration::from_secs(1800);
const POLL: Duration = Duration::from_millis(100);

/// All that the mirror holds of Kombo.
pub(crate) const TABLES: &[&str] = &[
    "users",
    "course_providers",
    "courses",
    "course_revisions",
    "skills",
    "course_revision_skills",
    "course_progressions",
];

const RESYNC: &str = "mutation ($id: ID!) {
  triggerResync(input: { integrationKomboId: $id, mode: FULL }) { __typename }
}";

/// What a fetch of everything took.
#[derive(Debug, Clone)]
pub(crate) struct Fetch {
    /// From the first run's start to the last run's end.
    pub(crate) seconds: f64,
    /// Bytes.
    pub(crate) wal: f64,
    pub(crate) cpu: Cpu,
    /// Microseconds of the simulator, which shares the machine.
    pub(crate) simulator: u64,
    /// Transactions in the database.
    pub(crate) transactions: f64,
    /// The server's memory at its end, and at most while it was at work, in bytes.
    pub(crate) peak_memory: u64,
    /// The server's memory after each tenth of the time, in bytes.
    pub(crate) memory: Vec<u64>,
}

/// A server that mirrors what a simulator holds.
pub(crate) struct Fetching<'a> {
    bench: &'a Bench,
    pub(crate) session: Session<'a>,
    database: &'a str,
    simulator: &'a Simulator,
    pub(crate) server: Server,
    /// Number of the last run before.
    last_run: f64,
    begun: Reading,
}

struct Reading {
    wal: f64,
    cpu: Cpu,
    simulator: u64,
    transactions: f64,
}

impl<'a> Fetching<'a> {
    /// Starts a server on an empty database: its first load begins by itself.
    pub(crate) fn start(
        bench: &'a Bench,
        database: &'a str,
        simulator: &'a Simulator,
    ) -> anyhow::Result<Self> {
        Self::start_at(bench, database, server::free_address()?, simulator)
    }

    /// The same, at an address that is known to whoever sends webhooks.
    pub(crate) fn start_at(
        bench: &'a Bench,
        database: &'a str,
        address: SocketAddr,
        simulator: &'a Simulator,
    ) -> anyhow::Result<Self> {
        let session = bench.cluster.connect(database)?;
        session.run("CHECKPOINT")?;
        let wal = wal(&session)?;
        let transactions = transactions(&session, database)?;
        let before = Cpu::read(simulator.server.pid(), bench.cluster.pid)?;
        let server = mirror::serve_all(bench, database, address, simulator)?;
        Ok(Self {
            bench,
            session,
            database,
            simulator,
            server,
            last_run: 0.0,
            begun: Reading {
                wal,
                transactions,
                simulator: before.program,
                cpu: Cpu {
                    program: 0,
                    postgres: before.postgres,
                },
            },
        })
    }

    /// Asks for everything once more.
    pub(crate) fn again(&mut self) -> anyhow::Result<()> {
        // what autovacuum would do some minutes after a load, so that it is not counted twice or by chance
        self.session.run("VACUUM ANALYZE")?;
        self.session.run("CHECKPOINT")?;
        self.last_run = self.session.number("SELECT max(id) FROM sync_runs")?;
        self.begun = self.reading()?;
        let mut door = Door {
            connection: Connection::open(self.server.address)?,
            headers: mirror::headers(),
        };
        for id in &self.simulator.integrations {
            door.ask(&json!({ "query": RESYNC, "variables": { "id": id } }).to_string())?;
        }
        Ok(())
    }

    /// Waits until everything is fetched.
    pub(crate) fn finish(&self) -> anyhow::Result<Fetch> {
        let since = self.last_run;
        let begun = Instant::now();
        let wanted = ENDPOINTS * self.simulator.integrations.len();
        let mut memory = Vec::new();
        // some connectors lack a model, whose run ends as failed
        loop {
            memory.push(machine::memory(self.server.pid(), "VmRSS:")?);
            let state = self.session.text(&format!(
                "SELECT count(*) FILTER (WHERE status IN ('SUCCEEDED', 'FAILED') AND mode = 'FULL') || ' ' || \
                 count(*) FILTER (WHERE status IN ('QUEUED', 'RUNNING')) || ' ' || \
                 count(*) FILTER (WHERE status = 'FAILED' AND error_code NOT LIKE 'INTEGRATION.MODEL%') \
                 FROM sync_runs WHERE id > {since}"
            ))?;
            let numbers: Vec<usize> = state.split(' ').filter_map(|n| n.parse().ok()).collect();
            ensure!(numbers[2] == 0, "a run failed; see server.log");
            if numbers[0] >= wanted && numbers[1] == 0 {
                break;
            }
            ensure!(
                begun.elapsed() < LIMIT,
                "everything is not fetched after {LIMIT:?}"
            );
            std::thread::sleep(POLL);
        }
        let ended = self.reading()?;
        Ok(Fetch {
            seconds: self.session.number(&format!(
                "SELECT extract(epoch FROM max(finished_at) - min(started_at)) \
                 FROM sync_runs WHERE id > {since}"
            ))?,
            wal: ended.wal - self.begun.wal,
            cpu: ended.cpu.since(self.begun.cpu),
            simulator: ended.simulator - self.begun.simulator,
            transactions: ended.transactions - self.begun.transactions,
            peak_memory: machine::memory(self.server.pid(), "VmHWM:")?,
            memory: (1..=10)
                .map(|tenth| memory[(memory.len() - 1) * tenth / 10])
                .collect(),
        })
    }

    /// Waits until no run waits or works.
    pub(crate) fn quiet(&self) -> anyhow::Result<()> {
        let open = "SELECT count(*) FROM sync_runs WHERE status IN ('QUEUED', 'RUNNING')";
        let begun = Instant::now();
        while self.session.number(open)? > 0.0 {
            ensure!(begun.elapsed() < LIMIT, "the runs do not end");
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn reading(&self) -> anyhow::Result<Reading> {
        let postmaster = self.bench.cluster.pid;
        Ok(Reading {
            wal: wal(&self.session)?,
            cpu: Cpu::read(self.server.pid(), postmaster)?,
            simulator: Cpu::read(self.simulator.server.pid(), postmaster)?.program,
            transactions: transactions(&self.session, self.database)?,
        })
    }

    /// Rows of all tables.
    pub(crate) fn rows(&self) -> anyhow::Result<f64> {
        let counts = TABLES
            .iter()
            .map(|table| format!("(SELECT count(*) FROM {table})"));
        let counts: Vec<String> = counts.collect();
        self.session
            .number(&format!("SELECT {}", counts.join(" + ")))
    }
}

fn wal(session: &Session<'_>) -> anyhow::Result<f64> {
    session.number("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
}

fn transactions(session: &Session<'_>, database: &str) -> anyhow::Result<f64> {
    session.number(&format!(
        "SELECT xact_commit FROM pg_stat_database WHERE datname = '{database}'"
    ))
}

//! Statements counted in Postgres's log: it knows them all, whoever sends them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::Bench;

/// How often something is done while its statements are counted.
const TIMES: usize = 50;

/// How long the backends may take until they log.
const HEAR_LIMIT: Duration = Duration::from_secs(10);

impl Bench {
    /// Statements for each time that something is done.
    pub(crate) fn count_statements(
        &self,
        mut work: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<f64> {
        let counting = Counting::start(self)?;
        let begun = Instant::now();
        // backends hear of the setting one after the other, between two statements
        while counting.count(TIMES, &mut work)? < TIMES {
            ensure!(
                begun.elapsed() < HEAR_LIMIT,
                "Postgres does not log statements"
            );
        }
        let counted = counting.count(TIMES, &mut work)?;
        Ok(counted as f64 / TIMES as f64)
    }
}

/// The log of statements, switched off with this value.
pub(crate) struct Counting<'a> {
    bench: &'a Bench,
}

impl<'a> Counting<'a> {
    /// Switches the log on.
    pub(crate) fn start(bench: &'a Bench) -> anyhow::Result<Self> {
        let session = bench.cluster.connect("postgres")?;
        session.run("ALTER SYSTEM SET log_statement = 'all'")?;
        session.run("SELECT pg_reload_conf()")?;
        Ok(Self { bench })
    }

    /// Statements while something is done some times.
    pub(crate) fn count(
        &self,
        times: usize,
        work: &mut impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let log = self.bench.cluster.log_path();
        let before = logged(&log)?;
        for _ in 0..times {
            work()?;
        }
        Ok(logged(&log)? - before)
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        // a server that is gone logs nothing either
        let _ = self.bench.cluster.connect("postgres").and_then(|session| {
            session.run("ALTER SYSTEM RESET log_statement")?;
            session.run("SELECT pg_reload_conf()")
        });
    }
}

fn logged(log: &Path) -> anyhow::Result<usize> {
    let text = std::fs::read(log)?;
    let begun = [&b"LOG:  execute "[..], b"LOG:  statement: "];
    let count = |mark: &[u8]| memchr::memmem::find_iter(&text, mark).count();
    Ok(begun.iter().map(|mark| count(mark)).sum())
}

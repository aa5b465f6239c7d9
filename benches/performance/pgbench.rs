//! `pgbench` as the reference: one prepared statement, written by hand, that gives the same answer.
//!
//! It comes with Postgres, costs little, and nobody has to believe a load generator of ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::machine::Cpu;
use crate::rounds::Round;

/// Threads of `pgbench`, as many as there are cores on a small machine.
const THREADS: usize = 2;

/// A script of `pgbench`, and what is needed to run it.
pub(crate) struct Pgbench<'a> {
    /// The program.
    pub(crate) program: &'a Path,
    /// The database.
    pub(crate) url: &'a str,
    /// The script's file.
    pub(crate) script: PathBuf,
}

/// What came of a round.
pub(crate) struct Outcome {
    /// Transactions that ended well.
    transactions: u64,
    /// Of them each second, without the time to connect.
    per_second: f64,
    /// Their mean latency in milliseconds.
    latency: f64,
}

impl Outcome {
    /// The same as one of several rounds.
    pub(crate) fn round(&self, cpu: Cpu) -> Round {
        Round {
            per_second: self.per_second,
            units: self.transactions,
            cpu,
            latency: self.latency,
            worst: f64::NAN,
        }
    }
}

impl Pgbench<'_> {
    /// Runs the script for a time.
    ///
    /// # Errors
    /// The program fails, or any transaction does.
    pub(crate) fn run(&self, connections: usize, seconds: u64) -> anyhow::Result<Outcome> {
        let output = Command::new(self.program)
            .args(["--no-vacuum", "--protocol", "prepared"])
            .args(["--client", &connections.to_string()])
            .args(["--jobs", &THREADS.min(connections).to_string()])
            .args(["--time", &seconds.to_string()])
            .arg("--file")
            .arg(&self.script)
            .arg(self.url)
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!(
                "pgbench failed: {}{text}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let read = |before: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(before));
            let value = line.and_then(|rest| rest.trim().split([' ', '/']).next());
            value.with_context(|| format!("no line with {before} from pgbench:\n{text}"))
        };
        let failed = read("number of failed transactions:").unwrap_or("0");
        ensure!(failed == "0", "{failed} transactions of pgbench failed");
        Ok(Outcome {
            transactions: read("number of transactions actually processed:")?.parse()?,
            per_second: read("tps =")?.parse()?,
            latency: read("latency average =")?.parse()?,
        })
    }
}

//! How fast the server is beside what it is measured against, on this machine, in one run.
//!
//! `cargo bench --bench performance` measures everything; README.md beside this says what each part is and how to
//! read what it prints. The real program runs as a process of its own against a private Postgres; this process only
//! asks and counts. The exit code is 0 when every goal that was asked for was measured and holds, 1 when not, 2 when nothing could be measured.
//!
//! Must never measure anything but the real program, or time alone: each ratio is of two neighbouring rounds.

mod answers;
mod data;
mod dlt;
mod fetch;
mod freshness;
mod graphql;
mod idle;
mod install;
mod load;
mod machine;
mod memory;
mod mirror;
mod peers;
mod pgbench;
mod postgres;
mod report;
mod rounds;
mod server;
mod simulator;
mod statements;
mod sync;
mod webhooks;
mod workloads;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use postgres::Cluster;
use report::Goals;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// GraphQL against pgbench
    Graphql,
    /// GraphQL beside PostGraphile and a server written by hand for Node, on the same rows
    Peers,
    /// A first load and the same again, against COPY of the same rows
    Sync,
    /// A first load beside dlt, from the same simulator
    Dlt,
    /// Webhooks accepted, against pgbench with the same two inserts
    Webhooks,
    /// From a change at Kombo to the answer of a query
    Freshness,
    /// The server's memory under queries and in fetches of a million progressions
    Memory,
    /// What 1,000 integrations cost while nothing happens
    Idle,
}

impl Part {
    fn measure(self, bench: &mut Bench) -> anyhow::Result<()> {
        match self {
            Self::Graphql => graphql::measure(bench),
            Self::Peers => peers::measure(bench),
            Self::Sync => sync::measure(bench),
            Self::Dlt => dlt::measure(bench),
            Self::Webhooks => webhooks::measure(bench),
            Self::Freshness => freshness::measure(bench),
            Self::Memory => memory::measure(bench),
            Self::Idle => idle::measure(bench),
        }
    }
}

/// Measures the server beside its references.
#[derive(Parser)]
struct Options {
    /// What to measure [default: everything]
    parts: Vec<Part>,
    /// Shorter: one second a round, 16 connections, one load of 100 000 progressions
    #[arg(long)]
    quick: bool,
    /// Seconds of a round
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Pairs of rounds
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// Connections
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    connections: Vec<usize>,
    /// Only workloads whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Progressions of a load
    #[arg(long, default_value_t = 500_000)]
    progressions: usize,
    /// Loads, each with a COPY
    #[arg(long, default_value_t = 2)]
    loads: usize,
    /// Another build of the server to measure
    #[arg(long, default_value = env!("CARGO_BIN_EXE_kombo-mirror"))]
    server: PathBuf,
    /// Where data are kept between runs; as root it must lie where the user postgres can reach it
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/performance"))]
    dir: PathBuf,
    /// What cargo gives a benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What every part needs.
struct Bench {
    options: Options,
    cluster: Cluster,
    goals: Goals,
}

impl Bench {
    fn dir(&self) -> &Path {
        &self.options.dir
    }

    fn round(&self) -> Duration {
        Duration::from_secs(self.options.seconds)
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every goal was measured and holds.
fn run() -> anyhow::Result<bool> {
    let mut options = Options::parse();
    if !options.bench {
        println!("not a test: run it with cargo bench --bench performance");
        return Ok(true);
    }
    if options.quick {
        options.seconds = 1;
        options.connections = vec![16];
        options.progressions = options.progressions.min(100_000);
        options.loads = 1;
    }
    if options.parts.is_empty() {
        options.parts = Part::value_variants().to_vec();
    }
    std::fs::create_dir_all(&options.dir)?;
    println!("{}", machine::facts());
    let cluster = Cluster::start(&options.dir)?;
    println!("{}", cluster.connect("postgres")?.text("SELECT version()")?);
    let mut bench = Bench {
        options,
        cluster,
        goals: Goals::default(),
    };
    for part in bench.options.parts.clone() {
        // the other parts are worth their time nevertheless
        if let Err(error) = part.measure(&mut bench) {
            eprintln!("error: {part:?}: {error:#}");
            bench.goals.failed(format!("{part:?}"), &error);
        }
    }
    if !bench.goals.is_empty() {
        println!("{}", bench.goals.table());
    }
    Ok(bench.goals.hold())
}

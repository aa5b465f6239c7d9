//! The server's memory, at most: while it answers queries of 64 clients, and while it fetches a million records.

use crate::fetch::Fetching;
use crate::load::{self, Connection};
use crate::report::{Table, Wanted, short};
use crate::rounds::Ratio;
use crate::simulator::{Simulated, Simulator};
use crate::workloads::{self, Door, Words};
use crate::{Bench, data, machine, mirror};

const DATABASE: &str = "memory";
const CONNECTIONS: usize = 64;
const PROGRESSIONS: usize = 1_000_000;

const QUERIES_MEGABYTES: f64 = 60.0;
const FETCH_MEGABYTES: f64 = 150.0;
/// How much more memory a fetch may have at its end than after three tenths of its time, to be called flat.
const FLAT: f64 = 1.25;

/// Measures both.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    queries(bench)?;
    fetch(bench)
}

fn queries(bench: &mut Bench) -> anyhow::Result<()> {
    let database = data::rows(bench)?;
    let session = bench.cluster.connect(&database)?;
    let server = mirror::serve_api(bench, &database)?;
    let mut door = Door {
        connection: Connection::open(server.address)?,
        headers: mirror::headers(),
    };
    for workload in workloads::all() {
        let asked = workload.asked(&mut door, Words::Ours, &session)?;
        let requests = workload.requests(&asked, &mirror::headers());
        load::run(server.address, &requests, CONNECTIONS, bench.round())?;
    }
    let peak = megabytes(machine::memory(server.pid(), "VmHWM:")?);
    drop(session);
    let what = format!("memory under queries, {CONNECTIONS} connections");
    at_most(bench, &what, peak, QUERIES_MEGABYTES);
    Ok(())
}

fn fetch(bench: &mut Bench) -> anyhow::Result<()> {
    let progressions = if bench.options.quick {
        bench.options.progressions
    } else {
        PROGRESSIONS
    };
    let simulated = Simulated {
        integrations: 1,
        progressions,
        webhooks: None,
    };
    let simulator = Simulator::start(bench, &simulated)?;
    data::migrated(bench, DATABASE)?;
    let mut fetching = Fetching::start(bench, DATABASE, &simulator)?;
    let first = fetching.finish()?;
    fetching.again()?;
    let again = fetching.finish()?;
    drop(fetching);
    bench.cluster.drop(DATABASE)?;

    let head = [
        "fetch of everything",
        "MB after each tenth of the time",
        "peak MB",
    ];
    let title = format!(
        "Memory in fetches of {} progressions",
        short(progressions as f64)
    );
    let mut table = Table::new(title, &head);
    for (what, fetch) in [("first", &first), ("unchanged", &again)] {
        let memory = fetch.memory.iter().map(|bytes| short(megabytes(*bytes)));
        let memory: Vec<String> = memory.collect();
        table.push(vec![
            what.to_owned(),
            memory.join(", "),
            short(megabytes(fetch.peak_memory)),
        ]);
    }
    println!("{table}");
    let what = format!(
        "memory in fetches of {} progressions",
        short(progressions as f64)
    );
    at_most(bench, &what, megabytes(again.peak_memory), FETCH_MEGABYTES);
    let (early, late) = (megabytes(first.memory[2]), megabytes(first.memory[9]));
    bench.goals.measured(
        "memory at the end of the first load, of that after three tenths",
        (
            format!("{} MB", short(late)),
            format!("{} MB", short(early)),
        ),
        Ratio::once(late / early),
        Wanted::AtMost(FLAT),
    );
    Ok(())
}

fn at_most(bench: &mut Bench, what: &str, megabytes: f64, goal: f64) {
    let sides = (
        format!("{} MB", short(megabytes)),
        format!("{} MB", short(goal)),
    );
    bench.goals.measured(
        what,
        sides,
        Ratio::once(megabytes / goal),
        Wanted::AtMost(1.0),
    );
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

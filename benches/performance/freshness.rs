//! From a change at Kombo over its webhook to the answer of a query.
//!
//! Kombo's own round trips are in it (the webhook, and a request for each page of the delta); the simulator answers
//! at once, and the time of one such request is printed beside.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::fetch::Fetching;
use crate::load::Connection;
use crate::report::{Wanted, short};
use crate::rounds::{Ratio, median};
use crate::simulator::{Simulated, Simulator};
use crate::workloads::Door;
use crate::{Bench, data, mirror, server};

const DATABASE: &str = "freshness";
const PROGRESSIONS: usize = 10_000;
const CHANGES: usize = 100;
const GOAL_MILLISECONDS: f64 = 30.0;

const POLL: Duration = Duration::from_millis(1);
/// A change that nothing shows after so long shows nowhere, such as a provider without courses.
const NOWHERE: Duration = Duration::from_secs(3);

const NEWS: &str = "query ($after: String) {
  recordChanges(first: 1, after: $after) { nodes { komboId } }
}";
const NEWEST: &str = "{ recordChanges(last: 1) { pageInfo { endCursor } } }";

/// Measures some changes, one after the other.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let address = server::free_address()?;
    let simulated = Simulated {
        integrations: 1,
        progressions: PROGRESSIONS,
        webhooks: Some(format!("http://{address}/webhooks/kombo")),
    };
    let simulator = Simulator::start(bench, &simulated)?;
    data::migrated(bench, DATABASE)?;
    let fetching = Fetching::start_at(bench, DATABASE, address, &simulator)?;
    fetching.finish()?;
    let mut door = Door {
        connection: Connection::open(fetching.server.address)?,
        headers: mirror::headers(),
    };
    let changes = if bench.options.quick {
        CHANGES / 4
    } else {
        CHANGES
    };
    let mut latencies = Vec::new();
    let mut nowhere = 0;
    while latencies.len() < changes {
        match change(&fetching, &simulator, &mut door)? {
            Some(latency) => latencies.push(latency.as_secs_f64() * 1e3),
            None => nowhere += 1,
        }
        ensure!(nowhere < changes, "changes do not show");
    }
    let round_trip = round_trip(&simulator)?;
    drop(fetching);
    bench.cluster.drop(DATABASE)?;
    latencies.sort_by(f64::total_cmp);
    let middle = median(latencies.clone());
    println!(
        "\n### Freshness\n\nchange → webhook → delta → GraphQL: median {} ms, 90 % within {} ms, {} changes \
         (and {nowhere} that show nowhere); one request to the simulator takes {} ms",
        short(middle),
        short(latencies[latencies.len() * 9 / 10]),
        latencies.len(),
        short(round_trip),
    );
    bench.goals.measured(
        "change at Kombo to visible in GraphQL, Kombo's round trips included, in ms",
        (format!("{} ms", short(middle)), String::new()),
        Ratio::once(middle),
        Wanted::AtMost(GOAL_MILLISECONDS),
    );
    Ok(())
}

/// One change of any kind, when nothing is under way; `None`: it shows nowhere.
fn change(
    fetching: &Fetching<'_>,
    simulator: &Simulator,
    door: &mut Door,
) -> anyhow::Result<Option<Duration>> {
    let newest = door.ask(&json!({ "query": NEWEST }).to_string())?;
    let after = &newest["recordChanges"]["pageInfo"]["endCursor"];
    let news = json!({ "query": NEWS, "variables": { "after": after } }).to_string();
    let begun = Instant::now();
    simulator.post("/simulator/changes", &json!({ "count": 1 }))?;
    loop {
        let answer = door.ask(&news)?;
        let nodes = answer["recordChanges"]["nodes"].as_array().map(Vec::len);
        let elapsed = begun.elapsed();
        let is_visible = nodes.context("no changes")? > 0;
        if is_visible || elapsed > NOWHERE {
            fetching.quiet()?;
            return Ok(is_visible.then_some(elapsed));
        }
        std::thread::sleep(POLL);
    }
}

/// Milliseconds of one request of the kind that a delta makes.
fn round_trip(simulator: &Simulator) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        let answer: Value = simulator.get("/simulator/clock")?;
        ensure!(answer.is_object(), "an odd clock");
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(times))
}

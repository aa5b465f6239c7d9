//! A first load beside dlt, the usual tool for such a job, from the same simulator.
//!
//! Fewer rows than in the comparison with COPY, since dlt takes long; both load the same.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::fetch::Fetching;
use crate::report::{Wanted, short};
use crate::rounds::Ratio;
use crate::server;
use crate::simulator::{API_KEY, Simulated, Simulator};
use crate::{Bench, data, install};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/dlt");
const PROGRESSIONS: usize = 50_000;
const OURS: &str = "beside_dlt";
const THEIRS: &str = "dlt";

/// How many times dlt's records a second are wanted.
const GOAL: f64 = 10.0;
const GOAL_NAME: &str = "first load, times dlt's records/s";

/// What `load.py` prints.
#[derive(Deserialize)]
struct Loaded {
    seconds: f64,
    records: f64,
}

/// Measures both.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let dir = bench.dir().join("dlt");
    let installed = install::once(SOURCES, &dir, "requirements.txt", || {
        let remedy = "install Python 3 with venv (Debian: apt-get install python3-venv)";
        install::run(&dir, "python3", &["-m", "venv", "venv"], remedy)?;
        let pip = dir.join("venv/bin/pip");
        let arguments = ["install", "--quiet", "--requirement", "requirements.txt"];
        install::run(
            &dir,
            &pip.to_string_lossy(),
            &arguments,
            "PyPI must be reachable",
        )
    });
    if let Err(error) = installed {
        bench
            .goals
            .not_run(GOAL_NAME, &error, Wanted::AtLeast(GOAL));
        return Ok(());
    }
    let simulated = Simulated {
        integrations: 1,
        progressions: PROGRESSIONS.min(bench.options.progressions),
        webhooks: None,
    };
    let simulator = Simulator::start(bench, &simulated)?;
    let mut ratios = Vec::new();
    let mut sides = (String::new(), String::new());
    for _ in 0..bench.options.loads {
        data::migrated(bench, OURS)?;
        let fetching = Fetching::start(bench, OURS, &simulator)?;
        let ours = fetching.finish()?.seconds;
        drop(fetching);
        let theirs = load(bench, &dir, &simulator)?;
        ratios.push(theirs.seconds / ours);
        let rate = |seconds: f64| format!("{} records/s", short(theirs.records / seconds));
        sides = (rate(ours), rate(theirs.seconds));
    }
    bench.cluster.drop(OURS)?;
    bench.cluster.drop(THEIRS)?;
    println!("dlt: {} against ours: {}", sides.1, sides.0);
    bench
        .goals
        .measured(GOAL_NAME, sides, Ratio::of(ratios), Wanted::AtLeast(GOAL));
    Ok(())
}

fn load(bench: &Bench, dir: &Path, simulator: &Simulator) -> anyhow::Result<Loaded> {
    bench.cluster.drop(THEIRS)?;
    bench.cluster.create(THEIRS)?;
    // what dlt remembers of an earlier run would make this one a delta
    let pipelines = dir.join("pipelines");
    let _ = std::fs::remove_dir_all(&pipelines);
    let output = server::command(dir.join("venv/bin/python"))
        .arg(dir.join("load.py"))
        .current_dir(dir)
        .env("KOMBO_API_URL", simulator.api_url())
        .env("KOMBO_API_KEY", API_KEY)
        .env("KOMBO_INTEGRATION_ID", &simulator.integrations[0])
        .env("PIPELINES_DIR", pipelines)
        .env("PGHOST", bench.cluster.socket_dir()?)
        .env("PGDATABASE", THEIRS)
        .env("RUNTIME__DLTHUB_TELEMETRY", "false")
        .output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "dlt failed: {complaint}");
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().last().context("dlt said nothing")?;
    Ok(serde_json::from_str(line)?)
}

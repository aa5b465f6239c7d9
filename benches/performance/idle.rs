//! What a mirror of 1,000 integrations costs while nothing happens.

use std::time::Duration;

use crate::fetch::Fetching;
use crate::machine::{self, Cpu};
use crate::report::{Table, short};
use crate::simulator::{Simulated, Simulator};
use crate::statements::Counting;
use crate::{Bench, data};

const DATABASE: &str = "idle";
const INTEGRATIONS: usize = 1000;
const PROGRESSIONS: usize = 20;
const WATCHED: Duration = Duration::from_secs(60);

/// Watches the server for a minute.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let simulated = Simulated {
        integrations: INTEGRATIONS,
        progressions: PROGRESSIONS,
        webhooks: None,
    };
    let simulator = Simulator::start(bench, &simulated)?;
    data::migrated(bench, DATABASE)?;
    let fetching = Fetching::start(bench, DATABASE, &simulator)?;
    let load = fetching.finish()?;
    fetching.session.run("VACUUM ANALYZE")?;

    let before = Cpu::read(fetching.server.pid(), bench.cluster.pid)?;
    std::thread::sleep(WATCHED);
    let cpu = Cpu::read(fetching.server.pid(), bench.cluster.pid)?.since(before);
    let counting = Counting::start(bench)?;
    let statements = counting.count(1, &mut || {
        std::thread::sleep(WATCHED);
        Ok(())
    })?;
    drop(counting);
    let memory = machine::memory(fetching.server.pid(), "VmRSS:")?;
    drop(fetching);
    bench.cluster.drop(DATABASE)?;

    let title = format!(
        "{} integrations, nothing to do, for a minute",
        short(INTEGRATIONS as f64)
    );
    let head = [
        "statements",
        "server CPU ms",
        "Postgres CPU ms",
        "server MB",
        "the 4 first loads of each took, s",
    ];
    let mut table = Table::new(title, &head);
    table.push(vec![
        statements.to_string(),
        short(cpu.program as f64 / 1e3),
        short(cpu.postgres as f64 / 1e3),
        short(memory as f64 / 1e6),
        short(load.seconds),
    ]);
    println!("{table}");
    Ok(())
}

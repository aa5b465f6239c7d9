//! What a mirror of 1,000 integrations costs while nothing changes at Kombo: with nothing due at all, and with the
//! catch-ups of an hour spread over it, as after some time of service.

use std::time::Duration;

use crate::machine::{self, Cpu};
use crate::report::{Table, short};
use crate::server::{self, Server};
use crate::simulator::{Simulated, Simulator};
use crate::statements::Counting;
use crate::{Bench, data, mirror};

const DATABASE: &str = "idle";
const INTEGRATIONS: usize = 1000;
const PROGRESSIONS: usize = 20;
/// How long is watched, once for the CPU and once for the statements, whose log would cost CPU.
const WATCHED: Duration = Duration::from_secs(30);

/// When catch-ups are due: what lies further ahead than it can is taken for a mistake, in words and in SQL.
const CATCH_UPS: &[(&str, &str)] = &[
    ("nothing due", "now() + interval '50 minutes'"),
    (
        "catch-ups of every hour",
        "now() + random() * interval '1 hour'",
    ),
];

/// Everything was fetched just now.
const FETCHED: &str = "
    INSERT INTO integrations (id, category, state, registered_at, details_due_at)
    SELECT id, 'LMS', 'ACTIVE', now(), now() + interval '1 hour' FROM unnest(string_to_array('{ids}', ',')) id;
    INSERT INTO endpoint_states (integration_id, endpoint, watermark, last_success_at, last_full_fetch_at, next_full_fetch_at)
    SELECT i.id, endpoint, now(), now(), now(), now() + interval '6 days' FROM integrations i
    CROSS JOIN unnest(ARRAY['users', 'skills', 'courses', 'course_progressions']) endpoint;";

/// Watches the server.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let simulated = Simulated {
        integrations: INTEGRATIONS,
        progressions: PROGRESSIONS,
        webhooks: None,
    };
    let simulator = Simulator::start(bench, &simulated)?;
    data::migrated(bench, DATABASE)?;
    let session = bench.cluster.connect(DATABASE)?;
    session.run(&FETCHED.replace("{ids}", &simulator.integrations.join(",")))?;
    session.run("VACUUM ANALYZE")?;

    let title = format!("{} integrations and no news", short(INTEGRATIONS as f64));
    let head = [
        "",
        "statements a minute",
        "runs a minute",
        "server CPU ms a minute",
        "Postgres CPU ms a minute",
        "server MB",
    ];
    let mut table = Table::new(title, &head);
    for (what, due) in CATCH_UPS {
        session.run(&format!(
            "UPDATE endpoint_states SET next_catch_up_at = {due}"
        ))?;
        let server = mirror::serve_all(bench, DATABASE, server::free_address()?, &simulator)?;
        let mut row = vec![(*what).to_owned()];
        row.extend(watch(bench, &server, &|| {
            session.number("SELECT count(*) FROM sync_runs")
        })?);
        table.push(row);
    }
    println!("{table}");
    drop(session);
    bench.cluster.drop(DATABASE)
}

fn watch(
    bench: &Bench,
    server: &Server,
    runs: &dyn Fn() -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<String>> {
    // what a start does is no idleness
    std::thread::sleep(WATCHED / 6);
    let (before, runs_before) = (Cpu::read(server.pid(), bench.cluster.pid)?, runs()?);
    std::thread::sleep(WATCHED);
    let cpu = Cpu::read(server.pid(), bench.cluster.pid)?.since(before);
    let runs = runs()? - runs_before;
    let counting = Counting::start(bench)?;
    let statements = counting.count(1, &mut || {
        std::thread::sleep(WATCHED);
        Ok(())
    })?;
    drop(counting);
    let minute = |number: f64| short(number * 60.0 / WATCHED.as_secs_f64());
    Ok(vec![
        minute(statements as f64),
        minute(runs),
        minute(cpu.program as f64 / 1e3),
        minute(cpu.postgres as f64 / 1e3),
        short(machine::memory(server.pid(), "VmRSS:")? as f64 / 1e6),
    ])
}

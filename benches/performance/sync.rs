//! The sync against `COPY` of the same rows into the same tables with the same indexes.
//!
//! First a load into an empty mirror with everything on (marks, change feed, run records), then the same once more
//! when nothing has changed. `COPY` is what Postgres can do at best with one connection.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::fetch::{Fetch, Fetching, TABLES};
use crate::machine::Cpu;
use crate::report::{Table, Wanted, short};
use crate::rounds::Ratio;
use crate::simulator::{Simulated, Simulator};
use crate::{Bench, data};

const DATABASE: &str = "sync";
const COPIED: &str = "copied";

/// Least share of COPY's rows a second.
const LOAD: f64 = 0.35;
/// How much faster the same again must be.
const AGAIN: f64 = 1.5;
/// Most WAL of the same again, as a share of the first's.
const WAL: f64 = 0.02;

/// A load, the same again, and a COPY, one after the other.
struct Round {
    rows: f64,
    first: Fetch,
    again: Fetch,
    copied: Copied,
}

struct Copied {
    seconds: f64,
    wal: f64,
    /// Microseconds of Postgres.
    cpu: u64,
}

/// Measures both.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let progressions = bench.options.progressions;
    let simulator = Simulator::start(
        bench,
        &Simulated {
            integrations: 1,
            progressions,
            webhooks: None,
        },
    )?;
    let mut rounds = Vec::new();
    for _ in 0..bench.options.loads {
        rounds.push(round(bench, &simulator)?);
    }
    println!("{}", table(progressions, &rounds));
    report(bench, &rounds);
    bench.cluster.drop(DATABASE)?;
    bench.cluster.drop(COPIED)
}

fn round(bench: &Bench, simulator: &Simulator) -> anyhow::Result<Round> {
    data::migrated(bench, DATABASE)?;
    let mut fetching = Fetching::start(bench, DATABASE, simulator)?;
    let first = fetching.finish().context("the first load")?;
    let rows = fetching.rows()?;
    fetching.again()?;
    let again = fetching.finish().context("the same again")?;
    let folder = bench.dir().join("copied");
    // the server has ended when the copying begins
    drop(fetching);
    dump(bench, &folder)?;
    let copied = copy(bench, &folder)?;
    Ok(Round {
        rows,
        first,
        again,
        copied,
    })
}

fn dump(bench: &Bench, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    psql(
        bench,
        DATABASE,
        folder,
        "(SELECT * FROM {t} ORDER BY 1, 2) TO",
    )
}

fn copy(bench: &Bench, folder: &Path) -> anyhow::Result<Copied> {
    data::migrated(bench, COPIED)?;
    let session = bench.cluster.connect(COPIED)?;
    session.run("CHECKPOINT")?;
    let wal = || session.number("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')");
    let cpu = || Cpu::read(std::process::id(), bench.cluster.pid);
    let (before, cpu_before) = (wal()?, cpu()?);
    let begun = Instant::now();
    psql(bench, COPIED, folder, "{t} FROM")?;
    Ok(Copied {
        seconds: begun.elapsed().as_secs_f64(),
        wal: wal()? - before,
        cpu: cpu()?.since(cpu_before).postgres,
    })
}

/// One `\copy` for each table, all in one session.
fn psql(bench: &Bench, database: &str, folder: &Path, what: &str) -> anyhow::Result<()> {
    let mut script = String::new();
    for table in TABLES {
        let file = folder.join(table);
        let what = what.replace("{t}", table);
        writeln!(script, "\\copy {what} '{}'", file.display())?;
    }
    let path = folder.join("script.sql");
    std::fs::write(&path, script)?;
    let output = Command::new(bench.cluster.program("psql")?)
        .args([
            "--quiet",
            "--no-psqlrc",
            "--set",
            "ON_ERROR_STOP=1",
            "--file",
        ])
        .arg(&path)
        .arg(bench.cluster.url(database))
        .output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "psql failed: {complaint}");
    Ok(())
}

fn table(progressions: usize, rounds: &[Round]) -> Table {
    let head = [
        "what",
        "seconds",
        "rows/s",
        "WAL MB",
        "server CPU s",
        "Postgres CPU s",
        "simulator CPU s",
        "transactions a page",
        "peak MB",
    ];
    let title = format!(
        "Sync of {} progressions with users and courses",
        short(progressions as f64)
    );
    let mut table = Table::new(title, &head);
    for round in rounds {
        let pages = round.rows / 250.0;
        for (what, fetch) in [
            ("first load", &round.first),
            ("the same again", &round.again),
        ] {
            table.push(vec![
                what.to_owned(),
                short(fetch.seconds),
                short(round.rows / fetch.seconds),
                short(fetch.wal / 1e6),
                short(fetch.cpu.program as f64 / 1e6),
                short(fetch.cpu.postgres as f64 / 1e6),
                short(fetch.simulator as f64 / 1e6),
                short(fetch.transactions / pages),
                short(fetch.peak_memory as f64 / 1e6),
            ]);
        }
        let copied = &round.copied;
        let mut row = vec![
            "COPY".to_owned(),
            short(copied.seconds),
            short(round.rows / copied.seconds),
            short(copied.wal / 1e6),
            String::new(),
            short(copied.cpu as f64 / 1e6),
        ];
        row.resize(head.len(), String::new());
        table.push(row);
    }
    table
}

fn report(bench: &mut Bench, rounds: &[Round]) {
    let Some(last) = rounds.last() else {
        return;
    };
    let ratio = |of: &dyn Fn(&Round) -> f64| Ratio::of(rounds.iter().map(of).collect());
    let rate = |seconds: f64| format!("{} rows/s", short(last.rows / seconds));
    bench.goals.measured(
        "first load, of COPY's rows/s",
        (rate(last.first.seconds), rate(last.copied.seconds)),
        ratio(&|round| round.copied.seconds / round.first.seconds),
        Wanted::AtLeast(LOAD),
    );
    bench.goals.measured(
        "the same again unchanged, times as fast",
        (rate(last.again.seconds), rate(last.first.seconds)),
        ratio(&|round| round.first.seconds / round.again.seconds),
        Wanted::AtLeast(AGAIN),
    );
    let megabytes = |bytes: f64| format!("{} MB", short(bytes / 1e6));
    bench.goals.measured(
        "its WAL, of the first load's",
        (megabytes(last.again.wal), megabytes(last.first.wal)),
        ratio(&|round| round.again.wal / round.first.wal),
        Wanted::AtMost(WAL),
    );
}

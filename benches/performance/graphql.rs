//! GraphQL over HTTP against pgbench with the same answers.

use anyhow::Context as _;

use crate::load::{self, Connection};
use crate::machine::{self, Cpu};
use crate::pgbench::Pgbench;
use crate::report::{Table, Wanted, noise, short};
use crate::rounds::{Compared, cpu_per_unit, typical};
use crate::server::Server;
use crate::workloads::{self, Asked, Door, Words, Workload};
use crate::{Bench, answers, data, mirror};

/// How many answers are compared with those of the statement before anything is timed.
const COMPARED_ANSWERS: usize = 5;

/// At other numbers of connections a goal may be missed by so much.
const ELSEWHERE: f64 = 0.75;

/// The connections that the goals are about.
const GOAL_CONNECTIONS: usize = 16;

/// Measures every workload.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let database = data::rows(bench)?;
    let server = mirror::serve_api(bench, &database)?;
    let head = [
        "work",
        "connections",
        "requests/s",
        "pgbench/s",
        "ratio",
        "noise",
        "p50 ms",
        "p99 ms",
        "server µs",
        "Postgres µs",
        "its µs for pgbench",
        "statements",
    ];
    let title = "GraphQL against pgbench (CPU time is of one request)";
    let mut table = Table::new(title, &head);
    for workload in workloads::all() {
        if workload.name.contains(&bench.options.only) {
            one(bench, &database, &server, &workload, &mut table)
                .with_context(|| format!("measuring {}", workload.name))?;
        }
    }
    println!("{table}");
    let peak = machine::memory(server.pid(), "VmHWM:")? as f64 / 1e6;
    println!("peak memory of the server: {} MB", short(peak));
    Ok(())
}

fn one(
    bench: &mut Bench,
    database: &str,
    server: &Server,
    workload: &Workload,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut door = Door {
        connection: Connection::open(server.address)?,
        headers: mirror::headers(),
    };
    let session = bench.cluster.connect(database)?;
    let asked = workload.asked(&mut door, Words::Ours, &session)?;
    for one in asked.iter().take(COMPARED_ANSWERS) {
        let theirs = session.text(&workload.statement(one.number))?;
        answers::equal(door.ask(&one.body)?, serde_json::from_str(&theirs)?)?;
    }
    let mut next = asked.iter().cycle();
    let statements = bench.count_statements(|| {
        // a cycle has no end
        next.next()
            .map_or(Ok(()), |one| door.ask(&one.body).map(drop))
    })?;
    for connections in bench.options.connections.clone() {
        let compared = rounds(bench, database, server, workload, &asked, connections)?;
        report(bench, table, workload, connections, &compared, statements);
    }
    Ok(())
}

fn rounds(
    bench: &Bench,
    database: &str,
    server: &Server,
    workload: &Workload,
    asked: &[Asked],
    connections: usize,
) -> anyhow::Result<Compared> {
    let script = bench.dir().join("script.sql");
    // pgbench ends a statement at a semicolon, and so do the files
    std::fs::write(&script, workload.script)?;
    let program = bench.cluster.program("pgbench")?;
    let pgbench = Pgbench {
        program: &program,
        url: &bench.cluster.url(database),
        script,
    };
    let requests = workload.requests(asked, &mirror::headers());
    // the first requests open connections and prepare statements
    load::run(server.address, &requests, connections, bench.round() / 3)?;
    let cpu = || Cpu::read(server.pid(), bench.cluster.pid);
    let reference = || {
        let before = cpu()?;
        let outcome = pgbench.run(connections, bench.options.seconds)?;
        Ok(outcome.round(cpu()?.since(before)))
    };
    let ours = || {
        let before = cpu()?;
        let outcome = load::run(server.address, &requests, connections, bench.round())?;
        Ok(outcome.round(cpu()?.since(before)))
    };
    Compared::alternate(bench.options.pairs, reference, ours)
}

fn report(
    bench: &mut Bench,
    table: &mut Table,
    workload: &Workload,
    connections: usize,
    compared: &Compared,
    statements: f64,
) {
    let ratio = compared.ratio();
    let ours = short(typical(&compared.ours, |round| round.per_second));
    let reference = short(typical(&compared.reference, |round| round.per_second));
    let row = vec![
        workload.name.to_owned(),
        connections.to_string(),
        ours.clone(),
        reference.clone(),
        short(ratio.median),
        noise(ratio),
        short(typical(&compared.ours, |round| round.latency)),
        short(typical(&compared.ours, |round| round.worst)),
        short(cpu_per_unit(&compared.ours, |cpu| cpu.program)),
        short(cpu_per_unit(&compared.ours, |cpu| cpu.postgres)),
        short(cpu_per_unit(&compared.reference, |cpu| cpu.postgres)),
        short(statements),
    ];
    println!("{}", row.join(" | "));
    table.push(row);
    let goal = if connections == GOAL_CONNECTIONS {
        workload.goal
    } else {
        workload.goal * ELSEWHERE
    };
    let what = format!("{}, {connections} connections", workload.name);
    let sides = (format!("{ours}/s"), format!("{reference}/s"));
    bench
        .goals
        .measured(what, sides, ratio, Wanted::AtLeast(goal));
}

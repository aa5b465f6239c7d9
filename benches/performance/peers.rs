//! GraphQL beside the servers that one would take instead: PostGraphile, and one written by hand for Node.
//!
//! They are installed from npm in pinned versions, with the Node.js that they run on. Each runs with one process and
//! with two; the better counts for each query. The rounds of all follow one another.

use std::path::Path;

use anyhow::Context as _;

use crate::load::{self, Connection, Requests};
use crate::machine::Cpu;
use crate::mirror::{self, TOKEN};
use crate::report::{Table, Wanted, noise, short};
use crate::rounds::{Compared, Round, cpu_per_unit, typical};
use crate::server::{self, Server};
use crate::workloads::{self, Door, Words, Workload};
use crate::{Bench, answers, data, install};

/// Where the peers' sources are.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");

/// What is added to the tables for PostGraphile.
const ADDED: &str = include_str!("../peers/postgraphile/peers.sql");

const CONNECTIONS: usize = 16;

/// How many answers are compared before anything is timed.
const COMPARED_ANSWERS: usize = 3;

/// A server that is measured.
struct Peer {
    name: String,
    words: Words,
    server: Server,
}

/// A peer's requests of a workload, and its rounds.
struct Run<'p> {
    peer: &'p Peer,
    requests: Requests,
    rounds: Vec<Round>,
}

/// Measures every workload.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    match prepare(bench) {
        Ok((database, peers)) => compare_all(bench, &database, &peers),
        Err(error) => {
            for workload in workloads::all() {
                let wanted = Wanted::AtLeast(workload.goal_beside_peers);
                let what = format!("{}, times the best peer", workload.name);
                bench.goals.not_run(what, &error, wanted);
            }
            Ok(())
        }
    }
}

fn prepare(bench: &Bench) -> anyhow::Result<(String, Vec<Peer>)> {
    let dir = bench.dir().join("peers");
    let installed = install::once(SOURCES, &dir, "package-lock.json", || {
        let remedy = "install Node.js with npm (Debian: apt-get install nodejs npm)";
        install::run(&dir, "npm", &["ci", "--no-audit", "--no-fund"], remedy)
    })?;
    let rows = data::rows(bench)?;
    let database = "peers".to_owned();
    bench.cluster.drop(&database)?;
    bench.cluster.copy(&rows, &database)?;
    let session = bench.cluster.connect(&database)?;
    session.run(ADDED)?;
    session.run("ANALYZE course_progressions")?;
    let mut peers = vec![Peer {
        name: "ours".to_owned(),
        words: Words::Ours,
        server: mirror::serve_api(bench, &database)?,
    }];
    for (name, folder, words) in [
        ("Node by hand", "node", Words::Ours),
        ("PostGraphile", "postgraphile", Words::Postgraphile),
    ] {
        for processes in [1, 2] {
            peers.push(Peer {
                name: format!(
                    "{name}, {processes} {}",
                    if processes == 1 {
                        "process"
                    } else {
                        "processes"
                    }
                ),
                words,
                server: serve(bench, &installed, folder, processes, &database)?,
            });
        }
    }
    Ok((database, peers))
}

fn serve(
    bench: &Bench,
    installed: &Path,
    folder: &str,
    processes: u32,
    database: &str,
) -> anyhow::Result<Server> {
    let address = server::free_address()?;
    let pinned = installed.join("node_modules/.bin/node");
    // an npm that runs no install scripts leaves the machine's own
    let node = if pinned.exists() {
        pinned
    } else {
        "node".into()
    };
    let mut command = server::command(node);
    command
        .arg(installed.join(folder).join("server.mjs"))
        .env("NODE_ENV", "production")
        .env("GRAPHILE_ENV", "production")
        .env("DATABASE_URL", bench.cluster.url(database))
        .env("LISTEN_ADDR", address.to_string())
        .env("PROCESSES", processes.to_string())
        .env("INTEGRATION_ID", data::INTEGRATION)
        .env("TOKEN", TOKEN);
    let log = bench.dir().join(format!("{folder}-{processes}.log"));
    Server::start(&mut command, address, &load::listens, &log)
}

fn compare_all(bench: &mut Bench, database: &str, peers: &[Peer]) -> anyhow::Result<()> {
    let head = [
        "work",
        "server",
        "requests/s",
        "ours is … times as fast",
        "noise",
        "p50 ms",
        "p99 ms",
        "server µs",
        "Postgres µs",
    ];
    let title =
        format!("GraphQL beside peers, {CONNECTIONS} connections (CPU time is of one request)");
    let mut table = Table::new(title, &head);
    for workload in workloads::all() {
        if workload.name.contains(&bench.options.only) {
            compare(bench, database, peers, &workload, &mut table)
                .with_context(|| format!("measuring {}", workload.name))?;
        }
    }
    println!("{table}");
    Ok(())
}

fn compare(
    bench: &mut Bench,
    database: &str,
    peers: &[Peer],
    workload: &Workload,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    let mut expected = Vec::new();
    let session = bench.cluster.connect(database)?;
    for peer in peers {
        let mut door = Door {
            connection: Connection::open(peer.server.address)?,
            headers: mirror::headers(),
        };
        let asked = workload.asked(&mut door, peer.words, &session)?;
        for (place, one) in asked.iter().take(COMPARED_ANSWERS).enumerate() {
            let answer = door.ask(&one.body).with_context(|| peer.name.clone())?;
            match (expected.get(place), peer.words) {
                (None, _) => expected.push(answer),
                (Some(ours), Words::Ours) => answers::equal(ours.clone(), answer)?,
                (Some(ours), Words::Postgraphile) => answers::same_records(ours, &answer)?,
            }
        }
        runs.push(Run {
            peer,
            requests: workload.requests(&asked, &mirror::headers()),
            rounds: Vec::new(),
        });
    }
    for run in &runs {
        // the compilers of Node need some time
        load::run(
            run.peer.server.address,
            &run.requests,
            CONNECTIONS,
            bench.round(),
        )?;
    }
    for _ in 0..bench.options.pairs {
        for run in &mut runs {
            let round = round(bench, run)?;
            run.rounds.push(round);
        }
    }
    report(bench, table, workload, &runs);
    Ok(())
}

fn round(bench: &Bench, run: &Run<'_>) -> anyhow::Result<Round> {
    let server = &run.peer.server;
    let before = Cpu::read(server.pid(), bench.cluster.pid)?;
    let outcome = load::run(server.address, &run.requests, CONNECTIONS, bench.round())?;
    let cpu = Cpu::read(server.pid(), bench.cluster.pid)?.since(before);
    Ok(outcome.round(cpu))
}

fn report(bench: &mut Bench, table: &mut Table, workload: &Workload, runs: &[Run<'_>]) {
    let rate = |run: &Run<'_>| typical(&run.rounds, |round| round.per_second);
    let Some((ours, others)) = runs.split_first() else {
        return;
    };
    let beside = |other: &Run<'_>| {
        let compared = Compared {
            reference: other.rounds.clone(),
            ours: ours.rounds.clone(),
        };
        compared.ratio()
    };
    for run in runs {
        let ratio = beside(run);
        let row = vec![
            workload.name.to_owned(),
            run.peer.name.clone(),
            short(rate(run)),
            short(ratio.median),
            noise(ratio),
            short(typical(&run.rounds, |round| round.latency)),
            short(typical(&run.rounds, |round| round.worst)),
            short(cpu_per_unit(&run.rounds, |cpu| cpu.program)),
            short(cpu_per_unit(&run.rounds, |cpu| cpu.postgres)),
        ];
        println!("{}", row.join(" | "));
        table.push(row);
    }
    let best = others.iter().max_by(|a, b| rate(a).total_cmp(&rate(b)));
    if let Some(best) = best {
        bench.goals.measured(
            format!("{}, times the best peer", workload.name),
            (
                format!("{}/s", short(rate(ours))),
                format!("{}/s ({})", short(rate(best)), best.peer.name),
            ),
            beside(best),
            Wanted::AtLeast(workload.goal_beside_peers),
        );
    }
}

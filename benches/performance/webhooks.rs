//! Webhooks accepted, which is: checked, stored durably with what follows from them, and answered; against pgbench
//! committing the same two inserts.
//!
//! Both write to the same tables of one database: 1,000 integrations, each with a run that waits already, as when
//! webhooks come faster than runs are worked on.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use crate::load::{self, Connection, Requests, Source};
use crate::machine::Cpu;
use crate::mirror::{self, SECRET};
use crate::pgbench::Pgbench;
use crate::report::{Table, Wanted, noise, short};
use crate::rounds::{Compared, Round, cpu_per_unit, typical};
use crate::server::Server;
use crate::{Bench, data};

const DATABASE: &str = "webhooks";
const SCRIPT: &str = include_str!("webhooks.sql");
const INTEGRATIONS: u64 = 1000;
const CONNECTIONS: usize = 16;
const GOAL: f64 = 0.6;

/// Measures both.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    data::migrated(bench, DATABASE)?;
    let server = mirror::serve_api(bench, DATABASE)?;
    let session = bench.cluster.connect(DATABASE)?;
    let ids = session.texts(&format!(
        "SELECT substr(md5('integration' || n), 1, 24) FROM generate_series(1, {INTEGRATIONS}) n"
    ))?;
    let requests = Requests {
        source: Source::fresh(move |number| {
            let integration = &ids[(number % INTEGRATIONS) as usize];
            signed(number, integration)
        }),
        mark: String::new(),
        marks: None,
    };
    let mut connection = Connection::open(server.address)?;
    for _ in 0..INTEGRATIONS {
        let answer = connection.exchange(&requests.source.next())?;
        ensure!(answer.status == 200, "a webhook was refused");
    }
    let wal = || session.number("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')");
    let before = wal()?;
    let events =
        || session.number("SELECT count(*) FROM webhook_events WHERE outcome <> 'IGNORED'");
    let stored = events()?;
    let compared = rounds(bench, &server, &requests)?;
    let written = wal()? - before;
    let units = |rounds: &[Round]| rounds.iter().map(|round| round.units).sum::<u64>() as f64;
    let both = units(&compared.ours) + units(&compared.reference);
    let kept = events()? - stored;
    ensure!(
        kept >= both,
        "{both} webhooks were answered, {kept} are stored"
    );
    let statements =
        bench.count_statements(|| connection.exchange(&requests.source.next()).map(drop))?;
    drop((server, session));
    report(bench, &compared, written / both, statements);
    bench.cluster.drop(DATABASE)
}

/// A webhook like Kombo's, with an id of its own.
fn signed(number: u64, integration: &str) -> Vec<u8> {
    let body = json!({
        "id": format!("{number:024x}"),
        "type": "data-changed",
        "data": {
            "integration_id": format!("sandbox:{integration}"),
            "integration_tool": "sandbox",
            "integration_category": "LMS",
            "changed_models": [{ "name": "lms_users" }],
        },
    });
    let body = body.to_string();
    let mut headers = String::new();
    // a key of any length is good
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) {
        mac.update(body.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        // writing to a string cannot fail
        let _ = write!(headers, "X-Kombo-Signature: {signature}\r\n");
    }
    load::post("/webhooks/kombo", &headers, &body)
}

fn rounds(bench: &Bench, server: &Server, requests: &Requests) -> anyhow::Result<Compared> {
    let script = bench.dir().join("webhooks.sql");
    std::fs::write(&script, SCRIPT)?;
    let program = bench.cluster.program("pgbench")?;
    let pgbench = Pgbench {
        program: &program,
        url: &bench.cluster.url(DATABASE),
        script,
    };
    let cpu = || Cpu::read(server.pid(), bench.cluster.pid);
    let reference = || {
        let before = cpu()?;
        let outcome = pgbench.run(CONNECTIONS, bench.options.seconds)?;
        Ok(outcome.round(cpu()?.since(before)))
    };
    let ours = || {
        let before = cpu()?;
        let outcome = load::run(server.address, requests, CONNECTIONS, bench.round())
            .context("sending webhooks")?;
        Ok(outcome.round(cpu()?.since(before)))
    };
    Compared::alternate(bench.options.pairs, reference, ours)
}

fn report(bench: &mut Bench, compared: &Compared, wal: f64, statements: f64) {
    let ratio = compared.ratio();
    let head = [
        "webhooks/s",
        "pgbench/s",
        "ratio",
        "noise",
        "p50 ms",
        "p99 ms",
        "server µs",
        "Postgres µs",
        "its µs for pgbench",
        "statements",
        "WAL bytes of both",
    ];
    let title = format!("Webhooks accepted, {CONNECTIONS} connections (of one webhook)");
    let mut table = Table::new(title, &head);
    let ours = short(typical(&compared.ours, |round| round.per_second));
    let reference = short(typical(&compared.reference, |round| round.per_second));
    table.push(vec![
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
        short(wal),
    ]);
    println!("{table}");
    let sides = (format!("{ours}/s"), format!("{reference}/s"));
    let what = "webhooks accepted, of pgbench's commits";
    bench
        .goals
        .measured(what, sides, ratio, Wanted::AtLeast(GOAL));
}

//! The rows that queries are measured on: made once, kept between runs.

use std::process::Command;

use anyhow::ensure;

use crate::Bench;

/// The only integration.
pub(crate) const INTEGRATION: &str = "moodle:7C9M5sVtQx2LbNfKpWdYhRzA";

const ROWS: &str = include_str!("data.sql");

/// Everything that decides what a migrated database is: its columns, indexes and functions.
const SHAPE: &str = "SELECT md5(string_agg(part, E'\\n' ORDER BY part)) FROM (
    SELECT table_name || ' ' || column_name || ' ' || data_type FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal) AS parts (part)";

/// A database of 500,000 progressions, migrated by the server that is measured; returns its name.
pub(crate) fn rows(bench: &Bench) -> anyhow::Result<String> {
    let cluster = &bench.cluster;
    migrated(bench, "empty")?;
    let shape = cluster.connect("empty")?.text(SHAPE)?;
    let rows = cluster
        .connect("empty")?
        .text(&format!("SELECT md5($rows${ROWS}$rows$)"))?;
    let name = format!("rows_{}_{}", &shape[..8], &rows[..8]);
    let postgres = cluster.connect("postgres")?;
    let others = postgres.texts("SELECT datname FROM pg_database WHERE datname LIKE 'rows\\_%'")?;
    if others.contains(&name) {
        return Ok(name);
    }
    for other in others {
        cluster.drop(&other)?;
    }
    println!("making 500 000 progressions, once");
    // under another name until it is whole
    migrated(bench, "filling")?;
    let session = cluster.connect("filling")?;
    session.run(ROWS)?;
    session.run("VACUUM (ANALYZE, FREEZE)")?;
    session.run("CHECKPOINT")?;
    drop(session);
    postgres.run(&format!("ALTER DATABASE filling RENAME TO {name}"))?;
    Ok(name)
}

/// An empty database with the tables of the server that is measured.
pub(crate) fn migrated(bench: &Bench, name: &str) -> anyhow::Result<()> {
    bench.cluster.drop(name)?;
    bench.cluster.create(name)?;
    let output = Command::new(&bench.options.server)
        .arg("migrate")
        .env("DATABASE_URL", bench.cluster.url(name))
        .output()?;
    ensure!(
        output.status.success(),
        "the server cannot migrate: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

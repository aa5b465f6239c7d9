use diesel_async::SimpleAsyncConnection as _;
use kombo_mirror::db;

use super::Scrape;
use crate::http::{get, routes, send};
use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::look::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_a_process_still_tells_what_it_counts() {
    let app = TestApp::loaded().await;
    assert_eq!(app.scrape().await.value("database_up", &[]), 1.0);
    let pool = db::pool(&"postgres://nobody@127.0.0.1:1/x".into(), 1).expect("a pool");
    let gone = routes(&app, |app| app.engine.pool = pool);
    let answer = send(gone, get("/metrics", None)).await;
    assert_eq!(answer.status, 200);
    let scrape = Scrape::read(&answer.text);
    assert_eq!(scrape.value("database_up", &[]), 0.0);
    assert_eq!(scrape.get("lag_seconds", &[]), None);
    assert!(scrape.value("runs_total", &[]) > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pools_tell_who_holds_connections_and_who_waits() {
    let app = TestApp::start().await;
    let pool = db::pool(&app.database_url(), 1).expect("a pool");
    let held = pool.get().await.expect("a connection");
    let waiter = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get().await.is_ok() }
    });
    let look = async || {
        let routes = routes(&app, |app| app.engine.pool = pool.clone());
        Scrape::read(&send(routes, get("/metrics", None)).await.text)
    };
    let write = ("pool", "write");
    eventually("somebody waits", async || pool.status().waiting > 0).await;
    let scrape = look().await;
    assert_eq!(scrape.value("pool_waiting", &[write]), 1.0);
    assert_eq!(scrape.value("pool_connections_limit", &[write]), 1.0);
    let in_use = [write, ("state", "in_use")];
    assert_eq!(scrape.value("pool_connections", &in_use), 1.0);
    // all are in use, so the tables could not be asked
    assert_eq!(scrape.value("database_up", &[]), 0.0);
    drop(held);
    assert!(waiter.await.expect("it ends"));
    let scrape = look().await;
    assert_eq!(scrape.value("pool_waiting", &[write]), 0.0);
    let idle = [write, ("state", "idle")];
    assert_eq!(scrape.value("pool_connections", &idle), 1.0);
    assert_eq!(scrape.value("database_up", &[]), 1.0);
    app.query("{ users { totalCount } }").await;
    let read = [("pool", "read"), ("state", "idle")];
    assert_eq!(app.scrape().await.value("pool_connections", &read), 1.0);
    let pools = app.scrape().await.values_of("pool_waiting", "pool");
    assert_eq!(
        Vec::from_iter(pools),
        ["intake", "read", "read_shared", "write"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_build_is_named() {
    let app = TestApp::start().await;
    let scrape = app.scrape().await;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(scrape.value("build_info", &version), 1.0);
    assert_eq!(scrape.values_of("build_info", "commit").len(), 1);
}

const THOUSAND_INTEGRATIONS: &str = "
    INSERT INTO integrations (id, registered_at, details_due_at)
      SELECT 'sandbox:' || n, 'epoch', 'epoch' FROM generate_series(1, 1000) n;
    INSERT INTO endpoint_states (integration_id, endpoint, watermark, last_success_at, last_full_fetch_at)
      SELECT 'sandbox:' || n, e, now(), now(), now() FROM generate_series(1, 1000) n,
        unnest(ARRAY['users', 'skills', 'courses', 'course_progressions']) e;
    INSERT INTO sync_runs (integration_id, endpoint, mode, trigger, lane, status, queued_at, available_at, finished_at)
      SELECT 'sandbox:' || (n % 1000 + 1), 'users', 'DELTA', 'WEBHOOK', 0, 'SUCCEEDED', now(), now(), now()
      FROM generate_series(1, 200000) n;
    INSERT INTO sync_runs (integration_id, endpoint, mode, trigger, lane, status, queued_at, available_at)
      SELECT 'sandbox:' || n, 'users', 'DELTA', 'WEBHOOK', 0, 'QUEUED', now(), now() FROM generate_series(1, 1000) n;
    ANALYZE";

// as many as one mirror is expected to hold, with a long history of runs
#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_of_a_thousand_integrations_reads_no_history() {
    let app = TestApp::with(Setup {
        register: false,
        ..Setup::default()
    })
    .await;
    let mut connection = app.database().await;
    connection
        .batch_execute(THOUSAND_INTEGRATIONS)
        .await
        .expect("they are there");
    drop(connection);
    // by the same connection, whose statistics are told before the next statement of it ends
    app.engine.pool.resize(1);
    let reads = async || {
        app.sql("SELECT pg_stat_force_next_flush()").await;
        app.count(
            "SELECT seq_tup_read AS count FROM pg_stat_user_tables WHERE relname = 'sync_runs'",
        )
        .await
    };
    let before = reads().await;
    let scrape = app.scrape().await;
    assert_eq!(reads().await, before, "rows of the history were read");
    assert_eq!(scrape.values_of("lag_seconds", "integration").len(), 1000);
    assert_eq!(scrape.value("queue_due_runs", &[("lane", "news")]), 1000.0);
    app.sql("SELECT count(reasons) FROM sync_runs").await;
    assert!(reads().await > before, "reading it would have been seen");
}

//! Runs, events and marks that are old.

use chrono::TimeDelta;
use kombo_mirror::models::Mode;
use kombo_mirror::retention::Removed;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind};
use serde_json::json;

use super::{DAY, HOUR};
use crate::support::TestApp;
use crate::support::look::text;

// Rule 15: due times live in Postgres.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_replicas_one_removes_and_only_every_hour() {
    let app = TestApp::loaded().await;
    let now = app.simulator.now();
    let took = async |now| {
        let keeper = app.keeper();
        let looks = (0..8).map(|_| keeper.look(now));
        let looks = futures_util::future::join_all(looks).await;
        let took = looks
            .into_iter()
            .filter(|look| look.as_ref().expect("the database works").is_some());
        took.count()
    };
    assert_eq!(took(now).await, 1);
    assert_eq!(took(now + TimeDelta::minutes(59)).await, 0);
    assert_eq!(took(now + TimeDelta::minutes(60)).await, 1);
}

// Rule 8: the newest run that wrote rows says as of when, and stays.
#[tokio::test(flavor = "multi_thread")]
async fn old_runs_and_events_go_and_the_newest_run_of_each_endpoint_stays() {
    let app = TestApp::loaded().await;
    for _ in 0..3 {
        app.simulator.change(20);
        app.settle().await;
    }
    let runs = "SELECT count(*) AS count FROM sync_runs";
    let events = "SELECT count(*) AS count FROM webhook_events";
    let [all, received] = [app.count(runs).await, app.count(events).await];
    assert!(all > 8 && received > 2);
    app.remove_after(89 * DAY).await;
    assert_eq!(
        [app.count(runs).await, app.count(events).await],
        [all, received]
    );
    app.enqueue(&app.integration(), "users", Mode::Delta).await;
    app.remove_after(2 * DAY).await;
    assert_eq!(app.count(events).await, 0);
    let left = app
        .rows("SELECT endpoint, status FROM sync_runs ORDER BY endpoint, id")
        .await;
    let run = |endpoint: &str, status: &str| json!({ "endpoint": endpoint, "status": status });
    assert_eq!(
        left,
        [
            run("course_progressions", "SUCCEEDED"),
            run("courses", "SUCCEEDED"),
            run("skills", "SUCCEEDED"),
            run("users", "SUCCEEDED"),
            run("users", "QUEUED"),
        ]
    );
    assert_eq!(app.remove_after(HOUR).await, Removed::default(), "once");
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 11, F37: what waits for an approval can be approved however long it waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_removals_wait_for_approval_stays() {
    let app = TestApp::loaded().await;
    let fault = Fault::once(FaultKind::EmptyList).on(Endpoint::Users);
    app.simulator.inject(fault);
    let run = app.fetch("users", Mode::Full).await;
    app.fetch("users", Mode::Delta).await;
    app.remove_after(91 * DAY).await;
    let id = &run["id"];
    assert_eq!(
        app.count(&format!(
            "SELECT count(*) AS count FROM sync_runs WHERE id = {id}"
        ))
        .await,
        1
    );
}

// Rule 8: a newer run that failed before its first page says nothing of when rows were observed.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_run_that_wrote_rows_stays_behind_newer_ones_that_did_not() {
    let app = TestApp::loaded().await;
    let runs = "SELECT status FROM sync_runs WHERE endpoint = 'users' ORDER BY id";
    for _ in 0..2 {
        app.enqueue(&app.integration(), "users", Mode::Delta).await;
        let now = app.simulator.now();
        app.sql(&format!(
            "UPDATE sync_runs SET status = 'CANCELLED', finished_at = '{now}' WHERE status = 'QUEUED'"
        ))
        .await;
    }
    assert_eq!(app.rows(runs).await.len(), 3);
    app.remove_after(91 * DAY).await;
    let left = app.rows(runs).await;
    let left: Vec<String> = left.iter().map(|row| text(&row["status"])).collect();
    assert_eq!(left, ["SUCCEEDED", "CANCELLED"]);
}

// Rule 6, F18: marks of a run that is working decide what is absent at its end.
#[tokio::test(flavor = "multi_thread")]
async fn marks_go_when_their_run_no_longer_works() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    app.leave_traces(&integration).await;
    app.enqueue(&integration, "users", Mode::Full).await;
    app.sql("UPDATE sync_runs SET status = 'RUNNING', lease_until = NULL WHERE status = 'QUEUED'")
        .await;
    app.sql(
        "INSERT INTO seen_records SELECT id, 'users', 'a' FROM sync_runs WHERE status = 'RUNNING'",
    )
    .await;
    // beyond every run that is known: it was removed with its integration
    app.sql("INSERT INTO seen_records VALUES (999999, 'users', 'a'), (999999, 'users', 'b')")
        .await;
    let marks = app
        .count("SELECT count(*) AS count FROM seen_records")
        .await;
    assert!(marks > 6, "{marks}");
    let removed = app.remove_after(HOUR).await;
    assert_eq!(i64::try_from(removed.aged), Ok(marks - 1));
    let left = app.rows("SELECT run_id FROM seen_records").await;
    assert_eq!(left.len(), 1);
    let running = app
        .row("SELECT id FROM sync_runs WHERE status = 'RUNNING'")
        .await;
    assert_eq!(left[0]["run_id"], running["id"]);
}

// Rule 15: a feed that went on behind what it has forgotten would lose changes without a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_feed_hears_of_changes_that_are_no_longer_there() {
    let app = TestApp::loaded().await;
    let ends = "{ first: recordChanges(first: 1) { pageInfo { endCursor } } \
         last: recordChanges(last: 1) { pageInfo { endCursor } } }";
    let ends = app.query(ends).await;
    let go_on = |end: &str| {
        let after = text(&ends[end]["pageInfo"]["endCursor"]);
        format!("{{ recordChanges(after: \"{after}\") {{ totalCount nodes {{ sequence }} }} }}")
    };
    app.query(&go_on("first")).await;
    app.remove_after(31 * DAY).await;
    assert_eq!(app.refusal(&go_on("first")).await, "BAD_USER_INPUT");
    let nothing_missed = app.query(&go_on("last")).await;
    assert_eq!(nothing_missed["recordChanges"]["totalCount"], 0);
}

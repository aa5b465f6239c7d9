//! Single runs are cancelled.

use std::time::Duration;

use kombo_mirror::models::Mode;
use kombo_mirror::simulator::Endpoint;
use kombo_mirror::sync::Ending;
use serde_json::{Value, json};

use super::{SHORT_LEASE, working_on_the_third_page};
use crate::support::TestApp;
use crate::support::app::ADMIN;

// Rule 5: the fencing filter.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_writes_nothing_more() {
    let (app, worker) = working_on_the_third_page(SHORT_LEASE).await;
    let rows = "SELECT count(*) AS count FROM course_progressions WHERE NOT incomplete";
    let before = app.count(rows).await;
    let id = app.run_id("course_progressions").await;
    let answer = app.cancel(&id).await;
    assert_eq!(answer["status"], "CANCELLED");
    assert!(answer["finishedAt"].is_string());
    assert_eq!(
        worker.await.expect("the worker ends"),
        Some(Ending::LeaseLost)
    );
    assert_eq!(app.count(rows).await, before);
    let state = app.state("course_progressions").await;
    assert_eq!(state["watermark"], Value::Null);
    let run = app.last_run("course_progressions").await;
    assert_eq!(
        (&run["status"], &run["pages_fetched"]),
        (&json!("CANCELLED"), &json!(2))
    );
}

// Rule 15: a cancelled run that the schedule queued again within a second would not be cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_not_queued_again_at_once() {
    let app = TestApp::start().await;
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    let id = app.run_id("users").await;
    assert_eq!(app.cancel(&id).await["endpoint"], "USERS");
    app.simulator.clear_requests();
    app.work().await;
    assert!(app.requests_to(Endpoint::Users).is_empty());
    app.simulator.advance_clock(Duration::from_secs(3601));
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 2, F31: nothing announces a renamed provider twice, and no delta finds it.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_cancelled_full_fetch_would_have_found_is_found_later() {
    let app = TestApp::loaded().await;
    let provider = app.some_id("course_providers").await;
    assert!(app.simulator.rename_provider(&app.integration(), &provider));
    app.simulator.flush_webhooks().await;
    let id = app.run_id("courses").await;
    assert_eq!(app.cancel(&id).await["status"], "CANCELLED");
    assert_eq!(app.work().await, []);
    app.simulator.advance_clock(Duration::from_secs(3601));
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_run_that_waits_or_works_can_be_cancelled() {
    let app = TestApp::loaded().await;
    let done = app.run_id("users").await;
    let code = async |id: &str| {
        let mutation = format!("mutation {{ cancelSyncRun(id: {}) {{ id }} }}", json!(id));
        app.refused_mutation(ADMIN, &mutation).await
    };
    assert_eq!(code(&done).await, "BAD_USER_INPUT");
    for unknown in [
        "U3luY1J1bgo5OTk5OTk",
        "nonsense",
        "",
        "SW50ZWdyYXRpb24KYQ",
        "\u{0}",
    ] {
        assert_eq!(code(unknown).await, "NOT_FOUND", "{unknown:?}");
    }
    assert_eq!(app.last_run("users").await["status"], "SUCCEEDED");
}

//! An integration is registered, paused and resumed.

use std::time::Duration;

use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, WebhookTarget};
use kombo_mirror::sync::Ending;
use serde_json::{Value, json};

use super::{SHORT_LEASE, working_on_the_third_page};
use crate::support::TestApp;
use crate::support::app::{SECRET, Setup};
use crate::support::look::parameter;

// Rule 17
#[tokio::test(flavor = "multi_thread")]
async fn a_registered_integration_is_loaded_at_once() {
    let app = TestApp::with(Setup {
        register: false,
        ..Setup::default()
    })
    .await;
    let fields = "komboId state paused registeredAt deletedAt syncStatus { endpoint activeRun { trigger status mode } }";
    let answer = app.of_integration("registerIntegration", fields).await;
    assert_eq!(answer["komboId"], app.integration());
    assert_eq!(answer["state"], "UNKNOWN");
    let states = answer["syncStatus"].as_array().expect("a list");
    assert_eq!(states.len(), 4);
    for state in states {
        let waiting = json!({ "trigger": "INITIAL", "status": "QUEUED", "mode": "FULL" });
        assert_eq!(state["activeRun"], waiting);
    }
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 17
#[tokio::test(flavor = "multi_thread")]
async fn registering_an_integration_that_lives_changes_nothing() {
    let app = TestApp::loaded().await;
    app.of_integration("pauseIntegration", "id").await;
    let row = "SELECT * FROM integrations";
    let before = app.row(row).await;
    let answer = app.of_integration("registerIntegration", "paused").await;
    assert_eq!(answer["paused"], true);
    assert_eq!(app.row(row).await, before);
    assert_eq!(app.open_runs().await, 0);
}

// Rule 17: what was missed while it was deleted can be found by a full fetch only.
#[tokio::test(flavor = "multi_thread")]
async fn registering_a_deleted_integration_takes_it_up_again() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let data = json!({ "id": integration, "tool": "sandbox", "category": "LMS" });
    app.simulator.send_webhook("integration-deleted", &data);
    app.simulator.flush_webhooks().await;
    app.simulator.set_webhook_target(None);
    app.simulator.change(50);
    let fields = "state deletedAt purgedAt syncStatus { activeRun { trigger mode } }";
    let answer = app.of_integration("registerIntegration", fields).await;
    assert_eq!(answer["state"], "UNKNOWN");
    assert_eq!(answer["deletedAt"], Value::Null);
    for state in answer["syncStatus"].as_array().expect("a list") {
        assert_eq!(
            state["activeRun"],
            json!({ "trigger": "SCHEDULE", "mode": "FULL" })
        );
    }
    assert_eq!(
        app.engine
            .refresh_integrations()
            .await
            .expect("Kombo answers"),
        1
    );
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 5: the checkpoint stays, the worker lets go at its next heartbeat, and nobody takes the run.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_goes_on_where_it_stopped() {
    let (app, worker) = working_on_the_third_page(SHORT_LEASE).await;
    let answer = app
        .of_integration("pauseIntegration", "paused syncStatus { health }")
        .await;
    assert_eq!(answer["paused"], true);
    assert_eq!(answer["syncStatus"][0]["health"], "PAUSED");
    assert_eq!(
        worker.await.expect("the worker ends"),
        Some(Ending::LeaseLost)
    );
    let run = app.last_run("course_progressions").await;
    assert_eq!(
        (&run["status"], &run["lease_until"]),
        (&json!("RUNNING"), &Value::Null)
    );
    app.simulator.clear_requests();
    app.simulator.advance_clock(Duration::from_secs(24 * 3600));
    assert_eq!(app.work().await, []);
    let due = app
        .engine
        .refresh_integrations()
        .await
        .expect("nobody is asked");
    assert_eq!(
        (due, app.simulator.requests().len()),
        (0, 0),
        "nothing at all is fetched"
    );
    let answer = app.of_integration("resumeIntegration", "paused").await;
    assert_eq!(answer["paused"], false);
    assert_eq!(app.step().await, Some(Ending::Succeeded));
    let pages = app.requests_to(Endpoint::CourseProgressions);
    assert_eq!(pages.len(), 1, "only the page that was not stored");
    assert!(parameter(&pages[0], "cursor").is_some());
    assert_eq!(
        app.engine
            .refresh_integrations()
            .await
            .expect("Kombo answers"),
        1
    );
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rules 1 and 5: what is announced meanwhile waits.
#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_a_paused_integration_queue_up() {
    let app = TestApp::loaded().await;
    app.of_integration("pauseIntegration", "id").await;
    app.simulator.change(30);
    app.simulator.flush_webhooks().await;
    let waiting = app.open_runs().await;
    assert!(waiting > 0);
    app.simulator.clear_requests();
    assert_eq!(app.work().await, []);
    assert!(app.simulator.requests().is_empty());
    app.of_integration("resumeIntegration", "id").await;
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 5: a claim that overlapped with the pause.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_claimed_while_its_integration_was_paused_stores_nothing() {
    let app = TestApp::start().await;
    app.simulator
        .inject(Fault::once(FaultKind::Slow(400)).on(Endpoint::Users));
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    let worker = app.spawn_worker();
    app.wait_for(
        "SELECT count(*) AS count FROM sync_runs WHERE status = 'RUNNING'",
        1,
    )
    .await;
    // as a pause does that could not see the run yet
    app.sql("UPDATE integrations SET paused = true").await;
    assert_eq!(
        worker.await.expect("the worker ends"),
        Some(Ending::LeaseLost)
    );
    assert_eq!(app.count("SELECT count(*) AS count FROM users").await, 0);
    assert_eq!(app.last_run("users").await["pages_fetched"], 0);
}

// What is paused is Kombo's to change and ours to hear of.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_integration_still_hears_what_webhooks_say_of_it() {
    let app = TestApp::loaded().await;
    app.of_integration("pauseIntegration", "id").await;
    app.simulator.set_webhook_target(Some(WebhookTarget {
        url: app.url("/webhooks/kombo"),
        secret: SECRET.to_owned(),
    }));
    app.simulator.send_sync_finished(&app.integration());
    app.simulator.flush_webhooks().await;
    let shown = app
        .query("{ integrations { nodes { paused lastKomboSyncState } } }")
        .await;
    assert_eq!(
        shown["integrations"]["nodes"][0],
        json!({ "paused": true, "lastKomboSyncState": "SUCCEEDED" })
    );
}

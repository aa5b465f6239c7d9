//! Events that find what they ask for waiting already.

use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Fault, FaultKind};
use kombo_mirror::sync::Ending;

use crate::support::TestApp;
use crate::webhook::changed;

// Rule 1: two events, one waiting run.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_event_joins_the_run_that_waits() {
    let app = TestApp::loaded().await;
    app.webhook(&changed(&app, "one", &["lms_users"])).await;
    app.webhook(&changed(&app, "two", &["lms_users"])).await;
    assert_eq!(app.outcome("two").await, "COALESCED");
    assert_eq!(app.open_runs().await, 1);
    let reasons = app.last_run("users").await["reasons"].clone();
    assert_eq!(reasons[1]["webhookEvent"], "two");
}

// Rule 1: webhooks come in crowds, and each commit waits for the disk.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_brings_nothing_new_waits_for_no_other() {
    use diesel_async::SimpleAsyncConnection as _;
    let app = TestApp::loaded().await;
    app.webhook(&changed(&app, "one", &["lms_users"])).await;
    let mut another = app.database().await;
    let locks = "BEGIN; SELECT FROM sync_runs FOR UPDATE; SELECT FROM integrations FOR UPDATE; \
         SELECT FROM endpoint_states FOR UPDATE";
    another
        .batch_execute(locks)
        .await
        .expect("the rows are held");
    let status = app.webhook(&changed(&app, "two", &["lms_users"])).await;
    assert_eq!(status, 200);
    assert_eq!(app.outcome("two").await, "COALESCED");
    another.batch_execute("ROLLBACK").await.expect("let go");
    assert_eq!(app.open_runs().await, 1);
}

// Rule 1: a run that goes less far, or that no webhook asked for, is strengthened and not only joined.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_brings_something_new_strengthens_the_run_that_waits() {
    let app = TestApp::loaded().await;
    app.enqueue(&app.integration(), "courses", Mode::Delta)
        .await;
    app.webhook(&changed(&app, "courses", &["lms_courses"]))
        .await;
    let run = app.last_run("courses").await;
    assert_eq!(run["reasons"][1]["webhookEvent"], "courses");
    let event = changed(&app, "providers", &["lms_course_providers"]);
    app.webhook(&event).await;
    assert_eq!(app.outcome("providers").await, "QUEUED_SYNC");
    assert_eq!(app.last_run("courses").await["mode"], "FULL");
    assert_eq!(app.open_runs().await, 1);
}

// Rule 1: an event is COALESCED only where every run that it asks for waits.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_joins_all_its_runs_or_adds_what_is_missing() {
    let app = TestApp::loaded().await;
    let models = ["lms_skills", "lms_users"];
    app.webhook(&changed(&app, "users", &["lms_users"])).await;
    app.webhook(&changed(&app, "both", &models)).await;
    assert_eq!(app.outcome("both").await, "QUEUED_SYNC");
    assert_eq!(app.open_runs().await, 2);
    app.webhook(&changed(&app, "both again", &models)).await;
    assert_eq!(app.outcome("both again").await, "COALESCED");
    let runs = app
        .count(
            "SELECT count(DISTINCT run_ids) AS count FROM webhook_events WHERE id LIKE 'both%' \
             AND cardinality(run_ids) = 2",
        )
        .await;
    assert_eq!(runs, 1, "both name the same runs in the same order");
}

// Rule 1, F58
#[tokio::test(flavor = "multi_thread")]
async fn a_second_delivery_of_an_event_that_joined_a_run_is_counted() {
    let app = TestApp::loaded().await;
    app.webhook(&changed(&app, "one", &["lms_users"])).await;
    for _ in 0..3 {
        app.webhook(&changed(&app, "two", &["lms_users"])).await;
    }
    let duplicates = "SELECT duplicates::bigint AS count FROM webhook_events WHERE id = 'two'";
    assert_eq!(app.count(duplicates).await, 2);
    assert_eq!(
        app.last_run("users").await["reasons"][2],
        serde_json::Value::Null
    );
}

// Rule 17: a crowd of events must not hide what one of them says of the integration.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_event_says_of_its_integration_is_noted_though_its_run_waits() {
    let app = TestApp::loaded().await;
    app.webhook(&changed(&app, "one", &["lms_users"])).await;
    let mut event = changed(&app, "two", &["lms_users"]);
    event["data"]["integration_tool"] = "another".into();
    app.webhook(&event).await;
    assert_eq!(app.outcome("two").await, "COALESCED");
    let noted = "SELECT count(*) AS count FROM integrations WHERE tool = 'another'";
    assert_eq!(app.count(noted).await, 1);
}

// Rule 13: news of the integration wake what waits for it, whatever else waits.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_wakes_what_waits_for_its_integration_though_its_run_waits_already() {
    let app = TestApp::start().await;
    app.simulator.inject(Fault {
        count: 4,
        ..Fault::once(FaultKind::SetupSyncPending)
    });
    assert_eq!(app.work().await, [Ending::Postponed; 4]);
    let asleep = "SELECT count(*) AS count FROM sync_runs WHERE error_code LIKE 'INTEGRATION.%' \
         AND available_at > queued_at + interval '1 second'";
    app.webhook(&changed(&app, "one", &["lms_users"])).await;
    app.sql("UPDATE sync_runs SET available_at = available_at + interval '1 hour' WHERE status = 'RUNNING'")
        .await;
    assert_eq!(app.count(asleep).await, 4);
    app.webhook(&changed(&app, "two", &["lms_users"])).await;
    assert_eq!(app.outcome("two").await, "COALESCED");
    assert_eq!(app.count(asleep).await, 0);
}

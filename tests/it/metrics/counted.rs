use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind};
use kombo_mirror::webhook::LARGEST_BODY;
use serde_json::json;

use super::Scrape;
use crate::http::{get, send};
use crate::support::TestApp;
use crate::support::app::SECRET;
use crate::webhook::changed;

const USERS: (&str, &str) = ("endpoint", "users");

#[tokio::test(flavor = "multi_thread")]
async fn a_load_counts_runs_pages_records_and_calls() {
    let app = TestApp::loaded().await;
    let scrape = app.scrape().await;
    let users = app.count("SELECT count(*) AS count FROM users").await;
    let outcome = ("outcome", "SUCCEEDED");
    assert_eq!(scrape.value("runs_total", &[USERS, outcome]), 1.0);
    assert_eq!(scrape.value("pages_total", &[USERS, ("mode", "FULL")]), 1.0);
    assert_eq!(scrape.value("page_write_seconds_count", &[USERS]), 1.0);
    assert!(scrape.value("page_write_seconds_sum", &[USERS]) > 0.0);
    let inserted = scrape.value("records_total", &[USERS, ("effect", "inserted")]);
    assert_eq!(inserted as i64, users);
    let answered = [("code", "200")];
    let requests = app.simulator.requests();
    let asked = |path: &str| {
        requests
            .iter()
            .filter(|one| one.path.contains(path))
            .count() as f64
    };
    let calls = |endpoint| {
        let labels = [answered[0], ("endpoint", endpoint)];
        scrape.value("kombo_request_seconds_count", &labels)
    };
    assert_eq!(calls("users"), asked("/lms/users"));
    assert_eq!(
        calls("course_progressions"),
        asked("/lms/course-progressions")
    );
    assert!(scrape.value("kombo_request_seconds_sum", &answered) > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_fetch_counts_what_it_found_as_it_was() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    let users = app.count("SELECT count(*) AS count FROM users").await;
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&app.integration(), &user));
    let user = app
        .simulator
        .insert_user(&app.integration())
        .expect("a user");
    app.fetch("users", Mode::Full).await;
    assert!(app.simulator.delete_user(&app.integration(), &user));
    app.simulator
        .inject(Fault::once(FaultKind::DuplicatedRecord).on(Endpoint::Users));
    app.fetch("users", Mode::Full).await;
    let scrape = app.scrape().await;
    let effect = |effect| scrape.value("records_total", &[USERS, ("effect", effect)]) as i64;
    assert_eq!(effect("inserted"), users + 1);
    // the tombstone is an update that is a deletion as well
    assert_eq!((effect("updated"), effect("deleted")), (2, 1));
    assert_eq!(effect("unchanged"), users - 1 + users);
    assert_eq!((effect("duplicate"), effect("parked")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn removals_by_absence_count_as_deleted() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    let user = app.some_id("users").await;
    app.sql(&format!(
        "INSERT INTO users (integration_id, id, observed_at, mirrored_at) \
         SELECT integration_id, 'nobody', observed_at, mirrored_at FROM users WHERE id = '{user}'"
    ))
    .await;
    app.fetch("users", Mode::Full).await;
    let scrape = app.scrape().await;
    let deleted = scrape.value("records_total", &[USERS, ("effect", "deleted")]);
    assert_eq!(deleted, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_by_what_kombo_answered() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    for (kind, code) in [
        (FaultKind::InternalErrorText, "500"),
        (FaultKind::TooManyRequests, "PLATFORM.RATE_LIMIT_EXCEEDED"),
        (
            FaultKind::AuthenticationInvalid,
            "PLATFORM.AUTHENTICATION_INVALID",
        ),
        (FaultKind::ConnectionClosed, "CONNECTION_LOST"),
    ] {
        let word = format!("{kind:?}");
        app.simulator.inject(Fault::once(kind).on(Endpoint::Users));
        let labels = [USERS, ("code", code)];
        let counted = async || {
            app.scrape()
                .await
                .get("kombo_request_seconds_count", &labels)
        };
        assert_eq!(counted().await, None, "{word}");
        app.enqueue(&app.integration(), "users", Mode::Full).await;
        app.work_through().await;
        assert_eq!(counted().await, Some(1.0), "{word}");
    }
    let scrape = app.scrape().await;
    let left = |outcome| scrape.value("runs_total", &[USERS, ("outcome", outcome)]);
    assert_eq!((left("FAILED"), left("POSTPONED")), (1.0, 3.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kombo_leaves_of_the_rate_limit_is_shown_once_it_is_told() {
    let app = TestApp::start().await;
    let before = app.scrape().await;
    assert_eq!(before.get("kombo_rate_budget_remaining", &[]), None);
    app.simulator.set_rate_limit(700);
    app.work().await;
    let scrape = app.scrape().await;
    assert_eq!(scrape.value("kombo_rate_budget_limit", &[]), 700.0);
    let remaining = scrape.value("kombo_rate_budget_remaining", &[]);
    assert!((600.0..700.0).contains(&remaining), "{remaining}");
    let refusal = Fault::once(FaultKind::TooManyRequests).on(Endpoint::Users);
    app.simulator.inject(refusal);
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    app.step().await;
    let spent = app.scrape().await;
    assert_eq!(spent.value("kombo_rate_budget_remaining", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_counted_by_verdict() {
    let app = TestApp::loaded().await;
    let verdicts = async || {
        let scrape = app.scrape().await;
        let verdicts = scrape.values_of("webhooks_total", "verdict").into_iter();
        let count = |verdict: &str| scrape.value("webhooks_total", &[("verdict", verdict)]);
        let counted = verdicts.map(|verdict| (count(&verdict), verdict));
        let mut counted: Vec<_> = counted.filter(|(count, _)| *count > 0.0).collect();
        counted.sort_by(|one, other| one.1.cmp(&other.1));
        counted
    };
    assert_eq!(verdicts().await, []);
    assert_eq!(
        app.scrape()
            .await
            .values_of("webhooks_total", "verdict")
            .len(),
        9,
        "each is there before it happens"
    );
    app.webhook(&changed(&app, "one", &["lms_users"])).await;
    app.webhook(&changed(&app, "one", &["lms_users"])).await;
    app.webhook(&changed(&app, "two", &["lms_users"])).await;
    app.webhook(&json!({ "id": "three", "type": "tea-ready", "data": {} }))
        .await;
    let state = json!({ "id": "four", "type": "integration-state-changed", "data": {
        "integration_id": app.integration(), "integration_tool": "sandbox", "integration_category": "LMS" } });
    app.webhook(&state).await;
    app.post_webhook(b"{}".to_vec(), Some("forged")).await;
    app.post_webhook(b"{}".to_vec(), None).await;
    let signature = kombo_mirror::simulator::sign(SECRET, b"[]");
    app.post_webhook(b"[]".to_vec(), Some(&signature)).await;
    app.post_webhook(vec![b' '; LARGEST_BODY + 1], None).await;
    let expected = [
        (1.0, "COALESCED"),
        (1.0, "DUPLICATE"),
        (1.0, "IGNORED"),
        (1.0, "INTEGRATION_UPDATED"),
        (1.0, "MALFORMED"),
        (1.0, "PAYLOAD_TOO_LARGE"),
        (1.0, "QUEUED_SYNC"),
        (2.0, "SIGNATURE_INVALID"),
    ];
    assert_eq!(
        verdicts().await,
        expected.map(|(count, verdict)| (count, verdict.to_owned()))
    );
    app.sql("ALTER TABLE webhook_events RENAME TO hidden_events")
        .await;
    let lost = changed(&app, "lost", &["lms_users"]);
    assert_eq!(app.webhook(&lost).await, 503);
    let not_stored = [("verdict", "NOT_STORED")];
    assert_eq!(app.scrape().await.value("webhooks_total", &not_stored), 1.0);
}

// a process that only works has no other door
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_serves_what_it_counts() {
    let app = TestApp::loaded().await;
    let routes = kombo_mirror::http::worker_routes(app.engine.clone());
    let answer = send(routes, get("/metrics", None)).await;
    let scrape = Scrape::read(&answer.text);
    let outcome = ("outcome", "SUCCEEDED");
    assert_eq!(scrape.value("runs_total", &[USERS, outcome]), 1.0);
    // another process counts its own
    let colleague = kombo_mirror::http::worker_routes(app.colleague().await);
    let answer = send(colleague, get("/metrics", None)).await;
    assert_eq!(Scrape::read(&answer.text).get("runs_total", &[]), None);
}

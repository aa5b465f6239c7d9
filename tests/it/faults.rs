//! Kombo fails in every way it can.

use std::time::Duration;

use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{
    Endpoint, Fault, FaultKind, IntegrationState, QaStatus, SetupStatus,
};
use kombo_mirror::sync::Ending;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::look::{moment, parameter};

/// A mirror that waits visibly after a failure.
fn patient() -> Setup {
    let mut setup = Setup::default();
    setup.sync.first_backoff = Duration::from_secs(60);
    setup
}

/// Lets the second of two pages of progressions fail for a while.
async fn passes(kind: FaultKind, code: &str) {
    let app = TestApp::with(patient()).await;
    app.work().await;
    let before = app.state("course_progressions").await["watermark"].clone();
    app.simulator.set_webhook_target(None);
    let progression = app.some_id("course_progressions").await;
    assert!(
        app.simulator
            .update_progression(&app.integration(), &progression)
    );
    app.simulator.clear_requests();
    let fault = Fault::once(kind).on(Endpoint::CourseProgressions);
    app.simulator.inject(fault.on_page(2).times(3));
    let run = app.fetch("course_progressions", Mode::Full).await;
    assert_eq!(
        (&run["status"], &run["error_code"]),
        (&"RUNNING".into(), &code.into())
    );
    assert_eq!(run["error_retryable"], true);
    assert_eq!(app.state("course_progressions").await["watermark"], before);
    app.work_through().await;
    let first_pages = app.requests_to(Endpoint::CourseProgressions);
    let first_pages = first_pages
        .iter()
        .filter(|request| parameter(request, "cursor").is_none());
    assert!(
        first_pages.count() <= 2,
        "the run goes on at its checkpoint"
    );
    let state = app.state("course_progressions").await;
    assert_eq!(
        (&state["error_code"], &state["consecutive_failures"]),
        (&Value::Null, &0.into())
    );
    app.assert_mirrors_the_truth().await;
}

// Rule 13, F46, F51
#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_without_headers_pass() {
    passes(
        FaultKind::TooManyRequestsWithoutHeaders,
        "PLATFORM.RATE_LIMIT_EXCEEDED",
    )
    .await;
}

// Rule 13
#[tokio::test(flavor = "multi_thread")]
async fn an_internal_error_in_plain_text_passes() {
    passes(FaultKind::InternalErrorText, "MIRROR.HTTP_500").await;
}

// Rule 13
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_gateway_passes() {
    passes(FaultKind::BadGatewayText, "MIRROR.HTTP_502").await;
}

// Rule 13
#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancers_page_passes() {
    passes(FaultKind::UnavailableHtml, "MIRROR.HTTP_503").await;
}

// Rule 13
#[tokio::test(flavor = "multi_thread")]
async fn an_error_without_a_code_passes() {
    passes(FaultKind::UnavailableWithoutCode, "MIRROR.HTTP_503").await;
}

// Rule 13, F43: a page cut off in its middle is no page.
#[tokio::test(flavor = "multi_thread")]
async fn truncated_json_passes() {
    passes(FaultKind::TruncatedJson, "MIRROR.UNREADABLE_ANSWER").await;
}

// Rule 13, F36: an empty body is no empty list.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_body_passes() {
    passes(FaultKind::EmptyBody, "MIRROR.UNREADABLE_ANSWER").await;
}

// Rule 13
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_passes() {
    passes(FaultKind::ConnectionClosed, "MIRROR.CONNECTION_LOST").await;
}

// Rule 13: slow is not broken.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_is_waited_for() {
    let app = TestApp::start().await;
    app.simulator
        .inject(Fault::once(FaultKind::Slow(200)).on(Endpoint::Users));
    assert_eq!(app.fetch("users", Mode::Full).await["attempts"], 1);
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 13, F51: the end of the window that Kombo names is waited for, and that is no failure.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_wait_until_the_window_ends() {
    let app = TestApp::loaded().await;
    let into_the_minute = app.simulator.now().timestamp_millis().rem_euclid(60_000);
    app.simulator.advance_clock(Duration::from_millis(
        90_000 - into_the_minute.unsigned_abs(),
    ));
    app.simulator
        .inject(Fault::once(FaultKind::TooManyRequests).on(Endpoint::Users));
    let run = app.fetch("users", Mode::Delta).await;
    let wait = moment(&run["available_at"]) - moment(&run["error_at"]);
    assert!((20..=31).contains(&wait.num_seconds()), "{wait}");
    assert_eq!(app.state("users").await["consecutive_failures"], 0);
    app.simulator.clear_requests();
    assert_eq!(app.step().await, None);
    assert!(app.simulator.requests().is_empty());
}

// Rule 13, F51: 429 that does not say how long waits longer each time.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_do_not_end_are_asked_less_and_less_often() {
    let app = TestApp::with(patient()).await;
    let fault = Fault::once(FaultKind::TooManyRequestsWithoutHeaders).on(Endpoint::Users);
    app.simulator.inject(fault.times(100_000));
    for _ in 0..120 {
        app.simulator.advance_clock(Duration::from_secs(30));
        app.work().await;
    }
    let requests = app.requests_to(Endpoint::Users).len();
    assert!(
        (3..=40).contains(&requests),
        "{requests} requests in an hour"
    );
    app.simulator.clear_faults();
    app.work_through().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 13: the same for an outage.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_asked_about_less_and_less_often() {
    let app = TestApp::with(patient()).await;
    let fault = Fault::once(FaultKind::UnavailableHtml).on(Endpoint::Users);
    app.simulator.inject(fault.times(100_000));
    for _ in 0..120 {
        app.simulator.advance_clock(Duration::from_secs(30));
        app.work().await;
    }
    let requests = app.requests_to(Endpoint::Users).len();
    assert!(
        (3..=40).contains(&requests),
        "{requests} requests in an hour"
    );
    app.simulator.clear_faults();
    app.work_through().await;
    app.assert_mirrors_the_truth().await;
}

/// Loads an integration that Kombo does not hand out yet.
async fn waits_for(state: IntegrationState, code: &str) {
    let app = TestApp::start().await;
    let integration = app.integration();
    app.simulator.set_integration_state(&integration, state);
    app.settle().await;
    for endpoint in ["users", "skills", "courses", "course_progressions"] {
        let run = app.last_run(endpoint).await;
        assert_eq!(
            (&run["status"], &run["error_code"]),
            (&"RUNNING".into(), &code.into())
        );
        assert_eq!(app.state(endpoint).await["consecutive_failures"], 0);
    }
    app.simulator.clear_requests();
    for _ in 0..60 {
        app.simulator.advance_clock(Duration::from_secs(60));
        app.work().await;
    }
    let requests = app.requests_to(Endpoint::Users).len();
    assert!(
        (6..=13).contains(&requests),
        "{requests} requests in an hour"
    );
    app.simulator
        .set_integration_state(&integration, IntegrationState::READY);
    app.settle().await;
    app.assert_mirrors_the_truth().await;
    let failed = "SELECT count(*) AS count FROM sync_runs WHERE status = 'FAILED'";
    assert_eq!(app.count(failed).await, 0);
}

// Rule 13, F54
#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_that_is_pending_is_waited_for_and_wakes_by_webhook() {
    waits_for(
        IntegrationState::SETUP_PENDING,
        "INTEGRATION.SETUP_SYNC_PENDING",
    )
    .await;
}

// Rule 13, F54
#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_is_incomplete_is_waited_for_and_wakes_by_webhook() {
    let incomplete = IntegrationState {
        setup_status: SetupStatus::Incomplete,
        ..IntegrationState::READY
    };
    waits_for(incomplete, "INTEGRATION.SETUP_INCOMPLETE").await;
}

// Rule 13, F54
#[tokio::test(flavor = "multi_thread")]
async fn failed_checks_are_waited_for_and_wake_by_webhook() {
    let failed = IntegrationState {
        qa_status: QaStatus::Failed,
        ..IntegrationState::READY
    };
    waits_for(failed, "INTEGRATION.QA_FAILED").await;
}

// Rule 13: a key that is refused is visible with Kombo's own words, asked for rarely, and heals.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_visible_and_not_hammered() {
    let app = TestApp::loaded().await;
    app.simulator
        .inject(Fault::once(FaultKind::AuthenticationInvalid).times(100_000));
    app.fetch("users", Mode::Delta).await;
    let query = "{ syncStatus { endpoint health consecutiveFailures lastError { code retryable logUrl } } }";
    let mut answer = app.query(query).await;
    let nodes = answer["syncStatus"].take();
    let users = nodes
        .as_array()
        .into_iter()
        .flatten()
        .find(|node| node["endpoint"] == "USERS");
    let expected = json!({
        "endpoint": "USERS",
        "health": "FAILING",
        "consecutiveFailures": 1,
        "lastError": {
            "code": "PLATFORM.AUTHENTICATION_INVALID",
            "retryable": false,
            "logUrl": "https://app.kombo.dev/simulator/logs?interactionId=123456",
        },
    });
    assert_eq!(users, Some(&expected));
    app.simulator.clear_requests();
    for _ in 0..(6 * 12) {
        app.simulator.advance_clock(Duration::from_secs(300));
        app.work().await;
    }
    let requests = app.requests_to(Endpoint::Users).len();
    assert!(
        (3..=14).contains(&requests),
        "{requests} requests in six hours"
    );
    app.simulator.clear_faults();
    app.simulator.advance_clock(Duration::from_secs(3601));
    app.work().await;
    assert_eq!(app.state("users").await["error_code"], Value::Null);
    app.assert_mirrors_the_truth().await;
}

// Rule 13: people and webhooks need not wait for the pause after a failure.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_webhook_tries_a_failed_endpoint_again() {
    let app = TestApp::loaded().await;
    app.simulator
        .inject(Fault::once(FaultKind::AuthenticationInvalid).on(Endpoint::Users));
    assert_eq!(app.fetch("users", Mode::Delta).await["status"], "FAILED");
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&app.integration(), &user));
    assert_eq!(app.settle().await, [Ending::Succeeded]);
    app.assert_mirrors_the_truth().await;
}

// F45: one endpoint's failure is not another's.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_endpoint_holds_no_other_up() {
    let app = TestApp::start().await;
    let fault = Fault::once(FaultKind::PermissionMissing).on(Endpoint::Users);
    app.simulator.inject(fault.times(100));
    app.work().await;
    for endpoint in ["skills", "courses", "course_progressions"] {
        assert_ne!(
            app.state(endpoint).await["watermark"],
            Value::Null,
            "{endpoint}"
        );
    }
    assert_eq!(app.state("users").await["watermark"], Value::Null);
}

// Rule 13: Kombo's wish to wait holds, however many webhooks arrive meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_does_not_wake_a_run_that_waits_for_the_rate_limit() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    app.simulator
        .inject(Fault::once(FaultKind::TooManyRequests).on(Endpoint::Users));
    app.enqueue(&integration, "users", Mode::Delta).await;
    assert_eq!(app.step().await, Some(Ending::Postponed));
    app.simulator.announce(&integration, &["lms_users"]);
    app.simulator.flush_webhooks().await;
    assert_eq!(app.step().await, None);
}

// Rules 2 and 13, F37, F45: what only a full fetch can bring must not wait a week because one was refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_fetch_that_was_given_up_is_made_up_for_in_full() {
    for fault in [
        FaultKind::AuthenticationInvalid,
        FaultKind::ModelDisabled,
        FaultKind::CursorLoop,
    ] {
        let mut setup = Setup::default();
        setup.simulator.largest_page = 10;
        let app = TestApp::with(setup).await;
        app.work().await;
        let provider = app.some_id("course_providers").await;
        // by the strict reading no delta shows it
        assert!(app.simulator.rename_provider(&app.integration(), &provider));
        app.simulator
            .inject(Fault::once(fault.clone()).on(Endpoint::Courses));
        assert_eq!(app.settle().await, [Ending::Failed], "{fault:?}");
        app.simulator.advance_clock(Duration::from_secs(3601));
        app.work().await;
        app.assert_mirrors_the_truth().await;
    }
}

//! From a first load to what a webhook brings.

use std::time::Duration;

use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options, RequestLog};
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::look::{eventually, text};

/// Six customers with six different systems; the last two have no skills.
fn six_connectors() -> Setup {
    let small = Setup::default();
    Setup {
        simulator: Options {
            integrations: 6,
            users: 25,
            courses: 8,
            skills: 6,
            progressions: 60,
            ..small.simulator
        },
        ..small
    }
}

// Rules 3 and 15
#[tokio::test(flavor = "multi_thread")]
async fn the_first_load_of_six_different_systems_is_the_truth() {
    let app = TestApp::with(six_connectors()).await;
    app.work().await;
    app.assert_mirrors_the_truth().await;
    let loaded = "SELECT count(*) AS count FROM endpoint_states WHERE watermark IS NOT NULL";
    assert_eq!(app.count(loaded).await, 22);
}

// Rule 13, F42: a system without skills is no failure that is tried again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_a_system_lacks_is_unavailable_and_asked_for_rarely() {
    let app = TestApp::with(six_connectors()).await;
    app.work().await;
    let unavailable = "SELECT count(*) AS count FROM endpoint_states WHERE NOT available AND endpoint = 'skills' \
         AND error_code = 'INTEGRATION.MODEL_NOT_AVAILABLE'";
    assert_eq!(app.count(unavailable).await, 2);
    let refused = || {
        let requests = app.requests_to(Endpoint::Skills);
        requests
            .iter()
            .filter(|request| request.status == 400)
            .count()
    };
    assert_eq!(refused(), 2, "once for each of the two systems");
    for _ in 0..36 {
        app.simulator.advance_clock(Duration::from_secs(5 * 60));
        app.work().await;
    }
    assert!(
        (4..=12).contains(&refused()),
        "{} requests in three hours",
        refused()
    );
    app.assert_mirrors_the_truth().await;
}

// Rule 4, F19, F32: the same filters on every page, and always with tombstones.
#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_asked_for_with_the_same_filters() {
    let mut setup = Setup::default();
    // so far back that a delta has more than one page
    setup.sync.watermark_overlap = Duration::from_secs(3600 * 24 * 4000);
    let app = TestApp::with(setup).await;
    app.work().await;
    app.simulator.clear_requests();
    let run = app.fetch("course_progressions", Mode::Delta).await;
    assert_eq!(run["mode"], "DELTA");
    let requests = app.requests_to(Endpoint::CourseProgressions);
    assert_eq!(requests.len(), 2);
    let filters = |request: &RequestLog| {
        let mut filters = request.query.clone();
        filters.retain(|(name, _)| name != "cursor");
        filters
    };
    let first = filters(&requests[0]);
    assert_eq!(first, filters(&requests[1]));
    assert_eq!(first.len(), 3);
    assert!(first.contains(&("page_size".to_owned(), "250".to_owned())));
    assert!(first.contains(&("include_deleted".to_owned(), "true".to_owned())));
    assert!(first.iter().any(|(name, _)| name == "updated_after"));
}

// Rule 4: a full fetch has no `updated_after`, and its other filters are those of every request.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_fetch_asks_for_everything_with_tombstones() {
    let app = TestApp::start().await;
    let expected = [("page_size", "250"), ("include_deleted", "true")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for endpoint in kombo_mirror::models::ALL {
        app.simulator.clear_requests();
        app.fetch(endpoint.name, Mode::Full).await;
        let mut requests = app.simulator.requests();
        requests.retain(|request| request.path == endpoint.path);
        assert!(!requests.is_empty());
        for request in requests {
            let mut filters = request.query.clone();
            filters.retain(|(name, _)| name != "cursor");
            assert_eq!(filters, expected, "{}", request.path);
        }
    }
}

// Rule 3, F07
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_names_users_moves_no_other_endpoint() {
    let app = TestApp::loaded().await;
    let marks = async |endpoint: &str| app.state(endpoint).await["watermark"].clone();
    let others = ["skills", "courses", "course_progressions"];
    let mut before = Vec::new();
    for endpoint in others {
        before.push(marks(endpoint).await);
    }
    let users = marks("users").await;
    app.simulator.advance_clock(Duration::from_secs(600));
    app.simulator.clear_requests();
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&app.integration(), &user));
    app.settle().await;
    assert_ne!(marks("users").await, users);
    for (endpoint, before) in others.into_iter().zip(before) {
        assert_eq!(marks(endpoint).await, before, "{endpoint}");
    }
    assert_eq!(
        app.simulator.requests().len(),
        1,
        "one request brings it home"
    );
    app.assert_mirrors_the_truth().await;
}

// Rule 5, F28: dirty again.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_while_its_endpoint_is_fetched_arrives_by_the_next_run() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let user = app.some_id("users").await;
    app.simulator.advance_clock(Duration::from_secs(600));
    app.simulator.clear_requests();
    app.simulator
        .inject(Fault::once(FaultKind::Slow(400)).on(Endpoint::Users));
    app.enqueue(&integration, "users", Mode::Full).await;
    let change = async {
        eventually("the page was made", async || {
            !app.requests_to(Endpoint::Users).is_empty()
        })
        .await;
        assert!(app.simulator.update_user(&integration, &user));
        app.simulator.flush_webhooks().await;
        let both = "SELECT count(DISTINCT status) AS count FROM sync_runs \
             WHERE endpoint = 'users' AND status IN ('RUNNING', 'QUEUED')";
        assert_eq!(
            app.count(both).await,
            2,
            "the working run does not absorb the news"
        );
    };
    tokio::join!(app.step(), change);
    app.work().await;
    assert_eq!(app.requests_to(Endpoint::Users).len(), 2);
    app.assert_mirrors_the_truth().await;
}

// Rule 1, F28
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_seen_twice_causes_one_fetch() {
    let app = TestApp::loaded().await;
    app.simulator.clear_requests();
    let event = json!({
        "id": "the-same-event",
        "type": "data-changed",
        "data": {
            "integration_id": app.integration(),
            "integration_category": "LMS",
            "changed_models": [{ "name": "lms_users" }],
        },
    });
    assert_eq!(app.webhook(&event).await, 200);
    app.work().await;
    assert_eq!(app.webhook(&event).await, 200);
    app.work().await;
    assert_eq!(app.simulator.requests().len(), 1);
    let event = app.row("SELECT * FROM webhook_events").await;
    assert_eq!(event["duplicates"], 1);
}

// Rule 2, F31: under the reference's reading a provider's or an assignment's change re-delivers no course.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_provider_and_a_taken_skill_arrive_though_no_course_changed() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let provider = app.some_id("course_providers").await;
    assert!(app.simulator.rename_provider(&integration, &provider));
    let link = app.row("SELECT * FROM course_revision_skills").await;
    let [revision, skill] = ["course_revision_id", "skill_id"].map(|id| text(&link[id]));
    assert!(
        app.simulator
            .unassign_skill(&integration, &revision, &skill)
    );
    app.settle().await;
    app.assert_mirrors_the_truth().await;
    let gone = format!(
        "SELECT count(*) AS count FROM course_revision_skills WHERE course_revision_id = '{revision}' AND skill_id = '{skill}'"
    );
    assert_eq!(app.count(&gone).await, 0);
}

// F44: a delta without news writes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_delta_without_news_changes_no_row() {
    let app = TestApp::loaded().await;
    app.simulator.advance_clock(Duration::from_secs(600));
    let run = app.fetch("users", Mode::Delta).await;
    assert_eq!(run["status"], "SUCCEEDED");
    assert_eq!(run["records_received"], 0);
    app.assert_mirrors_the_truth().await;
}

//! What Kombo says of an integration when it is asked, and what that means for its records.

use std::time::Duration;

use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{IntegrationState, ModelSwitch, Options, Status};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::Setup;

impl TestApp {
    /// Asks Kombo for the details of every integration that is due, six hours later.
    async fn ask_for_details(&self) {
        self.simulator
            .advance_clock(Duration::from_secs(6 * 3600 + 1));
        self.engine
            .refresh_integrations()
            .await
            .expect("Kombo answers");
    }

    /// Writes rows into a mirror table of an integration that Kombo never had.
    async fn invent_rows(&self, integration: &str, table: &str) {
        self.sql(&format!(
            "INSERT INTO {table} (integration_id, id, observed_at, mirrored_at) \
             SELECT '{integration}', 'invented-' || n, 'epoch', 'epoch' FROM generate_series(1, 3) n"
        ))
        .await;
    }

    async fn live_rows(&self, table: &str) -> i64 {
        self.count(&format!(
            "SELECT count(*) AS count FROM {table} WHERE missing_since IS NULL AND NOT incomplete"
        ))
        .await
    }

    async fn invented_and_live(&self, table: &str) -> i64 {
        self.count(&format!(
            "SELECT count(*) AS count FROM {table} WHERE id LIKE 'invented-%' AND missing_since IS NULL"
        ))
        .await
    }
}

// Question 17 of Kombo's documentation: what changed while the data was outdated may be announced by nothing.
#[tokio::test(flavor = "multi_thread")]
async fn data_that_is_good_again_is_fetched_in_full() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let shown = async || {
        let answer = app
            .query("{ integrations { nodes { dataExpiredAt } } }")
            .await;
        answer["integrations"]["nodes"][0]["dataExpiredAt"].clone()
    };
    assert!(app.simulator.set_data_expired(&integration, true));
    app.ask_for_details().await;
    assert!(shown().await.is_string());
    assert_eq!(
        app.open_runs().await,
        0,
        "outdated data is not worth a fetch"
    );
    assert!(app.simulator.set_data_expired(&integration, false));
    app.ask_for_details().await;
    assert_eq!(shown().await, Value::Null);
    let full = "SELECT count(*) AS count FROM sync_runs WHERE status = 'QUEUED' AND mode = 'FULL' \
                AND reasons->0 ? 'dataExpiredUntil'";
    assert_eq!(app.count(full).await, 4);
    app.work().await;
    app.ask_for_details().await;
    assert_eq!(app.open_runs().await, 0, "once");
}

// The end of a sync is when Kombo clears the mark, so that is when it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_ends_while_the_data_is_outdated_makes_the_details_due() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    app.ask_for_details().await;
    app.simulator.send_sync_finished(&integration);
    app.simulator.flush_webhooks().await;
    let refresh = async || {
        let refreshed = app.engine.refresh_integrations().await;
        refreshed.expect("Kombo answers")
    };
    assert_eq!(refresh().await, 0, "nothing was outdated");
    app.simulator.set_data_expired(&integration, true);
    app.ask_for_details().await;
    app.simulator.set_data_expired(&integration, false);
    app.simulator.send_sync_finished(&integration);
    app.simulator.flush_webhooks().await;
    assert_eq!(refresh().await, 1);
    assert_eq!(app.open_runs().await, 4);
}

// Rule 17
#[tokio::test(flavor = "multi_thread")]
async fn models_that_are_off_are_shown() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let shown = async || {
        app.ask_for_details().await;
        let answer = app
            .query("{ integrations { nodes { unavailableModels } } }")
            .await;
        answer["integrations"]["nodes"][0]["unavailableModels"].clone()
    };
    assert_eq!(shown().await, json!([]));
    let switch = |model: &str, to| assert!(app.simulator.set_model(&integration, model, to));
    switch("lms_skills", ModelSwitch::Disabled);
    switch("lms_course_providers", ModelSwitch::OptedOut);
    assert_eq!(shown().await, json!(["lms_course_providers", "lms_skills"]));
    switch("lms_skills", ModelSwitch::On);
    assert_eq!(shown().await, json!(["lms_course_providers"]));
}

// F42: what an integration without valid credentials does not show may be there all the same.
#[tokio::test(flavor = "multi_thread")]
async fn absence_proves_nothing_while_the_credentials_are_broken() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    app.invent_rows(&integration, "users").await;
    let invalid = IntegrationState {
        status: Status::Invalid,
        ..IntegrationState::READY
    };
    app.simulator.set_integration_state(&integration, invalid);
    let run = app.fetch("users", Mode::Full).await;
    assert_eq!(run["status"], "SUCCEEDED");
    assert_eq!(
        (&run["records_deleted"], &run["removals_held_back"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(app.invented_and_live("users").await, 3);
    assert_eq!(
        app.count("SELECT count(*) AS count FROM seen_records")
            .await,
        0
    );
    app.simulator
        .set_integration_state(&integration, IntegrationState::READY);
    let run = app.fetch("users", Mode::Full).await;
    assert_eq!(run["records_deleted"], 3);
    app.assert_mirrors_the_truth().await;
}

// F42: a model that is switched off disappears from the pages, not from the mirror.
#[tokio::test(flavor = "multi_thread")]
async fn absence_proves_nothing_while_a_model_of_the_endpoint_is_off() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let before = app.live_rows("course_providers").await;
    assert!(before > 0);
    let model = "lms_course_providers";
    assert!(
        app.simulator
            .set_model(&integration, model, ModelSwitch::OptedOut)
    );
    app.ask_for_details().await;
    let run = app.fetch("courses", Mode::Full).await;
    assert_eq!(run["status"], "SUCCEEDED");
    assert_eq!(run["removals_held_back"], 0);
    assert_eq!(app.live_rows("course_providers").await, before);
    assert!(
        app.simulator
            .set_model(&integration, model, ModelSwitch::On)
    );
    app.ask_for_details().await;
    app.invent_rows(&integration, "course_providers").await;
    app.fetch("courses", Mode::Full).await;
    assert_eq!(
        app.invented_and_live("course_providers").await,
        0,
        "counted again"
    );
    app.assert_mirrors_the_truth().await;
}

// F42, rule 10: a system that never had providers loses courses like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_was_never_there_does_not_keep_the_others() {
    let small = Setup::default();
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 5,
            users: 10,
            progressions: 20,
            ..small.simulator
        },
        ..small
    })
    .await;
    app.work().await;
    app.ask_for_details().await;
    let talentlms = app.simulator.integration_ids().remove(4);
    let row = app
        .row(&format!(
            "SELECT unavailable_models FROM integrations WHERE id = '{talentlms}'"
        ))
        .await;
    assert!(row.to_string().contains("lms_course_providers"), "{row}");
    app.invent_rows(&talentlms, "courses").await;
    app.enqueue(&talentlms, "courses", Mode::Full).await;
    app.work().await;
    assert_eq!(app.invented_and_live("courses").await, 0);
}

// F24: an answer that was asked for before a webhook came says less than the webhook.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_kombo_told_later_is_not_overwritten_by_an_older_answer() {
    let app = TestApp::loaded().await;
    let later = app.simulator.now() + chrono::TimeDelta::minutes(5);
    let later = later.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let event = json!({
        "integration_id": app.integration(),
        "integration_category": "LMS",
        "state": "INVALID",
        "updated_at": later,
    });
    app.simulator
        .send_webhook("integration-state-changed", &event);
    app.simulator.flush_webhooks().await;
    let state = async || app.row("SELECT state FROM integrations").await["state"].clone();
    app.engine
        .refresh_integrations()
        .await
        .expect("Kombo answers");
    assert_eq!(state().await, "INVALID");
    app.ask_for_details().await;
    assert_eq!(state().await, "ACTIVE", "by now the answer is newer");
}

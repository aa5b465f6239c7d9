//! What webhooks say of an integration beside changed data: states, Kombo's own syncs, issues, its end.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use kombo_mirror::simulator::{Fault, FaultKind, IntegrationState, Status};
use kombo_mirror::sync::Ending;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::look::{moment, text};

/// Kombo's form of a moment.
fn written(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl TestApp {
    /// Sends an event about the first integration; returns what became of it.
    async fn tell(&self, kind: &str, data: Value) -> String {
        let id = self.simulator.send_webhook(kind, &data);
        self.simulator.flush_webhooks().await;
        let sql = format!("SELECT outcome FROM webhook_events WHERE id = '{id}'");
        text(&self.row(&sql).await["outcome"])
    }

    /// The same with the members that most kinds have.
    async fn tell_of(&self, kind: &str, more: Value) -> String {
        let mut data = json!({
            "integration_id": self.integration(),
            "integration_tool": "sandbox",
            "integration_category": "LMS",
            "end_user": { "organization_name": "Acme", "creator_email": null, "origin_id": "36123" },
        });
        let more = more.as_object().expect("an object").clone();
        data.as_object_mut().expect("an object").extend(more);
        self.tell(kind, data).await
    }

    async fn known(&self) -> Value {
        self.row("SELECT * FROM integrations").await
    }

    async fn lifecycle(&self, kind: &str) -> String {
        let data = json!({ "id": self.integration(), "tool": "sandbox", "category": "LMS" });
        self.tell(kind, data).await
    }
}

// Rule 17: what the events say of an integration is kept.
#[tokio::test(flavor = "multi_thread")]
async fn every_state_and_set_up_status_is_kept() {
    let app = TestApp::loaded().await;
    for (status, word) in [
        (Status::Invalid, "INVALID"),
        (Status::Inactive, "INACTIVE"),
        (Status::Active, "ACTIVE"),
    ] {
        let state = IntegrationState {
            status,
            ..IntegrationState::SETUP_PENDING
        };
        app.simulator
            .set_integration_state(&app.integration(), state);
        app.simulator.flush_webhooks().await;
        let row = app.known().await;
        assert_eq!(row["state"], word);
        assert_eq!(row["setup_status"], "FINAL_SYNC_PENDING");
    }
}

// F24: an older word that arrives later.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_never_overwrites_a_newer_one() {
    let app = TestApp::loaded().await;
    let at = app.simulator.now();
    let tell = async |state: &str, at: DateTime<Utc>| {
        let more =
            json!({ "state": state, "setup_status": "COMPLETED", "updated_at": written(at) });
        app.tell_of("integration-state-changed", more).await
    };
    assert_eq!(tell("INVALID", at).await, "INTEGRATION_UPDATED");
    tell("ACTIVE", at - TimeDelta::seconds(1)).await;
    assert_eq!(app.known().await["state"], "INVALID");
    tell("INACTIVE", at + TimeDelta::seconds(1)).await;
    assert_eq!(app.known().await["state"], "INACTIVE");
    tell("ACTIVE", at + TimeDelta::seconds(1)).await;
    assert_eq!(
        app.known().await["state"],
        "ACTIVE",
        "as new, so the later one"
    );
}

// F24: without a moment a state cannot be put in order, so Kombo is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_without_a_moment_makes_the_details_due_and_overwrites_nothing() {
    let app = TestApp::loaded().await;
    app.engine
        .refresh_integrations()
        .await
        .expect("Kombo answers");
    let more = json!({ "state": "INVALID", "updated_at": "yesterday" });
    app.tell_of("integration-state-changed", more).await;
    let row = app.known().await;
    assert_eq!(row["state"], "ACTIVE");
    assert!(moment(&row["details_due_at"]) <= app.simulator.now());
    assert_eq!(
        app.engine
            .refresh_integrations()
            .await
            .expect("Kombo answers"),
        1
    );
}

// Rule 17, F54: what failed because the integration was off is tried again as soon as it works.
#[tokio::test(flavor = "multi_thread")]
async fn an_integration_that_works_again_is_fetched_at_once() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let off = IntegrationState {
        status: Status::Inactive,
        ..IntegrationState::READY
    };
    app.simulator.set_integration_state(&integration, off);
    app.simulator
        .advance_clock(std::time::Duration::from_secs(2 * 3600));
    app.settle().await;
    assert_eq!(app.last_run("users").await["status"], "FAILED");
    assert_ne!(app.state("users").await["retry_at"], Value::Null);
    app.simulator
        .set_integration_state(&integration, IntegrationState::READY);
    app.settle().await;
    assert_eq!(app.last_run("users").await["status"], "SUCCEEDED");
    app.assert_mirrors_the_truth().await;
}

// F24: Kombo's own freshness, in whatever order it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_finished_sync_is_kept_unless_a_newer_one_is_known() {
    let app = TestApp::loaded().await;
    let at = app.simulator.now();
    let tell = async |state: &str, ended: Value| {
        let more = json!({ "sync_id": "s", "sync_state": state, "sync_ended_at": ended, "sync_duration_seconds": 1.5 });
        app.tell_of("sync-finished", more).await
    };
    assert_eq!(
        tell("SUCCEEDED", json!(written(at))).await,
        "INTEGRATION_UPDATED"
    );
    tell("FAILED", json!(written(at - TimeDelta::minutes(1)))).await;
    tell("CANCELLED", json!(7)).await;
    let row = app.known().await;
    assert_eq!(row["last_kombo_sync_state"], "SUCCEEDED");
    assert_eq!(moment(&row["last_kombo_sync_at"]), at);
    tell("TIMED_OUT", json!(written(at + TimeDelta::minutes(1)))).await;
    let shown = app
        .query("{ integrations { nodes { lastKomboSyncAt lastKomboSyncState } } }")
        .await;
    assert_eq!(
        shown["integrations"]["nodes"][0],
        json!({ "lastKomboSyncAt": written(at + TimeDelta::minutes(1)), "lastKomboSyncState": "TIMED_OUT" })
    );
    assert_eq!(
        app.open_runs().await,
        0,
        "it is sent after every sync, changed data or not"
    );
}

// Question 18 of Kombo's documentation: only a sync that may have brought data ends the wait for the first one.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_may_have_brought_data_wakes_what_waits_for_it() {
    let app = TestApp::start().await;
    app.simulator.inject(Fault {
        count: 4,
        ..Fault::once(FaultKind::SetupSyncPending)
    });
    assert_eq!(app.work().await, [Ending::Postponed; 4]);
    let tell = async |state: &str| {
        let more = json!({ "sync_state": state, "sync_ended_at": written(app.simulator.now()) });
        app.tell_of("sync-finished", more).await;
        app.work().await
    };
    for state in ["FAILED", "AUTHENTICATION_FAILED", "CANCELLED", "TIMED_OUT"] {
        assert_eq!(tell(state).await, [], "{state}");
    }
    let endings = tell("PARTIALLY_FAILED").await;
    assert!(endings.len() >= 4 && endings.iter().all(|ending| *ending == Ending::Succeeded));
    app.assert_mirrors_the_truth().await;
}

// Rule 17, F63: events are not ordered.
#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_arrives_after_the_deletion_changes_nothing() {
    let app = TestApp::loaded().await;
    assert_eq!(
        app.lifecycle("integration-deleted").await,
        "INTEGRATION_UPDATED"
    );
    assert_eq!(app.lifecycle("integration-created").await, "IGNORED");
    assert_eq!(
        app.lifecycle("integration-deleted").await,
        "IGNORED",
        "known"
    );
    assert_eq!(app.known().await["state"], "DELETED");
    app.simulator.clear_requests();
    app.work().await;
    assert!(app.simulator.requests().is_empty());
}

// Rule 17, F63: even where the deletion is the first that is heard of the integration.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_before_everything_else_keeps_the_integration_from_being_fetched() {
    let app = TestApp::with(crate::support::app::Setup {
        register: false,
        ..crate::support::app::Setup::default()
    })
    .await;
    assert_eq!(
        app.lifecycle("integration-deleted").await,
        "INTEGRATION_UPDATED"
    );
    assert_eq!(app.lifecycle("integration-created").await, "IGNORED");
    let models = json!({ "changed_models": [{ "name": "lms_users" }] });
    assert_eq!(app.tell_of("data-changed", models).await, "IGNORED");
    app.work().await;
    assert!(app.simulator.requests().is_empty());
    assert_eq!(
        app.count("SELECT count(*) AS count FROM endpoint_states")
            .await,
        0
    );
}

// F63: whatever is said of a deleted integration is stored and followed by nothing.
#[tokio::test(flavor = "multi_thread")]
async fn no_kind_of_news_brings_a_deleted_integration_back() {
    let app = TestApp::loaded().await;
    app.lifecycle("integration-deleted").await;
    let before = app.known().await;
    let now = written(app.simulator.now());
    for (kind, more) in [
        (
            "data-changed",
            json!({ "changed_models": [{ "name": "lms_users" }] }),
        ),
        ("data-changed", json!({})),
        (
            "sync-finished",
            json!({ "sync_state": "SUCCEEDED", "sync_ended_at": now }),
        ),
        (
            "integration-state-changed",
            json!({ "state": "ACTIVE", "setup_status": "COMPLETED", "updated_at": now }),
        ),
    ] {
        assert_eq!(app.tell_of(kind, more).await, "IGNORED", "{kind}");
    }
    assert_eq!(app.known().await, before);
    assert_eq!(app.open_runs().await, 0);
    assert_eq!(
        app.count("SELECT count(*) AS count FROM webhook_events")
            .await,
        5,
        "all are stored"
    );
}

// Rule 17: an issue says nothing that could be kept, but Kombo knows more now.
#[tokio::test(flavor = "multi_thread")]
async fn an_issue_makes_the_details_due_at_once() {
    let app = TestApp::loaded().await;
    app.engine
        .refresh_integrations()
        .await
        .expect("Kombo answers");
    assert_eq!(
        app.engine
            .refresh_integrations()
            .await
            .expect("Kombo answers"),
        0
    );
    let integration = json!({ "id": app.integration(), "tool": "sandbox", "category": "LMS",
        "end_user": { "organization_name": "Acme Learning", "creator_email": null, "origin_id": null } });
    let issue = |integration: Value| {
        json!({
            "change": "raised",
            "issue": { "id": "i1", "type": "integration.authentication_failed", "status": "OPEN" },
            "integration": integration,
        })
    };
    let kind = "issue-status-changed";
    assert_eq!(
        app.tell(kind, issue(integration)).await,
        "INTEGRATION_UPDATED"
    );
    assert_eq!(app.known().await["organization_name"], "Acme Learning");
    assert_eq!(
        app.engine
            .refresh_integrations()
            .await
            .expect("Kombo answers"),
        1
    );
    let of_everything = issue(Value::Null);
    assert_eq!(app.tell(kind, of_everything).await, "IGNORED");
    let of_another_product = issue(json!({ "id": "personio:1", "category": "HRIS" }));
    assert_eq!(app.tell(kind, of_another_product).await, "IGNORED");
    assert_eq!(
        app.engine
            .refresh_integrations()
            .await
            .expect("Kombo answers"),
        0
    );
}

// F58: kinds that a mirror does not act on.
#[tokio::test(flavor = "multi_thread")]
async fn failed_connections_remote_events_and_unknown_kinds_are_stored_and_ignored() {
    let app = TestApp::loaded().await;
    let before = app.known().await;
    let flow = json!({ "integration_tool": "sandbox", "integration_category": "LMS",
        "end_user": { "organization_name": "Acme" }, "log_url": "https://app.kombo.dev/logs" });
    assert_eq!(app.tell("connection-flow-failed", flow).await, "IGNORED");
    for kind in [
        "remote-event-received",
        "assessment:order-received",
        "tea-ready",
        "",
    ] {
        assert_eq!(app.tell_of(kind, json!({})).await, "IGNORED", "{kind}");
    }
    assert_eq!(app.known().await, before);
    assert_eq!(app.open_runs().await, 0);
    assert_eq!(
        app.count("SELECT count(*) AS count FROM webhook_events")
            .await,
        5
    );
}

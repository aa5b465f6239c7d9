//! The door for Kombo's events.

use kombo_mirror::simulator::{self, Endpoint};
use kombo_mirror::webhook;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{SECRET, Setup};
use crate::support::look::text;

/// A `data-changed` event of the first integration.
pub(crate) fn changed(app: &TestApp, id: &str, models: &[&str]) -> Value {
    let models: Vec<_> = models.iter().map(|name| json!({ "name": name })).collect();
    json!({
        "id": id,
        "type": "data-changed",
        "data": {
            "integration_id": app.integration(),
            "integration_tool": "sandbox",
            "integration_category": "LMS",
            "changed_models": models,
        },
    })
}

impl TestApp {
    async fn post_signed(&self, body: &[u8]) -> (u16, Value) {
        let signature = simulator::sign(SECRET, body);
        self.post_webhook(body.to_vec(), Some(&signature)).await
    }

    async fn stored_events(&self) -> i64 {
        self.count("SELECT count(*) AS count FROM webhook_events")
            .await
    }

    pub(crate) async fn outcome(&self, event: &str) -> String {
        let row = self
            .row(&format!(
                "SELECT outcome FROM webhook_events WHERE id = '{event}'"
            ))
            .await;
        text(&row["outcome"])
    }

    /// Nothing came of what was refused, and the next good event is accepted.
    async fn assert_untouched_and_alive(&self) {
        assert_eq!(self.stored_events().await, 0);
        assert_eq!(self.open_runs().await, 0);
        let good = changed(self, "a-good-one", &["lms_users"]);
        assert_eq!(self.webhook(&good).await, 200);
        assert_eq!(self.outcome("a-good-one").await, "QUEUED_SYNC");
    }
}

// Rule 1, F58
#[tokio::test(flavor = "multi_thread")]
async fn a_signed_body_that_is_no_json_object_is_refused() {
    let app = TestApp::start().await;
    for body in ["", "hello", "[]", "null", "7", "{\"id\":"] {
        let (status, answer) = app.post_signed(body.as_bytes()).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (400, &"MALFORMED".into()),
            "{body}"
        );
    }
    let not_utf8 = app.post_signed(b"{\"id\":\"\xff\"}").await;
    assert_eq!(not_utf8.0, 400);
    app.assert_untouched_and_alive().await;
}

// F58: refused, it would be sent again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_signed_event_that_cannot_be_used_is_stored_and_ignored() {
    let app = TestApp::start().await;
    let long = "x".repeat(10_000);
    let bodies = [
        "{}".to_owned(),
        r#"{"type":"data-changed","data":{}}"#.to_owned(),
        r#"{"id":"1","data":{}}"#.to_owned(),
        r#"{"id":"2","type":"data-changed"}"#.to_owned(),
        r#"{"id":"3","type":"data-changed","data":{"changed_models":[]}}"#.to_owned(),
        r#"{"id":7,"type":"data-changed","data":{}}"#.to_owned(),
        r#"{"id":"4","type":"integration-created","data":{}}"#.to_owned(),
        r#"{"id":"5","type":"integration-deleted","data":[]}"#.to_owned(),
        r#"{"id":"6","type":"integration-state-changed","data":{"integration_id":null}}"#
            .to_owned(),
        r#"{"id":"7","type":"sync-finished","data":{"integration_id":["a"]}}"#.to_owned(),
        r#"{"id":"8","type":"issue-status-changed","data":{"integration":{"id":""}}}"#.to_owned(),
        // no key of an index could hold these
        format!(r#"{{"id":"9","type":"data-changed","data":{{"integration_id":"{long}"}}}}"#),
        format!(r#"{{"id":"{long}","type":"tea-ready","data":{{"integration_id":"{long}"}}}}"#),
    ];
    for body in &bodies {
        let (status, answer) = app.post_signed(body.as_bytes()).await;
        assert_eq!(
            (status, &answer["outcome"]),
            (200, &"IGNORED".into()),
            "{body}"
        );
    }
    assert_eq!(app.stored_events().await, 13);
    assert_eq!(app.open_runs().await, 0);
    assert_eq!(
        app.count("SELECT count(*) AS count FROM integrations")
            .await,
        1,
        "nobody new"
    );
}

// F58: without an id of its own an event is known by its body.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_an_id_is_a_duplicate_the_second_time() {
    let app = TestApp::loaded().await;
    let mut event = changed(&app, "", &["lms_users"]);
    event.as_object_mut().expect("an object").remove("id");
    let body = event.to_string();
    let first = app.post_signed(body.as_bytes()).await;
    assert_eq!((first.0, &first.1["outcome"]), (200, &"QUEUED_SYNC".into()));
    let second = app.post_signed(body.as_bytes()).await;
    assert_eq!((second.0, &second.1["outcome"]), (200, &"DUPLICATE".into()));
    let row = app.row("SELECT id, duplicates FROM webhook_events").await;
    assert!(text(&row["id"]).starts_with("sha256:"), "{row}");
    assert_eq!(row["duplicates"], 1);
    assert_eq!(app.open_runs().await, 1);
}

// F58: the safe reading of models that cannot be read is that anything changed, providers too.
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_models_queue_every_endpoint() {
    for models in [
        json!(null),
        json!("lms_users"),
        json!(["lms_users"]),
        json!([{ "name": "lms_users" }, {}]),
    ] {
        let app = TestApp::loaded().await;
        let mut event = changed(&app, "odd", &[]);
        event["data"]["changed_models"] = models;
        assert_eq!(app.webhook(&event).await, 200);
        assert_eq!(app.outcome("odd").await, "QUEUED_SYNC");
        assert_eq!(app.open_runs().await, 4);
        assert_eq!(app.last_run("courses").await["mode"], "FULL");
        assert_eq!(app.last_run("users").await["mode"], "DELTA");
        app.work().await;
        app.assert_mirrors_the_truth().await;
    }
}

// Rule 1, F55, F56
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_wrong_signature_is_refused_in_json() {
    let app = TestApp::start().await;
    let body = changed(&app, "forged", &["lms_users"])
        .to_string()
        .into_bytes();
    let good = simulator::sign(SECRET, &body);
    let other_secret = simulator::sign("other", &body);
    let other_body = simulator::sign(SECRET, b"{}");
    let cut = &good[..good.len() - 1];
    for signature in [
        None,
        Some(""),
        Some("x"),
        Some(cut),
        Some(&other_secret),
        Some(&other_body),
        Some("=/+ %"),
    ] {
        let (status, answer) = app.post_webhook(body.clone(), signature).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (401, &"SIGNATURE_INVALID".into()),
            "{signature:?}"
        );
    }
    app.assert_untouched_and_alive().await;
}

// Rule 1
#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_refused() {
    let app = TestApp::start().await;
    let body = vec![b' '; webhook::LARGEST_BODY + 1];
    let (status, answer) = app.post_signed(&body).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (413, &"PAYLOAD_TOO_LARGE".into())
    );
    app.assert_untouched_and_alive().await;
}

// Rule 1: read to its end, so that a sender that is still sending sees the answer.
#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_are_refused_with_an_answer() {
    let app = TestApp::start().await;
    let body = vec![b' '; 10 * 1024 * 1024];
    let (status, answer) = app.post_signed(&body).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (413, &"PAYLOAD_TOO_LARGE".into())
    );
    app.assert_untouched_and_alive().await;
}

// Rule 1
#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_refused() {
    let app = TestApp::start().await;
    let answer = reqwest::get(app.url("/webhooks/kombo"))
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 405);
}

// Rule 1, F58
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_type_is_stored_and_ignored() {
    let app = TestApp::start().await;
    let event = json!({ "id": "tea", "type": "tea-ready", "data": { "integration_id": app.integration(), "x": 1 } });
    assert_eq!(app.webhook(&event).await, 200);
    assert_eq!(app.outcome("tea").await, "IGNORED");
    assert_eq!(app.open_runs().await, 0);
    let row = app.row("SELECT payload FROM webhook_events").await;
    assert_eq!(row["payload"], event.to_string());
}

// Rule 1: Kombo has other products too.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_another_product_is_stored_and_ignored() {
    let app = TestApp::start().await;
    let event = json!({
        "id": "hris",
        "type": "data-changed",
        "data": {
            "integration_id": "personio:1",
            "integration_category": "HRIS",
            "changed_models": [{ "name": "hris_employees" }],
        },
    });
    assert_eq!(app.webhook(&event).await, 200);
    assert_eq!(app.outcome("hris").await, "IGNORED");
    assert_eq!(app.open_runs().await, 0);
    assert_eq!(
        app.count("SELECT count(*) AS count FROM integrations WHERE id = 'personio:1'")
            .await,
        0
    );
}

// Rules 1 and 17
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_integration_is_registered_and_loaded() {
    let app = TestApp::with(Setup {
        register: false,
        ..Setup::default()
    })
    .await;
    app.work().await;
    assert!(app.simulator.requests().is_empty(), "nothing is known yet");
    assert_eq!(
        app.webhook(&changed(&app, "first", &["lms_users"])).await,
        200
    );
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 17
#[tokio::test(flavor = "multi_thread")]
async fn a_created_integration_is_registered_and_loaded() {
    let app = TestApp::loaded().await;
    let created = app.simulator.add_integration();
    app.settle().await;
    let row = app
        .row(&format!(
            "SELECT tool, category FROM integrations WHERE id = '{created}'"
        ))
        .await;
    assert_eq!(row, json!({ "tool": "workday", "category": "LMS" }));
    app.assert_mirrors_the_truth().await;
}

// Rule 1: the safe reading.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_lms_model_queues_every_endpoint() {
    let app = TestApp::loaded().await;
    let event = changed(&app, "badges", &["lms_badges"]);
    assert_eq!(app.webhook(&event).await, 200);
    assert_eq!(app.outcome("badges").await, "QUEUED_SYNC");
    assert_eq!(app.open_runs().await, 4);
}

// Rule 17: what works on a deleted integration stops, and nothing begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_integration_has_no_open_runs() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    app.webhook(&changed(&app, "before", &["lms_users", "lms_courses"]))
        .await;
    assert_eq!(app.open_runs().await, 2);
    app.simulator.delete_integration(&integration);
    app.simulator.flush_webhooks().await;
    assert_eq!(app.open_runs().await, 0);
    assert_eq!(
        app.count("SELECT count(*) AS count FROM sync_runs WHERE status = 'CANCELLED'")
            .await,
        2
    );
    let row = app.row("SELECT state, deleted_at FROM integrations").await;
    assert_eq!(row["state"], "DELETED");
    assert_ne!(row["deleted_at"], Value::Null);
}

// F63
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_for_a_deleted_integration_fetches_nothing() {
    let app = TestApp::loaded().await;
    let late = changed(&app, "late", &["lms_users"]);
    app.simulator.delete_integration(&app.integration());
    app.simulator.flush_webhooks().await;
    app.simulator.clear_requests();
    assert_eq!(app.webhook(&late).await, 200);
    assert_eq!(app.outcome("late").await, "IGNORED");
    app.simulator
        .advance_clock(std::time::Duration::from_secs(30 * 24 * 3600));
    app.work().await;
    assert!(app.simulator.requests().is_empty());
}

// F63: an integration that Kombo does not know (any more) fails visibly and rarely.
#[tokio::test(flavor = "multi_thread")]
async fn an_integration_that_kombo_does_not_know_is_asked_for_rarely() {
    let app = TestApp::loaded().await;
    let mut event = changed(&app, "ghost", &["lms_users"]);
    event["data"]["integration_id"] = json!("ghost:1");
    app.simulator.clear_requests();
    assert_eq!(app.webhook(&event).await, 200);
    app.work().await;
    for _ in 0..20 {
        app.simulator
            .advance_clock(std::time::Duration::from_secs(60));
        app.work().await;
    }
    let requests = app.requests_to(Endpoint::Users);
    assert!((1..=4).contains(&requests.len()), "{}", requests.len());
    let state = app.row("SELECT error_code FROM endpoint_states WHERE integration_id = 'ghost:1' AND endpoint = 'users'").await;
    assert_eq!(state["error_code"], "PLATFORM.INTEGRATION_NOT_FOUND");
}

// Rule 1: inbox and queue in one transaction, and only then 200.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_run_cannot_be_queued_is_not_accepted() {
    let app = TestApp::loaded().await;
    app.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full'; END $$",
    )
    .await;
    app.sql(
        "CREATE TRIGGER refuse BEFORE INSERT ON sync_runs FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    .await;
    let event = changed(&app, "unlucky", &["lms_users"]);
    let (status, answer) = app.post_signed(event.to_string().as_bytes()).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (503, &"NOT_STORED".into())
    );
    assert!(
        !answer.to_string().contains("disk full"),
        "internals do not leak"
    );
    assert_eq!(app.stored_events().await, 0);
    app.sql("DROP TRIGGER refuse ON sync_runs").await;
    assert_eq!(
        app.webhook(&event).await,
        200,
        "the sender's second try is no duplicate"
    );
    assert_eq!(app.open_runs().await, 1);
}

// Rule 1, F28: the same event at the same time on many connections.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_at_the_same_time_are_one_event() {
    let app = TestApp::loaded().await;
    let event = changed(&app, "storm", &["lms_users", "lms_course_providers"]);
    let deliveries = (0..12).map(|_| app.webhook(&event));
    let statuses = futures_util::future::join_all(deliveries).await;
    assert_eq!(statuses, [200; 12]);
    let row = app.row("SELECT duplicates FROM webhook_events").await;
    assert_eq!(row["duplicates"], 11);
    assert_eq!(app.open_runs().await, 2);
}

// Rule 1, F60: an accepted event must be stored, whatever is in it.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_characters_that_postgres_refuses_is_stored() {
    let app = TestApp::loaded().await;
    let mut event = changed(&app, "nul\u{0}", &["lms_users", "lms_\u{0}"]);
    event["data"]["note"] = json!("\u{0}");
    assert_eq!(app.webhook(&event).await, 200);
    assert_eq!(app.stored_events().await, 1);
    assert_eq!(app.open_runs().await, 4);
}

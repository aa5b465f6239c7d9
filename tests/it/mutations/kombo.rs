//! Kombo's own sync is asked for.

use std::time::Duration;

use serde_json::{Value, json};

use super::FORCE;
use crate::support::TestApp;
use crate::support::app::ADMIN;
use crate::support::look::text;

// F74: one at a time is Kombo's promise, and its answer says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_can_be_asked_of_kombo() {
    let app = TestApp::loaded().await;
    let variables = json!({ "id": app.integration() });
    let first = app.mutate(FORCE, variables.clone()).await["requestKomboSync"].take();
    assert_eq!(
        (&first["alreadyQueued"], &first["mode"]),
        (&json!(false), &json!("FULL"))
    );
    let delta = FORCE.replace("$id)", "$id, mode: DELTA)");
    let second = app.mutate(&delta, variables).await["requestKomboSync"].take();
    assert_eq!(second["alreadyQueued"], true);
    assert_eq!(second["syncId"], first["syncId"]);
    assert_eq!(second["mode"], "FULL", "the one that runs");
    let asked = app.simulator.requests();
    let asked = asked
        .iter()
        .rfind(|request| request.path == "/force-sync")
        .expect("asked");
    assert_eq!(
        (asked.method.as_str(), &asked.integration_id),
        ("POST", &Some(app.integration()))
    );
    app.simulator.advance_clock(Duration::from_secs(10));
    app.settle().await;
    let shown = app
        .query("{ integrations { nodes { lastKomboSyncState lastWebhookAt } } }")
        .await;
    let shown = &shown["integrations"]["nodes"][0];
    assert_eq!(shown["lastKomboSyncState"], "SUCCEEDED");
    assert!(shown["lastWebhookAt"].is_string());
}

// Rule 13: what Kombo says is passed on with its code.
#[tokio::test(flavor = "multi_thread")]
async fn kombos_refusal_is_an_upstream_error_with_kombos_code() {
    let app = TestApp::loaded().await;
    let error = async || {
        let answer = app
            .ask(ADMIN, FORCE, json!({ "id": app.integration() }))
            .await;
        answer["errors"][0]["extensions"].clone()
    };
    app.simulator.set_rate_limit(0);
    let limited = error().await;
    assert_eq!(limited["code"], "UPSTREAM_ERROR");
    assert_eq!(limited["komboCode"], "PLATFORM.RATE_LIMIT_EXCEEDED");
    assert!(limited["komboLogUrl"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kombo_that_does_not_answer_is_an_upstream_error() {
    let app = TestApp::loaded().await;
    let id = app.integration();
    app.simulator.stop().await;
    let answer = app.ask(ADMIN, FORCE, json!({ "id": id })).await;
    let error = &answer["errors"][0]["extensions"];
    assert_eq!(error["code"], "UPSTREAM_ERROR");
    assert!(text(&error["komboCode"]).starts_with("MIRROR."), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_that_kombo_does_not_know_is_refused_by_kombo() {
    let app = TestApp::loaded().await;
    let register = "mutation { registerIntegration(komboId: \"ghost:1\") { komboId state } }";
    assert_eq!(
        app.mutate(register, Value::Null).await["registerIntegration"],
        json!({ "komboId": "ghost:1", "state": "UNKNOWN" })
    );
    let answer = app.ask(ADMIN, FORCE, json!({ "id": "ghost:1" })).await;
    let error = &answer["errors"][0]["extensions"];
    assert_eq!(error["komboCode"], "PLATFORM.INTEGRATION_NOT_FOUND");
}

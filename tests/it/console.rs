//! Everything that the pages ask, asked of the server: a document that the schema does not fit would only show in a
//! browser.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::ADMIN;
use crate::support::look::text;
use crate::support::socket::Socket;

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/console")
        .join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of the console by name, each with the fragment that it uses.
fn documents() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/operator/src/documents");
    let fragment = source("operator/src/documents/run_parts.graphql");
    let names = fs::read_dir(folder).expect("a folder").map(|entry| {
        let name = entry.expect("a file").file_name();
        name.into_string().expect("a name")
    });
    names
        .filter(|name| name != "run_parts.graphql")
        .map(|name| {
            let mut document = source(&format!("operator/src/documents/{name}"));
            if document.contains("...RunParts") {
                document += &fragment;
            }
            (name.replace(".graphql", ""), document)
        })
        .collect()
}

/// What stands between two backticks is a query.
fn examples() -> Vec<String> {
    let text = source("plain/examples.js");
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// A mirror with a run that holds users back, and that run's opaque id.
async fn with_a_held_back_run() -> (TestApp, String) {
    let app = TestApp::loaded().await;
    app.simulator
        .inject(Fault::once(FaultKind::EmptyList).on(Endpoint::Users));
    app.fetch("users", Mode::Full).await;
    let runs = app
        .query("{ syncRuns(first: 1, filter: { endpoint: { eq: USERS } }) { nodes { id removalsHeldBack } } }")
        .await;
    let run = &runs["syncRuns"]["nodes"][0];
    assert!(run["removalsHeldBack"].as_i64() > Some(50), "{run}");
    let id = text(&run["id"]);
    (app, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_document_of_the_console_is_answered() {
    let (app, run) = with_a_held_back_run().await;
    let integration = app.integration();
    let queued = "mutation { triggerResync(input: { endpoints: [SKILLS] }) { runs { id } } }";
    let queued = app.ask(ADMIN, queued, Value::Null).await;
    let waiting = &queued["data"]["triggerResync"]["runs"][0]["id"];
    let page = json!({ "first": 20 });
    let one = json!({ "komboId": integration });
    // in an order in which each finds what it needs
    let asked = [
        ("scope", json!({})),
        ("integrations", page.clone()),
        ("integration", one.clone()),
        ("recent_runs", json!({ "integrations": [integration] })),
        (
            "runs",
            json!({ "first": 20, "filter": { "integrationKomboId": { "eq": integration }, "endpoint": { "eq": "USERS" } } }),
        ),
        (
            "held_back_runs",
            json!({ "integration": integration, "endpoint": "USERS" }),
        ),
        ("held_back_rows", json!({ "run": run, "first": 20 })),
        ("approve_removals", json!({ "run": run })),
        (
            "webhook_events",
            json!({ "first": 20, "filter": { "integrationKomboId": { "eq": integration } } }),
        ),
        ("parked_records", json!({ "first": 20, "withText": true })),
        ("schema_drift", page),
        ("cancel_run", json!({ "id": waiting })),
        (
            "resync",
            json!({ "input": { "integrationKomboId": integration, "endpoints": null, "mode": "FULL" } }),
        ),
        ("pause", one.clone()),
        ("resume", one.clone()),
        ("request_kombo_sync", one.clone()),
        ("register", one),
    ];
    let mut documents = documents();
    documents.remove("run_updated").expect("followed below");
    for (name, variables) in asked {
        let document = documents
            .remove(name)
            .unwrap_or_else(|| panic!("there is no {name}"));
        let answer = app.ask(ADMIN, &document, variables).await;
        assert_eq!(answer.get("errors"), None, "{name}: {answer}");
    }
    assert!(documents.is_empty(), "never asked: {documents:?}");
    app.work().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_follows_runs() {
    let app = TestApp::loaded().await;
    let mut socket = Socket::of(app.address, ADMIN).await;
    let payload = json!({ "query": documents()["run_updated"], "variables": { "integration": app.integration() } });
    socket
        .say(&json!({ "type": "subscribe", "id": "a", "payload": payload }))
        .await;
    app.wait_for_followers((1, 0)).await;
    app.enqueue(&app.integration(), "skills", Mode::Full).await;
    // what moved before may still be told
    while socket.event("a").await["syncRunUpdated"]["endpoint"] != "SKILLS" {}
    app.work().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_answered() {
    let app = TestApp::loaded().await;
    let examples = examples();
    assert!(examples.len() >= 8, "{} examples", examples.len());
    for example in examples {
        if example.contains("\nsubscription ") {
            let mut socket = Socket::of(app.address, ADMIN).await;
            socket.subscribe("a", &example).await;
            app.wait_for_followers((1, 0)).await;
            app.enqueue(&app.integration(), "skills", Mode::Full).await;
            socket.event("a").await;
        } else {
            let answer = app.ask(ADMIN, &example, Value::Null).await;
            assert_eq!(answer.get("errors"), None, "{example}: {answer}");
        }
    }
    app.work().await;
}

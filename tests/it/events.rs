//! What admins see of the inbox.

use async_graphql::Request;
use kombo_mirror::auth::{Scope, Viewer};
use kombo_mirror::graphql::Schema;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{ADMIN, READER};
use crate::support::look::text;

async fn events(app: &TestApp, arguments: &str) -> Value {
    let query = format!(
        "{{ webhookEvents{arguments} {{ totalCount pageInfo {{ hasNextPage endCursor }} nodes {{ id type \
         integrationKomboId receivedAt duplicates changedModels outcome runs {{ id endpoint status }} }} }} }}"
    );
    let mut answer = app.ask(ADMIN, &query, Value::Null).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["webhookEvents"].take()
}

/// Three events: changed data twice the same, and one of no use.
async fn three_events() -> TestApp {
    let app = TestApp::loaded().await;
    let changed = |id: &str, model: &str| {
        json!({ "id": id, "type": "data-changed", "data": {
            "integration_id": app.integration(),
            "integration_category": "LMS",
            "changed_models": [{ "name": model }],
        } })
    };
    for event in [
        changed("first", "lms_users"),
        changed("second", "lms_users"),
        changed("first", "lms_users"),
        json!({ "id": "third", "type": "tea-ready", "data": {} }),
    ] {
        assert_eq!(app.webhook(&event).await, 200);
        // so that no two are received in the same millisecond
        app.simulator
            .advance_clock(std::time::Duration::from_millis(2));
    }
    app
}

// Rule 1
#[tokio::test(flavor = "multi_thread")]
async fn every_event_says_what_became_of_it() {
    let app = three_events().await;
    let list = events(&app, "").await;
    assert_eq!(list["totalCount"], 3);
    let nodes = list["nodes"].as_array().expect("nodes");
    let of = |name: &str| {
        nodes
            .iter()
            .map(|node| node[name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("id"), ["third", "second", "first"], "newest first");
    assert_eq!(of("type"), ["tea-ready", "data-changed", "data-changed"]);
    assert_eq!(of("outcome"), ["IGNORED", "COALESCED", "QUEUED_SYNC"]);
    assert_eq!(of("duplicates"), [0, 0, 1]);
    assert_eq!(of("changedModels")[2], json!(["lms_users"]));
    assert_eq!(of("integrationKomboId")[0], Value::Null);
    assert_eq!(of("integrationKomboId")[1], app.integration());
    assert_eq!(of("runs")[0], json!([]));
    let run = &of("runs")[2][0];
    assert_eq!(
        (&run["endpoint"], &run["status"]),
        (&json!("USERS"), &json!("QUEUED"))
    );
    assert_eq!(
        of("runs")[1][0]["id"],
        run["id"],
        "the second joined the run of the first"
    );
    assert!(nodes.iter().all(|node| node["receivedAt"].is_string()));
}

// F67: a page begins behind a place, not after a number of rows.
#[tokio::test(flavor = "multi_thread")]
async fn events_come_page_by_page() {
    let app = three_events().await;
    let mut seen = Vec::new();
    let mut arguments = "(first: 1)".to_owned();
    loop {
        let page = events(&app, &arguments).await;
        seen.push(text(&page["nodes"][0]["id"]));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        arguments = format!("(first: 1, after: {})", page["pageInfo"]["endCursor"]);
        let late = json!({ "id": format!("late {}", seen.len()), "type": "tea-ready", "data": {} });
        app.webhook(&late).await;
    }
    assert_eq!(seen, ["third", "second", "first"]);
    for cursor in ["nonsense", "WyJORVdFU1RfRVZFTlQiLCAic29vbiIsICJhIl0"] {
        let query = format!("{{ webhookEvents(after: \"{cursor}\") {{ totalCount }} }}");
        let answer = app.ask(ADMIN, &query, Value::Null).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT",
            "{cursor}"
        );
    }
}

// F70: events name customers.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_for_admins_and_for_their_own_integrations() {
    let app = three_events().await;
    let query = "{ webhookEvents { totalCount nodes { id } } }";
    let answer = app.ask(READER, query, Value::Null).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(answer["data"], Value::Null);
    let schema = Schema::new(
        Some(app.engine.clone()),
        &kombo_mirror::config::GraphqlSettings::default(),
    );
    let seen_by = async |integration: &str| {
        let viewer = Viewer {
            scope: Scope::Admin,
            integrations: Some(vec![integration.to_owned()]),
            name: "one customer".to_owned(),
            expires_at: None,
        };
        let answer = schema.execute(Request::new(query), viewer).await;
        let answer = serde_json::to_value(&answer).expect("an answer");
        answer["data"]["webhookEvents"]["totalCount"].clone()
    };
    assert_eq!(
        seen_by(&app.integration()).await,
        2,
        "not those that name nobody"
    );
    assert_eq!(seen_by("nobody:1").await, 0);
}

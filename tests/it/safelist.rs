//! A server that runs only the operations of a list.

use std::fs;

use kombo_mirror::config::{
    GraphqlSettings, RawGraphqlSettings, RawSettings, SafeOperation, Settings,
};
use kombo_mirror::graphql::Schema;
use serde_json::{Value, json};

use crate::http::{AS_READER, Answer, JSON, get, post, routes, send};
use crate::support::TestApp;
use crate::support::app::READER;

const COUNT: &str = "query Count($n: Int) { users(first: $n) { totalCount } }";
const RESYNC: &str = "mutation Resync { triggerResync(input: {}) { coalesced } }";

fn settings() -> GraphqlSettings {
    let operation = |id: &str, body: &str| SafeOperation {
        id: id.to_owned(),
        body: body.to_owned(),
    };
    GraphqlSettings {
        safelist: Some(vec![
            operation("c0ffee", COUNT),
            operation("sha256:beef", RESYNC),
        ]),
        ..GraphqlSettings::default()
    }
}

fn safe(app: &TestApp) -> axum::Router {
    routes(app, |state| {
        state.schema = Schema::new(Some(state.engine.clone()), &settings());
    })
}

async fn ask(routes: &axum::Router, body: Value) -> Answer {
    let modern = ("accept", "application/graphql-response+json");
    send(
        routes.clone(),
        post(&[JSON, AS_READER, modern], body.to_string()),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_operation_runs_however_it_is_named() {
    let app = TestApp::start().await;
    let routes = safe(&app);
    let data = json!({ "data": { "users": { "totalCount": 0 } } });
    for body in [
        json!({ "id": "c0ffee" }),
        json!({ "id": "c0ffee", "variables": { "n": 3 }, "operationName": "Count" }),
        json!({ "documentId": "c0ffee" }),
        json!({ "documentId": "sha256:c0ffee" }),
        json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "c0ffee" } } }),
        json!({ "query": COUNT }),
        json!({ "query": COUNT, "id": "Count" }),
        json!({ "query": COUNT, "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "c0ffee" } } }),
    ] {
        let answer = ask(&routes, body.clone()).await;
        assert_eq!(answer.json(), data, "{body}");
    }
    for query_string in [
        "documentId=c0ffee&variables=%7B%22n%22%3A1%7D",
        "id=c0ffee",
        "extensions=%7B%22persistedQuery%22%3A%7B%22version%22%3A1%2C%22sha256Hash%22%3A%22c0ffee%22%7D%7D",
    ] {
        let path = format!("/graphql?{query_string}");
        let answer = send(routes.clone(), get(&path, Some(READER))).await;
        assert_eq!(answer.json(), data, "{query_string}");
    }
    // an id is no way around what GET may do
    let mutation = get("/graphql?documentId=beef", Some(READER));
    assert_eq!(send(routes, mutation).await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_listed_is_forbidden_and_never_learnt() {
    let app = TestApp::start().await;
    let routes = safe(&app);
    let log = app.note_statements().await;
    let other = "{ users { totalCount } }";
    for body in [
        json!({ "query": other }),
        json!({ "query": format!("{COUNT} ") }),
        json!({ "query": other, "id": "c0ffee" }),
        json!({ "query": "{ __schema { types { name } } }" }),
        json!({ "id": "abc" }),
        json!({ "documentId": "abc" }),
        json!({ "query": other, "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "abc" } } }),
        json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "abc" } } }),
    ] {
        let answer = ask(&routes, body.clone()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (403, "FORBIDDEN".into()),
            "{body}"
        );
        assert!(answer.text.contains("safelist"), "{}", answer.text);
        // the words that ask Apollo's client to register
        assert!(!answer.text.contains("PersistedQueryNotFound"));
    }
    assert_eq!(log.take(), Vec::<String>::new());
    // a listed operation has its limits, too
    let answer = ask(
        &routes,
        json!({ "id": "c0ffee", "variables": { "n": 501 } }),
    )
    .await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "BAD_USER_INPUT".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_safelist_ids_are_not_supported() {
    let app = TestApp::start().await;
    let routes = routes(&app, |_| ());
    for body in [
        json!({ "id": "c0ffee" }),
        json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "abc" } } }),
    ] {
        let answer = ask(&routes, body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "BAD_USER_INPUT".into())
        );
        // the words that make Apollo's client send the text
        let message = &answer.json()["errors"][0]["message"];
        assert_eq!(message, "PersistedQueryNotSupported");
    }
}

#[tokio::test]
async fn every_operation_of_a_list_is_checked_at_start() {
    let manifest = json!({
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [
            { "id": "fine", "body": COUNT, "name": "Count", "type": "query" },
            { "id": "needs-a-variable", "body": "query($id: ID!) { user(komboId: $id) { id } }" },
            { "id": "mutation", "body": RESYNC },
            { "id": "broken", "body": "{ users {" },
            { "id": "unknown", "body": "{ customers { id } }" },
            { "id": "endless", "body": "{ users(first: 500) { nodes { courseProgressions(first: 500) { nodes { id status komboId remoteId } } } } }" },
        ],
    });
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), manifest.to_string()).expect("it is written");
    let raw = RawSettings {
        database_url: Some("postgres://localhost/kombo".to_owned()),
        kombo_api_key: Some("key".to_owned()),
        kombo_webhook_secret: Some("secret".to_owned()),
        api_read_tokens: Some("reader".to_owned()),
        graphql: RawGraphqlSettings {
            graphql_safelist: Some(file.path().display().to_string()),
            ..RawGraphqlSettings::default()
        },
        ..RawSettings::default()
    };
    let settings = Settings::check(&raw).expect("they can be read");
    let problems = Schema::safelist_problems(&settings.graphql).await;
    let named: Vec<bool> = ["broken", "unknown", "endless"]
        .iter()
        .map(|id| {
            problems
                .iter()
                .any(|problem| problem.contains(&format!("{id:?}")))
        })
        .collect();
    assert_eq!((problems.len(), named), (3, vec![true; 3]), "{problems:?}");
}

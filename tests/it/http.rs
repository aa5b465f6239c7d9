//! The HTTP side: who gets in, what is refused how, and GraphQL over HTTP to the letter.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use kombo_mirror::auth::Authenticator;
use kombo_mirror::config::AuthSettings;
use kombo_mirror::graphql::Schema;
use kombo_mirror::http::{self, App};
use kombo_mirror::{clock, db};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::TestApp;
use crate::support::app::{ADMIN, READER, SECRET};
use crate::support::database::TestDatabase;

pub(crate) const QUERY: &str = r#"{"query":"{ users { totalCount } }"}"#;

pub(crate) fn authenticator(settings: &AuthSettings) -> Authenticator {
    Authenticator::new(settings, clock::wall()).expect("an authenticator")
}

/// The server's routes over the test's database; what a test changes is changed before.
pub(crate) fn routes(app: &TestApp, change: impl FnOnce(&mut App)) -> axum::Router {
    let mut state = App {
        engine: app.engine.clone(),
        intake: app.engine.pool.clone(),
        schema: Schema::new(
            Some(app.engine.clone()),
            &kombo_mirror::config::GraphqlSettings::default(),
        ),
        live: app.live.clone(),
        sockets: app.sockets.clone(),
        auth: authenticator(&AuthSettings::Tokens {
            read: vec![READER.into()],
            admin: vec![ADMIN.into()],
            jwt: None,
        }),
        webhook_secrets: Arc::new(vec![SECRET.into()]),
    };
    change(&mut state);
    http::routes(state)
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(crate) fn code(&self) -> Value {
        self.json()["errors"][0]["extensions"]["code"].clone()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.transpose().expect("a text").unwrap_or_default()
    }
}

pub(crate) async fn send(routes: axum::Router, request: Request<Body>) -> Answer {
    let response = routes.oneshot(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body");
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8(body.to_vec()).expect("a text"),
    }
}

pub(crate) fn post(headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post("/graphql");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).expect("a request")
}

pub(crate) fn get(path: &str, token: Option<&str>) -> Request<Body> {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Body::empty()).expect("a request")
}

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const AS_READER: (&str, &str) = ("authorization", "Bearer test-reader");

#[tokio::test(flavor = "multi_thread")]
async fn without_a_known_token_nobody_gets_in() {
    let app = TestApp::start().await;
    let routes = routes(&app, |_| ());
    let strangers = [
        "",
        "Bearer",
        "Bearer wrong",
        "Basic dGVzdC1yZWFkZXI6",
        "test-reader",
    ];
    for authorization in strangers {
        let request = post(&[JSON, ("authorization", authorization)], QUERY);
        let answer = send(routes.clone(), request).await;
        assert_eq!(answer.status, 401, "{authorization:?}");
        // RFC 6750, section 3.1: who gave no token is told nothing of one
        let expected = match authorization {
            "Bearer wrong" => "Bearer error=\"invalid_token\"",
            _ => "Bearer",
        };
        assert_eq!(answer.header("www-authenticate"), expected);
        assert_eq!(answer.code(), "UNAUTHENTICATED");
        assert_eq!(answer.json().get("data"), None);
    }
    assert_eq!(send(routes.clone(), post(&[JSON], QUERY)).await.status, 401);
    let by_get = get("/graphql?query=%7B__typename%7D", None);
    assert_eq!(send(routes.clone(), by_get).await.status, 401);
    assert_eq!(
        send(routes, post(&[JSON, AS_READER], QUERY)).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_auth_off_everybody_is_let_in() {
    let app = TestApp::start().await;
    let routes = routes(&app, |app| app.auth = authenticator(&AuthSettings::Off));
    let answer = send(routes.clone(), post(&[JSON], QUERY)).await;
    assert_eq!(answer.json()["data"]["users"]["totalCount"], 0);
    let mutation = r#"{"query":"mutation { triggerResync(input: {}) { runs { requestedBy } } }"}"#;
    let answer = send(routes, post(&[JSON], mutation)).await.json();
    assert_eq!(
        answer["data"]["triggerResync"]["runs"]
            .as_array()
            .map(Vec::len),
        Some(4)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_request_is_refused_by_its_fault() {
    let app = TestApp::start().await;
    let routes = routes(&app, |_| ());
    let too_long = format!(
        r#"{{"query":"{{ users {{ totalCount }} }} #{}"}}"#,
        "x".repeat(2_000_000)
    );
    let text = ("content-type", "text/plain");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let with_charset = ("content-type", "application/json; charset=utf-8");
    for (content_type, body, status, code) in [
        (Some(JSON), "{", 400, "BAD_USER_INPUT"),
        (Some(JSON), "", 400, "BAD_USER_INPUT"),
        (Some(JSON), "[]", 400, "BAD_USER_INPUT"),
        (Some(JSON), "{}", 400, "BAD_USER_INPUT"),
        (Some(JSON), "{\"query\": 7}", 400, "BAD_USER_INPUT"),
        (Some(JSON), "\u{1}", 400, "BAD_USER_INPUT"),
        (Some(text), QUERY, 415, "BAD_USER_INPUT"),
        (Some(form), QUERY, 415, "BAD_USER_INPUT"),
        (None, QUERY, 415, "BAD_USER_INPUT"),
        (Some(JSON), too_long.as_str(), 413, "PAYLOAD_TOO_LARGE"),
    ] {
        let headers: Vec<_> = content_type.into_iter().chain([AS_READER]).collect();
        let answer = send(routes.clone(), post(&headers, body.to_owned())).await;
        let start: String = body.chars().take(20).collect();
        assert_eq!(answer.status, status, "{start}");
        assert_eq!(answer.code(), code, "{start}");
    }
    let answer = send(routes, post(&[with_charset, AS_READER], QUERY)).await;
    assert_eq!(answer.status, 200);
}

// GraphQL over HTTP, section 6: GET is for queries only
#[tokio::test(flavor = "multi_thread")]
async fn get_answers_queries_and_refuses_mutations() {
    let app = TestApp::start().await;
    let routes = routes(&app, |_| ());
    let read = async |query: &str, token| {
        let mut url = url::Url::parse("http://mirror/graphql").expect("a URL");
        url.query_pairs_mut().append_pair("query", query);
        let path = format!("/graphql?{}", url.query().expect("a query"));
        send(routes.clone(), get(&path, Some(token))).await
    };
    let answer = read("{ users { totalCount } }", READER).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({ "data": { "users": { "totalCount": 0 } } })
    );
    let mutation = "mutation { triggerResync(input: {}) { coalesced } }";
    let answer = read(mutation, ADMIN).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), "POST");
    assert_eq!(
        app.count("SELECT count(*) AS count FROM sync_runs").await,
        0
    );
    // variables and a name choose the operation; the query of the two is allowed
    let path = "/graphql?query=query%20Q(%24n%3AInt)%7Busers(first%3A%24n)%7BtotalCount%7D%7D\
                mutation%20M%7BtriggerResync(input%3A%7B%7D)%7Bcoalesced%7D%7D&variables=%7B%22n%22%3A1%7D&operationName=";
    let query = send(routes.clone(), get(&format!("{path}Q"), Some(ADMIN))).await;
    assert_eq!(
        query.json(),
        json!({ "data": { "users": { "totalCount": 0 } } })
    );
    let mutation = send(routes.clone(), get(&format!("{path}M"), Some(ADMIN))).await;
    assert_eq!(mutation.status, 405);
    let nothing = send(routes.clone(), get("/graphql", Some(READER))).await;
    assert_eq!(nothing.status, 400);
    let request = Request::put("/graphql")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(send(routes, request).await.status, 405);
}

// GraphQL over HTTP, section 7.4: statuses differ by media type
#[tokio::test(flavor = "multi_thread")]
async fn the_media_type_decides_the_status_of_a_refused_request() {
    let app = TestApp::start().await;
    let routes = routes(&app, |_| ());
    let invalid = r#"{"query":"{ nothing }"}"#;
    let modern = "application/graphql-response+json";
    for (accept, body, status, content_type) in [
        (None, invalid, 200, "application/json"),
        (Some("application/json"), invalid, 200, "application/json"),
        (Some("*/*"), invalid, 200, "application/json"),
        (Some(modern), invalid, 400, modern),
        (
            Some("text/html, application/graphql-response+json;q=0.9"),
            invalid,
            400,
            modern,
        ),
        (Some(modern), r#"{"query":"{ unfinished"}"#, 400, modern),
        (Some(modern), QUERY, 200, modern),
        (None, QUERY, 200, "application/json"),
    ] {
        let accept = accept.map(|accept| ("accept", accept));
        let headers: Vec<_> = accept.into_iter().chain([JSON, AS_READER]).collect();
        let answer = send(routes.clone(), post(&headers, body)).await;
        assert_eq!(answer.status, status, "{accept:?} {body}");
        let expected = format!("{content_type}; charset=utf-8");
        assert_eq!(answer.header("content-type"), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_graphql_error_has_a_code() {
    let app = TestApp::start().await;
    let deep = "integration { users { nodes { ".repeat(8) + "id" + &" } } }".repeat(8);
    let deep = format!("{{ users {{ nodes {{ {deep} }} }} }}");
    for (query, code) in [
        ("{ users { nothing } }", "BAD_USER_INPUT"),
        ("{ users {", "BAD_USER_INPUT"),
        ("", "BAD_USER_INPUT"),
        ("{ users }", "BAD_USER_INPUT"),
        ("{ user { id } }", "BAD_USER_INPUT"),
        ("{ users(first: \"x\") { totalCount } }", "BAD_USER_INPUT"),
        ("{ users(last: 501) { totalCount } }", "BAD_USER_INPUT"),
        (
            "query A { __typename } query B { __typename }",
            "BAD_USER_INPUT",
        ),
        ("subscription { nothing }", "BAD_USER_INPUT"),
        (
            "{ a: users(first: -1) { totalCount } b: users(first: 9999) { totalCount } }",
            "BAD_USER_INPUT",
        ),
        (deep.as_str(), "QUERY_TOO_COMPLEX"),
    ] {
        let answer = app.ask(READER, query, Value::Null).await;
        let errors = answer["errors"].as_array().expect("errors");
        assert!(!errors.is_empty(), "{query}");
        for error in errors {
            assert_eq!(error["extensions"]["code"], code, "{query}: {error}");
        }
    }
    // what tools ask in order to learn the schema is not too deep
    let seven = "ofType { kind ".repeat(7) + &"}".repeat(7);
    app.query(&format!(
        "{{ __schema {{ types {{ fields {{ args {{ type {{ kind {seven} }} }} }} }} }} }}"
    ))
    .await;
}

// F72: what failed inside is named by a request id only
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_database_is_an_internal_error_without_details() {
    let app = TestApp::start().await;
    app.sql("ALTER TABLE users RENAME TO hidden_users").await;
    let query = "{ users { nodes { lastName } } skills { totalCount } }";
    let answer = app.ask(READER, query, Value::Null).await;
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "INTERNAL");
    let id = error["extensions"]["requestId"].as_str().expect("an id");
    assert_eq!(id.len(), 32);
    assert_eq!(error["path"], json!(["users"]));
    let text = answer.to_string().to_lowercase();
    for secret in [
        "select",
        "relation",
        "does not exist",
        "postgres",
        "hidden",
        ".rs",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    app.sql("ALTER TABLE hidden_users RENAME TO users").await;
    app.query(query).await;
}

// section 6.4.4 of the GraphQL specification
#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_nullable_root_field_leaves_the_others() {
    let app = TestApp::start().await;
    app.sql("ALTER TABLE users RENAME TO hidden_users").await;
    let query = "{ user(komboId: \"x\") { id } skills { totalCount } }";
    let answer = app.ask(READER, query, Value::Null).await;
    assert_eq!(
        answer["data"],
        json!({ "user": null, "skills": { "totalCount": 0 } })
    );
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["errors"][0]["path"], json!(["user"]));
    // a list may not be null, so nothing is left of the answer
    let answer = app
        .ask(
            READER,
            "{ users { totalCount } skills { totalCount } }",
            Value::Null,
        )
        .await;
    assert_eq!(answer["data"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_means_a_migrated_database_that_answers() {
    let app = TestApp::start().await;
    let ready = routes(&app, |_| ());
    assert_eq!(send(ready.clone(), get("/readyz", None)).await.status, 200);
    assert_eq!(send(ready, get("/healthz", None)).await.status, 200);

    let empty = TestDatabase::empty().await;
    let pool = db::pool(&empty.url().into(), 1).expect("a pool");
    let bare = routes(&app, |app| app.engine.pool = pool);
    let answer = send(bare.clone(), get("/readyz", None)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["code"], "NOT_MIGRATED");
    assert_eq!(send(bare, get("/healthz", None)).await.status, 200);

    let pool = db::pool(&"postgres://nobody@127.0.0.1:1/x".into(), 1).expect("a pool");
    let gone = routes(&app, |app| app.engine.pool = pool);
    let answer = send(gone, get("/readyz", None)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["code"], "DATABASE_UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_ready_on_a_schema_that_leaves_this_version_behind() {
    let app = TestApp::start().await;
    let routes = routes(&app, |_| ());
    app.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000001')")
        .await;
    let answer = send(routes.clone(), get("/readyz", None)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["code"], "SCHEMA_TOO_NEW");
    // the process is fine, and restarting it would not help
    assert_eq!(send(routes, get("/healthz", None)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_served_and_the_rest_is_not_found() {
    let app = TestApp::start().await;
    let routes = routes(&app, |_| ());
    for path in ["/", "/graphiql"] {
        let page = send(routes.clone(), get(path, None)).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.header("content-type").starts_with("text/html"));
        assert!(
            page.header("content-security-policy")
                .contains("default-src 'none'")
        );
    }
    for path in [
        "/console",
        "/console/assets/",
        "/nothing",
        "/graphql/x",
        "/webhooks",
        "/graphiql/assets/../../Cargo.toml",
    ] {
        let answer = send(routes.clone(), get(path, Some(ADMIN))).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.json()["error"]["code"], "NOT_FOUND");
    }
}

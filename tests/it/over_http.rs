//! GraphQL over HTTP by the letter: methods, media types, bodies, statuses, and pages of other origins.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use kombo_mirror::config::{AuthSettings, GraphqlSettings, Limit, Origins};
use kombo_mirror::graphql::Schema;
use kombo_mirror::http::App;
use serde_json::{Value, json};

use crate::http::{AS_READER, Answer, JSON, QUERY, authenticator, get, post, routes, send};
use crate::support::TestApp;
use crate::support::app::READER;

const MODERN: &str = "application/graphql-response+json";

fn with(settings: GraphqlSettings) -> impl FnOnce(&mut App) {
    move |app| app.schema = Schema::new(Some(app.engine.clone()), &settings)
}

/// What every answer has, whatever it says; one that is not 2xx is a GraphQL error.
fn assert_is_graphql(answer: &Answer, media: &str) {
    let expected = format!("{media}; charset=utf-8");
    assert_eq!(answer.header("content-type"), expected, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.header("vary").contains("accept"));
    if answer.status != 200 {
        let code = answer.code();
        assert!(code.is_string(), "{}: {}", answer.status, answer.text);
        assert_eq!(answer.json().get("data"), None, "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_graphql_error_in_the_media_type_of_the_client() {
    let app = TestApp::start().await;
    let small = GraphqlSettings {
        body: Limit::of(2000),
        ..GraphqlSettings::default()
    };
    let routes = routes(&app, with(small));
    let long = format!(r#"{{"query":"{{ a }} #{}"}}"#, "x".repeat(2000));
    let long_url = format!("/graphql?query={}", "x".repeat(2000));
    let method = |method: &str| {
        let request = Request::builder().method(method).uri("/graphql");
        request.body(Body::empty()).expect("a request")
    };
    let plain = ("content-type", "text/plain");
    let latin = ("content-type", "application/json; charset=latin1");
    let zipped = ("content-encoding", "gzip");
    for media in [MODERN, "application/json"] {
        for (status, mut request) in [
            (401, post(&[JSON], QUERY)),
            (401, get("/graphql?query={a}", None)),
            (405, method("PUT")),
            (405, method("DELETE")),
            (405, method("PATCH")),
            (405, method("OPTIONS")),
            (405, get("/graphql?query=mutation{x}", Some(READER))),
            (413, post(&[JSON, AS_READER], long.clone())),
            (414, get(&long_url, Some(READER))),
            (415, post(&[AS_READER], QUERY)),
            (415, post(&[plain, AS_READER], QUERY)),
            (415, post(&[latin, AS_READER], QUERY)),
            (415, post(&[JSON, zipped, AS_READER], QUERY)),
            (400, post(&[JSON, AS_READER], "{")),
            (400, get("/graphql", Some(READER))),
        ] {
            let accept = media.parse().expect("a header");
            request.headers_mut().insert("accept", accept);
            let what = format!("{} {}", request.method(), request.uri());
            let answer = send(routes.clone(), request).await;
            assert_eq!(answer.status, status, "{what}: {}", answer.text);
            assert_is_graphql(&answer, media);
            if status == 405 {
                let allow = answer.header("allow");
                assert!(allow == "GET, POST" || allow == "POST", "{what}");
            }
        }
    }
    let neither = post(&[JSON, AS_READER, ("accept", "text/html")], QUERY);
    let answer = send(routes.clone(), neither).await;
    assert_eq!(answer.status, 406);
    assert_is_graphql(&answer, "application/json");
    let head = send(routes, method("HEAD")).await;
    assert_eq!((head.status, head.header("allow")), (405, "GET, POST"));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_wrong_types_are_malformed_in_both_media_types() {
    let app = TestApp::start().await;
    let routes = routes(&app, |_| ());
    let fine = json!({ "query": "{ __typename }" });
    let body = |name: &str, value: Value| {
        let mut body = fine.clone();
        body[name] = value;
        body.to_string()
    };
    for accept in [MODERN, "application/json"] {
        let asked = async |body: String| {
            let headers = [JSON, AS_READER, ("accept", accept)];
            send(routes.clone(), post(&headers, body)).await
        };
        for (name, wrong) in [
            ("query", json!(7)),
            ("query", json!(["{ a }"])),
            ("query", json!(null)),
            ("query", json!("")),
            ("operationName", json!(7)),
            ("operationName", json!({})),
            ("variables", json!("{}")),
            ("variables", json!([1])),
            ("variables", json!(false)),
            ("extensions", json!("x")),
            ("extensions", json!([])),
        ] {
            let answer = asked(body(name, wrong.clone())).await;
            assert_eq!(answer.status, 400, "{name}: {wrong}");
            assert_eq!(answer.code(), "BAD_USER_INPUT");
            assert!(answer.text.contains(name), "{}", answer.text);
        }
        for (name, fine) in [
            ("operationName", json!(null)),
            ("variables", json!(null)),
            ("extensions", json!(null)),
            ("variables", json!({ "a": [1, { "b": null }] })),
            ("extensions", json!({ "a": 1 })),
            ("unknown", json!([1])),
            ("id", json!("beside a query")),
        ] {
            let answer = asked(body(name, fine.clone())).await;
            let data = json!({ "data": { "__typename": "Query" } });
            assert_eq!(answer.json(), data, "{name}: {fine}");
        }
        let batch = asked(format!("[{fine}]")).await;
        assert_eq!(batch.status, 400);
        assert!(batch.text.contains("batches"), "{}", batch.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_malformed() {
    let app = TestApp::start().await;
    let routes = routes(&app, |_| ());
    let asked = async |body: &[u8]| {
        let body = Bytes::copy_from_slice(body);
        send(routes.clone(), post(&[JSON, AS_READER], body)).await
    };
    for wrong in [
        b"{\"query\":\"{ __typename } #\xFF\"}".as_slice(),
        b"{\"query\":\"\\ud800\"}",
        b"\xFE\xFF\0{\0}",
        b"",
        b"   ",
        b"null",
        b"{} {}",
    ] {
        let answer = asked(wrong).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "BAD_USER_INPUT".into())
        );
    }
    let marked = asked(b"\xEF\xBB\xBF{\"query\":\"{ __typename }\"}").await;
    assert_eq!(marked.json()["data"]["__typename"], "Query");
    for query_string in [
        "query=%FF",
        "query={__typename}&variables=x",
        "query={__typename}&variables=[]",
        "query={__typename}&extensions=%22x%22",
    ] {
        let path = format!("/graphql?{query_string}").replace(['{', '}'], "%7B");
        let answer = send(routes.clone(), get(&path, Some(READER))).await;
        assert_eq!(answer.status, 400, "{query_string}");
    }
}

// What was not executed has no data, not even null; what was executed has, whatever failed in it.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_whether_the_operation_was_executed() {
    let app = TestApp::start().await;
    let routes = routes(&app, |_| ());
    let variables = json!({ "n": "x", "null": null });
    for (query, is_executed) in [
        ("{", false),
        ("{ nothing }", false),
        ("{ users(first: 501) { totalCount } }", false),
        ("query($n: Int) { users(first: $n) { totalCount } }", false),
        ("query($id: ID!) { user(komboId: $id) { id } }", false),
        (
            "query($null: ID! = 1) { user(komboId: $null) { id } }",
            false,
        ),
        ("query($id: ID! = 1) { user(komboId: $id) { id } }", true),
        ("query A { __typename } query B { __typename }", false),
        ("mutation { triggerResync(input: {}) { coalesced } }", true),
        ("{ users { totalCount } }", true),
    ] {
        let body = json!({ "query": query, "variables": variables }).to_string();
        for (accept, refused) in [(MODERN, 400), ("application/json", 200)] {
            let headers = [JSON, AS_READER, ("accept", accept)];
            let answer = send(routes.clone(), post(&headers, body.clone())).await;
            let status = if is_executed { 200 } else { refused };
            assert_eq!(answer.status, status, "{query}: {}", answer.text);
            let has_data = answer.json().get("data").is_some();
            assert_eq!(has_data, is_executed, "{query}: {}", answer.text);
        }
    }
}

// F73: a panic is one request's error and nobody else's
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_internal_error_and_spoils_nothing() {
    let app = TestApp::start().await;
    let broken = routes(&app, |app| {
        app.engine.clock = Arc::new(|| panic!("a defect"));
        app.schema = Schema::new(Some(app.engine.clone()), &GraphqlSettings::default());
    });
    for _ in 0..20 {
        let headers = [JSON, AS_READER, ("accept", MODERN)];
        let answer = send(broken.clone(), post(&headers, QUERY)).await;
        assert_eq!(answer.status, 500);
        assert_is_graphql(&answer, MODERN);
        assert_eq!(answer.code(), "INTERNAL");
        assert!(!answer.text.contains("defect"), "{}", answer.text);
        let id = &answer.json()["errors"][0]["extensions"]["requestId"];
        assert!(id.is_string(), "{}", answer.text);
    }
    // the same pool answers on; nothing of it is still held
    assert_eq!(
        app.engine.pool.status().available,
        app.engine.pool.status().size
    );
    app.query("{ users { totalCount } }").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_or_breaks_off_is_told_apart_from_a_large_one() {
    let app = TestApp::start().await;
    let hasty = GraphqlSettings {
        timeout: Duration::from_millis(200),
        ..GraphqlSettings::default()
    };
    let routes = routes(&app, with(hasty));
    let asked = async |body: Body| send(routes.clone(), post(&[JSON, AS_READER], body)).await;
    let start = || Ok::<_, std::io::Error>(Bytes::from_static(b"{\"query\":"));
    let slow = futures_util::StreamExt::chain(
        futures_util::stream::iter([start()]),
        futures_util::stream::pending(),
    );
    let slow = asked(Body::from_stream(slow)).await;
    assert_eq!((slow.status, slow.code()), (408, "TIMEOUT".into()));
    assert_is_graphql(&slow, "application/json");
    let cut = Err(std::io::Error::other("the sender is gone"));
    let cut = Body::from_stream(futures_util::stream::iter([start(), cut]));
    let cut = asked(cut).await;
    assert_eq!((cut.status, cut.code()), (400, "BAD_USER_INPUT".into()));
}

fn from(origin: &str, request: Request<Body>) -> Request<Body> {
    let mut request = request;
    let origin = origin.parse().expect("a header");
    request.headers_mut().insert("origin", origin);
    request
}

fn preflight() -> Request<Body> {
    Request::options("/graphql")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type,apollo-require-preflight",
        )
        .body(Body::empty())
        .expect("a request")
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_named_origins_may_call_and_no_others() {
    let app = TestApp::start().await;
    let friends = GraphqlSettings {
        origins: Origins::Named(vec!["https://app.example".to_owned()]),
        ..GraphqlSettings::default()
    };
    let routes_of = |origins: Origins| {
        let settings = GraphqlSettings {
            origins,
            ..friends.clone()
        };
        routes(&app, with(settings))
    };
    let named = routes_of(friends.origins.clone());
    let allowed = "access-control-allow-origin";
    let friend = send(named.clone(), from("https://app.example", preflight())).await;
    assert_eq!(friend.header(allowed), "https://app.example");
    let headers = friend.header("access-control-allow-headers");
    for header in ["authorization", "content-type", "apollo-require-preflight"] {
        assert!(headers.contains(header), "{headers}");
    }
    assert_eq!(friend.header("access-control-max-age"), "3600");
    let query = || post(&[JSON, AS_READER], QUERY);
    let answer = send(named.clone(), from("https://app.example", query())).await;
    assert_eq!(answer.header(allowed), "https://app.example");
    // a refusal must be readable, too
    let refused = send(
        named.clone(),
        from("https://app.example", post(&[JSON], QUERY)),
    )
    .await;
    assert_eq!(
        (refused.status, refused.header(allowed)),
        (401, "https://app.example")
    );
    for stranger in ["https://evil.example", "https://app.example.evil", "null"] {
        let answer = send(named.clone(), from(stranger, preflight())).await;
        assert_eq!(answer.header(allowed), "", "{stranger}");
        let answer = send(named.clone(), from(stranger, query())).await;
        assert_eq!(answer.header(allowed), "", "{stranger}");
    }
    let any = routes_of(Origins::Any);
    let answer = send(any, from("https://evil.example", query())).await;
    assert_eq!(answer.header(allowed), "*");
    let none = routes_of(Origins::Named(Vec::new()));
    let answer = send(none, from("https://app.example", preflight())).await;
    assert_eq!((answer.status, answer.header(allowed)), (405, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_only_loopback_names_are_answered() {
    let app = TestApp::start().await;
    let routes = routes(&app, |app| app.auth = authenticator(&AuthSettings::Off));
    let local = post(&[JSON, ("host", "localhost:8080")], QUERY);
    assert_eq!(send(routes.clone(), local).await.status, 200);
    let rebound = post(&[JSON, ("host", "evil.example:8080")], QUERY);
    let answer = send(routes, rebound).await;
    assert_eq!((answer.status, answer.code()), (403, "FORBIDDEN".into()));
}

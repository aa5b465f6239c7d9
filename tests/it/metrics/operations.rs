use kombo_mirror::config::GraphqlSettings;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{ADMIN, READER, Setup};
use crate::support::look::eventually;

const COUNT: &str = "graphql_request_seconds_count";

impl TestApp {
    async fn timed(&self, operation: &str) -> Option<f64> {
        self.scrape().await.get(COUNT, &[("operation", operation)])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_timed_by_the_names_of_their_operations() {
    let app = TestApp::start().await;
    assert_eq!(app.timed("HowMany").await, None);
    for _ in 0..3 {
        app.query("query HowMany { users { totalCount } }").await;
    }
    app.query("{ users { totalCount } }").await;
    assert_eq!(app.timed("HowMany").await, Some(3.0));
    assert_eq!(app.timed("anonymous").await, Some(1.0));
    assert_eq!(app.timed("other").await, Some(0.0));
    let scrape = app.scrape().await;
    let named = [("operation", "HowMany")];
    assert!(scrape.value("graphql_request_seconds_sum", &named) > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_operations_the_chosen_one_is_timed() {
    let app = TestApp::start().await;
    let query = "query One { users { totalCount } } query Two { skills { totalCount } }";
    for name in ["One", "Two", "Two", "Three"] {
        let body = json!({ "query": query, "operationName": name }).to_string();
        let request = reqwest::Client::new().post(app.url("/graphql"));
        let request = request.header("content-type", "application/json");
        let answer = request.bearer_auth(READER).body(body).send().await;
        answer.expect("an answer");
    }
    assert_eq!(app.timed("One").await, Some(1.0));
    assert_eq!(app.timed("Two").await, Some(2.0));
    assert_eq!(app.timed("Three").await, None);
    assert_eq!(app.timed("other").await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_executed_makes_no_name_known() {
    let app = TestApp::start().await;
    for query in [
        "query Secret1 { nothing }",
        "query Secret2($n: Int!) { users(first: $n) { totalCount } }",
    ] {
        app.ask(READER, query, Value::Null).await;
    }
    let names = app.scrape().await.values_of(COUNT, "operation");
    assert_eq!(Vec::from_iter(names), ["anonymous", "other"]);
    assert!(app.timed("other").await >= Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_names_makes_a_hundred_series_at_most() {
    let app = TestApp::start().await;
    let long = "L".repeat(65);
    app.query(&format!("query {long} {{ __typename }}")).await;
    for number in 0..120 {
        app.query(&format!("query Flood{number} {{ __typename }}"))
            .await;
    }
    // a name that is known stays known
    app.query("query Flood0 { __typename }").await;
    let names = app.scrape().await.values_of(COUNT, "operation");
    assert_eq!(names.len(), 102);
    assert!(!names.contains(&long));
    assert_eq!(app.timed("Flood0").await, Some(2.0));
    assert_eq!(app.timed("other").await, Some(21.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_counted_by_code_on_every_way() {
    let app = TestApp::with(Setup {
        graphql: GraphqlSettings {
            timeout: std::time::Duration::from_millis(300),
            ..GraphqlSettings::default()
        },
        ..Setup::default()
    })
    .await;
    let errors = async |code: &str| {
        let scrape = app.scrape().await;
        scrape.value("graphql_errors_total", &[("code", code)])
    };
    assert_eq!(errors("BAD_USER_INPUT").await, 0.0);
    // refused by the transport, by what comes before execution, by validation, and by a resolver
    app.ask("wrong", "{ __typename }", Value::Null).await;
    assert_eq!(errors("UNAUTHENTICATED").await, 1.0);
    app.ask(READER, "{ users {", Value::Null).await;
    assert_eq!(errors("BAD_USER_INPUT").await, 1.0);
    app.ask(READER, "{ nothing }", Value::Null).await;
    assert_eq!(errors("BAD_USER_INPUT").await, 2.0);
    let mutation = "mutation { triggerResync(input: {}) { coalesced } }";
    app.ask(READER, mutation, Value::Null).await;
    assert_eq!(errors("FORBIDDEN").await, 1.0);
    app.ask(ADMIN, mutation, Value::Null).await;
    assert_eq!(errors("FORBIDDEN").await, 1.0);
    // whoever waits too long is timed all the same
    let mut locker = app.database().await;
    use diesel_async::SimpleAsyncConnection as _;
    let lock = "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE";
    locker.batch_execute(lock).await.expect("the lock");
    app.ask(READER, "query Late { users { totalCount } }", Value::Null)
        .await;
    locker.batch_execute("ROLLBACK").await.expect("let go");
    assert_eq!(errors("TIMEOUT").await, 1.0);
    eventually("the late one is timed", async || {
        app.timed("other").await >= Some(1.0)
    })
    .await;
}

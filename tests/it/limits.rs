//! Hostile requests: each is refused with a code, and none of them reaches the database (F64, F68, F72, F73).

use std::time::Duration;

use kombo_mirror::config::{GraphqlSettings, Limit};
use kombo_mirror::graphql::Schema;
use serde_json::{Value, json};

use crate::http::{AS_READER, JSON, post, routes, send};
use crate::support::app::{READER, Setup};
use crate::support::look::eventually;
use crate::support::{TestApp, statements::StatementLog};

/// Asks, and asserts that the only errors have the code and that nothing was asked of the database.
async fn assert_refused(app: &TestApp, log: &StatementLog, query: &str, code: &str, words: &str) {
    assert_refused_with(app, log, query, Value::Null, code, words).await;
}

async fn assert_refused_with(
    app: &TestApp,
    log: &StatementLog,
    query: &str,
    variables: Value,
    code: &str,
    words: &str,
) {
    let start: String = query.chars().take(80).collect();
    let answer = app.ask(READER, query, variables).await;
    let errors = answer["errors"].as_array().expect("errors");
    for error in errors {
        assert_eq!(error["extensions"]["code"], code, "{start}: {error}");
    }
    let message = errors[0]["message"].as_str().expect("a message");
    assert!(message.contains(words), "{start}: {message}");
    assert_eq!(answer.get("data"), None, "{start}");
    assert_eq!(log.take(), Vec::<String>::new(), "{start}");
}

fn repeated(count: usize, part: impl Fn(usize) -> String) -> String {
    let parts: String = (0..count).map(part).collect();
    format!("{{ {parts} }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_of_anything_is_refused_before_any_sql() {
    let app = TestApp::start().await;
    let log = app.note_statements().await;
    let refused = async |query: String, limit: &str| {
        assert_refused(&app, &log, &query, "QUERY_TOO_COMPLEX", limit).await;
    };
    let aliased = repeated(1000, |n| format!("a{n}: users {{ totalCount }} "));
    refused(aliased, "GRAPHQL_MAX_TOKENS").await;
    let aliased = repeated(500, |n| format!("a{n}: users {{ totalCount }} "));
    refused(aliased, "GRAPHQL_MAX_ROOT_FIELDS").await;
    let aliases = repeated(1000, |n| format!("a{n}: totalCount "));
    refused(format!("{{ users {aliases} }}"), "GRAPHQL_MAX_ALIASES").await;
    let roots = repeated(10_000, |_| "users { totalCount } ".to_owned());
    refused(roots, "GRAPHQL_MAX_TOKENS").await;
    let roots = repeated(1000, |_| "users { totalCount } ".to_owned());
    refused(roots, "GRAPHQL_MAX_ROOT_FIELDS").await;
    let directives = "@include(if: true) ".repeat(51);
    refused(
        format!("{{ users {directives} {{ totalCount }} }}"),
        "GRAPHQL_MAX_DIRECTIVES",
    )
    .await;
    refused("{ a ".repeat(100), "brackets").await;
    let deep = "integration { users { nodes { ".repeat(10);
    let deep = format!("{{ users {{ nodes {{ {deep} id {} }} }} }}", "}".repeat(30));
    refused(deep, "GRAPHQL_MAX_DEPTH").await;
    let crawl = "{ courses(first: 500) { nodes { revisions(first: 500) { nodes { courseProgressions(first: 500) { \
        totalCount nodes { id } } } } } } }";
    refused(crawl.to_owned(), "GRAPHQL_MAX_COMPLEXITY").await;
    refused(repeated(1, |_| "a".repeat(100_000)), "characters").await;
    let deep_list = format!(
        "{{ users(first: {}1) {{ totalCount }} }}",
        "[".repeat(50_000)
    );
    refused(deep_list, "brackets").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_outside_its_limits_stops_the_other_root_fields_too() {
    let app = TestApp::start().await;
    let log = app.note_statements().await;
    for first in ["-1", "501", "2147483647"] {
        let query = format!("{{ skills {{ totalCount }} users(first: {first}) {{ totalCount }} }}");
        assert_refused(&app, &log, &query, "BAD_USER_INPUT", "from 0 to 500").await;
        let query = "query($n: Int) { skills { totalCount } users(first: $n) { totalCount } }";
        let n: i64 = first.parse().expect("a number");
        let variables = json!({ "n": n });
        let words = "from 0 to 500";
        assert_refused_with(&app, &log, query, variables, "BAD_USER_INPUT", words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_that_go_round_or_double_are_refused() {
    let app = TestApp::start().await;
    let log = app.note_statements().await;
    let cycle = "{ ...A } fragment A on Query { ...B ...B } fragment B on Query { ...A ...A }";
    assert_refused(&app, &log, cycle, "BAD_USER_INPUT", "spreads itself").await;
    let links: String = (0..1000)
        .map(|n| format!("fragment F{n} on Query {{ ...F{m} ...F{m} }} ", m = n + 1))
        .collect();
    let doubling = format!("{{ ...F0 }} {links} fragment F1000 on Query {{ __typename }}");
    assert_refused(&app, &log, &doubling, "QUERY_TOO_COMPLEX", "").await;
    let links: String = (0..30)
        .map(|n| format!("fragment F{n} on Query {{ ...F{m} ...F{m} }} ", m = n + 1))
        .collect();
    let doubling = format!("{{ ...F0 }} {links} fragment F30 on Query {{ __typename }}");
    assert_refused(&app, &log, &doubling, "QUERY_TOO_COMPLEX", "selections").await;
    app.query("{ users { totalCount } }").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_deep_json_is_refused() {
    let app = TestApp::start().await;
    let log = app.note_statements().await;
    let large = format!("{{ users {{ totalCount }} }} #{}", "x".repeat(1_000_000));
    assert_refused(&app, &log, &large, "PAYLOAD_TOO_LARGE", "GRAPHQL_MAX_BODY").await;
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    let query = "query($v: [Int]) { users { totalCount } }";
    let variables = json!({ "v": deep });
    let words = "nested deeper";
    assert_refused_with(&app, &log, query, variables, "QUERY_TOO_COMPLEX", words).await;
    // deeper than JSON is read at all
    let body = format!(
        r#"{{"query":"{{ a }}","variables":{{"v":{}"#,
        "[".repeat(100_000)
    );
    let routes = routes(&app, |_| ());
    let answer = send(routes, post(&[JSON, AS_READER], body)).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "BAD_USER_INPUT".into())
    );
    assert_eq!(log.take(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_bombs_are_refused_and_graphiql_learns_the_schema() {
    let app = TestApp::start().await;
    let log = app.note_statements().await;
    let circles = "type { fields { ".repeat(4);
    let bomb = format!(
        "{{ __schema {{ types {{ fields {{ {circles} name {} }} }} }} }}",
        "}".repeat(8)
    );
    assert_refused(&app, &log, &bomb, "QUERY_TOO_COMPLEX", "introspection").await;
    let of_type = "ofType { kind name ".repeat(9) + &"}".repeat(9);
    let wide = repeated(20, |n| {
        format!("a{n}: __schema {{ types {{ fields {{ args {{ type {{ {of_type} }} }} }} }} }} ")
    });
    assert_refused(&app, &log, &wide, "QUERY_TOO_COMPLEX", "introspection").await;
    let standard = format!(
        "{{ __schema {{ queryType {{ name }} types {{ kind name description fields(includeDeprecated: true) {{ name \
         args {{ name type {{ kind name {of_type} }} defaultValue }} type {{ kind name {of_type} }} }} \
         inputFields {{ name type {{ kind name {of_type} }} }} interfaces {{ kind name {of_type} }} \
         enumValues {{ name }} possibleTypes {{ kind name {of_type} }} }} directives {{ name locations \
         args {{ name type {{ kind name {of_type} }} }} }} }} }}"
    );
    let learnt = app.query(&standard).await;
    assert!(
        learnt["__schema"]["types"]
            .as_array()
            .is_some_and(|types| types.len() > 20)
    );
}

// F72
#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_schema_is_not_told_by_errors_either() {
    let app = TestApp::with(Setup {
        graphql: GraphqlSettings {
            introspection: false,
            ..GraphqlSettings::default()
        },
        ..Setup::default()
    })
    .await;
    let log = app.note_statements().await;
    for query in [
        "{ __schema { queryType { name } } }",
        "{ a: __type(name: \"User\") { name } }",
        "{ ...F } fragment F on Query { __schema { types { name } } }",
    ] {
        assert_refused(&app, &log, query, "FORBIDDEN", "introspection is off").await;
    }
    assert_eq!(app.query("{ __typename }").await["__typename"], "Query");
    let answer = app.ask(
        READER,
        "{ userz { id } users(frist: 1) { totalCoun } }",
        Value::Null,
    );
    let answer = answer.await.to_string();
    assert!(!answer.contains("Did you mean"), "{answer}");
    assert!(!answer.contains("totalCount"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_full_of_mistakes_gets_a_short_answer() {
    let app = TestApp::start().await;
    let unknown = repeated(1000, |n| format!("field{n} "));
    let answer = app
        .ask(READER, &format!("{{ users {unknown} }}"), Value::Null)
        .await;
    assert_eq!(
        answer["errors"].as_array().map(Vec::len),
        Some(1),
        "{answer}"
    );
    let leaves = repeated(1000, |_| "totalCount { a } ".to_owned());
    let answer = app
        .ask(READER, &format!("{{ users {leaves} }}"), Value::Null)
        .await;
    let errors = answer["errors"].as_array().expect("errors");
    assert_eq!(errors.len(), 51, "{}", errors.len());
    assert!(
        errors
            .iter()
            .all(|error| error["extensions"]["code"] == "BAD_USER_INPUT")
    );
    // the line of a syntax error may be the whole document
    let broken = format!("{{ {} ! }}", "users ".repeat(4000));
    let answer = app.ask(READER, &broken, Value::Null).await.to_string();
    assert!(
        answer.len() < 500 && answer.contains("syntax error"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_only_warns_lets_the_request_pass() {
    let warns = |most| Limit {
        most,
        only_warns: true,
    };
    let app = TestApp::with(Setup {
        graphql: GraphqlSettings {
            body: warns(1),
            tokens: warns(1),
            depth: warns(1),
            root_fields: warns(1),
            aliases: warns(1),
            directives: warns(1),
            complexity: warns(1),
            concurrent: warns(1),
            ..GraphqlSettings::default()
        },
        ..Setup::default()
    })
    .await;
    app.query(
        "{ a: users @skip(if: false) { totalCount } b: users @skip(if: false) { nodes { id } } }",
    )
    .await;
    // what protects the process holds all the same
    assert_eq!(app.refusal(&"{ a ".repeat(1000)).await, "QUERY_TOO_COMPLEX");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_in_line_for_too_long_is_told_so() {
    let app = TestApp::start().await;
    let settings = GraphqlSettings {
        concurrent: Limit::of(1),
        timeout: Duration::from_secs(2),
        ..GraphqlSettings::default()
    };
    let schema = Schema::new(Some(app.engine.clone()), &settings);
    let routes = routes(&app, |state| state.schema = schema);
    // whoever is inside waits for a lock that the test holds
    let mut held = app.database().await;
    diesel_async::SimpleAsyncConnection::batch_execute(
        &mut held,
        "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE",
    )
    .await
    .expect("the lock is taken");
    let ask = |query: &'static str| {
        let body = json!({ "query": query }).to_string();
        send(routes.clone(), post(&[JSON, AS_READER], body))
    };
    let mut inside = std::pin::pin!(ask("{ users { totalCount } }"));
    let is_inside = eventually("it waits for the lock", async || {
        let mut connection = app.database().await;
        let waits = diesel::sql_query("SELECT 1 FROM pg_locks WHERE NOT granted");
        let waiting = diesel_async::RunQueryDsl::execute(waits, &mut connection).await;
        waiting.expect("SQL") > 0
    });
    tokio::select! {
        answer = &mut inside => panic!("{}", answer.status),
        () = is_inside => {}
    }
    // nobody looks after it now, so it does not give its place back before the other's time is over
    let waiting = ask("{ skills { totalCount } }").await;
    let inside = inside.await;
    for answer in [inside, waiting] {
        assert_eq!((answer.status, answer.code()), (503, "TIMEOUT".into()));
    }
    diesel_async::SimpleAsyncConnection::batch_execute(&mut held, "ROLLBACK")
        .await
        .expect("the lock is given back");
    // both have left the line
    assert_eq!(ask("{ users { totalCount } }").await.status, 200);
}

//! One trace from a webhook to the SQL, and what a collector may cost.

use diesel_async::RunQueryDsl as _;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{ADMIN, READER};
use crate::support::collector::{Collector, Seen};
use crate::support::log::trouble;
use crate::support::look::eventually;
use crate::support::socket::Socket;
use crate::support::world::{Server, World};

/// How a process is told to send spans almost at once.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

/// The spans of a chain of names, each directly below the one before, that begins somewhere.
fn chain(collector: &Collector, names: &[&str]) -> Option<Vec<Seen>> {
    let (first, rest) = names.split_first()?;
    collector.named(first).into_iter().find_map(|root| {
        let mut chains = vec![vec![root]];
        for name in rest {
            let longer = chains.iter().flat_map(|chain| {
                let below = collector.below(chain.last().expect("a chain has a span"), name);
                below
                    .into_iter()
                    .map(|one| [chain.clone(), vec![one]].concat())
            });
            chains = longer.collect();
        }
        chains.pop()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_a_webhook_to_the_sql_of_another_process() {
    let collector = Collector::start().await;
    let world = World::new().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str());
    let api = [
        ("ROLE", "api"),
        ("OTEL_SERVICE_NAME", "the-api"),
        endpoint,
        SOON,
    ];
    let mut api = world.start_with(&api).await;
    let worker = [
        ("ROLE", "worker"),
        ("OTEL_SERVICE_NAME", "the-worker"),
        endpoint,
        SOON,
    ];
    let mut worker = world.start_beside(&worker).await;
    world.wait_until_quiet().await;
    let integration = world.integration();
    world
        .simulator
        .insert_user(&integration)
        .expect("a user is added");
    world.simulator.flush_webhooks().await;
    world.wait_until_quiet().await;

    let to_kombo = [
        "webhook",
        "store event",
        "sync run",
        "fetch page",
        "kombo request",
    ];
    eventually("the request to kombo is seen", async || {
        chain(&collector, &to_kombo).is_some()
    })
    .await;
    let to_rows = [
        "webhook",
        "store event",
        "sync run",
        "store page",
        "write rows",
    ];
    eventually("the rows are seen", async || {
        chain(&collector, &to_rows).is_some()
    })
    .await;
    let spans = chain(&collector, &to_kombo).expect("it was there");
    let services: Vec<&str> = spans.iter().map(|seen| seen.service.as_str()).collect();
    assert_eq!(
        services,
        [
            "the-api",
            "the-api",
            "the-worker",
            "the-worker",
            "the-worker"
        ]
    );
    let [webhook, _, run, page, request] = &spans[..] else {
        panic!("five spans: {spans:?}");
    };
    assert!(webhook.span.parent_span_id.is_empty(), "it begins there");
    assert_eq!(run.text("integration.id"), Some(integration));
    assert_eq!(run.text("trigger").as_deref(), Some("WEBHOOK"));
    assert_eq!(run.text("ending").as_deref(), Some("Succeeded"));
    assert_eq!(page.text("page.number").as_deref(), Some("1"));
    assert_eq!(page.text("page.records").as_deref(), Some("1"));
    let path = request.text("url.path").expect("a path");
    assert!(path.starts_with("/lms/") && !path.contains('?'), "{path}");
    assert_eq!(
        request.text("http.response.status_code").as_deref(),
        Some("200")
    );
    assert_eq!(api.terminate().await, Some(0));
    assert_eq!(worker.terminate().await, Some(0));
}

/// Asks with a header that says where the sender is.
async fn ask_from(server: &Server, traceparent: &str, body: &Value) {
    let answer = reqwest::Client::new()
        .post(format!("http://{}/graphql", server.address))
        .bearer_auth(ADMIN)
        .header("content-type", "application/json")
        .header("traceparent", traceparent)
        .body(body.to_string())
        .send()
        .await;
    assert_eq!(answer.expect("it answers").status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_and_its_statement_are_a_trace_of_their_own_that_points_to_the_sender() {
    let collector = Collector::start().await;
    let world = World::new().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str());
    let headers = (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "api-key=the-secret%20of-the-collector,x=y",
    );
    let mut server = world.start_with(&[endpoint, headers]).await;
    let asked = json!({
        "query": "query Somebody($is: String!) { users(filter: { workEmail: { eq: $is } }) { totalCount } }",
        "variables": { "is": "somebody@example.com" },
        "operationName": "Somebody",
    });
    let sender = "4bf92f3577b34da6a3ce929d0e0e4736";
    ask_from(&server, &format!("00-{sender}-00f067aa0ba902b7-01"), &asked).await;
    // what is left is sent at the end
    assert_eq!(server.terminate().await, Some(0));

    let spans = chain(&collector, &["GraphQL request", "read"]).expect("both are there");
    let [request, read] = &spans[..] else {
        panic!("two spans: {spans:?}");
    };
    assert!(request.span.parent_span_id.is_empty());
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    assert_ne!(hex(&request.span.trace_id), sender);
    let links: Vec<String> = request
        .span
        .links
        .iter()
        .map(|link| hex(&link.trace_id))
        .collect();
    assert_eq!(links, [sender]);
    assert_eq!(
        request.text("graphql.operation.name").as_deref(),
        Some("Somebody")
    );
    assert_eq!(read.text("field").as_deref(), Some("users"));
    let keys = collector.headers();
    assert!(
        keys.iter().all(
            |headers| headers["api-key"] == "the-secret of-the-collector" && headers["x"] == "y"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_one_warning_and_nothing_else() {
    let world = World::new().await;
    let away = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), SOON];
    let mut server = world.start_with(&away).await;
    let words = "the collector takes no spans";
    eventually("the warning", async || {
        let answer = server.ask("{ users { totalCount } }").await;
        assert!(answer["errors"].is_null(), "{answer}");
        server.said().contains(words)
    })
    .await;
    world.wait_until_quiet().await;
    world.assert_mirrors_the_truth().await;
    assert_eq!(server.terminate().await, Some(0));
    assert_eq!(server.said().matches(words).count(), 1, "{}", server.said());
}

// A listener that never answers must not hold up the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_delays_the_end_by_seconds_at_most() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("the port is known"));
    let world = World::new().await;
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str());
    let mut server = world.start_with(&[endpoint]).await;
    assert!(server.ask("{ users { totalCount } }").await["errors"].is_null());
    let begun = std::time::Instant::now();
    assert_eq!(server.terminate().await, Some(0));
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
}

/// The lines of a log in JSON; each must be one object.
fn lines(said: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    said.lines().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_a_webhook_and_its_run_have_one_id_in_the_logs_of_both_processes() {
    let world = World::new().await;
    let json = ("LOG_FORMAT", "json");
    let mut api = world.start_with(&[("ROLE", "api"), json]).await;
    let mut worker = world.start_beside(&[("ROLE", "worker"), json]).await;
    world.wait_until_quiet().await;
    let integration = world.integration();
    world
        .simulator
        .insert_user(&integration)
        .expect("a user is added");
    world.simulator.flush_webhooks().await;
    world.wait_until_quiet().await;
    assert_eq!(api.terminate().await, Some(0));
    assert_eq!(worker.terminate().await, Some(0));
    let (api, worker) = (lines(&api.said()), lines(&worker.said()));
    let is = |line: &Value, message: &str| line["message"] == message;
    let accepted = api.iter().filter(|line| is(line, "webhook accepted"));
    let followed = accepted.filter(|accepted| {
        assert!(accepted["trace_id"].is_string(), "{accepted}");
        worker.iter().any(|line| {
            is(line, "sync run left the worker") && line["trace_id"] == accepted["trace_id"]
        })
    });
    assert_ne!(followed.count(), 0, "{api:?} {worker:?}");
    for line in worker.iter().filter(|line| line["run.id"].is_number()) {
        assert_eq!(line["trace_id"].as_str().map(str::len), Some(32), "{line}");
        assert_eq!(line["integration.id"], integration.as_str(), "{line}");
    }
}

// Whatever is logged: the id of an error does not depend on spans.
#[tokio::test(flavor = "multi_thread")]
async fn the_request_id_of_an_error_leads_to_its_line_in_either_format() {
    for format in ["json", "text"] {
        let world = World::new().await;
        let settings = [
            ("LOG_FORMAT", format),
            ("RUST_LOG", "warn"),
            ("ROLE", "api"),
        ];
        let mut server = world.start_with(&settings).await;
        world.sql("ALTER TABLE users RENAME TO hidden_users").await;
        let answer = server.ask("{ users { totalCount } }").await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "INTERNAL", "{answer}");
        let id = error["extensions"]["requestId"]
            .as_str()
            .expect("an id")
            .to_owned();
        assert_eq!(server.terminate().await, Some(0));
        let said = server.said();
        let line = said
            .lines()
            .find(|line| line.contains(&id))
            .expect("a line");
        if format == "json" {
            let line: Value = serde_json::from_str(line).expect("it is JSON");
            assert_eq!(line["trace_id"], id.as_str());
            assert_eq!(line["level"], "ERROR");
        } else {
            assert!(line.contains(" ERROR kombo_mirror::graphql"), "{line}");
            assert!(line.ends_with(&format!(" trace_id={id}")), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_id_of_a_webhook_that_was_not_stored_is_in_the_log() {
    let app = TestApp::start().await;
    app.sql("ALTER TABLE webhook_events RENAME TO hidden_events")
        .await;
    let event = json!({ "id": "e1", "type": "data-changed", "data": {} }).to_string();
    let signature = kombo_mirror::simulator::sign(crate::support::app::SECRET, event.as_bytes());
    let (status, answer) = app.post_webhook(event.into_bytes(), Some(&signature)).await;
    assert_eq!(status, 503, "{answer}");
    let id = answer["error"]["requestId"].as_str().expect("an id");
    let line = trouble(id).expect("it is in the log");
    assert_eq!(line["trace_id"], id);
    assert_eq!(line["event.id"], "e1");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_have_ids_of_their_own() {
    let app = TestApp::start().await;
    app.sql("ALTER TABLE users RENAME TO hidden_users").await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let answer = app
            .ask(READER, "{ users { totalCount } }", Value::Null)
            .await;
        let id = answer["errors"][0]["extensions"]["requestId"].as_str();
        let id = id.expect("an id").to_owned();
        let line = trouble(&id).expect("it is in the log");
        assert_eq!(line["trace_id"], id.as_str());
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_of_a_socket_has_an_id_of_its_own() {
    let app = TestApp::start().await;
    app.sql("ALTER TABLE users RENAME TO hidden_users").await;
    let mut socket = Socket::of(app.address, READER).await;
    let mut ids = Vec::new();
    for name in ["first", "second"] {
        socket.subscribe(name, "{ users { totalCount } }").await;
        let answer = socket.hear().await;
        let errors = answer.pointer("/payload/errors").or(answer.get("payload"));
        let id = &errors.expect("it fails")[0]["extensions"]["requestId"];
        let id = id.as_str().expect("an id").to_owned();
        assert_eq!(
            trouble(&id).expect("it is in the log")["trace_id"],
            id.as_str()
        );
        // what ends the operation, unless the error did
        if answer["type"] == "next" {
            socket.hear().await;
        }
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_remembers_the_place_of_each_webhook_that_joined_it() {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Array<diesel::sql_types::Text>)]
        trace_contexts: Vec<String>,
    }
    let app = TestApp::loaded().await;
    let integration = app.integration();
    for _ in 0..2 {
        app.simulator
            .insert_user(&integration)
            .expect("a user is added");
        app.simulator.flush_webhooks().await;
    }
    let sql = "SELECT trace_contexts FROM sync_runs WHERE status = 'QUEUED' AND endpoint = 'users'";
    let queued: Row = diesel::sql_query(sql)
        .get_result(&mut app.database().await)
        .await
        .expect("one run waits");
    let places = queued.trace_contexts.iter();
    let places: Vec<_> = places
        .map(|text| kombo_mirror::trace::Place::parse(text))
        .collect();
    assert_eq!(places.len(), 2, "{:?}", queued.trace_contexts);
    assert!(places.iter().all(Option::is_some) && places[0] != places[1]);
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

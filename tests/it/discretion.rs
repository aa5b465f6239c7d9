//! Nothing secret or personal is logged. Every test looks (see `support::log`); these show that the look sees.

use kombo_mirror::simulator::Endpoint;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{ADMIN, READER, SECRET};
use crate::support::log::{assert_discreet, told, trouble, watch};
use crate::support::look::eventually;
use crate::support::world::{Server, World};

#[test]
fn a_line_that_tells_is_found() {
    for line in [
        format!("the key is {SECRET}"),
        format!("Authorization: Bearer {ADMIN}"),
        format!("{{\"token\":\"{READER}\"}}"),
        "error=duplicate key (Ada.Petrov7@Example.com)".to_owned(),
        "jwt eyJhbGciOiJIUzI1NiJ9.e30.x".to_owned(),
        "a user called Müller".to_owned(),
    ] {
        assert!(told(&line).is_some(), "{line}");
    }
    assert_eq!(
        told("webhook accepted event.id=e1 outcome=QUEUED_SYNC"),
        None
    );
}

// By the test program itself, which such a line ends.
#[test]
fn a_line_that_tells_ends_the_test_program() {
    const TELL: &str = "KOMBO_MIRROR_TEST_TELLS";
    if std::env::var_os(TELL).is_some() {
        watch();
        tracing::debug!(target: "kombo_mirror::webhook", key = SECRET, "for once said on purpose");
        return;
    }
    let itself = std::env::current_exe().expect("the test program");
    let ended = std::process::Command::new(itself)
        .args([
            "--exact",
            "discretion::a_line_that_tells_ends_the_test_program",
        ])
        .env(TELL, "1")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success(), "{said}");
    assert!(
        said.contains("the log tells \"test-webhook-secret\": {"),
        "{said}"
    );
}

#[test]
#[should_panic(expected = "the program's log tells")]
fn a_process_that_tells_fails_its_test() {
    assert_discreet(&format!("fine\nkey={SECRET}\n"));
}

// Postgres quotes rows in the details of its errors.
#[tokio::test(flavor = "multi_thread")]
async fn the_details_of_a_database_error_stay_out_of_the_log() {
    let app = TestApp::start().await;
    app.sql("ALTER TABLE users RENAME TO hidden_users").await;
    app.sql(
        "CREATE FUNCTION fail() RETURNS boolean LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'it broke' USING DETAIL = 'Key (mallory@example.com)'; END $$",
    )
    .await;
    app.sql("CREATE VIEW users AS SELECT * FROM hidden_users WHERE fail()")
        .await;
    app.sql("INSERT INTO hidden_users (integration_id, id, observed_at, mirrored_at) SELECT id, 'u', now(), now() FROM integrations LIMIT 1").await;
    let answer = app
        .ask(READER, "{ users { nodes { id } } }", Value::Null)
        .await;
    let id = &answer["errors"][0]["extensions"]["requestId"];
    let line = trouble(id.as_str().expect("an id")).expect("it is in the log");
    let error = line["error"].as_str().expect("words");
    assert!(error.ends_with("P0001 it broke"), "{error}");
}

/// Asks in every way in which a value can come along with a request.
async fn ask_with(server: &Server, email: &str) {
    for query in [
        format!("{{ users(filter: {{ workEmail: {{ eq: \"{email}\" }} }}) {{ nodes {{ id }} }} }}"),
        format!("{{ users(filter: {{ workEmail: {{ is: \"{email}\" }} }}) {{ nodes {{ id }} }} }}"),
        format!("{{ user(komboId: \"{email}\") {{ lastName }} }} # {email}"),
        format!("mutation {{ pauseIntegration(komboId: \"{email}\") {{ paused }} }}"),
        format!("query {{ \"{email}\""),
    ] {
        assert!(server.ask(&query).await.is_object(), "{query}");
    }
}

async fn ask_as(server: &Server, token: &str, query: &str) -> Value {
    let asked = reqwest::Client::new()
        .post(format!("http://{}/graphql", server.address))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(json!({ "query": query }).to_string());
    let answer = asked.send().await.expect("the server answers");
    let text = answer.text().await.expect("the answer is text");
    serde_json::from_str(&text).expect("the answer is JSON")
}

/// Has a record come that cannot be read, and waits until it is parked.
async fn park(world: &World, integration: &str, user: &str) {
    let unreadable = json!({ "first_name": "Mallory", "changed_at": "mallory@example.com" });
    let unreadable = unreadable.as_object().expect("an object").clone();
    assert!(
        world
            .simulator
            .merge_into_record(integration, Endpoint::Users, user, unreadable)
    );
    let parked = "SELECT count(*) AS count FROM parked_records";
    world.wait_for(parked, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_at_its_most_talkative_tells_nothing() {
    let world = World::new().await;
    let talkative = [
        ("LOG_FORMAT", "json"),
        ("RUST_LOG", "trace"),
        ("JWT_SECRET", crate::auth::SECRET),
    ];
    let mut server = world.start_with(&talkative).await;
    world.wait_until_quiet().await;
    let integration = world.integration();
    let user = world.simulator.insert_user(&integration);
    let user = user.expect("a user is added");
    let query = format!("{{ user(komboId: \"{user}\") {{ workEmail lastName }} }}");
    eventually("the user arrives", async || {
        server.ask(&query).await["data"]["user"].is_object()
    })
    .await;
    park(&world, &integration, &user).await;
    let email = "mallory@example.com";
    ask_with(&server, email).await;
    let claims =
        json!({ "scope": "admin", "integrations": "*", "sub": email, "exp": 4_000_000_000_u32 });
    let pause = format!("mutation {{ pauseIntegration(komboId: \"{integration}\") {{ paused }} }}");
    let paused = ask_as(&server, &crate::auth::signed(&claims), &pause).await;
    assert_eq!(
        paused["data"]["pauseIntegration"]["paused"], true,
        "{paused}"
    );
    ask_as(&server, "a-token-of-mallory", &pause).await;
    world.sql("ALTER TABLE users RENAME TO hidden_users").await;
    ask_with(&server, email).await;
    assert_eq!(server.terminate().await, Some(0));

    let said = server.said();
    assert_discreet(&said);
    for words in [
        "webhook accepted",
        "sync run left the worker",
        "an integration was paused",
        "a GraphQL request failed inside",
    ] {
        assert!(said.contains(words), "{words} is not in: {said}");
    }
    for line in said.lines() {
        let line: Result<Value, _> = serde_json::from_str(line);
        assert!(line.is_ok_and(|line| line.is_object()), "{said}");
    }
}

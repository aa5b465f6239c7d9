//! `triggerResync` and what GraphQL says of the sync itself.

use std::time::Duration;

use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{ADMIN, READER, Setup};

const TRIGGER: &str = "mutation ($input: TriggerResyncInput!) { triggerResync(input: $input) { coalesced \
     runs { id mode trigger status endpoint requestedBy integration { komboId } } } }";

async fn trigger(app: &TestApp, input: Value) -> Value {
    let mut answer = app.ask(ADMIN, TRIGGER, json!({ "input": input })).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["triggerResync"].take()
}

async fn refused(app: &TestApp, token: &str, input: Value) -> Value {
    let answer = app.ask(token, TRIGGER, json!({ "input": input })).await;
    answer["errors"][0]["extensions"]["code"].clone()
}

async fn two_integrations() -> TestApp {
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 2,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await;
    app.work().await;
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_of_one_endpoint_runs_and_can_be_followed() {
    let app = two_integrations().await;
    // no webhook queues the run before we do
    app.simulator.set_webhook_target(None);
    let integration = app.integration();
    for mode in ["DELTA", "FULL"] {
        app.simulator.insert_user(&integration);
        let input =
            json!({ "integrationKomboId": integration, "endpoints": ["USERS"], "mode": mode });
        let payload = trigger(&app, input).await;
        assert_eq!(payload["coalesced"], false);
        let run = &payload["runs"][0];
        assert_eq!(payload["runs"].as_array().map(Vec::len), Some(1));
        assert_eq!(run["mode"], mode);
        assert_eq!(run["trigger"], "MANUAL");
        assert_eq!(run["status"], "QUEUED");
        assert_eq!(run["endpoint"], "USERS");
        assert_eq!(run["integration"]["komboId"], integration);

        app.work().await;
        let query = format!(
            "{{ syncRun(id: {}) {{ status mode startedAt finishedAt updatedAfter pagesFetched recordsReceived \
             recordsInserted recordsUpdated recordsUnchanged recordsDeleted driftedRecords removalsHeldBack attempts error {{ code }} }} }}",
            run["id"]
        );
        let done = &app.query(&query).await["syncRun"];
        assert_eq!(done["status"], "SUCCEEDED");
        assert_eq!(done["recordsInserted"], 1, "{done}");
        assert_eq!(done["attempts"], 1);
        assert_eq!(done["error"], Value::Null);
        assert!(done["finishedAt"].is_string());
        // a full fetch asks for everything, and so has no moment to ask from
        assert_eq!(done["updatedAfter"].is_null(), mode == "FULL");
        assert_eq!(done["recordsReceived"].as_i64() > Some(50), mode == "FULL");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_names_everything_is_fetched_in_full() {
    let app = two_integrations().await;
    let payload = trigger(&app, json!({})).await;
    let runs = payload["runs"].as_array().expect("runs");
    let mut found: Vec<(String, String)> = runs
        .iter()
        .map(|run| {
            assert_eq!(run["mode"], "FULL");
            (
                run["integration"]["komboId"]
                    .as_str()
                    .expect("an id")
                    .to_owned(),
                run["endpoint"].as_str().expect("a name").to_owned(),
            )
        })
        .collect();
    found.sort();
    let mut expected = Vec::new();
    for integration in app.simulator.integration_ids() {
        for endpoint in ["USERS", "COURSES", "SKILLS", "COURSE_PROGRESSIONS"] {
            expected.push((integration.clone(), endpoint.to_owned()));
        }
    }
    expected.sort();
    assert_eq!(found, expected);
    let nothing = json!({ "integrationKomboId": null, "endpoints": null, "mode": null });
    let again = trigger(&app, nothing).await;
    assert_eq!(again["coalesced"], true);
    assert_eq!(again["runs"].as_array().map(Vec::len), Some(8));
    app.work().await;
}

// rule 5, F74: a second request joins the run that waits
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_is_joined_and_strengthened() {
    let app = TestApp::loaded().await;
    let input = |mode: &str| json!({ "integrationKomboId": app.integration(), "endpoints": ["SKILLS"], "mode": mode });
    let first = trigger(&app, input("DELTA")).await;
    assert_eq!(first["coalesced"], false);
    assert_eq!(trigger(&app, input("DELTA")).await["coalesced"], true);
    let stronger = trigger(&app, input("FULL")).await;
    assert_eq!(
        stronger["coalesced"], false,
        "the waiting run went less far"
    );
    assert_eq!(stronger["runs"][0]["id"], first["runs"][0]["id"]);
    assert_eq!(stronger["runs"][0]["mode"], "FULL");
    let weaker = trigger(&app, input("DELTA")).await;
    assert_eq!(weaker["coalesced"], true);
    assert_eq!(weaker["runs"][0]["mode"], "FULL");
    assert_eq!(app.work().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_needs_an_admin_and_a_known_integration() {
    let app = TestApp::loaded().await;
    let runs = "SELECT count(*) AS count FROM sync_runs";
    let before = app.count(runs).await;
    assert_eq!(refused(&app, READER, json!({})).await, "FORBIDDEN");
    let unknown = json!({ "integrationKomboId": "nobody:1" });
    assert_eq!(refused(&app, ADMIN, unknown).await, "NOT_FOUND");
    let odd = json!({ "integrationKomboId": "a\0b" });
    assert_eq!(refused(&app, ADMIN, odd).await, "NOT_FOUND");
    let wrong = json!({ "endpoints": ["PROVIDERS"] });
    assert_eq!(refused(&app, ADMIN, wrong).await, "BAD_USER_INPUT");
    app.sql("UPDATE integrations SET deleted_at = now()").await;
    let deleted = json!({ "integrationKomboId": app.integration() });
    assert_eq!(refused(&app, ADMIN, deleted).await, "NOT_FOUND");
    assert_eq!(app.count(runs).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_is_noted_without_the_token() {
    let app = TestApp::loaded().await;
    trigger(&app, json!({ "endpoints": ["USERS"] })).await;
    app.work().await;
    let answer = app
        .query("{ syncRuns { nodes { trigger requestedBy reasons } } }")
        .await;
    assert_eq!(
        answer["syncRuns"]["nodes"][0]["requestedBy"],
        "admin token 1"
    );
    assert!(!answer.to_string().contains(ADMIN));
    assert_eq!(answer["syncRuns"]["nodes"][1]["requestedBy"], Value::Null);
}

async fn health(app: &TestApp, endpoint: &str) -> String {
    let answer = app.query("{ syncStatus { endpoint health } }").await;
    let states = answer["syncStatus"].as_array().expect("a list");
    let state = states.iter().find(|state| state["endpoint"] == endpoint);
    let word = &state.expect("the endpoint")["health"];
    word.as_str().expect("a word").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_an_endpoint_from_its_first_sync_to_its_pause() {
    let app = TestApp::start().await;
    assert_eq!(health(&app, "USERS").await, "AWAITING_FIRST_SYNC");
    app.work().await;
    assert_eq!(health(&app, "USERS").await, "UP_TO_DATE");
    trigger(&app, json!({ "endpoints": ["USERS"] })).await;
    assert_eq!(
        health(&app, "USERS").await,
        "UP_TO_DATE",
        "a waiting run is no fetch yet"
    );
    app.sql("UPDATE sync_runs SET status = 'RUNNING', lease_until = now() + interval '1 hour' WHERE status = 'QUEUED'")
        .await;
    assert_eq!(health(&app, "USERS").await, "SYNCING");
    assert_eq!(health(&app, "SKILLS").await, "UP_TO_DATE");
    app.sql("DELETE FROM sync_runs WHERE status = 'RUNNING'")
        .await;
    app.simulator.advance_clock(Duration::from_secs(60 * 60));
    assert_eq!(
        health(&app, "USERS").await,
        "UP_TO_DATE",
        "the catch-up is due, not overdue"
    );
    app.simulator.advance_clock(Duration::from_secs(20 * 60));
    assert_eq!(health(&app, "USERS").await, "STALE");
    app.work().await;
    assert_eq!(health(&app, "USERS").await, "UP_TO_DATE");
    app.sql("UPDATE integrations SET paused = true").await;
    assert_eq!(health(&app, "USERS").await, "PAUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_a_failure_from_an_endpoint_that_is_not_there() {
    let app = TestApp::loaded().await;
    app.simulator
        .inject(Fault::once(FaultKind::PermissionMissing).on(Endpoint::Users));
    app.simulator
        .inject(Fault::once(FaultKind::ModelNotAvailable).on(Endpoint::Skills));
    trigger(&app, json!({ "endpoints": ["USERS", "SKILLS"] })).await;
    while app.step().await.is_some() {}
    assert_eq!(health(&app, "USERS").await, "FAILING");
    assert_eq!(health(&app, "SKILLS").await, "UNAVAILABLE");
    assert_eq!(health(&app, "COURSES").await, "UP_TO_DATE");
    let answer = app
        .query(
            "{ syncStatus { endpoint consecutiveFailures lastError { code message retryable at } \
             activeRun { id } lastRun { status error { code } } } users { freshness { complete } } }",
        )
        .await;
    let states = answer["syncStatus"].as_array().expect("a list");
    let users = states
        .iter()
        .find(|state| state["endpoint"] == "USERS")
        .expect("users");
    assert_eq!(users["consecutiveFailures"], 1);
    assert_eq!(users["lastError"]["code"], "INTEGRATION.PERMISSION_MISSING");
    assert_eq!(users["lastError"]["retryable"], false);
    assert_eq!(users["activeRun"], Value::Null);
    assert_eq!(users["lastRun"]["status"], "FAILED");
    assert_eq!(answer["users"]["freshness"]["complete"], false);

    trigger(&app, json!({ "endpoints": ["USERS", "SKILLS"] })).await;
    while app.step().await.is_some() {}
    assert_eq!(health(&app, "USERS").await, "UP_TO_DATE");
    assert_eq!(health(&app, "SKILLS").await, "UP_TO_DATE");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sync_status_says_how_far_each_endpoint_is() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let fields = "endpoint integration { komboId } watermark lastSuccessAt lastFullFetchAt nextFullFetchAt lagSeconds \
                  liveRecords consecutiveFailures lastError { code } activeRun { id } lastRun { id status }";
    let answer = app
        .query(&format!(
            "{{ syncStatus {{ {fields} }} integration(komboId: \"{integration}\") {{ syncStatus {{ {fields} }} }} }}"
        ))
        .await;
    let truth = app.simulator.truth(&integration);
    let states = answer["syncStatus"].as_array().expect("a list");
    assert_eq!(states.len(), 4);
    for state in states {
        let table = state["endpoint"].as_str().expect("a name").to_lowercase();
        let live = truth[table.as_str()]
            .values()
            .filter(|row| row["remote_deleted_at"].is_null())
            .count();
        assert_eq!(state["liveRecords"], live, "{table}");
        assert_eq!(state["integration"]["komboId"], integration);
        assert!(state["watermark"].is_string() && state["lastSuccessAt"].is_string());
        let time = |name: &str| state[name].as_str().expect("a moment").to_owned();
        assert!(time("nextFullFetchAt") > time("lastFullFetchAt"));
        let lag = state["lagSeconds"].as_f64().expect("seconds");
        assert!((0.0..120.0).contains(&lag), "{lag}");
        assert_eq!(state["consecutiveFailures"], 0);
        assert_eq!(state["lastError"], Value::Null);
        assert_eq!(state["activeRun"], Value::Null);
        assert_eq!(state["lastRun"]["status"], "SUCCEEDED");
        let below = answer["integration"]["syncStatus"]
            .as_array()
            .expect("a list");
        let same = below
            .iter()
            .find(|other| other["endpoint"] == state["endpoint"]);
        assert_eq!(same.expect("there too")["lastRun"], state["lastRun"]);
    }
    let other = app
        .query("{ syncStatus(integrationKomboId: \"nobody:1\") { health } }")
        .await;
    assert_eq!(other["syncStatus"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_says_what_kombo_says_of_it_until_it_is_deleted() {
    let app = two_integrations().await;
    app.engine
        .refresh_integrations()
        .await
        .expect("Kombo answers");
    let fields = "komboId tool organizationName originId state setupStatus paused registeredAt deletedAt \
                  users { totalCount }";
    let answer = app
        .query(&format!(
            "{{ integrations {{ totalCount nodes {{ {fields} }} }} }}"
        ))
        .await;
    assert_eq!(answer["integrations"]["totalCount"], 2);
    let mut ids = Vec::new();
    for node in answer["integrations"]["nodes"].as_array().expect("nodes") {
        let id = node["komboId"].as_str().expect("an id");
        assert_eq!(
            Some(node["tool"].as_str().expect("a tool")),
            id.split(':').next()
        );
        assert!(node["organizationName"].is_string());
        assert_eq!(node["state"], "ACTIVE");
        assert_eq!(node["setupStatus"], "COMPLETED");
        assert_eq!(node["paused"], false);
        assert!(node["registeredAt"].is_string());
        assert_eq!(node["deletedAt"], Value::Null);
        assert_eq!(node["users"]["totalCount"], 60);
        ids.push(id.to_owned());
    }
    assert!(ids.is_sorted());

    let gone = app.integration();
    assert!(app.simulator.delete_integration(&gone));
    app.settle().await;
    let query = format!(
        "{{ integration(komboId: \"{gone}\") {{ state deletedAt syncStatus {{ health }} }} \
         syncStatus {{ integration {{ komboId }} }} }}"
    );
    let answer = app.query(&query).await;
    assert_eq!(answer["integration"]["state"], "DELETED");
    assert!(answer["integration"]["deletedAt"].is_string());
    assert_eq!(answer["integration"]["syncStatus"][0]["health"], "PAUSED");
    let states = answer["syncStatus"].as_array().expect("a list");
    assert!(
        states
            .iter()
            .all(|state| state["integration"]["komboId"] != gone)
    );
    let nobody = app
        .query("{ integration(komboId: \"nobody:1\") { id } }")
        .await;
    assert_eq!(nobody["integration"], Value::Null);
}

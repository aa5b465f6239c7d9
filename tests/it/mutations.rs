//! What can be done to an integration's life and to single runs.

use std::time::Duration;

use async_graphql::Request;
use kombo_mirror::auth::{Scope, Viewer};
use kombo_mirror::graphql::Schema;
use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options, WebhookTarget};
use kombo_mirror::sync::Ending;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{ADMIN, READER, SECRET, Setup};
use crate::support::look::{parameter, text};

/// Slower than any test: the worker that waits for this answer must be told otherwise.
const FOR_EVER: FaultKind = FaultKind::Slow(3_600_000);

impl TestApp {
    /// The data of a mutation that must succeed, by an admin.
    async fn mutate(&self, mutation: &str, variables: Value) -> Value {
        let mut answer = self.ask(ADMIN, mutation, variables).await;
        assert!(answer.get("errors").is_none(), "{mutation}: {answer}");
        answer["data"].take()
    }

    /// One of the mutations that take an integration's id and answer with the integration.
    async fn of_integration(&self, name: &str, fields: &str) -> Value {
        let mutation = format!("mutation ($id: ID!) {{ {name}(komboId: $id) {{ {fields} }} }}");
        let id = self.integration();
        self.mutate(&mutation, json!({ "id": id })).await[name].take()
    }

    /// The code of a mutation that must be refused.
    async fn refused_mutation(&self, token: &str, mutation: &str) -> String {
        let answer = self.ask(token, mutation, Value::Null).await;
        text(&answer["errors"][0]["extensions"]["code"])
    }

    /// The opaque id of the newest run of an endpoint.
    async fn run_id(&self, endpoint: &str) -> String {
        let answer = self.query("{ syncRuns { nodes { id endpoint } } }").await;
        let runs = answer["syncRuns"]["nodes"].as_array().expect("runs");
        let of_endpoint = |run: &&Value| run["endpoint"] == endpoint.to_uppercase();
        text(&runs.iter().find(of_endpoint).expect("a run")["id"])
    }

    async fn cancel(&self, id: &str) -> Value {
        let mutation =
            "mutation ($id: ID!) { cancelSyncRun(id: $id) { status finishedAt endpoint } }";
        self.mutate(mutation, json!({ "id": id })).await["cancelSyncRun"].take()
    }
}

/// Three pages of progressions, of which a worker has stored two and waits for the third.
async fn working_on_the_third_page(
    lease: Duration,
) -> (TestApp, tokio::task::JoinHandle<Option<Ending>>) {
    let mut setup = Setup::default();
    setup.simulator.progressions = 520;
    setup.sync.lease = lease;
    let app = TestApp::with(setup).await;
    let integration = app.integration();
    app.enqueue(&integration, "course_progressions", Mode::Full)
        .await;
    let third = Fault::once(FOR_EVER).on(Endpoint::CourseProgressions);
    app.simulator.inject(third.on_page(3));
    let worker = app.spawn_worker();
    app.wait_for(
        "SELECT count(*) AS count FROM sync_runs WHERE status = 'RUNNING' AND pages_fetched = 2",
        1,
    )
    .await;
    (app, worker)
}

/// Short, so that the next heartbeat is soon.
const SHORT_LEASE: Duration = Duration::from_millis(300);

// Rule 17
#[tokio::test(flavor = "multi_thread")]
async fn a_registered_integration_is_loaded_at_once() {
    let app = TestApp::with(Setup {
        register: false,
        ..Setup::default()
    })
    .await;
    let fields = "komboId state paused registeredAt deletedAt syncStatus { endpoint activeRun { trigger status mode } }";
    let answer = app.of_integration("registerIntegration", fields).await;
    assert_eq!(answer["komboId"], app.integration());
    assert_eq!(answer["state"], "UNKNOWN");
    let states = answer["syncStatus"].as_array().expect("a list");
    assert_eq!(states.len(), 4);
    for state in states {
        let waiting = json!({ "trigger": "INITIAL", "status": "QUEUED", "mode": "FULL" });
        assert_eq!(state["activeRun"], waiting);
    }
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 17
#[tokio::test(flavor = "multi_thread")]
async fn registering_an_integration_that_lives_changes_nothing() {
    let app = TestApp::loaded().await;
    app.of_integration("pauseIntegration", "id").await;
    let row = "SELECT * FROM integrations";
    let before = app.row(row).await;
    let answer = app.of_integration("registerIntegration", "paused").await;
    assert_eq!(answer["paused"], true);
    assert_eq!(app.row(row).await, before);
    assert_eq!(app.open_runs().await, 0);
}

// Rule 17: what was missed while it was deleted can be found by a full fetch only.
#[tokio::test(flavor = "multi_thread")]
async fn registering_a_deleted_integration_takes_it_up_again() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let data = json!({ "id": integration, "tool": "sandbox", "category": "LMS" });
    app.simulator.send_webhook("integration-deleted", &data);
    app.simulator.flush_webhooks().await;
    app.simulator.set_webhook_target(None);
    app.simulator.change(50);
    let fields = "state deletedAt purgedAt syncStatus { activeRun { trigger mode } }";
    let answer = app.of_integration("registerIntegration", fields).await;
    assert_eq!(answer["state"], "UNKNOWN");
    assert_eq!(answer["deletedAt"], Value::Null);
    for state in answer["syncStatus"].as_array().expect("a list") {
        assert_eq!(
            state["activeRun"],
            json!({ "trigger": "SCHEDULE", "mode": "FULL" })
        );
    }
    assert_eq!(
        app.engine
            .refresh_integrations()
            .await
            .expect("Kombo answers"),
        1
    );
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 5: the checkpoint stays, the worker lets go at its next heartbeat, and nobody takes the run.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_goes_on_where_it_stopped() {
    let (app, worker) = working_on_the_third_page(SHORT_LEASE).await;
    let answer = app
        .of_integration("pauseIntegration", "paused syncStatus { health }")
        .await;
    assert_eq!(answer["paused"], true);
    assert_eq!(answer["syncStatus"][0]["health"], "PAUSED");
    assert_eq!(
        worker.await.expect("the worker ends"),
        Some(Ending::LeaseLost)
    );
    let run = app.last_run("course_progressions").await;
    assert_eq!(
        (&run["status"], &run["lease_until"]),
        (&json!("RUNNING"), &Value::Null)
    );
    app.simulator.clear_requests();
    app.simulator.advance_clock(Duration::from_secs(24 * 3600));
    assert_eq!(app.work().await, []);
    let due = app
        .engine
        .refresh_integrations()
        .await
        .expect("nobody is asked");
    assert_eq!(
        (due, app.simulator.requests().len()),
        (0, 0),
        "nothing at all is fetched"
    );
    let answer = app.of_integration("resumeIntegration", "paused").await;
    assert_eq!(answer["paused"], false);
    assert_eq!(app.step().await, Some(Ending::Succeeded));
    let pages = app.requests_to(Endpoint::CourseProgressions);
    assert_eq!(pages.len(), 1, "only the page that was not stored");
    assert!(parameter(&pages[0], "cursor").is_some());
    assert_eq!(
        app.engine
            .refresh_integrations()
            .await
            .expect("Kombo answers"),
        1
    );
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rules 1 and 5: what is announced meanwhile waits.
#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_a_paused_integration_queue_up() {
    let app = TestApp::loaded().await;
    app.of_integration("pauseIntegration", "id").await;
    app.simulator.change(30);
    app.simulator.flush_webhooks().await;
    let waiting = app.open_runs().await;
    assert!(waiting > 0);
    app.simulator.clear_requests();
    assert_eq!(app.work().await, []);
    assert!(app.simulator.requests().is_empty());
    app.of_integration("resumeIntegration", "id").await;
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 5: a claim that overlapped with the pause.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_claimed_while_its_integration_was_paused_stores_nothing() {
    let app = TestApp::start().await;
    app.simulator
        .inject(Fault::once(FaultKind::Slow(400)).on(Endpoint::Users));
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    let worker = app.spawn_worker();
    app.wait_for(
        "SELECT count(*) AS count FROM sync_runs WHERE status = 'RUNNING'",
        1,
    )
    .await;
    // as a pause does that could not see the run yet
    app.sql("UPDATE integrations SET paused = true").await;
    assert_eq!(
        worker.await.expect("the worker ends"),
        Some(Ending::LeaseLost)
    );
    assert_eq!(app.count("SELECT count(*) AS count FROM users").await, 0);
    assert_eq!(app.last_run("users").await["pages_fetched"], 0);
}

// Rule 5: the fencing filter.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_writes_nothing_more() {
    let (app, worker) = working_on_the_third_page(SHORT_LEASE).await;
    let rows = "SELECT count(*) AS count FROM course_progressions WHERE NOT incomplete";
    let before = app.count(rows).await;
    let id = app.run_id("course_progressions").await;
    let answer = app.cancel(&id).await;
    assert_eq!(answer["status"], "CANCELLED");
    assert!(answer["finishedAt"].is_string());
    assert_eq!(
        worker.await.expect("the worker ends"),
        Some(Ending::LeaseLost)
    );
    assert_eq!(app.count(rows).await, before);
    let state = app.state("course_progressions").await;
    assert_eq!(state["watermark"], Value::Null);
    let run = app.last_run("course_progressions").await;
    assert_eq!(
        (&run["status"], &run["pages_fetched"]),
        (&json!("CANCELLED"), &json!(2))
    );
}

// Rule 15: a cancelled run that the schedule queued again within a second would not be cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_not_queued_again_at_once() {
    let app = TestApp::start().await;
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    let id = app.run_id("users").await;
    assert_eq!(app.cancel(&id).await["endpoint"], "USERS");
    app.simulator.clear_requests();
    app.work().await;
    assert!(app.requests_to(Endpoint::Users).is_empty());
    app.simulator.advance_clock(Duration::from_secs(3601));
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 2, F31: nothing announces a renamed provider twice, and no delta finds it.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_cancelled_full_fetch_would_have_found_is_found_later() {
    let app = TestApp::loaded().await;
    let provider = app.some_id("course_providers").await;
    assert!(app.simulator.rename_provider(&app.integration(), &provider));
    app.simulator.flush_webhooks().await;
    let id = app.run_id("courses").await;
    assert_eq!(app.cancel(&id).await["status"], "CANCELLED");
    assert_eq!(app.work().await, []);
    app.simulator.advance_clock(Duration::from_secs(3601));
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_run_that_waits_or_works_can_be_cancelled() {
    let app = TestApp::loaded().await;
    let done = app.run_id("users").await;
    let code = async |id: &str| {
        let mutation = format!("mutation {{ cancelSyncRun(id: {}) {{ id }} }}", json!(id));
        app.refused_mutation(ADMIN, &mutation).await
    };
    assert_eq!(code(&done).await, "BAD_USER_INPUT");
    for unknown in [
        "U3luY1J1bgo5OTk5OTk",
        "nonsense",
        "",
        "SW50ZWdyYXRpb24KYQ",
        "\u{0}",
    ] {
        assert_eq!(code(unknown).await, "NOT_FOUND", "{unknown:?}");
    }
    assert_eq!(app.last_run("users").await["status"], "SUCCEEDED");
}

const FORCE: &str = "mutation ($id: ID!) { requestKomboSync(integrationKomboId: $id) { alreadyQueued syncId mode } }";

// F74: one at a time is Kombo's promise, and its answer says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_can_be_asked_of_kombo() {
    let app = TestApp::loaded().await;
    let variables = json!({ "id": app.integration() });
    let first = app.mutate(FORCE, variables.clone()).await["requestKomboSync"].take();
    assert_eq!(
        (&first["alreadyQueued"], &first["mode"]),
        (&json!(false), &json!("FULL"))
    );
    let delta = FORCE.replace("$id)", "$id, mode: DELTA)");
    let second = app.mutate(&delta, variables).await["requestKomboSync"].take();
    assert_eq!(second["alreadyQueued"], true);
    assert_eq!(second["syncId"], first["syncId"]);
    assert_eq!(second["mode"], "FULL", "the one that runs");
    let asked = app.simulator.requests();
    let asked = asked
        .iter()
        .rfind(|request| request.path == "/force-sync")
        .expect("asked");
    assert_eq!(
        (asked.method.as_str(), &asked.integration_id),
        ("POST", &Some(app.integration()))
    );
    app.simulator.advance_clock(Duration::from_secs(10));
    app.settle().await;
    let shown = app
        .query("{ integrations { nodes { lastKomboSyncState lastWebhookAt } } }")
        .await;
    let shown = &shown["integrations"]["nodes"][0];
    assert_eq!(shown["lastKomboSyncState"], "SUCCEEDED");
    assert!(shown["lastWebhookAt"].is_string());
}

// Rule 13: what Kombo says is passed on with its code.
#[tokio::test(flavor = "multi_thread")]
async fn kombos_refusal_is_an_upstream_error_with_kombos_code() {
    let app = TestApp::loaded().await;
    let error = async || {
        let answer = app
            .ask(ADMIN, FORCE, json!({ "id": app.integration() }))
            .await;
        answer["errors"][0]["extensions"].clone()
    };
    app.simulator.set_rate_limit(0);
    let limited = error().await;
    assert_eq!(limited["code"], "UPSTREAM_ERROR");
    assert_eq!(limited["komboCode"], "PLATFORM.RATE_LIMIT_EXCEEDED");
    assert!(limited["komboLogUrl"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kombo_that_does_not_answer_is_an_upstream_error() {
    let app = TestApp::loaded().await;
    let id = app.integration();
    app.simulator.stop().await;
    let answer = app.ask(ADMIN, FORCE, json!({ "id": id })).await;
    let error = &answer["errors"][0]["extensions"];
    assert_eq!(error["code"], "UPSTREAM_ERROR");
    assert!(text(&error["komboCode"]).starts_with("MIRROR."), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_that_kombo_does_not_know_is_refused_by_kombo() {
    let app = TestApp::loaded().await;
    let register = "mutation { registerIntegration(komboId: \"ghost:1\") { komboId state } }";
    assert_eq!(
        app.mutate(register, Value::Null).await["registerIntegration"],
        json!({ "komboId": "ghost:1", "state": "UNKNOWN" })
    );
    let answer = app.ask(ADMIN, FORCE, json!({ "id": "ghost:1" })).await;
    let error = &answer["errors"][0]["extensions"];
    assert_eq!(error["komboCode"], "PLATFORM.INTEGRATION_NOT_FOUND");
}

const ALL: [&str; 5] = [
    "registerIntegration(komboId: \"ID\") { id }",
    "pauseIntegration(komboId: \"ID\") { id }",
    "resumeIntegration(komboId: \"ID\") { id }",
    "requestKomboSync(integrationKomboId: \"ID\") { syncId }",
    "cancelSyncRun(id: \"RUN\") { id }",
];

/// Every mutation, about an integration and its newest run of users.
async fn all_of(app: &TestApp, integration: &str) -> Vec<String> {
    let run = app.run_id("users").await;
    let fill = |mutation: &&str| {
        format!(
            "mutation {{ {} }}",
            mutation.replace("ID", integration).replace("RUN", &run)
        )
    };
    ALL.iter().map(fill).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutation_needs_the_admin_scope() {
    let app = TestApp::loaded().await;
    for mutation in all_of(&app, &app.integration()).await {
        assert_eq!(
            app.refused_mutation(READER, &mutation).await,
            "FORBIDDEN",
            "{mutation}"
        );
    }
}

// F70: not even that it exists is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_viewer_may_not_see_is_not_found() {
    let small = Setup::default();
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 2,
            ..small.simulator
        },
        ..small
    })
    .await;
    app.work().await;
    let ids = app.simulator.integration_ids();
    let schema = Schema::new(
        Some(app.engine.clone()),
        &kombo_mirror::config::GraphqlSettings::default(),
    );
    let as_other = async |mutation: &str| {
        let viewer = Viewer {
            scope: Scope::Admin,
            integrations: Some(vec![ids[1].clone()]),
            name: "the other customer".to_owned(),
            expires_at: None,
        };
        let answer = schema.execute(Request::new(mutation), viewer).await;
        serde_json::to_value(&answer).expect("an answer")
    };
    let before = app.rows("SELECT * FROM integrations ORDER BY id").await;
    app.enqueue(&ids[0], "users", Mode::Full).await;
    for mutation in all_of(&app, &ids[0]).await {
        let answer = as_other(&mutation).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "NOT_FOUND",
            "{mutation}: {answer}"
        );
        assert_eq!(answer["data"], Value::Null);
    }
    assert_eq!(
        app.rows("SELECT * FROM integrations ORDER BY id").await,
        before
    );
    assert_eq!(app.open_runs().await, 1);
    let own = format!(
        "mutation {{ pauseIntegration(komboId: \"{}\") {{ paused }} }}",
        ids[1]
    );
    assert_eq!(
        as_other(&own).await["data"]["pauseIntegration"]["paused"],
        true
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mutations_about_unknown_and_deleted_integrations_are_refused() {
    let app = TestApp::loaded().await;
    let code = async |name: &str, id: &str| {
        let mutation = format!(
            "mutation {{ {name}: {name}(komboId: {}) {{ id }} }}",
            json!(id)
        );
        app.refused_mutation(ADMIN, &mutation).await
    };
    for name in ["pauseIntegration", "resumeIntegration"] {
        for unknown in ["nobody:1", "", "a\u{0}b"] {
            assert_eq!(code(name, unknown).await, "NOT_FOUND", "{name} {unknown:?}");
        }
    }
    for unusable in ["", "a\u{0}b", "a\nb", &"x".repeat(300)] {
        assert_eq!(
            code("registerIntegration", unusable).await,
            "BAD_USER_INPUT",
            "{unusable:?}"
        );
    }
    let integration = app.integration();
    app.simulator.delete_integration(&integration);
    app.simulator.flush_webhooks().await;
    for name in ["pauseIntegration", "resumeIntegration"] {
        assert_eq!(code(name, &integration).await, "NOT_FOUND");
    }
    let answer = app.ask(ADMIN, FORCE, json!({ "id": integration })).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "NOT_FOUND");
}

// Section 5.3.2 of GraphQL's specification: two mentions of one field are one answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_that_is_mentioned_twice_answers_with_the_fields_of_both() {
    let app = TestApp::loaded().await;
    let id = app.integration();
    let mutation = format!(
        "mutation {{ pauseIntegration(komboId: \"{id}\") {{ paused }} ...F }} \
         fragment F on Mutation {{ pauseIntegration(komboId: \"{id}\") {{ komboId }} }}"
    );
    let answer = app.mutate(&mutation, Value::Null).await;
    assert_eq!(
        answer["pauseIntegration"],
        json!({ "paused": true, "komboId": id })
    );
}

// What is paused is Kombo's to change and ours to hear of.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_integration_still_hears_what_webhooks_say_of_it() {
    let app = TestApp::loaded().await;
    app.of_integration("pauseIntegration", "id").await;
    app.simulator.set_webhook_target(Some(WebhookTarget {
        url: app.url("/webhooks/kombo"),
        secret: SECRET.to_owned(),
    }));
    app.simulator.send_sync_finished(&app.integration());
    app.simulator.flush_webhooks().await;
    let shown = app
        .query("{ integrations { nodes { paused lastKomboSyncState } } }")
        .await;
    assert_eq!(
        shown["integrations"]["nodes"][0],
        json!({ "paused": true, "lastKomboSyncState": "SUCCEEDED" })
    );
}

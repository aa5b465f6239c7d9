//! What can be done to an integration's life and to single runs.

mod kombo;
mod life;
mod rights;
mod runs;

use std::time::Duration;

use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind};
use kombo_mirror::sync::Ending;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::{ADMIN, Setup};
use crate::support::look::text;

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

const FORCE: &str = "mutation ($id: ID!) { requestKomboSync(integrationKomboId: $id) { alreadyQueued syncId mode } }";

//! Looking at the sync from the inside: rows, runs, states and the requests that Kombo received.

use std::time::Duration;

use kombo_mirror::models::{self, Mode};
use kombo_mirror::queue::{self, Appetite, Request, Trigger};
use kombo_mirror::simulator::{Endpoint, RequestLog};
use kombo_mirror::sync::Ending;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::TestApp;

/// How often a condition is looked at before the test gives up.
const LOOKS: usize = 1500;

/// Longer than any wait between two attempts of a run, shorter than the catch-up's interval.
const PAST_EVERY_BACKOFF: Duration = Duration::from_secs(16 * 60);

impl TestApp {
    /// The rows of a `SELECT`, as JSON objects.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Value> {
        use diesel_async::RunQueryDsl as _;
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::Jsonb)]
            row: Value,
        }
        diesel::sql_query(format!("SELECT to_jsonb(q) AS row FROM ({sql}) q"))
            .get_results::<Row>(&mut self.database().await)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
            .into_iter()
            .map(|row| row.row)
            .collect()
    }

    /// The first row of a `SELECT` that must find one.
    pub(crate) async fn row(&self, sql: &str) -> Value {
        let mut rows = self.rows(sql).await;
        assert!(!rows.is_empty(), "{sql}: no row");
        rows.remove(0)
    }

    /// A row of a mirror table of the first integration.
    pub(crate) async fn mirrored(&self, table: &str, id: &str) -> Value {
        let integration = self.integration();
        self.row(&format!(
            "SELECT * FROM {table} WHERE integration_id = '{integration}' AND id = '{id}'"
        ))
        .await
    }

    /// The id of some live row of a mirror table of the first integration.
    pub(crate) async fn some_id(&self, table: &str) -> String {
        let integration = self.integration();
        let row = self
            .row(&format!(
                "SELECT id FROM {table} WHERE integration_id = '{integration}' AND missing_since IS NULL \
                 AND NOT incomplete AND to_jsonb({table})->>'remote_deleted_at' IS NULL ORDER BY id LIMIT 1"
            ))
            .await;
        text(&row["id"])
    }

    /// How far an endpoint of the first integration was fetched.
    pub(crate) async fn state(&self, endpoint: &str) -> Value {
        let integration = self.integration();
        self.row(&format!(
            "SELECT * FROM endpoint_states WHERE integration_id = '{integration}' AND endpoint = '{endpoint}'"
        ))
        .await
    }

    /// The newest run of an endpoint of the first integration.
    pub(crate) async fn last_run(&self, endpoint: &str) -> Value {
        let integration = self.integration();
        self.row(&format!(
            "SELECT * FROM sync_runs WHERE integration_id = '{integration}' AND endpoint = '{endpoint}' \
             ORDER BY id DESC LIMIT 1"
        ))
        .await
    }

    /// Queues a fetch, as somebody who asks would; true when nothing was added.
    pub(crate) async fn enqueue(&self, integration: &str, endpoint: &str, mode: Mode) -> bool {
        let request = Request {
            integration_id: integration,
            endpoint: models::endpoint(endpoint).expect("the endpoint exists"),
            mode,
            trigger: Trigger::Manual,
            reason: json!({ "test": true }),
            requested_by: None,
        };
        let now = (self.engine.clock)();
        let mut connection = self.database().await;
        queue::enqueue(&mut connection, &request, now)
            .await
            .expect("the run is queued")
            .coalesced
    }

    /// Fetches an endpoint of the first integration until its run ends or waits; returns the run.
    pub(crate) async fn fetch(&self, endpoint: &str, mode: Mode) -> Value {
        // a webhook that arrives while the run is claimed would lock it, and the claim passes it over
        self.simulator.flush_webhooks().await;
        self.enqueue(&self.integration(), endpoint, mode).await;
        while let Some(ending) = self.step().await {
            if ending == Ending::Postponed {
                break;
            }
        }
        self.last_run(endpoint).await
    }

    /// Fetches everything of all integrations in full.
    pub(crate) async fn fetch_everything(&self) {
        for integration in self.simulator.integration_ids() {
            for endpoint in models::ALL {
                self.enqueue(&integration, endpoint.name, Mode::Full).await;
            }
        }
        self.work_through().await;
    }

    /// Works until no run is open, moving the clock past every wait.
    pub(crate) async fn work_through(&self) -> Vec<Ending> {
        let mut endings = self.work().await;
        for _ in 0..LOOKS {
            if self.open_runs().await == 0 {
                return endings;
            }
            self.simulator.advance_clock(PAST_EVERY_BACKOFF);
            endings.extend(self.work().await);
        }
        let open = "SELECT r.*, i.deleted_at FROM sync_runs r LEFT JOIN integrations i ON i.id = r.integration_id \
             WHERE r.status IN ('QUEUED', 'RUNNING')";
        panic!("some runs never end: {:?}", self.rows(open).await);
    }

    /// A worker that takes one run.
    pub(crate) fn spawn_worker(&self) -> JoinHandle<Option<Ending>> {
        let engine = self.engine.clone();
        tokio::spawn(async move {
            let worked = engine.work_once(Appetite::Anything).await;
            worked.expect("the database works")
        })
    }

    pub(crate) async fn open_runs(&self) -> i64 {
        let mut connection = self.database().await;
        queue::open_runs(&mut connection)
            .await
            .expect("the queue is read")
    }

    /// The list requests that Kombo received on an endpoint.
    pub(crate) fn requests_to(&self, endpoint: Endpoint) -> Vec<RequestLog> {
        let mut requests = self.simulator.requests();
        requests.retain(|request| request.path == endpoint.path());
        requests
    }

    /// Waits until a number that SQL computes reaches `wanted`.
    pub(crate) async fn wait_for(&self, sql: &str, wanted: i64) {
        eventually(sql, async || self.count(sql).await >= wanted).await;
    }
}

/// Looks at a condition until it holds, for at most half a minute or so.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..LOOKS {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never came true: {what}");
}

/// A parameter of a request.
pub(crate) fn parameter(request: &RequestLog, name: &str) -> Option<String> {
    let found = request.query.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.clone())
}

/// A JSON value that must be a text.
pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
        .to_owned()
}

/// A JSON value that must be a moment.
pub(crate) fn moment(value: &Value) -> chrono::DateTime<chrono::Utc> {
    text(value).parse().expect("a moment")
}

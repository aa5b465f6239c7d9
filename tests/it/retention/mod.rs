//! What leaves the database for good, when, and what stays.

mod ages;
mod erasure;
mod purge;

use std::time::Duration;

use kombo_mirror::config::RetentionSettings;
use kombo_mirror::retention::{Keeper, Removed};
use kombo_mirror::simulator::Options;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::look::text;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl TestApp {
    fn keeper(&self) -> Keeper {
        let stop = self.engine.stop.clone();
        Keeper::new(self.engine.pool.clone(), RetentionSettings::default(), stop)
    }

    /// Lets time pass and removes what is due then.
    async fn remove_after(&self, time: Duration) -> Removed {
        self.simulator.advance_clock(time);
        let removed = self.keeper().look(self.simulator.now()).await;
        removed.expect("the database works").expect("it is time")
    }

    /// Kombo says that the first integration was deleted, but goes on answering.
    async fn hear_of_the_deletion(&self) {
        let data = json!({ "id": self.integration(), "tool": "sandbox", "category": "LMS" });
        self.simulator.send_webhook("integration-deleted", &data);
        self.simulator.flush_webhooks().await;
    }

    /// Tables whose rows name an integration.
    async fn tables_of_integrations(&self) -> Vec<String> {
        let sql = "SELECT table_name::text AS name FROM information_schema.columns \
                   WHERE table_schema = 'public' AND column_name = 'integration_id' ORDER BY 1";
        let rows = self.rows(sql).await;
        rows.iter().map(|row| text(&row["name"])).collect()
    }

    async fn rows_of(&self, table: &str, integration: &str) -> i64 {
        let sql =
            format!("SELECT count(*) AS count FROM {table} WHERE integration_id = '{integration}'");
        self.count(&sql).await
    }

    /// Rows of any table in which a text stands.
    async fn mentions(&self, what: &str) -> Vec<String> {
        let sql = "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public'";
        let mut found = Vec::new();
        for table in self.rows(sql).await {
            let table = text(&table["name"]);
            let sql = format!(
                "SELECT count(*) AS count FROM {table} t WHERE to_jsonb(t)::text LIKE '%{what}%'"
            );
            if self.count(&sql).await > 0 {
                found.push(table);
            }
        }
        found
    }

    async fn parked(&self) -> i64 {
        self.count("SELECT count(*) AS count FROM parked_records")
            .await
    }

    /// Parks a record and leaves a mark of a run that no longer works.
    async fn leave_traces(&self, integration: &str) {
        let now = self.simulator.now();
        self.sql(&format!(
            "INSERT INTO parked_records VALUES ('{integration}', 'users', 'odd', '{{}}', 'odd', 1, '{now}', '{now}')"
        ))
        .await;
        self.sql(&format!(
            "INSERT INTO seen_records SELECT id, 'users', 'left' FROM sync_runs WHERE integration_id = '{integration}'"
        ))
        .await;
    }
}

async fn two_integrations() -> TestApp {
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
    app
}

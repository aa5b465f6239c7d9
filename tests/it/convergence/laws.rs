//! What holds at every moment of a life, whatever happens in it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::life::Life;
use crate::support::TestApp;
use crate::support::look::{moment, text};

/// The watermarks that were seen last, by integration and endpoint.
pub(super) type Marks = HashMap<(String, String), DateTime<Utc>>;

impl Life {
    /// Asserts all laws.
    pub(super) async fn obeys(&mut self) {
        self.watermarks_move_forward_and_never_beyond_now().await;
        self.one_run_works_and_one_waits().await;
        self.counters_add_up().await;
        self.what_ended_is_let_go().await;
    }

    // Rule 3
    async fn watermarks_move_forward_and_never_beyond_now(&mut self) {
        let rows = self
            .app
            .rows("SELECT integration_id, endpoint, watermark FROM endpoint_states WHERE watermark IS NOT NULL")
            .await;
        // after the rows were read, so that it can only be later
        let now = self.app.simulator.now();
        for row in rows {
            let key = (text(&row["integration_id"]), text(&row["endpoint"]));
            let mark = moment(&row["watermark"]);
            assert!(mark <= now, "{key:?}: {mark} is later than {now}");
            let last = self.marks.insert(key.clone(), mark);
            assert!(
                last.is_none_or(|last| last <= mark),
                "{key:?}: back to {mark}"
            );
        }
    }

    // Rule 5
    async fn one_run_works_and_one_waits(&self) {
        let crowds = "SELECT count(*) AS count FROM (SELECT FROM sync_runs WHERE status IN ('QUEUED', 'RUNNING') \
             GROUP BY integration_id, endpoint, status HAVING count(*) > 1) q";
        assert_eq!(self.app.count(crowds).await, 0);
    }

    // Rule 6
    async fn counters_add_up(&self) {
        let wrong = "SELECT id, records_received, records_inserted, records_updated, records_unchanged, records_parked \
             FROM sync_runs WHERE records_received <> records_inserted + records_updated + records_unchanged + records_parked";
        let wrong = self.app.rows(wrong).await;
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    // Rules 5 and 6
    async fn what_ended_is_let_go(&self) {
        let held = "SELECT count(*) AS count FROM sync_runs WHERE status NOT IN ('QUEUED', 'RUNNING') \
             AND (lease_until IS NOT NULL OR finished_at IS NULL)";
        assert_eq!(self.app.count(held).await, 0);
        let marks = "SELECT count(*) AS count FROM seen_records s JOIN sync_runs r ON r.id = s.run_id \
             WHERE r.status IN ('SUCCEEDED', 'FAILED')";
        assert_eq!(self.app.count(marks).await, 0);
    }
}

/// Approves everything that the removal guard held back, as somebody who knows would.
pub(super) async fn approve_all(app: &TestApp) {
    let runs = app
        .rows("SELECT DISTINCT run_id FROM held_back_removals")
        .await;
    let now = app.simulator.now();
    for run in runs {
        let id = run["run_id"].as_i64().expect("a number");
        let mut connection = app.database().await;
        kombo_mirror::sync::held::approve(&mut connection, id, now)
            .await
            .expect("the removals are approved");
    }
}

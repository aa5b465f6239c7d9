//! Removes what is older than it is kept, by a list of rules, and marks that no run needs any more.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Keeper;
use crate::config::RetentionSettings;
use crate::db::{Connection, Statement};
use crate::models::erasure::ERASE_AFTER;

/// How long the rows of a table are kept.
struct Rule {
    table: &'static str,
    /// Columns of the primary key.
    key: &'static str,
    /// The column that the age is counted from.
    since: &'static str,
    keep: fn(&RetentionSettings) -> Duration,
    /// What else must hold of the row `r`.
    only: &'static str,
    /// What is written down of the rows `gone`.
    noted: Option<&'static str>,
}

/// A reader of the feed must learn that what it has not read yet is no longer there.
const UP_TO_WHERE: &str = "UPDATE integrations i SET changes_forgotten_to = GREATEST(i.changes_forgotten_to, g.sequence) \
     FROM (SELECT integration_id, max(sequence) AS sequence FROM gone GROUP BY integration_id) g \
     WHERE i.id = g.integration_id";

/// The newest finished run of an endpoint says how it is doing, and the newest that wrote rows says as of when:
/// both stay however old they are. So does one whose removals wait for an approval, which names the run.
const HAS_SUCCESSORS: &str = "EXISTS (SELECT FROM sync_runs n WHERE n.integration_id = r.integration_id \
       AND n.endpoint = r.endpoint AND n.id > r.id AND n.finished_at IS NOT NULL) \
     AND (r.observed_at IS NULL OR EXISTS (SELECT FROM sync_runs n WHERE n.integration_id = r.integration_id \
       AND n.endpoint = r.endpoint AND n.id > r.id AND n.observed_at IS NOT NULL)) \
     AND NOT EXISTS (SELECT FROM held_back_removals h WHERE h.run_id = r.id)";

/// Every table that forgets by age.
const RULES: &[Rule] = &[
    Rule {
        table: "sync_runs",
        key: "id",
        since: "finished_at",
        keep: |settings| settings.runs,
        only: HAS_SUCCESSORS,
        noted: None,
    },
    Rule {
        table: "webhook_events",
        key: "id",
        since: "received_at",
        keep: |settings| settings.runs,
        only: "true",
        noted: None,
    },
    Rule {
        table: "record_changes",
        key: "integration_id, sequence",
        since: "at",
        keep: |settings| settings.changes,
        only: "true",
        noted: Some(UP_TO_WHERE),
    },
    // A full fetch comes more often than this, so what it has not met again is gone, and its fields are to be
    // erased like those of any record that is gone.
    Rule {
        table: "parked_records",
        key: "integration_id, endpoint, id",
        since: "last_seen_at",
        keep: |_| ERASE_AFTER.to_std().unwrap_or(Duration::MAX),
        only: "true",
        noted: None,
    },
];

/// Removes what is too old and what nobody needs; returns the rows.
pub(super) async fn remove(
    keeper: &Keeper,
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let mut removed = 0;
    for rule in RULES {
        let before = now - (rule.keep)(&keeper.settings);
        let batch = older_rows(rule, before, keeper.batch_rows);
        removed += keeper.in_batches(connection, &batch).await?;
    }
    for run_id in runs_with_stale_marks(connection).await? {
        let batch = marks_of(run_id, keeper.batch_rows);
        removed += keeper.in_batches(connection, &batch).await?;
    }
    Ok(removed)
}

fn older_rows(rule: &Rule, before: DateTime<Utc>, limit: i64) -> Statement {
    let mut statement = Statement::fixed();
    let before = statement.time(Some(before));
    let limit = statement.bigint(limit);
    let noted = rule
        .noted
        .map_or_else(String::new, |noted| format!(", noted AS ({noted})"));
    statement.push(&format!(
        "WITH gone AS (DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} r \
         WHERE r.{since} <= {before} AND {only} ORDER BY r.{since} LIMIT {limit}) RETURNING {key}){noted} SELECT FROM gone",
        table = rule.table,
        key = rule.key,
        since = rule.since,
        only = rule.only,
    ));
    statement
}

/// Runs that left marks and are no longer working: they were cancelled, or removed with their integration. Steps
/// from one run to the next by the key, since a working run may have a million marks.
async fn runs_with_stale_marks(connection: &mut AsyncPgConnection) -> QueryResult<Vec<i64>> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        run_id: i64,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "WITH RECURSIVE marked AS (SELECT min(run_id) AS run_id FROM seen_records \
           UNION ALL SELECT (SELECT min(s.run_id) FROM seen_records s WHERE s.run_id > m.run_id) FROM marked m \
           WHERE m.run_id IS NOT NULL) \
         SELECT run_id FROM marked m WHERE run_id IS NOT NULL \
           AND NOT EXISTS (SELECT FROM sync_runs r WHERE r.id = m.run_id AND r.status = 'RUNNING')",
    )
    .get_results(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.run_id).collect())
}

fn marks_of(run_id: i64, limit: i64) -> Statement {
    let mut statement = Statement::fixed();
    let run = statement.bigint(run_id);
    let limit = statement.bigint(limit);
    statement.push(&format!(
        "DELETE FROM seen_records WHERE run_id = {run} AND (table_name, id) IN \
         (SELECT table_name, id FROM seen_records WHERE run_id = {run} ORDER BY table_name, id LIMIT {limit})"
    ));
    statement
}

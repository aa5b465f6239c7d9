//! Erases the personal fields of records that have been absent for too long (F40).
//!
//! The row itself stays, so that what refers to it does not point nowhere and a late fetch cannot bring the fields
//! back as something new.

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl as _;

use super::Keeper;
use crate::db::{Connection, Statement};
use crate::models::erasure::{self, ERASE_AFTER};
use crate::models::{self, table::Table};

#[derive(Default, diesel::QueryableByName)]
struct Key {
    #[diesel(sql_type = Text)]
    integration_id: String,
    #[diesel(sql_type = Text)]
    id: String,
}

/// Removes the stubs that no row refers to any more: what a progression once said of a person must not outlive
/// it. Returns the rows.
pub(super) async fn remove_orphans(
    keeper: &Keeper,
    connection: &mut Connection,
) -> QueryResult<usize> {
    let mut removed = 0;
    for table in models::ALL.iter().flat_map(|endpoint| endpoint.tables) {
        if !table.referred_by.is_empty() {
            let batch = orphans(table, keeper.batch_rows);
            removed += keeper.in_batches(connection, &batch).await?;
        }
    }
    Ok(removed)
}

fn orphans(table: &Table, limit: i64) -> Statement {
    let mut statement = Statement::fixed();
    let limit = statement.bigint(limit);
    let unreferred: Vec<String> = table
        .referred_by
        .iter()
        .map(|(from, column)| {
            format!(
                "NOT EXISTS (SELECT FROM {from} f WHERE f.integration_id = t.integration_id AND f.{column} = t.id)"
            )
        })
        .collect();
    statement.push(&format!(
        "DELETE FROM {name} WHERE (integration_id, id) IN (SELECT t.integration_id, t.id FROM {name} t \
         WHERE t.incomplete AND {} LIMIT {limit} FOR UPDATE SKIP LOCKED)",
        unreferred.join(" AND "),
        name = table.name,
    ));
    statement
}

/// Erases what is due in every mirrored table; returns the rows.
pub(super) async fn erase(
    keeper: &Keeper,
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let tables: Vec<&Table> = models::ALL
        .iter()
        .flat_map(|endpoint| endpoint.tables)
        .copied()
        .collect();
    let mut erased = 0;
    for table in tables {
        let mut last = Key::default();
        while !keeper.is_stopped() {
            let batch = rows_behind(table, &last, keeper.batch_rows, now);
            let keys: Vec<Key> = batch.get_results(connection).await?;
            erased += keys.len();
            let was_last = keeper.was_last(keys.len());
            match keys.into_iter().next_back() {
                Some(key) if !was_last => last = key,
                _ => break,
            }
        }
    }
    Ok(erased)
}

/// Erases the next rows behind a key. Rows that a fetch is writing are passed over: it knows better.
fn rows_behind(table: &Table, last: &Key, limit: i64, now: DateTime<Utc>) -> Statement {
    let mut statement = Statement::fixed();
    let integration = statement.text(last.integration_id.as_str());
    let id = statement.text(last.id.as_str());
    let limit = statement.bigint(limit);
    let before = statement.time(Some(now - ERASE_AFTER));
    let now = statement.time(Some(now));
    statement.push(&format!(
        "WITH due AS (SELECT t.integration_id, t.id FROM {name} t \
           WHERE (t.integration_id, t.id) > ({integration}, {id}) AND {is_due} AND {has_content} \
           ORDER BY t.integration_id, t.id LIMIT {limit} FOR UPDATE SKIP LOCKED), \
         erased AS (UPDATE {name} t SET {assignments}, mirrored_at = {now} FROM due d \
           WHERE t.integration_id = d.integration_id AND t.id = d.id RETURNING t.integration_id, t.id) \
         SELECT integration_id, id FROM erased ORDER BY integration_id, id",
        name = table.name,
        is_due = erasure::is_due(table, "t", &before),
        has_content = erasure::has_content(table, "t"),
        assignments = erasure::assignments(table),
    ));
    statement
}

//! Removes all that the mirror has of an integration that was deleted long enough ago.
//!
//! Every batch proves, under a lock on the integration's row, that it is still deleted: once somebody has brought it
//! back nothing more is removed. What was removed until then is fetched anew, because the knowledge of having
//! fetched it goes first.

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::sql_types::Text;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Keeper;
use crate::db::{Connection, Statement};
use crate::integrations::schema::integrations;
use crate::models;

/// Tables with rows of an integration beside the mirrored ones, each with the rest of its key; in this order, so
/// that how far was fetched is forgotten before what was fetched. A test finds the table that is missing here.
const OWN: &[(&str, &str)] = &[
    ("endpoint_states", "endpoint"),
    ("sync_runs", "id"),
    ("parked_records", "endpoint, id"),
    ("held_back_removals", "table_name, id, linked_id"),
    ("schema_drift", "table_name, kind, name"),
    ("record_changes", "sequence"),
    ("course_revision_skills", "course_revision_id, skill_id"),
];

/// Purges every integration whose time has come; returns how many were finished.
pub(super) async fn purge(
    keeper: &Keeper,
    connection: &mut Connection,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let before = now - keeper.settings.integrations;
    let due: Vec<String> = integrations::table
        .filter(integrations::deleted_at.le(before))
        .filter(integrations::purged_at.is_null())
        .order(integrations::deleted_at)
        .select(integrations::id)
        .load(connection)
        .await?;
    let mut purged = 0;
    for id in due {
        if purge_one(keeper, connection, &id, before, now).await? {
            purged += 1;
            tracing::info!(integration.id = id, "a deleted integration was purged");
        }
    }
    // what was received of them since
    for id in with_payloads(connection).await? {
        let batch = payloads_of(&id, keeper.batch_rows);
        keeper.in_batches(connection, &batch).await?;
    }
    Ok(purged)
}

/// Whether it was brought to its end.
async fn purge_one(
    keeper: &Keeper,
    connection: &mut Connection,
    id: &str,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    for (table, key) in tables() {
        let batch = rows_of(id, before, (table, key), keeper.batch_rows);
        keeper.in_batches(connection, &batch).await?;
    }
    let batch = payloads_of(id, keeper.batch_rows);
    keeper.in_batches(connection, &batch).await?;
    if keeper.is_stopped() {
        return Ok(false);
    }
    finish(connection, id, before, now).await
}

/// Every table with rows of an integration, and the rest of its key.
fn tables() -> Vec<(&'static str, &'static str)> {
    let mirrored = models::ALL.iter().flat_map(|endpoint| endpoint.tables);
    let mirrored = mirrored.map(|table| (table.name, "id"));
    OWN.iter().copied().chain(mirrored).collect()
}

fn rows_of(id: &str, before: DateTime<Utc>, (table, key): (&str, &str), limit: i64) -> Statement {
    let mut statement = Statement::fixed();
    let id = statement.text(id);
    let before = statement.time(Some(before));
    let limit = statement.bigint(limit);
    // the shared lock lasts as long as the statement: whoever brings the integration back waits for the batch
    statement.push(&format!(
        "WITH due AS MATERIALIZED (SELECT id FROM integrations \
           WHERE id = {id} AND deleted_at <= {before} AND purged_at IS NULL FOR SHARE) \
         DELETE FROM {table} WHERE integration_id = {id} AND EXISTS (SELECT FROM due) AND ({key}) IN \
           (SELECT {key} FROM {table} WHERE integration_id = {id} ORDER BY {key} LIMIT {limit})"
    ));
    statement
}

/// Events keep their row, by which a redelivery is known, and lose their words.
fn payloads_of(id: &str, limit: i64) -> Statement {
    let mut statement = Statement::fixed();
    let id = statement.text(id);
    let limit = statement.bigint(limit);
    statement.push(&format!(
        "UPDATE webhook_events SET payload = '' WHERE id IN (SELECT id FROM webhook_events \
         WHERE integration_id = {id} AND payload <> '' ORDER BY received_at LIMIT {limit})"
    ));
    statement
}

/// Purged integrations of which a webhook came later.
async fn with_payloads(connection: &mut AsyncPgConnection) -> QueryResult<Vec<String>> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        id: String,
    }
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT id FROM integrations i WHERE purged_at IS NOT NULL AND EXISTS \
         (SELECT FROM webhook_events e WHERE e.integration_id = i.id AND e.payload <> '')",
    )
    .get_results(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Leaves of the integration that it was there, what kind it was, and when it went.
async fn finish(
    connection: &mut AsyncPgConnection,
    id: &str,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let finished = diesel::update(
        integrations::table
            .find(id)
            .filter(integrations::deleted_at.le(before))
            .filter(integrations::purged_at.is_null()),
    )
    .set((
        integrations::purged_at.eq(Some(now)),
        integrations::state.eq("DELETED"),
        integrations::organization_name.eq(None::<String>),
        integrations::origin_id.eq(None::<String>),
        integrations::setup_status.eq(None::<String>),
        integrations::state_as_of.eq(None::<DateTime<Utc>>),
        integrations::last_kombo_sync_at.eq(None::<DateTime<Utc>>),
        integrations::last_kombo_sync_state.eq(None::<String>),
        integrations::data_expired_at.eq(None::<DateTime<Utc>>),
        integrations::unavailable_models.eq(Vec::<String>::new()),
    ))
    .execute(connection)
    .await?;
    Ok(finished > 0)
}

//! Orders to runs from outside a worker: wake, put back, cancel.
//!
//! A worker in the middle of a run need not be told: its next page and its next heartbeat find that the run is no
//! longer its own, and it writes nothing more.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel::{ExpressionMethods as _, OptionalExtension as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::NEXT_TOKEN;
use super::schema::sync_runs;
use crate::db::Statement;

/// SQL of whether a run waits for something of the integration itself.
pub(super) fn sleeping(integration: &str, now: &str) -> String {
    format!(
        "integration_id = {integration} AND status = 'RUNNING' AND lease_until IS NULL \
         AND error_code LIKE 'INTEGRATION.%' AND available_at > {now}"
    )
}

/// Gives those of an integration's postponed runs another try at once that wait for the integration itself
/// (its set-up): Kombo has just told us that something moved. What waits for a rate limit or after a fault
/// waits on.
///
/// # Errors
/// Whatever Postgres says.
pub async fn wake(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let mut statement = Statement::fixed();
    let integration = statement.text(integration_id);
    let now = statement.time(Some(now));
    let sleeping = sleeping(&integration, &now);
    statement.push(&format!(
        "UPDATE sync_runs SET available_at = {now} WHERE {sleeping}"
    ));
    let woken = statement.execute(connection).await?;
    if woken > 0 {
        super::notify(connection).await?;
    }
    Ok(woken)
}

/// Takes an integration's open runs out of the queue.
///
/// # Errors
/// Whatever Postgres says.
pub async fn cancel_open(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    diesel::update(
        sync_runs::table
            .filter(sync_runs::integration_id.eq(integration_id))
            .filter(sync_runs::status.eq_any(["QUEUED", "RUNNING"])),
    )
    .set((
        sync_runs::status.eq("CANCELLED"),
        sync_runs::finished_at.eq(Some(now)),
        sync_runs::lease_until.eq(None::<DateTime<Utc>>),
    ))
    .execute(connection)
    .await
}

/// Takes an integration's working runs out of their workers' hands; each goes on at its checkpoint when it may
/// be claimed again.
///
/// # Errors
/// Whatever Postgres says.
pub async fn put_back(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
) -> QueryResult<usize> {
    diesel::update(
        sync_runs::table
            .filter(sync_runs::integration_id.eq(integration_id))
            .filter(sync_runs::status.eq("RUNNING"))
            .filter(sync_runs::lease_until.is_not_null()),
    )
    .set((
        sync_runs::lease_until.eq(None::<DateTime<Utc>>),
        sync_runs::lease_token.eq(sql::<BigInt>(NEXT_TOKEN)),
    ))
    .execute(connection)
    .await
}

/// Whose run it is; `None`: there is no such run.
///
/// # Errors
/// Whatever Postgres says.
pub async fn integration_of(
    connection: &mut AsyncPgConnection,
    run_id: i64,
) -> QueryResult<Option<String>> {
    sync_runs::table
        .find(run_id)
        .select(sync_runs::integration_id)
        .first(connection)
        .await
        .optional()
}

/// A run that was cancelled.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct Cancelled {
    /// Its endpoint's name.
    #[diesel(sql_type = Text)]
    pub endpoint: String,
    /// A webhook had announced what only a full fetch finds, and nothing will announce it again.
    #[diesel(sql_type = Bool)]
    pub owes_full_fetch: bool,
}

/// Cancels a run that waits or works; `None`: it has ended already.
///
/// # Errors
/// Whatever Postgres says.
pub async fn cancel(
    connection: &mut AsyncPgConnection,
    run_id: i64,
    now: DateTime<Utc>,
) -> QueryResult<Option<Cancelled>> {
    let mut statement = Statement::fixed();
    let run = statement.bigint(run_id);
    let now = statement.time(Some(now));
    statement.push(&format!(
        "UPDATE sync_runs SET status = 'CANCELLED', finished_at = {now}, lease_until = NULL \
         WHERE id = {run} AND status IN ('QUEUED', 'RUNNING') RETURNING endpoint, \
           mode = 'FULL' AND jsonb_path_exists(reasons, '$[*].webhookEvent') AS owes_full_fetch"
    ));
    let cancelled: Vec<Cancelled> = statement.get_results(connection).await?;
    Ok(cancelled.into_iter().next())
}

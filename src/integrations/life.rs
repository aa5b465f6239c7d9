//! An integration's life: deleted at Kombo, registered again, paused, resumed.
//!
//! What follows for runs is the queue's to do; this file changes what is known of the integration only.

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::schema::integrations;
use super::{add_endpoint_states, register};
use crate::db::Statement;

/// Stops an integration for good: Kombo deleted it. Its rows stay until they are purged. One that was never
/// heard of is noted too, so that the news of its creation, which may come later, does not bring it to life.
/// Returns whether that was news.
///
/// # Errors
/// Whatever Postgres says.
pub async fn mark_deleted(
    connection: &mut AsyncPgConnection,
    id: &str,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let mut statement = Statement::fixed();
    let id = statement.text(id);
    let now = statement.time(Some(now));
    statement.push(&format!(
        "INSERT INTO integrations AS i (id, state, registered_at, deleted_at, details_due_at) \
         VALUES ({id}, 'DELETED', {now}, {now}, {now}) \
         ON CONFLICT (id) DO UPDATE SET state = 'DELETED', deleted_at = {now} WHERE i.deleted_at IS NULL"
    ));
    Ok(statement.execute(connection).await? > 0)
}

/// Brings a deleted integration back, or registers one that is not known; one that lives is left as it is. All
/// that was not fetched while it was deleted may have changed, so every endpoint is due for a full fetch.
///
/// # Errors
/// Whatever Postgres says.
pub async fn revive(
    connection: &mut AsyncPgConnection,
    id: &str,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    use super::schema::endpoint_states::dsl;
    if register(connection, id, &super::Details::default(), now).await? {
        return Ok(());
    }
    let mut statement = Statement::fixed();
    let integration = statement.text(id);
    let at = statement.time(Some(now));
    // what was purged begins anew, pause and date of registration included
    statement.push(&format!(
        "UPDATE integrations SET deleted_at = NULL, purged_at = NULL, state = 'UNKNOWN', details_due_at = {at}, \
           paused = paused AND purged_at IS NULL, \
           registered_at = CASE WHEN purged_at IS NULL THEN registered_at ELSE {at} END \
         WHERE id = {integration}"
    ));
    statement.execute(connection).await?;
    diesel::update(dsl::endpoint_states.filter(dsl::integration_id.eq(id)))
        .set((
            dsl::next_full_fetch_at.eq(Some(now)),
            dsl::retry_at.eq(None::<DateTime<Utc>>),
        ))
        .execute(connection)
        .await?;
    add_endpoint_states(connection, id).await
}

/// Leaves an integration alone from now on. Returns whether there is such a living integration.
///
/// # Errors
/// Whatever Postgres says.
pub async fn pause(connection: &mut AsyncPgConnection, id: &str) -> QueryResult<bool> {
    let changed = diesel::update(
        integrations::table
            .find(id)
            .filter(integrations::deleted_at.is_null()),
    )
    .set(integrations::paused.eq(true))
    .execute(connection)
    .await?;
    Ok(changed > 0)
}

/// Takes an integration up again; what Kombo says of it is asked for at once. Returns whether there is such a
/// living integration.
///
/// # Errors
/// Whatever Postgres says.
pub async fn resume(
    connection: &mut AsyncPgConnection,
    id: &str,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let mut statement = Statement::fixed();
    let id = statement.text(id);
    let now = statement.time(Some(now));
    statement.push(&format!(
        "UPDATE integrations SET paused = false, details_due_at = CASE WHEN paused THEN {now} ELSE details_due_at END \
         WHERE id = {id} AND deleted_at IS NULL"
    ));
    Ok(statement.execute(connection).await? > 0)
}

/// Keeps the schedule away from an endpoint until then; webhooks and people may still have it fetched.
///
/// # Errors
/// Whatever Postgres says.
pub async fn leave_alone_until(
    connection: &mut AsyncPgConnection,
    id: &str,
    endpoint: &str,
    until: DateTime<Utc>,
) -> QueryResult<usize> {
    use super::schema::endpoint_states::dsl;
    diesel::update(dsl::endpoint_states.find((id, endpoint)))
        .set(dsl::retry_at.eq(Some(until)))
        .execute(connection)
        .await
}

/// Makes the next fetch that the schedule adds a full one.
///
/// # Errors
/// Whatever Postgres says.
pub async fn make_full_fetch_due(
    connection: &mut AsyncPgConnection,
    id: &str,
    endpoint: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    use super::schema::endpoint_states::dsl;
    diesel::update(
        dsl::endpoint_states
            .find((id, endpoint))
            .filter(dsl::next_full_fetch_at.gt(now)),
    )
    .set(dsl::next_full_fetch_at.eq(Some(now)))
    .execute(connection)
    .await
}

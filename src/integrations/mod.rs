//! Which integrations exist, and what Kombo says of their state.
//!
//! There is no Kombo endpoint that lists integrations: they come from the setting, from webhooks, or from
//! a request. This room must never call Kombo itself.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::db::Statement;
use crate::models;

/// The tables as diesel sees them; a test holds them equal to the migrated database.
#[expect(missing_docs, reason = "the migration says what the columns are")]
pub mod schema {
    diesel::table! {
        /// Connected learning systems.
        integrations (id) {
            id -> Text,
            tool -> Nullable<Text>,
            category -> Nullable<Text>,
            organization_name -> Nullable<Text>,
            origin_id -> Nullable<Text>,
            state -> Text,
            setup_status -> Nullable<Text>,
            paused -> Bool,
            registered_at -> Timestamptz,
            deleted_at -> Nullable<Timestamptz>,
            details_due_at -> Timestamptz,
        }
    }

    diesel::table! {
        /// How far each endpoint of an integration was fetched.
        endpoint_states (integration_id, endpoint) {
            integration_id -> Text,
            endpoint -> Text,
            watermark -> Nullable<Timestamptz>,
            last_success_at -> Nullable<Timestamptz>,
            last_full_fetch_at -> Nullable<Timestamptz>,
            next_full_fetch_at -> Nullable<Timestamptz>,
            next_catch_up_at -> Nullable<Timestamptz>,
            retry_at -> Nullable<Timestamptz>,
            consecutive_failures -> Integer,
            available -> Bool,
            removals_held_back -> BigInt,
            error_code -> Nullable<Text>,
            error_message -> Nullable<Text>,
            error_retryable -> Nullable<Bool>,
            error_at -> Nullable<Timestamptz>,
            error_log_url -> Nullable<Text>,
        }
    }
}
use schema::integrations;

/// What is known of an integration; a `None` leaves what was known before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Slug of the connected tool, for instance `moodle`.
    pub tool: Option<String>,
    /// `LMS`, or another product's category.
    pub category: Option<String>,
    /// The end customer.
    pub organization_name: Option<String>,
    /// Your own id of the end customer.
    pub origin_id: Option<String>,
    /// `ACTIVE`, `INVALID` or `INACTIVE`.
    pub state: Option<String>,
    /// `INCOMPLETE`, `FINAL_SYNC_PENDING` or `COMPLETED`.
    pub setup_status: Option<String>,
}

/// Makes sure that an integration exists, with a state for each endpoint, and notes what is known of it.
/// A deleted integration stays deleted.
///
/// # Errors
/// Whatever Postgres says.
pub async fn register(
    connection: &mut AsyncPgConnection,
    id: &str,
    details: &Details,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::insert_into(integrations::table)
        .values((
            integrations::id.eq(id),
            integrations::registered_at.eq(now),
            integrations::details_due_at.eq(now),
        ))
        .on_conflict(integrations::id)
        .do_nothing()
        .execute(connection)
        .await?;
    note(connection, id, details).await?;
    for endpoint in models::ALL {
        use schema::endpoint_states::dsl;
        diesel::insert_into(dsl::endpoint_states)
            .values((dsl::integration_id.eq(id), dsl::endpoint.eq(endpoint.name)))
            .on_conflict((dsl::integration_id, dsl::endpoint))
            .do_nothing()
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Notes what is known of an integration that exists; unchanged rows are not written.
///
/// # Errors
/// Whatever Postgres says.
pub async fn note(
    connection: &mut AsyncPgConnection,
    id: &str,
    details: &Details,
) -> QueryResult<usize> {
    let mut statement = Statement::fixed();
    let integration = statement.text(id);
    let known = statement.nullable_texts(vec![
        details.tool.clone(),
        details.category.clone(),
        details.organization_name.clone(),
        details.origin_id.clone(),
        details.state.clone(),
        details.setup_status.clone(),
    ]);
    const COLUMNS: &str = "tool, category, organization_name, origin_id, state, setup_status";
    statement.push(&format!(
        "UPDATE integrations SET ({COLUMNS}) = (SELECT COALESCE(k.v[1], tool), COALESCE(k.v[2], category), \
           COALESCE(k.v[3], organization_name), COALESCE(k.v[4], origin_id), COALESCE(k.v[5], state), COALESCE(k.v[6], setup_status) \
           FROM (SELECT {known}::text[] AS v) k) \
         WHERE id = {integration} AND deleted_at IS NULL AND EXISTS (SELECT FROM (SELECT {known}::text[] AS v) k WHERE \
           ({COLUMNS}) IS DISTINCT FROM (COALESCE(k.v[1], tool), COALESCE(k.v[2], category), \
           COALESCE(k.v[3], organization_name), COALESCE(k.v[4], origin_id), COALESCE(k.v[5], state), COALESCE(k.v[6], setup_status)))",
    ));
    statement.execute(connection).await
}

/// Stops an integration for good: Kombo deleted it. Its rows stay until they are purged.
///
/// # Errors
/// Whatever Postgres says.
pub async fn mark_deleted(
    connection: &mut AsyncPgConnection,
    id: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    diesel::update(
        integrations::table
            .find(id)
            .filter(integrations::deleted_at.is_null()),
    )
    .set((
        integrations::deleted_at.eq(Some(now)),
        integrations::state.eq("DELETED"),
    ))
    .execute(connection)
    .await
}

/// Whether an integration may be fetched: known and not deleted.
///
/// # Errors
/// Whatever Postgres says.
pub async fn is_live(connection: &mut AsyncPgConnection, id: &str) -> QueryResult<bool> {
    let found: Vec<String> = integrations::table
        .find(id)
        .filter(integrations::deleted_at.is_null())
        .select(integrations::id)
        .load(connection)
        .await?;
    Ok(!found.is_empty())
}

/// The ids of all integrations that are not deleted.
///
/// # Errors
/// Whatever Postgres says.
pub async fn live_ids(connection: &mut AsyncPgConnection) -> QueryResult<Vec<String>> {
    integrations::table
        .filter(integrations::deleted_at.is_null())
        .order(integrations::id)
        .select(integrations::id)
        .load(connection)
        .await
}

/// Takes the integrations whose details Kombo should be asked for, and makes each due again after
/// `interval`; of several replicas one gets each.
///
/// # Errors
/// Whatever Postgres says.
pub async fn take_due_for_details(
    connection: &mut AsyncPgConnection,
    interval: Duration,
    now: DateTime<Utc>,
) -> QueryResult<Vec<String>> {
    diesel::update(
        integrations::table
            .filter(integrations::details_due_at.le(now))
            .filter(integrations::deleted_at.is_null()),
    )
    .set(integrations::details_due_at.eq(now + interval))
    .returning(integrations::id)
    .get_results(connection)
    .await
}

//! Which integrations exist, and what Kombo says of their state.
//!
//! There is no Kombo endpoint that lists integrations: they come from the setting, from webhooks, or from
//! a request. What Kombo says of one comes in any order, so what has a moment is kept by its moment. This room
//! must never call Kombo itself.

mod absence;
mod known;
mod life;

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
            state_as_of -> Nullable<Timestamptz>,
            last_kombo_sync_at -> Nullable<Timestamptz>,
            last_kombo_sync_state -> Nullable<Text>,
            data_expired_at -> Nullable<Timestamptz>,
            unavailable_models -> Array<Text>,
            purged_at -> Nullable<Timestamptz>,
            changes_forgotten_to -> BigInt,
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
            drift_inserted -> BigInt,
            drift_updated -> BigInt,
            drift_removed -> BigInt,
            missed_announcements -> BigInt,
        }
    }
}
use schema::integrations;

pub use absence::absence_counts;
pub use known::known;
pub use life::{leave_alone_until, make_full_fetch_due, mark_deleted, pause, resume, revive};

/// The longest id that is taken. Kombo's have about thirty characters; what is longer than a key of an index
/// can be would be refused by Postgres.
const LONGEST_ID: usize = 255;

/// Whether a text can be an integration's id: it travels in an HTTP header and stands in indexes.
#[must_use]
pub fn is_usable_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID && !id.chars().any(char::is_control)
}

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
    /// As of when the last two hold, by Kombo's clock. An older word never overwrites a newer one; without a
    /// moment it only fills what nothing is known of.
    pub state_as_of: Option<DateTime<Utc>>,
}

/// What Kombo answers when it is asked for an integration; a `None` leaves what was known before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// What webhooks say too.
    pub details: Details,
    /// Since when Kombo's data is outdated; `Some(None)`: it is not.
    pub data_expired_at: Option<Option<DateTime<Utc>>>,
    /// Kombo's names of the models that the connector lacks or that are switched off.
    pub unavailable_models: Option<Vec<String>>,
}

/// Makes sure that an integration exists, with a state for each endpoint, and notes what is known of it.
/// Returns whether it may be fetched: a deleted integration stays deleted.
///
/// # Errors
/// Whatever Postgres says.
pub async fn register(
    connection: &mut AsyncPgConnection,
    id: &str,
    details: &Details,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    if known::is_known(connection, id, details).await? {
        return Ok(true);
    }
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
    // what was purged must stay empty
    if !is_live(connection, id).await? {
        return Ok(false);
    }
    note(connection, id, details).await?;
    add_endpoint_states(connection, id).await?;
    Ok(true)
}

async fn add_endpoint_states(connection: &mut AsyncPgConnection, id: &str) -> QueryResult<()> {
    use schema::endpoint_states::dsl;
    for endpoint in models::ALL {
        diesel::insert_into(dsl::endpoint_states)
            .values((dsl::integration_id.eq(id), dsl::endpoint.eq(endpoint.name)))
            .on_conflict((dsl::integration_id, dsl::endpoint))
            .do_nothing()
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Notes what is known of an integration that exists and is not deleted; unchanged rows are not written.
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
    let as_of = statement.time(details.state_as_of);
    const COLUMNS: &str =
        "tool, category, organization_name, origin_id, state, setup_status, state_as_of";
    // a state is news where none is known with a moment, or where its moment is no older
    statement.push(&format!(
        "WITH said AS (SELECT {known}::text[] AS v, {as_of}::timestamptz AS as_of), \
         known AS (SELECT i.*, v, as_of, (v[5] IS NOT NULL OR v[6] IS NOT NULL) \
             AND (i.state_as_of IS NULL OR COALESCE(as_of >= i.state_as_of, false)) AS is_news \
           FROM integrations i, said WHERE i.id = {integration} AND i.deleted_at IS NULL FOR UPDATE OF i), \
         new AS (SELECT id, COALESCE(v[1], tool) AS tool, COALESCE(v[2], category) AS category, \
             COALESCE(v[3], organization_name) AS organization_name, COALESCE(v[4], origin_id) AS origin_id, \
             CASE WHEN is_news THEN COALESCE(v[5], state) ELSE state END AS state, \
             CASE WHEN is_news THEN COALESCE(v[6], setup_status) ELSE setup_status END AS setup_status, \
             CASE WHEN is_news THEN COALESCE(as_of, state_as_of) ELSE state_as_of END AS state_as_of \
           FROM known) \
         UPDATE integrations i SET ({COLUMNS}) = (SELECT {COLUMNS} FROM new) \
         FROM new n WHERE i.id = n.id AND ROW({of_i}) IS DISTINCT FROM ROW({of_n})",
        of_i = qualified(COLUMNS, "i"),
        of_n = qualified(COLUMNS, "n"),
    ));
    statement.execute(connection).await
}

fn qualified(columns: &str, alias: &str) -> String {
    let columns: Vec<String> = columns
        .split(", ")
        .map(|column| format!("{alias}.{column}"))
        .collect();
    columns.join(", ")
}

/// Notes what Kombo answered about an integration. Returns whether its data was outdated before and is good
/// again: then everything is to be fetched, because it is not documented that the changes are announced.
///
/// # Errors
/// Whatever Postgres says.
pub async fn describe(
    connection: &mut AsyncPgConnection,
    id: &str,
    description: &Description,
) -> QueryResult<bool> {
    let expired_before: Vec<Option<DateTime<Utc>>> = integrations::table
        .find(id)
        .filter(integrations::deleted_at.is_null())
        .select(integrations::data_expired_at)
        .for_update()
        .load(connection)
        .await?;
    let Some(expired_before) = expired_before.into_iter().next() else {
        return Ok(false);
    };
    note(connection, id, &description.details).await?;
    if let Some(expired_at) = description.data_expired_at {
        diesel::update(integrations::table.find(id))
            .set(integrations::data_expired_at.eq(expired_at))
            .execute(connection)
            .await?;
    }
    if let Some(models) = &description.unavailable_models {
        diesel::update(integrations::table.find(id))
            .set(integrations::unavailable_models.eq(models))
            .execute(connection)
            .await?;
    }
    Ok(expired_before.is_some() && description.data_expired_at == Some(None))
}

/// Notes the end of a sync between Kombo and the learning system, unless a newer one is known. Where Kombo's
/// data was outdated it may be good now, so that is asked for at once.
///
/// # Errors
/// Whatever Postgres says.
pub async fn note_kombo_sync(
    connection: &mut AsyncPgConnection,
    id: &str,
    ended_at: DateTime<Utc>,
    state: Option<&str>,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let mut statement = Statement::fixed();
    let id = statement.text(id);
    let ended_at = statement.time(Some(ended_at));
    let state = statement.nullable_texts(vec![state.map(str::to_owned)]);
    let now = statement.time(Some(now));
    statement.push(&format!(
        "UPDATE integrations SET last_kombo_sync_at = {ended_at}, last_kombo_sync_state = ({state}::text[])[1], \
           details_due_at = CASE WHEN data_expired_at IS NULL THEN details_due_at ELSE LEAST(details_due_at, {now}) END \
         WHERE id = {id} AND deleted_at IS NULL AND (last_kombo_sync_at IS NULL OR last_kombo_sync_at <= {ended_at})"
    ));
    statement.execute(connection).await
}

/// Makes an integration's details due at once.
///
/// # Errors
/// Whatever Postgres says.
pub async fn make_details_due(
    connection: &mut AsyncPgConnection,
    id: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    diesel::update(
        integrations::table
            .find(id)
            .filter(integrations::deleted_at.is_null())
            .filter(integrations::details_due_at.gt(now)),
    )
    .set(integrations::details_due_at.eq(now))
    .execute(connection)
    .await
}

/// Lets the schedule try those endpoints again at once that failed because of the integration itself: it works
/// again.
///
/// # Errors
/// Whatever Postgres says.
pub async fn forget_refusals(connection: &mut AsyncPgConnection, id: &str) -> QueryResult<usize> {
    use diesel::TextExpressionMethods as _;
    use schema::endpoint_states::dsl;
    diesel::update(
        dsl::endpoint_states
            .filter(dsl::integration_id.eq(id))
            .filter(dsl::retry_at.is_not_null())
            .filter(dsl::error_code.like("INTEGRATION.%")),
    )
    .set(dsl::retry_at.eq(None::<DateTime<Utc>>))
    .execute(connection)
    .await
}

/// Why an integration that is known may not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, diesel::Queryable)]
pub struct Standing {
    /// Deleted at Kombo.
    pub is_deleted: bool,
    /// Somebody wants it to be left alone.
    pub is_paused: bool,
}

/// How an integration stands; `None`: it is not known.
///
/// # Errors
/// Whatever Postgres says.
pub async fn standing(
    connection: &mut AsyncPgConnection,
    id: &str,
) -> QueryResult<Option<Standing>> {
    use diesel::OptionalExtension as _;
    integrations::table
        .find(id)
        .select((integrations::deleted_at.is_not_null(), integrations::paused))
        .first(connection)
        .await
        .optional()
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
/// `interval`; of several replicas one gets each. A paused one is left alone.
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
            .filter(integrations::paused.eq(false))
            .filter(integrations::deleted_at.is_null()),
    )
    .set(integrations::details_due_at.eq(now + interval))
    .returning(integrations::id)
    .get_results(connection)
    .await
}

//! The queue of sync runs: what is to be fetched, who is fetching it, and what came of it.
//!
//! Queue and history are one table, `sync_runs`. Postgres holds the promises: partial unique indexes allow
//! one waiting and one working run of an (integration, endpoint) over all replicas, and the fencing token
//! lets a worker that lost its lease write nothing more. This room must never know Kombo.
//!
//! Why a run that waits for Kombo stays RUNNING without a lease: its checkpoint must survive, and a
//! webhook that arrives meanwhile still needs its own waiting run. Taking over a dead worker's run and
//! continuing a postponed one are then the same step.

mod depth;
mod look;
mod orders;
mod requests;
mod work;

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::result::{DatabaseErrorKind, Error as DieselError, QueryResult};
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};
use serde_json::Value;

use crate::db::Statement;
use crate::models::{self, Endpoint, Mode};
use crate::trace::Place;

/// The table as diesel sees it; a test holds it equal to the migrated database.
#[expect(missing_docs, reason = "the migration says what the columns are")]
pub mod schema {
    diesel::table! {
        /// Runs, waiting, working and done.
        sync_runs (id) {
            id -> BigInt,
            integration_id -> Text,
            endpoint -> Text,
            mode -> Text,
            trigger -> Text,
            lane -> SmallInt,
            requested_by -> Nullable<Text>,
            reasons -> Jsonb,
            status -> Text,
            queued_at -> Timestamptz,
            available_at -> Timestamptz,
            started_at -> Nullable<Timestamptz>,
            finished_at -> Nullable<Timestamptz>,
            updated_after -> Nullable<Timestamptz>,
            watermark -> Nullable<Timestamptz>,
            observed_at -> Nullable<Timestamptz>,
            lease_token -> BigInt,
            lease_until -> Nullable<Timestamptz>,
            attempts -> Integer,
            cursor -> Nullable<Text>,
            restarts -> Integer,
            seen_marks -> BigInt,
            expected_records -> Nullable<BigInt>,
            pages_fetched -> BigInt,
            records_received -> BigInt,
            records_inserted -> BigInt,
            records_updated -> BigInt,
            records_unchanged -> BigInt,
            records_parked -> BigInt,
            records_duplicate -> BigInt,
            records_deleted -> BigInt,
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
            records_unlisted -> BigInt,
            trace_contexts -> Array<Text>,
        }
    }
}
use schema::sync_runs;

pub use depth::{Depth, depth};
pub use look::{Look, look, moved_since};
pub use orders::{Cancelled, cancel, cancel_open, integration_of, put_back, wake};
pub use requests::{enqueue, join_with};
pub use work::{
    Beat, Failure, Progress, checkpoint, count_removals, fail, heartbeat, hold, hold_at,
    last_observation, postpone, release, restart, succeed,
};

/// Where every process that works listens: something may have become claimable. Nothing is said but that,
/// so nothing is lost with a notification that nobody hears; polling is the net (rule 5).
pub const CHANNEL: &str = "kombo_mirror_runs";

/// Where every process listens that shows runs: the id of a run that moved and its integration, with a space between.
/// Told by the table itself, see the migration `tell_what_changes`.
pub const PROGRESS: &str = "kombo_mirror_progress";

/// A run remembers this many requests that were merged into it: each writes its row anew. The inbox knows all of them.
const REASONS_KEPT: i32 = 10;

/// Why a run exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// An endpoint that was never fetched completely.
    Initial,
    /// A `data-changed` webhook.
    Webhook,
    /// The periodic full fetch.
    Schedule,
    /// A delta that looks for what no webhook announced.
    CatchUp,
    /// Somebody asked.
    Manual,
}

impl Trigger {
    /// The word in tables, logs and GraphQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "INITIAL",
            Self::Webhook => "WEBHOOK",
            Self::Schedule => "SCHEDULE",
            Self::CatchUp => "CATCH_UP",
            Self::Manual => "MANUAL",
        }
    }
}

/// Smaller is served first: news before what somebody asked for before long full fetches.
fn lane(mode: Mode, trigger: Trigger) -> i64 {
    match (mode, trigger) {
        (_, Trigger::Webhook) | (Mode::Delta, Trigger::CatchUp) => 0,
        (_, Trigger::Manual) | (Mode::Delta, _) => 1,
        (Mode::Full, _) => 2,
    }
}

/// A wish to fetch.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Whose data.
    pub integration_id: &'a str,
    /// From where.
    pub endpoint: &'static Endpoint,
    /// How far.
    pub mode: Mode,
    /// Why, as one word.
    pub trigger: Trigger,
    /// Why, in full: kept on the run.
    pub reason: Value,
    /// Who asked, for manual runs.
    pub requested_by: Option<&'a str>,
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The waiting run that will fulfil it.
    pub run_id: i64,
    /// It was waiting before, and goes at least as far.
    pub coalesced: bool,
}

/// Wakes the workers of all processes when the transaction commits.
async fn notify(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    connection.batch_execute(&format!("NOTIFY {CHANNEL}")).await
}

/// A run in a worker's hands.
#[derive(Debug, Clone, diesel::QueryableByName)]
#[expect(missing_docs, reason = "the migration says what the columns are")]
pub struct Run {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    pub integration_id: String,
    #[diesel(sql_type = Text)]
    pub endpoint: String,
    #[diesel(sql_type = Text)]
    pub mode: String,
    #[diesel(sql_type = Text)]
    pub trigger: String,
    #[diesel(sql_type = SmallInt)]
    pub lane: i16,
    #[diesel(sql_type = BigInt)]
    pub lease_token: i64,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub updated_after: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub watermark: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub observed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub cursor: Option<String>,
    #[diesel(sql_type = Integer)]
    pub restarts: i32,
    #[diesel(sql_type = BigInt)]
    pub seen_marks: i64,
    #[diesel(sql_type = BigInt)]
    pub records_parked: i64,
    #[diesel(sql_type = BigInt)]
    pub records_unlisted: i64,
    /// A webhook is among its reasons.
    #[diesel(sql_type = Bool)]
    pub is_announced: bool,
    #[diesel(sql_type = Array<Text>)]
    pub trace_contexts: Vec<String>,
}

impl Run {
    /// Whether an earlier attempt left a checkpoint to go on at.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.cursor.is_some()
    }

    /// How far the run fetches.
    #[must_use]
    pub fn mode(&self) -> Mode {
        Mode::from_text(&self.mode)
    }

    /// Where it was queued, first, and where more was merged into it.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        let texts = self.trace_contexts.iter();
        texts.filter_map(|text| Place::parse(text))
    }
}

/// Which runs a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appetite<'a> {
    /// Whatever is next.
    Anything,
    /// Deltas only, so that long full fetches never occupy every worker; not those that will fetch everything
    /// because nothing was fetched before.
    Deltas,
    /// Those of one integration.
    Of(&'a str),
}

/// Open runs that may be fetched.
const OPEN: &str = "sync_runs r JOIN integrations i ON i.id = r.integration_id \
     WHERE r.status IN ('QUEUED', 'RUNNING') AND NOT i.paused AND i.deleted_at IS NULL";

/// Whether an open run `r` can be claimed at the moment `now`.
fn due(now: &str) -> String {
    format!(
        "(r.available_at <= {now} OR r.available_at > {now} + interval '2 days') \
         AND CASE r.status WHEN 'RUNNING' THEN r.lease_until IS NULL OR r.lease_until < {now} OR r.lease_until > {now} + interval '1 day' \
           ELSE NOT EXISTS (SELECT FROM sync_runs a WHERE a.integration_id = r.integration_id \
             AND a.endpoint = r.endpoint AND a.status = 'RUNNING') END"
    )
}

/// Whether any run is due. One look for all workers of a process: what nobody rings for, a wait that is over and a
/// worker that died, is found by it.
///
/// # Errors
/// Whatever Postgres says.
pub async fn is_any_due(
    connection: &mut AsyncPgConnection,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        is_due: bool,
    }
    let mut statement = Statement::fixed();
    let now = statement.time(Some(now));
    statement.push(&format!(
        "SELECT EXISTS (SELECT FROM {OPEN} AND {}) AS is_due",
        due(&now)
    ));
    Ok(statement.get_result::<Row>(connection).await?.is_due)
}

/// Higher than before, and no number that anybody else may hold: a standby that was promoted has forgotten the last
/// tokens, and would otherwise give them out again while their holders live.
const NEXT_TOKEN: &str = "lease_token + 1 + (random() * 1e12)::bigint";

/// Takes the next run that is due: a waiting one whose endpoint nobody works on, or a working one without
/// a living lease. Its fencing token rises, so whoever had it before writes nothing more.
///
/// No wait is longer than a day and no lease than ten minutes: what says otherwise was written under a clock that
/// was ahead, and does not count.
///
/// # Errors
/// Whatever Postgres says.
pub async fn claim(
    connection: &mut AsyncPgConnection,
    appetite: Appetite<'_>,
    lease: Duration,
    now: DateTime<Utc>,
) -> QueryResult<Option<Run>> {
    let mut statement = Statement::fixed();
    let until = statement.time(Some(now + lease));
    let now = statement.time(Some(now));
    let anything = statement.boolean(appetite != Appetite::Deltas);
    let only = match appetite {
        Appetite::Of(integration_id) => Some(integration_id.to_owned()),
        Appetite::Anything | Appetite::Deltas => None,
    };
    let only = statement.nullable_texts(vec![only]);
    // a newer version beside this one may know more, and would find its runs failed
    let known = statement.texts(models::ALL.iter().map(|one| one.name.to_owned()).collect());
    let due = due(&now);
    statement.push(&format!(
        "UPDATE sync_runs SET status = 'RUNNING', lease_token = {NEXT_TOKEN}, lease_until = {until}, \
           attempts = attempts + 1, started_at = COALESCE(started_at, {now}) \
         WHERE id = (SELECT r.id FROM {OPEN} AND {due} \
             AND r.integration_id = COALESCE(({only}::text[])[1], r.integration_id) \
             AND r.endpoint = ANY({known}::text[]) AND ({anything} OR (r.mode = 'DELTA' AND EXISTS (SELECT FROM endpoint_states s \
               WHERE s.integration_id = r.integration_id AND s.endpoint = r.endpoint AND s.watermark IS NOT NULL))) \
           ORDER BY r.lane, r.available_at, r.id FOR UPDATE OF r SKIP LOCKED LIMIT 1) \
         RETURNING id, integration_id, endpoint, mode, trigger, lane, lease_token, attempts, updated_after, watermark, observed_at, cursor, restarts, seen_marks, records_parked, records_unlisted, trace_contexts, \
           jsonb_path_exists(reasons, '$[*].webhookEvent') AS is_announced",
    ));
    match statement.get_results::<Run>(connection).await {
        Ok(mut runs) => Ok(runs.pop()),
        // another worker started a run of the same endpoint between our look and our step
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many runs could be claimed now.
///
/// # Errors
/// Whatever Postgres says.
pub async fn open_runs(connection: &mut AsyncPgConnection) -> QueryResult<i64> {
    sync_runs::table
        .filter(sync_runs::status.eq_any(["QUEUED", "RUNNING"]))
        .count()
        .get_result(connection)
        .await
}

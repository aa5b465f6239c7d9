//! What a worker does to the run that it holds: beat, checkpoint, end.
//!
//! Every write goes through one filter, [`ours`]: the run's id and the fencing token that it was claimed
//! with. A worker whose lease went to another changes nothing, whatever it believes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::result::QueryResult;
use diesel::sql_types::{Bool, Nullable, Text};
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Run;
use super::schema::sync_runs;
use crate::models::Mode;
use crate::models::effect::Unannounced;

/// What a heartbeat found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// The lease is extended.
    Kept,
    /// The run has come to its end in our own hands: the beat waited for the last page's transaction.
    Ended,
    /// The run is no longer ours: taken over, put back because of a pause, or cancelled.
    Lost,
}

/// Extends the lease.
///
/// # Errors
/// Whatever Postgres says.
pub async fn heartbeat(
    connection: &mut AsyncPgConnection,
    run: &Run,
    lease: Duration,
    now: DateTime<Utc>,
) -> QueryResult<Beat> {
    let changed = diesel::update(ours(run).filter(sql::<Bool>(MAY_BE_FETCHED)))
        .set(sync_runs::lease_until.eq(now + lease))
        .execute(connection)
        .await?;
    if changed > 0 {
        return Ok(Beat::Kept);
    }
    let ended: i64 = sync_runs::table
        .filter(sync_runs::id.eq(run.id))
        .filter(sync_runs::lease_token.eq(run.lease_token))
        .filter(sync_runs::status.eq_any(["SUCCEEDED", "FAILED"]))
        .count()
        .get_result(connection)
        .await?;
    Ok(if ended > 0 { Beat::Ended } else { Beat::Lost })
}

/// A pause or deletion takes the runs out of their workers' hands; this is for the run that was claimed at that
/// very moment, before the claim could know.
const MAY_BE_FETCHED: &str = "NOT EXISTS (SELECT FROM integrations i WHERE i.id = sync_runs.integration_id \
     AND (i.paused OR i.deleted_at IS NOT NULL))";

type Ours<'a> = diesel::dsl::Filter<
    sync_runs::table,
    diesel::dsl::And<
        diesel::dsl::And<
            diesel::dsl::Eq<sync_runs::id, i64>,
            diesel::dsl::Eq<sync_runs::lease_token, i64>,
        >,
        diesel::dsl::Eq<sync_runs::status, &'a str>,
    >,
>;

/// The run's row, if the lease is still ours: every write of a worker goes through this filter.
fn ours(run: &Run) -> Ours<'static> {
    use diesel::BoolExpressionMethods as _;
    sync_runs::table.filter(
        sync_runs::id
            .eq(run.id)
            .and(sync_runs::lease_token.eq(run.lease_token))
            .and(sync_runs::status.eq("RUNNING")),
    )
}

/// What one page added to a run.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the migration says what the columns are")]
pub struct Progress {
    pub watermark: Option<DateTime<Utc>>,
    pub observed_at: Option<DateTime<Utc>>,
    pub updated_after: Option<DateTime<Utc>>,
    pub mode: Option<Mode>,
    pub expected_records: Option<i64>,
    pub next_cursor: Option<String>,
    pub seen_marks: i64,
    pub received: i64,
    pub inserted: i64,
    pub updated: i64,
    pub unchanged: i64,
    pub parked: i64,
    pub duplicates: i64,
    pub deleted: i64,
    pub unlisted: i64,
    pub drift: Unannounced,
    pub missed_announcements: i64,
}

/// Opens a page's transaction: takes the run's row and proves that the lease is still ours and that the
/// integration may still be fetched. Every other write of the transaction comes after it, so a worker that lost
/// its lease changes nothing.
///
/// # Errors
/// Whatever Postgres says.
pub async fn hold(connection: &mut AsyncPgConnection, run: &Run) -> QueryResult<bool> {
    let held: Vec<i64> = ours(run)
        .filter(sql::<Bool>(MAY_BE_FETCHED))
        .select(sync_runs::id)
        .for_update()
        .load(connection)
        .await?;
    Ok(!held.is_empty())
}

/// The same for the page that was asked for by the cursor `at`, which is where the run must stand. A database that has
/// failed over to a standby may have lost the pages before: to go on behind them would lose them for good.
///
/// # Errors
/// Whatever Postgres says.
pub async fn hold_at(
    connection: &mut AsyncPgConnection,
    run: &Run,
    at: Option<&str>,
) -> QueryResult<bool> {
    let held: Vec<Option<String>> = ours(run)
        .filter(sql::<Bool>(MAY_BE_FETCHED))
        .select(sync_runs::cursor)
        .for_update()
        .load(connection)
        .await?;
    let stands_at = held.as_slice().first().map(Option::as_deref);
    if stands_at.is_some_and(|stands_at| stands_at != at) {
        tracing::warn!(
            run.id,
            "the database stands before pages that were stored: it has lost them, and the run goes back"
        );
    }
    Ok(stands_at == Some(at))
}

/// Writes a page's checkpoint and counters; after [`hold`], in the same transaction.
///
/// # Errors
/// Whatever Postgres says.
pub async fn checkpoint(
    connection: &mut AsyncPgConnection,
    run: &Run,
    progress: &Progress,
) -> QueryResult<()> {
    diesel::update(ours(run))
        .set((
            sync_runs::watermark.eq(progress.watermark),
            sync_runs::observed_at.eq(progress.observed_at),
            sync_runs::updated_after.eq(progress.updated_after),
            progress
                .mode
                .map(|mode| sync_runs::mode.eq(mode.as_str().to_owned())),
            progress
                .expected_records
                .map(|expected| sync_runs::expected_records.eq(Some(expected))),
            sync_runs::cursor.eq(progress.next_cursor.clone()),
            sync_runs::seen_marks.eq(sync_runs::seen_marks + progress.seen_marks),
            sync_runs::pages_fetched.eq(sync_runs::pages_fetched + 1),
            sync_runs::records_received.eq(sync_runs::records_received + progress.received),
            sync_runs::records_inserted.eq(sync_runs::records_inserted + progress.inserted),
            sync_runs::records_updated.eq(sync_runs::records_updated + progress.updated),
            sync_runs::records_unchanged.eq(sync_runs::records_unchanged + progress.unchanged),
            sync_runs::records_parked.eq(sync_runs::records_parked + progress.parked),
            sync_runs::records_duplicate.eq(sync_runs::records_duplicate + progress.duplicates),
            sync_runs::records_deleted.eq(sync_runs::records_deleted + progress.deleted),
            sync_runs::records_unlisted.eq(sync_runs::records_unlisted + progress.unlisted),
            sync_runs::drift_inserted.eq(sync_runs::drift_inserted + progress.drift.inserted),
            sync_runs::drift_updated.eq(sync_runs::drift_updated + progress.drift.updated),
            sync_runs::drift_removed.eq(sync_runs::drift_removed + progress.drift.removed),
            sync_runs::missed_announcements
                .eq(sync_runs::missed_announcements + progress.missed_announcements),
            // the error of an earlier attempt is history now
            sync_runs::error_code.eq(sql::<Nullable<Text>>("NULL")),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Counts rows that were removed by absence; as drift too where the endpoint had been complete before.
///
/// # Errors
/// Whatever Postgres says.
pub async fn count_removals(
    connection: &mut AsyncPgConnection,
    run: &Run,
    removed: i64,
    is_drift: bool,
) -> QueryResult<()> {
    let drifted = if is_drift { removed } else { 0 };
    diesel::update(ours(run))
        .set((
            sync_runs::records_deleted.eq(sync_runs::records_deleted + removed),
            sync_runs::drift_removed.eq(sync_runs::drift_removed + drifted),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Begins the enumeration again from its first page: cursor and counters go, the reason for the run stays.
///
/// # Errors
/// Whatever Postgres says.
pub async fn restart(connection: &mut AsyncPgConnection, run: &Run) -> QueryResult<bool> {
    let zero = 0_i64;
    let changed = diesel::update(ours(run))
        .set((
            sync_runs::cursor.eq(None::<String>),
            sync_runs::restarts.eq(sync_runs::restarts + 1),
            sync_runs::seen_marks.eq(zero),
            sync_runs::pages_fetched.eq(zero),
            sync_runs::records_received.eq(zero),
            sync_runs::records_inserted.eq(zero),
            sync_runs::records_updated.eq(zero),
            sync_runs::records_unchanged.eq(zero),
            sync_runs::records_parked.eq(zero),
            sync_runs::records_duplicate.eq(zero),
            sync_runs::records_deleted.eq(zero),
            sync_runs::drift_inserted.eq(zero),
            sync_runs::drift_updated.eq(zero),
            sync_runs::drift_removed.eq(zero),
            sync_runs::missed_announcements.eq(zero),
        ))
        .execute(connection)
        .await?;
    Ok(changed > 0)
}

/// What went wrong, for a run and its endpoint. Names no row content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Kombo's `error.code`, or one of ours beginning with `MIRROR.`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether the mirror tries again by itself.
    pub retryable: bool,
    /// Kombo's log entry.
    pub log_url: Option<String>,
}

/// Ends a run well.
///
/// # Errors
/// Whatever Postgres says.
pub async fn succeed(
    connection: &mut AsyncPgConnection,
    run: &Run,
    held_back: i64,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(ours(run))
        .set((
            sync_runs::status.eq("SUCCEEDED"),
            sync_runs::finished_at.eq(Some(now)),
            sync_runs::lease_until.eq(None::<DateTime<Utc>>),
            sync_runs::cursor.eq(None::<String>),
            sync_runs::removals_held_back.eq(held_back),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends a run that cannot succeed.
///
/// # Errors
/// Whatever Postgres says.
pub async fn fail(
    connection: &mut AsyncPgConnection,
    run: &Run,
    failure: &Failure,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(ours(run))
        .set((
            sync_runs::status.eq("FAILED"),
            sync_runs::finished_at.eq(Some(now)),
            sync_runs::lease_until.eq(None::<DateTime<Utc>>),
            error_of(failure, now),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

/// Puts a run aside with its checkpoint, to go on at `until` in whoever's hands.
///
/// # Errors
/// Whatever Postgres says.
pub async fn postpone(
    connection: &mut AsyncPgConnection,
    run: &Run,
    failure: &Failure,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(ours(run))
        .set((
            sync_runs::available_at.eq(until),
            sync_runs::lease_until.eq(None::<DateTime<Utc>>),
            error_of(failure, now),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

type ErrorColumns = (
    diesel::dsl::Eq<sync_runs::error_code, Option<String>>,
    diesel::dsl::Eq<sync_runs::error_message, Option<String>>,
    diesel::dsl::Eq<sync_runs::error_retryable, Option<bool>>,
    diesel::dsl::Eq<sync_runs::error_at, Option<DateTime<Utc>>>,
    diesel::dsl::Eq<sync_runs::error_log_url, Option<String>>,
);

fn error_of(failure: &Failure, now: DateTime<Utc>) -> ErrorColumns {
    (
        sync_runs::error_code.eq(Some(failure.code.clone())),
        sync_runs::error_message.eq(Some(failure.message.clone())),
        sync_runs::error_retryable.eq(Some(failure.retryable)),
        sync_runs::error_at.eq(Some(now)),
        sync_runs::error_log_url.eq(failure.log_url.clone()),
    )
}

/// Lets go of a run at its checkpoint: the next claim goes on.
///
/// # Errors
/// Whatever Postgres says.
pub async fn release(connection: &mut AsyncPgConnection, run: &Run) -> QueryResult<()> {
    diesel::update(ours(run))
        .set(sync_runs::lease_until.eq(None::<DateTime<Utc>>))
        .execute(connection)
        .await?;
    Ok(())
}

/// The youngest `observed_at` that a run of this endpoint wrote rows with.
///
/// # Errors
/// Whatever Postgres says.
pub async fn last_observation(
    connection: &mut AsyncPgConnection,
    run: &Run,
) -> QueryResult<Option<DateTime<Utc>>> {
    // runs of an endpoint follow each other in the order of their ids, and each observes later than the last
    let last: Vec<Option<DateTime<Utc>>> = sync_runs::table
        .filter(sync_runs::integration_id.eq(&run.integration_id))
        .filter(sync_runs::endpoint.eq(&run.endpoint))
        .filter(sync_runs::observed_at.is_not_null())
        .order(sync_runs::id.desc())
        .limit(1)
        .select(sync_runs::observed_at)
        .load(connection)
        .await?;
    Ok(last.into_iter().next().flatten())
}

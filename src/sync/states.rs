//! How far each endpoint of an integration has been fetched, and how it is doing.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::result::QueryResult;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::db::Statement;
use crate::integrations::schema::endpoint_states::{self, dsl};
use crate::models::Mode;
use crate::queue::{Failure, Run};

/// Kombo blanks deleted records after 14 days: what was not fetched for longer than this must be fetched
/// in full, with a day to spare (rule 16).
const LONGEST_BLINDNESS: TimeDelta = TimeDelta::days(13);

const A_DAY: TimeDelta = TimeDelta::days(1);

/// One row of `endpoint_states`, as far as a run needs it.
#[derive(Debug, Clone, Default, diesel::Queryable)]
pub struct EndpointState {
    /// Start of the last complete fetch, by Kombo's clock.
    pub watermark: Option<DateTime<Utc>>,
    /// When the last complete fetch ended, by our clock.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Failures since then.
    pub consecutive_failures: i32,
    /// Removals that wait for an approval.
    pub removals_held_back: i64,
}

impl EndpointState {
    /// How far a run that wants `wanted` must go: without a watermark, or blind for too long, everything.
    #[must_use]
    pub fn mode_for(&self, wanted: Mode, now: DateTime<Utc>) -> Mode {
        let blind = self
            .last_success_at
            // a success in the future was noted under a clock that was ahead
            .is_none_or(|success| now - success > LONGEST_BLINDNESS || success - now > A_DAY);
        if self.watermark.is_none() || blind {
            Mode::Full
        } else {
            wanted
        }
    }
}

/// Loads the state; an endpoint that was never registered reads as never fetched.
///
/// # Errors
/// Whatever Postgres says.
pub async fn load(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    endpoint: &str,
) -> QueryResult<EndpointState> {
    use diesel::OptionalExtension as _;
    let state = dsl::endpoint_states
        .find((integration_id, endpoint))
        .select((
            dsl::watermark,
            dsl::last_success_at,
            dsl::consecutive_failures,
            dsl::removals_held_back,
        ))
        .first(connection)
        .await
        .optional()?;
    Ok(state.unwrap_or_default())
}

/// The `Date` header is cut to a second; a watermark beyond it by more than this lies in Kombo's future.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(2);

/// Whether Kombo's clock, now at `kombo_now`, was set back behind a watermark taken from it: until it has
/// caught up, a delta from that watermark would find nothing (F06).
#[must_use]
pub(super) fn is_in_kombos_future(watermark: DateTime<Utc>, kombo_now: DateTime<Utc>) -> bool {
    watermark > kombo_now + CLOCK_TOLERANCE
}

/// What a complete fetch leaves to its endpoint.
pub(super) struct Outlook {
    /// The watermark to be.
    pub(super) watermark: DateTime<Utc>,
    /// When the next fetches are due.
    pub(super) full_fetch: DateTime<Utc>,
    pub(super) catch_up: DateTime<Utc>,
    /// What the guard kept.
    pub(super) removals_held_back: i64,
}

/// Notes a complete fetch: moves the watermark (forward only; back only out of Kombo's future) and clears the errors. In the transaction of
/// the run's last page, so that rows and watermark commit together (rule 3, F08).
pub(super) async fn note_success(
    connection: &mut AsyncPgConnection,
    run: &Run,
    mode: Mode,
    kombo_now: Option<DateTime<Utc>>,
    outlook: &Outlook,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    use diesel::dsl::sql;
    use diesel::sql_types::{Nullable, Timestamptz};
    let believable = kombo_now.map(|now| now + CLOCK_TOLERANCE);
    let forward = sql::<Nullable<Timestamptz>>("CASE WHEN watermark > ")
        .bind::<Nullable<Timestamptz>, _>(believable)
        .sql(" THEN ")
        .bind::<Timestamptz, _>(outlook.watermark)
        .sql(" ELSE GREATEST(watermark, ")
        .bind::<Timestamptz, _>(outlook.watermark)
        .sql(") END");
    let full = mode == Mode::Full;
    diesel::update(dsl::endpoint_states.find((&run.integration_id, &run.endpoint)))
        .set((
            dsl::watermark.eq(forward),
            dsl::last_success_at.eq(Some(now)),
            dsl::next_catch_up_at.eq(Some(outlook.catch_up)),
            full.then(|| dsl::last_full_fetch_at.eq(Some(now))),
            full.then(|| dsl::next_full_fetch_at.eq(Some(outlook.full_fetch))),
            dsl::removals_held_back.eq(outlook.removals_held_back),
            dsl::consecutive_failures.eq(0),
            dsl::available.eq(true),
            dsl::retry_at.eq(None::<DateTime<Utc>>),
            dsl::error_code.eq(None::<String>),
        ))
        .execute(connection)
        .await?;
    sum_up(connection, run).await
}

/// Adds what nobody had announced to the endpoint's totals: runs are forgotten one day, a metric must not
/// fall.
async fn sum_up(connection: &mut AsyncPgConnection, run: &Run) -> QueryResult<()> {
    let mut statement = Statement::fixed();
    let id = statement.bigint(run.id);
    statement.push(&format!(
        "UPDATE endpoint_states s SET drift_inserted = s.drift_inserted + r.drift_inserted, \
           drift_updated = s.drift_updated + r.drift_updated, drift_removed = s.drift_removed + r.drift_removed, \
           missed_announcements = s.missed_announcements + r.missed_announcements \
         FROM sync_runs r WHERE r.id = {id} AND s.integration_id = r.integration_id AND s.endpoint = r.endpoint \
           AND r.drift_inserted + r.drift_updated + r.drift_removed + r.missed_announcements > 0"
    ));
    statement.execute(connection).await?;
    Ok(())
}

type ErrorColumns = (
    diesel::dsl::Eq<endpoint_states::error_code, Option<String>>,
    diesel::dsl::Eq<endpoint_states::error_message, Option<String>>,
    diesel::dsl::Eq<endpoint_states::error_retryable, Option<bool>>,
    diesel::dsl::Eq<endpoint_states::error_at, Option<DateTime<Utc>>>,
    diesel::dsl::Eq<endpoint_states::error_log_url, Option<String>>,
);

fn error_of(failure: &Failure, now: DateTime<Utc>) -> ErrorColumns {
    (
        dsl::error_code.eq(Some(failure.code.clone())),
        dsl::error_message.eq(Some(failure.message.clone())),
        dsl::error_retryable.eq(Some(failure.retryable)),
        dsl::error_at.eq(Some(now)),
        dsl::error_log_url.eq(failure.log_url.clone()),
    )
}

/// Counts a failure and keeps its reason; returns how many there were in a row.
pub(super) async fn note_failure(
    connection: &mut AsyncPgConnection,
    run: &Run,
    failure: &Failure,
    available: Option<bool>,
    now: DateTime<Utc>,
) -> QueryResult<i32> {
    let counts: Vec<i32> =
        diesel::update(dsl::endpoint_states.find((&run.integration_id, &run.endpoint)))
            .set((
                dsl::consecutive_failures.eq(dsl::consecutive_failures + 1),
                available.map(|available| dsl::available.eq(available)),
                error_of(failure, now),
            ))
            .returning(dsl::consecutive_failures)
            .get_results(connection)
            .await?;
    Ok(counts.into_iter().next().unwrap_or(1))
}

/// Keeps the reason for a wait that is no failure: Kombo is not ready, or asked us to slow down.
pub(super) async fn note_waiting(
    connection: &mut AsyncPgConnection,
    run: &Run,
    failure: &Failure,
    now: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::update(dsl::endpoint_states.find((&run.integration_id, &run.endpoint)))
        .set(error_of(failure, now))
        .execute(connection)
        .await?;
    Ok(())
}

/// Keeps the schedule away from a failing endpoint until `retry_at`; webhooks and people may still try. What
/// was to be fetched in full is due in full then: a delta would not bring what the full fetch was for.
pub(super) async fn set_retry_at(
    connection: &mut AsyncPgConnection,
    run: &Run,
    retry_at: DateTime<Utc>,
) -> QueryResult<()> {
    let full = run.mode() == Mode::Full;
    diesel::update(dsl::endpoint_states.find((&run.integration_id, &run.endpoint)))
        .set((
            dsl::retry_at.eq(Some(retry_at)),
            full.then(|| dsl::next_full_fetch_at.eq(Some(retry_at))),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(success_days_ago: Option<i64>, now: DateTime<Utc>) -> EndpointState {
        let success = success_days_ago.map(|days| now - TimeDelta::days(days));
        EndpointState {
            watermark: success,
            last_success_at: success,
            consecutive_failures: 0,
            removals_held_back: 0,
        }
    }

    // F14: missing state means everything, never "from now".
    #[test]
    fn without_a_watermark_everything_is_fetched() {
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(state(None, now).mode_for(Mode::Delta, now), Mode::Full);
        assert_eq!(state(Some(1), now).mode_for(Mode::Delta, now), Mode::Delta);
        assert_eq!(state(Some(1), now).mode_for(Mode::Full, now), Mode::Full);
    }

    // Rule 16, F38, F52
    #[test]
    fn after_more_than_thirteen_days_a_delta_becomes_full() {
        let now = DateTime::UNIX_EPOCH;
        assert_eq!(state(Some(13), now).mode_for(Mode::Delta, now), Mode::Delta);
        assert_eq!(state(Some(14), now).mode_for(Mode::Delta, now), Mode::Full);
    }
}

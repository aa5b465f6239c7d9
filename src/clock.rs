//! The wall clock, read in one place.
//!
//! Time is a value everywhere else: functions take `now`, so that tests can choose it and a decision
//! never sees two different moments. Only the edges (HTTP handlers, worker and schedule loops, the
//! simulator's movable clock) may call [`now`].

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};

/// Where a long-lived part reads the present moment: [`wall`], or a clock that a test moves.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The wall clock as a [`Clock`].
#[must_use]
pub fn wall() -> Clock {
    Arc::new(now)
}

/// The present moment in UTC, cut to milliseconds.
///
/// Kombo's timestamps have milliseconds and so does GraphQL's answer; with a finer clock a value read
/// back through the API would not compare equal to the stored one.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

//! The rate budget: what Kombo's `ratelimit-*` headers say is left, shared by all requests of an API key.
//!
//! Kombo documents neither the limit nor its scope, so it is learnt from the answers. Waiting before the
//! limit is hit is cheaper than a 429 and never loses a run. When a window gets short, what is less urgent
//! leaves the rest of it to the news (rule 13).
//!
//! A budget is shared by all processes of a key, so the client only knows the trait [`Budget`];
//! [`LocalBudget`] is what one process can know by itself. A budget must never stop fetching for good: what
//! it believes ends with the window, and no window is believed to be longer than [`LONGEST_WINDOW`].

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

/// How urgent a request is: the less, the more of a window it leaves to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A delta that a webhook asked for, or that looks for what a webhook should have said.
    News,
    /// Somebody asked.
    Manual,
    /// A full fetch: long, and nobody waits for it.
    Full,
}

impl Lane {
    /// Which share of the reserve (a tenth of the limit, at least one request) it leaves, in halves.
    #[must_use]
    pub fn halves_left(self) -> i64 {
        match self {
            Self::News => 0,
            Self::Manual => 1,
            Self::Full => 2,
        }
    }

    /// How many requests of a window it leaves to what is more urgent.
    fn leaves(self, limit: i64) -> i64 {
        // of a limit of one there is nothing to reserve
        let reserve = (limit / 10).max(1).min(limit - 1);
        (reserve * self.halves_left() + 1) / 2
    }
}

/// What an answer of Kombo says about the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The `ratelimit-*` headers.
    Left(Left),
    /// 429: nothing is left, whatever was believed.
    Refused {
        /// How long Kombo asked to wait.
        wait: Duration,
    },
}

/// What the `ratelimit-*` headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Requests in a window; an answer may leave it out.
    pub limit: Option<i64>,
    /// Requests left in this one.
    pub remaining: i64,
    /// Until it ends, in whole seconds.
    pub reset: Duration,
    /// When the request was made: the answer is not older.
    pub asked_at: DateTime<Utc>,
}

/// What is left of the rate limit of an API key.
pub trait Budget: Send + Sync {
    /// Takes one request from the budget. Zero: go. Otherwise nothing was taken, and it is worth asking
    /// again after that time.
    fn take(&self, lane: Lane, now: DateTime<Utc>) -> BoxFuture<'_, Duration>;

    /// Learns from an answer.
    fn learn(&self, told: Told, now: DateTime<Utc>) -> BoxFuture<'_, ()>;
}

/// The resolution of `ratelimit-reset`: of two answers of one window the ends can differ by so much.
pub const RESET_RESOLUTION: TimeDelta = TimeDelta::seconds(1);

/// An answer whose window ended so much before the known one speaks of an older window: twice the
/// resolution, so that no answer of the same window is taken for one.
pub const OLDER_WINDOW: TimeDelta = TimeDelta::seconds(2);

/// How long a window lasts that began when the last one ended, until an answer tells its end.
pub const UNTOLD_WINDOW: TimeDelta = TimeDelta::seconds(10);

/// How soon an answer may tell more of such a window.
pub const ANSWER_SOON: Duration = Duration::from_millis(500);

/// The shortest wait: never so short that waiting becomes hammering.
pub const SHORTEST_WAIT: Duration = Duration::from_millis(50);

/// No window is believed to be longer: nobody else says so, and while all wait nobody would learn better.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(3600);

/// How long to wait for a window, as told or not, that has nothing left for a lane.
#[must_use]
pub fn wait_for(ends: DateTime<Utc>, told: bool, now: DateTime<Utc>) -> Duration {
    let longest = if told { LONGEST_WINDOW } else { ANSWER_SOON };
    let wait = (ends - now).to_std().unwrap_or_default();
    wait.clamp(SHORTEST_WAIT, longest)
}

/// The current window, as far as it is known.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// Requests in it; 0: not known.
    limit: i64,
    remaining: i64,
    ends: DateTime<Utc>,
    /// False: begun by us when the last one ended.
    told: bool,
}

impl Window {
    fn take(&mut self, lane: Lane, now: DateTime<Utc>) -> Duration {
        if self.ends <= now {
            if self.limit == 0 {
                return Duration::ZERO;
            }
            *self = Self {
                remaining: self.limit,
                ends: now + UNTOLD_WINDOW,
                told: false,
                ..*self
            };
        }
        if self.remaining > lane.leaves(self.limit) {
            self.remaining -= 1;
            return Duration::ZERO;
        }
        wait_for(self.ends, self.told, now)
    }

    /// What is known after an answer, where `known` was known before.
    fn after(known: Option<Self>, told: Told, now: DateTime<Utc>) -> Self {
        let known_limit = known.map_or(0, |window| window.limit);
        match told {
            Told::Left(left) => Self::after_answer(known, known_limit, left, now),
            Told::Refused { wait } => Self {
                limit: known_limit,
                remaining: 0,
                ends: now + wait.min(LONGEST_WINDOW),
                told: true,
            },
        }
    }

    fn after_answer(known: Option<Self>, known_limit: i64, left: Left, now: DateTime<Utc>) -> Self {
        let remaining = left.remaining;
        let reset = left.reset.min(LONGEST_WINDOW);
        let answered = Self {
            limit: left.limit.unwrap_or(known_limit.max(remaining)),
            remaining,
            ends: now + reset,
            told: true,
        };
        let Some(known) = known.filter(|window| window.ends > now) else {
            return answered;
        };
        if !known.told {
            return Self {
                remaining: remaining.min(known.remaining),
                ..answered
            };
        }
        // a slow answer's window ends between these two
        let (earliest, latest) = (left.asked_at + reset, answered.ends);
        if earliest > known.ends + RESET_RESOLUTION {
            answered
        } else if latest + OLDER_WINDOW < known.ends {
            known
        } else {
            // answers arrive out of order: within one window the lowest count is the newest
            Self {
                remaining: remaining.min(known.remaining),
                ends: known.ends.max(earliest),
                ..answered
            }
        }
    }
}

/// The budget as one process knows it: for tests, and where the shared one does not answer.
#[derive(Debug, Default)]
pub struct LocalBudget(Mutex<Option<Window>>);

impl Budget for LocalBudget {
    fn take(&self, lane: Lane, now: DateTime<Utc>) -> BoxFuture<'_, Duration> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = window
            .as_mut()
            .map_or(Duration::ZERO, |window| window.take(lane, now));
        std::future::ready(wait).boxed()
    }

    fn learn(&self, told: Told, now: DateTime<Utc>) -> BoxFuture<'_, ()> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *window = Some(Window::after(*window, told, now));
        std::future::ready(()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: TimeDelta = TimeDelta::seconds(1);
    const GO: Duration = Duration::ZERO;

    fn start() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn take(budget: &LocalBudget, lane: Lane, at: DateTime<Utc>) -> Duration {
        let taken = budget.take(lane, at).now_or_never();
        taken.expect("nothing is waited for")
    }

    fn left(remaining: i64, reset: u64, asked_at: DateTime<Utc>) -> Told {
        Told::Left(Left {
            limit: Some(300),
            remaining,
            reset: Duration::from_secs(reset),
            asked_at,
        })
    }

    fn learn(budget: &LocalBudget, told: Told, at: DateTime<Utc>) {
        let learnt = budget.learn(told, at).now_or_never();
        learnt.expect("nothing is waited for");
    }

    fn told(remaining: i64, reset: u64) -> LocalBudget {
        let budget = LocalBudget::default();
        learn(&budget, left(remaining, reset, start()), start());
        budget
    }

    // F51: the budget is spent before the limit is hit, then waited for.
    #[test]
    fn a_spent_budget_waits_for_the_window_to_end() {
        assert_eq!(take(&LocalBudget::default(), Lane::Full, start()), GO);
        let budget = told(1, 10);
        assert_eq!(take(&budget, Lane::News, start()), GO);
        assert_eq!(take(&budget, Lane::News, start()), Duration::from_secs(10));
        assert_eq!(take(&budget, Lane::News, start() + SECOND * 10), GO);
    }

    #[test]
    fn a_late_answer_does_not_raise_the_budget() {
        let budget = told(0, 10);
        learn(&budget, left(5, 10, start()), start());
        assert!(take(&budget, Lane::News, start()) > GO);
    }

    #[test]
    fn an_answer_of_the_next_window_opens_the_budget_again() {
        let budget = told(0, 10);
        learn(&budget, left(300, 60, start()), start());
        assert_eq!(take(&budget, Lane::News, start()), GO);
    }

    // F51: an answer that was long under way ends, by its headers, in another window.
    #[test]
    fn a_slow_answer_is_not_taken_for_another_windows() {
        let budget = told(0, 60);
        learn(&budget, left(200, 60, start()), start() + SECOND * 20);
        assert!(take(&budget, Lane::News, start() + SECOND * 20) > GO);
    }

    // Rule 13: an answer of a window that is over must not close the next one.
    #[test]
    fn an_answer_of_an_older_window_is_forgotten() {
        let budget = told(300, 60);
        learn(&budget, left(0, 2, start()), start());
        assert_eq!(take(&budget, Lane::News, start()), GO);
    }

    // Rule 13: when the window gets short, the lower lanes leave the rest to the news.
    #[test]
    fn a_tenth_of_the_limit_is_kept_for_news_and_half_of_that_for_nobody_else() {
        let budget = told(31, 60);
        assert_eq!(take(&budget, Lane::Full, start()), GO);
        assert!(take(&budget, Lane::Full, start()) > GO);
        for _ in 0..15 {
            assert_eq!(take(&budget, Lane::Manual, start()), GO);
        }
        assert!(take(&budget, Lane::Manual, start()) > GO);
        for _ in 0..15 {
            assert_eq!(take(&budget, Lane::News, start()), GO);
        }
        assert!(take(&budget, Lane::News, start()) > GO);
    }

    // Rule 13: whatever the limit is, every lane has something of a fresh window.
    #[test]
    fn no_lane_starves_however_small_the_limit_is() {
        for limit in 1..=25 {
            for lane in [Lane::News, Lane::Manual, Lane::Full] {
                assert!((0..limit).contains(&lane.leaves(limit)), "{limit} {lane:?}");
            }
            assert_eq!(Lane::News.leaves(limit), 0);
            assert!(limit == 1 || Lane::Full.leaves(limit) >= 1);
            assert!(Lane::Full.leaves(limit) >= Lane::Manual.leaves(limit));
        }
    }

    // F51: after the end of a window as many may go as the limit says, not everybody at once.
    #[test]
    fn a_window_that_nobody_told_of_is_counted_from_the_limit() {
        let budget = told(0, 10);
        let next = start() + SECOND * 10;
        for _ in 0..300 {
            assert_eq!(take(&budget, Lane::News, next), GO);
        }
        let wait = take(&budget, Lane::News, next);
        assert_eq!(wait, ANSWER_SOON, "an answer is about to say more");
        learn(&budget, left(299, 60, next), next);
        assert_eq!(
            take(&budget, Lane::News, next),
            Duration::from_secs(60),
            "the other 299 are under way"
        );
    }

    // F51: one refusal is everybody's.
    #[test]
    fn a_refusal_spends_the_window_whatever_was_believed() {
        for budget in [told(200, 60), LocalBudget::default()] {
            let wait = Duration::from_secs(7);
            learn(&budget, Told::Refused { wait }, start());
            assert_eq!(take(&budget, Lane::News, start()), wait);
            assert_eq!(take(&budget, Lane::Full, start() + SECOND * 7), GO);
        }
    }

    // Rule 13: a budget never stops fetching for good.
    #[test]
    fn no_window_is_believed_to_last_for_days() {
        let budget = told(0, 1_000_000);
        assert_eq!(take(&budget, Lane::News, start()), LONGEST_WINDOW);
        assert_eq!(take(&budget, Lane::News, start() + LONGEST_WINDOW), GO);
    }
}

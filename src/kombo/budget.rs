//! The rate budget: what Kombo's `ratelimit-*` headers say is left, shared by all requests of an API key.
//!
//! Kombo documents neither the limit nor its scope, so it is learnt from the answers. Waiting before the
//! limit is hit is cheaper than a 429 and never loses a run.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The resolution of `ratelimit-reset`.
const ONE_SECOND: Duration = Duration::from_secs(1);

/// What is left of the current window, as last told.
#[derive(Debug, Default)]
pub(super) struct Budget(Mutex<Option<Window>>);

#[derive(Debug, Clone, Copy)]
struct Window {
    remaining: u64,
    ends: Instant,
}

impl Budget {
    /// Takes one request from the budget; says how long to wait first.
    pub(super) fn take(&self, at: Instant) -> Duration {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match window.as_mut() {
            Some(known) if known.ends <= at => {
                *window = None;
                Duration::ZERO
            }
            Some(known) if known.remaining == 0 => known.ends - at,
            Some(known) => {
                known.remaining -= 1;
                Duration::ZERO
            }
            None => Duration::ZERO,
        }
    }

    /// Learns from an answer's headers: requests left, and the time until the window ends.
    pub(super) fn learn(&self, remaining: u64, reset: Duration, at: Instant) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = at + reset;
        // Answers arrive out of order: within one window the lowest count is the newest. The seconds left
        // are whole, so an end that lies more than one later is another window's.
        let remaining = match *window {
            Some(known) if ends <= known.ends + ONE_SECOND => remaining.min(known.remaining),
            _ => remaining,
        };
        *window = Some(Window { remaining, ends });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // F51: the budget is spent before the limit is hit, then waited for.
    #[test]
    fn a_spent_budget_waits_for_the_window_to_end() {
        let budget = Budget::default();
        let start = Instant::now();
        assert_eq!(budget.take(start), Duration::ZERO);
        budget.learn(1, Duration::from_secs(10), start);
        assert_eq!(budget.take(start), Duration::ZERO);
        assert_eq!(budget.take(start), Duration::from_secs(10));
        assert_eq!(budget.take(start + Duration::from_secs(10)), Duration::ZERO);
    }

    #[test]
    fn a_late_answer_does_not_raise_the_budget() {
        let budget = Budget::default();
        let start = Instant::now();
        budget.learn(0, Duration::from_secs(10), start);
        budget.learn(5, Duration::from_secs(10), start);
        assert_eq!(budget.take(start), Duration::from_secs(10));
    }

    #[test]
    fn an_answer_of_the_next_window_opens_the_budget_again() {
        let budget = Budget::default();
        let start = Instant::now();
        budget.learn(0, Duration::from_secs(10), start);
        budget.learn(300, Duration::from_secs(60), start);
        assert_eq!(budget.take(start), Duration::ZERO);
    }
}

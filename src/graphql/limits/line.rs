//! How many requests of one viewer are answered at the same time; the others wait in line, first come first served.
//!
//! A viewer is remembered only while requests of theirs are here, so that what is kept is bounded by what is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limit;

/// Requests that may wait for each one that is answered; each holds its body in memory meanwhile.
const WAITING_PER_PLACE: usize = 16;

/// The lines of all viewers.
pub(in crate::graphql) struct Lines {
    limit: Limit,
    lines: Mutex<HashMap<String, Line>>,
}

/// One viewer's.
struct Line {
    places: Arc<Semaphore>,
    /// Requests that are answered or wait.
    here: usize,
}

/// The line is as long as it may be.
#[derive(Debug)]
pub(in crate::graphql) struct Full;

/// Being here, until it is dropped.
pub(in crate::graphql) struct Place {
    lines: Arc<Lines>,
    viewer: String,
    permit: Option<OwnedSemaphorePermit>,
}

impl Lines {
    pub(in crate::graphql) fn new(limit: Limit) -> Arc<Self> {
        Arc::new(Self {
            limit,
            lines: Mutex::default(),
        })
    }

    /// Waits for a place.
    pub(in crate::graphql) async fn enter(self: &Arc<Self>, viewer: &str) -> Result<Place, Full> {
        let most = self.limit.most;
        let (places, here) = {
            let mut lines = self.lock();
            let line = lines.entry(viewer.to_owned()).or_insert_with(|| Line {
                places: Arc::new(Semaphore::new(most)),
                here: 0,
            });
            if !self.limit.only_warns && line.here >= most.saturating_mul(1 + WAITING_PER_PLACE) {
                return Err(Full);
            }
            line.here += 1;
            (Arc::clone(&line.places), line.here)
        };
        // from here on a request that is given up leaves the line
        let mut place = Place {
            lines: Arc::clone(self),
            viewer: viewer.to_owned(),
            permit: None,
        };
        if self.limit.only_warns {
            if here > most {
                super::warn("GRAPHQL_MAX_CONCURRENT", here, most, None);
            }
            return Ok(place);
        }
        // nobody closes it
        place.permit = places.acquire_owned().await.ok();
        Ok(place)
    }

    /// Nothing is left half done under the lock, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.permit = None;
        let mut lines = self.lines.lock();
        if let Some(line) = lines.get_mut(&self.viewer) {
            line.here -= 1;
            if line.here == 0 {
                lines.remove(&self.viewer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_viewer_waits_for_their_own_requests_only() {
        let lines = Lines::new(Limit::of(1));
        let first = lines.enter("a").await.unwrap();
        let mut second = Box::pin(lines.enter("a"));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(lines.enter("b").now_or_never().is_some());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn nobody_is_remembered_who_has_left() {
        let lines = Lines::new(Limit::of(1));
        let first = lines.enter("a").await.unwrap();
        let mut given_up = Box::pin(lines.enter("a"));
        assert!(given_up.as_mut().now_or_never().is_none());
        drop(given_up);
        assert_eq!(lines.lock()["a"].here, 1);
        drop(first);
        assert!(lines.lock().is_empty());
    }

    #[tokio::test]
    async fn the_line_is_served_in_order_and_has_an_end() {
        let lines = Lines::new(Limit::of(1));
        let inside = lines.enter("a").await.unwrap();
        let mut waiting: Vec<_> = (0..WAITING_PER_PLACE)
            .map(|_| Box::pin(lines.enter("a")))
            .collect();
        for place in &mut waiting {
            assert!(place.as_mut().now_or_never().is_none());
        }
        assert!(matches!(lines.enter("a").now_or_never(), Some(Err(Full))));
        drop(inside);
        assert!(waiting[1].as_mut().now_or_never().is_none());
        assert!(waiting[0].as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_limit_that_only_warns_lets_everybody_in() {
        let lines = Lines::new(Limit {
            most: 1,
            only_warns: true,
        });
        let places = [lines.enter("a").await, lines.enter("a").await];
        assert!(places.iter().all(Result::is_ok));
    }
}

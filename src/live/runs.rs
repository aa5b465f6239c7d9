//! Who follows which runs, and which of them have moved since each looked last.
//!
//! Ids and no states: a follower that is slow finds fewer moves, and each time the newest state.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Runs that one look takes at most.
const LOOK: usize = 100;

/// A follower with more runs to look at is too slow. A few thousand move at once where every endpoint of many
/// integrations is fetched in full.
const LONGEST_LIST: usize = 10_000;

/// Which runs to follow; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Followed {
    /// One run.
    pub run: Option<i64>,
    /// The runs of an integration.
    pub integration: Option<String>,
    /// The runs of these integrations.
    pub among: Option<Vec<String>>,
}

impl Followed {
    fn contains(&self, run: i64, integration: Option<&str>) -> bool {
        let is_of = |id: &str| {
            self.integration.as_deref().is_none_or(|only| only == id)
                && self
                    .among
                    .as_ref()
                    .is_none_or(|ids| ids.iter().any(|one| one == id))
        };
        // where the integration is not told, the look finds out
        self.run.is_none_or(|only| only == run) && integration.is_none_or(is_of)
    }
}

/// The follower has not looked for so long that it cannot be told what moved.
#[derive(Debug, thiserror::Error)]
#[error("the runs moved faster than they were read")]
pub struct TooSlow;

struct Follower {
    followed: Followed,
    moved: Mutex<BTreeSet<i64>>,
    rung: Notify,
}

#[derive(Default)]
struct List {
    last: u64,
    followers: HashMap<u64, Arc<Follower>>,
}

/// All followers of runs in this process.
#[derive(Default)]
pub(super) struct Followers(Mutex<List>);

/// Nothing that is done under these locks can panic halfway.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Followers {
    pub(super) fn follow(this: &Arc<Self>, followed: Followed) -> FollowedRuns {
        let follower = Arc::new(Follower {
            followed,
            moved: Mutex::default(),
            rung: Notify::new(),
        });
        let mut list = locked(&this.0);
        list.last += 1;
        let number = list.last;
        list.followers.insert(number, follower.clone());
        drop(list);
        FollowedRuns {
            followers: this.clone(),
            number,
            follower,
        }
    }

    pub(super) fn count(&self) -> usize {
        locked(&self.0).followers.len()
    }

    /// A run has moved.
    pub(super) fn tell(&self, run: i64, integration: Option<&str>) {
        for follower in locked(&self.0).followers.values() {
            if follower.followed.contains(run, integration) {
                let mut moved = locked(&follower.moved);
                // one beyond tells the follower that it is too slow
                if moved.len() <= LONGEST_LIST {
                    moved.insert(run);
                }
                drop(moved);
                follower.rung.notify_one();
            }
        }
    }
}

/// Somebody who follows runs; ends with this value.
pub struct FollowedRuns {
    followers: Arc<Followers>,
    number: u64,
    follower: Arc<Follower>,
}

impl FollowedRuns {
    /// Waits until runs have moved and returns their ids, the oldest first and not too many at once.
    ///
    /// # Errors
    /// There are more than can be remembered.
    pub async fn moved(&self) -> Result<Vec<i64>, TooSlow> {
        loop {
            // before the look, so that a ring during it is heard
            let rung = self.follower.rung.notified();
            let taken = self.take()?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            rung.await;
        }
    }

    fn take(&self) -> Result<Vec<i64>, TooSlow> {
        let mut moved = locked(&self.follower.moved);
        if moved.len() > LONGEST_LIST {
            return Err(TooSlow);
        }
        let mut taken = Vec::new();
        while taken.len() < LOOK
            && let Some(run) = moved.pop_first()
        {
            taken.push(run);
        }
        Ok(taken)
    }
}

impl Drop for FollowedRuns {
    fn drop(&mut self) {
        locked(&self.followers.0).followers.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(integration: &str) -> Followed {
        Followed {
            integration: Some(integration.to_owned()),
            ..Followed::default()
        }
    }

    #[tokio::test]
    async fn runs_that_move_again_and_again_are_one_look() {
        let followers = Arc::new(Followers::default());
        let follower = Followers::follow(&followers, of("a"));
        for run in [7, 7, 3, 7] {
            followers.tell(run, Some("a"));
        }
        followers.tell(9, Some("b"));
        followers.tell(8, None);
        assert_eq!(follower.moved().await.unwrap(), [3, 7, 8]);
    }

    // F71
    #[tokio::test]
    async fn a_follower_that_never_looks_holds_a_bounded_list_and_is_told() {
        let followers = Arc::new(Followers::default());
        let follower = Followers::follow(&followers, Followed::default());
        for run in 0..2 * LONGEST_LIST {
            followers.tell(i64::try_from(run).unwrap(), None);
        }
        assert!(follower.moved().await.is_err());
        assert_eq!(locked(&follower.follower.moved).len(), LONGEST_LIST + 1);
    }

    // F71
    #[test]
    fn a_follower_that_went_away_is_forgotten() {
        let followers = Arc::new(Followers::default());
        let follower = Followers::follow(&followers, of("a"));
        assert_eq!(followers.count(), 1);
        drop(follower);
        assert_eq!(followers.count(), 0);
    }
}

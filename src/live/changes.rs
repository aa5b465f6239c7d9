//! The end of the feed, read once for all who follow it.
//!
//! Sequences only rise, so a place in the feed is one number: everything up to it was handed on, and nothing beyond.
//! Each follower has a place of its own and compares; that is why none is given a change twice, and why one that
//! lost the thread can go on by itself from where it is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel_async::AsyncPgConnection;
use tokio::sync::{broadcast, watch};

use crate::changes::{self as feed, Told};

/// Changes that are read by one statement and handed on together.
const PAGE: usize = 500;

/// Batches that wait for the slowest follower before it loses the thread: with [`PAGE`] a few megabytes at most, for
/// all followers together.
const BATCHES: usize = 64;

/// Beyond so many changes that came while nobody could listen, each follower reads what concerns it.
const LONGEST_GAP: i64 = 10_000;

/// What is handed on.
#[derive(Clone)]
enum Handed {
    Changes(Arc<[Told]>),
    /// Too much was missed to be handed on.
    Gap,
}

/// What a follower is told.
pub enum News {
    /// Changes, in the order of the feed.
    Changes(Vec<Told>),
    /// There are changes up to this sequence that the follower has to read by itself.
    Missed {
        /// The last of them.
        until: i64,
    },
}

/// How far the feed is known and handed on.
#[derive(Default)]
struct Place {
    /// Everything up to it was handed on, or nobody followed. None: nobody has listened yet.
    handed_on: Option<i64>,
    /// There are changes up to here.
    known: i64,
    /// Whose changes those are; `None`: anybody's.
    of: Option<BTreeSet<String>>,
}

/// The shared reader of the feed's end.
pub(super) struct Tail {
    place: Mutex<Place>,
    sender: broadcast::Sender<Handed>,
    begun: watch::Sender<bool>,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            place: Mutex::default(),
            sender: broadcast::Sender::new(BATCHES),
            begun: watch::Sender::new(false),
        }
    }
}

impl Tail {
    /// Nothing that is done under this lock can panic halfway.
    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn follow(this: &Arc<Self>) -> FollowedChanges {
        // the sender is in `this` and cannot be gone
        let _ = this.begun.subscribe().wait_for(|begun| *begun).await;
        // under the lock, so that the place and what will be received fit together
        let place = this.place();
        FollowedChanges {
            receiver: this.sender.subscribe(),
            given: place.handed_on.unwrap_or_default(),
            tail: this.clone(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.sender.receiver_count()
    }

    /// There are changes up to `sequence`, the last ones of an integration.
    pub(super) fn note(&self, sequence: i64, integration: Option<&str>) {
        let mut place = self.place();
        place.known = place.known.max(sequence);
        match (&mut place.of, integration) {
            (Some(ids), Some(id)) => {
                ids.insert(id.to_owned());
            }
            (of, _) => *of = None,
        }
    }

    /// The feed ends at `end`: what is between the place and it may be anybody's.
    pub(super) fn look_up_to(&self, end: i64) {
        let mut place = self.place();
        place.known = place.known.max(end);
        place.of = None;
        place.handed_on.get_or_insert(end);
        drop(place);
        self.begun.send_replace(true);
    }

    /// Reads what is known to be new and hands it on.
    ///
    /// # Errors
    /// The database failed; the next look begins at the same place.
    pub(super) async fn read(&self, connection: &mut AsyncPgConnection) -> anyhow::Result<()> {
        while let Some((after, until, of)) = self.to_read() {
            let read = feed::after(connection, after, until, of, PAGE).await?;
            let last = read.last().map(|told| told.sequence);
            let reached = last.filter(|_| read.len() == PAGE).unwrap_or(until);
            let mut place = self.place();
            if !read.is_empty() {
                // an error means that nobody follows any more
                let _ = self.sender.send(Handed::Changes(read.into()));
            }
            place.handed_on = Some(reached);
        }
        Ok(())
    }

    /// What is to be read next, if anything is.
    fn to_read(&self) -> Option<(i64, i64, Option<Vec<String>>)> {
        let mut place = self.place();
        let after = place.handed_on?;
        let until = place.known;
        if after >= until {
            place.of = Some(BTreeSet::new());
            return None;
        }
        let nobody = self.sender.receiver_count() == 0;
        if nobody || until - after > LONGEST_GAP {
            place.handed_on = Some(until);
            place.of = Some(BTreeSet::new());
            // an error means that nobody follows
            let _ = self.sender.send(Handed::Gap);
            return None;
        }
        let of = place.of.clone().map(|ids| ids.into_iter().collect());
        Some((after, until, of))
    }
}

/// Somebody who follows the feed; ends with this value.
pub struct FollowedChanges {
    receiver: broadcast::Receiver<Handed>,
    /// Everything up to it was given.
    given: i64,
    tail: Arc<Tail>,
}

impl FollowedChanges {
    /// Everything up to this sequence was given.
    #[must_use]
    pub fn given(&self) -> i64 {
        self.given
    }

    /// Waits for what is new.
    pub async fn next(&mut self) -> News {
        loop {
            match self.receiver.recv().await {
                Ok(Handed::Changes(batch)) => {
                    let given = self.given;
                    let new = batch.iter().filter(|told| told.sequence > given);
                    let new: Vec<Told> = new.cloned().collect();
                    if let Some(last) = new.last() {
                        self.given = last.sequence;
                        return News::Changes(new);
                    }
                }
                // the channel cannot be closed: its sender is in `tail`
                Ok(Handed::Gap) | Err(_) => {
                    let until = self.tail.place().handed_on.unwrap_or_default();
                    if until > self.given {
                        return News::Missed { until };
                    }
                }
            }
        }
    }

    /// The follower has read by itself up to `sequence`.
    pub fn has_read(&mut self, sequence: i64) {
        self.given = self.given.max(sequence);
    }
}

//! What happens, told at once to whoever in this process follows it: progress of runs, and the feed of changes.
//!
//! One connection of the process listens to Postgres, whichever replica did the work, and one reader behind it looks
//! at what is new. Nothing polls, and a follower costs memory only: a thousand of them cause no more statements than
//! one until something happens that concerns them.
//!
//! A notification is a hint and never the news itself. When the connection was lost, everything is looked at again,
//! so that nothing is lost with it. This room hands on ids and names, never a record's content, and it never waits
//! for a follower: one that is too slow is told so and reads by itself.

mod changes;
mod runs;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::db::{Heard, Listener};
use crate::{changes as feed, queue, serve};

pub use changes::{FollowedChanges, News};
pub use runs::{Followed, FollowedRuns, TooSlow};

/// The pause before the first attempt to listen again, and the longest between two.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// By so much a colleague's clock may be behind ours, and so long a broken connection may have looked whole.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

/// The followers of this process; cheap to clone.
#[derive(Clone, Default)]
pub struct Live {
    runs: Arc<runs::Followers>,
    changes: Arc<changes::Tail>,
}

impl Live {
    /// Follows runs from now on.
    #[must_use]
    pub fn follow_runs(&self, followed: Followed) -> FollowedRuns {
        runs::Followers::follow(&self.runs, followed)
    }

    /// Follows the feed from now on; waits where the database could not be listened to yet.
    pub async fn follow_changes(&self) -> FollowedChanges {
        changes::Tail::follow(&self.changes).await
    }

    /// How many follow runs, and how many changes.
    #[must_use]
    pub fn followers(&self) -> (usize, usize) {
        (self.runs.count(), self.changes.count())
    }

    /// Listens until `stop`; while it cannot, it tries again.
    ///
    /// # Errors
    /// None; the type is that of a part of the server.
    pub async fn keep(
        self,
        url: SecretString,
        clock: Clock,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let mut pause = FIRST_PAUSE;
        let mut heard_at = clock();
        loop {
            let ended = tokio::select! {
                ended = self.listen(&url, &clock, &mut heard_at, &mut pause) => ended,
                () = serve::stopped(stop.clone()) => return Ok(()),
            };
            if let Err(error) = ended {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "subscriptions wait until the database can be listened to again"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = serve::stopped(stop.clone()) => return Ok(()),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn listen(
        &self,
        url: &SecretString,
        clock: &Clock,
        heard_at: &mut DateTime<Utc>,
        pause: &mut Duration,
    ) -> anyhow::Result<()> {
        let channels = [queue::PROGRESS, feed::CHANNEL];
        let mut listener = Listener::connect_to_all(url, &channels).await?;
        self.look_at_everything(&mut listener, *heard_at).await?;
        *pause = FIRST_PAUSE;
        loop {
            *heard_at = clock();
            self.note(&listener.next().await?);
            while let Some(heard) = listener.next_already_here()? {
                self.note(&heard);
            }
            self.changes.read(listener.connection()).await?;
        }
    }

    /// What may have happened since `since`, when somebody listened last.
    async fn look_at_everything(
        &self,
        listener: &mut Listener,
        since: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let connection = listener.connection();
        if self.runs.count() > 0 {
            for (id, integration) in queue::moved_since(connection, since - MARGIN).await? {
                self.runs.tell(id, Some(&integration));
            }
        }
        let end = feed::end(connection).await?;
        self.changes.look_up_to(end);
        self.changes.read(connection).await
    }

    fn note(&self, heard: &Heard) {
        let Some((number, integration)) = heard.payload.split_once(' ') else {
            return;
        };
        let Ok(number) = number.parse() else { return };
        let integration = Some(integration).filter(|id| !id.is_empty());
        if heard.channel == queue::PROGRESS {
            self.runs.tell(number, integration);
        } else {
            self.changes.note(number, integration);
        }
    }
}

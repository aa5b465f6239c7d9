//! What leaves the database for good, and when: deleted integrations, the personal fields of absent records, old
//! runs and events, marks that nobody needs any more.
//!
//! One job does it all about once an hour, in whichever replica takes it. It works in batches that each commit by
//! themselves, so that it never holds locks for long (F41), and may be stopped after any of them: what is left is
//! due again. It must never touch a row that is not due, nor decide what is true of a record.

mod ages;
mod erase;
mod purge;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::result::QueryResult;
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::sync::watch;

use crate::config::RetentionSettings;
use crate::db::{Connection, Pool, Statement};

/// The table as diesel sees it; a test holds it equal to the migrated database.
mod schema {
    diesel::table! {
        /// When each job is due again.
        recurring_jobs (name) {
            name -> Text,
            due_at -> Timestamptz,
        }
    }
}
use schema::recurring_jobs;

/// Its name in `recurring_jobs`.
const JOB: &str = "retention";

/// Between two times: soon enough for promises that are made in days.
const INTERVAL: TimeDelta = TimeDelta::hours(1);

/// Rows of a batch: some milliseconds of work.
const BATCH_ROWS: i64 = 1000;

/// Who removes what is due.
#[derive(Clone)]
pub struct Keeper {
    /// The mirror.
    pub pool: Pool,
    /// How long what is kept.
    pub settings: RetentionSettings,
    /// Turns true when this process is to end.
    pub stop: watch::Receiver<bool>,
    /// Rows of a batch.
    pub batch_rows: i64,
}

/// What one time has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Deleted integrations whose rows are all gone.
    pub integrations: usize,
    /// Absent records that were erased, and stubs that were removed.
    pub erased: usize,
    /// Rows beyond their age: runs, events, parked records, marks.
    pub aged: usize,
}

impl Keeper {
    /// A keeper with batches of the usual size.
    #[must_use]
    pub fn new(pool: Pool, settings: RetentionSettings, stop: watch::Receiver<bool>) -> Self {
        Self {
            pool,
            settings,
            stop,
            batch_rows: BATCH_ROWS,
        }
    }

    /// Removes what is due, if nobody did within the last hour; `None`: it was not time.
    ///
    /// # Errors
    /// The database failed. What was removed before that is gone, the rest is due again in an hour.
    pub async fn look(&self, now: DateTime<Utc>) -> anyhow::Result<Option<Removed>> {
        let mut connection = self.pool.get().await?;
        if !take_job(&mut connection, now).await? {
            return Ok(None);
        }
        let mut removed = Removed::default();
        // one that fails must not keep the others from their turn
        let purged = purge::purge(self, &mut connection, now).await;
        let erased = erase::erase(self, &mut connection, now).await;
        let orphans = erase::remove_orphans(self, &mut connection).await;
        let aged = ages::remove(self, &mut connection, now).await;
        removed.integrations = purged?;
        removed.erased = erased? + orphans?;
        removed.aged = aged?;
        if removed != Removed::default() {
            tracing::info!(
                integrations = removed.integrations,
                erased = removed.erased,
                aged = removed.aged,
                "what was due for removal is gone"
            );
        }
        Ok(Some(removed))
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Repeats a statement, each time in a transaction of its own, until it finds fewer rows than it may, or this
    /// process is to end. Returns the rows.
    async fn in_batches(
        &self,
        connection: &mut Connection,
        statement: &Statement,
    ) -> QueryResult<usize> {
        let mut rows = 0;
        while !self.is_stopped() {
            let found = statement.execute(connection).await?;
            rows += found;
            if self.was_last(found) {
                break;
            }
        }
        Ok(rows)
    }

    /// Whether a batch of so many rows leaves none behind.
    fn was_last(&self, found: usize) -> bool {
        i64::try_from(found).is_ok_and(|found| found < self.batch_rows)
    }
}

/// Whether the job is ours this time: of several replicas one gets it.
async fn take_job(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> QueryResult<bool> {
    let taken = diesel::update(
        recurring_jobs::table
            .find(JOB)
            .filter(recurring_jobs::due_at.le(now)),
    )
    .set(recurring_jobs::due_at.eq(now + INTERVAL))
    .execute(connection)
    .await?;
    Ok(taken > 0)
}

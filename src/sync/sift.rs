//! Which records of a page the database refuses (rule 14): found by trying, since each alone spoils a page.
//!
//! Nothing of a trial may stay: each ends with its transaction undone.

use chrono::{DateTime, Utc};
use diesel::result::Error as DieselError;
use diesel_async::AsyncConnection as _;
use serde_json::value::RawValue;

use super::run::{Enumeration, Stop};
use super::store::Then;
use crate::models::page::PageRows;
use crate::queue;

/// So few refused records are parked even where they are the whole page.
const FEW: usize = 5;

/// Why a trial of some records ended; never committed.
enum Trial {
    /// The database takes them.
    Fits,
    /// It does not, or it failed.
    Failed(Stop),
}

impl From<DieselError> for Trial {
    fn from(error: DieselError) -> Self {
        Self::Failed(error.into())
    }
}

impl Enumeration<'_> {
    /// The positions of the records that the database refuses, found by halving: each alone spoils a page.
    pub(super) async fn refused(
        &self,
        records: &[Box<RawValue>],
        unlisted: i64,
        now: DateTime<Utc>,
    ) -> Result<Vec<usize>, Stop> {
        let mut refused = Vec::new();
        // without any record it must work, or else the records are not what is wrong
        if !self.fits(&[], unlisted, now).await? {
            return Ok(refused);
        }
        let mut ranges: Vec<_> = std::iter::once(0..records.len()).collect();
        while let Some(range) = ranges.pop() {
            if range.is_empty() || self.fits(&records[range.clone()], unlisted, now).await? {
                continue;
            }
            if range.len() == 1 {
                refused.push(range.start);
                continue;
            }
            let middle = range.start + range.len() / 2;
            ranges.push(range.start..middle);
            ranges.push(middle..range.end);
        }
        // so many at once are not what is wrong: a full disk refuses each of them too
        if refused.len() > FEW && refused.len() * 2 > records.len() {
            return Ok(Vec::new());
        }
        tracing::warn!(
            run.id = self.run.id,
            records = refused.len(),
            "the database refuses records of a page; they are parked"
        );
        Ok(refused)
    }

    /// Whether the database takes some records; nothing is left of the trial.
    async fn fits(
        &self,
        records: &[Box<RawValue>],
        unlisted: i64,
        now: DateTime<Utc>,
    ) -> Result<bool, Stop> {
        let rows = PageRows::read(self.endpoint, records);
        let page = self.page(rows, unlisted, Then::Page(""), now);
        let mut connection = self.engine.pool.get().await.map_err(anyhow::Error::from)?;
        let trial: Result<(), Trial> = connection
            .transaction(async |connection| {
                if !queue::hold(connection, self.run).await? {
                    return Err(Trial::Failed(Stop::LeaseLost));
                }
                self.store_page(connection, &page, now).await?;
                Err(Trial::Fits)
            })
            .await;
        match trial {
            Ok(()) | Err(Trial::Fits) => Ok(true),
            Err(Trial::Failed(stop)) if stop.is_refusal() => Ok(false),
            Err(Trial::Failed(stop)) => Err(stop),
        }
    }
}

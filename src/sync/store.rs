//! A page as one transaction, and the last one as the end of its run.
//!
//! Proof of the lease, rows, seen marks, change feed, counters, checkpoint; on the last page also removals,
//! watermark and the end of the run. Nothing of it may happen alone: what is stored without its checkpoint is
//! lost or done twice after a crash.

use std::sync::atomic::Ordering;
use std::time::Instant;

use chrono::{DateTime, Utc};
use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use serde_json::json;
use tracing::Instrument as _;

use super::run::{Enumeration, ReadPage, Stop, marks_lost};
use super::states::{self, Outlook};
use super::{held, ledger, parked, removals, traced};
use crate::changes::{self, Change, Origin};
use crate::db;
use crate::integrations;
use crate::metrics::Effects;
use crate::models::lists::Allowance;
use crate::models::page::{Batch, PageRows, Parked, Sighting};
use crate::models::store::{PageWrites, Writer};
use crate::models::table::Table;
use crate::models::{self, Mode};
use crate::queue::{self, Progress, Request, Trigger};

/// How often a page's transaction is tried when two writers meet.
const TRANSACTION_TRIES: u32 = 5;

/// For a page in which nothing has changed, and that is followed by another: all that its commit keeps is how far the
/// run has come. A crash of Postgres within the next moments takes that away as a whole, and the page is fetched
/// again; nobody has been told anything by it. What the feed tells, and a run's end, waits for the disk: a number of
/// the feed that was read and is given anew after a crash would hide the change that gets it.
const WITHOUT_WAITING_FOR_THE_DISK: &str = "SET LOCAL synchronous_commit = off";

/// What only the last page's transaction needs.
#[derive(Clone, Copy)]
pub(super) struct End {
    /// When Kombo answered last, by its clock.
    kombo_now: Option<DateTime<Utc>>,
}

/// What comes after a page.
#[derive(Clone, Copy)]
pub(super) enum Then<'a> {
    /// The page at this cursor.
    Page(&'a str),
    /// The run's end.
    End(End),
}

impl Enumeration<'_> {
    /// Stores a page that is followed by the one at `next`; returns how many rows its lists stopped naming.
    pub(super) async fn store(
        &self,
        page: ReadPage,
        next: &str,
        unlisted: i64,
    ) -> Result<i64, Stop> {
        self.store_as_often_as_needed(page, unlisted, Then::Page(next))
            .await
    }

    /// Stores the last page and ends the run.
    pub(super) async fn store_last(&self, page: ReadPage, unlisted: i64) -> Result<(), Stop> {
        let kombo_now = page.times.map(|times| times.answered_at);
        self.store_as_often_as_needed(page, unlisted, Then::End(End { kombo_now }))
            .await?;
        Ok(())
    }

    /// Tried again where two writers met, and without the records that the database refuses (rule 14).
    async fn store_as_often_as_needed(
        &self,
        ReadPage {
            records, rows, at, ..
        }: ReadPage,
        unlisted: i64,
        then: Then<'_>,
    ) -> Result<i64, Stop> {
        let now = (self.engine.clock)();
        traced::note_records(records.len());
        let mut page = self.page(rows, unlisted, then, now);
        let mut is_sifted = false;
        let mut tries = 1;
        loop {
            let error = match self.store_once(&page, at.as_deref(), then, now).await {
                Ok(unlisted) => return Ok(unlisted),
                Err(error) => error,
            };
            let word = error.database();
            if tries < TRANSACTION_TRIES && word.is_some_and(db::is_serialization_failure) {
                tries += 1;
            } else if !is_sifted && error.is_refusal() {
                is_sifted = true;
                let refused = self.refused(&records, unlisted, now).await?;
                if refused.is_empty() {
                    return Err(error);
                }
                let rows = PageRows::read_without(self.endpoint, &records, &refused);
                page = self.page(rows, unlisted, then, now);
            } else {
                return Err(error);
            }
        }
    }

    async fn store_once(
        &self,
        page: &StoredPage,
        at: Option<&str>,
        then: Then<'_>,
        now: DateTime<Utc>,
    ) -> Result<i64, Stop> {
        let mut connection = self.engine.pool.get().await.map_err(anyhow::Error::from)?;
        let begun = Instant::now();
        let stored: Stored = connection
            .transaction(async |connection| {
                if !queue::hold_at(connection, self.run, at).await? {
                    return Err(Stop::LeaseLost);
                }
                let mut stored = self.store_page(connection, page, now).await?;
                match then {
                    Then::End(end) => {
                        let ending = self.end(connection, end, now);
                        let removed = ending.instrument(traced::step("end run", 1)).await?;
                        stored.effects.deleted += count(removed.len());
                        stored.changes.extend(removed);
                    }
                    Then::Page(_) if stored.changes.is_empty() => {
                        connection
                            .batch_execute(WITHOUT_WAITING_FOR_THE_DISK)
                            .await?;
                    }
                    Then::Page(_) => {}
                }
                let origin = self.origin(now);
                // last, since it takes the feed's lock, which everybody else waits for
                changes::append(connection, &origin, &stored.changes)
                    .instrument(traced::step("tell changes", stored.changes.len()))
                    .await?;
                Ok(stored)
            })
            .await?;
        let (endpoint, mode) = (self.endpoint.name, self.mode.as_str());
        let metrics = &self.engine.metrics;
        metrics.page_stored(endpoint, mode, stored.effects, begun.elapsed());
        Ok(stored.unlisted)
    }

    pub(super) fn page(
        &self,
        rows: PageRows,
        unlisted: i64,
        then: Then<'_>,
        now: DateTime<Utc>,
    ) -> StoredPage {
        let next = match then {
            Then::Page(cursor) => Some(cursor),
            Then::End(_) => None,
        };
        StoredPage::new(self, &self.writer(unlisted, now), rows, next)
    }

    pub(super) fn writer(&self, unlisted: i64, now: DateTime<Utc>) -> Writer<'_> {
        let settings = &self.engine.settings;
        Writer {
            integration_id: &self.run.integration_id,
            run_id: self.run.id,
            observed_at: self.observed_at,
            now,
            unannounced_before: self.unannounced_before(),
            is_announced: self.run.is_announced,
            spares_held_back: self.mode == Mode::Delta,
            allowance: if self.absence_counts {
                Allowance {
                    rows: settings.removal_guard_rows,
                    percent: settings.removal_guard_percent,
                    used: unlisted,
                }
            } else {
                Allowance::NOTHING
            },
        }
    }

    fn origin(&self, now: DateTime<Utc>) -> Origin<'_> {
        Origin {
            integration_id: &self.run.integration_id,
            run_id: self.run.id,
            at: now,
        }
    }

    pub(super) async fn store_page(
        &self,
        connection: &mut AsyncPgConnection,
        page: &StoredPage,
        now: DateTime<Utc>,
    ) -> Result<Stored, DieselError> {
        let mut progress = page.progress.clone();
        if self.mode == Mode::Full {
            let marked: usize = page.seen.iter().map(|(_, ids)| ids.len()).sum();
            progress.seen_marks = removals::mark_seen(connection, self.run.id, &page.seen)
                .instrument(traced::step("mark seen records", marked))
                .await?;
        }
        if self.state.removals_held_back > 0 {
            held::forget_shown(connection, &self.run.integration_id, &page.seen).await?;
        }
        if !page.parked.is_empty() {
            self.has_parked.store(true, Ordering::Relaxed);
        }
        if self.has_parked.load(Ordering::Relaxed) {
            parked::park(connection, self.run, &page.readable, &page.parked, now).await?;
        }
        ledger::note(connection, &self.run.integration_id, &page.sightings, now).await?;
        let rows = usize::try_from(page.rows).unwrap_or_default();
        let (effect, stubbed) = page
            .writes
            .run(connection)
            .instrument(traced::step("write rows", rows))
            .await?;
        for table in stubbed {
            self.ask_owner(connection, table, now).await?;
        }
        progress.inserted = effect.inserted;
        progress.updated = effect.updated;
        progress.unchanged = (page.rows - effect.inserted - effect.updated).max(0);
        progress.deleted = effect.deleted;
        progress.unlisted = effect.unlisted;
        match self.mode {
            Mode::Full => progress.drift = effect.unannounced,
            Mode::Delta => progress.missed_announcements = effect.unannounced.total(),
        }
        if effect.held_back > 0 {
            held::warn(self.run, effect.held_back);
        }
        queue::checkpoint(connection, self.run, &progress)
            .instrument(traced::step("write checkpoint", 1))
            .await?;
        Ok(Stored {
            changes: effect.changes,
            unlisted: effect.unlisted,
            effects: Effects {
                inserted: progress.inserted,
                updated: progress.updated,
                unchanged: progress.unchanged,
                deleted: progress.deleted,
                parked: progress.parked,
                duplicate: progress.duplicates,
            },
        })
    }

    /// A stub's own endpoint is asked for the rest, unless it was never fetched: then its first load is due
    /// anyway.
    async fn ask_owner(
        &self,
        connection: &mut AsyncPgConnection,
        table: &Table,
        now: DateTime<Utc>,
    ) -> Result<(), DieselError> {
        let Some(owner) = models::owner_of(table) else {
            return Ok(());
        };
        let integration_id = &self.run.integration_id;
        let state = states::load(connection, integration_id, owner.name).await?;
        if state.watermark.is_none() {
            return Ok(());
        }
        let request = Request {
            integration_id,
            endpoint: owner,
            mode: Mode::Delta,
            trigger: Trigger::CatchUp,
            reason: json!({ "stubsFoundByRun": self.run.id, "table": table.name }),
            requested_by: None,
        };
        queue::enqueue(connection, &request, now).await?;
        Ok(())
    }

    /// The last page is in: removals, watermark and the run's end, in its transaction. Returns what was removed.
    async fn end(
        &self,
        connection: &mut AsyncPgConnection,
        end: End,
        now: DateTime<Utc>,
    ) -> Result<Vec<Change>, Stop> {
        let settings = &self.engine.settings;
        let mut removed = Vec::new();
        if self.mode == Mode::Full {
            let totals = removals::totals(connection, self.run.id).await?;
            if totals.were_marks_lost() {
                return Err(marks_lost());
            }
            let writer = self.writer(totals.unlisted, now);
            parked::forget_absent(connection, self.run).await?;
            // it may have been switched off while the run was working
            let id = &self.run.integration_id;
            if self.absence_counts
                && integrations::absence_counts(connection, id, self.endpoint).await?
            {
                for link in self.endpoint.links {
                    held::forget_superseded(connection, self.run, link.name).await?;
                }
                removed = removals::remove_absent(connection, self, &writer, &totals).await?;
            }
            removals::forget_seen(connection, self.run.id).await?;
        }
        held::forget_unfinished(connection, self.run, self.endpoint).await?;
        let held_back = held::count(connection, self.run, self.endpoint).await?;
        // a tenth of jitter, so that endpoints first loaded together do not stay together for ever
        let full = settings
            .full_fetch_interval
            .mul_f64(0.95 + 0.1 * fastrand::f64());
        let outlook = Outlook {
            watermark: self.watermark,
            full_fetch: now + full,
            catch_up: now + settings.catch_up_interval,
            removals_held_back: held_back.of_endpoint,
        };
        states::note_success(
            connection,
            self.run,
            self.mode,
            end.kombo_now,
            &outlook,
            now,
        )
        .await?;
        queue::succeed(connection, self.run, held_back.of_run, now).await?;
        Ok(removed)
    }
}

/// What a page's transaction leaves to do.
pub(super) struct Stored {
    changes: Vec<Change>,
    unlisted: i64,
    effects: Effects,
}

/// A page made ready for its transaction.
pub(super) struct StoredPage {
    writes: PageWrites,
    /// Ids by table.
    seen: Vec<(&'static Table, Vec<String>)>,
    /// Ids of the endpoint's own records that could be read.
    readable: Vec<String>,
    parked: Vec<Parked>,
    sightings: Vec<(Sighting, i64)>,
    /// Rows in the page.
    rows: i64,
    progress: Progress,
}

impl StoredPage {
    fn new(
        enumeration: &Enumeration<'_>,
        writer: &Writer<'_>,
        mut rows: PageRows,
        next: Option<&str>,
    ) -> Self {
        let tables = enumeration.endpoint.tables;
        let ids = |table: &Table| -> Vec<String> {
            rows.batch(table)
                .map(|batch| batch.ids().map(str::to_owned).collect())
                .unwrap_or_default()
        };
        let readable = ids(tables[0]);
        let mut seen: Vec<_> = tables.iter().map(|table| (*table, ids(table))).collect();
        // a parked record was there, whatever it looked like
        let parked_ids = rows.parked.iter().filter_map(|parked| parked.id.clone());
        seen[0].1.extend(parked_ids);
        let kept = count(rows.batches.iter().map(Batch::len).sum());
        let parked = std::mem::take(&mut rows.parked);
        let sightings = std::mem::take(&mut rows.sightings);
        let progress = Progress {
            watermark: Some(enumeration.watermark),
            observed_at: Some(enumeration.observed_at),
            updated_after: enumeration.updated_after,
            mode: Some(enumeration.mode),
            expected_records: enumeration.expected_records,
            next_cursor: next.map(str::to_owned),
            received: kept + count(parked.len()),
            parked: count(parked.len()),
            duplicates: i64::try_from(rows.duplicates).unwrap_or(i64::MAX),
            ..Progress::default()
        };
        Self {
            writes: PageWrites::new(writer, rows),
            seen,
            readable,
            parked,
            sightings: sightings.into_iter().collect(),
            rows: kept,
            progress,
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

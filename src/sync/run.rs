//! One run from its first page to its last.
//!
//! Each page is one transaction: proof of the lease, rows, seen marks, counters, checkpoint; on the last
//! page also removals, watermark and the end of the run. While a page is written the next one is fetched,
//! so a run holds at most two pages, however large the endpoint is.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde_json::json;

use super::parked;
use super::removals::{self, Guard};
use super::states::{self, Outlook};
use super::{EndpointState, Engine, endpoint_of};
use crate::db;
use crate::integrations;
use crate::kombo::{Error as KomboError, Fetched, PageRequest, Remedy};
use crate::models::page::{Batch, PageRows, Parked};
use crate::models::store::{PageWrites, Writer};
use crate::models::table::Table;
use crate::models::{self, Endpoint, Mode};
use crate::queue::{self, Failure, Progress, Request, Run, Trigger};

/// How often a page's transaction is tried when two writers meet.
const TRANSACTION_TRIES: u32 = 5;

/// Why a run stopped before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// Another worker has the run.
    LeaseLost,
    /// Kombo did not give a page.
    Kombo(KomboError),
    /// The mirror itself refuses to go on.
    Mirror(Failure),
    /// The database failed.
    Database(anyhow::Error),
}

impl From<KomboError> for Stop {
    fn from(error: KomboError) -> Self {
        Self::Kombo(error)
    }
}

impl From<DieselError> for Stop {
    fn from(error: DieselError) -> Self {
        Self::Database(error.into())
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Database(error)
    }
}

/// What stays the same from the first page to the last.
struct Enumeration<'a> {
    engine: &'a Engine,
    run: &'a Run,
    endpoint: &'static Endpoint,
    mode: Mode,
    updated_after: Option<DateTime<Utc>>,
    /// Start of the first request by Kombo's clock; known once the first page is there.
    watermark: DateTime<Utc>,
    /// The same, but never before what an earlier run of the endpoint wrote rows with.
    observed_at: DateTime<Utc>,
    drift_before: Option<DateTime<Utc>>,
    expected_records: Option<i64>,
}

/// A run whose last page is stored.
pub(super) struct Complete {
    /// Its endpoint.
    pub(super) endpoint: &'static Endpoint,
    /// Nothing had been fetched completely before.
    pub(super) is_first_load: bool,
}

/// Fetches and stores all pages of a claimed run.
pub(super) async fn fetch_all(engine: &Engine, run: &Run) -> Result<Complete, Stop> {
    let endpoint = endpoint_of(run).map_err(Stop::Mirror)?;
    let (mut enumeration, state) = Enumeration::begin(engine, run, endpoint).await?;
    let mut cursor = run.cursor.clone();
    let mut used: HashSet<String> = cursor.iter().cloned().collect();
    let mut fetched = if run.is_resumed() {
        enumeration.fetch(cursor.as_deref()).await?
    } else {
        enumeration.fetch_first(&state).await?
    };
    let mut parked = run.records_parked;
    loop {
        cursor.clone_from(&fetched.page.next);
        if let Some(next) = &cursor
            && !used.insert(next.clone())
        {
            return Err(Stop::Mirror(cursor_loop()));
        }
        let rows = PageRows::read(endpoint, &fetched.page.records);
        parked += i64::try_from(rows.parked.len()).unwrap_or(i64::MAX);
        let Some(next) = cursor.clone() else {
            let end = End {
                state: &state,
                parked,
                kombo_now: fetched.times.map(|times| times.answered_at),
            };
            enumeration.store(rows, None, Some(end)).await?;
            return Ok(Complete {
                endpoint,
                is_first_load: state.watermark.is_none(),
            });
        };
        let (stored, following) = tokio::join!(
            enumeration.store(rows, Some(&next), None),
            enumeration.fetch(Some(&next)),
        );
        stored?;
        fetched = following?;
    }
}

impl<'a> Enumeration<'a> {
    /// Decides how far to go, or takes up what an earlier attempt decided.
    async fn begin(
        engine: &'a Engine,
        run: &'a Run,
        endpoint: &'static Endpoint,
    ) -> Result<(Self, EndpointState), Stop> {
        let now = (engine.clock)();
        let mut connection = engine.pool.get().await.map_err(anyhow::Error::from)?;
        let state = states::load(&mut connection, &run.integration_id, &run.endpoint).await?;
        let resumed = run.is_resumed();
        if resumed && removals::marks_were_lost(&mut connection, run).await? {
            return Err(Stop::Kombo(KomboError {
                remedy: Remedy::RestartEnumeration,
                code: "MIRROR.SEEN_MARKS_LOST".to_owned(),
                message: "the database lost what this run had seen; it begins again".to_owned(),
                log_url: None,
                retry_after: None,
            }));
        }
        let mode = if resumed {
            run.mode()
        } else {
            state.mode_for(run.mode(), now)
        };
        let overlap = TimeDelta::from_std(engine.settings.watermark_overlap).unwrap_or_default();
        let updated_after = match (mode, resumed) {
            (Mode::Full, _) => None,
            (Mode::Delta, true) => run.updated_after,
            (Mode::Delta, false) => state.watermark.map(|watermark| watermark - overlap),
        };
        let expected_records = match (mode, resumed) {
            (Mode::Full, false) => Some(
                removals::live_rows(&mut connection, &run.integration_id, endpoint.tables[0])
                    .await?,
            ),
            _ => None,
        };
        let enumeration = Self {
            engine,
            run,
            endpoint,
            mode,
            updated_after,
            watermark: run.watermark.unwrap_or(now),
            observed_at: run.observed_at.unwrap_or(now),
            drift_before: state.watermark.filter(|_| mode == Mode::Full),
            expected_records: expected_records.filter(|rows| *rows > 0),
        };
        Ok((enumeration, state))
    }

    /// Fetches the first page and takes the run's moments from it.
    async fn fetch_first(&mut self, state: &EndpointState) -> Result<Fetched, Stop> {
        let mut asked_at = (self.engine.clock)();
        let mut fetched = self.fetch(None).await?;
        let was_set_back = state
            .watermark
            .zip(fetched.times)
            .is_some_and(|(mark, times)| states::is_in_kombos_future(mark, times.answered_at));
        if was_set_back && self.mode == Mode::Delta {
            tracing::warn!(
                self.run.id,
                "kombo's clock was set back: fetching everything"
            );
            self.mode = Mode::Full;
            self.updated_after = None;
            asked_at = (self.engine.clock)();
            fetched = self.fetch(None).await?;
        }
        self.watermark = fetched.times.map_or(asked_at, |times| times.started_at);
        let mut connection = self.engine.pool.get().await.map_err(anyhow::Error::from)?;
        let earlier = queue::last_observation(&mut connection, self.run).await?;
        // This run truly began after the earlier one; by whole seconds it can seem to have begun before,
        // and rule 8 would refuse its rows.
        self.observed_at = earlier.map_or(self.watermark, |earlier| self.watermark.max(earlier));
        Ok(fetched)
    }

    async fn fetch(&self, cursor: Option<&str>) -> Result<Fetched, KomboError> {
        let request = PageRequest {
            integration_id: &self.run.integration_id,
            path: self.endpoint.path,
            updated_after: self.updated_after,
            cursor,
        };
        self.engine.kombo.page(request).await
    }

    /// Stores a page; `end` is given with the last one. Tried again where two writers met.
    async fn store(
        &self,
        rows: PageRows,
        next: Option<&str>,
        end: Option<End<'_>>,
    ) -> Result<(), Stop> {
        let now = (self.engine.clock)();
        let writer = Writer {
            integration_id: &self.run.integration_id,
            observed_at: self.observed_at,
            now,
            drift_before: self.drift_before,
        };
        let page = StoredPage::new(self, &writer, rows, next);
        let mut connection = self.engine.pool.get().await.map_err(anyhow::Error::from)?;
        let mut tries = 1;
        loop {
            let stored = connection
                .transaction(async |connection| {
                    if !queue::hold(connection, self.run).await? {
                        return Ok(false);
                    }
                    self.store_page(connection, &page, now).await?;
                    if let Some(end) = end {
                        self.end(connection, end, now).await?;
                    }
                    Ok(true)
                })
                .await;
            match stored {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Stop::LeaseLost),
                Err(error) if tries < TRANSACTION_TRIES && db::is_serialization_failure(&error) => {
                    tries += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn store_page(
        &self,
        connection: &mut AsyncPgConnection,
        page: &StoredPage,
        now: DateTime<Utc>,
    ) -> Result<(), DieselError> {
        let mut progress = page.progress.clone();
        if self.mode == Mode::Full {
            progress.seen_marks = removals::mark_seen(connection, self.run.id, &page.seen).await?;
        }
        parked::park(connection, self.run, &page.readable, &page.parked, now).await?;
        let (effect, stubbed) = page.writes.run(connection).await?;
        for table in stubbed {
            self.ask_owner(connection, table, now).await?;
        }
        progress.inserted = effect.inserted;
        progress.updated = effect.updated;
        progress.unchanged = (page.rows - effect.inserted - effect.updated).max(0);
        progress.deleted = effect.deleted;
        progress.drifted = effect.drifted;
        queue::checkpoint(connection, self.run, &progress).await
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

    /// The last page is in: removals, watermark and the run's end, in its transaction.
    async fn end(
        &self,
        connection: &mut AsyncPgConnection,
        end: End<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), DieselError> {
        let settings = &self.engine.settings;
        let mut held_back = 0;
        let id = &self.run.integration_id;
        if self.mode == Mode::Full
            && integrations::absence_counts(connection, id, self.endpoint).await?
        {
            let guard = Guard {
                rows: settings.removal_guard_rows,
                percent: settings.removal_guard_percent,
            };
            let writer = Writer {
                integration_id: &self.run.integration_id,
                observed_at: self.observed_at,
                now,
                drift_before: end.state.watermark,
            };
            held_back = removals::remove_absent(
                connection,
                self.run,
                self.endpoint,
                &writer,
                guard,
                end.parked,
            )
            .await?;
        }
        if self.mode == Mode::Full {
            removals::forget_seen(connection, self.run.id).await?;
        }
        // a tenth of jitter, so that endpoints first loaded together do not stay together for ever
        let full = settings
            .full_fetch_interval
            .mul_f64(0.95 + 0.1 * fastrand::f64());
        let outlook = Outlook {
            watermark: self.watermark,
            full_fetch: now + full,
            catch_up: now + settings.catch_up_interval,
            removals_held_back: held_back,
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
        queue::succeed(connection, self.run, held_back, now).await
    }
}

/// What only the last page's transaction needs.
#[derive(Clone, Copy)]
struct End<'a> {
    /// The endpoint's state before the run.
    state: &'a EndpointState,
    /// Records that the whole run could not read.
    parked: i64,
    /// When Kombo answered last, by its clock.
    kombo_now: Option<DateTime<Utc>>,
}

/// A page made ready for its transaction.
struct StoredPage {
    writes: PageWrites,
    /// Ids by table, for a full fetch.
    seen: Vec<(&'static Table, Vec<String>)>,
    /// Ids of the endpoint's own records that could be read.
    readable: Vec<String>,
    parked: Vec<Parked>,
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
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
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
            rows: kept,
            progress,
        }
    }
}

/// F16: an endless enumeration is a fault of the source, not work.
fn cursor_loop() -> Failure {
    Failure {
        code: "MIRROR.CURSOR_LOOP".to_owned(),
        message: "kombo's next cursor was used before in this run: the enumeration would never end"
            .to_owned(),
        retryable: false,
        log_url: None,
    }
}

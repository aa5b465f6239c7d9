//! One run from its first page to its last.
//!
//! Each page is one transaction (see [`super::store`]). While a page is written the next one is fetched, so a
//! run holds at most two pages, however large the endpoint is.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use serde_json::value::RawValue;
use tracing::Instrument as _;

use super::states::{self, EndpointState};
use super::{Engine, endpoint_of, lane_of, parked, removals, traced};
use crate::integrations;
use crate::kombo::{Error as KomboError, Fetched, PageRequest, Remedy, Times};
use crate::models::page::PageRows;
use crate::models::{Endpoint, Mode};
use crate::queue::{self, Failure, Run};

/// Kombo collects changes for half a minute before it announces them, and a delivery may take its time: what
/// changed less than this before a fetch began was not missed.
const ANNOUNCEMENT_GRACE: TimeDelta = TimeDelta::minutes(2);

/// That many pages without a record, one after the other, are no enumeration any more (F16).
const EMPTY_PAGES: u32 = 100;

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

impl Stop {
    /// Whether the database answered, and neither that two writers met nor that it is going away: most likely
    /// there is a value that it has no place for.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self.database(),
            Some(DieselError::DatabaseError(DatabaseErrorKind::Unknown, _))
        )
    }

    /// The database's word, where it was the database.
    pub(super) fn database(&self) -> Option<&DieselError> {
        match self {
            Self::Database(error) => error.downcast_ref(),
            _ => None,
        }
    }
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
pub(super) struct Enumeration<'a> {
    pub(super) engine: &'a Engine,
    pub(super) run: &'a Run,
    pub(super) endpoint: &'static Endpoint,
    pub(super) mode: Mode,
    pub(super) updated_after: Option<DateTime<Utc>>,
    /// Start of the first request by Kombo's clock; known once the first page is there.
    pub(super) watermark: DateTime<Utc>,
    /// The same, but never before what an earlier run of the endpoint wrote rows with.
    pub(super) observed_at: DateTime<Utc>,
    pub(super) expected_records: Option<i64>,
    /// The endpoint before the run.
    pub(super) state: EndpointState,
    /// How much earlier than the watermark a delta begins.
    overlap: TimeDelta,
    /// False while the integration or the model is switched off at Kombo (F42).
    pub(super) absence_counts: bool,
    /// Whether records of the endpoint are parked, by this run or an earlier one; else no page need look for them.
    pub(super) has_parked: AtomicBool,
}

/// A page, read and not yet stored.
pub(super) struct ReadPage {
    /// Its records as they came: some may have to be left out when the database refuses them.
    pub(super) records: Vec<Box<RawValue>>,
    /// What they say.
    pub(super) rows: PageRows,
    /// The cursor that it was asked for by.
    pub(super) at: Option<String>,
    next: Option<String>,
    pub(super) times: Option<Times>,
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
    let mut enumeration = Enumeration::begin(engine, run, endpoint).await?;
    let mut used: HashSet<String> = run.cursor.iter().cloned().collect();
    let mut unlisted = run.records_unlisted;
    let mut number = 1;
    let fetching = traced::page("fetch page", number);
    let mut fetched = if run.is_resumed() {
        let cursor = run.cursor.as_deref();
        enumeration.fetch(cursor).instrument(fetching).await?
    } else {
        enumeration.fetch_first().instrument(fetching).await?
    };
    let mut empty_pages = 0;
    while let Some(next) = fetched.next.take() {
        empty_pages = if fetched.records.is_empty() {
            empty_pages + 1
        } else {
            0
        };
        if empty_pages > EMPTY_PAGES {
            return Err(Stop::Mirror(cursor_loop()));
        }
        if !used.insert(next.clone()) {
            return Err(Stop::Mirror(cursor_loop()));
        }
        let (stored, following) = tokio::join!(
            enumeration
                .store(fetched, &next, unlisted)
                .instrument(traced::page("store page", number)),
            enumeration
                .fetch(Some(&next))
                .instrument(traced::page("fetch page", number + 1)),
        );
        number += 1;
        unlisted += stored?;
        fetched = following?;
    }
    let asked_again = enumeration.ask_again(&fetched.records, unlisted).await?;
    if !asked_again.is_empty() {
        fetched.records.extend(asked_again);
        fetched.rows = PageRows::read(endpoint, &fetched.records);
    }
    enumeration
        .store_last(fetched, unlisted)
        .instrument(traced::page("store page", number))
        .await?;
    Ok(Complete {
        endpoint,
        is_first_load: enumeration.state.watermark.is_none(),
    })
}

impl<'a> Enumeration<'a> {
    /// Decides how far to go, or takes up what an earlier attempt decided.
    async fn begin(
        engine: &'a Engine,
        run: &'a Run,
        endpoint: &'static Endpoint,
    ) -> Result<Self, Stop> {
        let now = (engine.clock)();
        let mut connection = engine.pool.get().await.map_err(anyhow::Error::from)?;
        let state = states::load(&mut connection, &run.integration_id, &run.endpoint).await?;
        let resumed = run.is_resumed();
        if resumed && removals::marks_were_lost(&mut connection, run).await? {
            return Err(marks_lost());
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
            (Mode::Full, false) => {
                Some(removals::all_live_rows(&mut connection, &run.integration_id, endpoint).await?)
            }
            _ => None,
        };
        let absence_counts =
            integrations::absence_counts(&mut connection, &run.integration_id, endpoint).await?;
        let has_parked = parked::has_any(&mut connection, run).await?;
        Ok(Self {
            has_parked: AtomicBool::new(has_parked),
            engine,
            run,
            absence_counts,
            overlap,
            endpoint,
            mode,
            updated_after,
            watermark: run.watermark.unwrap_or(now),
            observed_at: run.observed_at.unwrap_or(now),
            expected_records: expected_records.filter(|rows| *rows > 0),
            state,
        })
    }

    /// Fetches the first page and takes the run's moments from it.
    async fn fetch_first(&mut self) -> Result<ReadPage, Stop> {
        let mut asked_at = (self.engine.clock)();
        let mut fetched = self.fetch(None).await?;
        let was_set_back = self
            .state
            .watermark
            .zip(fetched.times)
            .is_some_and(|(mark, times)| {
                // what the overlap reaches is asked for anyway
                states::is_in_kombos_future(mark - self.overlap, times.answered_at)
            });
        if was_set_back && self.mode == Mode::Delta {
            tracing::warn!(
                run.id = self.run.id,
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

    /// Fetches a page and reads it, so that both are done while the page before is written. Read on a thread of its
    /// own: the open transaction beside must not wait for it.
    async fn fetch(&self, cursor: Option<&str>) -> Result<ReadPage, KomboError> {
        let request = PageRequest {
            cursor,
            updated_after: self.updated_after,
            ..self.request()
        };
        let asked = self.engine.kombo.page(request, &self.engine.clock);
        let Fetched { page, times } = asked.await?;
        traced::note_records(page.records.len());
        let endpoint = self.endpoint;
        let at = cursor.map(str::to_owned);
        let reading = tokio::task::spawn_blocking(move || ReadPage {
            at,
            rows: PageRows::read(endpoint, &page.records),
            records: page.records,
            next: page.next,
            times,
        });
        reading.await.map_err(|_| reading_broke_off())
    }

    /// What every request of the run has in common.
    pub(super) fn request(&self) -> PageRequest<'_> {
        PageRequest {
            integration_id: &self.run.integration_id,
            path: self.endpoint.path,
            updated_after: None,
            cursor: None,
            ids: &[],
            lane: lane_of(self.run, self.mode),
        }
    }

    /// Rows that Kombo changed before this moment should have come by an earlier fetch: a full fetch finds
    /// what no delta had brought, a delta that no webhook asked for finds what none announced.
    pub(super) fn unannounced_before(&self) -> Option<DateTime<Utc>> {
        let watermark = self.state.watermark?;
        match self.mode {
            Mode::Full => Some(watermark),
            Mode::Delta if self.run.is_announced => None,
            Mode::Delta => Some(self.watermark - ANNOUNCEMENT_GRACE),
        }
    }
}

/// Postgres has crashed and emptied the table of marks: by what is left, everything seen before would be gone
/// (F18).
pub(super) fn marks_lost() -> Stop {
    Stop::Kombo(KomboError {
        remedy: Remedy::RestartEnumeration,
        code: "MIRROR.SEEN_MARKS_LOST".to_owned(),
        message: "the database lost what this run had seen; it begins again".to_owned(),
        log_url: None,
        retry_after: None,
    })
}

/// A defect of ours, or this process is about to end: either costs an attempt, not the run.
fn reading_broke_off() -> KomboError {
    KomboError {
        remedy: Remedy::RetryLater,
        code: "MIRROR.READING_BROKE_OFF".to_owned(),
        message: "a page could not be read to its end; the log says why".to_owned(),
        log_url: None,
        retry_after: None,
    }
}

/// F16: an endless enumeration is a fault of the source, not work.
fn cursor_loop() -> Failure {
    Failure {
        code: "MIRROR.CURSOR_LOOP".to_owned(),
        message: "kombo's cursors lead nowhere, back or from one empty page to the next: the enumeration would never end"
            .to_owned(),
        retryable: false,
        log_url: None,
    }
}

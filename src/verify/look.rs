//! Asking Kombo within a number of calls.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;

use super::VerifyOptions;
use crate::clock::Clock;
use crate::kombo::budget::Lane;
use crate::kombo::{Client, Error as KomboError, Fetched, PageRequest, Remedy};
use crate::models::Endpoint;

/// Records on a page of Kombo.
const PAGE_ROWS: i64 = 250;

/// Ids in one request: together some two kilobytes, well within what a URL may hold.
const IDS_PER_REQUEST: usize = 80;

/// Kombo tells its time in whole seconds.
const DATE_RESOLUTION: TimeDelta = TimeDelta::seconds(1);

/// Where Kombo does not say how long to wait.
const PAUSE: Duration = Duration::from_secs(5);

/// Longer is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(90);

/// How often one request is tried.
const TRIES: u32 = 5;

/// Why there is no answer.
pub(super) enum Silence {
    /// There are no calls left.
    Spent,
    /// Kombo has no such records to show, or none yet.
    Absent(KomboError),
    /// It does not answer.
    Failed(KomboError),
}

/// Kombo, and how often it may still be asked.
pub(super) struct Kombo<'a> {
    client: &'a Client,
    clock: &'a Clock,
    integration_id: &'a str,
    max_calls: u32,
    /// How often it was asked.
    pub(super) calls: u32,
    /// When the last answer was made, by Kombo's clock where it told. Rather too late than too early: what the
    /// mirror fetched in between is looked at again, what is taken for newer would not be.
    pub(super) answered_at: DateTime<Utc>,
}

impl<'a> Kombo<'a> {
    pub(super) fn new(client: &'a Client, clock: &'a Clock, options: &'a VerifyOptions) -> Self {
        Self {
            client,
            clock,
            integration_id: &options.integration,
            max_calls: options.max_calls,
            calls: 0,
            answered_at: (clock)(),
        }
    }

    pub(super) fn calls_left(&self) -> u32 {
        self.max_calls - self.calls
    }

    /// Whether an endpoint of so many records can be read to its end.
    pub(super) fn suffices_for(&self, rows: i64) -> bool {
        rows / PAGE_ROWS < i64::from(self.calls_left())
    }

    /// A page, asked for as a full fetch does.
    pub(super) async fn page(
        &mut self,
        endpoint: &Endpoint,
        cursor: Option<&str>,
    ) -> Result<Fetched, Silence> {
        self.ask(endpoint, cursor, &[]).await
    }

    /// The records with these ids, as many as the calls suffice for; second, the ids that were asked for.
    pub(super) async fn records(
        &mut self,
        endpoint: &Endpoint,
        ids: &[String],
    ) -> Result<(Vec<Box<RawValue>>, Vec<String>), Silence> {
        let mut records = Vec::new();
        let mut asked = Vec::new();
        // a comma separates the ids, so one that contains it cannot be asked for
        let ids: Vec<String> = ids.iter().filter(|id| !id.contains(',')).cloned().collect();
        for some in ids.chunks(IDS_PER_REQUEST) {
            match self.ask(endpoint, None, some).await {
                Ok(fetched) => records.extend(fetched.page.records),
                Err(Silence::Spent) => break,
                Err(silence) => return Err(silence),
            }
            asked.extend_from_slice(some);
        }
        Ok((records, asked))
    }

    async fn ask(
        &mut self,
        endpoint: &Endpoint,
        cursor: Option<&str>,
        ids: &[String],
    ) -> Result<Fetched, Silence> {
        let mut tries = 0;
        loop {
            if self.calls_left() == 0 {
                return Err(Silence::Spent);
            }
            self.calls += 1;
            tries += 1;
            let request = PageRequest {
                integration_id: self.integration_id,
                path: endpoint.path,
                updated_after: None,
                cursor,
                ids,
                // whoever verifies can wait, the sync's news cannot
                lane: Lane::Full,
            };
            let error = match self.client.page(request, self.clock).await {
                Ok(fetched) => {
                    self.answered_at = fetched.times.map_or_else(
                        || (self.clock)(),
                        |times| times.answered_at + DATE_RESOLUTION,
                    );
                    return Ok(fetched);
                }
                Err(error) => error,
            };
            let pause = error.retry_after.unwrap_or(PAUSE);
            match error.remedy {
                Remedy::SlowDown | Remedy::RetryLater
                    if tries < TRIES && pause <= LONGEST_PAUSE =>
                {
                    tokio::time::sleep(pause).await;
                }
                Remedy::TreatAsAbsent | Remedy::WaitForKombo => return Err(Silence::Absent(error)),
                _ => return Err(Silence::Failed(error)),
            }
        }
    }
}

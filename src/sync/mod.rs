//! The engine: takes runs from the queue, fetches pages, and keeps the promises about what is stored.
//!
//! It walks [`models::ALL`] and must never name a model. A run's life: claim under a lease → pages, each
//! stored in one transaction with its checkpoint → on the last page removals and watermark → done; or an
//! error, whose remedy decides between going on later and giving up.

mod again;
mod ending;
pub mod held;
mod ledger;
mod parked;
pub mod plan;
mod removals;
mod run;
mod sift;
mod states;
mod store;
mod traced;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};
use serde_json::json;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::config::SyncSettings;
use crate::db::{Pool, Reads};
use crate::integrations::{self, Description};
use crate::kombo::budget::Lane;
use crate::kombo::{Client, Error as KomboError, Remedy};
use crate::metrics::Metrics;
use crate::models::{self, Mode};
use crate::queue::{self, Appetite, Beat, Failure, Request, Run, Trigger};
pub use ending::Ending;
pub use states::{EndpointState, load as endpoint_state};
pub use traced::Interrupted;

/// How often an integration's details are asked for when nothing else happens.
const DETAILS_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// What the workers of one process share.
#[derive(Clone)]
pub struct Engine {
    /// The mirror.
    pub pool: Pool,
    /// Where GraphQL reads it.
    pub reads: Reads,
    /// Kombo.
    pub kombo: Arc<Client>,
    /// When and how far to fetch.
    pub settings: Arc<SyncSettings>,
    /// Rings, for all who wait, when a run was queued; polling finds what nobody rang for.
    pub doorbell: Arc<Notify>,
    /// The present moment: the wall clock, or a test's.
    pub clock: Clock,
    /// Turns true when this process is to end: working runs go back to the queue.
    pub stop: watch::Receiver<bool>,
    /// What this process counts.
    pub metrics: Arc<Metrics>,
}

impl Engine {
    /// Claims one run and works on it until it ends or waits. `None`: nothing is due.
    ///
    /// # Errors
    /// The database failed; the run's lease will run out and somebody else goes on. With [`Interrupted`] it is in the log.
    pub async fn work_once(&self, appetite: Appetite<'_>) -> anyhow::Result<Option<Ending>> {
        let claimed = {
            let mut connection = self.pool.get().await?;
            let now = (self.clock)();
            queue::claim(&mut connection, appetite, self.settings.lease, now).await?
        };
        let Some(run) = claimed else {
            return Ok(None);
        };
        let worked = self.work_in_trace(&run).await;
        let outcome = worked
            .as_ref()
            .map_or("DATABASE_FAILED", |ending| ending.as_str());
        let endpoint = models::endpoint(&run.endpoint).map_or("unknown", |known| known.name);
        self.metrics.run_left(endpoint, outcome);
        worked.map(Some)
    }

    /// Works on a claimed run while its lease is kept alive beside.
    async fn work_on(&self, run: &Run) -> anyhow::Result<Ending> {
        let outcome = tokio::select! {
            outcome = run::fetch_all(self, run) => outcome,
            lost = self.keep_lease(run) => return lost,
            () = crate::serve::stopped(self.stop.clone()) => return self.hand_back(run).await,
        };
        match outcome {
            Ok(complete) => {
                if complete.is_first_load {
                    self.analyze(complete.endpoint).await;
                }
                Ok(Ending::Succeeded)
            }
            Err(run::Stop::LeaseLost) => Ok(Ending::LeaseLost),
            Err(run::Stop::Kombo(error)) => self.after_error(run, &error).await,
            Err(run::Stop::Mirror(failure)) => {
                traced::warn(run, &failure.code, "a sync run cannot go on");
                self.give_up(run, &failure, true).await
            }
            Err(stop) if stop.is_refusal() => self.after_refusal(run).await,
            Err(run::Stop::Database(error)) => {
                Err(error).with_context(|| format!("storing sync run {}", run.id))
            }
        }
    }

    /// Tells the planner what a first load has brought: until Postgres looks by itself, a minute later,
    /// queries would be planned for the empty tables that it knows.
    async fn analyze(&self, endpoint: &models::Endpoint) {
        let analyzed = async {
            let mut connection = self.pool.get().await?;
            for table in endpoint.tables {
                connection
                    .batch_execute(&format!("ANALYZE {}", table.name))
                    .await?;
            }
            anyhow::Ok(())
        };
        if let Err(error) = analyzed.await {
            tracing::warn!(
                error = format!("{error:#}"),
                "the statistics of loaded tables could not be made"
            );
        }
    }

    async fn hand_back(&self, run: &Run) -> anyhow::Result<Ending> {
        // the page whose transaction was stopped may hold the run's row for as long as its connection idles
        self.pool.retain(|_, _| false);
        let mut connection = self.pool.get().await?;
        queue::release(&mut connection, run).await?;
        Ok(Ending::HandedBack)
    }

    async fn keep_lease(&self, run: &Run) -> anyhow::Result<Ending> {
        loop {
            tokio::time::sleep(self.settings.lease / 3).await;
            // a database that is away for a moment costs one beat, not the run
            let Ok(mut connection) = self.pool.get().await else {
                continue;
            };
            let beat =
                queue::heartbeat(&mut connection, run, self.settings.lease, (self.clock)()).await;
            drop(connection);
            match beat {
                Ok(Beat::Lost) => return Ok(Ending::LeaseLost),
                // the work beside is about to say so itself
                Ok(Beat::Ended) => std::future::pending().await,
                Ok(Beat::Kept) | Err(_) => {}
            }
        }
    }

    /// The database answers, and does not take what the run stores: tried again, less and less often, and seen.
    async fn after_refusal(&self, run: &Run) -> anyhow::Result<Ending> {
        let failure = Failure {
            code: "MIRROR.DATABASE_REFUSED".to_owned(),
            message: "the database refuses to store what was fetched; its log says why".to_owned(),
            retryable: true,
            log_url: None,
        };
        let words = "the database refuses to store what was fetched";
        traced::warn(run, &failure.code, words);
        self.put_aside(run, &failure, Remedy::RetryLater, Duration::ZERO)
            .await
    }

    async fn after_error(&self, run: &Run, error: &KomboError) -> anyhow::Result<Ending> {
        let failure = Failure {
            code: error.code.clone(),
            message: error.message.clone(),
            retryable: error.is_retryable(),
            log_url: error.log_url.clone(),
        };
        tracing::warn!(
            run.id,
            integration.id = run.integration_id,
            endpoint = run.endpoint,
            code = error.code,
            remedy = ?error.remedy,
            "kombo refused a page"
        );
        let wait = match error.remedy {
            Remedy::GiveUp => return self.give_up(run, &failure, true).await,
            Remedy::TreatAsAbsent => return self.give_up(run, &failure, false).await,
            Remedy::RestartEnumeration if run.restarts > 0 => {
                // once was tried already, so this is the end of it
                let failure = Failure {
                    retryable: false,
                    ..failure
                };
                return self.give_up(run, &failure, true).await;
            }
            Remedy::RestartEnumeration => Duration::ZERO,
            Remedy::WaitForKombo => self.settings.setup_poll,
            Remedy::RetryLater => error.retry_after.unwrap_or_default(),
            // waiting is no failure, so the attempts are counted instead of failures
            Remedy::SlowDown => error
                .retry_after
                .unwrap_or_else(|| self.backoff(run.attempts)),
        };
        self.put_aside(run, &failure, error.remedy, wait).await
    }

    /// Puts a run aside for `wait`, or longer where the endpoint keeps failing.
    async fn put_aside(
        &self,
        run: &Run,
        failure: &Failure,
        remedy: Remedy,
        wait: Duration,
    ) -> anyhow::Result<Ending> {
        let now = (self.clock)();
        let mut connection = self.pool.get().await?;
        let held = connection
            .transaction(async |connection| {
                if !queue::hold(connection, run).await? {
                    return Ok(false);
                }
                let wait = match remedy {
                    Remedy::RestartEnumeration => {
                        removals::forget_seen(connection, run.id).await?;
                        queue::restart(connection, run).await?;
                        wait
                    }
                    Remedy::RetryLater => {
                        let failures =
                            states::note_failure(connection, run, failure, None, now).await?;
                        wait.max(self.backoff(failures))
                    }
                    _ => {
                        states::note_waiting(connection, run, failure, now).await?;
                        wait.max(self.settings.poll)
                    }
                };
                queue::postpone(connection, run, failure, now + wait, now).await?;
                Ok::<_, DieselError>(true)
            })
            .await?;
        Ok(if held {
            Ending::Postponed
        } else {
            Ending::LeaseLost
        })
    }

    async fn give_up(
        &self,
        run: &Run,
        failure: &Failure,
        available: bool,
    ) -> anyhow::Result<Ending> {
        let now = (self.clock)();
        let mut connection = self.pool.get().await?;
        let held = connection
            .transaction(async |connection| {
                if !queue::hold(connection, run).await? {
                    return Ok(false);
                }
                states::note_failure(connection, run, failure, Some(available), now).await?;
                let state = states::load(connection, &run.integration_id, &run.endpoint).await?;
                let retry_at = now + self.give_up_pause(state.consecutive_failures);
                states::set_retry_at(connection, run, retry_at).await?;
                queue::fail(connection, run, failure, now).await?;
                removals::forget_seen(connection, run.id).await?;
                Ok::<_, DieselError>(true)
            })
            .await?;
        Ok(if held {
            Ending::Failed
        } else {
            Ending::LeaseLost
        })
    }

    /// Exponential with full jitter, between the first and the longest backoff.
    fn backoff(&self, failures: i32) -> Duration {
        let doubled = 2_u32.saturating_pow(u32::try_from(failures).unwrap_or(0).min(16));
        let longest = self
            .settings
            .first_backoff
            .saturating_mul(doubled)
            .min(self.settings.longest_backoff);
        self.settings
            .first_backoff
            .max(longest.mul_f64(fastrand::f64()))
    }

    /// What will not succeed by itself is left alone for minutes, then for an hour.
    fn give_up_pause(&self, failures: i32) -> Duration {
        let doubled = 2_u32.saturating_pow(u32::try_from(failures).unwrap_or(0).min(16));
        (self.settings.longest_backoff / 3)
            .saturating_mul(doubled)
            .min(self.settings.longest_backoff * 4)
    }

    /// Asks Kombo for the state of the integrations that are due.
    ///
    /// # Errors
    /// The database failed. What Kombo refuses is logged: the endpoints' own errors show the reason.
    pub async fn refresh_integrations(&self) -> anyhow::Result<usize> {
        let due = {
            let mut connection = self.pool.get().await?;
            let now = (self.clock)();
            integrations::take_due_for_details(&mut connection, DETAILS_INTERVAL, now).await?
        };
        for id in &due {
            let asked_at = (self.clock)();
            match self.kombo.integration(id, &self.clock).await {
                Ok(mut description) => {
                    description.details.state_as_of.get_or_insert(asked_at);
                    self.note_description(id, &description).await?;
                }
                Err(error) => {
                    tracing::warn!(
                        integration.id = id,
                        code = error.code,
                        "kombo did not describe the integration"
                    );
                }
            }
        }
        Ok(due.len())
    }

    /// Keeps what Kombo says of an integration. Where its data had been outdated and is good again, everything
    /// is fetched, because it is not documented that Kombo announces what changed meanwhile.
    async fn note_description(&self, id: &str, description: &Description) -> anyhow::Result<()> {
        let now = (self.clock)();
        let mut connection = self.pool.get().await?;
        let is_good_again = connection
            .transaction(async |connection| {
                let is_good_again = integrations::describe(connection, id, description).await?;
                for endpoint in models::ALL.iter().filter(|_| is_good_again) {
                    let request = Request {
                        integration_id: id,
                        endpoint,
                        mode: Mode::Full,
                        trigger: Trigger::Schedule,
                        reason: json!({ "dataExpiredUntil": now }),
                        requested_by: None,
                    };
                    queue::enqueue(connection, &request, now).await?;
                }
                Ok::<_, DieselError>(is_good_again)
            })
            .await?;
        if is_good_again {
            self.doorbell.notify_waiters();
        }
        Ok(())
    }
}

/// The endpoint of a claimed run.
fn endpoint_of(run: &Run) -> Result<&'static models::Endpoint, Failure> {
    models::endpoint(&run.endpoint).ok_or_else(|| Failure {
        code: "MIRROR.UNKNOWN_ENDPOINT".to_owned(),
        message: format!("this version knows no endpoint {}", run.endpoint),
        retryable: false,
        log_url: None,
    })
}

/// A full fetch is never news, whatever asked for it: it would use up what is kept for deltas.
fn lane_of(run: &Run, mode: Mode) -> Lane {
    match (run.lane, mode) {
        (..=0, Mode::Delta) => Lane::News,
        (..=1, _) => Lane::Manual,
        _ => Lane::Full,
    }
}

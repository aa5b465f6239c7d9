//! A faithful Kombo, for the demo, the tests and the benchmarks.
//!
//! Kombo has no sandbox that can be told to fail, to throttle, or to let fourteen days pass. This one can,
//! and it knows what a perfect mirror would hold, so that a mirror can be compared with it row by row.
//! It speaks Kombo's HTTP interface under `/v1`, sends signed webhooks, and takes orders either through
//! [`Simulator`] or, from another process, under `/simulator`.
//!
//! Where Kombo's documentation contradicts itself, both readings are built in and [`Options`] chooses.
//! The same seed and the same number of changes give the same data, apart from what the clock stamps.
//!
//! From the outside in: `background` (tasks), `api` and `control` (HTTP), `query`, `listing` and `render`
//! (a page), `faults` (what goes wrong), `liars` (what is right by the letter and wrong all the same),
//! `webhooks`, then `state`, and inside it `integration` with its
//! `edits`, the `life` that happens to it, and the `seed` it grew from.
//!
//! Must never be used by the server's own path, and must never use anything of the server but its clock.

mod answer;
mod api;
mod background;
pub mod command;
mod connector;
mod control;
mod edits;
mod faults;
mod fiction;
mod integration;
mod liars;
mod life;
mod listing;
mod orders;
mod query;
mod render;
mod rows;
mod seed;
mod state;
mod table;
mod targeted;
#[cfg(test)]
mod tests;
mod truth;
mod webhooks;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::Notify;

pub use faults::{Fault, FaultKind};
pub use integration::{IntegrationState, ModelSwitch, QaStatus, SetupStatus, Status};
pub use liars::{Border, Paging};
pub use rows::Endpoint;
pub use truth::Truth;
pub use webhooks::{Mischief, WebhookLog, WebhookTarget, sign};

/// Which of Kombo's two descriptions of `updated_after` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NestedUpdates {
    /// The API reference: courses come back with their revisions, nothing else nested counts.
    Strict,
    /// The fetching guide: courses also come back with their provider, skills and assignments,
    /// progressions with their user, revision or course.
    Loose,
}

/// What is left of a row 14 days after its deletion mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum After14Days {
    /// Its id, `remote_deleted_at` and `changed_at`; every other field is null, lists are empty.
    NullFields,
    /// Nothing.
    Remove,
}

/// How big the simulated Kombo is and how it behaves.
#[derive(Clone)]
pub struct Options {
    /// The same seed gives the same integrations, rows and changes.
    pub seed: u64,
    /// How many integrations; the first is a sandbox with all fields, the others lack models and columns.
    pub integrations: usize,
    /// Users per integration.
    pub users: usize,
    /// Courses per integration; each has up to three revisions, and every twenty share a provider.
    pub courses: usize,
    /// Skills per integration, where its system has skills.
    pub skills: usize,
    /// Progressions per integration.
    pub progressions: usize,
    /// What `updated_after` means for nested rows; default [`NestedUpdates::Strict`].
    pub nested_updates: NestedUpdates,
    /// Whether a row that changed at `updated_after` itself is delivered; default [`Border::Exclusive`].
    pub border: Border,
    /// What a cursor remembers; default [`Paging::Stable`].
    pub paging: Paging,
    /// Records on a page at most, whatever `page_size` asks for: so that a test needs few rows for many
    /// pages; default 250, which is Kombo's.
    pub largest_page: usize,
    /// What 14 days do to a deleted row; default [`After14Days::NullFields`].
    pub after_14_days: After14Days,
    /// Whether the 14 days' end counts as a change, and is announced; default false.
    pub after_14_days_bumps_changed_at: bool,
    /// The only API key that is accepted.
    pub api_key: String,
    /// Where webhooks go; without one they are dropped.
    pub webhook: Option<WebhookTarget>,
    /// How long changes are collected after an announcement, by the movable clock; default 30 s.
    pub debounce: Duration,
    /// Requests per minute of the movable clock, all integrations together; beyond them 429.
    pub rate_limit_per_minute: u32,
    /// Random changes that happen by themselves, per second; 0 is quiet.
    pub changes_per_second: f64,
    /// Whether every integration begins in its first sync, answering reads with 409.
    pub initial_setup_pending: bool,
    /// How far the movable clock is ahead of the wall clock at the start; negative: behind.
    pub clock_offset_seconds: i64,
    /// The moment as of which the records are made up, by the movable clock; `None`: the start. One seed
    /// and one moment give the same records, dates included.
    pub born_at: Option<DateTime<Utc>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 1,
            integrations: 1,
            users: 100,
            courses: 40,
            skills: 30,
            progressions: 500,
            nested_updates: NestedUpdates::Strict,
            border: Border::Exclusive,
            paging: Paging::Stable,
            largest_page: 250,
            after_14_days: After14Days::NullFields,
            after_14_days_bumps_changed_at: false,
            api_key: "ks_dev_simulator".to_owned(),
            webhook: None,
            debounce: Duration::from_secs(30),
            rate_limit_per_minute: 6_000,
            changes_per_second: 0.0,
            initial_setup_pending: false,
            clock_offset_seconds: 0,
            born_at: None,
        }
    }
}

/// A change that happened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// Where it happened.
    pub integration_id: String,
    /// The webhook's name of the model that changed first; a deletion may take more with it.
    pub model: &'static str,
    /// `inserted`, `updated`, `deleted`, `undeleted`, `unassigned` or `switched provider`.
    pub action: &'static str,
    /// The row's Kombo id; of an assignment, which has none that shows, an internal one.
    pub id: String,
}

/// A request that was received under `/v1`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RequestLog {
    /// When, by the movable clock.
    pub at: DateTime<Utc>,
    /// The HTTP method.
    pub method: String,
    /// The path below `/v1`, decoded.
    pub path: String,
    /// The decoded query in the order in which it was sent.
    pub query: Vec<(String, String)>,
    /// `X-Integration-Id`.
    pub integration_id: Option<String>,
    /// The HTTP status of the answer.
    pub status: u16,
}

/// What the handle and the tasks share.
struct Shared {
    state: Mutex<state::State>,
    address: SocketAddr,
    /// Something may have to be sent.
    wake: Notify,
    /// Something was sent.
    sent: Notify,
    tasks: Mutex<Option<background::Tasks>>,
}

/// A handle to a running simulator; clones are cheap and mean the same one.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
}

impl Simulator {
    /// Makes up the data and serves it on `listener` until [`Simulator::stop`].
    ///
    /// # Errors
    ///
    /// The listener has no address, or the webhook client cannot be built.
    pub async fn start(listener: TcpListener, options: Options) -> anyhow::Result<Simulator> {
        let address = listener
            .local_addr()
            .context("the simulator's listener has no address")?;
        let changes_per_second = options.changes_per_second;
        let state = tokio::task::spawn_blocking(|| state::State::new(options))
            .await
            .context("the simulator's data could not be made up")?;
        let simulator = Simulator {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                address,
                wake: Notify::new(),
                sent: Notify::new(),
                tasks: Mutex::new(None),
            }),
        };
        let tasks = background::spawn(&simulator, listener, changes_per_second)?;
        *simulator
            .shared
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(tasks);
        Ok(simulator)
    }

    /// Where the API is, without a slash at the end: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.shared.address)
    }

    /// The connected integrations, in the order of their creation.
    #[must_use]
    pub fn integration_ids(&self) -> Vec<String> {
        self.with(|state, _| {
            let connected = state
                .integrations
                .iter()
                .filter(|integration| !integration.deleted);
            connected
                .map(|integration| integration.id.clone())
                .collect()
        })
    }

    /// What a perfect mirror of an integration would hold now; no tables for an unknown integration.
    #[must_use]
    pub fn truth(&self, integration_id: &str) -> Truth {
        self.with(|state, _| match state.find(integration_id) {
            Some(number) => truth::of(&state.integrations[number], state.options.after_14_days),
            None => Truth::new(),
        })
    }

    /// The movable clock, in milliseconds.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.with(|_, now| state::date(now))
    }

    /// Ends the tasks: no more requests, changes or webhooks. Requests under way have two seconds.
    pub async fn stop(&self) {
        let tasks = self
            .shared
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(tasks) = tasks {
            tasks.stop().await;
        }
    }

    /// One step under the lock: first what is due happens, then `step`, then the sender is woken.
    fn with<R>(&self, step: impl FnOnce(&mut state::State, i64) -> R) -> R {
        let mut state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = state.moment();
        state.settle(now);
        let result = step(&mut state, now);
        if !state.outbox.is_idle() || state.outbox.next_due().is_some() {
            self.shared.wake.notify_one();
        }
        result
    }
}

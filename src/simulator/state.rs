//! Everything the simulator knows, behind one lock.
//!
//! A change and the recording of its announcement happen in one call under that lock, so that no reader
//! can see the one without the other being on its way.
//!
//! Must never wait for anything.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::faults::Fault;
use super::integration::{Integration, IntegrationState};
use super::listing::Reading;
use super::webhooks::{Outbox, Sender};
use super::{Change, Options, RequestLog, life, seed};
use crate::clock;

/// How many requests are remembered.
const REMEMBERED_REQUESTS: usize = 10_000;
/// How long a sync takes that somebody asked for, by the movable clock.
pub(super) const FORCED_SYNC_MS: i64 = 5_000;

pub(super) struct State {
    pub(super) options: Options,
    pub(super) integrations: Vec<Integration>,
    pub(super) outbox: Outbox,
    pub(super) faults: Vec<Fault>,
    pub(super) requests: VecDeque<RequestLog>,
    pub(super) is_paused: bool,
    pub(super) rate_window: i64,
    pub(super) rate_used: u32,
    rng: fastrand::Rng,
    clock_offset: i64,
    latest: i64,
    /// The moment at which the clock stands still.
    held: Option<i64>,
}

impl State {
    pub(super) fn new(options: Options) -> State {
        let clock_offset = options.clock_offset_seconds.saturating_mul(1_000);
        let start = clock::now().timestamp_millis() + clock_offset;
        let born = options
            .born_at
            .map_or(start, |moment| moment.timestamp_millis());
        State {
            integrations: (0..options.integrations)
                .map(|number| seed::integration(&options, number, born))
                .collect(),
            outbox: Outbox::new(options.webhook.clone(), options.debounce, options.seed),
            faults: Vec::new(),
            requests: VecDeque::new(),
            is_paused: false,
            rate_window: 0,
            rate_used: 0,
            rng: fastrand::Rng::with_seed(options.seed),
            clock_offset,
            latest: start,
            held: None,
            options,
        }
    }

    /// The movable clock in milliseconds; never runs backwards, whatever the wall clock does.
    pub(super) fn moment(&mut self) -> i64 {
        if let Some(held) = self.held {
            return held;
        }
        self.latest = self
            .latest
            .max(clock::now().timestamp_millis() + self.clock_offset);
        self.latest
    }

    pub(super) fn advance_clock(&mut self, milliseconds: i64) {
        self.clock_offset = self.clock_offset.saturating_add(milliseconds);
        self.latest = self.latest.saturating_add(milliseconds);
        self.held = self.held.map(|held| held.saturating_add(milliseconds));
    }

    /// Lets the clock stand still, or go on.
    pub(super) fn hold_clock(&mut self, hold: bool) {
        let now = self.moment();
        self.held = hold.then_some(now);
    }

    /// Makes whatever changes from now on later than `now`, even within the same millisecond of the wall
    /// clock: a client that remembers when it asked must not lose a change that it was not shown.
    pub(super) fn step_past(&mut self, now: i64) {
        self.latest = self.latest.max(now + 1);
    }

    pub(super) fn reading(&self) -> Reading {
        Reading {
            nested_updates: self.options.nested_updates,
            after_14_days: self.options.after_14_days,
            paging: self.options.paging,
        }
    }

    /// Lets happen what was due by `now`: rows age, syncs finish, announcements leave.
    pub(super) fn settle(&mut self, now: i64) {
        let bump = self.options.after_14_days_bumps_changed_at;
        for number in 0..self.integrations.len() {
            self.integrations[number].expire(now, bump);
            self.announce_touched(number, now);
            let over = |sync: &mut super::integration::RunningSync| sync.ends <= now;
            if let Some(sync) = self.integrations[number].running_sync.take_if(over) {
                let kind = "sync-finished";
                let data = self.sync_finished(number, &sync.id, sync.started, sync.ends);
                self.outbox.send(kind, &data, now);
            }
        }
        self.outbox.close_windows(now, false);
    }

    pub(super) fn find(&self, integration_id: &str) -> Option<usize> {
        self.integrations
            .iter()
            .position(|integration| integration.id == integration_id && !integration.deleted)
    }

    /// Changes one integration and records the announcement; `None` if there is no such integration.
    pub(super) fn edit<R>(
        &mut self,
        integration_id: &str,
        now: i64,
        edit: impl FnOnce(&mut Integration, i64) -> R,
    ) -> Option<R> {
        let number = self.find(integration_id)?;
        let result = edit(&mut self.integrations[number], now);
        self.announce_touched(number, now);
        Some(result)
    }

    fn announce_touched(&mut self, number: usize, now: i64) {
        let integration = &mut self.integrations[number];
        if integration.touched.is_empty() {
            return;
        }
        let touched = std::mem::take(&mut integration.touched);
        let connector = integration.connector;
        let sender = Sender {
            integration_id: &integration.id,
            tool: connector.tool,
        };
        let models = touched
            .into_iter()
            .filter(|model| connector.has_model(*model));
        self.outbox
            .announce(&sender, models.map(|model| model.name()), now);
    }

    /// Announces models by name, whether they changed or not.
    pub(super) fn announce(&mut self, integration_id: &str, models: &[&str], now: i64) -> bool {
        let Some(number) = self.find(integration_id) else {
            return false;
        };
        let integration = &self.integrations[number];
        let sender = Sender {
            integration_id: &integration.id,
            tool: integration.connector.tool,
        };
        self.outbox.announce(&sender, models.iter().copied(), now);
        true
    }

    /// Random changes; fewer than `count` only where there is no data to change.
    pub(super) fn change(&mut self, count: usize, only: Option<&str>, now: i64) -> Vec<Change> {
        let candidates: Vec<usize> = (0..self.integrations.len())
            .filter(|number| {
                let integration = &self.integrations[*number];
                let wanted = only.is_none_or(|id| id == integration.id);
                wanted && !integration.deleted && integration.state == IntegrationState::READY
            })
            .collect();
        if candidates.is_empty() {
            return Vec::new();
        }
        let mut changes = Vec::with_capacity(count);
        for _ in 0..count {
            let number = candidates[self.rng.usize(..candidates.len())];
            changes.extend(life::happen(
                &mut self.integrations[number],
                &mut self.rng,
                now,
            ));
            self.announce_touched(number, now);
        }
        changes
    }

    /// Connects another system and announces it. Returns its id.
    pub(super) fn add_integration(&mut self, now: i64) -> String {
        let integration = seed::integration(&self.options, self.integrations.len(), now);
        let id = integration.id.clone();
        let data = json!({
            "id": id,
            "tool": integration.connector.tool,
            "category": "LMS",
            "end_user": integration.end_user(),
        });
        self.integrations.push(integration);
        self.outbox.send("integration-created", &data, now);
        id
    }

    pub(super) fn delete_integration(&mut self, integration_id: &str, now: i64) -> bool {
        let Some(number) = self.find(integration_id) else {
            return false;
        };
        let integration = &mut self.integrations[number];
        integration.deleted = true;
        let data = json!({
            "id": integration.id,
            "tool": integration.connector.tool,
            "category": "LMS",
            "end_user": integration.end_user(),
            "deleted_at": super::render::instant(now),
        });
        self.outbox.send("integration-deleted", &data, now);
        true
    }

    pub(super) fn set_integration_state(
        &mut self,
        integration_id: &str,
        state: IntegrationState,
        now: i64,
    ) -> bool {
        let Some(number) = self.find(integration_id) else {
            return false;
        };
        let integration = &mut self.integrations[number];
        integration.state = state;
        let data = json!({
            "integration_id": integration.id,
            "integration_tool": integration.connector.tool,
            "integration_category": "LMS",
            "end_user": integration.end_user(),
            "qa_status": state.qa_status,
            "setup_status": state.setup_status,
            "state": state.status,
            "updated_at": super::render::instant(now),
        });
        self.outbox.send("integration-state-changed", &data, now);
        true
    }

    pub(super) fn announce_sync(&mut self, integration_id: &str, now: i64) -> bool {
        let Some(number) = self.find(integration_id) else {
            return false;
        };
        let sync_id = self.random_id();
        let data = self.sync_finished(number, &sync_id, now - 60_000, now);
        self.outbox.send("sync-finished", &data, now);
        true
    }

    pub(super) fn random_id(&mut self) -> String {
        // Apart from the stream of changes: asking for an id must not alter what happens next.
        let mut rng = fastrand::Rng::new();
        (0..24).map(|_| rng.alphanumeric()).collect()
    }

    fn sync_finished(
        &self,
        number: usize,
        sync_id: &str,
        started: i64,
        ended: i64,
    ) -> serde_json::Value {
        let integration = &self.integrations[number];
        json!({
            "sync_id": sync_id,
            "sync_state": "SUCCEEDED",
            "sync_started_at": super::render::instant(started),
            "sync_ended_at": super::render::instant(ended),
            "sync_duration_seconds": (ended - started) / 1_000,
            "integration_id": integration.id,
            "integration_tool": integration.connector.tool,
            "integration_category": "LMS",
            "end_user": integration.end_user(),
            "log_url": "https://app.kombo.dev/simulator/logs?interactionId=123456",
        })
    }

    pub(super) fn remember(&mut self, request: RequestLog) {
        if self.requests.len() == REMEMBERED_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }
}

/// Milliseconds of the movable clock as a date.
pub(super) fn date(milliseconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(milliseconds).unwrap_or(DateTime::UNIX_EPOCH)
}

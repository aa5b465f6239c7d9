//! What a test or the demo tells a simulator to do: clock, faults, webhooks, integrations, random changes.
//!
//! Must never change rows in any other way than `life.rs` does; changes of chosen rows are in `targeted.rs`.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::integration::Integration;
use super::rows::Model;
use super::state::State;
use super::{
    After14Days, Change, Fault, IntegrationState, Mischief, ModelSwitch, NestedUpdates, RequestLog,
    Simulator, WebhookLog, WebhookTarget,
};

/// How long a flush waits for the receiver.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// The behaviour of Kombo.
impl Simulator {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the clock forward; rows age, windows close and budgets renew accordingly.
    pub fn advance_clock(&self, by: Duration) {
        let milliseconds = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.with(|state, _| state.advance_clock(milliseconds));
        self.with(|_, _| ());
    }

    /// Chooses the meaning of `updated_after` for nested rows, also for changes of the past.
    pub fn set_nested_updates(&self, nested_updates: NestedUpdates) {
        self.with(|state, _| state.options.nested_updates = nested_updates);
    }

    /// Chooses what is left of rows after 14 days, also of those that are older already.
    pub fn set_after_14_days(&self, after_14_days: After14Days) {
        self.with(|state, _| state.options.after_14_days = after_14_days);
    }

    /// Limits the requests per minute from now on.
    pub fn set_rate_limit(&self, per_minute: u32) {
        self.with(|state, _| state.options.rate_limit_per_minute = per_minute);
    }

    /// Lets a request go wrong.
    pub fn inject(&self, fault: Fault) {
        self.with(|state, _| state.faults.push(fault));
    }

    /// How often a request will still go wrong, if the right ones come.
    #[must_use]
    pub fn waiting_faults(&self) -> u32 {
        self.with(|state, _| state.faults.iter().map(|fault| fault.count).sum())
    }

    /// Forgets the faults that have not happened yet.
    pub fn clear_faults(&self) {
        self.with(|state, _| state.faults.clear());
    }

    /// The requests received so far, the newest ten thousand.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestLog> {
        self.with(|state, _| state.requests.iter().cloned().collect())
    }

    /// Forgets the requests received so far.
    pub fn clear_requests(&self) {
        self.with(|state, _| state.requests.clear());
    }
}

/// Webhooks.
impl Simulator {
    /// Sends webhooks there from now on, or nowhere.
    pub fn set_webhook_target(&self, target: Option<WebhookTarget>) {
        self.with(|state, _| state.outbox.target = target);
    }

    /// Chooses how delivery misbehaves from now on.
    pub fn set_mischief(&self, mischief: Mischief) {
        self.with(|state, _| state.outbox.mischief = mischief);
    }

    /// Sends what is still being collected or held back, and waits for the answers, at most a minute.
    pub async fn flush_webhooks(&self) {
        self.with(|state, now| state.outbox.release(now));
        let all_sent = async {
            loop {
                let sent = self.shared.sent.notified();
                tokio::pin!(sent);
                sent.as_mut().enable();
                if self.with(|state, _| state.outbox.is_idle()) {
                    return;
                }
                sent.await;
            }
        };
        if tokio::time::timeout(FLUSH_TIMEOUT, all_sent).await.is_err() {
            tracing::warn!("some simulated webhooks were not answered in time");
        }
    }

    /// The webhooks sent so far, the newest ten thousand.
    #[must_use]
    pub fn sent_webhooks(&self) -> Vec<WebhookLog> {
        self.with(|state, _| state.outbox.sent())
    }

    /// Announces models by name, known or unknown, without changing anything.
    pub fn announce(&self, integration_id: &str, models: &[&str]) -> bool {
        self.with(|state, now| state.announce(integration_id, models, now))
    }

    /// Sends an event of any type with any payload, past the debounce, and returns its id.
    pub fn send_webhook(&self, event_type: &str, data: &Value) -> String {
        self.with(|state, now| state.outbox.send(event_type, data, now))
    }

    /// Sends `sync-finished` for a sync of one minute that succeeded.
    pub fn send_sync_finished(&self, integration_id: &str) -> bool {
        self.with(|state, now| state.announce_sync(integration_id, now))
    }
}

/// Integrations.
impl Simulator {
    /// Connects another integration, sends `integration-created`, and returns its id.
    pub fn add_integration(&self) -> String {
        self.with(|state, now| state.add_integration(now))
    }

    /// Takes an integration away and sends `integration-deleted`; reads get 404 from now on.
    pub fn delete_integration(&self, integration_id: &str) -> bool {
        self.with(|state, now| state.delete_integration(integration_id, now))
    }

    /// Sets the state of an integration and sends `integration-state-changed`.
    pub fn set_integration_state(&self, integration_id: &str, state: IntegrationState) -> bool {
        self.with(|all, now| all.set_integration_state(integration_id, state, now))
    }

    /// Marks an integration's data as outdated since now, or as fresh again (`data_expired_at`).
    pub fn set_data_expired(&self, integration_id: &str, expired: bool) -> bool {
        let set = |integration: &mut Integration, now| {
            integration.data_expired = if expired { now } else { 0 };
        };
        self.with(|state, now| state.edit(integration_id, now, set).is_some())
    }

    /// Switches a model of an integration on or off, by Kombo's name: the details say so, its own endpoint
    /// refuses, and other endpoints no longer show its rows. Kombo announces nothing. False for unknown names.
    pub fn set_model(&self, integration_id: &str, model: &str, switch: ModelSwitch) -> bool {
        let Some(model) = Model::named(model) else {
            return false;
        };
        let set = |integration: &mut Integration, _| {
            integration.switches.insert(model, switch);
        };
        self.with(|state, now| state.edit(integration_id, now, set).is_some())
    }
}

/// Random changes.
impl Simulator {
    /// Lets `count` random changes happen, spread over the integrations that can be read.
    pub fn change(&self, count: usize) -> Vec<Change> {
        self.with(|state, now| state.change(count, None, now))
    }

    /// The same in one integration.
    pub fn change_integration(&self, integration_id: &str, count: usize) -> Vec<Change> {
        self.with(|state, now| state.change(count, Some(integration_id), now))
    }

    /// Stops the changes that happen by themselves.
    pub fn pause(&self) {
        self.with(|state, _| state.is_paused = true);
    }

    /// Lets changes happen by themselves again.
    pub fn resume(&self) {
        self.with(|state, _| state.is_paused = false);
    }

    pub(super) fn change_unless_paused(&self, count: usize) {
        self.with(|state, now| {
            if !state.is_paused {
                state.change(count, None, now);
            }
        });
    }
}

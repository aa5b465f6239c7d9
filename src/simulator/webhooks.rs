//! Webhooks: what is announced when, signed how, and how delivery goes wrong on request.
//!
//! The first change of an integration is announced at once; what changes in the following window is
//! collected and announced as one union at its end, which begins the next window.
//!
//! Must never try again: a receiver that fails has lost the event, as with a real lossy sender.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// How many sent webhooks are remembered.
const REMEMBERED_WEBHOOKS: usize = 10_000;

/// Where webhooks go.
#[derive(Clone, Debug)]
pub struct WebhookTarget {
    /// The whole URL of the receiver.
    pub url: String,
    /// Signs every body.
    pub secret: String,
}

/// How delivery misbehaves. Shares are from 0 to 1.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub struct Mischief {
    /// The share of events that is sent twice.
    pub duplicate: f64,
    /// The share of events that is never sent.
    pub drop: f64,
    /// Every event is sent this many milliseconds late, by the movable clock.
    pub delay_milliseconds: u64,
    /// Every event overtakes the one before it: each is held back until another one came, or a flush.
    pub reorder: bool,
}

/// A webhook that was sent.
#[derive(Clone, Debug, serde::Serialize)]
pub struct WebhookLog {
    /// The id of the event.
    pub id: String,
    /// The type of the event.
    pub event_type: String,
    /// The exact body.
    pub body: String,
    /// The receiver's HTTP status; `None` if there was no answer within ten seconds.
    pub status: Option<u16>,
}

/// The value of `X-Kombo-Signature` for a body.
#[must_use]
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(body);
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// An event on its way.
#[derive(Clone)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) body: String,
    not_before: i64,
}

/// The integration as an announcement names it.
pub(super) struct Sender<'a> {
    pub(super) integration_id: &'a str,
    pub(super) tool: &'a str,
}

struct Window {
    tool: String,
    ends: i64,
    models: BTreeSet<String>,
}

/// Everything that waits to be sent.
pub(super) struct Outbox {
    pub(super) target: Option<WebhookTarget>,
    pub(super) mischief: Mischief,
    debounce_ms: i64,
    windows: BTreeMap<String, Window>,
    queue: VecDeque<Event>,
    held: Option<Event>,
    in_flight: usize,
    sent: VecDeque<WebhookLog>,
    /// Whom mischief strikes.
    dice: fastrand::Rng,
    /// Not seeded: a simulator started again must not repeat the event ids of the one before.
    rng: fastrand::Rng,
}

impl Outbox {
    pub(super) fn new(target: Option<WebhookTarget>, debounce: Duration, seed: u64) -> Outbox {
        Outbox {
            target,
            mischief: Mischief::default(),
            debounce_ms: i64::try_from(debounce.as_millis()).unwrap_or(i64::MAX),
            windows: BTreeMap::new(),
            queue: VecDeque::new(),
            held: None,
            in_flight: 0,
            sent: VecDeque::new(),
            dice: fastrand::Rng::with_seed(seed),
            rng: fastrand::Rng::new(),
        }
    }

    /// Records that rows of these models changed.
    pub(super) fn announce<'m>(
        &mut self,
        sender: &Sender<'_>,
        models: impl IntoIterator<Item = &'m str>,
        now: i64,
    ) {
        let models: BTreeSet<String> = models.into_iter().map(str::to_owned).collect();
        if models.is_empty() {
            return;
        }
        if let Some(window) = self.windows.get_mut(sender.integration_id) {
            window.models.extend(models);
            return;
        }
        self.send_data_changed(sender.integration_id, sender.tool, &models, now);
        let window = Window {
            tool: sender.tool.to_owned(),
            ends: now.saturating_add(self.debounce_ms),
            models: BTreeSet::new(),
        };
        self.windows
            .insert(sender.integration_id.to_owned(), window);
    }

    /// Ends the windows whose time is over, or all of them.
    pub(super) fn close_windows(&mut self, now: i64, all: bool) {
        for (integration_id, window) in std::mem::take(&mut self.windows) {
            if window.ends > now && !all {
                self.windows.insert(integration_id, window);
                continue;
            }
            if window.models.is_empty() {
                continue;
            }
            self.send_data_changed(&integration_id, &window.tool, &window.models, now);
            if !all {
                let ends = now.saturating_add(self.debounce_ms);
                let next = Window {
                    ends,
                    models: BTreeSet::new(),
                    ..window
                };
                self.windows.insert(integration_id, next);
            }
        }
    }

    fn send_data_changed(
        &mut self,
        integration_id: &str,
        tool: &str,
        models: &BTreeSet<String>,
        now: i64,
    ) {
        let models: Vec<Value> = models.iter().map(|name| json!({ "name": name })).collect();
        let data = json!({
            "integration_id": integration_id,
            "integration_tool": tool,
            "integration_category": "LMS",
            "changed_models": models,
        });
        self.send("data-changed", &data, now);
    }

    /// Puts an event on its way and returns its id.
    pub(super) fn send(&mut self, kind: &str, data: &Value, now: i64) -> String {
        let id: String = (0..24).map(|_| self.rng.alphanumeric()).collect();
        let kind_text = Value::from(kind);
        let event = Event {
            body: format!("{{\"id\":\"{id}\",\"type\":{kind_text},\"data\":{data}}}"),
            id: id.clone(),
            kind: kind.to_owned(),
            not_before: now.saturating_add_unsigned(self.mischief.delay_milliseconds),
        };
        if self.target.is_none() || self.dice.f64() < self.mischief.drop {
            return id;
        }
        let twice = self.dice.f64() < self.mischief.duplicate;
        if self.mischief.reorder && self.held.is_none() {
            self.held = Some(event);
            return id;
        }
        if twice {
            self.queue.push_back(event.clone());
        }
        self.queue.push_back(event);
        self.queue.extend(self.held.take());
        id
    }

    /// Lets everything go at once that is still being held back.
    pub(super) fn release(&mut self, now: i64) {
        self.close_windows(now, true);
        self.queue.extend(self.held.take());
        for event in &mut self.queue {
            event.not_before = now;
        }
    }

    /// The next event to send; the caller reports its fate to [`Outbox::finish`].
    pub(super) fn take(&mut self, now: i64) -> Option<(WebhookTarget, Event)> {
        let Some(target) = self.target.clone() else {
            self.queue.clear();
            return None;
        };
        let position = self
            .queue
            .iter()
            .position(|event| event.not_before <= now)?;
        self.in_flight += 1;
        Some((target, self.queue.remove(position)?))
    }

    pub(super) fn finish(&mut self, event: Event, status: Option<u16>) {
        self.in_flight -= 1;
        if self.sent.len() == REMEMBERED_WEBHOOKS {
            self.sent.pop_front();
        }
        self.sent.push_back(WebhookLog {
            id: event.id,
            event_type: event.kind,
            body: event.body,
            status,
        });
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight == 0
    }

    pub(super) fn sent(&self) -> Vec<WebhookLog> {
        self.sent.iter().cloned().collect()
    }

    /// When there will be something to do again, by the movable clock.
    pub(super) fn next_due(&self) -> Option<i64> {
        let windows = self.windows.values().map(|window| window.ends);
        let events = self.queue.iter().map(|event| event.not_before);
        windows.chain(events).min()
    }
}

//! Progress on standard error: bars for somebody at a terminal, plain lines for a log.
//!
//! Must never write to standard output, where the outcome goes.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use chrono::{DateTime, TimeDelta, Utc};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::words;
use crate::queue::Look;

/// A run that goes on without a change of its state says so this often.
const LINE_INTERVAL: TimeDelta = TimeDelta::seconds(5);

/// Shows how runs go.
pub(super) struct Display {
    paces: BTreeMap<i64, Pace>,
    form: Form,
}

enum Form {
    /// One bar for each run.
    Bars(MultiProgress, BTreeMap<i64, ProgressBar>),
    /// A line for each thing that happens.
    Lines(BTreeMap<i64, Line>),
}

/// When a run was first seen to fetch, and how far it was.
struct Pace {
    since: DateTime<Utc>,
    received: i64,
}

/// What was last said of a run.
struct Line {
    state: String,
    said_at: DateTime<Utc>,
}

impl Display {
    pub(super) fn new() -> Self {
        let form = if std::io::stderr().is_terminal() {
            let target = ProgressDrawTarget::stderr();
            Form::Bars(MultiProgress::with_draw_target(target), BTreeMap::new())
        } else {
            Form::Lines(BTreeMap::new())
        };
        Self {
            paces: BTreeMap::new(),
            form,
        }
    }

    pub(super) fn show(&mut self, looks: &[Look], now: DateTime<Utc>) {
        for look in looks {
            let rate = self.per_second(look, now);
            let state = words::state(look, now);
            match &mut self.form {
                Form::Bars(all, bars) => {
                    let bar = bars.entry(look.id).or_insert_with(|| {
                        let prefix = look.endpoint.clone();
                        all.add(ProgressBar::no_length().with_prefix(prefix))
                    });
                    show_bar(bar, look, &told(look, &state, rate));
                }
                Form::Lines(lines) => {
                    if is_news(lines, look, &state, now) {
                        eprintln!("{}: {}", look.endpoint, told(look, &state, rate));
                    }
                }
            }
        }
    }

    /// Since the run was first seen to fetch; waiting at its end would only blur it.
    fn per_second(&mut self, look: &Look, now: DateTime<Utc>) -> Option<f64> {
        if look.status != "RUNNING" || look.lease_until.is_none() {
            self.paces.remove(&look.id);
            return None;
        }
        let pace = self.paces.entry(look.id).or_insert(Pace {
            since: now,
            received: look.records_received,
        });
        pace.per_second(look.records_received, now)
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // the last bar leaves the cursor behind itself
        if let Form::Bars(_, bars) = &self.form
            && !bars.is_empty()
        {
            eprintln!();
        }
    }
}

impl Pace {
    fn per_second(&self, received: i64, now: DateTime<Utc>) -> Option<f64> {
        let seconds = (now - self.since).as_seconds_f64();
        let received = received - self.received;
        #[expect(clippy::cast_precision_loss, reason = "shown without decimals")]
        let rate = received as f64 / seconds;
        (seconds > 0.0 && received > 0).then_some(rate)
    }
}

/// What a run is doing and how far it is.
fn told(look: &Look, state: &str, rate: Option<f64>) -> String {
    if look.records_received == 0 {
        return state.to_owned();
    }
    format!("{state}, {}", words::counts(look, rate))
}

fn show_bar(bar: &ProgressBar, look: &Look, told: &str) {
    let count = |records: i64| u64::try_from(records).unwrap_or(0);
    let received = count(look.records_received);
    let length = match look.expected_records {
        // how much there is was not known before
        None if look.has_ended() => Some(received.max(1)),
        None => None,
        Some(expected) => Some(count(expected).max(received).max(1)),
    };
    let template = if length.is_some() {
        "{prefix:20} [{bar:30}] {msg}"
    } else {
        "{prefix:20} [             ...              ] {msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    if let Some(length) = length {
        bar.set_length(length);
    }
    bar.set_position(received);
    if look.has_ended() {
        bar.abandon_with_message(told.to_owned());
    } else {
        bar.set_message(told.to_owned());
    }
}

/// Whether something is worth a line: another state, or time that went by.
fn is_news(lines: &mut BTreeMap<i64, Line>, look: &Look, state: &str, now: DateTime<Utc>) -> bool {
    let is_news = lines.get(&look.id).is_none_or(|last| {
        last.state != state || (!look.has_ended() && now - last.said_at >= LINE_INTERVAL)
    });
    if is_news {
        let state = state.to_owned();
        let line = Line {
            state,
            said_at: now,
        };
        lines.insert(look.id, line);
    }
    is_news
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_told_once_there_is_one() {
        let since = DateTime::UNIX_EPOCH;
        let pace = Pace {
            since,
            received: 250,
        };
        assert_eq!(pace.per_second(250, since), None);
        assert_eq!(pace.per_second(500, since), None);
        let later = since + TimeDelta::milliseconds(500);
        assert_eq!(pace.per_second(250, later), None);
        assert_eq!(pace.per_second(500, later), Some(500.0));
        // an enumeration that began again
        assert_eq!(pace.per_second(0, later), None);
    }
}

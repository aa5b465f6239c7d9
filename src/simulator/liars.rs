//! A Kombo that breaks no documented promise and is hard to follow all the same.
//!
//! How pages are cut, whether `updated_after` includes its own moment, and when a change becomes visible is
//! documented nowhere, so a mirror must bear every answer. What breaks promises is in `faults.rs`.
//!
//! Must never happen by itself: without an order from here the simulator is as kind as it can be.

use std::time::Duration;

use super::rows::Model;
use super::{Endpoint, Simulator};

/// Whether a row that changed at the very moment of `updated_after` is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Later changes only.
    Exclusive,
    /// That moment's changes too.
    Inclusive,
}

/// What a cursor remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// A place that stays: no row is ever missed.
    Stable,
    /// How many rows were shown, in the order of their last change: a row that changes while somebody pages
    /// moves to the end, and the row that moves up over the border of two pages is on neither.
    ByOffset,
}

impl Simulator {
    /// Chooses how `updated_after` is compared.
    pub fn set_border(&self, border: Border) {
        self.with(|state, _| state.options.border = border);
    }

    /// Chooses how pages are cut. Cursors of the other way lose their meaning.
    pub fn set_paging(&self, paging: Paging) {
        self.with(|state, _| state.options.paging = paging);
    }

    /// Lets the clock stand still: every change carries the same millisecond, also before and after an
    /// answer. [`Simulator::advance_clock`] still moves it.
    pub fn hold_clock(&self) {
        self.with(|state, _| state.hold_clock(true));
    }

    /// Lets the clock go on.
    pub fn release_clock(&self) {
        self.with(|state, _| state.hold_clock(false));
    }

    /// Makes the last change of a row of an endpoint look older than it is: a transaction that began then
    /// and was committed only now. False where there is no such row.
    pub fn backdate(
        &self,
        integration_id: &str,
        endpoint: Endpoint,
        id: &str,
        by: Duration,
    ) -> bool {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let backdated = self.with(|state, _| {
            let number = state.find(integration_id)?;
            let integration = &mut state.integrations[number];
            match endpoint.model() {
                Model::Users => backdate(&mut integration.users, id, by),
                Model::Courses => backdate(&mut integration.courses, id, by),
                Model::Skills => backdate(&mut integration.skills, id, by),
                _ => backdate(&mut integration.progressions, id, by),
            }
        });
        backdated.is_some()
    }
}

fn backdate<T>(table: &mut super::table::Table<T>, id: &str, by: i64) -> Option<()> {
    let number = table.find(id)?;
    table.backdate(number, by);
    Some(())
}

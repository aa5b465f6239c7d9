//! What is computed from the sync's own tables: health, counts, ages.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::data::{Row, shown};
use super::execute::Execution;
use super::{Found, Json};
use crate::support::sdl::Sdl;

/// How old an answer may be.
pub(super) struct Freshness {
    pub(super) as_of: Option<DateTime<Utc>>,
    pub(super) lag_seconds: Option<f64>,
    complete: bool,
    /// Whether some endpoint was never fetched.
    pub(super) is_missing: bool,
}

impl Freshness {
    pub(super) fn member(&self, name: &str) -> Json {
        match name {
            "asOf" => self.as_of.map_or(Json::Null, shown),
            "lagSeconds" => self.lag_seconds.map_or(Json::Null, Json::number),
            _ => Json::Bool(self.complete),
        }
    }
}

/// The endpoint that a type of records comes from.
fn endpoint_of(ty: &str) -> &'static str {
    match ty {
        "User" => "users",
        "Course" | "CourseRevision" | "CourseProvider" => "courses",
        "Skill" => "skills",
        "CourseProgression" => "course_progressions",
        // no list of another type has an age
        _ => "",
    }
}

impl Execution<'_> {
    /// Seconds since a moment by Kombo's clock, which may be ahead of ours.
    fn lag(&self, watermark: DateTime<Utc>) -> f64 {
        let lag = self.reference.world.now - watermark;
        let micros = lag.num_microseconds().unwrap_or_default().max(0);
        #[expect(clippy::cast_precision_loss, reason = "microseconds of some years")]
        let seconds = micros as f64 / 1e6;
        seconds
    }

    /// The oldest of the endpoints of some integrations.
    pub(super) fn freshness(&self, ty: &str, integrations: &[String]) -> Freshness {
        let world = &self.reference.world;
        let states = world.some("endpoint_states", |state| {
            let id = state.id("integration_id");
            let is_live = world
                .one("integrations", |one| one.text("id") == Some(id))
                .is_some_and(|integration| integration.get("deleted_at").is_null());
            let was_there = state.is("available") || !state.get("watermark").is_null();
            state.id("endpoint") == endpoint_of(ty)
                && integrations.iter().any(|one| one == id)
                && is_live
                && was_there
        });
        let is_missing = states.iter().any(|state| state.get("watermark").is_null());
        let marks = states.iter().filter_map(|state| state.moment("watermark"));
        let as_of = if is_missing { None } else { marks.min() };
        Freshness {
            as_of,
            lag_seconds: as_of.map(|as_of| self.lag(as_of)),
            complete: states.iter().all(|state| {
                !state.get("watermark").is_null()
                    && state.get("error_code").is_null()
                    && state.number("removals_held_back") == Some(0)
            }),
            is_missing,
        }
    }

    pub(super) fn exception_of_sync(&self, ty: &str, name: &str, row: &Arc<Row>) -> Option<Found> {
        let world = &self.reference.world;
        Some(match (ty, name) {
            ("Integration", "lastWebhookAt") => {
                let of = world.some("webhook_events", |one| {
                    one.get("integration_id") == row.get("id")
                });
                let last = of.iter().filter_map(|one| one.moment("received_at")).max();
                Found::Leaf(last.map_or(Json::Null, shown))
            }
            ("Integration", "syncStatus") => {
                let mut states = world.some("endpoint_states", |one| {
                    one.get("integration_id") == row.get("id")
                });
                states.sort_by(|one, other| one.id("endpoint").cmp(other.id("endpoint")));
                Found::rows("EndpointSyncStatus", states)
            }
            (_, "endpoint") => Found::Leaf(Json::text(row.id("endpoint").to_uppercase())),
            ("EndpointSyncStatus", "health") => Found::Leaf(Json::text(self.health(row))),
            ("EndpointSyncStatus", "lagSeconds") => {
                let lag = row.moment("watermark").map(|watermark| self.lag(watermark));
                Found::Leaf(lag.map_or(Json::Null, Json::number))
            }
            ("EndpointSyncStatus", "liveRecords") => {
                let table = row.id("endpoint");
                let live = world.some(table, |one| one.is_beside(row) && one.is_alive());
                Found::Leaf(Json::number(live.len()))
            }
            ("EndpointSyncStatus", "activeRun") => {
                let open = self.runs_of(row, &["QUEUED", "RUNNING"]);
                // RUNNING is the later word
                let active = open
                    .into_iter()
                    .max_by(|one, other| one.text("status").cmp(&other.text("status")));
                Found::row("SyncRun", active)
            }
            ("EndpointSyncStatus", "lastRun") => {
                let ended = self.runs_of(row, &["SUCCEEDED", "FAILED", "CANCELLED"]);
                Found::row(
                    "SyncRun",
                    ended.into_iter().max_by_key(|run| run.number("id")),
                )
            }
            (_, "driftedRecords") => {
                let kinds = ["drift_inserted", "drift_updated", "drift_removed"];
                let counts = kinds.map(|kind| row.number(kind).unwrap_or_default());
                Found::Leaf(Json::number(counts.iter().sum::<i64>()))
            }
            ("EndpointSyncStatus", "lastError") | ("SyncRun", "error") => {
                Found::row("SyncError", error(row))
            }
            _ => return None,
        })
    }

    fn runs_of(&self, state: &Row, statuses: &[&str]) -> Vec<Arc<Row>> {
        self.reference.world.some("sync_runs", |run| {
            run.is_beside(state)
                && run.get("endpoint") == state.get("endpoint")
                && statuses.contains(&run.id("status"))
        })
    }

    fn health(&self, state: &Row) -> &'static str {
        let world = &self.reference.world;
        let integration = world.one("integrations", |one| {
            one.get("id") == state.get("integration_id")
        });
        let is_paused =
            integration.is_some_and(|one| one.is("paused") || !one.get("deleted_at").is_null());
        let is_overdue = state
            .moment("next_catch_up_at")
            .is_some_and(|due| due + TimeDelta::minutes(15) < world.now);
        let mut running = self.runs_of(state, &["RUNNING"]).into_iter();
        if is_paused {
            "PAUSED"
        } else if !state.is("available") {
            "UNAVAILABLE"
        } else if state.number("consecutive_failures") > Some(0) {
            "FAILING"
        } else if running.any(|run| !run.get("lease_until").is_null()) {
            "SYNCING"
        } else if state.get("watermark").is_null() {
            "AWAITING_FIRST_SYNC"
        } else if is_overdue {
            "STALE"
        } else {
            "UP_TO_DATE"
        }
    }

    /// The ids of the integrations that the viewer may see.
    pub(super) fn seen_integrations(&self) -> Vec<String> {
        let all = self.reference.world.rows(&Sdl::table("Integration")).iter();
        all.map(|one| one.id("id").to_owned())
            .filter(|id| self.asker.sees(Some(id)))
            .collect()
    }
}

/// The columns `error_…` as a row of their own; `None`: there is no error.
fn error(row: &Row) -> Option<Arc<Row>> {
    row.text("error_code")?;
    let mut error = Row::default();
    for name in ["code", "message", "retryable", "at", "log_url"] {
        let value = match (name, row.get(&format!("error_{name}"))) {
            ("message", Json::Null) => Json::text(""),
            ("retryable", Json::Null) => Json::Bool(false),
            (_, value) => value.clone(),
        };
        error.0.insert(name.to_owned(), value);
    }
    Some(Arc::new(error))
}

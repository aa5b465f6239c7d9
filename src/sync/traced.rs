//! A run in its trace: what is logged of it, and its spans, which are itself, its pages, and the steps of a page's
//! transaction.
//!
//! Spans name what was done and count; a cursor may hold data, so none is in them.

use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::{Ending, Engine};
use crate::db;
use crate::queue::Run;
use crate::trace::Trace;

/// A claimed run was interrupted by an error that is in the log already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sync run was interrupted")]
pub struct Interrupted;

impl Engine {
    /// Works on a claimed run in the trace of what queued it.
    pub(super) async fn work_in_trace(&self, run: &Run) -> anyhow::Result<Ending> {
        let place = run.places().next();
        let trace = place.map_or_else(Trace::begin, |place| place.trace);
        let worked = self.work_and_tell(run).instrument(span(run));
        // it is large, and made once a run
        trace.scope(Box::pin(worked)).await
    }

    async fn work_and_tell(&self, run: &Run) -> anyhow::Result<Ending> {
        let ending = self.work_on(run).await.map_err(|error| {
            tracing::error!(
                run.id,
                integration.id = run.integration_id,
                endpoint = run.endpoint,
                error = db::in_words(&error),
                "a sync run was interrupted by an error"
            );
            error.context(Interrupted)
        })?;
        note_ending(ending);
        tracing::info!(
            run.id,
            integration.id = run.integration_id,
            endpoint = run.endpoint,
            attempt = run.attempts,
            ending = ?ending,
            "sync run left the worker"
        );
        Ok(ending)
    }
}

/// Warns of what befell a run.
pub(super) fn warn(run: &Run, code: &str, words: &'static str) {
    tracing::warn!(
        run.id,
        integration.id = run.integration_id,
        endpoint = run.endpoint,
        code,
        "{words}"
    );
}

/// The span of one attempt, which continues where the run was queued.
fn span(run: &Run) -> Span {
    let span = tracing::info_span!(
        "sync run",
        otel.kind = "consumer",
        otel.status_code = Empty,
        run.id,
        integration.id = run.integration_id,
        endpoint = run.endpoint,
        mode = run.mode,
        trigger = run.trigger,
        attempt = run.attempts,
        ending = Empty
    );
    let mut places = run.places();
    if let Some(place) = places.next() {
        place.go_on_in(&span);
    }
    places.for_each(|place| place.link_from(&span));
    span
}

/// Keeps how the attempt ended.
fn note_ending(ending: Ending) {
    let span = Span::current();
    span.record("ending", tracing::field::debug(ending));
    if ending == Ending::Failed {
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of a page: asked for, or stored.
pub(super) fn page(what: &'static str, number: usize) -> Span {
    tracing::debug_span!(
        "page",
        otel.name = what,
        page.number = number,
        page.records = Empty
    )
}

/// Keeps how much is in the page of the span that asks.
pub(super) fn note_records(records: usize) {
    Span::current().record("page.records", records);
}

/// The span of a step of a page's transaction.
pub(super) fn step(name: &'static str, rows: usize) -> Span {
    tracing::debug_span!(
        "sql",
        otel.name = name,
        otel.kind = "client",
        db.system.name = "postgresql",
        step = name,
        rows
    )
}

//! The spans of a run: itself, its pages, and the steps of a page's transaction.
//!
//! They name what was done and count; a cursor may hold data, so none is in them.

use tracing::Span;
use tracing::field::Empty;

use super::Ending;
use crate::queue::Run;

/// The span of one attempt, which continues where the run was queued.
pub(super) fn span(run: &Run) -> Span {
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
pub(super) fn note_ending(ending: Ending) {
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

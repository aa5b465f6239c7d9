//! Which request or run a log line and a span belong to.
//!
//! Every request and every run has a [`Trace`], an id that is in all its log lines, in the errors that clients see, and
//! in its spans where those are exported. A run continues the trace of what queued it, in whichever process: the
//! [`Place`] where it was queued is kept on its row.
//!
//! Why the id does not come from a span: with the usual settings the spans of the read path are switched off where they
//! are called, which makes them free, and an error has to be found in the log all the same. So the id lives beside the
//! task, and spans take it over from there ([`export`]).
//!
//! Must never: take over the trace of a sender from outside, or let a value of a record into a line or a span.

pub mod export;
pub mod lines;
mod start;
mod stream;

use std::fmt;

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

pub use start::{Log, start};
pub(crate) use stream::Traced;

tokio::task_local! {
    static CURRENT: Trace;
}

/// The id of one request, or of a run with all its attempts; 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace(u128);

impl Trace {
    /// A new one.
    #[must_use]
    pub fn begin() -> Self {
        // all zeros would mean that there is none
        Self(fastrand::u128(1..))
    }

    /// That of the task that asks.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|trace| *trace).ok()
    }

    /// That of the task that asks, or a new one.
    #[must_use]
    pub fn current_or_new() -> Self {
        Self::current().unwrap_or_else(Self::begin)
    }

    /// Runs a future whose lines and spans belong to this trace.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// The same for a moment.
    pub fn sync_scope<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }

    fn id(self) -> TraceId {
        TraceId::from_bytes(self.0.to_be_bytes())
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Takes trace and span of this task along, for a future that another task will run.
pub(crate) fn carried<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let span = Span::current();
    Trace::current_or_new().scope(future.instrument(span))
}

/// A place in a trace, where something else may go on: as text a W3C `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Of this trace.
    pub trace: Trace,
    /// The span that is the parent of what comes.
    span: u64,
    /// Whether that span is exported: a parent that nobody has seen would only be missed.
    is_sampled: bool,
}

impl Place {
    /// Where the task that asks is; a new trace where it is in none.
    #[must_use]
    pub fn here() -> Self {
        let context = Span::current().context();
        let known = context.span().span_context().clone();
        if known.is_valid() {
            return Self {
                trace: Trace(u128::from_be_bytes(known.trace_id().to_bytes())),
                span: u64::from_be_bytes(known.span_id().to_bytes()),
                is_sampled: known.is_sampled(),
            };
        }
        Self {
            trace: Trace::current_or_new(),
            span: fastrand::u64(1..),
            is_sampled: false,
        }
    }

    /// Reads a `traceparent`; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = hexadecimal(parts.next()?, 2)?;
        let trace = hexadecimal(parts.next()?, 32).filter(|trace| *trace > 0)?;
        let span = hexadecimal(parts.next()?, 16).filter(|span| *span > 0)?;
        let flags = hexadecimal(parts.next()?, 2)?;
        // a version from the future may say more, this one may not
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        Some(Self {
            trace: Trace(trace),
            span: u64::try_from(span).ok()?,
            is_sampled: flags & 1 == 1,
        })
    }

    fn context(self) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(self.is_sampled);
        let span = SpanId::from_bytes(self.span.to_be_bytes());
        SpanContext::new(self.trace.id(), span, flags, true, TraceState::NONE)
    }

    /// Makes this the parent of a span that has not begun, where it can be one.
    pub(crate) fn go_on_in(self, span: &Span) {
        if self.is_sampled {
            let parent = Context::new().with_remote_span_context(self.context());
            // an error means that spans are not exported
            let _ = span.set_parent(parent);
        }
    }

    /// Makes a span point here.
    pub(crate) fn link_from(self, span: &Span) {
        if self.is_sampled {
            span.add_link(self.context());
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{}-{:016x}-{flags:02x}", self.trace, self.span)
    }
}

/// A number of exactly so many digits; the specification allows no capitals.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let is_one = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if text.len() != digits || !text.bytes().all(is_one) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_place_is_written_as_it_is_read() {
        let place = Place::parse(SAMPLE).unwrap();
        assert_eq!(place.to_string(), SAMPLE);
        assert_eq!(place.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(place.is_sampled);
        let unseen = SAMPLE.replace("-01", "-00");
        assert!(!Place::parse(&unseen).unwrap().is_sampled);
    }

    #[test]
    fn what_is_no_traceparent_is_no_place() {
        let future = SAMPLE.replacen("00-", "01-", 1) + "-more";
        assert!(Place::parse(&future).is_some(), "of a later version");
        for text in [
            "",
            "00",
            &SAMPLE.to_uppercase(),
            &SAMPLE.replacen("00-", "ff-", 1),
            &(SAMPLE.to_owned() + "-more"),
            &SAMPLE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &SAMPLE.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &SAMPLE.replace("00f067aa0ba902b7", "00f067aa0ba902b"),
            &SAMPLE.replace("4bf9", "+bf9"),
        ] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn whoever_is_in_a_trace_is_in_its_place() {
        let trace = Trace::begin();
        let place = trace.scope(async { Place::here() }).await;
        assert_eq!(place.trace, trace);
        assert_eq!(Trace::current(), None);
        assert_ne!(Place::here().trace, trace);
    }
}

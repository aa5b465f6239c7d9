//! What goes on in a trace for as long as somebody takes from it.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::stream::{BoxStream, StreamExt as _};
use tracing::Span;

use super::Trace;

/// A stream whose lines and spans belong to a trace.
pub(crate) struct Traced<T> {
    trace: Trace,
    span: Span,
    inner: BoxStream<'static, T>,
}

impl<T> Traced<T> {
    pub(crate) fn new(trace: Trace, span: Span, inner: BoxStream<'static, T>) -> Self {
        Self { trace, span, inner }
    }
}

impl<T> Stream for Traced<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Self { trace, span, inner } = &mut *self;
        trace.sync_scope(|| span.in_scope(|| inner.poll_next_unpin(cx)))
    }
}

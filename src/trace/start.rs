//! The log of this process, from its first line to the last span.

use std::io::IsTerminal as _;
use std::panic::{self, PanicHookInfo};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use super::export::Exporter;
use super::lines::Lines;
use crate::config::{LogFormat, TraceSettings};

/// The log of this process.
#[must_use = "what is not yet sent is sent by finish"]
pub struct Log {
    exporter: Option<Exporter>,
}

impl Log {
    /// Sends the spans that are left.
    pub async fn finish(self) {
        if let Some(exporter) = self.exporter {
            exporter.finish().await;
        }
    }
}

/// Logs to the standard error what `filter` lets pass, and exports spans where the settings name a collector. Has to
/// be called in the runtime.
///
/// Nothing is taken from the crate `log`, and of other crates only what is at least an info: what they say below holds
/// headers and bound values.
///
/// # Errors
/// The export cannot be set up.
pub fn start(filter: &str, format: LogFormat, settings: &TraceSettings) -> anyhow::Result<Log> {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = Lines::new(format, std::io::stderr)
        .coloured(std::io::stderr().is_terminal())
        .with_filter(filter.and(filter_fn(is_discreet)));
    let exporter = Exporter::open(settings)?;
    let spans = exporter.as_ref().map(|exporter| {
        tracing_opentelemetry::layer()
            .with_tracer(exporter.tracer())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(filter_fn(is_exported))
    });
    let subscriber = tracing_subscriber::registry().with(lines).with(spans);
    // an error means that a log is there already
    let _ = tracing::subscriber::set_global_default(subscriber);
    panic::set_hook(Box::new(log_panic));
    Ok(Log { exporter })
}

fn is_own(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target == "kombo_mirror" || target.starts_with("kombo_mirror::")
}

/// Whether a line cannot hold what is nobody's business.
pub(super) fn is_discreet(metadata: &Metadata<'_>) -> bool {
    is_own(metadata) || *metadata.level() <= Level::INFO
}

/// Spans, and beside them what the log says by default.
fn is_exported(metadata: &Metadata<'_>) -> bool {
    is_own(metadata) && (metadata.is_span() || *metadata.level() <= Level::INFO)
}

/// A panic is one line of the log like others. Words that were put together may hold a value, so only such are shown
/// as stand in the source.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string);
    let words = panic.payload().downcast_ref::<&'static str>();
    tracing::error!(at, words, "a thread panicked");
}

//! The log of this process, from its first line to the last span.

use std::io::IsTerminal as _;
use std::panic::{self, PanicHookInfo};

use opentelemetry_sdk::trace::SdkTracer;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
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
    let lines = Lines::new(format, std::io::stderr).coloured(std::io::stderr().is_terminal());
    let exporter = Exporter::open(settings)?;
    let tracer = exporter.as_ref().map(Exporter::tracer);
    // an error means that a log is there already
    let _ = tracing::subscriber::set_global_default(subscriber(filter, lines, tracer));
    panic::set_hook(Box::new(log_panic));
    Ok(Log { exporter })
}

/// What is wanted by neither the log nor an exporter is switched off where it is called, and costs next to nothing: so
/// every filter says up to which level it lets anything pass.
fn subscriber<W>(
    filter: &str,
    lines: Lines<W>,
    tracer: Option<SdkTracer>,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let discreet = filter_fn(is_discreet).with_max_level_hint(LevelFilter::TRACE);
    let spans = tracer.map(|tracer| {
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(filter_fn(is_exported).with_max_level_hint(LevelFilter::DEBUG))
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter.and(discreet)))
        .with(spans)
}

fn is_own(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target == "kombo_mirror" || target.starts_with("kombo_mirror::")
}

/// Whether a line cannot hold what is nobody's business.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
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

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;
    use crate::graphql;

    fn logging(filter: &str, tracer: Option<SdkTracer>) -> impl Subscriber + Send + Sync {
        let lines = Lines::new(LogFormat::Json, std::io::sink);
        subscriber(filter, lines, tracer)
    }

    // The read path pays for its spans only where somebody wants them.
    #[test]
    fn spans_that_nobody_wants_are_switched_off_where_they_are_called() {
        for (filter, level) in [("info", LevelFilter::INFO), ("warn", LevelFilter::WARN)] {
            let logging = logging(filter, None);
            assert_eq!(logging.max_level_hint(), Some(level));
            tracing::subscriber::with_default(logging, || {
                assert!(graphql::span().is_disabled(), "{filter}");
                assert_eq!(tracing::info_span!("a run").is_disabled(), filter == "warn");
            });
        }
    }

    #[test]
    fn an_exporter_wants_spans_whatever_is_logged() {
        let provider = SdkTracerProvider::builder().build();
        let logging = logging("warn", Some(provider.tracer("test")));
        assert_eq!(logging.max_level_hint(), Some(LevelFilter::DEBUG));
        tracing::subscriber::with_default(logging, || {
            assert!(!graphql::span().is_disabled());
            assert!(tracing::debug_span!(target: "hyper", "elsewhere").is_disabled());
        });
    }
}

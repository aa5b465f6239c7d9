//! How a log line looks: as text for people, as JSON for collectors.
//!
//! Either is one line, whatever is in a value, and ends with what leads to its neighbours: the fields of the spans
//! around it and the id of its trace. Why no ready-made format: none puts a trace's id and the spans' fields where a
//! query finds them.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Trace;
use crate::config::LogFormat;

/// Writes a line for each event.
pub struct Lines<W> {
    format: LogFormat,
    /// Whether a terminal reads along.
    is_coloured: bool,
    writer: W,
}

impl<W> Lines<W> {
    /// Lines of one format into what `writer` makes.
    #[must_use]
    pub fn new(format: LogFormat, writer: W) -> Self {
        Self {
            format,
            is_coloured: false,
            writer,
        }
    }

    /// With colours where the format knows any.
    #[must_use]
    pub fn coloured(self, is_coloured: bool) -> Self {
        Self {
            is_coloured,
            ..self
        }
    }
}

/// Fields in the order in which they were given, the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        self.others.retain(|(known, _)| *known != name);
        self.others.push((name, value));
    }

    /// Adds what is not there.
    fn complete(&mut self, others: &[(&'static str, Value)]) {
        for (name, value) in others {
            if !self.others.iter().any(|(known, _)| known == name) {
                self.others.push((name, value.clone()));
            }
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value.into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        // the nearest first: it knows best
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(around) = span.extensions().get::<Fields>() {
                fields.complete(&around.others);
            }
        }
        // words for the exporter of spans, not for readers
        fields.others.retain(|(name, _)| !name.starts_with("otel."));
        let mut line = match self.format {
            LogFormat::Text => text(event.metadata(), &fields, self.is_coloured),
            LogFormat::Json => json(event.metadata(), fields),
        };
        line.push('\n');
        // nobody is left to be told that the log cannot be written
        let _ = self
            .writer
            .make_writer_for(event.metadata())
            .write_all(line.as_bytes());
    }
}

/// RFC 3339, UTC.
fn now() -> String {
    let mut now = String::new();
    // writing to a string cannot fail
    let _ = SystemTime.format_time(&mut Writer::new(&mut now));
    now
}

fn text(metadata: &Metadata<'_>, fields: &Fields, is_coloured: bool) -> String {
    let (dim, colour, plain) = if is_coloured {
        ("\x1b[2m", colour(*metadata.level()), "\x1b[0m")
    } else {
        ("", "", "")
    };
    let mut line = format!(
        "{dim}{}{plain} {colour}{:>5}{plain} {dim}{}:{plain} ",
        now(),
        metadata.level(),
        metadata.target()
    );
    if fields.message.contains(char::is_control) {
        line.extend(fields.message.escape_debug());
    } else {
        line.push_str(&fields.message);
    }
    for (name, value) in &fields.others {
        // writing to a string cannot fail
        let _ = match value {
            Value::String(text) if is_plain(text) => write!(line, " {dim}{name}={plain}{text}"),
            Value::String(text) => write!(line, " {dim}{name}={plain}{text:?}"),
            other => write!(line, " {dim}{name}={plain}{other}"),
        };
    }
    if let Some(trace) = Trace::current() {
        let _ = write!(line, " {dim}trace_id={trace}{plain}");
    }
    line
}

/// Whether a value can stand without quotes.
fn is_plain(text: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c.is_ascii_punctuation() && c != '"';
    !text.is_empty() && text.chars().all(is_word)
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

fn json(metadata: &Metadata<'_>, fields: Fields) -> String {
    let mut members: Map<String, Value> = fields
        .others
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    // after the fields, which must not pretend to be these
    members.insert("timestamp".to_owned(), now().into());
    members.insert("level".to_owned(), metadata.level().as_str().into());
    members.insert("target".to_owned(), metadata.target().into());
    members.insert("message".to_owned(), fields.message.into());
    if let Some(trace) = Trace::current() {
        members.insert("trace_id".to_owned(), trace.to_string().into());
    }
    Value::Object(members).to_string()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by some work.
    fn logged(format: LogFormat, work: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let lines = Lines::new(format, move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, work);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn in_a_run() {
        let run = tracing::info_span!("sync run", run.id = 7, endpoint = "users", otel.kind = "x");
        let page = run.in_scope(|| tracing::info_span!("page", page = tracing::field::Empty));
        page.record("page", 2);
        page.in_scope(|| tracing::warn!(run.id = 8, code = "A B\nC", "line\nbreak"));
    }

    #[test]
    fn a_line_of_text_is_one_line_with_the_fields_of_its_spans() {
        let trace = Trace::begin();
        let line = logged(LogFormat::Text, || trace.sync_scope(in_a_run));
        let (moment, rest) = line.split_at(27);
        assert!(moment.ends_with('Z'), "{line}");
        let expected = format!(
            "  WARN kombo_mirror::trace::lines::tests: line\\nbreak run.id=8 code=\"A B\\nC\" page=2 endpoint=users trace_id={trace}\n"
        );
        assert_eq!(rest, expected);
    }

    #[test]
    fn a_line_of_json_is_one_flat_object() {
        let trace = Trace::begin();
        let line = logged(LogFormat::Json, || trace.sync_scope(in_a_run));
        assert_eq!(line.lines().count(), 1);
        let mut line: Value = serde_json::from_str(&line).unwrap();
        let moment = line["timestamp"].take();
        assert!(chrono::DateTime::parse_from_rfc3339(moment.as_str().unwrap()).is_ok());
        assert!(moment.as_str().unwrap().ends_with('Z'));
        let expected = serde_json::json!({
            "timestamp": null, "level": "WARN", "target": "kombo_mirror::trace::lines::tests",
            "message": "line\nbreak", "run.id": 8, "code": "A B\nC", "page": 2, "endpoint": "users",
            "trace_id": trace.to_string(),
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn no_field_can_pretend_to_be_what_the_line_says_of_itself() {
        let line = logged(LogFormat::Json, || {
            tracing::info!(level = "ERROR", target = "elsewhere", "said");
        });
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], "kombo_mirror::trace::lines::tests");
    }
}

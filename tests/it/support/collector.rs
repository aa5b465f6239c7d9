//! A collector of spans: OTLP over HTTP, kept in memory.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;

use super::log::told;

/// A span and who sent it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) span: Span,
}

impl Seen {
    /// The text of an attribute.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        text(&self.span.attributes, key)
    }

    /// Whether it stands directly below another.
    pub(crate) fn is_below(&self, other: &Self) -> bool {
        self.span.trace_id == other.span.trace_id && self.span.parent_span_id == other.span.span_id
    }
}

#[derive(Default)]
struct Received {
    spans: Vec<Seen>,
    headers: Vec<HeaderMap>,
}

/// A collector that takes everything.
pub(crate) struct Collector {
    pub(crate) url: String,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port is known");
        let received = Arc::new(Mutex::new(Received::default()));
        let routes = axum::Router::new()
            .route("/v1/traces", post(receive))
            .with_state(received.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self {
            url: format!("http://{address}"),
            received,
        }
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.received.lock().expect("it is free").spans.clone()
    }

    /// The spans of a name so far.
    pub(crate) fn named(&self, name: &str) -> Vec<Seen> {
        let spans = self.spans().into_iter();
        spans.filter(|seen| seen.span.name == name).collect()
    }

    /// The spans of a name directly below another.
    pub(crate) fn below(&self, parent: &Seen, name: &str) -> Vec<Seen> {
        let named = self.named(name).into_iter();
        named.filter(|seen| seen.is_below(parent)).collect()
    }

    /// The headers of every request.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.received.lock().expect("it is free").headers.clone()
    }
}

async fn receive(
    State(received): State<Arc<Mutex<Received>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Vec<u8> {
    assert_eq!(told(&String::from_utf8_lossy(&body)), None, "in a span");
    let request = ExportTraceServiceRequest::decode(body).expect("it is OTLP");
    let mut received = received.lock().expect("it is free");
    received.headers.push(headers);
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.unwrap_or_default();
        let service = text(&resource.attributes, "service.name").unwrap_or_default();
        let spans = of_resource.scope_spans.into_iter();
        let seen = spans.flat_map(|scope| scope.spans).map(|span| Seen {
            service: service.clone(),
            span,
        });
        received.spans.extend(seen);
    }
    Vec::new()
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|one| one.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text.clone()),
        Any::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

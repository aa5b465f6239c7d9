//! Spans sent to a collector by OTLP over HTTP.
//!
//! A thread of its own sends them, from a queue with a bound: a collector that is slow or away costs spans and one
//! warning, never a request. Must never name the collector's address or headers in a line: they may hold secrets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider as _};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SdkTracer, SdkTracerProvider,
};
use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;

use super::Trace;
use crate::config::TraceSettings;

/// A collector that takes longer for a batch does without it.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// What is left at the end has so long to get out.
const LAST_LIMIT: Duration = Duration::from_secs(3);

/// Sends spans until it is finished.
pub(super) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// One that sends to the collector of the settings; `None` where they name none.
    pub(super) fn open(settings: &TraceSettings) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = &settings.endpoint else {
            return Ok(None);
        };
        let headers = settings.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new()?)
            .with_endpoint(format!("{}/v1/traces", endpoint.expose_secret()))
            .with_protocol(Protocol::HttpBinary)
            .with_headers(headers.collect())
            .with_timeout(SEND_LIMIT)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .context("setting up the export of spans")?;
        let resource = Resource::builder()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let share = Sampler::TraceIdRatioBased(settings.share);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(share)))
            .with_id_generator(Ids(RandomIdGenerator::default()))
            .with_resource(resource)
            .build();
        Ok(Some(Self(provider)))
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.0.tracer("kombo-mirror")
    }

    /// Sends what is left, within a limit.
    pub(super) async fn finish(self) {
        let Self(provider) = self;
        let finished =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_LIMIT));
        // who could not be reached was warned of before
        let _ = tokio::time::timeout(LAST_LIMIT, finished).await;
    }
}

/// Traces get the ids that are in the log lines.
#[derive(Debug)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        Trace::current().map_or_else(|| self.0.new_trace_id(), Trace::id)
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// Sends batches on the server's own runtime: the exporter's thread has none.
#[derive(Debug)]
struct Sender {
    http: reqwest::Client,
    runtime: Handle,
    is_away: AtomicBool,
}

impl Sender {
    fn new() -> anyhow::Result<Self> {
        // An error means that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(SEND_LIMIT)
            .user_agent(concat!("kombo-mirror/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("setting up the HTTP client for spans")?;
        Ok(Self {
            http,
            runtime: Handle::current(),
            is_away: AtomicBool::new(false),
        })
    }

    /// Says once that the collector is away, and once that it is back.
    fn note(&self, fault: Option<&str>) {
        let was_away = self.is_away.swap(fault.is_some(), Ordering::Relaxed);
        match fault {
            Some(fault) if !was_away => tracing::warn!(
                fault,
                "the collector takes no spans: they are dropped until it does"
            ),
            None if was_away => tracing::info!("the collector takes spans again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(send(self.http.clone(), request)).await;
        let sent = sent.unwrap_or_else(|_| Err("the process ends".into()));
        match &sent {
            Ok(response) if response.status().is_success() => self.note(None),
            Ok(response) => self.note(Some(&format!("status {}", response.status().as_u16()))),
            Err(error) => self.note(Some(word(error))),
        }
        sent
    }
}

async fn send(
    http: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let response = http.execute(request.try_into()?).await?;
    let status = response.status();
    let body = response.bytes().await?;
    Ok(Response::builder().status(status).body(body)?)
}

fn word(error: &HttpError) -> &'static str {
    match error.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_timeout() => "it does not answer in time",
        Some(error) if error.is_connect() => "it cannot be reached",
        _ => "the connection to it broke",
    }
}

//! All routes in one list, their limits, and how errors become answers.

mod asked;
mod doors;
mod graphql;
mod negotiate;
mod socket;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use futures_util::StreamExt as _;
use secrecy::SecretString;
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::auth::Authenticator;
use crate::db::{self, Fit, Pool};
use crate::graphql::Schema;
use crate::inbox::{Content, Outcome};
use crate::live::Live;
use crate::sync::Engine;
use crate::trace::{self, Place, Trace};
use crate::{console, inbox, metrics, webhook};

pub use socket::Sockets;

/// A request beyond this is given up; GraphQL has a limit of its own with a GraphQL error.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// What every route may use.
#[derive(Clone)]
pub struct App {
    /// The mirror and its engine.
    pub engine: Engine,
    /// Where webhooks are stored, see [`db::intake`].
    pub intake: Pool,
    /// The GraphQL API.
    pub schema: Schema,
    /// What happens, for those who follow it.
    pub live: Live,
    /// The WebSockets that are open.
    pub sockets: Sockets,
    /// Who may ask.
    pub auth: Authenticator,
    /// Secrets that a webhook may be signed with.
    pub webhook_secrets: Arc<Vec<SecretString>>,
}

/// The routes.
pub fn routes(app: App) -> axum::Router {
    // every request takes the state along
    let app = Arc::new(app);
    app.engine.metrics.expect_webhooks(verdicts());
    let probed = probes(app.engine.clone());
    let graphql = graphql_routes(app.clone());
    let asks_for_token = !app.auth.is_off();
    let routes = axum::Router::new()
        .route("/graphql/ws", get(socket::open))
        .route("/webhooks/kombo", post(receive_webhook))
        .route("/metrics", get(show_metrics))
        .with_state(app)
        .merge(console::routes(asks_for_token));
    within_limits(probed.merge(routes)).merge(graphql)
}

/// GraphQL, which has limits of its own and answers in its own form when one is reached.
fn graphql_routes(app: Arc<App>) -> axum::Router {
    let cors = doors::cors(&app.schema.settings().origins);
    let routes = axum::Router::new()
        .route("/graphql", any(graphql::answer))
        .with_state(app);
    match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    }
}

/// The routes of a process that only works.
pub fn worker_routes(engine: Engine) -> axum::Router {
    let metrics = axum::Router::new()
        .route(
            "/metrics",
            get(|State(engine): State<Engine>| async move { metrics_of(&engine, &[]).await }),
        )
        .with_state(engine.clone());
    within_limits(probes(engine).merge(metrics))
}

fn probes(engine: Engine) -> axum::Router {
    axum::Router::new()
        .route(
            "/healthz",
            get(|| async { Json(json!({ "status": "alive" })) }),
        )
        .route("/readyz", get(readiness))
        .with_state(engine)
}

fn within_limits(routes: axum::Router) -> axum::Router {
    routes
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "no such page") })
        .layer(CatchPanicLayer::new())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            REQUEST_LIMIT,
        ))
        .layer(middleware::from_fn(within_trace))
}

async fn within_trace(request: Request, next: Next) -> Response {
    Trace::begin().scope(next.run(request)).await
}

/// Has a request's span point to where its sender is. Nobody outside says which trace is ours.
fn link_to_sender(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let sender = headers.get("traceparent");
    let sender = sender.and_then(|value| Place::parse(value.to_str().ok()?));
    if let Some(sender) = sender {
        sender.link_from(span);
    }
}

/// An error of anything but GraphQL, as JSON. What failed inside is named by the id of its lines in the log.
fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let mut body = json!({ "error": { "code": code, "message": message } });
    if let (true, Some(trace)) = (status.is_server_error(), Trace::current()) {
        body["error"]["requestId"] = trace.to_string().into();
    }
    (status, Json(body)).into_response()
}

async fn readiness(State(engine): State<Engine>) -> Response {
    match db::fit(&engine.pool).await {
        Ok(Fit::Fits) => Json(json!({ "status": "ready" })).into_response(),
        Ok(Fit::LacksMigrations) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "NOT_MIGRATED",
            "the database lacks migrations of this version",
        ),
        Ok(Fit::TooNew(_)) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "SCHEMA_TOO_NEW",
            "the database's schema is of a newer version that does not let this one run beside it",
        ),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "the database does not answer");
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "DATABASE_UNAVAILABLE",
                "the database does not answer",
            )
        }
    }
}

async fn show_metrics(State(app): State<Arc<App>>) -> Response {
    metrics_of(&app.engine, &[("intake", &app.intake)]).await
}

async fn metrics_of(engine: &Engine, beside: &[(&'static str, &Pool)]) -> Response {
    let mut pools = vec![("write", engine.pool.status())];
    pools.extend(beside.iter().map(|(name, pool)| (*name, pool.status())));
    pools.extend(engine.reads.pools());
    let pools = metrics::Pools {
        pools,
        standbys: engine.reads.standbys(),
    };
    let now = (engine.clock)();
    match metrics::render(&engine.metrics, &engine.pool, pools, now).await {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "the metrics could not be written",
        ),
    }
}

/// What a body may have beyond its limit before the connection is cut.
const READ_AND_DROPPED: usize = 32 * 1024 * 1024;

/// Why a body was not taken.
enum Unread {
    /// It has more bytes than allowed.
    TooLarge,
    /// The sender ended it early, or the connection did.
    Broken,
}

/// Takes a body of at most `limit` bytes. The rest of a larger one is read and dropped, up to a bound: a
/// sender that is cut off while it still sends sees a broken connection instead of the answer.
async fn read_body(body: Body, limit: usize) -> Result<Bytes, Unread> {
    let mut taken = Vec::new();
    let mut read = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        read += chunk.len();
        if read <= limit {
            taken.extend_from_slice(&chunk);
        } else if read > limit + READ_AND_DROPPED {
            break;
        }
    }
    if read > limit {
        return Err(Unread::TooLarge);
    }
    Ok(taken.into())
}

// Why a webhook is refused: the code of the answer, and the verdict in the metrics.
const BADLY_SIGNED: &str = "SIGNATURE_INVALID";
const MALFORMED: &str = "MALFORMED";
const TOO_LARGE: &str = "PAYLOAD_TOO_LARGE";
const NOT_STORED: &str = "NOT_STORED";

/// All that can become of a webhook.
fn verdicts() -> impl Iterator<Item = &'static str> {
    let accepted = Outcome::ALL.iter().map(|outcome| outcome.as_str());
    accepted.chain([BADLY_SIGNED, MALFORMED, TOO_LARGE, NOT_STORED])
}

async fn receive_webhook(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let span = tracing::debug_span!(
        "webhook",
        otel.kind = "server",
        otel.status_code = Empty,
        http.response.status_code = Empty
    );
    link_to_sender(&span, &headers);
    let taken = take_webhook(app, headers, body);
    let response = taken.instrument(span.clone()).await;
    note_status(&span, &response);
    response
}

/// Keeps how a request was answered.
fn note_status(span: &Span, response: &Response) {
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

async fn take_webhook(app: Arc<App>, headers: HeaderMap, body: Body) -> Response {
    let body = match read_body(body, webhook::LARGEST_BODY).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => {
            app.engine.metrics.webhook(TOO_LARGE);
            let message = format!("a webhook has at most {} bytes", webhook::LARGEST_BODY);
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE, &message);
        }
        Err(Unread::Broken) => {
            app.engine.metrics.webhook(MALFORMED);
            return refuse(StatusCode::BAD_REQUEST, MALFORMED, "the body broke off");
        }
    };
    let signature = headers
        .get(webhook::SIGNATURE_HEADER)
        .and_then(|value| value.to_str().ok());
    if !webhook::is_signed(&app.webhook_secrets, &body, signature) {
        let refused = app.engine.metrics.webhook(BADLY_SIGNED);
        tracing::warn!(
            refused,
            "a webhook was refused: its signature is missing or wrong"
        );
        let message = "X-Kombo-Signature is missing or wrong";
        return refuse(StatusCode::UNAUTHORIZED, BADLY_SIGNED, message);
    }
    let event = match webhook::read_event(&body) {
        Ok(event) => event,
        Err(malformed) => {
            app.engine.metrics.webhook(MALFORMED);
            tracing::warn!(reason = %malformed, "a signed webhook was refused");
            return refuse(StatusCode::BAD_REQUEST, MALFORMED, &malformed.to_string());
        }
    };
    if let Content::Other {
        fault: Some(fault), ..
    } = event.content
    {
        tracing::warn!(event.id, event.kind, fault, "a signed webhook is unusable");
    }
    // Spawned, so that a sender that hangs up cannot stop a transaction in its middle.
    let metrics = app.engine.metrics.clone();
    let accepting = trace::carried(async move { accept(&app, event).await });
    let accepted = tokio::spawn(accepting).await;
    match accepted {
        Ok(Ok(outcome)) => {
            metrics.webhook(outcome.as_str());
            Json(json!({ "status": "accepted", "outcome": outcome.as_str() })).into_response()
        }
        _ => {
            metrics.webhook(NOT_STORED);
            let message = "the event could not be stored; send it again";
            refuse(StatusCode::SERVICE_UNAVAILABLE, NOT_STORED, message)
        }
    }
}

fn store_span(event: &inbox::Event) -> Span {
    tracing::debug_span!(
        "store event",
        otel.kind = "client",
        db.system.name = "postgresql",
        event.id,
        event.kind
    )
}

async fn accept(app: &App, event: inbox::Event) -> anyhow::Result<Outcome> {
    let stored = async {
        let mut connection = app.intake.get().await?;
        let now = (app.engine.clock)();
        let storing = inbox::accept(&mut connection, &event, now);
        anyhow::Ok(storing.instrument(store_span(&event)).await?)
    };
    let outcome = stored.await.inspect_err(|error| {
        tracing::error!(
            event.id,
            error = format!("{error:#}"),
            "a webhook could not be stored"
        );
    })?;
    tracing::info!(
        event.id,
        event.kind,
        outcome = outcome.as_str(),
        "webhook accepted"
    );
    // nobody has to look for what waited already
    if matches!(outcome, Outcome::QueuedSync | Outcome::IntegrationUpdated) {
        app.engine.doorbell.notify_waiters();
    }
    Ok(outcome)
}

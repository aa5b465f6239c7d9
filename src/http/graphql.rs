//! GraphQL over HTTP: a request's bytes become a GraphQL request, and its answer a response with the right
//! status and media type (GraphQL-over-HTTP specification). It must never look into what is asked, and never
//! answer in another form than GraphQL's, whatever goes wrong.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_graphql::Request;
use async_graphql::parser::types::OperationType;
use async_graphql_axum::GraphQLResponse;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, VARY, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use serde::Serialize;
use tracing::Instrument as _;

use super::negotiate::{Media, check_content};
use super::{App, Unread, asked, doors, link_to_sender, note_status, read_body};
use crate::auth::Viewer;
use crate::config::Limit;
use crate::graphql::{self, Code};
use crate::trace::Trace;

/// Bytes of a body at most where its limit only warns.
const LARGEST_BODY: usize = 16 * 1024 * 1024;

/// An answer that is not yet written down.
struct Answer {
    response: async_graphql::Response,
    /// `None`: what the media type says.
    status: Option<StatusCode>,
    header: Option<(HeaderName, &'static str)>,
}

impl Answer {
    fn refused(status: StatusCode, code: Code, message: &str) -> Box<Self> {
        Box::new(Self {
            response: graphql::refused(code, message),
            status: Some(status),
            header: None,
        })
    }

    fn wrong(message: &str) -> Box<Self> {
        Self::refused(StatusCode::BAD_REQUEST, Code::BadUserInput, message)
    }

    fn with(mut self: Box<Self>, name: HeaderName, value: &'static str) -> Box<Self> {
        self.header = Some((name, value));
        self
    }
}

impl From<async_graphql::Response> for Answer {
    fn from(response: async_graphql::Response) -> Self {
        Self {
            response,
            status: None,
            header: None,
        }
    }
}

/// Answers a request of any method.
pub(super) async fn answer(
    State(app): State<Arc<App>>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let span = graphql::span();
    link_to_sender(&span, &headers);
    // what is wrapped is moved, and it is large
    let answering = Box::pin(answer_asked(&app, method, query, headers, body));
    let answering = answering.instrument(span.clone());
    let response = Trace::begin().scope(answering).await;
    note_status(&span, &response);
    response
}

async fn answer_asked(
    app: &App,
    method: Method,
    query: Option<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let media = Media::negotiate(&headers);
    let answered = async {
        check_door(app, &method, &headers)?;
        if media.is_none() {
            return Err(Answer::refused(
                StatusCode::NOT_ACCEPTABLE,
                Code::BadUserInput,
                "answers are application/graphql-response+json or application/json, and Accept allows neither",
            ));
        }
        let viewer = viewer(app, &headers).await?;
        let request = if method == Method::GET {
            get(app, &query.unwrap_or_default())?
        } else {
            post(app, &headers, body).await?
        };
        execute(app, &method, request, viewer).await
    };
    // a panic is a defect of ours; whoever asked is told so in the form that they understand
    let answered = AssertUnwindSafe(answered).catch_unwind().await;
    let answer = answered.unwrap_or_else(|_| {
        let cause = anyhow::anyhow!("a GraphQL request panicked; the log says where");
        Ok(graphql::failed(&cause).into())
    });
    let answer = answer.unwrap_or_else(|refused| {
        // the schema counts what gets as far as to it
        if let Some(code) = graphql::code_known(&refused.response) {
            app.engine.metrics.graphql_error(code.as_str());
        }
        *refused
    });
    written(answer, media.unwrap_or(Media::Legacy))
}

/// What is wrong before anybody is asked who they are.
fn check_door(app: &App, method: &Method, headers: &HeaderMap) -> Result<(), Box<Answer>> {
    if method != Method::GET && method != Method::POST {
        let message = "use POST, or GET for queries";
        let refused = Answer::refused(StatusCode::METHOD_NOT_ALLOWED, Code::BadUserInput, message);
        return Err(refused.with(ALLOW, "GET, POST"));
    }
    if app.auth.is_off() && !doors::is_local(headers) {
        let message = "with AUTH=off only requests to a loopback name are answered";
        return Err(Answer::refused(
            StatusCode::FORBIDDEN,
            Code::Forbidden,
            message,
        ));
    }
    Ok(())
}

async fn viewer(app: &App, headers: &HeaderMap) -> Result<Viewer, Box<Answer>> {
    let authorization = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    app.auth.viewer(authorization).await.map_err(|refused| {
        let message = refused.to_string();
        Answer::refused(StatusCode::UNAUTHORIZED, Code::Unauthenticated, &message)
            .with(WWW_AUTHENTICATE, refused.challenge())
    })
}

fn get(app: &App, query: &str) -> Result<Request, Box<Answer>> {
    let limit = app.schema.settings().body;
    if query.len() > readable(limit) {
        return Err(too_large(StatusCode::URI_TOO_LONG, "query string", limit));
    }
    warn_if_larger(query.len(), limit);
    asked::by_get(query).map_err(|problem| Answer::wrong(&problem))
}

async fn post(app: &App, headers: &HeaderMap, body: Body) -> Result<Request, Box<Answer>> {
    check_content(headers).map_err(|problem| {
        Answer::refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::BadUserInput,
            problem,
        )
    })?;
    let settings = app.schema.settings();
    let read = read_body(body, readable(settings.body));
    let body: Bytes = match tokio::time::timeout(settings.timeout, read).await {
        Ok(Ok(body)) => body,
        Ok(Err(Unread::TooLarge)) => {
            return Err(too_large(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body",
                settings.body,
            ));
        }
        Ok(Err(Unread::Broken)) => return Err(Answer::wrong("the body broke off")),
        Err(_) => {
            let message = "the body did not come in time (GRAPHQL_TIMEOUT)";
            let status = StatusCode::REQUEST_TIMEOUT;
            return Err(Answer::refused(status, Code::Timeout, message));
        }
    };
    warn_if_larger(body.len(), settings.body);
    asked::by_post(&body).map_err(|problem| Answer::wrong(&problem))
}

pub(super) fn readable(limit: Limit) -> usize {
    if limit.only_warns {
        LARGEST_BODY
    } else {
        limit.most
    }
}

fn too_large(status: StatusCode, what: &str, limit: Limit) -> Box<Answer> {
    let most = readable(limit);
    let message = format!("a {what} has at most {most} bytes (GRAPHQL_MAX_BODY)");
    Answer::refused(status, Code::PayloadTooLarge, &message)
}

fn warn_if_larger(measured: usize, limit: Limit) {
    if measured > limit.most {
        graphql::warn("GRAPHQL_MAX_BODY", measured, limit.most, None);
    }
}

async fn execute(
    app: &App,
    method: &Method,
    mut request: Request,
    viewer: Viewer,
) -> Result<Answer, Box<Answer>> {
    if let Err(refused) = app.schema.admit(&mut request) {
        return Ok((*refused).into());
    }
    if method == Method::GET && changes_something(&mut request) {
        let refused = Answer::refused(
            StatusCode::METHOD_NOT_ALLOWED,
            Code::BadUserInput,
            "only queries are allowed by GET; send mutations by POST",
        );
        return Err(refused.with(ALLOW, "POST"));
    }
    Ok(app.schema.execute_admitted(request, viewer).await.into())
}

/// Whether the operation that would run is no query; one that cannot be found is left to execution.
fn changes_something(request: &mut Request) -> bool {
    let name = request.operation_name.clone();
    let Ok(document) = request.parsed_query() else {
        return false;
    };
    document.operations.iter().any(|(known, operation)| {
        let chosen = name.is_none() || known.map(|known| known.as_str()) == name.as_deref();
        chosen && operation.node.ty != OperationType::Query
    })
}

/// The status of an answer: what was executed is 200 whatever its errors. What was not is 400 or closer to the
/// cause in the newer media type and 200 in the older one, unless the server is the cause.
fn status(response: &async_graphql::Response, media: Media) -> StatusCode {
    if graphql::was_executed(response) || response.errors.is_empty() {
        return StatusCode::OK;
    }
    match (graphql::code_of(response).as_deref(), media) {
        (Some("TIMEOUT"), _) => StatusCode::SERVICE_UNAVAILABLE,
        (Some("INTERNAL"), _) => StatusCode::INTERNAL_SERVER_ERROR,
        (_, Media::Legacy) => StatusCode::OK,
        (Some("FORBIDDEN"), _) => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// An answer to what was not executed.
#[derive(Serialize)]
struct OnlyErrors<'a> {
    errors: &'a [async_graphql::ServerError],
}

fn written(answer: Answer, media: Media) -> Response {
    let Answer {
        response,
        status: given,
        header,
    } = answer;
    let status = given.unwrap_or_else(|| status(&response, media));
    let mut written = if graphql::was_executed(&response) || response.errors.is_empty() {
        match graphql::copied(&response) {
            Some(json) => json.into_response(),
            None => GraphQLResponse::from(response).into_response(),
        }
    } else {
        // an operation that was not executed has no member data, not even null
        let errors = &response.errors;
        Json(OnlyErrors { errors }).into_response()
    };
    *written.status_mut() = status;
    let own = [
        (CONTENT_TYPE, media.content_type()),
        // which answer it is depends on who asks and in which form
        (CACHE_CONTROL, "no-store"),
        (VARY, ACCEPT.as_str()),
    ];
    for (name, value) in own.into_iter().chain(header) {
        let value = HeaderValue::from_static(value);
        written.headers_mut().insert(name, value);
    }
    written
}

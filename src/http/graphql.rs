//! GraphQL over HTTP: a request's bytes become a GraphQL request, and its answer a response with the right
//! status and media type (GraphQL-over-HTTP specification). It must never look into what is asked.

use async_graphql::parser::types::OperationType;
use async_graphql_axum::GraphQLResponse;
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{App, read_body};
use crate::auth::Viewer;

/// A GraphQL request's body beyond this is refused unread.
const LARGEST_QUERY: usize = 1024 * 1024;

pub(super) async fn answer_post(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let viewer = match viewer(&app, &headers).await {
        Ok(viewer) => viewer,
        Err(refused) => return *refused,
    };
    // Only a type that no plain HTML form can send: another site's page cannot make a viewer's browser post.
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if content_type.is_none_or(|text| media_type(text) != "application/json") {
        return graphql_error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "BAD_USER_INPUT",
            "Content-Type must be application/json",
        );
    }
    let Ok(body) = read_body(body, LARGEST_QUERY).await else {
        let message = format!("a request has at most {LARGEST_QUERY} bytes");
        return graphql_error(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", &message);
    };
    match serde_json::from_slice::<async_graphql::Request>(&body) {
        Ok(request) if !request.query.is_empty() => execute(&app, request, viewer, &headers).await,
        _ => graphql_error(
            StatusCode::BAD_REQUEST,
            "BAD_USER_INPUT",
            "the body must be a JSON object with query, and optionally variables and operationName",
        ),
    }
}

pub(super) async fn answer_get(
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let viewer = match viewer(&app, &headers).await {
        Ok(viewer) => viewer,
        Err(refused) => return *refused,
    };
    let query = query.unwrap_or_default();
    let request = async_graphql::http::parse_query_string(&query).ok();
    let Some(mut request) = request.filter(|request| !request.query.is_empty()) else {
        return graphql_error(
            StatusCode::BAD_REQUEST,
            "BAD_USER_INPUT",
            "the query string must have query, and optionally variables (JSON) and operationName",
        );
    };
    // the library knows this member by another name than the specification
    if let Some((_, name)) = url::form_urlencoded::parse(query.as_bytes())
        .find(|(member, value)| member == "operationName" && !value.is_empty())
    {
        request.operation_name = Some(name.into_owned());
    }
    if changes_something(&mut request) {
        let mut refused = graphql_error(
            StatusCode::METHOD_NOT_ALLOWED,
            "BAD_USER_INPUT",
            "only queries are allowed by GET; send mutations by POST",
        );
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return refused;
    }
    execute(&app, request, viewer, &headers).await
}

/// Whether the operation that would run is no query; one that cannot be found is left to execution.
fn changes_something(request: &mut async_graphql::Request) -> bool {
    let name = request.operation_name.clone();
    let Ok(document) = request.parsed_query() else {
        return false;
    };
    document.operations.iter().any(|(known, operation)| {
        let chosen = name.is_none() || known.map(|known| known.as_str()) == name.as_deref();
        chosen && operation.node.ty != OperationType::Query
    })
}

async fn viewer(app: &App, headers: &HeaderMap) -> Result<Viewer, Box<Response>> {
    let authorization = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    app.auth.viewer(authorization).await.map_err(|refused| {
        let message = refused.to_string();
        let mut answer = graphql_error(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", &message);
        let challenge = HeaderValue::from_static(refused.challenge());
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        Box::new(answer)
    })
}

const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

async fn execute(
    app: &App,
    request: async_graphql::Request,
    viewer: Viewer,
    headers: &HeaderMap,
) -> Response {
    let response = app.schema.execute(request, viewer).await;
    let modern = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| {
            accept
                .split(',')
                .any(|one| media_type(one) == GRAPHQL_RESPONSE)
        });
    // By the GraphQL-over-HTTP specification an answer without data is 400 in the newer media type and
    // 200 in the older one, whose clients take other statuses for a broken connection.
    let has_data = response.data != async_graphql::Value::Null || response.errors.is_empty();
    let status = if modern && !has_data {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let content_type = if modern {
        "application/graphql-response+json; charset=utf-8"
    } else {
        "application/json; charset=utf-8"
    };
    let mut answer = GraphQLResponse::from(response).into_response();
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn graphql_error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "errors": [{ "message": message, "extensions": { "code": code } }] });
    (status, Json(body)).into_response()
}

/// A media type without its parameters.
fn media_type(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

//! GraphQL errors: each carries `extensions.code`, and what is internal stays inside.

use async_graphql::{ErrorExtensionValues, PathSegment, Response, ServerError, Value};

use diesel::result::Error as DieselError;

use crate::kombo::Error as KomboError;

/// The closed set of `extensions.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// The viewer may not do this.
    Forbidden,
    /// What the request names does not exist, or not for this viewer.
    NotFound,
    /// The request itself is wrong.
    BadUserInput,
    /// The request asks for too much.
    QueryTooComplex,
    /// It took too long.
    Timeout,
    /// The answer would be older than the request allows.
    StaleData,
    /// Kombo refused or could not be reached.
    Upstream,
    /// Our fault; the request id leads to the log.
    Internal,
}

impl Code {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::Timeout => "TIMEOUT",
            Self::StaleData => "STALE_DATA",
            Self::Upstream => "UPSTREAM_ERROR",
            Self::Internal => "INTERNAL",
        }
    }
}

/// An error with a code; position and path are added by the caller's context.
pub(super) fn error(code: Code, message: impl Into<String>) -> async_graphql::Error {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code.as_str());
    async_graphql::Error {
        message: message.into(),
        source: None,
        extensions: Some(extensions),
    }
}

/// The viewer's token may read, and this is more.
pub(super) fn needs_admin() -> async_graphql::Error {
    error(Code::Forbidden, "this needs a token with the admin scope")
}

/// Kombo's refusal in Kombo's own words, with its code beside ours.
pub(super) fn upstream(cause: &KomboError) -> async_graphql::Error {
    let mut error = error(Code::Upstream, cause.message.as_str());
    if let Some(extensions) = &mut error.extensions {
        extensions.set("komboCode", cause.code.as_str());
        if let Some(url) = &cause.log_url {
            extensions.set("komboLogUrl", url.as_str());
        }
    }
    error
}

/// The refusal that a statement itself made (the database function `refuse`), or else an internal error.
pub(super) fn of_statement(cause: &anyhow::Error) -> async_graphql::Error {
    let refused = match cause.downcast_ref::<DieselError>() {
        Some(DieselError::DatabaseError(_, info)) => refusal(info.message()),
        _ => None,
    };
    refused.unwrap_or_else(|| internal(cause))
}

fn refusal(message: &str) -> Option<async_graphql::Error> {
    [Code::StaleData, Code::QueryTooComplex]
        .into_iter()
        .find_map(|code| {
            let reason = message.strip_prefix(code.as_str())?.strip_prefix(' ')?;
            Some(error(code, reason))
        })
}

/// Logs what happened and tells the client only where to find it.
pub(super) fn internal(cause: &anyhow::Error) -> async_graphql::Error {
    let request_id = format!("{:016x}", fastrand::u64(..));
    tracing::error!(
        request.id = request_id,
        error = format!("{cause:#}"),
        "a GraphQL request failed inside"
    );
    let mut error = error(
        Code::Internal,
        format!("internal error; the server's log has more under request id {request_id}"),
    );
    if let Some(extensions) = &mut error.extensions {
        extensions.set("requestId", request_id);
    }
    error
}

/// A response that is nothing but an error.
pub(super) fn response(code: Code, message: &str) -> Response {
    let error = error(code, message).into_server_error(async_graphql::Pos::default());
    Response::from_errors(vec![ServerError {
        locations: Vec::new(),
        ..error
    }])
}

/// A root member that failed and may not be null takes the whole answer with it (section 6.4.4 of the
/// specification); the library leaves it out instead.
pub(super) fn propagate(response: &mut Response) {
    let Value::Object(members) = &response.data else {
        return;
    };
    let is_left_out = |error: &ServerError| matches!(error.path.first(), Some(PathSegment::Field(name)) if !members.contains_key(name.as_str()));
    if response.errors.iter().any(is_left_out) {
        response.data = Value::Null;
    }
}

/// Gives the errors of parsing and validation, which the library makes without extensions, their code.
pub(super) fn add_codes(response: &mut Response) {
    for error in &mut response.errors {
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            let code = match error.message.as_str() {
                "Query is too complex." | "Query is nested too deep." => Code::QueryTooComplex,
                message if message.starts_with("The recursion depth") => Code::QueryTooComplex,
                _ => Code::BadUserInput,
            };
            extensions.set("code", code.as_str());
        }
    }
}

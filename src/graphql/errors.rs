//! GraphQL errors: each carries `extensions.code`, and what is internal stays inside.

use async_graphql::{ErrorExtensionValues, PathSegment, Pos, Response, ServerError, Value};

use crate::db;
use crate::kombo::Error as KomboError;
use crate::trace::Trace;

/// The closed set of `extensions.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Nobody that we know asks.
    Unauthenticated,
    /// The viewer may not do this.
    Forbidden,
    /// What the request names does not exist, or not for this viewer.
    NotFound,
    /// The request itself is wrong.
    BadUserInput,
    /// The request asks for too much.
    QueryTooComplex,
    /// The request has too many bytes.
    PayloadTooLarge,
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
    /// All there are.
    pub(crate) const ALL: [Self; 10] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::BadUserInput,
        Self::QueryTooComplex,
        Self::PayloadTooLarge,
        Self::Timeout,
        Self::StaleData,
        Self::Upstream,
        Self::Internal,
    ];

    /// The word that clients see.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
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

/// The refusal that a statement itself made by the database function `refuse`: a code, a space and a sentence.
pub(super) fn refused_by_statement(words: &str) -> async_graphql::Error {
    let refused = [Code::StaleData, Code::QueryTooComplex, Code::BadUserInput]
        .into_iter()
        .find_map(|code| {
            let reason = words.strip_prefix(code.as_str())?.strip_prefix(' ')?;
            Some(error(code, reason))
        });
    refused.unwrap_or_else(|| internal(&anyhow::anyhow!("a statement refused: {words}")))
}

/// Logs what happened and tells the client only where to find it.
pub(super) fn internal(cause: &anyhow::Error) -> async_graphql::Error {
    let trace = Trace::current_or_new();
    // where no request is known, the line has the id all the same
    trace.sync_scope(|| {
        tracing::error!(
            error = db::in_words(cause),
            "a GraphQL request failed inside"
        );
    });
    let request_id = trace.to_string();
    let mut error = error(
        Code::Internal,
        format!("internal error; the server's log has more under request id {request_id}"),
    );
    if let Some(extensions) = &mut error.extensions {
        extensions.set("requestId", request_id);
    }
    error
}

/// Why a request is not executed.
#[derive(Debug)]
pub(super) struct Refusal {
    code: Code,
    message: String,
    at: Option<Pos>,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            at: None,
        }
    }

    /// It asks for too much.
    pub(super) fn too_complex(message: impl Into<String>) -> Self {
        Self::new(Code::QueryTooComplex, message)
    }

    /// The same at a place of the document; places count from one.
    pub(super) fn at(self, at: Pos) -> Self {
        Self {
            at: Some(at).filter(|at| at.line > 0),
            ..self
        }
    }

    /// The response that is nothing but this.
    pub(super) fn response(self) -> Response {
        let error = error(self.code, self.message);
        let error = error.into_server_error(self.at.unwrap_or_default());
        Response::from_errors(vec![ServerError {
            locations: self.at.into_iter().collect(),
            ..error
        }])
    }
}

/// What the parser says, without the line of the document that it repeats: that line may be the whole document.
pub(super) fn syntax(error: ServerError) -> Refusal {
    let last = error.message.lines().last().unwrap_or_default();
    let message = format!("syntax error: {}", last.trim_start_matches([' ', '=']));
    let refusal = Refusal::new(Code::BadUserInput, message);
    match error.locations.first() {
        Some(at) => refusal.at(*at),
        None => refusal,
    }
}

/// Errors of one answer at most: a document with thousands of mistakes must not get an answer of megabytes.
const MOST_ERRORS: usize = 50;

/// Cuts the errors of a document that was not executed; what was executed has few.
pub(super) fn shorten(response: &mut Response) {
    if response.data == Value::Null && response.errors.len() > MOST_ERRORS {
        response.errors.truncate(MOST_ERRORS);
        let more = Refusal::new(Code::BadUserInput, "there are more errors than these");
        response.errors.extend(more.response().errors);
    }
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

/// Gives the library's own errors their code. It makes none but for what is wrong with the request: documents that
/// do not parse or validate, variables and arguments of the wrong type. Limits are not its, and what fails inside
/// has its code where it fails.
pub(super) fn add_codes(response: &mut Response) {
    for error in &mut response.errors {
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            extensions.set("code", Code::BadUserInput.as_str());
        }
    }
}

/// Whether the operation was executed: then there is data, or an error that says where in the data it belongs.
pub(crate) fn was_executed(response: &Response) -> bool {
    response.data != Value::Null || response.errors.iter().any(|error| !error.path.is_empty())
}

/// The code of the first error, as the text it is.
pub(crate) fn code_of(response: &Response) -> Option<String> {
    let extensions = response.errors.first()?.extensions.as_ref()?;
    match extensions.get("code")? {
        Value::String(code) => Some(code.clone()),
        _ => None,
    }
}

/// The code of the first error.
pub(crate) fn code_known(response: &Response) -> Option<Code> {
    let code = code_of(response)?;
    Code::ALL.into_iter().find(|known| known.as_str() == code)
}

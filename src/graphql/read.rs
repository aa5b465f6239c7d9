//! Runs a planned statement and has its answer written.
//!
//! A viewer of some integrations is read from behind the second wall ([`wall`](crate::db::wall)): should a query
//! lack its own condition, the database still shows them nothing of others. It must never reach the database by
//! another way than [`Reads`](crate::db::Reads).

use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, ServerResult, Value};
use chrono::{DateTime, Utc};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::binary::Malformed;
use super::errors::{self, Code};
use super::form::Form;
use super::plan::{Query, Walls};
use crate::auth::Viewer;
use crate::db::{Behind, ReadError, Statement};
use crate::sync::Engine;

/// A value under this name is written into the response as it stands (feature `raw_value`).
const RAW: &str = "$serde_json::private::RawValue";

/// The moment that a request is answered as of.
pub(super) fn now(query: &Query<'_>) -> DateTime<Utc> {
    query
        .data_opt::<Engine>()
        .map_or(DateTime::UNIX_EPOCH, |engine| (engine.clock)())
}

/// Runs the statement, on a standby where there is one.
///
/// # Errors
/// TIMEOUT, or the database failed; of that the client learns a request id only.
pub(super) async fn answer(
    query: &Query<'_>,
    statement: Statement,
    form: &Form<'_>,
) -> ServerResult<Value> {
    run(query, statement, form, false).await
}

/// Runs the statement where what was just written is seen: after a mutation, and for what a notification told of.
///
/// # Errors
/// As [`answer`].
pub(super) async fn answer_up_to_date(
    query: &Query<'_>,
    statement: Statement,
    form: &Form<'_>,
) -> ServerResult<Value> {
    run(query, statement, form, true).await
}

async fn run(
    query: &Query<'_>,
    statement: Statement,
    form: &Form<'_>,
    is_news: bool,
) -> ServerResult<Value> {
    let missing = |error: async_graphql::Error| error.into_server_error(query.item.pos);
    let engine = query.data::<Engine>().map_err(missing)?;
    let viewer = query.data::<Viewer>().map_err(missing)?;
    let behind = match &viewer.integrations {
        Some(ids) if Walls::of(query).has_second() => Behind::Wall(ids),
        _ => Behind::NoWall,
    };
    let span = tracing::debug_span!(
        "read",
        otel.kind = "client",
        db.system.name = "postgresql",
        field = query.item.node.name.node.as_str(),
        values = statement.values(),
        bytes = Empty
    );
    let reading = async {
        if is_news {
            engine.reads.answer_up_to_date(&statement, behind).await
        } else {
            engine.reads.answer(&statement, behind).await
        }
    };
    let answer = reading.instrument(span.clone()).await;
    if let Ok(Some(bytes)) = &answer {
        span.record("bytes", bytes.len());
    }
    let written = answer.map_err(refusal).and_then(|answer| {
        let json = json(form, answer.as_deref());
        json.map_err(|malformed| errors::internal(&malformed.into()))
    });
    written
        .map(raw)
        .map_err(|error| query.set_error_path(error.into_server_error(query.item.pos)))
}

fn json(form: &Form<'_>, answer: Option<&[u8]>) -> Result<String, Malformed> {
    // mostly names and quotes take more room than the type and the length in binary
    let mut json = Vec::with_capacity(answer.map_or(0, |answer| answer.len() * 2));
    form.write_record(&mut json, answer)?;
    String::from_utf8(json).map_err(|_| Malformed::Value)
}

/// A value that is written into the response as it stands.
pub(super) fn raw(json: String) -> Value {
    Value::Object(IndexMap::from_iter([(Name::new(RAW), Value::String(json))]))
}

/// The text of a value that [`raw`] made.
pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::Object(mut members) => match members.swap_remove(RAW) {
            Some(Value::String(json)) => Some(json),
            _ => None,
        },
        _ => None,
    }
}

/// The text of a value that [`raw`] made, as it will be written.
pub(super) fn written(value: &Value) -> Option<&str> {
    match value {
        Value::Object(members) if members.len() == 1 => match members.get(RAW) {
            Some(Value::String(json)) => Some(json),
            _ => None,
        },
        _ => None,
    }
}

fn refusal(error: ReadError) -> async_graphql::Error {
    match error {
        ReadError::TooLong => errors::error(
            Code::Timeout,
            "the database took too long for this; ask for less",
        ),
        ReadError::Busy => errors::error(
            Code::Timeout,
            "every connection to the database is in use; try again later",
        ),
        ReadError::Refused(words) => errors::refused_by_statement(&words),
        ReadError::Failed(error) => errors::internal(&error),
    }
}

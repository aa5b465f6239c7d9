//! Runs a planned statement and hands its JSON on as it is.
//!
//! A viewer of some integrations is read from behind the second wall ([`wall`](crate::db::wall)): should a query
//! lack its own condition, the database still shows them nothing of others. It must never reach the database by
//! another way than [`Reads`](crate::db::Reads).

use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, ServerResult, Value};
use chrono::{DateTime, Utc};

use super::errors::{self, Code};
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
pub(super) async fn answer(query: &Query<'_>, statement: Statement) -> ServerResult<Value> {
    run(query, statement, false).await
}

/// Runs the statement where what was just written is seen.
///
/// # Errors
/// As [`answer`].
pub(super) async fn answer_after_writing(
    query: &Query<'_>,
    statement: Statement,
) -> ServerResult<Value> {
    run(query, statement, true).await
}

async fn run(query: &Query<'_>, statement: Statement, wrote: bool) -> ServerResult<Value> {
    let missing = |error: async_graphql::Error| error.into_server_error(query.item.pos);
    let engine = query.data::<Engine>().map_err(missing)?;
    let viewer = query.data::<Viewer>().map_err(missing)?;
    let behind = match &viewer.integrations {
        Some(ids) if Walls::of(query).has_second() => Behind::Wall(ids),
        _ => Behind::NoWall,
    };
    let answer = if wrote {
        let primary = &engine.pool;
        engine.reads.answer_on(primary, &statement, behind).await
    } else {
        engine.reads.answer(&statement, behind).await
    };
    match answer {
        Ok(Some(json)) => {
            let raw = IndexMap::from_iter([(Name::new(RAW), Value::String(json))]);
            Ok(Value::Object(raw))
        }
        Ok(None) => Ok(Value::Null),
        Err(error) => Err(query.set_error_path(refusal(error).into_server_error(query.item.pos))),
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
        ReadError::Failed(error) => errors::of_statement(&error),
    }
}

//! Runs a planned statement and hands its JSON on as it is.

use async_graphql::indexmap::IndexMap;
use async_graphql::{Name, ServerResult, Value};
use chrono::{DateTime, Utc};
use diesel::sql_types::{Nullable, Text};
use diesel_async::RunQueryDsl;

use super::errors;
use super::plan::Query;
use crate::db::{Pool, Statement};
use crate::sync::Engine;

/// A value under this name is written into the response as it stands (feature `raw_value`).
const RAW: &str = "$serde_json::private::RawValue";

/// The moment that a request is answered as of.
pub(super) fn now(query: &Query<'_>) -> DateTime<Utc> {
    query
        .data_opt::<Engine>()
        .map_or(DateTime::UNIX_EPOCH, |engine| (engine.clock)())
}

/// Runs the statement.
///
/// # Errors
/// The database failed; the client learns a request id only.
pub(super) async fn answer(query: &Query<'_>, statement: Statement) -> ServerResult<Value> {
    let pool = match query.data::<Engine>() {
        Ok(engine) => &engine.pool,
        Err(error) => return Err(error.into_server_error(query.item.pos)),
    };
    match fetch(pool, statement).await {
        Ok(Some(json)) => Ok(raw(json)),
        Ok(None) => Ok(Value::Null),
        Err(error) => {
            let error = errors::of_statement(&error).into_server_error(query.item.pos);
            Err(query.set_error_path(error))
        }
    }
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

async fn fetch(pool: &Pool, statement: Statement) -> anyhow::Result<Option<String>> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<Text>)]
        answer: Option<String>,
    }
    let mut connection = pool.get().await?;
    let rows: Vec<Row> = statement.get_results(&mut connection).await?;
    Ok(rows.into_iter().next().and_then(|row| row.answer))
}

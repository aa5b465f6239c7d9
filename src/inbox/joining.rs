//! The short way of a webhook that asks only for what runs that wait will do.
//!
//! Webhooks come in crowds: while a fetch works, each further one finds the run that the first has queued. Such a one is
//! stored by one statement, so that it costs one commit and no row that another needs. It must never do less than the
//! long way would: where anything else is to be done, it does nothing.

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel_async::AsyncPgConnection;

use super::{Content, Event, News, Outcome, inserting, is_lms, requests};
use crate::db::Statement;
use crate::{integrations, queue};

/// Stores an event whose runs all wait already; false: it has to go the long way.
///
/// # Errors
/// Whatever Postgres says; then nothing is stored.
pub(super) async fn join(
    connection: &mut AsyncPgConnection,
    event: &Event,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let Content::News {
        integration_id,
        details,
        news: News::DataChanged(models),
    } = &event.content
    else {
        return Ok(false);
    };
    let mut statement = Statement::fixed();
    let Some(known) = integrations::known(&mut statement, integration_id, details) else {
        return Ok(false);
    };
    if !is_lms(details) {
        return Ok(false);
    }
    let requests = requests(integration_id, models.as_deref(), &event.id);
    let insert = inserting(&mut statement, event, Outcome::Coalesced, "run_ids", now);
    queue::join_with(connection, statement, &requests, &insert, &known, now).await
}

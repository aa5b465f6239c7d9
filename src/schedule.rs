//! Enqueues what nobody announced: first loads, periodic full fetches, catch-up deltas (rule 15).
//!
//! Due times live in Postgres, so any replica may look, and a look that finds nothing new changes nothing.

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::sql_types::Text;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};
use serde_json::json;

use crate::db::Statement;
use crate::models::{self, Mode};
use crate::queue::{self, Request, Trigger};

#[derive(diesel::QueryableByName)]
struct Due {
    #[diesel(sql_type = Text)]
    integration_id: String,
    #[diesel(sql_type = Text)]
    endpoint: String,
    #[diesel(sql_type = Text)]
    trigger: String,
}

/// Any number that no other program is likely to lock: with an integration's own number held while its runs
/// are added, so that of several processes that look at the same moment one adds them. Otherwise a run could
/// begin between another's look and its step, which would add the same again: a first load twice.
const SCHEDULE_LOCK: i32 = 0x6b6f_6d02;

/// Enqueues every fetch that is due and has no open run; returns how many.
///
/// # Errors
/// Whatever Postgres says.
pub async fn tick(connection: &mut AsyncPgConnection, now: DateTime<Utc>) -> QueryResult<usize> {
    let mut integrations: Vec<_> = due(connection, None, now)
        .await?
        .into_iter()
        .map(|due| due.integration_id)
        .collect();
    integrations.dedup();
    let mut enqueued = 0;
    for integration_id in integrations {
        enqueued += connection
            .transaction(async |connection| enqueue_due(connection, &integration_id, now).await)
            .await?;
    }
    Ok(enqueued)
}

async fn enqueue_due(
    connection: &mut AsyncPgConnection,
    integration_id: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    let mut lock = Statement::fixed();
    let integration = lock.text(integration_id);
    lock.push(&format!(
        "SELECT pg_advisory_xact_lock({SCHEDULE_LOCK}, hashtext({integration}))"
    ));
    lock.execute(connection).await?;
    let due = due(connection, Some(integration_id), now).await?;
    let mut enqueued = 0;
    // in the order of a first load: owners before the rows that refer to them
    for endpoint in models::ALL {
        for due in due.iter().filter(|due| due.endpoint == endpoint.name) {
            let (trigger, mode) = match due.trigger.as_str() {
                "INITIAL" => (Trigger::Initial, Mode::Full),
                "SCHEDULE" => (Trigger::Schedule, Mode::Full),
                _ => (Trigger::CatchUp, Mode::Delta),
            };
            let request = Request {
                integration_id,
                endpoint,
                mode,
                trigger,
                reason: json!({ "due": trigger.as_str() }),
                requested_by: None,
            };
            queue::enqueue(connection, &request, now).await?;
            enqueued += 1;
        }
    }
    Ok(enqueued)
}

/// What is due, of one integration or of all.
/// No interval is longer than 13 days: what is due later than in 14 was written under a clock that was ahead.
async fn due(
    connection: &mut AsyncPgConnection,
    only: Option<&str>,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Due>> {
    let mut statement = Statement::fixed();
    let only = statement.nullable_texts(vec![only.map(str::to_owned)]);
    let now = statement.time(Some(now));
    statement.push(&format!(
        "SELECT s.integration_id, s.endpoint, CASE WHEN s.watermark IS NULL THEN 'INITIAL' \
           WHEN s.next_full_fetch_at <= {now} THEN 'SCHEDULE' ELSE 'CATCH_UP' END AS trigger \
         FROM endpoint_states s JOIN integrations i ON i.id = s.integration_id \
         WHERE s.integration_id = COALESCE(({only}::text[])[1], s.integration_id) \
           AND i.deleted_at IS NULL AND NOT i.paused \
           AND (s.retry_at IS NULL OR s.retry_at <= {now} OR s.retry_at > {now} + interval '14 days') \
           AND (s.watermark IS NULL OR s.next_full_fetch_at <= {now} OR s.next_catch_up_at <= {now} \
             OR s.next_catch_up_at > {now} + interval '14 days' OR s.next_full_fetch_at > {now} + interval '14 days') \
           AND NOT EXISTS (SELECT FROM sync_runs r WHERE r.integration_id = s.integration_id \
             AND r.endpoint = s.endpoint AND r.status IN ('QUEUED', 'RUNNING')) \
         ORDER BY s.integration_id"
    ));
    statement.get_results(connection).await
}

//! A wish to fetch, made a run: added, or merged into the one that waits already.
//!
//! The partial unique index allows one waiting run of an endpoint, so whoever adds or changes it holds its row until
//! the commit, and a commit waits for the disk. What need not hold it must not.

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use super::{CHANNEL, Enqueued, REASONS_KEPT, Request, Trigger, lane, notify};
use crate::db::Statement;
use crate::models::Mode;

/// Adds a run, or strengthens the one that is already waiting: FULL absorbs DELTA, the better lane wins, and so
/// does the earlier moment, since a clock that was ahead may have queued it.
/// A run that is already working does not count: it may have passed the change (rule 5). Workers hear of it
/// with the commit.
///
/// Webhooks come in crowds, so one never waits for another's commit where a run that does all it asks for is
/// waiting already.
///
/// # Errors
/// Whatever Postgres says.
pub async fn enqueue(
    connection: &mut AsyncPgConnection,
    request: &Request<'_>,
    now: DateTime<Utc>,
) -> QueryResult<Enqueued> {
    if request.trigger == Trigger::Webhook {
        if let Some(joined) = join_announced(connection, request, now).await? {
            return Ok(joined);
        }
        if let Some(added) = add(connection, request, now).await? {
            return Ok(added);
        }
        // another webhook added one at this moment: its commit was waited for, and those behind us need not
        // wait for ours
        if let Some(joined) = join_announced(connection, request, now).await? {
            return Ok(joined);
        }
    }
    add_or_strengthen(connection, request, now).await
}

/// The waiting run, where webhooks have queued it and it goes at least as far, as soon and as urgently. The reason
/// is added unless the run has enough of them or somebody else is at its row. Nobody need wait for that: a worker
/// who takes the run at this moment begins to fetch after the webhook came in.
async fn join_announced(
    connection: &mut AsyncPgConnection,
    request: &Request<'_>,
    now: DateTime<Utc>,
) -> QueryResult<Option<Enqueued>> {
    let mut statement = Statement::fixed();
    let integration = statement.text(request.integration_id);
    let endpoint = statement.text(request.endpoint.name);
    let mode = statement.text(request.mode.as_str());
    let lane = statement.bigint(lane(request.mode, request.trigger));
    let reasons = statement.text(request.reasons());
    let now = statement.time(Some(now));
    statement.push(&format!(
        "WITH waiting AS (SELECT id FROM sync_runs WHERE integration_id = {integration} AND endpoint = {endpoint} \
           AND status = 'QUEUED' AND mode IN ('FULL', {mode}) AND lane <= {lane} AND available_at <= {now} \
           AND jsonb_path_exists(reasons, '$[*].webhookEvent')), \
         free AS (SELECT r.id FROM sync_runs r WHERE r.id = (SELECT id FROM waiting) AND r.status = 'QUEUED' \
           AND jsonb_array_length(r.reasons) < {REASONS_KEPT} FOR UPDATE SKIP LOCKED), \
         told AS (UPDATE sync_runs r SET reasons = r.reasons || {reasons}::jsonb FROM free WHERE r.id = free.id) \
         SELECT id FROM waiting"
    ));
    let joined: Vec<RunId> = statement.get_results(connection).await?;
    Ok(joined.into_iter().next().map(|run| Enqueued {
        run_id: run.id,
        coalesced: true,
    }))
}

/// Adds a run where none is waiting.
async fn add(
    connection: &mut AsyncPgConnection,
    request: &Request<'_>,
    now: DateTime<Utc>,
) -> QueryResult<Option<Enqueued>> {
    let mut statement = Statement::fixed();
    let insert = request.inserting(&mut statement, now);
    statement.push(&format!(
        "WITH added AS ({insert} ON CONFLICT (integration_id, endpoint) WHERE status = 'QUEUED' DO NOTHING RETURNING id) \
         SELECT id FROM added CROSS JOIN LATERAL pg_notify('{CHANNEL}', '')"
    ));
    let added: Vec<RunId> = statement.get_results(connection).await?;
    Ok(added.into_iter().next().map(|run| Enqueued {
        run_id: run.id,
        coalesced: false,
    }))
}

async fn add_or_strengthen(
    connection: &mut AsyncPgConnection,
    request: &Request<'_>,
    now: DateTime<Utc>,
) -> QueryResult<Enqueued> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = Nullable<Text>)]
        waiting_mode: Option<String>,
    }
    let mut statement = Statement::fixed();
    let integration = statement.text(request.integration_id);
    let endpoint = statement.text(request.endpoint.name);
    let insert = request.inserting(&mut statement, now);
    statement.push(&format!(
        "WITH waiting AS (SELECT mode FROM sync_runs \
           WHERE integration_id = {integration} AND endpoint = {endpoint} AND status = 'QUEUED') \
         {insert} ON CONFLICT (integration_id, endpoint) WHERE status = 'QUEUED' DO UPDATE SET \
           mode = CASE WHEN excluded.mode = 'FULL' THEN 'FULL' ELSE r.mode END, \
           lane = LEAST(r.lane, excluded.lane), available_at = LEAST(r.available_at, excluded.available_at), \
           requested_by = COALESCE(r.requested_by, excluded.requested_by), \
           reasons = CASE WHEN jsonb_array_length(r.reasons) < {REASONS_KEPT} THEN r.reasons || excluded.reasons ELSE r.reasons END \
         RETURNING r.id, (SELECT mode FROM waiting) AS waiting_mode",
    ));
    let row: Row = statement.get_result(connection).await?;
    let coalesced = row
        .waiting_mode
        .is_some_and(|waiting| Mode::from_text(&waiting) >= request.mode);
    if !coalesced {
        notify(connection).await?;
    }
    Ok(Enqueued {
        run_id: row.id,
        coalesced,
    })
}

#[derive(diesel::QueryableByName)]
struct RunId {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl Request<'_> {
    /// As the first reasons of a run.
    fn reasons(&self) -> String {
        Value::Array(vec![self.reason.clone()]).to_string()
    }

    /// `INSERT INTO sync_runs AS r …`, without what follows a conflict.
    fn inserting(&self, statement: &mut Statement, now: DateTime<Utc>) -> String {
        let integration = statement.text(self.integration_id);
        let endpoint = statement.text(self.endpoint.name);
        let mode = statement.text(self.mode.as_str());
        let trigger = statement.text(self.trigger.as_str());
        let lane = statement.bigint(lane(self.mode, self.trigger));
        let requested_by = statement.nullable_texts(vec![self.requested_by.map(str::to_owned)]);
        let reasons = statement.text(self.reasons());
        let now = statement.time(Some(now));
        format!(
            "INSERT INTO sync_runs AS r (integration_id, endpoint, mode, trigger, lane, requested_by, reasons, status, queued_at, available_at) \
             VALUES ({integration}, {endpoint}, {mode}, {trigger}, {lane}, ({requested_by}::text[])[1], {reasons}::jsonb, 'QUEUED', {now}, {now})"
        )
    }
}

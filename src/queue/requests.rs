//! A wish to fetch, made a run: added, or merged into the one that waits already.
//!
//! The partial unique index allows one waiting run of an endpoint, so whoever adds or changes it holds its row until
//! the commit, and a commit waits for the disk. What need not hold it must not.

use chrono::{DateTime, Utc};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use super::orders::sleeping;
use super::{CHANNEL, Enqueued, REASONS_KEPT, Request, Trigger, lane, notify};
use crate::db::Statement;
use crate::models::Mode;
use crate::trace::Place;

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

/// SQL of what webhooks join. `waiting` are the runs that webhooks have queued and that go at least as far, as soon and
/// as urgently as the requests ask, each with the `place` of its request; `told` adds the reason to those that `only`
/// lets it, unless a run has enough reasons or somebody else is at its row. Nobody need wait for that: a worker who
/// takes the run at this moment begins to fetch after the webhook came in.
struct Joining {
    waiting: String,
    told: String,
}

impl Joining {
    /// For requests of one integration with one reason.
    fn new(
        statement: &mut Statement,
        requests: &[Request<'_>],
        only: &str,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let first = requests.first()?;
        let integration = statement.text(first.integration_id);
        let named = |text: fn(&Request<'_>) -> &'static str| {
            requests.iter().map(|one| text(one).to_owned()).collect()
        };
        let endpoints = statement.texts(named(|one| one.endpoint.name));
        let modes = statement.texts(named(|one| one.mode.as_str()));
        let lane = statement.bigint(lane(first.mode, first.trigger));
        let reasons = statement.text(first.reasons());
        let places = statement.texts(vec![Place::here().to_string()]);
        let now = statement.time(Some(now));
        // the planner is not shown how many are asked for: it would plan each webhook anew, which costs more than
        // the webhook
        let waiting = format!(
            "waiting AS MATERIALIZED (SELECT r.id, a.place \
               FROM unnest((SELECT {endpoints}::text[]), (SELECT {modes}::text[])) WITH ORDINALITY AS a(endpoint, mode, place) \
               JOIN sync_runs r ON r.integration_id = {integration} AND r.endpoint = a.endpoint AND r.status = 'QUEUED' \
               WHERE r.mode IN ('FULL', a.mode) AND r.lane <= {lane} AND r.available_at <= {now} \
                 AND (r.trigger = 'WEBHOOK' OR jsonb_path_exists(r.reasons, '$[*].webhookEvent')))"
        );
        let told = format!(
            "free AS (SELECT r.id FROM sync_runs r WHERE r.id IN (SELECT id FROM waiting) AND {only} \
               AND r.status = 'QUEUED' AND jsonb_array_length(r.reasons) < {REASONS_KEPT} FOR UPDATE SKIP LOCKED), \
             told AS (UPDATE sync_runs r SET reasons = r.reasons || {reasons}::jsonb, \
               trace_contexts = r.trace_contexts || {places}::text[] FROM free WHERE r.id = free.id)"
        );
        Some(Self { waiting, told })
    }
}

/// Stores a webhook that asks only for what waiting runs will do: `stored` is SQL of an `INSERT … SELECT` without its
/// condition, to which the ids of those runs are given as `run_ids`. One statement, and one commit, for what comes in
/// crowds. False: it was not stored, since a run has to be added, changed or woken, or `only` does not hold.
///
/// # Errors
/// Whatever Postgres says.
pub async fn join_with(
    connection: &mut AsyncPgConnection,
    mut statement: Statement,
    requests: &[Request<'_>],
    stored: &str,
    only: &str,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        is_stored: bool,
    }
    let is_stored = "EXISTS (SELECT FROM stored)";
    let Some(joining) = Joining::new(&mut statement, requests, is_stored, now) else {
        return Ok(false);
    };
    let integration = statement.text(requests[0].integration_id);
    let moment = statement.time(Some(now));
    let sleeping = sleeping(&integration, &moment);
    let (waiting, told, wanted) = (joining.waiting, joining.told, requests.len());
    statement.push(&format!(
        "WITH {waiting}, joined AS (SELECT array_agg(id ORDER BY place) AS run_ids, count(*) AS runs FROM waiting), \
         stored AS ({stored} FROM joined WHERE runs = {wanted} AND {only} \
           AND NOT EXISTS (SELECT FROM sync_runs WHERE {sleeping}) ON CONFLICT DO NOTHING RETURNING 1), \
         {told} SELECT {is_stored} AS is_stored"
    ));
    Ok(statement.get_result::<Row>(connection).await?.is_stored)
}

/// The run that a webhook joins, if there is one.
async fn join_announced(
    connection: &mut AsyncPgConnection,
    request: &Request<'_>,
    now: DateTime<Utc>,
) -> QueryResult<Option<Enqueued>> {
    let mut statement = Statement::fixed();
    let requests = std::slice::from_ref(request);
    let Some(joining) = Joining::new(&mut statement, requests, "true", now) else {
        return Ok(None);
    };
    statement.push(&format!(
        "WITH {}, {} SELECT id FROM waiting",
        joining.waiting, joining.told
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
        #[diesel(sql_type = Nullable<Bool>)]
        is_sooner: Option<bool>,
    }
    let mut statement = Statement::fixed();
    let integration = statement.text(request.integration_id);
    let endpoint = statement.text(request.endpoint.name);
    let insert = request.inserting(&mut statement, now);
    statement.push(&format!(
        "WITH waiting AS (SELECT mode, available_at FROM sync_runs \
           WHERE integration_id = {integration} AND endpoint = {endpoint} AND status = 'QUEUED') \
         {insert} ON CONFLICT (integration_id, endpoint) WHERE status = 'QUEUED' DO UPDATE SET \
           mode = CASE WHEN excluded.mode = 'FULL' THEN 'FULL' ELSE r.mode END, \
           lane = LEAST(r.lane, excluded.lane), available_at = LEAST(r.available_at, excluded.available_at), \
           requested_by = COALESCE(r.requested_by, excluded.requested_by), \
           reasons = CASE WHEN jsonb_array_length(r.reasons) < {REASONS_KEPT} THEN r.reasons || excluded.reasons ELSE r.reasons END, \
           trace_contexts = CASE WHEN jsonb_array_length(r.reasons) < {REASONS_KEPT} THEN r.trace_contexts || excluded.trace_contexts ELSE r.trace_contexts END \
         RETURNING r.id, (SELECT mode FROM waiting) AS waiting_mode, (SELECT w.available_at > r.available_at FROM waiting w) AS is_sooner",
    ));
    let row: Row = statement.get_result(connection).await?;
    let coalesced = row
        .waiting_mode
        .is_some_and(|waiting| Mode::from_text(&waiting) >= request.mode);
    if !coalesced || row.is_sooner == Some(true) {
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
        let places = statement.texts(vec![Place::here().to_string()]);
        let now = statement.time(Some(now));
        format!(
            "INSERT INTO sync_runs AS r (integration_id, endpoint, mode, trigger, lane, requested_by, reasons, trace_contexts, status, queued_at, available_at) \
             VALUES ({integration}, {endpoint}, {mode}, {trigger}, {lane}, ({requested_by}::text[])[1], {reasons}::jsonb, {places}::text[], 'QUEUED', {now}, {now})"
        )
    }
}

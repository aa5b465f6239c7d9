//! What the tables say: the same in every process.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::{counters, gauges};
use crate::db::{Pool, Statement};
use crate::queue::{self, Depth};

/// What is known of one endpoint of one integration.
#[derive(Debug, diesel::QueryableByName)]
struct EndpointRow {
    #[diesel(sql_type = Text)]
    integration: String,
    #[diesel(sql_type = Text)]
    endpoint: String,
    #[diesel(sql_type = Bool)]
    is_fetched: bool,
    #[diesel(sql_type = Nullable<Double>)]
    lag: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    last_success: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    last_full_fetch: Option<f64>,
    #[diesel(sql_type = BigInt)]
    failures: i64,
    #[diesel(sql_type = BigInt)]
    drift_inserted: i64,
    #[diesel(sql_type = BigInt)]
    drift_updated: i64,
    #[diesel(sql_type = BigInt)]
    drift_removed: i64,
    #[diesel(sql_type = BigInt)]
    missed: i64,
    #[diesel(sql_type = BigInt)]
    held_back: i64,
    #[diesel(sql_type = BigInt)]
    parked: i64,
}

async fn endpoints(
    connection: &mut AsyncPgConnection,
    now: DateTime<Utc>,
) -> diesel::QueryResult<Vec<EndpointRow>> {
    let mut statement = Statement::fixed();
    let now = statement.time(Some(now));
    statement.push(&format!(
        "SELECT s.integration_id AS integration, s.endpoint, s.available AND NOT i.paused AS is_fetched, \
           (CASE WHEN s.watermark > {now} THEN 0 ELSE extract(epoch FROM {now} - s.watermark) END)::float8 AS lag, \
           extract(epoch FROM s.last_success_at)::float8 AS last_success, \
           extract(epoch FROM s.last_full_fetch_at)::float8 AS last_full_fetch, \
           s.consecutive_failures::bigint AS failures, s.drift_inserted, s.drift_updated, s.drift_removed, \
           s.missed_announcements AS missed, s.removals_held_back AS held_back, coalesce(p.parked, 0) AS parked \
         FROM endpoint_states s JOIN integrations i ON i.id = s.integration_id \
         LEFT JOIN (SELECT integration_id, endpoint, count(*) AS parked FROM parked_records GROUP BY 1, 2) p \
           ON p.integration_id = s.integration_id AND p.endpoint = s.endpoint \
         WHERE i.deleted_at IS NULL ORDER BY s.integration_id, s.endpoint"
    ));
    statement.get_results(connection).await
}

/// What is known of one integration.
#[derive(Debug, diesel::QueryableByName)]
struct IntegrationRow {
    #[diesel(sql_type = Text)]
    integration: String,
    #[diesel(sql_type = Nullable<Double>)]
    kombo_sync: Option<f64>,
    #[diesel(sql_type = Bool)]
    is_expired: bool,
    #[diesel(sql_type = BigInt)]
    unknown: i64,
}

async fn integrations(
    connection: &mut AsyncPgConnection,
) -> diesel::QueryResult<Vec<IntegrationRow>> {
    let mut statement = Statement::fixed();
    statement.push(
        "SELECT i.id AS integration, extract(epoch FROM i.last_kombo_sync_at)::float8 AS kombo_sync, \
           i.data_expired_at IS NOT NULL AS is_expired, coalesce(d.unknown, 0) AS unknown \
         FROM integrations i \
         LEFT JOIN (SELECT integration_id, count(*) AS unknown FROM schema_drift GROUP BY 1) d ON d.integration_id = i.id \
         WHERE i.deleted_at IS NULL ORDER BY i.id",
    );
    statement.get_results(connection).await
}

/// The tables at one moment.
#[derive(Debug)]
pub(super) struct Tables {
    endpoints: Vec<EndpointRow>,
    integrations: Vec<IntegrationRow>,
    lanes: Vec<Depth>,
}

impl Tables {
    pub(super) async fn read(pool: &Pool, now: DateTime<Utc>) -> anyhow::Result<Self> {
        let mut connection = pool.get().await?;
        Ok(Self {
            endpoints: endpoints(&mut connection, now).await?,
            integrations: integrations(&mut connection).await?,
            lanes: queue::depth(&mut connection, now).await?,
        })
    }
}

impl Collector for Tables {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        freshness(&mut encoder, &self.endpoints)?;
        faults(&mut encoder, &self.endpoints)?;
        of_kombo(&mut encoder, &self.integrations)?;
        in_queue(&mut encoder, &self.lanes)
    }
}

impl EndpointRow {
    fn labels(&self) -> [(&'static str, &str); 2] {
        let (integration, endpoint) = (&self.integration, &self.endpoint);
        [("integration", integration), ("endpoint", endpoint)]
    }
}

fn freshness(encoder: &mut DescriptorEncoder<'_>, rows: &[EndpointRow]) -> fmt::Result {
    let known = |value: fn(&EndpointRow) -> Option<f64>| {
        let rows = rows.iter();
        rows.filter_map(move |row| Some((row.labels(), value(row)?)))
    };
    let help = "1 where the endpoint is to be fetched; 0 where its integration is paused or Kombo does not have it.";
    let fetched = rows.iter();
    let fetched = fetched.map(|row| (row.labels(), i64::from(row.is_fetched)));
    gauges(encoder, "endpoint_enabled", help, fetched)?;
    let help = "Seconds since the start of the last complete fetch; none before the first.";
    gauges(encoder, "lag_seconds", help, known(|row| row.lag))?;
    let help = "When the last complete fetch ended.";
    let ended = known(|row| row.last_success);
    gauges(encoder, "last_success_timestamp_seconds", help, ended)?;
    let help = "When the last complete full fetch ended.";
    let ended = known(|row| row.last_full_fetch);
    gauges(encoder, "last_full_fetch_timestamp_seconds", help, ended)
}

fn faults(encoder: &mut DescriptorEncoder<'_>, rows: &[EndpointRow]) -> fmt::Result {
    let each = |value: fn(&EndpointRow) -> i64| {
        let rows = rows.iter();
        rows.map(move |row| (row.labels(), value(row)))
    };
    let help = "Failed attempts since the last success.";
    gauges(
        encoder,
        "consecutive_failures",
        help,
        each(|row| row.failures),
    )?;
    let help = "Rows that wait for approveRemovals.";
    gauges(
        encoder,
        "removals_held_back",
        help,
        each(|row| row.held_back),
    )?;
    let help = "Records that could not be read or stored.";
    gauges(encoder, "parked_records", help, each(|row| row.parked))?;
    let help = "Rows that deltas found and no webhook had announced.";
    let missed = rows.iter().map(|row| (row.labels(), natural(row.missed)));
    counters(encoder, "missed_announcements", help, missed)?;
    let help = "Rows that full fetches had to correct, by what was wrong.";
    let drift = rows.iter().flat_map(|row| {
        let [integration, endpoint] = row.labels();
        let kinds = [
            ("inserted", row.drift_inserted),
            ("updated", row.drift_updated),
            ("removed", row.drift_removed),
        ];
        kinds.map(|(kind, number)| ([integration, endpoint, ("kind", kind)], natural(number)))
    });
    counters(encoder, "drift_records", help, drift)
}

fn of_kombo(encoder: &mut DescriptorEncoder<'_>, rows: &[IntegrationRow]) -> fmt::Result {
    let label = |row| [("integration", IntegrationRow::name(row))];
    let help = "When Kombo's own newest sync with the learning system ended, as its webhooks say.";
    let ended = rows.iter();
    let ended = ended.filter_map(|row| Some((label(row), row.kombo_sync?)));
    gauges(encoder, "kombo_sync_timestamp_seconds", help, ended)?;
    let help = "1 where Kombo says that its own data is outdated, else 0.";
    let expired = rows.iter();
    let expired = expired.map(|row| (label(row), i64::from(row.is_expired)));
    gauges(encoder, "kombo_data_expired", help, expired)?;
    let help = "Members and words that Kombo sends and this version does not know.";
    let unknown = rows.iter().map(|row| (label(row), row.unknown));
    gauges(encoder, "unknown_members", help, unknown)
}

impl IntegrationRow {
    fn name(&self) -> &str {
        &self.integration
    }
}

fn in_queue(encoder: &mut DescriptorEncoder<'_>, lanes: &[Depth]) -> fmt::Result {
    let help = "Sync runs that wait or work, by lane and status.";
    let runs = lanes.iter().flat_map(|depth| {
        let statuses = [("QUEUED", depth.queued), ("RUNNING", depth.running)];
        statuses.map(|(status, runs)| ([("lane", depth.lane), ("status", status)], runs))
    });
    gauges(encoder, "queue_runs", help, runs)?;
    let help = "Sync runs that a worker could take now, by lane.";
    let due = lanes.iter();
    let due = due.map(|depth| ([("lane", depth.lane)], depth.due));
    gauges(encoder, "queue_due_runs", help, due)?;
    let help = "For how long the oldest run that a worker could take has waited for one, by lane.";
    let oldest = lanes.iter();
    let oldest = oldest.map(|depth| ([("lane", depth.lane)], depth.oldest_due_seconds));
    gauges(encoder, "queue_oldest_due_seconds", help, oldest)
}

/// A total of the tables never falls below zero.
fn natural(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

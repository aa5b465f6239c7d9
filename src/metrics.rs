//! `GET /metrics` for Prometheus: how fresh the mirror is, what it had to correct, and what waits for somebody.
//!
//! Read from the tables at each scrape, so that every replica tells the same numbers and a restart loses none.
//! Labels are integrations and endpoints; it must never show content of a record.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::db::Statement;

/// The content type of the answer (OpenMetrics 1.0).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// What is known of one endpoint of one integration.
#[derive(diesel::QueryableByName)]
struct EndpointRow {
    #[diesel(sql_type = Text)]
    integration: String,
    #[diesel(sql_type = Text)]
    endpoint: String,
    #[diesel(sql_type = Nullable<Double>)]
    lag: Option<f64>,
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
        "SELECT s.integration_id AS integration, s.endpoint, \
           GREATEST(extract(epoch FROM {now} - s.watermark), 0)::float8 AS lag, \
           s.consecutive_failures::bigint AS failures, s.drift_inserted, s.drift_updated, s.drift_removed, \
           s.missed_announcements AS missed, s.removals_held_back AS held_back, \
           (SELECT count(*) FROM parked_records p WHERE p.integration_id = s.integration_id AND p.endpoint = s.endpoint) AS parked \
         FROM endpoint_states s JOIN integrations i ON i.id = s.integration_id \
         WHERE i.deleted_at IS NULL ORDER BY s.integration_id, s.endpoint"
    ));
    statement.get_results(connection).await
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = Text)]
    label: String,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

async fn numbers(
    connection: &mut AsyncPgConnection,
    sql: &str,
) -> diesel::QueryResult<Vec<Number>> {
    let mut statement = Statement::fixed();
    statement.push(sql);
    statement.get_results(connection).await
}

/// All metrics in the text form that Prometheus reads.
///
/// # Errors
/// The database does not answer.
pub async fn render(
    connection: &mut AsyncPgConnection,
    refused_webhooks: u64,
    now: DateTime<Utc>,
) -> anyhow::Result<String> {
    let mut registry = Registry::with_prefix("kombo_mirror");
    of_endpoints(&mut registry, &endpoints(connection, now).await?);
    let runs = numbers(
        connection,
        "SELECT status AS label, count(*) AS number FROM sync_runs WHERE status IN ('QUEUED', 'RUNNING') GROUP BY status",
    )
    .await?;
    let queue = family(
        &mut registry,
        "open_runs",
        "Sync runs that wait or work, by status",
    );
    for status in ["QUEUED", "RUNNING"] {
        let found = runs.iter().find(|run| run.label == status);
        let labels = vec![("status", status.to_owned())];
        queue
            .get_or_create(&labels)
            .set(found.map_or(0, |run| run.number));
    }
    let unknown = numbers(
        connection,
        "SELECT integration_id AS label, count(*) AS number FROM schema_drift GROUP BY integration_id",
    )
    .await?;
    let drift = family(
        &mut registry,
        "unknown_members",
        "Members and words that Kombo sends and this version does not know",
    );
    for row in unknown {
        let labels = vec![("integration", row.label)];
        drift.get_or_create(&labels).set(row.number);
    }
    let refused: Counter = Counter::default();
    refused.inc_by(refused_webhooks);
    registry.register(
        "webhooks_refused",
        "Webhooks that this process refused for their signature",
        refused,
    );
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn family(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, Gauge> {
    let family = Family::<Labels, Gauge>::default();
    registry.register(name, help, family.clone());
    family
}

fn counters(registry: &mut Registry, name: &str, help: &str) -> Family<Labels, Counter> {
    let family = Family::<Labels, Counter>::default();
    registry.register(name, help, family.clone());
    family
}

fn of_endpoints(registry: &mut Registry, rows: &[EndpointRow]) {
    let lag = Family::<Labels, Seconds>::default();
    registry.register(
        "lag_seconds",
        "Seconds since the start of the last complete fetch",
        lag.clone(),
    );
    let failures = family(
        registry,
        "consecutive_failures",
        "Failed attempts since the last success",
    );
    let held_back = family(
        registry,
        "removals_held_back",
        "Rows that wait for approveRemovals",
    );
    let parked = family(
        registry,
        "parked_records",
        "Records that could not be read or stored",
    );
    let drift = counters(
        registry,
        "drift_records",
        "Rows that full fetches had to correct, by what was wrong",
    );
    let missed = counters(
        registry,
        "missed_announcements",
        "Rows that deltas found and no webhook had announced",
    );
    for row in rows {
        let labels: Labels = vec![
            ("integration", row.integration.clone()),
            ("endpoint", row.endpoint.clone()),
        ];
        if let Some(seconds) = row.lag {
            lag.get_or_create(&labels).set(seconds);
        }
        failures.get_or_create(&labels).set(row.failures);
        held_back.get_or_create(&labels).set(row.held_back);
        parked.get_or_create(&labels).set(row.parked);
        count(&missed, &labels, row.missed);
        for (kind, number) in [
            ("inserted", row.drift_inserted),
            ("updated", row.drift_updated),
            ("removed", row.drift_removed),
        ] {
            let mut labels = labels.clone();
            labels.push(("kind", kind.to_owned()));
            count(&drift, &labels, number);
        }
    }
}

fn count(family: &Family<Labels, Counter>, labels: &Labels, number: i64) {
    family
        .get_or_create(labels)
        .inc_by(u64::try_from(number).unwrap_or(0));
}

//! `GET /metrics` for Prometheus: how fresh the mirror is, what it had to correct, what waits for somebody, and what
//! this process does.
//!
//! What is in tables is read from them at each scrape, so that every process tells the same numbers and a restart
//! loses none; what happens is counted in the process where it happens. A scrape must cost the same however long the
//! history is, and must answer without the database: that is when it is needed. It must never show content of a
//! record, nor let a client choose how many series there are.

mod counted;
mod operations;
mod pools;
mod tables;
mod timing;
mod told;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

pub use counted::{Effects, Metrics};
pub use operations::Operations;
pub use timing::Timing;

use crate::db::Pool;
use pools::Pools;
use tables::Tables;

/// The content type of the answer (OpenMetrics 1.0).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What every name begins with.
const PREFIX: &str = "kombo_mirror";

/// Prometheus waits ten seconds for a scrape, unless it is told otherwise: what this process counts must arrive even
/// where the database does not answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// All metrics in the text form that Prometheus reads; `pools` are as they were before one of them is asked.
///
/// # Errors
/// None that is known: text is written to memory.
pub async fn render(
    metrics: &Metrics,
    pool: &Pool,
    pools: Vec<(&'static str, deadpool::Status)>,
    now: DateTime<Utc>,
) -> Result<String, fmt::Error> {
    let tables = tokio::time::timeout(PATIENCE, Tables::read(pool, now)).await;
    let tables = tables.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")));
    let tables = tables.inspect_err(|error| {
        tracing::warn!(
            error = format!("{error:#}"),
            "the tables could not be read for the metrics"
        );
    });
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Pools(pools)));
    registry.register_collector(Box::new(Up(tables.is_ok())));
    if let Ok(tables) = tables {
        registry.register_collector(Box::new(tables));
    }
    let mut text = String::new();
    metrics.write(&mut text)?;
    encode_registry(&mut text, &registry)?;
    encode_eof(&mut text)?;
    Ok(text)
}

/// Whether the tables could be read: without it their series would only be missing.
#[derive(Debug)]
struct Up(bool);

impl prometheus_client::collector::Collector for Up {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "1 where the database answered this scrape, else 0.";
        encoder
            .encode_descriptor("database_up", help, None, MetricType::Gauge)?
            .encode_gauge(&i64::from(self.0))
    }
}

fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, V)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        family.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}

fn counters<L: EncodeLabelSet, V: EncodeCounterValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, V)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        family
            .encode_family(&labels)?
            .encode_counter::<NoLabelSet, _, f64>(&value, None)?;
    }
    Ok(())
}

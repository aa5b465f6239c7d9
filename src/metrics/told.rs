//! A number that somebody else tells, and that is not there until then.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Nothing was told: no number of requests is less than none.
const UNTOLD: i64 = -1;

/// A gauge that has no value before its first one; clones show the same.
#[derive(Debug, Clone)]
pub(super) struct Told(Arc<AtomicI64>);

impl Default for Told {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNTOLD)))
    }
}

impl Told {
    pub(super) fn set(&self, number: i64) {
        self.0.store(number.max(0), Ordering::Relaxed);
    }

    fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl TypedMetric for Told {
    const TYPE: MetricType = MetricType::Gauge;
}

impl EncodeMetric for Told {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.encode_gauge(&self.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }

    fn is_empty(&self) -> bool {
        self.get() == UNTOLD
    }
}

//! How long something takes, as a histogram.
//!
//! Why not the library's: it takes a lock for each observation. Here one is two additions, so that a request that
//! costs some microseconds can be timed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds of the buckets, in microseconds: from a cached query to the longest time-out.
const BOUNDS_MICROS: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

/// A histogram of seconds; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Timing(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// One for each bound, and the last for what is beyond all of them.
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_nanos: AtomicU64,
}

impl Timing {
    /// Counts one that took so long.
    pub fn observe(&self, took: Duration) {
        let micros = took.as_micros();
        let bucket = BOUNDS_MICROS.partition_point(|bound| u128::from(*bound) < micros);
        self.0.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        let buckets = self.0.buckets.iter();
        buckets.map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

impl TypedMetric for Timing {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Timing {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds of half a minute, and sums that are read as fractions"
        )]
        let seconds = |number: u64, in_a_second: f64| number as f64 / in_a_second;
        let bounds = BOUNDS_MICROS.iter().map(|micros| seconds(*micros, 1e6));
        let buckets: Vec<(f64, u64)> = bounds
            .chain([f64::INFINITY])
            .zip(&self.0.buckets)
            .map(|(bound, bucket)| (bound, bucket.load(Ordering::Relaxed)))
            .collect();
        // of the same look as the buckets, or they would not add up
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = seconds(self.0.sum_nanos.load(Ordering::Relaxed), 1e9);
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn what_takes_as_long_as_a_bound_is_below_it() {
        let timing = Timing::default();
        for took in [
            Duration::ZERO,
            Duration::from_micros(500),
            Duration::from_micros(501),
            Duration::from_secs(3600),
        ] {
            timing.observe(took);
        }
        let mut registry = Registry::default();
        registry.register("t_seconds", "A time", timing.clone());
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "t_seconds_count 4",
            "t_seconds_bucket{le=\"0.0005\"} 2",
            "t_seconds_bucket{le=\"0.001\"} 3",
            "t_seconds_bucket{le=\"30.0\"} 3",
            "t_seconds_bucket{le=\"+Inf\"} 4",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(timing.count(), 4);
    }
}

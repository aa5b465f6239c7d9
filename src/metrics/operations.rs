//! How long GraphQL requests take, by the names of their operations.
//!
//! Clients choose those names, so neither their number nor their length may be theirs: each name is a few thousand
//! bytes here and some twenty series there. What was not executed never makes a name known.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::timing::Timing;

/// Names at most; those that come later are [`OTHER`].
const MOST_NAMES: usize = 100;
/// Bytes of a name at most. Who needs more writes something else than a name into it.
const LONGEST_NAME: usize = 64;

/// Names beyond the bounds, and what was not executed.
const OTHER: &str = "other";
/// Operations without a name.
const ANONYMOUS: &str = "anonymous";

/// The times of all operations; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Operations(Arc<Times>);

#[derive(Debug, Default)]
struct Times {
    named: RwLock<BTreeMap<String, Timing>>,
    anonymous: Timing,
    other: Timing,
}

impl Operations {
    /// Where operations without a name are counted.
    #[must_use]
    pub fn anonymous(&self) -> Timing {
        self.0.anonymous.clone()
    }

    /// Where all others are counted.
    #[must_use]
    pub fn other(&self) -> Timing {
        self.0.other.clone()
    }

    /// Where a name is counted that is known already.
    #[must_use]
    pub fn known(&self, name: &str) -> Option<Timing> {
        let named = self.0.named.read().unwrap_or_else(PoisonError::into_inner);
        named.get(name).cloned()
    }

    /// Where an operation of this name is counted from now on.
    #[must_use]
    pub fn named(&self, name: &str) -> Timing {
        if name.len() > LONGEST_NAME {
            return self.other();
        }
        // one of these names would be a second series with the same labels
        if name == OTHER || name == ANONYMOUS {
            return self.other();
        }
        let mut named = self.0.named.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(timing) = named.get(name) {
            return timing.clone();
        }
        if named.len() >= MOST_NAMES {
            return self.other();
        }
        let timing = Timing::default();
        named.insert(name.to_owned(), timing.clone());
        timing
    }
}

impl TypedMetric for Operations {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Operations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let named = self.0.named.read().unwrap_or_else(PoisonError::into_inner);
        let named = named.iter().map(|(name, timing)| (name.as_str(), timing));
        let unnamed = [(ANONYMOUS, &self.0.anonymous), (OTHER, &self.0.other)];
        for (name, timing) in unnamed.into_iter().chain(named) {
            timing.encode(encoder.encode_family(&[("operation", name)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn clients_cannot_make_more_names_than_there_may_be() {
        let operations = Operations::default();
        for number in 0..1000 {
            let timing = operations.named(&format!("Flood{number}"));
            timing.observe(Duration::ZERO);
        }
        for name in ["x".repeat(65).as_str(), OTHER, ANONYMOUS] {
            operations.named(name).observe(Duration::ZERO);
        }
        assert_eq!(operations.0.named.read().unwrap().len(), MOST_NAMES);
        assert_eq!(operations.other().count(), 903);
        assert_eq!(operations.named("Flood7").count(), 1);
        assert_eq!(operations.anonymous().count(), 0);
        assert!(operations.known("Flood99").is_some());
        assert!(operations.known("Flood100").is_none());
    }
}

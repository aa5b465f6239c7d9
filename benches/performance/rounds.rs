//! Short rounds in turn, reference and ours, so that both see the same machine.
//!
//! A machine that others use too is now fast, now slow; the ratio of two neighbouring rounds is what stays. Of the
//! ratios the median counts, and the smallest and largest are shown as what the machine's noise is.

use crate::machine::Cpu;

/// One round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
    /// Units each second.
    pub(crate) per_second: f64,
    /// Units in all.
    pub(crate) units: u64,
    /// What they cost.
    pub(crate) cpu: Cpu,
    /// Latency that half of the units did not exceed, in milliseconds; of a reference the mean.
    pub(crate) latency: f64,
    /// Latency that 99 % did not exceed, in milliseconds.
    pub(crate) worst: f64,
}

/// Rounds of two sides, as many of each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compared {
    pub(crate) reference: Vec<Round>,
    pub(crate) ours: Vec<Round>,
}

impl Compared {
    /// Runs pairs of rounds.
    pub(crate) fn alternate(
        pairs: usize,
        mut reference: impl FnMut() -> anyhow::Result<Round>,
        mut ours: impl FnMut() -> anyhow::Result<Round>,
    ) -> anyhow::Result<Self> {
        let mut compared = Self::default();
        for _ in 0..pairs {
            compared.reference.push(reference()?);
            compared.ours.push(ours()?);
        }
        Ok(compared)
    }

    /// Ours over the reference.
    pub(crate) fn ratio(&self) -> Ratio {
        let pairs = self.reference.iter().zip(&self.ours);
        let ratios = pairs.map(|(reference, ours)| ours.per_second / reference.per_second);
        Ratio::of(ratios.collect())
    }
}

/// A ratio with what the machine made of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Ratio {
    /// Of several measurements; there is at least one.
    pub(crate) fn of(ratios: Vec<f64>) -> Self {
        Self {
            median: median(ratios.clone()),
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            most: ratios.iter().copied().fold(0.0, f64::max),
        }
    }

    /// Of one measurement.
    pub(crate) fn once(ratio: f64) -> Self {
        Self::of(vec![ratio])
    }
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// The median of something of each round.
pub(crate) fn typical(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    median(rounds.iter().map(of).collect())
}

/// Microseconds of CPU for each unit, over all rounds: ticks are coarse, so they are summed first.
pub(crate) fn cpu_per_unit(rounds: &[Round], of: impl Fn(&Cpu) -> u64) -> f64 {
    let micros: u64 = rounds.iter().map(|round| of(&round.cpu)).sum();
    let units: u64 = rounds.iter().map(|round| round.units).sum();
    micros as f64 / (units as f64).max(1.0)
}

//! Who holds connections to the database, and who waits for one.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::gauges;

/// The pools at one moment, by name.
#[derive(Debug)]
pub struct Pools {
    /// Each with its name.
    pub pools: Vec<(&'static str, deadpool::Status)>,
    /// Standbys that may be read from, and those that are left out.
    pub standbys: (usize, usize),
}

impl Collector for Pools {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let states = self.pools.iter().flat_map(|(pool, status)| {
            let in_use = status.size.saturating_sub(status.available);
            [("idle", status.available), ("in_use", in_use)]
                .map(|(state, count)| ([("pool", *pool), ("state", state)], number(count)))
        });
        let help = "Connections to the database, by pool and by what they do.";
        gauges(&mut encoder, "pool_connections", help, states)?;
        let each = |count: fn(&deadpool::Status) -> usize| {
            let pools = self.pools.iter();
            pools.map(move |(pool, status)| ([("pool", *pool)], number(count(status))))
        };
        let help = "Connections that a pool may have.";
        gauges(
            &mut encoder,
            "pool_connections_limit",
            help,
            each(|status| status.max_size),
        )?;
        let help = "Tasks that wait for a connection.";
        gauges(
            &mut encoder,
            "pool_waiting",
            help,
            each(|status| status.waiting),
        )?;
        let (near, left_out) = self.standbys;
        let standbys = [("near", near), ("left_out", left_out)];
        let standbys = standbys.map(|(state, count)| ([("state", state)], number(count)));
        let help = "Standbys that may be read from, and those that are left out.";
        gauges(&mut encoder, "standbys", help, standbys)
    }
}

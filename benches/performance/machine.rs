//! What the kernel says: CPU time, memory, and which machine this is.
//!
//! CPU time is steadier than the clock on a machine that others use too, so it stands beside every time. It is
//! read from `/proc`, for which reason the benchmarks need Linux. Must never count this process: what it costs to
//! ask is not the server's.

use std::fs;

use anyhow::{Context as _, ensure};

/// The kernel's unit of CPU time; `USER_HZ` is 100 on every architecture that Rust knows.
const MICROS_PER_TICK: u64 = 10_000;

/// CPU time of the processes at hand, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// The program under test.
    pub(crate) program: u64,
    /// Postgres: the postmaster, its backends, and those that have ended.
    pub(crate) postgres: u64,
}

impl Cpu {
    /// Reads both, each with its children.
    pub(crate) fn read(program: u32, postmaster: u32) -> anyhow::Result<Self> {
        let total = |pid| Stat::read(pid).map(|stat| stat.own + stat.of_children);
        let mut cpu = Self {
            program: total(program)?,
            postgres: total(postmaster)?,
        };
        for entry in fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|pid| pid.parse().ok()) else {
                continue;
            };
            // whoever ends between the listing and the look has been added to its parent
            match Stat::read(pid) {
                Ok(stat) if stat.parent == postmaster => cpu.postgres += stat.own,
                Ok(stat) if stat.parent == program => cpu.program += stat.own,
                _ => {}
            }
        }
        Ok(cpu)
    }

    /// What was used since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            program: self.program.saturating_sub(earlier.program),
            postgres: self.postgres.saturating_sub(earlier.postgres),
        }
    }
}

/// What `/proc/PID/stat` says, times in microseconds.
struct Stat {
    parent: u32,
    own: u64,
    /// Of children that have ended and were waited for.
    of_children: u64,
}

impl Stat {
    fn read(pid: u32) -> anyhow::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("no process {pid} in /proc"))?;
        // the name before may contain anything, but it ends with the last bracket
        let (_, fields) = text.rsplit_once(')').context("an odd /proc/PID/stat")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        ensure!(fields.len() > 14, "a short /proc/PID/stat");
        let micros = |from: usize| -> anyhow::Result<u64> {
            let ticks = fields[from].parse::<u64>()? + fields[from + 1].parse::<u64>()?;
            Ok(ticks * MICROS_PER_TICK)
        };
        Ok(Self {
            parent: fields[1].parse()?,
            own: micros(11)?,
            of_children: micros(13)?,
        })
    }
}

/// Memory of a process in bytes: `VmRSS:` now, `VmHWM:` the most that it ever held.
pub(crate) fn memory(pid: u32, which: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix(which))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .with_context(|| format!("no {which} in /proc/PID/status"))?;
    Ok(kilobytes.trim().parse::<u64>()? * 1024)
}

/// One line about this machine.
pub(crate) fn facts() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown CPU", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cores} cores of {model}, load {load} at the start")
}

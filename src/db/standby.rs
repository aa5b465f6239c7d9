//! How closely standbys follow the primary, and which of them may be read from.
//!
//! A standby is measured by what it has, never by the age of what it replayed last: where nothing is written nothing is
//! replayed, and the standby lacks nothing. So the primary is asked how far its log reaches, and the standby how far it
//! has applied it: all that the primary had at that moment, it has. Clocks of other machines play no part.
//!
//! This is about which server is asked, and costs a read nothing. How old an answer is stands in the answer, read in its
//! own statement and thus as old as the server that gave it: no mistake made here can make `freshness` lie.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Statement;
use super::reader::Reader;
use super::reads::{Reads, Standby};
use super::target::Target;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// A server that takes longer to say how it is does not answer.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// The primary is away when it did not answer so often in a row.
const LOOKS_UNTIL_AWAY: u32 = 2;

/// What is known of a standby. Moments are milliseconds since `begun`.
pub(super) struct Standing {
    begun: Instant,
    max_lag: u64,
    /// All that the primary had at this moment, the standby has.
    has_all_until: AtomicU64,
    /// When something was written last that the next reader must see.
    wrote_at: AtomicU64,
    /// The primary is away, and nobody has anything newer.
    is_alone: AtomicBool,
}

impl Standing {
    /// Of a standby that nobody watches: it may always be read from.
    pub(super) fn unwatched(max_lag: Duration) -> Self {
        Self {
            begun: Instant::now(),
            max_lag: u64::try_from(max_lag.as_millis()).unwrap_or(u64::MAX),
            has_all_until: AtomicU64::new(u64::MAX),
            wrote_at: AtomicU64::new(0),
            is_alone: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        // zero is before everything
        u64::try_from(self.begun.elapsed().as_millis()).map_or(u64::MAX, |now| now + 1)
    }

    pub(super) fn wrote(&self) {
        self.wrote_at.store(self.now(), Ordering::Relaxed);
    }

    /// Whether the standby may be read from.
    pub(super) fn is_near(&self) -> bool {
        let has_all_until = self.has_all_until.load(Ordering::Relaxed);
        let has_what_was_written = has_all_until > self.wrote_at.load(Ordering::Relaxed);
        let lag = self.now().saturating_sub(has_all_until);
        (has_what_was_written && lag <= self.max_lag) || self.is_alone.load(Ordering::Relaxed)
    }

    fn set(&self, has_all_until: u64, is_alone: bool) {
        self.has_all_until.store(has_all_until, Ordering::Relaxed);
        self.is_alone.store(is_alone, Ordering::Relaxed);
    }
}

/// What a server says of itself.
struct Position {
    /// How far its log reaches, or how far it has applied the primary's.
    log: u64,
    /// Since when the server runs, which tells it from every other one.
    up_since: u64,
    is_standby: bool,
}

const ASK: &str = "SELECT convert_to(concat_ws(' ', \
     (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::bigint, \
     (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, pg_is_in_recovery()::int), 'UTF8') AS position";

impl Position {
    fn read(answer: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(answer)?;
        let numbers: Vec<u64> = text
            .split(' ')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .context("it does not say how far it is")?;
        let [log, up_since, is_standby] = numbers[..] else {
            anyhow::bail!("it does not say how far it is");
        };
        Ok(Self {
            log,
            up_since,
            is_standby: is_standby == 1,
        })
    }
}

/// A connection of its own to a server, so that it can be asked while its pool is exhausted.
struct Asked {
    target: Target,
    reader: Option<Reader>,
}

impl Asked {
    fn new(target: Target) -> Self {
        Self {
            target,
            reader: None,
        }
    }

    async fn position(&mut self) -> anyhow::Result<Position> {
        // taken, so that one that did not answer in time is not asked again
        let reader = self.reader.take();
        let asking = async {
            let mut reader = match reader {
                Some(reader) => reader,
                None => Box::pin(Reader::connect(self.target.clone())).await?,
            };
            let mut ask = Statement::fixed();
            ask.push(ASK);
            let answer = reader
                .answer(&ask.wire()?)
                .await?
                .context("it says nothing")?;
            anyhow::Ok((reader, Position::read(&answer)?))
        };
        let asked = tokio::time::timeout(LOOK_LIMIT, asking).await;
        let (reader, position) = asked.context("it does not answer")??;
        self.reader = Some(reader);
        Ok(position)
    }
}

/// A standby that is watched.
struct Watched<'r> {
    standby: &'r Standby,
    asked: Asked,
    /// Where the primary's log ended, at moments that the standby has not reached yet.
    ends: VecDeque<(u64, u64)>,
    has_all_until: u64,
    was_near: Option<bool>,
}

impl Reads {
    /// Watches the standbys until `stop`. From this call on none is read from before it is known to be near.
    ///
    /// # Errors
    /// None; the type is that of a part of the server.
    pub fn keep_watch(
        self,
        stop: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = anyhow::Result<()>> + Send {
        for standby in self.standbys.iter() {
            standby.standing.set(0, false);
        }
        async move {
            tokio::select! {
                () = self.watch_standbys() => {}
                () = stop => {}
            }
            Ok(())
        }
    }

    async fn watch_standbys(&self) {
        if self.standbys.is_empty() {
            return std::future::pending().await;
        }
        let mut primary = Asked::new(self.primary.target.clone());
        let mut watched: Vec<Watched<'_>> = self.standbys.iter().map(Watched::new).collect();
        let mut failures = 0;
        let mut up_since = 0;
        loop {
            let asked_at: Vec<u64> = watched
                .iter()
                .map(|one| one.standby.standing.now())
                .collect();
            let end = match primary.position().await {
                Ok(position) if position.is_standby => None,
                position => position.ok(),
            };
            failures = if end.is_some() { 0 } else { failures + 1 };
            if let Some(end) = &end
                && end.up_since != up_since
            {
                // another primary: what it has need not be what the last one had
                up_since = end.up_since;
                watched.iter_mut().for_each(|one| one.ends.clear());
            }
            let looks = watched.iter_mut().zip(asked_at);
            let looks = looks.map(|(one, at)| one.look(end.as_ref(), at, failures));
            futures_util::future::join_all(looks).await;
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl<'r> Watched<'r> {
    fn new(standby: &'r Standby) -> Self {
        Self {
            standby,
            asked: Asked::new(standby.source.target.clone()),
            ends: VecDeque::new(),
            has_all_until: 0,
            was_near: None,
        }
    }

    /// Looks where the standby is; `primary` was asked before, not before `asked_at`.
    async fn look(&mut self, primary: Option<&Position>, asked_at: u64, failures: u32) {
        let standing = &self.standby.standing;
        let position = match self.asked.position().await {
            Ok(position) => {
                if let Some(primary) = primary {
                    self.ends.push_back((asked_at, primary.log));
                    self.note(&position, primary);
                }
                standing.set(self.has_all_until, failures >= LOOKS_UNTIL_AWAY);
                Ok(())
            }
            Err(error) => {
                standing.set(0, false);
                Err(error)
            }
        };
        let is_near = standing.is_near();
        match (&position, self.was_near == Some(is_near)) {
            (_, true) => {}
            (Err(error), _) => tracing::warn!(
                error = format!("{error:#}"),
                "a standby is left out: it does not answer"
            ),
            (Ok(()), _) if is_near => tracing::info!("a standby is read from"),
            (Ok(()), _) => tracing::warn!("a standby is left out: it is too far behind"),
        }
        self.was_near = Some(is_near);
    }

    fn note(&mut self, position: &Position, primary: &Position) {
        // what follows nobody is the primary itself, or was promoted beside one that still lives
        if !position.is_standby && position.up_since != primary.up_since {
            self.has_all_until = 0;
            return;
        }
        while let Some((at, end)) = self.ends.front().copied()
            && end <= position.log
        {
            self.has_all_until = at;
            self.ends.pop_front();
        }
        // it catches up with all of them or is too far behind anyway
        let oldest = self
            .standby
            .standing
            .now()
            .saturating_sub(self.standby.standing.max_lag);
        while self.ends.len() > 1 && self.ends.front().is_some_and(|(at, _)| *at < oldest) {
            self.ends.pop_front();
        }
    }
}

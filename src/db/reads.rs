//! The door through which GraphQL reads: a pool of its own, which can write nothing and gives up in time.
//!
//! Why its own pool: readers must not take the connections of the sync, and they may be served by standbys
//! ([`standby`](super::standby)). How one server is asked is in [`source`](super::source). It must never run a statement
//! for a viewer of some integrations outside the second wall ([`wall`]).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use deadpool::Status;
use diesel::pg::Pg;
use secrecy::SecretString;

use super::source::{Source, readers};
use super::standby::Standing;
use super::{POOL_WAIT, Statement, wall};

/// Where GraphQL reads.
#[derive(Clone)]
pub struct Reads {
    /// Where what was just written is seen.
    pub(super) primary: Source,
    pub(super) standbys: Arc<[Standby]>,
    /// The standby that is asked next, of those that may be.
    turn: Arc<AtomicUsize>,
    watcher: Arc<RwLock<Option<Watcher>>>,
}

/// A server that follows the primary, and how closely.
pub(super) struct Standby {
    pub(super) source: Source,
    pub(super) standing: Standing,
}

/// Is told of every statement, with its bound values, before it is sent.
pub type Watcher = Box<dyn Fn(&str) + Send + Sync>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The statement took longer than it may.
    #[error("the statement took too long")]
    TooLong,
    /// No connection came free in time.
    #[error("every connection is in use")]
    Busy,
    /// The statement itself refused to answer: a code, a space and a sentence.
    #[error("{0}")]
    Refused(String),
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// Who may see what of a statement's rows.
#[derive(Clone, Copy)]
pub enum Behind<'a> {
    /// All that is there.
    NoWall,
    /// The rows of these integrations.
    Wall(&'a [String]),
}

impl Reads {
    /// Opens a pool of at most `size` connections, whose statements may take `statement_timeout`. Nothing is
    /// connected yet: the first use does.
    ///
    /// # Errors
    /// An unusable URL.
    pub fn open(
        url: &SecretString,
        size: usize,
        statement_timeout: Duration,
    ) -> anyhow::Result<Self> {
        Self::open_impatient(url, size, statement_timeout, POOL_WAIT)
    }

    /// The same, but whoever finds every connection in use is told so after `wait`.
    ///
    /// # Errors
    /// As [`Reads::open`].
    pub fn open_impatient(
        url: &SecretString,
        size: usize,
        statement_timeout: Duration,
        wait: Duration,
    ) -> anyhow::Result<Self> {
        let target = readers(url, statement_timeout)?;
        Ok(Self {
            primary: Source::open(target, size, wait)?,
            standbys: Arc::new([]),
            turn: Arc::default(),
            watcher: Arc::default(),
        })
    }

    /// The same with standbys, one for each host of `url`: they are read from, and the primary where none may be.
    /// Until somebody watches them ([`Reads::keep_watch`]) they always may.
    ///
    /// # Errors
    /// As [`Reads::open`].
    pub fn with_standbys(
        self,
        url: &SecretString,
        size: usize,
        statement_timeout: Duration,
        max_lag: Duration,
    ) -> anyhow::Result<Self> {
        let hosts = readers(url, statement_timeout)?.each().into_iter();
        let open = |target| {
            anyhow::Ok(Standby {
                source: Source::open(target, size, POOL_WAIT)?,
                standing: Standing::unwatched(max_lag),
            })
        };
        Ok(Self {
            standbys: hosts.map(open).collect::<Result<_, _>>()?,
            ..self
        })
    }

    /// Something was written that whoever asks this process next must see: standbys are left out until they have it.
    pub fn wrote(&self) {
        for standby in self.standbys.iter() {
            standby.standing.wrote();
        }
    }

    /// The connections as they are now, by name: the pool of the primary, those of the standbys together, and what quick
    /// statements share anywhere.
    #[must_use]
    pub fn pools(&self) -> Vec<(&'static str, Status)> {
        let standbys = self.standbys.iter().map(|standby| &standby.source);
        let shared = std::iter::once(&self.primary).chain(standbys.clone());
        let shared = shared.map(|source| source.shared_status()).reduce(sum);
        let standbys = standbys.map(|source| source.pool_status()).reduce(sum);
        let pools = [
            ("read", Some(self.primary.pool_status())),
            ("read_shared", shared),
            ("read_standby", standbys),
        ];
        let pools = pools.into_iter();
        pools
            .filter_map(|(name, status)| Some((name, status?)))
            .collect()
    }

    /// How many standbys may be read from now, and how many are left out.
    #[must_use]
    pub fn standbys(&self) -> (usize, usize) {
        let near = self.standbys.iter();
        let near = near.filter(|standby| standby.standing.is_near()).count();
        (near, self.standbys.len() - near)
    }

    /// Has every statement told from now on, to this watcher alone.
    pub fn watch(&self, watcher: Watcher) {
        *self.watcher.write().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
    }

    fn tell(&self, statement: &Statement) {
        let watcher = self.watcher.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = &*watcher {
            watcher(&diesel::debug_query::<Pg, _>(statement).to_string());
        }
    }

    /// Runs a planned statement and returns the only value of its only row, which is binary (`bytea`).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn answer(
        &self,
        statement: &Statement,
        behind: Behind<'_>,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(standby) = self.standby() else {
            return self.ask(&self.primary, statement, behind).await;
        };
        match self.ask(&standby.source, statement, behind).await {
            // too old, perhaps: the primary has nothing older
            Err(ReadError::Refused(_)) => {}
            // it is away, or must go on applying what it receives and ends reads that are in its way
            Err(ReadError::Failed(error)) => {
                tracing::debug!(
                    error = format!("{error:#}"),
                    "a standby could not answer: the primary is asked"
                );
            }
            answer => return answer,
        }
        self.ask(&self.primary, statement, behind).await
    }

    /// The next standby that may be read from.
    fn standby(&self) -> Option<&Standby> {
        if self.standbys.is_empty() {
            return None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.standbys.len();
        let (before, from) = self.standbys.split_at(turn);
        let mut in_turn = from.iter().chain(before);
        in_turn.find(|standby| standby.standing.is_near())
    }

    /// The same where what was just written is seen.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn answer_up_to_date(
        &self,
        statement: &Statement,
        behind: Behind<'_>,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        self.ask(&self.primary, statement, behind).await
    }

    async fn ask(
        &self,
        source: &Source,
        statement: &Statement,
        behind: Behind<'_>,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        if let Behind::Wall(integrations) = behind {
            self.tell(&wall::raised_for(integrations));
        }
        self.tell(statement);
        let wire = statement.wire()?;
        match behind {
            Behind::NoWall => source.answer(&wire).await,
            Behind::Wall(integrations) => source.answer_behind(&wire, integrations).await,
        }
    }
}

fn sum(all: Status, one: Status) -> Status {
    Status {
        max_size: all.max_size + one.max_size,
        size: all.size + one.size,
        available: all.available + one.available,
        waiting: all.waiting + one.waiting,
    }
}

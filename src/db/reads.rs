//! The door through which GraphQL reads: a pool of its own, which can write nothing and gives up in time.
//!
//! Why its own pool: readers must not take the connections of the sync, and they may be served by standbys
//! ([`standby`](super::standby)). Why a guard around each connection: a client that goes away leaves its statement
//! behind, and whoever borrowed the connection next would wait for it. It must never run a statement for a viewer of
//! some integrations outside the second wall ([`wall`]).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::anyhow;
use deadpool::Status;
use deadpool::managed::{
    self, Metrics, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType,
};
use diesel::pg::Pg;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::error::SqlState;

use super::reader::Reader;
use super::shared::{Shared, Text};
use super::standby::Standing;
use super::statement::Wire;
use super::target::Target;
use super::{POOL_WAIT, Statement, wall};

/// What the database function `refuse` raises.
const REFUSED: &str = "KM001";

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

/// A server that is read from.
#[derive(Clone)]
pub(super) struct Source {
    pool: Pool,
    shared: Arc<Shared>,
    pub(super) target: Target,
}

/// A server that follows the primary, and how closely.
pub(super) struct Standby {
    pub(super) source: Source,
    pub(super) standing: Standing,
}

/// Is told of every statement, with its bound values, before it is sent.
pub type Watcher = Box<dyn Fn(&str) + Send + Sync>;

type Pool = managed::Pool<Readers>;

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
        let shared = shared.map(|source| source.shared.status()).reduce(sum);
        let standbys = standbys.map(|source| source.pool.status()).reduce(sum);
        let pools = [
            ("read", Some(self.primary.pool.status())),
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

fn reason(error: anyhow::Error) -> ReadError {
    let said = error.downcast_ref::<tokio_postgres::Error>();
    match said.and_then(tokio_postgres::Error::as_db_error) {
        Some(said) if *said.code() == SqlState::QUERY_CANCELED => ReadError::TooLong,
        Some(said) if said.code().code() == REFUSED => {
            ReadError::Refused(said.message().to_owned())
        }
        _ => ReadError::Failed(error),
    }
}

/// Opens connections of readers.
struct Readers(Target);

impl managed::Manager for Readers {
    type Type = Reader;
    type Error = anyhow::Error;

    async fn create(&self) -> anyhow::Result<Reader> {
        // connecting is rare, and large: whoever only borrows need not have room for it
        Box::pin(Reader::connect(self.0.clone())).await
    }

    async fn recycle(&self, reader: &mut Reader, _: &Metrics) -> RecycleResult<anyhow::Error> {
        if reader.is_closed().await {
            return Err(RecycleError::message("the database ended it"));
        }
        Ok(())
    }
}

fn readers(url: &SecretString, statement_timeout: Duration) -> anyhow::Result<Target> {
    // a text that comes again and again keeps its plan, unless one made for its values is better by far; the planner
    // decides
    let options = format!(
        "-c jit=off -c plan_cache_mode=auto -c statement_timeout={}ms",
        statement_timeout.as_millis()
    );
    Ok(Target::parse(url.expose_secret())?.told(&options))
}

impl Source {
    fn open(target: Target, size: usize, wait: Duration) -> anyhow::Result<Self> {
        let pool = Pool::builder(Readers(target.clone()))
            .max_size(size)
            .wait_timeout(Some(wait))
            .create_timeout(Some(POOL_WAIT))
            // the connection that was used last has the statements of now prepared
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build()?;
        Ok(Self {
            pool,
            shared: Arc::new(Shared::new(target.clone(), size)),
            target,
        })
    }

    async fn answer(&self, wire: &Wire<'_>) -> Result<Option<Vec<u8>>, ReadError> {
        let text = Text::of(wire);
        if let Some(place) = self.shared.place(text) {
            match place
                .answer(wire)
                .await
                .map(|answer| answer.map_err(reason))
            {
                // the connection may have ended under somebody else's statement
                Some(Err(ReadError::Failed(error))) => {
                    let error = format!("{error:#}");
                    tracing::debug!(error, "asked again on a connection of its own");
                }
                Some(answer) => return answer,
                None => {}
            }
        }
        let mut lent = Lent::from(&self.pool).await?;
        let reader = lent.reader()?;
        let answer = reader.answer(wire).await;
        if let Ok(Some(bytes)) = &answer
            && reader.knows(wire)
            && self.shared.wonders(text)
        {
            match reader.cost(wire).await {
                Ok(cost) => self.shared.learn(text, cost, bytes.len()),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::debug!(error, "the planner was not understood");
                }
            }
        }
        lent.give_back();
        answer.map_err(reason)
    }

    async fn answer_behind(
        &self,
        wire: &Wire<'_>,
        integrations: &[String],
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let mut lent = Lent::from(&self.pool).await?;
        let answer = lent.reader()?.answer_behind(wire, integrations).await;
        lent.give_back();
        answer.map_err(reason)
    }
}

/// A borrowed connection that is closed, and not lent again, where its borrower goes away in the midst of a
/// statement. The database sees that and gives the statement up.
struct Lent(Option<managed::Object<Readers>>);

impl Lent {
    async fn from(pool: &Pool) -> Result<Self, ReadError> {
        match pool.get().await {
            Ok(reader) => Ok(Self(Some(reader))),
            Err(PoolError::Timeout(TimeoutType::Wait)) => Err(ReadError::Busy),
            Err(PoolError::Backend(error)) => Err(ReadError::Failed(error)),
            Err(error) => Err(ReadError::Failed(anyhow!(error.to_string()))),
        }
    }

    fn reader(&mut self) -> Result<&mut Reader, ReadError> {
        let lent = self.0.as_deref_mut();
        lent.ok_or_else(|| ReadError::Failed(anyhow!("the connection was given back")))
    }

    fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(reader) = self.0.take() {
            drop(managed::Object::take(reader));
        }
    }
}

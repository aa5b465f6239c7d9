//! The door through which GraphQL reads: a pool of its own, which can write nothing and gives up in time.
//!
//! Why its own pool: readers must not take the connections of the sync, and they may be served by a standby. Why a
//! guard around each connection: a client that goes away leaves its statement behind, and whoever borrowed the
//! connection next would wait for it. It must never run a statement for a viewer of some integrations outside the
//! second wall ([`wall`]).

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
use super::{POOL_WAIT, Statement, tls, wall};

/// What the database function `refuse` raises.
const REFUSED: &str = "KM001";

/// Where GraphQL reads.
#[derive(Clone)]
pub struct Reads {
    pool: Pool,
    /// Where what was just written is seen; another server where readers read from a standby.
    primary: Pool,
    watcher: Arc<RwLock<Option<Watcher>>>,
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
        let pool = pool(url, size, statement_timeout, wait)?;
        Ok(Self {
            primary: pool.clone(),
            pool,
            watcher: Arc::default(),
        })
    }

    /// The door to a standby, where what was just written may not be there yet: that is read where `self` reads.
    #[must_use]
    pub fn but_from(self, standby: Self) -> Self {
        Self {
            pool: standby.pool,
            ..self
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn check(&self) -> Result<(), ReadError> {
        Lent::from(&self.pool).await.map(Lent::give_back)
    }

    /// The pools as they are now, by name: one where nobody reads from a standby.
    #[must_use]
    pub fn pools(&self) -> Vec<(&'static str, Status)> {
        let mut pools = vec![("read", self.pool.status())];
        if !std::ptr::eq(self.pool.manager(), self.primary.manager()) {
            pools.push(("read_primary", self.primary.status()));
        }
        pools
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
        match self.ask(&self.pool, statement, behind).await {
            // a standby that must go on applying what it receives ends reads that are in its way
            Err(ReadError::Failed(error))
                if code(&error) == Some(&SqlState::T_R_SERIALIZATION_FAILURE) =>
            {
                self.ask(&self.pool, statement, behind).await
            }
            answer => answer,
        }
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
        pool: &Pool,
        statement: &Statement,
        behind: Behind<'_>,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        if let Behind::Wall(integrations) = behind {
            self.tell(&wall::raised_for(integrations));
        }
        self.tell(statement);
        let mut lent = Lent::from(pool).await?;
        let reader = lent.reader()?;
        let answer = match behind {
            Behind::NoWall => reader.answer(statement).await,
            Behind::Wall(integrations) => reader.answer_behind(statement, integrations).await,
        };
        lent.give_back();
        answer.map_err(reason)
    }
}

fn code(error: &anyhow::Error) -> Option<&SqlState> {
    error.downcast_ref::<tokio_postgres::Error>()?.code()
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
struct Readers(tls::Target);

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

fn pool(
    url: &SecretString,
    size: usize,
    statement_timeout: Duration,
    wait: Duration,
) -> anyhow::Result<Pool> {
    // what the URL says must not win: these sessions write nothing, whatever else they are told. A text that comes
    // again and again keeps its plan, unless one made for its values is better by far; the planner decides.
    let options = format!(
        "-c default_transaction_read_only=on -c jit=off -c plan_cache_mode=auto -c statement_timeout={}ms",
        statement_timeout.as_millis()
    );
    let target = tls::Target::parse(url.expose_secret())?.told(&options);
    Ok(Pool::builder(Readers(target))
        .max_size(size)
        .wait_timeout(Some(wait))
        .create_timeout(Some(POOL_WAIT))
        // the connection that was used last has the statements of now prepared
        .queue_mode(QueueMode::Lifo)
        .runtime(deadpool::Runtime::Tokio1)
        .build()?)
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

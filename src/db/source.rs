//! One server that is read from: a pool, and the connections that quick statements share ([`shared`](super::shared)).
//!
//! Why a guard around each connection of the pool: a client that goes away leaves its statement behind, and whoever
//! borrowed the connection next would wait for it. It must never decide who may see what.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use deadpool::Status;
use deadpool::managed::{
    self, Metrics, PoolError, QueueMode, RecycleError, RecycleResult, TimeoutType,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::error::SqlState;

use super::POOL_WAIT;
use super::reader::Reader;
use super::reads::ReadError;
use super::shared::{Shared, Text};
use super::statement::Wire;
use super::target::Target;

/// What the database function `refuse` raises.
const REFUSED: &str = "KM001";

/// A server that is read from.
#[derive(Clone)]
pub(super) struct Source {
    pool: Pool,
    shared: Arc<Shared>,
    pub(super) target: Target,
}

type Pool = managed::Pool<Readers>;

/// What came of a statement.
pub(super) type Answer = Result<Option<Vec<u8>>, ReadError>;

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

/// Where readers of a URL connect, and what their sessions are told.
pub(super) fn readers(url: &SecretString, statement_timeout: Duration) -> anyhow::Result<Target> {
    // a text that comes again and again keeps its plan, unless one made for its values is better by far; the planner
    // decides
    let options = format!(
        "-c jit=off -c plan_cache_mode=auto -c statement_timeout={}ms",
        statement_timeout.as_millis()
    );
    Ok(Target::parse(url.expose_secret())?.told(&options))
}

impl Source {
    pub(super) fn open(target: Target, size: usize, wait: Duration) -> anyhow::Result<Self> {
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

    /// The connections of the pool as they are now.
    pub(super) fn pool_status(&self) -> Status {
        self.pool.status()
    }

    /// The shared connections as they are now.
    pub(super) fn shared_status(&self) -> Status {
        self.shared.status()
    }

    /// The only value of the statement's only row.
    pub(super) async fn answer(&self, wire: &Wire<'_>) -> Answer {
        let text = Text::of(wire);
        match self.answer_shared(text, wire).await {
            Some(answer) => answer,
            None => self.answer_alone(text, wire).await,
        }
    }

    /// The same behind the second wall.
    pub(super) async fn answer_behind(&self, wire: &Wire<'_>, integrations: &[String]) -> Answer {
        let mut lent = Lent::from(&self.pool).await?;
        let answer = lent.reader()?.answer_behind(wire, integrations).await;
        lent.give_back();
        answer.map_err(reason)
    }

    /// Over a connection that others use too; `None`: the statement has no seat there, or did not come to an end.
    async fn answer_shared(&self, text: Text, wire: &Wire<'_>) -> Option<Answer> {
        let answer = self.shared.seat(text)?.answer(wire).await?;
        match answer.map_err(reason) {
            // the connection may have ended under somebody else's statement
            Err(ReadError::Failed(error)) => {
                let error = format!("{error:#}");
                tracing::debug!(error, "asked again on a connection of its own");
                None
            }
            answer => Some(answer),
        }
    }

    async fn answer_alone(&self, text: Text, wire: &Wire<'_>) -> Answer {
        let mut lent = Lent::from(&self.pool).await?;
        let reader = lent.reader()?;
        let answer = reader.answer(wire).await;
        if let Ok(Some(bytes)) = &answer {
            self.learn(reader, text, wire, bytes.len()).await;
        }
        lent.give_back();
        answer.map_err(reason)
    }

    /// Asks the planner about a text that has come before, where nobody knows yet.
    async fn learn(&self, reader: &mut Reader, text: Text, wire: &Wire<'_>, bytes: usize) {
        if !(reader.knows(wire) && self.shared.wonders(text)) {
            return;
        }
        match reader.cost(wire).await {
            Ok(cost) => self.shared.learn(text, cost, bytes),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::debug!(error, "the planner was not understood");
            }
        }
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

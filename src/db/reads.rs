//! The door through which GraphQL reads: a pool of its own, which can write nothing and gives up in time.
//!
//! Why its own pool: readers must not take the connections of the sync, and they may be served by a standby. Why a
//! guard around each connection: a client that goes away leaves its statement behind, and whoever borrowed the
//! connection next would wait for it. It must never run a statement for a viewer of some integrations outside the
//! second wall ([`wall`]).

use std::time::{Duration, Instant};

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Nullable, Text};
use diesel_async::pooled_connection::deadpool::PoolError;
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Connection, Pool, Statement, pool_of, tls, wall};

/// Where GraphQL reads.
#[derive(Clone)]
pub struct Reads {
    /// Connections for reading only, perhaps to a standby.
    pub pool: Pool,
    /// A statement that takes longer is given up by the database.
    pub statement_timeout: Duration,
    /// What was just written may not be there yet: it is another server than the one that is written to.
    pub may_lag: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The statement took longer than it may.
    #[error("the statement took too long")]
    TooLong,
    /// No connection came free in time.
    #[error("every connection is in use")]
    Busy,
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

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Text>)]
    answer: Option<String>,
}

impl Reads {
    /// Opens a pool of at most `size` connections. Nothing is connected yet: the first use does.
    ///
    /// # Errors
    /// An unusable URL.
    pub fn open(
        url: &SecretString,
        size: usize,
        statement_timeout: Duration,
        may_lag: bool,
    ) -> anyhow::Result<Self> {
        // what the URL says must not win: these sessions write nothing, whatever else they are told
        let options = format!(
            "-c default_transaction_read_only=on -c jit=off -c statement_timeout={}ms",
            statement_timeout.as_millis()
        );
        let target = tls::Target::parse(url.expose_secret())?.told(&options);
        Ok(Self {
            pool: pool_of(target, size, tls::connect_to_read)?,
            statement_timeout,
            may_lag,
        })
    }

    /// Runs a planned statement, whose only value is named `answer`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn answer(
        &self,
        statement: &Statement,
        behind: Behind<'_>,
    ) -> Result<Option<String>, ReadError> {
        let answer = self.ask(&self.pool, statement, behind, false).await;
        match answer {
            // a standby that must go on applying what it receives ends reads that are in its way
            Err(ReadError::Failed(error))
                if error
                    .downcast_ref::<DieselError>()
                    .is_some_and(super::is_serialization_failure) =>
            {
                self.ask(&self.pool, statement, behind, false).await
            }
            answer => answer,
        }
    }

    /// The same where what was just written is seen: on the primary, if this is another server.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn answer_up_to_date(
        &self,
        primary: &Pool,
        statement: &Statement,
        behind: Behind<'_>,
    ) -> Result<Option<String>, ReadError> {
        if self.may_lag {
            self.ask(primary, statement, behind, true).await
        } else {
            self.answer(statement, behind).await
        }
    }

    async fn ask(
        &self,
        pool: &Pool,
        statement: &Statement,
        behind: Behind<'_>,
        limits: bool,
    ) -> Result<Option<String>, ReadError> {
        let mut lent = Lent::from(pool).await?;
        let begun = Instant::now();
        let rows = match behind {
            Behind::NoWall if !limits => statement.get_results(lent.connection()?).await,
            _ => {
                let limit = limits.then_some(self.statement_timeout);
                in_transaction(lent.connection()?, statement, behind, limit).await
            }
        };
        lent.give_back();
        let rows: Vec<Row> = rows.map_err(|error| self.reason(error, begun.elapsed()))?;
        Ok(rows.into_iter().next().and_then(|row| row.answer))
    }

    /// diesel tells no SQLSTATE of a statement that was given up (57014), and the server's text is in the server's
    /// language; but nothing else ends a statement so late.
    fn reason(&self, error: DieselError, after: Duration) -> ReadError {
        match &error {
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, _)
                if after >= self.statement_timeout =>
            {
                ReadError::TooLong
            }
            _ => ReadError::Failed(error.into()),
        }
    }
}

async fn in_transaction(
    connection: &mut AsyncPgConnection,
    statement: &Statement,
    behind: Behind<'_>,
    limit: Option<Duration>,
) -> diesel::QueryResult<Vec<Row>> {
    let mut transaction = connection.build_transaction().read_only();
    transaction
        .run(async |connection| {
            if let Some(limit) = limit {
                let limit = format!("SET LOCAL statement_timeout = {}", limit.as_millis());
                diesel::sql_query(limit).execute(connection).await?;
            }
            if let Behind::Wall(integrations) = behind {
                wall::go_behind(connection, integrations).await?;
            }
            statement.get_results(connection).await
        })
        .await
}

/// A borrowed connection that is closed, and not lent again, where its borrower goes away in the midst of a
/// statement. The database sees that and gives the statement up.
struct Lent(Option<Connection>);

impl Lent {
    async fn from(pool: &Pool) -> Result<Self, ReadError> {
        match pool.get().await {
            Ok(connection) => Ok(Self(Some(connection))),
            Err(PoolError::Timeout(deadpool::managed::TimeoutType::Wait)) => Err(ReadError::Busy),
            Err(error) => Err(ReadError::Failed(error.into())),
        }
    }

    fn connection(&mut self) -> Result<&mut AsyncPgConnection, ReadError> {
        let lent = self.0.as_deref_mut();
        lent.ok_or_else(|| ReadError::Failed(anyhow::anyhow!("the connection was given back")))
    }

    fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Connection::take(connection));
        }
    }
}

//! The door to Postgres: pools, TLS, embedded migrations.
//!
//! Why diesel-async: no libpq is needed to build or run. It must never hold a statement about a table:
//! SQL lives beside the table it serves (`queue/`, `inbox/`, `integrations/`, `models/`, `graphql/`).

mod fit;
mod listen;
mod prepared;
mod reader;
mod reads;
mod shared;
mod source;
mod standby;
mod statement;
mod target;
mod tls;
pub mod wall;

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::deadpool::{Object, Pool as Deadpool};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::FutureExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::error::DbError;

pub use fit::{Fit, fit};
pub use listen::{Heard, Listener};
pub use reads::{Behind, ReadError, Reads, Watcher};
pub use statement::Statement;

/// The migrations of this version, in the binary.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// How long a request waits for a free connection before it is told that the database is busy.
const POOL_WAIT: Duration = Duration::from_secs(10);

/// Any number that no other program is likely to lock: held around migrations, so that of several
/// replicas that start at once one migrates and the others wait.
const MIGRATION_LOCK: i64 = 0x6b6f_6d62_6f01;

/// Connections to one database.
pub type Pool = Deadpool<AsyncPgConnection>;
/// A connection borrowed from a [`Pool`].
pub type Connection = Object<AsyncPgConnection>;

/// Opens a pool of at most `size` connections. Nothing is connected yet: the first use does.
///
/// # Errors
/// An unusable URL: a wrong scheme, an unknown `sslmode`, a root certificate that cannot be read.
pub fn pool(url: &SecretString, size: usize) -> anyhow::Result<Pool> {
    open(target::Target::parse(url.expose_secret())?, size)
}

/// Opens a pool for what stores webhooks. They look up a few rows by their keys and are many, so that planning each anew
/// would cost several times the work; and they must not wait while fetches hold every other connection.
///
/// # Errors
/// As [`pool`].
pub fn intake(url: &SecretString, size: usize) -> anyhow::Result<Pool> {
    let target = target::Target::parse(url.expose_secret())?;
    open(target.told("-c plan_cache_mode=auto"), size)
}

fn open(target: target::Target, size: usize) -> anyhow::Result<Pool> {
    let mut config = ManagerConfig::<AsyncPgConnection>::default();
    config.custom_setup = Box::new(move |_| target::connect(target.clone()).boxed());
    // `Verified` would ask `SELECT 1` at every checkout; a broken connection shows itself on use.
    config.recycling_method = RecyclingMethod::Fast;
    let manager = AsyncDieselConnectionManager::new_with_config("", config);
    Ok(Deadpool::builder(manager)
        .max_size(size)
        .wait_timeout(Some(POOL_WAIT))
        .create_timeout(Some(POOL_WAIT))
        .runtime(deadpool::Runtime::Tokio1)
        .build()?)
}

/// Applies the pending migrations, sees to the readers' role ([`wall`]), and returns how many migrations there were.
///
/// # Errors
/// The database cannot be reached, its schema is of a newer version that leaves this one behind, or a migration fails
/// (it is rolled back).
pub async fn migrate(pool: &Pool) -> anyhow::Result<usize> {
    let mut connection = pool.get().await.context("connecting to the database")?;
    connection
        .batch_execute(&format!("SELECT pg_advisory_lock({MIGRATION_LOCK})"))
        .await?;
    let (applied, mut connection) = migrate_alone(connection).await?;
    connection
        .batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})"))
        .await?;
    applied
}

/// Migrates while nobody else does; the connection comes back however it went.
async fn migrate_alone(
    mut connection: Connection,
) -> anyhow::Result<(anyhow::Result<usize>, Connection)> {
    match fit::fit_of(&mut connection).await.map(|fit| fit.refusal()) {
        Ok(None) => {}
        Ok(Some(refusal)) => return Ok((Err(anyhow!(refusal)), connection)),
        Err(error) => return Ok((Err(error), connection)),
    }
    // The harness blocks its thread while it waits for the database.
    let (applied, mut connection) = tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(connection);
        let applied = harness
            .run_pending_migrations(MIGRATIONS)
            .map(|versions| versions.len())
            .map_err(|error| anyhow!("migrating the database: {error}"));
        (applied, harness.into_inner())
    })
    .await?;
    if applied.is_ok()
        && let Err(error) = wall::raise(&mut connection).await
    {
        // whoever relies on the role asks for it before
        tracing::warn!(%error, "the readers' role could not be seen to");
    }
    Ok((applied, connection))
}

/// Reverts every migration: used by the test that each one can be undone.
///
/// # Errors
/// The database cannot be reached, or a `down.sql` fails.
pub async fn revert_all(pool: &Pool) -> anyhow::Result<usize> {
    let connection = pool.get().await?;
    tokio::task::spawn_blocking(move || {
        AsyncMigrationHarness::new(connection)
            .revert_all_migrations(MIGRATIONS)
            .map(|versions| versions.len())
            .map_err(|error| anyhow!("reverting migrations: {error}"))
    })
    .await?
}

/// An error with all that led to it, for the log. What Postgres adds as detail is left out: it quotes rows.
#[must_use]
pub fn in_words(error: &anyhow::Error) -> String {
    let words = error
        .chain()
        .map(|cause| match cause.downcast_ref::<DbError>() {
            Some(said) => format!("{} {}", said.code().code(), said.message()),
            None => cause.to_string(),
        });
    words.collect::<Vec<_>>().join(": ")
}

/// Whether the same transaction may succeed when it is tried again: two writers met (SQLSTATE 40001, 40P01).
#[must_use]
pub fn is_serialization_failure(error: &DieselError) -> bool {
    // diesel has a kind for 40001 but none for 40P01, whose server message text is its only trace.
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) => {
            info.message() == "deadlock detected"
        }
        _ => false,
    }
}

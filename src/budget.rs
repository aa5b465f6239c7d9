//! The rate budget that all processes with one API key share, in Postgres (rule 13).
//!
//! Every request to Kombo takes from it with one short statement on an unlogged row, and every answer
//! corrects it. The rules are those of [`kombo::budget`](crate::kombo::budget), said in SQL; one test
//! plays the same story to both. This room must never keep a request waiting for Postgres, nor stop
//! fetching because Postgres does not answer: then each process goes by what itself was told. It must never
//! hold an API key, only a digest.

use std::time::Duration;

use anyhow::anyhow;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Bool, Timestamptz};
use diesel_async::RunQueryDsl as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::config::KomboSettings;
use crate::db::{Pool, Statement};
use crate::kombo::budget::{
    Budget, LONGEST_WINDOW, Lane, Left, LocalBudget, OLDER_WINDOW, RESET_RESOLUTION, Told,
    UNTOLD_WINDOW, wait_for,
};

/// The table as diesel sees it; a test holds it equal to the migrated database.
#[expect(missing_docs, reason = "the migration says what the columns are")]
pub mod schema {
    diesel::table! {
        /// What is left of Kombo's rate limit.
        rate_budgets (key_digest) {
            key_digest -> Text,
            request_limit -> BigInt,
            remaining -> BigInt,
            window_ends_at -> Timestamptz,
            told -> Bool,
        }
    }
}

/// A database that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The budget of one API key over all processes on one database.
pub struct SharedBudget {
    pool: Pool,
    key_digest: String,
    local: LocalBudget,
}

impl SharedBudget {
    /// The budget of the key of these settings.
    #[must_use]
    pub fn new(pool: Pool, kombo: &KomboSettings) -> Self {
        let mut digest = Sha256::new();
        digest.update(kombo.api_url.as_bytes());
        digest.update([0]);
        digest.update(kombo.api_key.expose_secret().as_bytes());
        let key_digest = digest
            .finalize()
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self {
            pool,
            key_digest,
            local: LocalBudget::default(),
        }
    }

    async fn take_shared(&self, lane: Lane, now: DateTime<Utc>) -> anyhow::Result<Duration> {
        #[derive(diesel::QueryableByName)]
        struct Spent {
            #[diesel(sql_type = Timestamptz)]
            window_ends_at: DateTime<Utc>,
            #[diesel(sql_type = Bool)]
            told: bool,
        }
        let statement = self.taking(lane, now);
        let mut connection = self.pool.get().await?;
        let spent: Vec<Spent> = statement.get_results(&mut connection).await?;
        let spent = spent.into_iter().next();
        Ok(spent.map_or(Duration::ZERO, |spent| {
            wait_for(spent.window_ends_at, spent.told, now)
        }))
    }

    /// Takes where something is left, and yields the window where nothing is. One statement: of two
    /// processes that want the last request, the second waits for the first one's row and looks again.
    fn taking(&self, lane: Lane, now: DateTime<Utc>) -> Statement {
        let mut statement = Statement::fixed();
        let key = statement.text(&self.key_digest);
        let halves = statement.bigint(lane.halves_left());
        let untold_end = statement.time(Some(now + UNTOLD_WINDOW));
        let now = statement.time(Some(now));
        let left =
            format!("CASE WHEN window_ends_at <= {now} THEN request_limit ELSE remaining END");
        let reserve = "LEAST(GREATEST(request_limit / 10, 1), request_limit - 1)";
        statement.push(&format!(
            "WITH taken AS (UPDATE rate_budgets SET remaining = {left} - 1, told = told AND window_ends_at > {now}, \
               window_ends_at = CASE WHEN window_ends_at <= {now} THEN {untold_end} ELSE window_ends_at END \
             WHERE key_digest = {key} AND NOT (window_ends_at <= {now} AND request_limit = 0) \
               AND {left} > ({reserve} * {halves} + 1) / 2 RETURNING key_digest) \
             SELECT window_ends_at, told FROM rate_budgets \
             WHERE key_digest = {key} AND NOT (window_ends_at <= {now} AND request_limit = 0) \
               AND NOT EXISTS (SELECT FROM taken)"
        ));
        statement
    }

    async fn learn_shared(&self, told: Told, now: DateTime<Utc>) -> anyhow::Result<()> {
        let statement = match told {
            Told::Refused { wait } => self.learning_of_a_refusal(wait, now),
            Told::Left(left) => self.learning_of_what_is_left(left, now),
        };
        let mut connection = self.pool.get().await?;
        statement.execute(&mut connection).await?;
        Ok(())
    }

    fn learning_of_a_refusal(&self, wait: Duration, now: DateTime<Utc>) -> Statement {
        let mut statement = Statement::fixed();
        let key = statement.text(&self.key_digest);
        let ends = statement.time(Some(now + wait.min(LONGEST_WINDOW)));
        statement.push(&format!(
            "INSERT INTO rate_budgets (key_digest, request_limit, remaining, window_ends_at, told) \
             VALUES ({key}, 0, 0, {ends}, true) ON CONFLICT (key_digest) DO UPDATE SET \
               remaining = 0, window_ends_at = excluded.window_ends_at, told = true"
        ));
        statement
    }

    fn learning_of_what_is_left(&self, left: Left, now: DateTime<Utc>) -> Statement {
        let reset = left.reset.min(LONGEST_WINDOW);
        let mut statement = Statement::fixed();
        let key = statement.text(&self.key_digest);
        let named = statement.boolean(left.limit.is_some());
        let limit = statement.bigint(left.limit.unwrap_or(left.remaining));
        let remaining = statement.bigint(left.remaining);
        // a slow answer's window ends between these two
        let earliest = statement.time(Some(left.asked_at + reset));
        let latest = statement.time(Some(now + reset));
        let newer_than = statement.time(Some(left.asked_at + reset - RESET_RESOLUTION));
        let older_than = statement.time(Some(now + reset + OLDER_WINDOW));
        let now = statement.time(Some(now));
        let another =
            format!("(b.window_ends_at <= {now} OR b.told AND b.window_ends_at < {newer_than})");
        statement.push(&format!(
            "INSERT INTO rate_budgets AS b (key_digest, request_limit, remaining, window_ends_at, told) \
             VALUES ({key}, {limit}, {remaining}, {latest}, true) ON CONFLICT (key_digest) DO UPDATE SET told = true, \
               request_limit = CASE WHEN {named} THEN excluded.request_limit ELSE GREATEST(b.request_limit, excluded.remaining) END, \
               remaining = CASE WHEN {another} THEN excluded.remaining ELSE LEAST(b.remaining, excluded.remaining) END, \
               window_ends_at = CASE WHEN {another} OR NOT b.told THEN excluded.window_ends_at \
                 ELSE GREATEST(b.window_ends_at, {earliest}) END \
             WHERE b.window_ends_at <= {now} OR NOT b.told OR b.window_ends_at <= {older_than}"
        ));
        statement
    }
}

impl Budget for SharedBudget {
    fn take(&self, lane: Lane, now: DateTime<Utc>) -> BoxFuture<'_, Duration> {
        async move {
            match in_time(self.take_shared(lane, now)).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the shared rate budget does not answer, this process goes by its own"
                    );
                    self.local.take(lane, now).await
                }
            }
        }
        .boxed()
    }

    fn learn(&self, told: Told, now: DateTime<Utc>) -> BoxFuture<'_, ()> {
        async move {
            self.local.learn(told, now).await;
            if let Err(error) = in_time(self.learn_shared(told, now)).await {
                tracing::debug!(
                    error = format!("{error:#}"),
                    "the shared rate budget was not told what is left"
                );
            }
        }
        .boxed()
    }
}

async fn in_time<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(anyhow!("no answer within {} s", PATIENCE.as_secs())))
}

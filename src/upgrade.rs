//! Old and new versions on one database: who migrates, who waits, and who must end.
//!
//! During an upgrade processes of both versions run. A process starts when the schema has what it needs, and ends in
//! order when a migration comes that does not let it run any longer ([`db::Fit`]). It must never go on beside such a
//! migration, nor end because the database is away.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

use crate::config::Migrate;
use crate::db::{self, Fit, Pool};
use crate::serve::{Stop, stopped};

/// How often a process that waits looks whether the schema is there.
const LOOK_WHILE_WAITING: Duration = Duration::from_millis(500);

/// How long to wait for somebody else's migrations. Longer ones than this are announced ([`Migrate::Wait`]).
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// How often a process that serves looks whether it still may.
const LOOK_WHILE_SERVING: Duration = Duration::from_secs(10);

/// Returns when the schema has what this version needs.
///
/// # Errors
/// The database cannot be reached or migrated, a newer version has left this one behind, nobody migrates, or it was time
/// to stop before.
pub async fn bring_up_to_date(pool: &Pool, who: Migrate, stop: Stop) -> anyhow::Result<()> {
    let brought = async {
        match who {
            Migrate::AtStart => {
                let applied = db::migrate(pool).await?;
                tracing::info!(applied, "the database schema is up to date");
                Ok(())
            }
            Migrate::Wait => wait_for_schema(pool).await,
        }
    };
    tokio::select! {
        brought = brought => brought,
        // others may migrate for long, and hold the lock meanwhile; a migration that is cut off is rolled back
        () = stopped(stop) => bail!("stopped before the database's schema was up to date"),
    }
}

async fn wait_for_schema(pool: &Pool) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut said = false;
    loop {
        let fit = db::fit(pool).await?;
        if let Some(refusal) = fit.refusal() {
            bail!(refusal);
        }
        if fit == Fit::Fits {
            return Ok(());
        }
        if begun.elapsed() > LONGEST_WAIT {
            bail!("the database lacks migrations of this version: run kombo-mirror migrate");
        }
        if !said {
            tracing::info!("waiting for the migrations of kombo-mirror migrate");
            said = true;
        }
        sleep(LOOK_WHILE_WAITING).await;
    }
}

/// Runs until `stop`, or until a newer version leaves this one behind.
///
/// # Errors
/// It was left behind.
pub async fn look_out(pool: &Pool, stop: Stop) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = sleep(LOOK_WHILE_SERVING) => {}
            () = stopped(stop.clone()) => return Ok(()),
        }
        // while the database is away nothing can be said of it
        let refusal = db::fit(pool).await.ok().and_then(|fit| fit.refusal());
        if let Some(refusal) = refusal {
            bail!(refusal);
        }
    }
}

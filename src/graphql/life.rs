//! What mutations do to an integration's life and to single runs.
//!
//! Each says in one line of the log who did what to whom. An integration that the viewer may not see is answered
//! as one that does not exist.

use async_graphql::{ID, Result};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};

use super::errors::{self, Code};
use super::mutation::connection;
use super::nodes::sync_run_id;
use crate::auth::Viewer;
use crate::kombo::ForcedSync;
use crate::models::Mode;
use crate::queue::Cancelled;
use crate::sync::{Engine, held};
use crate::{db, integrations, queue, schedule};

/// How often a transaction is tried when two writers meet.
const TRANSACTION_TRIES: u32 = 5;

fn no_integration() -> async_graphql::Error {
    errors::error(Code::NotFound, "no live integration has this Kombo id")
}

fn internal(error: diesel::result::Error) -> async_graphql::Error {
    errors::internal(&error.into())
}

/// Registers an integration, or brings a deleted one back.
pub(super) async fn register(engine: &Engine, viewer: &Viewer, id: &ID) -> Result<()> {
    if !integrations::is_usable_id(id) {
        return Err(errors::error(
            Code::BadUserInput,
            "komboId must be Kombo's integration id, for instance moodle:7C9M5sXAQx2cNMpVHLojrFpL",
        ));
    }
    if !viewer.sees(id) {
        return Err(no_integration());
    }
    let now = (engine.clock)();
    let mut connection = connection(engine).await?;
    connection
        .transaction(async |connection| integrations::revive(connection, id, now).await)
        .await
        .map_err(internal)?;
    // its first load is due: the schedule need not come round by itself
    schedule::tick(&mut connection, now)
        .await
        .map_err(internal)?;
    engine.doorbell.notify_waiters();
    tracing::info!(
        viewer = viewer.in_logs(),
        integration.id = id.as_str(),
        "an integration was registered"
    );
    Ok(())
}

/// Leaves an integration alone.
pub(super) async fn pause(engine: &Engine, viewer: &Viewer, id: &ID) -> Result<()> {
    let mut connection = connection(engine).await?;
    must_be_live(&mut connection, viewer, id).await?;
    let paused = connection
        .transaction(async |connection| {
            let paused = integrations::pause(connection, id).await?;
            queue::put_back(connection, id).await?;
            Ok(paused)
        })
        .await
        .map_err(internal)?;
    if !paused {
        return Err(no_integration());
    }
    tracing::info!(
        viewer = viewer.in_logs(),
        integration.id = id.as_str(),
        "an integration was paused"
    );
    Ok(())
}

/// Takes an integration up again.
pub(super) async fn resume(engine: &Engine, viewer: &Viewer, id: &ID) -> Result<()> {
    let now = (engine.clock)();
    let mut connection = connection(engine).await?;
    must_be_live(&mut connection, viewer, id).await?;
    let resumed = integrations::resume(&mut connection, id, now).await;
    if !resumed.map_err(internal)? {
        return Err(no_integration());
    }
    engine.doorbell.notify_waiters();
    tracing::info!(
        viewer = viewer.in_logs(),
        integration.id = id.as_str(),
        "an integration was resumed"
    );
    Ok(())
}

/// The run with this opaque id and its integration, if the viewer may see it.
async fn visible_run(
    connection: &mut AsyncPgConnection,
    viewer: &Viewer,
    id: &ID,
) -> Result<(i64, String)> {
    let no_run = || errors::error(Code::NotFound, "no sync run has this id");
    let run_id = sync_run_id(id).ok_or_else(no_run)?;
    let integration = queue::integration_of(connection, run_id)
        .await
        .map_err(internal)?
        .filter(|integration| viewer.sees(integration))
        .ok_or_else(no_run)?;
    Ok((run_id, integration))
}

/// Removes what a run held back; returns the run's id.
pub(super) async fn approve_removals(engine: &Engine, viewer: &Viewer, id: &ID) -> Result<i64> {
    let now = (engine.clock)();
    let mut connection = connection(engine).await?;
    let (run_id, integration) = visible_run(&mut connection, viewer, id).await?;
    let mut tries = 1;
    let removed = loop {
        let approved = connection
            .transaction(async |connection| held::approve(connection, run_id, now).await)
            .await;
        match approved {
            // a fetch may be writing the same rows
            Err(error) if tries < TRANSACTION_TRIES && db::is_serialization_failure(&error) => {
                tries += 1;
            }
            result => break result.map_err(internal)?,
        }
    };
    let Some(removed) = removed else {
        return Err(errors::error(
            Code::BadUserInput,
            "nothing of this run is held back: it was approved, or a later full fetch has judged anew",
        ));
    };
    tracing::info!(
        viewer = viewer.in_logs(),
        run.id = run_id,
        integration.id = integration,
        removed,
        "removals were approved"
    );
    Ok(run_id)
}

/// Cancels a run that waits or works; returns its id.
pub(super) async fn cancel(engine: &Engine, viewer: &Viewer, id: &ID) -> Result<i64> {
    let now = (engine.clock)();
    let mut connection = connection(engine).await?;
    let (run_id, integration) = visible_run(&mut connection, viewer, id).await?;
    let cancelled = connection
        .transaction(async |connection| {
            let cancelled = queue::cancel(connection, run_id, now).await?;
            if let Some(Cancelled {
                endpoint,
                owes_full_fetch,
            }) = &cancelled
            {
                // what is due would be queued again within a second
                let until = now + engine.settings.catch_up_interval;
                integrations::leave_alone_until(connection, &integration, endpoint, until).await?;
                if *owes_full_fetch {
                    integrations::make_full_fetch_due(connection, &integration, endpoint, now)
                        .await?;
                }
            }
            Ok(cancelled)
        })
        .await
        .map_err(internal)?;
    if cancelled.is_none() {
        return Err(errors::error(
            Code::BadUserInput,
            "the sync run has ended already",
        ));
    }
    tracing::info!(
        viewer = viewer.in_logs(),
        run.id = run_id,
        integration.id = integration,
        "a sync run was cancelled"
    );
    Ok(run_id)
}

/// Asks Kombo to sync with the learning system.
pub(super) async fn request_kombo_sync(
    engine: &Engine,
    viewer: &Viewer,
    id: &ID,
    mode: Mode,
) -> Result<ForcedSync> {
    let mut connection = connection(engine).await?;
    must_be_live(&mut connection, viewer, id).await?;
    // nothing is held while Kombo is waited for
    drop(connection);
    tracing::info!(
        viewer = viewer.in_logs(),
        integration.id = id.as_str(),
        mode = mode.as_str(),
        "a sync is asked of kombo"
    );
    let sync = engine
        .kombo
        .force_sync(id, mode.as_str(), &engine.clock)
        .await;
    sync.map_err(|error| errors::upstream(&error))
}

async fn must_be_live(connection: &mut AsyncPgConnection, viewer: &Viewer, id: &ID) -> Result<()> {
    // what is no id is nobody's, and Postgres would refuse U+0000
    let is_live = integrations::is_usable_id(id)
        && viewer.sees(id)
        && integrations::is_live(connection, id)
            .await
            .map_err(internal)?;
    if is_live {
        Ok(())
    } else {
        Err(no_integration())
    }
}

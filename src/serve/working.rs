//! The parts of a process that keep the mirror fresh: workers, schedule, listener, details and retention.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use secrecy::SecretString;
use tokio::sync::futures::Notified;

use super::{Parts, named, stopped};
use crate::db::Listener;
use crate::queue::{self, Appetite};
use crate::retention::Keeper;
use crate::schedule;
use crate::sync::{Engine, Interrupted};

/// Starts all of them.
pub(super) fn spawn(
    parts: &mut Parts,
    engine: &Engine,
    keeper: Keeper,
    database_url: SecretString,
) {
    parts.spawn(named(
        "retention",
        remove_what_is_due(keeper, engine.clone()),
    ));
    for number in 0..engine.settings.workers {
        // where there are several, the first leaves full fetches to the others
        let appetite = if number == 0 && engine.settings.workers > 1 {
            Appetite::Deltas
        } else {
            Appetite::Anything
        };
        parts.spawn(named("worker", work(engine.clone(), appetite)));
    }
    parts.spawn(named("schedule", keep_schedule(engine.clone())));
    parts.spawn(named(
        "listener",
        keep_listening(engine.clone(), database_url),
    ));
    parts.spawn(named("integration details", keep_details(engine.clone())));
}

/// The schedule looks for all workers of the process, and rings; by itself a worker looks so much more rarely.
const LOOKS_OF_THE_SCHEDULE: u32 = 60;

/// Takes runs as long as there are any, then waits for the doorbell or looks again after a while.
async fn work(engine: Engine, appetite: Appetite<'static>) -> anyhow::Result<()> {
    while !*engine.stop.borrow() {
        // before the look, so that a ring during it is heard
        let rung = engine.doorbell.notified();
        let worked = AssertUnwindSafe(engine.work_once(appetite)).catch_unwind();
        // a panic is a defect of ours, and must cost one attempt of one run, not the server
        let worked = worked
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("a worker panicked; the log says where")));
        match worked {
            // what waited behind it may be nothing for us: wake the colleagues
            Ok(Some(_)) if appetite == Appetite::Deltas => engine.doorbell.notify_waiters(),
            Ok(Some(_)) => {}
            Ok(None) => rest(&engine, rung).await,
            Err(error) if error.is::<Interrupted>() => nap(&engine, engine.settings.poll).await,
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "a sync worker was stopped by an error"
                );
                nap(&engine, engine.settings.poll).await;
            }
        }
    }
    Ok(())
}

async fn rest(engine: &Engine, rung: Notified<'_>) {
    tokio::select! {
        () = rung => {}
        () = nap(engine, engine.settings.poll * LOOKS_OF_THE_SCHEDULE) => {}
    }
}

/// The pause before the first attempt to listen again, and the longest between two.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Rings the doorbell for what other processes queued. While it cannot listen, polling goes on.
async fn keep_listening(engine: Engine, url: SecretString) -> anyhow::Result<()> {
    let mut pause = FIRST_PAUSE;
    while !*engine.stop.borrow() {
        let ended = tokio::select! {
            ended = listen(&engine, &url, &mut pause) => ended,
            () = stopped(engine.stop.clone()) => return Ok(()),
        };
        if let Err(error) = ended {
            tracing::warn!(
                error = format!("{error:#}"),
                "queued runs are found by polling until the database can be listened to again"
            );
        }
        nap(&engine, pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

async fn listen(engine: &Engine, url: &SecretString, pause: &mut Duration) -> anyhow::Result<()> {
    let mut listener = Listener::connect(url, queue::CHANNEL).await?;
    *pause = FIRST_PAUSE;
    loop {
        // the first time for what was queued while nobody listened
        engine.doorbell.notify_waiters();
        listener.heard().await?;
    }
}

async fn keep_schedule(engine: Engine) -> anyhow::Result<()> {
    while !*engine.stop.borrow() {
        match look_at_schedule(&engine).await {
            Ok(false) => {}
            Ok(true) => engine.doorbell.notify_waiters(),
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the schedule could not be read"
                );
            }
        }
        nap(&engine, engine.settings.poll).await;
    }
    Ok(())
}

/// Queues what is due; returns whether there is anything to do.
async fn look_at_schedule(engine: &Engine) -> anyhow::Result<bool> {
    let mut connection = engine.pool.get().await?;
    let now = (engine.clock)();
    let queued = schedule::tick(&mut connection, now).await?;
    Ok(queued > 0 || queue::is_any_due(&mut connection, now).await?)
}

/// Apart from the schedule: a Kombo that answers slowly must not keep fetches from falling due.
async fn keep_details(engine: Engine) -> anyhow::Result<()> {
    while !*engine.stop.borrow() {
        let refreshed = tokio::select! {
            refreshed = engine.refresh_integrations() => refreshed,
            () = stopped(engine.stop.clone()) => return Ok(()),
        };
        if let Err(error) = refreshed {
            tracing::error!(
                error = format!("{error:#}"),
                "the integrations' details could not be kept"
            );
        }
        nap(&engine, engine.settings.poll).await;
    }
    Ok(())
}

/// How often to look whether the hourly removal is due.
const RETENTION_LOOK: Duration = Duration::from_secs(60);

async fn remove_what_is_due(keeper: Keeper, engine: Engine) -> anyhow::Result<()> {
    while !*engine.stop.borrow() {
        if let Err(error) = keeper.look((engine.clock)()).await {
            tracing::error!(
                error = format!("{error:#}"),
                "what is due for removal could not be removed"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(RETENTION_LOOK) => {}
            () = stopped(engine.stop.clone()) => {}
        }
    }
    Ok(())
}

async fn nap(engine: &Engine, longest: Duration) {
    tokio::select! {
        () = tokio::time::sleep(longest) => {}
        () = stopped(engine.stop.clone()) => {}
    }
}

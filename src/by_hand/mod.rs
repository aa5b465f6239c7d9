//! `kombo-mirror sync`: an integration fetched now, in the foreground, by somebody who watches.
//!
//! The runs are ordinary ones: any server on the same database may take them, and a second command shows the
//! same runs. So this room only asks, lends its hands to that integration, and tells how it goes. It must
//! never open a door to the network nor decide what a fetch does.

mod progress;
mod words;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;
use diesel_async::AsyncConnection as _;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{RawSettings, Settings};
use crate::models::{self, Endpoint, Mode};
use crate::queue::{self, Appetite, Look, Request, Trigger};
use crate::serve::{self, Stop, stopped};
use crate::sync::{Engine, Interrupted};
use crate::{integrations, kombo};
use progress::Display;

/// How often the runs are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What `sync` can be told.
#[derive(Args, Clone)]
pub struct SyncOptions {
    /// Kombo id of the integration
    #[arg(long)]
    pub integration: String,
    /// Fetch everything, which also notices what is gone; otherwise what changed since the last fetch
    #[arg(long)]
    pub full: bool,
    /// Fetch this endpoint only; may be given several times [default: all]
    #[arg(long = "endpoint", value_name = "ENDPOINT", value_parser = endpoint_names())]
    pub endpoints: Vec<String>,
    /// The settings of a server, as far as they concern fetching.
    #[command(flatten)]
    pub settings: RawSettings,
}

fn endpoint_names() -> PossibleValuesParser {
    PossibleValuesParser::new(models::ALL.iter().map(|endpoint| endpoint.name))
}

impl SyncOptions {
    fn endpoints(&self) -> Vec<&'static Endpoint> {
        let wanted = |endpoint: &&Endpoint| {
            self.endpoints.is_empty() || self.endpoints.iter().any(|name| name == endpoint.name)
        };
        models::ALL.iter().copied().filter(wanted).collect()
    }

    fn mode(&self) -> Mode {
        if self.full { Mode::Full } else { Mode::Delta }
    }
}

/// Fetches, and returns whether every run succeeded.
///
/// # Errors
/// Nothing could be asked for; the reason says what to do.
pub async fn run(options: &SyncOptions, settings: &Settings, stop: Stop) -> anyhow::Result<bool> {
    ensure!(
        integrations::is_usable_id(&options.integration),
        "--integration must be Kombo's integration id, for instance moodle:7C9M5sXAQx2cNMpVHLojrFpL"
    );
    let (hands_off, working) = watch::channel(false);
    let engine = tokio::select! {
        engine = serve::prepare(settings, working) => engine?,
        // it may wait for others' migrations
        () = stopped(stop.clone()) => bail!("stopped before anything was asked for"),
    };
    must_be_fetchable(&engine, &options.integration).await?;
    let ids = ask(&engine, options).await?;
    let (all_ended, ended) = watch::channel(false);
    let mut workers = JoinSet::new();
    for _ in 0..ids.len().min(engine.settings.workers) {
        workers.spawn(work(
            engine.clone(),
            Arc::from(options.integration.as_str()),
            ended.clone(),
        ));
    }
    let watched = tokio::select! {
        watched = watch_until_ended(&engine, &ids) => watched,
        () = stopped(stop.clone()) => Ok(()),
    };
    all_ended.send_replace(true);
    if *stop.borrow() || watched.is_err() {
        hands_off.send_replace(true);
    }
    workers.join_all().await;
    watched?;
    let looks = look(&engine, &ids).await?;
    for look in &looks {
        println!("{}", words::outcome(look));
    }
    Ok(looks.iter().all(|look| look.status == "SUCCEEDED"))
}

/// Only the first integration of a database is registered by the way: later, an unknown id is a mistyped one.
async fn must_be_fetchable(engine: &Engine, id: &str) -> anyhow::Result<()> {
    let mut connection = engine.pool.get().await?;
    match integrations::standing(&mut connection, id).await? {
        Some(standing) if standing.is_deleted => bail!(
            "the integration {id} was deleted; the mutation registerIntegration brings it back"
        ),
        Some(standing) if standing.is_paused => bail!(
            "the integration {id} is paused; the mutation resumeIntegration takes it up again"
        ),
        Some(_) => return Ok(()),
        None => {}
    }
    let known = integrations::live_ids(&mut connection).await?;
    ensure!(
        known.is_empty(),
        "this mirror knows no integration {id}, only: {}; the mutation registerIntegration or \
         KOMBO_INTEGRATION_IDS makes it known",
        known.join(", ")
    );
    drop(connection);
    let asked = engine.kombo.integration(id, &engine.clock).await;
    let description = asked.map_err(|error| refused(id, &error))?;
    let now = (engine.clock)();
    let mut connection = engine.pool.get().await?;
    connection
        .transaction(async |connection| {
            integrations::register(connection, id, &description.details, now).await?;
            integrations::describe(connection, id, &description).await
        })
        .await?;
    println!("registered {id}, the first integration of this mirror");
    Ok(())
}

fn refused(id: &str, error: &kombo::Error) -> anyhow::Error {
    anyhow::anyhow!(
        "kombo does not describe the integration {id}: {error}; {}",
        words::advice(&error.code)
    )
}

/// Queues the runs; returns their ids.
async fn ask(engine: &Engine, options: &SyncOptions) -> anyhow::Result<Vec<i64>> {
    let now = (engine.clock)();
    let mut connection = engine.pool.get().await?;
    let ids = connection
        .transaction(async |connection| {
            let mut ids = Vec::new();
            for endpoint in options.endpoints() {
                let request = Request {
                    integration_id: &options.integration,
                    endpoint,
                    mode: options.mode(),
                    trigger: Trigger::Manual,
                    reason: json!({ "sync": options.mode().as_str() }),
                    requested_by: Some("command line"),
                };
                ids.push(queue::enqueue(connection, &request, now).await?.run_id);
            }
            diesel::QueryResult::Ok(ids)
        })
        .await?;
    Ok(ids)
}

/// Works on the integration's runs until the asked-for ones have ended and nothing else of it is due: what
/// they found to be missing is fetched too, since there may be no server to do it.
async fn work(engine: Engine, integration: Arc<str>, mut ended: watch::Receiver<bool>) {
    while !*engine.stop.borrow() {
        let rung = engine.doorbell.notified();
        match engine.work_once(Appetite::Of(&integration)).await {
            Ok(Some(_)) => {
                engine.doorbell.notify_waiters();
                continue;
            }
            Ok(None) if *ended.borrow() => return,
            Ok(None) => {}
            Err(error) if error.is::<Interrupted>() => {}
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "no sync run could be taken");
            }
        }
        tokio::select! {
            () = rung => {}
            () = tokio::time::sleep(engine.settings.poll) => {}
            _ = ended.changed() => {}
            () = stopped(engine.stop.clone()) => {}
        }
    }
}

async fn look(engine: &Engine, ids: &[i64]) -> anyhow::Result<Vec<Look>> {
    let mut connection = engine.pool.get().await?;
    Ok(queue::look(&mut connection, ids).await?)
}

async fn watch_until_ended(engine: &Engine, ids: &[i64]) -> anyhow::Result<()> {
    let mut display = Display::new();
    loop {
        let looks = look(engine, ids).await?;
        display.show(&looks, (engine.clock)());
        if looks.iter().all(Look::has_ended) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

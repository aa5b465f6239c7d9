//! A server put together: database, workers, schedule and HTTP, started by name and stopped in order.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::auth::Authenticator;
use crate::budget::SharedBudget;
use crate::config::Settings;
use crate::db::{Listener, Reads};
use crate::graphql::Schema;
use crate::http::{self, App, Sockets};
use crate::integrations::Details;
use crate::kombo::Client;
use crate::live::Live;
use crate::queue::{self, Appetite};
use crate::retention::Keeper;
use crate::sync::{Engine, Interrupted};
use crate::{clock, db, integrations, schedule};

/// Tells every part when to stop.
pub type Stop = watch::Receiver<bool>;

/// Resolves when it is time to stop.
pub async fn stopped(mut stop: Stop) {
    // an error means that nobody is left who could ask to go on
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A [`Stop`] that turns true on Ctrl-C and on SIGTERM.
///
/// # Errors
/// The process cannot listen for signals.
pub fn stop_on_signal() -> anyhow::Result<Stop> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, stop) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        sender.send_replace(true);
        // keeps the channel open: a closed one would look like a wish to stop, too
        std::future::pending::<()>().await;
    });
    Ok(stop)
}

/// Listens.
///
/// # Errors
/// One sentence with the remedy, for instance when the port is in use.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => "it is in use by another program".to_owned(),
            _ => error.to_string(),
        };
        anyhow::anyhow!(
            "cannot listen on {address}: {reason}; choose another with --listen-addr or LISTEN_ADDR"
        )
    })
}

/// Opens the database, brings its schema up to date and registers the integrations of the settings.
///
/// # Errors
/// The database cannot be reached or migrated.
pub async fn prepare(settings: &Settings, stop: Stop) -> anyhow::Result<Engine> {
    let pool = db::pool(&settings.database_url, settings.database_pool_size)?;
    let reads = reads(settings)?;
    let applied = db::migrate(&pool).await?;
    tracing::info!(applied, "the database schema is up to date");
    let mut connection = pool.get().await?;
    let now = clock::now();
    let mut ids = integrations::live_ids(&mut connection).await?;
    ids.extend(settings.integration_ids.iter().cloned());
    for id in &ids {
        // known ones too: a newer version may bring a new endpoint
        integrations::register(&mut connection, id, &Details::default(), now).await?;
    }
    drop(connection);
    let budget = Arc::new(SharedBudget::new(pool.clone(), &settings.kombo));
    Ok(Engine {
        pool,
        reads,
        kombo: Arc::new(Client::new(settings.kombo.clone(), budget)?),
        settings: Arc::new(settings.sync.clone()),
        doorbell: Arc::new(Notify::new()),
        clock: clock::wall(),
        stop,
    })
}

/// Where GraphQL reads.
fn reads(settings: &Settings) -> anyhow::Result<Reads> {
    let open = |url| {
        let timeout = settings.graphql_statement_timeout;
        Reads::open(url, settings.database_pool_size, timeout)
    };
    let reads = open(&settings.database_url)?;
    if !has_standby(settings) {
        return Ok(reads);
    }
    Ok(reads.but_from(open(&settings.database_read_url)?))
}

fn has_standby(settings: &Settings) -> bool {
    settings.database_read_url.expose_secret() != settings.database_url.expose_secret()
}

/// Serves until `stop`, then lets requests end and hands working runs back to the queue.
///
/// # Errors
/// A part of the server ended by itself; it is named.
pub async fn run(settings: Settings, listener: TcpListener, stop: Stop) -> anyhow::Result<()> {
    let engine = prepare(&settings, stop.clone()).await?;
    let authenticator = Authenticator::new(&settings.auth, engine.clock.clone())?;
    if settings.role.serves_api() {
        check_walls(&settings, &engine).await?;
    }
    let live = Live::default();
    let sockets = Sockets::new(settings.sockets.clone());
    let routes = routes(&settings, &engine, authenticator.clone(), &live, &sockets);
    let address = listener.local_addr()?;
    tracing::info!(%address, role = ?settings.role, "listening");
    let mut parts = Parts::new();
    let until = stopped(stop.clone());
    parts.spawn(named("http", async move {
        axum::serve(listener, routes)
            .with_graceful_shutdown(until)
            .await
            .context("serving HTTP")?;
        sockets.closed().await;
        Ok(())
    }));
    if settings.role.serves_api() {
        parts.spawn(named(
            "keys of JWTs",
            keep_keys(authenticator, stop.clone()),
        ));
        let url = settings.database_url.clone();
        let kept = live.keep(url, engine.clock.clone(), stop.clone());
        parts.spawn(named("live", kept));
    }
    if settings.role.works() {
        let keeper = Keeper::new(engine.pool.clone(), settings.retention, stop.clone());
        parts.spawn(named(
            "retention",
            remove_what_is_due(keeper, engine.clone()),
        ));
        spawn_workers(&mut parts, &engine, settings.database_url);
    }
    while let Some(ended) = parts.join_next().await {
        let (name, result) = ended.context("a part of the server panicked")?;
        result.with_context(|| format!("the part {name} failed"))?;
        if !*stop.borrow() {
            anyhow::bail!("the part {name} ended by itself");
        }
    }
    tracing::info!("stopped");
    Ok(())
}

type Parts = JoinSet<(&'static str, anyhow::Result<()>)>;

fn routes(
    settings: &Settings,
    engine: &Engine,
    auth: Authenticator,
    live: &Live,
    sockets: &Sockets,
) -> axum::Router {
    if !settings.role.serves_api() {
        return http::worker_routes(engine.clone());
    }
    http::routes(App {
        schema: Schema::new(Some(engine.clone()), &settings.graphql),
        engine: engine.clone(),
        live: live.clone(),
        sockets: sockets.clone(),
        auth,
        webhook_secrets: Arc::new(settings.webhook_secrets.clone()),
        refused_webhooks: Arc::new(AtomicU64::new(0)),
    })
}

/// Nobody may be served by a database that hides what they may see, or shows what they may not.
async fn check_walls(settings: &Settings, engine: &Engine) -> anyhow::Result<()> {
    db::wall::check_owner(&engine.pool).await?;
    if settings.auth.has_jwt() {
        db::wall::check(&engine.pool).await?;
    }
    if !has_standby(settings) {
        return Ok(());
    }
    // a standby that is away does not keep the server from starting
    if let Err(error) = engine.reads.check().await {
        tracing::warn!(%error, "the database of DATABASE_READ_URL does not answer: GraphQL waits for it");
        return Ok(());
    }
    let standby = db::pool(&settings.database_read_url, 1)?;
    let checked = async {
        db::wall::check_owner(&standby).await?;
        if settings.auth.has_jwt() {
            db::wall::check(&standby).await?;
        }
        anyhow::Ok(())
    };
    checked.await.context("the database of DATABASE_READ_URL")
}

async fn keep_keys(authenticator: Authenticator, stop: Stop) -> anyhow::Result<()> {
    authenticator.keep_keys(stop).await;
    Ok(())
}

fn spawn_workers(parts: &mut Parts, engine: &Engine, database_url: SecretString) {
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

async fn named<T>(name: &'static str, part: impl Future<Output = T>) -> (&'static str, T) {
    (name, part.await)
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

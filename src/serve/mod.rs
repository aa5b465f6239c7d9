//! A server put together: database, workers, schedule and HTTP, started by name and stopped in order.

mod working;

use std::future::{Future, IntoFuture as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::auth::Authenticator;
use crate::budget::SharedBudget;
use crate::config::Settings;
use crate::db::Reads;
use crate::graphql::Schema;
use crate::http::{self, App, Sockets};
use crate::integrations::Details;
use crate::kombo::Client;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::retention::Keeper;
use crate::sync::Engine;
use crate::{clock, db, integrations, upgrade};

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
    upgrade::bring_up_to_date(&pool, settings.process.migrate, stop.clone()).await?;
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
    let metrics = Arc::new(Metrics::new());
    let kombo = Client::new(settings.kombo.clone(), budget, metrics.clone())?;
    Ok(Engine {
        pool,
        reads,
        kombo: Arc::new(kombo),
        settings: Arc::new(settings.sync.clone()),
        doorbell: Arc::new(Notify::new()),
        clock: clock::wall(),
        stop,
        metrics,
    })
}

/// Where GraphQL reads.
fn reads(settings: &Settings) -> anyhow::Result<Reads> {
    let (size, timeout) = (
        settings.database_pool_size,
        settings.graphql_statement_timeout,
    );
    let reads = Reads::open(&settings.database_url, size, timeout)?;
    if !has_standby(settings) {
        return Ok(reads);
    }
    let (url, max_lag) = (&settings.database_read_url, settings.database_read_max_lag);
    reads.with_standbys(url, size, timeout, max_lag)
}

fn has_standby(settings: &Settings) -> bool {
    settings.database_read_url.expose_secret() != settings.database_url.expose_secret()
}

/// Serves until `stop`, then lets requests end and hands working runs back to the queue.
///
/// # Errors
/// A part of the server ended by itself; it is named.
pub async fn run(
    settings: Settings,
    listener: TcpListener,
    asked_to_stop: Stop,
) -> anyhow::Result<()> {
    // a stop of its own, which a schema from the future causes too
    let (halt, stop) = watch::channel(false);
    let mut parts = Parts::new();
    parts.spawn(named("signals", pass_on(asked_to_stop, halt.clone())));
    let engine = prepare(&settings, stop.clone()).await?;
    let authenticator = Authenticator::new(&settings.auth, engine.clock.clone())?;
    if settings.role.serves_api() {
        check_walls(&settings, &engine).await?;
    }
    let live = Live::default();
    let sockets = Sockets::new(settings.sockets.clone());
    let routes = routes(&settings, &engine, authenticator.clone(), &live, &sockets)?;
    let address = listener.local_addr()?;
    tracing::info!(%address, role = ?settings.role, "listening");
    // before anybody can ask
    if settings.role.serves_api() {
        let watch = engine.reads.clone().keep_watch(stopped(stop.clone()));
        parts.spawn(named("standbys", watch));
    }
    let answered = answer(
        listener,
        routes,
        sockets,
        settings.process.grace,
        stop.clone(),
    );
    parts.spawn(named("http", answered));
    parts.spawn(named(
        "schema",
        stay_while_it_fits(engine.clone(), stop.clone(), halt),
    ));
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
        working::spawn(&mut parts, &engine, keeper, settings.database_url);
    }
    let ended = ended(parts, stop).await;
    if ended.is_ok() {
        tracing::info!("stopped");
    }
    ended
}

/// Waits for the end of all parts. One that ends before it is time ends the server; after that the others may end in
/// order, whatever went wrong with one.
async fn ended(mut parts: Parts, stop: Stop) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = parts.join_next().await {
        let (name, result) = ended.context("a part of the server panicked")?;
        let result = result.with_context(|| format!("the part {name} failed"));
        if !*stop.borrow() {
            result?;
            anyhow::bail!("the part {name} ended by itself");
        }
        outcome = outcome.and(result);
    }
    outcome
}

/// Ends with the others, too, when they stop without having been asked to.
async fn pass_on(asked_to_stop: Stop, halt: watch::Sender<bool>) -> anyhow::Result<()> {
    tokio::select! {
        () = stopped(asked_to_stop) => { halt.send_replace(true); }
        () = stopped(halt.subscribe()) => {}
    }
    Ok(())
}

/// Answers until `stop`, and then what was asked before; but not for longer than `grace`: a peer that does not read its
/// answer must not keep the process.
async fn answer(
    listener: TcpListener,
    routes: axum::Router,
    sockets: Sockets,
    grace: Duration,
    stop: Stop,
) -> anyhow::Result<()> {
    let served = axum::serve(listener, routes).with_graceful_shutdown(stopped(stop.clone()));
    let over = async {
        stopped(stop).await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = served.into_future() => served.context("serving HTTP")?,
        () = over => tracing::warn!("requests were cut off at the end"),
    }
    sockets.closed().await;
    Ok(())
}

/// Stops the whole server in order when a newer version does not let this one run any longer.
async fn stay_while_it_fits(
    engine: Engine,
    stop: Stop,
    halt: watch::Sender<bool>,
) -> anyhow::Result<()> {
    let looked = upgrade::look_out(&engine.pool, stop).await;
    if looked.is_err() {
        halt.send_replace(true);
    }
    looked
}

type Parts = JoinSet<(&'static str, anyhow::Result<()>)>;

fn routes(
    settings: &Settings,
    engine: &Engine,
    auth: Authenticator,
    live: &Live,
    sockets: &Sockets,
) -> anyhow::Result<axum::Router> {
    if !settings.role.serves_api() {
        return Ok(http::worker_routes(engine.clone()));
    }
    Ok(http::routes(App {
        schema: Schema::new(Some(engine.clone()), &settings.graphql),
        engine: engine.clone(),
        intake: db::intake(&settings.database_url, settings.database_pool_size)?,
        live: live.clone(),
        sockets: sockets.clone(),
        auth,
        webhook_secrets: Arc::new(settings.webhook_secrets.clone()),
    }))
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
    let standby = db::pool(&settings.database_read_url, 1)?;
    if let Err(error) = standby.get().await {
        tracing::warn!(%error, "the database of DATABASE_READ_URL does not answer: DATABASE_URL is read from");
        return Ok(());
    }
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

async fn named<T>(name: &'static str, part: impl Future<Output = T>) -> (&'static str, T) {
    (name, part.await)
}

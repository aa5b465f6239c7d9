//! Everything on one machine with nothing to set up: a private Postgres, a simulated Kombo whose data keeps
//! changing and whose webhooks are signed, and the server.
//!
//! Only composition: each part is the real one. A second start goes on with the same folder: the simulator
//! makes up the same records as of the same moment, makes its changes again, and a full fetch settles what
//! they do not share (the dates of the changes).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;

use crate::config::{
    AuthSettings, GraphqlSettings, KomboSettings, ProcessSettings, RetentionSettings, Role,
    Settings, SocketSettings, SyncSettings,
};
use crate::embedded::{self, Postgres};
use crate::integrations;
use crate::models::{self, Mode};
use crate::queue::{self, Request, Trigger};
use crate::serve::{self, Stop, stopped};
use crate::simulator::{self, Simulator, WebhookTarget};
use crate::{clock, db};

/// What `demo` can be told.
#[derive(Args, Clone)]
pub struct DemoOptions {
    /// Where to listen
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:8080")]
    pub listen_addr: SocketAddr,
    /// Folder of the demo's database; remove it to begin anew [default: a folder of your user's]
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Folder with `initdb` and `postgres` [default: looked for]
    #[arg(long, env = "PG_BIN_DIR")]
    pub pg_bin_dir: Option<PathBuf>,
    /// Simulated integrations
    #[arg(long, default_value_t = 3)]
    pub integrations: usize,
    /// Course progressions of each
    #[arg(long, default_value_t = 2000)]
    pub progressions: usize,
    /// Seconds between two changes in the simulated learning systems
    #[arg(long, default_value_t = 2.0)]
    pub seconds_per_change: f64,
}

/// The demo listens on loopback only, so its tokens are no secrets.
const READ_TOKEN: &str = "demo-reader";
const ADMIN_TOKEN: &str = "demo-admin";
const WEBHOOK_SECRET: &str = "demo-webhook-secret";
/// The simulator collects changes for this long before it sends a webhook; Kombo takes 30 s.
const DEBOUNCE: Duration = Duration::from_secs(5);
const FIRST_LOAD_LIMIT: Duration = Duration::from_secs(120);
const DATABASE: &str = "kombo_mirror";

/// Runs the demo until `stop`.
///
/// # Errors
/// No Postgres, a port in use: each with what to do about it.
pub async fn run(options: DemoOptions, stop: Stop) -> anyhow::Result<()> {
    anyhow::ensure!(
        options.listen_addr.ip().is_loopback(),
        "the demo's tokens are public: --listen-addr must be a loopback address, not {}",
        options.listen_addr
    );
    let listener = serve::bind(options.listen_addr).await?;
    let address = listener.local_addr()?;
    let data_dir = match &options.data_dir {
        Some(dir) => std::path::absolute(dir)?,
        None => embedded::default_data_dir("demo")?,
    };
    println!("starting a private Postgres in {}", data_dir.display());
    let postgres = start_postgres(&options, &data_dir).await?;
    let life = Life::resume(&data_dir);
    let simulator = start_simulator(&options, address, &life).await?;
    let settings = settings(&postgres, &simulator, address);
    let engine = serve::prepare(&settings, stop.clone()).await?;
    ask_for_everything(&engine.pool).await?;
    let server = tokio::spawn(serve::run(settings, listener, stop.clone()));
    if first_load(&engine.pool, stop.clone()).await? {
        welcome(address, &data_dir, &simulator);
    }
    life.go_on(&simulator, options.seconds_per_change, stop)
        .await;
    let served = server.await.context("the server panicked")?;
    simulator.stop().await;
    postgres.stop().await?;
    println!("stopped; the data stays in {}", data_dir.display());
    served
}

async fn start_postgres(options: &DemoOptions, data_dir: &Path) -> anyhow::Result<Postgres> {
    std::fs::create_dir_all(data_dir).with_context(|| {
        format!(
            "cannot create {}; name another with --data-dir",
            data_dir.display()
        )
    })?;
    let postgres = Postgres::start(embedded::Options {
        data_dir: Some(data_dir.join("postgres")),
        bin_dir: options.pg_bin_dir.clone(),
        durable: true,
        ..embedded::Options::default()
    })
    .await
    .context("the demo's database did not start (--data-dir names another folder)")?;
    // an error means that an earlier start has made it
    let _ = postgres.create_database(DATABASE, None).await;
    Ok(postgres)
}

async fn start_simulator(
    options: &DemoOptions,
    mirror: SocketAddr,
    life: &Life,
) -> anyhow::Result<Simulator> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let options = simulator::Options {
        integrations: options.integrations,
        progressions: options.progressions,
        users: options.progressions / 5,
        webhook: Some(WebhookTarget {
            url: format!("http://{mirror}/webhooks/kombo"),
            secret: WEBHOOK_SECRET.to_owned(),
        }),
        debounce: DEBOUNCE,
        born_at: Some(life.born_at),
        ..simulator::Options::default()
    };
    let simulator = Simulator::start(listener, options).await?;
    simulator.change(life.changes);
    Ok(simulator)
}

fn settings(postgres: &Postgres, simulator: &Simulator, address: SocketAddr) -> Settings {
    let api_key = simulator::Options::default().api_key.into();
    Settings {
        role: Role::All,
        database_url: postgres.url(DATABASE).into(),
        database_read_url: postgres.url(DATABASE).into(),
        database_pool_size: 16,
        graphql_statement_timeout: Duration::from_secs(10),
        kombo: KomboSettings::new(&simulator.base_url(), api_key),
        webhook_secrets: vec![WEBHOOK_SECRET.into()],
        integration_ids: simulator.integration_ids(),
        listen_addr: address,
        auth: AuthSettings::Tokens {
            read: vec![READ_TOKEN.into()],
            admin: vec![ADMIN_TOKEN.into()],
            jwt: None,
        },
        graphql: GraphqlSettings::default(),
        sync: SyncSettings::default(),
        retention: RetentionSettings::default(),
        sockets: SocketSettings::default(),
        process: ProcessSettings::default(),
    }
}

/// A full fetch of everything: the simulator of a second start is younger than the mirror.
async fn ask_for_everything(pool: &db::Pool) -> anyhow::Result<()> {
    let mut connection = pool.get().await?;
    for integration_id in integrations::live_ids(&mut connection).await? {
        for endpoint in models::ALL {
            let request = Request {
                integration_id: &integration_id,
                endpoint,
                mode: Mode::Full,
                trigger: Trigger::Initial,
                reason: json!({ "demo": "start" }),
                requested_by: None,
            };
            queue::enqueue(&mut connection, &request, clock::now()).await?;
        }
    }
    Ok(())
}

/// Waits until nothing is left in the queue; false when the demo is stopped before.
async fn first_load(pool: &db::Pool, stop: Stop) -> anyhow::Result<bool> {
    let loaded = async {
        loop {
            let mut connection = pool.get().await?;
            if queue::open_runs(&mut connection).await? == 0 {
                return anyhow::Ok(());
            }
            drop(connection);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        loaded = tokio::time::timeout(FIRST_LOAD_LIMIT, loaded) => {
            loaded.context("the first load did not end in time; the log says more")??;
            Ok(true)
        }
        () = stopped(stop) => Ok(false),
    }
}

/// What the simulator has lived through, kept in the data folder so that a second start can repeat it.
struct Life {
    file: PathBuf,
    born_at: DateTime<Utc>,
    changes: usize,
}

impl Life {
    /// The life kept in the folder, or a new one.
    fn resume(data_dir: &Path) -> Self {
        let file = data_dir.join("simulator");
        let kept = std::fs::read_to_string(&file).ok();
        let kept = kept.as_deref().and_then(|text| {
            let (born_at, changes) = text.trim().split_once(' ')?;
            Some((born_at.parse().ok()?, changes.parse().ok()?))
        });
        let (born_at, changes) = kept.unwrap_or_else(|| (clock::now(), 0));
        Self {
            file,
            born_at,
            changes,
        }
    }

    fn keep(&self) {
        let text = format!("{} {}", self.born_at.to_rfc3339(), self.changes);
        if let Err(error) = std::fs::write(&self.file, text) {
            tracing::debug!(%error, "the simulator's life could not be kept");
        }
    }

    async fn go_on(mut self, simulator: &Simulator, seconds_per_change: f64, stop: Stop) {
        let pause = Duration::from_secs_f64(seconds_per_change.clamp(0.01, 86_400.0));
        loop {
            self.keep();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(stop.clone()) => return,
            }
            simulator.change(1);
            self.changes += 1;
        }
    }
}

/// The first query of the welcome; the README shows the same.
const FIRST_QUERY: &str = "{ users(first: 3) { totalCount nodes { firstName lastName courseProgressions(first: 2) \
{ nodes { status courseRevision { title } } } } } }";

fn welcome(address: SocketAddr, data_dir: &Path, simulator: &Simulator) {
    let body = json!({ "query": FIRST_QUERY });
    let simulated = simulator.base_url();
    let data_dir = data_dir.display();
    println!(
        "
kombo-mirror is mirroring a simulated Kombo ({simulated}).

  Console      http://{address}/
  GraphiQL     http://{address}/graphiql
  GraphQL      http://{address}/graphql
  read token   {READ_TOKEN}
  admin token  {ADMIN_TOKEN}   (may run triggerResync)
  data         {data_dir}   (remove it to begin anew)

A first query, for another terminal:

  curl -s http://{address}/graphql -H 'Authorization: Bearer {READ_TOKEN}' -H 'Content-Type: application/json' \\
    -d '{body}'

Ctrl-C stops everything.
"
    );
}

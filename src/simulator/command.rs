//! `kombo-mirror simulate`: the simulator as a process of its own.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{After14Days, NestedUpdates, Options, Simulator, WebhookTarget};

/// What `simulate` can be told.
#[derive(Args, Clone)]
pub struct SimulateOptions {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub listen_addr: SocketAddr,
    /// Begins the same data for the same seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Integrations
    #[arg(long, default_value_t = 1)]
    pub integrations: usize,
    /// Users of each integration
    #[arg(long, default_value_t = 100)]
    pub users: usize,
    /// Courses of each integration
    #[arg(long, default_value_t = 40)]
    pub courses: usize,
    /// Skills of each integration
    #[arg(long, default_value_t = 30)]
    pub skills: usize,
    /// Course progressions of each integration
    #[arg(long, default_value_t = 500)]
    pub progressions: usize,
    /// Which of Kombo's readings of nested updates to follow
    #[arg(long, value_enum, default_value_t = Reading::Strict)]
    pub nested_updates: Reading,
    /// What becomes of a tombstone after 14 days
    #[arg(long, value_enum, default_value_t = Expiry::NullFields)]
    pub after_14_days: Expiry,
    /// The API key to accept
    #[arg(long, default_value = "ks_dev_simulator")]
    pub api_key: String,
    /// Where to send webhooks [default: nowhere]
    #[arg(long, requires = "webhook_secret")]
    pub webhook_url: Option<String>,
    /// What to sign them with
    #[arg(long)]
    pub webhook_secret: Option<String>,
    /// Seconds that changes are collected for before the next webhook
    #[arg(long, default_value_t = 30.0)]
    pub debounce_seconds: f64,
    /// Requests a minute
    #[arg(long, default_value_t = 6000)]
    pub rate_limit_per_minute: u32,
    /// Changes a second that the simulator makes by itself
    #[arg(long, default_value_t = 0.0)]
    pub changes_per_second: f64,
}

/// See [`NestedUpdates`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reading {
    /// The API reference.
    Strict,
    /// The fetching guide.
    Loose,
}

/// See [`After14Days`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Expiry {
    /// All fields but the id and the dates become null.
    NullFields,
    /// The row is gone.
    Remove,
}

impl From<SimulateOptions> for Options {
    fn from(given: SimulateOptions) -> Self {
        let webhook = given.webhook_url.zip(given.webhook_secret);
        Self {
            seed: given.seed,
            integrations: given.integrations,
            users: given.users,
            courses: given.courses,
            skills: given.skills,
            progressions: given.progressions,
            nested_updates: match given.nested_updates {
                Reading::Strict => NestedUpdates::Strict,
                Reading::Loose => NestedUpdates::Loose,
            },
            after_14_days: match given.after_14_days {
                Expiry::NullFields => After14Days::NullFields,
                Expiry::Remove => After14Days::Remove,
            },
            api_key: given.api_key,
            webhook: webhook.map(|(url, secret)| WebhookTarget { url, secret }),
            debounce: Duration::from_secs_f64(given.debounce_seconds.clamp(0.0, 86_400.0)),
            rate_limit_per_minute: given.rate_limit_per_minute,
            changes_per_second: given.changes_per_second,
            ..Self::default()
        }
    }
}

/// Simulates until `stop` turns true.
///
/// # Errors
/// The address cannot be listened on.
pub async fn run(options: SimulateOptions, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen_addr)
        .await
        .map_err(|error| {
            anyhow::anyhow!(
                "{} cannot be listened on: {error}; choose another with --listen-addr",
                options.listen_addr
            )
        })?;
    let api_key = options.api_key.clone();
    let simulator = Simulator::start(listener, options.into()).await?;
    println!("KOMBO_API_URL={}", simulator.base_url());
    println!("KOMBO_API_KEY={api_key}");
    println!(
        "KOMBO_INTEGRATION_IDS={}",
        simulator.integration_ids().join(",")
    );
    // an error means that nobody is left who could stop us
    let _ = stop.wait_for(|stop| *stop).await;
    simulator.stop().await;
    Ok(())
}

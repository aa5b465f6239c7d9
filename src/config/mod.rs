//! Every setting and limit, in one place.
//!
//! Each is an environment variable and a flag. Nothing else in the crate reads the environment. All
//! settings are read before anything starts, and every wrong one is named at once: an operator should
//! not have to restart the server once per mistake. Secrets are read into [`SecretString`], which shows
//! nothing in `Debug`.

mod auth;
mod check;
mod guide;
mod limits;
mod process;
mod read;
mod retention;
mod safelist;
mod sockets;
#[cfg(test)]
mod tests;
mod trace;

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::SecretString;

pub use auth::{AuthSettings, JwtSettings};
pub use check::log_format;
pub use guide::{markdown as guide, names as guide_names};
pub use limits::{GraphqlSettings, Limit, Origins, RawGraphqlSettings};
pub use process::{Migrate, ProcessSettings};
pub use retention::RetentionSettings;
pub use safelist::SafeOperation;
pub use sockets::SocketSettings;
pub use trace::{TraceSettings, trace_settings};

/// The settings as typed: unchecked text. Doc comments are the `--help` texts.
#[derive(Args, Clone, Default)]
pub struct RawSettings {
    /// What this process does: "api" receives webhooks and answers GraphQL, "worker" keeps the mirror fresh,
    /// "all" does both [default: all]
    ///
    /// "api" fetches nothing and needs KOMBO_API_KEY for the mutation requestKomboSync alone; "worker" answers
    /// /healthz, /readyz and /metrics only, and needs neither webhook secret nor tokens.
    #[arg(long, env = "ROLE")]
    pub role: Option<String>,
    /// Postgres URL, for instance postgres://user:password@host/db?sslmode=verify-full (required)
    ///
    /// sslmode is disable, prefer, require, verify-ca or verify-full; sslrootcert names a file of root certificates.
    /// Connect directly: a pooler in transaction mode is not supported.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// File that holds DATABASE_URL
    #[arg(long, env = "DATABASE_URL_FILE")]
    pub database_url_file: Option<String>,
    /// Postgres URL of the streaming standbys that GraphQL reads from, one host for each [default: DATABASE_URL]
    ///
    /// What a mutation or a notification told of is read from DATABASE_URL.
    #[arg(long, env = "DATABASE_READ_URL", hide_env_values = true)]
    pub database_read_url: Option<String>,
    /// File that holds DATABASE_READ_URL
    #[arg(long, env = "DATABASE_READ_URL_FILE")]
    pub database_read_url_file: Option<String>,
    /// A standby that is further behind is left out: DATABASE_URL is read from instead [default: 10s]
    #[arg(long, env = "DATABASE_READ_MAX_LAG")]
    pub database_read_max_lag: Option<String>,
    /// Connections to Postgres, at most; as many again for the reads of GraphQL, and for webhooks; and one for each core, which quick reads share [default: 16]
    #[arg(long, env = "DATABASE_POOL_SIZE")]
    pub database_pool_size: Option<String>,
    /// Who brings the schema up to date: "auto" each process that starts, "wait" kombo-mirror migrate alone [default: auto]
    ///
    /// Of several processes that start at once one migrates and the others wait for it.
    #[arg(long, env = "MIGRATE")]
    pub migrate: Option<String>,
    /// Base URL of Kombo's API [default: https://api.kombo.dev/v1]
    #[arg(long, env = "KOMBO_API_URL")]
    pub kombo_api_url: Option<String>,
    /// Kombo API key (required)
    #[arg(long, env = "KOMBO_API_KEY", hide_env_values = true)]
    pub kombo_api_key: Option<String>,
    /// File that holds KOMBO_API_KEY
    #[arg(long, env = "KOMBO_API_KEY_FILE")]
    pub kombo_api_key_file: Option<String>,
    /// Webhook secrets, comma-separated: several during a rotation (required)
    #[arg(long, env = "KOMBO_WEBHOOK_SECRET", hide_env_values = true)]
    pub kombo_webhook_secret: Option<String>,
    /// File that holds KOMBO_WEBHOOK_SECRET
    #[arg(long, env = "KOMBO_WEBHOOK_SECRET_FILE")]
    pub kombo_webhook_secret_file: Option<String>,
    /// Integrations to mirror from the start, comma-separated; others register themselves by webhook [default: none]
    #[arg(long, env = "KOMBO_INTEGRATION_IDS")]
    pub kombo_integration_ids: Option<String>,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, env = "LISTEN_ADDR")]
    pub listen_addr: Option<String>,
    /// Bearer tokens that may read, comma-separated
    #[arg(long, env = "API_READ_TOKENS", hide_env_values = true)]
    pub api_read_tokens: Option<String>,
    /// File that holds API_READ_TOKENS
    #[arg(long, env = "API_READ_TOKENS_FILE")]
    pub api_read_tokens_file: Option<String>,
    /// Bearer tokens that may read, run mutations and see which webhooks came, comma-separated
    #[arg(long, env = "API_ADMIN_TOKENS", hide_env_values = true)]
    pub api_admin_tokens: Option<String>,
    /// File that holds API_ADMIN_TOKENS
    #[arg(long, env = "API_ADMIN_TOKENS_FILE")]
    pub api_admin_tokens_file: Option<String>,
    /// Secret that JWTs are signed with by HS256, at least 32 bytes
    #[arg(long, env = "JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<String>,
    /// File that holds JWT_SECRET
    #[arg(long, env = "JWT_SECRET_FILE")]
    pub jwt_secret_file: Option<String>,
    /// Where the issuer of JWTs publishes its public keys (RS*, PS*, ES256, ES384 and EdDSA)
    ///
    /// The keys are fetched at the start, every ten minutes, and when a JWT names one that is not known.
    #[arg(long, env = "JWT_JWKS_URL")]
    pub jwt_jwks_url: Option<String>,
    /// The "iss" that a JWT must have [default: any]
    #[arg(long, env = "JWT_ISSUER")]
    pub jwt_issuer: Option<String>,
    /// What a JWT's "aud" may be, comma-separated; without it a JWT that has an "aud" is refused [default: none]
    #[arg(long, env = "JWT_AUDIENCE")]
    pub jwt_audience: Option<String>,
    /// "off" lets everybody in, on a loopback address only [default: on]
    #[arg(long, env = "AUTH")]
    pub auth: Option<String>,
    /// A read of GraphQL that takes the database longer is given up with the error TIMEOUT [default: 10s]
    #[arg(long, env = "GRAPHQL_STATEMENT_TIMEOUT")]
    pub graphql_statement_timeout: Option<String>,
    /// What one GraphQL request may ask for.
    #[command(flatten)]
    pub graphql: RawGraphqlSettings,
    /// Time between two full fetches of an endpoint [default: 7d]
    ///
    /// A tenth of jitter is added.
    #[arg(long, env = "FULL_FETCH_INTERVAL")]
    pub full_fetch_interval: Option<String>,
    /// Time between two catch-up deltas of an endpoint, which find lost webhooks [default: 1h]
    #[arg(long, env = "CATCH_UP_INTERVAL")]
    pub catch_up_interval: Option<String>,
    /// Subtracted from the watermark when asking Kombo, against clock skew and late commits [default: 5m]
    #[arg(long, env = "WATERMARK_OVERLAP")]
    pub watermark_overlap: Option<String>,
    /// Runs that work at the same time in this process [default: 4]
    ///
    /// Of several workers the first takes deltas only, so that no full fetch keeps news waiting.
    #[arg(long, env = "SYNC_WORKERS")]
    pub sync_workers: Option<String>,
    /// A run whose worker gave no sign of life for so long is taken over by another [default: 15s]
    ///
    /// It is renewed three times in it.
    #[arg(long, env = "SYNC_LEASE")]
    pub sync_lease: Option<String>,
    /// Rows of one model that a full fetch may remove by absence whatever the share [default: 50]
    #[arg(long, env = "REMOVAL_GUARD_ROWS")]
    pub removal_guard_rows: Option<String>,
    /// Share of a model's rows that a full fetch may remove by absence, in percent [default: 10]
    #[arg(long, env = "REMOVAL_GUARD_PERCENT")]
    pub removal_guard_percent: Option<String>,
    /// How long all that is mirrored of an integration stays after Kombo deleted it [default: 14d]
    ///
    /// After that all of it is purged.
    #[arg(long, env = "INTEGRATION_RETENTION")]
    pub integration_retention: Option<String>,
    /// How long finished sync runs and received webhooks are kept [default: 90d]
    ///
    /// The newest run of each endpoint stays.
    #[arg(long, env = "RUN_RETENTION")]
    pub run_retention: Option<String>,
    /// How long the feed of record changes is kept [default: 30d]
    #[arg(long, env = "CHANGE_RETENTION")]
    pub change_retention: Option<String>,
    /// WebSockets of this process at the same time [default: 10000]
    #[arg(long, env = "SOCKET_CONNECTIONS")]
    pub socket_connections: Option<String>,
    /// Operations that run in one WebSocket at the same time [default: 50]
    #[arg(long, env = "SOCKET_OPERATIONS")]
    pub socket_operations: Option<String>,
    /// How long requests have to end when the process is told to stop [default: 30s]
    ///
    /// New connections are refused meanwhile, and sync runs go back to the queue at once.
    #[arg(long, env = "SHUTDOWN_GRACE")]
    pub shutdown_grace: Option<String>,
    /// Log lines as text or json [default: text]
    #[arg(long, env = "LOG_FORMAT")]
    pub log_format: Option<String>,
    /// Collector that spans are sent to by OTLP over HTTP, for instance http://localhost:4318 [default: none are sent]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true)]
    pub otel_exporter_otlp_endpoint: Option<String>,
    /// Headers of the requests to the collector, for instance api-key=secret, comma-separated
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", hide_env_values = true)]
    pub otel_exporter_otlp_headers: Option<String>,
    /// File that holds OTEL_EXPORTER_OTLP_HEADERS
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS_FILE")]
    pub otel_exporter_otlp_headers_file: Option<String>,
    /// Name of this service in its spans [default: kombo-mirror]
    #[arg(long, env = "OTEL_SERVICE_NAME")]
    pub otel_service_name: Option<String>,
    /// Share of traces that are sent, from 0 to 1 [default: 1]
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG")]
    pub otel_traces_sampler_arg: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// What a process does. Several of each may share one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Both of the following.
    All,
    /// Receives webhooks, answers GraphQL and shows the pages; fetches nothing.
    Api,
    /// Works on runs and keeps the schedule; by HTTP it only says how it is.
    Worker,
}

impl Role {
    /// Whether it opens its doors to Kombo and to readers.
    #[must_use]
    pub fn serves_api(self) -> bool {
        self != Self::Worker
    }

    /// Whether it asks Kombo.
    #[must_use]
    pub fn works(self) -> bool {
        self != Self::Api
    }
}

/// The checked settings of a process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it does.
    pub role: Role,
    /// See [`RawSettings::database_url`].
    pub database_url: SecretString,
    /// Where GraphQL reads: the same database, or standbys of it.
    pub database_read_url: SecretString,
    /// A standby further behind is not read from.
    pub database_read_max_lag: Duration,
    /// Connections of each pool, at least 4: of fetches, of reads and of webhooks.
    pub database_pool_size: usize,
    /// A statement of GraphQL that takes longer is given up.
    pub graphql_statement_timeout: Duration,
    /// What the client of Kombo needs.
    pub kombo: KomboSettings,
    /// Secrets that a webhook may be signed with; empty only where no webhook is received.
    pub webhook_secrets: Vec<SecretString>,
    /// Kombo ids of integrations to register at start.
    pub integration_ids: Vec<String>,
    /// Where to listen.
    pub listen_addr: SocketAddr,
    /// Who may ask.
    pub auth: AuthSettings,
    /// What one GraphQL request may ask for.
    pub graphql: GraphqlSettings,
    /// What decides when and how far to fetch.
    pub sync: SyncSettings,
    /// How long what is kept.
    pub retention: RetentionSettings,
    /// How much WebSockets may take.
    pub sockets: SocketSettings,
    /// How the process begins and ends.
    pub process: ProcessSettings,
}

/// Where and as whom to ask Kombo.
#[derive(Debug, Clone)]
pub struct KomboSettings {
    /// Base URL without a trailing slash.
    pub api_url: String,
    /// Bearer key.
    pub api_key: SecretString,
    /// A request that takes longer is given up and tried again (Kombo documents no limit of its own).
    pub request_timeout: Duration,
    /// Short retries inside one call, before the run is put back into the queue.
    pub attempts: u32,
    /// The longest wait inside one call; Kombo asking for more puts the run back into the queue.
    pub longest_wait: Duration,
}

/// When and how far to fetch.
#[derive(Debug, Clone)]
pub struct SyncSettings {
    /// Time between two full fetches of an endpoint.
    pub full_fetch_interval: Duration,
    /// Time between two catch-up deltas of an endpoint.
    pub catch_up_interval: Duration,
    /// Subtracted from the watermark when sending.
    pub watermark_overlap: Duration,
    /// Concurrent runs of this process.
    pub workers: usize,
    /// Removal guard: rows that may always be removed.
    pub removal_guard_rows: i64,
    /// Removal guard: percent of a model's rows that may be removed.
    pub removal_guard_percent: i64,
    /// A run whose lease is older was left by a dead worker and is taken over. Kept alive three times in it,
    /// so a busy database costs no run; short, so that a crash delays a change by seconds.
    pub lease: Duration,
    /// How long an idle worker or schedule sleeps at most.
    pub poll: Duration,
    /// First wait of an endpoint or run that failed; doubles up to `longest_backoff`.
    pub first_backoff: Duration,
    /// The longest wait after failures.
    pub longest_backoff: Duration,
    /// How often a setup that is not finished at Kombo is asked again.
    pub setup_poll: Duration,
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self {
            full_fetch_interval: Duration::from_secs(7 * 24 * 3600),
            catch_up_interval: Duration::from_secs(3600),
            watermark_overlap: Duration::from_secs(300),
            workers: 4,
            removal_guard_rows: 50,
            removal_guard_percent: 10,
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            first_backoff: Duration::from_secs(5),
            longest_backoff: Duration::from_secs(900),
            setup_poll: Duration::from_secs(300),
        }
    }
}

impl KomboSettings {
    /// The defaults around a base URL and a key.
    #[must_use]
    pub fn new(api_url: &str, api_key: SecretString) -> Self {
        Self {
            api_url: api_url.trim_end_matches('/').to_owned(),
            api_key,
            request_timeout: Duration::from_secs(30),
            attempts: 4,
            longest_wait: Duration::from_secs(20),
        }
    }
}

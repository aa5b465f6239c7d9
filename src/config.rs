//! Every setting and limit, in one place.
//!
//! Each is an environment variable and a flag. Nothing else in the crate reads the environment. All
//! settings are read before anything starts, and every wrong one is named at once: an operator should
//! not have to restart the server once per mistake. Secrets are read into [`SecretString`], which shows
//! nothing in `Debug`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::db;

/// The settings as typed: unchecked text. Doc comments are the `--help` texts.
#[derive(Args, Clone, Default)]
pub struct RawSettings {
    /// Postgres URL, for instance postgres://user:password@host/db?sslmode=verify-full (required)
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// File that holds DATABASE_URL
    #[arg(long, env = "DATABASE_URL_FILE")]
    pub database_url_file: Option<String>,
    /// Connections to Postgres, at most [default: 16]
    #[arg(long, env = "DATABASE_POOL_SIZE")]
    pub database_pool_size: Option<String>,
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
    /// Bearer tokens that may read and run mutations, comma-separated
    #[arg(long, env = "API_ADMIN_TOKENS", hide_env_values = true)]
    pub api_admin_tokens: Option<String>,
    /// File that holds API_ADMIN_TOKENS
    #[arg(long, env = "API_ADMIN_TOKENS_FILE")]
    pub api_admin_tokens_file: Option<String>,
    /// "off" lets everybody in, on a loopback address only [default: on]
    #[arg(long, env = "AUTH")]
    pub auth: Option<String>,
    /// Time between two full fetches of an endpoint [default: 7d]
    #[arg(long, env = "FULL_FETCH_INTERVAL")]
    pub full_fetch_interval: Option<String>,
    /// Time between two catch-up deltas of an endpoint, which find lost webhooks [default: 1h]
    #[arg(long, env = "CATCH_UP_INTERVAL")]
    pub catch_up_interval: Option<String>,
    /// Subtracted from the watermark when asking Kombo, against clock skew and late commits [default: 5m]
    #[arg(long, env = "WATERMARK_OVERLAP")]
    pub watermark_overlap: Option<String>,
    /// Runs that work at the same time in this process [default: 4]
    #[arg(long, env = "SYNC_WORKERS")]
    pub sync_workers: Option<String>,
    /// Rows of one model that a full fetch may remove by absence whatever the share [default: 50]
    #[arg(long, env = "REMOVAL_GUARD_ROWS")]
    pub removal_guard_rows: Option<String>,
    /// Share of a model's rows that a full fetch may remove by absence, in percent [default: 10]
    #[arg(long, env = "REMOVAL_GUARD_PERCENT")]
    pub removal_guard_percent: Option<String>,
    /// Log lines as text or json [default: text]
    #[arg(long, env = "LOG_FORMAT")]
    pub log_format: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// The checked settings of a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// See [`RawSettings::database_url`].
    pub database_url: SecretString,
    /// Connections, at least 4.
    pub database_pool_size: usize,
    /// What the client of Kombo needs.
    pub kombo: KomboSettings,
    /// Secrets that a webhook may be signed with; never empty.
    pub webhook_secrets: Vec<SecretString>,
    /// Kombo ids of integrations to register at start.
    pub integration_ids: Vec<String>,
    /// Where to listen.
    pub listen_addr: SocketAddr,
    /// Who may ask.
    pub auth: AuthSettings,
    /// What decides when and how far to fetch.
    pub sync: SyncSettings,
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

/// Who may ask the GraphQL API.
#[derive(Debug, Clone)]
pub enum AuthSettings {
    /// Everybody may do everything; only ever on a loopback address.
    Off,
    /// Bearer tokens.
    Tokens {
        /// May read.
        read: Vec<SecretString>,
        /// May read and run mutations.
        admin: Vec<SecretString>,
    },
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
    /// A run whose lease is older was left by a dead worker and is taken over.
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
            lease: Duration::from_secs(60),
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

/// Kombo's EU region, the default of its own SDKs.
const KOMBO_EU: &str = "https://api.kombo.dev/v1";

impl Settings {
    /// Checks the settings.
    ///
    /// # Errors
    /// One sentence for every setting that is missing, malformed or contradicts another.
    pub fn check(raw: &RawSettings) -> Result<Self, Vec<String>> {
        let mut check = Check::default();
        let database_url = check.database_url(raw);
        let api_key = check.secret(
            "KOMBO_API_KEY",
            raw.kombo_api_key.as_ref(),
            raw.kombo_api_key_file.as_ref(),
        );
        if api_key.is_none() {
            check.missing("KOMBO_API_KEY", "the key of your Kombo environment");
        }
        let webhook_secrets = check.secrets(
            "KOMBO_WEBHOOK_SECRET",
            raw.kombo_webhook_secret.as_ref(),
            raw.kombo_webhook_secret_file.as_ref(),
        );
        if webhook_secrets.is_empty() {
            check.missing(
                "KOMBO_WEBHOOK_SECRET",
                "without it nobody could tell Kombo's webhooks from forged ones",
            );
        }
        let listen_addr = check.parsed(
            "LISTEN_ADDR",
            raw.listen_addr.as_ref(),
            SocketAddr::from(([127, 0, 0, 1], 8080)),
            "an address with a port such as 127.0.0.1:8080",
        );
        let auth = check.auth(raw, listen_addr);
        let api_url = check.api_url(raw.kombo_api_url.as_deref().unwrap_or(KOMBO_EU));
        let sync = check.sync(raw);
        let database_pool_size = check.count(
            "DATABASE_POOL_SIZE",
            raw.database_pool_size.as_ref(),
            16,
            4..=1000,
        );
        check.log_format(raw.log_format.as_ref());
        match (database_url, api_key, check.problems.is_empty()) {
            (Some(database_url), Some(api_key), true) => Ok(Self {
                database_url,
                database_pool_size,
                kombo: KomboSettings::new(&api_url, api_key),
                webhook_secrets,
                integration_ids: list(raw.kombo_integration_ids.as_deref().unwrap_or_default()),
                listen_addr,
                auth,
                sync,
            }),
            _ => Err(check.problems),
        }
    }

    /// Only what the database needs, for `migrate`.
    ///
    /// # Errors
    /// What is wrong with `DATABASE_URL`.
    pub fn check_database_url(raw: &RawSettings) -> Result<SecretString, Vec<String>> {
        let mut check = Check::default();
        let url = check.database_url(raw);
        url.ok_or(check.problems)
    }
}

/// How log lines look; a malformed value is reported by [`Settings::check`] and read as text here.
#[must_use]
pub fn log_format(raw: &RawSettings) -> LogFormat {
    let mut check = Check::default();
    check.log_format(raw.log_format.as_ref())
}

/// Collects problems instead of stopping at the first.
#[derive(Default)]
struct Check {
    problems: Vec<String>,
}

impl Check {
    fn missing(&mut self, name: &str, why: &str) {
        // A file that could not be read was already named.
        if !self
            .problems
            .iter()
            .any(|problem| problem.starts_with(name))
        {
            self.problems.push(format!("{name} is missing: {why}"));
        }
    }

    fn database_url(&mut self, raw: &RawSettings) -> Option<SecretString> {
        let url = self.secret(
            "DATABASE_URL",
            raw.database_url.as_ref(),
            raw.database_url_file.as_ref(),
        );
        match &url {
            None => self.missing(
                "DATABASE_URL",
                "for instance postgres://user@localhost/kombo",
            ),
            Some(url) => {
                if let Err(error) = db::pool(url, 1) {
                    self.problems
                        .push(format!("DATABASE_URL cannot be used: {error:#}"));
                }
            }
        }
        url
    }

    fn api_url(&mut self, text: &str) -> String {
        let fine = Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !fine {
            self.problems.push(format!(
                "KOMBO_API_URL must be an http(s) URL such as {KOMBO_EU}, not {text:?}"
            ));
        }
        text.trim_end_matches('/').to_owned()
    }

    fn sync(&mut self, raw: &RawSettings) -> SyncSettings {
        let default = SyncSettings::default();
        let full = raw.full_fetch_interval.as_ref();
        let catch_up = raw.catch_up_interval.as_ref();
        let sync = SyncSettings {
            full_fetch_interval: self.duration(
                "FULL_FETCH_INTERVAL",
                full,
                default.full_fetch_interval,
            ),
            catch_up_interval: self.duration(
                "CATCH_UP_INTERVAL",
                catch_up,
                default.catch_up_interval,
            ),
            watermark_overlap: self.duration(
                "WATERMARK_OVERLAP",
                raw.watermark_overlap.as_ref(),
                default.watermark_overlap,
            ),
            workers: self.count(
                "SYNC_WORKERS",
                raw.sync_workers.as_ref(),
                default.workers,
                1..=64,
            ),
            removal_guard_rows: self.parsed(
                "REMOVAL_GUARD_ROWS",
                raw.removal_guard_rows.as_ref(),
                default.removal_guard_rows,
                "a number of rows",
            ),
            removal_guard_percent: self.parsed(
                "REMOVAL_GUARD_PERCENT",
                raw.removal_guard_percent.as_ref(),
                default.removal_guard_percent,
                "a whole number from 0 to 100",
            ),
            ..default
        };
        if !(0..=100).contains(&sync.removal_guard_percent) {
            self.problems
                .push("REMOVAL_GUARD_PERCENT must be from 0 to 100".to_owned());
        }
        if sync.removal_guard_rows < 0 {
            self.problems
                .push("REMOVAL_GUARD_ROWS must not be negative".to_owned());
        }
        if sync.full_fetch_interval > Duration::from_secs(13 * 24 * 3600) {
            self.problems.push(
                "FULL_FETCH_INTERVAL must not exceed 13d: Kombo blanks deleted records after 14 days"
                    .to_owned(),
            );
        }
        sync
    }

    fn auth(&mut self, raw: &RawSettings, listen_addr: SocketAddr) -> AuthSettings {
        let read = self.secrets(
            "API_READ_TOKENS",
            raw.api_read_tokens.as_ref(),
            raw.api_read_tokens_file.as_ref(),
        );
        let admin = self.secrets(
            "API_ADMIN_TOKENS",
            raw.api_admin_tokens.as_ref(),
            raw.api_admin_tokens_file.as_ref(),
        );
        let has_tokens = !read.is_empty() || !admin.is_empty();
        match raw.auth.as_deref().unwrap_or("on") {
            "off" => {
                if has_tokens {
                    self.problems.push(
                        "AUTH=off contradicts API_READ_TOKENS and API_ADMIN_TOKENS: choose one"
                            .to_owned(),
                    );
                }
                if !listen_addr.ip().is_loopback() {
                    self.problems.push(format!(
                        "AUTH=off is allowed on a loopback address only, not on LISTEN_ADDR={listen_addr}"
                    ));
                }
                AuthSettings::Off
            }
            "on" => {
                if !has_tokens {
                    self.problems.push(
                        "API_READ_TOKENS or API_ADMIN_TOKENS is missing: set one, or AUTH=off on a loopback address"
                            .to_owned(),
                    );
                }
                AuthSettings::Tokens { read, admin }
            }
            other => {
                self.problems
                    .push(format!("AUTH must be on or off, not {other:?}"));
                AuthSettings::Tokens { read, admin }
            }
        }
    }

    fn log_format(&mut self, value: Option<&String>) -> LogFormat {
        match value.map(String::as_str) {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                self.problems
                    .push(format!("LOG_FORMAT must be text or json, not {other:?}"));
                LogFormat::Text
            }
        }
    }

    fn duration(&mut self, name: &str, value: Option<&String>, default: Duration) -> Duration {
        let Some(text) = value else { return default };
        humantime::parse_duration(text).unwrap_or_else(|_| {
            self.problems.push(format!(
                "{name} must be a duration such as 90s, 5m, 1h or 7d, not {text:?}"
            ));
            default
        })
    }

    fn count(
        &mut self,
        name: &str,
        value: Option<&String>,
        default: usize,
        range: std::ops::RangeInclusive<usize>,
    ) -> usize {
        let count = self.parsed(name, value, default, "a whole number");
        if !range.contains(&count) {
            self.problems.push(format!(
                "{name} must be from {} to {}, not {count}",
                range.start(),
                range.end()
            ));
        }
        count
    }

    fn parsed<T: std::str::FromStr>(
        &mut self,
        name: &str,
        value: Option<&String>,
        default: T,
        expected: &str,
    ) -> T {
        let Some(text) = value else { return default };
        text.parse().unwrap_or_else(|_| {
            self.problems
                .push(format!("{name} must be {expected}, not {text:?}"));
            default
        })
    }

    fn secrets(
        &mut self,
        name: &str,
        value: Option<&String>,
        file: Option<&String>,
    ) -> Vec<SecretString> {
        self.secret(name, value, file)
            .map(|secret| {
                list(secret.expose_secret())
                    .into_iter()
                    .map(SecretString::from)
                    .collect()
            })
            .unwrap_or_default()
    }

    fn secret(
        &mut self,
        name: &str,
        value: Option<&String>,
        file: Option<&String>,
    ) -> Option<SecretString> {
        let text = match (value, file) {
            (Some(_), Some(_)) => {
                self.problems.push(format!(
                    "{name} and {name}_FILE contradict each other: set one"
                ));
                return None;
            }
            (Some(value), None) => value.clone(),
            (None, Some(path)) => match std::fs::read_to_string(Path::new(path)) {
                Ok(text) => text,
                Err(error) => {
                    self.problems
                        .push(format!("{name}_FILE={path} cannot be read: {error}"));
                    return None;
                }
            },
            (None, None) => return None,
        };
        let text = text.trim();
        (!text.is_empty()).then(|| SecretString::from(text.to_owned()))
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> RawSettings {
        RawSettings {
            database_url: Some("postgres://localhost/kombo".to_owned()),
            kombo_api_key: Some("ks_dev_1".to_owned()),
            kombo_webhook_secret: Some("old, new".to_owned()),
            api_read_tokens: Some("reader".to_owned()),
            ..RawSettings::default()
        }
    }

    #[test]
    fn every_wrong_setting_is_named_at_once() {
        let raw = RawSettings {
            listen_addr: Some("everywhere".to_owned()),
            full_fetch_interval: Some("weekly".to_owned()),
            sync_workers: Some("0".to_owned()),
            log_format: Some("xml".to_owned()),
            kombo_api_url: Some("api.kombo.dev".to_owned()),
            ..RawSettings::default()
        };
        let problems = Settings::check(&raw).unwrap_err();
        for name in [
            "DATABASE_URL",
            "KOMBO_API_KEY",
            "KOMBO_WEBHOOK_SECRET",
            "LISTEN_ADDR",
            "API_READ_TOKENS",
            "FULL_FETCH_INTERVAL",
            "SYNC_WORKERS",
            "LOG_FORMAT",
            "KOMBO_API_URL",
        ] {
            assert!(
                problems.iter().any(|problem| problem.contains(name)),
                "{name} is not named in {problems:?}"
            );
        }
    }

    // F56: no secret, no server.
    #[test]
    fn an_empty_webhook_secret_is_refused() {
        let raw = RawSettings {
            kombo_webhook_secret: Some(" , ".to_owned()),
            ..complete()
        };
        let problems = Settings::check(&raw).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("KOMBO_WEBHOOK_SECRET"));
    }

    #[test]
    fn auth_off_is_refused_beyond_loopback_and_beside_tokens() {
        let raw = RawSettings {
            auth: Some("off".to_owned()),
            listen_addr: Some("0.0.0.0:80".to_owned()),
            ..complete()
        };
        assert_eq!(Settings::check(&raw).unwrap_err().len(), 2);
    }

    #[test]
    fn secrets_never_appear_in_debug() {
        let settings = Settings::check(&complete()).unwrap();
        let shown = format!("{settings:?}");
        assert!(!shown.contains("ks_dev_1") && !shown.contains("reader"));
        assert_eq!(settings.webhook_secrets.len(), 2);
    }

    #[test]
    fn a_secret_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "ks_dev_2\n").unwrap();
        let raw = RawSettings {
            kombo_api_key: None,
            kombo_api_key_file: Some(file.path().display().to_string()),
            ..complete()
        };
        let settings = Settings::check(&raw).unwrap();
        assert_eq!(settings.kombo.api_key.expose_secret(), "ks_dev_2");
    }
}

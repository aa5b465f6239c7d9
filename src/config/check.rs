//! From text to checked settings: every problem is collected and named, none stops the others.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::read::{Check, list};
use super::{AuthSettings, KomboSettings, LogFormat, RawSettings, Role, Settings, SyncSettings};
use crate::db;

/// Kombo's EU region, the default of its own SDKs.
const KOMBO_EU: &str = "https://api.kombo.dev/v1";

/// Leases that a busy machine can keep, and that a crash does not turn into an outage.
const LEASES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(600);

/// Well below the limit of a request, so that its error comes from where it arose.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// To Postgres zero is no limit at all.
const STATEMENT_TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(600);

/// Readers hardly notice it, and a standby is rarely behind by as much.
const READ_MAX_LAG: Duration = Duration::from_secs(10);
/// Standbys are looked at twice a second; what is left out for less would come and go.
const READ_MAX_LAGS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(2)..=Duration::from_secs(24 * 3600);

/// An endpoint that is fetched more rarely loses deletions.
const LONGEST_INTERVAL: Duration = Duration::from_secs(13 * 24 * 3600);

impl Settings {
    /// Checks the settings.
    ///
    /// # Errors
    /// One sentence for every setting that is missing, malformed or contradicts another.
    pub fn check(raw: &RawSettings) -> Result<Self, Vec<String>> {
        let mut check = Check::default();
        let role = check.role(raw.role.as_ref());
        let webhook_secrets = check.webhook_secrets(raw, role);
        let listen_addr = check.parsed(
            "LISTEN_ADDR",
            raw.listen_addr.as_ref(),
            SocketAddr::from(([127, 0, 0, 1], 8080)),
            "an address with a port such as 127.0.0.1:8080",
        );
        let auth = check.auth(raw, role, listen_addr);
        check.engine(
            raw,
            role,
            Doors {
                webhook_secrets,
                listen_addr,
                auth,
            },
        )
    }

    /// What `sync` and `verify` need: they ask Kombo as a server does, but nobody can reach them.
    ///
    /// # Errors
    /// As [`Settings::check`].
    pub fn check_for_sync(raw: &RawSettings) -> Result<Self, Vec<String>> {
        Check::default().engine(raw, Role::Worker, Doors::closed())
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

/// What a server can be reached by.
struct Doors {
    webhook_secrets: Vec<SecretString>,
    listen_addr: SocketAddr,
    auth: AuthSettings,
}

impl Doors {
    /// No secret and no token opens anything.
    fn closed() -> Self {
        Self {
            webhook_secrets: Vec::new(),
            listen_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            auth: AuthSettings::Tokens {
                read: Vec::new(),
                admin: Vec::new(),
                jwt: None,
            },
        }
    }
}

/// How log lines look; a malformed value is reported by [`Settings::check`] and read as text here.
#[must_use]
pub fn log_format(raw: &RawSettings) -> LogFormat {
    let mut check = Check::default();
    check.log_format(raw.log_format.as_ref())
}

impl Check {
    fn role(&mut self, value: Option<&String>) -> Role {
        match value.map(String::as_str) {
            None | Some("all") => Role::All,
            Some("api") => Role::Api,
            Some("worker") => Role::Worker,
            Some(other) => {
                self.problems
                    .push(format!("ROLE must be all, api or worker, not {other:?}"));
                Role::All
            }
        }
    }

    fn webhook_secrets(&mut self, raw: &RawSettings, role: Role) -> Vec<SecretString> {
        let secrets = self.secrets(
            "KOMBO_WEBHOOK_SECRET",
            raw.kombo_webhook_secret.as_ref(),
            raw.kombo_webhook_secret_file.as_ref(),
        );
        if secrets.is_empty() && role.serves_api() {
            self.missing(
                "KOMBO_WEBHOOK_SECRET",
                "without it nobody could tell Kombo's webhooks from forged ones",
            );
        }
        secrets
    }

    /// The rest of the settings: what every role needs, and what only those need who ask Kombo.
    fn engine(
        mut self,
        raw: &RawSettings,
        role: Role,
        doors: Doors,
    ) -> Result<Settings, Vec<String>> {
        let database_url = self.database_url(raw);
        let database_read_url = self.database_read_url(raw);
        let database_read_max_lag = self.read_max_lag(raw);
        let graphql_statement_timeout = self.statement_timeout(raw);
        let api_key = self.secret(
            "KOMBO_API_KEY",
            raw.kombo_api_key.as_ref(),
            raw.kombo_api_key_file.as_ref(),
        );
        if api_key.is_none() && role.works() {
            self.missing("KOMBO_API_KEY", "the key of your Kombo environment");
        }
        let api_url = self.api_url(raw.kombo_api_url.as_deref().unwrap_or(KOMBO_EU));
        let sync = self.sync(raw);
        let graphql = self.graphql(raw, &doors.auth);
        let retention = self.retention(raw);
        let sockets = self.sockets(raw);
        let process = self.process(raw);
        let database_pool_size = self.count(
            "DATABASE_POOL_SIZE",
            raw.database_pool_size.as_ref(),
            16,
            4..=1000,
        );
        self.log_format(raw.log_format.as_ref());
        self.trace(raw);
        match (database_url, self.problems.is_empty()) {
            (Some(database_url), true) => Ok(Settings {
                role,
                database_read_url: database_read_url.unwrap_or_else(|| database_url.clone()),
                database_read_max_lag,
                database_url,
                database_pool_size,
                graphql_statement_timeout,
                kombo: KomboSettings::new(&api_url, api_key.unwrap_or_default()),
                webhook_secrets: doors.webhook_secrets,
                integration_ids: list(raw.kombo_integration_ids.as_deref().unwrap_or_default()),
                listen_addr: doors.listen_addr,
                auth: doors.auth,
                graphql,
                sync,
                retention,
                sockets,
                process,
            }),
            _ => Err(self.problems),
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

    fn database_read_url(&mut self, raw: &RawSettings) -> Option<SecretString> {
        let url = self.secret(
            "DATABASE_READ_URL",
            raw.database_read_url.as_ref(),
            raw.database_read_url_file.as_ref(),
        );
        if let Some(url) = &url
            && let Err(error) = db::pool(url, 1)
        {
            self.problems
                .push(format!("DATABASE_READ_URL cannot be used: {error:#}"));
        }
        url
    }

    fn read_max_lag(&mut self, raw: &RawSettings) -> Duration {
        let given = raw.database_read_max_lag.as_ref();
        let lag = self.duration("DATABASE_READ_MAX_LAG", given, READ_MAX_LAG);
        if !READ_MAX_LAGS.contains(&lag) {
            self.problems
                .push("DATABASE_READ_MAX_LAG must be from 2s to 1d".to_owned());
        }
        lag
    }

    fn statement_timeout(&mut self, raw: &RawSettings) -> Duration {
        let timeout = self.duration(
            "GRAPHQL_STATEMENT_TIMEOUT",
            raw.graphql_statement_timeout.as_ref(),
            STATEMENT_TIMEOUT,
        );
        if !STATEMENT_TIMEOUTS.contains(&timeout) {
            self.problems.push(
                "GRAPHQL_STATEMENT_TIMEOUT must be from 10ms to 10m: without a limit one query could occupy the database for ever"
                    .to_owned(),
            );
        }
        timeout
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
            lease: self.duration("SYNC_LEASE", raw.sync_lease.as_ref(), default.lease),
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
        if !LEASES.contains(&sync.lease) {
            self.problems.push(
                "SYNC_LEASE must be from 1s to 10m: it is renewed three times in it, and so long a dead worker's run waits"
                    .to_owned(),
            );
        }
        for (name, interval, shortest) in [
            ("FULL_FETCH_INTERVAL", sync.full_fetch_interval, 1),
            ("CATCH_UP_INTERVAL", sync.catch_up_interval, 1),
            ("WATERMARK_OVERLAP", sync.watermark_overlap, 0),
        ] {
            if !(Duration::from_secs(shortest)..=LONGEST_INTERVAL).contains(&interval) {
                self.problems.push(format!(
                    "{name} must be from {shortest}s to 13d: Kombo blanks deleted records after 14 days"
                ));
            }
        }
        sync
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
}

//! From text to checked settings: every problem is collected and named, none stops the others.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{AuthSettings, KomboSettings, LogFormat, RawSettings, Settings, SyncSettings};
use crate::db;

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

    /// What `verify` needs: the database and Kombo. Nobody can reach it, so it wants no secret and no token.
    ///
    /// # Errors
    /// As [`Settings::check`].
    pub fn check_for_verify(raw: &RawSettings) -> Result<Self, Vec<String>> {
        Self::check(&raw.without_doors())
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

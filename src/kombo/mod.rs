//! The client of Kombo's LMS API: pages, patience, and the right words for what went wrong.
//!
//! It retries briefly by itself; what needs longer it returns, so that no worker sleeps on a run. It must
//! never touch the database.

mod answer;
pub mod budget;
mod error;
mod headers;
mod integration;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret as _;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

pub use answer::Page;
pub use error::{Error, Remedy};
pub use headers::Times;
pub use integration::ForcedSync;

use crate::clock::Clock;
use crate::config::KomboSettings;
use crate::metrics::Metrics;
use budget::{Budget, Lane, Told};

/// The largest page Kombo gives (API reference: 1 to 250). Reads come from its own database, so few large
/// pages are preferred.
const PAGE_SIZE: &str = "250";

/// The first pause between two tries; doubled each time, with full jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A spent budget is waited for in place only so long. A worker that waits longer could serve somebody else
/// meanwhile: its run is put aside until the window ends.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// The client; cheap to share, one per API key.
pub struct Client {
    http: reqwest::Client,
    settings: KomboSettings,
    budget: Arc<dyn Budget>,
    metrics: Arc<Metrics>,
}

/// What to ask a list endpoint.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// `X-Integration-Id`.
    pub integration_id: &'a str,
    /// Path below the base URL.
    pub path: &'a str,
    /// Only what changed after this moment; `None` for everything.
    pub updated_after: Option<DateTime<Utc>>,
    /// `next` of the page before.
    pub cursor: Option<&'a str>,
    /// Only these records; empty for all. Ids with a comma cannot be asked for.
    pub ids: &'a [String],
    /// How urgent it is.
    pub lane: Lane,
}

/// A page, and when its request began by Kombo's clock.
#[derive(Debug)]
pub struct Fetched {
    /// The page.
    pub page: Page,
    /// Kombo's time; `None`: the answer had no usable `Date` header.
    pub times: Option<Times>,
}

/// A request, as far as all of them are alike.
struct Asked<'a> {
    /// What the metrics call it.
    endpoint: &'a str,
    url: &'a str,
    query: &'a [(&'a str, String)],
    integration_id: Option<&'a str>,
    lane: Lane,
    clock: &'a Clock,
}

impl Asked<'_> {
    /// The path below the base URL: ids may be in it, filters and cursors are not.
    fn path(&self, base: &str) -> &str {
        self.url.strip_prefix(base).unwrap_or_default()
    }
}

struct Answer {
    body: Vec<u8>,
    times: Option<Times>,
}

impl Client {
    /// A client for one API key, which spends its requests from `budget` and counts them in `metrics`.
    ///
    /// # Errors
    /// The TLS set-up of this machine is unusable.
    pub fn new(
        settings: KomboSettings,
        budget: Arc<dyn Budget>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        // An error means that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(settings.request_timeout)
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("kombo-mirror/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("setting up the HTTP client")?;
        Ok(Self {
            http,
            settings,
            budget,
            metrics,
        })
    }

    /// Fetches one page, always with tombstones and with the same filters on every page (rule 4).
    ///
    /// # Errors
    /// See [`Error`]; short outages were waited for already.
    pub async fn page(&self, request: PageRequest<'_>, clock: &Clock) -> Result<Fetched, Error> {
        let mut query = vec![
            ("page_size", PAGE_SIZE.to_owned()),
            ("include_deleted", "true".to_owned()),
        ];
        if let Some(moment) = request.updated_after {
            query.push(("updated_after", format_moment(moment)));
        }
        if !request.ids.is_empty() {
            query.push(("ids", request.ids.join(",")));
        }
        if let Some(cursor) = request.cursor {
            query.push(("cursor", cursor.to_owned()));
        }
        let url = format!("{}{}", self.settings.api_url, request.path);
        let endpoint = endpoint_of(request.path);
        let asked = Asked {
            endpoint: &endpoint,
            url: &url,
            query: &query,
            integration_id: Some(request.integration_id),
            lane: request.lane,
            clock,
        };
        let answer = self
            .get(asked, Page::read)
            .await
            .map_err(|error| dead_cursor(error, request.cursor))?;
        Ok(Fetched {
            page: answer.0,
            times: answer.1,
        })
    }

    async fn get<T>(
        &self,
        asked: Asked<'_>,
        read: impl Fn(&[u8]) -> Result<T, Error>,
    ) -> Result<(T, Option<Times>), Error> {
        let mut tries = 0;
        loop {
            let span = tracing::debug_span!(
                "kombo request",
                otel.kind = "client",
                otel.status_code = Empty,
                http.request.method = "GET",
                url.path = asked.path(&self.settings.api_url),
                http.request.resend_count = tries,
                http.response.status_code = Empty,
                code = Empty
            );
            let error = match self.get_once(&asked).instrument(span).await {
                Ok(answer) => match read(&answer.body) {
                    Ok(value) => return Ok((value, answer.times)),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tries += 1;
            let pause = error.retry_after.unwrap_or_else(|| jittered(tries));
            let again = matches!(error.remedy, Remedy::RetryLater | Remedy::SlowDown)
                && tries < self.settings.attempts
                && pause <= self.settings.longest_wait;
            if !again {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn get_once(&self, asked: &Asked<'_>) -> Result<Answer, Error> {
        let request = self.http.get(asked.url).query(asked.query);
        self.send(request, asked).await
    }

    /// Sends one request within the rate budget; every answer but 200 is an error.
    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        asked: &Asked<'_>,
    ) -> Result<Answer, Error> {
        if self.settings.api_key.expose_secret().is_empty() {
            return Err(no_api_key());
        }
        self.wait_for_budget(asked).await?;
        let asked_at = (asked.clock)();
        let started = Instant::now();
        let mut request = request
            .bearer_auth(self.settings.api_key.expose_secret())
            .header("accept", "application/json");
        if let Some(id) = asked.integration_id {
            let id = HeaderValue::from_str(id).map_err(|_| unusable_id())?;
            request = request.header("x-integration-id", id);
        }
        let lost = |error: reqwest::Error| {
            let error = network(&error);
            self.count(asked, error.word(None).as_ref(), started);
            error
        };
        let response = request.send().await.map_err(lost)?;
        let waited = started.elapsed();
        let status = response.status().as_u16();
        Span::current().record("http.response.status_code", status);
        let headers = response.headers().clone();
        if let Some(left) = headers::budget(&headers, asked_at) {
            self.metrics.kombo_leaves(left.remaining, left.limit);
            self.budget.learn(Told::Left(left), (asked.clock)()).await;
        }
        let body = response.bytes().await.map_err(lost)?;
        if status == 200 {
            self.count(asked, "200", started);
            return Ok(Answer {
                times: headers::times(&headers, waited),
                body: body.to_vec(),
            });
        }
        let mut error = Error::from_answer(status, &body);
        self.count(asked, error.word(Some(status)).as_ref(), started);
        let span = Span::current();
        span.record("otel.status_code", "ERROR");
        span.record("code", error.code.as_str());
        error.retry_after = headers::asked_to_wait(&headers, error.remedy);
        if let (Remedy::SlowDown, Some(wait)) = (error.remedy, error.retry_after) {
            // so that nobody else has to find it out
            let told = Told::Refused { wait };
            self.metrics.kombo_leaves(0, None);
            self.budget.learn(told, (asked.clock)()).await;
        }
        Err(error)
    }

    fn count(&self, asked: &Asked<'_>, code: &str, started: Instant) {
        self.metrics
            .kombo_asked(asked.endpoint, code, started.elapsed());
    }

    /// Waits for a window that is about to end, or that is about to be told of.
    async fn wait_for_budget(&self, asked: &Asked<'_>) -> Result<(), Error> {
        let mut waited = Duration::ZERO;
        loop {
            let pause = self.budget.take(asked.lane, (asked.clock)()).await;
            if pause.is_zero() {
                return Ok(());
            }
            if pause > LONGEST_NAP || waited > self.settings.longest_wait {
                return Err(budget_spent(pause));
            }
            tokio::time::sleep(pause).await;
            waited += pause;
        }
    }
}

/// Tables' and logs' word for the endpoint at a path.
fn endpoint_of(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.replace('-', "_")
}

/// Kombo's form of a moment. Rounded down, so that never less is asked for than meant; with `Z`, because
/// an offset such as `+00:00` is refused (API reference: `updated_after`).
fn format_moment(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A refused continuation means that the cursor died: how long one lives is not documented.
fn dead_cursor(error: Error, cursor: Option<&str>) -> Error {
    let refused = error.code == "PLATFORM.INPUT_INVALID" || error.code == "MIRROR.HTTP_400";
    if cursor.is_some() && refused {
        Error {
            remedy: Remedy::RestartEnumeration,
            ..error
        }
    } else {
        error
    }
}

fn budget_spent(wait: Duration) -> Error {
    Error {
        remedy: Remedy::SlowDown,
        retry_after: Some(wait),
        ..Error::unusable(
            "MIRROR.RATE_BUDGET_SPENT",
            "what kombo's rate limit leaves to this run is used up until its window ends",
        )
    }
}

/// A process that only serves may have none.
fn no_api_key() -> Error {
    Error {
        remedy: Remedy::GiveUp,
        ..Error::unusable(
            "MIRROR.NO_API_KEY",
            "this process has no KOMBO_API_KEY, so it cannot ask kombo",
        )
    }
}

fn unusable_id() -> Error {
    Error {
        remedy: Remedy::GiveUp,
        ..Error::unusable(
            "MIRROR.UNUSABLE_INTEGRATION_ID",
            "the integration's id cannot be sent in a header",
        )
    }
}

fn network(error: &reqwest::Error) -> Error {
    let (code, message) = if error.is_timeout() {
        ("MIRROR.TIMEOUT", "kombo did not answer in time")
    } else if error.is_connect() {
        ("MIRROR.NO_CONNECTION", "kombo could not be reached")
    } else {
        ("MIRROR.CONNECTION_LOST", "the connection to kombo broke")
    };
    Error::unusable(code, message)
}

fn jittered(tries: u32) -> Duration {
    let longest = FIRST_PAUSE * 2_u32.saturating_pow(tries.min(8));
    longest.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_refused_continuation_is_a_dead_cursor() {
        let refused = Error::from_answer(400, b"");
        assert_eq!(
            dead_cursor(refused.clone(), Some("c")).remedy,
            Remedy::RestartEnumeration
        );
        assert_eq!(dead_cursor(refused, None).remedy, Remedy::GiveUp);
    }

    proptest! {
        // F04, F05: what is sent is never later than what is stored, and always UTC with `Z`.
        #[test]
        fn a_sent_moment_is_never_later_than_the_stored_one(
            seconds in 0_i64..4_102_444_800, nanos in 0_u32..1_000_000_000
        ) {
            let stored = DateTime::from_timestamp(seconds, nanos).unwrap();
            let sent = format_moment(stored);
            prop_assert!(sent.len() == 24 && sent.ends_with('Z') && !sent.contains('+'));
            let read = DateTime::parse_from_rfc3339(&sent).unwrap().to_utc();
            prop_assert!(read <= stored && stored - read < chrono::TimeDelta::milliseconds(1));
        }
    }
}

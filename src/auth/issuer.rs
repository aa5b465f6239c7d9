//! The issuer's published keys: fetched, kept, and fetched again when they are old or one is missing.
//!
//! One task fetches, whatever is asked: a flood of tokens with invented key ids costs the issuer one request in
//! [`PAUSE`]. While the issuer cannot be reached the last keys stay; before the first have come, no token is good.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use url::Url;

use super::jws::Signed;
use super::keys::{self, Key};
use crate::clock::Clock;

/// Keys older than this are fetched again.
const REFRESH: Duration = Duration::from_secs(600);
/// A request for a key that is not known fetches again, but not sooner after the last time than this.
const PAUSE: Duration = Duration::from_secs(30);
/// After a failure: the first pause, which doubles up to [`REFRESH`].
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// How long the issuer may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long a request waits for a fetch.
const WAIT: Duration = Duration::from_secs(6);
/// Bytes of a set of keys; a hundred large RSA keys have a hundred thousand.
const LARGEST_SET: usize = 256 * 1024;

/// What is known of the keys.
#[derive(Clone, Default)]
struct State {
    keys: Arc<Vec<Key>>,
    /// When they were last asked for, whatever came of it.
    asked_at: Option<DateTime<Utc>>,
    /// Fetches that began, and that ended.
    begun: u64,
    ended: u64,
}

/// Who signs tokens.
pub(super) struct Issuer {
    url: Url,
    http: reqwest::Client,
    state: watch::Sender<State>,
    /// Rings when a key is wanted that is not there.
    wanted: Notify,
    clock: Clock,
}

impl Issuer {
    pub(super) fn new(url: Url, clock: Clock) -> anyhow::Result<Self> {
        // the second caller finds it installed
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(ANSWER_LIMIT)
            .user_agent(concat!("kombo-mirror/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("setting up the HTTP client for JWT_JWKS_URL")?;
        Ok(Self {
            url,
            http,
            state: watch::Sender::new(State::default()),
            wanted: Notify::new(),
            clock,
        })
    }

    /// The keys that may have signed a token: the one that it names, or where it names none all of its kind.
    pub(super) async fn keys_for(&self, signed: &Signed<'_>) -> Vec<Key> {
        let known = self.fitting(signed);
        if !known.is_empty() || !self.fetched_now().await {
            return known;
        }
        self.fitting(signed)
    }

    fn fitting(&self, signed: &Signed<'_>) -> Vec<Key> {
        let keys = Arc::clone(&self.state.borrow().keys);
        keys.iter()
            .filter(|key| signed.key_id.is_none() || key.id == signed.key_id)
            .filter(|key| key.fits(signed))
            .cloned()
            .collect()
    }

    /// Waits for a fetch that is under way, or has one made unless the last is too recent; false where there is none.
    async fn fetched_now(&self) -> bool {
        let mut state = self.state.subscribe();
        let (is_under_way, ended) = {
            let state = state.borrow();
            (state.begun > state.ended, state.ended)
        };
        if !is_under_way && self.is_too_soon() {
            return false;
        }
        if !is_under_way {
            self.wanted.notify_one();
        }
        let done = state.wait_for(|state| state.ended > ended);
        tokio::time::timeout(WAIT, done).await.is_ok()
    }

    fn is_too_soon(&self) -> bool {
        let now = (self.clock)();
        let asked_at = self.state.borrow().asked_at;
        asked_at.is_some_and(|asked_at| (asked_at..asked_at + PAUSE).contains(&now))
    }

    /// Fetches, and fetches again, for ever.
    pub(super) async fn keep(&self) {
        let mut retry = FIRST_RETRY;
        loop {
            let pause = if self.fetch().await {
                retry = FIRST_RETRY;
                REFRESH
            } else {
                let pause = retry;
                retry = (retry * 2).min(REFRESH);
                pause
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wanted_in_time() => {}
            }
        }
    }

    /// A wish that was made before the last fetch ended is fulfilled by it.
    async fn wanted_in_time(&self) {
        loop {
            self.wanted.notified().await;
            if !self.is_too_soon() {
                return;
            }
        }
    }

    async fn fetch(&self) -> bool {
        let now = (self.clock)();
        self.state.send_modify(|state| {
            state.asked_at = Some(now);
            state.begun += 1;
        });
        let fetched = self.ask().await;
        let is_fetched = fetched.is_ok();
        match &fetched {
            Ok(keys) if keys.is_empty() => {
                tracing::warn!("the issuer's keys were fetched, and none can check a JWT");
            }
            Ok(keys) => tracing::info!(keys = keys.len(), "the issuer's keys were fetched"),
            Err(error) => {
                let kept = self.state.borrow().keys.len();
                let error = format!("{error:#}");
                tracing::warn!(
                    kept,
                    error,
                    "the issuer's keys could not be fetched: JWTs are checked with those that are kept"
                );
            }
        }
        self.state.send_modify(|state| {
            if let Ok(keys) = fetched {
                state.keys = Arc::new(keys);
            }
            state.ended += 1;
        });
        is_fetched
    }

    async fn ask(&self) -> anyhow::Result<Vec<Key>> {
        // the address may carry a password
        let answer = self.http.get(self.url.clone()).send().await;
        let mut answer = answer.map_err(reqwest::Error::without_url)?;
        let status = answer.status();
        ensure!(status.is_success(), "the answer is {status}");
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
            body.extend_from_slice(&chunk);
            ensure!(
                body.len() <= LARGEST_SET,
                "the answer has more than {LARGEST_SET} bytes"
            );
        }
        keys::read_set(&body).context("the answer is no set of keys (RFC 7517)")
    }
}

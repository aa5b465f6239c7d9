//! Who asks: a bearer token or a JWT becomes a [`Viewer`].
//!
//! Every door asks the one [`Authenticator`]. Whatever is missing in a token means less, never more: without a scope
//! or a list of integrations it is refused. It must never keep or log a token, nor say of an unsigned one what is
//! wrong with it.

mod issuer;
mod jws;
mod jwt;
mod keys;
mod tokens;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::AuthSettings;
use issuer::Issuer;
use jwt::Expected;
use keys::Key;
use tokens::Tokens;

/// What a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Queries.
    Read,
    /// Queries, what the inbox received, and mutations.
    Admin,
}

/// What the names of viewers begin with whom a JWT names.
const JWT: &str = "jwt ";

/// Who asks, and what they may see.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// What they may do.
    pub scope: Scope,
    /// Kombo ids of the integrations that they may see; `None`: all.
    pub integrations: Option<Vec<String>>,
    /// A name for the record of who asked for what; never the token.
    pub name: String,
    /// When they are nobody again, the token's `exp`; `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Viewer {
    /// Who they are among all viewers: two issuers' or customers' people may have one name.
    #[must_use]
    pub fn line(&self) -> String {
        match &self.integrations {
            None => self.name.clone(),
            Some(ids) => format!("{}\n{}", self.name, ids.join("\n")),
        }
    }

    /// What the log calls them: the subject of a JWT may be a person's name or address.
    #[must_use]
    pub fn in_logs(&self) -> &str {
        if self.name.starts_with(JWT) {
            JWT.trim_end()
        } else {
            &self.name
        }
    }

    /// Whether they may see an integration.
    #[must_use]
    pub fn sees(&self, integration_id: &str) -> bool {
        self.integrations
            .as_ref()
            .is_none_or(|ids| ids.iter().any(|id| id == integration_id))
    }

    /// One whose token says no more than what it may do.
    fn of_everything(scope: Scope, name: String) -> Self {
        Self {
            scope,
            integrations: None,
            name,
            expires_at: None,
        }
    }
}

/// Why a request has no viewer; answered with 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No bearer token was given.
    #[error("send a valid token as Authorization: Bearer …")]
    NoToken,
    /// A token was given, and it is not good; the text says no more than its sender may know.
    #[error("{0}")]
    BadToken(&'static str),
}

/// Of a token without a good signature nothing more is said.
const NOT_VALID: Refused = Refused::BadToken("the token is not valid");

impl Refused {
    /// What the header `WWW-Authenticate` says (RFC 6750, section 3).
    #[must_use]
    pub fn challenge(&self) -> &'static str {
        match self {
            Self::NoToken => "Bearer",
            Self::BadToken(_) => "Bearer error=\"invalid_token\"",
        }
    }
}

/// Finds out who asks. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator(Arc<Known>);

struct Known {
    /// Everybody is let in.
    is_off: bool,
    tokens: Tokens,
    /// Of HS256.
    secret: Option<Key>,
    issuer: Option<Issuer>,
    expected: Expected,
    clock: Clock,
}

impl Authenticator {
    /// Knows who may ask; nothing is fetched yet.
    ///
    /// # Errors
    /// The HTTP client cannot be set up.
    pub fn new(settings: &AuthSettings, clock: Clock) -> anyhow::Result<Self> {
        let (tokens, jwt) = match settings {
            AuthSettings::Off => (Tokens::default(), None),
            AuthSettings::Tokens { read, admin, jwt } => (Tokens::new(read, admin), jwt.clone()),
        };
        let jwt = jwt.unwrap_or_default();
        let issuer = jwt
            .jwks_url
            .map(|url| Issuer::new(url, clock.clone()))
            .transpose()?;
        let secret = jwt.secret.as_ref();
        Ok(Self(Arc::new(Known {
            is_off: matches!(settings, AuthSettings::Off),
            tokens,
            secret: secret.map(|secret| Key::of_secret(secret.expose_secret().as_bytes())),
            issuer,
            expected: Expected {
                issuer: jwt.issuer,
                audiences: jwt.audiences,
            },
            clock,
        })))
    }

    /// Whether everybody is let in.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.is_off
    }

    /// The viewer of a request, by its `Authorization` header.
    ///
    /// # Errors
    /// There is none: see [`Refused`].
    pub async fn viewer(&self, authorization: Option<&str>) -> Result<Viewer, Refused> {
        let known = &*self.0;
        if known.is_off {
            let name = "anybody (AUTH=off)".to_owned();
            return Ok(Viewer::of_everything(Scope::Admin, name));
        }
        let token = bearer(authorization).ok_or(Refused::NoToken)?;
        if let Some(viewer) = known.tokens.viewer(token) {
            return Ok(viewer);
        }
        let signed = jws::read(token).ok_or(NOT_VALID)?;
        let payload = known.checked(&signed).await.ok_or(NOT_VALID)?;
        jwt::viewer(payload, &known.expected, (known.clock)())
    }

    /// Fetches the issuer's keys, and again whenever they are old or one is asked for that is not among them; ends
    /// with `stop`.
    pub async fn keep_keys(&self, mut stop: watch::Receiver<bool>) {
        let kept = async {
            match &self.0.issuer {
                Some(issuer) => issuer.keep().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = kept => {}
            // an error means that nobody is left who could ask to go on
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
}

impl Known {
    /// What a token says, if it is signed by a key of ours.
    async fn checked<'t>(&self, signed: &'t jws::Signed<'t>) -> Option<&'t [u8]> {
        if signed.algorithm.is_symmetric() {
            let secret = self.secret.as_ref()?;
            return secret.verifies(signed).then_some(&signed.payload);
        }
        let keys = self.issuer.as_ref()?.keys_for(signed).await;
        let is_good = keys.iter().any(|key| key.verifies(signed));
        is_good.then_some(&signed.payload)
    }
}

/// The token of the header (RFC 6750, section 2.1); an empty one is none.
fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

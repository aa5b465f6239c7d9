//! Who may ask: bearer tokens, JWTs or everybody, and what contradicts what.

use std::net::SocketAddr;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::read::{Check, list};
use super::{RawSettings, Role};

/// HS256 needs a key as long as its digest (RFC 7518, section 3.2); a shorter one can be guessed offline from one token.
const SHORTEST_JWT_SECRET: usize = 32;

/// Who may ask the GraphQL API.
#[derive(Debug, Clone)]
pub enum AuthSettings {
    /// Everybody may do everything; only ever on a loopback address.
    Off,
    /// Bearer tokens.
    Tokens {
        /// May read.
        read: Vec<SecretString>,
        /// May read, run mutations and see which webhooks came.
        admin: Vec<SecretString>,
        /// Signed tokens that say themselves what they may.
        jwt: Option<JwtSettings>,
    },
}

impl AuthSettings {
    /// Whether there can be viewers of some integrations only.
    #[must_use]
    pub fn has_jwt(&self) -> bool {
        matches!(self, Self::Tokens { jwt: Some(_), .. })
    }
}

/// How a JWT is checked. At least one of secret and URL is there.
#[derive(Debug, Clone, Default)]
pub struct JwtSettings {
    /// For HS256, at least 32 bytes.
    pub secret: Option<SecretString>,
    /// Where the issuer publishes its public keys, for every other algorithm.
    pub jwks_url: Option<Url>,
    /// The `iss` that a token must have.
    pub issuer: Option<String>,
    /// What a token may be meant for; empty: a token that says for whom it is meant is not for us.
    pub audiences: Vec<String>,
}

impl Check {
    pub(super) fn auth(
        &mut self,
        raw: &RawSettings,
        role: Role,
        listen_addr: SocketAddr,
    ) -> AuthSettings {
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
        let jwt = self.jwt(raw);
        let has_tokens = !read.is_empty() || !admin.is_empty() || jwt.is_some();
        match raw.auth.as_deref().unwrap_or("on") {
            "off" => {
                if has_tokens {
                    self.problems.push(
                        "AUTH=off contradicts API_READ_TOKENS, API_ADMIN_TOKENS, JWT_SECRET and JWT_JWKS_URL: choose one"
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
                if !has_tokens && role.serves_api() {
                    self.problems.push(
                        "API_READ_TOKENS, API_ADMIN_TOKENS, JWT_SECRET or JWT_JWKS_URL is missing: set one, or AUTH=off on a loopback address"
                            .to_owned(),
                    );
                }
                AuthSettings::Tokens { read, admin, jwt }
            }
            other => {
                self.problems
                    .push(format!("AUTH must be on or off, not {other:?}"));
                AuthSettings::Tokens { read, admin, jwt }
            }
        }
    }

    fn jwt(&mut self, raw: &RawSettings) -> Option<JwtSettings> {
        let secret = self.secret(
            "JWT_SECRET",
            raw.jwt_secret.as_ref(),
            raw.jwt_secret_file.as_ref(),
        );
        if let Some(secret) = &secret {
            let bytes = secret.expose_secret().len();
            if bytes < SHORTEST_JWT_SECRET {
                self.problems.push(format!(
                    "JWT_SECRET must have at least {SHORTEST_JWT_SECRET} bytes, not {bytes}: a shorter one can be guessed from a single token"
                ));
            }
        }
        let jwks_url = raw
            .jwt_jwks_url
            .as_deref()
            .and_then(|text| self.jwks_url(text));
        let given = |value: &Option<String>| value.clone().filter(|text| !text.trim().is_empty());
        let issuer = given(&raw.jwt_issuer);
        let audiences = list(raw.jwt_audience.as_deref().unwrap_or_default());
        let has_keys = secret.is_some() || raw.jwt_jwks_url.is_some();
        if !has_keys && (issuer.is_some() || !audiences.is_empty()) {
            self.problems.push(
                "JWT_ISSUER and JWT_AUDIENCE say how JWTs are checked: set JWT_SECRET or JWT_JWKS_URL too"
                    .to_owned(),
            );
        }
        has_keys.then_some(JwtSettings {
            secret,
            jwks_url,
            issuer,
            audiences,
        })
    }

    fn jwks_url(&mut self, text: &str) -> Option<Url> {
        let url = Url::parse(text.trim())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            self.problems.push(format!(
                "JWT_JWKS_URL must be an http(s) URL such as https://issuer.example.com/.well-known/jwks.json, not {text:?}"
            ));
        }
        url
    }
}

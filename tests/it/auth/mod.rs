//! Who asks: JWTs by secret and by published keys.

mod issuer;
mod viewers;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use kombo_mirror::auth::Authenticator;
use kombo_mirror::config::{AuthSettings, JwtSettings};
use ring::rand::SystemRandom;
use ring::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
    RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::support::app::READER;
use crate::support::look::eventually;

pub(crate) const SECRET: &str = "a secret of more than thirty-two bytes";

/// A 2048-bit key that protects nothing.
const RSA: &str = include_str!("../../fixtures/jwt/rsa_for_tests.pk8.txt");

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn by_secret(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    ring::hmac::sign(&key, message).as_ref().to_vec()
}

/// A token with these claims, by HS256.
pub(crate) fn signed(claims: &Value) -> String {
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    token(&header, claims, |message| {
        by_secret(SECRET.as_bytes(), message)
    })
}

/// What an issuer signs with.
enum Signer {
    Rsa(RsaKeyPair),
    Ec(&'static str, EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

fn rsa() -> Signer {
    let key = STANDARD.decode(RSA.replace('\n', "")).expect("base64");
    Signer::Rsa(RsaKeyPair::from_pkcs8(&key).expect("a key"))
}

fn ec(curve: &'static str) -> Signer {
    let algorithm: &EcdsaSigningAlgorithm = match curve {
        "P-256" => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        _ => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
    };
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).expect("a key");
    Signer::Ec(curve, key)
}

fn ed() -> Signer {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    Signer::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key"))
}

impl Signer {
    /// The public key as an issuer publishes it.
    fn published(&self, kid: &str) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(key) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public());
                let (n, e) = (encode(&public.n), encode(&public.e));
                json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": n, "e": e })
            }
            Self::Ec(curve, key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": curve, "kid": kid, "x": encode(x), "y": encode(y) })
            }
            Self::Ed(key) => {
                let x = encode(key.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
            }
        }
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let padding: &dyn RsaEncoding = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signed = vec![0; key.public().modulus_len()];
                key.sign(padding, &random, message, &mut signed)
                    .expect("a signature");
                signed
            }
            Self::Ec(_, key) => key
                .sign(&random, message)
                .expect("a signature")
                .as_ref()
                .to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn token(&self, algorithm: &str, kid: Option<&str>, claims: &Value) -> String {
        let mut header = json!({ "alg": algorithm });
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        token(&header, claims, |message| self.sign(algorithm, message))
    }
}

/// An issuer's page of keys, which counts its readers.
#[derive(Clone, Default)]
struct Page {
    answer: Arc<Mutex<Option<String>>>,
    readers: Arc<AtomicUsize>,
}

impl Page {
    fn shows(&self, keys: &[Value]) {
        self.says(json!({ "keys": keys }).to_string());
    }

    fn says(&self, text: String) {
        *self.answer.lock().expect("no test has failed here") = Some(text);
    }

    fn is_away(&self) {
        *self.answer.lock().expect("no test has failed here") = None;
    }

    fn readers(&self) -> usize {
        self.readers.load(Ordering::SeqCst)
    }
}

async fn show(State(page): State<Page>) -> Result<String, axum::http::StatusCode> {
    page.readers.fetch_add(1, Ordering::SeqCst);
    let answer = page.answer.lock().expect("no test has failed here").clone();
    answer.ok_or(axum::http::StatusCode::BAD_GATEWAY)
}

/// A server's door, its issuer, and a clock that the test moves.
struct Door {
    authenticator: Authenticator,
    page: Page,
    now: Arc<Mutex<DateTime<Utc>>>,
    _stop: watch::Sender<bool>,
}

impl Door {
    async fn new(page: Page, secret: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port is known");
        let routes = axum::Router::new()
            .route("/keys", get(show))
            .with_state(page.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let settings = AuthSettings::Tokens {
            read: vec![READER.into()],
            admin: Vec::new(),
            jwt: Some(JwtSettings {
                secret: secret.map(Into::into),
                jwks_url: Some(format!("http://{address}/keys").parse().expect("a URL")),
                ..JwtSettings::default()
            }),
        };
        let now = Arc::new(Mutex::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
        let clock = Arc::clone(&now);
        let authenticator = Authenticator::new(
            &settings,
            Arc::new(move || *clock.lock().expect("no test has failed here")),
        )
        .expect("an authenticator");
        let (stop, stopped) = watch::channel(false);
        let keeper = authenticator.clone();
        tokio::spawn(async move { keeper.keep_keys(stopped).await });
        let asked = page.clone();
        eventually("the keys are asked for", async || asked.readers() > 0).await;
        Self {
            authenticator,
            page,
            now,
            _stop: stop,
        }
    }

    fn later(&self, by: Duration) {
        *self.now.lock().expect("no test has failed here") += by;
    }

    fn claims(&self) -> Value {
        let now = self
            .now
            .lock()
            .expect("no test has failed here")
            .timestamp();
        json!({ "sub": "alice", "scope": "read", "integrations": ["moodle:1"], "exp": now + 3600 })
    }

    async fn lets_in(&self, token: &str) -> bool {
        let header = format!("Bearer {token}");
        self.authenticator.viewer(Some(&header)).await.is_ok()
    }

    /// Waits until the first answer of the issuer has been read.
    async fn has_keys(self, token: &str) -> Self {
        eventually("the keys are there", async || self.lets_in(token).await).await;
        self
    }
}

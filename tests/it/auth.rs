//! Who asks: JWTs by secret and by published keys, and what an issuer that is away or hostile can do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use kombo_mirror::auth::{Authenticator, Refused, Scope};
use kombo_mirror::config::{AuthSettings, JwtSettings};
use ring::rand::SystemRandom;
use ring::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
    RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::support::TestApp;
use crate::support::app::{READER, Setup};
use crate::support::look::eventually;
use crate::support::socket::Socket;

pub(crate) const SECRET: &str = "a secret of more than thirty-two bytes";

/// A 2048-bit key that protects nothing.
const RSA: &str = include_str!("../fixtures/jwt/rsa_for_tests.pk8.txt");

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

#[tokio::test(flavor = "multi_thread")]
async fn every_algorithm_of_published_keys_lets_in() {
    let (rsa, p256, p384, ed) = (rsa(), ec("P-256"), ec("P-384"), ed());
    let page = Page::default();
    page.shows(&[
        rsa.published("r"),
        p256.published("p"),
        p384.published("q"),
        ed.published("e"),
    ]);
    let door = Door::new(page, None).await;
    let claims = door.claims();
    let door = door.has_keys(&ed.token("EdDSA", Some("e"), &claims)).await;
    for (signer, kid, algorithms) in [
        (
            &rsa,
            "r",
            ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].as_slice(),
        ),
        (&p256, "p", &["ES256"]),
        (&p384, "q", &["ES384"]),
        (&ed, "e", &["EdDSA", "Ed25519"]),
    ] {
        for algorithm in algorithms {
            let good = signer.token(algorithm, Some(kid), &claims);
            assert!(door.lets_in(&good).await, "{algorithm}");
            let nameless = signer.token(algorithm, None, &claims);
            assert!(door.lets_in(&nameless).await, "{algorithm} without a kid");
            // one bit of the signature, and one letter of what is signed
            let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
            let mut bytes = URL_SAFE_NO_PAD.decode(&parts[2]).expect("base64");
            bytes[7] ^= 1;
            parts[2] = URL_SAFE_NO_PAD.encode(bytes);
            assert!(
                !door.lets_in(&parts.join(".")).await,
                "{algorithm}: another signature"
            );
            let mut admin = claims.clone();
            admin["scope"] = json!("admin");
            let mut parts: Vec<&str> = good.split('.').collect();
            let admin = part(&admin);
            parts[1] = &admin;
            assert!(
                !door.lets_in(&parts.join(".")).await,
                "{algorithm}: other claims"
            );
        }
    }
}

// the classical forgeries
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_never_checked_in_another_way_than_its_key_is_meant_for() {
    let (rsa, other) = (rsa(), ed());
    let published = rsa.published("r");
    let page = Page::default();
    page.shows(std::slice::from_ref(&published));
    let door = Door::new(page, Some(SECRET)).await;
    let claims = door.claims();
    let door = door.has_keys(&rsa.token("RS256", Some("r"), &claims)).await;
    let n = URL_SAFE_NO_PAD
        .decode(published["n"].as_str().expect("a text"))
        .expect("base64");
    for (what, header, secret) in [
        (
            "the public key as the secret",
            json!({ "alg": "HS256", "kid": "r" }),
            n,
        ),
        (
            "the published text as the secret",
            json!({ "alg": "HS256" }),
            published.to_string().into_bytes(),
        ),
        ("an empty secret", json!({ "alg": "HS256" }), Vec::new()),
    ] {
        let forged = token(&header, &claims, |message| by_secret(&secret, message));
        assert!(!door.lets_in(&forged).await, "{what}");
    }
    for algorithm in ["none", "None", "NONE", "", "HS384", "RS1"] {
        for signature in [Vec::new(), vec![0; 256]] {
            let forged = token(&json!({ "alg": algorithm, "kid": "r" }), &claims, |_| {
                signature.clone()
            });
            assert!(!door.lets_in(&forged).await, "{algorithm}");
        }
    }
    // the sender's own key, by name, by address and in the token itself
    for header in [
        json!({ "alg": "EdDSA", "kid": "r" }),
        json!({ "alg": "EdDSA", "kid": "r", "jku": "http://127.0.0.1:1/keys" }),
        json!({ "alg": "EdDSA", "jwk": other.published("r") }),
    ] {
        let forged = token(&header, &claims, |message| other.sign("EdDSA", message));
        assert!(!door.lets_in(&forged).await, "{header}");
    }
    let good = token(&json!({ "alg": "HS256" }), &claims, |message| {
        by_secret(SECRET.as_bytes(), message)
    });
    assert!(
        door.lets_in(&good).await,
        "secret and issuer work side by side"
    );
    assert!(door.lets_in(READER).await, "and beside tokens");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_issuer_is_away_nobody_gets_in_and_afterwards_they_do() {
    let ed = ed();
    let page = Page::default();
    let door = Door::new(page, None).await;
    let token = ed.token("EdDSA", Some("e"), &door.claims());
    assert!(!door.lets_in(&token).await);
    door.page.shows(&[ed.published("e")]);
    door.later(Duration::from_secs(31));
    assert!(door.lets_in(&token).await, "the token's key is asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_found_when_it_is_used() {
    let (old, new) = (ed(), ec("P-256"));
    let page = Page::default();
    page.shows(&[old.published("old")]);
    let door = Door::new(page, None).await;
    let claims = door.claims();
    let door = door
        .has_keys(&old.token("EdDSA", Some("old"), &claims))
        .await;
    door.page.shows(&[new.published("new")]);
    let token = new.token("ES256", Some("new"), &claims);
    door.later(Duration::from_secs(31));
    assert!(door.lets_in(&token).await);
    assert!(
        !door
            .lets_in(&old.token("EdDSA", Some("old"), &claims))
            .await,
        "a key that is withdrawn"
    );
}

// invented key ids must not make the mirror hammer the issuer
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_costs_the_issuer_one_request() {
    let ed = ed();
    let page = Page::default();
    page.shows(&[ed.published("e")]);
    let door = Door::new(page, None).await;
    let claims = door.claims();
    let door = door.has_keys(&ed.token("EdDSA", Some("e"), &claims)).await;
    let before = door.page.readers();
    for round in 1..=3 {
        door.later(Duration::from_secs(31));
        let tokens: Vec<String> = (0..50)
            .map(|n| ed.token("EdDSA", Some(&format!("{round}-{n}")), &claims))
            .collect();
        let asked = tokens.iter().map(|token| door.lets_in(token));
        let let_in = futures_util::future::join_all(asked).await;
        assert!(let_in.iter().all(|is_let_in| !is_let_in));
        assert_eq!(door.page.readers(), before + round);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_stay_while_the_issuer_fails() {
    let ed = ed();
    let page = Page::default();
    page.shows(&[ed.published("e")]);
    let door = Door::new(page, None).await;
    let claims = door.claims();
    let good = ed.token("EdDSA", Some("e"), &claims);
    let door = door.has_keys(&good).await;
    let too_large = json!({ "keys": [ed.published("x")], "more": "x".repeat(300_000) }).to_string();
    for answer in [
        None,
        Some("<html>".to_owned()),
        Some("{}".to_owned()),
        Some(too_large),
    ] {
        match &answer {
            Some(text) => door.page.says(text.clone()),
            None => door.page.is_away(),
        }
        let before = door.page.readers();
        door.later(Duration::from_secs(31));
        assert!(!door.lets_in(&ed.token("EdDSA", Some("x"), &claims)).await);
        assert_eq!(door.page.readers(), before + 1);
        assert!(door.lets_in(&good).await);
    }
}

async fn app() -> TestApp {
    let app = TestApp::with(Setup {
        simulator: kombo_mirror::simulator::Options {
            integrations: 2,
            ..Setup::default().simulator
        },
        change: |settings| {
            if let AuthSettings::Tokens { jwt, .. } = &mut settings.auth {
                *jwt = Some(JwtSettings {
                    secret: Some(SECRET.into()),
                    issuer: Some("https://issuer".to_owned()),
                    audiences: vec!["mirror".to_owned()],
                    jwks_url: None,
                });
            }
        },
        ..Setup::default()
    })
    .await;
    app.work().await;
    app
}

fn claims(app: &TestApp, scope: &str, integrations: &Value) -> Value {
    let now = (app.engine.clock)().timestamp();
    json!({
        "iss": "https://issuer", "aud": ["mirror"], "sub": "alice@example.com",
        "scope": scope, "integrations": integrations, "exp": now + 60,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_opens_its_integrations_until_it_expires() {
    let app = app().await;
    let ids = app.simulator.integration_ids();
    let query = "{ integrations { nodes { komboId } } users { totalCount } }";
    for (integrations, seen, users) in [
        (json!([ids[1]]), json!([{ "komboId": ids[1] }]), 60),
        (json!([]), json!([]), 0),
    ] {
        let token = signed(&claims(&app, "read", &integrations));
        let answer = app.ask(&token, query, Value::Null).await;
        assert_eq!(answer["data"]["integrations"]["nodes"], seen, "{answer}");
        assert_eq!(answer["data"]["users"]["totalCount"], users);
    }
    let all = signed(&claims(&app, "read", &json!("*")));
    let answer = app.ask(&all, query, Value::Null).await;
    assert_eq!(answer["data"]["users"]["totalCount"], 120);
    app.simulator.advance_clock(Duration::from_secs(91));
    let answer = app.ask(&all, query, Value::Null).await;
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "UNAUTHENTICATED", "{answer}");
    assert_eq!(error["message"], "the token has expired");
    assert!(app.ask(READER, query, Value::Null).await["errors"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scope_of_a_jwt_decides_over_mutations_and_the_sub_is_written_down() {
    let app = app().await;
    let ids = app.simulator.integration_ids();
    let mutation = "mutation { triggerResync(input: { endpoints: [SKILLS] }) { runs { requestedBy integration { komboId } } } }";
    let reader = signed(&claims(&app, "read", &json!([ids[0]])));
    let answer = app.ask(&reader, mutation, Value::Null).await;
    assert_eq!(
        answer["errors"][0]["extensions"]["code"], "FORBIDDEN",
        "{answer}"
    );
    let admin = signed(&claims(&app, "openid admin", &json!([ids[0]])));
    let answer = app.ask(&admin, mutation, Value::Null).await;
    let expected =
        json!([{ "requestedBy": "jwt alice@example.com", "integration": { "komboId": ids[0] } }]);
    assert_eq!(
        answer["data"]["triggerResync"]["runs"], expected,
        "{answer}"
    );
}

// of an unsigned token nothing is said, and a viewer carries the token's end
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_only_to_who_has_a_signed_token() {
    let page = Page::default();
    let door = Door::new(page, Some(SECRET)).await;
    let mut claims = door.claims();
    let good = signed(&claims);
    let viewer = door
        .authenticator
        .viewer(Some(&format!("bearer {good}")))
        .await
        .expect("a viewer");
    assert_eq!(viewer.scope, Scope::Read);
    assert_eq!(
        viewer.expires_at.map(|end| end.timestamp()),
        claims["exp"].as_i64()
    );
    claims["exp"] = json!(1);
    let refused = async |token: &str| {
        let header = format!("Bearer {token}");
        door.authenticator
            .viewer(Some(&header))
            .await
            .expect_err("it is refused")
    };
    assert_eq!(
        refused(&signed(&claims)).await,
        Refused::BadToken("the token has expired")
    );
    let forged = token(&json!({ "alg": "HS256" }), &claims, |_| vec![0; 32]);
    assert_eq!(
        refused(&forged).await,
        Refused::BadToken("the token is not valid")
    );
    let nothing = door.authenticator.viewer(Some("Bearer ")).await;
    assert_eq!(nothing.expect_err("it is refused"), Refused::NoToken);
}

// a socket must not outlive the token that opened it
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_closed_when_its_token_expires() {
    let app = app().await;
    let mut claims = claims(&app, "read", &json!("*"));
    // the token's half minute of leeway opens the door, and its own end closes it
    claims["exp"] = json!((app.engine.clock)().timestamp() + 2);
    let mut socket = Socket::of(app.address, &signed(&claims)).await;
    socket
        .subscribe("1", "subscription { syncRunUpdated { id } }")
        .await;
    assert_eq!(socket.closed().await, 4403);
    let mut lasting = claims;
    lasting["exp"] = json!((app.engine.clock)().timestamp() + 3_000_000_000);
    let mut socket = Socket::of(app.address, &signed(&lasting)).await;
    socket.say(&json!({ "type": "ping" })).await;
    assert_eq!(socket.hear().await["type"], "pong");
}

//! Published keys, and what an issuer that is away or hostile can do.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{Door, Page, SECRET, by_secret, ec, ed, part, rsa, token};
use crate::support::app::READER;

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

//! What a JWT opens, for how long, and what is said of a bad one.

use std::time::Duration;

use kombo_mirror::auth::{Refused, Scope};
use kombo_mirror::config::{AuthSettings, JwtSettings};
use serde_json::{Value, json};

use super::{Door, Page, SECRET, signed, token};
use crate::support::TestApp;
use crate::support::app::{READER, Setup};
use crate::support::socket::Socket;

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

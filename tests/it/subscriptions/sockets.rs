//! WebSockets: what they carry, and how they end.

use std::time::Duration;

use kombo_mirror::config::SocketSettings;
use serde_json::json;

use super::{CHANGES, with_sockets};
use crate::support::TestApp;
use crate::support::app::{ADMIN, READER};
use crate::support::look::eventually;
use crate::support::socket::Socket;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_mutations_are_answered_by_socket_as_well() {
    let app = TestApp::loaded().await;
    let mut socket = app.socket(READER).await;
    socket
        .subscribe("q", "{ b: users { totalCount } a: skills { totalCount } }")
        .await;
    let heard = socket.hear().await;
    assert_eq!(heard["payload"]["data"]["b"]["totalCount"], 60);
    assert_eq!(
        socket.hear().await,
        json!({ "id": "q", "type": "complete" })
    );
    // an error of a field comes with what there is of an answer, one of the request instead of it
    socket
        .subscribe("m", "mutation { triggerResync(input: {}) { coalesced } }")
        .await;
    let heard = socket.hear().await;
    assert_eq!(heard["type"], "next", "{heard}");
    assert_eq!(
        heard["payload"]["errors"][0]["extensions"]["code"],
        "FORBIDDEN"
    );
    assert_eq!(socket.hear().await["type"], "complete");
    socket.subscribe("w", "{ nothingLikeIt }").await;
    let heard = socket.hear().await;
    assert_eq!(
        (&heard["type"], &heard["id"]),
        (&json!("error"), &json!("w"))
    );
    assert_eq!(heard["payload"][0]["extensions"]["code"], "BAD_USER_INPUT");
    // and the id is free again
    let mut admin = app.socket(ADMIN).await;
    admin
        .subscribe("w", "mutation { triggerResync(input: {}) { coalesced } }")
        .await;
    assert_eq!(
        admin.event("w").await,
        json!({ "triggerResync": { "coalesced": false } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_breach_of_the_protocol_has_its_code() {
    let app = with_sockets(SocketSettings {
        init_wait: Duration::from_millis(300),
        ..SocketSettings::default()
    })
    .await;
    let silent = Socket::silent(app.address).await;
    assert_eq!(silent.closed().await, 4408, "it said nothing");

    let other = Socket::open(app.address, "", &[]).await;
    let other = other.expect("a socket");
    assert_eq!(other.closed().await, 4406, "it speaks another protocol");

    let mut wrong = Socket::silent(app.address).await;
    wrong.init("wrong").await;
    assert_eq!(wrong.closed().await, 4403, "nobody we know");

    let mut nobody = Socket::silent(app.address).await;
    nobody.say(&json!({ "type": "connection_init" })).await;
    assert_eq!(nobody.closed().await, 4403, "no token at all");

    let mut hasty = Socket::silent(app.address).await;
    hasty.subscribe("1", CHANGES).await;
    assert_eq!(hasty.closed().await, 4401, "it has not said who it is");

    let mut twice = app.socket(READER).await;
    twice.init(READER).await;
    assert_eq!(twice.closed().await, 4429, "it has said so already");

    let mut same = app.socket(READER).await;
    same.subscribe("1", CHANGES).await;
    same.subscribe("1", CHANGES).await;
    assert_eq!(same.closed().await, 4409, "the id is in use");

    for text in [
        "no JSON",
        "{}",
        r#"{"type":"start"}"#,
        r#"{"type":"subscribe","id":"1"}"#,
    ] {
        let mut malformed = app.socket(READER).await;
        malformed.say_text(text).await;
        assert_eq!(malformed.closed().await, 4400, "{text}");
    }
    let mut long = app.socket(READER).await;
    long.say_text(&"x".repeat(300_000)).await;
    assert_eq!(long.closed().await, 1009, "too long");
    eventually("all are closed", async || app.sockets.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_come_with_the_upgrade() {
    let app = TestApp::start().await;
    let bearer = format!("Bearer {READER}");
    let headers = [("authorization", bearer.as_str())];
    let mut socket = Socket::open(app.address, "graphql-transport-ws", &headers)
        .await
        .expect("a socket");
    socket.say(&json!({ "type": "connection_init" })).await;
    assert_eq!(socket.hear().await["type"], "connection_ack");
}

// F71, and a page of another site must not talk to a server on the reader's own machine
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_and_too_many_sockets_are_refused() {
    let app = with_sockets(SocketSettings {
        connections: 1,
        ..SocketSettings::default()
    })
    .await;
    let open = async |origin: &str| {
        Socket::open(app.address, "graphql-transport-ws", &[("origin", origin)]).await
    };
    let own = format!("http://{}", app.address);
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(open(origin).await.err(), Some(403), "{origin}");
    }
    let first = open(&own).await.expect("its own page");
    assert_eq!(open(&own).await.err(), Some(503), "the second of one");
    drop(first);
    eventually("the place is free again", async || open(&own).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_completes_ends_and_the_rest_goes_on() {
    let app = with_sockets(SocketSettings {
        operations: 2,
        ..SocketSettings::default()
    })
    .await;
    let mut socket = app.socket(READER).await;
    for id in ["1", "2", "3"] {
        socket.subscribe(id, CHANGES).await;
    }
    let refused = socket.hear().await;
    assert_eq!(
        (&refused["type"], &refused["id"]),
        (&json!("error"), &json!("3"))
    );
    assert_eq!(
        refused["payload"][0]["extensions"]["code"],
        "QUERY_TOO_COMPLEX"
    );
    app.wait_for_followers((0, 2)).await;
    socket.say(&json!({ "type": "complete", "id": "1" })).await;
    app.wait_for_followers((0, 1)).await;
    app.work().await;
    assert!(socket.event("2").await["recordChanged"]["sequence"].is_string());
    socket
        .say(&json!({ "type": "ping", "payload": { "a": 1 } }))
        .await;
    loop {
        let heard = socket.hear().await;
        if heard["type"] == "pong" {
            assert_eq!(heard["payload"], json!({ "a": 1 }));
            break;
        }
        assert_eq!(heard["id"], "2");
    }
}

// F71
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanished_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let mut socket = app.socket(READER).await;
    socket.subscribe("1", CHANGES).await;
    socket
        .subscribe("2", "subscription { syncRunUpdated { id } }")
        .await;
    app.wait_for_followers((1, 1)).await;
    drop(socket);
    app.wait_for_followers((0, 0)).await;
    eventually("its socket is closed", async || app.sockets.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_answered() {
    let app = TestApp::start().await;
    let mut socket = app.socket(READER).await;
    socket.subscribe("1", CHANGES).await;
    assert_eq!(socket.leave().await, 1000);
    eventually("its socket is closed", async || app.sockets.open() == 0).await;
}

// F71: neither a peer that is silent nor one that does not read is kept
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_answer_is_given_up() {
    let app = with_sockets(SocketSettings {
        ping_every: Duration::from_millis(100),
        ..SocketSettings::default()
    })
    .await;
    // nobody reads from it, so nobody answers its pings
    let mut socket = app.socket(READER).await;
    socket.subscribe("1", CHANGES).await;
    app.wait_for_followers((0, 1)).await;
    app.wait_for_followers((0, 0)).await;
    eventually("its socket is closed", async || app.sockets.open() == 0).await;
    drop(socket);
}

// F71
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_take_what_it_asked_for_is_given_up() {
    let app = with_sockets(SocketSettings {
        send_wait: Duration::from_millis(300),
        ..SocketSettings::default()
    })
    .await;
    app.work().await;
    let mut socket = app.socket(READER).await;
    let much: String = (0..20)
        .map(|n| format!("a{n}: courseProgressions(first: 300) {{ nodes {{ id komboId remoteData user {{ remoteData }} }} }} "))
        .collect();
    for id in 0..20 {
        socket
            .subscribe(&id.to_string(), &format!("{{ {much} }}"))
            .await;
    }
    eventually("its socket is closed", async || app.sockets.open() == 0).await;
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_says_goodbye_and_does_not_wait() {
    let world = World::new().await;
    let mut server = world.start().await;
    let mut polite = Socket::of(server.address, READER).await;
    polite
        .subscribe("1", "subscription { recordChanged { sequence } }")
        .await;
    let rude = Socket::of(server.address, READER).await;
    let farewell = tokio::spawn(polite.closed());
    assert_eq!(server.terminate().await, Some(0), "{}", server.said());
    assert_eq!(farewell.await.expect("it is told"), 1001);
    drop(rude);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_has_one_root_field_wherever_it_stands() {
    let app = TestApp::start().await;
    let mut socket = app.socket(READER).await;
    let query = "subscription { ...A ... on Subscription { recordChanged { kind } } } \
         fragment A on Subscription { recordChanged { ...B } } fragment B on RecordChange { sequence }";
    socket.subscribe("1", query).await;
    app.wait_for_followers((0, 1)).await;
    app.work().await;
    let change = socket.event("1").await;
    assert_eq!(change["recordChanged"]["kind"], "INSERTED");
    assert!(change["recordChanged"]["sequence"].is_string(), "{change}");
    let mut socket = app.socket(READER).await;
    for query in [
        "subscription { a: recordChanged { kind } b: recordChanged { kind } }",
        "subscription { ...A } fragment A on Subscription { ...A }",
        "subscription { ...A }",
        "subscription { __typename }",
        "subscription { recordChanged { kind nothingLikeIt } }",
        "subscription { recordChanged(filter: { at: { gt: \"yesterday\" } }) { kind } }",
        "subscription { syncRunUpdated { heldBackRemovals(first: 501) { totalCount } } }",
    ] {
        socket.subscribe("1", query).await;
        let heard = socket.hear().await;
        assert_eq!(heard["type"], "error", "{query}: {heard}");
        assert_eq!(
            heard["payload"][0]["extensions"]["code"], "BAD_USER_INPUT",
            "{query}"
        );
    }
}

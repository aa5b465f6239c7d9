//! Signatures, the debounce and mischief.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::{IntegrationState, Mischief, Options, WebhookTarget, sign};
use super::{Fixture, small};

const SECRET: &str = "whsec_test_4f2b9c7d1e";
const BODY: &str = r#"{"id":"Cbfk5sHtDxrSrJBRjsDtbaN9","type":"data-changed","data":{"integration_id":"sandbox:7C9M5sXAQx2cNMpVHLojrFpL","integration_tool":"sandbox","integration_category":"LMS","changed_models":[{"name":"lms_courses"},{"name":"lms_join_revisions_skills"}]}}"#;

#[test]
fn a_body_is_signed_as_kombo_signs_it() {
    assert_eq!(BODY.len(), 253);
    let signature = sign(SECRET, BODY.as_bytes());
    assert_eq!(signature, "g1Erswo9C609MZkfoR2jQEmNTb-955GwWY2FyotNDcA");
    assert_eq!(
        sign(SECRET, b""),
        "gAdStGvkBL60hma2hSaQFOXum9lk1exUNr-dzNGx-_I"
    );
}

/// Bodies whose signature was right, in the order of arrival.
type Received = Arc<Mutex<Vec<Value>>>;

async fn receiver() -> (WebhookTarget, Received) {
    let received = Received::default();
    let inbox = received.clone();
    let handler = async move |headers: HeaderMap, body: Bytes| {
        let signature = headers.get("X-Kombo-Signature").unwrap();
        assert_eq!(signature.to_str().unwrap(), sign(SECRET, &body));
        inbox
            .lock()
            .unwrap()
            .push(serde_json::from_slice(&body).unwrap());
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let routes = axum::Router::new().route("/hook", post(handler));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (
        WebhookTarget {
            url,
            secret: SECRET.to_owned(),
        },
        received,
    )
}

async fn listening(options: Options) -> (Fixture, Received) {
    let (target, received) = receiver().await;
    let fixture = Fixture::start(Options {
        webhook: Some(target),
        ..options
    })
    .await;
    (fixture, received)
}

/// Waits until so many events arrived; gives up after ten seconds.
async fn arrived(received: &Received, count: usize) -> Vec<Value> {
    let enough = async {
        loop {
            let events = received.lock().unwrap().clone();
            if events.len() >= count {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), enough)
        .await
        .expect("the webhooks arrive")
}

fn models(event: &Value) -> BTreeSet<String> {
    let models = event["data"]["changed_models"].as_array().unwrap();
    models
        .iter()
        .map(|model| model["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_first_change_is_announced_at_once_and_the_following_as_one_union() {
    let (fixture, received) = listening(small()).await;
    let (simulator, id) = (&fixture.simulator, &fixture.integration_id);
    let user = fixture.row("users", |_| true);
    let skill = fixture.row("skills", |_| true);
    simulator.update_user(id, &user);
    let events = arrived(&received, 1).await;
    assert_eq!(models(&events[0]), BTreeSet::from(["lms_users".to_owned()]));
    assert_eq!(events[0]["data"]["integration_id"], *id);
    simulator.update_skill(id, &skill);
    simulator.update_user(id, &user);
    simulator.advance_clock(Duration::from_secs(20));
    simulator.update_user(id, &user);
    // noted when it is answered, which may be a moment after its arrival
    assert!(simulator.sent_webhooks().len() <= 1);
    simulator.advance_clock(Duration::from_secs(11));
    let events = arrived(&received, 2).await;
    let both = BTreeSet::from(["lms_skills".to_owned(), "lms_users".to_owned()]);
    assert_eq!(models(&events[1]), both);
    assert_ne!(events[0]["id"], events[1]["id"]);
    // The union began a window of its own; a flush does not wait for its end.
    simulator.update_user(id, &user);
    simulator.flush_webhooks().await;
    assert_eq!(received.lock().unwrap().len(), 3);
    simulator.update_user(id, &user);
    arrived(&received, 4).await;
}

#[tokio::test]
async fn what_did_not_change_is_not_announced() {
    let (fixture, received) = listening(small()).await;
    let (simulator, id) = (&fixture.simulator, &fixture.integration_id);
    let user = fixture.row("users", |_| true);
    assert!(!simulator.undelete_user(id, &user));
    assert!(!simulator.update_user(id, "nobody"));
    simulator.flush_webhooks().await;
    assert!(received.lock().unwrap().is_empty());
    simulator.delete_user(id, &user);
    simulator.flush_webhooks().await;
    let events = received.lock().unwrap().clone();
    assert_eq!(models(&events[0]), BTreeSet::from(["lms_users".to_owned()]));
}

#[tokio::test]
async fn a_deleted_course_announces_its_revisions_too() {
    let (fixture, received) = listening(small()).await;
    let (simulator, id) = (&fixture.simulator, &fixture.integration_id);
    let revision = fixture.row("course_revisions", |_| true);
    let truth = simulator.truth(id);
    let course = truth["course_revisions"][&revision]["course_id"]
        .as_str()
        .unwrap();
    assert!(simulator.delete_course(id, course));
    let events = arrived(&received, 1).await;
    let both = BTreeSet::from(["lms_course_revisions".to_owned(), "lms_courses".to_owned()]);
    assert_eq!(models(&events[0]), both);
}

#[tokio::test]
async fn other_events_are_sent_as_documented() {
    let (fixture, received) = listening(small()).await;
    let (simulator, id) = (&fixture.simulator, &fixture.integration_id);
    simulator.announce(id, &["lms_badges"]);
    simulator.send_webhook("invented-type", &json!({ "a": 1 }));
    simulator.send_sync_finished(id);
    simulator.set_integration_state(id, IntegrationState::SETUP_PENDING);
    let added = simulator.add_integration();
    simulator.delete_integration(id);
    simulator.flush_webhooks().await;
    let events = received.lock().unwrap().clone();
    let types: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "data-changed",
            "invented-type",
            "sync-finished",
            "integration-state-changed",
            "integration-created",
            "integration-deleted"
        ]
    );
    assert_eq!(
        models(&events[0]),
        BTreeSet::from(["lms_badges".to_owned()])
    );
    assert_eq!(events[2]["data"]["sync_state"], "SUCCEEDED");
    assert_eq!(events[3]["data"]["setup_status"], "FINAL_SYNC_PENDING");
    assert_eq!(events[4]["data"]["id"], added);
    assert!(events[5]["data"]["deleted_at"].is_string());
    let unique: BTreeSet<_> = events
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert_eq!(unique.len(), 6);
    assert!(unique.iter().all(|id| id.len() == 24));
}

#[tokio::test]
async fn delivery_can_duplicate_drop_delay_and_reorder() {
    let (fixture, received) = listening(small()).await;
    let simulator = &fixture.simulator;
    let send = |kind: &str| simulator.send_webhook(kind, &json!({}));
    let types = || -> Vec<String> {
        let events = std::mem::take(&mut *received.lock().unwrap());
        events
            .iter()
            .map(|event| event["type"].as_str().unwrap().to_owned())
            .collect()
    };
    simulator.set_mischief(Mischief {
        duplicate: 1.0,
        ..Mischief::default()
    });
    send("a");
    simulator.flush_webhooks().await;
    assert_eq!(types(), ["a", "a"]);
    simulator.set_mischief(Mischief {
        drop: 1.0,
        ..Mischief::default()
    });
    send("b");
    simulator.flush_webhooks().await;
    assert!(types().is_empty());
    simulator.set_mischief(Mischief {
        reorder: true,
        ..Mischief::default()
    });
    for kind in ["c", "d", "e"] {
        send(kind);
    }
    simulator.flush_webhooks().await;
    assert_eq!(types(), ["d", "c", "e"]);
    simulator.set_mischief(Mischief {
        delay_milliseconds: 3_600_000,
        ..Mischief::default()
    });
    send("f");
    simulator.advance_clock(Duration::from_secs(3_000));
    assert!(received.lock().unwrap().is_empty());
    simulator.advance_clock(Duration::from_secs(601));
    arrived(&received, 1).await;
}

#[tokio::test]
async fn changes_happen_by_themselves_until_paused() {
    let options = Options {
        changes_per_second: 200.0,
        ..small()
    };
    let (fixture, received) = listening(options).await;
    arrived(&received, 1).await;
    fixture.simulator.pause();
    let before = fixture.simulator.truth(&fixture.integration_id);
    fixture.simulator.flush_webhooks().await;
    assert!(fixture.simulator.truth(&fixture.integration_id) == before);
    fixture.simulator.stop().await;
    let url = fixture.simulator.base_url();
    assert!(fixture.client.get(url).send().await.is_err());
}

//! The change feed: what really changed, in an order that loses nothing.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection as _;
use kombo_mirror::changes::{self, Change, ChangeKind, Origin};
use kombo_mirror::models::Mode;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::look::{eventually, text};

impl TestApp {
    /// What the feed says of one record, oldest first: kind and changed fields.
    async fn told_of(&self, id: &str) -> Vec<(String, Vec<String>)> {
        let nodes = self
            .query("{ recordChanges(first: 500) { nodes { kind komboId changedFields } } }")
            .await["recordChanges"]["nodes"]
            .take();
        nodes
            .as_array()
            .expect("a list")
            .iter()
            .filter(|change| change["komboId"] == id)
            .map(|change| {
                let fields = change["changedFields"].as_array().expect("a list");
                (text(&change["kind"]), fields.iter().map(text).collect())
            })
            .collect()
    }

    async fn told(&self) -> i64 {
        self.count("SELECT count(*) AS count FROM record_changes")
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_records_life_is_told_in_its_order() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let user = app.simulator.insert_user(&integration).expect("a user");
    app.settle().await;
    app.simulator.update_user(&integration, &user);
    app.settle().await;
    app.simulator.delete_user(&integration, &user);
    app.settle().await;
    app.simulator.undelete_user(&integration, &user);
    app.settle().await;
    let told = app.told_of(&user).await;
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["INSERTED", "UPDATED", "DELETED", "RESTORED"]);
    assert!(told[0].1.is_empty());
    assert!(
        told[1].1.contains(&"changedAt".to_owned()),
        "{:?}",
        told[1].1
    );
    assert!(told[2].1.contains(&"remoteDeletedAt".to_owned()));
    assert!(told[3].1.contains(&"remoteDeletedAt".to_owned()));
}

// Rule 7: what did not change is not told.
#[tokio::test(flavor = "multi_thread")]
async fn an_identical_full_fetch_tells_nothing() {
    let app = TestApp::loaded().await;
    let before = app.told().await;
    assert!(before > 300);
    app.fetch_everything().await;
    assert_eq!(app.told().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_shows_its_record_its_run_and_the_fields_that_differ() {
    let app = TestApp::loaded().await;
    let user = app.some_id("users").await;
    app.sql(&format!(
        "UPDATE users SET work_email = 'mallory@example.com', last_name = 'X' WHERE id = '{user}'"
    ))
    .await;
    app.fetch("users", Mode::Full).await;
    let all = app
        .query(
            "{ recordChanges(first: 500) { nodes { kind model changedFields integration { komboId } \
             record { komboId ... on User { workEmail } } run { mode driftedRecords } } } }",
        )
        .await;
    let nodes = all["recordChanges"]["nodes"].as_array().expect("a list");
    let last = nodes.last().expect("a change");
    assert_eq!(last["kind"], "UPDATED");
    assert_eq!(last["model"], "USER");
    assert_eq!(last["changedFields"], json!(["lastName", "workEmail"]));
    assert_eq!(last["integration"]["komboId"], app.integration());
    assert_eq!(last["record"]["komboId"], user);
    assert_ne!(last["record"]["workEmail"], "mallory@example.com");
    assert_eq!(last["run"], json!({ "mode": "FULL", "driftedRecords": 1 }));
}

// Nested data is told by its own row.
#[tokio::test(flavor = "multi_thread")]
async fn a_skill_assignment_is_told_as_a_change_of_its_revision() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let pair = app
        .row(
            "SELECT r.id AS revision, s.id AS skill FROM course_revisions r, skills s \
             WHERE r.course_id IN (SELECT id FROM courses WHERE NOT incomplete AND remote_deleted_at IS NULL) \
               AND NOT r.incomplete AND r.remote_deleted_at IS NULL AND NOT s.incomplete AND s.remote_deleted_at IS NULL \
               AND NOT EXISTS (SELECT FROM course_revision_skills l WHERE l.course_revision_id = r.id AND l.skill_id = s.id)",
        )
        .await;
    let (revision, skill) = (text(&pair["revision"]), text(&pair["skill"]));
    assert!(app.simulator.assign_skill(&integration, &revision, &skill));
    app.settle().await;
    let told = app.told_of(&revision).await;
    let (kind, fields) = told.last().expect("a change");
    assert_eq!(
        (kind.as_str(), fields.as_slice()),
        ("UPDATED", &["skills".to_owned()][..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_goes_on_at_its_cursor_reads_every_change_once() {
    let app = TestApp::loaded().await;
    let everything = app.told().await;
    let mut after = String::new();
    let mut sequences = Vec::new();
    loop {
        let page = app
            .query(&format!(
                "{{ recordChanges(first: 97{after}) {{ nodes {{ sequence }} pageInfo {{ hasNextPage endCursor }} }} }}"
            ))
            .await["recordChanges"]
            .take();
        let nodes = page["nodes"].as_array().expect("a list");
        sequences.extend(
            nodes
                .iter()
                .map(|change| text(&change["sequence"]).parse::<i64>().expect("a number")),
        );
        if page["pageInfo"]["hasNextPage"] != true {
            break;
        }
        after = format!(", after: {}", page["pageInfo"]["endCursor"]);
    }
    assert_eq!(i64::try_from(sequences.len()).ok(), Some(everything));
    assert!(sequences.is_sorted_by(|one, next| one < next));
}

fn change(id: &str) -> Vec<Change> {
    vec![Change {
        model: "users",
        id: id.to_owned(),
        kind: ChangeKind::Updated,
        fields: "first_name".to_owned(),
    }]
}

// A number that is drawn later is never seen earlier: a reader between two commits would pass the smaller one.
#[tokio::test(flavor = "multi_thread")]
async fn the_feeds_order_is_that_of_the_commits() {
    let app = Arc::new(TestApp::loaded().await);
    let integration = app.integration();
    let at = DateTime::<Utc>::UNIX_EPOCH;
    let last = "SELECT coalesce(max(sequence), 0) AS count FROM record_changes";
    let before = app.count(last).await;
    let mut first = app.database().await;
    let (hold, release) = tokio::sync::oneshot::channel::<()>();
    let slow = {
        let integration = integration.clone();
        tokio::spawn(async move {
            first
                .transaction(async |connection| {
                    let origin = Origin {
                        integration_id: &integration,
                        run_id: 1,
                        at,
                    };
                    changes::append(connection, &origin, &change("slow")).await?;
                    let _ = release.await;
                    Ok::<_, diesel::result::Error>(())
                })
                .await
        })
    };
    let waiting = "SELECT count(*) AS count FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let holding = waiting.replace("NOT granted", "granted");
    app.wait_for(&holding, 1).await;
    let quick = {
        let (app, integration) = (Arc::clone(&app), integration.clone());
        tokio::spawn(async move {
            let origin = Origin {
                integration_id: &integration,
                run_id: 1,
                at,
            };
            let mut connection = app.database().await;
            changes::append(&mut connection, &origin, &change("quick")).await
        })
    };
    app.wait_for(waiting, 1).await;
    assert_eq!(
        app.count(last).await,
        before,
        "nothing is visible before the first commit"
    );
    hold.send(()).expect("it waits");
    slow.await.expect("no panic").expect("committed");
    quick.await.expect("no panic").expect("committed");
    let order = app
        .rows(&format!(
            "SELECT id FROM record_changes WHERE sequence > {before} ORDER BY sequence"
        ))
        .await;
    assert_eq!(order, [json!({ "id": "slow" }), json!({ "id": "quick" })]);
}

// F40: the feed names columns and holds no content, so an erased person leaves nothing in it.
#[tokio::test(flavor = "multi_thread")]
async fn the_feed_holds_no_content_of_a_record() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let user = app.some_id("users").await;
    app.simulator.update_user(&integration, &user);
    app.settle().await;
    let row = app.mirrored("users", &user).await;
    for name in ["first_name", "last_name", "work_email", "remote_id"] {
        let Value::String(content) = &row[name] else {
            continue;
        };
        let found = format!(
            "SELECT count(*) AS count FROM record_changes c WHERE strpos(to_jsonb(c)::text, '\"{}\"') > 0",
            content.replace('\'', "''")
        );
        assert_eq!(app.count(&found).await, 0, "{name}");
    }
}

// Rule 15, F53: what a delta finds and no webhook had announced is counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_webhook_announced_is_counted_as_missed() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let target = None;
    app.simulator.set_webhook_target(target);
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&integration, &user));
    app.simulator
        .advance_clock(std::time::Duration::from_secs(3700));
    app.work().await;
    let run = app.last_run("users").await;
    assert_eq!(
        (&run["trigger"], &run["missed_announcements"]),
        (&"CATCH_UP".into(), &1.into())
    );
    let shown = app
        .query("{ syncStatus { endpoint missedAnnouncements driftedRecords } }")
        .await;
    assert!(
        shown["syncStatus"].as_array().expect("a list").contains(
            &json!({ "endpoint": "USERS", "missedAnnouncements": 1, "driftedRecords": 0 })
        )
    );
}

// The same change found right after it happened may still be announced, and an announced one was.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_still_be_announced_is_not_missed() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&integration, &user));
    app.enqueue(&integration, "users", Mode::Delta).await;
    app.work().await;
    assert_eq!(app.last_run("users").await["missed_announcements"], 0);
    assert!(app.simulator.update_user(&integration, &user));
    eventually("the announced run ends", async || {
        app.settle().await;
        app.last_run("users").await["trigger"] == "WEBHOOK"
    })
    .await;
    assert_eq!(app.last_run("users").await["missed_announcements"], 0);
    eventually("no run is open", async || app.open_runs().await == 0).await;
}

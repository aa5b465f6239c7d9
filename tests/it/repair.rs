//! Full fetches that change nothing, and those that repair.

use kombo_mirror::models::{self, Mode};
use serde_json::Value;

use crate::support::TestApp;

const MIRROR_TABLES: [&str; 7] = [
    "users",
    "courses",
    "course_revisions",
    "course_providers",
    "skills",
    "course_revision_skills",
    "course_progressions",
];

impl TestApp {
    /// The version of every row of the mirror, as Postgres counts them.
    async fn row_versions(&self) -> Vec<Value> {
        let mut versions = Vec::new();
        for table in MIRROR_TABLES {
            let sql = format!(
                "SELECT '{table}' AS name, ctid::text, xmin::text, mirrored_at FROM {table} ORDER BY ctid"
            );
            versions.extend(self.rows(&sql).await);
        }
        versions
    }
}

// Rule 7, F11: no row version, no `mirrored_at`.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_identical_full_fetch_writes_no_row() {
    let app = TestApp::loaded().await;
    let before = app.row_versions().await;
    assert!(before.len() > 300);
    app.fetch_everything().await;
    assert_eq!(app.row_versions().await, before);
}

// Rule 6: the counters of a run add up to what Kombo sent.
#[tokio::test(flavor = "multi_thread")]
async fn the_counters_of_a_full_fetch_add_up() {
    let app = TestApp::loaded().await;
    for endpoint in models::ALL {
        let run = app.fetch(endpoint.name, Mode::Full).await;
        let number = |name: &str| run[name].as_i64().expect("a counter");
        assert!(number("records_received") > 0, "{}", endpoint.name);
        assert_eq!(number("records_unchanged"), number("records_received"));
        for name in [
            "records_inserted",
            "records_updated",
            "records_deleted",
            "records_parked",
            "records_duplicate",
            "drift_inserted",
            "drift_updated",
            "drift_removed",
            "missed_announcements",
            "removals_held_back",
        ] {
            assert_eq!(number(name), 0, "{} {name}", endpoint.name);
        }
    }
}

/// What a run had to correct.
fn drift(run: &Value) -> i64 {
    ["drift_inserted", "drift_updated", "drift_removed"]
        .iter()
        .map(|name| run[name].as_i64().expect("a counter"))
        .sum()
}

// Rule 12
#[tokio::test(flavor = "multi_thread")]
async fn rows_edited_by_hand_are_repaired_and_counted_as_drift() {
    let app = TestApp::loaded().await;
    let user = app.some_id("users").await;
    app.sql(&format!(
        "UPDATE users SET first_name = 'Mallory', remote_data = '{{\"x\": 1}}' WHERE id = '{user}'"
    ))
    .await;
    let run = app.fetch("users", Mode::Full).await;
    assert_eq!(run["drift_updated"], 1);
    assert_eq!(run["records_updated"], 1);
    app.assert_mirrors_the_truth().await;
    let shown = app
        .query("{ syncRuns(first: 1) { nodes { driftedRecords } } }")
        .await;
    assert_eq!(shown["syncRuns"]["nodes"][0]["driftedRecords"], 1);
}

// Rule 12
#[tokio::test(flavor = "multi_thread")]
async fn rows_deleted_by_hand_come_back_and_are_counted_as_drift() {
    let app = TestApp::loaded().await;
    let [user, course] = [app.some_id("users").await, app.some_id("courses").await];
    app.sql(&format!("DELETE FROM users WHERE id = '{user}'"))
        .await;
    app.sql(&format!("DELETE FROM courses WHERE id = '{course}'"))
        .await;
    app.sql("DELETE FROM course_revision_skills").await;
    let run = app.fetch("users", Mode::Full).await;
    assert_eq!(run["drift_inserted"], 1);
    assert_eq!(run["records_inserted"], 1);
    app.fetch("courses", Mode::Full).await;
    app.assert_mirrors_the_truth().await;
}

// Rule 12
#[tokio::test(flavor = "multi_thread")]
async fn rows_added_by_hand_are_removed_and_counted_as_drift() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    for table in ["users", "courses", "skills", "course_providers"] {
        app.sql(&format!(
            "INSERT INTO {table} (integration_id, id, observed_at, mirrored_at) VALUES ('{integration}', 'ghost', 'epoch', 'epoch')"
        ))
        .await;
    }
    for endpoint in ["users", "skills", "courses"] {
        let run = app.fetch(endpoint, Mode::Full).await;
        let expected = if endpoint == "courses" { 2 } else { 1 };
        assert_eq!(run["drift_removed"], expected, "{endpoint}");
    }
    app.assert_mirrors_the_truth().await;
}

// Rule 7: a link between rows that nobody announced.
#[tokio::test(flavor = "multi_thread")]
async fn a_skill_assignment_added_by_hand_is_removed() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let revision = app.some_id("course_revisions").await;
    app.sql(&format!(
        "INSERT INTO course_revision_skills (integration_id, course_revision_id, skill_id, observed_at, mirrored_at) \
         VALUES ('{integration}', '{revision}', 'ghost', 'epoch', 'epoch')"
    ))
    .await;
    app.fetch("courses", Mode::Full).await;
    app.assert_mirrors_the_truth().await;
}

// Rule 12: what changed since the last fetch is news and no drift.
#[tokio::test(flavor = "multi_thread")]
async fn changes_since_the_last_fetch_are_no_drift() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&app.integration(), &user));
    let run = app.fetch("users", Mode::Full).await;
    assert_eq!(run["records_updated"], 1);
    assert_eq!(drift(&run), 0);
}

// Rule 8, F24, F25, F26, F27: what a younger fetch wrote stays, whatever its `changed_at`.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_fetch_overwrites_and_removes_nothing_that_is_younger() {
    let app = TestApp::loaded().await;
    let user = app.some_id("users").await;
    app.sql(&format!(
        "UPDATE users SET first_name = 'Younger', changed_at = 'epoch', observed_at = observed_at + interval '1 hour' \
         WHERE id = '{user}'"
    ))
    .await;
    app.sql(&format!(
        "INSERT INTO users (integration_id, id, observed_at, mirrored_at) \
         SELECT integration_id, 'younger', observed_at, mirrored_at FROM users WHERE id = '{user}'"
    ))
    .await;
    let run = app.fetch("users", Mode::Full).await;
    assert_eq!(
        (&run["status"], &run["records_deleted"]),
        (&"SUCCEEDED".into(), &0.into())
    );
    assert_eq!(app.mirrored("users", &user).await["first_name"], "Younger");
    assert_eq!(
        app.mirrored("users", "younger").await["missing_since"],
        Value::Null
    );
}

// Rule 12: drift and whatever waits for somebody are metrics.
#[tokio::test(flavor = "multi_thread")]
async fn drift_is_a_metric() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let user = app.some_id("users").await;
    app.sql(&format!(
        "UPDATE users SET first_name = 'Mallory' WHERE id = '{user}'"
    ))
    .await;
    app.fetch("users", Mode::Full).await;
    let answer = reqwest::get(app.url("/metrics")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.expect("a text");
    let labels = format!("integration=\"{integration}\",endpoint=\"users\"");
    for line in [
        format!("kombo_mirror_drift_records_total{{{labels},kind=\"updated\"}} 1"),
        format!("kombo_mirror_drift_records_total{{{labels},kind=\"removed\"}} 0"),
        format!("kombo_mirror_missed_announcements_total{{{labels}}} 0"),
        format!("kombo_mirror_removals_held_back{{{labels}}} 0"),
        format!("kombo_mirror_parked_records{{{labels}}} 0"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("Mallory"));
}

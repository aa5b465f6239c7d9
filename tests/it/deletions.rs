//! What leaves the mirror, and what must not.

use std::time::Duration;

use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{After14Days, Endpoint, Fault, FaultKind, IntegrationState};
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::look::text;

/// Past Kombo's memory of deleted records.
const FIFTEEN_DAYS: Duration = Duration::from_secs(15 * 24 * 3600);

impl TestApp {
    /// Writes rows into `users` that Kombo never had.
    async fn add_ghosts(&self, number: i64) {
        let integration = self.integration();
        self.sql(&format!(
            "INSERT INTO users (integration_id, id, observed_at, mirrored_at) \
             SELECT '{integration}', 'ghost-' || n, 'epoch', 'epoch' FROM generate_series(1, {number}) n"
        ))
        .await;
    }

    async fn ghosts(&self) -> i64 {
        self.count(
            "SELECT count(*) AS count FROM users WHERE id LIKE 'ghost-%' AND missing_since IS NULL",
        )
        .await
    }

    async fn live_users(&self) -> i64 {
        self.count("SELECT count(*) AS count FROM users WHERE missing_since IS NULL AND remote_deleted_at IS NULL")
            .await
    }
}

// Rule 10, F32
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_arrives_by_a_delta_and_is_reversible() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let user = app.some_id("users").await;
    let query = format!("{{ user(komboId: \"{user}\") {{ isDeleted }} }}");
    assert!(app.simulator.delete_user(&integration, &user));
    app.settle().await;
    assert_eq!(app.last_run("users").await["mode"], "DELTA");
    assert_eq!(app.last_run("users").await["records_deleted"], 1);
    assert_eq!(
        app.query(&query).await,
        json!({ "user": { "isDeleted": true } })
    );
    app.assert_mirrors_the_truth().await;
    assert!(app.simulator.undelete_user(&integration, &user));
    app.settle().await;
    assert_eq!(
        app.query(&query).await,
        json!({ "user": { "isDeleted": false } })
    );
    app.assert_mirrors_the_truth().await;
}

// Rule 10, F40: what Kombo erases, the mirror erases, in every column.
#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_that_kombo_blanked_is_blanked_here_too() {
    let app = TestApp::loaded().await;
    let user = text(
        &app.row("SELECT id FROM users WHERE remote_data IS NOT NULL AND custom_fields IS NOT NULL AND remote_deleted_at IS NULL")
            .await["id"],
    );
    assert!(app.simulator.delete_user(&app.integration(), &user));
    app.settle().await;
    let email = text(&app.mirrored("users", &user).await["work_email"]);
    app.simulator.advance_clock(FIFTEEN_DAYS);
    app.work().await;
    let row = app.mirrored("users", &user).await;
    for column in [
        "first_name",
        "last_name",
        "work_email",
        "status",
        "remote_id",
        "remote_data",
        "custom_fields",
        "unknown_fields",
    ] {
        assert_eq!(row[column], Value::Null, "{column}");
    }
    assert_eq!(row["integration_fields"], json!([]));
    assert_ne!(row["remote_deleted_at"], Value::Null);
    let copies =
        format!("SELECT count(*) AS count FROM users u WHERE to_jsonb(u)::text LIKE '%{email}%'");
    assert_eq!(app.count(&copies).await, 0);
    app.assert_mirrors_the_truth().await;
}

// Rule 10: the other reading of what 14 days do.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_kombo_removes_after_14_days_go_missing() {
    let app = TestApp::loaded().await;
    app.simulator.set_after_14_days(After14Days::Remove);
    let integration = app.integration();
    let user = app.some_id("users").await;
    let course = app.some_id("courses").await;
    assert!(app.simulator.delete_user(&integration, &user));
    assert!(app.simulator.delete_course(&integration, &course));
    app.settle().await;
    app.assert_mirrors_the_truth().await;
    app.simulator.advance_clock(FIFTEEN_DAYS);
    app.work().await;
    assert_ne!(
        app.mirrored("users", &user).await["missing_since"],
        Value::Null
    );
    app.assert_mirrors_the_truth().await;
}

// Rule 10, F17, F33
#[tokio::test(flavor = "multi_thread")]
async fn absence_counts_after_a_complete_full_fetch() {
    let app = TestApp::loaded().await;
    app.add_ghosts(3).await;
    let run = app.fetch("users", Mode::Full).await;
    assert_eq!(run["records_deleted"], 3);
    assert_eq!(run["removals_held_back"], 0);
    assert_eq!(app.ghosts().await, 0);
    assert_eq!(
        app.count("SELECT count(*) AS count FROM users WHERE id LIKE 'ghost-%'")
            .await,
        3,
        "kept, and marked"
    );
    app.assert_mirrors_the_truth().await;
}

// F34
#[tokio::test(flavor = "multi_thread")]
async fn a_delta_removes_nothing_by_absence() {
    let app = TestApp::loaded().await;
    app.add_ghosts(3).await;
    app.fetch("users", Mode::Delta).await;
    assert_eq!(app.ghosts().await, 3);
}

// F35
#[tokio::test(flavor = "multi_thread")]
async fn a_full_fetch_of_one_endpoint_removes_nothing_of_another() {
    let app = TestApp::loaded().await;
    app.add_ghosts(3).await;
    for endpoint in ["skills", "courses", "course_progressions"] {
        app.fetch(endpoint, Mode::Full).await;
    }
    assert_eq!(app.ghosts().await, 3);
}

// F33, F35: the last page failed, or belongs to another integration.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_fetch_that_fails_on_its_last_page_removes_nothing() {
    let app = TestApp::loaded().await;
    let before = "SELECT count(*) AS count FROM course_progressions WHERE missing_since IS NULL";
    let rows = app.count(before).await;
    app.simulator.inject(
        Fault::once(FaultKind::PermissionMissing)
            .on(Endpoint::CourseProgressions)
            .on_page(2),
    );
    let run = app.fetch("course_progressions", Mode::Full).await;
    assert_eq!(run["status"], "FAILED");
    assert_eq!(run["error_code"], "INTEGRATION.PERMISSION_MISSING");
    assert_eq!(app.count(before).await, rows);
    assert_eq!(
        app.count("SELECT count(*) AS count FROM seen_records")
            .await,
        0
    );
}

// Rule 10, F42, F54
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_switched_off_or_not_ready_keeps_its_rows() {
    for fault in [
        FaultKind::ModelDisabled,
        FaultKind::ModelNotAvailable,
        FaultKind::SetupSyncPending,
    ] {
        let app = TestApp::loaded().await;
        let before = app.live_users().await;
        app.simulator
            .inject(Fault::once(fault.clone()).on(Endpoint::Users));
        app.fetch("users", Mode::Full).await;
        assert_eq!(app.live_users().await, before, "{fault:?}");
        let is_off = fault != FaultKind::SetupSyncPending;
        assert_eq!(app.state("users").await["available"], !is_off, "{fault:?}");
        // and it comes back when it is switched on
        app.simulator.advance_clock(Duration::from_secs(3600));
        app.work_through().await;
        assert_eq!(app.fetch("users", Mode::Full).await["status"], "SUCCEEDED");
        assert_eq!(app.state("users").await["available"], true);
        app.assert_mirrors_the_truth().await;
    }
}

// Rule 11, F36, F37: an empty answer is not believed, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_removes_nothing_and_is_visible() {
    let app = TestApp::loaded().await;
    let before = app.live_users().await;
    app.simulator
        .inject(Fault::once(FaultKind::EmptyList).on(Endpoint::Users));
    let run = app.fetch("users", Mode::Full).await;
    assert_eq!(run["status"], "SUCCEEDED");
    assert_eq!(run["removals_held_back"], before);
    assert_eq!(run["records_deleted"], 0);
    assert_eq!(app.live_users().await, before);
    assert_eq!(app.state("users").await["removals_held_back"], before);
    let shown = app
        .query("{ syncRuns(first: 1) { nodes { removalsHeldBack } } }")
        .await;
    assert_eq!(shown["syncRuns"]["nodes"][0]["removalsHeldBack"], before);
    app.assert_mirrors_the_truth().await;
    app.fetch("users", Mode::Full).await;
    assert_eq!(
        app.state("users").await["removals_held_back"],
        0,
        "the next full fetch clears it"
    );
}

// Rule 11, F36: nor where the guard's rows would cover all that there is.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_removes_nothing_of_a_small_table_either() {
    let app = TestApp::loaded().await;
    let skills = "SELECT count(*) AS count FROM skills WHERE missing_since IS NULL AND remote_deleted_at IS NULL AND NOT incomplete";
    let before = app.count(skills).await;
    assert!((1..50).contains(&before), "{before} skills");
    app.simulator
        .inject(Fault::once(FaultKind::EmptyList).on(Endpoint::Skills));
    let run = app.fetch("skills", Mode::Full).await;
    assert_eq!(run["status"], "SUCCEEDED");
    assert_eq!(run["removals_held_back"], before);
    assert_eq!(app.count(skills).await, before);
    app.assert_mirrors_the_truth().await;
}

// Rule 11
#[tokio::test(flavor = "multi_thread")]
async fn the_guard_lets_fifty_rows_go_and_holds_fifty_one_back() {
    let app = TestApp::loaded().await;
    app.add_ghosts(51).await;
    assert_eq!(
        app.fetch("users", Mode::Full).await["removals_held_back"],
        51
    );
    assert_eq!(app.ghosts().await, 51);
    app.sql("DELETE FROM users WHERE id = 'ghost-51'").await;
    assert_eq!(
        app.fetch("users", Mode::Full).await["removals_held_back"],
        0
    );
    assert_eq!(app.ghosts().await, 0);
}

// F39: a row that was missed is revived by a younger fetch.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_went_missing_and_comes_back_is_live_again() {
    let app = TestApp::loaded().await;
    let user = app.some_id("users").await;
    app.sql(&format!(
        "UPDATE users SET missing_since = observed_at WHERE id = '{user}'"
    ))
    .await;
    app.fetch("users", Mode::Full).await;
    assert_eq!(
        app.mirrored("users", &user).await["missing_since"],
        Value::Null
    );
    app.assert_mirrors_the_truth().await;
}

// Rule 10: a revision has no endpoint of its own; a freshly read course that does not list it says it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_its_course_no_longer_lists_goes_missing_and_comes_back() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let course = text(
        &app.row("SELECT course_id FROM course_revisions WHERE remote_deleted_at IS NULL AND course_id IN \
             (SELECT id FROM courses WHERE NOT incomplete AND remote_deleted_at IS NULL) AND NOT incomplete").await["course_id"],
    );
    let live = format!(
        "SELECT count(*) AS count FROM course_revisions WHERE course_id = '{course}' AND missing_since IS NULL AND NOT incomplete"
    );
    assert!(app.count(&live).await > 0);
    let emptied = json!({ "revisions": [] });
    let members = emptied.as_object().expect("an object").clone();
    assert!(
        app.simulator
            .merge_into_record(&integration, Endpoint::Courses, &course, members)
    );
    app.settle().await;
    assert_eq!(app.count(&live).await, 0);
    assert!(
        app.simulator
            .restore_record(&integration, Endpoint::Courses, &course)
    );
    app.settle().await;
    app.assert_mirrors_the_truth().await;
}

// F42: a whole integration that is switched off loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_inactive_integration_keeps_its_rows() {
    let app = TestApp::loaded().await;
    let before = app.live_users().await;
    let off = IntegrationState {
        status: kombo_mirror::simulator::Status::Inactive,
        ..IntegrationState::READY
    };
    assert!(app.simulator.set_integration_state(&app.integration(), off));
    app.simulator
        .advance_clock(Duration::from_secs(8 * 24 * 3600));
    app.settle().await;
    let state = app.row("SELECT state FROM integrations").await;
    assert_eq!(state["state"], "INACTIVE");
    assert_eq!(
        app.last_run("users").await["error_code"],
        "INTEGRATION.INACTIVE"
    );
    assert_eq!(app.live_users().await, before);
}

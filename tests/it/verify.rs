//! Comparing the mirror with Kombo from outside, as an operator does: with the program itself.

use std::process::Output;

use kombo_mirror::simulator::{self, Endpoint, Fault, FaultKind};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::process::Command;

use crate::support::TestApp;
use crate::support::look::{eventually, text};
use crate::support::world::{output, program};

/// What the program said.
struct Verdict {
    code: Option<i32>,
    /// Sorted.
    differences: Vec<String>,
    notes: String,
}

impl From<Output> for Verdict {
    fn from(output: Output) -> Self {
        let said = String::from_utf8(output.stdout).expect("a text");
        let mut differences: Vec<String> = said.lines().map(str::to_owned).collect();
        differences.sort();
        Self {
            code: output.status.code(),
            differences,
            notes: String::from_utf8(output.stderr).expect("a text"),
        }
    }
}

impl Verdict {
    fn notes_contain(&self, part: &str) {
        assert!(
            self.notes.contains(part),
            "{part} is not in: {}",
            self.notes
        );
    }
}

impl TestApp {
    /// The command, on a database in which every write fails.
    fn verify_command(&self, arguments: &[&str]) -> Command {
        let mut command = program(&["verify", "--integration", &self.integration()]);
        let url = self.database_url();
        let url = url.expose_secret();
        let separator = if url.contains('?') { '&' } else { '?' };
        let read_only = "options=-c%20default_transaction_read_only%3Don";
        command
            .args(arguments)
            .env("DATABASE_URL", format!("{url}{separator}{read_only}"))
            .env("KOMBO_API_URL", self.simulator.base_url())
            .env("KOMBO_API_KEY", simulator::Options::default().api_key)
            .env("RUST_LOG", "warn");
        command
    }

    async fn verify(&self, arguments: &[&str]) -> Verdict {
        output(self.verify_command(arguments)).await.into()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_equal_ends_with_0_and_says_what_was_compared() {
    let app = TestApp::loaded().await;
    let verdict = app.verify(&[]).await;
    assert_eq!(verdict.differences, Vec::<String>::new());
    assert_eq!(verdict.code, Some(0), "{}", verdict.notes);
    verdict.notes_contain(
        "users: records compared: 60, rows that differ: 0, not due yet: 0, unreadable: 0",
    );
    verdict.notes_contain("course_progressions: 300 in Kombo, 300 in the mirror");
    verdict.notes_contain("calls to Kombo: 5");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_is_named_by_id_and_column_and_never_by_value() {
    let app = TestApp::loaded().await;
    let integration = app.integration();
    let users = app
        .rows("SELECT id FROM users WHERE remote_deleted_at IS NULL ORDER BY id LIMIT 2")
        .await;
    let [edited, deleted] = [&users[0], &users[1]].map(|row| text(&row["id"]));
    let provider = app.some_id("course_providers").await;
    let revision = app.some_id("course_revisions").await;
    let link = app
        .row("SELECT course_revision_id || '|' || skill_id AS id FROM course_revision_skills ORDER BY 1 LIMIT 1")
        .await;
    let link = text(&link["id"]);
    for sql in [
        format!(
            "UPDATE users SET first_name = 'Mallory', custom_fields = '{{\"a\": 1}}' WHERE id = '{edited}'"
        ),
        format!("DELETE FROM users WHERE id = '{deleted}'"),
        format!("UPDATE course_providers SET name = 'Mallory' WHERE id = '{provider}'"),
        format!(
            "DELETE FROM course_revision_skills WHERE course_revision_id || '|' || skill_id = '{link}'"
        ),
        format!(
            "INSERT INTO course_revision_skills (integration_id, course_revision_id, skill_id, observed_at, mirrored_at) \
             VALUES ('{integration}', '{revision}', 'ghost', 'epoch', 'epoch')"
        ),
        format!(
            "INSERT INTO skills (integration_id, id, name, observed_at, mirrored_at) \
             VALUES ('{integration}', 'ghost', 'Mallory', 'epoch', 'epoch')"
        ),
        format!("UPDATE course_revisions SET missing_since = 'epoch' WHERE id = '{revision}'"),
    ] {
        assert_eq!(app.sql(&sql).await, 1, "{sql}");
    }
    let verdict = app.verify(&[]).await;
    let mut expected = vec![
        format!("users {edited}: fields differ: first_name,custom_fields"),
        format!("users {deleted}: missing in the mirror"),
        format!("course_providers {provider}: fields differ: name"),
        format!("course_revision_skills {link}: missing in the mirror"),
        format!("course_revision_skills {revision}|ghost: only in the mirror"),
        "skills ghost: only in the mirror".to_owned(),
        format!("course_revisions {revision}: missing in the mirror"),
    ];
    expected.sort();
    assert_eq!(verdict.differences, expected);
    assert_eq!(verdict.code, Some(1));
    assert!(!verdict.notes.contains("Mallory"));
}

// What changed after the watermark less the overlap may be on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_due_yet_is_counted_and_no_difference() {
    let app = TestApp::loaded().await;
    app.simulator.set_webhook_target(None);
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&app.integration(), &user));
    let verdict = app.verify(&["--endpoint", "users"]).await;
    assert_eq!((verdict.code, verdict.differences.len()), (Some(0), 0));
    verdict.notes_contain("users: records compared: 60, rows that differ: 0, not due yet: 1");
    assert!(
        !verdict.notes.contains("courses"),
        "only what was asked for"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_fetched_is_missing() {
    let app = TestApp::start().await;
    let verdict = app.verify(&["--endpoint", "skills"]).await;
    assert_eq!((verdict.code, verdict.differences.len()), (Some(1), 15));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_too_few_for_all_compare_a_sample_and_say_so() {
    let app = TestApp::loaded().await;
    let arguments = ["--endpoint", "course_progressions", "--max-calls", "1"];
    let verdict = app.verify(&arguments).await;
    assert_eq!((verdict.code, verdict.differences.len()), (Some(0), 0));
    verdict.notes_contain("calls left: 1, too few for 300 records");
    verdict.notes_contain("records compared: 80");
    app.sql("UPDATE course_progressions SET status = 'DROPPED?'")
        .await;
    let verdict = app.verify(&arguments).await;
    assert_eq!((verdict.code, verdict.differences.len()), (Some(1), 80));
    let arguments = [
        "--endpoint",
        "course_progressions",
        "--max-calls",
        "1",
        "--sample",
        "7",
    ];
    assert_eq!(app.verify(&arguments).await.differences.len(), 7);
}

// The mirror cannot say how much there is at Kombo: then the calls end half-way.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_end_half_way_are_said_and_id_sets_are_not_compared() {
    let app = TestApp::loaded().await;
    app.sql("DELETE FROM course_progressions WHERE id > '0'")
        .await;
    let integration = app.integration();
    app.sql(&format!(
        "INSERT INTO course_progressions (integration_id, id, observed_at, mirrored_at) VALUES ('{integration}', 'ghost', 'epoch', 'epoch')"
    ))
    .await;
    let arguments = ["--endpoint", "course_progressions", "--max-calls", "1"];
    let verdict = app.verify(&arguments).await;
    assert_eq!((verdict.code, verdict.differences.len()), (Some(1), 250));
    verdict.notes_contain("the calls are used up");
    assert!(!verdict.notes.contains("in Kombo,"));
}

// A webhook may arrive between the look at a page and the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_differs_is_looked_at_once_more() {
    let app = TestApp::loaded().await;
    let progression = app.simulator.truth(&app.integration())["course_progressions"]
        .keys()
        .next()
        .cloned()
        .expect("a progression");
    let ghost = "INSERT INTO course_progressions (integration_id, id, observed_at, mirrored_at) \
                 SELECT integration_id, 'ghost', 'epoch', 'epoch' FROM course_progressions LIMIT 1";
    app.sql(ghost).await;
    let status = app.mirrored("course_progressions", &progression).await["status"].clone();
    let set = |status: &str| {
        format!("UPDATE course_progressions SET status = '{status}' WHERE id = '{progression}'")
    };
    app.sql(&set("wrong")).await;
    app.simulator.clear_requests();
    // the answer to the request by ids, which the comparison of all pages comes before
    let slow = Fault::once(FaultKind::Slow(1_500)).on(Endpoint::CourseProgressions);
    app.simulator.inject(slow.on_page(2));
    let command = app.verify_command(&["--endpoint", "course_progressions"]);
    let verifying = tokio::spawn(output(command));
    eventually("the second page is asked for", async || {
        app.requests_to(Endpoint::CourseProgressions).len() == 2
    })
    .await;
    app.sql(&set(&text(&status))).await;
    app.sql("DELETE FROM course_progressions WHERE id = 'ghost'")
        .await;
    let verdict = Verdict::from(verifying.await.expect("it ends"));
    assert_eq!(verdict.differences, Vec::<String>::new());
    assert_eq!(verdict.code, Some(0), "{}", verdict.notes);
}

// Rule 14: what cannot be read is parked in the mirror, and told apart here too.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_record_is_counted_and_no_difference() {
    let app = TestApp::loaded().await;
    for fault in [FaultKind::WrongType, FaultKind::HugeNumber] {
        app.simulator.inject(Fault::once(fault).on(Endpoint::Users));
        let verdict = app.verify(&["--endpoint", "users"]).await;
        assert_eq!((verdict.code, verdict.differences.len()), (Some(0), 0));
        verdict.notes_contain("unreadable: 1");
    }
}

// Rule 10, F42
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_switched_off_is_no_difference() {
    let app = TestApp::loaded().await;
    app.simulator
        .inject(Fault::once(FaultKind::ModelDisabled).on(Endpoint::Users));
    let verdict = app.verify(&["--endpoint", "users"]).await;
    assert_eq!((verdict.code, verdict.differences.len()), (Some(0), 0));
    verdict.notes_contain("kombo shows nothing of it (INTEGRATION.MODEL_DISABLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_ends_with_2() {
    let app = TestApp::loaded().await;
    let unknown_endpoint = app.verify(&["--endpoint", "badges"]).await;
    assert_eq!(unknown_endpoint.code, Some(2));
    let mut unknown = program(&["verify", "--integration", "sandbox:nobody"]);
    unknown
        .env("DATABASE_URL", app.database_url().expose_secret())
        .env("KOMBO_API_URL", app.simulator.base_url())
        .env("KOMBO_API_KEY", "any");
    let unknown = Verdict::from(output(unknown).await);
    assert_eq!(unknown.code, Some(2));
    unknown.notes_contain("the mirror has no integration sandbox:nobody");
    let unset = Verdict::from(output(program(&["verify", "--integration", "any"])).await);
    assert_eq!(unset.code, Some(2));
    unset.notes_contain("KOMBO_API_KEY is missing");
    assert!(!unset.notes.contains("KOMBO_WEBHOOK_SECRET"));
    let mut wrong_key = app.verify_command(&[]);
    wrong_key.env("KOMBO_API_KEY", "wrong");
    let wrong_key = Verdict::from(output(wrong_key).await);
    assert_eq!(wrong_key.code, Some(2));
    wrong_key.notes_contain("PLATFORM.AUTHENTICATION_INVALID");
    assert_eq!(json!([]), json!(wrong_key.differences));
}

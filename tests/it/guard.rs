//! The removal guard: what it keeps, what it shows, and what an approval does.

use diesel_async::AsyncConnection as _;
use kombo_mirror::config::SyncSettings;
use kombo_mirror::models::Mode;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use kombo_mirror::sync::held;
use serde_json::{Map, Value, json};

use crate::support::TestApp;
use crate::support::app::{ADMIN, Setup};
use crate::support::look::text;

impl TestApp {
    /// Sixty users held back, since Kombo showed none; returns the run's id.
    async fn sixty_held_back(&self) -> i64 {
        self.simulator
            .inject(Fault::once(FaultKind::EmptyList).on(Endpoint::Users));
        let run = self.fetch("users", Mode::Full).await;
        assert!(run["removals_held_back"].as_i64() > Some(50), "{run}");
        run["id"].as_i64().expect("an id")
    }

    async fn approve(&self, run: i64) -> Option<i64> {
        let now = (self.engine.clock)();
        let mut connection = self.database().await;
        connection
            .transaction(async |connection| held::approve(connection, run, now).await)
            .await
            .expect("the database works")
    }

    async fn present(&self, table: &str) -> i64 {
        self.count(&format!(
            "SELECT count(*) AS count FROM {table} WHERE missing_since IS NULL AND NOT incomplete"
        ))
        .await
    }
}

/// A guard that a few rows reach.
async fn strict() -> TestApp {
    let setup = Setup::default();
    let app = TestApp::with(Setup {
        sync: SyncSettings {
            removal_guard_rows: 3,
            ..setup.sync
        },
        ..setup
    })
    .await;
    app.work().await;
    app
}

/// The course records of the first integration as Kombo sends them.
async fn courses_as_sent(app: &TestApp) -> Vec<Value> {
    let url = format!(
        "{}/lms/courses?page_size=250&include_deleted=true",
        app.simulator.base_url()
    );
    let answer = reqwest::Client::new()
        .get(url)
        .bearer_auth(Options::default().api_key)
        .header("x-integration-id", app.integration())
        .send()
        .await
        .expect("the simulator answers")
        .text()
        .await
        .expect("a text");
    let mut page: Value = serde_json::from_str(&answer).expect("a page");
    match page["data"]["results"].take() {
        Value::Array(records) => records,
        other => panic!("no list: {other}"),
    }
}

fn members(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

// Rule 11, F36: an upstream fault that empties every list is not the end of all revisions.
#[tokio::test(flavor = "multi_thread")]
async fn empty_lists_of_revisions_are_held_back() {
    let app = strict().await;
    let integration = app.integration();
    let before = app.present("course_revisions").await;
    let courses = app
        .rows("SELECT id FROM courses WHERE NOT incomplete")
        .await;
    for course in &courses {
        let empty = members(json!({ "revisions": [] }));
        app.simulator.merge_into_record(
            &integration,
            Endpoint::Courses,
            &text(&course["id"]),
            empty,
        );
    }
    for mode in [Mode::Full, Mode::Delta] {
        app.sql("UPDATE endpoint_states SET watermark = watermark - interval '1 day'")
            .await;
        let run = app.fetch("courses", mode).await;
        assert_eq!(run["status"], "SUCCEEDED");
        let left = app.present("course_revisions").await;
        assert!(before - left <= 3, "{mode:?}: {before} became {left}");
        let held = app.state("courses").await["removals_held_back"].as_i64();
        assert!(held > Some(3), "{mode:?}: {held:?}");
    }
    for course in &courses {
        app.simulator
            .restore_record(&integration, Endpoint::Courses, &text(&course["id"]));
    }
    app.fetch("courses", Mode::Full).await;
    assert_eq!(app.state("courses").await["removals_held_back"], 0);
    app.assert_mirrors_the_truth().await;
}

// Rule 11, F36: nor of all skill assignments, which have no mark of their own to come back by.
#[tokio::test(flavor = "multi_thread")]
async fn empty_lists_of_skills_are_held_back_and_an_approval_removes_them() {
    let app = strict().await;
    let integration = app.integration();
    let assignments = "SELECT count(*) AS count FROM course_revision_skills";
    let before = app.count(assignments).await;
    assert!(before > 5, "{before}");
    for mut course in courses_as_sent(&app).await {
        for revision in course["revisions"].as_array_mut().expect("a list") {
            revision["skill_assignments"] = json!([]);
        }
        let id = text(&course["id"]);
        let emptied = members(json!({ "revisions": course["revisions"].take() }));
        app.simulator
            .merge_into_record(&integration, Endpoint::Courses, &id, emptied);
    }
    let run = app.fetch("courses", Mode::Full).await;
    assert_eq!(run["status"], "SUCCEEDED");
    let held = run["removals_held_back"].as_i64().expect("a number");
    assert_eq!(app.count(assignments).await, before);
    assert_eq!(held, before);
    app.approve(run["id"].as_i64().expect("an id")).await;
    assert_eq!(app.count(assignments).await, 0);
    assert_eq!(app.state("courses").await["removals_held_back"], 0);
}

// Rule 11: what waits for an approval is not removed by a delta whose few rows the guard would let go.
#[tokio::test(flavor = "multi_thread")]
async fn a_delta_removes_nothing_that_waits_for_an_approval() {
    let app = strict().await;
    let integration = app.integration();
    let courses = app
        .rows("SELECT id FROM courses WHERE NOT incomplete AND remote_deleted_at IS NULL")
        .await;
    let empty = members(json!({ "revisions": [] }));
    for course in &courses {
        let id = text(&course["id"]);
        app.simulator
            .merge_into_record(&integration, Endpoint::Courses, &id, empty.clone());
    }
    app.fetch("courses", Mode::Full).await;
    let held = app
        .row("SELECT r.course_id, h.id FROM held_back_removals h JOIN course_revisions r ON r.id = h.id")
        .await;
    let before = app.present("course_revisions").await;
    app.simulator
        .advance_clock(std::time::Duration::from_secs(1800));
    let course = text(&held["course_id"]);
    app.simulator
        .merge_into_record(&integration, Endpoint::Courses, &course, empty);
    app.settle().await;
    assert_eq!(app.last_run("courses").await["mode"], "DELTA");
    assert_eq!(app.present("course_revisions").await, before);
    let waiting = app.state("courses").await["removals_held_back"].as_i64();
    assert_eq!(
        waiting,
        Some(
            app.count("SELECT count(*) AS count FROM held_back_removals")
                .await
        )
    );
}

// Rule 11, F37: an approval removes what was shown.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_removes_what_was_held_back() {
    let app = TestApp::loaded().await;
    let before = app.present("users").await;
    let run = app.sixty_held_back().await;
    assert_eq!(app.present("users").await, before);
    let removed = app.approve(run).await;
    assert!(removed > Some(50));
    assert!(app.present("users").await <= before - removed.expect("a number"));
    assert_eq!(app.approve(run).await, None, "nothing is left to approve");
    let told = "SELECT count(*) AS count FROM record_changes WHERE kind = 'DELETED'";
    assert_eq!(Some(app.count(told).await), removed);
    app.fetch("users", Mode::Full).await;
    app.assert_mirrors_the_truth().await;
}

// Rule 11: the same through the API, for admins; the rows are shown first.
#[tokio::test(flavor = "multi_thread")]
async fn held_back_rows_are_shown_and_approved_by_an_admin() {
    let app = TestApp::loaded().await;
    app.sixty_held_back().await;
    let shown = app
        .query(
            "{ syncRuns(first: 1) { nodes { id removalsHeldBack heldBackRemovals(first: 1) { totalCount \
             nodes { model komboId record { komboId ... on User { workEmail } } } } } } }",
        )
        .await["syncRuns"]["nodes"][0]
        .take();
    let held = shown["removalsHeldBack"].as_i64().expect("a number");
    let listed = &shown["heldBackRemovals"];
    assert_eq!(listed["totalCount"], held);
    assert_eq!(listed["nodes"][0]["model"], "USER");
    assert_eq!(
        listed["nodes"][0]["record"]["komboId"],
        listed["nodes"][0]["komboId"]
    );
    let approve = format!(
        "mutation {{ approveRemovals(runId: {}) {{ removalsHeldBack recordsDeleted heldBackRemovals {{ totalCount }} }} }}",
        shown["id"]
    );
    assert_eq!(app.refusal(&approve).await, "FORBIDDEN");
    let answer = app.ask(ADMIN, &approve, Value::Null).await;
    assert_eq!(
        answer["data"]["approveRemovals"],
        json!({ "removalsHeldBack": 0, "recordsDeleted": held, "heldBackRemovals": { "totalCount": 0 } })
    );
    let again = app.ask(ADMIN, &approve, Value::Null).await;
    assert_eq!(again["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    let fresh = app
        .query("{ users { totalCount freshness { complete } } }")
        .await;
    assert_eq!(
        fresh["users"],
        json!({ "totalCount": 0, "freshness": { "complete": true } })
    );
}

// Rule 11: at most those rows; what Kombo has shown since stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_spares_what_kombo_has_shown_since() {
    let app = TestApp::loaded().await;
    let run = app.sixty_held_back().await;
    let user = app.some_id("users").await;
    app.simulator.update_user(&app.integration(), &user);
    app.settle().await;
    app.approve(run).await;
    assert_eq!(
        app.mirrored("users", &user).await["missing_since"],
        Value::Null
    );
    assert_eq!(app.present("users").await, 1);
}

// Rule 11: a later full fetch judges anew, and the old approval is void.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_full_fetch_replaces_what_waited_for_approval() {
    let app = TestApp::loaded().await;
    let before = app.present("users").await;
    let run = app.sixty_held_back().await;
    app.fetch("users", Mode::Full).await;
    assert_eq!(app.approve(run).await, None);
    assert_eq!(app.present("users").await, before);
    app.assert_mirrors_the_truth().await;
}

// F20: a row that no page showed may have moved between them; it is asked for by its id before it goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_page_showed_is_asked_for_by_its_id() {
    let app = TestApp::loaded().await;
    let before = app.present("course_progressions").await;
    assert!((251..=300).contains(&before), "{before}");
    app.simulator.clear_requests();
    let fault = Fault::once(FaultKind::EmptyList).on(Endpoint::CourseProgressions);
    app.simulator.inject(fault.on_page(2));
    let run = app.fetch("course_progressions", Mode::Full).await;
    assert_eq!(run["records_deleted"], 0);
    assert_eq!(app.present("course_progressions").await, before);
    assert_eq!(run["removals_held_back"], 0);
    let asked = app.requests_to(Endpoint::CourseProgressions);
    assert!(
        asked
            .iter()
            .any(|request| request.query.iter().any(|(name, _)| name == "ids"))
    );
    app.assert_mirrors_the_truth().await;
}

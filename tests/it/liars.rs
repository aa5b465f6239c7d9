//! A Kombo that breaks no documented promise, or tells the wrong time, and must not lose us a row.

use std::time::Duration;

use kombo_mirror::models::{self, Mode};
use kombo_mirror::simulator::{Border, Endpoint, Fault, FaultKind, Options, Paging};
use kombo_mirror::sync::Ending;

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::look::moment;

/// Longer than the overlap, so that only what lies behind it can be lost.
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// Few rows, many pages, no webhooks.
async fn on_small_pages(setup: Setup) -> TestApp {
    let app = TestApp::with(Setup {
        simulator: Options {
            largest_page: 10,
            ..setup.simulator
        },
        ..setup
    })
    .await;
    app.simulator.set_webhook_target(None);
    app.work().await;
    app
}

impl TestApp {
    /// One delta of every endpoint.
    async fn catch_up(&self) {
        for endpoint in models::ALL {
            let run = self.fetch(endpoint.name, Mode::Delta).await;
            assert_eq!(run["status"], "SUCCEEDED", "{}", endpoint.name);
        }
    }

    /// Lets Kombo say something wrong about its time in every answer from now on.
    fn every_answer(&self, fault: FaultKind) {
        self.simulator.inject(Fault::once(fault).times(u32::MAX));
    }
}

// F01, F02: committed now, with the time at which it began; the run that asked in between was complete.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_becomes_visible_behind_the_watermark_is_found_by_the_next_delta() {
    let app = on_small_pages(Setup::default()).await;
    let integration = app.integration();
    for seconds in [1, 2, 30, 60, 119, 120] {
        app.simulator.advance_clock(TEN_MINUTES);
        app.fetch("users", Mode::Delta).await;
        let user = app.simulator.insert_user(&integration).expect("a user");
        let late = Duration::from_secs(seconds);
        assert!(
            app.simulator
                .backdate(&integration, Endpoint::Users, &user, late)
        );
        app.simulator.advance_clock(Duration::from_millis(900));
        let run = app.fetch("users", Mode::Delta).await;
        assert_eq!(run["records_inserted"], 1, "{seconds} s late");
        let row = app.mirrored("users", &user).await;
        assert!(moment(&row["changed_at"]) < moment(&run["watermark"]));
    }
    app.assert_mirrors_the_truth().await;
}

// F01: the same behind a page that was served already, while the run goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_becomes_visible_on_a_page_that_was_served_is_found_by_the_next_delta() {
    let app = on_small_pages(Setup::default()).await;
    let integration = app.integration();
    app.simulator.advance_clock(TEN_MINUTES);
    let users: Vec<_> = app.simulator.truth(&integration)["users"]
        .keys()
        .cloned()
        .collect();
    for user in &users {
        app.simulator.update_user(&integration, user);
    }
    let slow = Fault::once(FaultKind::Slow(300)).on(Endpoint::Users);
    app.simulator.inject(slow.on_page(3));
    app.enqueue(&integration, "users", Mode::Delta).await;
    let worker = app.spawn_worker();
    app.wait_for(
        "SELECT count(*) AS count FROM sync_runs WHERE status = 'RUNNING' AND pages_fetched = 2",
        1,
    )
    .await;
    let late = app.simulator.insert_user(&integration).expect("a user");
    let by = Duration::from_secs(60);
    app.simulator
        .backdate(&integration, Endpoint::Users, &late, by);
    assert_eq!(worker.await.expect("it ends"), Some(Ending::Succeeded));
    let found = format!("SELECT count(*) AS count FROM users WHERE id = '{late}'");
    assert_eq!(app.count(&found).await, 0, "it was on no page");
    app.fetch("users", Mode::Delta).await;
    app.assert_mirrors_the_truth().await;
}

/// Rows of one millisecond on both sides of every border, without an overlap that would heal a loss.
async fn borders_lose_nothing(border: Border) {
    let mut setup = Setup::default();
    setup.sync.watermark_overlap = Duration::ZERO;
    let app = on_small_pages(setup).await;
    app.simulator.set_border(border);
    for _ in 0..4 {
        app.simulator.hold_clock();
        // three pages of this millisecond, then the border of a run, then more of it
        app.simulator.change(120);
        app.catch_up().await;
        app.assert_mirrors_by_deltas().await;
        app.simulator.change(120);
        app.catch_up().await;
        app.assert_mirrors_by_deltas().await;
        app.simulator.release_clock();
    }
}

impl TestApp {
    /// Everything that deltas can bring is there: providers and assignments need a full fetch (rule 2).
    async fn assert_mirrors_by_deltas(&self) {
        let mut differences = self.differences().await;
        differences.retain(|difference| {
            !difference.starts_with("course_providers ")
                && !difference.starts_with("course_revision_skills ")
        });
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}

// F03
#[tokio::test(flavor = "multi_thread")]
async fn many_rows_of_one_millisecond_arrive_when_the_border_is_exclusive() {
    borders_lose_nothing(Border::Exclusive).await;
}

// F03
#[tokio::test(flavor = "multi_thread")]
async fn many_rows_of_one_millisecond_arrive_when_the_border_is_inclusive() {
    borders_lose_nothing(Border::Inclusive).await;
}

// F20: what moved over the border of two pages changed lately, so the overlap brings it back.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_delta_skipped_while_rows_moved_is_found_by_the_next() {
    let app = on_small_pages(Setup::default()).await;
    let integration = app.integration();
    app.simulator.set_paging(Paging::ByOffset);
    app.simulator.advance_clock(TEN_MINUTES);
    let users: Vec<_> = app.simulator.truth(&integration)["users"]
        .keys()
        .cloned()
        .collect();
    for user in &users {
        app.simulator.update_user(&integration, user);
        app.simulator.advance_clock(Duration::from_millis(5));
    }
    app.moves_a_row_between_pages("users", Mode::Delta, &users[0])
        .await;
    assert!(!app.differences().await.is_empty(), "a row was skipped");
    app.fetch("users", Mode::Delta).await;
    app.assert_mirrors_the_truth().await;
}

impl TestApp {
    /// Fetches the users and changes `user`, shown on the first page, before the third is asked for.
    async fn moves_a_row_between_pages(&self, endpoint: &str, mode: Mode, user: &str) {
        let integration = self.integration();
        let slow = Fault::once(FaultKind::Slow(300)).on(Endpoint::Users);
        self.simulator.inject(slow.on_page(2));
        self.enqueue(&integration, endpoint, mode).await;
        let worker = self.spawn_worker();
        self.wait_for(
            "SELECT count(*) AS count FROM sync_runs WHERE status = 'RUNNING' AND pages_fetched = 1",
            1,
        )
        .await;
        assert!(self.simulator.update_user(&integration, user));
        assert_eq!(worker.await.expect("it ends"), Some(Ending::Succeeded));
    }
}

// F20: one enumeration that skipped a row must not hide it, however small the share is.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_full_fetch_skipped_while_rows_moved_is_not_removed() {
    let app = on_small_pages(Setup::default()).await;
    app.simulator.set_paging(Paging::ByOffset);
    let first = app.simulator.truth(&app.integration())["users"]
        .iter()
        .min_by_key(|(id, row)| (row["changed_at"].to_string(), (*id).clone()))
        .map(|(id, _)| id.clone())
        .expect("a user");
    app.moves_a_row_between_pages("users", Mode::Full, &first)
        .await;
    let removed = "SELECT count(*) AS count FROM users WHERE missing_since IS NOT NULL";
    assert_eq!(app.count(removed).await, 0);
}

/// A full fetch of `courses` courses in which every one of them lies about one of its lists.
async fn believes_no_emptied_lists(courses: usize, fault: FaultKind, rows: &str) {
    let usual = Setup::default();
    let app = TestApp::with(Setup {
        simulator: Options {
            courses,
            ..usual.simulator
        },
        ..usual
    })
    .await;
    app.work().await;
    let before = app.count(rows).await;
    app.simulator
        .inject(Fault::once(fault).on(Endpoint::Courses));
    let run = app.fetch("courses", Mode::Full).await;
    assert_eq!(run["status"], "SUCCEEDED");
    assert_eq!(app.count(rows).await, before);
    assert_eq!(run["removals_held_back"], before);
    app.fetch("courses", Mode::Full).await;
    app.assert_mirrors_the_truth().await;
}

const LIVE_REVISIONS: &str = "SELECT count(*) AS count FROM course_revisions WHERE missing_since IS NULL \
     AND remote_deleted_at IS NULL AND NOT incomplete";
const ASSIGNMENTS: &str = "SELECT count(*) AS count FROM course_revision_skills";

// Rule 11, F36: no course has revisions any more.
#[tokio::test(flavor = "multi_thread")]
async fn courses_that_all_lost_their_revisions_at_once_are_not_believed() {
    believes_no_emptied_lists(100, FaultKind::RevisionsEmptied, LIVE_REVISIONS).await;
}

// Rule 11, F36: no revision teaches anything any more.
#[tokio::test(flavor = "multi_thread")]
async fn revisions_that_all_lost_their_skills_at_once_are_not_believed() {
    believes_no_emptied_lists(100, FaultKind::SkillAssignmentsEmptied, ASSIGNMENTS).await;
}

/// Ten rounds of changes and deltas, with every answer dated wrongly in the same way.
async fn loses_nothing_when_every_answer_says(date: FaultKind) {
    let app = on_small_pages(Setup::default()).await;
    app.every_answer(date);
    for _ in 0..10 {
        app.simulator.change(20);
        app.simulator.advance_clock(TEN_MINUTES);
        app.catch_up().await;
        app.assert_mirrors_by_deltas().await;
        for endpoint in models::ALL {
            let watermark = moment(&app.state(endpoint.name).await["watermark"]);
            assert!(watermark <= app.simulator.now());
        }
    }
}

// Rule 3, F06: our own clock is the next best.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_usable_date_nothing_is_lost() {
    loses_nothing_when_every_answer_says(FaultKind::EmptyDate).await;
    loses_nothing_when_every_answer_says(FaultKind::UnreadableDate).await;
}

// Rule 3, F06: it only costs reading the last hour again.
#[tokio::test(flavor = "multi_thread")]
async fn with_every_date_an_hour_behind_nothing_is_lost() {
    loses_nothing_when_every_answer_says(FaultKind::ShiftedDate(-3600)).await;
}

// Rule 3, F06: the watermark lay in the future, so everything is fetched once more.
#[tokio::test(flavor = "multi_thread")]
async fn after_one_answer_from_an_hour_ahead_nothing_is_lost() {
    let app = on_small_pages(Setup::default()).await;
    app.simulator
        .inject(Fault::once(FaultKind::ShiftedDate(3600)).on(Endpoint::Users));
    app.simulator.advance_clock(TEN_MINUTES);
    app.simulator.change(20);
    app.catch_up().await;
    app.simulator.change(20);
    app.simulator.advance_clock(TEN_MINUTES);
    app.catch_up().await;
    app.assert_mirrors_by_deltas().await;
    let watermark = moment(&app.state("users").await["watermark"]);
    assert!(watermark <= app.simulator.now());
}

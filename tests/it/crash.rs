//! What a crash leaves behind, and enumerations that have to begin again.

use std::time::Duration;

use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};
use kombo_mirror::models::Mode;
use kombo_mirror::queue::Appetite;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use kombo_mirror::sync::Ending;
use serde_json::Value;
use tokio::sync::watch;

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::look::{eventually, parameter};

const PAST_THE_LEASE: Duration = Duration::from_secs(61);

/// Slower than any test: the worker that waits for this answer is to be killed.
const FOR_EVER: FaultKind = FaultKind::Slow(3_600_000);

/// Three pages of progressions and little else.
async fn three_pages() -> TestApp {
    let small = Setup::default();
    TestApp::with(Setup {
        simulator: Options {
            progressions: 520,
            ..small.simulator
        },
        ..small
    })
    .await
}

impl TestApp {
    /// Begins a full fetch of the progressions and kills the worker after two of three pages.
    async fn crash_before_the_third_page(&self) {
        let integration = self.integration();
        self.enqueue(&integration, "course_progressions", Mode::Full)
            .await;
        let third = Fault::once(FOR_EVER).on(Endpoint::CourseProgressions);
        self.simulator.inject(third.on_page(3));
        let worker = self.spawn_worker();
        self.wait_for(
            "SELECT count(*) AS count FROM sync_runs WHERE endpoint = 'course_progressions' \
             AND status = 'RUNNING' AND pages_fetched = 2",
            1,
        )
        .await;
        worker.abort();
        let killed = worker.await.expect_err("the worker was killed");
        assert!(killed.is_cancelled());
        self.simulator.clear_requests();
    }

    fn pages(&self) -> Vec<Option<String>> {
        let requests = self.requests_to(Endpoint::CourseProgressions);
        let cursor = |request| parameter(request, "cursor");
        requests.iter().map(cursor).collect()
    }
}

// Rules 5 and 6, F17, F21, F47, F48
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_workers_run_is_taken_over_at_its_checkpoint() {
    let app = three_pages().await;
    app.crash_before_the_third_page().await;
    assert_eq!(app.step().await, None, "its lease still lives");
    app.simulator.advance_clock(PAST_THE_LEASE);
    assert_eq!(app.step().await, Some(Ending::Succeeded));
    let pages = app.pages();
    assert_eq!(pages.len(), 1, "only the page that was not stored");
    assert!(pages[0].is_some());
    let run = app.last_run("course_progressions").await;
    assert_eq!(
        (&run["attempts"], &run["pages_fetched"]),
        (&2.into(), &3.into())
    );
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rules 5 and 6: a standby that was promoted may lack pages that a worker has stored. The worker, whose connections
// are new and whose token is good, must not go on behind them.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_pages_the_database_lost_goes_back_to_them() {
    let app = three_pages().await;
    let integration = app.integration();
    app.enqueue(&integration, "course_progressions", Mode::Full)
        .await;
    for page in [2, 3] {
        let slow = Fault::once(FaultKind::Slow(1_000)).on(Endpoint::CourseProgressions);
        app.simulator.inject(slow.on_page(page));
    }
    let worker = app.spawn_worker();
    let stored = "SELECT count(*) AS count FROM sync_runs WHERE endpoint = 'course_progressions' \
         AND status = 'RUNNING' AND pages_fetched =";
    app.wait_for(&format!("{stored} 1"), 1).await;
    // what the standby has: the run as it was after its first page
    app.sql(
        "CREATE TABLE replicated AS SELECT cursor, pages_fetched, seen_marks FROM sync_runs WHERE pages_fetched = 1",
    )
    .await;
    app.wait_for(&format!("{stored} 2"), 1).await;
    app.sql("UPDATE sync_runs SET cursor = r.cursor, pages_fetched = r.pages_fetched FROM replicated r WHERE sync_runs.pages_fetched = 2")
        .await;
    assert_eq!(
        worker.await.expect("the worker ends"),
        Some(Ending::LeaseLost)
    );
    assert_eq!(
        app.row(&format!("{stored} 1")).await["count"],
        1,
        "nothing was stored behind the gap"
    );
    app.simulator.advance_clock(PAST_THE_LEASE);
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 6, F18: resumed, then absence: what the dead worker had seen is still seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_full_fetch_removes_nothing_that_was_seen_before_the_crash() {
    let app = three_pages().await;
    app.work().await;
    app.crash_before_the_third_page().await;
    app.simulator.advance_clock(PAST_THE_LEASE);
    assert_eq!(app.step().await, Some(Ending::Succeeded));
    let run = app.last_run("course_progressions").await;
    assert_eq!(
        (&run["records_deleted"], &run["removals_held_back"]),
        (&0.into(), &0.into())
    );
    app.assert_mirrors_the_truth().await;
}

// Rule 6: what a full fetch remembers grows with its pages, not with their records.
#[tokio::test(flavor = "multi_thread")]
async fn the_marks_of_a_page_are_one_row() {
    let app = three_pages().await;
    app.work().await;
    app.crash_before_the_third_page().await;
    let marks =
        "SELECT count(*) AS count, sum(1 + cardinality(ids))::bigint AS records FROM seen_records";
    let marks = app.row(marks).await;
    assert_eq!(
        (&marks["count"], &marks["records"]),
        (&2.into(), &500.into())
    );
    assert_eq!(app.last_run("course_progressions").await["seen_marks"], 500);
}

// Rule 10: the version before marked each record with a row of its own; such marks go on counting.
#[tokio::test(flavor = "multi_thread")]
async fn marks_of_the_version_before_count() {
    let app = three_pages().await;
    app.work().await;
    app.crash_before_the_third_page().await;
    app.sql(
        "INSERT INTO seen_records (run_id, table_name, id) SELECT run_id, table_name, unnest(ids) FROM seen_records",
    )
    .await;
    app.sql("UPDATE seen_records SET ids = '{}'").await;
    app.simulator.advance_clock(PAST_THE_LEASE);
    assert_eq!(app.step().await, Some(Ending::Succeeded));
    let run = app.last_run("course_progressions").await;
    assert_eq!(
        (&run["restarts"], &run["records_deleted"]),
        (&0.into(), &0.into())
    );
    app.assert_mirrors_the_truth().await;
}

// Rule 6: only a page that has nothing to tell may be lost with a crash of Postgres, and only before the run's end.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_waits_for_the_disk_unless_it_changes_nothing() {
    const NOT_WAITED: &str = "SET LOCAL synchronous_commit = off";
    let app = three_pages().await;
    let log = app.note_statements().await;
    let not_waited = || {
        let statements = log.take();
        let found = statements.iter().filter(|one| one.contains(NOT_WAITED));
        found.count()
    };
    app.work().await;
    assert_eq!(not_waited(), 0, "every page of a first load is news");
    app.enqueue(&app.integration(), "course_progressions", Mode::Full)
        .await;
    app.work().await;
    assert_eq!(not_waited(), 2, "all but the last of three pages");
}

// Rule 6, F18: the marks are in an unlogged table, which a crash of Postgres empties.
#[tokio::test(flavor = "multi_thread")]
async fn lost_marks_restart_the_enumeration() {
    let app = three_pages().await;
    app.work().await;
    app.crash_before_the_third_page().await;
    app.sql("TRUNCATE seen_records").await;
    app.simulator.advance_clock(PAST_THE_LEASE);
    assert_eq!(app.step().await, Some(Ending::Postponed));
    assert_eq!(app.step().await, Some(Ending::Succeeded));
    assert_eq!(app.pages().len(), 3, "from the first page on");
    assert_eq!(
        app.last_run("course_progressions").await["removals_held_back"],
        0
    );
    app.assert_mirrors_the_truth().await;
}

// Rule 6, F18: Postgres crashes while the worker lives on and waits for a page.
#[tokio::test(flavor = "multi_thread")]
async fn marks_that_are_lost_under_a_living_worker_restart_the_enumeration() {
    let app = three_pages().await;
    app.work().await;
    let integration = app.integration();
    app.enqueue(&integration, "course_progressions", Mode::Full)
        .await;
    let third = Fault::once(FaultKind::Slow(1_500)).on(Endpoint::CourseProgressions);
    app.simulator.inject(third.on_page(3));
    let worker = app.spawn_worker();
    app.wait_for(
        "SELECT count(*) AS count FROM sync_runs WHERE status = 'RUNNING' AND pages_fetched = 2",
        1,
    )
    .await;
    app.sql("TRUNCATE seen_records").await;
    let ending = worker.await.expect("no panic");
    assert_eq!(ending, Some(Ending::Postponed));
    assert_eq!(app.step().await, Some(Ending::Succeeded));
    let run = app.last_run("course_progressions").await;
    assert_eq!(
        (
            &run["records_deleted"],
            &run["removals_held_back"],
            &run["restarts"]
        ),
        (&0.into(), &0.into(), &1.into())
    );
    app.assert_mirrors_the_truth().await;
}

// Rule 6, F15
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_cursor_restarts_the_enumeration_once() {
    let app = three_pages().await;
    let dead = Fault::once(FaultKind::DeadCursor).on(Endpoint::CourseProgressions);
    app.simulator.inject(dead.on_page(3));
    app.enqueue(&app.integration(), "course_progressions", Mode::Full)
        .await;
    assert_eq!(app.step().await, Some(Ending::Postponed));
    assert_eq!(app.step().await, Some(Ending::Succeeded));
    let run = app.last_run("course_progressions").await;
    assert_eq!(
        (&run["restarts"], &run["records_received"]),
        (&1.into(), &520.into())
    );
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 6, F15
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_dies_again_fails_the_run() {
    let app = three_pages().await;
    let dead = Fault::once(FaultKind::DeadCursor).on(Endpoint::CourseProgressions);
    app.simulator.inject(dead.on_page(3).times(2));
    app.enqueue(&app.integration(), "course_progressions", Mode::Full)
        .await;
    assert_eq!(app.step().await, Some(Ending::Postponed));
    assert_eq!(app.step().await, Some(Ending::Failed));
    assert_eq!(
        app.state("course_progressions").await["watermark"],
        Value::Null
    );
}

// Rule 6, F16
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_was_used_before_fails_the_run_by_name() {
    let app = three_pages().await;
    let endless = Fault::once(FaultKind::CursorLoop).on(Endpoint::CourseProgressions);
    app.simulator.inject(endless.on_page(2).times(50));
    let run = app.fetch("course_progressions", Mode::Full).await;
    assert_eq!(
        (&run["status"], &run["error_code"]),
        (&"FAILED".into(), &"MIRROR.CURSOR_LOOP".into())
    );
    assert_eq!(
        run["records_received"], 250,
        "the page with the loop is not counted"
    );
    assert_eq!(app.pages().len(), 2);
}

// Rules 5 and 6
#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_hands_the_run_back() {
    let app = three_pages().await;
    app.enqueue(&app.integration(), "course_progressions", Mode::Full)
        .await;
    let slow = Fault::once(FOR_EVER).on(Endpoint::CourseProgressions);
    app.simulator.inject(slow.on_page(3));
    let (stop, stopped) = watch::channel(false);
    let mut engine = app.engine.clone();
    engine.stop = stopped;
    let worker = tokio::spawn(async move { engine.work_once(Appetite::Anything).await });
    let stored = "SELECT count(*) AS count FROM sync_runs WHERE pages_fetched = 2";
    app.wait_for(stored, 1).await;
    stop.send_replace(true);
    let ending = worker
        .await
        .expect("the worker ends")
        .expect("the database works");
    assert_eq!(ending, Some(Ending::HandedBack));
    assert_eq!(
        app.step().await,
        Some(Ending::Succeeded),
        "at once, without waiting for the lease"
    );
    assert_eq!(
        app.last_run("course_progressions").await["pages_fetched"],
        3
    );
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

// Rule 6, F23: as long as the database does not take a page, no more than the next one is fetched.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_holds_two_pages_at_most() {
    let mut setup = Setup::default();
    setup.simulator.largest_page = 10;
    let app = TestApp::with(setup).await;
    let mut other = app.database().await;
    other
        .batch_execute("BEGIN; LOCK TABLE users IN EXCLUSIVE MODE")
        .await
        .expect("the table is locked");
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    let worker = app.spawn_worker();
    app.wait_for(
        "SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        1,
    )
    .await;
    eventually("the next page is there", async || {
        app.requests_to(Endpoint::Users).len() >= 2
    })
    .await;
    // the second page arrives while the first waits; a third would have been asked for by now
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(app.requests_to(Endpoint::Users).len(), 2);
    other.batch_execute("COMMIT").await.expect("it is unlocked");
    assert_eq!(
        worker.await.expect("the worker ends"),
        Some(Ending::Succeeded)
    );
    assert_eq!(app.requests_to(Endpoint::Users).len(), 6);
}

// Rules 4 and 6, F19: a cursor belongs to its filters, so a resumed delta asks as it began, whatever the settings
// are now.
#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_delta_asks_with_the_filters_that_it_began_with() {
    let mut setup = Setup::default();
    setup.simulator.largest_page = 20;
    let mut app = TestApp::with(setup).await;
    app.work().await;
    app.simulator.set_webhook_target(None);
    let integration = app.integration();
    for id in app.simulator.truth(&integration)["users"].keys() {
        app.simulator.update_user(&integration, id);
    }
    app.simulator.clear_requests();
    let third = Fault::once(FOR_EVER).on(Endpoint::Users);
    app.simulator.inject(third.on_page(3));
    app.enqueue(&integration, "users", Mode::Delta).await;
    let worker = app.spawn_worker();
    app.wait_for(
        "SELECT count(*) AS count FROM sync_runs WHERE status = 'RUNNING' AND pages_fetched = 2",
        1,
    )
    .await;
    worker.abort();
    assert!(worker.await.expect_err("it was killed").is_cancelled());
    let mut settings = (*app.engine.settings).clone();
    settings.watermark_overlap *= 2;
    app.engine.settings = settings.into();
    app.simulator.advance_clock(PAST_THE_LEASE);
    assert_eq!(app.step().await, Some(Ending::Succeeded));
    let requests = app.requests_to(Endpoint::Users);
    let asked: Vec<_> = requests
        .iter()
        .map(|request| (parameter(request, "updated_after"), request.status))
        .collect();
    assert_eq!(asked.len(), 4, "the third page twice");
    assert!(asked[0].0.is_some() && asked.iter().all(|one| *one == asked[0]));
    app.assert_mirrors_the_truth().await;
}

// Rule 6: a stop in the middle of a page's transaction leaves no lock behind that everybody waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_inside_a_transaction_hands_the_run_back_at_once() {
    let app = TestApp::loaded().await;
    // the feed's lock, which the page's transaction takes last
    let [lock, unlock] = ["lock", "unlock"]
        .map(|word| diesel::sql_query(format!("SELECT pg_advisory_{word}(7741526554016376165)")));
    let mut other = app.database().await;
    lock.execute(&mut other).await.expect("the lock is free");
    let user = app.some_id("users").await;
    app.simulator.update_user(&app.integration(), &user);
    app.simulator.flush_webhooks().await;
    let (stop, stopped) = watch::channel(false);
    let mut engine = app.engine.clone();
    engine.stop = stopped;
    let worker = tokio::spawn(async move { engine.work_once(Appetite::Anything).await });
    let waiting = "SELECT count(*) AS count FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event = 'advisory'";
    app.wait_for(waiting, 1).await;
    stop.send_replace(true);
    tokio::time::sleep(Duration::from_millis(100)).await;
    unlock.execute(&mut other).await.expect("it was locked");
    let ending = tokio::time::timeout(Duration::from_secs(5), worker).await;
    let ending = ending.expect("at once").expect("the worker ends");
    assert_eq!(
        ending.expect("the database works"),
        Some(Ending::HandedBack)
    );
}

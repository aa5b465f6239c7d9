//! Who works on what, and what a crash leaves behind.

use std::time::Duration;

use kombo_mirror::models::Mode;
use kombo_mirror::queue::{self, Appetite};
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use kombo_mirror::sync::Ending;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

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
    /// A worker that is in the middle of a run.
    fn spawn_worker(&self) -> JoinHandle<Option<Ending>> {
        let engine = self.engine.clone();
        tokio::spawn(async move {
            let worked = engine.work_once(Appetite::Anything).await;
            worked.expect("the database works")
        })
    }

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

    async fn runs_in(&self, status: &str) -> i64 {
        self.count(&format!(
            "SELECT count(*) AS count FROM sync_runs WHERE status = '{status}'"
        ))
        .await
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

// Rule 5: the fencing token.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_lease_writes_nothing() {
    let app = TestApp::start().await;
    app.simulator
        .inject(Fault::once(FaultKind::Slow(400)).on(Endpoint::Users));
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    let zombie = app.spawn_worker();
    app.wait_for(
        "SELECT count(*) AS count FROM sync_runs WHERE status = 'RUNNING'",
        1,
    )
    .await;
    let later = app.simulator.now() + PAST_THE_LEASE;
    let mut connection = app.database().await;
    let lease = app.engine.settings.lease;
    let heir = queue::claim(&mut connection, Appetite::Anything, lease, later)
        .await
        .expect("the queue is read")
        .expect("the run is taken over");
    assert_eq!(heir.lease_token, 2);
    assert_eq!(
        zombie.await.expect("the worker ends"),
        Some(Ending::LeaseLost)
    );
    assert_eq!(app.count("SELECT count(*) AS count FROM users").await, 0);
    assert_eq!(
        app.count("SELECT count(*) AS count FROM seen_records")
            .await,
        0
    );
    let run = app.last_run("users").await;
    assert_eq!(
        (&run["status"], &run["pages_fetched"]),
        (&"RUNNING".into(), &0.into())
    );
}

// Rule 5: an error of a zombie is not the run's.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_lease_fails_nothing() {
    let app = TestApp::start().await;
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    let mut connection = app.database().await;
    let lease = app.engine.settings.lease;
    let now = app.simulator.now();
    let claim = async |connection: &mut _, now| {
        let claimed = queue::claim(connection, Appetite::Anything, lease, now).await;
        claimed
            .expect("the queue is read")
            .expect("the run is claimed")
    };
    let zombie = claim(&mut connection, now).await;
    let heir = claim(&mut connection, now + PAST_THE_LEASE).await;
    let failure = queue::Failure {
        code: "TEST".to_owned(),
        message: "the zombie's".to_owned(),
        retryable: false,
        log_url: None,
    };
    queue::fail(&mut connection, &zombie, &failure, now)
        .await
        .expect("SQL");
    assert!(!queue::hold(&mut connection, &zombie).await.expect("SQL"));
    assert!(
        !queue::heartbeat(&mut connection, &zombie, lease, now)
            .await
            .expect("SQL")
    );
    assert!(queue::hold(&mut connection, &heir).await.expect("SQL"));
    assert_eq!(app.last_run("users").await["error_code"], Value::Null);
}

// Rule 5, F49
#[tokio::test(flavor = "multi_thread")]
async fn two_workers_never_work_on_one_endpoint_at_once() {
    let app = TestApp::start().await;
    app.simulator
        .inject(Fault::once(FaultKind::Slow(400)).on(Endpoint::Users));
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    let first = app.spawn_worker();
    app.wait_for(
        "SELECT count(*) AS count FROM sync_runs WHERE status = 'RUNNING'",
        1,
    )
    .await;
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    assert_eq!(app.step().await, None, "the second run waits for the first");
    assert_eq!(
        first.await.expect("the worker ends"),
        Some(Ending::Succeeded)
    );
    assert_eq!(app.step().await, Some(Ending::Succeeded));
}

// Rule 5, F49, F50: many workers, one queue.
#[tokio::test(flavor = "multi_thread")]
async fn many_workers_share_the_queue_without_loss() {
    let small = Setup::default();
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 3,
            users: 20,
            courses: 6,
            progressions: 40,
            ..small.simulator
        },
        ..small
    })
    .await;
    app.work().await;
    for _ in 0..5 {
        app.simulator.change(30);
        app.simulator.flush_webhooks().await;
        let workers: Vec<_> = (0..6).map(|_| app.spawn_worker()).collect();
        for worker in workers {
            let ending = worker.await.expect("the worker ends");
            assert!(
                matches!(ending, None | Some(Ending::Succeeded)),
                "{ending:?}"
            );
        }
    }
    app.work().await;
    assert_eq!(app.runs_in("FAILED").await, 0);
    app.assert_mirrors_the_truth().await;
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

// Rule 5
#[tokio::test(flavor = "multi_thread")]
async fn full_absorbs_delta_and_one_run_waits_at_most() {
    let app = TestApp::start().await;
    let integration = app.integration();
    assert!(!app.enqueue(&integration, "users", Mode::Delta).await);
    assert!(app.enqueue(&integration, "users", Mode::Delta).await);
    assert!(
        !app.enqueue(&integration, "users", Mode::Full).await,
        "it goes further"
    );
    assert!(app.enqueue(&integration, "users", Mode::Delta).await);
    assert_eq!(app.runs_in("QUEUED").await, 1);
    let run = app.last_run("users").await;
    assert_eq!(run["mode"], "FULL");
    assert_eq!(
        run["reasons"].as_array().map(Vec::len),
        Some(4),
        "every wish is remembered"
    );
}

// Rule 5: at most one working run is Postgres's promise, not ours.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_a_second_working_run() {
    use diesel_async::RunQueryDsl as _;
    let app = TestApp::start().await;
    let insert = "INSERT INTO sync_runs (integration_id, endpoint, mode, trigger, lane, status, queued_at, available_at) \
         VALUES ('a', 'users', 'FULL', 'MANUAL', 1, 'RUNNING', 'epoch', 'epoch')";
    app.sql(insert).await;
    let second = diesel::sql_query(insert)
        .execute(&mut app.database().await)
        .await;
    assert!(second.is_err());
}

// Rule 13: lanes.
#[tokio::test(flavor = "multi_thread")]
async fn news_overtake_full_fetches() {
    let app = TestApp::loaded().await;
    app.enqueue(&app.integration(), "course_progressions", Mode::Full)
        .await;
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&app.integration(), &user));
    app.simulator.flush_webhooks().await;
    app.simulator.clear_requests();
    app.step().await;
    assert_eq!(app.requests_to(Endpoint::Users).len(), 1);
    assert!(app.pages().is_empty());
}

// A paused integration is left alone, and its runs wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_integration_is_not_fetched() {
    let app = TestApp::loaded().await;
    app.sql("UPDATE integrations SET paused = true").await;
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    assert_eq!(app.step().await, None);
    app.sql("UPDATE integrations SET paused = false").await;
    assert_eq!(app.step().await, Some(Ending::Succeeded));
}

// Rule 5, F47: the lease is kept alive while a page takes longer than it.
#[tokio::test(flavor = "multi_thread")]
async fn a_living_worker_keeps_its_lease() {
    let mut setup = Setup::default();
    setup.sync.lease = Duration::from_millis(300);
    let app = TestApp::with(setup).await;
    app.simulator
        .inject(Fault::once(FaultKind::Slow(900)).on(Endpoint::Users));
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    let worker = app.spawn_worker();
    app.wait_for(
        "SELECT count(*) AS count FROM sync_runs WHERE status = 'RUNNING'",
        1,
    )
    .await;
    eventually("the worker ends", async || {
        assert_eq!(app.step().await.filter(|_| !worker.is_finished()), None);
        worker.is_finished()
    })
    .await;
    assert_eq!(
        worker.await.expect("the worker ends"),
        Some(Ending::Succeeded)
    );
    assert_eq!(app.last_run("users").await["attempts"], 1);
}

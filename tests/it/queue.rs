//! Who works on what.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use kombo_mirror::models::Mode;
use kombo_mirror::queue::{self, Appetite, Beat};
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use kombo_mirror::sync::Ending;
use serde_json::Value;

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::look::eventually;

const PAST_THE_LEASE: Duration = Duration::from_secs(61);

impl TestApp {
    async fn runs_in(&self, status: &str) -> i64 {
        self.count(&format!(
            "SELECT count(*) AS count FROM sync_runs WHERE status = '{status}'"
        ))
        .await
    }
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
    assert!(heir.lease_token > 2, "no token that the run had before");
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
    let beat = queue::heartbeat(&mut connection, &zombie, lease, now).await;
    assert_eq!(beat.expect("SQL"), Beat::Lost);
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
    assert!(app.requests_to(Endpoint::CourseProgressions).is_empty());
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
    // long enough that a busy machine does not miss the beats, which come three times in it
    setup.sync.lease = Duration::from_secs(3);
    let app = TestApp::with(setup).await;
    app.simulator
        .inject(Fault::once(FaultKind::Slow(6_000)).on(Endpoint::Users));
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

// Rule 5: a beat that waited for the last page's transaction must not call a finished run lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_beat_after_the_end_knows_that_the_run_ended_in_the_same_hands() {
    let app = TestApp::start().await;
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    let mut connection = app.database().await;
    let now = app.simulator.now();
    let lease = Duration::from_secs(60);
    let run = queue::claim(&mut connection, Appetite::Anything, lease, now)
        .await
        .expect("SQL")
        .expect("a run");
    queue::succeed(&mut connection, &run, 0, now)
        .await
        .expect("SQL");
    let beat = queue::heartbeat(&mut connection, &run, lease, now).await;
    assert_eq!(beat.expect("SQL"), Beat::Ended);
    app.sql("UPDATE sync_runs SET status = 'CANCELLED'").await;
    let beat = queue::heartbeat(&mut connection, &run, lease, now).await;
    assert_eq!(beat.expect("SQL"), Beat::Lost);
}

// Rule 7, F50: the one of two writers whom Postgres ends tries again.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_costs_a_try_and_not_the_run() {
    let app = TestApp::loaded().await;
    app.sql("UPDATE users SET first_name = 'Mallory'").await;
    let lock = |which: &str| {
        format!("SELECT 1 FROM users WHERE id = (SELECT {which}(id) FROM users) FOR UPDATE")
    };
    let mut other = app.database().await;
    // the worker notices the deadlock first, so it is the one that is ended
    other
        .batch_execute(&format!(
            "SET deadlock_timeout = '60s'; BEGIN; {}",
            lock("max")
        ))
        .await
        .expect("the last row is locked");
    app.enqueue(&app.integration(), "users", Mode::Full).await;
    let deadlocks = async || {
        app.count(
            "SELECT deadlocks AS count FROM pg_stat_database WHERE datname = current_database()",
        )
        .await
    };
    assert_eq!(deadlocks().await, 0);
    let worker = app.spawn_worker();
    app.wait_for(
        "SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        1,
    )
    .await;
    other
        .batch_execute(&lock("min"))
        .await
        .expect("the first row is locked when the worker was ended");
    other.batch_execute("ROLLBACK").await.expect("it lets go");
    assert_eq!(
        worker.await.expect("the worker ends"),
        Some(Ending::Succeeded)
    );
    assert_eq!(app.last_run("users").await["attempts"], 1);
    eventually("the deadlock is counted", async || deadlocks().await == 1).await;
    app.assert_mirrors_the_truth().await;
}

// Rule 5: a clock that was ahead for a moment must not hold back what is asked for when it is right again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_wrong_clock_queued_is_not_waited_for() {
    let app = TestApp::loaded().await;
    app.enqueue(&app.integration(), "users", Mode::Delta).await;
    app.sql("UPDATE sync_runs SET available_at = available_at + interval '1 day' WHERE status = 'QUEUED'")
        .await;
    assert_eq!(app.step().await, None);
    app.enqueue(&app.integration(), "users", Mode::Delta).await;
    assert_eq!(app.step().await, Some(Ending::Succeeded));
}

// While versions are mixed, the older one must not fail the runs of an endpoint that only the newer one knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_an_unknown_endpoint_is_left_to_those_who_know_it() {
    let app = TestApp::loaded().await;
    app.enqueue(&app.integration(), "users", Mode::Delta).await;
    app.sql("UPDATE sync_runs SET endpoint = 'badges' WHERE status = 'QUEUED'")
        .await;
    assert_eq!(app.step().await, None);
    assert_eq!(app.runs_in("QUEUED").await, 1);
}

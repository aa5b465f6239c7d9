//! Several processes on one database: one freezes, one is killed, and the others go on.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use kombo_mirror::schedule;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::look::{eventually, parameter};
use crate::support::world::World;

/// Short, so that a takeover does not take the test's time.
const LEASE: (&str, &str) = ("SYNC_LEASE", "2s");

const ENDPOINTS: [(Endpoint, &str); 4] = [
    (Endpoint::Users, "users"),
    (Endpoint::Skills, "skills"),
    (Endpoint::Courses, "courses"),
    (Endpoint::CourseProgressions, "course_progressions"),
];

/// Nine pages of progressions, one or two of everything else.
async fn nine_pages() -> World {
    World::with(Options {
        progressions: 2_100,
        ..Setup::default().simulator
    })
    .await
}

impl World {
    async fn wait_for_pages(&self, pages: i64) {
        let stored = "SELECT pages_fetched AS count FROM sync_runs WHERE endpoint = 'course_progressions' ORDER BY id LIMIT 1";
        let begun =
            "SELECT count(*) AS count FROM sync_runs WHERE endpoint = 'course_progressions'";
        self.wait_for(begun, 1).await;
        self.wait_for(stored, pages).await;
    }

    /// How many pages of an endpoint were asked for by full fetches.
    fn pages_asked(&self, endpoint: Endpoint) -> usize {
        let requests = self.simulator.requests();
        let asked = requests.iter().filter(|request| {
            request.path == endpoint.path() && parameter(request, "updated_after").is_none()
        });
        asked.count()
    }

    /// Asserts that full fetches asked for every page once, and for at most `again` pages of each endpoint
    /// a second time.
    fn assert_asked_again_at_most(&self, again: usize) {
        let truth = self.simulator.truth(&self.integration());
        for (endpoint, table) in ENDPOINTS {
            let (asked, pages) = (self.pages_asked(endpoint), truth[table].len().div_ceil(250));
            assert!(
                (pages..=pages + again).contains(&asked),
                "{asked} requests for {pages} pages of {table}"
            );
        }
    }

    /// A first load of the progressions that was begun once and never from the beginning.
    async fn assert_loaded_in_one_go(&self) {
        let runs = "SELECT count(*) AS count FROM sync_runs WHERE endpoint = 'course_progressions' AND trigger = 'INITIAL'";
        assert_eq!(self.count(runs).await, 1);
        let stored = format!("{runs} AND restarts = 0 AND pages_fetched = 9");
        assert_eq!(self.count(&stored).await, 1);
        let failed = "SELECT count(*) AS count FROM sync_runs WHERE status = 'FAILED'";
        assert_eq!(self.count(failed).await, 0);
        self.assert_mirrors_the_truth().await;
    }

    /// Changes something, and waits until it is in the mirror.
    async fn follows(&self) {
        self.simulator.change(30);
        self.simulator.flush_webhooks().await;
        self.wait_until_quiet().await;
        self.assert_mirrors_the_truth().await;
    }
}

// Rule 5, F47, F48: a process that stood still for longer than its lease is no writer any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_process_is_replaced_and_writes_nothing_when_it_wakes() {
    let world = nine_pages().await;
    let slow = Fault::once(FaultKind::Slow(1_000)).on(Endpoint::CourseProgressions);
    world.simulator.inject(slow.on_page(4));
    let url = format!(
        "{}?options=-c%20idle_in_transaction_session_timeout%3D2s",
        world.url
    );
    let frozen = world
        .start_with(&[LEASE, ("DATABASE_URL", url.as_str())])
        .await;
    world.wait_for_pages(3).await;
    frozen.signal("-STOP").await;
    let mut heir = world.start_beside(&[LEASE]).await;
    world.wait_until_quiet().await;
    world.assert_loaded_in_one_go().await;
    frozen.signal("-CONT").await;
    eventually("the frozen process finds its lease lost", async || {
        frozen.said().contains("LeaseLost")
    })
    .await;
    world.assert_loaded_in_one_go().await;
    // and is of use again: webhooks go to it
    heir.kill().await;
    world.follows().await;
}

// Rule 5: what stands still in the middle of a transaction holds its run's row, which nobody else can take.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_freezes_inside_a_transaction_is_replaced_too() {
    let world = nine_pages().await;
    let url = format!(
        "{}?options=-c%20idle_in_transaction_session_timeout%3D1s",
        world.url
    );
    let settings = [LEASE, ("DATABASE_URL", url.as_str())];
    let mut blocker = world.database().await;
    blocker
        .batch_execute("BEGIN; LOCK TABLE course_progressions IN SHARE MODE")
        .await
        .expect("SQL");
    let frozen = world.start_with(&settings).await;
    let writing = "SELECT count(*) AS count FROM pg_locks WHERE NOT granted AND relation = 'course_progressions'::regclass";
    world.wait_for(writing, 1).await;
    frozen.signal("-STOP").await;
    blocker.batch_execute("COMMIT").await.expect("SQL");
    drop(blocker);
    let mut heir = world.start_beside(&settings).await;
    world.wait_until_quiet().await;
    world.assert_loaded_in_one_go().await;
    frozen.signal("-CONT").await;
    heir.kill().await;
    world.follows().await;
}

// Rules 5 and 6, F17, F21, F47: a kill costs at most two pages of an endpoint, at whatever moment it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_followed_by_one_that_goes_on_where_it_was() {
    let world = nine_pages().await;
    let slow = Fault::once(FaultKind::Slow(100)).on(Endpoint::CourseProgressions);
    world.simulator.inject(slow.times(1_000));
    let settings = [("SYNC_LEASE", "1s")];
    let mut kills = 0;
    for pages in [0, 1, 3, 4, 7] {
        let mut server = world.start_with(&settings).await;
        world.wait_for_pages(pages).await;
        server.kill().await;
        kills += 1;
    }
    let _server = world.start_with(&settings).await;
    world.wait_until_quiet().await;
    world.assert_loaded_in_one_go().await;
    world.assert_asked_again_at_most(2 * kills);
    world.follows().await;
}

// Rule 5: the same with a colleague that is there already, and takes over without being told.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_replaced_by_the_other_one() {
    let world = nine_pages().await;
    let slow = Fault::once(FaultKind::Slow(100)).on(Endpoint::CourseProgressions);
    world.simulator.inject(slow.times(1_000));
    let mut killed = world.start_with(&[("SYNC_LEASE", "1s")]).await;
    world.wait_for_pages(1).await;
    // it has the run already, so the other one waits
    let _other = world.start_beside(&[("SYNC_LEASE", "1s")]).await;
    killed.kill().await;
    world.wait_until_quiet().await;
    world.assert_loaded_in_one_go().await;
    world.assert_asked_again_at_most(2);
}

// Rules 5 and 15: two processes that start on an empty database at once do everything once.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_load_everything_once() {
    let world = nine_pages().await;
    let (one, _two) = tokio::join!(world.start(), world.start_beside(&[]));
    world.wait_until_quiet().await;
    world.assert_loaded_in_one_go().await;
    world.assert_asked_again_at_most(0);
    assert_eq!(one.status("/readyz").await, Some(200));
    for _ in 0..3 {
        world.follows().await;
    }
    tokio::time::timeout(Duration::from_secs(60), world.follows())
        .await
        .expect("both are alive");
}

// Rules 5 and 15: a run may begin between another process's look at the schedule and its step.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_queued_once_however_many_look_at_the_schedule() {
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 6,
            users: 5,
            courses: 2,
            skills: 2,
            progressions: 5,
            ..Setup::default().simulator
        },
        ..Setup::default()
    })
    .await;
    let now = app.simulator.now();
    let lookers = (0..4).map(|_| async {
        for _ in 0..25 {
            let mut connection = app.database().await;
            let looked = schedule::tick(&mut connection, now).await;
            looked.expect("the schedule is read");
        }
    });
    let workers = (0..3).map(|_| async {
        for _ in 0..60 {
            if app.step().await.is_none() {
                tokio::task::yield_now().await;
            }
        }
    });
    tokio::join!(
        futures_util::future::join_all(lookers),
        futures_util::future::join_all(workers)
    );
    app.work().await;
    let twice = "SELECT count(*) AS count FROM (SELECT FROM sync_runs WHERE trigger = 'INITIAL' \
         GROUP BY integration_id, endpoint HAVING count(*) > 1) t";
    assert_eq!(app.count(twice).await, 0);
}

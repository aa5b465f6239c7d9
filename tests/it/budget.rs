//! Kombo's rate limit, shared by all processes with one API key.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use kombo_mirror::budget::SharedBudget;
use kombo_mirror::config::KomboSettings;
use kombo_mirror::db;
use kombo_mirror::kombo::budget::{Budget, Lane, Left, LocalBudget, Told};
use kombo_mirror::models::Mode;
use kombo_mirror::queue::Appetite;
use kombo_mirror::simulator::{Fault, FaultKind, Options};
use kombo_mirror::sync::{Ending, Engine};

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::database::TestDatabase;
use crate::support::look::{moment, text};

const MINUTE: Duration = Duration::from_secs(60);
const LANES: [Lane; 3] = [Lane::News, Lane::Manual, Lane::Full];
const SPENT: &str = "MIRROR.RATE_BUDGET_SPENT";

fn shared(url: &str, key: &str) -> SharedBudget {
    let pool = db::pool(&url.into(), 2).expect("a pool");
    SharedBudget::new(
        pool,
        &KomboSettings::new("http://kombo.example/v1", key.into()),
    )
}

fn left(limit: i64, remaining: i64, reset: u64, asked_at: DateTime<Utc>) -> Told {
    Told::Left(Left {
        limit: Some(limit),
        remaining,
        reset: Duration::from_secs(reset),
        asked_at,
    })
}

/// What an answer of any age may say.
fn any_answer(rng: &mut Rng, now: DateTime<Utc>) -> Told {
    if rng.u8(..10) == 0 {
        let wait = Duration::from_millis(rng.u64(..20_000));
        return Told::Refused { wait };
    }
    let limit = rng.i64(1..25);
    Told::Left(Left {
        limit: (rng.u8(..4) > 0).then_some(limit),
        remaining: rng.i64(0..=limit),
        reset: Duration::from_secs(rng.u64(..20)),
        asked_at: now - TimeDelta::milliseconds(rng.i64(0..5_000)),
    })
}

// Rule 13: what all processes know follows the same rules as what one knows; each seed is one story.
#[tokio::test(flavor = "multi_thread")]
async fn the_shared_budget_and_the_local_one_tell_the_same_story() {
    let database = TestDatabase::migrated().await;
    for seed in 0..20 {
        let shared = shared(&database.url(), &format!("key {seed}"));
        let local = LocalBudget::default();
        let mut rng = Rng::with_seed(seed);
        let mut now = DateTime::UNIX_EPOCH;
        for step in 0..60 {
            now += TimeDelta::milliseconds(rng.i64(0..3_000) * rng.i64(0..3));
            if rng.u8(..4) == 0 {
                let told = any_answer(&mut rng, now);
                shared.learn(told, now).await;
                local.learn(told, now).await;
            } else {
                let lane = LANES[rng.usize(..LANES.len())];
                let waits = (shared.take(lane, now).await, local.take(lane, now).await);
                assert_eq!(waits.0, waits.1, "seed {seed} step {step}");
            }
        }
    }
}

// Rule 13, F51: of many that want the last requests at the same moment, as many get one as there are.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_take_at_the_same_moment_take_no_more_than_there_is() {
    let database = TestDatabase::migrated().await;
    let now = DateTime::UNIX_EPOCH;
    let budgets = [
        shared(&database.url(), "one key"),
        shared(&database.url(), "one key"),
    ];
    budgets[0].learn(left(100, 17, 60, now), now).await;
    let takes = (0..40).map(|number| budgets[number % 2].take(Lane::News, now));
    let waits = futures_util::future::join_all(takes).await;
    let gone = waits.iter().filter(|wait| wait.is_zero()).count();
    assert_eq!(gone, 17);
    let other = shared(&database.url(), "another key");
    assert!(other.take(Lane::Full, now).await.is_zero());
}

// The key itself is nobody's to read.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_does_not_learn_the_key() {
    let app = TestApp::loaded().await;
    let key = Options::default().api_key;
    let rows = app.rows("SELECT * FROM rate_budgets").await;
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].to_string().contains(&key), "{rows:?}");
    assert_eq!(text(&rows[0]["key_digest"]).len(), 64);
}

// Rule 13: a budget that cannot be read never stops a fetch.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_shared_budget_each_process_goes_by_its_own() {
    let now = DateTime::UNIX_EPOCH;
    let nowhere = shared("postgres://127.0.0.1:1/none?sslmode=disable", "one key");
    assert!(nowhere.take(Lane::Full, now).await.is_zero());
    nowhere.learn(left(10, 0, 30, now), now).await;
    assert_eq!(nowhere.take(Lane::Full, now).await, Duration::from_secs(30));
    let app = TestApp::start().await;
    app.sql("DROP TABLE rate_budgets").await;
    app.work().await;
    app.assert_mirrors_the_truth().await;
}

/// Two integrations, and a limit that a first load exceeds several times.
async fn ten_a_minute() -> TestApp {
    let small = Setup::default();
    let app = TestApp::with(Setup {
        simulator: Options {
            integrations: 2,
            progressions: 900,
            rate_limit_per_minute: 10,
            ..small.simulator
        },
        ..small
    })
    .await;
    app.begin_a_minute();
    app
}

impl TestApp {
    /// Moves the clock to the start of a minute, where Kombo's window begins.
    fn begin_a_minute(&self) {
        let into = self.simulator.now().timestamp_millis().rem_euclid(60_000);
        let left = MINUTE - Duration::from_millis(into.unsigned_abs());
        self.simulator.advance_clock(left);
    }

    fn refused_requests(&self) -> usize {
        let requests = self.simulator.requests();
        requests.iter().filter(|one| one.status == 429).count()
    }

    async fn failed_runs(&self) -> i64 {
        self.count("SELECT count(*) AS count FROM sync_runs WHERE status = 'FAILED'")
            .await
    }

    /// Lets two processes with two workers each work, minute by minute, until no run is open.
    async fn share_the_work(&self, colleague: &Engine) -> usize {
        for minutes in 0..30 {
            let engines = [&self.engine, colleague, &self.engine, colleague];
            futures_util::future::join_all(engines.map(work_as_long_as_possible)).await;
            if self.open_runs().await == 0 {
                return minutes;
            }
            self.begin_a_minute();
        }
        panic!("some runs never end");
    }
}

async fn work_as_long_as_possible(engine: &Engine) {
    while let Some(ending) = engine
        .work_once(Appetite::Anything)
        .await
        .expect("the database works")
    {
        assert!(
            matches!(ending, Ending::Succeeded | Ending::Postponed),
            "{ending:?}"
        );
    }
}

// Rule 13, F51: one budget for all processes: Kombo never has to refuse.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_limit_and_kombo_never_has_to_refuse() {
    let app = ten_a_minute().await;
    let colleague = app.colleague().await;
    for integration in app.simulator.integration_ids() {
        for endpoint in ["users", "skills", "courses", "course_progressions"] {
            app.enqueue(&integration, endpoint, Mode::Full).await;
        }
    }
    app.share_the_work(&colleague).await;
    app.simulator.change(60);
    app.simulator.flush_webhooks().await;
    app.share_the_work(&colleague).await;
    let requests = app.simulator.requests().len();
    assert!(requests > 10, "{requests}: the limit did not matter");
    assert_eq!(app.refused_requests(), 0);
    assert_eq!(app.failed_runs().await, 0);
    app.assert_mirrors_the_truth().await;
}

// Rule 13: news goes before full fetches, in what Kombo allows too.
#[tokio::test(flavor = "multi_thread")]
async fn a_delta_gets_through_while_a_full_fetch_waits() {
    let app = ten_a_minute().await;
    let colleague = app.colleague().await;
    app.work_through().await;
    // as many as the fetch has pages, and of these one is kept for news
    app.simulator.set_rate_limit(4);
    app.begin_a_minute();
    app.enqueue(&app.integration(), "course_progressions", Mode::Full)
        .await;
    // as the schedule would have asked for it
    app.sql("UPDATE sync_runs SET lane = 2 WHERE status = 'QUEUED'")
        .await;
    while app.step().await.is_some() {}
    let waiting = app.last_run("course_progressions").await;
    assert_eq!(
        (&waiting["error_code"], &waiting["pages_fetched"]),
        (&SPENT.into(), &3.into())
    );
    let wait = moment(&waiting["available_at"]) - app.simulator.now();
    assert!(wait <= TimeDelta::seconds(61), "{wait}");
    let user = app.some_id("users").await;
    assert!(app.simulator.update_user(&app.integration(), &user));
    app.simulator.flush_webhooks().await;
    let ending = colleague.work_once(Appetite::Anything).await;
    assert_eq!(ending.expect("the database works"), Some(Ending::Succeeded));
    assert_eq!(app.last_run("users").await["trigger"], "WEBHOOK");
    assert_eq!(
        app.last_run("course_progressions").await["error_code"],
        SPENT
    );
    app.share_the_work(&colleague).await;
    assert_eq!(app.refused_requests(), 0);
    app.assert_mirrors_the_truth().await;
}

// Rule 13, F51: after one 429 nobody asks again before the window's end, and nothing fails.
#[tokio::test(flavor = "multi_thread")]
async fn one_refusal_is_enough_for_all_processes() {
    let app = TestApp::start().await;
    app.begin_a_minute();
    let colleague = app.colleague().await;
    app.simulator
        .inject(Fault::once(FaultKind::TooManyRequests).times(1_000));
    for endpoint in ["users", "skills", "courses", "course_progressions"] {
        app.enqueue(&app.integration(), endpoint, Mode::Full).await;
    }
    assert_eq!(app.step().await, Some(Ending::Postponed));
    work_as_long_as_possible(&colleague).await;
    work_as_long_as_possible(&app.engine).await;
    assert_eq!(app.refused_requests(), 1);
    let waiting = app.last_run("course_progressions").await;
    assert_eq!(waiting["error_code"], SPENT);
    app.simulator.clear_faults();
    app.share_the_work(&colleague).await;
    assert_eq!(app.failed_runs().await, 0);
    assert_eq!(app.state("users").await["consecutive_failures"], 0);
    app.assert_mirrors_the_truth().await;
}

// Rule 13, F51: a storm of refusals is progress that takes longer, whatever is asked for meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_refusals_ends_in_the_truth() {
    let app = TestApp::start().await;
    let colleague = app.colleague().await;
    app.simulator
        .inject(Fault::once(FaultKind::TooManyRequests).times(12));
    for _ in 0..12 {
        app.simulator.change(20);
        app.simulator.flush_webhooks().await;
        futures_util::join!(
            work_as_long_as_possible(&app.engine),
            work_as_long_as_possible(&colleague)
        );
        app.begin_a_minute();
    }
    app.work_through().await;
    assert!(app.refused_requests() >= 2);
    assert_eq!(app.failed_runs().await, 0);
    app.assert_mirrors_the_truth().await;
}

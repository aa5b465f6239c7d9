//! A random life: what happens at Kombo, on the wire, and to the replicas.

use std::fmt::Write as _;
use std::time::Duration;

use fastrand::Rng;
use kombo_mirror::queue::Appetite;
use kombo_mirror::schedule;
use kombo_mirror::simulator::{
    After14Days, Border, Endpoint, Fault, FaultKind, Mischief, NestedUpdates, Options, Paging,
};
use kombo_mirror::sync::Engine;
use tokio::task::JoinHandle;

use super::laws::{self, Marks};
use crate::support::TestApp;
use crate::support::app::Setup;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// More than any change is committed late.
const OVERLAP: Duration = Duration::from_secs(300);

/// Workers that live at the same time.
const MOST_WORKERS: usize = 6;

const ENDPOINTS: [Endpoint; 4] = [
    Endpoint::Users,
    Endpoint::Courses,
    Endpoint::Skills,
    Endpoint::CourseProgressions,
];

/// What passes by itself: nothing wrong was stored.
const PASSING: [FaultKind; 21] = [
    FaultKind::TooManyRequests,
    FaultKind::TooManyRequestsWithoutHeaders,
    FaultKind::InternalErrorText,
    FaultKind::BadGatewayText,
    FaultKind::UnavailableHtml,
    FaultKind::UnavailableWithoutCode,
    FaultKind::SetupSyncPending,
    FaultKind::SetupIncomplete,
    FaultKind::QaFailed,
    FaultKind::AuthenticationInvalid,
    FaultKind::PermissionMissing,
    FaultKind::ModelNotAvailable,
    FaultKind::ModelDisabled,
    FaultKind::Slow(20),
    FaultKind::TruncatedJson,
    FaultKind::EmptyBody,
    FaultKind::ConnectionClosed,
    FaultKind::CursorLoop,
    FaultKind::DeadCursor,
    FaultKind::DuplicatedRecord,
    FaultKind::EmptyDate,
];

/// What only a fetch of the same rows mends, since the watermark goes on.
const LASTING: [FaultKind; 11] = [
    FaultKind::EmptyList,
    FaultKind::EmptyPage,
    FaultKind::RevisionsEmptied,
    FaultKind::SkillAssignmentsEmptied,
    FaultKind::UnknownEnumValue,
    FaultKind::ExtraMember,
    FaultKind::NulCharacter,
    FaultKind::LoneSurrogate,
    FaultKind::WrongType,
    FaultKind::HugeNumber,
    FaultKind::LongId,
];

/// What is needed at the end to mend all that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The schedule: no webhook is lost, no page lies, and Kombo bumps what it blanks.
    Deltas,
    /// One full fetch of everything.
    Everything,
}

/// What happened.
#[derive(Debug, Default)]
struct Tally {
    changes: usize,
    faults: usize,
    workers: usize,
    crashes: usize,
    days: u64,
}

/// A task that takes runs, as one of the replicas.
struct Worker {
    task: JoinHandle<anyhow::Result<()>>,
    engine: Engine,
}

/// A life and its world.
pub(super) struct Life {
    pub(super) app: TestApp,
    pub(super) marks: Marks,
    seed: u64,
    reach: Reach,
    rng: Rng,
    twin: Engine,
    workers: Vec<Worker>,
    tally: Tally,
}

fn setup(seed: u64, reach: Reach, rng: &mut Rng) -> Setup {
    let usual = Setup::default();
    let mut setup = Setup {
        simulator: Options {
            seed,
            nested_updates: [NestedUpdates::Strict, NestedUpdates::Loose][rng.usize(..2)],
            border: [Border::Exclusive, Border::Inclusive][rng.usize(..2)],
            largest_page: rng.usize(10..40),
            debounce: Duration::from_millis([10, 30_000][rng.usize(..2)]),
            integrations: 2,
            users: 50,
            courses: 25,
            skills: 15,
            progressions: 90,
            ..usual.simulator
        },
        ..usual
    };
    match reach {
        // blanked rows are announced, and nothing vanishes
        Reach::Deltas => setup.simulator.after_14_days_bumps_changed_at = true,
        Reach::Everything => {
            setup.simulator.after_14_days =
                [After14Days::NullFields, After14Days::Remove][rng.usize(..2)];
            setup.simulator.paging = [Paging::Stable, Paging::ByOffset][rng.usize(..2)];
        }
    }
    setup.sync.watermark_overlap = [Duration::ZERO, OVERLAP][rng.usize(..2)];
    setup
}

impl Life {
    pub(super) async fn begin(seed: u64, reach: Reach) -> Self {
        println!("seed {seed}, {reach:?}");
        let mut rng = Rng::with_seed(seed);
        let app = TestApp::with(setup(seed, reach, &mut rng)).await;
        Self {
            twin: app.colleague().await,
            marks: Marks::new(),
            workers: Vec::new(),
            tally: Tally::default(),
            app,
            seed,
            reach,
            rng,
        }
    }

    /// Something happens.
    pub(super) async fn step(&mut self) {
        let dice = self.rng.u32(..100);
        print!("{dice} ");
        match dice {
            0..30 => self.change(),
            30..38 => self.go_wrong(),
            38..41 => self.spoil_delivery(),
            41..63 => self.work(),
            63..72 => self.crash().await,
            72..79 => self.let_time_pass(),
            79..87 => self.app.simulator.flush_webhooks().await,
            87..91 => self.look_at_the_schedule().await,
            91..93 => {
                // what a crash of Postgres does to an unlogged table
                self.app.sql("TRUNCATE seen_records").await;
            }
            93..95 => self.switch_a_model_off(),
            95..96 => self.come_or_go(),
            96..98 => self.commit_late(),
            _ => self.app.simulator.clear_faults(),
        }
        // the workers come to some other point of their work
        tokio::time::sleep(Duration::from_millis(self.rng.u64(0..8))).await;
    }

    fn change(&mut self) {
        let count = self.rng.usize(1..60);
        self.tally.changes += self.app.simulator.change(count).len();
    }

    fn any_endpoint(&mut self) -> Endpoint {
        ENDPOINTS[self.rng.usize(..ENDPOINTS.len())]
    }

    fn any_integration(&mut self) -> String {
        let mut ids = self.app.simulator.integration_ids();
        ids.swap_remove(self.rng.usize(..ids.len()))
    }

    fn go_wrong(&mut self) {
        let lasting = match self.reach {
            Reach::Deltas => &[][..],
            Reach::Everything => &LASTING[..],
        };
        for _ in 0..self.rng.usize(1..4) {
            let number = self.rng.usize(..PASSING.len() + lasting.len());
            let kind = PASSING.iter().chain(lasting).nth(number);
            let kind = kind.expect("within the lists").clone();
            let fault = Fault::once(kind).on(self.any_endpoint());
            let fault = fault.on_page(self.rng.u32(1..5)).times(self.rng.u32(1..3));
            self.app.simulator.inject(fault);
            self.tally.faults += 1;
        }
    }

    fn spoil_delivery(&mut self) {
        let drop = match self.reach {
            Reach::Deltas => 0.0,
            Reach::Everything => self.rng.f64() * 0.5,
        };
        self.app.simulator.set_mischief(Mischief {
            duplicate: self.rng.f64() * 0.5,
            drop,
            delay_milliseconds: self.rng.u64(0..60_000),
            reorder: self.rng.bool(),
        });
    }

    /// A worker of one of the replicas takes what it finds.
    fn work(&mut self) {
        self.workers.retain(|worker| !worker.task.is_finished());
        if self.workers.len() == MOST_WORKERS {
            return;
        }
        let engine = if self.rng.bool() {
            &self.app.engine
        } else {
            &self.twin
        };
        let (engine, working) = (engine.clone(), engine.clone());
        let appetite = [Appetite::Anything, Appetite::Deltas][self.rng.usize(..2)];
        let runs = self.rng.usize(1..6);
        self.tally.workers += 1;
        let task = tokio::spawn(async move {
            for _ in 0..runs {
                if working.work_once(appetite).await?.is_none() {
                    break;
                }
            }
            Ok(())
        });
        self.workers.push(Worker { task, engine });
    }

    /// A worker dies wherever it is.
    async fn crash(&mut self) {
        if self.workers.is_empty() {
            return;
        }
        let worker = self
            .workers
            .swap_remove(self.rng.usize(..self.workers.len()));
        self.tally.crashes += usize::from(worker.die().await);
    }

    fn let_time_pass(&mut self) {
        const SHORT: [u64; 6] = [1, 20, 61, 600, HOUR, 4 * HOUR];
        const LONG: [u64; 4] = [25 * HOUR, 8 * DAY, 13 * DAY + HOUR, 15 * DAY];
        // where deltas are to suffice, no weekly fetch comes to their help
        let seconds = match self.reach {
            Reach::Everything if self.rng.u32(..4) == 0 => LONG[self.rng.usize(..LONG.len())],
            _ => SHORT[self.rng.usize(..SHORT.len())],
        };
        self.tally.days += seconds / DAY;
        self.app
            .simulator
            .advance_clock(Duration::from_secs(seconds));
    }

    async fn look_at_the_schedule(&mut self) {
        let mut connection = self.app.database().await;
        let now = self.app.simulator.now();
        schedule::tick(&mut connection, now)
            .await
            .expect("the schedule is read");
    }

    /// Until the faults are cleared.
    fn switch_a_model_off(&mut self) {
        let integration = self.any_integration();
        let off = Fault::once(FaultKind::ModelDisabled).on(self.any_endpoint());
        self.app
            .simulator
            .inject(off.of(&integration).times(u32::MAX));
    }

    /// An integration is connected, or one of several is deleted.
    fn come_or_go(&mut self) {
        let ids = self.app.simulator.integration_ids();
        if ids.len() > 2 {
            let integration = self.any_integration();
            self.app.simulator.delete_integration(&integration);
        } else {
            self.app.simulator.add_integration();
        }
    }

    /// A change is committed later than it was made (F01).
    fn commit_late(&mut self) {
        if self.app.engine.settings.watermark_overlap < OVERLAP {
            return;
        }
        let integration = self.any_integration();
        if let Some(user) = self.app.simulator.insert_user(&integration) {
            let by = Duration::from_secs(self.rng.u64(1..120));
            self.app
                .simulator
                .backdate(&integration, Endpoint::Users, &user, by);
        }
    }

    /// By the reference only a full fetch shows the name of a provider: its announcement must lead to one that
    /// succeeds, even where the first is refused.
    async fn change_what_no_delta_shows(&mut self) {
        let app = &self.app;
        app.simulator.clear_faults();
        app.simulator.set_mischief(Mischief::default());
        app.simulator.flush_webhooks().await;
        app.work().await;
        for integration in app.simulator.integration_ids() {
            for provider in app.simulator.truth(&integration)["course_providers"].keys() {
                app.simulator.rename_provider(&integration, provider);
            }
        }
        let fault = PASSING[self.rng.usize(..PASSING.len())].clone();
        app.simulator
            .inject(Fault::once(fault).on(Endpoint::Courses).times(2));
        app.simulator.flush_webhooks().await;
        app.work().await;
    }

    /// Everything is well again; asserts the truth, and returns what happened.
    pub(super) async fn end(mut self) -> String {
        println!();
        for worker in std::mem::take(&mut self.workers) {
            worker.die().await;
        }
        if self.reach == Reach::Deltas {
            self.change_what_no_delta_shows().await;
        }
        let app = &self.app;
        app.simulator.clear_faults();
        app.simulator.set_mischief(Mischief::default());
        for integration in app.simulator.integration_ids() {
            // an integration whose events were all lost becomes known by the next
            app.simulator.announce(&integration, &["lms_users"]);
        }
        app.simulator.flush_webhooks().await;
        app.simulator.advance_clock(Duration::from_secs(2 * HOUR));
        app.work_through().await;
        if self.reach == Reach::Everything {
            app.simulator.set_paging(Paging::Stable);
            app.fetch_everything().await;
        }
        laws::approve_all(app).await;
        app.assert_mirrors_the_truth().await;
        self.obeys().await;
        self.line().await
    }

    async fn line(&self) -> String {
        let mut line = format!("seed {} {:?}: {:?};", self.seed, self.reach, self.tally);
        let runs = "SELECT status, mode, count(*) AS count FROM sync_runs GROUP BY status, mode ORDER BY status, mode";
        for row in self.app.rows(runs).await {
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            let (status, mode) = (text("status"), text("mode"));
            write!(line, " {status} {mode} {}", row["count"]).expect("a text grows");
        }
        let requests = self.app.simulator.requests().len();
        write!(line, "; {requests} requests").expect("a text grows");
        line
    }
}

impl Worker {
    /// Kills the worker wherever it is; whether it was still working.
    async fn die(self) -> bool {
        self.task.abort();
        let killed = match self.task.await {
            Ok(worked) => {
                worked.expect("the database works");
                false
            }
            Err(error) => {
                assert!(error.is_cancelled(), "a worker panicked: {error}");
                true
            }
        };
        // with a process its connections end, and with them its open transaction
        self.engine.pool.retain(|_, _| false);
        killed
    }
}

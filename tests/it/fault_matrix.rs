//! Every fault on the first, a middle and the last page of every endpoint, for full fetches and for deltas.
//!
//! Afterwards the mirror equals the truth; on the way nothing was removed, and the watermark did not move
//! before the fetch was complete. A failure names its cell: fault, endpoint, page and mode.

use std::fmt;
use std::time::Duration;

use kombo_mirror::models::{self, Mode};
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use kombo_mirror::sync::Ending;

use crate::support::TestApp;
use crate::support::app::Setup;

/// Three pages of ten rows.
const PAGES: u32 = 3;
const ROWS: usize = 30;

pub(crate) const ENDPOINTS: [(Endpoint, &str); 4] = [
    (Endpoint::Users, "users"),
    (Endpoint::Skills, "skills"),
    (Endpoint::Courses, "courses"),
    (Endpoint::CourseProgressions, "course_progressions"),
];

/// What a fault does to the run that meets it.
#[derive(Clone, Copy)]
enum Effect {
    /// Put aside with this code; goes on by itself, where it stopped.
    Waits(&'static str),
    /// Given up with this code; the next one who asks succeeds.
    Fails(&'static str),
    /// Begins the enumeration again at once.
    Restarts,
    /// None: what the page says is right.
    Nothing,
    /// Stores something wrong, or too little; the next honest fetch mends it.
    Mends,
}

struct Cell<'a> {
    fault: &'a FaultKind,
    effect: Effect,
    endpoint: Endpoint,
    name: &'static str,
    page: u32,
    mode: Mode,
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fault,
            name,
            page,
            mode,
            ..
        } = self;
        write!(formatter, "{fault:?} on page {page} of {name}, {mode:?}")
    }
}

/// Few rows on many pages; nothing is fetched but what a cell asks for.
async fn few_rows_on_many_pages() -> TestApp {
    let usual = Setup::default();
    let mut setup = Setup {
        simulator: Options {
            users: ROWS,
            courses: ROWS,
            skills: ROWS,
            progressions: ROWS,
            largest_page: ROWS / PAGES as usize,
            ..usual.simulator
        },
        ..usual
    };
    let never = Duration::from_secs(12 * 24 * 3600);
    setup.sync.catch_up_interval = never;
    setup.sync.full_fetch_interval = never;
    // so that a page that lies about what is left is more than the guard believes
    setup.sync.removal_guard_rows = 0;
    let app = TestApp::with(setup).await;
    app.simulator.set_webhook_target(None);
    app.work().await;
    app
}

impl TestApp {
    /// Gives a fetch something to do on each of its pages.
    async fn make_work(&self, cell: &Cell<'_>) {
        let integration = self.integration();
        if cell.mode == Mode::Full {
            let endpoint = models::endpoint(cell.name).expect("it exists");
            for table in endpoint.tables {
                let damage = format!("UPDATE {} SET remote_id = 'damaged'", table.name);
                assert!(self.sql(&damage).await > 0, "{cell}");
            }
            return;
        }
        let truth = self.simulator.truth(&integration);
        let changed = truth[cell.name].keys().filter(|id| match cell.endpoint {
            Endpoint::Users => self.simulator.update_user(&integration, id),
            Endpoint::Courses => self.simulator.update_course(&integration, id),
            Endpoint::Skills => self.simulator.update_skill(&integration, id),
            Endpoint::CourseProgressions => self.simulator.update_progression(&integration, id),
        });
        assert!(changed.count() > 20, "{cell}: a delta has three pages");
    }

    async fn removed_rows(&self) -> i64 {
        let tables = models::ALL.iter().flat_map(|endpoint| endpoint.tables);
        let counts: Vec<_> = tables
            .map(|table| {
                let missing = "missing_since IS NOT NULL";
                format!("(SELECT count(*) FROM {} WHERE {missing})", table.name)
            })
            .collect();
        let sql = format!("SELECT {} AS count", counts.join(" + "));
        self.count(&sql).await
    }

    async fn plays(&self, cell: &Cell<'_>) {
        self.make_work(cell).await;
        let before = self.state(cell.name).await["watermark"].clone();
        let fault = Fault::once(cell.fault.clone()).on(cell.endpoint);
        self.simulator.inject(fault.on_page(cell.page));
        self.enqueue(&self.integration(), cell.name, cell.mode)
            .await;
        let ending = self.step().await.expect("the run is claimed");
        assert_eq!(self.simulator.waiting_faults(), 0, "{cell}: it happened");
        let run = self.last_run(cell.name).await;
        let code = run["error_code"].as_str();
        let complete = match cell.effect {
            Effect::Waits(expected) => {
                assert_eq!(
                    (ending, code),
                    (Ending::Postponed, Some(expected)),
                    "{cell}"
                );
                false
            }
            Effect::Fails(expected) => {
                assert_eq!((ending, code), (Ending::Failed, Some(expected)), "{cell}");
                false
            }
            Effect::Restarts => {
                assert_eq!(ending, Ending::Postponed, "{cell}");
                assert_eq!(run["restarts"], 1, "{cell}");
                false
            }
            Effect::Nothing | Effect::Mends => {
                assert_eq!((ending, code), (Ending::Succeeded, None), "{cell}");
                true
            }
        };
        let after = self.state(cell.name).await["watermark"].clone();
        assert!(complete || after == before, "{cell}: the watermark moved");
        assert_eq!(self.removed_rows().await, 0, "{cell}: rows are gone");
        if matches!(cell.effect, Effect::Fails(_) | Effect::Mends) {
            self.enqueue(&self.integration(), cell.name, cell.mode)
                .await;
        }
        self.work_through().await;
        let differences = self.differences().await;
        assert!(differences.is_empty(), "{cell}: {}", differences.join("\n"));
    }
}

/// Plays some faults on every page of every endpoint in both modes.
async fn everywhere(faults: &[(FaultKind, Effect)]) {
    let app = few_rows_on_many_pages().await;
    for (fault, effect) in faults {
        on_every_page(&app, fault, *effect).await;
    }
}

async fn on_every_page(app: &TestApp, fault: &FaultKind, effect: Effect) {
    // these wait for a cursor, which the first page has not
    let from = match fault {
        FaultKind::CursorLoop | FaultKind::DeadCursor => 2,
        _ => 1,
    };
    for (endpoint, name) in ENDPOINTS {
        for page in from..=PAGES {
            for mode in [Mode::Full, Mode::Delta] {
                let cell = Cell {
                    fault,
                    effect,
                    endpoint,
                    name,
                    page,
                    mode,
                };
                app.plays(&cell).await;
            }
        }
    }
}

// Rule 13, F46, F51
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_to_go_on_so_fast_is_waited_for_on_every_page() {
    const WAITS: Effect = Effect::Waits("PLATFORM.RATE_LIMIT_EXCEEDED");
    everywhere(&[
        (FaultKind::TooManyRequests, WAITS),
        (FaultKind::TooManyRequestsWithoutHeaders, WAITS),
    ])
    .await;
}

// Rule 13, F08, F46
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_waited_for_on_every_page() {
    everywhere(&[
        (
            FaultKind::InternalErrorText,
            Effect::Waits("MIRROR.HTTP_500"),
        ),
        (FaultKind::BadGatewayText, Effect::Waits("MIRROR.HTTP_502")),
        (FaultKind::UnavailableHtml, Effect::Waits("MIRROR.HTTP_503")),
        (
            FaultKind::UnavailableWithoutCode,
            Effect::Waits("MIRROR.HTTP_503"),
        ),
    ])
    .await;
}

// Rule 13, F54
#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_is_not_finished_is_waited_for_on_every_page() {
    everywhere(&[
        (
            FaultKind::SetupSyncPending,
            Effect::Waits("INTEGRATION.SETUP_SYNC_PENDING"),
        ),
        (
            FaultKind::SetupIncomplete,
            Effect::Waits("INTEGRATION.SETUP_INCOMPLETE"),
        ),
        (FaultKind::QaFailed, Effect::Waits("INTEGRATION.QA_FAILED")),
    ])
    .await;
}

// Rule 13, F33, F42
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_good_is_given_up_on_every_page() {
    everywhere(&[
        (
            FaultKind::AuthenticationInvalid,
            Effect::Fails("PLATFORM.AUTHENTICATION_INVALID"),
        ),
        (
            FaultKind::PermissionMissing,
            Effect::Fails("INTEGRATION.PERMISSION_MISSING"),
        ),
        (
            FaultKind::ModelNotAvailable,
            Effect::Fails("INTEGRATION.MODEL_NOT_AVAILABLE"),
        ),
        (
            FaultKind::ModelDisabled,
            Effect::Fails("INTEGRATION.MODEL_DISABLED"),
        ),
    ])
    .await;
}

// Rule 13, F43: what was cut off is no page, and no last page.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_cut_off_is_fetched_again_wherever_it_is() {
    const UNREADABLE: Effect = Effect::Waits("MIRROR.UNREADABLE_ANSWER");
    everywhere(&[
        (FaultKind::TruncatedJson, UNREADABLE),
        (FaultKind::EmptyBody, UNREADABLE),
        (
            FaultKind::ConnectionClosed,
            Effect::Waits("MIRROR.CONNECTION_LOST"),
        ),
    ])
    .await;
}

// Rules 3, 7 and 13, F06, F22: slow, twice, or at another time, but right.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_only_strange_is_stored_wherever_it_is() {
    everywhere(&[
        (FaultKind::Slow(5), Effect::Nothing),
        (FaultKind::DuplicatedRecord, Effect::Nothing),
        (FaultKind::EmptyDate, Effect::Nothing),
        (FaultKind::UnreadableDate, Effect::Nothing),
        (FaultKind::ShiftedDate(-3600), Effect::Nothing),
    ])
    .await;
}

// Rule 6, F15, F16
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_cursor_ends_well_wherever_it_is() {
    everywhere(&[
        (FaultKind::DeadCursor, Effect::Restarts),
        (FaultKind::CursorLoop, Effect::Fails("MIRROR.CURSOR_LOOP")),
    ])
    .await;
}

// Rule 11, F20, F36: fewer rows than there are, said with a straight face.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_page_removes_nothing_wherever_it_is() {
    everywhere(&[
        (FaultKind::EmptyList, Effect::Mends),
        (FaultKind::EmptyPage, Effect::Mends),
    ])
    .await;
}

// Rule 14, F13, F59, F60
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_record_stops_nothing_wherever_it_is() {
    everywhere(&[
        (FaultKind::UnknownEnumValue, Effect::Mends),
        (FaultKind::ExtraMember, Effect::Mends),
        (FaultKind::NulCharacter, Effect::Mends),
        (FaultKind::LoneSurrogate, Effect::Mends),
        (FaultKind::WrongType, Effect::Mends),
    ])
    .await;
}

// Rule 14, F60: what Postgres would refuse is parked before it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_no_database_holds_stops_nothing_wherever_it_is() {
    everywhere(&[
        (FaultKind::HugeNumber, Effect::Mends),
        (FaultKind::DeepNesting, Effect::Mends),
        (FaultKind::LongId, Effect::Mends),
    ])
    .await;
}

//! Random lives of several integrations, and always the truth at the end.
//!
//! A failure prints its seed; the same seed gives the same data and the same decisions of the test.

use std::time::Duration;

use fastrand::Rng;
use kombo_mirror::simulator::{
    After14Days, Endpoint, Fault, FaultKind, Mischief, NestedUpdates, Options,
};

use crate::support::TestApp;
use crate::support::app::Setup;

/// What passes by itself, or heals by the next honest page.
const PASSING_FAULTS: [FaultKind; 17] = [
    FaultKind::TooManyRequestsWithoutHeaders,
    FaultKind::InternalErrorText,
    FaultKind::BadGatewayText,
    FaultKind::UnavailableHtml,
    FaultKind::UnavailableWithoutCode,
    FaultKind::SetupSyncPending,
    FaultKind::AuthenticationInvalid,
    FaultKind::ModelDisabled,
    FaultKind::TruncatedJson,
    FaultKind::EmptyBody,
    FaultKind::ConnectionClosed,
    FaultKind::DeadCursor,
    FaultKind::CursorLoop,
    FaultKind::DuplicatedRecord,
    FaultKind::UnknownEnumValue,
    FaultKind::NulCharacter,
    FaultKind::WrongType,
];

fn small(seed: u64, nested_updates: NestedUpdates) -> Setup {
    let small = Setup::default();
    Setup {
        simulator: Options {
            seed,
            nested_updates,
            integrations: 2,
            users: 40,
            courses: 15,
            skills: 10,
            progressions: 260,
            ..small.simulator
        },
        ..small
    }
}

/// Several hundred changes, all announced.
async fn follows_announced_changes(reading: NestedUpdates) {
    let app = TestApp::with(small(7, reading)).await;
    app.work().await;
    for _ in 0..8 {
        app.simulator.change(50);
        app.settle().await;
        app.assert_mirrors_the_truth().await;
    }
}

// Rule 2, F31: the API reference's reading of nested updates.
#[tokio::test(flavor = "multi_thread")]
async fn announced_changes_arrive_under_the_strict_reading() {
    follows_announced_changes(NestedUpdates::Strict).await;
}

// Rule 2, F31: the fetching guide's reading.
#[tokio::test(flavor = "multi_thread")]
async fn announced_changes_arrive_under_the_loose_reading() {
    follows_announced_changes(NestedUpdates::Loose).await;
}

/// One step of a random life.
async fn live(app: &TestApp, rng: &mut Rng) {
    app.simulator.set_mischief(Mischief {
        duplicate: rng.f64() * 0.5,
        drop: rng.f64() * 0.5,
        delay_milliseconds: rng.u64(0..50),
        reorder: rng.bool(),
    });
    app.simulator.change(rng.usize(1..40));
    for _ in 0..rng.usize(0..4) {
        let kind = PASSING_FAULTS[rng.usize(..PASSING_FAULTS.len())].clone();
        let endpoints = [
            Endpoint::Users,
            Endpoint::Courses,
            Endpoint::Skills,
            Endpoint::CourseProgressions,
        ];
        let fault = Fault::once(kind).on(endpoints[rng.usize(..endpoints.len())]);
        app.simulator.inject(fault.on_page(rng.u32(1..3)));
    }
    if rng.bool() {
        app.simulator.flush_webhooks().await;
    }
    for _ in 0..rng.usize(0..6) {
        app.step().await;
        app.simulator.change(rng.usize(0..3));
    }
    let minutes = [0, 1, 10, 70, 60 * 25][rng.usize(..5)];
    app.simulator
        .advance_clock(Duration::from_secs(60 * minutes));
    if rng.bool() {
        app.work().await;
    }
}

async fn converges(seed: u64) {
    println!("the seed is {seed}");
    let mut rng = Rng::with_seed(seed);
    let reading = [NestedUpdates::Strict, NestedUpdates::Loose][rng.usize(..2)];
    let app = TestApp::with(small(seed, reading)).await;
    let after = [After14Days::NullFields, After14Days::Remove][rng.usize(..2)];
    app.simulator.set_after_14_days(after);
    for _ in 0..10 {
        live(&app, &mut rng).await;
    }
    if rng.bool() {
        app.simulator
            .advance_clock(Duration::from_secs(15 * 24 * 3600));
    }
    app.simulator.clear_faults();
    app.simulator.set_mischief(Mischief::default());
    app.simulator.flush_webhooks().await;
    app.fetch_everything().await;
    app.assert_mirrors_the_truth().await;
}

// Rules 3, 5, 6, 8, 10, 13: whatever happened on the way.
#[tokio::test(flavor = "multi_thread")]
async fn a_random_life_ends_in_the_truth() {
    for seed in [1, 2, 3] {
        converges(seed).await;
    }
}

// The same with other dice.
#[tokio::test(flavor = "multi_thread")]
async fn another_random_life_ends_in_the_truth() {
    for seed in [50, 51, 52] {
        converges(seed).await;
    }
}

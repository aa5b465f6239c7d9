//! Random lives of several integrations on two replicas, and always the truth at the end.
//!
//! A [`life`] is random changes at Kombo under random conditions: faults, lost and late webhooks, killed
//! workers, a clock that jumps by weeks, a database that forgets its unlogged table. After each step the
//! [`laws`] are checked, and at the end every field of the mirror.
//!
//! A failure prints the seed, and every step that was taken. The same seed gives the same data and the same
//! decisions; when workers really take turns is the machine's to decide, so a rare failure may need several
//! runs of its seed. Long runs, which print a line for each seed:
//!
//! ```text
//! CONVERGENCE_SEEDS=1..200 cargo test --test it soak -- --ignored --nocapture
//! ```

mod laws;
mod life;

use kombo_mirror::simulator::{NestedUpdates, Options};

use crate::support::TestApp;
use crate::support::app::Setup;
use life::{Life, Reach};

/// Several hundred changes, all announced.
async fn follows_announced_changes(nested_updates: NestedUpdates) {
    let usual = Setup::default();
    let app = TestApp::with(Setup {
        simulator: Options {
            seed: 7,
            nested_updates,
            integrations: 2,
            users: 40,
            courses: 15,
            skills: 10,
            progressions: 60,
            largest_page: 25,
            ..usual.simulator
        },
        ..usual
    })
    .await;
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

/// Lives through one seed; returns what happened in it, as a line.
async fn converges(seed: u64, reach: Reach, steps: usize) -> String {
    let mut life = Life::begin(seed, reach).await;
    for _ in 0..steps {
        life.step().await;
        life.obeys().await;
    }
    life.end().await
}

// Rules 3, 5, 6, 8, 10, 11, 13, 14, 16: whatever happened on the way, one full fetch of everything mends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_random_life_ends_in_the_truth() {
    for seed in [1, 2, 3] {
        converges(seed, Reach::Everything, 60).await;
    }
}

// The same with other dice.
#[tokio::test(flavor = "multi_thread")]
async fn another_random_life_ends_in_the_truth() {
    for seed in [50, 51, 52] {
        converges(seed, Reach::Everything, 60).await;
    }
}

// Rules 1, 2, 3, 5, 6, 13, 15, F01, F49: where no webhook is lost and no page lies, the schedule alone suffices.
#[tokio::test(flavor = "multi_thread")]
async fn a_random_life_without_losses_needs_no_full_fetch() {
    for seed in [100, 101, 102] {
        converges(seed, Reach::Deltas, 60).await;
    }
}

// All of them, for as many seeds as there is time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a long run: CONVERGENCE_SEEDS=1..200"]
async fn soak() {
    for seed in seeds() {
        for reach in [Reach::Everything, Reach::Deltas] {
            let line = converges(seed, reach, 200).await;
            println!("{line}");
        }
    }
}

/// `CONVERGENCE_SEEDS`: one number, or the first and the one after the last as `1..200`.
fn seeds() -> std::ops::Range<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long to soak is the caller's to say, not the program's to know"
    )]
    let wanted = std::env::var("CONVERGENCE_SEEDS").unwrap_or_else(|_| "1..20".to_owned());
    let number = |text: &str| text.trim().parse::<u64>().expect("a seed is a number");
    match wanted.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&wanted)..number(&wanted) + 1,
    }
}

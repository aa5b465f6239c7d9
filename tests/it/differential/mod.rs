//! The server's answers to random requests, and what a plain execution over the same rows says.
//!
//! Each request is sent in several ways at the same time: with other values of its variables, by other viewers, with
//! other white space. So whatever is kept from one request for the next, no answer may show it. A failure prints the
//! seed and the smallest request found that shows it. The same seed gives the same data and the same requests. Long
//! runs, which print a line for each seed:
//!
//! ```text
//! DIFFERENTIAL_SEEDS=1..200 cargo test --test it differential -- --ignored --nocapture
//! ```

mod ask;
mod rows;

use ask::{Asks, Server};

use crate::support::maker::Memory;
use crate::support::reference::{Reference, Register, World};
use crate::support::sdl::Sdl;

/// Documents of a seed.
const DOCUMENTS: usize = 60;
/// Documents after which nothing should be left that was never asked for.
const DOCUMENTS_UNTIL_EVERYTHING: usize = 10_000;

/// A server with awkward rows, and the reference over the same.
async fn asks(seed: u64) -> Asks {
    let (app, viewers) = rows::awkward(seed).await;
    let server = Server::start(&app, viewers).await;
    let reference = Reference {
        sdl: Sdl::read(),
        world: World::read(&app, server.now).await,
    };
    let mut asks = Asks {
        app,
        server,
        reference,
        register: Register::default(),
        memory: Memory::default(),
        seed,
        asked: 0,
        undecided: 0,
        refused: 0,
    };
    asks.learn().await;
    asks
}

async fn compares(seed: u64, documents: usize) -> String {
    let mut asks = asks(seed).await;
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..documents {
        asks.compare_one(&mut rng).await;
    }
    let Asks {
        asked,
        undecided,
        refused,
        ..
    } = asks;
    assert!(undecided * 5 < asked, "{undecided} of {asked} tell nothing");
    format!("seed {seed}: {asked} requests, {refused} refused, {undecided} undecided")
}

// F69, F70: fragments, aliases, directives, variables, nulls, pages, filters, orders, tenants
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_a_plain_execution() {
    compares(1, DOCUMENTS).await;
}

// The same with other rows.
#[tokio::test(flavor = "multi_thread")]
async fn other_rows_are_answered_as_a_plain_execution_would() {
    compares(2, DOCUMENTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitioned_tables_are_answered_as_a_plain_execution_would() {
    let mut asks = asks(6).await;
    asks.app.partition().await;
    let mut rng = fastrand::Rng::with_seed(6);
    for _ in 0..DOCUMENTS {
        asks.compare_one(&mut rng).await;
    }
    assert!(asks.undecided * 5 < asks.asked, "too many tell nothing");
}

// A maker that leaves out a field would let it be answered in any way.
#[tokio::test(flavor = "multi_thread")]
async fn everything_in_the_schema_is_asked_for_sooner_or_later() {
    let mut asks = asks(5).await;
    let mut rng = fastrand::Rng::with_seed(5);
    let all = asks.reference.sdl.askable("Query");
    let mut never = all.clone();
    for _ in 0..DOCUMENTS_UNTIL_EVERYTHING {
        asks.document(&mut rng);
        never.retain(|one| !asks.memory.asked.contains(one));
        if never.is_empty() {
            return;
        }
    }
    panic!(
        "{} of {} are never asked for: {never:?}",
        never.len(),
        all.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_one_place_is_refused() {
    let mut asks = asks(3).await;
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..60 {
        asks.refuses_one(&mut rng).await;
    }
}

// Nothing that is kept for the next request may hold rows.
#[tokio::test(flavor = "multi_thread")]
async fn answers_follow_the_rows_when_these_change() {
    let mut asks = asks(4).await;
    let mut rng = fastrand::Rng::with_seed(4);
    let documents: Vec<_> = (0..15).map(|_| asks.document(&mut rng)).collect();
    for _ in 0..3 {
        for document in &documents {
            asks.compare(document, &mut rng).await;
        }
        rows::disturb(&asks.app, &mut rng).await;
        asks.reference.world = World::read(&asks.app, asks.server.now).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a long run: DIFFERENTIAL_SEEDS=1..200"]
async fn soak() {
    for seed in seeds() {
        println!("{}", compares(seed, 150).await);
    }
}

/// `DIFFERENTIAL_SEEDS`: one number, or the first and the one after the last as `1..200`.
fn seeds() -> std::ops::Range<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long to soak is the caller's to say, not the program's to know"
    )]
    let wanted = std::env::var("DIFFERENTIAL_SEEDS").unwrap_or_else(|_| "1..20".to_owned());
    let number = |text: &str| text.trim().parse::<u64>().expect("a seed is a number");
    match wanted.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&wanted)..number(&wanted) + 1,
    }
}

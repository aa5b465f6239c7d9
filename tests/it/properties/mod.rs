//! What holds for every input, tried with random ones.
//!
//! `PROPTEST_CASES` says how many each property gets (default 256), so the same functions are targets for a
//! long search; a failure is shrunk, printed and kept for the next run:
//!
//! ```text
//! PROPTEST_CASES=1000000 cargo test --release --test it properties -- --nocapture
//! ```

mod bodies;
mod mutation;
mod values;
mod whole;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// Tries a property that needs a server on `1/share` of the usual number of cases.
fn check_on<I: Strategy>(share: u32, input: I, property: impl AsyncFn(I::Value)) {
    let runtime = tokio::runtime::Handle::current();
    let usual = Config::default();
    let mut runner = TestRunner::new(Config {
        cases: (usual.cases / share).max(1),
        // each try of a smaller input is as costly as the first
        max_shrink_iters: 200,
        failure_persistence: None,
        ..usual
    });
    let tried = tokio::task::block_in_place(|| {
        runner.run(&input, |input| {
            runtime.block_on(property(input));
            Ok::<_, TestCaseError>(())
        })
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
}

//! How a server ends: what is under way is finished or handed over, and nobody is waited for without limit.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};

use crate::support::app::Setup;
use crate::support::world::World;

const USERS: &str = "{ users { totalCount } }";

/// Statements that wait for a table.
const WAITING: &str =
    "SELECT count(*) AS count FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass";

const LOCK: &str = "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_answered_before_the_end() {
    let world = World::new().await;
    let mut server = world.start_with(&[("ROLE", "api")]).await;
    let mut blocker = world.database().await;
    blocker.batch_execute(LOCK).await.expect("SQL");
    let asked = server.asking(USERS);
    let ending = async {
        world.wait_for(WAITING, 1).await;
        server.signal("-TERM").await;
        server.no_longer_listens().await;
        blocker.batch_execute("COMMIT").await.expect("SQL");
    };
    let (answer, ()) = tokio::join!(asked, ending);
    assert_eq!(answer["data"]["users"]["totalCount"], 0, "{answer}");
    assert_eq!(server.ended().await, Some(0), "{}", server.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_end_is_cut_off_when_the_grace_is_over() {
    let world = World::new().await;
    let settings = [
        ("ROLE", "api"),
        ("SHUTDOWN_GRACE", "200ms"),
        ("GRAPHQL_STATEMENT_TIMEOUT", "10m"),
        ("GRAPHQL_TIMEOUT", "5m"),
    ];
    let mut server = world.start_with(&settings).await;
    let mut blocker = world.database().await;
    blocker.batch_execute(LOCK).await.expect("SQL");
    let asked = tokio::spawn(server.asking(USERS));
    world.wait_for(WAITING, 1).await;
    assert_eq!(server.terminate().await, Some(0), "{}", server.said());
    assert!(server.said().contains("cut off"), "{}", server.said());
    let answer = asked.await.expect("the client goes on");
    assert!(answer.is_null(), "{answer}");
}

// Rule 5: a lease of ten minutes is nothing that the next one waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_to_another_process_without_waiting_for_its_lease() {
    let world = World::with(Options {
        progressions: 1_100,
        ..Setup::default().simulator
    })
    .await;
    let slow = Fault::once(FaultKind::Slow(100)).on(Endpoint::CourseProgressions);
    world.simulator.inject(slow.times(1_000));
    let lease = [("SYNC_LEASE", "10m")];
    let mut first = world.start_with(&lease).await;
    let begun = "SELECT count(*) AS count FROM sync_runs WHERE endpoint = 'course_progressions' AND pages_fetched > 0";
    world.wait_for(begun, 1).await;
    let _second = world.start_beside(&lease).await;
    assert_eq!(first.terminate().await, Some(0));
    tokio::time::timeout(Duration::from_secs(60), world.wait_until_quiet())
        .await
        .expect("the lease is not waited for");
    world.assert_mirrors_the_truth().await;
}

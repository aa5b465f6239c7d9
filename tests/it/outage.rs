//! Postgres goes away and comes back, while webhooks arrive and pages are fetched.

use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use serde_json::Value;

use crate::support::app::Setup;
use crate::support::cluster::Cluster;
use crate::support::look::eventually;
use crate::support::world::{Server, World};

/// A server that looks every two seconds for what a lost webhook should have told, and every five for what
/// deltas cannot bring.
async fn loaded(cluster: &Cluster) -> (World, Server) {
    let options = Options {
        progressions: 1_100,
        ..Setup::default().simulator
    };
    let world = World::on(cluster.url(), options).await;
    let settings = [
        ("CATCH_UP_INTERVAL", "2s"),
        ("SYNC_LEASE", "2s"),
        ("FULL_FETCH_INTERVAL", "5s"),
    ];
    let server = world.start_with(&settings).await;
    world.wait_until_quiet().await;
    (world, server)
}

impl World {
    /// Changes something and delivers the webhooks; the status that all of them got.
    pub(crate) async fn announce_changes(&self) -> Option<u16> {
        let before = self.simulator.sent_webhooks().len();
        self.simulator.change(20);
        self.simulator.flush_webhooks().await;
        let sent = self.simulator.sent_webhooks();
        let mut statuses: Vec<_> = sent[before..].iter().map(|one| one.status).collect();
        statuses.dedup();
        assert_eq!(statuses.len(), 1, "{statuses:?}");
        statuses[0]
    }

    pub(crate) async fn wait_for_the_truth(&self) {
        eventually("the mirror is the truth", async || {
            self.differences().await.is_empty()
        })
        .await;
    }

    /// Rule 1: what was answered with 200 is stored.
    pub(crate) async fn assert_nothing_accepted_was_forgotten(&self) {
        for webhook in self.simulator.sent_webhooks() {
            let stored = format!(
                "SELECT count(*) AS count FROM webhook_events WHERE id = '{}'",
                webhook.id
            );
            let stored = self.count(&stored).await == 1;
            assert_eq!(stored, webhook.status == Some(200), "{webhook:?}");
        }
    }
}

// Rule 1: no database, no 200; and nobody has to restart the server.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_stop_and_start_again_under_webhooks() {
    let mut cluster = Cluster::start().await;
    let (world, mut server) = loaded(&cluster).await;
    for _ in 0..2 {
        assert_eq!(world.announce_changes().await, Some(200));
        cluster.stop().await;
        for _ in 0..3 {
            assert_eq!(world.announce_changes().await, Some(503));
        }
        assert_eq!(server.status("/readyz").await, Some(503));
        assert_eq!(server.status("/healthz").await, Some(200));
        assert_ne!(
            server.ask("{ users { totalCount } }").await["errors"],
            Value::Null
        );
        cluster.start_again().await;
        eventually("the server is ready again", async || {
            server.status("/readyz").await == Some(200)
        })
        .await;
        assert_eq!(world.announce_changes().await, Some(200));
        world.wait_for_the_truth().await;
    }
    world.assert_nothing_accepted_was_forgotten().await;
    assert_eq!(server.terminate().await, Some(0));
    drop(world);
    cluster.stop().await;
}

// Rule 6, F18: a crash empties the unlogged tables in the middle of a full fetch.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_crash_in_the_middle_of_a_full_fetch() {
    let mut cluster = Cluster::start().await;
    let (world, server) = loaded(&cluster).await;
    let slow = Fault::once(FaultKind::Slow(300)).on(Endpoint::CourseProgressions);
    world.simulator.inject(slow.times(20));
    let resync =
        "mutation { triggerResync(input: { endpoints: [COURSE_PROGRESSIONS] }) { coalesced } }";
    let answer = server.ask(resync).await;
    assert_eq!(answer["data"]["triggerResync"]["coalesced"], false);
    let half =
        "SELECT count(*) AS count FROM sync_runs WHERE trigger = 'MANUAL' AND pages_fetched >= 2";
    world.wait_for(half, 1).await;
    cluster.crash().await;
    assert_eq!(world.announce_changes().await, Some(503));
    cluster.start_again().await;
    world.wait_for("SELECT count(*) AS count FROM sync_runs WHERE trigger = 'MANUAL' AND status = 'SUCCEEDED' AND restarts = 1", 1).await;
    let removed = "SELECT sum(records_deleted + removals_held_back)::bigint AS count FROM sync_runs WHERE trigger = 'MANUAL'";
    assert_eq!(world.count(removed).await, 0);
    world.wait_for_the_truth().await;
    world.assert_nothing_accepted_was_forgotten().await;
    drop((server, world));
    cluster.stop().await;
}

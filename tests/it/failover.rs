//! The primary dies, a standby takes its place, and everything goes on by itself.

use std::time::{Duration, Instant};

use kombo_mirror::db;
use kombo_mirror::simulator::{Endpoint, Fault, FaultKind, Options};
use tokio::net::TcpListener;

use crate::support::app::Setup;
use crate::support::cluster::Cluster;
use crate::support::front::Front;
use crate::support::look::eventually;
use crate::support::reading::{Reading, Slot};
use crate::support::world::{Server, World};

/// Short, so that takeovers and what webhooks do not tell cost the test little time.
const QUICK: [(&str, &str); 3] = [
    ("SYNC_LEASE", "2s"),
    ("CATCH_UP_INTERVAL", "2s"),
    ("DATABASE_READ_MAX_LAG", "2s"),
];
const MAX_LAG: Duration = Duration::from_secs(2);

/// A primary, a standby of it, and a mirror that finds whichever of both takes writes.
struct Failover {
    world: World,
    primary: Cluster,
    standby: Cluster,
}

impl Failover {
    async fn new(options: Options) -> Self {
        let primary = Cluster::primary().await;
        let standby = primary.standby("standby", &[]).await;
        let url = format!(
            "postgres://postgres@{},{}/mirror?target_session_attrs=read-write",
            primary.host(),
            standby.host()
        );
        Self {
            world: World::on(url, options).await,
            primary,
            standby,
        }
    }

    /// The primary dies and the standby becomes it.
    async fn fail_over(&mut self) {
        self.primary.crash().await;
        self.standby.promote().await;
    }

    /// What is written from now on the standby does not get.
    async fn cut_off(&self) {
        self.primary.is_followed_by(&self.standby).await;
        let nowhere = "ALTER SYSTEM SET primary_conninfo = 'host=/var/tmp/nobody-listens-here'";
        self.standby.text(nowhere).await;
        self.standby.text("SELECT pg_reload_conf()").await;
        let followers = "SELECT count(*) FROM pg_stat_replication";
        eventually("nobody follows", async || {
            self.primary.text(followers).await == "0"
        })
        .await;
    }

    async fn stop(mut self) {
        drop(self.world);
        self.standby.stop().await;
    }
}

impl World {
    /// Webhooks that were answered with 200, and how many of them the database has.
    async fn accepted_and_stored(&self) -> (i64, i64) {
        let sent = self.simulator.sent_webhooks();
        let accepted: Vec<_> = sent
            .iter()
            .filter(|webhook| webhook.status == Some(200))
            .map(|webhook| format!("'{}'", webhook.id))
            .collect();
        let stored = format!(
            "SELECT count(*) AS count FROM webhook_events WHERE id IN ('', {})",
            accepted.join(", ")
        );
        let accepted = i64::try_from(accepted.len()).expect("they are few");
        (accepted, self.count(&stored).await)
    }

    async fn wait_for_readiness(&self, server: &Server) {
        eventually("the server has found the new primary", async || {
            server.status("/readyz").await == Some(200)
        })
        .await;
    }
}

// An asynchronous standby may lack what was accepted last. Its watermarks are as old as its rows.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_asynchronous_standby_lacks_the_catch_up_brings() {
    let mut failover = Failover::new(Setup::default().simulator).await;
    let server = failover.world.start_with(&QUICK).await;
    failover.world.wait_until_quiet().await;
    failover.cut_off().await;
    let world = &failover.world;
    let integration = world.integration();
    for _ in 0..3 {
        let user = world.simulator.insert_user(&integration).expect("a user");
        assert!(world.simulator.update_user(&integration, &user));
        world.simulator.flush_webhooks().await;
    }
    world.wait_for_the_truth().await;
    let (accepted, stored) = world.accepted_and_stored().await;
    assert_eq!(accepted, stored);
    failover.fail_over().await;
    let world = &failover.world;
    world.wait_for_readiness(&server).await;
    let (_, stored) = world.accepted_and_stored().await;
    assert!(
        stored < accepted,
        "{stored} of {accepted} webhooks are there"
    );
    world.wait_for_the_truth().await;
    // and goes on as before
    world.simulator.change(20);
    world.simulator.flush_webhooks().await;
    let all = "mutation { triggerResync(input: {}) { coalesced } }";
    assert!(server.ask(all).await["errors"].is_null());
    world.wait_for_the_truth().await;
    drop(server);
    failover.stop().await;
}

// Rule 6, F18: the table of marks is unlogged, and so empty on a standby that is promoted.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_fetch_that_a_promotion_interrupts_begins_again_and_removes_nothing() {
    let mut failover = Failover::new(Options {
        progressions: 1_100,
        ..Setup::default().simulator
    })
    .await;
    let server = failover.world.start_with(&QUICK).await;
    failover.world.wait_until_quiet().await;
    let slow = Fault::once(FaultKind::Slow(300)).on(Endpoint::CourseProgressions);
    failover.world.simulator.inject(slow.times(20));
    let resync =
        "mutation { triggerResync(input: { endpoints: [COURSE_PROGRESSIONS] }) { coalesced } }";
    assert!(server.ask(resync).await["errors"].is_null());
    let manual = "SELECT count(*) AS count FROM sync_runs WHERE trigger = 'MANUAL'";
    let half = format!("{manual} AND pages_fetched >= 2");
    failover.world.wait_for(&half, 1).await;
    // pages in which nothing has changed do not wait for the disk, and are sent a little later
    let arrived = "SELECT count(*) FROM sync_runs WHERE trigger = 'MANUAL' AND pages_fetched >= 2";
    let standby = &failover.standby;
    eventually("the standby has two pages", async || {
        standby.text(arrived).await == "1"
    })
    .await;
    failover.fail_over().await;
    let world = &failover.world;
    world.wait_for_readiness(&server).await;
    let again = format!("{manual} AND status = 'SUCCEEDED' AND restarts = 1");
    world.wait_for(&again, 1).await;
    let removed = "SELECT sum(records_deleted + removals_held_back)::bigint AS count FROM sync_runs WHERE trigger = 'MANUAL'";
    assert_eq!(world.count(removed).await, 0);
    world.wait_for_the_truth().await;
    drop(server);
    failover.stop().await;
}

// A machine that hangs takes connections and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_says_nothing_is_passed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let silent = listener.local_addr().expect("the port is known");
    let mut cluster = Cluster::start().await;
    let url = format!(
        "postgres://postgres@{silent},{}/mirror?target_session_attrs=primary&connect_timeout=1",
        cluster.host()
    );
    let pool = db::pool(&url.into(), 1).expect("a pool");
    assert!(db::migrate(&pool).await.expect("the other host answers") > 0);
    drop(pool);
    cluster.stop().await;
}

/// Two api processes behind a balancer, two workers.
struct Processes {
    front: Front,
    read_url: String,
    apis: [Slot; 2],
    servers: Vec<Server>,
}

impl Processes {
    async fn start(failover: &Failover) -> Self {
        let mut processes = Self {
            front: Front::open(failover.world.address).await,
            read_url: failover.standby.url(),
            apis: Default::default(),
            servers: Vec::new(),
        };
        for number in 0..4 {
            let server = processes.start_one(&failover.world, number).await;
            processes.servers.push(server);
        }
        processes.show();
        processes
    }

    async fn start_one(&self, world: &World, number: usize) -> Server {
        let role = if number < 2 { "api" } else { "worker" };
        let own = [("ROLE", role), ("DATABASE_READ_URL", &self.read_url)];
        let settings: Vec<_> = QUICK.into_iter().chain(own).collect();
        world.start_beside(&settings).await
    }

    fn show(&self) {
        for (slot, server) in self.apis.iter().zip(&self.servers) {
            slot.serves_at(server.address);
        }
        let apis = self.servers[..2].iter().map(|server| server.address);
        self.front.leads_to(apis.collect());
    }

    /// Kills a process, sees that the others go on, and starts it again.
    async fn kill(&mut self, world: &World, number: usize) {
        if let Some(api) = self.apis.get(number) {
            api.is_away();
        }
        self.servers[number].kill().await;
        goes_on(world).await;
        self.servers[number] = self.start_one(world, number).await;
        self.show();
    }
}

/// Waits until webhooks have been accepted and runs have succeeded that had not been before.
async fn goes_on(world: &World) {
    let accepted = || {
        let sent = world.simulator.sent_webhooks();
        sent.iter().filter(|sent| sent.status == Some(200)).count()
    };
    let before = accepted();
    eventually("webhooks are accepted", async || accepted() >= before + 10).await;
    let done = "SELECT count(*) AS count FROM sync_runs WHERE status = 'SUCCEEDED'";
    let before = world.count(done).await;
    world.wait_for(done, before + 5).await;
}

// Everything that may die dies once under load. Nothing that was accepted is lost, no answer is wrong, and an error
// is seen by those only whose process had just died.
#[tokio::test(flavor = "multi_thread")]
async fn every_process_and_the_primary_die_under_load_and_nothing_is_lost() {
    let mut failover = Failover::new(Options {
        integrations: 2,
        changes_per_second: 25.0,
        ..Setup::default().simulator
    })
    .await;
    failover.world.simulator.pause();
    let mut processes = Processes::start(&failover).await;
    failover.world.wait_until_quiet().await;
    failover.primary.waits_for("standby").await;
    failover.world.simulator.resume();
    let readings: Vec<Reading> = processes
        .apis
        .iter()
        .map(|api| Reading::start(api.clone(), failover.world.simulator.clone()))
        .collect();
    goes_on(&failover.world).await;
    for number in 0..4 {
        processes.kill(&failover.world, number).await;
    }

    processes.apis.iter().for_each(Slot::may_fail);
    let crashed = Instant::now();
    failover.fail_over().await;
    let promoted = crashed.elapsed();
    let world = &failover.world;
    for server in &processes.servers {
        world.wait_for_readiness(server).await;
    }
    goes_on(world).await;
    let went_on = crashed.elapsed();
    processes.apis.iter().for_each(Slot::must_not_fail);
    goes_on(world).await;

    world.simulator.pause();
    world.simulator.flush_webhooks().await;
    world.wait_for_the_truth().await;
    let (accepted, stored) = world.accepted_and_stored().await;
    assert_eq!(accepted, stored, "accepted webhooks are lost");
    let mut refused = 0;
    for webhook in world.simulator.sent_webhooks() {
        refused += usize::from(webhook.status != Some(200));
    }
    println!("promoted {promoted:?} after the crash, went on after {went_on:?}");
    println!("webhooks: {accepted} accepted and stored, {refused} not accepted");
    for reading in readings {
        let seen = reading.stop().await;
        println!("reads: {seen}");
        seen.assert_good(MAX_LAG);
    }
    drop(processes);
    failover.stop().await;
}

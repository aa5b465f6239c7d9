//! Reading from real standbys: which server is asked, and what its answers say of their age.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kombo_mirror::db::{Behind, Reads, Statement};
use serde_json::Value;

use crate::support::app::Setup;
use crate::support::cluster::Cluster;
use crate::support::look::{eventually, moment, text};
use crate::support::world::{Server, World};

/// Further behind than any standby here comes to be.
const WHATEVER_ITS_LAG: (&str, &str) = ("DATABASE_READ_MAX_LAG", "1d");
const HARDLY_BEHIND: (&str, &str) = ("DATABASE_READ_MAX_LAG", "2s");

const USERS: &str =
    "{ users(first: 1) { nodes { komboId lastName } freshness { asOf lagSeconds } } }";

/// A loaded primary with a standby.
struct Pair {
    world: World,
    primary: Cluster,
    standby: Cluster,
}

impl Pair {
    async fn loaded() -> Self {
        let primary = Cluster::primary().await;
        let world = World::on(primary.url(), Setup::default().simulator).await;
        let mut loader = world.start().await;
        world.wait_until_quiet().await;
        assert_eq!(loader.terminate().await, Some(0));
        let standby = primary.standby("standby", &[]).await;
        Self {
            world,
            primary,
            standby,
        }
    }

    /// A server that reads from the standby; what it mirrors changes by the test's hand only.
    async fn reader(&self, settings: &[(&str, &str)]) -> Server {
        let url = self.standby.url();
        let own = [("DATABASE_READ_URL", url.as_str()), ("ROLE", "api")];
        let settings: Vec<_> = own.into_iter().chain(settings.iter().copied()).collect();
        self.world.start_with(&settings).await
    }

    /// Asks, and says whether it was the standby that was asked.
    async fn ask(&self, server: &Server, query: &str) -> (Value, bool) {
        let before = self.asked_last().await;
        let answer = server.ask(query).await;
        (answer, self.asked_last().await > before)
    }

    async fn asked_last(&self) -> f64 {
        let asked = "SELECT coalesce(max(extract(epoch FROM query_start)), 0) FROM pg_stat_activity \
             WHERE application_name = 'kombo-mirror' AND query LIKE '%endpoint_states%'";
        self.standby.text(asked).await.parse().expect("a moment")
    }

    async fn reads_come_to_the_standby(&self, server: &Server) {
        eventually("the standby is read from", async || {
            self.ask(server, USERS).await.1
        })
        .await;
    }

    async fn hold_replay(&self) {
        self.primary.is_followed_by(&self.standby).await;
        self.standby.text("SELECT pg_wal_replay_pause()").await;
        let held = "SELECT pg_get_wal_replay_pause_state()";
        eventually("the standby stands still", async || {
            self.standby.text(held).await == "paused"
        })
        .await;
    }

    async fn go_on(&self) {
        self.standby.text("SELECT pg_wal_replay_resume()").await;
    }

    /// As a fetch would that began so long ago and found everybody renamed.
    async fn rename_everybody(&self, name: &str, ago: &str) {
        self.world
            .sql(&format!(
                "WITH moved AS (UPDATE endpoint_states SET watermark = now() - interval '{ago}') \
                 UPDATE users SET last_name = '{name}'"
            ))
            .await;
    }

    async fn stop(mut self) {
        drop(self.world);
        self.standby.stop().await;
        self.primary.stop().await;
    }
}

fn name(answer: &Value) -> String {
    text(&answer["data"]["users"]["nodes"][0]["lastName"])
}

fn as_of(answer: &Value) -> DateTime<Utc> {
    moment(&answer["data"]["users"]["freshness"]["asOf"])
}

fn lag(answer: &Value) -> f64 {
    let lag = &answer["data"]["users"]["freshness"]["lagSeconds"];
    lag.as_f64().expect("seconds")
}

// section 4: the freshness of an answer is that of the server that gave it
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_standby_is_as_old_as_it_says() {
    let pair = Pair::loaded().await;
    let server = pair.reader(&[WHATEVER_ITS_LAG]).await;
    pair.reads_come_to_the_standby(&server).await;
    pair.rename_everybody("Before", "2 hours").await;
    pair.hold_replay().await;
    let (before, _) = pair.ask(&server, USERS).await;
    pair.rename_everybody("After", "1 hour").await;
    let (held, is_standbys) = pair.ask(&server, USERS).await;
    assert!(is_standbys);
    assert_eq!(
        (name(&held), as_of(&held)),
        ("Before".to_owned(), as_of(&before))
    );
    assert!(lag(&before) > 7200.0 && lag(&held) > lag(&before));
    // whoever cannot do with it is answered by the primary, and refused where that is too old as well
    for (limit, expected) in [(5400, Some("After")), (60, None)] {
        let limit = format!("first: 1, maxStalenessSeconds: {limit}");
        let answer = server.ask(&USERS.replace("first: 1", &limit)).await;
        match expected {
            Some(expected) => assert_eq!(name(&answer), expected, "{answer}"),
            None => assert_eq!(answer["errors"][0]["extensions"]["code"], "STALE_DATA"),
        }
    }
    pair.go_on().await;
    eventually("the standby has caught up", async || {
        let (answer, is_standbys) = pair.ask(&server, USERS).await;
        is_standbys && name(&answer) == "After"
    })
    .await;
    drop(server);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_too_far_behind_is_left_out_until_it_has_caught_up() {
    let pair = Pair::loaded().await;
    let server = pair.reader(&[HARDLY_BEHIND]).await;
    pair.reads_come_to_the_standby(&server).await;
    pair.hold_replay().await;
    pair.rename_everybody("After", "0").await;
    eventually("the primary is read from", async || {
        let (answer, is_standbys) = pair.ask(&server, USERS).await;
        !is_standbys && name(&answer) == "After"
    })
    .await;
    // the time it may be behind passes between two looks, and the next one says so
    eventually("the log says why", async || {
        server.said().contains("it is too far behind")
    })
    .await;
    pair.go_on().await;
    pair.reads_come_to_the_standby(&server).await;
    drop(server);
    pair.stop().await;
}

// where nothing is written nothing is replayed, and the standby lacks nothing
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_of_an_idle_primary_is_not_behind() {
    let pair = Pair::loaded().await;
    let server = pair.reader(&[HARDLY_BEHIND]).await;
    pair.reads_come_to_the_standby(&server).await;
    pair.rename_everybody("Last", "0").await;
    pair.primary.is_followed_by(&pair.standby).await;
    let idle = "SELECT now() - pg_last_xact_replay_timestamp() > interval '6 seconds'";
    eventually("nothing was replayed for a while", async || {
        pair.standby.text(idle).await == "t"
    })
    .await;
    assert!(pair.ask(&server, USERS).await.1);
    let said = server.said();
    assert!(!said.contains("left out: it is too far behind"), "{said}");
    drop(server);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mutation_did_is_seen_by_the_next_query() {
    let pair = Pair::loaded().await;
    let server = pair.reader(&[WHATEVER_ITS_LAG]).await;
    pair.reads_come_to_the_standby(&server).await;
    pair.hold_replay().await;
    let id = pair.world.integration();
    let paused = "{ integrations { nodes { paused } } users(first: 0) { freshness { asOf } } }";
    for (mutation, expected) in [("pauseIntegration", true), ("resumeIntegration", false)] {
        let mutation = format!("mutation {{ {mutation}(komboId: \"{id}\") {{ paused }} }}");
        assert!(server.ask(&mutation).await["errors"].is_null());
        let (answer, is_standbys) = pair.ask(&server, paused).await;
        let seen = &answer["data"]["integrations"]["nodes"][0]["paused"];
        assert_eq!((seen, is_standbys), (&expected.into(), false), "{answer}");
    }
    pair.go_on().await;
    pair.reads_come_to_the_standby(&server).await;
    drop(server);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_may_be_away_at_the_start_and_go_and_come_back() {
    let mut pair = Pair::loaded().await;
    pair.standby.stop().await;
    let server = pair.reader(&[WHATEVER_ITS_LAG]).await;
    assert!(server.ask(USERS).await["errors"].is_null());
    for _ in 0..2 {
        pair.standby.start_again().await;
        pair.reads_come_to_the_standby(&server).await;
        let asking = async {
            for _ in 0..100 {
                let answer = server.ask(USERS).await;
                assert!(answer["data"].is_object(), "{answer}");
                assert_eq!(server.status("/readyz").await, Some(200));
            }
        };
        tokio::join!(asking, pair.standby.crash());
        assert!(server.ask(USERS).await["errors"].is_null());
    }
    drop(server);
    drop(pair.world);
    pair.primary.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_standbys_those_are_read_from_that_are_there() {
    let pair = Pair::loaded().await;
    let nobody = "%2Fvar%2Ftmp%2Fnobody-listens-here";
    let url = format!(
        "postgres://postgres@{nobody},{}/mirror",
        pair.standby.host()
    );
    let server = pair.reader(&[("DATABASE_READ_URL", url.as_str())]).await;
    pair.reads_come_to_the_standby(&server).await;
    for _ in 0..5 {
        let (answer, is_standbys) = pair.ask(&server, USERS).await;
        assert!(is_standbys && answer["errors"].is_null(), "{answer}");
    }
    drop(server);
    pair.stop().await;
}

// two servers that take writes are two mirrors, and DATABASE_URL says which is ours
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_promoted_beside_the_primary_is_left_out() {
    let pair = Pair::loaded().await;
    let server = pair.reader(&[WHATEVER_ITS_LAG]).await;
    pair.reads_come_to_the_standby(&server).await;
    pair.standby.promote().await;
    pair.rename_everybody("After", "0").await;
    eventually("the primary is read from", async || {
        let (answer, is_standbys) = pair.ask(&server, USERS).await;
        !is_standbys && name(&answer) == "After"
    })
    .await;
    for _ in 0..5 {
        assert!(!pair.ask(&server, USERS).await.1);
    }
    drop(server);
    pair.stop().await;
}

// while the primary is away nobody has anything newer
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_read_from_while_the_primary_is_away() {
    let mut pair = Pair::loaded().await;
    let server = pair.reader(&[HARDLY_BEHIND]).await;
    pair.reads_come_to_the_standby(&server).await;
    pair.primary.crash().await;
    let begun = lag(&server.ask(USERS).await);
    eventually(
        "it is away for longer than a standby may be behind",
        async || {
            let (answer, is_standbys) = pair.ask(&server, USERS).await;
            assert!(is_standbys, "{answer}");
            lag(&answer) > begun + 4.0
        },
    )
    .await;
    assert_eq!(server.status("/readyz").await, Some(503));
    pair.primary.start_again().await;
    drop(server);
    pair.stop().await;
}

// a standby that must go on applying what it receives ends reads that are in its way (SQLSTATE 40001)
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_a_standby_ends_is_answered_by_the_primary() {
    let mut primary = Cluster::primary().await;
    primary.text("CREATE TABLE t AS SELECT 7 AS x").await;
    let impatient = [("max_standby_streaming_delay", "0")];
    let mut standby = primary.standby("standby", &impatient).await;
    let (limit, lag) = (Duration::from_secs(60), Duration::from_secs(60));
    let reads = Reads::open(&primary.url().into(), 1, limit).expect("a door");
    let reads = reads
        .with_standbys(&standby.url().into(), 1, limit, lag)
        .expect("a door");
    let mut read = Statement::planned();
    // it lasts on the standby only
    read.push(
        "SELECT convert_to(concat_ws(' ', x, pg_is_in_recovery(), \
         CASE WHEN pg_is_in_recovery() THEN pg_sleep(60)::text END), 'UTF8') FROM t",
    );
    let reading = reads.answer(&read, Behind::NoWall);
    let in_the_way = async {
        let running =
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%FROM t'";
        eventually("the read runs", async || standby.text(running).await == "1").await;
        primary.text("ALTER TABLE t ADD COLUMN y int").await;
    };
    let (answer, ()) = tokio::join!(reading, in_the_way);
    assert_eq!(answer.expect("an answer").as_deref(), Some(&b"7 f"[..]));
    let said = standby.said();
    assert!(said.contains("due to conflict with recovery"), "{said}");
    drop(reads);
    standby.stop().await;
    primary.stop().await;
}

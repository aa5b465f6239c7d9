//! Connections that quick statements share: who goes there, and that nobody waits for somebody else's.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use futures_util::future::join_all;
use kombo_mirror::db::{self, Behind, Reads, Statement};

use crate::support::database::TestDatabase;
use crate::support::look::eventually;

/// Longer than any test takes: what ends here is not ended by a limit.
const LONG: Duration = Duration::from_secs(600);

/// Asks which of the database's processes answers; another `text` is another statement.
fn who(text: &str) -> Statement {
    let mut statement = Statement::planned();
    statement.push(&format!(
        "SELECT convert_to(pg_backend_pid()::text, 'UTF8') AS answer FROM {text}"
    ));
    statement
}

fn quick() -> Statement {
    who("(SELECT) s")
}

/// A door of so many connections.
fn door(database: &TestDatabase, size: usize) -> Reads {
    Reads::open(&database.url().into(), size, LONG).expect("a door")
}

async fn ask(reads: &Reads, statement: &Statement, behind: Behind<'_>) -> String {
    let answer = reads.answer(statement, behind).await.expect("an answer");
    String::from_utf8(answer.expect("a text")).expect("a number")
}

async fn crowd(reads: &Reads, statement: &Statement) -> BTreeSet<String> {
    let asked = (0..40).map(|_| ask(reads, statement, Behind::NoWall));
    join_all(asked).await.into_iter().collect()
}

/// Asks until the statement is known to be quick. The processes that answer a crowd then are those of the shared
/// connections, of which there are no more than cores.
async fn shared_by(reads: &Reads, statement: &Statement) -> BTreeSet<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shared = std::cell::RefCell::new(BTreeSet::new());
    eventually("crowds share connections", async || {
        let first = crowd(reads, statement).await;
        let (second, third) = (crowd(reads, statement).await, crowd(reads, statement).await);
        let is_shared = first.len() <= cores && first == second && second == third;
        shared.replace(first);
        is_shared
    })
    .await;
    assert!(open(reads) > 0, "{shared:?}");
    shared.into_inner()
}

/// Shared connections that are open.
fn open(reads: &Reads) -> usize {
    let pools = reads.pools();
    let shared = pools.iter().find(|(name, _)| *name == "read_shared");
    shared.expect("they are told of").1.size
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_asks_what_is_quick_shares_connections() {
    let database = TestDatabase::migrated().await;
    let reads = door(&database, 16);
    assert_eq!(open(&reads), 0, "nobody asked yet");
    ask(&reads, &quick(), Behind::NoWall).await;
    assert_eq!(open(&reads), 0, "it came once");
    shared_by(&reads, &quick()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_planner_takes_for_long_never_shares() {
    let database = TestDatabase::migrated().await;
    let reads = door(&database, 8);
    let shared = shared_by(&reads, &quick()).await;
    let long = who("generate_series(1, 50000) OFFSET 49999");
    for _ in 0..8 {
        let own = crowd(&reads, &long).await;
        assert!(own.is_disjoint(&shared), "{own:?} {shared:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_behind_the_wall_never_shares() {
    let database = TestDatabase::migrated().await;
    let reads = door(&database, 4);
    let shared = shared_by(&reads, &quick()).await;
    let nobody: &[String] = &[];
    for _ in 0..8 {
        let own = ask(&reads, &quick(), Behind::Wall(nobody)).await;
        assert!(!shared.contains(&own), "{own} {shared:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quick_ones_are_answered_while_slow_ones_have_every_other_connection() {
    let database = TestDatabase::migrated().await;
    let reads = door(&database, 1);
    shared_by(&reads, &quick()).await;
    let slow = who("pg_sleep(599)");
    let quick = quick();
    let asked = crowd(&reads, &quick);
    tokio::select! {
        biased;
        answer = ask(&reads, &slow, Behind::NoWall) => panic!("{answer}"),
        _ = asked => {}
    }
}

// F73: one that waits, for a lock here, takes nobody with it
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_one_that_was_taken_for_quick_and_is_not() {
    let database = TestDatabase::migrated().await;
    let reads = door(&database, 2);
    let locked = who("(SELECT count(*) FROM skills) s");
    shared_by(&reads, &quick()).await;
    shared_by(&reads, &locked).await;
    let pool = db::pool(&database.url().into(), 1).expect("a pool");
    let mut holder = pool.get().await.expect("a connection");
    let lock = "BEGIN; LOCK TABLE skills IN ACCESS EXCLUSIVE MODE";
    holder.batch_execute(lock).await.expect("it is locked");
    let waiting = ask(&reads, &locked, Behind::NoWall);
    let others = async {
        // those that share its connection, and those that come when it waits elsewhere
        for _ in 0..50 {
            ask(&reads, &quick(), Behind::NoWall).await;
            tokio::task::yield_now().await;
        }
        holder.batch_execute("COMMIT").await.expect("it is free");
    };
    // it comes first
    let (answer, ()) = tokio::join!(biased; waiting, others);
    assert!(!answer.is_empty(), "and is answered when the lock is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_connection_that_ends_takes_no_answer_with_it() {
    let database = TestDatabase::migrated().await;
    let reads = door(&database, 4);
    let pool = db::pool(&database.url().into(), 1).expect("a pool");
    for _ in 0..5 {
        let shared = shared_by(&reads, &quick()).await;
        let mut connection = pool.get().await.expect("a connection");
        let end: String = shared
            .iter()
            .map(|id| format!("SELECT pg_terminate_backend({id});"))
            .collect();
        let ended = connection.batch_execute(&end);
        let asked = async {
            for _ in 0..10 {
                crowd(&reads, &quick()).await;
            }
        };
        let (ended, ()) = tokio::join!(ended, asked);
        ended.expect("they are ended");
        let others = shared_by(&reads, &quick()).await;
        assert!(others.is_disjoint(&shared), "{others:?} {shared:?}");
    }
}

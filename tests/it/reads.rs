//! The door through which GraphQL reads: it writes nothing, gives up in time, and stays open.

use std::time::Duration;

use async_graphql::Request;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use kombo_mirror::auth::{Scope, Viewer};
use kombo_mirror::config::GraphqlSettings;
use kombo_mirror::db::{self, Behind, Pool, ReadError, Reads, Statement};
use kombo_mirror::graphql::Schema;
use kombo_mirror::sync::Engine;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::Setup;
use crate::support::database::TestDatabase;
use crate::support::look::eventually;

const SHORT: Duration = Duration::from_millis(300);

fn statement(sql: &str) -> Statement {
    let mut statement = Statement::planned();
    statement.push(&format!(
        "SELECT convert_to(({sql})::text, 'UTF8') AS answer"
    ));
    statement
}

fn reads(database: &TestDatabase, size: usize, timeout: Duration) -> Reads {
    Reads::open(&database.url().into(), size, timeout).expect("a door")
}

async fn number(pool: &Pool, sql: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        number: i64,
    }
    use diesel_async::RunQueryDsl as _;
    let mut connection = pool.get().await.expect("a connection");
    let row: Row = diesel::sql_query(sql)
        .get_result(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    row.number
}

fn viewer(integrations: Option<Vec<String>>) -> Viewer {
    Viewer {
        scope: Scope::Admin,
        integrations,
        name: "a test".to_owned(),
        expires_at: None,
    }
}

async fn execute(app: &TestApp, viewer: Viewer, query: &str) -> Value {
    execute_on(app.engine.clone(), viewer, query).await
}

async fn execute_on(engine: Engine, viewer: Viewer, query: &str) -> Value {
    let schema = Schema::new(Some(engine), &GraphqlSettings::default());
    let answer = schema.execute(Request::new(query), viewer).await;
    serde_json::to_value(&answer).expect("an answer")
}

/// Holds a table so that nobody can read it, until the returned connection is dropped.
async fn hold(app: &TestApp, table: &str) -> AsyncPgConnection {
    let mut connection = db::Connection::take(app.database().await);
    connection
        .batch_execute(&format!(
            "BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"
        ))
        .await
        .expect("the table is held");
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_can_be_written_through_the_door_of_readers() {
    let database = TestDatabase::migrated().await;
    let url = format!(
        "{}&options=-c%20default_transaction_read_only%3Doff",
        database.url()
    );
    let url = if database.url().contains('?') {
        url
    } else {
        url.replacen('&', "?", 1)
    };
    let reads = Reads::open(&url.into(), 1, SHORT).expect("a door");
    let mut writing = Statement::planned();
    writing
        .push("WITH gone AS (DELETE FROM users RETURNING 1) SELECT ''::bytea AS answer FROM gone");
    let nobody: &[String] = &[];
    for behind in [Behind::NoWall, Behind::Wall(nobody)] {
        let error = reads
            .answer(&writing, behind)
            .await
            .expect_err("nothing is written");
        let ReadError::Failed(error) = error else {
            panic!("{error:?}");
        };
        let said = format!("{:?}", error.downcast_ref::<tokio_postgres::Error>());
        assert!(said.contains("read-only"), "{said}");
    }
}

// F69
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_the_error_timeout() {
    let app = TestApp::with(Setup {
        change: |settings| settings.graphql_statement_timeout = SHORT,
        ..Setup::default()
    })
    .await;
    let held = hold(&app, "users").await;
    for viewer in [viewer(None), viewer(Some(vec![app.integration()]))] {
        let answer = execute(&app, viewer, "{ users { totalCount } }").await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "TIMEOUT",
            "{answer}"
        );
        assert_eq!(answer["errors"][0]["path"], json!(["users"]));
    }
    drop(held);
}

// the answer of a mutation is read on the primary, and must not wait there for ever
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_a_mutation_has_the_same_limit() {
    let app = TestApp::with(Setup {
        change: |settings| settings.graphql_statement_timeout = SHORT,
        ..Setup::default()
    })
    .await;
    app.work().await;
    let held = hold(&app, "users").await;
    let id = app.integration();
    let mutation = format!(
        "mutation {{ pauseIntegration(komboId: \"{id}\") {{ paused users {{ totalCount }} }} }}"
    );
    let mut with_standby = app.engine.clone();
    // where readers read from a standby, that is another pool
    let url = app.database_url();
    let reads = with_standby.reads.with_standbys(&url, 1, SHORT, SHORT);
    with_standby.reads = reads.expect("a door");
    for (engine, viewer) in [
        (&app.engine, viewer(None)),
        (&app.engine, viewer(Some(vec![id.clone()]))),
        (&with_standby, viewer(None)),
        (&with_standby, viewer(Some(vec![id.clone()]))),
    ] {
        let answer = execute_on(engine.clone(), viewer, &mutation).await;
        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "TIMEOUT",
            "{answer}"
        );
        assert_eq!(answer["errors"][0]["path"], json!(["pauseIntegration"]));
    }
    drop(held);
    let mutation = format!(
        "mutation {{ resumeIntegration(komboId: \"{id}\") {{ paused users {{ totalCount }} }} }}"
    );
    let answer = execute(&app, viewer(Some(vec![id])), &mutation).await;
    assert_eq!(
        answer["data"]["resumeIntegration"]["paused"], false,
        "{answer}"
    );
    assert_eq!(
        answer["data"]["resumeIntegration"]["users"]["totalCount"],
        60
    );
}

// F73: the pool stays healthy
#[tokio::test(flavor = "multi_thread")]
async fn after_timeouts_and_clients_that_went_away_every_connection_is_good() {
    let database = TestDatabase::migrated().await;
    let reads = reads(&database, 4, SHORT);
    let nobody: &[String] = &[];
    for round in 0..20 {
        let behind = if round % 2 == 0 {
            Behind::NoWall
        } else {
            Behind::Wall(nobody)
        };
        let slow = statement("SELECT count(*) FROM (SELECT pg_sleep(100)) s");
        if round % 4 < 2 {
            let error = reads
                .answer(&slow, behind)
                .await
                .expect_err("it takes too long");
            assert!(matches!(error, ReadError::TooLong), "{error:?}");
        } else {
            let asked = reads.answer(&slow, behind);
            let gone = tokio::time::timeout(Duration::from_millis(20), asked).await;
            assert!(gone.is_err(), "the client went away before the answer");
        }
    }
    let own = "SELECT current_setting('role') || ' ' || coalesce(current_setting('mirror.integrations', true), '') \
               || ' ' || current_setting('transaction_read_only')";
    let asked = (0..16).map(|_| async { reads.answer(&statement(own), Behind::NoWall).await });
    for answer in futures_util::future::join_all(asked).await {
        let answer = answer.expect("an answer").expect("a text");
        assert_eq!(answer, b"none  on", "nothing of another viewer is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_client_went_away_is_given_up_by_the_database() {
    let database = TestDatabase::migrated().await;
    // the statement's own limit is not what ends it
    let reads = reads(&database, 2, Duration::from_secs(600));
    let nobody: &[String] = &[];
    let watch = db::pool(&database.url().into(), 1).expect("a pool");
    let running = "SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database() \
                   AND state = 'active' AND query LIKE '%pg_sleep(599)%' AND pid <> pg_backend_pid()";
    for behind in [Behind::NoWall, Behind::Wall(nobody)] {
        let slow = statement("SELECT count(*) FROM (SELECT pg_sleep(599)) s");
        {
            let asked = reads.answer(&slow, behind);
            let begun = eventually("the statement runs", async || {
                number(&watch, running).await == 1
            });
            tokio::select! {
                answer = asked => panic!("{answer:?}"),
                () = begun => {}
            }
        }
        eventually("the statement ends", async || {
            number(&watch, running).await == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_every_connection_in_use_is_told_to_come_again() {
    let database = TestDatabase::migrated().await;
    let url = database.url().into();
    let (long, wait) = (Duration::from_secs(600), Duration::from_millis(50));
    let reads = Reads::open_impatient(&url, 1, long, wait).expect("a door");
    let one = statement("SELECT 1");
    let slow = statement("SELECT count(*) FROM (SELECT pg_sleep(599)) s");
    let held = reads.answer(&slow, Behind::NoWall);
    let refused = eventually("another finds none free", async || {
        matches!(
            reads.answer(&one, Behind::NoWall).await,
            Err(ReadError::Busy)
        )
    });
    tokio::select! {
        answer = held => panic!("{answer:?}"),
        () = refused => {}
    }
    assert!(reads.answer(&one, Behind::NoWall).await.is_ok());
}

// a viewer of some integrations costs a transaction, one of all a single statement
#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_of_everything_is_answered_by_one_statement_and_another_behind_the_wall() {
    let app = TestApp::loaded().await;
    let log = app.note_statements().await;
    execute(&app, viewer(None), "{ users { totalCount } }").await;
    let sent = log.take();
    assert_eq!(sent.len(), 1, "{sent:#?}");
    let answer = execute(
        &app,
        viewer(Some(vec![app.integration()])),
        "{ users { totalCount } }",
    )
    .await;
    assert_eq!(answer["data"]["users"]["totalCount"], 60, "{answer}");
    let sent = log.take().join("\n");
    assert!(sent.contains("kombo_mirror_reader"), "{sent}");
    assert!(
        !sent.contains(&format!("'{}'", app.integration())),
        "ids are bound: {sent}"
    );
}

// ids of a token are data
#[tokio::test(flavor = "multi_thread")]
async fn an_integration_id_is_never_read_as_sql_or_as_two() {
    let app = TestApp::loaded().await;
    let id = app.integration();
    for strange in [
        "a' OR 'a'='a",
        "*",
        "{*}",
        "%",
        &format!("x,{id}"),
        "$1",
        "''",
        "null",
    ] {
        let answer = execute(
            &app,
            viewer(Some(vec![strange.to_owned()])),
            "{ users { totalCount } integrations { totalCount } }",
        )
        .await;
        assert_eq!(
            answer["data"],
            json!({ "users": { "totalCount": 0 }, "integrations": { "totalCount": 0 } }),
            "{strange}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_may_read_elsewhere_than_the_mirror_writes() {
    // an empty, migrated database stands for a standby that is far behind
    let behind = TestDatabase::migrated().await;
    let app = TestApp::loaded().await;
    let mut engine = app.engine.clone();
    let behind = behind.url().into();
    let reads = engine.reads.with_standbys(&behind, 2, SHORT, SHORT);
    engine.reads = reads.expect("a door");
    let schema = Schema::new(Some(engine), &GraphqlSettings::default());
    let query = "{ users { totalCount freshness { asOf complete } } integrations { totalCount } }";
    let answer = schema.execute(Request::new(query), viewer(None)).await;
    let answer = serde_json::to_value(&answer.data).expect("an answer");
    assert_eq!(answer["users"]["totalCount"], 0);
    assert_eq!(
        answer["users"]["freshness"]["asOf"],
        Value::Null,
        "as old as the data beside it"
    );
    // what a mutation wrote is not looked for there
    let mutation = format!(
        "mutation {{ pauseIntegration(komboId: \"{}\") {{ paused }} }}",
        app.integration()
    );
    let answer = schema.execute(Request::new(mutation), viewer(None)).await;
    assert_eq!(
        serde_json::to_value(&answer.data).expect("an answer")["pauseIntegration"]["paused"],
        true
    );
}

/// What the only connection of a door has prepared.
async fn prepared(reads: &Reads) -> Vec<String> {
    // its own text is another each time, so that it is never prepared itself
    let number = fastrand::u64(..);
    let all = format!(
        "SELECT coalesce(json_agg(statement)::text, '[]') FROM pg_prepared_statements WHERE {number} > 0"
    );
    let answer = reads.answer(&statement(&all), Behind::NoWall).await;
    let answer = answer.expect("an answer").expect("a list");
    serde_json::from_slice(&answer).expect("texts")
}

// what clients choose must not grow in the database for ever
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_prepared_when_it_comes_again_and_forgotten_when_others_come() {
    let database = TestDatabase::migrated().await;
    let reads = reads(&database, 1, SHORT);
    let one = statement("SELECT 'one'");
    reads.answer(&one, Behind::NoWall).await.expect("an answer");
    assert!(prepared(&reads).await.is_empty(), "it came once");
    for _ in 0..3 {
        reads.answer(&one, Behind::NoWall).await.expect("an answer");
    }
    let known = prepared(&reads).await;
    assert_eq!(known.len(), 1, "{known:#?}");
    assert!(known[0].contains("'one'"));
    // two dozen texts of 20 kB are more than what is kept
    for number in 0..24 {
        let long = statement(&format!("SELECT '{number}{}'", "x".repeat(20_000)));
        for _ in 0..2 {
            reads
                .answer(&long, Behind::NoWall)
                .await
                .expect("an answer");
        }
    }
    let kept: usize = prepared(&reads).await.iter().map(String::len).sum();
    assert!((100_000..300_000).contains(&kept), "{kept}");
    assert!(!prepared(&reads).await.contains(&known[0]));
    let answer = reads.answer(&one, Behind::NoWall).await;
    assert_eq!(answer.expect("an answer").as_deref(), Some(&b"one"[..]));
}

// plans for who sees some integrations are others than for who sees all
#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_answers_both_sides_of_the_wall_as_each_may_see() {
    let app = TestApp::loaded().await;
    let reads = reads_of(&app);
    let count = statement("SELECT count(*) FROM users");
    let own = [app.integration()];
    let nobody: &[String] = &[];
    for _ in 0..8 {
        for (behind, seen) in [
            (Behind::NoWall, "60"),
            (Behind::Wall(nobody), "0"),
            (Behind::Wall(&own), "60"),
        ] {
            let answer = reads.answer(&count, behind).await.expect("an answer");
            assert_eq!(answer.as_deref(), Some(seen.as_bytes()));
        }
    }
}

fn reads_of(app: &TestApp) -> Reads {
    Reads::open(&app.database_url(), 1, SHORT).expect("a door")
}

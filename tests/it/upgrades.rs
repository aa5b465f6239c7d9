//! Old and new versions on one database: who migrates, who waits, who goes on and who refuses.

use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};
use kombo_mirror::db;

use crate::support::app::Setup;
use crate::support::database::TestDatabase;
use crate::support::world::{World, output, program};

/// A migration that no version of today knows.
const FUTURE: &str = "29990101000001";

/// How many migrations a database has.
const APPLIED: &str = "SELECT count(*) AS count FROM __diesel_schema_migrations";

impl World {
    /// What the next version's `migrate` leaves behind.
    async fn migrate_to_the_future(&self, oldest_code: Option<&str>) {
        if let Some(oldest_code) = oldest_code {
            self.sql(&format!(
                "INSERT INTO schema_overlaps (migration, oldest_code) VALUES ('{FUTURE}', '{oldest_code}')"
            ))
            .await;
        }
        self.sql(&format!(
            "INSERT INTO __diesel_schema_migrations (version) VALUES ('{FUTURE}')"
        ))
        .await;
    }

    /// The newest migration of this version.
    async fn newest_migration(&self) -> String {
        let newest = "SELECT max(version)::bigint AS count FROM __diesel_schema_migrations";
        self.count(newest).await.to_string()
    }

    /// A world whose database nobody has migrated; the database must outlive it.
    async fn bare(database: &TestDatabase) -> Self {
        Self::on(database.url(), Setup::default().simulator).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_processes_that_migrate_at_once_one_does_it() {
    let database = TestDatabase::empty().await;
    let migrations = (0..4).map(|_| {
        let mut command = program(&["migrate"]);
        command.env("DATABASE_URL", database.url());
        output(command)
    });
    let mut said = Vec::new();
    for output in futures_util::future::join_all(migrations).await {
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        said.push(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    said.sort();
    assert!(said[..3].iter().all(|one| one == "0 migrations applied\n"));
    assert_ne!(said[3], said[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_together_on_an_empty_database_all_serve() {
    let database = TestDatabase::empty().await;
    let world = World::bare(&database).await;
    let (mut one, mut other) = tokio::join!(world.start(), world.start_beside(&[]));
    world.wait_until_quiet().await;
    world.assert_mirrors_the_truth().await;
    assert_eq!(one.terminate().await, Some(0));
    assert_eq!(other.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_must_not_migrate_waits_for_who_may() {
    let database = TestDatabase::empty().await;
    let world = World::bare(&database).await;
    let waiting = world.start_with(&[("MIGRATE", "wait")]);
    let migrating = async {
        let mut command = program(&["migrate"]);
        command.env("DATABASE_URL", database.url());
        // the server is there and has touched nothing
        let connected = "SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() \
             AND backend_type = 'client backend'";
        world.wait_for(connected, 2).await;
        let tables = "SELECT count(*) AS count FROM pg_tables WHERE schemaname = 'public'";
        assert_eq!(world.count(tables).await, 0);
        assert_eq!(output(command).await.status.code(), Some(0));
    };
    let (mut server, ()) = tokio::join!(waiting, migrating);
    assert_eq!(server.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_waits_for_anothers_migrations_can_be_stopped() {
    let world = World::new().await;
    let mut other = world.database().await;
    other
        .batch_execute("SELECT pg_advisory_lock(x'6b6f6d626f01'::bigint)")
        .await
        .expect("the lock is free");
    let mut server = world.spawn();
    let waiting = "SELECT count(*) AS count FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event = 'advisory'";
    world.wait_for(waiting, 1).await;
    assert_eq!(server.terminate().await, Some(1));
    assert!(
        server.said().contains("stopped before"),
        "{}",
        server.said()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_a_newer_schema_leaves_behind_refuses_to_run() {
    let world = World::new().await;
    for oldest_code in [None, Some(FUTURE)] {
        if oldest_code.is_some() {
            world
                .sql("DELETE FROM __diesel_schema_migrations WHERE version LIKE '2999%'")
                .await;
        }
        world.migrate_to_the_future(oldest_code).await;
        let before = world.count(APPLIED).await;
        let integration = world.integration();
        let by_hand = ["sync", "--integration", &integration];
        let verify = ["verify", "--integration", &integration];
        for (command, code) in [
            (world.serve(), 1),
            (world.program(&["migrate"]), 1),
            (world.program(&by_hand), 1),
            (world.program(&verify), 2),
        ] {
            let output = output(command).await;
            assert_eq!(output.status.code(), Some(code));
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                said.contains("of a newer version") && said.contains(FUTURE),
                "{said}"
            );
        }
        assert_eq!(world.count(APPLIED).await, before);
    }
    assert!(world.simulator.requests().is_empty(), "nothing was fetched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_a_newer_schema_lets_be_starts_and_works() {
    let world = World::new().await;
    let newest = world.newest_migration().await;
    world.migrate_to_the_future(Some(&newest)).await;
    let mut server = world.start().await;
    world.wait_until_quiet().await;
    world.assert_mirrors_the_truth().await;
    assert_eq!(server.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_left_behind_while_it_runs_ends_in_order() {
    let world = World::new().await;
    let mut server = world.start().await;
    world.wait_until_quiet().await;
    world.migrate_to_the_future(None).await;
    assert_eq!(server.ended().await, Some(1));
    let said = server.said();
    assert!(said.contains("of a newer version"), "{said}");
    let open = "SELECT count(*) AS count FROM sync_runs WHERE lease_until IS NOT NULL";
    assert_eq!(world.count(open).await, 0, "it holds no run");
}

// One that says nothing would end every process of the version before.
#[tokio::test(flavor = "multi_thread")]
async fn every_migration_says_which_code_may_run_beside_it() {
    let database = TestDatabase::migrated().await;
    let pool = db::pool(&database.url().into(), 1).expect("a pool");
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        silent: String,
    }
    let silent: Vec<Row> = diesel::sql_query(
        "SELECT version::text AS silent FROM __diesel_schema_migrations m WHERE version >= '20261122000015' \
         AND NOT EXISTS (SELECT FROM schema_overlaps o WHERE o.migration = m.version \
           AND o.oldest_code IN (SELECT version FROM __diesel_schema_migrations) AND o.oldest_code <= m.version)",
    )
    .get_results(&mut pool.get().await.expect("a connection"))
    .await
    .expect("SQL");
    let silent: Vec<_> = silent.into_iter().map(|row| row.silent).collect();
    assert_eq!(silent, Vec::<String>::new());
}

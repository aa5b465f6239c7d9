//! The program itself: settings, signals, a kill, roles.

use diesel_async::RunQueryDsl as _;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::database::TestDatabase;
use crate::support::look::{eventually, text};
use crate::support::world::{World, output, program};

// F56, and the rule that every wrong setting is named at once.
#[tokio::test(flavor = "multi_thread")]
async fn missing_settings_are_all_named_and_the_code_is_2() {
    let output = output(program(&["serve"])).await;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    for name in [
        "DATABASE_URL",
        "KOMBO_API_KEY",
        "KOMBO_WEBHOOK_SECRET",
        "API_READ_TOKENS",
    ] {
        assert!(said.contains(name), "{name} is not in: {said}");
    }
}

// Secrets never appear in what the program says.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_said() {
    let world = World::new().await;
    let mut command = world.serve();
    command
        .env("KOMBO_API_KEY", "the-secret-key")
        .env("KOMBO_WEBHOOK_SECRET", "the-secret-of-webhooks")
        .env(
            "DATABASE_URL",
            "postgres://me:the-secret-password@127.0.0.1:1/none",
        )
        .env("RUST_LOG", "trace");
    let output = output(command).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("error: "), "{said}");
    assert!(!said.contains("the-secret"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_one_clear_sentence() {
    let world = World::new().await;
    let _taken = TcpListener::bind(world.address)
        .await
        .expect("the port is free");
    let output = output(world.serve()).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = format!(
        "error: cannot listen on {}: it is in use by another program; choose another with --listen-addr or LISTEN_ADDR\n",
        world.address
    );
    assert_eq!(said, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_the_server_well() {
    let world = World::new().await;
    let mut server = world.start().await;
    assert_eq!(server.terminate().await, Some(0));
    assert_eq!(
        server.ask("{ __typename }").await,
        Value::Null,
        "nobody listens any more"
    );
}

// Rules 1 and 5, F47: after the 200 nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_right_after_a_webhook_loses_nothing() {
    let world = World::new().await;
    let mut server = world.start_with(&[("SYNC_LEASE", "1s")]).await;
    world.wait_until_quiet().await;
    let integration = world.integration();
    let user = world
        .simulator
        .insert_user(&integration)
        .expect("a user is added");
    world.simulator.flush_webhooks().await;
    server.kill().await;
    let sent = world.simulator.sent_webhooks();
    assert_eq!(sent.last().and_then(|webhook| webhook.status), Some(200));
    let mut server = world.start_with(&[("SYNC_LEASE", "1s")]).await;
    let query = format!("{{ user(komboId: \"{user}\") {{ komboId }} }}");
    eventually("the change arrives", async || {
        server.ask(&query).await["data"]["user"]["komboId"] == user
    })
    .await;
    assert_eq!(server.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_brings_an_empty_database_up_to_date() {
    let database = TestDatabase::empty().await;
    for expected in ["migrations applied", "0 migrations applied\n"] {
        let mut command = program(&["migrate"]);
        command.env("DATABASE_URL", database.url());
        let output = output(command).await;
        assert_eq!(output.status.code(), Some(0));
        let said = text(&String::from_utf8_lossy(&output.stdout).into());
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_tells_what_it_was_built_from() {
    let output = output(program(&["--version"])).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = format!("kombo-mirror {} (", env!("CARGO_PKG_VERSION"));
    let from = said
        .strip_prefix(&begin)
        .and_then(|rest| rest.strip_suffix(")\n"));
    assert!(from.is_some_and(|from| !from.is_empty()), "{said}");
}

// For images without a shell: the program asks for itself.
#[tokio::test(flavor = "multi_thread")]
async fn health_tells_whether_a_server_is_well() {
    let world = World::new().await;
    let health = async |arguments: &[&str]| {
        let mut command = program(arguments);
        command.env("LISTEN_ADDR", format!("0.0.0.0:{}", world.address.port()));
        output(command).await
    };
    let none = health(&["health"]).await;
    assert_eq!(none.status.code(), Some(1), "nobody listens");
    let mut server = world.start().await;
    assert_eq!(health(&["health"]).await.status.code(), Some(0));
    assert_eq!(health(&["health", "--ready"]).await.status.code(), Some(0));
    world.sql("DELETE FROM __diesel_schema_migrations").await;
    let unready = health(&["health", "--ready"]).await;
    assert_eq!(unready.status.code(), Some(1));
    let said = String::from_utf8_lossy(&unready.stderr).into_owned();
    assert!(said.contains("answers /readyz with 503"), "{said}");
    assert_eq!(health(&["health"]).await.status.code(), Some(0));
    assert_eq!(server.terminate().await, Some(0));
}

// A worker opens no door, so it needs none of the keys.
#[tokio::test(flavor = "multi_thread")]
async fn each_role_names_only_what_it_lacks() {
    for (role, lacking) in [
        ("worker", vec!["DATABASE_URL", "KOMBO_API_KEY"]),
        (
            "api",
            vec!["KOMBO_WEBHOOK_SECRET", "DATABASE_URL", "API_READ_TOKENS"],
        ),
        ("leader", vec!["ROLE must be all, api or worker"]),
    ] {
        let output = output(program(&["serve", "--role", role])).await;
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        for name in lacking {
            assert!(said.contains(name), "{name} is not in: {said}");
        }
        assert_eq!(role != "api", said.contains("KOMBO_API_KEY"), "{said}");
        assert_eq!(role != "worker", said.contains("KOMBO_WEBHOOK"), "{said}");
    }
}

// Rules 1 and 5: one process takes webhooks and answers, another fetches.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_api_process_accepts_a_worker_process_fetches() {
    let world = World::new().await;
    let mut api = world.start_with(&[("ROLE", "api")]).await;
    let integration = world.integration();
    let user = world.simulator.insert_user(&integration);
    let user = user.expect("a user is added");
    world.simulator.flush_webhooks().await;
    let sent = world.simulator.sent_webhooks();
    assert_eq!(sent.last().and_then(|webhook| webhook.status), Some(200));
    let run = "SELECT count(*) AS count FROM sync_runs WHERE status = 'QUEUED'";
    assert_eq!(world.count(run).await, 1);
    assert!(
        world.simulator.requests().is_empty(),
        "it asks Kombo nothing"
    );

    let mut worker = world.start_beside(&[("ROLE", "worker")]).await;
    world.wait_until_quiet().await;
    world.assert_mirrors_the_truth().await;
    let query = format!("{{ user(komboId: \"{user}\") {{ komboId }} }}");
    assert_eq!(api.ask(&query).await["data"]["user"]["komboId"], user);
    for page in ["/", "/graphql", "/graphiql", "/webhooks/kombo"] {
        assert_eq!(worker.status(page).await, Some(404), "{page}");
    }
    for page in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(worker.status(page).await, Some(200), "{page}");
    }
    assert_eq!(api.terminate().await, Some(0));
    assert_eq!(worker.terminate().await, Some(0));
}

// F05: a moment read in the zone of a machine or of a database loses rows west of UTC and doubles them east of it.
#[tokio::test(flavor = "multi_thread")]
async fn no_time_zone_of_machine_or_database_moves_a_moment() {
    for zone in ["America/Los_Angeles", "Asia/Kolkata"] {
        let world = World::new().await;
        let elsewhere = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''{zone}''', current_database()); END $$"
        );
        diesel::sql_query(elsewhere)
            .execute(&mut world.database().await)
            .await
            .expect("the database moves");
        let mut server = world.start_with(&[("TZ", zone)]).await;
        world.wait_until_quiet().await;
        let integration = world.integration();
        let user = world
            .simulator
            .insert_user(&integration)
            .expect("a user is added");
        let query = format!("{{ user(komboId: \"{user}\") {{ changedAt }} }}");
        let truth = world.simulator.truth(&integration);
        let changed_at = truth["users"][&user]["changed_at"].clone();
        eventually("the change arrives by a delta", async || {
            server.ask(&query).await["data"]["user"]["changedAt"] == changed_at
        })
        .await;
        world.wait_until_quiet().await;
        world.assert_mirrors_the_truth().await;
        let mut verify = world.program(&["verify", "--integration", &integration]);
        verify.env("TZ", zone);
        assert_eq!(output(verify).await.status.code(), Some(0), "{zone}");
        assert_eq!(server.terminate().await, Some(0));
    }
}

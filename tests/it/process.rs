//! The program itself: settings, signals, a kill.

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::time::Duration;

use diesel_async::RunQueryDsl as _;
use kombo_mirror::db;
use kombo_mirror::simulator::{self, Simulator, WebhookTarget};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::support::app::{READER, SECRET, Setup};
use crate::support::database::TestDatabase;
use crate::support::look::{eventually, text};

/// Longer than any start or stop takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// The program without any setting of this machine.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kombo-mirror"));
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn output(mut command: Command) -> Output {
    let ended = tokio::time::timeout(LIMIT, command.output()).await;
    ended
        .expect("the program ends")
        .expect("the program starts")
}

/// A database, a simulated Kombo, and where the server is to listen.
struct World {
    database: TestDatabase,
    simulator: Simulator,
    address: SocketAddr,
}

impl World {
    async fn new() -> Self {
        let address = free_address().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut options = Setup::default().simulator;
        options.webhook = Some(WebhookTarget {
            url: format!("http://{address}/webhooks/kombo"),
            secret: SECRET.to_owned(),
        });
        Self {
            database: TestDatabase::migrated().await,
            simulator: Simulator::start(listener, options)
                .await
                .expect("the simulator starts"),
            address,
        }
    }

    fn serve(&self) -> Command {
        let mut command = program(&["serve"]);
        command
            .env("DATABASE_URL", self.database.url())
            .env("KOMBO_API_URL", self.simulator.base_url())
            .env("KOMBO_API_KEY", simulator::Options::default().api_key)
            .env("KOMBO_WEBHOOK_SECRET", SECRET)
            .env(
                "KOMBO_INTEGRATION_IDS",
                self.simulator.integration_ids().join(","),
            )
            .env("LISTEN_ADDR", self.address.to_string())
            .env("API_READ_TOKENS", READER);
        command
    }

    async fn start(&self) -> Child {
        let mut command = self.serve();
        // nobody reads them here, and a full pipe would stop the program
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the program starts");
        let url = format!("http://{}/readyz", self.address);
        eventually("the server is ready", async || {
            reqwest::get(&url)
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        child
    }

    /// What the server answers to a GraphQL query; null while it cannot.
    async fn ask(&self, query: &str) -> Value {
        let request = reqwest::Client::new()
            .post(format!("http://{}/graphql", self.address))
            .bearer_auth(READER)
            .header("content-type", "application/json")
            .body(serde_json::json!({ "query": query }).to_string());
        let Ok(answer) = request.send().await else {
            return Value::Null;
        };
        let text = answer.text().await.unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// As if the minute were over after which a dead worker's run is taken over.
    async fn end_leases(&self) {
        let pool = db::pool(&self.database.url().into(), 1).expect("a pool opens");
        let mut connection = pool.get().await.expect("a connection");
        diesel::sql_query("UPDATE sync_runs SET lease_until = 'epoch' WHERE status = 'RUNNING'")
            .execute(&mut connection)
            .await
            .expect("the leases end");
    }

    /// Waits until every endpoint was fetched completely.
    async fn wait_until_loaded(&self) {
        eventually("everything is loaded", async || {
            let answer = self.ask("{ syncStatus { health } }").await;
            let endpoints = answer["data"]["syncStatus"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            endpoints.len() == 4 && endpoints.iter().all(|one| one["health"] == "UP_TO_DATE")
        })
        .await;
    }
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("the port is known")
}

async fn terminate(child: &mut Child) -> Option<i32> {
    let id = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(sent.expect("kill is there").success());
    let ended = tokio::time::timeout(LIMIT, child.wait()).await;
    ended.expect("the program ends").expect("it is ours").code()
}

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
    assert_eq!(terminate(&mut server).await, Some(0));
    assert_eq!(
        world.ask("{ __typename }").await,
        Value::Null,
        "nobody listens any more"
    );
}

// Rules 1 and 5, F47: after the 200 nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_right_after_a_webhook_loses_nothing() {
    let world = World::new().await;
    let mut server = world.start().await;
    world.wait_until_loaded().await;
    let integration = world.simulator.integration_ids().remove(0);
    let user = world
        .simulator
        .insert_user(&integration)
        .expect("a user is added");
    world.simulator.flush_webhooks().await;
    server.kill().await.expect("it is ours");
    let sent = world.simulator.sent_webhooks();
    assert_eq!(sent.last().and_then(|webhook| webhook.status), Some(200));
    world.end_leases().await;
    let mut server = world.start().await;
    let query = format!("{{ user(komboId: \"{user}\") {{ komboId }} }}");
    eventually("the change arrives", async || {
        world.ask(&query).await["data"]["user"]["komboId"] == user
    })
    .await;
    assert_eq!(terminate(&mut server).await, Some(0));
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

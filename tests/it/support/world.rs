//! The program itself as processes on one database, and the simulated Kombo that they ask.

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::time::Duration;

use diesel_async::RunQueryDsl as _;
use kombo_mirror::db::{self, Connection, Pool};
use kombo_mirror::simulator::{self, Options, Simulator, WebhookTarget};
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::app::{ADMIN, READER, SECRET, Setup};
use super::database::TestDatabase;
use super::look::eventually;
use super::{log, truth};

/// Longer than any start or stop takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

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

/// Runs a program to its end.
pub(crate) async fn output(mut command: Command) -> Output {
    let ended = tokio::time::timeout(LIMIT, command.output()).await;
    let output = ended.expect("the program ends");
    let output = output.expect("the program starts");
    log::assert_discreet(&String::from_utf8_lossy(&output.stderr));
    output
}

/// A database, a simulated Kombo, and the address that its webhooks go to.
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) simulator: Simulator,
    pub(crate) address: SocketAddr,
    pool: Pool,
    // last, so that everything else has let go of it
    _database: Option<TestDatabase>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default().simulator).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let database = TestDatabase::migrated().await;
        let mut world = Self::on(database.url(), options).await;
        world._database = Some(database);
        world
    }

    /// On a database of the test's own.
    pub(crate) async fn on(url: String, mut options: Options) -> Self {
        log::watch();
        let address = free_address().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        options.webhook = Some(WebhookTarget {
            url: format!("http://{address}/webhooks/kombo"),
            secret: SECRET.to_owned(),
        });
        Self {
            pool: db::pool(&url.as_str().into(), 2).expect("a pool opens"),
            url,
            simulator: Simulator::start(listener, options)
                .await
                .expect("the simulator starts"),
            address,
            _database: None,
        }
    }

    /// The program with what every process needs that asks Kombo.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command
            .env("DATABASE_URL", &self.url)
            .env("KOMBO_API_URL", self.simulator.base_url())
            .env("KOMBO_API_KEY", simulator::Options::default().api_key);
        command
    }

    /// A server at the address that webhooks go to.
    pub(crate) fn serve(&self) -> Command {
        self.serve_at(self.address)
    }

    fn serve_at(&self, address: SocketAddr) -> Command {
        let mut command = self.program(&["serve"]);
        command
            .env("KOMBO_WEBHOOK_SECRET", SECRET)
            .env(
                "KOMBO_INTEGRATION_IDS",
                self.simulator.integration_ids().join(","),
            )
            .env("LISTEN_ADDR", address.to_string())
            .env("API_READ_TOKENS", READER)
            .env("API_ADMIN_TOKENS", ADMIN);
        command
    }

    /// Starts a server and waits until it is ready.
    pub(crate) async fn start(&self) -> Server {
        self.start_with(&[]).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(&self, settings: &[(&str, &str)]) -> Server {
        Server::start(self.serve(), settings, self.address).await
    }

    /// Starts a server and does not wait.
    pub(crate) fn spawn(&self) -> Server {
        Server::spawn(self.serve(), self.address)
    }

    /// Starts another server, at an address of its own.
    pub(crate) async fn start_beside(&self, settings: &[(&str, &str)]) -> Server {
        let address = free_address().await;
        Server::start(self.serve_at(address), settings, address).await
    }

    pub(crate) fn integration(&self) -> String {
        self.simulator.integration_ids().remove(0)
    }

    pub(crate) async fn database(&self) -> Connection {
        self.pool.get().await.expect("a connection")
    }

    /// A number that SQL computes.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            count: i64,
        }
        diesel::sql_query(sql)
            .get_result::<Row>(&mut self.database().await)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
            .count
    }

    /// Runs SQL against the mirror.
    pub(crate) async fn sql(&self, sql: &str) -> usize {
        diesel::sql_query(sql)
            .execute(&mut self.database().await)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Waits until a number that SQL computes reaches `wanted`.
    pub(crate) async fn wait_for(&self, sql: &str, wanted: i64) {
        eventually(sql, async || self.count(sql).await >= wanted).await;
    }

    /// Waits until every endpoint was fetched completely and no run is open.
    pub(crate) async fn wait_until_quiet(&self) {
        let open = "SELECT count(*) AS count FROM endpoint_states s WHERE watermark IS NULL OR EXISTS \
             (SELECT FROM sync_runs r WHERE r.integration_id = s.integration_id AND status IN ('QUEUED', 'RUNNING'))";
        eventually("nothing is left to do", async || {
            self.count(open).await == 0
        })
        .await;
    }

    /// What differs between the mirror and Kombo.
    pub(crate) async fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for id in self.simulator.integration_ids() {
            let mut connection = self.database().await;
            let mirror = truth::mirror(&mut connection, &id).await;
            differences.extend(truth::differences(&self.simulator.truth(&id), &mirror));
        }
        differences
    }

    /// Asserts that every field of all seven tables is what Kombo says, for all integrations.
    pub(crate) async fn assert_mirrors_the_truth(&self) {
        let differences = self.differences().await;
        assert!(
            differences.is_empty(),
            "{} differences, for instance:\n{}",
            differences.len(),
            differences[..differences.len().min(10)].join("\n")
        );
    }
}

/// A process of the program that serves.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: NamedTempFile,
}

impl Server {
    fn spawn(mut command: Command, address: SocketAddr) -> Self {
        // a file, because a pipe that nobody reads would stop the program
        let log = NamedTempFile::new().expect("a file");
        command
            .stdout(Stdio::null())
            .stderr(log.reopen().expect("a file"));
        Self {
            child: command.spawn().expect("the program starts"),
            address,
            log,
        }
    }

    async fn start(mut command: Command, settings: &[(&str, &str)], address: SocketAddr) -> Self {
        command.envs(settings.iter().copied());
        let mut server = Self::spawn(command, address);
        let begun = std::time::Instant::now();
        while server.status("/readyz").await != Some(200) {
            let ended = server.child.try_wait().expect("it is ours");
            assert!(
                ended.is_none() && begun.elapsed() < LIMIT,
                "the server is not ready ({ended:?}), it said: {}",
                server.said()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server
    }

    /// The status of a page; `None` while nobody answers.
    pub(crate) async fn status(&self, path: &str) -> Option<u16> {
        let url = format!("http://{}{path}", self.address);
        let answer = reqwest::get(&url).await.ok()?;
        Some(answer.status().as_u16())
    }

    /// What the server answers to a GraphQL request; null while it cannot.
    pub(crate) async fn ask(&self, query: &str) -> Value {
        self.asking(query).await
    }

    /// The same, to be awaited beside something else.
    pub(crate) fn asking(&self, query: &str) -> impl Future<Output = Value> + use<> {
        let request = reqwest::Client::new()
            .post(format!("http://{}/graphql", self.address))
            .bearer_auth(ADMIN)
            .header("content-type", "application/json")
            .body(serde_json::json!({ "query": query }).to_string());
        async move {
            let Ok(answer) = request.send().await else {
                return Value::Null;
            };
            let text = answer.text().await.unwrap_or_default();
            serde_json::from_str(&text).unwrap_or_default()
        }
    }

    /// Waits until nobody can connect any more.
    pub(crate) async fn no_longer_listens(&self) {
        eventually("it no longer listens", async || {
            tokio::net::TcpStream::connect(self.address).await.is_err()
        })
        .await;
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("the log")
    }

    /// Sends a signal to the process, and to it alone.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([name, &id]).status().await;
        assert!(sent.expect("kill is there").success());
    }

    /// Ends it in order; returns its exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM").await;
        self.ended().await
    }

    /// Waits for its end; returns its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        ended.expect("the program ends").expect("it is ours").code()
    }

    /// Ends it in the midst of whatever it does.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("it is ours");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            log::assert_discreet(&self.said());
        }
    }
}

async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("the port is known")
}

//! A mirror with its own database and its own simulated Kombo.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::RunQueryDsl as _;
use kombo_mirror::auth::Authenticator;
use kombo_mirror::config::{
    AuthSettings, GraphqlSettings, KomboSettings, ProcessSettings, RetentionSettings, Role,
    Settings, SocketSettings, SyncSettings,
};
use kombo_mirror::db::{self, Connection};
use kombo_mirror::graphql::Schema;
use kombo_mirror::http::{self, App, Sockets};
use kombo_mirror::live::Live;
use kombo_mirror::queue::Appetite;
use kombo_mirror::simulator::{self, Simulator, WebhookTarget};
use kombo_mirror::sync::{Ending, Engine};
use kombo_mirror::{schedule, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::database::TestDatabase;
use super::{log, truth};

pub(crate) const READER: &str = "test-reader";
pub(crate) const ADMIN: &str = "test-admin";
pub(crate) const SECRET: &str = "test-webhook-secret";

/// A mirror whose workers are stepped by the test.
pub(crate) struct TestApp {
    pub(crate) engine: Engine,
    pub(crate) simulator: Simulator,
    pub(crate) address: SocketAddr,
    pub(crate) live: Live,
    pub(crate) sockets: Sockets,
    http: reqwest::Client,
    settings: Settings,
    stop: watch::Sender<bool>,
    // last, so that everything else has let go of it
    _database: TestDatabase,
}

/// What a test may want otherwise.
pub(crate) struct Setup {
    pub(crate) simulator: simulator::Options,
    pub(crate) sync: SyncSettings,
    pub(crate) sockets: SocketSettings,
    /// What one GraphQL request may ask for.
    pub(crate) graphql: GraphqlSettings,
    /// Register the simulator's integrations at start.
    pub(crate) register: bool,
    /// Settings that few tests touch.
    pub(crate) change: fn(&mut Settings),
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            simulator: simulator::Options {
                users: 60,
                courses: 20,
                skills: 15,
                progressions: 300,
                debounce: Duration::from_millis(10),
                rate_limit_per_minute: 1_000_000,
                ..simulator::Options::default()
            },
            sync: SyncSettings {
                first_backoff: Duration::from_millis(1),
                poll: Duration::from_millis(10),
                ..SyncSettings::default()
            },
            sockets: SocketSettings::default(),
            graphql: GraphqlSettings::default(),
            register: true,
            change: |_| (),
        }
    }
}

impl TestApp {
    /// One integration, a few hundred records.
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        log::watch();
        let database = TestDatabase::migrated().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port is known");
        let simulator = start_simulator(setup.simulator, address).await;
        let ids = if setup.register {
            simulator.integration_ids()
        } else {
            Vec::new()
        };
        let mut settings = settings(&database, &simulator, ids, setup.sync, address);
        settings.graphql = setup.graphql;
        (setup.change)(&mut settings);
        let (stop, stopped) = watch::channel(false);
        let mut engine = serve::prepare(&settings, stopped.clone())
            .await
            .expect("the mirror starts");
        // one clock for both, so that a test that moves it moves the whole world
        let clock = simulator.clone();
        engine.clock = Arc::new(move || clock.now());
        let authenticator =
            Authenticator::new(&settings.auth, engine.clock.clone()).expect("an authenticator");
        tokio::spawn({
            let (authenticator, stopped) = (authenticator.clone(), stopped.clone());
            async move { authenticator.keep_keys(stopped).await }
        });
        let live = Live::default();
        let sockets = Sockets::new(setup.sockets);
        let kept = live.clone().keep(
            settings.database_url.clone(),
            engine.clock.clone(),
            stopped.clone(),
        );
        tokio::spawn(kept);
        let app = App {
            schema: Schema::new(Some(engine.clone()), &settings.graphql),
            engine: engine.clone(),
            intake: db::intake(&settings.database_url, 4).expect("a pool"),
            auth: authenticator,
            live: live.clone(),
            sockets: sockets.clone(),
            webhook_secrets: Arc::new(settings.webhook_secrets.clone()),
        };
        tokio::spawn(async move {
            axum::serve(listener, http::routes(app))
                .with_graceful_shutdown(serve::stopped(stopped))
                .await
        });
        Self {
            engine,
            simulator,
            address,
            live,
            sockets,
            http: reqwest::Client::new(),
            settings,
            stop,
            _database: database,
        }
    }

    /// The same with everything loaded once.
    pub(crate) async fn loaded() -> Self {
        let app = Self::start().await;
        app.work().await;
        app
    }

    /// The engine of another process on the same database: its own pool, its own client of Kombo.
    pub(crate) async fn colleague(&self) -> Engine {
        let mut engine = serve::prepare(&self.settings, self.stop.subscribe())
            .await
            .expect("the colleague starts");
        engine.clock = self.engine.clock.clone();
        engine
    }

    /// A whole server on the same database, which works by itself until the test ends.
    pub(crate) async fn serve_beside(&self, change: impl FnOnce(&mut Settings)) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut settings = self.settings.clone();
        change(&mut settings);
        tokio::spawn(serve::run(settings, listener, self.stop.subscribe()));
    }

    /// The first integration.
    pub(crate) fn integration(&self) -> String {
        self.simulator.integration_ids().remove(0)
    }

    pub(crate) fn database_url(&self) -> secrecy::SecretString {
        self.settings.database_url.clone()
    }

    pub(crate) async fn database(&self) -> Connection {
        self.engine.pool.get().await.expect("a connection")
    }

    /// Looks at the schedule and works until nothing is due; returns how the runs ended.
    pub(crate) async fn work(&self) -> Vec<Ending> {
        let mut endings = Vec::new();
        loop {
            assert!(endings.len() < 500, "work that never ends: {endings:?}");
            let mut connection = self.database().await;
            let now = (self.engine.clock)();
            schedule::tick(&mut connection, now)
                .await
                .expect("the schedule is read");
            drop(connection);
            let before = endings.len();
            while let Some(ending) = self.step().await {
                endings.push(ending);
            }
            if endings.len() == before {
                return endings;
            }
        }
    }

    /// Works on one run, if one is due.
    pub(crate) async fn step(&self) -> Option<Ending> {
        self.engine
            .work_once(Appetite::Anything)
            .await
            .expect("the database works")
    }

    /// Lets the simulator deliver its webhooks, then works until nothing is due.
    pub(crate) async fn settle(&self) -> Vec<Ending> {
        self.simulator.flush_webhooks().await;
        self.work().await
    }

    /// Posts a webhook with a good signature; returns the status.
    pub(crate) async fn webhook(&self, event: &Value) -> u16 {
        let body = event.to_string();
        let signature = simulator::sign(SECRET, body.as_bytes());
        self.post_webhook(body.into_bytes(), Some(&signature))
            .await
            .0
    }

    /// Posts a body; returns status and answer.
    pub(crate) async fn post_webhook(
        &self,
        body: Vec<u8>,
        signature: Option<&str>,
    ) -> (u16, Value) {
        let mut request = self.http.post(self.url("/webhooks/kombo")).body(body);
        if let Some(signature) = signature {
            request = request.header("X-Kombo-Signature", signature);
        }
        let response = request.send().await.expect("the server answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("the answer is text");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A GraphQL request as `token`; returns the whole answer.
    pub(crate) async fn ask(&self, token: &str, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let response = self
            .http
            .post(self.url("/graphql"))
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .expect("the server answers");
        let text = response.text().await.expect("the answer is text");
        serde_json::from_str(&text).expect("the answer is JSON")
    }

    /// The data of a query that must succeed.
    pub(crate) async fn query(&self, query: &str) -> Value {
        let mut answer = self.ask(READER, query, Value::Null).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer}");
        answer["data"].take()
    }

    /// The first error's code of a query that must fail.
    pub(crate) async fn refusal(&self, query: &str) -> String {
        let answer = self.ask(READER, query, Value::Null).await;
        let code = answer["errors"][0]["extensions"]["code"].as_str();
        code.unwrap_or_else(|| panic!("{query} is not refused with a code: {answer}"))
            .to_owned()
    }

    /// Runs SQL against the mirror, as a hand that should not be there would.
    pub(crate) async fn sql(&self, sql: &str) -> usize {
        diesel::sql_query(sql)
            .execute(&mut self.database().await)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
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

    /// Every difference between the mirror and what Kombo says, as a sentence.
    pub(crate) async fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for id in self.simulator.integration_ids() {
            let truth = self.simulator.truth(&id);
            let mut connection = self.database().await;
            let mirror = truth::mirror(&mut connection, &id).await;
            differences.extend(truth::differences(&truth, &mirror));
        }
        differences
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn start_simulator(mut options: simulator::Options, mirror: SocketAddr) -> Simulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    options.webhook.get_or_insert_with(|| WebhookTarget {
        url: format!("http://{mirror}/webhooks/kombo"),
        secret: SECRET.to_owned(),
    });
    Simulator::start(listener, options)
        .await
        .expect("the simulator starts")
}

fn settings(
    database: &TestDatabase,
    simulator: &Simulator,
    integration_ids: Vec<String>,
    sync: SyncSettings,
    listen_addr: SocketAddr,
) -> Settings {
    let api_key = simulator::Options::default().api_key.into();
    let mut kombo = KomboSettings::new(&simulator.base_url(), api_key);
    // what a run would wait for is the test's to see, not the client's to hide
    kombo.attempts = 1;
    Settings {
        role: Role::All,
        database_url: database.url().into(),
        database_read_url: database.url().into(),
        database_read_max_lag: Duration::from_secs(10),
        database_pool_size: 8,
        graphql_statement_timeout: Duration::from_secs(10),
        kombo,
        webhook_secrets: vec![SECRET.into()],
        integration_ids,
        listen_addr,
        auth: AuthSettings::Tokens {
            read: vec![READER.into()],
            admin: vec![ADMIN.into()],
            jwt: None,
        },
        graphql: GraphqlSettings::default(),
        sync,
        retention: RetentionSettings::default(),
        sockets: SocketSettings::default(),
        process: ProcessSettings::default(),
    }
}

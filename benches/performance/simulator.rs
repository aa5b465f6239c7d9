//! Kombo, simulated by the real program in another process.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::Bench;
use crate::load::{self, Connection};
use crate::mirror::SECRET;
use crate::server::{self, Server};

/// The key that the simulator accepts.
pub(crate) const API_KEY: &str = "ks_dev_simulator";

/// How much an integration has, beside its progressions.
const USERS: usize = 100_000;
const COURSES: usize = 1_000;
const SKILLS: usize = 300;

/// A running simulator.
pub(crate) struct Simulator {
    /// Its process.
    pub(crate) server: Server,
    /// Its integrations, by Kombo's id.
    pub(crate) integrations: Vec<String>,
}

/// What is simulated.
pub(crate) struct Simulated {
    pub(crate) integrations: usize,
    pub(crate) progressions: usize,
    /// Where webhooks go, if anywhere.
    pub(crate) webhooks: Option<String>,
}

impl Simulator {
    /// Starts one, without any delay or limit of its own.
    pub(crate) fn start(bench: &Bench, simulated: &Simulated) -> anyhow::Result<Self> {
        let address = server::free_address()?;
        // small integrations have few of everything
        let of_each = |all: usize| all.min(simulated.progressions).to_string();
        let mut command = server::command(&bench.options.server);
        command
            .arg("simulate")
            .args(["--listen-addr", &address.to_string()])
            .args(["--integrations", &simulated.integrations.to_string()])
            .args(["--users", &of_each(USERS)])
            .args(["--courses", &of_each(COURSES)])
            .args(["--skills", &of_each(SKILLS)])
            .args(["--progressions", &simulated.progressions.to_string()])
            .args(["--rate-limit-per-minute", "100000000"]);
        if let Some(url) = &simulated.webhooks {
            command
                .args(["--webhook-url", url, "--webhook-secret", SECRET])
                .args(["--debounce-seconds", "0"]);
        }
        let ready = |address| load::answers(address, "/simulator/clock");
        let log = bench.dir().join("simulator.log");
        let server = Server::start(&mut command, address, &ready, &log)?;
        let mut simulator = Self {
            server,
            integrations: Vec::new(),
        };
        let all = simulator.get("/simulator/integrations")?;
        let all = all.as_array().context("no list of integrations")?;
        let ids = all.iter().filter_map(|id| id.as_str().map(str::to_owned));
        simulator.integrations = ids.collect();
        Ok(simulator)
    }

    /// The base of Kombo's API.
    pub(crate) fn api_url(&self) -> String {
        format!("http://{}/v1", self.server.address)
    }

    /// Asks one of its own routes.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.exchange(&load::get(path))
    }

    /// Tells it to do something.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.exchange(&load::post(path, "", &body.to_string()))
    }

    fn exchange(&self, request: &[u8]) -> anyhow::Result<Value> {
        let mut connection = Connection::open(self.server.address)?;
        let answer = connection.exchange(request)?;
        ensure!(
            answer.status == 200,
            "the simulator answers {}: {}",
            answer.status,
            String::from_utf8_lossy(answer.body)
        );
        Ok(serde_json::from_slice(answer.body)?)
    }
}

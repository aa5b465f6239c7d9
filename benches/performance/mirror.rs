//! The program that is measured, with the settings that production has.

use std::net::SocketAddr;
use std::process::Command;

use crate::Bench;
use crate::load;
use crate::server::{self, Server};
use crate::simulator::{API_KEY, Simulator};

/// What clients show.
pub(crate) const TOKEN: &str = "a-token-for-benchmarks";

/// What webhooks are signed with.
pub(crate) const SECRET: &str = "a-secret-for-benchmarks";

/// A process that answers GraphQL and takes webhooks, and fetches nothing.
pub(crate) fn serve_api(bench: &Bench, database: &str) -> anyhow::Result<Server> {
    let address = server::free_address()?;
    let mut command = command(bench, database, address);
    command.env("ROLE", "api");
    start(bench, &mut command, address)
}

/// A process that does everything, with Kombo simulated.
pub(crate) fn serve_all(
    bench: &Bench,
    database: &str,
    address: SocketAddr,
    simulator: &Simulator,
) -> anyhow::Result<Server> {
    let mut command = command(bench, database, address);
    command
        .env("KOMBO_API_URL", simulator.api_url())
        .env("KOMBO_API_KEY", API_KEY)
        .env("KOMBO_INTEGRATION_IDS", simulator.integrations.join(","));
    start(bench, &mut command, address)
}

fn command(bench: &Bench, database: &str, address: SocketAddr) -> Command {
    let mut command = server::command(&bench.options.server);
    command
        .arg("serve")
        .env("DATABASE_URL", bench.cluster.url(database))
        .env("LISTEN_ADDR", address.to_string())
        .env("KOMBO_WEBHOOK_SECRET", SECRET)
        .env("API_ADMIN_TOKENS", TOKEN)
        .env("RUST_LOG", "warn");
    command
}

fn start(bench: &Bench, command: &mut Command, address: SocketAddr) -> anyhow::Result<Server> {
    let ready = |address| load::answers(address, "/readyz");
    Server::start(command, address, &ready, &bench.dir().join("server.log"))
}

/// What a client's requests say of themselves.
pub(crate) fn headers() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

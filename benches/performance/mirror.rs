//! The program that is measured, with the settings that production has.

use crate::Bench;
use crate::load;
use crate::server::{self, Server};

/// What clients show.
pub(crate) const TOKEN: &str = "a-token-for-benchmarks";

/// What webhooks are signed with.
pub(crate) const SECRET: &str = "a-secret-for-benchmarks";

/// A process that answers GraphQL and takes webhooks, and fetches nothing.
pub(crate) fn serve_api(bench: &Bench, database: &str) -> anyhow::Result<Server> {
    let address = server::free_address()?;
    let mut command = server::command(&bench.options.server);
    command
        .arg("serve")
        .env("ROLE", "api")
        .env("DATABASE_URL", bench.cluster.url(database))
        .env("LISTEN_ADDR", address.to_string())
        .env("KOMBO_WEBHOOK_SECRET", SECRET)
        .env("API_READ_TOKENS", TOKEN)
        .env("RUST_LOG", "warn");
    let ready = |address| load::answers(address, "/readyz");
    Server::start(
        &mut command,
        address,
        &ready,
        &bench.dir().join("server.log"),
    )
}

/// What a client's requests say of themselves.
pub(crate) fn headers() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

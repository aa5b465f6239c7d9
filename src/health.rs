//! `kombo-mirror health`: asks a server on this machine how it is, where there is neither shell nor curl to do so.
//!
//! It must never need a setting beyond the address, so that it works beside any server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server that needs longer for so little is not well.
const LIMIT: Duration = Duration::from_secs(5);

/// More than a status line has.
const LONGEST_ANSWER: u64 = 1024;

/// What `health` can be told.
#[derive(Args, Clone)]
pub struct HealthOptions {
    /// Where the server listens; of an address that stands for all, the loopback one is asked
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:8080")]
    pub listen_addr: SocketAddr,
    /// Ask whether the database answers and has the right schema, too
    #[arg(long)]
    pub ready: bool,
}

/// Asks, and returns when the server is well.
///
/// # Errors
/// It does not answer, or says that it is not.
pub async fn run(options: &HealthOptions) -> anyhow::Result<()> {
    let page = if options.ready { "/readyz" } else { "/healthz" };
    let address = reachable(options.listen_addr);
    let asked = timeout(LIMIT, ask(address, page)).await;
    let status = asked
        .with_context(|| format!("{address} did not answer within {} s", LIMIT.as_secs()))?
        .with_context(|| format!("asking {address} for {page}"))?;
    if status != "200" {
        bail!("{address} answers {page} with {status}");
    }
    Ok(())
}

/// The status of a page.
async fn ask(address: SocketAddr, page: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.split_whitespace().next());
    Ok(status.context("it speaks no HTTP")?.to_owned())
}

fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_stands_for_all_is_asked_on_loopback() {
        for (given, asked) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            let address = reachable(given.parse().unwrap());
            assert_eq!(address.to_string(), asked);
        }
    }
}

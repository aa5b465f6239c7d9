//! Where to connect: a Postgres URL, with libpq's words, for one host or several.
//!
//! Why our own: a URL of several hosts is how a writer finds the server that was promoted, and neither of our drivers
//! moves on from a host that accepts a connection and then says nothing.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt as _;
use futures_util::future::Fuse;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::config::LoadBalanceHosts;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::Mode;

/// A quiet connection is asked this often whether it still lives, unless the URL says otherwise.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// What was sent and is not acknowledged for so long was sent to a machine that is gone, unless the URL says
/// otherwise; the system's own quarter of an hour would stop a worker for as long.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
/// One of several hosts that does not answer for so long is passed over, unless the URL says otherwise.
const HOST_LIMIT: Duration = Duration::from_secs(3);

/// Where to connect and how; parsed once, used for every connection of a pool.
#[derive(Clone)]
pub(super) struct Target {
    /// One for each host, in the order of the URL.
    hosts: Vec<Config>,
    tls: Option<MakeRustlsConnect>,
}

impl Target {
    pub(super) fn parse(url: &str) -> anyhow::Result<Self> {
        let parts = Parts::of(url)?;
        let (mut mode, mut root_certificate) = ("prefer".to_owned(), None);
        let mut query = String::new();
        for (name, value) in &parts.parameters {
            match name.as_str() {
                "sslmode" => mode.clone_from(value),
                "sslrootcert" => root_certificate = Some(value.as_str()),
                "target_session_attrs" => add(&mut query, name, session_attributes(value)?),
                _ => add(&mut query, name, value),
            }
        }
        let mode = Mode::parse(&mode, root_certificate)?;
        add(&mut query, "sslmode", mode.wire);
        let one = |host| {
            let url = format!("postgres://{}{host}{}?{query}", parts.user, parts.path);
            let mut config: Config = url.parse().context("it is not understood")?;
            complete(&mut config, &parts.parameters)?;
            anyhow::Ok(config)
        };
        let hosts = parts.hosts.iter().map(one).collect::<Result<_, _>>()?;
        Ok(Self {
            hosts,
            tls: mode.connector,
        })
    }

    /// The same for each host by itself.
    pub(super) fn each(self) -> Vec<Self> {
        let hosts = self.hosts.into_iter();
        hosts
            .map(|host| Self {
                hosts: vec![host],
                tls: self.tls.clone(),
            })
            .collect()
    }

    /// Tells every session more; it comes last and wins over the URL.
    pub(super) fn told(mut self, options: &str) -> Self {
        for host in &mut self.hosts {
            let before = host.get_options().unwrap_or_default().to_owned();
            host.options(format!("{before} {options}"));
        }
        self
    }
}

/// A URL taken apart, as far as its hosts need it.
struct Parts<'u> {
    /// Nothing, or user and password with the `@`.
    user: String,
    /// Each with its port.
    hosts: Vec<String>,
    path: &'u str,
    parameters: Vec<(String, String)>,
}

impl<'u> Parts<'u> {
    fn of(url: &'u str) -> anyhow::Result<Self> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .context("it must begin with postgres:// or postgresql://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{}@", user.replace('@', "%40")), hosts),
            None => (String::new(), authority),
        };
        let mut parameters: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let mut hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        if hosts == [""] {
            hosts = hosts_of(&mut parameters)?;
        }
        Ok(Self {
            user,
            hosts,
            path,
            parameters,
        })
    }
}

/// The hosts of `?host=a,b&port=1,2`.
fn hosts_of(parameters: &mut Vec<(String, String)>) -> anyhow::Result<Vec<String>> {
    let mut take = |name| {
        let at = parameters.iter().position(|(known, _)| known == name)?;
        Some(parameters.remove(at).1)
    };
    let Some(hosts) = take("host") else {
        // it may have a hostaddr
        return Ok(vec![String::new()]);
    };
    let ports = take("port").unwrap_or_else(|| "5432".to_owned());
    let ports: Vec<&str> = ports.split(',').collect();
    let hosts: Vec<&str> = hosts.split(',').collect();
    if ports.len() != 1 && ports.len() != hosts.len() {
        bail!("it has {} hosts and {} ports", hosts.len(), ports.len());
    }
    let ports = ports.iter().cycle();
    let both = hosts.iter().zip(ports);
    Ok(both
        .map(|(host, port)| format!("{}:{port}", encoded(host)))
        .collect())
}

/// libpq's words as tokio-postgres knows them.
fn session_attributes(word: &str) -> anyhow::Result<&str> {
    Ok(match word {
        "primary" => "read-write",
        "standby" => "read-only",
        // where readers may choose, each host is watched by itself, and the primary is what is left
        "prefer-standby" => "any",
        "any" | "read-write" | "read-only" => word,
        other => bail!(
            "target_session_attrs={other} is unknown: use any, read-write, read-only, primary, standby or prefer-standby"
        ),
    })
}

fn add(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(&format!("{}={}", encoded(name), encoded(value)));
}

/// Not as a form is written: Postgres takes `+` for a plus.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Adds what every connection of ours has.
fn complete(config: &mut Config, parameters: &[(String, String)]) -> anyhow::Result<()> {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        bail!("it names no host");
    }
    config.application_name("kombo-mirror");
    if !parameters.iter().any(|(name, _)| name == "keepalives_idle") {
        // the system's two hours are too long for a connection that only waits to be told something
        config.keepalives_idle(KEEPALIVE);
        config.keepalives_interval(KEEPALIVE / 3);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
    }
    config.options(session_options(config.get_options()));
    Ok(())
}

/// What every session of ours is told; what the URL says comes later and wins.
///
/// * A prepared statement may keep the plan of its first uses for ever. During a first load those saw empty
///   tables: the plan scans them whole and gets slower with every page. Planning anew costs a fraction of a
///   millisecond.
/// * A process that is frozen in the middle of a page keeps its locks, its run's among them, and nobody could
///   take the run over. Nothing of ours is idle in a transaction, so whoever is will not come back in time.
/// * The same for a machine that vanished without a word.
/// * Row-level security is for readers of some integrations. Where it would hide rows from this user itself, an
///   error is better than a mirror that looks empty.
/// * Compiling a statement pays where it runs for minutes. A planned read is large and runs for milliseconds: with a
///   hundred counts in it, it took 30 s to compile and 0.3 s to run.
fn session_options(given: Option<&str>) -> String {
    let ours = "-c plan_cache_mode=force_custom_plan -c idle_in_transaction_session_timeout=15s \
                -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 -c row_security=off \
                -c jit=off";
    given.map_or_else(|| ours.to_owned(), |given| format!("{ours} {given}"))
}

/// The half of a connection that sends and receives, for as long as it is polled; it ends with the connection.
pub(super) type Talk =
    Fuse<Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>>;

pub(super) async fn connect(target: Target) -> ConnectionResult<AsyncPgConnection> {
    let bad = |error: anyhow::Error| ConnectionError::BadConnection(error.to_string());
    match target.tls {
        Some(tls) => {
            let (client, connection) = first(&target.hosts, tls).await.map_err(bad)?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        }
        None => {
            let (client, connection) = first(&target.hosts, NoTls).await.map_err(bad)?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        }
    }
}

/// Connects; both halves of the connection are the caller's, and nothing is spawned.
pub(super) async fn connect_halves(target: Target) -> anyhow::Result<(Client, Talk)> {
    Ok(match target.tls {
        Some(tls) => {
            let (client, connection) = first(&target.hosts, tls).await?;
            (client, connection.boxed().fuse())
        }
        None => {
            let (client, connection) = first(&target.hosts, NoTls).await?;
            (client, connection.boxed().fuse())
        }
    })
}

type Connected<T> = (
    Client,
    tokio_postgres::Connection<Socket, <T as MakeTlsConnect<Socket>>::Stream>,
);

/// The first host that takes us and is what the URL asks for.
async fn first<T>(hosts: &[Config], tls: T) -> anyhow::Result<Connected<T>>
where
    T: MakeTlsConnect<Socket> + Clone,
    T::TlsConnect: TlsConnect<Socket, Stream = T::Stream>,
{
    let [only] = hosts else {
        return first_of_several(hosts, tls).await;
    };
    only.connect(tls)
        .await
        .map_err(|error| anyhow!(error_chain(&error)))
}

async fn first_of_several<T>(hosts: &[Config], tls: T) -> anyhow::Result<Connected<T>>
where
    T: MakeTlsConnect<Socket> + Clone,
    T::TlsConnect: TlsConnect<Socket, Stream = T::Stream>,
{
    let mut hosts: Vec<&Config> = hosts.iter().collect();
    let is_random =
        |host: &&Config| matches!(host.get_load_balance_hosts(), LoadBalanceHosts::Random);
    if hosts.first().is_some_and(is_random) {
        fastrand::shuffle(&mut hosts);
    }
    let mut problems = Vec::new();
    for host in hosts {
        let limit = host.get_connect_timeout().copied().unwrap_or(HOST_LIMIT);
        match tokio::time::timeout(limit, host.connect(tls.clone())).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => problems.push(error_chain(&error)),
            Err(_) => problems.push("it does not answer".to_owned()),
        }
    }
    Err(anyhow!("no host will do: {}", problems.join("; ")))
}

/// tokio-postgres keeps the reason (refused, unknown issuer) in the source; diesel takes text only.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::{Host, TargetSessionAttrs};

    use super::*;

    #[test]
    fn every_sslmode_of_libpq_is_understood() {
        for mode in ["disable", "prefer", "require", "verify-ca", "verify-full"] {
            let url = format!("postgres://u:p@localhost/db?sslmode={mode}&connect_timeout=3");
            assert!(Target::parse(&url).is_ok(), "{mode}");
        }
        assert!(Target::parse("postgres://localhost/db?sslmode=sometimes").is_err());
    }

    #[test]
    fn the_urls_own_options_come_last_and_as_they_were_written() {
        let url =
            "postgres://localhost/db?options=-c%20statement_timeout%3D5s&application_name=a+b";
        let target = Target::parse(url).unwrap();
        let options = target.hosts[0].get_options().unwrap();
        assert!(options.ends_with(" -c statement_timeout=5s"), "{options}");
    }

    #[test]
    fn a_socket_folder_may_be_the_host() {
        let target = Target::parse("postgres://postgres@%2Ftmp%2Fx/db").unwrap();
        assert!(target.tls.is_some());
        assert_eq!(
            target.hosts[0].get_hosts(),
            [Host::Unix("/tmp/x".into())],
            "percent signs are undone"
        );
    }

    #[test]
    fn a_missing_root_certificate_is_named() {
        let url = "postgres://localhost/db?sslmode=verify-full&sslrootcert=/nowhere.pem";
        let error = Target::parse(url).err().unwrap().to_string();
        assert!(error.contains("/nowhere.pem"), "{error}");
    }

    #[test]
    fn several_hosts_are_written_in_either_of_libpqs_ways() {
        for url in [
            "postgres://me:p%40ss@one:5433,%2Frun%2Ftwo,[::1]:7/db?target_session_attrs=primary",
            "postgresql://me:p@ss@/db?host=one,/run/two,::1&port=5433,5432,7&target_session_attrs=read-write",
        ] {
            let target = Target::parse(url).unwrap();
            let seen: Vec<_> = target
                .hosts
                .iter()
                .map(|host| (host.get_hosts()[0].clone(), host.get_ports()[0]))
                .collect();
            let expected = [
                (Host::Tcp("one".to_owned()), 5433),
                (Host::Unix("/run/two".into()), 5432),
                (Host::Tcp("::1".to_owned()), 7),
            ];
            assert_eq!(seen, expected, "{url}");
            for host in &target.hosts {
                assert_eq!(host.get_user(), Some("me"));
                assert_eq!(host.get_password(), Some(&b"p@ss"[..]));
                assert_eq!(host.get_dbname(), Some("db"));
                let wanted = host.get_target_session_attrs();
                assert_eq!(wanted, TargetSessionAttrs::ReadWrite);
            }
            assert_eq!(target.each().len(), 3);
        }
        for wrong in ["?host=a,b,c&port=1,2", "a,b/db?target_session_attrs=best"] {
            assert!(Target::parse(&format!("postgres://{wrong}")).is_err());
        }
    }
}

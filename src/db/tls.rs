//! Connecting with libpq's `sslmode` words, over rustls.
//!
//! Why our own: tokio-postgres knows `disable`, `prefer` and `require` only, and diesel-async connects
//! without TLS. `require` encrypts without checking the certificate, as libpq does; `verify-ca` and
//! `verify-full` check it and the host name against the system's roots or `sslrootcert`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt as _;
use futures_util::future::Fuse;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::ConfigVerifierExt as _;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

/// A quiet connection is asked this often whether it still lives, unless the URL says otherwise.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Where to connect and how; parsed once, used for every connection of a pool.
#[derive(Clone)]
pub(super) struct Target {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
}

impl Target {
    pub(super) fn parse(url: &str) -> anyhow::Result<Self> {
        let mut parsed = Url::parse(url).context("it is not a URL")?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            bail!("it must begin with postgres:// or postgresql://");
        }
        let mut mode = "prefer".to_owned();
        let mut root_certificate = None;
        let mut rest = Vec::new();
        for (name, value) in parsed.query_pairs() {
            match &*name {
                "sslmode" => mode = value.into_owned(),
                "sslrootcert" => root_certificate = Some(value.into_owned()),
                _ => rest.push((name.into_owned(), value.into_owned())),
            }
        }
        let wire_mode = match mode.as_str() {
            "disable" | "prefer" | "require" => mode.as_str(),
            "verify-ca" | "verify-full" => "require",
            other => bail!(
                "sslmode={other} is unknown: use disable, prefer, require, verify-ca or verify-full"
            ),
        };
        rest.push(("sslmode".to_owned(), wire_mode.to_owned()));
        // not as a form is written: Postgres takes `+` for a plus
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = rest
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        parsed.set_query(Some(&pairs.collect::<Vec<_>>().join("&")));
        let mut config: tokio_postgres::Config =
            parsed.as_str().parse().context("it is not understood")?;
        config.application_name("kombo-mirror");
        if !parsed
            .query()
            .is_some_and(|query| query.contains("keepalives_idle="))
        {
            // the system's two hours are too long for a connection that only waits to be told something
            config.keepalives_idle(KEEPALIVE);
            config.keepalives_interval(KEEPALIVE / 3);
        }
        config.options(session_options(config.get_options()));
        let tls = match mode.as_str() {
            "disable" => None,
            "prefer" | "require" => Some(encrypt_only()?),
            _ => Some(verify(root_certificate.as_deref())?),
        };
        Ok(Self {
            config,
            tls: tls.map(MakeRustlsConnect::new),
        })
    }

    /// Tells every session more; it comes last and wins over the URL.
    pub(super) fn told(mut self, options: &str) -> Self {
        let before = self.config.get_options().unwrap_or_default().to_owned();
        self.config.options(format!("{before} {options}"));
        self
    }
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
    let bad = |error: tokio_postgres::Error| ConnectionError::BadConnection(error_chain(&error));
    match target.tls {
        Some(tls) => {
            let (client, connection) = target.config.connect(tls).await.map_err(bad)?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        }
        None => {
            let (client, connection) = target.config.connect(NoTls).await.map_err(bad)?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await
        }
    }
}

/// Connects; both halves of the connection are the caller's, and nothing is spawned.
pub(super) async fn connect_halves(target: Target) -> anyhow::Result<(Client, Talk)> {
    let bad = |error: tokio_postgres::Error| anyhow!(error_chain(&error));
    Ok(match target.tls {
        Some(tls) => {
            let (client, connection) = target.config.connect(tls).await.map_err(bad)?;
            (client, connection.boxed().fuse())
        }
        None => {
            let (client, connection) = target.config.connect(NoTls).await.map_err(bad)?;
            (client, connection.boxed().fuse())
        }
    })
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

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn encrypt_only() -> anyhow::Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
        .with_no_client_auth();
    Ok(config)
}

fn verify(root_certificate: Option<&str>) -> anyhow::Result<ClientConfig> {
    let Some(path) = root_certificate else {
        // The platform verifier takes the process-wide provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        return Ok(ClientConfig::with_platform_verifier()?);
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path)
        .with_context(|| format!("reading sslrootcert={path}"))?
    {
        roots.add(certificate.with_context(|| format!("reading sslrootcert={path}"))?)?;
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// Accepts every certificate: what `sslmode=require` means (libpq, section 34.19.1 of its manual).
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
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
        let options = target.config.get_options().unwrap();
        assert!(options.ends_with(" -c statement_timeout=5s"), "{options}");
    }

    #[test]
    fn a_socket_folder_may_be_the_host() {
        let target = Target::parse("postgres://postgres@%2Ftmp%2Fx/db").unwrap();
        assert!(target.tls.is_some());
    }

    #[test]
    fn a_missing_root_certificate_is_named() {
        let url = "postgres://localhost/db?sslmode=verify-full&sslrootcert=/nowhere.pem";
        let error = Target::parse(url).err().unwrap().to_string();
        assert!(error.contains("/nowhere.pem"), "{error}");
    }
}

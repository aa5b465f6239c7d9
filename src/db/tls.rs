//! TLS by libpq's `sslmode` words, over rustls.
//!
//! Why our own: tokio-postgres knows `disable`, `prefer` and `require` only, and diesel-async connects
//! without TLS. `require` encrypts without checking the certificate, as libpq does; `verify-ca` and
//! `verify-full` check it and the host name against the system's roots or `sslrootcert`.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::ConfigVerifierExt as _;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How a mode is to be carried out: tokio-postgres's word for it, and the certificates that count.
pub(super) struct Mode {
    /// `disable`, `prefer` or `require`.
    pub(super) wire: &'static str,
    /// `None`: without TLS.
    pub(super) connector: Option<MakeRustlsConnect>,
}

impl Mode {
    /// What `sslmode` and `sslrootcert` of a URL mean.
    pub(super) fn parse(mode: &str, root_certificate: Option<&str>) -> anyhow::Result<Self> {
        let (wire, config) = match mode {
            "disable" => ("disable", None),
            "prefer" => ("prefer", Some(encrypt_only()?)),
            "require" => ("require", Some(encrypt_only()?)),
            "verify-ca" | "verify-full" => ("require", Some(verify(root_certificate)?)),
            other => bail!(
                "sslmode={other} is unknown: use disable, prefer, require, verify-ca or verify-full"
            ),
        };
        Ok(Self {
            wire,
            connector: config.map(MakeRustlsConnect::new),
        })
    }
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

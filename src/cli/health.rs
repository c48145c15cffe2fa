//! `dtgate health`: asks the gate that runs here how it is, as a container's health check does.
//!
//! Nothing is sent that is secret, and the answer is a yes or no. With TLS the gate has to show the certificate of its
//! configuration, whatever name stands in it; nobody else's is believed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error,
    SignatureScheme, StreamOwned,
};

use crate::value::{Visible, listening};

#[derive(Debug, Args)]
pub(super) struct Health {
    /// Configuration of the gate: where operators are, and its certificate there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where operators are, instead of what the configuration says [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS", value_parser = listening)]
    admin: Option<SocketAddr>,
    /// Whether it is ready (/readyz), and not only whether it lives (/healthz)
    #[arg(long)]
    ready: bool,
}

impl Health {
    /// 1 is the only other code: 2 has a meaning of its own in the health checks of containers.
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let config = super::load(self.config.as_ref())?.admin;
        let address = reachable(self.admin.unwrap_or(config.listen));
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let stream = TcpStream::connect_timeout(&address, PATIENCE);
        let stream = stream.with_context(|| format!("nobody answers at {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let asked = match &config.tls {
            None => ask(stream, path),
            Some(tls) => {
                let certificate = CertificateDer::from_pem_file(&tls.files.certificate)
                    .with_context(|| format!("{}", tls.files.certificate.display()))?;
                let name = ServerName::from(address.ip());
                let connection = ClientConnection::new(shown(certificate)?, name)?;
                ask(StreamOwned::new(connection, stream), path)
            }
        };
        let (status, body) = asked.with_context(|| format!("no answer of {address}"))?;
        writeln!(out, "{}", Visible(body.trim()))?;
        Ok(if status == 200 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Status and body. No answer is longer than what is read of it.
fn ask(mut stream: impl Read + Write, path: &str) -> anyhow::Result<(u16, String)> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    stream.flush()?;
    let mut lines = BufReader::new(stream.take(LONGEST));
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    let Some(status) = status else {
        bail!("that is no gate: {line:?}");
    };
    while !matches!(line.as_str(), "\r\n" | "") {
        line.clear();
        lines.read_line(&mut line)?;
    }
    let mut body = Vec::new();
    // Whoever has read a whole answer does not mind how the connection ends.
    drop(lines.read_to_end(&mut body));
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Who listens everywhere is found here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn shown(certificate: CertificateDer<'static>) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let versions = builder.with_safe_default_protocol_versions()?;
    let verifier = Arc::new(Shown {
        certificate,
        provider,
    });
    let config = versions
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(Arc::new(config.with_no_client_auth()))
}

/// Believes whoever has the key of this certificate.
#[derive(Debug)]
struct Shown {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// For each step.
const PATIENCE: Duration = Duration::from_secs(3);
const LONGEST: u64 = 64 << 10;

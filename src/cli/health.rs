//! `dtgate health`: asks the gate that runs here how it is, as a container's health check does.
//!
//! Nothing is sent that is secret, and the answer is a yes or no. So whoever answers at the gate's address is taken for
//! the gate, whatever certificate it shows. The configuration on disk may be newer than the one in force, and may have
//! been refused: it says where to ask, and how to try first, and no more. A good gate never seems dead for what it says.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

use crate::config::Config;
use crate::value::{Visible, listening};

#[derive(Debug, Args)]
pub(super) struct Health {
    /// Configuration of the gate: where operators are, and whether they come by TLS
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
        let (config, unread) = match super::load(self.config.as_ref()) {
            Ok(config) => (config.admin, None),
            Err(error) => (Config::default().admin, Some(error)),
        };
        let address = reachable(self.admin.unwrap_or(config.listen));
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let ways = match config.tls {
            None => [plainly, by_tls],
            Some(_) => [by_tls, plainly],
        };
        let [first, second] = ways;
        let asked = first(address, path).or_else(|error| second(address, path).or(Err(error)));
        let (status, body) = match (asked, unread) {
            (Ok(answer), _) => answer,
            (Err(error), None) => return Err(error),
            (Err(error), Some(unread)) => return Err(unread.context(format!("{error:#}"))),
        };
        writeln!(out, "{}", Visible(body.trim()))?;
        Ok(if status == 200 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

type Answer = (u16, String);

fn connected(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE);
    let stream = stream.with_context(|| format!("nobody answers at {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn plainly(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let stream = connected(address)?;
    ask(stream, path).with_context(|| format!("no answer of {address}"))
}

/// A gate that wants a certificate of its operators, and refuses whoever has none, is alive. More cannot be known.
fn by_tls(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let stream = connected(address)?;
    let nameless = Arc::new(Nameless::default());
    let name = ServerName::from(address.ip());
    let connection = ClientConnection::new(anybody(nameless.clone())?, name)?;
    let asked = ask(StreamOwned::new(connection, stream), path);
    let is_refused = |error: &anyhow::Error| {
        let error = error.downcast_ref::<io::Error>().map(io::Error::kind);
        nameless.was_asked.load(Ordering::Relaxed)
            && error.is_some_and(|kind| !SILENT.contains(&kind))
    };
    match asked {
        Err(error) if is_refused(&error) && path == "/healthz" => {
            Ok((200, "alive; it wants a certificate of operators".to_owned()))
        }
        Err(error) if is_refused(&error) => Err(error.context(format!(
            "{address} wants a certificate of operators: whether it is ready cannot be asked"
        ))),
        asked => asked.with_context(|| format!("no answer of {address}")),
    }
}

/// Status and body. No answer is longer than what is read of it.
fn ask(mut stream: impl Read + Write, path: &str) -> anyhow::Result<Answer> {
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

fn anybody(nameless: Arc<Nameless>) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let versions = builder.with_safe_default_protocol_versions()?;
    let config = versions
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    Ok(Arc::new(config.with_client_cert_resolver(nameless)))
}

/// Has no certificate, and knows whether somebody wanted one.
#[derive(Debug, Default)]
struct Nameless {
    was_asked: AtomicBool,
}

impl ResolvesClientCert for Nameless {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Takes any certificate whose key its owner has.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// For each step.
const PATIENCE: Duration = Duration::from_secs(3);
/// How a step ends that took too long.
const SILENT: [io::ErrorKind; 2] = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
const LONGEST: u64 = 64 << 10;

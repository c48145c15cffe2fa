//! The listener between real sockets on loopback.

mod drain;
mod limits;
mod silence;
mod tls;
mod workers;

use std::fs;
use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::tls::tests::noon;
use super::*;
use crate::value::{Duration, Size};
use std::io;
use std::num::NonZeroU16;

struct Running {
    address: SocketAddr,
    connections: Connections,
    tracker: Tracker,
    shutdown: CancellationToken,
    server: JoinHandle<Drained>,
}

fn start<S, F>(config: Config, handle: S) -> Running
where
    S: Fn(Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    start_on(config, Seat::here, handle)
}

/// A function as a service that cannot fail.
#[derive(Clone)]
struct Handle<S>(S);

impl<S, F> Service<Request<Body>> for Handle<S>
where
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = (self.0)(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

fn start_on<S, F>(
    config: Config,
    seats: impl FnOnce(Handle<S>) -> Vec<Seat<Handle<S>>>,
    handle: S,
) -> Running
where
    S: Fn(Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..config
    };
    let listener = Listener::bind(&config, Metrics::new("test"), noon).unwrap();
    let (tracker, shutdown) = (Tracker::default(), CancellationToken::new());
    let seats = seats(Handle(handle));
    Running {
        address: listener.local_addr(),
        connections: listener.connections(),
        tracker: tracker.clone(),
        shutdown: shutdown.clone(),
        server: tokio::spawn(listener.serve(seats, tracker, shutdown)),
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn until_no_connection_is_open(&self) {
        until("no connection is open", || self.connections.count() == 0).await;
    }

    /// The socket is closed: a drain is on its way.
    async fn until_nobody_is_let_in(&self) {
        let refused = async { while TcpStream::connect(self.address).await.is_ok() {} };
        let waiting = timeout(LONG, refused).await;
        assert!(waiting.is_ok(), "still let in after half a minute");
    }

    async fn stop(self) -> Drained {
        self.shutdown.cancel();
        self.server.await.unwrap()
    }
}

/// Waits for what nobody announces.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = timeout(LONG, async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    });
    assert!(waiting.await.is_ok(), "not within half a minute: {what}");
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n";
const LONG: std::time::Duration = std::time::Duration::from_secs(30);

/// Answers with what the listener says about the request.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a service")]
fn describe(request: Request<Body>) -> std::future::Ready<Response<Body>> {
    let tls = Peer::of(request.extensions()).is_some_and(|peer| peer.tls);
    ready(Response::new(full(format!(
        "{:?} tls={tls} {}",
        request.version(),
        request.uri().path()
    ))))
}

/// Reads until the head and the announced body of an HTTP/1 answer are there.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let announced = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= announced {
                return text;
            }
        }
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest).await {
        Ok(read) => read == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

fn soon() -> Duration {
    Duration::from_millis(50)
}

fn localhost(directory: &tempfile::TempDir) -> (Tls, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (
        directory.path().join("tls.crt"),
        directory.path().join("tls.key"),
    );
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let trusted = CertificateDer::from_pem_file(&certificate).unwrap();
    (Files { certificate, key }.into(), trusted)
}

fn trusting(certificate: CertificateDer<'static>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth()
}

#[tokio::test]
async fn one_http_1_connection_carries_many_requests() {
    let running = start(Config::default(), describe);
    let mut stream = running.connect().await;
    for path in ["/one", "/two", "/three"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: gate\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let text = answer(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(
            text.ends_with(&format!("HTTP/1.1 tls=false {path}")),
            "{text}"
        );
    }
    assert_eq!(running.connections.count(), 1);
    assert_eq!(running.stop().await, Drained::Clean);
}

#[tokio::test]
async fn plaintext_http_2_is_understood_when_the_client_knows_it() {
    let running = start(Config::default(), describe);
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let uri = format!("http://{}/h2c", running.address).parse().unwrap();
    let body = client
        .get(uri)
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(body, "HTTP/2.0 tls=false /h2c");
    assert_eq!(running.stop().await, Drained::Clean);
}

#[tokio::test]
async fn tls_offers_http_2_and_http_1_and_tells_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let (tls, certificate) = localhost(&directory);
    let running = start(
        Config {
            tls: Some(tls),
            ..Config::default()
        },
        describe,
    );
    let uri: http::Uri = format!("https://localhost:{}/", running.address.port())
        .parse()
        .unwrap();
    for version in [Version::HTTP_2, Version::HTTP_11] {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(trusting(certificate.clone()))
            .https_only();
        let connector = match version {
            Version::HTTP_2 => connector.enable_all_versions().build(),
            _ => connector.enable_http1().build(),
        };
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
        let response = client.get(uri.clone()).await.unwrap();
        assert_eq!(response.version(), version);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("{version:?} tls=true /"));
    }
    assert_eq!(running.stop().await, Drained::Clean);
}

#[tokio::test]
async fn plain_http_beyond_loopback_is_refused_unless_it_was_asked_for() {
    let open = Config {
        listen: SocketAddr::from(([0, 0, 0, 0], 0)),
        ..Config::default()
    };
    let error = Listener::bind(&open, Metrics::new("test"), noon)
        .err()
        .unwrap()
        .to_string();
    for word in [
        "0.0.0.0:0",
        "`tls`",
        "127.0.0.1",
        "allow_plaintext = true",
        "--allow-plaintext",
    ] {
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let running = start(Config::default(), describe);
    let taken = Config {
        listen: running.address,
        ..Config::default()
    };
    let error = Listener::bind(&taken, Metrics::new("test"), noon)
        .err()
        .unwrap()
        .to_string();
    let expected = format!(
        "cannot listen on {}: another program listens there already: stop it, or take another port",
        running.address
    );
    assert_eq!(error, expected);
}

#[test]
fn a_configuration_is_read_and_an_unknown_key_is_refused() {
    let text = "listen = '[::1]:8443'\nmax_header_size = '32 KiB'\n\
                tls = { files = { certificate = 'a.pem', key = 'b.pem' } }";
    let config: Config = toml::from_str(text).unwrap();
    let tls = config.tls.unwrap();
    assert!(tls.certificates.is_empty() && tls.clients.is_none());
    assert_eq!(tls.min_version, TlsVersion::Tls12);
    assert_eq!(config.max_header_size, Size::from_kib(32));
    let all = "files = { certificate = 'a.pem', key = 'b.pem' }
               certificates = [{ certificate = 'c.pem', key = 'd.pem' }]
               clients = { ca = 'e.pem', crl = 'f.pem' }
               min_version = '1.3'";
    let tls: Tls = toml::from_str(all).unwrap();
    assert_eq!(tls.min_version, TlsVersion::Tls13);
    assert!(tls.clients.unwrap().required);
    let text = "from = ['10.0.0.0/8', '::1']";
    let proxy: ProxyProtocol = toml::from_str(text).unwrap();
    assert_eq!(proxy.timeout, Duration::from_secs(5));
    for wrong in [
        "lisen = '127.0.0.1:1'",
        "max_connections = 0",
        "tls = { files = { certificate = 'a.pem', key = 'b.pem', chain = 'c.pem' } }",
        "tls = { files = { certificate = 'a.pem' } }",
        "tls = { clients = { ca = 'a.pem' } }",
        "tls = { files = { certificate = 'a.pem', key = 'b.pem' }, clients = { required = true } }",
        "tls = { files = { certificate = 'a.pem', key = 'b.pem' }, min_version = '1.1' }",
        "proxy_protocol = {}",
        "proxy_protocol = { from = ['10.0.0.1/8'] }",
    ] {
        toml::from_str::<Config>(wrong).unwrap_err();
    }
}

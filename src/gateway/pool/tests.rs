//! A pool before an upstream that does, byte by byte, what a test says.
//!
//! Both are in one task: nothing happens that the test does not wait for, and no test waits for time to pass.

mod http1;
mod http2;
mod places;
mod silence;

use crate::outbound::Way;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const LONG: Duration = Duration::from_mins(1);

/// An upstream; its connections are the test's.
struct Peer {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    pool: Pool,
}

/// The upstream's end of a connection.
struct Wire(Box<dyn Stream>);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Peer {
    async fn plain() -> Self {
        Self::start(None, limits()).await
    }

    /// With TLS, and one protocol in it.
    async fn encrypted(protocol: &str) -> Self {
        Self::start(Some(protocol), limits()).await
    }

    async fn start(protocol: Option<&str>, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = protocol.map(|protocol| {
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
            let mut config = rustls::ServerConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .unwrap();
            config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
            TlsAcceptor::from(Arc::new(config))
        });
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        let tcp: Tcp = tower::util::MapResponse::new(tcp, Socket::new);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Way::Straight(tcp));
        let scheme = if tls.is_some() {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        let authority = address.to_string().parse().unwrap();
        let pool = Pool::new(connector, &scheme, &authority, limits).unwrap();
        Self {
            listener,
            tls,
            pool,
        }
    }

    async fn accept_tcp(&self) -> TcpStream {
        within(self.listener.accept()).await.unwrap().0
    }

    async fn accept(&self) -> Wire {
        let stream = self.accept_tcp().await;
        self.wire(stream).await
    }

    async fn wire(&self, stream: TcpStream) -> Wire {
        match &self.tls {
            Some(tls) => Wire(Box::new(within(tls.accept(stream)).await.unwrap())),
            None => Wire(Box::new(stream)),
        }
    }

    /// Whether nobody wants a connection.
    async fn is_left_alone(&self) -> bool {
        tokio::select! {
            biased;
            _more = self.listener.accept() => false,
            () = std::future::ready(()) => true,
        }
    }

    /// Sends a request and reads the answer, while the upstream does something.
    async fn exchange<T>(
        &self,
        upstream: impl Future<Output = T>,
    ) -> (T, Result<Bytes, SendError>) {
        tokio::join!(Box::pin(upstream), exchange(&self.pool))
    }
}

impl Wire {
    /// The head of a request of HTTP/1, whose body is the test's.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(self.0.read_u8()).await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        within(self.0.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    async fn write(&mut self, bytes: &[u8]) {
        within(self.0.write_all(bytes)).await.unwrap();
        within(self.0.flush()).await.unwrap();
    }

    /// Reads until the gate has closed the connection, and gives what came before.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // An abrupt end is one, too.
        drop(within(self.0.read_to_end(&mut rest)).await);
        rest
    }
}

/// Fails instead of hanging.
async fn within<T>(future: impl Future<Output = T>) -> T {
    let ended = timeout(LONG, future).await;
    ended.expect("nothing happened for a minute")
}

/// Waits for what nobody announces.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = timeout(LONG, async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    });
    assert!(waiting.await.is_ok(), "not within a minute: {what}");
}

/// Limits that no test reaches by itself.
fn limits() -> Limits {
    Limits {
        times: Times {
            connect: LONG,
            response: LONG,
            body: LONG,
            idle: LONG,
        },
        heads: Heads {
            size: 8192,
            fields: 120,
        },
        connections: 100,
        metrics: Metrics::new("1.2.3"),
    }
}

/// How often a limit was reached.
fn count(metrics: &Metrics, limit: Limit) -> usize {
    value(
        metrics,
        &format!("limit_reached_total{{limit=\"{}\"}}", limit.as_str()),
    )
}

/// Connections that are open.
fn open(metrics: &Metrics) -> usize {
    value(metrics, "upstream_connections")
}

fn value(metrics: &Metrics, name: &str) -> usize {
    let text = metrics.encode();
    let sample = format!("dtgate_{name} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&sample));
    value.unwrap().parse().unwrap()
}

async fn send(pool: &Pool, request: Request<Body>) -> Result<Response<Body>, SendError> {
    let (parts, body) = request.into_parts();
    let (pace, body) = Pace::of(body);
    pool.send(Box::new(parts), body, &pace).await
}

fn request() -> Request<Body> {
    let request = Request::put("/api/x?y");
    request.body(empty()).unwrap()
}

async fn exchange(pool: &Pool) -> Result<Bytes, SendError> {
    let response = within(send(pool, request())).await?;
    Ok(read(response).await)
}

async fn read(response: Response<Body>) -> Bytes {
    let body = within(response.into_body().collect()).await;
    body.unwrap().to_bytes()
}

#[tokio::test]
async fn nobody_there_is_another_error_than_no_answer() {
    let Peer { listener, pool, .. } = Peer::plain().await;
    drop(listener);
    let error = exchange(&pool).await.unwrap_err();
    assert!(matches!(error, SendError::Connect(_)), "{error:?}");
}

/// Time passes only where nothing else happens, and nothing else does: the upstream says no word of TLS.
#[tokio::test]
async fn a_handshake_that_does_not_end_is_no_connection() {
    let peer = Peer::encrypted("h2").await;
    let (_silent, ()) = tokio::join!(peer.accept_tcp(), async {
        tokio::time::pause();
        let error = send(&peer.pool, request()).await.unwrap_err();
        assert!(matches!(error, SendError::Connect(_)), "{error:?}");
    });
}

#[tokio::test]
async fn what_nobody_uses_is_closed_and_the_search_for_it_ends() {
    for protocol in [None, Some("http/1.1"), Some("h2")] {
        let mut limits = limits();
        limits.times.idle = Duration::from_millis(1);
        let peer = Peer::start(protocol, limits).await;
        let serve = async {
            let mut wire = peer.accept().await;
            if protocol == Some("h2") {
                let stream = wire.http2_request().await;
                wire.http2_answer(stream, b"ok").await;
            } else {
                wire.head().await;
                wire.write(OK).await;
            }
            wire
        };
        let (mut wire, answer) = peer.exchange(serve).await;
        assert_eq!(answer.unwrap(), "ok");
        wire.rest().await;
        until("nothing is left", || !peer.pool.0.kept().swept).await;
        let kept = peer.pool.0.kept();
        assert!(kept.http1.is_empty() && kept.http2.is_empty());
    }
}

#[tokio::test]
async fn the_host_is_written_without_the_port_of_its_scheme() {
    let peer = Peer::plain().await;
    for (scheme, authority, host) in [
        ("https", "a.example:443", "a.example"),
        ("https", "a.example", "a.example"),
        ("https", "a.example:80", "a.example:80"),
        ("http", "a.example:80", "a.example"),
        ("http", "[::1]:9100", "[::1]:9100"),
    ] {
        let connector = peer.pool.0.connector.clone();
        let (scheme, authority) = (scheme.parse().unwrap(), authority.parse().unwrap());
        let pool = Pool::new(connector, &scheme, &authority, limits()).unwrap();
        assert_eq!(pool.0.host, host);
    }
}

//! Sockets: accept, TLS, HTTP/1.1 and HTTP/2, deadlines, drain. Knows no token.
//!
//! A broken connection ends itself and nothing else. After the shutdown signal no connection is
//! accepted, each open one may finish what it is doing, and after the drain time-out the rest is cut.

pub mod tls;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::{Service, ServiceExt};

use crate::value;

/// The one body type: boxed once, here, so that every signature behind it is short.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body broke off.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct BodyError(#[from] pub(crate) hyper::Error);

/// Who is at the other end of a connection; in the extensions of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub tls: bool,
}

/// How connections are accepted and for how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub address: SocketAddr,
    /// Absent: plain HTTP, on loopback only.
    pub tls: Option<tls::Config>,
    /// Lets plain HTTP listen beyond loopback. Tokens then cross the network readable.
    pub allow_plaintext: bool,
    pub handshake_timeout: value::Duration,
    /// For the head of a request, and so for an idle HTTP/1.1 connection.
    pub header_timeout: value::Duration,
    pub max_connections: usize,
    pub drain_timeout: value::Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            tls: None,
            allow_plaintext: false,
            handshake_timeout: Duration::from_secs(10).into(),
            header_timeout: Duration::from_secs(60).into(),
            max_connections: 10_000,
            drain_timeout: Duration::from_secs(30).into(),
        }
    }
}

/// Why no socket listens.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("cannot listen on {address}")]
    Address {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{0} is not a loopback address, and plain HTTP would show every token on the way: \
         configure TLS, or say --allow-plaintext"
    )]
    Plaintext(SocketAddr),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error("give both a certificate and a key, not only {}", .0.display())]
    Half(PathBuf),
}

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    terms: Terms,
}

/// What every connection needs. Not the socket: that must close when the drain begins, not when the
/// last connection ends.
struct Terms {
    tls: Option<TlsAcceptor>,
    config: Config,
}

impl Config {
    /// What can be known to be wrong without binding.
    pub fn check(&self) -> Result<(), BindError> {
        match &self.tls {
            Some(tls) => tls::acceptor(tls).map(drop).map_err(BindError::from),
            None if self.allow_plaintext || self.address.ip().to_canonical().is_loopback() => {
                Ok(())
            }
            None => Err(BindError::Plaintext(self.address)),
        }
    }
}

impl Listener {
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        config.check()?;
        let failed = |source| BindError::Address {
            address: config.address,
            source,
        };
        let socket = TcpListener::bind(config.address).await.map_err(failed)?;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        Ok(Self {
            socket,
            terms: Terms { tls, config },
        })
    }

    /// Where it listens, with the port that the system chose for port 0.
    pub fn address(&self) -> SocketAddr {
        self.socket
            .local_addr()
            .unwrap_or(self.terms.config.address)
    }

    /// Serves until `shutdown` turns true, then drains.
    pub async fn serve<S>(self, service: S, mut shutdown: watch::Receiver<bool>)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(self.terms.config.max_connections));
        let (open, closed) = drain_pair();
        let (socket, terms) = (self.socket, Arc::new(self.terms));
        loop {
            let accepted = tokio::select! {
                () = stopped(&mut shutdown) => break,
                accepted = accept(&socket, &slots) => accepted,
            };
            let Some((stream, address, slot)) = accepted else {
                continue;
            };
            let (terms, service, shutdown, open) = (
                terms.clone(),
                service.clone(),
                shutdown.clone(),
                open.clone(),
            );
            tokio::spawn(async move {
                terms.connection(stream, address, service, shutdown).await;
                drop((slot, open));
            });
        }
        // Whoever comes now is refused at once, and can go to another gate.
        drop(socket);
        drop(open);
        let drain_timeout = terms.config.drain_timeout.into();
        if tokio::time::timeout(drain_timeout, closed.finished())
            .await
            .is_err()
        {
            tracing::warn!("connections still open after the drain time-out are cut");
        }
    }
}

impl Terms {
    async fn connection<S>(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        service: S,
        shutdown: watch::Receiver<bool>,
    ) where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
    {
        let peer = Peer {
            address,
            tls: self.tls.is_some(),
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        match &self.tls {
            None => self.http(stream, peer, service, shutdown).await,
            Some(acceptor) => {
                match tokio::time::timeout(
                    self.config.handshake_timeout.into(),
                    acceptor.accept(stream),
                )
                .await
                {
                    Ok(Ok(stream)) => self.http(stream, peer, service, shutdown).await,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, peer.address = %address, "TLS handshake")
                    }
                    Err(_elapsed) => {
                        tracing::debug!(peer.address = %address, "TLS handshake timed out")
                    }
                }
            }
        }
    }

    async fn http<S, I>(
        &self,
        stream: I,
        peer: Peer,
        service: S,
        mut shutdown: watch::Receiver<bool>,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
    {
        let service = service.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.map(|body| Body::new(body.map_err(BodyError)))
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from(self.config.header_timeout));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(256)
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .max_header_list_size(64 * 1024);
        let connection =
            builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut shutdown) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, peer.address = %peer.address, "connection");
        }
    }
}

async fn accept(
    socket: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match socket.accept().await {
        Ok((stream, address)) => Some((stream, address, slot)),
        Err(error) => {
            // Out of file descriptors, mostly: some connection must end before another can begin.
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// Returns when the signal was given, or can no longer be given.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Counts work that must be finished before the program ends: clones of the [`Work`] token are alive.
pub fn drain_pair() -> (Work, Drain) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    (Work(sender), Drain(receiver))
}

/// While a clone of it lives, [`Drain::finished`] waits.
#[derive(Clone, Debug)]
pub struct Work(
    #[expect(dead_code, reason = "it is there to be dropped")]
    tokio::sync::mpsc::Sender<Infallible>,
);

/// Waits for all [`Work`].
#[derive(Debug)]
pub struct Drain(tokio::sync::mpsc::Receiver<Infallible>);

impl Drain {
    pub async fn finished(mut self) {
        while self.0.recv().await.is_some() {}
    }
}

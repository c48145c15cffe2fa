//! Sockets, TLS and HTTP: from a listening address to requests with one body type.
//!
//! Guarantees: plain HTTP never leaves the machine by accident; every wait on a client has a limit;
//! neither a client, nor many, nor a lack of sockets ends the server; a drain lets running requests finish, and
//! the work they left behind. Knows no token and nothing of what the service does.

mod answer;
mod asked;
mod body;
mod certificate;
mod config;
mod connection;
pub mod descriptors;
mod frames;
mod linger;
mod pace;
mod places;
mod progress;
mod proxy;
mod socket;
mod stream;
mod tls;
mod tracker;
mod worker;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use http::{Extensions, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::{info, warn};

use crate::telemetry::Metrics;
use connection::Protocol;
use places::{Places, Taken};
use proxy::Proxy;
use socket::{Spares, accept, listen};
use tls::Refusal;

pub use body::{Body, BodyError, boxed, empty, full};
pub use certificate::Certificate;
pub use config::{
    BindError, Clients, Config, Files, Http2, Keepalive, ProxyProtocol, Tls, TlsVersion,
};
pub use tls::{Change, LoadError, LoadErrorKind, Now, Served, Standing, TlsSwap};
pub use tracker::Tracker;
pub use worker::{Heart, Pulse, Seat, Workers};

/// What answers requests, whatever happens.
pub trait Serve:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
}

impl<S> Serve for S where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static
{
}

/// Who sent a request; found in its extensions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    pub address: SocketAddr,
    pub tls: bool,
    /// What the client has proved to hold.
    pub certificate: Option<Arc<Certificate>>,
    /// The other end of the socket: the client, or what stands before it.
    pub connection: SocketAddr,
}

/// A bound socket that does not serve yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    protocol: Arc<Protocol>,
    proxy: Option<Arc<Proxy>>,
    places: Arc<Places>,
    spares: usize,
    metrics: Metrics,
    open: Tracker,
    drain_timeout: std::time::Duration,
    tls: TlsSwap,
}

/// Counts the open connections of a listener, also while it serves.
#[derive(Clone, Debug)]
pub struct Connections(Tracker);

/// How serving ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Drained {
    /// Everything that had begun was finished.
    Clean,
    /// The time was up: so many connections were cut, so many tasks left behind.
    Cut { connections: usize, tasks: usize },
}

impl Listener {
    /// Binds the address and loads the certificate, so that what is wrong shows before anything serves.
    ///
    /// Has to be called within a tokio runtime.
    pub fn bind(config: &Config, metrics: Metrics, now: Now) -> Result<Self, BindError> {
        let tls = config.load(now)?;
        tls::warn(&tls.warnings());
        Self::bind_with(config, tls, metrics)
    }

    /// The same with the TLS of another listener, whatever `config` says of it.
    pub fn bind_with(config: &Config, tls: TlsSwap, metrics: Metrics) -> Result<Self, BindError> {
        let bound = listen(config.listen, &config.keepalive);
        let (socket, address) = bound.map_err(|error| BindError::Address {
            address: config.listen,
            error,
        })?;
        metrics.certificates_may_be_refused(Refusal::RevocationListExpired.as_str());
        Ok(Self {
            socket,
            address,
            protocol: Arc::new(Protocol::new(config, tls.clone(), metrics.clone())),
            proxy: config
                .proxy_protocol
                .clone()
                .map(|proxy| Arc::new(Proxy::new(proxy, metrics.clone()))),
            places: places(config, &metrics),
            spares: 0,
            metrics,
            open: Tracker::default(),
            drain_timeout: config.drain_timeout.as_std(),
            tls,
        })
    }

    /// The same listener, with as many descriptors put aside for when there are no others.
    #[must_use]
    pub fn with_spares(mut self, spares: usize) -> Self {
        self.spares = spares;
        self
    }

    /// What exchanges its certificates while it runs.
    pub fn tls(&self) -> TlsSwap {
        self.tls.clone()
    }

    /// The address with the port that was really taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub fn connections(&self) -> Connections {
        Connections(self.open.clone())
    }

    /// Serves until `shutdown`, then lets what has begun finish: connections first, then the tasks that
    /// their requests left in `tracker`. Both share the one drain time, whichever thread they are on.
    ///
    /// One socket for all seats, and not one each by `SO_REUSEPORT`: there every connection goes where its
    /// address is hashed to, however busy that thread is; what waits at a closed socket is lost; and a second
    /// gate could take the same port unnoticed. Here the cost is a few microseconds a connection.
    pub async fn serve<S: Serve>(
        self,
        seats: Vec<Seat<S>>,
        tracker: Tracker,
        shutdown: CancellationToken,
    ) -> Drained {
        info!(listen.address = %self.address, listen.tls = self.tls.is_on(), workers = seats.len(), "listening");
        let cut = CancellationToken::new();
        shutdown
            .run_until_cancelled(self.accept_all(seats, &shutdown, &cut))
            .await;

        // From here on new connections are refused rather than left waiting.
        let Self {
            socket,
            address,
            open,
            ..
        } = self;
        drop(socket);
        info!(listen.address = %address, connections = open.count(), "draining");
        let finished = async {
            open.wait().await;
            tracker.wait().await;
        };
        if timeout(self.drain_timeout, finished).await.is_ok() {
            return Drained::Clean;
        }
        let (connections, tasks) = (open.count(), tracker.count());
        cut.cancel();
        open.wait().await;
        warn!(listen.address = %address, connections, tasks, "drain time is up");
        Drained::Cut { connections, tasks }
    }

    /// Gives every connection a task of its own on the least busy seat, for as long as it is polled.
    async fn accept_all<S: Serve>(
        &self,
        seats: Vec<Seat<S>>,
        shutdown: &CancellationToken,
        cut: &CancellationToken,
    ) {
        // Each connection looks at these whenever it moves: of their own, so that threads do not meet there.
        let stops: Vec<_> = seats
            .iter()
            .map(|_| (shutdown.child_token(), cut.child_token()))
            .collect();
        let mut spares = Spares::new(self.spares);
        loop {
            let accepting = accept(&self.socket, &mut spares, &self.places, &self.metrics);
            let (stream, address) = accepting.await;
            // One waits here when there is no room, and the others in the system's queue.
            let Some(taken) = self.places.take(address.ip()).await else {
                continue;
            };
            let places = seats.iter().zip(&stops);
            let Some((seat, (shutdown, cut))) = places.min_by_key(|(seat, _)| seat.connections())
            else {
                return;
            };
            let peer = Peer {
                address,
                tls: self.tls.is_on(),
                certificate: None,
                connection: address,
            };
            let (protocol, service) = (Arc::clone(&self.protocol), seat.service.clone());
            let (shutdown, cut, seated) = (shutdown.clone(), cut.clone(), seat.taken());
            let proxy = self.proxy.clone();
            let proxy = proxy.filter(|proxy| proxy.believes(address.ip()));
            let places = Arc::clone(&self.places);
            let serving = async move {
                match TcpStream::from_std(stream) {
                    Ok(stream) => {
                        let arriving =
                            arrive(stream, peer, taken, proxy.as_deref(), &places, &shutdown);
                        if let Some((stream, peer, taken)) = arriving.await {
                            let serving = protocol.serve(stream, &taken, peer, service, &shutdown);
                            serve_until(serving, &taken, &cut).await;
                        }
                    }
                    Err(error) => warn!(%error, "cannot serve a connection"),
                }
                drop(seated);
            };
            self.open.spawn_on(serving, &seat.runtime);
        }
    }
}

impl Peer {
    /// As the connection knows it.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned()
    }
}

impl Connections {
    /// Open connections, those in their handshake included.
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// Returns when the last has ended.
    pub async fn wait(&self) {
        self.0.wait().await;
    }
}

fn places(config: &Config, metrics: &Metrics) -> Arc<Places> {
    let size = |number: NonZeroU32| usize::try_from(number.get()).unwrap_or(usize::MAX);
    let (most, per_address) = (config.max_connections, config.per_address());
    Places::new(size(most), size(per_address), metrics.clone())
}

/// Finds out whose a connection is, where a load balancer has to say it, and takes its place; `None`: it is over.
///
/// Until then it counts as the load balancer's, from then on as its client's.
async fn arrive(
    mut stream: TcpStream,
    mut peer: Peer,
    taken: Taken,
    proxy: Option<&Proxy>,
    places: &Arc<Places>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, Peer, Taken)> {
    let Some(proxy) = proxy else {
        return Some((stream, peer, taken));
    };
    let client = tokio::select! {
        biased;
        () = shutdown.cancelled() => return None,
        () = taken.told_to_leave() => return None,
        client = proxy.client(&mut stream, peer.connection) => client?,
    };
    peer.address = client;
    let taken = places.hand_over(taken, client.ip())?;
    Some((stream, peer, taken))
}

/// Serves a connection until it ends, or has to.
async fn serve_until(serving: impl Future<Output = ()>, taken: &Taken, cut: &CancellationToken) {
    tokio::select! {
        biased;
        () = cut.cancelled() => {}
        () = taken.told_to_leave() => {}
        () = serving => {}
    }
}

#[cfg(test)]
mod tests;

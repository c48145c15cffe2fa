//! Sockets, TLS and HTTP: from a listening address to requests with one body type.
//!
//! Guarantees: plain HTTP never leaves the machine by accident; every wait on a client has a limit;
//! neither a client nor a lack of sockets ends the server; a drain lets running requests finish, and the
//! work they left behind. Knows no token and nothing of what the service does.

mod body;
mod connection;
mod pace;
mod tls;
mod tracker;
mod worker;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::sync::Arc;

use http::{Request, Response};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::{info, warn};

use crate::value::{Duration, Size};
use connection::Protocol;

pub use body::{Body, BodyError, boxed, empty, full};
pub use tls::{LoadError, LoadErrorKind};
pub use tracker::Tracker;
pub use worker::{Seat, Workers};

/// Where to listen, and how patiently.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Port 0 asks the system for a free one.
    pub listen: SocketAddr,
    pub tls: Tls,
    /// Plain HTTP on an address that others can reach: tokens cross the network readable.
    pub allow_plaintext: bool,
    /// From the first byte of a request head to its last.
    pub header_timeout: Duration,
    /// From the first byte of a TLS handshake to its last.
    pub handshake_timeout: Duration,
    /// How long a connection without a request is kept, and one whose client takes no byte of its answer.
    pub idle_timeout: Duration,
    /// How long requests may still run when the program is told to stop.
    pub drain_timeout: Duration,
    /// More connections wait in the system's queue until one ends.
    pub max_connections: NonZeroU32,
    /// All of a request's head: method, path and header lines.
    pub max_header_size: Size,
    /// Threads that serve connections.
    pub workers: NonZeroU16,
}

/// Whether the listener speaks TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Tls {
    Files { certificate: PathBuf, key: PathBuf },
    Off,
}

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
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    pub address: SocketAddr,
    pub tls: bool,
}

/// A bound socket that does not serve yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    protocol: Arc<Protocol>,
    slots: Arc<Semaphore>,
    open: Tracker,
    drain_timeout: std::time::Duration,
    tls: bool,
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

/// Why a listener could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {address}")]
    Address {
        address: SocketAddr,
        #[source]
        error: io::Error,
    },
    #[error(
        "max_header_size = \"{size}\" is out of range: write a size from \"{SMALLEST_HEAD}\" to \"{LARGEST_HEAD}\""
    )]
    HeaderSize { size: Size },
    #[error(
        "plain HTTP on {address} would show every token to the network: configure `tls`, listen on a \
         loopback address such as 127.0.0.1, or accept it with `allow_plaintext = true` (--allow-plaintext)"
    )]
    Plaintext { address: SocketAddr },
    #[error(transparent)]
    Tls(#[from] LoadError),
}

impl Config {
    /// Finds what can be known to be wrong without binding.
    pub fn check(&self) -> Result<(), BindError> {
        self.acceptor().map(drop)
    }

    /// What accepts TLS; `None`: plain HTTP, and that is fine.
    fn acceptor(&self) -> Result<Option<TlsAcceptor>, BindError> {
        if !(SMALLEST_HEAD..=LARGEST_HEAD).contains(&self.max_header_size) {
            return Err(BindError::HeaderSize {
                size: self.max_header_size,
            });
        }
        match &self.tls {
            Tls::Files { certificate, key } => Ok(Some(tls::acceptor(certificate, key)?)),
            // `::ffff:127.0.0.1` is loopback too.
            Tls::Off if self.listen.ip().to_canonical().is_loopback() || self.allow_plaintext => {
                Ok(None)
            }
            Tls::Off => Err(BindError::Plaintext {
                address: self.listen,
            }),
        }
    }
}

impl Listener {
    /// Binds the address and loads the certificate, so that what is wrong shows before anything serves.
    ///
    /// Has to be called within a tokio runtime.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let acceptor = config.acceptor()?;
        let tls = acceptor.is_some();
        let slots = usize::try_from(config.max_connections.get())
            .map_or(Semaphore::MAX_PERMITS, |most| {
                most.min(Semaphore::MAX_PERMITS)
            });
        let (socket, address) = listen(config.listen).map_err(|error| BindError::Address {
            address: config.listen,
            error,
        })?;
        Ok(Self {
            socket,
            address,
            protocol: Arc::new(Protocol::new(config, acceptor)),
            slots: Arc::new(Semaphore::new(slots)),
            open: Tracker::default(),
            drain_timeout: config.drain_timeout.as_std(),
            tls,
        })
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
        info!(listen.address = %self.address, listen.tls = self.tls, workers = seats.len(), "listening");
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
        loop {
            // The slot comes first: a connection that is not accepted costs us nothing.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return;
            };
            let (stream, address) = accept(&self.socket).await;
            let places = seats.iter().zip(&stops);
            let Some((seat, (shutdown, cut))) = places.min_by_key(|(seat, _)| seat.connections())
            else {
                return;
            };
            let peer = Peer {
                address,
                tls: self.tls,
            };
            let (protocol, service) = (Arc::clone(&self.protocol), seat.service.clone());
            let (shutdown, cut, taken) = (shutdown.clone(), cut.clone(), seat.taken());
            let serving = async move {
                match TcpStream::from_std(stream) {
                    Ok(stream) => {
                        let serving = protocol.serve(stream, peer, service, &shutdown);
                        cut.run_until_cancelled(serving).await;
                    }
                    Err(error) => warn!(%error, "cannot serve a connection"),
                }
                drop((slot, taken));
            };
            self.open.spawn_on(serving, &seat.runtime);
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: Tls::Off,
            allow_plaintext: false,
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            // Longer than the pools of common clients (Go keeps 90 s): the client closes first, and no
            // request meets a connection that is just being closed.
            idle_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(25),
            max_connections: NonZeroU32::new(4096).unwrap_or(NonZeroU32::MIN),
            max_header_size: Size::from_kib(64),
            workers: cores(),
        }
    }
}

impl Peer {
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get().copied()
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

/// How many threads can run at once: what the machine, or the container, gives to this process.
fn cores() -> NonZeroU16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores)
        .ok()
        .and_then(NonZeroU16::new)
        .unwrap_or(NonZeroU16::MIN)
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // A restart must not wait for the last connections of the previous process to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let socket = socket.listen(BACKLOG)?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// The next connection; no error ends the wait for it.
///
/// It belongs to no runtime yet: it will to that of its worker.
async fn accept(socket: &TcpListener) -> (std::net::TcpStream, SocketAddr) {
    loop {
        let accepted = socket.accept().await;
        match accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
            Ok(accepted) => return accepted,
            Err(error) if is_of_the_client(&error) => {}
            // Out of file descriptors or memory, most likely. Trying again at once would only burn a
            // processor; the connection stays in the queue meanwhile.
            Err(error) => {
                warn!(%error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The client went away before we got to it.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
const BACKLOG: u32 = 1024;
/// hyper's smallest read buffer.
const SMALLEST_HEAD: Size = Size::from_kib(8);
const LARGEST_HEAD: Size = Size::from_mib(1);

#[cfg(test)]
mod tests;

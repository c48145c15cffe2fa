//! What the listener can be told, and what can be known to be wrong with it without binding.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::tls::{LoadError, Now, TlsSwap};
use crate::value::{Duration, Network, Size, plain_words};

/// Where to listen, and how patiently.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Port 0 asks the system for a free one.
    #[serde(deserialize_with = "crate::value::deserialize_listening")]
    pub listen: SocketAddr,
    /// `None`: plain HTTP.
    pub tls: Option<Tls>,
    /// `None`: a client is at the other end of its socket.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Plain HTTP on an address that others can reach: tokens cross the network readable.
    pub allow_plaintext: bool,
    /// From the first byte of a request head to its last.
    pub header_timeout: Duration,
    /// From the first byte of a TLS handshake to its last.
    pub handshake_timeout: Duration,
    /// How long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// How long a client may send nothing of a body that is waited for, or take nothing of its answer.
    pub stall_timeout: Duration,
    /// Bytes a second that it has to send or take on average meanwhile, over each stretch of `stall_timeout`.
    pub min_rate: Size,
    /// How long a client that has closed its side is waited for, when nothing can be sent to it.
    pub half_close_timeout: Duration,
    /// How long requests may still run when the program is told to stop.
    pub drain_timeout: Duration,
    /// When as many are open, the one that is idle for longest makes room for the next.
    pub max_connections: NonZeroU32,
    /// The same for those of one address; when none is idle, one more is closed at once.
    pub max_connections_per_address: Option<NonZeroU32>,
    /// All of a request's head: method, path and header lines.
    pub max_header_size: Size,
    pub keepalive: Keepalive,
    pub http2: Http2,
    /// Threads that serve connections.
    pub workers: NonZeroU16,
}

/// Who says at the beginning of a connection whose it is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocol {
    /// The networks of the load balancers: they have to say it, and nobody else is believed.
    #[serde(deserialize_with = "crate::value::deserialize_believed")]
    pub from: Vec<Network>,
    /// For the header.
    #[serde(default = "soon")]
    pub timeout: Duration,
}

/// How TCP finds out that a client is gone without a word.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keepalive {
    /// A connection on which nothing moved for so long is probed.
    pub idle: Duration,
    /// Between two probes.
    pub interval: Duration,
    /// Probes without an answer.
    pub count: NonZeroU16,
}

/// What one connection of HTTP/2 may do.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http2 {
    /// Requests at once; what exceeds it waits at the client.
    pub max_streams: NonZeroU32,
    /// Requests that the client gives up, in half a minute.
    pub max_resets: NonZeroU32,
    /// Frames that carry nothing, in half a minute, besides one for each KiB that moves.
    pub max_control_frames: NonZeroU32,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// What a client is shown that asks for no name, or for one that no certificate has.
    pub files: Files,
    /// Further ones, each for the DNS names that stand in it.
    #[serde(default)]
    pub certificates: Vec<Files>,
    /// `None`: clients are not asked for certificates.
    #[serde(default)]
    pub clients: Option<Clients>,
    #[serde(default)]
    pub min_version: TlsVersion,
}

/// A certificate and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Which certificates of clients are good.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// Whoever may issue them: PEM, one or several.
    pub ca: PathBuf,
    /// Revocation lists: PEM, one of each issuer. `None`: nobody is revoked.
    #[serde(default)]
    pub crl: Option<PathBuf>,
    /// Without one nobody is let in.
    #[serde(default = "required")]
    pub required: bool,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum TlsVersion {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// Why a listener could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {address}: {}", why(error))]
    Address {
        address: SocketAddr,
        error: io::Error,
    },
    #[error(
        "max_header_size = \"{size}\" is out of range: write a size from \"{SMALLEST_HEAD}\" to \"{LARGEST_HEAD}\""
    )]
    HeaderSize { size: Size },
    #[error(
        "keepalive is out of range: write `idle` and `interval` from \"1s\" to \"9h\", and `count` from 1 to 127"
    )]
    Keepalive,
    #[error("workers = {0} is out of range: write a number from 1 to {MOST_WORKERS}")]
    Workers(NonZeroU16),
    #[error(
        "plain HTTP on {address} would show every token to the network: configure `tls`, listen on a \
         loopback address such as 127.0.0.1, or accept it with `allow_plaintext = true` (--allow-plaintext)"
    )]
    Plaintext { address: SocketAddr },
    #[error(transparent)]
    Tls(#[from] LoadError),
}

/// Why a port cannot be had, and what to do.
fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "another program listens there already: stop it, or take another port".to_owned()
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address: take one of its own, or 0.0.0.0 for all".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE: give it, or take a higher port".to_owned()
        }
        _ => plain_words(&error.to_string()),
    }
}

impl Config {
    /// Finds what can be known to be wrong without binding; gives what is not well, and does not stop it.
    pub fn check(&self, now: Now) -> Result<Vec<String>, BindError> {
        self.load(now).map(|tls| tls.warnings())
    }

    /// Half of all, unless it is said: more than one load balancer needs, and never all of them.
    pub(super) fn per_address(&self) -> NonZeroU32 {
        self.max_connections_per_address
            .or_else(|| NonZeroU32::new(self.max_connections.get() / 2))
            .unwrap_or(NonZeroU32::MIN)
    }

    /// The TLS, or that there is none, and that is fine.
    pub(super) fn load(&self, now: Now) -> Result<TlsSwap, BindError> {
        if !(SMALLEST_HEAD..=LARGEST_HEAD).contains(&self.max_header_size) {
            return Err(BindError::HeaderSize {
                size: self.max_header_size,
            });
        }
        if !self.keepalive.is_possible() {
            return Err(BindError::Keepalive);
        }
        if self.workers.get() > MOST_WORKERS {
            return Err(BindError::Workers(self.workers));
        }
        // `::ffff:127.0.0.1` is loopback too.
        let is_local = self.listen.ip().to_canonical().is_loopback();
        if self.tls.is_none() && !is_local && !self.allow_plaintext {
            return Err(BindError::Plaintext {
                address: self.listen,
            });
        }
        Ok(TlsSwap::load(self.tls.as_ref(), now)?)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: None,
            proxy_protocol: None,
            allow_plaintext: false,
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            // Longer than the pools of common clients (Go keeps 90 s): the client closes first, and no
            // request meets a connection that is just being closed.
            idle_timeout: Duration::from_secs(120),
            stall_timeout: Duration::from_secs(30),
            min_rate: Size::from_kib(1),
            half_close_timeout: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(25),
            max_connections: NonZeroU32::new(4096).unwrap_or(NonZeroU32::MIN),
            max_connections_per_address: None,
            max_header_size: Size::from_kib(64),
            keepalive: Keepalive::default(),
            http2: Http2::default(),
            workers: cores(),
        }
    }
}

impl Tls {
    /// Everything that is read for it.
    pub fn paths(&self) -> Vec<&Path> {
        let files = std::iter::once(&self.files).chain(&self.certificates);
        let mut paths: Vec<&Path> = files
            .flat_map(|files| [files.certificate.as_path(), &files.key])
            .collect();
        if let Some(clients) = &self.clients {
            paths.push(&clients.ca);
            paths.extend(clients.crl.as_deref());
        }
        paths
    }
}

impl From<Files> for Tls {
    /// One certificate, and nobody is asked for another.
    fn from(files: Files) -> Self {
        Self {
            files,
            certificates: Vec::new(),
            clients: None,
            min_version: TlsVersion::default(),
        }
    }
}

impl Keepalive {
    /// What the system can keep: whole seconds, and of those not too many.
    fn is_possible(&self) -> bool {
        let possible = |time: Duration| (1..=9 * 3600).contains(&time.as_std().as_secs());
        possible(self.idle) && possible(self.interval) && self.count.get() <= 127
    }

    /// How long a client that is gone is not noticed, at most.
    pub(super) fn unnoticed(&self) -> std::time::Duration {
        self.idle.as_std() + self.interval.as_std() * u32::from(self.count.get())
    }
}

impl Default for Http2 {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            max_streams: number(128),
            max_resets: number(1000),
            max_control_frames: number(1000),
        }
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            interval: Duration::from_secs(15),
            count: NonZeroU16::new(4).unwrap_or(NonZeroU16::MIN),
        }
    }
}

/// Each is a thread with descriptors of its own.
const MOST_WORKERS: u16 = 1024;

/// How many threads can run at once: what the machine, or the container, gives to this process.
fn cores() -> NonZeroU16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores)
        .ok()
        .and_then(NonZeroU16::new)
        .unwrap_or(NonZeroU16::MIN)
}

/// Whoever asks for certificates means it.
fn required() -> bool {
    true
}

/// Load balancers send it with the first packet.
fn soon() -> Duration {
    Duration::from_secs(5)
}

/// hyper's smallest read buffer.
const SMALLEST_HEAD: Size = Size::from_kib(8);
const LARGEST_HEAD: Size = Size::from_mib(1);

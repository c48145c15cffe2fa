//! The PROXY protocol, versions 1 and 2: a load balancer says at the beginning of a connection whose it is.
//!
//! Whoever may say it has to; nobody else is believed. The header is read to its last byte and not a byte further,
//! and is either understood completely or the connection ends. Knows neither TLS nor HTTP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::config::ProxyProtocol;
use crate::telemetry::{Limit, Metrics};
use crate::value::clients_address;

/// Whom to believe, and for how long to wait.
pub(super) struct Proxy {
    config: ProxyProtocol,
    metrics: Metrics,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Said {
    /// Of a client at this address.
    Client(SocketAddr),
    /// Of whoever says so: a health check, or a client that it does not know.
    Own,
}

/// Why nothing was said.
#[derive(Debug, thiserror::Error)]
enum Unsaid {
    #[error("there is no header of the PROXY protocol")]
    Missing,
    #[error("the header of the PROXY protocol is malformed")]
    Malformed,
    #[error("the header of the PROXY protocol is longer than {LONGEST} bytes")]
    TooLong,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Proxy {
    pub(super) fn new(config: ProxyProtocol, metrics: Metrics) -> Self {
        Self { config, metrics }
    }

    /// Whether connections from there begin with a header.
    pub(super) fn believes(&self, address: IpAddr) -> bool {
        let mut networks = self.config.from.iter();
        networks.any(|network| network.contains(address))
    }

    /// The address of the client; `None`: the connection has to end.
    pub(super) async fn client(
        &self,
        stream: &mut TcpStream,
        connection: SocketAddr,
    ) -> Option<SocketAddr> {
        let (outcome, client) = match timeout(self.config.timeout.as_std(), read(stream)).await {
            Ok(Ok(Said::Client(address))) => (Some("believed"), Some(address)),
            Ok(Ok(Said::Own)) => (Some("own"), Some(connection)),
            Ok(Err(unsaid)) => {
                debug!(peer.connection = %connection, error = %unsaid, "PROXY protocol");
                let outcome = match unsaid {
                    Unsaid::Missing => Some("missing"),
                    Unsaid::Malformed => Some("malformed"),
                    Unsaid::TooLong => {
                        self.metrics.reached(Limit::ProxyHeader);
                        Some("malformed")
                    }
                    // A health check that only connects.
                    Unsaid::Io(_) => None,
                };
                (outcome, None)
            }
            Err(_elapsed) => {
                self.metrics.reached(Limit::ProxyTimeout);
                debug!(peer.connection = %connection, "the header of the PROXY protocol took too long");
                (None, None)
            }
        };
        if let Some(outcome) = outcome {
            self.metrics.proxy_header(outcome);
        }
        client
    }
}

/// Whether somebody begins as only whoever is believed may.
pub(super) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(V1) || bytes.starts_with(V2)
}

/// The same of a stream of which nothing was read yet, as soon as its first bytes are there.
pub(super) async fn announces(stream: &TcpStream) -> bool {
    let mut first = [0; V2.len()];
    let peeked = stream.peek(&mut first).await;
    peeked.is_ok_and(|read| first.get(..read).is_some_and(begins))
}

async fn read(stream: &mut TcpStream) -> Result<Said, Unsaid> {
    let mut begin = [0; V2.len()];
    stream.read_exact(&mut begin).await?;
    if begin == *V2 {
        let mut fixed = [0; 4];
        stream.read_exact(&mut fixed).await?;
        let [version, family, high, low] = fixed;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > LONGEST {
            return Err(Unsaid::TooLong);
        }
        let mut rest = vec![0; length];
        stream.read_exact(&mut rest).await?;
        return v2(version, family, &rest).ok_or(Unsaid::Malformed);
    }
    if !begin.starts_with(V1) {
        return Err(Unsaid::Missing);
    }
    let mut line = begin.to_vec();
    while !line.ends_with(b"\n") {
        let mut more = [0; LONGEST_LINE];
        // What comes after the line is not ours.
        let left = more.get_mut(line.len()..).unwrap_or_default();
        let ahead = stream.peek(left).await?;
        if ahead == 0 {
            return Err(Unsaid::Malformed);
        }
        let ahead = left.get(..ahead).unwrap_or_default();
        let end = ahead.iter().position(|byte| *byte == b'\n');
        let wanted = end.map_or(ahead.len(), |end| end + 1);
        let taken = stream
            .read(left.get_mut(..wanted).unwrap_or_default())
            .await?;
        line.extend_from_slice(left.get(..taken).unwrap_or_default());
    }
    v1(&line).ok_or(Unsaid::Malformed)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`, with its line end.
fn v1(line: &[u8]) -> Option<Said> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?;
    let said = line.strip_prefix("PROXY ")?;
    if said == "UNKNOWN" || said.starts_with("UNKNOWN ") {
        return Some(Said::Own);
    }
    let parts: Vec<&str> = said.split(' ').collect();
    let [kind, from, to, from_port, to_port] = parts.as_slice() else {
        return None;
    };
    let address = match *kind {
        "TCP4" => pair::<Ipv4Addr>(from, to)?,
        "TCP6" => pair::<Ipv6Addr>(from, to)?,
        _ => return None,
    };
    port(to_port)?;
    client(address, port(from_port)?)
}

/// The first of two addresses of one kind.
fn pair<A: FromStr + Into<IpAddr>>(from: &str, to: &str) -> Option<IpAddr> {
    to.parse::<A>().ok()?;
    from.parse::<A>().ok().map(Into::into)
}

/// As it is written and in no other way: no sign, no zero in front.
fn port(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port.to_string() == text).then_some(port)
}

/// What follows the addresses (TLVs, with the checksum among them) is not looked at: TCP has a checksum of its own, and
/// whoever could forge the addresses could forge that one.
fn v2(version: u8, family: u8, rest: &[u8]) -> Option<Said> {
    match version {
        0x20 => return Some(Said::Own),
        0x21 => {}
        _ => return None,
    }
    match family {
        // Over IPv4 and IPv6, each with a stream.
        0x11 => {
            let (from, rest) = rest.split_first_chunk::<4>()?;
            let (_to, rest) = rest.split_first_chunk::<4>()?;
            let (port, _) = rest.split_first_chunk::<4>()?;
            client(IpAddr::from(*from), u16::from_be_bytes([port[0], port[1]]))
        }
        0x21 => {
            let (from, rest) = rest.split_first_chunk::<16>()?;
            let (_to, rest) = rest.split_first_chunk::<16>()?;
            let (port, _) = rest.split_first_chunk::<4>()?;
            client(IpAddr::from(*from), u16::from_be_bytes([port[0], port[1]]))
        }
        // Nothing is known of the client, or it is on the same machine as the load balancer.
        0x00 | 0x31 => Some(Said::Own),
        _ => None,
    }
}

fn client(address: IpAddr, port: u16) -> Option<Said> {
    let address = clients_address(address)?;
    Some(Said::Client(SocketAddr::new(address, port)))
}

const V1: &[u8] = b"PROXY ";
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// With its line end, as the specification has it.
const LONGEST_LINE: usize = 107;
/// What may follow the first 16 bytes of version 2: addresses and TLVs. A certificate of the client may be among them.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests;

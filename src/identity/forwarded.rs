//! For whom a proxy asks: the address of the client in `Forwarded` (RFC 7239) or `X-Forwarded-For`.
//!
//! Only the field that is configured is read, and only where the connection comes from a network that is. It is read from
//! its end, because each proxy writes behind what it was sent: what stands before the first address that is no proxy's is
//! the client's own word, and nobody looks at it. So the work is that for the proxies on the way, whatever a client sends.

mod names;

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderMap, HeaderName};
use serde::Deserialize;

use crate::telemetry::{Limit, Metrics};
use crate::value::{Network, clients_address};
pub use names::names_a_client;

/// Which proxies are believed, and what.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Networks of proxies. None: nobody is believed.
    #[serde(deserialize_with = "crate::value::deserialize_believed")]
    pub from: Vec<Network>,
    pub header: Field,
}

/// The field that they write.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    Forwarded,
    #[default]
    XForwardedFor,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Client {
    pub address: IpAddr,
    pub finding: Finding,
}

/// What was made of the field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Finding {
    /// There is none.
    Absent,
    Believed,
    /// It comes from elsewhere than from a proxy that is believed: the address is that of the connection.
    Ignored,
    /// It names more proxies than there are: the address is the last one that was read.
    Long,
    /// A proxy's own part of it is no address: the address is that of the proxy.
    Unreadable,
}

impl Config {
    /// Who asks through a connection from an address. Addresses of IPv4 are written as such.
    pub fn client(&self, connection: IpAddr, headers: &HeaderMap) -> Client {
        let connection = connection.to_canonical();
        let told = |address, finding| Client { address, finding };
        let field = self.header.name();
        if !headers.contains_key(&field) {
            return told(connection, Finding::Absent);
        }
        if !self.is_proxy(connection) {
            return told(connection, Finding::Ignored);
        }
        let mut address = connection;
        let mut hops = 0;
        // Whoever adds a field of his own adds it behind the others.
        for value in headers.get_all(&field).iter().rev() {
            for part in FromEnd(Some(value.as_bytes())) {
                hops += 1;
                if hops > MOST_HOPS || part.len() > LONGEST {
                    return told(address, Finding::Long);
                }
                match self.header.address(part) {
                    Some(next) => address = next,
                    None => return told(address, Finding::Unreadable),
                }
                if !self.is_proxy(address) {
                    return told(address, Finding::Believed);
                }
            }
        }
        told(address, Finding::Believed)
    }

    /// Whether something is said of proxies, and none is believed.
    pub fn is_never_read(&self) -> bool {
        self.from.is_empty() && *self != Self::default()
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.from.iter().any(|network| network.contains(address))
    }
}

impl Finding {
    /// Counts it, where there is anything to count.
    pub fn count(self, metrics: &Metrics) {
        let result = match self {
            Self::Absent => return,
            Self::Believed => "believed",
            Self::Ignored => "ignored",
            Self::Long => "long",
            Self::Unreadable => "unreadable",
        };
        metrics.forwarded(result);
        if self == Self::Long {
            metrics.reached(Limit::ForwardedHops);
        }
    }
}

impl Field {
    pub fn name(self) -> HeaderName {
        match self {
            Self::Forwarded => FORWARDED,
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
        }
    }

    /// The address in what one proxy wrote.
    fn address(self, part: &[u8]) -> Option<IpAddr> {
        let part = std::str::from_utf8(part).ok()?.trim_matches([' ', '\t']);
        let node = match self {
            Self::XForwardedFor => part,
            Self::Forwarded => {
                let mut told = part.split(';').filter_map(|pair| {
                    let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
                    name.eq_ignore_ascii_case("for").then_some(value)
                });
                let node = told.next()?;
                if told.next().is_some() {
                    return None;
                }
                match node.strip_prefix('"') {
                    Some(quoted) => quoted.strip_suffix('"')?,
                    None => node,
                }
            }
        };
        address(node)
    }
}

/// An address that a client can have, with a port behind it or without. One of IPv6 may stand in brackets.
fn address(node: &str) -> Option<IpAddr> {
    let bare = || node.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = node.parse::<IpAddr>().ok().or_else(bare).or_else(|| {
        let socket: SocketAddr = node.parse().ok()?;
        Some(socket.ip())
    });
    clients_address(address?)
}

/// The parts of a field between commas, the last one first. Within quotes a comma parts nothing; whoever leaves a quote
/// open has one part that is no address.
struct FromEnd<'v>(Option<&'v [u8]>);

impl<'v> Iterator for FromEnd<'v> {
    type Item = &'v [u8];

    fn next(&mut self) -> Option<&'v [u8]> {
        let rest = self.0?;
        // One that is longer is none, wherever it begins.
        let floor = rest.len().saturating_sub(LONGEST + 1);
        let mut quoted = false;
        let mut comma = None;
        for (at, byte) in rest.iter().enumerate().skip(floor).rev() {
            match byte {
                b'"' => quoted = !quoted,
                b',' if !quoted => {
                    comma = Some(at);
                    break;
                }
                _ => {}
            }
        }
        if let Some(at) = comma {
            self.0 = rest.get(..at);
            return rest.get(at + 1..);
        }
        self.0 = None;
        rest.get(floor..)
    }
}

/// Proxies on the way, and what one of them writes.
const MOST_HOPS: usize = 16;
const LONGEST: usize = 256;

#[cfg(test)]
mod tests;

//! A network of IP addresses, as people write it: `10.0.0.0/8`, `fd00::/8`, or one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

use super::ParseError;

/// The addresses that begin alike. One address is a network of its own.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Network(IpNet);

impl Network {
    /// An address of IPv4 that is written as one of IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether it is all addresses of a kind.
    pub fn is_everybody(&self) -> bool {
        self.0.prefix_len() == 0
    }
}

impl FromStr for Network {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = |reason: String| ParseError {
            text: text.to_owned(),
            kind: "network",
            reason,
            examples: EXAMPLES,
        };
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().into()));
        }
        let network: IpNet = text.parse().map_err(|_invalid| {
            refuse("it is no address with the length of a prefix behind it".to_owned())
        })?;
        if network.addr() != network.network() {
            let meant = network.trunc();
            return Err(refuse(format!(
                "there are bits behind the prefix, the network is {meant}"
            )));
        }
        if network.addr() != network.addr().to_canonical() {
            return Err(refuse(
                "it is a network of IPv4 in the notation of IPv6".to_owned(),
            ));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

const EXAMPLES: &str = r#""10.0.0.0/8", "fd00::/8" or one address, such as "192.0.2.1""#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (network, within, without) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("fd00::/8", "fdff::1", "fe00::1"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(within.parse().unwrap()), "{network}");
            assert!(!network.contains(without.parse().unwrap()), "{network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_reason() {
        for (text, reason) in [
            ("10.0.0.1/8", "the network is 10.0.0.0/8"),
            ("10.0.0.0/33", "it is no address"),
            ("10.0.0/8", "it is no address"),
            ("", "it is no address"),
            ("lb.example", "it is no address"),
            ("::ffff:10.0.0.0/104", "in the notation of IPv6"),
        ] {
            let said = text.parse::<Network>().unwrap_err().to_string();
            assert!(said.contains(reason), "{said}");
        }
    }
}

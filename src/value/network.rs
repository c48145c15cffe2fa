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

    /// The address, where it is no more than one.
    pub fn address(&self) -> Option<IpAddr> {
        (self.0.prefix_len() == self.0.max_prefix_len()).then(|| self.0.addr())
    }

    /// Whether it is more than anybody has who is not everybody: wider than 10.0.0.0/8, than `fc00::/7`, or than what an
    /// internet provider has of IPv6.
    fn is_of_many(&self) -> bool {
        let widest = match self.0 {
            IpNet::V4(_) => 8,
            IpNet::V6(network) if network.addr().is_unique_local() => 7,
            IpNet::V6(_) => 16,
        };
        self.0.prefix_len() < widest
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

/// Networks of those who are believed what they say of others: an address that they name counts.
pub fn deserialize_believed<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Network>, D::Error> {
    let networks = Vec::<Network>::deserialize(deserializer)?;
    let refused = if networks.is_empty() {
        Some("the list is empty, so nobody is believed: give the networks of your proxies, or leave the section out".to_owned())
    } else if let Some(all) = networks.iter().find(|network| network.0.prefix_len() == 0) {
        Some(format!(
            "{all} is everybody: any client could say that he is another; give the networks of your proxies"
        ))
    } else {
        networks.iter().find(|network| network.is_of_many()).map(|wide| {
            format!(
                "{wide} is the network of too many: any client in it could say that he is another; give the networks of \
                 your proxies (10.0.0.0/8, fc00::/7 and a /16 of other IPv6 are the widest that are taken)"
            )
        })
    };
    refused.map_or(Ok(networks), |reason| Err(de::Error::custom(reason)))
}

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

    #[test]
    fn nobody_believes_a_network_of_strangers() {
        #[derive(Debug, Deserialize)]
        struct Section {
            #[serde(deserialize_with = "deserialize_believed")]
            from: Vec<Network>,
        }
        let read = |from: &str| toml::from_str::<Section>(&format!("from = [{from}]"));
        for (from, reason) in [
            ("", "the list is empty"),
            ("'10.0.0.0/8', '0.0.0.0/0'", "0.0.0.0/0 is everybody"),
            ("'::/0'", "::/0 is everybody"),
            // All of them by halves.
            (
                "'0.0.0.0/1', '128.0.0.0/1'",
                "0.0.0.0/1 is the network of too many",
            ),
            ("'192.0.0.0/7'", "192.0.0.0/7 is the network of too many"),
            ("'2000::/3'", "2000::/3 is the network of too many"),
            ("'2a00::/12'", "2a00::/12 is the network of too many"),
            ("'fc00::/6'", "fc00::/6 is the network of too many"),
        ] {
            let said = read(from).unwrap_err().to_string();
            assert!(said.contains(reason), "{from}: {said}");
        }
        for (from, number) in [
            ("'10.0.0.0/8', '127.0.0.1', '100.64.0.0/10'", 3),
            ("'fc00::/7', '2001:db8::/32', '::1'", 3),
        ] {
            assert_eq!(read(from).unwrap().from.len(), number);
        }
    }
}

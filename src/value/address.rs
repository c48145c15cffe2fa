//! Addresses: where to listen, and those that a client can have.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, de};

use super::ParseError;

/// The address of a client that somebody else tells, if any client can have it. IPv4 is IPv4 however it is written.
pub fn clients_address(told: IpAddr) -> Option<IpAddr> {
    let address = told.to_canonical();
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    let is_nobodys = address.is_unspecified() || address.is_multicast() || is_broadcast;
    (!is_nobodys).then_some(address)
}

/// Reads an address to listen on, as the command line has it.
pub fn listening(text: &str) -> Result<SocketAddr, ParseError> {
    text.parse().map_err(|_invalid| {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let host = host.trim_matches(['[', ']']);
        let reason = if text.parse::<IpAddr>().is_ok() || port.is_empty() {
            "the port is missing, or the address"
        } else if port.parse::<u16>().is_err() {
            "a port is a number from 0 to 65535"
        } else if host.is_empty() {
            "the address is missing"
        } else if host.parse::<IpAddr>().is_ok() {
            "an IPv6 address stands in brackets"
        } else {
            "names are not looked up here"
        };
        ParseError {
            text: text.to_owned(),
            kind: "place to listen on",
            reason: reason.to_owned(),
            examples: "an IP address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"; \"0.0.0.0:8080\" listens on all addresses",
        }
    })
}

/// The same in the configuration.
pub fn deserialize_listening<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    /// So that a number is refused with the same examples.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Port(i64),
    }
    let text = match Written::deserialize(from) {
        Ok(Written::Text(text)) => text,
        Ok(Written::Port(port)) => port.to_string(),
        Err(_other) => {
            return Err(de::Error::custom(
                "a text is expected, such as \"127.0.0.1:8080\"",
            ));
        }
    };
    listening(&text).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_at_an_address_that_is_none_of_a_client() {
        for told in [
            "0.0.0.0",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "::",
            "::ffff:0.0.0.0",
            "::ffff:255.255.255.255",
            "ff02::1",
        ] {
            assert_eq!(clients_address(told.parse().unwrap()), None, "{told}");
        }
        for (told, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(clients_address(told.parse().unwrap()), Some(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("localhost:8080", "names are not looked up here"),
            ("gate.example:443", "names are not looked up here"),
            (":8080", "the address is missing"),
            ("127.0.0.1", "the port is missing"),
            ("::1", "the port is missing"),
            ("8080", "the port is missing, or the address"),
            ("::1:8080", "the port is missing"),
            ("127.0.0.1:99999", "a port is a number"),
            ("127.0.0.1:http", "a port is a number"),
            ("", "the port is missing"),
        ] {
            let refused = listening(text).unwrap_err().to_string();
            assert!(refused.contains(reason), "{text}: {refused}");
            assert!(refused.contains("such as \"127.0.0.1:8080\""), "{refused}");
        }
        assert_eq!(listening("[::1]:80").unwrap().port(), 80);
    }
}

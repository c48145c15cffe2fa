//! Where to listen: an IP address and a port.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, de};

use super::ParseError;

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

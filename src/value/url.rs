//! URLs of servers, as configurations and files name them.

use std::net::IpAddr;

use http::Uri;

/// `http[s]://host[:port][/path][?query]`, without user and fragment. Nothing of the text is repeated: it may hold a
/// password.
pub fn plain_url(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    let is_plain = !text.contains(['@', '#']);
    (is_http && has_host && is_plain && has_possible_port(&uri)).then_some(uri)
}

/// Whether a URL has no port, or one that there is: the parser takes any number.
pub fn has_possible_port(uri: &Uri) -> bool {
    let authority = uri.authority().map_or("", |it| it.as_str());
    // Behind the colons of an address.
    let host_ends = authority.rfind(']').unwrap_or(0);
    let after = authority.get(host_ends..).unwrap_or_default();
    let port = after.rsplit_once(':').map(|(_, port)| port);
    port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Whether a host is this machine.
pub fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|it| it.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_one_of_those_that_there_are() {
        for (text, is_possible) in [
            ("http://a", true),
            ("http://a:1/b:99999", true),
            ("https://a:65535", true),
            ("http://[::1]", true),
            ("http://a:65536", false),
            ("http://a:99999999999999999999", false),
            ("http://a:0", false),
            ("http://a:", false),
            ("http://[::1]:65536/a", false),
        ] {
            let uri = text.parse::<Uri>();
            assert_eq!(
                uri.is_ok_and(|uri| has_possible_port(&uri)),
                is_possible,
                "{text}"
            );
        }
    }
}

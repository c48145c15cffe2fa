//! By which name this listener is asked.

use std::net::IpAddr;

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;

/// Whether it is asked by an IP address, localhost, or one of these names. A page in an operator's browser can ask it by any
/// name that the page's owner lets lead here, and read the answer.
pub fn is_asked_by_name(parts: &Parts, hosts: &[String]) -> bool {
    let Some(host) = asked_host(parts) else {
        return false;
    };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let is_it = |known: &str| known.eq_ignore_ascii_case(name);
    let is_named = || {
        let mut hosts = hosts.iter();
        hosts.any(|known| is_it(known) || known.eq_ignore_ascii_case(host.as_str()))
    };
    name.parse::<IpAddr>().is_ok() || is_it("localhost") || is_named()
}

/// The name, as the request says it.
pub fn asked_host(parts: &Parts) -> Option<Authority> {
    let host = parts.headers.get(HOST);
    let host = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let host = host.or_else(|| parts.uri.authority().cloned());
    host.filter(|host| !host.as_str().contains('@'))
}

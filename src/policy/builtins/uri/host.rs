//! The authority of an address: who asks, which host, and which port.

use std::net::Ipv6Addr;

use super::escapes::{Part, unescaped};
use crate::policy::builtins::encoding::text_of;

/// The host's name and its port.
pub(super) fn read(scheme: &str, authority: &str) -> Result<(String, String), String> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let host = of_scheme(scheme, host)?;
    if let Some(user) = user {
        let is_of_user =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
        if !user.bytes().all(is_of_user) {
            return Err("invalid userinfo".to_owned());
        }
        unescaped(user, Part::User)?;
    }
    let (name, port) = match host.rfind(':') {
        Some(colon) if is_port(host.get(colon..).unwrap_or_default()) => host.split_at(colon),
        _ => (host.as_str(), ""),
    };
    let inside = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    Ok((
        inside.unwrap_or(name).to_owned(),
        port.trim_start_matches(':').to_owned(),
    ))
}

fn of_scheme(scheme: &str, host: &str) -> Result<String, String> {
    let port = |text: &str| {
        let wrong = || format!("invalid port {text:?} after host");
        is_port(text).then_some(()).ok_or_else(wrong)
    };
    match host.rfind('[') {
        Some(0) => {
            let (address, after) = host.rsplit_once(']').ok_or("missing ']' in host")?;
            port(after)?;
            let address = address.get(1..).unwrap_or_default();
            Ok(format!("[{}]{after}", literal(address)?))
        }
        Some(_) => Err("invalid IP-literal".to_owned()),
        None => {
            // Other schemes than those of the web take the last of several colons.
            let is_strict = ["http", "https"].contains(&scheme);
            let colon = if is_strict {
                host.find(':')
            } else {
                host.rfind(':')
            };
            port(
                colon
                    .and_then(|colon| host.get(colon..))
                    .unwrap_or_default(),
            )?;
            Ok(text_of(&unescaped(host, Part::Host)?))
        }
    }
}

/// An IPv6 address, with its zone if it has one.
fn literal(text: &str) -> Result<String, String> {
    let (address, zone) = text.split_at(text.find("%25").unwrap_or(text.len()));
    let mut bytes = unescaped(address, Part::Host)?;
    bytes.extend(unescaped(zone, Part::Zone)?);
    let text = text_of(&bytes);
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text.as_str(), None),
    };
    if address.parse::<Ipv6Addr>().is_err() || zone == Some("") {
        return Err("invalid host".to_owned());
    }
    Ok(text)
}

/// Whether it is nothing, or a colon with digits.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':');
    text.is_empty() || digits.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_digit()))
}

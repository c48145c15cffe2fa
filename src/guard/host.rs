//! The host that a request is for: `Host`, or the authority of its target.

use std::net::Ipv6Addr;

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Version};

use super::ReadError;

/// The one host that a request names, without port, in its one spelling.
///
/// `None`: it names none, or not in a way that can be read. Two that differ are an error: nobody could
/// say which one is meant.
pub fn host(parts: &Parts) -> Result<Option<String>, ReadError> {
    let mut fields = parts.headers.get_all(HOST).iter();
    let authority = parts.uri.authority();
    match (authority, fields.next(), fields.next()) {
        (Some(authority), None, _) => Ok(name(authority)),
        (Some(authority), Some(field), None) => match (name(authority), read(field)) {
            (Some(one), Some(other)) if one == other => Ok(Some(one)),
            _ => Err(ReadError::Host),
        },
        (None, Some(field), None) => Ok(read(field)),
        (None, None, _) if parts.version <= Version::HTTP_10 => Ok(None),
        _ => Err(ReadError::Host),
    }
}

/// Whether nobody could take the request for one for two hosts. What [`host`] says, without naming it.
pub(super) fn is_one(parts: &Parts) -> Result<(), ReadError> {
    let mut fields = parts.headers.get_all(HOST).iter();
    match (parts.uri.authority(), fields.next(), fields.next()) {
        // Nearly every request: there is nothing that the field could differ from.
        (None, Some(_), None) => Ok(()),
        _ => host(parts).map(drop),
    }
}

/// A host in its one spelling: letters small, without the dot that ends a complete name. `None`: text is
/// no host.
pub fn canonical(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let labels = name
        .split('.')
        .all(|label| (1..=63).contains(&label.len()) && label.bytes().all(plain));
    (labels && name.len() <= 253).then(|| name.to_ascii_lowercase())
}

fn read(field: &HeaderValue) -> Option<String> {
    name(&Authority::try_from(field.as_bytes()).ok()?)
}

fn name(authority: &Authority) -> Option<String> {
    if authority.as_str().contains('@') {
        return None;
    }
    canonical(authority.host())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn read(target: &str, version: Version, fields: &[&str]) -> Result<Option<String>, String> {
        let mut request = Request::get(target).version(version);
        for field in fields {
            request = request.header(HOST, *field);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        host(&parts).map_err(|error| error.to_string())
    }

    #[test]
    fn a_host_is_read_without_port_case_and_last_dot() {
        for (field, name) in [
            ("gate", Some("gate")),
            ("Gate.Example:8443", Some("gate.example")),
            ("gate.example.", Some("gate.example")),
            ("gate.example..", None),
            ("[::1]:80", Some("[::1]")),
            ("[0:0::1]", Some("[::1]")),
            ("", None),
            ("user@gate", None),
            ("gate/path", None),
            (".", None),
        ] {
            let read = read("/", Version::HTTP_11, &[field]);
            assert_eq!(read, Ok(name.map(str::to_owned)), "{field}");
        }
    }

    #[test]
    fn the_target_and_the_field_have_to_name_the_same_host() {
        let one = Ok(Some("a".to_owned()));
        assert_eq!(read("http://a/", Version::HTTP_11, &[]), one);
        assert_eq!(read("http://A:80/", Version::HTTP_11, &["a"]), one);
        assert_eq!(read("https://a/", Version::HTTP_2, &[]), one);
        assert_eq!(read("/", Version::HTTP_10, &[]), Ok(None));
        for (target, version, fields) in [
            ("http://a/", Version::HTTP_11, &["b"][..]),
            ("http://a/", Version::HTTP_11, &[""]),
            ("http://a/", Version::HTTP_10, &["b"]),
            ("https://a/", Version::HTTP_2, &["b"]),
            ("http://user@a/", Version::HTTP_11, &["a"]),
            ("/", Version::HTTP_11, &["a", "a"]),
            ("/", Version::HTTP_11, &[]),
        ] {
            assert!(
                read(target, version, fields).is_err(),
                "{target} {fields:?}"
            );
        }
    }
}

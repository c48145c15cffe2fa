//! Connections that the gate opens: whom it trusts, who it is, which proxy is on the way; and a small client for short
//! questions to others than the upstream (keys of issuers, access tokens).
//!
//! It knows neither what is asked nor what an answer means.

mod client;
mod proxy;
mod sender;
mod tls;
mod way;

use std::path::{Path, PathBuf};

use http::Uri;

pub use client::{AskError, Client, LONGEST_ANSWER};
pub use proxy::{Found, Proxy};
pub use sender::{Sender, To, is_encrypted, is_here, is_private};
pub use tls::{ClientCertificate, Files};
pub use way::Way;

/// Why nothing could ever be reached.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("headers_file {}: {reason}", path.display())]
    Headers { path: PathBuf, reason: String },
    #[error(
        "headers_file is for secrets, and the URL is http:// on another machine: use https://, or a server on this machine"
    )]
    Readable,
    #[error(
        "headers_file is for secrets, and a proxy reads what goes to http:// through it: use https://, or take `proxy` away"
    )]
    ReadableByProxy,
    #[error("proxy_credential_file is for a proxy: give `proxy`, or take the file away")]
    NoProxy,
    #[error(
        "the environment names a proxy that is not reached by http://: give the URL of one that is as `proxy`"
    )]
    ProxyScheme,
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
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

impl OutboundError {
    fn of(path: &Path, reason: String) -> Self {
        Self::File {
            path: path.to_owned(),
            reason,
        }
    }
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

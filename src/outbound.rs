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

impl OutboundError {
    fn of(path: &Path, reason: String) -> Self {
        Self::File {
            path: path.to_owned(),
            reason,
        }
    }
}

//! The server side of TLS: certificate and key from PEM files, HTTP/2 or HTTP/1.1 by ALPN.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use thiserror::Error;

/// Where certificate and key are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// PEM, the server's certificate first, then what leads to a root.
    pub certificate: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Why TLS cannot be spoken with these files.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("certificate and key: {0}")]
    Pair(#[from] rustls::Error),
}

pub(super) fn acceptor(config: &Config) -> Result<tokio_rustls::TlsAcceptor, TlsError> {
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(&config.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| TlsError::file(&config.certificate, &error))?;
    if certificates.is_empty() {
        return Err(TlsError::file(&config.certificate, &"no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|error| TlsError::file(&config.key, &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(tls).into())
}

impl TlsError {
    fn file(path: &Path, reason: &dyn std::fmt::Display) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

//! What the listener needs of rustls: certificate and key from files to an acceptor.
//!
//! The cryptography is named here (aws-lc-rs) and never taken from a process-wide default. Every error
//! names the file to look at. Knows neither sockets nor HTTP beyond the two names in ALPN.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::value::unread;

/// A certificate or key file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {kind}", path.display())]
pub struct LoadError {
    path: PathBuf,
    kind: LoadErrorKind,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum LoadErrorKind {
    #[error("it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    #[error("it holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// Without the parser's own words: they may quote a line of the key.
    #[error("it is not valid PEM")]
    Pem,
    #[error("{}", unread(.0))]
    Read(io::Error),
    #[error("the certificate in {} and this key do not work together: {error}", certificate.display())]
    Unusable {
        certificate: PathBuf,
        error: rustls::Error,
    },
}

/// Reads both files and makes what accepts TLS 1.2 and 1.3 with them.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, LoadError> {
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_quotes_the_file| LoadError::new(certificate, LoadErrorKind::Pem))?;
    if chain.is_empty() {
        return Err(LoadError::new(certificate, LoadErrorKind::NoCertificate));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| {
        let kind = match error {
            pem::Error::NoItemsFound => LoadErrorKind::NoKey,
            _ => LoadErrorKind::Pem,
        };
        LoadError::new(key, kind)
    })?;

    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, private)
        })
        .map_err(|error| {
            let certificate = certificate.to_owned();
            LoadError::new(key, LoadErrorKind::Unusable { certificate, error })
        })?;
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Whether the client and we agreed on HTTP/2.
pub(super) fn is_http2(connection: &rustls::ServerConnection) -> bool {
    connection.alpn_protocol() == Some(HTTP_2)
}

impl LoadError {
    fn new(path: &Path, kind: LoadErrorKind) -> Self {
        Self {
            path: path.to_owned(),
            kind,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|error| LoadError::new(path, LoadErrorKind::Read(error)))
}

const HTTP_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(certificate: &str, key: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let (certificate_file, key_file) = (
            directory.path().join("tls.crt"),
            directory.path().join("tls.key"),
        );
        fs::write(&certificate_file, certificate).unwrap();
        fs::write(&key_file, key).unwrap();
        match acceptor(&certificate_file, &key_file) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_and_its_key_are_accepted_and_anything_else_names_the_file() {
        let ((certificate, key), (_, other_key)) = (pair(), pair());
        assert_eq!(refusal(&certificate, &key), "accepted");
        for (certificate, key, file, word) in [
            ("", key.as_str(), "tls.crt", "no certificate"),
            (&key, &key, "tls.crt", "no certificate"),
            (&certificate, "", "tls.key", "no private key"),
            (&certificate, &certificate, "tls.key", "no private key"),
            (
                &certificate,
                "-----BEGIN PRIVATE KEY-----\nc2VjcmV0",
                "tls.key",
                "not valid PEM",
            ),
            (&certificate, &other_key, "tls.key", "do not work together"),
        ] {
            let error = refusal(certificate, key);
            assert!(error.contains(file) && error.contains(word), "{error}");
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let missing = Path::new("does/not/exist.pem");
        let error = acceptor(missing, missing).err().unwrap().to_string();
        assert!(error.starts_with("does/not/exist.pem: "), "{error}");
    }
}

//! TLS to others: whom we trust, and who we are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

use super::OutboundError;
use crate::value;

/// By what others know the gate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// PEM, our certificate first, then what leads to a root.
    pub certificate: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// What stands in the files.
#[derive(Debug, Default, PartialEq)]
pub struct Files {
    authorities: Option<(PathBuf, Vec<u8>)>,
    own: Option<[(PathBuf, Vec<u8>); 2]>,
}

impl Files {
    /// Reads them.
    pub fn read(
        authorities: Option<&Path>,
        own: Option<&ClientCertificate>,
    ) -> Result<Self, OutboundError> {
        let read = |path: &Path| {
            let text = value::read_file(path, value::LONGEST_SETTING)
                .map_err(|error| failed(path, value::unread(&error)))?;
            Ok::<_, OutboundError>((path.to_owned(), text))
        };
        let own = own.map(|own| Ok::<_, OutboundError>([read(&own.certificate)?, read(&own.key)?]));
        Ok(Self {
            authorities: authorities.map(read).transpose()?,
            own: own.transpose()?,
        })
    }

    /// The system's authorities take tens of milliseconds to read: not for an upstream that shows no certificate.
    pub fn client(&self, encrypted: bool) -> Result<ClientConfig, OutboundError> {
        let mut roots = RootCertStore::empty();
        if let Some((path, text)) = &self.authorities {
            for certificate in certificates(path, text)? {
                let added = roots.add(certificate);
                added.map_err(|error| failed(path, error.to_string()))?;
            }
        } else if encrypted {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "a system certificate could not be read");
            }
            roots.add_parsable_certificates(found.certs);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let Some([(path, text), (key_path, key)]) = &self.own else {
            return Ok(builder.with_no_client_auth());
        };
        // Without the parser's own words: they may quote a line of the key.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_quotes_the_file| {
            let reason = "it holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)";
            failed(key_path, reason.to_owned())
        })?;
        let own = builder.with_client_auth_cert(certificates(path, text)?, key);
        own.map_err(|error| {
            let reason = format!(
                "the certificate in {} and this key do not work together: {error}",
                path.display()
            );
            failed(key_path, reason)
        })
    }
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, OutboundError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|_quotes_the_file| failed(path, "it is not valid PEM".to_owned()))?;
    if certificates.is_empty() {
        let reason = "it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)";
        return Err(failed(path, reason.to_owned()));
    }
    Ok(certificates)
}

fn failed(path: &Path, reason: String) -> OutboundError {
    OutboundError::of(path, reason)
}

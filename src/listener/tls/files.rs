//! What is read for TLS: PEM files, and what is wrong with them.
//!
//! Everything that is read goes into one digest, so that a change of any of it is noticed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

use super::clients::Verifier;
use crate::listener::certificate::{Server, moment};
use crate::listener::config::{Clients, Files};
use crate::value::{LONGEST_SETTING, read_file, unread};

/// A file that cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
#[error("{}{kind}", place(path))]
pub struct LoadError {
    path: PathBuf,
    kind: LoadErrorKind,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum LoadErrorKind {
    #[error("certificate {number} in it cannot be an authority: {error}")]
    Authority { number: usize, error: rustls::Error },
    #[error(
        "it has no DNS name, so no client can ask for it: use one with names, or put it into [listener.tls.files]"
    )]
    Nameless,
    #[error("it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    #[error("it holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    #[error("it holds no revocation list in PEM form (-----BEGIN X509 CRL-----)")]
    NoList,
    /// Without the parser's own words: they may quote a line of the key.
    #[error("it is not valid PEM")]
    Pem,
    #[error("{}", unread(.0))]
    Read(io::Error),
    #[error("a revocation list in it cannot be used: {0}")]
    RevocationList(VerifierBuilderError),
    #[error("TLS cannot be switched off while the listener runs: restart")]
    SwitchedOff,
    #[error("TLS cannot be switched on while the listener runs: restart")]
    SwitchedOn,
    #[error("the certificate in {} and this key do not work together: {error}", certificate.display())]
    Unusable {
        certificate: PathBuf,
        error: rustls::Error,
    },
}

/// A certificate with its key, and the names under which clients ask for it.
pub(super) struct Shown {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) names: Vec<String>,
}

/// A certificate of ours, for operators.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    pub file: PathBuf,
    pub names: Vec<String>,
    /// `None`: it cannot be read.
    pub not_after: Option<Timestamp>,
}

/// Reads one file after the other.
pub(super) struct Reading {
    now: Timestamp,
    digest: Sha256,
    warnings: Vec<String>,
    served: Vec<Served>,
}

impl Reading {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            digest: Sha256::new(),
            warnings: Vec::new(),
            served: Vec::new(),
        }
    }

    /// What is not read from a file, and matters too.
    pub(super) fn also(&mut self, setting: &str) {
        self.feed(setting.as_bytes());
    }

    pub(super) fn done(self) -> ([u8; 32], Vec<String>, Vec<Served>) {
        (self.digest.finalize().into(), self.warnings, self.served)
    }

    /// A certificate of ours with its key.
    pub(super) fn server(
        &mut self,
        files: &Files,
        provider: &CryptoProvider,
    ) -> Result<Shown, LoadError> {
        let Files { certificate, key } = files;
        let chain = self.certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&self.read(key)?).map_err(|error| {
            let kind = match error {
                pem::Error::NoItemsFound => LoadErrorKind::NoKey,
                _ => LoadErrorKind::Pem,
            };
            LoadError::new(key, kind)
        })?;
        let server = chain.first().map(|first| Server::read(first));
        let together = CertifiedKey::from_der(chain, private, provider).map_err(|error| {
            let certificate = certificate.clone();
            LoadError::new(key, LoadErrorKind::Unusable { certificate, error })
        })?;
        let not_after = server.as_ref().and_then(|it| it.as_ref().ok());
        let not_after = not_after.map(|it| it.not_after);
        let names = match server {
            Some(Ok(server)) => {
                if let Some(what) = server.shaky(self.now) {
                    self.warn(
                        certificate,
                        &format!("the certificate {what}: clients refuse it"),
                    );
                }
                server.names
            }
            // rustls is content with it, and clients may be.
            Some(Err(unreadable)) => {
                self.warn(
                    certificate,
                    &format!("nobody can ask for it by name: {unreadable}"),
                );
                Vec::new()
            }
            None => Vec::new(),
        };
        self.served.push(Served {
            file: certificate.clone(),
            names: names.clone(),
            not_after,
        });
        Ok(Shown {
            key: Arc::new(together),
            names,
        })
    }

    /// Who judges the certificates of clients.
    pub(super) fn clients(
        &mut self,
        clients: &Clients,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, LoadError> {
        self.also(if clients.required {
            "required"
        } else {
            "optional"
        });
        let mut roots = RootCertStore::empty();
        let authorities = self.certificates(&clients.ca)?;
        let number = authorities.len();
        if number > MANY {
            self.warn(
                &clients.ca,
                &format!(
                    "it holds {number} authorities, as a list of those for web servers does: whoever has a certificate of any \
                     of them is let in; list those only that issue certificates to your clients"
                ),
            );
        }
        for (at, authority) in authorities.into_iter().enumerate() {
            let number = at + 1;
            if let Some(what) = Server::read(&authority)
                .ok()
                .and_then(|it| it.shaky(self.now))
            {
                self.warn(&clients.ca, &format!("authority {number} {what}"));
            }
            roots.add(authority).map_err(|error| {
                LoadError::new(&clients.ca, LoadErrorKind::Authority { number, error })
            })?;
        }
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        if let Some(file) = &clients.crl {
            // A list that is not kept up says nothing about who was revoked since.
            builder = builder
                .with_crls(self.revocation_lists(file)?)
                .enforce_revocation_expiration();
        }
        if !clients.required {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|error| {
            // There are authorities: it is the lists.
            let file = clients.crl.as_ref().unwrap_or(&clients.ca);
            LoadError::new(file, LoadErrorKind::RevocationList(error))
        })?;
        Ok(Arc::new(Verifier(verifier)))
    }

    fn certificates(&mut self, file: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
        let chain = CertificateDer::pem_slice_iter(&self.read(file)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_quotes_the_file| LoadError::new(file, LoadErrorKind::Pem))?;
        if chain.is_empty() {
            return Err(LoadError::new(file, LoadErrorKind::NoCertificate));
        }
        Ok(chain)
    }

    fn revocation_lists(
        &mut self,
        file: &Path,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, LoadError> {
        let lists = CertificateRevocationListDer::pem_slice_iter(&self.read(file)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_malformed| LoadError::new(file, LoadErrorKind::Pem))?;
        if lists.is_empty() {
            return Err(LoadError::new(file, LoadErrorKind::NoList));
        }
        for (at, list) in lists.iter().enumerate() {
            let read = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(list);
            let next = read.ok().and_then(|list| list.tbs_cert_list.next_update);
            if let Some(Ok(next)) = next.map(moment)
                && next < self.now
            {
                let number = at + 1;
                self.warn(
                    file,
                    &format!(
                        "revocation list {number} had to be replaced by {next}: \
                         every client whose issuer it is from is refused"
                    ),
                );
            }
        }
        Ok(lists)
    }

    fn read(&mut self, path: &Path) -> Result<Vec<u8>, LoadError> {
        let bytes = read_file(path, LONGEST_SETTING)
            .map_err(|error| LoadError::new(path, LoadErrorKind::Read(error)))?;
        self.feed(&bytes);
        Ok(bytes)
    }

    /// With its length: what is moved from one file to the next is a change, too.
    fn feed(&mut self, bytes: &[u8]) {
        self.digest.update(bytes.len().to_be_bytes());
        self.digest.update(bytes);
    }

    fn warn(&mut self, file: &Path, what: &str) {
        self.warnings.push(format!("{}: {what}", file.display()));
    }
}

impl LoadError {
    pub(super) fn new(path: &Path, kind: LoadErrorKind) -> Self {
        Self {
            path: path.to_owned(),
            kind,
        }
    }
}

fn place(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        String::new()
    } else {
        format!("{}: ", path.display())
    }
}

/// Nobody has so many authorities for clients of his own.
const MANY: usize = 32;

//! Certificates of clients: who is let in, and why somebody is not.
//!
//! rustls and webpki judge chains, dates, purposes and revocation lists. Here a certificate is refused, too, whose
//! names nobody can be sure of: whoever decides by them later has to be.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use tracing::debug;

use crate::listener::certificate::{Certificate, Unreadable, fingerprint};

/// Judges as the one within does, and reads the names.
#[derive(Debug)]
pub(super) struct Verifier(pub(super) Arc<dyn ClientCertVerifier>);

/// Why a client is not let in, or not kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::listener) enum Refusal {
    Expired,
    /// No authority of ours has issued it.
    Issuer,
    /// None was shown, and one has to be.
    Missing,
    /// Its names cannot be read for sure.
    Names,
    /// It was good, and now certificates are not asked for any more.
    NotAsked,
    NotYetValid,
    Other,
    /// It is not meant for clients.
    Purpose,
    Revoked,
    /// The revocation list of its issuer is out of date.
    RevocationListExpired,
    /// There is no revocation list of its issuer.
    RevocationUnknown,
    Signature,
}

impl Refusal {
    /// Its name in the metric and in the log.
    pub(in crate::listener) fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Issuer => "issuer",
            Self::Missing => "missing",
            Self::Names => "names",
            Self::NotAsked => "not_asked",
            Self::NotYetValid => "not_yet_valid",
            Self::Other => "other",
            Self::Purpose => "purpose",
            Self::Revoked => "revoked",
            Self::RevocationListExpired => "revocation_list_expired",
            Self::RevocationUnknown => "revocation_unknown",
            Self::Signature => "signature",
        }
    }

    /// `None`: it has nothing to do with a client's certificate.
    pub(super) fn of(error: &Error) -> Option<Self> {
        use CertificateError as Bad;
        let bad = match error {
            Error::NoCertificatesPresented => return Some(Self::Missing),
            Error::InvalidCertificate(bad) => bad,
            _ => return None,
        };
        Some(match bad {
            Bad::BadSignature => Self::Signature,
            Bad::Expired | Bad::ExpiredContext { .. } => Self::Expired,
            Bad::ExpiredRevocationList | Bad::ExpiredRevocationListContext { .. } => {
                Self::RevocationListExpired
            }
            Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => Self::Purpose,
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => Self::NotYetValid,
            Bad::Other(OtherError(other)) if other.is::<Unreadable>() => Self::Names,
            Bad::Revoked => Self::Revoked,
            Bad::UnknownIssuer => Self::Issuer,
            Bad::UnknownRevocationStatus => Self::RevocationUnknown,
            _ => Self::Other,
        })
    }
}

/// The same of a handshake that broke off.
pub(in crate::listener) fn refusal(error: &std::io::Error) -> Option<Refusal> {
    let inner = error.get_ref()?.downcast_ref::<Error>()?;
    Refusal::of(inner)
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(certificate, intermediates, now);
        let readable = Certificate::read(certificate);
        let judged = match (verified, &readable) {
            (Ok(_), Err(unreadable)) => {
                let other = OtherError(Arc::new(*unreadable));
                Err(CertificateError::Other(other).into())
            }
            (verified, _) => verified,
        };
        if let Err(error) = &judged {
            // No text that somebody outside has written.
            debug!(
                certificate.fingerprint = fingerprint(certificate),
                certificate.serial = readable.as_ref().map_or("", |readable| &readable.serial),
                certificate.not_after = readable
                    .as_ref()
                    .ok()
                    .map(|readable| readable.not_after.to_string()),
                reason = Refusal::of(error).map(Refusal::as_str),
                "a client's certificate is refused"
            );
        }
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

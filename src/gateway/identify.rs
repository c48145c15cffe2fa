//! Who asks, besides the credential for Dynatrace: by the certificate of the connection, and by a JSON Web Token that
//! is for the gate alone. And what Dynatrace is shown in the place of a caller who has proven who he is.

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Gateway;
use super::client::{Address, Who};
use super::credential::{AccessError, Credential};
use super::environment::Environment;
use super::rejection::Reason;
use crate::dynatrace::catalogue::Operation;
use crate::dynatrace::redact::Redactor;
use crate::dynatrace::token::{Caller, TokenSecret};
use crate::guard::{self, Head, ReadError};
use crate::identity::{Jwt, Proofs, Shown};
use crate::listener::{Certificate, Peer};
use crate::policy::input::{CallerCertificate, CallerJwt};
use crate::value::rfc3339_millis;
use std::sync::Arc;

/// What a caller has proven, and to which teams it belongs.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    certificate: Option<Arc<Certificate>>,
    jwt: Option<Jwt>,
    /// As `data.callers` has them.
    pub(super) teams: Vec<String>,
    /// Fields that were for the gate.
    taken: Vec<(HeaderName, HeaderValue)>,
}

/// Why a request is not sent with the gate's credential.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    #[error("the credential for Dynatrace cannot be had: {0}")]
    Access(#[from] AccessError),
    #[error("none of your teams may use the gate's credential for environment {0}")]
    NotYours(String),
    #[error(
        "environment {0} is reached with the gate's own credential: send the request without a token, cookie or \
         api-token of yours"
    )]
    Several(String),
    #[error(
        "{operation} needs a caller that has proven who it is, and the request proves nothing: {proofs}; or show a \
         credential of your own for Dynatrace (Authorization: Api-Token TOKEN)"
    )]
    Unproven {
        operation: Operation,
        proofs: Proofs,
    },
}

impl Gateway {
    /// Checks what a request shows to the gate, and takes it away: it is for nobody behind the gate.
    pub(super) async fn identify(
        &self,
        parts: &mut Parts,
        identity: &mut Identity,
    ) -> Result<(), Reason> {
        let tokens = &self.set.tokens;
        identity.jwt = tokens.verify(&parts.headers, (self.shared.now)()).await?;
        if let Some(jwt) = &identity.jwt {
            let field = jwt.field.clone();
            identity.take(&field, parts);
        }
        for field in tokens.fields() {
            identity.take(field, parts);
        }
        Ok(())
    }

    /// The teams of a caller, by all that it shows.
    pub(super) fn teams(&self, identity: &Identity, token: Option<&Caller>) -> Vec<String> {
        self.set.teams.teams(Shown {
            certificate: identity.certificate.as_deref(),
            jwt: identity.jwt.as_ref(),
            token: token.map(|caller| caller.id.as_str()),
        })
    }

    /// A guarded request with the gate's credential, where its environment has one for this caller.
    pub(super) async fn brokered(
        &self,
        head: Box<Head>,
        parts: &Parts,
        environment: &Environment,
        identity: &Identity,
    ) -> Result<Box<Head>, BrokerError> {
        let Some(credential) = environment
            .credential
            .as_ref()
            .filter(|_| identity.is_proven())
        else {
            return Ok(head);
        };
        let shows_own = head.credential().is_some() || has_cookie(parts);
        let name = || environment.name.clone();
        match (credential.is_for(&identity.teams), shows_own) {
            (false, true) => Ok(head),
            (false, false) => Err(BrokerError::NotYours(name())),
            (true, true) => Err(BrokerError::Several(name())),
            (true, false) => {
                let secret = credential.authorization().await?;
                let caller = credential.caller(&self.shared.key);
                Ok(Box::new(head.brokered(secret, caller)))
            }
        }
    }

    /// Why a request that shows no credential is refused: where it need not show one, what it has to show instead.
    pub(super) fn without_credential(&self, error: ReadError, environment: &Environment) -> Reason {
        match error {
            ReadError::NoCredential(operation) if environment.credential.is_some() => {
                let proofs = self.set.proofs.clone();
                BrokerError::Unproven { operation, proofs }.into()
            }
            error => error.into(),
        }
    }

    /// The same for open traffic. What was lent to it.
    pub(super) async fn broker_open(
        &self,
        parts: &mut Parts,
        identity: &mut Identity,
    ) -> Result<Option<TokenSecret>, BrokerError> {
        if !identity.is_proven() {
            return Ok(None);
        }
        let own = guard::caller(parts, &self.shared.key);
        identity.teams = self.teams(identity, own.as_ref());
        // One that is for no environment is told so later.
        let Ok((environment, _target)) = self.environments.open(parts) else {
            return Ok(None);
        };
        let is_meant = |credential: &&Credential| {
            credential.is_for_open(parts) && credential.is_for(&identity.teams)
        };
        let Some(credential) = environment.credential.as_ref().filter(is_meant) else {
            return Ok(None);
        };
        if own.is_some() || has_cookie(parts) {
            return Err(BrokerError::Several(environment.name.clone()));
        }
        let secret = credential.authorization().await?;
        if let Ok(mut value) = HeaderValue::from_str(secret.expose()) {
            value.set_sensitive(true);
            parts.headers.insert(AUTHORIZATION, value);
        }
        read_plain(&mut parts.headers);
        Ok(Some(secret))
    }
}

impl Identity {
    /// What the connection has proven.
    pub(super) fn of(parts: &Parts) -> Self {
        let peer: Option<&Peer> = parts.extensions.get();
        Self {
            certificate: peer.and_then(|peer| peer.certificate.clone()),
            ..Self::default()
        }
    }

    /// Takes a field out of a request.
    fn take(&mut self, field: &HeaderName, parts: &mut Parts) {
        let values = parts.headers.get_all(field).iter();
        let values: Vec<_> = values.map(|value| (field.clone(), value.clone())).collect();
        self.taken.extend(values);
        parts.headers.remove(field);
    }

    /// For a request that begins anew.
    pub(super) fn give_back(&self, headers: &mut HeaderMap) {
        for (field, value) in &self.taken {
            headers.append(field, value.clone());
        }
    }

    /// Whether the caller has shown what only it can show.
    pub(super) fn is_proven(&self) -> bool {
        self.certificate.is_some() || self.jwt.is_some()
    }

    /// The teams, for the log.
    pub(super) fn teams_told(&self) -> Option<String> {
        (!self.teams.is_empty()).then(|| self.teams.join(", "))
    }

    /// Who that is, in one text that nobody else has.
    pub(super) fn name(&self) -> Option<TokenSecret> {
        let name = match (&self.jwt, &self.certificate) {
            (Some(jwt), _) => format!("jwt {:?} {:?}", jwt.issuer, jwt.subject),
            (None, Some(certificate)) => format!("certificate {}", certificate.fingerprint),
            (None, None) => return None,
        };
        Some(TokenSecret::new(name))
    }

    /// As far as fairness goes: whoever has proven who it is, is the same everywhere.
    pub(super) fn who(&self, address: Address, head: &Head) -> Who {
        match self.name() {
            Some(name) => Who::proven(&name),
            None => Who::new(address, head.credential().as_ref()),
        }
    }

    /// What policies see of the certificate.
    pub(super) fn certificate(&self, redactor: &Redactor) -> CallerCertificate {
        let Some(certificate) = &self.certificate else {
            return CallerCertificate::default();
        };
        let text = |text: &String| redactor.text(text);
        let texts = |texts: &[String]| texts.iter().map(text).collect();
        CallerCertificate {
            subject: text(&certificate.subject),
            issuer: text(&certificate.issuer),
            serial: text(&certificate.serial),
            dns: texts(&certificate.dns),
            uris: texts(&certificate.uris),
            emails: texts(&certificate.emails),
            addresses: texts(&certificate.addresses),
            spiffe_id: certificate.spiffe_id.as_ref().map(text).unwrap_or_default(),
            fingerprint: text(&certificate.fingerprint),
            not_after: rfc3339_millis(certificate.not_after),
        }
    }

    /// What policies see of the token.
    pub(super) fn jwt(&self, redactor: &Redactor) -> CallerJwt {
        let Some(jwt) = &self.jwt else {
            return CallerJwt::default();
        };
        let text = |text: &String| redactor.text(text);
        CallerJwt {
            issuer: text(&jwt.issuer),
            subject: text(&jwt.subject),
            audiences: jwt.audiences.iter().map(text).collect(),
            id: jwt.id.as_ref().map(text).unwrap_or_default(),
            claims: redactor.members(&jwt.claims),
        }
    }
}

/// The answer to a request with the gate's credential is looked through: it has to be readable.
pub(super) fn read_plain(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Also in the field of an old standard, which some servers read alike.
fn has_cookie(parts: &Parts) -> bool {
    let cookies = parts.headers.get_all(COOKIE).iter();
    let mut cookies = cookies.chain(parts.headers.get_all("cookie2"));
    cookies.any(|cookie| !cookie.as_bytes().trim_ascii().is_empty())
}

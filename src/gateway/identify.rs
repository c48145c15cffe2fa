//! Who asks, besides the credential for Dynatrace: by the certificate of the connection, and by a JSON Web Token that
//! is for the gate alone. And what Dynatrace is shown in the place of a caller who has proven who he is.

use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Gateway;
use super::client::{Address, Who};
use super::credential::{AccessError, Credential};
use super::echo;
use super::environment::Environment;
use super::rehearsal::Supposed;
use super::rejection::Reason;
use crate::audit::event;
use crate::dynatrace::catalogue::Operation;
use crate::dynatrace::redact::Redactor;
use crate::dynatrace::token::{Caller, HashKey, TokenId, TokenSecret};
use crate::guard::{self, Head, ReadError};
use crate::identity::{Jwt, Origin, Proofs, Shown};
use crate::listener::{Certificate, Peer, Standing};
use crate::policy::input::{CallerCertificate, CallerJwt};
use crate::value::rfc3339_millis;

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

/// What was lent to a request: the value of `Authorization`, and by what name it is known.
#[derive(Clone, Debug)]
pub(super) struct Lent {
    pub(super) secret: TokenSecret,
    pub(super) caller: Caller,
}

/// Why a request is not sent with the gate's credential.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    #[error("the credential for Dynatrace cannot be had: {0}")]
    Access(#[from] AccessError),
    #[error(
        "the gate's credential for environment {environment} is for certain teams, and {} of them: ask whoever runs the \
         gate to add you to data.callers", you_are(.teams)
    )]
    NotYours {
        environment: String,
        /// Those that the caller is in.
        teams: Vec<String>,
    },
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
    /// Checks what a request shows to the gate, and takes it away: it is for nobody behind the gate. What was proven counts
    /// also where something else was not.
    pub(super) async fn identify(
        &self,
        parts: &mut Parts,
        identity: &mut Identity,
        address: Address,
    ) -> Result<(), Reason> {
        // Where the request began the listener has asked that; it may have begun before a reload.
        let standing: Option<&Arc<Standing>> = parts.extensions.get();
        if standing.is_some_and(|standing| !standing.is_good()) {
            return Err(Reason::Lapsed);
        }
        let tokens = &self.set.tokens;
        let origin = Origin {
            address: address.ip(),
            share: self.set.limits.address_share,
            signatures: self.set.limits.jwt_signatures.get(),
        };
        let verified = tokens.verify(&parts.headers, origin, self.shared.now);
        identity.jwt = verified.await?;
        if let Some(jwt) = &identity.jwt {
            let field = jwt.field.clone();
            identity.take(&field, parts);
        }
        for field in tokens.fields() {
            identity.take(field, parts);
        }
        Ok(())
    }

    /// Finds the teams of a caller, by all that it shows.
    pub(super) fn find_teams(&self, identity: &mut Identity, token: Option<&Caller>) {
        identity.teams = self.set.teams.teams(Shown {
            certificate: identity.certificate.as_deref(),
            jwt: identity.jwt.as_ref(),
            token: token.map(|caller| caller.id.as_str()),
        });
    }

    /// The same, where nothing but the head of a request says what it shows.
    pub(super) fn find_teams_by_head(&self, identity: &mut Identity, parts: &Parts) {
        let own = guard::caller(parts, &self.shared.key);
        self.find_teams(identity, own.as_ref());
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
            (false, false) => Err(BrokerError::NotYours {
                environment: name(),
                teams: identity.teams.clone(),
            }),
            (true, shows_own) if shows_own || shows_token(parts) => {
                Err(BrokerError::Several(name()))
            }
            (true, _) => {
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
        identity: &Identity,
        redactor: &Redactor,
    ) -> Result<Option<Lent>, Reason> {
        let own = guard::caller(parts, &self.shared.key);
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
        if own.is_some() || has_cookie(parts) || shows_token(parts) {
            return Err(BrokerError::Several(environment.name.clone()).into());
        }
        // It would take the credential off again.
        guard::refuse_connection_fields(&parts.headers, redactor)?;
        let secret = credential
            .authorization()
            .await
            .map_err(BrokerError::from)?;
        if let Ok(mut value) = HeaderValue::from_str(secret.expose()) {
            value.set_sensitive(true);
            parts.headers.insert(AUTHORIZATION, value);
        }
        echo::ask_plain(&mut parts.headers);
        let caller = credential.caller(&self.shared.key);
        Ok(Some(Lent { secret, caller }))
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

    /// What is supposed to be proven, and the certificate of the connection.
    pub(super) fn supposed(parts: &Parts, supposed: &Supposed, token: Option<&Caller>) -> Self {
        let mut identity = Self {
            jwt: supposed.jwt.clone(),
            ..Self::of(parts)
        };
        identity.teams = supposed.teams.teams(Shown {
            certificate: identity.certificate.as_deref(),
            jwt: identity.jwt.as_ref(),
            token: token.map(|caller| caller.id.as_str()),
        });
        identity.teams.extend(supposed.more_teams.iter().cloned());
        identity.teams.sort_unstable();
        identity.teams.dedup();
        identity
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

    /// Who asks, for every record and for the log. A request hides nothing of it: what was proven is no secret of its own,
    /// whatever else it shows.
    pub(super) fn told(&self, credential: Option<&Caller>, brokered: bool) -> event::Caller {
        // On the way of every request: where nothing was proven, nothing is made.
        let name = |text: &String| Redactor::default().text(text).cut(LONGEST_NAME);
        event::Caller {
            id: credential.map(|credential| credential.id.clone()),
            kind: credential.map(|credential| credential.kind.as_str()),
            brokered,
            teams: self.teams.clone(),
            certificate: self.certificate.as_ref().map(|it| event::CertificateNames {
                subject: name(&it.subject),
                spiffe_id: it.spiffe_id.as_ref().map(name),
                fingerprint: name(&it.fingerprint),
            }),
            jwt: self.jwt.as_ref().map(|it| event::JwtNames {
                issuer: name(&it.issuer),
                subject: name(&it.subject),
            }),
        }
    }

    /// By what its requests are counted: what it has proven, or else the whole credential that it shows. Nobody can take that
    /// name who has neither.
    pub(super) fn counted_as(&self, parts: &Parts, key: &HashKey) -> Option<TokenId> {
        let proven = self.name().map(|name| key.name(name.expose()));
        proven.or_else(|| guard::credential_name(parts, key))
    }

    /// Who that is, in one text that nobody else has, and that stays when a proof is renewed.
    pub(super) fn name(&self) -> Option<TokenSecret> {
        let name = match (&self.jwt, &self.certificate) {
            (Some(jwt), _) => format!("jwt {:?} {:?}", jwt.issuer, jwt.subject),
            (None, Some(certificate)) => certificate.holder().to_string(),
            (None, None) => return None,
        };
        Some(TokenSecret::new(name))
    }

    /// Who that is, as far as fairness goes.
    pub(super) fn proven(&self) -> Option<Who> {
        self.name().map(|name| Who::proven(&name))
    }

    /// As far as fairness goes: whoever has proven who it is, is the same everywhere.
    pub(super) fn who(&self, address: Address, head: &Head) -> Who {
        self.proven()
            .unwrap_or_else(|| Who::new(address, head.credential().as_ref()))
    }

    /// What policies see of what was proven. They have to see all of it: a request that shows a part of it as a secret, so
    /// that it would be hidden, is refused.
    pub(super) fn seen(
        &self,
        redactor: &Redactor,
    ) -> Result<(CallerCertificate, CallerJwt), ReadError> {
        let seen = (self.certificate(redactor), self.jwt(redactor));
        let unknowing = Redactor::default();
        let is_whole =
            !self.is_proven() || seen == (self.certificate(&unknowing), self.jwt(&unknowing));
        is_whole.then_some(seen).ok_or(ReadError::ShownProof)
    }

    /// What policies see of the certificate.
    fn certificate(&self, redactor: &Redactor) -> CallerCertificate {
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
    fn jwt(&self, redactor: &Redactor) -> CallerJwt {
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

/// The longest name of a caller that stands in a record, in bytes.
const LONGEST_NAME: usize = 256;

fn you_are(teams: &[String]) -> String {
    if teams.is_empty() {
        return "you are in none".to_owned();
    }
    format!("you are in {}, which is none", teams.join(", "))
}

/// Whether there is a token wherever a server might look for one.
fn shows_token(parts: &Parts) -> bool {
    let redactor = Redactor::default();
    let holds_token =
        |value: &HeaderValue| redactor.holds_token(&String::from_utf8_lossy(value.as_bytes()));
    let query = parts.uri.query();
    parts.headers.values().any(holds_token)
        || query.is_some_and(|query| redactor.holds_token(query))
}

/// Also in the field of an old standard, which some servers read alike.
fn has_cookie(parts: &Parts) -> bool {
    let cookies = parts.headers.get_all(COOKIE).iter();
    let mut cookies = cookies.chain(parts.headers.get_all("cookie2"));
    cookies.any(|cookie| !cookie.as_bytes().trim_ascii().is_empty())
}

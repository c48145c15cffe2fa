//! A request that nobody has made: what the policies that judge now would say to it. Nothing is sent, looked up or
//! recorded, and the answer opens no door.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use thiserror::Error;

use super::{HOST_OF_ONE, Read, Supposed};
use crate::dynatrace::current::{CurrentError, CurrentToken};
use crate::dynatrace::redact::Redacted;
use crate::gateway::Set;
use crate::gateway::environment::{Entrance, RouteError};
use crate::gateway::lookup::Found;
use crate::gateway::rejection::read_status;
use crate::guard::ReadError;
use crate::identity::Jwt;
use crate::listener::{Certificate, Peer};
use crate::policy::{Remedy, Verdict, Violation};

/// The request.
pub struct Supposition {
    pub method: Method,
    /// Below `/e/{environment-id}`, with the query.
    pub target: String,
    /// The public id of the token by which the caller is known.
    pub token: Option<String>,
    pub body: Option<Bytes>,
    pub address: IpAddr,
    pub certificate: Option<Arc<Certificate>>,
    pub jwt: Option<Jwt>,
    /// Teams that the caller belongs to, whatever the list says.
    pub teams: Vec<String>,
    /// By name. Where there is one only, nobody has to say it.
    pub environment: Option<String>,
    /// The token that is to be changed, as Dynatrace would tell it.
    pub current: Option<Vec<u8>>,
    pub time: jiff::Timestamp,
}

/// What would become of it.
pub enum Supposal {
    /// It is open traffic, which no policy sees.
    Open,
    Judged(Box<Opinion>),
}

/// What the policies say.
pub struct Opinion {
    pub allowed: bool,
    pub violations: Vec<Redacted<Violation>>,
    pub remedy: Option<Redacted<Remedy>>,
    pub operation: String,
    pub api: String,
    pub revision: String,
    /// Whether it changes a token that the policies ask about, and nobody has said how that is.
    pub token_is_unknown: bool,
}

/// Why there is no opinion. It may hold text of whoever asks: what shows it has to take secrets out.
#[derive(Debug, Error)]
pub enum SupposeError {
    #[error("the token as it is cannot be read: {0}")]
    Current(#[from] CurrentError),
    #[error("{0}")]
    Environment(&'static str),
    #[error("this cannot be a request: {0}")]
    Http(#[from] http::Error),
    /// The gate would refuse it before any policy.
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Route(#[from] RouteError),
}

impl SupposeError {
    /// What a request would be answered with, or the question is.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Read(error) => read_status(error),
            Self::Route(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Current(_) | Self::Environment(_) | Self::Http(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl Set {
    /// What would become of a request.
    pub fn suppose(&self, supposition: Supposition) -> Result<Supposal, SupposeError> {
        let entrance = self
            .environments
            .entrance(supposition.environment.as_deref());
        let entrance = entrance.map_err(SupposeError::Environment)?;
        let current = supposition.current.as_deref().map(CurrentToken::parse);
        let found = current
            .transpose()?
            .map(|token| Found::rehearsed(Ok(token)));
        let time = supposition.time;
        let supposed = Supposed {
            jwt: supposition.jwt.clone(),
            teams: self.teams.clone(),
            more_teams: supposition.teams.clone(),
        };
        let request = request(supposition, &entrance)?;
        let Some(read) = Read::of(request, &self.limits, &self.catalogue, &supposed)? else {
            return Ok(Supposal::Open);
        };
        let head = read.call.head();
        let environment = self.environments.guarded(&read.parts, head)?;
        let redactor = read.recorder.redactor();
        let told = environment.input(head, redactor);
        let input = read.input(told, found.as_ref(), self.reads_envoy, time)?;
        let decision = self.policy.decide(&input);
        let violations = decision.violations.iter();
        Ok(Supposal::Judged(Box::new(Opinion {
            allowed: decision.verdict == Verdict::Allow,
            violations: violations.map(|found| redactor.all(found)).collect(),
            remedy: decision
                .remedy
                .as_deref()
                .map(|remedy| redactor.all(remedy)),
            token_is_unknown: self.policy.reads_the_token() && input.was_not_looked_up(),
            operation: input.operation,
            api: input.api,
            revision: decision.revision,
        })))
    }
}

fn request(supposition: Supposition, entrance: &Entrance) -> Result<Request<Bytes>, http::Error> {
    let prefix = entrance.id.as_ref().map(|id| format!("/e/{id}"));
    let target = format!("{}{}", prefix.unwrap_or_default(), supposition.target);
    let mut request = Request::builder()
        .method(supposition.method)
        .uri(target)
        .header(HOST, entrance.host.as_deref().unwrap_or(HOST_OF_ONE));
    if let Some(token) = &supposition.token {
        // The gate reads who calls from the credential, so that there has to be one.
        let scheme = if token.starts_with("dt0c") {
            "Api-Token"
        } else {
            "Bearer"
        };
        let mut credential = HeaderValue::from_str(&format!("{scheme} {token}.{MADE_UP}"))?;
        credential.set_sensitive(true);
        request = request.header(AUTHORIZATION, credential);
    }
    if supposition.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let address = SocketAddr::from((supposition.address, 0));
    let request = request.extension(Peer {
        address,
        tls: true,
        certificate: supposition.certificate,
        connection: address,
    });
    request.body(supposition.body.unwrap_or_default())
}

/// What the caller's secret is, where only its public id is known.
const MADE_UP: &str = "MADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADE";

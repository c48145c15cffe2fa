//! A request that nobody has made: what the policies that judge now would say to it. Nothing is sent, looked up or
//! recorded, and the answer opens no door.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use thiserror::Error;

use super::{HOST_OF_ONE, Read, Supposed};
use crate::dynatrace::current::{CurrentError, CurrentToken};
use crate::dynatrace::redact::Redacted;
use crate::gateway::environment::{Entrance, RouteError};
use crate::gateway::lookup::Found;
use crate::gateway::rejection::read_status;
use crate::gateway::unseen::{self, UnknownWrites};
use crate::gateway::{Counts, Set};
use crate::guard::ReadError;
use crate::identity::Jwt;
use crate::listener::{Certificate, Peer};
use crate::policy::input::Amounts;
use crate::policy::{Input, Remedy, Verdict, Violation};

/// The request.
pub struct Supposition {
    pub method: Method,
    /// Below `/e/{environment-id}`, with the query.
    pub target: String,
    /// The public id of the token by which the caller is known.
    pub token: Option<String>,
    pub body: Option<Bytes>,
    /// Where an environment is not known by its own. `None`: nobody has said it.
    pub host: Option<String>,
    /// Besides those that every request has. `None`: nobody has said them.
    pub headers: Option<HeaderMap>,
    /// `None`: nobody has said it.
    pub address: Option<IpAddr>,
    pub certificate: Option<Arc<Certificate>>,
    pub jwt: Option<Jwt>,
    /// Teams that the caller belongs to, whatever the list says.
    pub teams: Vec<String>,
    /// By name. Where there is one only, nobody has to say it.
    pub environment: Option<String>,
    /// The token that is to be changed, as Dynatrace would tell it.
    pub current: Option<Vec<u8>>,
    pub time: jiff::Timestamp,
    /// What the caller did before it, where policies read that.
    pub before: Before,
}

impl Supposition {
    fn who(&self) -> Who {
        let has_subject = self.jwt.as_ref().is_some_and(|it| !it.subject.is_empty());
        let is_proven = self.certificate.is_some() || has_subject;
        if is_proven || self.token.is_some() || !self.teams.is_empty() {
            Who::Somebody
        } else {
            Who::Nobody
        }
    }
}

/// Where it is known from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Before {
    Said(Amounts),
    /// The gate counts it: the caller is known by what it has proven.
    Counted,
    /// The gate counts by whole credentials: zeros stand for it.
    Unknown,
}

/// What would become of it.
pub enum Supposal {
    /// It is open traffic, which no policy sees: of this operation, if the catalogue knows it.
    Open(Option<String>),
    Judged(Box<Opinion>),
}

/// What the policies say.
pub struct Opinion {
    pub allowed: bool,
    pub violations: Vec<Redacted<Violation>>,
    pub remedy: Option<Redacted<Remedy>>,
    pub operation: String,
    pub api: String,
    /// The name of the environment that it is for.
    pub environment: String,
    pub revision: String,
    /// What the policies ask about and nobody has said.
    pub unknown: Vec<Unknown>,
}

/// What is made up where nobody says it, or was not looked up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unknown {
    Address,
    /// Who calls: there is no token, no proof and no team.
    Caller,
    Headers,
    Host,
    /// The token as it is, of a request that changes it.
    Token,
    /// What the caller did within the last hour.
    Recent,
    /// Nobody belongs to a team that is said: the data have none of that name.
    Team,
}

/// What a question says of these.
struct Said {
    address: bool,
    who: Who,
    teams: Belongs,
    headers: bool,
    host: bool,
    before: Before,
}

/// Whether the data have all teams that are said.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Belongs {
    ToKnown,
    ToUnknown,
}

/// Whether a question says who calls.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Who {
    Somebody,
    Nobody,
}

/// Why there is no opinion. It may hold text of whoever asks: what shows it has to take secrets out.
#[derive(Debug, Error)]
pub enum SupposeError {
    #[error("the token as it is cannot be read: {0}")]
    Current(#[from] CurrentError),
    #[error("{0}")]
    Environment(String),
    #[error("this environment has a host of its own: leave the host out")]
    Host,
    #[error("this cannot be a request: {0}")]
    Http(#[from] http::Error),
    /// The gate would refuse it before any policy.
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error("the policies may be out of date, and changes are refused until they are not: {0}")]
    Stale(String),
    #[error("the catalogue does not know this write, and unknown_writes is \"refuse\"")]
    UnknownWrite,
}

const ANOTHER: &str = "the path is one of another environment than the one that is asked about";

impl SupposeError {
    /// What a request would be answered with, or the question is.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Read(error) => read_status(error),
            Self::Route(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Stale(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnknownWrite => StatusCode::FORBIDDEN,
            Self::Current(_) | Self::Environment(_) | Self::Host | Self::Http(_) => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}

impl Set {
    /// What would become of a request. `stale`: why changes are refused, whatever the policies say; `counts`: what callers
    /// did before.
    pub fn suppose(
        &self,
        supposition: Supposition,
        stale: &dyn Fn() -> Option<String>,
        counts: &Counts,
    ) -> Result<Supposal, SupposeError> {
        let entrance = self
            .environments
            .entrance(supposition.environment.as_deref());
        let entrance = entrance.map_err(SupposeError::Environment)?;
        let current = supposition.current.as_deref().map(CurrentToken::parse);
        let found = current
            .transpose()?
            .map(|token| Found::rehearsed(Ok(token)));
        let (time, before) = (supposition.time, supposition.before);
        let wanted = supposition.environment.clone();
        let supposed = Supposed {
            jwt: supposition.jwt.clone(),
            teams: self.teams.clone(),
            more_teams: supposition.teams.clone(),
            current: None,
        };
        let said = Said {
            address: supposition.address.is_some(),
            who: supposition.who(),
            teams: self.belongs(&supposition.teams),
            headers: supposition.headers.is_some(),
            host: supposition.host.is_some() || entrance.host.is_some(),
            before,
        };
        let (method, target) = (supposition.method.clone(), supposition.target.clone());
        let request = request(supposition, &entrance)?;
        let Some(read) = Read::of(request, &self.limits, &self.catalogue, &supposed)? else {
            return self.open(&method, &target);
        };
        let head = read.call.head();
        let environment = self.environments.guarded(&read.parts, head)?;
        let redactor = read.recorder.redactor();
        let told = environment.input(head, redactor);
        if wanted.is_some_and(|wanted| wanted != told.name) {
            return Err(SupposeError::Environment(ANOTHER.to_owned()));
        }
        let mut input = read.input(told, found.as_ref(), self.reads_envoy, time)?;
        if self.reads_recent {
            let counted = || counts.of(read.recorder.identity(), time);
            input.caller.recent = Some(match before {
                Before::Said(amounts) => amounts,
                Before::Counted => counted().unwrap_or_default(),
                Before::Unknown => Amounts::default(),
            });
        }
        if !input.only_disables()
            && let Some(reason) = stale()
        {
            return Err(SupposeError::Stale(reason));
        }
        let decision = self.policy.decide(&input);
        let violations = decision.violations.iter();
        Ok(Supposal::Judged(Box::new(Opinion {
            allowed: decision.verdict == Verdict::Allow,
            violations: violations.map(|found| redactor.all(found)).collect(),
            remedy: decision
                .remedy
                .as_deref()
                .map(|remedy| redactor.all(remedy)),
            unknown: self.unknown(&said, &input),
            operation: input.operation,
            api: input.api,
            environment: input.environment.name,
            revision: decision.revision,
        })))
    }

    /// Open traffic, unless it is a write that the catalogue would have to know.
    fn open(&self, method: &Method, target: &str) -> Result<Supposal, SupposeError> {
        let path = target.split('?').next().unwrap_or_default();
        if self.unknown_writes == UnknownWrites::Refuse
            && unseen::is_unknown(method, path, &self.catalogue)
        {
            return Err(SupposeError::UnknownWrite);
        }
        let row = self.catalogue.row(method.as_str(), path);
        let operation = row.map(|row| row.endpoint.operation.to_string());
        Ok(Supposal::Open(operation))
    }

    fn belongs(&self, teams: &[String]) -> Belongs {
        if teams.iter().all(|team| self.teams.ways(team).is_some()) {
            Belongs::ToKnown
        } else {
            Belongs::ToUnknown
        }
    }

    /// What the policies ask about and nobody has said.
    fn unknown(&self, said: &Said, input: &Input) -> Vec<Unknown> {
        let policy = &self.policy;
        let reads = |members: &[&str]| members.iter().any(|member| policy.reads(member));
        let all = [
            (Unknown::Address, !said.address && reads(&OF_ADDRESS)),
            // Whatever they read: modes and exceptions are for callers, too.
            (Unknown::Caller, said.who == Who::Nobody),
            (Unknown::Team, said.teams == Belongs::ToUnknown),
            (Unknown::Headers, !said.headers && reads(&[HEADERS])),
            (Unknown::Host, !said.host && reads(&[HOST_MEMBER])),
            (
                Unknown::Token,
                policy.reads_the_token() && input.was_not_looked_up(),
            ),
            (
                Unknown::Recent,
                said.before == Before::Unknown && self.reads_recent,
            ),
        ];
        let unknown = all.into_iter().filter(|(_, is_unknown)| *is_unknown);
        unknown.map(|(what, _)| what).collect()
    }
}

fn request(supposition: Supposition, entrance: &Entrance) -> Result<Request<Bytes>, SupposeError> {
    let host = match (&entrance.host, &supposition.host) {
        (Some(_), Some(_)) => return Err(SupposeError::Host),
        (Some(host), None) | (None, Some(host)) => host.as_str(),
        (None, None) => HOST_OF_ONE,
    };
    let prefix = entrance.id.as_ref().map(|id| format!("/e/{id}"));
    let target = format!("{}{}", prefix.unwrap_or_default(), supposition.target);
    let mut request = Request::builder()
        .method(supposition.method)
        .uri(target)
        .header(HOST, host);
    if let Some(headers) = request.headers_mut() {
        headers.extend(supposition.headers.unwrap_or_default());
    }
    if let Some(token) = &supposition.token {
        // The gate reads who calls from the credential, so that there has to be one.
        let scheme = if token.starts_with("dt0c") {
            "Api-Token"
        } else {
            "Bearer"
        };
        let credential = format!("{scheme} {token}.{MADE_UP}");
        let mut credential = HeaderValue::from_str(&credential).map_err(http::Error::from)?;
        credential.set_sensitive(true);
        request = request.header(AUTHORIZATION, credential);
    }
    if supposition.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let address = SocketAddr::from((supposition.address.unwrap_or(NOBODY), 0));
    let request = request.extension(Peer {
        address,
        tls: true,
        certificate: supposition.certificate,
        connection: address,
    });
    Ok(request.body(supposition.body.unwrap_or_default())?)
}

/// What the caller's secret is, where only its public id is known.
const MADE_UP: &str = "MADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADEUPMADE";

/// An address that nobody has.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Where policies find what is made up.
const OF_ADDRESS: [&str; 2] = ["input.caller.address", "input.attributes.source"];
const HEADERS: &str = "input.attributes.request.http.headers";
const HOST_MEMBER: &str = "input.attributes.request.http.host";

//! The token as it is now, asked for before a change of it is judged, when a policy wants to know.
//!
//! The question is asked with the caller's own credential, or with a read-only token of the gate's. The turn
//! of the token comes with the answer: while it is held nobody else changes the token through this gate, so
//! that the difference is still true when the change is sent.

use std::path::PathBuf;

use http::header::{ACCEPT, AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;

use super::client::Who;
use super::credential::{self, CredentialError};
use super::environment::Environment;
use super::headers;
use super::line::Crowded;
use super::traced;
use super::turns::{Turn, Turns};
use super::upstream::{Question, UpstreamError};
use crate::dynatrace::change::TokenChange;
use crate::dynatrace::current::CurrentToken;
use crate::dynatrace::token::{TokenReference, TokenSecret};
use crate::guard::Call;
use crate::listener::Body;
use crate::policy::Policy;
use crate::store::{self, TurnError};
use crate::telemetry::{Limit, Step, Trace};
use crate::value::Duration;

/// How tokens are looked up.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// File with a token that may read tokens (`apiTokens.read`), used instead of the caller's.
    pub token_file: Option<PathBuf>,
    /// For one lookup, and for the wait until another change of the same token is done.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            token_file: None,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Looks tokens up. Clones share the turns.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Whether a loaded policy reads what only a lookup can tell.
    wanted: bool,
    /// The value of `Authorization`, where the gate has a token of its own.
    own: Option<TokenSecret>,
    timeout: Duration,
    /// How long another change of the same token is waited for.
    patience: std::time::Duration,
    turns: Turns,
}

/// Who asks, about what, and where.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) environment: &'a Environment,
    pub(super) call: &'a Call,
    pub(super) parts: &'a Parts,
    pub(super) request_id: &'a str,
    pub(super) who: Who,
    pub(super) trace: &'a Trace,
    /// Where several gates take turns.
    pub(super) fleet: Option<&'a store::Turns>,
}

/// What is known about a token, and the right to change it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) current: Option<CurrentToken>,
    /// Why it is not known.
    pub(super) error: Option<LookupError>,
    /// Held until the change was answered: those of this gate, and of all gates.
    turns: Vec<Turn>,
    fleet: Vec<store::Turn>,
    /// Other gates may change the token at the same time, because the store is away.
    is_alone: bool,
}

impl Found {
    /// What a lookup that nobody made came to.
    pub(super) fn rehearsed(told: Result<CurrentToken, LookupError>) -> Self {
        let (current, error) = match told {
            Ok(current) => (Some(current), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            current,
            error,
            ..Self::default()
        }
    }

    /// Whether the token can still be nobody else's until a change that is sent now is answered.
    pub(super) async fn is_ours(&self) -> bool {
        for turn in &self.fleet {
            if !turn.is_good().await {
                return false;
            }
        }
        true
    }

    /// Whether other gates may change the token at the same time.
    pub(super) fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Whether Dynatrace said that there is no such token.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.error, Some(LookupError::Status(StatusCode::NOT_FOUND)))
    }
}

/// Why a token is not known.
#[derive(Debug, Error)]
pub(super) enum LookupError {
    #[error("Dynatrace's answer is no token ({0})")]
    Answer(String),
    #[error("Dynatrace's answer is longer than a token's ({MAX_ANSWER} bytes)")]
    Long,
    #[error("the token cannot be looked up: {0}")]
    Request(&'static str),
    #[error("{}", status_text(*.0))]
    Status(StatusCode),
    #[error("Dynatrace did not tell the token within {}", humantime::format_duration(*.0))]
    Timeout(std::time::Duration),
    #[error("another change of this token was not done within {}; try again", humantime::format_duration(*.0))]
    Turn(std::time::Duration),
    #[error("too many changes of this token by one caller wait already; try again")]
    Turns,
    #[error("the token could not be looked up: {0}")]
    Upstream(#[from] UpstreamError),
}

impl LookupError {
    /// The limit that was reached, if it was one.
    pub(super) fn limit(&self) -> Option<Limit> {
        match self {
            Self::Long => Some(Limit::LookupAnswer),
            Self::Timeout(_) | Self::Turn(_) | Self::Turns => Some(Limit::Lookup),
            Self::Upstream(error) => error.limit(),
            Self::Answer(_) | Self::Request(_) | Self::Status(_) => None,
        }
    }
}

fn status_text(status: StatusCode) -> String {
    let reason = match status.as_u16() {
        401 => {
            "the credential is not valid there (a token of an issuer that the gate does not know is sent there, too)"
        }
        403 => {
            "the credential may not read tokens: give it apiTokens.read (TenantTokenManagement for v1), or let whoever runs the gate set lookup.token_file"
        }
        404 => return "there is no such token: Dynatrace answered 404 to the lookup".to_owned(),
        _ => "no token could be read from that",
    };
    format!(
        "Dynatrace answered {} to the lookup: {reason}",
        status.as_u16()
    )
}

impl Lookup {
    pub fn new(config: &Config, policy: &Policy) -> Result<Self, CredentialError> {
        let wanted = policy.reads_the_token();
        Ok(Self {
            wanted,
            own: config
                .token_file
                .as_deref()
                .map(credential::own)
                .transpose()?,
            timeout: config.timeout,
            patience: config.timeout.into(),
            turns: Turns::new(config.timeout.into()),
        })
    }

    /// The same lookup for other policies.
    #[must_use]
    pub fn of(&self, policy: &Policy) -> Self {
        Self {
            wanted: policy.reads_the_token(),
            ..self.clone()
        }
    }

    /// The same lookup, where whoever has the turn of a token in this gate may have to wait so long for that of all gates.
    #[must_use]
    pub fn behind(mut self, others: Duration) -> Self {
        self.patience = self.timeout.as_std() + others.as_std();
        self.turns = Turns::new(self.patience);
        self
    }

    /// The same lookup in the place of another one: tokens that are being changed stay taken.
    pub(super) fn after(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before {
            self.turns = self.turns.after(&before.turns);
        }
        self
    }

    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.own == other.own
    }

    /// Whether a loaded policy wants to know tokens.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Looks up the token that a call would change. `None`: nobody wants to know, or there is none.
    pub(super) async fn look(&self, asking: Asking<'_>) -> Result<Option<Found>, TurnError> {
        let path = asking.call.head().path();
        let Some(token) = path.token() else {
            return Ok(None);
        };
        if !self.wanted || !path.endpoint().operation.changes_token() {
            return Ok(None);
        }
        asking.trace.step(Step::LookUp);
        asking
            .trace
            .tell_step(|said| traced::asks(said, asking.environment));
        let id = token.id().as_str();
        let mut found = self.in_turn(id, token, &asking).await?;
        // Two ids of one token (a UUID and a public id) must not be two turns, so that the turn of the id which
        // Dynatrace gives is taken as well. Whoever has that one waits for no further: no circle can form.
        let other = found.current.as_ref().and_then(|token| token.id.clone());
        if let Some(other) = other.filter(|other| other != id) {
            let before = found;
            found = self.in_turn(&other, token, &asking).await?;
            found.turns.extend(before.turns);
            found.fleet.extend(before.fleet);
            found.is_alone |= before.is_alone;
        }
        asking
            .trace
            .tell_step(|said| traced::looked_up(said, &found));
        Ok(Some(found))
    }

    /// Takes the turn of an id, then asks. Where others have it, whoever wants to wait asks before that as well:
    /// callers who may not know the token must not stand in the way of those who may.
    async fn in_turn(
        &self,
        id: &str,
        token: &TokenReference,
        asking: &Asking<'_>,
    ) -> Result<Found, TurnError> {
        // Not by `/e/{environment-id}` as well: a SaaS environment also answers below `/e/1`.
        let key = format!("{} {id}", asking.environment.name);
        let failed = |error| {
            Ok(Found {
                error: Some(error),
                is_alone: asking.fleet.is_some(),
                ..Found::default()
            })
        };
        let turn = if let Some(turn) = self.turns.try_take(&key) {
            turn
        } else {
            if let (_, Some(error)) = self.told(token, asking).await {
                return failed(error);
            }
            match self.turns.take(&key, asking.who).await {
                Ok(turn) => turn,
                Err(Crowded::Full) => return failed(LookupError::Turns),
                Err(Crowded::Late) => return failed(LookupError::Turn(self.patience)),
            }
        };
        let (mut fleet, mut is_alone) = (Vec::new(), false);
        if let Some(turns) = asking.fleet {
            match turns.take(&asking.environment.name, id).await {
                Ok(turn) => fleet.push(turn),
                Err(TurnError::Away(_)) if turns.is_optional() => is_alone = true,
                // A token that has leaked is switched off, whoever else changes it.
                Err(_no_turn) if only_disables(asking.call) => is_alone = true,
                Err(error) => return Err(error),
            }
        }
        let (current, error) = self.told(token, asking).await;
        Ok(Found {
            current,
            error,
            turns: vec![turn],
            fleet,
            is_alone,
        })
    }

    /// The answer in time, or why there is none.
    async fn told(
        &self,
        token: &TokenReference,
        asking: &Asking<'_>,
    ) -> (Option<CurrentToken>, Option<LookupError>) {
        let timeout = self.timeout.into();
        let told = tokio::time::timeout(timeout, self.ask(token, asking)).await;
        match told.unwrap_or(Err(LookupError::Timeout(timeout))) {
            Ok(current) if is_another(&current, token) => {
                let reason = "it is about another token".to_owned();
                (None, Some(LookupError::Answer(reason)))
            }
            Ok(current) => (Some(current), None),
            Err(error) => (None, Some(error)),
        }
    }

    /// Asks by the id in the path, or by the secret where the path has one that names no id.
    async fn ask(
        &self,
        token: &TokenReference,
        asking: &Asking<'_>,
    ) -> Result<CurrentToken, LookupError> {
        let upstream = &asking.environment.upstream;
        let collection = self.collection(asking);
        let headers = self.headers(asking)?;
        // The public id of a whole token; else what stands in the path.
        let id = if token.is_hashed() {
            token.raw().expose()
        } else {
            token.id().as_str()
        };
        let get = Question::read(&collection, id, headers.clone());
        match read(upstream.ask(get).await?).await {
            Err(LookupError::Status(StatusCode::NOT_FOUND)) if token.is_hashed() => {
                let body = json!({"token": token.raw().expose()}).to_string();
                let lookup = Question::lookup(&collection, headers, body);
                read(upstream.ask(lookup).await?).await
            }
            answered => answered,
        }
    }

    /// Where the tokens are: as in the request. A token that may only read is one for v2.
    fn collection(&self, asking: &Asking<'_>) -> String {
        let path = asking.call.head().path();
        let collection = path.collection(asking.environment.strips());
        match (&self.own, collection.strip_suffix("/v1/tokens")) {
            (Some(_), Some(root)) if !root.ends_with("/cluster") => format!("{root}/v2/apiTokens"),
            _ => collection,
        }
    }

    fn headers(&self, asking: &Asking<'_>) -> Result<HeaderMap, LookupError> {
        let mut fields = HeaderMap::new();
        let callers = asking.call.head().credential();
        // Who shows nothing is told nothing by the gate's own token.
        if self.own.is_some() && callers.is_none() {
            return Err(LookupError::Request("the request shows no credential"));
        }
        let credential = self.own.clone().or(callers);
        if let Some(credential) = credential {
            let mut value = HeaderValue::from_str(credential.expose())
                .map_err(|_invalid| LookupError::Request("its credential is not plain text"))?;
            value.set_sensitive(true);
            fields.insert(AUTHORIZATION, value);
        } else {
            // A session of the web UI.
            for cookie in asking.parts.headers.get_all(COOKIE) {
                fields.append(COOKIE, cookie.clone());
            }
        }
        fields.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers::for_upstream(&mut fields, asking.parts.version, asking.request_id);
        asking.trace.pass_on(&mut fields);
        Ok(fields)
    }
}

/// The answer's body is read here and nowhere else: it is neither logged nor recorded.
async fn read(response: Response<Body>) -> Result<CurrentToken, LookupError> {
    if response.status() != StatusCode::OK {
        return Err(LookupError::Status(response.status()));
    }
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            LookupError::Long
        } else {
            LookupError::Answer(error.to_string())
        }
    })?;
    CurrentToken::parse(&body.to_bytes()).map_err(|error| LookupError::Answer(error.to_string()))
}

/// Whether a call asks for nothing but that the token be disabled.
fn only_disables(call: &Call) -> bool {
    let only = TokenChange {
        enabled: Some(false),
        ..TokenChange::default()
    };
    *call.change() == only && call.understood().unknown_members.is_empty()
}

/// Whether both have a public id, and not the same.
fn is_another(current: &CurrentToken, token: &TokenReference) -> bool {
    let public = |id: &str| id.starts_with("dt0");
    let asked = token.id().as_str();
    let told = current.id.as_deref();
    told.is_some_and(|told| public(told) && public(asked) && told != asked)
}

/// A token with a hundred scopes has a few KiB.
const MAX_ANSWER: usize = 256 * 1024;

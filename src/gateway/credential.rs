//! The credential that the gate has for an environment: callers who have proven who they are need none of their own.

mod access;
mod config;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use http::request::Parts;

use crate::dynatrace::token::{Caller, HashKey, TokenSecret};
use crate::guard;
use crate::outbound::OutboundError;
use crate::telemetry::Metrics;
use crate::value::unread;
use access::Access;

pub use access::AccessError;
pub use config::{Config, OAuth, Secret, TokenUrl, Traffic};

/// A credential, and what it may be used for. Clones share an access token.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    source: Source,
    traffic: Traffic,
    /// Empty: everybody who has proven who he is.
    teams: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Source {
    /// The value of `Authorization`.
    Own(TokenSecret),
    Access(Access),
}

/// Why the gate has no credential.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("{}: {}", path.display(), unread(error))]
    Io {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{}: one token is expected in it, and nothing else", path.display())]
    NoToken { path: PathBuf },
    #[error(transparent)]
    Outbound(#[from] OutboundError),
}

impl Credential {
    /// Reads files; asks nobody yet. `before`: of an access token that is still good it is kept.
    pub(super) fn new(
        config: &Config,
        before: Option<&Self>,
        metrics: &Metrics,
    ) -> Result<Self, CredentialError> {
        let source = match &config.secret {
            Secret::File(path) => Source::Own(own(path)?),
            Secret::OAuth(oauth) => {
                let before = before.and_then(|before| match &before.source {
                    Source::Own(_) => None,
                    Source::Access(access) => Some(access),
                });
                Source::Access(Access::new(oauth, before, metrics)?)
            }
        };
        Ok(Self {
            source,
            traffic: config.traffic,
            teams: config.teams.iter().cloned().collect(),
        })
    }

    /// Whether a caller of these teams may use it.
    pub(super) fn is_for(&self, teams: &[String]) -> bool {
        self.teams.is_empty() || teams.iter().any(|team| self.teams.contains(team))
    }

    /// Whether a request of open traffic is sent with it.
    pub(super) fn is_for_open(&self, parts: &Parts) -> bool {
        match self.traffic {
            Traffic::Guarded => false,
            Traffic::Reads => guard::only_reads(parts),
            Traffic::All => true,
        }
    }

    /// By what name it is known: an access token has none that stays, so it is the client's.
    pub(super) fn caller(&self, authorization: &TokenSecret, key: &HashKey) -> Caller {
        match &self.source {
            Source::Own(_) => Caller::from_authorization(authorization.expose(), key),
            Source::Access(access) => {
                Caller::from_authorization(&format!("Bearer {}", access.client()), key)
            }
        }
    }

    /// The value of `Authorization`.
    pub(super) async fn authorization(&self) -> Result<TokenSecret, AccessError> {
        match &self.source {
            Source::Own(secret) => Ok(secret.clone()),
            Source::Access(access) => access.token().await,
        }
    }

    /// Whether the two would be told apart by nobody.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let same = match (&self.source, &other.source) {
            (Source::Own(one), Source::Own(two)) => one == two,
            (Source::Access(one), Source::Access(two)) => one.is_like(two),
            _ => false,
        };
        same && self.traffic == other.traffic && self.teams == other.teams
    }
}

/// The token in a file, as `Authorization` has it: platform tokens and access tokens are borne, API tokens have a
/// scheme of their own.
pub(super) fn own(path: &Path) -> Result<TokenSecret, CredentialError> {
    let text = std::fs::read_to_string(path).map_err(|error| CredentialError::Io {
        path: path.to_owned(),
        error,
    })?;
    let token = text.trim();
    let longest = token.len() <= LONGEST;
    if token.is_empty() || !longest || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CredentialError::NoToken {
            path: path.to_owned(),
        });
    }
    let is_borne = token.starts_with("dt0s") || token.starts_with("eyJ");
    let scheme = if is_borne { "Bearer" } else { "Api-Token" };
    Ok(TokenSecret::new(format!("{scheme} {token}")))
}

/// Of a token, in bytes.
const LONGEST: usize = 16 << 10;

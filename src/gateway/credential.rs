//! The credential that the gate has for an environment: callers who have proven who they are need none of their own.

mod access;
mod config;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use http::request::Parts;
use serde::Serialize;

use crate::dynatrace::token::{Caller, HashKey, TokenSecret};
use crate::guard;
use crate::outbound::OutboundError;
use crate::telemetry::Metrics;
use crate::value::{read_setting, unread};
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

/// A credential, without anything that is secret of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Brokered {
    pub environment: String,
    /// `file` or `oauth`.
    pub kind: &'static str,
    /// Its public id.
    pub id: String,
    pub traffic: Traffic,
    /// Empty: everybody who has proven who he is.
    pub teams: Vec<String>,
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
    #[error(
        "{}: that is the secret of an OAuth client, and no token: write [credential.oauth] with client_id and \
         client_secret_file instead",
        path.display()
    )]
    Client { path: PathBuf },
    #[error("{}: one token is expected in it, and nothing else", path.display())]
    NoToken { path: PathBuf },
    #[error(
        "{}: that is the public part of a token alone: write all of it, such as dt0c01.PUBLIC.SECRET",
        path.display()
    )]
    Public { path: PathBuf },
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
    pub(super) fn caller(&self, key: &HashKey) -> Caller {
        match &self.source {
            Source::Own(secret) => Caller::from_authorization(secret.expose(), key),
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

    /// What operators are told of it, as that of an environment.
    pub(super) fn told(&self, environment: &str, key: &HashKey) -> Brokered {
        Brokered {
            environment: environment.to_owned(),
            kind: match &self.source {
                Source::Own(_) => "file",
                Source::Access(_) => "oauth",
            },
            id: self.caller(key).id.to_string(),
            traffic: self.traffic,
            teams: self.teams.iter().cloned().collect(),
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
    let text = read_setting(path).map_err(|error| CredentialError::Io {
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
    if token.starts_with("dt0s02.") {
        return Err(CredentialError::Client {
            path: path.to_owned(),
        });
    }
    if token.starts_with("dt0") && token.matches('.').count() == 1 {
        return Err(CredentialError::Public {
            path: path.to_owned(),
        });
    }
    let is_borne = token.starts_with("dt0s") || token.starts_with("eyJ");
    let scheme = if is_borne { "Bearer" } else { "Api-Token" };
    Ok(TokenSecret::new(format!("{scheme} {token}")))
}

/// Of a token, in bytes.
const LONGEST: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dynatrace_would_never_take_is_no_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            own(&path)
                .map(|secret| secret.expose().to_owned())
                .map_err(|error| error.to_string())
        };
        for (text, said) in [
            ("", "one token is expected"),
            ("Api-Token dt0c01.A.B", "one token is expected"),
            (
                "dt0c01.ST2EY72KQINMH574WMNVI7YN",
                "public part of a token alone",
            ),
            ("dt0s16.ABCDEFGH\n", "public part of a token alone"),
            ("dt0s02.ABCD1234.SECRETPART", "secret of an OAuth client"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
            assert!(!error.contains("SECRETPART"), "{error}");
        }
        for (text, wanted) in [
            ("dt0c01.A.B\n", "Api-Token dt0c01.A.B"),
            ("dt0s16.A.B", "Bearer dt0s16.A.B"),
            ("eyJhbGciOiJ.e30.c2ln", "Bearer eyJhbGciOiJ.e30.c2ln"),
            ("abcdefghijklmnopqrstu", "Api-Token abcdefghijklmnopqrstu"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(wanted));
        }
    }
}

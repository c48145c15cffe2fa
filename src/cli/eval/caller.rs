//! What a caller is supposed to have proven, from the command line: claims, a certificate, teams.

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::gateway::Supposed;
use crate::identity::supposed::{self, Members};
use crate::identity::{Jwt, Teams};
use crate::listener::Certificate;
use crate::value::unread;

#[derive(Debug, Args)]
pub(super) struct Caller {
    /// The claims of the JSON Web Token that the caller shows to the gate: JSON, or @FILE
    #[arg(long, value_name = "CLAIMS")]
    jwt: Option<String>,
    /// The client certificate that it shows: JSON, as in `input.caller.certificate`, or @FILE
    #[arg(long, value_name = "MEMBERS")]
    certificate: Option<String>,
    /// A team that it belongs to besides those that `data.callers` says; may be repeated
    #[arg(long, value_name = "NAME")]
    team: Vec<String>,
}

impl Caller {
    /// Whether any of it is said.
    pub(super) fn is_said(&self) -> bool {
        self.is_proven() || !self.team.is_empty()
    }

    /// Whether the caller would have proven who it is.
    pub(super) fn is_proven(&self) -> bool {
        self.jwt.is_some() || self.certificate.is_some()
    }

    pub(super) fn supposed(&self, teams: Teams) -> anyhow::Result<Supposed> {
        let claims = self.jwt.as_ref();
        let claims = claims.map(|given| json::<Map<String, Value>>("--jwt", given).map(|it| it.0));
        Ok(Supposed {
            jwt: claims.transpose()?.map(jwt).transpose()?,
            teams,
            more_teams: self.team.clone(),
            current: None,
        })
    }

    /// A certificate that says no more than what is given, and that is good today.
    pub(super) fn certificate(&self, now: Timestamp) -> anyhow::Result<Option<Arc<Certificate>>> {
        let Some(given) = &self.certificate else {
            return Ok(None);
        };
        let (members, text) = json::<Members>("--certificate", given)?;
        let certificate = members.certificate(&text, now);
        let certificate = certificate.context("--certificate: not_after")?;
        Ok(Some(Arc::new(certificate)))
    }
}

/// The value of an option, and its text.
fn json<T: DeserializeOwned>(option: &str, given: &str) -> anyhow::Result<(T, String)> {
    let text = match given.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| anyhow!("{option} {path}: {}", unread(&error)))?,
        None => given.to_owned(),
    };
    // It is not repeated: it may be a token, which is a secret.
    if !text.trim_start().starts_with('{') {
        bail!("{option}: write JSON such as {{\"sub\": \"ci\"}}, or @FILE with it; no token");
    }
    let value = serde_json::from_str(&text).with_context(|| option.to_owned())?;
    Ok((value, text))
}

fn jwt(claims: Map<String, Value>) -> anyhow::Result<Jwt> {
    supposed::jwt(claims).context("--jwt: give \"iss\" too: the issuer of the token")
}

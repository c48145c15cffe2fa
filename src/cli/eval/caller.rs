//! What a caller is supposed to have proven, from the command line: claims, a certificate, teams.

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use http::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::gateway::Supposed;
use crate::identity::{Jwt, Teams};
use crate::listener::Certificate;
use crate::value::{Sha256Hex, unread};

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

/// What may be said of a certificate. A name that is misspelt is refused.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Members {
    subject: String,
    issuer: String,
    serial: String,
    dns: Vec<String>,
    uris: Vec<String>,
    emails: Vec<String>,
    addresses: Vec<String>,
    spiffe_id: String,
    fingerprint: String,
    not_after: Option<String>,
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
        })
    }

    /// A certificate that says no more than what is given, and that is good today.
    pub(super) fn certificate(&self, now: Timestamp) -> anyhow::Result<Option<Arc<Certificate>>> {
        let Some(given) = &self.certificate else {
            return Ok(None);
        };
        let (members, text) = json::<Members>("--certificate", given)?;
        let spiffe_id = Some(members.spiffe_id).filter(|id| !id.is_empty());
        let uris = match &spiffe_id {
            Some(id) if members.uris.is_empty() => vec![id.clone()],
            _ => members.uris,
        };
        // Every certificate has one.
        let fingerprint = match &*members.fingerprint {
            "" => Sha256Hex::of(text.as_bytes()).as_str().to_owned(),
            _ => members.fingerprint,
        };
        let not_after = match members.not_after {
            Some(text) => text.parse().context("--certificate: not_after")?,
            None => now.checked_add(SignedDuration::from_hours(24))?,
        };
        Ok(Some(Arc::new(Certificate {
            subject: members.subject,
            issuer: members.issuer,
            serial: members.serial,
            dns: members.dns,
            uris,
            emails: members.emails,
            addresses: members.addresses,
            spiffe_id,
            fingerprint,
            not_after,
        })))
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
    let text = |name: &str| {
        let text = claims.get(name).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let listed = |value: &Value| match value {
        Value::Array(listed) => listed.clone(),
        one => vec![one.clone()],
    };
    let audiences = claims.get("aud").map(listed).unwrap_or_default();
    let audiences = audiences.iter().filter_map(Value::as_str);
    Ok(Jwt {
        issuer: text("iss").context("--jwt: give \"iss\" too: the issuer of the token")?,
        subject: text("sub").unwrap_or_default(),
        audiences: audiences.map(str::to_owned).collect(),
        id: text("jti"),
        field: AUTHORIZATION,
        claims,
    })
}

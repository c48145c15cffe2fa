//! What a caller is supposed to have proven, where nobody has shown anything: claims, a certificate.

use http::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Jwt;
use crate::listener::Certificate;
use crate::value::Sha256Hex;

/// What may be said of a certificate. A name that is misspelt is refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Members {
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub emails: Vec<String>,
    pub addresses: Vec<String>,
    pub spiffe_id: String,
    pub fingerprint: String,
    pub not_after: Option<String>,
}

impl Members {
    /// Whether it names somebody.
    pub fn has_name(&self) -> bool {
        let one = [&self.subject, &self.spiffe_id, &self.fingerprint];
        let many = [&self.dns, &self.uris, &self.emails, &self.addresses];
        let mut all = one.into_iter().chain(many.into_iter().flatten());
        all.any(|name| !name.is_empty())
    }

    /// A certificate that says no more than this, and that is good today; `text` has all of it.
    pub fn certificate(self, text: &str, now: Timestamp) -> Result<Certificate, jiff::Error> {
        let spiffe_id = Some(self.spiffe_id).filter(|id| !id.is_empty());
        let uris = match &spiffe_id {
            Some(id) if self.uris.is_empty() => vec![id.clone()],
            _ => self.uris,
        };
        // Every certificate has one.
        let fingerprint = match &*self.fingerprint {
            "" => Sha256Hex::of(text.as_bytes()).as_str().to_owned(),
            _ => self.fingerprint,
        };
        let not_after = match self.not_after {
            Some(text) => text.parse()?,
            None => now.checked_add(SignedDuration::from_hours(24))?,
        };
        Ok(Certificate {
            subject: self.subject,
            issuer: self.issuer,
            serial: self.serial,
            dns: self.dns,
            uris,
            emails: self.emails,
            addresses: self.addresses,
            spiffe_id,
            fingerprint,
            not_after,
        })
    }
}

/// A JSON Web Token with these claims; nothing where they name no issuer.
pub fn jwt(claims: Map<String, Value>) -> Option<Jwt> {
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
    Some(Jwt {
        issuer: text("iss")?,
        subject: text("sub").unwrap_or_default(),
        audiences: audiences.map(str::to_owned).collect(),
        id: text("jti"),
        field: AUTHORIZATION,
        claims,
    })
}

//! Who asked, in one shape for every record.

use serde::Serialize;

use crate::dynatrace::redact::Redacted;
use crate::dynatrace::token::TokenId;

/// Who asked: by which credential Dynatrace knows it, and what it has proven to the gate. The names in it are bounded: of
/// many callers one record can tell.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Caller {
    /// The public id of the credential that Dynatrace is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// That credential is the gate's own.
    #[serde(skip_serializing_if = "is_not")]
    pub brokered: bool,
    /// Those that it belongs to, by what it has shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateNames>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtNames>,
}

/// The names in a client's certificate. The fingerprint says which one it is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CertificateNames {
    pub subject: Redacted,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spiffe_id: Option<Redacted>,
    pub fingerprint: Redacted,
}

/// Whom a JSON Web Token is about, and who says so.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct JwtNames {
    pub issuer: Redacted,
    pub subject: Redacted,
}

impl Caller {
    /// None of it is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// In one short text, what is proven before what is only shown.
    pub fn name(&self) -> String {
        let proven = self.jwt.as_ref().map(|jwt| &jwt.subject);
        let proven = proven.or_else(|| self.certificate.as_ref().map(|it| &it.subject));
        let shown = self.id.as_ref().map(TokenId::as_str);
        let name = proven.map(Redacted::as_str).or(shown);
        let name = name.unwrap_or("nobody known");
        if self.teams.is_empty() {
            name.to_owned()
        } else {
            format!("{name} of {}", self.teams.join(", "))
        }
    }

    /// It, where any of it is known.
    pub fn known(&self) -> Option<&Self> {
        (!self.is_unknown()).then_some(self)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_not(it: &bool) -> bool {
    !it
}

//! Who belongs to which team: a list in the policies' data, `data.callers`, and what a caller has to show.
//!
//! A team that nobody can belong to, and one that everybody belongs to, is a mistake in the list and named with its
//! place. What is shown must have been checked before: this knows no signature.

mod read;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::everybodys::Everybodys;
use super::tokens::Jwt;
use crate::listener::Certificate;
pub use read::TeamsError;

/// The list. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Teams(Arc<[Team]>);

/// What a caller shows, as far as it was checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    pub certificate: Option<&'a Certificate>,
    pub jwt: Option<&'a Jwt>,
    /// The public id of the token for Dynatrace.
    pub token: Option<&'a str>,
}

/// By what a caller can prove that it belongs to a team.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ways {
    pub certificate: bool,
    pub jwt: bool,
}

#[derive(Debug)]
struct Team {
    name: String,
    certificates: Vec<ByCertificate>,
    jwt: Vec<ByClaim>,
    tokens: Vec<String>,
}

/// What a certificate has to have.
#[derive(Debug, PartialEq)]
enum ByCertificate {
    Dns(String),
    Fingerprint(String),
    Spiffe(Pattern),
    Subject(String),
    Uri(Pattern),
}

/// What a token of one issuer has to say.
#[derive(Debug, PartialEq)]
struct ByClaim {
    issuer: String,
    /// The names that lead to it: several, where it stands within others.
    claim: Vec<String>,
    value: Wanted,
}

#[derive(Debug, PartialEq)]
enum Wanted {
    Text(Pattern),
    /// A number, or true or false.
    Other(Value),
}

/// A text, or how it begins.
#[derive(Debug, PartialEq)]
enum Pattern {
    Begin(String),
    Whole(String),
}

impl Teams {
    /// Reads `data.callers`. `issuers`: what the issuers of the configuration are called in their tokens (`iss`), where there is
    /// a configuration.
    pub fn read(callers: &Value, issuers: Option<&[&str]>) -> Result<Self, TeamsError> {
        read::teams(callers, issuers).map(|teams| Self(teams.into()))
    }

    /// The names of the teams that a caller belongs to, in order.
    pub fn teams(&self, shown: Shown<'_>) -> Vec<String> {
        let teams = self.0.iter().filter(|team| team.has(shown));
        let mut names: Vec<String> = teams.map(|team| team.name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// All of them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|team| team.name.as_str())
    }

    /// The ways into a team, if there is one of that name.
    pub fn ways(&self, name: &str) -> Option<Ways> {
        let team = self.0.iter().find(|team| team.name == name)?;
        Some(Ways {
            certificate: !team.certificates.is_empty(),
            jwt: !team.jwt.is_empty(),
        })
    }

    /// Whether there is any team.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Team {
    fn has(&self, shown: Shown<'_>) -> bool {
        let by_certificate = |certificate| self.certificates.iter().any(|by| by.takes(certificate));
        let by_claim = |jwt| self.jwt.iter().any(|by| by.takes(jwt));
        let by_token = |token| self.tokens.iter().any(|known| known == token);
        shown.certificate.is_some_and(by_certificate)
            || shown.jwt.is_some_and(by_claim)
            || shown.token.is_some_and(by_token)
    }
}

impl ByCertificate {
    fn takes(&self, certificate: &Certificate) -> bool {
        match self {
            // Names of hosts mean the same in any case.
            Self::Dns(name) => {
                let mut names = certificate.dns.iter();
                names.any(|known| known.eq_ignore_ascii_case(name))
            }
            Self::Fingerprint(fingerprint) => certificate.fingerprint == *fingerprint,
            Self::Spiffe(pattern) => {
                let id = certificate.spiffe_id.as_deref();
                id.is_some_and(|id| pattern.takes(id))
            }
            Self::Subject(subject) => certificate.subject == *subject,
            Self::Uri(pattern) => certificate.uris.iter().any(|uri| pattern.takes(uri)),
        }
    }
}

impl ByClaim {
    fn takes(&self, jwt: &Jwt) -> bool {
        jwt.issuer == self.issuer
            && self.is_vouched(jwt)
            && within(&jwt.claims, &self.claim).is_some_and(|claim| match claim {
                Value::Array(listed) => listed.iter().any(|one| self.value.is(one)),
                one => self.value.is(one),
            })
    }

    /// Whether the issuer knows what the claim says. An address that nobody has verified can be another's (`OpenID` Connect
    /// Core, section 5.1); an issuer of one's own may leave it out.
    fn is_vouched(&self, jwt: &Jwt) -> bool {
        if self.claim != ["email"] {
            return true;
        }
        match jwt.claims.get("email_verified") {
            None => Everybodys::of(&self.issuer).is_none(),
            Some(Value::String(verified)) => verified == "true",
            Some(verified) => *verified == Value::Bool(true),
        }
    }
}

fn within<'c>(claims: &'c Map<String, Value>, names: &[String]) -> Option<&'c Value> {
    let (first, rest) = names.split_first()?;
    let claim = claims.get(first);
    rest.iter().fold(claim, |claim, name| claim?.get(name))
}

impl Wanted {
    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Text(pattern) => value.as_str().is_some_and(|text| pattern.takes(text)),
            Self::Other(wanted) => value == wanted,
        }
    }
}

impl Pattern {
    fn takes(&self, text: &str) -> bool {
        match self {
            Self::Begin(begin) => text.starts_with(begin),
            Self::Whole(whole) => text == whole,
        }
    }
}

#[cfg(test)]
mod tests;

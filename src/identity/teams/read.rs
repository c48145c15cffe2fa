//! Reads the list of teams, and names the place of whatever is wrong with it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{ByCertificate, ByClaim, Pattern, Team, Wanted};
use crate::dynatrace::redact::Redactor;
use crate::dynatrace::token::is_shown_id;
use crate::identity::everybodys::{Everybodys, Objection};

/// Why a list of teams cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("data.{place}: {reason}")]
pub struct TeamsError {
    /// As `callers[0].jwt[1].claim`.
    pub place: String,
    pub reason: String,
}

/// A value of the data, and where it stands.
#[derive(Clone)]
struct At<'v> {
    value: &'v Value,
    place: String,
}

pub(super) fn teams(callers: &Value, issuers: Option<&[&str]>) -> Result<Vec<Team>, TeamsError> {
    let callers = At {
        value: callers,
        place: "callers".to_owned(),
    };
    let mut names = BTreeSet::new();
    let mut teams = Vec::new();
    for at in callers.list("a list of teams")? {
        let team = team(&at, issuers)?;
        if !names.insert(team.name.clone()) {
            let reason = format!(
                "there is another team {:?}: write all of it there",
                team.name
            );
            return Err(at.wrong(reason));
        }
        teams.push(team);
    }
    Ok(teams)
}

fn team(at: &At<'_>, issuers: Option<&[&str]>) -> Result<Team, TeamsError> {
    let members = at.members(&["name", "certificates", "jwt", "tokens"])?;
    let name = at.required(members, "name")?.text()?;
    let list = |member: &str| match at.member(members, member) {
        Some(listed) => listed.list("a list"),
        None => Ok(Vec::new()),
    };
    let certificates = list("certificates")?.into_iter();
    let certificates = certificates.map(|at| by_certificate(&at));
    let jwt = list("jwt")?.into_iter().map(|at| by_claim(&at, issuers));
    let tokens = list("tokens")?.into_iter().map(|at| token(&at));
    let team = Team {
        name,
        certificates: certificates.collect::<Result<_, _>>()?,
        jwt: jwt.collect::<Result<_, _>>()?,
        tokens: tokens.collect::<Result<_, _>>()?,
    };
    if team.certificates.is_empty() && team.jwt.is_empty() && team.tokens.is_empty() {
        return Err(at.wrong("nobody can belong to it: give certificates, jwt or tokens"));
    }
    Ok(team)
}

fn by_certificate(at: &At<'_>) -> Result<ByCertificate, TeamsError> {
    let members = at.members(&["dns", "fingerprint", "spiffe", "subject", "uri"])?;
    let mut members = members.iter();
    let (Some((name, value)), None) = (members.next(), members.next()) else {
        return Err(at.wrong(
            "give one of dns, fingerprint, spiffe, subject and uri: who has any of several entries belongs to the team",
        ));
    };
    let at = At {
        value,
        place: format!("{}.{name}", at.place),
    };
    let text = at.text()?;
    match name.as_str() {
        "dns" => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if !text.bytes().all(fits) {
                return Err(
                    at.wrong("that is no name of a host, and an asterisk stands for nothing here")
                );
            }
            Ok(ByCertificate::Dns(text))
        }
        "fingerprint" => {
            let digits: String = text.chars().filter(|c| *c != ':').collect();
            let digits = digits.to_ascii_lowercase();
            if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(
                    at.wrong("that is no SHA-256: 64 hexadecimal digits, with colons or without")
                );
            }
            Ok(ByCertificate::Fingerprint(digits))
        }
        "spiffe" => {
            let pattern = at.pattern(text)?;
            let domain = pattern.text().strip_prefix("spiffe://");
            match domain.and_then(|rest| rest.split_once('/')) {
                Some((domain, _)) if !domain.is_empty() => Ok(ByCertificate::Spiffe(pattern)),
                _ => Err(at.wrong(
                    "that is no SPIFFE id, or it leaves the trust domain open: write \"spiffe://domain/path\", and an \
                     asterisk at the end for all that begin so",
                )),
            }
        }
        "subject" if text.contains('*') => {
            Err(at.wrong("an asterisk stands for nothing here: write the whole subject"))
        }
        "subject" => Ok(ByCertificate::Subject(text)),
        _ => {
            let pattern = at.pattern(text)?;
            let Some((_scheme, rest)) = pattern.text().split_once(':') else {
                return Err(at.wrong("that is no URI: write \"scheme:…\""));
            };
            // Half a name is the beginning of others' names.
            let named = rest.strip_prefix("//").map(|rest| rest.split_once('/'));
            let is_open = match named {
                Some(named) => named.is_none_or(|(authority, _)| authority.is_empty()),
                None => rest.trim_matches('/').is_empty(),
            };
            if is_open && matches!(pattern, Pattern::Begin(_)) {
                return Err(at.wrong(
                    "it leaves open whose URIs they are: write the whole name behind the scheme",
                ));
            }
            Ok(ByCertificate::Uri(pattern))
        }
    }
}

fn by_claim(at: &At<'_>, issuers: Option<&[&str]>) -> Result<ByClaim, TeamsError> {
    let members = at.members(&["issuer", "claim", "value"])?;
    let issuer_at = at.required(members, "issuer")?;
    let issuer = issuer_at.text()?;
    if let Some(known) = issuers
        && !known.contains(&issuer.as_str())
    {
        return Err(issuer_at.wrong(format!(
            "no issuer of the configuration is called {issuer:?}: write what an [identity.jwt.NAME] has as `issuer`"
        )));
    }
    let claim_at = at.required(members, "claim")?;
    let claim = match claim_at.value {
        Value::Array(_) => {
            let names = claim_at.list("a name, or a list of names")?.into_iter();
            names
                .map(|name| name.text())
                .collect::<Result<Vec<_>, _>>()?
        }
        _ => vec![claim_at.text()?],
    };
    let value_at = at.required(members, "value")?;
    let value = match value_at.value {
        Value::String(text) => Wanted::Text(value_at.pattern(text.clone())?),
        Value::Bool(_) | Value::Number(_) => Wanted::Other(value_at.value.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(value_at.wrong(
                "a text is expected, a number, or true or false; write an entry for each value",
            ));
        }
    };
    // Every good token has the one, and hardly two tokens the other.
    if let [name] = claim.as_slice() {
        let reason = match name.as_str() {
            "iss" => Some(
                "every token of this issuer has it: all of its callers would belong to the team",
            ),
            "exp" | "iat" | "jti" | "nbf" => {
                Some("it is another one in each token: nobody would belong to the team")
            }
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(claim_at.wrong(reason));
        }
    }
    if let Some(everybodys) = Everybodys::of(&issuer) {
        let text = match &value {
            Wanted::Text(pattern) => Some((pattern.text(), matches!(pattern, Pattern::Begin(_)))),
            Wanted::Other(_) => None,
        };
        let checked = everybodys.names_an_owner(&claim, text);
        checked.map_err(|objection| match objection {
            Objection::Claim(reason) => claim_at.wrong(reason),
            Objection::Value(reason) => value_at.wrong(reason),
        })?;
    }
    Ok(ByClaim {
        issuer,
        claim,
        value,
    })
}

/// The public id of a token.
fn token(at: &At<'_>) -> Result<String, TeamsError> {
    let text = at.text()?;
    if Redactor::default().hides(&text) {
        return Err(at.wrong("that is a secret: write the public id only, such as \"dt0c01.ABCDEFGHIJKLMNOPQRSTUVWX\""));
    }
    // As the caller's own token is called: never by a UUID.
    if !is_shown_id(&text) || !text.contains(['.', ':']) {
        return Err(at.wrong("no token has this public id: write prefix and public part, such as \"dt0c01.ABCDEFGHIJKLMNOPQRSTUVWX\""));
    }
    Ok(text)
}

impl<'v> At<'v> {
    fn wrong(&self, reason: impl Into<String>) -> TeamsError {
        TeamsError {
            place: self.place.clone(),
            reason: reason.into(),
        }
    }

    fn list(&self, expected: &str) -> Result<Vec<Self>, TeamsError> {
        let Value::Array(elements) = self.value else {
            return Err(self.wrong(format!("{expected} is expected")));
        };
        if elements.is_empty() {
            return Err(self.wrong("the list is empty: leave it out, or write something into it"));
        }
        let elements = elements.iter().enumerate();
        let elements = elements.map(|(number, value)| Self {
            value,
            place: format!("{}[{number}]", self.place),
        });
        Ok(elements.collect())
    }

    fn members(&self, known: &[&str]) -> Result<&'v Map<String, Value>, TeamsError> {
        let Value::Object(members) = self.value else {
            return Err(self.wrong(format!("an object is expected, with {}", known.join(", "))));
        };
        match members.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(self.wrong(format!(
                "{name:?} is unknown here: {} are known",
                known.join(", ")
            ))),
            None => Ok(members),
        }
    }

    fn member(&self, members: &'v Map<String, Value>, name: &str) -> Option<Self> {
        members.get(name).map(|value| Self {
            value,
            place: format!("{}.{name}", self.place),
        })
    }

    fn required(&self, members: &'v Map<String, Value>, name: &str) -> Result<Self, TeamsError> {
        let member = self.member(members, name);
        member.ok_or_else(|| self.wrong(format!("{name} is missing")))
    }

    fn text(&self) -> Result<String, TeamsError> {
        match self.value {
            Value::String(text) if !text.is_empty() && text.trim() == text => Ok(text.clone()),
            Value::String(_) => {
                Err(self.wrong("the text is empty, or has blanks around it: nothing is like that"))
            }
            _ => Err(self.wrong("a text is expected")),
        }
    }

    /// A text, with an asterisk at its end for all that begin so.
    fn pattern(&self, text: String) -> Result<Pattern, TeamsError> {
        if text.is_empty() || text.trim() != text {
            return Err(
                self.wrong("the text is empty, or has blanks around it: nothing is like that")
            );
        }
        let pattern = match text.strip_suffix('*') {
            Some("") => return Err(self.wrong("everybody is like that: write how it begins")),
            Some(begin) => Pattern::Begin(begin.to_owned()),
            None => Pattern::Whole(text),
        };
        if pattern.text().contains('*') {
            return Err(self.wrong("an asterisk stands for something only at the end"));
        }
        Ok(pattern)
    }
}

impl Pattern {
    fn text(&self) -> &str {
        match self {
            Self::Begin(text) | Self::Whole(text) => text,
        }
    }
}

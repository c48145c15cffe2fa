//! Which decisions are judged again.

use std::str::FromStr;

use jiff::Timestamp;

use super::record::Record;
use crate::dynatrace::redact::Redacted;
use crate::policy::Verdict;
use crate::value::rfc3339_millis;

/// Which decisions. All conditions must hold.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Recorded at this moment or later, as records have it.
    since: Option<String>,
    /// Recorded before this moment.
    until: Option<String>,
    conditions: Vec<Where>,
}

/// One condition: a member of a decision has this value, or one of its values is this one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Where {
    field: Field,
    value: String,
}

/// What a condition may be about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Field {
    /// Address, public id of the credential, subject of the JSON Web Token, subject or SPIFFE id of the certificate.
    Caller,
    Code,
    Environment,
    Operation,
    /// A policy that objected.
    Policy,
    Team,
    /// Public id or name of the token that is changed or made.
    Token,
    Verdict,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("write FIELD=VALUE, with one of these fields: {}; a verdict is allow or deny", Field::NAMES.map(|(name, _)| name).join(", "))]
pub struct WhereError;

impl Field {
    const NAMES: [(&'static str, Self); 8] = [
        ("caller", Self::Caller),
        ("code", Self::Code),
        ("environment", Self::Environment),
        ("operation", Self::Operation),
        ("policy", Self::Policy),
        ("team", Self::Team),
        ("token", Self::Token),
        ("verdict", Self::Verdict),
    ];
}

impl FromStr for Where {
    type Err = WhereError;

    fn from_str(text: &str) -> Result<Self, WhereError> {
        let (name, value) = text.split_once('=').ok_or(WhereError)?;
        let known = Field::NAMES.into_iter();
        let mut found = known.filter(|(known, _)| *known == name.trim());
        let (_, field) = found.next().ok_or(WhereError)?;
        let value = value.trim().to_owned();
        let is_possible = field != Field::Verdict || matches!(&*value, "allow" | "deny");
        is_possible
            .then_some(Self { field, value })
            .ok_or(WhereError)
    }
}

impl Wanted {
    pub fn new(since: Option<Timestamp>, until: Option<Timestamp>, conditions: Vec<Where>) -> Self {
        Self {
            since: since.map(rfc3339_millis),
            until: until.map(rfc3339_millis),
            conditions,
        }
    }

    /// By the time alone. Records write it in one way, so that texts compare as moments do.
    pub(super) fn has_time(&self, timestamp: &str) -> bool {
        self.since.as_deref().is_none_or(|since| timestamp >= since)
            && self.until.as_deref().is_none_or(|until| timestamp < until)
    }

    pub(super) fn has(&self, record: &Record<'_>) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.all(|condition| condition.holds(record))
    }
}

impl Where {
    fn holds(&self, record: &Record<'_>) -> bool {
        let input = record.input.as_ref();
        let is = |text: &str| text == self.value;
        let told = |text: &Redacted| is(text.as_str());
        match self.field {
            Field::Caller => {
                let seen = input.map(|input| &input.caller);
                is(&record.requested_by)
                    || is(&record.caller.id)
                    || seen.is_some_and(|seen| {
                        is(&seen.address)
                            || told(&seen.token.id)
                            || told(&seen.jwt.subject)
                            || told(&seen.certificate.subject)
                            || told(&seen.certificate.spiffe_id)
                    })
            }
            Field::Team => {
                let seen = input.map_or(&[][..], |input| &input.caller.teams);
                let mut teams = record.caller.teams.iter().chain(seen);
                teams.any(|team| is(team))
            }
            Field::Environment => {
                is(&record.environment) || input.is_some_and(|input| is(&input.environment.name))
            }
            Field::Operation => is(&record.operation),
            Field::Code => {
                let mut found = record.result.violations.iter();
                found.any(|found| found.code.as_deref().is_some_and(is))
            }
            Field::Policy => {
                let mut found = record.result.violations.iter();
                found.any(|found| is(&found.policy))
            }
            Field::Token => input.is_some_and(|input| {
                let token = input.token.as_ref();
                let current = token.and_then(|token| token.current.as_ref());
                let ids = [
                    token.map(|token| &token.id),
                    current.and_then(|it| it.id.as_ref()),
                ];
                let name = &input.change.name;
                let names = [
                    current.and_then(|it| it.name.as_ref()),
                    name.requested.as_ref(),
                    name.current.as_ref(),
                ];
                let mut all = ids.into_iter().chain(names).flatten();
                all.any(told)
            }),
            Field::Verdict => match record.verdict {
                Some(Verdict::Allow) => is("allow"),
                Some(Verdict::Deny) => is("deny"),
                None => false,
            },
        }
    }
}

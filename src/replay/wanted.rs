//! Which decisions are judged again.

use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::Timestamp;

use super::record::{Outcome, Record};
use crate::audit::index::{Hidden, Pattern, Veil, hidden_of, token_of};
use crate::dynatrace::catalogue::Operation;
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
    /// The pseudonyms of the value.
    known_as: Vec<String>,
    /// The decisions whose outcome says that they made such a token.
    made: BTreeSet<u64>,
}

/// What a condition may be about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Field {
    /// Address, public id of the credential, issuer or subject of the JSON Web Token; subject, SPIFFE id or fingerprint of
    /// the certificate.
    Caller,
    Code,
    Environment,
    Operation,
    /// A policy that objected.
    Policy,
    Team,
    /// Public id or name of the token that is changed or made, also by the outcome.
    Token,
    Verdict,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WhereError {
    #[error("write FIELD=VALUE, with one of these fields: {}", Field::NAMES.map(|(name, _)| name).join(", "))]
    Form,
    #[error("a verdict is allow or deny")]
    Verdict,
    #[error("no operation is called so; there are: {}", alike(.0).join(", "))]
    Operation(String),
}

/// The operations of the same family; all, where there is no such family.
fn alike(operation: &str) -> Vec<&'static str> {
    let family = |name: &str| name.split('.').next().map(str::to_owned);
    let alike = Operation::recorded().filter(|name| family(name) == family(operation));
    let alike: Vec<&str> = alike.collect();
    if alike.is_empty() {
        return Operation::recorded().collect();
    }
    alike
}

/// The name of one, or how some begin: `token.*`.
fn is_operation(value: &str) -> bool {
    let mut names = Operation::recorded();
    match value.strip_suffix('*') {
        Some(begins) => names.any(|name| name.starts_with(begins)),
        None => names.any(|name| name == value),
    }
}

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

    pub fn name(self) -> &'static str {
        let mut names = Self::NAMES.into_iter();
        let found = names.find(|(_, field)| *field == self);
        found.map_or("", |(name, _)| name)
    }

    /// The values of a decision, where a field has few.
    fn few<'r>(self, record: &'r Record<'_>) -> Vec<&'r str> {
        let violations = record.result.violations.iter();
        match self {
            Self::Environment => {
                let told = record.input.as_ref().map(|input| &input.environment.name);
                vec![told.map_or(&*record.environment, |name| name)]
            }
            Self::Team => record.caller.teams.iter().map(String::as_str).collect(),
            Self::Operation => vec![&record.operation],
            Self::Code => violations.filter_map(|it| it.code.as_deref()).collect(),
            Self::Policy => violations.map(|it| it.policy.as_str()).collect(),
            Self::Caller | Self::Token | Self::Verdict => Vec::new(),
        }
    }
}

impl FromStr for Where {
    type Err = WhereError;

    fn from_str(text: &str) -> Result<Self, WhereError> {
        let (name, value) = text.split_once('=').ok_or(WhereError::Form)?;
        let known = Field::NAMES.into_iter();
        let mut found = known.filter(|(known, _)| *known == name.trim());
        let (_, field) = found.next().ok_or(WhereError::Form)?;
        let value = value.trim().to_owned();
        match field {
            Field::Verdict if !["allow", "deny"].contains(&&*value) => Err(WhereError::Verdict),
            _ if value.is_empty() => Err(WhereError::Form),
            Field::Operation if !is_operation(&value) => Err(WhereError::Operation(value)),
            _ => Ok(Self {
                field,
                value,
                known_as: Vec::new(),
                made: BTreeSet::new(),
            }),
        }
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

    /// Whether outcomes have to be looked at first.
    pub(super) fn asks_for_tokens(&self) -> bool {
        self.conditions.iter().any(|it| it.field == Field::Token)
    }

    /// Looks at an outcome.
    pub(super) fn see_outcome(&mut self, outcome: &Outcome<'_>) {
        for condition in &mut self.conditions {
            condition.see_outcome(outcome);
        }
    }

    /// By the time alone. Records write it in one way, so that texts compare as moments do.
    pub(super) fn has_time(&self, timestamp: &str) -> bool {
        self.since.as_deref().is_none_or(|since| timestamp >= since)
            && self.until.as_deref().is_none_or(|until| timestamp < until)
    }

    /// Whether it is wanted; `None`: masks have hidden that. `line` is what the record was read of.
    pub(super) fn has(&self, record: &Record<'_>, line: &[u8]) -> Option<bool> {
        let not_held = self.conditions.iter().filter(|it| !it.holds(record));
        let not_held: Vec<&Where> = not_held.collect();
        if not_held.is_empty() {
            return Some(true);
        }
        let lists = [&record.erased, &record.masked, &record.pseudonyms];
        if lists.iter().all(|list| list.is_empty()) {
            return Some(false);
        }
        let hidden = hidden_of(line);
        let mut not_held = not_held.into_iter();
        let may_all_hold = not_held.all(|it| it.is_hidden(&hidden));
        (!may_all_hold).then_some(false)
    }

    /// Looks which conditions hold of a decision, and what could stand in place of those that do not.
    pub(super) fn look(&self, record: &Record<'_>, met: &mut Met) {
        met.conditions
            .resize_with(self.conditions.len(), Names::default);
        for (condition, names) in self.conditions.iter().zip(&mut met.conditions) {
            names.look(condition, record);
        }
    }

    /// Whether it names values that may have pseudonyms.
    pub fn asks_by_value(&self) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.any(|it| matches!(it.field(), Field::Caller | Field::Token))
    }

    /// Conditions that held of no decision of the time, each with values that some had.
    pub fn unmet<'w>(&'w self, met: &'w Met) -> impl Iterator<Item = (&'w Where, Vec<String>)> {
        let none = std::iter::repeat_with(|| None);
        let names = met.conditions.iter().map(Some).chain(none);
        let unmet = self.conditions.iter().zip(names);
        let unmet = unmet.filter(|(_, names)| names.is_none_or(|names| !names.is_met));
        unmet.map(|(condition, names)| {
            let there = names.map(|names| names.there.iter().cloned().collect());
            (condition, there.unwrap_or_default())
        })
    }
}

/// Which conditions were met at all.
#[derive(Clone, Debug, Default)]
pub struct Met {
    conditions: Vec<Names>,
}

/// What was seen in the place of one condition.
#[derive(Clone, Debug, Default)]
struct Names {
    is_met: bool,
    /// Of fields that have few values.
    there: BTreeSet<String>,
}

impl Met {
    pub(super) fn add(&mut self, other: Self) {
        if self.conditions.len() < other.conditions.len() {
            self.conditions
                .resize_with(other.conditions.len(), Names::default);
        }
        for (names, more) in self.conditions.iter_mut().zip(other.conditions) {
            names.is_met |= more.is_met;
            names.there.extend(more.there);
        }
    }
}

impl Names {
    fn look(&mut self, condition: &Where, record: &Record<'_>) {
        if self.is_met || condition.holds(record) {
            self.is_met = true;
            return;
        }
        for value in condition.field.few(record) {
            if !value.is_empty() && self.there.len() < MOST && !self.there.contains(value) {
                self.there.insert(value.to_owned());
            }
        }
    }
}

impl Where {
    pub fn field(&self) -> Field {
        self.field
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether it leaves out requests that were allowed then without an objection: a new denial may be of one of them.
    pub fn leaves_out_new_denials(&self) -> bool {
        match self.field {
            Field::Policy | Field::Code => true,
            Field::Verdict => self.value == "deny",
            _ => false,
        }
    }

    /// Whether it leaves out all requests that were denied then.
    pub fn leaves_out_new_allows(&self) -> bool {
        self.field == Field::Verdict && self.value == "allow"
    }

    /// The value is also known by these.
    #[must_use]
    pub fn known_as(self, known_as: Vec<String>) -> Self {
        Self { known_as, ..self }
    }

    /// With a star at its end, it is how a value begins: as in `audit query`.
    fn is(&self, text: &str) -> bool {
        let is_it = match self.value.strip_suffix('*') {
            Some(begins) => text.starts_with(begins),
            None => text == self.value,
        };
        is_it && !text.is_empty() || self.known_as.iter().any(|name| text == name)
    }

    /// Whether what it looks at is among this: it may hold.
    fn is_hidden(&self, hidden: &[(Hidden, Veil)]) -> bool {
        let whats: &[Hidden] = match self.field {
            Field::Caller => &[
                Hidden::Caller,
                Hidden::Certificate,
                Hidden::Claim,
                Hidden::Client,
            ],
            Field::Code => &[Hidden::Code],
            Field::Environment => &[Hidden::Environment],
            Field::Policy => &[Hidden::Policy],
            Field::Team => &[Hidden::Team],
            Field::Token => &[Hidden::Names, Hidden::NamePart],
            Field::Operation | Field::Verdict => &[],
        };
        let asked = match self.value.strip_suffix('*') {
            Some(begins) => Pattern::Begins(begins.to_owned()),
            None => Pattern::Exactly(self.value.clone()),
        };
        let mut hidden = hidden.iter();
        hidden.any(|(what, veil)| whats.contains(what) && veil.keeps(*what, &asked))
    }

    /// Looks at an outcome, which tells what was made.
    pub(super) fn see_outcome(&mut self, outcome: &Outcome<'_>) {
        let made = outcome.credential.as_ref().map(|it| &*it.id);
        if self.field == Field::Token && made.is_some_and(|id| self.is(id)) {
            self.made.insert(outcome.decision_seq);
        }
    }

    fn holds(&self, record: &Record<'_>) -> bool {
        let input = record.input.as_ref();
        let is = |text: &str| self.is(text);
        let told = |text: &Redacted| is(text.as_str());
        match self.field {
            Field::Caller => {
                let seen = input.map(|input| &input.caller);
                let told_of = &record.caller;
                let texts = [
                    &told_of.jwt.issuer,
                    &told_of.jwt.subject,
                    &told_of.certificate.subject,
                    &told_of.certificate.spiffe_id,
                    &told_of.certificate.fingerprint,
                ];
                is(&record.requested_by)
                    || is(&record.caller.id)
                    || texts.into_iter().any(|text| is(text))
                    || seen.is_some_and(|seen| {
                        is(&seen.address)
                            || told(&seen.token.id)
                            || told(&seen.jwt.issuer)
                            || told(&seen.jwt.subject)
                            || told(&seen.certificate.subject)
                            || told(&seen.certificate.spiffe_id)
                            || told(&seen.certificate.fingerprint)
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
            Field::Token if self.made.contains(&record.seq) => true,
            Field::Token => {
                let token = input.and_then(|input| input.token.as_ref());
                let current = token.and_then(|token| token.current.as_ref());
                let name = input.map(|input| &input.change.name);
                let texts = [
                    token.map(|token| &token.id),
                    current.and_then(|it| it.id.as_ref()),
                    current.and_then(|it| it.name.as_ref()),
                    name.and_then(|it| it.requested.as_ref()),
                    name.and_then(|it| it.current.as_ref()),
                ];
                // Where the input does not tell it, or a mask has hidden that, the path does.
                let id = token.map_or("", |token| token.id.as_str());
                let path = &record.request.path;
                texts.into_iter().flatten().any(told)
                    || is(&token_of(&record.masks(), &record.operation, id, path))
            }
            Field::Verdict => match record.verdict {
                Some(Verdict::Allow) => is("allow"),
                Some(Verdict::Deny) => is("deny"),
                None => false,
            },
        }
    }
}

/// Values that are kept of one field.
const MOST: usize = 1000;

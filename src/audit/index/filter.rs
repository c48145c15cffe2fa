//! Which decisions are asked for.

use std::collections::HashMap;

use serde::Deserialize;

use super::claims::LONGEST;
use super::named::{Hidden, Veil};
use crate::value::Network;

/// Which decisions. Each part that is there has to hold; of the values of one part, any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Milliseconds since 1970: from here on.
    pub since: Option<i64>,
    /// Before this.
    pub until: Option<i64>,
    /// Public ids of credentials.
    pub caller: Vec<Pattern>,
    /// Subject, SPIFFE id or fingerprint.
    pub certificate: Vec<Pattern>,
    /// Issuer or subject of a JSON Web Token.
    pub claim: Vec<Pattern>,
    pub team: Vec<Pattern>,
    /// Id or name of the token that the request is about, or that it made.
    pub token: Vec<Pattern>,
    pub environment: Vec<Pattern>,
    pub operation: Vec<Pattern>,
    /// Asked for.
    pub scope: Vec<Pattern>,
    pub added: Vec<Pattern>,
    pub removed: Vec<Pattern>,
    pub policy: Vec<Pattern>,
    pub code: Vec<Pattern>,
    pub client: Vec<Network>,
    /// Pseudonyms of addresses.
    pub client_named: Vec<String>,
    /// What values are also known as: their pseudonyms.
    pub known_as: HashMap<String, Vec<String>>,
    pub allowed: Option<bool>,
    pub id: Option<String>,
    pub outcome: Option<Which>,
    pub no_op: Option<bool>,
    /// Only those that passed by a grant.
    pub granted: bool,
    /// Only those of which all of that is hidden.
    pub hidden: Vec<(Hidden, Veil)>,
    pub challenger: Option<Otherwise>,
    pub text: Option<String>,
    /// Only those with a smaller number: the next page.
    pub before: Option<u64>,
}

/// A text, or how it begins: `payments*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Pattern {
    Exactly(String),
    Begins(String),
}

/// How an allowed request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// Dynatrace answered, whatever it was: with 5xx, the change is in doubt
    Answered,
    /// It did not reach Dynatrace
    Failed,
    /// Dynatrace gave no answer, or none that could be passed on
    Unknown,
    /// There is no outcome
    None,
    /// Dynatrace may have carried it out, and nobody settled it: no outcome, an unknown one, or an answer that is neither 2xx nor 4xx
    Doubt,
    /// It was in doubt, and a record says what became of it
    Settled,
}

/// What a challenger would have done otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Otherwise {
    /// It would have allowed what was denied
    Allow,
    /// Whatever it is, other violations too
    Any,
    /// It would have denied what was allowed
    Deny,
    /// One of its policies could not be asked
    Failed,
    /// One of its policies took longer than it may
    TimedOut,
}

impl std::str::FromStr for Pattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.to_owned().try_into()
    }
}

/// No `From`: the command line would take that, and an empty name is a mistake.
impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            return Err("no record has an empty name");
        }
        Ok(match text.strip_suffix('*') {
            // Of a longer value no more is kept as it is: by this, others would be found that begin like it.
            Some(begins) if begins.len() > LONGEST => {
                return Err(
                    "write 512 bytes before the star at most: of long values no more is kept as it is",
                );
            }
            Some(begins) => Self::Begins(begins.to_owned()),
            None => Self::Exactly(text),
        })
    }
}

impl Pattern {
    pub fn text(&self) -> &str {
        match self {
            Self::Exactly(text) | Self::Begins(text) => text,
        }
    }

    /// As it was given.
    pub fn shown(&self) -> String {
        match self {
            Self::Exactly(text) => text.clone(),
            Self::Begins(text) => format!("{text}*"),
        }
    }

    /// Whether a text is meant.
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exactly(wanted) => text == wanted,
            Self::Begins(begins) => text.starts_with(begins.as_str()),
        }
    }
}

impl Filter {
    /// Whether it looks for a text that has no word: nothing is found by it.
    pub fn has_no_word(&self) -> bool {
        let text = self.text.as_deref();
        text.is_some_and(|text| super::words::terms(text).is_empty())
    }

    /// Whether it names a claim with its value: `NAME=VALUE`.
    pub fn asks_for_claims(&self) -> bool {
        self.claim.iter().any(|it| it.text().contains('='))
    }

    /// Whether it asks by something that builds have told differently of the same record ([`super::facts::FORM`]).
    pub fn asks_by_form(&self) -> bool {
        !self.token.is_empty()
            || self.outcome.is_some()
            || self.no_op.is_some()
            || !self.hidden.is_empty()
            || !self.claim.is_empty()
            || self.text.is_some()
            || self.granted
    }

    /// Whether it names values that may have pseudonyms.
    pub fn asks_by_value(&self) -> bool {
        let mut patterns = [&self.caller, &self.certificate, &self.claim, &self.token]
            .into_iter()
            .flatten();
        patterns.any(|it| matches!(it, Pattern::Exactly(_))) || !self.client.is_empty()
    }

    /// With the pseudonyms of what they name.
    pub fn expanded(&self, patterns: &[Pattern]) -> Vec<Pattern> {
        let known_as = |pattern: &Pattern| self.known_as.get(pattern.text());
        let names = patterns.iter().filter_map(known_as).flatten().cloned();
        let all = patterns.iter().cloned();
        all.chain(names.map(Pattern::Exactly)).collect()
    }
}

/// Whether two ids are of the same decision: a UUID is the same in capitals.
pub fn is_same_id(one: &str, other: &str) -> bool {
    let uuid = |text| uuid::Uuid::try_parse(text).ok();
    one == other || uuid(one).is_some_and(|it| uuid(other) == Some(it))
}

/// The ways in which an id may stand in records: as it was given, and as a gate writes it.
pub fn ids(id: &str) -> Vec<String> {
    let mut all = vec![id.to_owned()];
    let uuid = uuid::Uuid::try_parse(id).map(|it| it.hyphenated().to_string());
    all.extend(uuid.ok().filter(|it| it != id));
    all
}

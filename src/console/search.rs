//! Which decisions a page is about: the filters of `dtgate audit query`, as a URL has them.

use std::collections::HashMap;
use std::str::FromStr;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::params::Params;
use super::{Fault, Viewer};
use crate::audit::index::{Filter, Otherwise, Pattern, Which};
use crate::dynatrace::catalogue::Operation;
use crate::trail::when::When;
use crate::trail::{Before, Source, known_as};
use crate::value::Network;

/// A text field of the form.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    /// Who asks by it learns a name or an id: only auditors may.
    pub(super) is_private: bool,
}

/// What is asked for.
pub(super) struct Search {
    pub(super) filter: Filter,
    pub(super) before: Option<Before>,
    /// Of a store: only what this gate recorded.
    pub(super) gate: Option<String>,
}

impl Search {
    /// Reads the filter, with the pseudonyms of what it names where the journal's keys are there.
    pub(super) fn read(
        params: &Params,
        viewer: &Viewer,
        now: Timestamp,
        source: &Source,
    ) -> Result<Self, Fault> {
        for field in FIELDS.iter().filter(|field| field.is_private) {
            if !viewer.is_auditor && params.get(field.name).is_some() {
                return Err(Fault::NotAllowed("auditor"));
            }
        }
        let (since, until) = span(params, now)?;
        let patterns = |name: &str| patterns(params, name);
        let (allowed, id) = match params.get("verdict") {
            None => (None, None),
            Some("allow") => (Some(true), None),
            Some("deny") => (Some(false), None),
            Some(other) => return Err(unknown("verdict", other, &["allow", "deny"])),
        };
        let granted = params.is_on("granted")?;
        let (client, client_named) = clients(params)?;
        let operation = patterns("operation");
        if let Some(other) = operation.iter().find(|it| !is_operation(it)) {
            let known: Vec<&str> = Operation::recorded().collect();
            return Err(unknown("operation", other.text(), &known));
        }
        let filter = Filter {
            since,
            until,
            caller: patterns("caller"),
            certificate: patterns("certificate"),
            claim: patterns("claim"),
            team: patterns("team"),
            token: patterns("token"),
            environment: patterns("environment"),
            operation,
            scope: patterns("scope"),
            added: patterns("added"),
            removed: patterns("removed"),
            policy: patterns("policy"),
            code: patterns("code"),
            client,
            client_named,
            known_as: HashMap::new(),
            allowed: allowed.or_else(|| granted.then_some(true)),
            id,
            outcome: one_of::<Which>(params, "outcome")?,
            no_op: match params.get("no_op") {
                None | Some("show") => None,
                Some("hide") => Some(false),
                Some("only") => Some(true),
                Some(other) => return Err(unknown("no_op", other, &["show", "hide", "only"])),
            },
            granted,
            hidden: Vec::new(),
            challenger: one_of::<Otherwise>(params, "challenger")?,
            text: params.get("text").map(str::to_owned),
            before: None,
        };
        let filter = match source.keys() {
            None => filter,
            Some(journal) => known_as(filter, journal).map_err(|error| Fault::Broken {
                told: "The keys of pseudonyms cannot be read.",
                error: error.to_string(),
            })?,
        };
        let mut words = params
            .get("text")
            .unwrap_or_default()
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty());
        if words.nth(MOST_WORDS).is_some() {
            return Err(Fault::Invalid(format!("text: {MOST_WORDS} words at most.")));
        }
        let before = params.get("before").map(Before::from_str).transpose();
        Ok(Self {
            filter,
            before: before?,
            gate: params.get("gate").map(str::to_owned),
        })
    }
}

/// From when and before when, in milliseconds since 1970. Times that name no zone are in UTC.
pub(super) fn span(params: &Params, now: Timestamp) -> Result<(Option<i64>, Option<i64>), Fault> {
    let read = |name: &str| -> Result<Option<i64>, Fault> {
        let Some(text) = params.get(name) else {
            return Ok(None);
        };
        let when: When = text
            .parse()
            .map_err(|error| Fault::Invalid(format!("{name}: {error}")))?;
        let moment = when.moment(now, &TimeZone::UTC);
        let moment = moment.map_err(|error| Fault::Invalid(format!("{name}: {error}")))?;
        Ok(Some(moment.as_millisecond()))
    };
    let (since, until) = (read("since")?, read("until")?);
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        return Err(Fault::Invalid(
            "since is not before until: nothing lies between".to_owned(),
        ));
    }
    Ok((since, until))
}

/// Addresses and networks, and addresses by their pseudonyms.
fn clients(params: &Params) -> Result<(Vec<Network>, Vec<String>), Fault> {
    let (mut networks, mut named) = (Vec::new(), Vec::new());
    for text in params.all("client") {
        if text.starts_with("hmac-sha256:") {
            named.push(text.to_owned());
        } else {
            let network = text.parse();
            networks.push(network.map_err(|error| Fault::Invalid(format!("client: {error}")))?);
        }
    }
    Ok((networks, named))
}

/// The names that are given; an empty one is none.
pub(super) fn patterns(params: &Params, name: &str) -> Vec<Pattern> {
    params.all(name).filter_map(|it| it.parse().ok()).collect()
}

fn is_operation(pattern: &Pattern) -> bool {
    Operation::recorded().any(|name| pattern.fits(name))
}

fn one_of<T: ValueEnum + 'static>(params: &Params, name: &str) -> Result<Option<T>, Fault> {
    let Some(text) = params.get(name) else {
        return Ok(None);
    };
    let known: Vec<String> = names::<T>().collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let value = T::from_str(text, false).map_err(|_unknown| unknown(name, text, &known))?;
    Ok(Some(value))
}

/// The words that stand for the values of a choice.
pub(super) fn names<T: ValueEnum + 'static>() -> impl Iterator<Item = String> {
    let values = T::value_variants().iter();
    values
        .filter_map(T::to_possible_value)
        .map(|it| it.get_name().to_owned())
}

fn unknown(name: &str, text: &str, known: &[&str]) -> Fault {
    let known = known.join(", ");
    Fault::Invalid(format!("{name}: there is no {text}; there are: {known}"))
}

/// What a search takes, beside its fields: each once.
pub(super) const CHOICES: &[&str] = &[
    "since",
    "until",
    "verdict",
    "outcome",
    "challenger",
    "no_op",
    "granted",
    "before",
    "gate",
];
/// Words that are looked for.
const MOST_WORDS: usize = 50;

/// In the order of the form.
pub(super) const FIELDS: &[Field] = &[
    field("token", "Token (id or name)", "payments*", true),
    field("caller", "Caller (credential's id)", "dt0c01.…", true),
    field(
        "claim",
        "Caller (issuer, subject or NAME=VALUE of a claim)",
        "repository=…",
        true,
    ),
    field("certificate", "Caller (certificate)", "CN=…", true),
    field("team", "Team", "payments", false),
    field("environment", "Environment", "prod", false),
    field("operation", "Operation", "token.*", false),
    field("scope", "Scope asked for", "WriteConfig", false),
    field("added", "Scope added", "", false),
    field("removed", "Scope removed", "", false),
    field("policy", "Policy that objected", "", false),
    field("code", "Code of an objection", "", true),
    field("client", "Client's address", "10.1.0.0/16", true),
    field("text", "Words", "", true),
];

const fn field(
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    is_private: bool,
) -> Field {
    Field {
        name,
        label,
        hint,
        is_private,
    }
}

//! What passes although a policy denies it, for whom, why, and until when: `data.exceptions`.
//!
//! It guarantees that an exception names its policy, somebody, a reason, a ticket and an end, that it lets pass nothing
//! but what that policy denies, and that its use can be seen: the violation stays, and says by which exception it passed.

use serde_json::{Map, Value as Json};

use super::about::{About, teams};
use crate::policy::decision::{Effect, Exception, POLICY_ERROR, Violation};
use crate::policy::input::{self, Input};

#[derive(Debug, Default)]
pub(in crate::policy) struct Exceptions(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    policy: String,
    /// Of the violations that it is for; all, if there is none.
    code: Option<String>,
    about: About,
    as_told: Exception,
}

impl Exceptions {
    /// Reads `data.exceptions`; calls `complain` with the path of what is wrong and why.
    pub(in crate::policy) fn read(
        data: &Map<String, Json>,
        policies: &[&str],
        mut complain: impl FnMut(&[&str], String),
    ) -> Self {
        let entries = match data.get("exceptions") {
            None | Some(Json::Null) => return Self::default(),
            Some(Json::Array(entries)) => entries,
            Some(_) => {
                let message = "data.exceptions must be a list of exceptions";
                complain(&["exceptions"], message.to_owned());
                return Self::default();
            }
        };
        let teams = teams(data);
        let mut read = Vec::new();
        for (number, member) in entries.iter().enumerate() {
            match entry(member, policies, &teams) {
                Ok(entry) => read.push(entry),
                Err(message) => {
                    let place = number.to_string();
                    let message = format!("data.exceptions[{number}]: {message}");
                    complain(&["exceptions", &place], message);
                }
            }
        }
        Self(read)
    }

    /// Lets a violation pass that an exception is for. One that ended lets nothing pass, and is named.
    pub(in crate::policy) fn apply(&self, violation: &mut Violation, input: &Input) {
        let is_a_finding =
            violation.code.as_deref() != Some(POLICY_ERROR) && !violation.is_of_lookup();
        if violation.effect() != Effect::Deny || !is_a_finding {
            return;
        }
        let mut ended = None;
        for entry in self.0.iter().filter(|entry| entry.is_for(violation, input)) {
            if entry.about.has_ended(input.time) {
                ended = Some(&entry.as_told);
            } else if entry.about.has_begun(input.time) {
                violation.exception = Some(entry.as_told.clone());
                return;
            }
        }
        if let Some(Exception { ticket, until, .. }) = ended {
            let more = format!("; the exception for this ({ticket}) ended at {until}");
            violation.message.push_str(&more);
        }
    }

    /// What they are about.
    pub(in crate::policy) fn about(&self) -> impl Iterator<Item = &About> {
        self.0.iter().map(|entry| &entry.about)
    }

    /// The members of the input that say whether one is for a request that this policy denies.
    pub(in crate::policy) fn reads(
        &self,
        policy: &str,
        input: Option<&Input>,
    ) -> impl Iterator<Item = &'static str> {
        let those = self.0.iter().filter(move |entry| entry.policy == policy);
        those.flat_map(move |entry| entry.about.reads(input))
    }

    /// Those that let nothing pass any more: the number of each in the list, and what is to be said.
    pub(in crate::policy) fn ended(
        &self,
        now: jiff::Timestamp,
    ) -> impl Iterator<Item = (String, String)> {
        let ended = self.0.iter().enumerate();
        let ended = ended.filter(move |(_, entry)| entry.about.has_ended(now));
        ended.map(|(number, entry)| {
            let (policy, Exception { ticket, until, .. }) = (&entry.policy, &entry.as_told);
            let message = format!(
                "data.exceptions[{number}]: the exception from {policy} ({ticket}) ended at {until}: it lets nothing pass; \
                 remove it"
            );
            (number.to_string(), message)
        })
    }
}

impl Entry {
    fn is_for(&self, violation: &Violation, input: &Input) -> bool {
        let code = self.code.as_deref();
        violation.policy == self.policy
            && code.is_none_or(|code| violation.code.as_deref() == Some(code))
            && self.about.is(input, "")
    }
}

fn entry(value: &Json, policies: &[&str], teams: &[&str]) -> Result<Entry, String> {
    let Json::Object(members) = value else {
        return Err(format!("an exception is an object, not {value}"));
    };
    let text = |name: &str| {
        let text = members.get(name).and_then(Json::as_str).map(str::trim);
        let text = text.filter(|text| !text.is_empty());
        text.map(str::to_owned)
            .ok_or_else(|| format!("it needs {name}, a text"))
    };
    let mut about = About::default();
    for (name, value) in members {
        match about.read(name, value) {
            Some(read) => read?,
            None if TEXTS.contains(&name.as_str()) => {}
            None => {
                let guess = input::guess(name, "", &TEXTS);
                return Err(format!("there is no member {name}{guess}: only {MEMBERS}"));
            }
        }
    }
    let policy = text("policy")?;
    if !policies.contains(&policy.as_str()) {
        let guess = input::guess(&policy, "", policies);
        return Err(format!("there is no policy {policy}{guess}"));
    }
    if members.contains_key("percent") {
        return Err("an exception is for whom it names: leave percent out".to_owned());
    }
    about.check(teams)?;
    if !about.names_somebody() {
        return Err("it is for everybody: name a caller, a team or a token".to_owned());
    }
    let until = about.until.ok_or("it has no end: write until")?;
    Ok(Entry {
        as_told: Exception {
            ticket: text("ticket")?,
            reason: text("reason")?,
            until: until.to_string(),
        },
        code: members
            .contains_key("code")
            .then(|| text("code"))
            .transpose()?,
        policy,
        about,
    })
}

/// Those with one text.
const TEXTS: [&str; 4] = ["policy", "code", "reason", "ticket"];
const MEMBERS: &str =
    "policy, code, reason, ticket, caller, environment, from, team, token and until";

#[cfg(test)]
mod tests;

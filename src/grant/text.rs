//! What a grant says: the text that is signed, and its limits. Pure.
//!
//! There is one way to write a grant down. A text that says the same in another way is none, so that whoever signs and
//! whoever checks read the same.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::facts::Facts;
use super::flaw::Flaw;
use super::spelled;
use crate::value::{Sha256Hex, Visible};

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    #[serde(with = "spelled")]
    pub id: Uuid,
    /// The name of the journal that it is for, as its checkpoints have it.
    pub gate: String,
    /// It can only be used behind this record.
    pub after: After,
    pub allows: Allows,
    /// Whose objections it is for.
    pub policies: Vec<String>,
    /// Those that may also have failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_policies: Vec<String>,
    pub reason: String,
    pub ticket: String,
    pub requested_by: String,
    #[serde(with = "spelled")]
    pub requested_at: Timestamp,
    #[serde(with = "spelled")]
    pub until: Timestamp,
}

/// A record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    pub seq: u64,
    pub sha256: String,
}

/// What passes by it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Allows {
    /// The next change of one token.
    Change(Change),
    /// Exactly the request that was denied, once more.
    Request(Box<Request>),
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub environment: String,
    /// Its public id.
    pub token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The hash of the caller that records have; none: anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// By which it was denied.
    pub decision: String,
    pub facts: Facts,
}

impl Grant {
    /// Reads what [`to_text`](Self::to_text) has written, and nothing else.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let json = text.strip_prefix(TITLE).ok_or(Flaw::NoGrant)?;
        let grant: Self = serde_json::from_str(json).map_err(|_other| Flaw::NoGrant)?;
        if grant.to_text() != text {
            return Err(Flaw::Form);
        }
        grant.check()?;
        Ok(grant)
    }

    pub fn to_text(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a grant has string keys only");
        format!("{TITLE}{json}\n")
    }

    /// Of the text that is signed.
    pub(super) fn digest(&self) -> Sha256Hex {
        Sha256Hex::of(self.to_text().as_bytes())
    }

    /// Refuses what could not be shown to whoever signs it, and what nobody means.
    pub fn check(&self) -> Result<(), Flaw> {
        let texts = [
            (&self.reason, "the reason", LONGEST_REASON),
            (&self.ticket, "the ticket", LONGEST_NAME),
            (&self.gate, "the gate", LONGEST_NAME),
            (&self.requested_by, "who has asked for it", LONGEST_NAME),
        ];
        for (text, what, longest) in texts {
            is_shown(text, longest).ok_or(Flaw::Text(what))?;
        }
        let policies = || self.policies.iter().chain(&self.failed_policies);
        if policies().count() > MOST_POLICIES
            || !policies().all(|name| is_shown(name, LONGEST_NAME).is_some())
        {
            return Err(Flaw::Text("the list of policies"));
        }
        if policies().next().is_none() {
            return Err(Flaw::Text("the list of policies"));
        }
        let all = serde_json::to_string(&self.allows).unwrap_or_default();
        if all.len() > LONGEST_ALLOWED || Visible(&all).to_string() != all {
            return Err(Flaw::Text("what it allows"));
        }
        if self.until <= self.requested_at {
            return Err(Flaw::Text("its end"));
        }
        Ok(())
    }

    /// What of a request is another one than it is for, where it names the same path or token.
    pub(super) fn differs(&self, request: &Facts) -> Option<&'static str> {
        let (is_near, differences) = match &self.allows {
            Allows::Request(it) => {
                let facts = &it.facts;
                let is_near = facts.path == request.path
                    && facts.method == request.method
                    && facts.environment == request.environment;
                let differences = [
                    ("the caller", facts.caller != request.caller),
                    ("the body", facts.body_sha256 != request.body_sha256),
                    ("the query", facts.query != request.query),
                    ("the token", facts.token != request.token),
                    ("the operation", facts.operation != request.operation),
                ];
                (is_near, differences.to_vec())
            }
            Allows::Change(it) => {
                let is_near = request.environment == it.environment
                    && request.token.as_ref() == Some(&it.token);
                let caller = it.caller.as_ref();
                let is_caller = caller.is_none_or(|wanted| request.caller.is_called(wanted));
                let operation = it.operation.as_ref();
                let is_operation = operation.is_none_or(|wanted| *wanted == request.operation);
                let differences = [("the caller", !is_caller), ("the operation", !is_operation)];
                (is_near, differences.to_vec())
            }
        };
        let mut different = differences.into_iter().filter(|(_, is_other)| *is_other);
        let first = different.next().map(|(what, _)| what);
        is_near.then_some(first.unwrap_or("the policies that deny it, or what it does"))
    }

    /// Whether it is for a request. `reads`: that changes nothing.
    pub fn is_for(&self, request: &Facts, reads: bool) -> bool {
        match &self.allows {
            Allows::Request(it) => it.facts == *request,
            Allows::Change(it) => {
                !reads
                    && request.environment == it.environment
                    && request.token.as_ref() == Some(&it.token)
                    && (it.operation.as_ref()).is_none_or(|wanted| *wanted == request.operation)
                    && (it.caller.as_ref()).is_none_or(|wanted| request.caller.is_called(wanted))
            }
        }
    }
}

/// Whether a text can be shown in one line, as it is.
fn is_shown(text: &str, longest: usize) -> Option<()> {
    let is_plain =
        !text.trim().is_empty() && text.len() <= longest && Visible(text).to_string() == text;
    is_plain.then_some(())
}

/// No other note begins like this: the name of a journal has no blank.
const TITLE: &str = "dtgate grant v1\n";

const LONGEST_REASON: usize = 500;
const LONGEST_NAME: usize = 256;
const LONGEST_ALLOWED: usize = 4096;
const MOST_POLICIES: usize = 64;

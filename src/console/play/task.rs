//! What the playground asks of the process that judges, and what that says. Both are one JSON value on a pipe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::{Problem, Text, Violation};

/// What is asked.
#[derive(Debug, Deserialize, Serialize)]
pub struct Task {
    pub edited: Vec<Text>,
    /// `None`: nobody knows what is in force, or it is not asked.
    pub in_force: Option<InForce>,
    pub entrypoints: Vec<String>,
    /// How long a rule may take in the gate.
    pub limit_ms: u64,
    pub wanted: Wanted,
}

/// The set that is in force.
#[derive(Debug, Deserialize, Serialize)]
pub enum InForce {
    Other(Vec<Text>),
    /// Nothing is edited.
    Same,
}

#[derive(Debug, Deserialize, Serialize)]
pub enum Wanted {
    /// Whether the edited set can be loaded.
    Check,
    /// What both sets say to a request.
    Judge(Box<Request>),
    /// What the edited set says to decisions, by their records.
    Replay(Vec<String>),
}

/// A request, as somebody wrote it.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Request {
    /// A curl line, a request as HTTP writes it, or an input document.
    pub text: String,
    /// Empty: as the gate calls the only one.
    pub environment: String,
    /// The public id of the token by which the caller is known; empty: what the request shows.
    pub token: String,
    /// Teams that the caller is in, whatever the data say.
    pub teams: Vec<String>,
    /// The token that is to be changed; `None`: it is not known.
    pub before: Option<Before>,
    /// When it is sent: RFC 3339.
    pub time: String,
}

/// A token before it is changed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Before {
    pub name: String,
    pub scopes: Vec<String>,
    pub disabled: bool,
}

/// What is said.
#[derive(Debug, Deserialize, Serialize)]
pub enum Answer {
    Checked {
        problems: Vec<Problem>,
        warnings: Vec<Problem>,
    },
    Judged {
        edited: Judged,
        in_force: Option<Judged>,
    },
    Replayed(Box<Replayed>),
    /// The edited set cannot be loaded.
    Unloaded(Vec<Problem>),
    /// In plain words.
    Failed(String),
}

/// What one set says to a request.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Judged {
    Decided(Box<Opinion>),
    /// Open traffic, which no policy sees.
    Open,
    /// The gate would refuse it before any policy.
    Refused {
        status: u16,
        error: String,
    },
    Unloaded(Vec<Problem>),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Opinion {
    pub allowed: bool,
    pub violations: Vec<Violation>,
    /// Violations that are left out.
    pub more: usize,
    pub remedy: Option<String>,
    pub took_ms: f64,
    /// Per file the lines that were evaluated.
    pub lines: BTreeMap<String, Vec<u32>>,
    /// The files of the policies that object.
    pub files: BTreeMap<String, String>,
    pub prints: Vec<String>,
    /// What the policies saw.
    pub input: Value,
    /// Whether the request shows who calls, or nobody can say.
    pub has_credential: bool,
    /// The rules that were asked: `data.dtgate.naming.deny`.
    pub rules: Vec<String>,
}

/// What would be decided otherwise: what of a report of `replay` goes over the pipe. The report is a published document with
/// names of its own, and no room that both may import is about it: so the two have their own shapes.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Replayed {
    pub looked_at: usize,
    pub replayed: u64,
    pub same: u64,
    pub new_denials: u64,
    pub new_allows: u64,
    pub changed: u64,
    pub failed: u64,
    pub of_other_policies: u64,
    /// How many of those that were judged again had passed by a grant.
    pub granted: u64,
    /// Lines that are no records, and records that could not be read.
    pub damaged: u64,
    /// Decisions that could not be judged again, by reason.
    pub not_replayed: BTreeMap<String, u64>,
    /// Decisions that some policies could not judge again, by policy and reason.
    pub not_by: BTreeMap<String, BTreeMap<String, u64>>,
    /// What of the journal it says nothing of; the process that judges does not know it.
    pub beside: Vec<String>,
    pub groups: Vec<Group>,
}

/// What one policy decides otherwise in one way.
#[derive(Debug, Deserialize, Serialize)]
pub struct Group {
    pub change: Flip,
    pub policy: String,
    pub count: u64,
    pub examples: Vec<Example>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Flip {
    /// Allowed then, denied now.
    Denial,
    /// Denied then, allowed now.
    Allow,
    /// The same verdict, other violations.
    Violations,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Example {
    pub seq: u64,
    pub timestamp: String,
    pub decision_id: String,
    pub operation: String,
    pub environment: String,
    pub token: String,
    pub by: String,
    pub says: String,
}

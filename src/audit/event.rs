//! Events and their one wire format. Pure: the caller brings the time, the writer adds `seq` and `prev`.
//!
//! A decision is an event of OPA's decision log with members of ours beside it; whoever reads OPA's log
//! can read this one. No type here can hold the secret part of a token.

use serde::Serialize;
use serde_json::{Map, Value};

/// One record of the journal.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    Decision(Box<Decision>),
    Outcome(Outcome),
    Recovery(Recovery),
    Start(Start),
    Stop(Stop),
}

/// What was decided about one request, written before anything is sent upstream.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    pub timestamp: String,
    pub decision_id: String,
    pub labels: Map<String, Value>,
    /// The decision that was asked for, as OPA names it.
    pub path: &'static str,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub input: Value,
    pub result: Value,
    pub bundles: Value,
    pub metrics: Value,
    /// The address of the caller.
    pub requested_by: String,
    /// `allow` or `deny`.
    pub verdict: &'static str,
    /// Absent when the request was refused before it was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Value>,
    pub request: Request,
    /// Why a request was refused that policies did not see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The request that a decision is about.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    pub method: String,
    pub path: String,
    /// SHA-256 of the body as received; null when it was not read to its end.
    pub received_sha256: Option<String>,
    /// SHA-256 of the body as it goes upstream; null when nothing does.
    pub forwarded_sha256: Option<String>,
}

/// What became of an allowed request.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub timestamp: String,
    pub decision_id: String,
    pub decision_seq: u64,
    pub outcome: Answer,
    /// The upstream's status, when it answered.
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub duration_ms: u64,
}

/// How an allowed request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The upstream answered.
    Answered,
    /// It is certain that the upstream did not act on it.
    Failed,
    /// The upstream may have acted; its answer did not arrive.
    Unknown,
}

/// The journal was opened.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    pub timestamp: String,
    pub version: &'static str,
    /// Digest of the policies.
    pub revision: String,
    /// Operations that the configuration handles otherwise than the catalogue, and how.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub endpoints: Map<String, Value>,
    /// Allowed decisions near the end of the journal that have no outcome: a crash came between.
    pub in_doubt: Vec<String>,
}

/// The journal was closed.
#[derive(Clone, Debug, Serialize)]
pub struct Stop {
    pub timestamp: String,
}

/// The journal is written again after something went wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Recovery {
    pub timestamp: String,
    pub reason: String,
    /// Events that were refused meanwhile: their requests were answered with an error.
    pub refused_events: u64,
    /// Where a torn end was set aside, relative to the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
}

//! Events and their one wire format. Pure: the caller brings the time, the writer adds `seq` and `prev`.
//!
//! A decision is an event of OPA's decision log with members of ours beside it; whoever reads OPA's log
//! can read this one. Events borrow what they tell, and are written at once, into the one buffer that goes to the
//! writer: a [`Record`].
//!
//! No type here can hold a text of a client but as [`Redacted`]. A plain text does not compile:
//!
//! ```compile_fail
//! use dtgate::audit::event::Request;
//! use dtgate::dynatrace::redact::Redacted;
//!
//! let path = String::from("/as/the/client/wrote/it");
//! let id = Redacted::ours("1");
//! let method = Redacted::ours("GET");
//! let request = Request {
//!     id: &id,
//!     client_id: None,
//!     method: &method,
//!     path: &path,
//!     query: None,
//!     caller_hash: None,
//!     received_sha256: None,
//!     forwarded_sha256: None,
//! };
//! ```
//!
//! What a redactor has made of it does:
//!
//! ```
//! use dtgate::audit::event::Request;
//! use dtgate::dynatrace::redact::{Redacted, Redactor};
//!
//! let path = Redactor::default().path("/as/the/client/wrote/it");
//! let id = Redacted::ours("1");
//! let method = Redacted::ours("GET");
//! let request = Request {
//!     id: &id,
//!     client_id: None,
//!     method: &method,
//!     path: &path,
//!     query: None,
//!     caller_hash: None,
//!     received_sha256: None,
//!     forwarded_sha256: None,
//! };
//! ```

mod caller;
mod challenger;
mod texts;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

pub use caller::{Caller, CertificateNames, JwtNames};
pub use challenger::Challenged;
use texts::shortened;

use crate::dynatrace::redact::Redacted;
use crate::dynatrace::token::TokenId;
use crate::policy::input::Amounts;
use crate::policy::{Evaluator, Granted, Input, Remedy, Violation};
use crate::value::{Sha256Hex, rfc3339_millis};

/// An event as a JSON object. In the journal its number and the hash of the record before it stand first.
#[derive(Clone, Debug)]
pub struct Record(Vec<u8>);

/// The record of a decision: what a request has to have before anything is sent upstream.
#[derive(Clone, Debug)]
pub struct DecisionRecord(Record);

/// One record of the journal.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event<'a> {
    Decision(Decision<'a>),
    Outcome(Outcome<'a>),
    Recovery(Recovery),
    Reload(Reload),
    Start(Start),
    Stop(Stop),
    Suppressed(Suppressed<'a>),
    Unseen(Unseen<'a>),
    Checkpoint(Checkpoint),
    Cosigned(Cosigned),
    Key(KeyChange),
    Settled(Settled),
    Pruned(Pruned),
}

/// What was decided about one request, written before anything is sent upstream.
#[derive(Clone, Debug, Serialize)]
pub struct Decision<'a> {
    #[serde(serialize_with = "millis")]
    pub timestamp: Timestamp,
    pub decision_id: &'a Redacted,
    pub labels: Labels,
    /// The decision that was asked for, as OPA names it.
    pub path: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<&'a Input>,
    pub result: Findings<'a>,
    pub bundles: Bundles<'a>,
    pub metrics: Metrics,
    /// Who judged, when it was not the interpreter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluator: Option<Evaluator>,
    /// `local` where gates take turns in a common store, and this request went on without one: another gate may have changed
    /// the token too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<&'static str>,
    /// The address of the caller.
    pub requested_by: &'a Redacted,
    /// `allow` or `deny`.
    pub verdict: &'static str,
    /// By what it passed although policies deny it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<&'a Redacted<Granted>>,
    /// Absent when the request was refused before it was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'static str>,
    /// Where policies did not see the request: else it is in the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<&'a Caller>,
    pub request: Request<'a>,
    /// What it counts for in the next hour, where policies read that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted<'a>>,
    /// Why a request was refused that policies did not see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a Redacted>,
}

/// Who wrote a record.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Labels {
    pub version: &'static str,
}

/// What the policies found: nothing, where none was asked.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Findings<'a> {
    pub allow: bool,
    pub violations: &'a [Redacted<Violation>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'a Redacted<Remedy>>,
}

/// By which policies.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bundles<'a> {
    pub policies: Bundle<'a>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bundle<'a> {
    pub revision: &'a str,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Metrics {
    #[serde(
        rename = "timer_rego_query_eval_ns",
        skip_serializing_if = "Option::is_none"
    )]
    pub evaluation_ns: Option<u64>,
}

/// The request that a decision is about.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Request<'a> {
    pub id: &'a Redacted,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<&'a Redacted>,
    pub method: &'a Redacted,
    pub path: &'a Redacted,
    /// A keyed hash of the query, where it has parameters that are no credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<&'a Redacted>,
    /// A keyed hash of what the caller has proven, or else of the whole credential that it shows, its secret included;
    /// where grants are configured, which are for that caller alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_hash: Option<&'a TokenId>,
    /// SHA-256 of the body as received; null when it was not read to its end.
    pub received_sha256: Option<&'a Sha256Hex>,
    /// SHA-256 of the body as it goes upstream; null when nothing does.
    pub forwarded_sha256: Option<&'a Sha256Hex>,
}

/// What an allowed request counts for.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counted<'a> {
    /// A keyed hash of what the caller has proven, or else of the whole credential that it shows.
    pub caller: &'a TokenId,
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// What became of an allowed request.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Outcome<'a> {
    #[serde(serialize_with = "millis")]
    pub timestamp: Timestamp,
    pub decision_id: &'a Redacted,
    pub decision_seq: u64,
    pub outcome: Answer,
    /// The upstream's status, when it answered.
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a Redacted>,
    /// What a creation made, as far as its answer tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential<'a>>,
    /// From sending to the first byte of the answer, as [`milliseconds`](crate::value::milliseconds) writes it.
    pub duration_ms: f64,
}

/// The public part of a credential that was made.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Credential<'a> {
    pub id: &'a TokenId,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "maybe_millis"
    )]
    pub expiration: Option<Timestamp>,
}

/// How an allowed request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The upstream answered.
    Answered,
    /// It is certain that the upstream did not act on it.
    Failed,
    /// The upstream may have acted; its answer did not arrive, or is none that is passed on.
    Unknown,
}

/// What of the configuration has to be known to whoever reads decisions.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Configured {
    /// The names of the policies: all of them judge whatever policies see.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Value>,
    /// The bundles that they came in: name, revision, digest, content, sequence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<Value>,
    /// SHA-256 of the files of the set that is kept beside the journal, tests among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// Operations that the configuration handles otherwise than the catalogue, and how.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub endpoints: Map<String, Value>,
    /// Whose JSON Web Tokens are believed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<Value>,
    /// Whether clients have to show certificates, or may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<&'static str>,
    /// The gate's own, for callers who have proven who they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Value>,
    /// Who may grant what policies deny, and for how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<Value>,
    /// The rules of `system.log` by which records are masked or left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<&'static str>,
    /// Whose values have pseudonyms, and the version of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pseudonyms: Option<Value>,
}

/// The journal was opened.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    pub timestamp: String,
    pub version: &'static str,
    /// Digest of the policies.
    pub revision: String,
    /// Of which form the [facts](super::facts::FORM) are that this build tells of records.
    pub form: u32,
    #[serde(flatten)]
    pub configured: Configured,
    /// Allowed decisions near the end of the journal of which nobody knows what became of them, the last of them.
    pub in_doubt: Vec<String>,
    /// How many there are, where they are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_doubt_count: Option<u64>,
}

/// Files that changed were read again.
#[derive(Clone, Debug, Serialize)]
pub struct Reload {
    pub timestamp: String,
    /// Who asked for it.
    pub trigger: &'static str,
    /// Whether what was read is in force from here on. If not, everything is as it was before.
    pub ok: bool,
    /// Counts what was in force since the start, which has 0.
    pub generation: u64,
    /// Digest of the policies before.
    pub from: String,
    /// Digest of the policies from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What is not as it was: `policies`, `certificates`, sections of the configuration.
    pub changed: Vec<&'static str>,
    /// What changed in the configuration and needs a restart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<&'static str>,
    /// Policies that were in force before and are no more, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    #[serde(flatten)]
    pub configured: Configured,
    /// Why it is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The journal was closed.
#[derive(Clone, Debug, Serialize)]
pub struct Stop {
    pub timestamp: String,
}

/// Requests that were refused or denied and have no record of their own.
#[derive(Clone, Debug, Serialize)]
pub struct Suppressed<'a> {
    #[serde(serialize_with = "millis")]
    pub timestamp: Timestamp,
    /// When the first of them was refused, and the last.
    #[serde(serialize_with = "millis")]
    pub first: Timestamp,
    #[serde(serialize_with = "millis")]
    pub last: Timestamp,
    /// All of them.
    pub count: u64,
    pub reasons: Vec<SuppressedKind>,
    /// How many were refused for further reasons.
    #[serde(skip_serializing_if = "is_zero")]
    pub other_reasons: u64,
    pub callers: Vec<SuppressedBy<'a>>,
    /// How many were refused to further callers.
    #[serde(skip_serializing_if = "is_zero")]
    pub other_callers: u64,
}

/// How many were refused for one reason.
#[derive(Clone, Debug, Serialize)]
pub struct SuppressedKind {
    pub reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'static str>,
    pub count: u64,
}

/// How many were refused to one caller; where none is named, to all at an address.
#[derive(Clone, Debug, Serialize)]
pub struct SuppressedBy<'a> {
    /// An address, of IPv6 the network that belongs to one place (`/64`).
    pub requested_by: Redacted,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<&'a Caller>,
    pub count: u64,
}

/// Writes that passed and that the catalogue does not know: of one caller, with one method, to paths of one shape.
#[derive(Clone, Debug, Serialize)]
pub struct Unseen<'a> {
    #[serde(serialize_with = "millis")]
    pub timestamp: Timestamp,
    /// When the first of them was answered, and the last.
    #[serde(serialize_with = "millis")]
    pub first: Timestamp,
    #[serde(serialize_with = "millis")]
    pub last: Timestamp,
    /// All of them.
    pub count: u64,
    /// How many were answered how.
    pub statuses: BTreeMap<String, u64>,
    /// The address of the first, of IPv6 the network that belongs to one place (`/64`). Absent: of many addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Redacted>,
    /// What they have in common. Absent: there was no room to tell these apart.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub request: Option<UnseenRequest<'a>>,
}

/// Who sent what.
#[derive(Clone, Debug, Serialize)]
pub struct UnseenRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<&'a Caller>,
    pub environment: &'a str,
    pub method: &'a Redacted,
    pub path: &'a Redacted,
}

/// The journal is written again after something went wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Recovery {
    pub timestamp: String,
    pub reason: String,
    /// Events that were refused meanwhile: their requests were answered with an error.
    pub refused_events: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub aside: Option<SetAside>,
}

/// The file that holds a torn end.
#[derive(Clone, Debug, Serialize)]
pub struct SetAside {
    /// Its name in the journal's directory.
    #[serde(rename = "set_aside")]
    pub name: String,
    #[serde(rename = "set_aside_bytes")]
    pub length: u64,
    #[serde(rename = "set_aside_sha256")]
    pub sha256: String,
}

/// All records before this one, by a signed note.
#[derive(Clone, Debug, Serialize)]
pub struct Checkpoint {
    #[serde(serialize_with = "millis")]
    pub timestamp: Timestamp,
    /// How many they are.
    pub size: u64,
    /// Of their tree, in base64.
    pub root: String,
    /// Whose signature it is, as `dtgate audit key` prints it: a claim, which only a key from elsewhere proves.
    pub key: String,
    /// The signed note.
    pub note: String,
}

/// What a witness has confirmed: the same note, with its signature.
#[derive(Clone, Debug, Serialize)]
pub struct Cosigned {
    #[serde(serialize_with = "millis")]
    pub timestamp: Timestamp,
    pub size: u64,
    pub witness: String,
    pub note: String,
}

/// Another key signs from here on.
#[derive(Clone, Debug, Serialize)]
pub struct KeyChange {
    #[serde(serialize_with = "millis")]
    pub timestamp: Timestamp,
    pub old: String,
    pub new: String,
    /// Signed by both.
    pub note: String,
}

/// Somebody looked what became of a decision in doubt.
#[derive(Clone, Debug, Serialize)]
pub struct Settled {
    pub timestamp: String,
    /// As its record has it.
    pub decision_id: String,
    /// 0: its record is deleted.
    pub decision_seq: u64,
    pub found: Found,
    /// What was seen.
    pub detail: String,
    /// `person`: dtgate has not seen it, and was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'static str>,
}

/// Whether an allowed request was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    Done,
    NotDone,
    /// Nobody can tell by what is there.
    Unknown,
}

impl Found {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotDone => "not_done",
            Self::Unknown => "unknown",
        }
    }
}

/// Old segments are about to be deleted, because the configuration says so. This is what is left of their records.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Pruned {
    pub timestamp: String,
    /// The first and the last record that are deleted.
    pub first: u64,
    pub last: u64,
    /// Hash of record `last`: the one that the record after it names.
    pub hash: String,
    /// Hashes of the full subtrees of the Merkle tree over the records up to `last`, the largest first.
    pub tree: Vec<String>,
    /// When the first and the last of them were written.
    pub oldest: String,
    pub newest: String,
    /// Why: `max_age` or `max_size`.
    pub reason: String,
    /// Allowed decisions among them without outcome: how many, and the first of them.
    pub in_doubt_count: u64,
    pub in_doubt: Vec<String>,
    /// Of all that is deleted, also before: the notes by which a key that signs has handed over to the next one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// The same: what starts and reloads said of pseudonyms, once for each key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pseudonyms: Vec<Value>,
}

impl Event<'_> {
    /// Writes it down.
    pub fn record(&self) -> Record {
        let room = match self {
            Self::Decision(_) | Self::Suppressed(_) => DECISION,
            Self::Outcome(_)
            | Self::Recovery(_)
            | Self::Reload(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Unseen(_)
            | Self::Pruned(_)
            | Self::Settled(_) => OTHER,
            Self::Checkpoint(_) | Self::Cosigned(_) | Self::Key(_) => NOTE,
        };
        Record::of(self, room)
    }
}

impl Decision<'_> {
    pub fn record(self) -> DecisionRecord {
        DecisionRecord(Event::Decision(self).record())
    }
}

impl DecisionRecord {
    /// In bytes.
    pub fn length(&self) -> usize {
        self.0.0.len()
    }

    /// Its members, for who may change them.
    pub fn into_event(self) -> Map<String, Value> {
        self.0.into_event()
    }

    /// The record of members that somebody has changed.
    pub fn of_event(event: &Map<String, Value>) -> Self {
        Self(Record::of(event, DECISION))
    }

    pub(super) fn changed(self, change: impl FnOnce(Record) -> Record) -> Self {
        Self(change(self.0))
    }

    /// The same with every text that is longer than `longest` bytes made shorter, names of members too.
    #[must_use]
    pub fn shortened(self, longest: usize, shorten: impl Fn(&str) -> String) -> Self {
        Self(Record(shortened(self.0.0, longest, shorten)))
    }
}

impl Record {
    /// Writes any object; `room` is for how many bytes.
    pub(super) fn of(event: &impl Serialize, room: usize) -> Self {
        let mut written = Vec::with_capacity(room);
        serde_json::to_writer(&mut written, event)
            .expect("an event has string keys and finite numbers only");
        Self(written)
    }

    pub fn as_json(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn into_event(self) -> Map<String, Value> {
        serde_json::from_slice(&self.0).expect("a record is JSON that we have written")
    }

    /// Whether it only tells of a checkpoint: no reason for another.
    pub(super) fn is_of_checkpoint(&self) -> bool {
        let kinds = [
            b"{\"kind\":\"checkpoint\"".as_slice(),
            b"{\"kind\":\"cosigned\"",
        ];
        kinds.iter().any(|kind| self.0.starts_with(kind))
    }

    /// Whether something is deleted as soon as a checkpoint covers it.
    pub(super) fn is_of_deletion(&self) -> bool {
        self.0.starts_with(b"{\"kind\":\"pruned\"")
    }
}

impl From<DecisionRecord> for Record {
    fn from(decision: DecisionRecord) -> Self {
        decision.0
    }
}

fn millis<S: Serializer>(time: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&rfc3339_millis(*time))
}

#[expect(clippy::ref_option, reason = "serde hands it over so")]
fn maybe_millis<S: Serializer>(time: &Option<Timestamp>, out: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => millis(time, out),
        None => out.serialize_none(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Room for a decision about a token with a dozen scopes, and for any other event.
const DECISION: usize = 3 * 1024;
const OTHER: usize = 256;
/// For a few keys and signatures.
const NOTE: usize = 768;

//! Decisions as events of OPA's decision log, to whatever takes one: gzip, a JSON list.
//!
//! The members are those of OPA. What a record has more stands in `custom`, so that nothing of it is lost and nobody
//! meets a member that OPA does not have.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::http::taken;
use super::keep::Refusal;
use super::{Most, Outgoing, Target};
use crate::outbound::{OutboundError, Sender};

/// A service that takes OPA's decision log.
pub(super) struct Opa {
    sender: Sender,
    url: Uri,
    /// By what name the gate is known there.
    gate: String,
}

/// A record's members, as they are written.
type Members<'a> = BTreeMap<&'a str, &'a RawValue>;

/// An event.
#[derive(Serialize)]
struct Event<'a> {
    labels: BTreeMap<&'a str, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failed<'a>>,
    #[serde(flatten)]
    members: Members<'a>,
    custom: Members<'a>,
}

/// OPA's errors are objects.
#[derive(Serialize)]
struct Failed<'a> {
    message: &'a RawValue,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
}

impl Opa {
    pub(super) fn new(target: &Target, gate: &str) -> Result<Self, OutboundError> {
        Ok(Self {
            sender: Sender::new(&target.to())?,
            url: target.url.uri().clone(),
            gate: gate.to_owned(),
        })
    }

    /// How many of them were events.
    pub(super) async fn send(&mut self, records: &[Outgoing]) -> Result<usize, Refusal> {
        let events = records
            .iter()
            .filter_map(|record| event(&record.line, &self.gate));
        let events: Vec<Event<'_>> = events.collect();
        if events.is_empty() {
            return Ok(0);
        }
        let message = packed(&events).map_err(|error| Refusal::Now(error.to_string(), None))?;
        let gzip = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        let (url, json) = (self.url.clone(), "application/json");
        let answered = self.sender.post(url, json, &gzip, message);
        taken(answered.await)?;
        Ok(events.len())
    }
}

fn packed(events: &[Event<'_>]) -> std::io::Result<Bytes> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut gzip, events)?;
    gzip.flush()?;
    Ok(gzip.finish()?.into())
}

/// Only decisions are events.
pub(super) fn is_event(record: &Outgoing) -> bool {
    event(&record.line, "").is_some()
}

/// The event of a decision; of other records there is none.
fn event<'a>(line: &'a [u8], gate: &str) -> Option<Event<'a>> {
    let kind: Kind<'_> = serde_json::from_slice(line).ok()?;
    if kind.kind != "decision" {
        return None;
    }
    let all: Members<'a> = serde_json::from_slice(line).ok()?;
    let (mut members, mut custom): (Members<'a>, Members<'a>) =
        all.into_iter().partition(|(name, _)| OPAS.contains(name));
    let labels = members.remove("labels");
    let mut labels: BTreeMap<&str, serde_json::Value> = labels
        .and_then(|it| serde_json::from_str(it.get()).ok())
        .unwrap_or_default();
    labels.insert("id", gate.into());
    let error = custom.remove("error").map(|message| Failed { message });
    Some(Event {
        labels,
        error,
        members,
        custom,
    })
}

/// Members that OPA's events have, too.
const OPAS: [&str; 11] = [
    "bundles",
    "decision_id",
    "erased",
    "input",
    "labels",
    "masked",
    "metrics",
    "path",
    "requested_by",
    "result",
    "timestamp",
];

pub(super) const MOST: Most = Most {
    records: 1000,
    bytes: 1 << 20,
};

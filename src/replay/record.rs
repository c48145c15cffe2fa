//! A record as far as a replay needs it: borrowed from its line, and read once.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::audit::masks::Masks;
use crate::policy::{Exception, Input, Mode, Verdict, Violation, input};

/// A line of the journal. Only decisions have more than the first members.
#[derive(Debug, Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    pub(super) seq: u64,
    #[serde(borrow, default)]
    pub(super) timestamp: Cow<'a, str>,
    #[serde(default)]
    pub(super) verdict: Option<Verdict>,
    /// It passed by one although the policies denied it.
    #[serde(default)]
    pub(super) grant: Option<IgnoredAny>,
    #[serde(borrow, default)]
    pub(super) operation: Cow<'a, str>,
    /// Where policies did not see the request.
    #[serde(borrow, default)]
    pub(super) environment: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) requested_by: Cow<'a, str>,
    #[serde(default)]
    pub(super) result: Findings,
    #[serde(default)]
    pub(super) bundles: Bundles,
    #[serde(default)]
    pub(super) input: Option<Input>,
    /// What a mask rule has taken out or put in another's place, and what has a pseudonym.
    #[serde(default)]
    pub(super) erased: Vec<String>,
    #[serde(default)]
    pub(super) masked: Vec<String>,
    #[serde(default)]
    pub(super) pseudonyms: Vec<String>,
    #[serde(default)]
    pub(super) caller: Caller,
    #[serde(borrow, default)]
    pub(super) request: Request<'a>,
}

/// What was sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    pub(super) path: Cow<'a, str>,
}

impl Record<'_> {
    /// What masks have taken out of it.
    pub(super) fn masks(&self) -> Masks {
        Masks::new(self.erased.iter().chain(&self.masked))
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Findings {
    #[serde(default)]
    pub(super) violations: Vec<Violation>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Bundles {
    #[serde(default)]
    pub(super) policies: Bundle,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Bundle {
    #[serde(default)]
    pub(super) revision: String,
}

/// Who asked, in short.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Caller {
    pub(super) id: String,
    pub(super) teams: Vec<String>,
    pub(super) jwt: Jwt,
    pub(super) certificate: Certificate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Jwt {
    pub(super) issuer: String,
    pub(super) subject: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Certificate {
    pub(super) subject: String,
    pub(super) spiffe_id: String,
    pub(super) fingerprint: String,
}

/// What an outcome says of what was made.
#[derive(Debug, Deserialize)]
pub(super) struct Outcome<'a> {
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    pub(super) decision_seq: u64,
    #[serde(borrow, default)]
    pub(super) credential: Option<Made<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Made<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
}

/// The number of a record, by its line; `None`: it is none. Gates write it first.
pub(super) fn number(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        seq: u64,
    }
    let digits = line.strip_prefix(b"{\"seq\":").and_then(|rest| {
        let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        rest.get(..end)
    });
    let number = digits.and_then(|it| std::str::from_utf8(it).ok()?.parse().ok());
    // A line that is cut off is none, however it begins.
    if number.is_some() && line.ends_with(b"}") {
        return number;
    }
    let numbered: Numbered = serde_json::from_slice(line).ok()?;
    Some(numbered.seq)
}

/// The outcome that a line is, if it made something.
pub(super) fn outcome(line: &[u8]) -> Option<Outcome<'_>> {
    memchr::memmem::find(line, b"\"credential\":{")?;
    let outcome: Outcome<'_> = serde_json::from_slice(line).ok()?;
    (outcome.kind == "outcome").then_some(outcome)
}

/// What a line is.
pub(super) enum Read<'a> {
    Decision(Box<Record<'a>>),
    /// A record that says by which keys there are pseudonyms.
    Start,
    /// A record of another kind.
    Other,
    /// A decision that policies saw, whose members are not those that this version knows; why, and the line as JSON.
    Unread(String, Box<Value>),
    /// Not JSON.
    Damaged,
}

pub(super) fn read(line: &[u8]) -> Read<'_> {
    let error = match serde_json::from_slice::<Record<'_>>(line) {
        Ok(record) if record.kind == DECISION => return Read::Decision(Box::new(record)),
        Ok(record) if STARTS.contains(&&*record.kind) => return Read::Start,
        Ok(_other) => return Read::Other,
        Err(error) => error,
    };
    let Ok(value) = serde_json::from_slice::<Value>(line) else {
        return Read::Damaged;
    };
    match value.get("kind").and_then(Value::as_str) {
        Some(DECISION) => Read::Unread(in_short(&error), Box::new(value)),
        Some(kind) if STARTS.contains(&kind) => Read::Start,
        Some(_other) => Read::Other,
        None => Read::Damaged,
    }
}

/// The same record with a default for each member that a mask took away or put something of another kind in its place, so
/// that it can be read. `None`: nothing is masked.
pub(super) fn with_defaults(record: &Value) -> Option<Vec<u8>> {
    let masked = Masks::of(record);
    let is_masked = |member: &str| masked.is_within(member);
    if masked.is_empty() {
        return None;
    }
    let mut record = record.clone();
    let written = record.get("timestamp").cloned();
    if let Some(input) = record.get_mut("input") {
        input::with_defaults(input, &is_masked);
        // What policies take for now, also those that do not name it.
        if is_masked("input.time")
            && let (Some(time), Some(written)) = (input.get_mut("time"), written)
        {
            *time = written;
        }
    }
    if let Some(caller) = record.get_mut("caller").and_then(Value::as_object_mut) {
        caller.retain(|name, value| {
            let fits = match name.as_str() {
                "teams" => is_texts(value),
                "jwt" | "certificate" => value.is_object(),
                _ => true,
            };
            fits || !is_masked(&format!("caller.{name}"))
        });
    }
    if let Some(found) = record.pointer_mut("/result/violations")
        && masked.hide("result.violations")
    {
        violations(found);
    }
    serde_json::to_vec(&record).ok()
}

fn is_texts(value: &Value) -> bool {
    let list = value.as_array();
    list.is_some_and(|list| list.iter().all(Value::is_string))
}

/// The same of what policies said. Places in the list say little: a mask may have taken out others before.
fn violations(found: &mut Value) {
    let Some(list) = found.as_array_mut() else {
        return;
    };
    list.retain_mut(|violation| {
        let Some(members) = violation.as_object_mut() else {
            return false;
        };
        for (name, least) in [
            ("policy", ""),
            ("mode", "enforce"),
            ("rule", "deny"),
            ("message", ""),
        ] {
            let is_readable = match (name, members.get(name).and_then(Value::as_str)) {
                ("mode", Some(mode)) => Mode::parse(mode).is_some(),
                ("rule", Some(rule)) => ["deny", "warn"].contains(&rule),
                (_, text) => text.is_some(),
            };
            if !is_readable {
                members.insert(name.to_owned(), least.into());
            }
        }
        for (name, is_readable) in [
            ("path", Value::is_string as fn(&Value) -> bool),
            ("code", Value::is_string),
            ("details", Value::is_object),
            ("exception", is_exception),
        ] {
            if members.get(name).is_some_and(|it| !is_readable(it)) {
                members.remove(name);
            }
        }
        true
    });
}

fn is_exception(value: &Value) -> bool {
    Exception::deserialize(value).is_ok()
}

/// Without the place, so that the same trouble of many records is one reason.
fn in_short(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    text.chars().take(LONGEST_REASON).collect()
}

/// The places, by their steps, of texts that were cut because the record was to be short.
pub fn cut(line: &[u8]) -> Vec<Vec<String>> {
    if memchr::memmem::find(line, CUT.as_bytes()).is_none() {
        return Vec::new();
    }
    let value: Value = serde_json::from_slice(line).unwrap_or_default();
    let mut found = Vec::new();
    if let Some(input) = value.get("input") {
        collect(&mut vec!["input".to_owned()], input, &mut found);
    }
    found
}

fn collect(path: &mut Vec<String>, value: &Value, found: &mut Vec<Vec<String>>) {
    let mut below = |path: &mut Vec<String>, step: String, value: &Value| {
        path.push(step);
        collect(path, value, found);
        path.pop();
    };
    match value {
        Value::String(text) if is_cut(text) => found.push(path.clone()),
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                below(path, number.to_string(), item);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                below(path, name.clone(), value);
            }
            if members.keys().any(|name| is_cut(name)) {
                found.push(path.clone());
            }
        }
        _ => {}
    }
}

/// Whether a text ends as one does that was cut: `… (2048 bytes, hmac-sha256:…)`.
pub(super) fn is_cut(text: &str) -> bool {
    let end = text.rsplit_once("… (").map(|(_, end)| end);
    let parts = end.and_then(|end| end.strip_suffix(')')?.split_once(CUT));
    parts.is_some_and(|(length, name)| {
        let is_hex = |c: char| c.is_ascii_hexdigit();
        !length.is_empty() && length.chars().all(|c| c.is_ascii_digit()) && name.chars().all(is_hex)
    })
}

const DECISION: &str = "decision";
/// Kinds that may tell by which keys there are pseudonyms, or were in what is deleted.
const STARTS: [&str; 3] = ["start", "reload", "pruned"];

const CUT: &str = " bytes, hmac-sha256:";

const LONGEST_REASON: usize = 120;

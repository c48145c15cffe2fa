//! What people are told of one record: a title, and a few facts. Texts of clients are shown as they are, without what
//! cannot be seen, and cut; each shape escapes them in its own way.

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::otlp::subject;
use super::super::record::{Record, Violation};
use crate::value::Visible;

/// One record, to be told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) seq: u64,
    /// By which a pager knows it again.
    pub(super) id: Option<String>,
    pub(super) severity: Severity,
    pub(super) time: Option<String>,
    pub(super) title: String,
    /// A word of ours, and what it is.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) environment: Option<String>,
    pub(super) operation: Option<String>,
    pub(super) policy: Option<String>,
    /// The whole line.
    pub(super) line: Option<Box<RawValue>>,
}

/// As pagers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Warning,
    Info,
}

impl Severity {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl Told {
    pub(super) fn of(seq: u64, record: &Record, line: Option<&[u8]>) -> Self {
        let severity = match record.kind() {
            "recovery" => Severity::Error,
            "decision" if record.verdict() == Some("granted") => Severity::Warning,
            "decision" if !record.is_denied() => Severity::Info,
            "decision" | "suppressed" => Severity::Warning,
            _ => Severity::Info,
        };
        let (title, facts) = if record.kind() == "decision" {
            (title(record), of_decision(record))
        } else {
            (shown(&capital(record.kind())), of_others(record))
        };
        let policy = record.violations().next().map(|said| shown(said.policy));
        Self {
            seq,
            id: record.text("/decision_id").map(shown),
            severity,
            time: record.text("/timestamp").map(shown),
            title,
            facts,
            environment: record.environment().map(shown),
            operation: record.text("/operation").map(shown),
            policy,
            line: line.and_then(|line| serde_json::from_slice(line).ok()),
        }
    }
}

/// `Denied: token.update in prod`
fn title(record: &Record) -> String {
    let was_judged = record.text("/error").is_none();
    let word = match (record.is_denied(), was_judged) {
        (false, _) if record.verdict() == Some("granted") => "Granted",
        (false, _) => "Allowed",
        (true, true) => "Denied",
        (true, false) => "Refused",
    };
    let method = record.text("/request/method").unwrap_or("a request");
    let what = record.text("/operation").unwrap_or(method);
    let place = record.environment();
    let place = place.map_or_else(String::new, |name| format!(" in {name}"));
    shown(&format!("{word}: {what}{place}"))
}

fn of_decision(record: &Record) -> Vec<(&'static str, String)> {
    let mut facts = vec![("who", who(record))];
    let (method, path) = (
        record.text("/request/method"),
        record.text("/request/path").unwrap_or("(path not shown)"),
    );
    let what = format!("{} {path}", method.unwrap_or_default());
    facts.push(("what", shown(what.trim())));
    let id = record.text("/decision_id").unwrap_or("none");
    let id = format!("{id} (record {})", record.seq());
    facts.push(("decision", shown(&id)));
    if let Some(name) = record.token_name() {
        facts.push(("token", shown(name)));
    }
    let said: Vec<Violation<'_>> = record.violations().collect();
    for Violation {
        policy,
        mode,
        code: _,
        message,
    } in said.iter().take(MOST_SAID)
    {
        let by = if *mode == "enforce" || mode.is_empty() {
            (*policy).to_owned()
        } else {
            format!("{policy} ({mode})")
        };
        facts.push(("policy", shown(&format!("{by}: {message}"))));
    }
    if let Some(more) = said.len().checked_sub(MOST_SAID).filter(|more| *more > 0) {
        facts.push(("policy", format!("and {more} more")));
    }
    if record.verdict() == Some("granted") {
        let of = |pointer| record.text(pointer).unwrap_or("(not shown)");
        let granted = format!(
            "{} ({}), asked for by {}, approved by {}: {}",
            of("/grant/id"),
            of("/grant/ticket"),
            of("/grant/requested_by"),
            of("/grant/approved_by"),
            of("/grant/reason")
        );
        facts.push(("grant", shown(&granted)));
    }
    if let Some(error) = record.text("/error") {
        facts.push(("why", shown(error)));
    }
    facts
}

/// Whom the caller has proven to be, by which credential, of which teams, from where.
fn who(record: &Record) -> String {
    let names = [subject(record), record.text("/caller/id")];
    let mut names: Vec<&str> = names.into_iter().flatten().collect();
    if names.is_empty() {
        names.push("nobody known");
    }
    let mut who = names.join(", ");
    let teams: Vec<&str> = record.teams().collect();
    if !teams.is_empty() {
        who = format!("{who} (team {})", teams.join(", "));
    }
    if let Some(address) = record.text("/requested_by") {
        who = format!("{who} from {address}");
    }
    shown(&who)
}

/// The first members of other kinds of records, as they are.
fn of_others(record: &Record) -> Vec<(&'static str, String)> {
    let members = record.others().take(MOST_MEMBERS).map(|(name, value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        ("with", shown(&format!("{name}: {value}")))
    });
    let number = ("record", record.seq().to_string());
    std::iter::once(number).chain(members).collect()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// Without what cannot be seen, and no longer than one reads.
pub(super) fn shown(text: &str) -> String {
    let begin: String = text.chars().take(LONGEST + 1).collect();
    let visible = Visible(begin).to_string();
    let mut letters = visible.chars();
    let mut shown: String = letters.by_ref().take(LONGEST).collect();
    if letters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Policies that are named.
const MOST_SAID: usize = 3;
const MOST_MEMBERS: usize = 6;
/// Letters of one text.
const LONGEST: usize = 200;

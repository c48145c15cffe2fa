//! Decisions for spreadsheets and programs: what `dtgate audit query` writes as CSV and JSON, and the console lets people
//! download. Both say the same.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::Source;
use super::ended::ending;
use super::read::record;
use super::told::{self, Token, Who, asked, scopes};
use crate::audit::Ending;
use crate::audit::tail::{Cells, Otherwise};
use crate::store::{Found, Lines};
use crate::value::{Visible, visible_json};

/// The names of the columns.
pub fn titles(source: &Source) -> Vec<String> {
    let gate: &[&str] = if source.is_store() { &["gate"] } else { &[] };
    let titles = [gate, &TITLES[..], &told::TITLES, &MORE].concat();
    titles.into_iter().map(str::to_owned).collect()
}

/// What stands in them for a decision; `None`: its record is gone, or cannot be read.
pub fn cells(source: &Source, found: &Found, lines: &Lines) -> Option<Vec<String>> {
    let line = lines.decision.as_deref().unwrap_or_default();
    let cells = Cells::of(line)?;
    let told: Value = serde_json::from_slice(line).unwrap_or_default();
    let outcome = record(lines.outcome.as_ref());
    let settled = record(lines.settled.as_ref());
    let otherwise = record(lines.challenger.as_ref());
    let otherwise = otherwise.as_ref().map(Otherwise::of).unwrap_or_default();
    let token = Token::of(&told, outcome.as_ref());
    let how = how_ended(&cells, outcome.as_ref(), settled.as_ref());
    let plain = |record: Option<&Value>, name: &str| match record.map(|it| &it[name]) {
        Some(Value::String(text)) => Visible(text).to_string(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    let token_id = token.any_id().to_owned();
    let first = [
        cells.timestamp,
        cells.seq.to_string(),
        cells.decision_id,
        cells.verdict.clone(),
        cells.operation,
        cells.environment,
        token_id,
        token.name,
        token.made,
    ];
    let rest = [
        told::text(&told, "/request/path"),
        scopes(&told, "requested").join(" "),
        scopes(&told, "added").join(" "),
        scopes(&told, "removed").join(" "),
        asked(&cells.changes, cells.verdict == "allow").join("; "),
        cells.objections.join("; "),
        cells.error,
        told::text(&told, "/bundles/policies/revision"),
        found.decided.no_op.to_string(),
        how,
        plain(outcome.as_ref(), "status"),
        plain(outcome.as_ref(), "duration_ms"),
        plain(settled.as_ref(), "found"),
        cells.grant,
        otherwise.differs,
        otherwise.objections.join("; "),
    ];
    let who = Who::of(&told).cells();
    let gate = source.is_store().then(|| Visible(&found.gate).to_string());
    let gate: Vec<String> = gate.into_iter().collect();
    Some([&gate, &first[..], &who, &rest].concat())
}

/// The records of a decision in one line; `None`: the first of them is gone.
pub fn json(source: &Source, found: &Found, lines: &Lines) -> Option<String> {
    let line = lines.decision.as_ref()?;
    let [outcome, settled, challenger] = [&lines.outcome, &lines.settled, &lines.challenger]
        .map(|line| line.as_deref().map_or(Cow::Borrowed("null"), one_line));
    let gate = if source.is_store() {
        format!("\"gate\":{},", Value::from(&*found.gate))
    } else {
        String::new()
    };
    let line = format!(
        "{{{gate}\"no_op\":{},\"decision\":{},\"outcome\":{outcome},\"settled\":{settled},\"challenger\":{challenger}}}",
        found.decided.no_op,
        one_line(line)
    );
    Some(visible_json(&line).into_owned())
}

/// A record as it was written. What is none may stand in a store: it is shown as a text, so that it cannot pass for
/// another member, or for another line.
pub fn one_line(line: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(line);
    let is_line = !text.contains(['\n', '\r']);
    if is_line && serde_json::from_str::<IgnoredAny>(&text).is_ok() {
        text
    } else {
        Cow::Owned(Value::from(&*text).to_string())
    }
}

/// How an allowed request ended, as `stats --by outcome` counts it.
fn how_ended(cells: &Cells, outcome: Option<&Value>, settled: Option<&Value>) -> String {
    let found = settled.and_then(|it| it["found"].as_str());
    let word = match outcome.map(ending) {
        _ if cells.verdict != "allow" => "",
        Some(Ending::Done | Ending::Refused) => "answered",
        Some(Ending::NotSent) => "failed",
        _ if found.is_some_and(|found| found != "unknown") => "settled",
        _ => "in doubt",
    };
    word.to_owned()
}

/// Of the columns for spreadsheets: before those of the caller.
const TITLES: [&str; 9] = [
    "time",
    "seq",
    "decision_id",
    "verdict",
    "operation",
    "environment",
    "token_id",
    "token_name",
    "made_id",
];

/// Behind them.
const MORE: [&str; 16] = [
    "path",
    "scopes_requested",
    "scopes_added",
    "scopes_removed",
    "what",
    "objections",
    "error",
    "revision",
    "no_op",
    "outcome",
    "status",
    "duration_ms",
    "settled",
    "grant",
    "challenger",
    "challenger_objections",
];

//! A decision in one row, wherever decisions are listed: as much of it as a viewer may see.

use maud::{Markup, html};
use serde_json::Value;

use super::Viewer;
use super::page::shown;
use super::params::encoded;
use crate::audit::tail::{Cells, Otherwise, effect};
use crate::store::{Found, Lines};
use crate::trail::ended::{Ended, How};
use crate::trail::read::record;
use crate::trail::told::{Token, Who, scopes};
use crate::value::Visible;

/// What a row says.
pub(super) struct Row {
    pub(super) cells: Cells,
    pub(super) gate: String,
    pub(super) who: Who,
    pub(super) token: Token,
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    /// Policies that objected, each with what that came to.
    pub(super) objections: Vec<(String, &'static str)>,
    pub(super) ended: Ended,
    pub(super) no_op: bool,
    pub(super) otherwise: Option<Otherwise>,
}

impl Row {
    /// `None`: its record is gone, or cannot be read.
    pub(super) fn of(found: &Found, lines: &Lines) -> Option<Self> {
        let line = lines.decision.as_deref()?;
        let cells = Cells::of(line)?;
        let told: Value = serde_json::from_slice(line).ok()?;
        let outcome = record(lines.outcome.as_ref());
        let settled = record(lines.settled.as_ref());
        Some(Self {
            gate: found.gate.clone(),
            who: Who::of(&told),
            token: Token::of(&told, outcome.as_ref()),
            added: scopes(&told, "added"),
            removed: scopes(&told, "removed"),
            objections: objections(&told),
            ended: Ended::of(&cells, outcome.as_ref(), settled.as_ref()),
            no_op: found.decided.no_op,
            otherwise: record(lines.challenger.as_ref()).map(|it| Otherwise::of(&it)),
            cells,
        })
    }

    /// The word of the verdict, and the class that colours it.
    pub(super) fn verdict(&self) -> (&str, &'static str) {
        match &*self.cells.verdict {
            _ if !self.cells.grant.is_empty() => ("granted", "warn"),
            "allow" => ("allow", "allow"),
            other => (other, "deny"),
        }
    }

    /// Where its page is.
    pub(super) fn href(&self) -> String {
        decision_href(&self.gate, &self.cells)
    }

    pub(super) fn html(&self, viewer: &Viewer, has_gates: bool) -> Markup {
        let (word, class) = self.verdict();
        let (name, id) = (&*self.token.name, self.token.any_id());
        html! {
            tr {
                td.nowrap data-title="When" { a href=(self.href()) { (time(&self.cells.timestamp)) } }
                @if has_gates { td data-title="Gate" { (shown(&self.gate)) } }
                td data-title="Verdict" {
                    span class={ "verdict " (class) } { (word) }
                    @if self.no_op { " " span.soft { "no change" } }
                }
                td data-title="Operation" { (self.cells.operation) }
                td data-title="Environment" { (self.cells.environment) }
                td data-title="Token" { (token(viewer, name, id)) }
                td data-title="By" { (self.by(viewer)) }
                td data-title="What" { (self.what(viewer)) }
                td data-title="Answer" {
                    @if self.ended.how == How::InDoubt { strong.warn { (self.ended.text) } } @else { (self.ended.text) }
                }
            }
        }
    }

    /// By whom, as far as this viewer may know it.
    pub(super) fn by(&self, viewer: &Viewer) -> String {
        if viewer.is_auditor {
            return cut(&self.who.short());
        }
        match &*self.who.teams {
            [] => viewer.sees("somebody").to_owned(),
            teams => cut(&format!("team {}", teams.join(", "))),
        }
    }

    fn what(&self, viewer: &Viewer) -> Markup {
        let is_known = !(self.added.is_empty() && self.removed.is_empty());
        html! {
            @for (policy, does) in self.objections.iter().take(SHOWN) {
                div { a href={ "/console/policies/" (encoded(policy)) } { (cut(policy)) } " " (does) }
            }
            @if let Some(more) = self.objections.len().checked_sub(SHOWN + 1) {
                div.soft { "and " (more + 1) " more" }
            }
            @if is_known {
                ul.scopes {
                    @for scope in self.added.iter().take(SHOWN) { li.added { (cut(scope)) } }
                    @for scope in self.removed.iter().take(SHOWN) { li.removed { (cut(scope)) } }
                    @let all = self.added.len() + self.removed.len();
                    @let told = self.added.len().min(SHOWN) + self.removed.len().min(SHOWN);
                    @if all > told { li { "and " (all - told) " more" } }
                }
            } @else if viewer.is_auditor {
                @for change in self.cells.changes.iter().take(SHOWN) { div { (cut(change)) } }
            }
            @if !self.cells.error.is_empty() && viewer.is_auditor { div { (cut(&self.cells.error)) } }
            @if let Some(otherwise) = &self.otherwise {
                div.warn { "challenger: " (otherwise.differs) }
            }
        }
    }
}

/// The policies that objected, each once.
fn objections(record: &Value) -> Vec<(String, &'static str)> {
    let violations = record
        .pointer("/result/violations")
        .and_then(Value::as_array);
    let mut found: Vec<(String, &'static str)> = Vec::new();
    for violation in violations.into_iter().flatten() {
        let policy = violation["policy"].as_str().unwrap_or_default();
        let policy = Visible(policy).to_string();
        let told = (policy, effect(record, violation));
        if !found.contains(&told) {
            found.push(told);
        }
    }
    found
}

/// Where the page of a decision is.
pub(super) fn decision_href(gate: &str, cells: &Cells) -> String {
    let id = match &*cells.decision_id {
        "" => cells.seq.to_string(),
        id => id.to_owned(),
    };
    let gate = match gate {
        "" => String::new(),
        gate => format!("?gate={}", encoded(gate)),
    };
    format!("/console/decisions/{}{gate}", encoded(&id))
}

/// A token, with the way to its page.
pub(super) fn token(viewer: &Viewer, name: &str, id: &str) -> Markup {
    let text = match (name, id) {
        ("", id) => cut(id),
        (name, _) => cut(name),
    };
    html! {
        @if !viewer.is_auditor { (viewer.sees(&text)) }
        @else if id.is_empty() { (text) }
        @else { a href={ "/console/tokens/" (encoded(id)) } title=(cut(id)) { (text) } }
    }
}

/// A moment. A script shows it in the zone of whoever looks on.
pub(super) fn time(timestamp: &str) -> Markup {
    let text = timestamp.get(..19).unwrap_or(timestamp).replace('T', " ");
    html! { time datetime=(timestamp) { (text) " UTC" } }
}

/// A text that fits into a cell.
pub(super) fn cut(text: &str) -> String {
    cut_at(text, LONGEST)
}

/// The same, as long as it may be elsewhere.
pub(super) fn cut_at(text: &str, most: usize) -> String {
    let text = shown(text);
    match text.char_indices().nth(most) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// Letters of a text in a row.
const LONGEST: usize = 120;
/// Objections and scopes in a row.
const SHOWN: usize = 4;

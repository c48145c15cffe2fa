//! A decision in one row, wherever decisions are listed: as much of it as a viewer may see.

use maud::{Markup, html};
use serde_json::Value;

use super::Viewer;
use super::live;
use super::page::shown;
use super::params::encoded;
use crate::audit::index::Decided;
use crate::audit::tail::{Cells, Otherwise, effect};
use crate::store::{Found, Key, Lines};
use crate::trail::ended::{Ended, How, Wait};
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
    /// The newest record that it tells of; nothing while there may be one more.
    as_of: Option<u64>,
}

impl Row {
    /// `None`: its record is gone, or cannot be read.
    pub(super) fn of(found: &Found, lines: &Lines, wait: Wait) -> Option<Self> {
        let line = lines.decision.as_deref()?;
        let cells = Cells::of(line)?;
        let told: Value = serde_json::from_slice(line).ok()?;
        let outcome = record(lines.outcome.as_ref());
        let settled = record(lines.settled.as_ref());
        let ended = Ended::by_now(&cells, outcome.as_ref(), settled.as_ref(), wait);
        Some(Self {
            gate: found.gate.clone(),
            who: Who::of(&told),
            token: Token::of(&told, outcome.as_ref()),
            added: scopes(&told, "added"),
            removed: scopes(&told, "removed"),
            objections: objections(&told),
            as_of: as_of(found).filter(|_| ended.how != How::NotYet),
            ended,
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

    pub(super) fn key(&self) -> Key {
        Key {
            gate: self.gate.clone(),
            seq: self.cells.seq,
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
            tr data-id=(live::id(&self.key())) data-as-of=[self.as_of] {
                td.nowrap data-title="When" { a href=(self.href()) { (time(&self.cells.timestamp)) } }
                @if has_gates { td data-title="Gate" { (cut(&self.gate)) } }
                td data-title="Verdict" {
                    span class={ "verdict " (class) } { (word) }
                    @if self.no_op { " " span.soft { "no change" } }
                }
                td data-title="Operation" { (breaking(&cut(&self.cells.operation))) }
                td data-title="Environment" { (cut(&self.cells.environment)) }
                td data-title="Token" { (token(viewer, name, id)) }
                td data-title="By" { (self.by(viewer)) }
                td data-title="What" { (self.what(viewer)) }
                td data-title="Answer" {
                    @match self.ended.how {
                        How::InDoubt => strong.warn { (self.ended.text) },
                        How::NotYet => span.soft { (self.ended.text) },
                        How::Well | How::Otherwise => (self.ended.text),
                    }
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
                div { (link("/console/policies/", policy, &cut(policy))) " " (does) }
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
            }
            @for change in self.other_changes(viewer, is_known) { div { (cut(change)) } }
            @if !self.cells.error.is_empty() && viewer.is_auditor { div { (cut(&self.cells.error)) } }
            @if let Some(otherwise) = &self.otherwise {
                div.warn { "challenger: " (otherwise.differs) }
            }
        }
    }
}

impl Row {
    /// What would change besides the scopes that are shown. Who is no auditor sees no name: of the others, whether the token
    /// is switched on or off, and until when it is good.
    fn other_changes(&self, viewer: &Viewer, has_scopes: bool) -> impl Iterator<Item = &str> {
        let is_auditor = viewer.is_auditor;
        let is_seen = move |change: &&str| {
            let is_shown = has_scopes && change.starts_with("scopes ");
            let is_open =
                ["enabled", "disabled"].contains(change) || change.starts_with("expires ");
            !is_shown && (is_auditor || is_open)
        };
        let all = self.cells.changes.iter().map(|change| &**change);
        all.filter(is_seen).take(SHOWN)
    }
}

/// The newest record that says something of a decision.
fn as_of(found: &Found) -> Option<u64> {
    let Decided {
        seq,
        outcome,
        settled,
        challenger,
        ..
    } = found.decided;
    [Some(seq), outcome, settled, challenger]
        .into_iter()
        .max()?
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
        @else { (link("/console/tokens/", id, &text)) }
    }
}

/// A moment. A script shows it in the zone of whoever looks on.
pub(super) fn time(timestamp: &str) -> Markup {
    let text = timestamp.get(..19).unwrap_or(timestamp).replace('T', " ");
    html! { time datetime=(timestamp) { (text) " UTC" } }
}

/// A number with its thousands set apart.
pub(super) fn many(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (left, digit) in (0..digits.len()).rev().zip(digits.chars()) {
        text.push(digit);
        if left > 0 && left % 3 == 0 {
            text.push(',');
        }
    }
    text
}

/// A text that fits into a cell.
pub(super) fn cut(text: &str) -> String {
    cut_at(text, LONGEST)
}

/// The same, as long as it may be elsewhere.
pub(super) fn cut_at(text: &str, most: usize) -> String {
    let text = shown(text);
    match beginning(&text, most) {
        whole if whole.len() == text.len() => text,
        part => format!("{part}…"),
    }
}

/// As much of a text as needs so many bytes on a page.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let mut room = most;
    for (at, letter) in text.char_indices() {
        // As markup has it.
        let written = match letter {
            '&' => 5,
            '<' | '>' => 4,
            '"' => 6,
            other => other.len_utf8(),
        };
        match room.checked_sub(written) {
            Some(left) => room = left,
            None => return text.get(..at).unwrap_or_default(),
        }
    }
    text
}

/// A name, which a narrow cell breaks behind its separators and not anywhere.
pub(super) fn breaking(text: &str) -> Markup {
    let parts = text.split_inclusive(['_', '.', '/']);
    let parts: Vec<&str> = parts.collect();
    html! {
        @for (at, part) in parts.iter().enumerate() {
            @if at > 0 && at <= BREAKS { wbr; }
            (part)
        }
    }
}

/// The way to a page, where its name is not too long for one.
pub(super) fn link(path: &str, name: &str, text: &str) -> Markup {
    html! {
        @if name.is_empty() || name.len() > LONGEST_LINK { (text) }
        @else { a href={ (path) (encoded(name)) } title=(cut(name)) { (text) } }
    }
}

/// Bytes of a text in a row, and of what a link names.
const LONGEST: usize = 120;
const LONGEST_LINK: usize = 200;
/// Places where a name may be broken.
const BREAKS: usize = 8;
/// Objections and scopes in a row.
const SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_broken_behind_its_separators() {
        let shown = |text: &str| breaking(text).into_string();
        assert_eq!(shown("forbidden_scopes"), "forbidden_<wbr>scopes");
        assert_eq!(shown("token.update"), "token.<wbr>update");
        assert_eq!(shown("<b>"), "&lt;b&gt;");
        assert_eq!(shown(&"a.".repeat(60)).matches("<wbr>").count(), BREAKS);
    }

    #[test]
    fn thousands_are_set_apart() {
        let all = [0, 12, 999, 1_000, 65_536, 1_234_567].map(many);
        assert_eq!(all, ["0", "12", "999", "1,000", "65,536", "1,234,567"]);
    }

    #[test]
    fn a_text_is_cut_by_what_it_needs_on_a_page() {
        assert_eq!(cut(&"a".repeat(LONGEST)), "a".repeat(LONGEST));
        for letter in ["a", "&", "<", "\"", "é", "\u{202e}"] {
            let cut = cut(&letter.repeat(1_000));
            let written = html! { (cut) }.into_string();
            assert!(
                written.len() <= LONGEST + "…".len(),
                "{letter}: {}",
                written.len()
            );
            assert!(written.len() > LONGEST - 10, "{letter}: {}", written.len());
        }
    }
}

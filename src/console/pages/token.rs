//! A token, from its creation to its removal: what was done, by whom, and which scopes it had after each step.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::decisions::{noted, notes_of_history};
use crate::console::page::{Page, shown};
use crate::console::params::encoded;
use crate::console::row::{cut, cut_at, decision_href, time};
use crate::console::{Asked, Fault};
use crate::trail::ended::How;
use crate::trail::history::{After, Found, Happened, Most, Step, Tokens, list, said, steps};
use crate::trail::told::scopes;

/// A line of the history.
enum Line<'a> {
    Step(&'a Step, After),
    Found(Found),
}

pub(in crate::console) fn page(asked: &Asked<'_>, id: &str) -> Result<Page, Fault> {
    if !asked.viewer.is_auditor {
        return Err(Fault::NotAllowed("auditor"));
    }
    let with_all = asked.params.is_on("all")?;
    let source = asked.gate.open()?;
    let read = steps(&source, id, &[], MOST)?;
    if read.all.is_empty() {
        let id = cut(id);
        return Err(Fault::NotThere(format!(
            "No decision is about a token {id}."
        )));
    }
    let notes = notes_of_history(&source, id)?;
    let (lines, unchanging) = lines(&read.all, read.tokens(), with_all);
    let older = lines.len().saturating_sub(SHOWN);
    let has_gates = source.has_several_gates()?;
    let names = read.all.iter().rev().map(|step| &*step.token.name);
    let name = names.into_iter().find(|name| !name.is_empty());
    let body = html! {
        h1 { "Token " (cut(name.unwrap_or(id))) }
        p.soft { @for id in ids(id, &read.ids) { code { (cut(id)) } " " } }
        @for text in read.missing() { p.note { (shown(&text)) "." } }
        (noted(&notes))
        @if older > 0 { p.note { (older) " older lines are not shown. dtgate audit history shows all." } }
        p {
            @if with_all { a href={ "/console/tokens/" (encoded(id)) } { "Hide what changed nothing" } }
            @else if unchanging > 0 {
                "Requests that changed nothing: " (unchanging) ". " a href={ "/console/tokens/" (encoded(id)) "?all=1" } { "Show them" }
            }
        }
        ol.timeline {
            @for line in lines.iter().skip(older) {
                @match line {
                    Line::Step(step, after) => (one(step, after, has_gates)),
                    Line::Found(found) => (elsewhere(found)),
                }
            }
        }
    };
    Ok(Page::new("Decisions", format!("Token {}", cut(id)), body))
}

/// The oldest first; and how many are left out because they changed nothing.
fn lines<'a>(all: &'a [Step], mut tokens: Tokens<'_>, with_all: bool) -> (Vec<Line<'a>>, usize) {
    let (mut lines, mut unchanging) = (Vec::new(), 0);
    for step in all {
        let seen = tokens.see(step);
        lines.extend(seen.found.map(Line::Found));
        if step.no_op && !with_all {
            unchanging += 1;
        } else {
            lines.push(Line::Step(step, seen.after));
        }
    }
    (lines, unchanging)
}

/// The one that was asked for, and others that it had.
fn ids<'a>(asked: &'a str, all: &'a BTreeSet<String>) -> impl Iterator<Item = &'a str> {
    let others = all.iter().map(|id| &**id).filter(move |id| *id != asked);
    std::iter::once(asked).chain(others).take(IDS)
}

/// One thing that was done to it, or asked for.
fn one(step: &Step, after: &After, has_gates: bool) -> Markup {
    let cells = &step.cells;
    let (added, removed) = (
        scopes(&step.record, "added"),
        scopes(&step.record, "removed"),
    );
    let class = match step.happened {
        _ if cells.verdict != "allow" => "deny",
        Happened::Yes => "allow",
        Happened::No | Happened::Perhaps => "warn",
    };
    html! {
        li class=(class) {
            div {
                a href=(decision_href(&step.key.gate, cells)) { (time(&cells.timestamp)) } " "
                strong { (cut_at(&what(step, &added, &removed), LONG)) } " "
                (chips(&[("added", &added), ("removed", &removed)]))
            }
            div {
                "by " (cut(&step.who.short()))
                @if has_gates { span.soft { " · gate " (cut(&step.key.gate)) } }
                span.soft { " · environment " (cut(&cells.environment)) }
            }
            @for objection in cells.objections.iter().take(OBJECTIONS) { div { (cut_at(objection, SENTENCE)) } }
            @if !cells.grant.is_empty() { div { (cut(&cells.grant)) } }
            @if !step.answer.text.is_empty() {
                div class=(if step.answer.how == How::InDoubt { "warn" } else { "soft" }) { "Dynatrace: " (step.answer.text) }
            }
            div.after {
                "Scopes after it: "
                @match after {
                    After::Known(scopes) if !scopes.is_empty() => (chips(&[("kept", scopes)])),
                    other => (cut_at(&said(other), LONG)),
                }
            }
        }
    }
}

/// What was done, in words; scopes that are shown beside are not said again.
fn what(step: &Step, added: &[String], removed: &[String]) -> String {
    let mut what = step.what();
    if !(added.is_empty() && removed.is_empty()) {
        let changes = step.cells.changes.iter();
        for change in changes.filter(|change| change.starts_with("scopes ")) {
            what = what.replacen(change, "scopes", 1);
        }
    }
    what
}

/// Scopes as other pages show them, as many as there is room for.
fn chips(kinds: &[(&str, &[String])]) -> Markup {
    let all: Vec<(&str, &String)> = kinds
        .iter()
        .flat_map(|(kind, scopes)| scopes.iter().map(move |scope| (*kind, scope)))
        .collect();
    let mut room = ROOM;
    let shown = all.iter().take_while(|(_, scope)| {
        let left = room.checked_sub(scope.len() + MARKED);
        room = left.unwrap_or_default();
        left.is_some()
    });
    let shown = shown.count();
    html! {
        @if !all.is_empty() {
            ul.scopes {
                @for (kind, scope) in all.iter().take(shown) { li class=(kind) { (cut(scope)) } }
                @if all.len() > shown { li { "and " (all.len() - shown) " more" } }
            }
        }
    }
}

/// What a lookup found that no record explains, or what it tells of a change in doubt.
fn elsewhere(found: &Found) -> Markup {
    let words = found.words(&found.since_timestamp, &found.timestamp);
    html! {
        li.warn {
            div { (time(&found.timestamp)) " " strong { (cut_at(&words, LONG)) } }
            div.after { "Scopes then: " (cut_at(&list(&found.scopes), LONG)) }
        }
    }
}

/// How much is read for a page.
const MOST: Most = Most {
    requests: 1_000,
    bytes: 16 << 20,
};
/// Lines of a page, the newest.
const SHOWN: usize = 80;
/// Letters of what is told in words.
const LONG: usize = 400;
/// Letters of an objection.
const SENTENCE: usize = 240;
/// Bytes of a list of scopes, and of what marks each.
const ROOM: usize = 700;
const MARKED: usize = 24;
/// Objections of a line.
const OBJECTIONS: usize = 4;
/// Ids that are named.
const IDS: usize = 8;

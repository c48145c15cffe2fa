//! A token, from its creation to its removal.

use maud::{Markup, html};

use super::decisions::rows;
use crate::audit::index::{Filter, Pattern};
use crate::console::page::{Page, shown};
use crate::console::row::{Row, cut, time};
use crate::console::{Asked, Fault};
use crate::trail::known_as;

pub(in crate::console) fn page(asked: &Asked<'_>, id: &str) -> Result<Page, Fault> {
    if !asked.viewer.is_auditor {
        return Err(Fault::NotAllowed("auditor"));
    }
    let source = asked.gate.open()?;
    let filter = Filter {
        token: vec![Pattern::Exactly(id.to_owned())],
        ..Filter::default()
    };
    let filter = match source.keys() {
        None => filter,
        Some(journal) => known_as(filter, journal)
            .map_err(|error| Fault::Failed(format!("the keys of pseudonyms: {error}")))?,
    };
    let page = source.find(&filter, None, MOST)?;
    let (rows, lost) = rows(&source, &page.decisions)?;
    if rows.is_empty() {
        let id = cut(id);
        return Err(Fault::NotThere(format!(
            "No decision is about a token {id}."
        )));
    }
    let name = rows
        .iter()
        .map(|row| &*row.token.name)
        .find(|name| !name.is_empty());
    let body = html! {
        h1 { "Token " (shown(name.unwrap_or(id))) }
        p.soft { code { (shown(id)) } }
        @if page.more { p.note { "Only the newest " (MOST) " decisions are shown. dtgate audit history has all." } }
        @if lost > 0 { p.note { (lost) " records are gone or cannot be read." } }
        ol.timeline { @for row in rows.iter().rev() { (step(row, asked)) } }
    };
    Ok(Page::new("Decisions", format!("Token {id}"), body))
}

/// One thing that was done to it, or asked for.
fn step(row: &Row, asked: &Asked<'_>) -> Markup {
    let (word, class) = row.verdict();
    html! {
        li class=(class) {
            div { a href=(row.href()) { (time(&row.cells.timestamp)) } " " span class={ "verdict " (class) } { (word) } " " (row.cells.operation)
                " by " (row.by(asked.viewer)) }
            @if row.no_op { div.soft { "changes nothing" } }
            @for change in row.cells.changes.iter().take(8) { div { (cut(change)) } }
            @for (policy, does) in row.objections.iter().take(8) { div { (cut(policy)) " " (does) } }
            @if !row.ended.text.is_empty() { div.soft { "Dynatrace: " (row.ended.text) } }
        }
    }
}

/// Decisions of one token.
const MOST: usize = 200;

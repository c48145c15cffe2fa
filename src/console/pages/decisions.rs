//! Decisions, by everything that `dtgate audit query` takes. The URL is the search.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use maud::{Markup, html};

use crate::audit::index::{By, Filter, Otherwise, Which};
use crate::console::page::{Page, sentence, shown};
use crate::console::params::Params;
use crate::console::row::Row;
use crate::console::search::{FIELDS, Field, Search, names};
use crate::console::{Asked, Fault, Viewer};
use crate::store::Found;
use crate::trail::ended::Wait;
use crate::trail::{Source, beside};

pub(in crate::console) fn page(asked: &Asked<'_>) -> Result<Page, Fault> {
    let source = asked.gate.open()?;
    let search = Search::read(asked.params, asked.viewer, asked.now, &source)?;
    let source = source.of_gate_only(search.gate.as_deref());
    let page = source.find(&search.filter, search.before.as_ref(), A_PAGE)?;
    let has_gates = source.has_several_gates()?;
    let (rows, lost) = rows(&source, &page.decisions, asked.gate.wait())?;
    let notes = notes(&source, &search.filter)?;
    let next = page.decisions.last().filter(|_| page.more);
    let next = next.map(|last| asked.params.with("before", Some(&source.next(last))));
    let body = html! {
        h1 { "Decisions" }
        (form(asked.params, asked.viewer))
        (noted(&notes))
        @if lost > 0 {
            p.note { (lost) " of those found cannot be shown: the record is gone or cannot be read. Run dtgate audit verify." }
        }
        @if rows.is_empty() { p { "No decision matches." } } @else { (table(&rows, asked.viewer, has_gates)) }
        @if asked.viewer.is_auditor && !rows.is_empty() { (downloads(asked.params)) }
        @if let Some(next) = next {
            p { a.button href={ "/console/decisions?" (next.query()) } rel="next" { "Older" } }
        }
    };
    Ok(Page::new("Decisions", "Decisions", body))
}

/// The search as a file.
fn downloads(params: &Params) -> Markup {
    let query = params.with("before", None).query();
    html! {
        p {
            "Download all of it, 10,000 decisions at most: "
            a href={ "/console/decisions.csv?" (query) } download { "CSV" } ", "
            a href={ "/console/decisions.json?" (query) } download { "JSON, a line each" }
        }
    }
}

/// The rows of what was found, and how many there are of which nothing can be shown.
pub(in crate::console) fn rows(
    source: &Source,
    found: &[Found],
    wait: Wait,
) -> Result<(Vec<Row>, usize), Fault> {
    let (mut rows, mut lost) = (Vec::with_capacity(found.len()), 0);
    let mut rest = found;
    while !rest.is_empty() {
        let (some, behind) = rest.split_at(source.at_once(rest)?.max(1));
        for (found, lines) in some.iter().zip(source.lines(some)?) {
            match Row::of(found, &lines, wait) {
                Some(row) => rows.push(row),
                None => lost += 1,
            }
        }
        rest = behind;
    }
    Ok((rows, lost))
}

pub(in crate::console) fn table(rows: &[Row], viewer: &Viewer, has_gates: bool) -> Markup {
    html! {
        div.wide role="region" aria-label="Decisions" tabindex="0" {
            table.stack {
                thead {
                    tr {
                        th scope="col" data-zone { "When" }
                        @if has_gates { th scope="col" { "Gate" } }
                        @for title in ["Verdict", "Operation", "Environment", "Token", "By", "What", "Answer"] {
                            th scope="col" { (title) }
                        }
                    }
                }
                tbody id="decisions" { @for row in rows { (row.html(viewer, has_gates)) } }
            }
        }
    }
}

/// What the answer to a filter does not say by itself, as `dtgate audit query` says it beside its answer.
pub(in crate::console) fn notes(source: &Source, filter: &Filter) -> Result<Vec<String>, Fault> {
    Ok(sentences(&beside::all(source, filter, &called)?))
}

fn sentences(notes: &[String]) -> Vec<String> {
    notes.iter().map(|text| sentence(text)).collect()
}

/// The same beside the history of a token.
pub(in crate::console) fn notes_of_history(
    source: &Source,
    token: &str,
) -> Result<Vec<String>, Fault> {
    let notes = beside::of_history(source, &Filter::default(), token, &called)?;
    Ok(sentences(&notes))
}

/// As it is called on the page.
fn called(name: &str) -> String {
    let label = FIELDS.iter().find(|field| field.name == name);
    format!("“{}”", label.map_or(UNCHANGING, |field| field.label))
}

/// The same of what a page counts by.
fn called_by(by: By) -> String {
    let word = by.to_possible_value();
    let word = word.as_ref().map_or("", PossibleValue::get_name);
    format!("the count by {word}")
}

/// The same on a page.
pub(in crate::console) fn noted(notes: &[String]) -> Markup {
    html! { @for note in notes { p.note { (shown(note)) } } }
}

/// The same on a page that counts by these, of which so many decisions are left out.
pub(in crate::console) fn counted_notes(
    source: &Source,
    filter: &Filter,
    by: &[By],
    left_out: u64,
) -> Result<Markup, Fault> {
    let notes = beside::counting(source, filter, by, &called, &called_by)?;
    let mut notes = sentences(&notes);
    if left_out > 0 {
        notes.push(format!(
            "{left_out} decisions are of more names than are counted at once: a shorter time has fewer."
        ));
    }
    Ok(noted(&notes))
}

fn form(params: &Params, viewer: &Viewer) -> Markup {
    let value = |name: &str| params.get(name).unwrap_or_default().to_owned();
    let choices = [
        (
            "verdict",
            "Verdict",
            vec!["allow".to_owned(), "deny".to_owned()],
        ),
        ("outcome", "Outcome", names::<Which>().collect()),
        ("challenger", "Challenger", names::<Otherwise>().collect()),
        (
            "no_op",
            UNCHANGING,
            vec!["hide".to_owned(), "only".to_owned()],
        ),
    ];
    let fields = FIELDS.iter();
    let fields = fields.filter(|field| viewer.is_auditor || !field.is_private);
    let fields: Vec<&Field> = fields.collect();
    let is_asked = |name: &str| params.get(name).is_some();
    let is_narrow = fields
        .iter()
        .any(|field| !FIRST.contains(&field.name) && is_asked(field.name))
        || choices.iter().any(|(name, ..)| is_asked(name))
        || is_asked("granted");
    html! {
        form.search method="get" action="/console/decisions" role="search" {
            label { "Since (UTC)" input name="since" value=(value("since")) placeholder="7d, 2026-11-01"; }
            label { "Until (UTC)" input name="until" value=(value("until")) placeholder="1h, 2026-11-02"; }
            @for field in fields.iter().filter(|field| FIRST.contains(&field.name)) { (input(params, field)) }
            details open[is_narrow] {
                summary { "More filters" }
                div.search {
                    @for field in fields.iter().filter(|field| !FIRST.contains(&field.name)) { (input(params, field)) }
                    @for (name, label, words) in &choices {
                        label {
                            (label)
                            select name=(name) {
                                option value="" { "any" }
                                @for word in words {
                                    option value=(word) selected[params.get(name) == Some(word)] { (word) }
                                }
                            }
                        }
                    }
                    label { "Passed by a grant"
                        select name="granted" {
                            option value="" { "any" }
                            option value="1" selected[params.get("granted").is_some()] { "granted only" }
                        }
                    }
                }
            }
            div { button.main type="submit" { "Search" } " " a.button href="/console/decisions" { "Clear" } }
        }
    }
}

fn input(params: &Params, field: &Field) -> Markup {
    html! {
        label {
            (field.label)
            input name=(field.name) value=(params.get(field.name).unwrap_or_default()) placeholder=(field.hint);
            @for more in params.all(field.name).skip(1) {
                input name=(field.name) value=(more) aria-label=(field.label);
            }
        }
    }
}

/// Fields that are always seen.
const FIRST: &[&str] = &["token", "environment", "policy"];
/// What the choice of requests by their effect is called.
const UNCHANGING: &str = "Requests that change nothing";
/// Decisions on a page.
const A_PAGE: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::index::{FILE, Index};

    #[test]
    fn a_page_says_what_masks_hide_as_the_command_does() {
        let journal = tempfile::tempdir().unwrap();
        let record = serde_json::json!({
            "seq": 1, "kind": "decision", "timestamp": "2026-11-24T10:00:00.000Z", "verdict": "allow",
            "operation": "token.update", "requested_by": "hidden", "masked": ["/requested_by", "/input/change/differs"],
        });
        let segment = journal.path().join("00000000000000000001.jsonl");
        std::fs::write(segment, format!("{record}\n")).unwrap();
        let mut index = Index::open(journal.path(), &journal.path().join(FILE)).unwrap();
        index.catch_up(|_| true).unwrap();
        let source = Source::Journal {
            index: Box::new(index),
            journal: journal.path().to_owned(),
        };
        let mut filter = Filter {
            client: vec!["10.0.0.0/8".parse().unwrap()],
            ..Filter::default()
        };
        let client = "Of 1 decision of this time masks have hidden what “Client's address” looks at: they may be missing here.";
        let said = |filter: &Filter| {
            let mut notes = notes(&source, filter).unwrap();
            notes.retain(|it| it.contains("masks"));
            notes
        };
        assert_eq!(said(&filter), [client]);
        filter.no_op = Some(true);
        let effect = client.replace("Client's address", UNCHANGING);
        assert_eq!(said(&filter), [client, &effect]);
        assert_eq!(said(&Filter::default()), [""; 0]);
    }
}

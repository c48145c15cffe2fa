//! One decision: who asked for what, what the token had, the difference, what each policy said, how it ended, and how
//! far the chain vouches for it.

mod difference;
pub(super) mod lines;

use maud::{Markup, html};
use serde_json::Value;

use crate::audit::index::Filter;
use crate::audit::proof::{self, Covered, ProveError, Wanted};
use crate::audit::tail::effect;
use crate::console::file::File;
use crate::console::page::Page;
use crate::console::params::encoded;
use crate::console::row::{Row, beginning, cut, cut_at, link, time, token};
use crate::console::{Asked, Fault};
use crate::store::{Found, Key, Lines};
use crate::trail::Source;
use crate::trail::ended::{How, Wait};
use crate::trail::read;
use crate::trail::told::text;
use crate::value::visible_json;

/// A decision, found.
struct Seen {
    found: Found,
    lines: Lines,
    row: Row,
    record: Value,
}

pub(in crate::console) fn page(asked: &Asked<'_>, id: &str) -> Result<Page, Fault> {
    let source = opened(asked)?;
    let seen = find(&source, id, asked.gate.wait())?;
    let (word, class) = seen.row.verdict();
    let cells = &seen.row.cells;
    let (before, after) = source.decisions_beside(&seen.found.key())?;
    let silent = silent(&source, &seen)?;
    let body = html! {
        h1 { span class={ "verdict " (class) } { (word) } " " (cells.operation) }
        p.soft {
            (time(&cells.timestamp)) " · environment " (cut(&cells.environment)) " · record " (cells.seq)
            @if !seen.row.gate.is_empty() { " of gate " (cut(&seen.row.gate)) }
        }
        (badge(&source, asked, &seen)?)
        h2 { "Who" }
        (who(asked, &seen))
        h2 { "What was asked for" }
        (asked_for(asked, &seen))
        (difference::html(asked, &seen.record, &cells.operation))
        h2 { "What the policies said" }
        (objections(asked, &seen.record, &silent))
        (lines::html(asked, &seen.record))
        (remedy(asked, &seen.record))
        h2 { "What became of it" }
        (ending(asked, &seen))
        (records(asked, &seen))
        @if asked.viewer.is_auditor && asked.viewer.is_author && seen.record.get("input").is_some() {
            p { a.button href=(in_playground(&seen)) { "Try it in the playground" } }
        }
        nav.pages aria-label="Neighbours" {
            @if let Some(before) = before { a href=(beside(&seen, before)) rel="prev" { "← before it" } }
            " "
            @if let Some(after) = after { a href=(beside(&seen, after)) rel="next" { "after it →" } }
        }
    };
    let title = format!("{word} {} #{}", cells.operation, cells.seq);
    Ok(Page::new("Decisions", title, body))
}

/// The record of one, as it was written.
pub(in crate::console) fn record(asked: &Asked<'_>, id: &str) -> Result<Value, Fault> {
    let source = opened(asked)?;
    Ok(find(&source, id, asked.gate.wait())?.record)
}

/// The file that `dtgate audit prove` writes.
pub(in crate::console) fn evidence(asked: &Asked<'_>, id: &str) -> Result<File, Fault> {
    if !asked.viewer.is_auditor {
        return Err(Fault::NotAllowed("auditor"));
    }
    let source = opened(asked)?;
    let seen = find(&source, id, asked.gate.wait())?;
    let seq = seen.row.cells.seq;
    let journal = source.journal().ok_or_else(|| {
        Fault::NotThere("A store has no evidence: ask the journal of the gate.".to_owned())
    })?;
    let proof = proof::prove_until(journal, &Wanted::Number(seq), asked.stop);
    let proof = proof.map_err(|error| Fault::NotThere(error.to_string()))?;
    Ok(File {
        name: format!("record-{seq}.proof"),
        content_type: "text/plain; charset=utf-8",
        text: proof.to_string(),
    })
}

fn opened(asked: &Asked<'_>) -> Result<Source, Fault> {
    let source = asked.gate.open()?;
    Ok(source.of_gate_only(asked.params.get("gate")))
}

/// By the id of a decision, or the number of its record.
fn find(source: &Source, id: &str, wait: Wait) -> Result<Seen, Fault> {
    let gone = || Fault::NotThere(format!("There is no decision {} here.", cut(id)));
    let found = match id.parse::<u64>() {
        Ok(seq) => {
            let gate = source.gate().unwrap_or_default().to_owned();
            source.decision(&Key { gate, seq })?
        }
        Err(_no_number) => {
            let filter = Filter {
                id: Some(id.to_owned()),
                ..Filter::default()
            };
            source.find(&filter, None, 1)?.decisions.into_iter().next()
        }
    };
    let found = found.ok_or_else(gone)?;
    let lines = source.lines(std::slice::from_ref(&found))?;
    let lines = lines.into_iter().next().unwrap_or_default();
    let row = Row::of(&found, &lines, wait).ok_or_else(|| {
        Fault::NotThere(
            "Its record is gone, or cannot be read: run dtgate audit verify.".to_owned(),
        )
    })?;
    let line = lines.decision.as_deref().unwrap_or_default();
    let record = serde_json::from_slice(line).unwrap_or_default();
    Ok(Seen {
        found,
        lines,
        row,
        record,
    })
}

fn in_playground(seen: &Seen) -> String {
    let seq = seen.row.cells.seq;
    match &*seen.found.gate {
        "" => format!("/console/playground?decision={seq}"),
        gate => format!("/console/playground?decision={seq}&gate={}", encoded(gate)),
    }
}

fn beside(seen: &Seen, seq: u64) -> String {
    let gate = match &*seen.found.gate {
        "" => String::new(),
        gate => format!("?gate={}", encoded(gate)),
    };
    format!("/console/decisions/{seq}{gate}")
}

/// How far the newest checkpoint vouches for the record. The journal is not read for it: the proof does that.
fn badge(source: &Source, asked: &Asked<'_>, seen: &Seen) -> Result<Markup, Fault> {
    let seq = seen.row.cells.seq;
    let Some(journal) = source.journal() else {
        return Ok(html! {
            p.note { "Read from the store. dtgate audit verify --store says whether its chain holds." }
        });
    };
    let record = seen.lines.decision.as_deref().unwrap_or_default();
    let end = Key {
        seq: u64::MAX,
        ..seen.found.key()
    };
    let newest = source.last_before("checkpoint", &end)?;
    let line = newest
        .map(|seq| source.line(&Key { seq, ..end }))
        .transpose()?;
    let covered = match &line {
        None => Covered::NotYet,
        Some(line) => {
            let line = line.as_deref().unwrap_or_default();
            proof::covered(journal, seq, record, line)
        }
    };
    let download = html! {
        @if asked.viewer.is_auditor { a href={ "/console/decisions/" (seq) "/proof" } { "Download the proof" } }
    };
    Ok(match covered {
        Covered::By(size) => html! {
            p.note.sound {
                strong { "The chain holds up to here." }
                " The record is in the tree that the checkpoint over " (size) " records signs. Not checked: the key "
                "(dtgate audit verify --key does), and the other records. "
                (download)
            }
        },
        Covered::NotYet => html! {
            p.note { "Not proven yet: " (ProveError::NotCovered(seq)) "." }
        },
        Covered::Unknown => html! {
            p.note {
                "Not checked here: the hashes beside the journal are not all there. dtgate audit verify reads the journal itself. "
                (download)
            }
        },
        Covered::Differs(size) => html! {
            p.fault role="alert" {
                strong { "This does not fit together: " }
                "the record, the hashes beside the journal, and the checkpoint over " (size)
                " records. dtgate audit verify says which of them is wrong."
            }
        },
    })
}

fn who(asked: &Asked<'_>, seen: &Seen) -> Markup {
    let who = &seen.row.who;
    let viewer = asked.viewer;
    let rows = [
        ("Credential", &who.credential),
        ("Issuer", &who.issuer),
        ("Subject", &who.subject),
        ("Certificate", &who.certificate),
        ("Address", &who.client),
    ];
    html! {
        dl.card {
            @for (title, text) in rows.iter().filter(|(_, text)| !text.is_empty()) {
                dt { (title) }
                dd { (cut(viewer.sees(text))) @if *title == "Credential" && who.is_brokered { " (the gate's own)" } }
            }
            @if !who.teams.is_empty() { dt { "Teams" } dd { (cut(&who.teams.join(", "))) } }
        }
    }
}

fn asked_for(asked: &Asked<'_>, seen: &Seen) -> Markup {
    let record = &seen.record;
    let (method, path) = (
        text(record, "/request/method"),
        text(record, "/request/path"),
    );
    let (name, id) = (&*seen.row.token.name, seen.row.token.any_id());
    html! {
        dl.card {
            dt { "Request" }
            dd { code { (method) " " (cut(asked.viewer.sees(&path))) } }
            @if !(name.is_empty() && id.is_empty()) { dt { "Token" } dd { (token(asked.viewer, name, id)) } }
            @if !seen.row.token.made.is_empty() && seen.row.token.made != id {
                dt { "Made" }
                dd { (token(asked.viewer, "", &seen.row.token.made)) }
            }
            @if seen.row.no_op { dt { "Difference" } dd { "none: the token is like that already" } }
        }
    }
}

fn violations(record: &Value) -> impl Iterator<Item = &Value> {
    let found = record.pointer("/result/violations");
    found.and_then(Value::as_array).into_iter().flatten()
}

fn objections(asked: &Asked<'_>, record: &Value, silent: &[String]) -> Markup {
    let error = text(record, "/error");
    let viewer = asked.viewer;
    html! {
        @if !error.is_empty() { p.fault { (cut(viewer.sees(&error))) } }
        @for violation in violations(record).take(MOST) {
            @let policy = text(violation, "/policy");
            @let what = effect(record, violation);
            section.card.objection {
                h3 {
                    (link("/console/policies/", &policy, &cut(&policy)))
                    " " span class=(if what == "denies" { "deny" } else { "warn" }) { (what) }
                }
                p { (cut_at(viewer.sees(&text(violation, "/message")), PARAGRAPH)) }
                dl {
                    @for (title, member, is_private) in VIOLATION {
                        @let told = text(violation, member);
                        @if !told.is_empty() { dt { (title) } dd { (cut(if is_private { viewer.sees(&told) } else { &told })) } }
                    }
                }
            }
        }
        @if violations(record).nth(MOST).is_some() { p { "There are more: the record below has all." } }
        @if !silent.is_empty() {
            p {
                strong { "No objection: " } (silent.iter().take(SILENT).cloned().collect::<Vec<_>>().join(", "))
                @if silent.len() > SILENT { ", and " (silent.len() - SILENT) " more" }
            }
        }
        @if violations(record).next().is_none() && error.is_empty() && silent.is_empty() { p { "No policy objected." } }
    }
}

fn remedy(asked: &Asked<'_>, record: &Value) -> Markup {
    let remedy = text(record, "/result/remedy/text");
    html! {
        @if !remedy.is_empty() && asked.viewer.is_auditor { p.note { strong { "Remedy: " } (cut_at(&remedy, PARAGRAPH)) } }
    }
}

fn ending(asked: &Asked<'_>, seen: &Seen) -> Markup {
    let read = |line: &Option<Vec<u8>>| read::record(line.as_ref()).unwrap_or_default();
    let (outcome, settled) = (read(&seen.lines.outcome), read(&seen.lines.settled));
    let ended = &seen.row.ended;
    html! {
        dl.card {
            dt { "Answer" }
            dd {
                @if seen.row.cells.verdict != "allow" { "Refused: the request was not sent to Dynatrace." }
                @else if ended.how == How::InDoubt {
                    strong.warn { (ended.text) } ": Dynatrace may have carried it out. dtgate audit settle looks."
                } @else if ended.how == How::NotYet {
                    (ended.text) ": the request is under way. Load the page again."
                } @else { (ended.text) }
            }
            @if let Some(ms) = outcome.get("duration_ms").and_then(Value::as_f64) { dt { "Took" } dd { (ms) " ms" } }
            @let detail = text(&outcome, "/detail");
            @if !detail.is_empty() { dt { "Detail" } dd { (cut(asked.viewer.sees(&detail))) } }
            @let note = text(&settled, "/note");
            @if !note.is_empty() { dt { "Note" } dd { (cut(asked.viewer.sees(&note))) } }
            @if let Some(otherwise) = &seen.row.otherwise {
                dt { "Challenger" }
                dd { (otherwise.differs) @if asked.viewer.is_auditor { ": " (cut(&otherwise.objections.join("; "))) } }
            }
            @if !seen.row.cells.grant.is_empty() { dt { "Grant" } dd { (cut(asked.viewer.sees(&seen.row.cells.grant))) } }
            dt { "Policies" }
            dd { code { (cut(&text(&seen.record, "/bundles/policies/revision"))) } }
        }
    }
}

/// The policies that judged and had nothing to say, as the last start or reload before it names them.
fn silent(source: &Source, seen: &Seen) -> Result<Vec<String>, Fault> {
    let revision = seen.record.pointer("/bundles/policies/revision");
    if seen.record.get("input").is_none() || revision.is_none() {
        return Ok(Vec::new());
    }
    let names = source.policies_in_force(&seen.found.key(), revision)?;
    let names = names.unwrap_or_default();
    let objecting: Vec<&Value> = violations(&seen.record)
        .filter_map(|it| it.get("policy"))
        .collect();
    let silent = names.iter().filter(|name| !objecting.contains(name));
    Ok(silent.filter_map(Value::as_str).map(cut).collect())
}

/// The records as they were written.
fn records(asked: &Asked<'_>, seen: &Seen) -> Markup {
    let lines = [
        ("decision", &seen.lines.decision),
        ("outcome", &seen.lines.outcome),
        ("settled", &seen.lines.settled),
        ("challenger", &seen.lines.challenger),
    ];
    html! {
        @if asked.viewer.is_auditor {
            h2 { "The records themselves" }
            @for (what, line) in lines {
                @if let Some(line) = line {
                    details { summary { (what) } pre tabindex="0" { (pretty(line)) } }
                }
            }
        }
    }
}

fn pretty(line: &[u8]) -> String {
    let value: Option<Value> = serde_json::from_slice(line).ok();
    let text = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(line).into_owned());
    let text = visible_json(&text);
    match beginning(&text, LONGEST) {
        whole if whole.len() == text.len() => text.into_owned(),
        part => format!("{part}\n… It is longer: dtgate audit show --format json has all of it."),
    }
}

/// What is told of an objection, and whether a policy may have written a name or an id into it.
const VIOLATION: [(&str, &str, bool); 5] = [
    ("Code", "/code", true),
    ("Where", "/path", true),
    ("Mode", "/mode", false),
    ("Exception", "/exception/ticket", true),
    ("Until", "/exception/until", false),
];
/// Objections that are shown.
const MOST: usize = 50;
/// Policies without an objection that are named.
const SILENT: usize = 50;
/// Bytes of a record on the page.
const LONGEST: usize = 16_000;
/// Bytes of a message.
const PARAGRAPH: usize = 1_000;

//! The policies, how often each objected, and one of them with its source and what real traffic reached of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use maud::{Markup, html};
use serde_json::Value;

use super::decision::lines::is_veiled;
use super::decisions::counted_notes;
use crate::audit::index::{By, Filter};
use crate::console::page::{Page, shown};
use crate::console::params::encoded;
use crate::console::reached::Lines;
use crate::console::row::cut;
use crate::console::{Asked, Fault};
use crate::policy::{Input, LOOKUP, Listed, Policy};
use crate::store::Found;
use crate::trail::Source;
use crate::value::counted;

/// How often a policy objected, and in how many of these the request was denied.
type Counts = BTreeMap<String, (u64, u64)>;

/// What real traffic reached of a policy.
struct Reached {
    rows: BTreeSet<u32>,
    judged: usize,
    /// Those for which there was no time.
    left: usize,
    /// Of these, those of which something that policies saw is masked, or has a pseudonym.
    veiled: usize,
}

pub(in crate::console) fn page(asked: &Asked<'_>) -> Result<Page, Fault> {
    let source = asked.gate.open()?;
    let ((day, _), (week, left_out)) = (counts(&source, asked, 1)?, counts(&source, asked, 7)?);
    let notes = counted_notes(&source, &last(asked, 7), &[By::Policy], left_out)?;
    let policy = asked.gate.policies.as_ref().map(|policies| policies());
    let listed = policy.as_ref().map(Policy::listed).unwrap_or_default();
    let others: Vec<&String> = week
        .keys()
        .filter(|name| !name.is_empty() && listed.iter().all(|it| it.name != **name))
        .collect();
    let body = html! {
        h1 { "Policies" }
        @match &policy {
            Some(policy) => p.soft { "Revision " code { (cut(policy.revision())) } },
            None => p.note { "No policies are known here: start with --policies DIR. What is counted is what the records say." },
        }
        @for release in policy.iter().flat_map(Policy::releases) { p.soft { "Bundle " (cut(&release.told())) } }
        (notes)
        div.wide role="region" aria-label="Policies" tabindex="0" {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "Policy" } th scope="col" { "Mode" } th.num scope="col" { "Tests" }
                        th.num scope="col" { "Objected, 24 h" } th.num scope="col" { "Objected, 7 d" }
                    }
                }
                tbody {
                    @for it in &listed { (row(it, &day, &week)) }
                    @for name in &others {
                        tr {
                            td data-title="Policy" { (link(name)) div.soft { (if *name == LOOKUP { OWN } else { "not in force" }) } }
                            td data-title="Mode" { "–" } td.num data-title="Tests" { "–" }
                            (objected(name, &day, &week))
                        }
                    }
                }
            }
        }
    };
    Ok(Page::new("Policies", "Policies", body))
}

pub(in crate::console) fn one(asked: &Asked<'_>, name: &str) -> Result<Page, Fault> {
    let source = asked.gate.open()?;
    let policy = asked.gate.policies.as_ref().map(|policies| policies());
    let listed = policy.as_ref().map(Policy::listed).unwrap_or_default();
    let listed = listed.into_iter().find(|it| it.name == name);
    let text = listed.as_ref().zip(policy.as_ref());
    let text = text.and_then(|(it, policy)| Some((it.file.clone(), policy.text_of(&it.file)?)));
    let ((day, _), (week, left_out)) = (counts(&source, asked, 1)?, counts(&source, asked, 7)?);
    let notes = counted_notes(&source, &last(asked, 7), &[By::Policy], left_out)?;
    let reached = match (&policy, &text) {
        (Some(policy), Some((file, _))) => Some(reached(asked, &source, policy, file)?),
        _ => None,
    };
    if listed.is_none() && !week.contains_key(name) {
        let name = cut(name);
        return Err(Fault::NotThere(format!("There is no policy {name} here.")));
    }
    let body = html! {
        h1 { (shown(name)) }
        @if let Some(listed) = &listed {
            @if let Some(title) = &listed.title { p { (cut(title)) } }
            dl.card {
                dt { "Mode" } dd { (cut(&listed.mode)) }
                dt { "Tests" } dd { (listed.tests) }
                dt { "File" } dd { code { (cut(&listed.file_name)) } }
            }
        } @else if name == LOOKUP { p.note { "This is no policy: the gate objects by itself where " (OWN_WHY) "." } }
        @else { p.note { "It is not among the policies that are known here." } }
        h2 { "Objections" }
        (notes)
        dl.card {
            @for (title, counts) in [("In the last 24 hours", &day), ("In the last 7 days", &week)] {
                @let (all, denied) = counts.get(name).copied().unwrap_or_default();
                dt { (title) }
                dd { (all) @if denied > 0 { ", " span.deny { (denied) " denied" } } }
            }
        }
        p { a.button href={ "/console/decisions?policy=" (encoded(name)) } { "Decisions that it objected to" } }
        @if let Some((_, text)) = &text { (source_of(text, reached.as_ref())) }
    };
    Ok(Page::new("Policies", name, body))
}

/// The decisions of the last days.
fn last(asked: &Asked<'_>, days: i64) -> Filter {
    let since = asked.now.as_millisecond().saturating_sub(days * 86_400_000);
    Filter {
        since: Some(since),
        ..Filter::default()
    }
}

/// With how many decisions are left out.
fn counts(source: &Source, asked: &Asked<'_>, days: i64) -> Result<(Counts, u64), Fault> {
    let mut counts = Counts::new();
    let sums = source.totals(&last(asked, days), By::Policy)?;
    for sum in sums.all {
        let (all, denied) = counts.entry(sum.name).or_default();
        *all += sum.allowed + sum.denied;
        *denied += sum.denied;
    }
    Ok((counts, sums.left_out))
}

fn row(listed: &Listed, day: &Counts, week: &Counts) -> Markup {
    html! {
        tr {
            td data-title="Policy" {
                (link(&listed.name))
                @if let Some(title) = &listed.title { div.soft { (cut(title)) } }
            }
            td data-title="Mode" { (cut(&listed.mode)) }
            td.num data-title="Tests" { @if listed.tests == 0 { span.warn { "none" } } @else { (listed.tests) } }
            (objected(&listed.name, day, week))
        }
    }
}

fn link(name: &str) -> Markup {
    html! { a href={ "/console/policies/" (encoded(name)) } { (cut(name)) } }
}

fn objected(name: &str, day: &Counts, week: &Counts) -> Markup {
    html! {
        @for (title, counts) in [("Objected, 24 h", day), ("Objected, 7 d", week)] {
            @let (all, denied) = counts.get(name).copied().unwrap_or_default();
            td.num data-title=(title) {
                (all)
                @if denied > 0 { " " span.deny { "(" (denied) " denied)" } }
            }
        }
    }
}

/// Judges the newest decisions again: the rows of a file that any of them reaches.
fn reached(
    asked: &Asked<'_>,
    source: &Source,
    policy: &Policy,
    file: &str,
) -> Result<Reached, Fault> {
    let began = Instant::now();
    let page = source.find(&Filter::default(), None, TRAFFIC)?;
    let (mut rows, mut judged, mut veiled) = (BTreeSet::new(), 0, 0);
    let mut add = |lines: &Lines| {
        judged += 1;
        veiled += usize::from(lines.is_veiled);
        let of_it = lines.of.iter().filter(|(of, _)| of == file);
        rows.extend(of_it.flat_map(|(_, rows)| rows));
    };
    let mut unknown = Vec::new();
    for found in &page.decisions {
        match asked.kept.lines(policy, &found.key()) {
            Some(lines) => add(&lines),
            None => unknown.push(found.clone()),
        }
    }
    asked
        .kept
        .keep_only(&page.decisions.iter().map(Found::key).collect());
    let mut left = unknown.len();
    'all: for some in unknown.chunks(AT_ONCE) {
        for (found, lines) in some.iter().zip(source.lines(some)?) {
            if began.elapsed() > PATIENCE && unknown.len() - left >= AT_LEAST {
                break 'all;
            }
            left -= 1;
            let record: Option<Value> = lines
                .decision
                .and_then(|line| serde_json::from_slice(&line).ok());
            let is_veiled = record.as_ref().is_some_and(is_veiled);
            let input = record.and_then(|mut record| record.get_mut("input").map(Value::take));
            let Some(Ok(input)) = input.map(serde_json::from_value::<Input>) else {
                continue;
            };
            let of = policy.reached(&input);
            let lines = Arc::new(Lines { of, is_veiled });
            add(&lines);
            asked.kept.keep(policy, found.key(), lines);
        }
    }
    Ok(Reached {
        rows,
        judged,
        left,
        veiled,
    })
}

fn source_of(text: &str, reached: Option<&Reached>) -> Markup {
    html! {
        h2 { "Source" }
        @if let Some(reached) = reached {
            p.soft {
                "Lines with ● were evaluated by at least one of the newest " (reached.judged) " recorded requests, judged again."
                @if reached.left > 0 { " There are " (reached.left) " more: the page judges some of them each time that it is loaded." }
            }
            @if reached.veiled > 0 {
                p.note { "Of " (counted(reached.veiled as u64, "request")) " of these something that policies saw is masked, or has a pseudonym: other lines may have been evaluated then." }
            }
        }
        ol.source tabindex="0" aria-label="Source" {
            @for (line, number) in text.lines().zip(1_u32..).take(LINES) {
                @let is_reached = reached.is_some_and(|it| it.rows.contains(&number));
                li class=[is_reached.then_some("reached")] {
                    code { @if is_reached { span.mark title="evaluated" { "●" } } @else { span.mark { " " } } " " (shown(&line.replace('\t', "    "))) }
                }
            }
        }
        @if text.lines().nth(LINES).is_some() { p { "It goes on: these are its first " (LINES) " lines." } }
    }
}

/// What is said of objections that the gate makes by itself.
const OWN: &str = "no policy: the gate's own check";
const OWN_WHY: &str = "Dynatrace did not tell it what the token has now";
/// Decisions that are judged again; for how long by one page, which is to be there soon, and yet how many.
const TRAFFIC: usize = 300;
const PATIENCE: Duration = Duration::from_millis(100);
const AT_LEAST: usize = 10;
/// Records that are read at once.
const AT_ONCE: usize = 50;
/// Lines of a source that are shown.
const LINES: usize = 1_500;

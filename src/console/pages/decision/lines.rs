//! The lines of each policy that were evaluated for a decision: it is judged again, by the very set that judged it.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value;

use crate::audit::masks::Masks;
use crate::console::page::shown;
use crate::console::row::{beginning, cut};
use crate::console::{Asked, Viewer};
use crate::policy::{Input, Listed, Policy};
use crate::trail::told::text;

/// Nothing for who is no auditor: which line was reached tells what was asked for.
pub(super) fn html(asked: &Asked<'_>, record: &Value) -> Markup {
    let Some(input) = record.get("input").filter(|_| may_see(asked.viewer)) else {
        return html! {};
    };
    let revision = text(record, "/bundles/policies/revision");
    let Ok(input) = serde_json::from_value::<Input>(input.clone()) else {
        return html! { p.soft { "The lines that were evaluated cannot be told: what the policies saw is not all there." } };
    };
    let Some(policy) = set(asked, &revision) else {
        return html! { p.soft { "The lines that were evaluated cannot be told: the policies of then are not known here." } };
    };
    judged_again(&policy, &input, record)
}

fn may_see(viewer: &Viewer) -> bool {
    viewer.is_auditor
}

/// The set of this revision: the one in force, or one that was kept.
fn set(asked: &Asked<'_>, revision: &str) -> Option<Policy> {
    let in_force = asked.gate.policies.as_ref().map(|policies| policies());
    if let Some(policy) = in_force.filter(|policy| policy.revision() == revision) {
        return Some(policy);
    }
    let load = asked.gate.kept.as_ref()?;
    // It becomes a part of a path.
    let is_plain = !revision.is_empty() && revision.bytes().all(|it| it.is_ascii_alphanumeric());
    is_plain
        .then(|| asked.kept.set(revision, || load(revision)))
        .flatten()
}

fn judged_again(policy: &Policy, input: &Input, record: &Value) -> Markup {
    let explanation = policy.explain(input);
    let lines: BTreeMap<String, Vec<u32>> = explanation.lines.into_iter().collect();
    let then = record.pointer("/result/violations");
    let then = then.and_then(Value::as_array).into_iter().flatten();
    let mut then: Vec<String> = then.map(|it| text(it, "/policy")).collect();
    let now = explanation.decision.violations.iter();
    let mut now: Vec<String> = now.map(|it| it.policy.clone()).collect();
    then.sort_unstable();
    now.sort_unstable();
    let mut room = MOST;
    html! {
        h3 { "The lines that were evaluated" }
        @if then == now && !is_veiled(record) { p.soft { "By the policies of then, judged again." } }
        @else if then == now {
            p.note {
                "Judged again by the policies of then, it comes to the same objections. But something that they saw is masked, or \
                 has a pseudonym: then they may have evaluated other lines. These are those of the second time."
            }
        } @else {
            p.note {
                "Judged again by the policies of then, it comes to other objections: something that they read is masked, has a \
                 pseudonym, or is not recorded. The lines are those of the second time."
            }
        }
        @for it in policy.listed() {
            @if let Some(rows) = lines.get(&it.file) { (of_policy(policy, &it, rows, now.contains(&it.name), &mut room)) }
        }
        @if room == 0 { p.soft { "There are more: the page of each policy has its source." } }
    }
}

/// Whether anything that policies saw is not in the record as it was. Which line they reach may hang on it, also where the
/// same policies object.
pub(in crate::console::pages) fn is_veiled(record: &Value) -> bool {
    Masks::with_pseudonyms(record).hide("input")
}

/// Of one policy, as long as there is room on the page.
fn of_policy(
    policy: &Policy,
    listed: &Listed,
    rows: &[u32],
    objects: bool,
    room: &mut usize,
) -> Markup {
    let source = policy.text_of(&listed.file).unwrap_or_default();
    let all: Vec<&str> = source.lines().collect();
    let mut told: Vec<(u32, String)> = Vec::new();
    for row in rows {
        let at = usize::try_from(*row).unwrap_or_default();
        let line = at.checked_sub(1).and_then(|at| all.get(at)).copied();
        let line = shown(&line.unwrap_or_default().replace('\t', "    "));
        let line = beginning(&line, A_LINE).to_owned();
        let Some(left) = room.checked_sub(line.len().saturating_mul(2) + MARKUP) else {
            *room = 0;
            break;
        };
        *room = left;
        told.push((*row, line));
    }
    html! {
        details.lines {
            summary {
                (cut(&listed.name)) " "
                @if objects { span.deny { "objected" } } @else { span.soft { "no objection" } }
                span.soft { ", " (rows.len()) " lines" }
            }
            ol.source tabindex="0" aria-label={ "Lines of " (cut(&listed.name)) } {
                @for (row, line) in &told { li value=(row) { code { (line) } } }
            }
        }
    }
}

/// Bytes of all lines, of one of them, and what stands around it.
const MOST: usize = 50_000;
const A_LINE: usize = 400;
const MARKUP: usize = 40;

//! What policies read from the data: refused where nothing defines it, and where it cannot work.
//!
//! In Rego a rule that reads what is not there is undefined and objects to nothing, so that a misspelt name, or a file
//! that was forgotten, would silence a policy. It reads syntax and data; what a setting means is not its question.

mod shipped;
mod unusable;

use std::collections::BTreeSet;

use regorus::unstable::{Expr, Span};
use serde_json::{Map, Value as Json};

use super::bundle::Problem;
use super::check::{self, Names, Path, Program};
use super::input;
use super::walk::{self, Site};
pub(super) use shipped::misnamed;
pub(super) use unusable::unusable;

/// Refuses references to members of the data that no file defines.
pub(super) fn undefined(
    program: &Program<'_>,
    data: &Map<String, Json>,
    problems: &mut Vec<Problem>,
) {
    for module in program.modules {
        let names = Names::of(module);
        for rule in &module.policy {
            let replaced = replaced(&names, rule);
            walk::rule(rule, &mut |site| {
                let Site::Reference(reference) = site else {
                    return;
                };
                let Some((steps, spans)) = below_data(&names, reference) else {
                    return;
                };
                if let Some((step, message)) = missing(&steps, data, &replaced) {
                    // What an import brought along has no place in this reference.
                    let span = spans.get(step).copied().flatten();
                    problems.push(check::at(span.unwrap_or_else(|| reference.span()), message));
                }
            });
        }
    }
}

/// The members that a reference asks for, up to the first that is computed, and their places; if it leads into the
/// data.
fn below_data<'e>(names: &Names<'_>, reference: &'e Expr) -> Option<(Path, Vec<Option<&'e Span>>)> {
    let known = check::known(reference);
    let path = names.resolve(&known);
    let (first, steps) = path.split_first()?;
    // Rules are looked for elsewhere.
    if first != "data" || steps.first().is_none_or(|step| step == "dtgate") {
        return None;
    }
    let written = walk::path(reference)?.into_iter().take(known.len()).skip(1);
    let brought = steps.len().saturating_sub(known.len().saturating_sub(1));
    let spans = std::iter::repeat_n(None, brought);
    let spans = spans.chain(written.map(|step| Some(step.span)));
    Some((steps.to_vec(), spans.collect()))
}

/// What the statements of a rule replace by `with`: it is defined there.
fn replaced(names: &Names<'_>, rule: &regorus::unstable::Rule) -> BTreeSet<Path> {
    let mut replaced = BTreeSet::new();
    walk::rule(rule, &mut |site| {
        if let Site::Replacing(statement) = site {
            for replacement in &statement.with_mods {
                let target = below_data(names, &replacement.refr);
                replaced.extend(target.map(|(path, _)| path));
            }
        }
    });
    replaced
}

/// The step that is not there, as far as that can be known before there is a request, and what to say.
fn missing(
    steps: &[String],
    data: &Map<String, Json>,
    replaced: &BTreeSet<Path>,
) -> Option<(usize, String)> {
    let is_replaced = |path: &Path| path.iter().zip(steps).all(|(one, other)| one == other);
    if replaced.iter().any(is_replaced) {
        return None;
    }
    let is_optional = steps
        .first()
        .is_some_and(|first| OPTIONAL.contains(&first.as_str()));
    let mut members = data;
    let mut path = "data".to_owned();
    for (number, step) in steps.iter().enumerate() {
        let Some(next) = members.get(step) else {
            // Where nothing is listed yet, anything may be.
            let is_open = is_optional || (number > 0 && members.is_empty());
            return (!is_open).then(|| (number, undefined_member(&path, step, members, data)));
        };
        path.push('.');
        path.push_str(step);
        if let Json::Object(next) = next {
            members = next;
            continue;
        }
        let further = steps.get(number + 1)?;
        let what = if next.is_array() {
            "a list: look into it by `in`"
        } else {
            "a plain value"
        };
        let message = format!("{path} has no member {further}, because it is {what}");
        return Some((number + 1, message));
    }
    None
}

fn undefined_member(
    path: &str,
    name: &str,
    members: &Map<String, Json>,
    data: &Map<String, Json>,
) -> String {
    let candidates: Vec<&str> = members.keys().map(String::as_str).collect();
    let guess = input::guess(name, &format!("{path}."), &candidates);
    let elsewhere = || {
        let place = elsewhere("data", name, data, MOST_STEPS)?;
        Some(format!(": did you mean {place}?"))
    };
    let advice = Some(guess)
        .filter(|guess| !guess.is_empty())
        .or_else(elsewhere);
    let advice = advice.unwrap_or_else(|| {
        ": write it into data.yaml, as an empty list or object if there is nothing to list yet"
            .to_owned()
    });
    format!("no data file defines {path}.{name}, and the rule would be silent{advice}")
}

/// Where a member of this name is.
fn elsewhere(path: &str, name: &str, members: &Map<String, Json>, steps: usize) -> Option<String> {
    if members.contains_key(name) {
        return Some(format!("{path}.{name}"));
    }
    let steps = steps.checked_sub(1)?;
    let mut members = members
        .iter()
        .filter_map(|(member, value)| Some((member, value.as_object()?)));
    members.find_map(|(member, below)| elsewhere(&format!("{path}.{member}"), name, below, steps))
}

/// How deep a member is looked for that is not where it was asked for.
const MOST_STEPS: usize = 2;

/// What has a default.
const OPTIONAL: [&str; 2] = ["lookup", "modes"];

#[cfg(test)]
mod tests;

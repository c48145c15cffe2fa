//! Members of the data that nothing defines.
//!
//! In Rego a rule that reads what is not there is undefined and objects to nothing, so that a misspelt name, or a file
//! that was forgotten, would silence a policy.

use std::collections::BTreeMap;

use regorus::unstable::{BoolOp, Expr, Literal, Rule, Span};
use serde_json::{Map, Value as Json};

use crate::policy::input;
use crate::policy::problem::Problem;
use crate::policy::refuse::ways;
use crate::policy::rego::program::{Definition, Program, known};
use crate::policy::rego::syntax;
use crate::policy::rego::walk::{self, Site};
use crate::policy::source::files::Tree;
use crate::value::counted;

/// Refuses references to members of the data that no file defines.
pub(super) fn refuse(program: &Program<'_>, tree: &Tree, problems: &mut Vec<Problem>) {
    let data = Json::Object(tree.data.clone());
    let mut found: BTreeMap<String, Vec<Problem>> = BTreeMap::new();
    ways::each(program, &mut |definition, asked| {
        let problem = asked.problem(|way| {
            let (first, steps) = way.split_first()?;
            // Rules are looked for elsewhere.
            let is_rule = steps
                .first()?
                .as_deref()
                .is_none_or(|step| step == "dtgate");
            let known: Vec<String> = way.iter().map_while(Clone::clone).collect();
            let is_rule = is_rule || program.is_of_a_package(&known);
            if first.as_deref() != Some("data") || is_rule || asked.has_default {
                return None;
            }
            let (step, message) = missing(steps, tree, &data, &|| {
                is_negated(definition.rule, asked.place)
            })?;
            (!is_replaced(steps, definition)).then_some((step + 1, message))
        });
        if let Some(problem) = problem {
            found
                .entry(problem.message.clone())
                .or_default()
                .push(problem);
        }
    });
    problems.extend(found.into_values().filter_map(once));
}

/// What is wrong for one reason, at the first of its places.
fn once(mut places: Vec<Problem>) -> Option<Problem> {
    places.sort();
    places.dedup();
    let more = places.len().saturating_sub(1);
    let mut first = places.into_iter().next()?;
    if more > 0 {
        let places = counted(more, "other place");
        first.message = format!("{} (and at {places})", first.message);
    }
    Some(first)
}

/// Whether a statement of the rule replaces by `with` what is asked for: it is defined there.
fn is_replaced(asked: &[Option<String>], definition: &Definition<'_>) -> bool {
    let mut found = false;
    walk::rule(definition.rule, &mut |site| {
        if let Site::Replacing(statement) = site {
            for replacement in &statement.with_mods {
                let target = definition.names.whole(&known(&replacement.refr));
                let mut steps = target.iter().skip(1).zip(asked);
                found |= target.first().is_some_and(|first| first == "data")
                    && steps.all(|(step, asked)| asked.as_ref().is_none_or(|asked| asked == step));
            }
        }
    });
    found
}

/// The step that is not there, as far as that can be known before there is a request, and what to say.
///
/// `is_negated` says whether it is asked that the member is not there.
fn missing(
    steps: &[Option<String>],
    tree: &Tree,
    data: &Json,
    is_negated: &dyn Fn() -> bool,
) -> Option<(usize, String)> {
    // What has a default need not be there.
    if let Some(Some(first)) = steps.first()
        && OPTIONAL.contains(&first.as_str())
    {
        return None;
    }
    // More than one behind a computed step, which may lead to each.
    let mut here = vec![data];
    let mut path = "data".to_owned();
    for (number, step) in steps.iter().enumerate() {
        let next: Vec<&Json> = match step {
            Some(name) => here.iter().filter_map(|value| value.get(name)).collect(),
            None => here.iter().copied().flat_map(elements).collect(),
        };
        if next.is_empty() {
            let name = step.as_deref()?;
            // `not rule.disabled` holds until somebody writes the flag into an element, as its author wants.
            let is_flag = path.ends_with("[_]") && number + 1 == steps.len() && is_negated();
            if is_flag && !is_slip(name, &here) {
                return None;
            }
            let message = undefined_member(&path, name, &here, tree)?;
            return Some((number, message));
        }
        here = next;
        match step {
            Some(name) => {
                path.push('.');
                path.push_str(name);
            }
            None => path.push_str("[_]"),
        }
    }
    None
}

/// Whether `not` stands before a reference, or before a comparison with it: both hold where it is undefined.
fn is_negated(rule: &Rule, place: &Span) -> bool {
    let mut found = false;
    let is_here = |expr: &Expr| {
        let span = expr.span();
        syntax::is_reference(expr) && (span.start, span.end) == (place.start, place.end)
    };
    walk::queries(rule, &mut |query| {
        for statement in &query.stmts {
            if let Literal::NotExpr { expr, .. } = &statement.literal {
                found |= match expr.as_ref() {
                    Expr::BoolExpr {
                        op: BoolOp::Eq,
                        lhs,
                        rhs,
                        ..
                    } => is_here(lhs) || is_here(rhs),
                    other => is_here(other),
                };
            }
        }
    });
    found
}

/// Whether elements have a member of nearly this name.
fn is_slip(name: &str, elements: &[&Json]) -> bool {
    let members = elements.iter().filter_map(|element| element.as_object());
    let mut names = members.flat_map(Map::keys);
    names.any(|member| strsim::damerau_levenshtein(name, member) <= 2)
}

fn elements(value: &Json) -> Vec<&Json> {
    match value {
        Json::Array(items) => items.iter().collect(),
        Json::Object(members) => members.values().collect(),
        _ => Vec::new(),
    }
}

/// What to say of a name that nothing of all this has; nothing where that may still change, because nothing is listed
/// yet.
fn undefined_member(path: &str, name: &str, here: &[&Json], tree: &Tree) -> Option<String> {
    let objects: Vec<&Map<String, Json>> = here.iter().filter_map(|it| it.as_object()).collect();
    if objects.is_empty() {
        let what = if here.iter().any(|value| value.is_array()) {
            "a list: look into it by `in`"
        } else {
            "a plain value"
        };
        return Some(format!("{path} has no member {name}, because it is {what}"));
    }
    if path != "data" && objects.iter().all(|members| members.is_empty()) {
        return None;
    }
    let members = objects.iter().flat_map(|members| members.keys());
    let candidates: Vec<&str> = members.map(String::as_str).collect();
    let guess = input::guess_setting(name, &format!("{path}."), &candidates);
    if path.ends_with("[_]") {
        let advice = if guess.is_empty() {
            format!(": write it into one at least, or ask by object.get(…, \"{name}\", …)")
        } else {
            guess
        };
        return Some(format!(
            "{path}.{name} is in no element, and the rule would be silent{advice}"
        ));
    }
    let elsewhere = || {
        let place = elsewhere("data", name, &tree.data, MOST_STEPS)?;
        Some(format!(": did you mean {place}?"))
    };
    // Whoever has misspelt the setting, and not the policy, looks there.
    let guess = guess.strip_suffix('?').map(|guess| {
        let meant = guess.rsplit('.').next().unwrap_or_default();
        let steps: Vec<&str> = path.split('.').skip(1).chain([meant]).collect();
        let place = tree.problem_in_data(&steps, "").place();
        format!("{guess}? ({place})")
    });
    let advice = guess.or_else(elsewhere);
    let advice = advice.unwrap_or_else(|| {
        ": write it into data.yaml; a list or an object with nothing in it yet is [] or {}"
            .to_owned()
    });
    Some(format!(
        "no data file defines {path}.{name}, and the rule would be silent{advice}"
    ))
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
const OPTIONAL: [&str; 3] = ["exceptions", "lookup", "modes"];

//! Names in the settings of the shipped policies that mean nothing: a scope that does not exist forbids nothing.
//!
//! The policies themselves say of what type their settings are; this knows which of them are names, and of what.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::dynatrace::catalogue::ENDPOINTS;
use crate::policy::input;
use crate::policy::problem::Problem;
use crate::policy::rego::program::Program;
use crate::policy::source::files::Tree;

/// What a name in a setting is a name of.
#[derive(Clone, Copy)]
enum Names {
    Classes,
    Operations,
    Scopes,
}

/// Where names stand: each text of a list, or each key of an object. `*` is any member.
const SETTINGS: [(&str, Names); 5] = [
    ("escalation.mint_classes", Names::Classes),
    ("escalation.teams.*.classes", Names::Classes),
    ("escalation.teams.*.scopes", Names::Scopes),
    ("forbidden_scopes", Names::Scopes),
    ("minting.callers", Names::Operations),
];

/// Refuses names that nothing has, in the settings of those policies that are there.
pub(super) fn refuse(program: &Program<'_>, tree: &Tree, problems: &mut Vec<Problem>) {
    let known = Known::of(tree);
    for (setting, names) in SETTINGS {
        let steps: Vec<&str> = setting.split('.').collect();
        let policy = steps.first().copied().unwrap_or_default();
        if !program
            .packages
            .contains(&["data", "dtgate", policy].map(str::to_owned)[..])
        {
            continue;
        }
        let Some(guardrails) = tree.data.get("guardrails") else {
            return;
        };
        each(
            guardrails,
            &steps,
            &mut vec!["guardrails".to_owned()],
            &mut |path, name| {
                if let Some(message) = known.missing(names, name) {
                    let path: Vec<&str> = path.iter().map(String::as_str).collect();
                    let message = format!("data.{}: {message}", path.join("."));
                    problems.push(tree.problem_in_data(&path, message));
                }
            },
        );
    }
}

/// Calls `see` with every name that a setting has, and where it stands.
fn each(
    value: &Json,
    steps: &[&str],
    path: &mut Vec<String>,
    see: &mut dyn FnMut(&[String], &str),
) {
    let mut at = |step: &str, below: &mut dyn FnMut(&mut Vec<String>)| {
        path.push(step.to_owned());
        below(path);
        path.pop();
    };
    match (value, steps) {
        (Json::Object(members), ["*", rest @ ..]) => {
            for (name, value) in members {
                at(name, &mut |path| each(value, rest, path, see));
            }
        }
        (Json::Object(members), [name, rest @ ..]) => {
            if let Some(value) = members.get(*name) {
                at(name, &mut |path| each(value, rest, path, see));
            }
        }
        (Json::Object(members), []) => {
            for name in members.keys() {
                at(name, &mut |path| see(path, name));
            }
        }
        (Json::Array(items), []) => {
            for (place, item) in items.iter().enumerate() {
                if let Json::String(name) = item {
                    at(&place.to_string(), &mut |path| see(path, name));
                }
            }
        }
        _ => {}
    }
}

/// The names that there are.
struct Known<'a> {
    classes: BTreeSet<&'a str>,
    operations: BTreeSet<&'a str>,
    scopes: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(tree: &'a Tree) -> Self {
        let catalogues = tree.data.get("dynatrace").and_then(Json::as_object);
        let catalogues = catalogues.into_iter().flat_map(|all| all.values());
        let scopes = catalogues.filter_map(Json::as_object).flatten();
        let mut known = Self {
            classes: BTreeSet::new(),
            operations: ENDPOINTS.iter().map(|row| row.operation.as_str()).collect(),
            scopes: BTreeSet::new(),
        };
        for (name, scope) in scopes {
            known.scopes.insert(name);
            known
                .classes
                .extend(scope.get("class").and_then(Json::as_str));
        }
        let extra = tree
            .data
            .get("guardrails")
            .and_then(|all| all.pointer("/known_scopes/extra"));
        let extra = extra.and_then(Json::as_array).into_iter().flatten();
        known.scopes.extend(extra.filter_map(Json::as_str));
        known
    }

    /// What to say of a name that nothing has.
    fn missing(&self, names: Names, name: &str) -> Option<String> {
        let (known, what, advice) = match names {
            Names::Classes => (&self.classes, "class of scopes", ""),
            Names::Operations => (
                &self.operations,
                "operation",
                "; `dtgate endpoints` lists them",
            ),
            Names::Scopes => (
                &self.scopes,
                "scope that Dynatrace is known to have",
                "; list one that is new in guardrails.known_scopes.extra too",
            ),
        };
        // Without a catalogue nobody can say.
        if known.is_empty() || known.contains(name) {
            return None;
        }
        let candidates: Vec<&str> = known.iter().copied().collect();
        let guess = input::guess(name, "", &candidates);
        Some(format!("{name:?} is no {what}{guess}{advice}"))
    }
}

#[cfg(test)]
mod tests;

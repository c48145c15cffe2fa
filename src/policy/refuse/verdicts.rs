//! What policies say, and whether the gate can hear it: `deny` and `warn` as sets of violations.
//!
//! Styles of other engines (`allow`, `violation`, `deny := true`, `{"msg": …}`) would decide nothing here, or fail when
//! somebody is denied. They are refused with what to write.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Ref, Rule as RegoRule, RuleHead, Span};

use super::others::Others;
use crate::policy::decision::Rule;
use crate::policy::problem::Problem;
use crate::policy::read;
use crate::policy::rego::program::{self, Path, Program, at};
use crate::policy::rego::syntax;
use crate::policy::rego::walk::{self, Site};
use crate::policy::source::files::File;

/// The policies that a program defines, with the rules of each.
pub(in crate::policy) fn policies(
    program: &Program<'_>,
    others: &Others,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, BTreeSet<Rule>> {
    let mut found: BTreeMap<String, BTreeSet<Rule>> = BTreeMap::new();
    let mut first_places = BTreeMap::new();
    let mut mistaken: BTreeMap<String, Vec<(&Span, String, String)>> = BTreeMap::new();
    let mut used = used(program);
    used.extend(others.rules().iter().cloned());
    for module in program.modules {
        let path = program::package(module);
        let package: Vec<&str> = path.iter().map(String::as_str).collect();
        let name = match package.as_slice() {
            ["data", "dtgate", "lib", ..] => continue,
            ["data", "dtgate", name] => (*name).to_owned(),
            _ if others.may_be(&path) => continue,
            _ => {
                let message = "the package of a policy must be directly below dtgate, as in dtgate.naming; helpers belong to dtgate.lib; of a policy of OPA's Envoy plugin, name the rule in policies.entrypoints";
                problems.push(at(&module.package.span, message));
                continue;
            }
        };
        first_places
            .entry(name.clone())
            .or_insert(&module.package.span);
        let rules = found.entry(name.clone()).or_default();
        for rule in &module.policy {
            let head = syntax::path(program::head(rule)).unwrap_or_default();
            let Some(first) = head.first().and_then(|step| step.name.as_deref()) else {
                continue;
            };
            let judging = match first {
                "deny" => Rule::Deny,
                "warn" => Rule::Warn,
                other => {
                    // A function is there for others, and decides nothing anywhere.
                    if program::function(rule).is_some() {
                        continue;
                    }
                    let is_used = used.contains(&[path.as_slice(), &[other.to_owned()]].concat());
                    if let Some(advice) = instead_of(other).filter(|_| !is_used) {
                        let mistaken = mistaken.entry(name.clone()).or_default();
                        mistaken.push((rule.span(), other.to_owned(), advice));
                    }
                    continue;
                }
            };
            if let Some(message) = no_set(rule, judging.name(), head.len()) {
                problems.push(at(rule.span(), message));
            }
            // It was meant, so it is not also missing.
            rules.insert(judging);
        }
    }
    found.retain(|name, rules| {
        let package = ["data", "dtgate", name].map(str::to_owned);
        !(rules.is_empty() && others.judge_in(&package.to_vec()))
    });
    for (name, rules) in &found {
        let mut mistaken = mistaken.remove(name).unwrap_or_default();
        mistaken.dedup_by(|one, other| one.1 == other.1);
        if let (true, true, Some(place)) = (
            rules.is_empty(),
            mistaken.is_empty(),
            first_places.get(name),
        ) {
            problems.push(at(
                place,
                format!("policy {name} defines neither deny nor warn: write `deny contains \"what is wrong\" if {{ … }}`"),
            ));
        }
        for (place, rule, advice) in mistaken {
            problems.push(at(
                place,
                format!("nobody asks for {rule}, so that it decides nothing: {advice}"),
            ));
        }
    }
    found
}

/// A policy that is taken for a test, because of the name of its file: nobody would ask it.
pub(in crate::policy) fn hidden(file: &File) -> Option<Problem> {
    let (mut rego, _) = read::compile(&[file], &serde_json::Map::new());
    let modules = rego.get_modules();
    let module = modules.first()?;
    let package = program::package(module);
    let is_policy = matches!(
        package.as_slice(),
        [data, dtgate, name] if data == "data" && dtgate == "dtgate" && !name.ends_with("_test")
    );
    let judges = |rule: &&Ref<RegoRule>| {
        let head = program::known(program::head(rule));
        syntax::is_set(rule) && (head == ["deny"] || head == ["warn"])
    };
    let rule = module.policy.iter().find(judges).filter(|_| is_policy)?;
    Some(at(
        rule.span(),
        "nobody would ask this rule: files whose names end in _test.rego are tests; give the file another name",
    ))
}

/// What to write for a rule that other engines ask for, or that was misspelt.
fn instead_of(name: &str) -> Option<String> {
    let folded = name.to_lowercase();
    let folded = folded.trim_matches('_');
    if folded.starts_with("allow") {
        return Some(format!(
            "what nobody denies passes; keep the rule and add `deny contains \"what is wrong\" if not {name}`"
        ));
    }
    let for_deny = ["block", "forbid", "reject", "violat"];
    let word =
        if for_deny.iter().any(|start| folded.starts_with(start)) || is_nearly(folded, "deny") {
            "deny"
        } else if is_nearly(folded, "warn") {
            "warn"
        } else {
            return None;
        };
    // A helper, as in `_denied`, is one that is asked for.
    Some(format!(
        "write `{word} contains {{\"message\": msg}} if {{ … }}`"
    ))
}

/// Whether a name is one of ours with another ending, or with letters that changed places.
fn is_nearly(name: &str, wanted: &str) -> bool {
    let stem = wanted.strip_suffix('y').unwrap_or(wanted);
    let begins = name
        .strip_prefix(stem)
        .is_some_and(|ending| ["", "ied", "ies", "s", "y", "ing", "ings", "ed"].contains(&ending));
    begins || strsim::damerau_levenshtein(name, wanted) == 1
}

/// Why a rule of this name is no set that grows.
fn no_set(rule: &RegoRule, name: &str, steps: usize) -> Option<String> {
    let grows = format!("{name} contains \"what is wrong\" if {{ … }}");
    match rule {
        RegoRule::Default { .. } => Some(format!(
            "{name} has no default: it is a set, empty as long as nothing is wrong. Leave this out, and write `{grows}`"
        )),
        RegoRule::Spec {
            head: RuleHead::Set { refr, key, .. },
            ..
        } if key.is_some() && steps == 1 => {
            // Without `contains` OPA takes it for no rule.
            let end = usize::try_from(refr.span().end).ok()?;
            let rest = refr.span().source.get_contents().get(end..)?;
            (!rest.trim_start().starts_with("contains"))
                .then(|| format!("{name} must be a set that grows: write `{grows}`"))
        }
        RegoRule::Spec {
            head: RuleHead::Compr { .. },
            ..
        } if steps == 1 => Some(format!(
            "{name} must be a set that grows, which says what is wrong: write `{grows}`, not one value"
        )),
        RegoRule::Spec { .. } => Some(format!("{name} must be a set that grows: write `{grows}`")),
    }
}

/// The rules that other rules may ask for.
fn used(program: &Program<'_>) -> BTreeSet<Path> {
    let mut used = BTreeSet::new();
    for definition in &program.definitions {
        walk::rule(definition.rule, &mut |site| {
            let (Site::Reference(asked)
            | Site::Call {
                function: asked, ..
            }) = site
            else {
                return;
            };
            let mut path = definition.names.whole(&program::known(asked));
            path.truncate(RULE);
            used.insert(path);
        });
    }
    used
}

/// The steps of `data.dtgate.naming.deny`.
const RULE: usize = 4;

#[cfg(test)]
mod tests;

//! Settings that no policy reads: a key that is misspelt or in the wrong place changes nothing.
//!
//! A setting counts as read as soon as something may read it, so that what is told is certain.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use crate::policy::input;
use crate::policy::problem::Problem;
use crate::policy::refuse::ways;
use crate::policy::rego::program::{Program, Read};
use crate::policy::source::files::Tree;

/// Where the settings of policies are.
const SETTINGS: [&str; 2] = ["data", "guardrails"];

/// What is told of the settings below `guardrails`.
pub(in crate::policy) fn unread(program: &Program<'_>, tree: &Tree) -> Vec<Problem> {
    let Some(Json::Object(settings)) = tree.data.get("guardrails") else {
        return Vec::new();
    };
    let ways = ways::read(program);
    let mut below: Vec<&[Option<String>]> = ways.iter().map(Vec::as_slice).collect();
    for step in SETTINGS {
        if below.iter().any(|way| way.is_empty()) {
            return Vec::new();
        }
        below = behind(&below, step);
    }
    let mut told = Vec::new();
    let mut path = vec!["guardrails".to_owned()];
    look(settings, &below, &mut path, &mut |path, known| {
        let message = message(path, known, &ways);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        told.push(tree.problem_in_data(&path, message));
    });
    told
}

/// How ways go on that take this step.
fn behind<'w>(ways: &[&'w [Option<String>]], step: &str) -> Vec<&'w [Option<String>]> {
    let ways = ways.iter().filter_map(|way| way.split_first());
    ways.filter(|(first, _)| first.as_deref().is_none_or(|first| first == step))
        .map(|(_, rest)| rest)
        .collect()
}

/// Calls `tell` with each member that none of the ways leads to, and with the names that they lead to there.
fn look(
    members: &Map<String, Json>,
    ways: &[&[Option<String>]],
    path: &mut Vec<String>,
    tell: &mut dyn FnMut(&[String], &[&str]),
) {
    // It is read as a whole.
    if ways.iter().any(|way| way.is_empty()) {
        return;
    }
    for (name, value) in members {
        path.push(name.clone());
        let below = behind(ways, name);
        if below.is_empty() {
            let known = ways.iter().filter_map(|way| way.first()?.as_deref());
            tell(path, &known.collect::<Vec<_>>());
        } else if let Json::Object(members) = value {
            look(members, &below, path, tell);
        }
        path.pop();
    }
}

/// What to say of a setting; `known` are the names that are read beside it.
fn message(path: &[String], known: &[&str], ways: &BTreeSet<Read>) -> String {
    let setting = format!("data.{}", path.join("."));
    let advice = path.split_last().map(|(name, around)| {
        let elsewhere = ways.iter().find_map(|way| place(way, name));
        match elsewhere {
            Some(place) => format!(": did you mean {place}?"),
            None => input::guess_setting(name, &format!("data.{}.", around.join(".")), known),
        }
    });
    let advice = advice.filter(|advice| !advice.is_empty());
    let advice = advice.unwrap_or_else(|| ": remove it, or have a policy read it".to_owned());
    format!("no policy reads {setting}, and it changes nothing{advice}")
}

/// Where a way leads to a setting of this name.
fn place(way: &Read, name: &str) -> Option<String> {
    let steps: Vec<&str> = way.iter().map_while(Option::as_deref).collect();
    let settings = steps.strip_prefix(&SETTINGS)?;
    let last = settings.iter().position(|step| *step == name)?;
    Some([&SETTINGS, settings.get(..=last)?].concat().join("."))
}

#[cfg(test)]
mod tests {
    use crate::policy::bundle::{Bundle, tests::directory};

    /// What is told of these settings beside these rules.
    fn told(rules: &str, settings: &str) -> Vec<String> {
        let policy = format!("package dtgate.p\n\nimport data.guardrails.deep as cfg\n\n{rules}\n");
        let directory = directory(&[("p.rego", &policy), ("data.yaml", settings)]);
        let prefix = format!("{}/", directory.path().display());
        let bundle = Bundle::load(directory.path()).unwrap();
        let told = bundle.warnings.iter();
        told.map(|problem| problem.to_string().replace(&prefix, ""))
            .collect()
    }

    const RULES: &str = "deny contains \"a\" if input.api in data.guardrails.p.apis\n\
        deny contains \"b\" if count(input.unknown_members) > object.get(data.guardrails, [\"p\", \"max\"], 9)\n\
        deny contains \"c\" if input.caller.token.id in cfg.er.ids";

    #[test]
    fn settings_that_no_policy_reads_are_told_with_a_guess_and_the_place() {
        let right = "guardrails:\n  p: {apis: [v1], max: 3}\n  deep: {er: {ids: []}}\n";
        assert_eq!(told(RULES, right), [""; 0]);
        for (line, wanted) in [
            (
                "  apis: [v2]",
                "data.yaml:4:3: no policy reads data.guardrails.apis, and it changes nothing: did you mean \
                 data.guardrails.p.apis?",
            ),
            (
                "  deeep: {er: {ids: []}}",
                "data.yaml:4:3: no policy reads data.guardrails.deeep, and it changes nothing: did you mean \
                 data.guardrails.deep?",
            ),
            (
                "  somebody: 1",
                "data.yaml:4:3: no policy reads data.guardrails.somebody, and it changes nothing: remove it, or have a \
                 policy read it",
            ),
        ] {
            assert_eq!(told(RULES, &format!("{right}{line}\n")), [wanted]);
        }
        // It has a default, so that nothing else would tell.
        let misspelt = right.replace("max:", "maks:");
        let wanted = "data.yaml:2:19: no policy reads data.guardrails.p.maks, and it changes nothing: did you mean \
                      data.guardrails.p.max?";
        assert_eq!(told(RULES, &misspelt), [wanted]);
    }

    #[test]
    fn what_may_be_read_is_not_told() {
        let settings = "guardrails: {p: {a: {b: 1, c: 2}}}\n";
        for rule in [
            "deny contains \"x\" if data.guardrails.p.a == {}",
            "deny contains \"x\" if data.guardrails[input.api]",
            "deny contains \"x\" if { some name, setting in data.guardrails.p; name == input.api }",
            "deny contains \"x\" if { p := data.guardrails.p; p.a == {} }",
            "deny contains \"x\" if { p := data.guardrails.p; p == {} }",
            "deny contains \"x\" if { some path, value in {1: data.guardrails}; value == 1 }",
            "deny contains \"x\" if { walk(data.guardrails, [path, value]); value == 7 }",
        ] {
            assert_eq!(told(rule, settings), [""; 0], "{rule}");
        }
        for rule in [
            "deny contains \"x\" if { p := data.guardrails.p; p.a.b == 2 }",
            "deny contains \"x\" if data.guardrails.p[input.api].b == 2",
        ] {
            let told = told(rule, settings);
            assert!(
                told[0].contains("no policy reads data.guardrails.p.a.c,"),
                "{told:?}"
            );
        }
    }
}

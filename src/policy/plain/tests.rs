mod author;
mod chance;
mod loose;
mod ordered;
mod ordinary;
pub(in crate::policy) mod values;

use std::time::Duration;

use serde_json::json;

use crate::policy::bundle::{Bundle, tests::directory};
use crate::policy::input::tests::input;
use crate::policy::{Engine, Input, Verdict};

const DATA: &str = "allowed: [dt0c01.A]\nnames: {a: true}\n";

/// Whether a policy with these rules objects to an update without a name, and to one with the name `a`.
fn objects(rules: &str) -> (bool, bool) {
    let policy =
        format!("package dtgate.p\n\nimport input.change.name.requested as asked\n\n{rules}\n");
    let files = [("p.rego", policy.as_str()), ("data.yaml", DATA)];
    let bundle = Bundle::load(directory(&files).path()).unwrap();
    let engine = Engine::new(bundle, Duration::from_secs(5));
    let judged = |change: serde_json::Value| {
        let input: Input = serde_json::from_value(json!({
            "operation": "token.update", "api": "v2", "environment": {"name": "prod"}, "change": change,
            "time": "2026-11-24T10:00:00.000Z",
        }))
        .unwrap();
        let decision = engine.decide(&input);
        assert!(
            decision
                .violations
                .iter()
                .all(|violation| violation.code.is_none()),
            "{rules}: {:?}",
            decision.violations
        );
        decision.verdict == Verdict::Deny
    };
    (
        judged(json!({})),
        judged(json!({"name": {"requested": "a"}})),
    )
}

/// Each was asked of OPA.
#[test]
fn what_is_asked_within_a_negation_has_to_be_there() {
    for (rules, expected) in [
        (
            "deny contains \"x\" if not startswith(input.change.name.requested, \"team-\")",
            (false, true),
        ),
        (
            "deny contains \"x\" if not startswith(asked, \"team-\")",
            (false, true),
        ),
        (
            "deny contains \"x\" if { not startswith(input.change.name.requested, \"a\") }",
            (false, false),
        ),
        (
            "deny contains \"x\" if {\n\tnot startswith( # why\n\t\tinput.change.name[\"requested\"],\n\t\t\"b\",\n\t)\n}",
            (false, true),
        ),
        (
            "deny contains \"x\" if not input.change.name.requested in data.allowed",
            (false, true),
        ),
        (
            "deny contains \"x\" if not data.names[input.change.name.requested]",
            (false, false),
        ),
        (
            "deny contains \"x\" if not data.allowed[input.change.name.requested]",
            (false, true),
        ),
        (
            "deny contains \"x\" if not lower(trim_space(input.change.name.requested)) == \"b\"",
            (false, true),
        ),
        (
            "deny contains \"x\" if not input.change.name.requested != \"a\"",
            (false, true),
        ),
        (
            "deny contains \"x\" if not count(input.change.name.requested) > 3",
            (false, true),
        ),
        (
            "deny contains \"x\" if not [input.change.name.requested] == [\"b\"]",
            (false, true),
        ),
        (
            "deny contains \"x\" if { not startswith(n, \"b\") with input.change.name.requested as \"a\" }\nn := asked",
            (true, true),
        ),
        (
            "f(x) if x == \"b\"\ndeny contains \"x\" if not f(input.change.name.requested)",
            (false, true),
        ),
        (
            "default f(_) := false\nf(x) if x == \"b\"\ndeny contains \"x\" if not f(asked)",
            (false, true),
        ),
        (
            "deny contains \"x\" if count([1 | not startswith(asked, \"b\")]) == 1",
            (false, true),
        ),
        (
            "deny contains \"x\" if { every s in [\"b\"] { not startswith(asked, s) } }",
            (false, true),
        ),
        (
            "ok := false if not startswith(asked, \"b\") else := true\ndeny contains \"x\" if not ok",
            (false, true),
        ),
        (
            "ok if input.api == \"v1\" else := false if not startswith(asked, \"b\") # if\ndeny contains \"x\" if ok == false",
            (false, true),
        ),
    ] {
        assert_eq!(objects(rules), expected, "{rules}");
    }
}

#[test]
fn what_in_asks_within_an_expression_has_to_be_there() {
    for (rules, expected) in [
        (
            "deny contains \"x\" if { listed := asked in data.allowed; not listed }",
            (false, true),
        ),
        (
            "deny contains \"x\" if { (asked in data.allowed) == false }",
            (false, true),
        ),
    ] {
        assert_eq!(objects(rules), expected, "{rules}");
    }
}

#[test]
fn what_is_compared_and_what_is_a_rule_may_be_missing() {
    for (rules, expected) in [
        (
            "deny contains \"x\" if not input.change.name.requested == \"b\"",
            (true, true),
        ),
        (
            "deny contains \"x\" if not input.change.name.requested",
            (true, false),
        ),
        (
            "ok if startswith(asked, \"a\")\ndeny contains \"x\" if not ok",
            (true, false),
        ),
        (
            "sets contains asked\ndeny contains \"x\" if not \"a\" in sets",
            (true, false),
        ),
        (
            "deny contains \"x\" if { x := [n | n := asked][_]; not startswith(x, \"b\") }",
            (false, true),
        ),
    ] {
        assert_eq!(objects(rules), expected, "{rules}");
    }
}

#[test]
fn places_in_the_file_stay_what_they_are() {
    let policy = "package dtgate.p\n\ndeny contains \"x\" if { not startswith(input.change.name.requested, \"b\"); to_number(input.api) == 1 }\n";
    let bundle = Bundle::load(directory(&[("p.rego", policy)]).path()).unwrap();
    let engine = Engine::new(bundle, Duration::from_secs(5));
    let said = engine.decide(&input()).violations.remove(0).message;
    let column = policy.lines().nth(2).unwrap().find("to_number(").unwrap() + 1;
    assert!(said.contains(&format!("p.rego:3:{column}")), "{said}");
}

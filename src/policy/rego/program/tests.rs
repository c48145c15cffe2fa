use std::time::Duration;

use serde_json::json;

use crate::policy::bundle::Bundle;
use crate::policy::bundle::tests::{directory, problems};
use crate::policy::{Engine, Input};

const LIBRARY: &str = "package dtgate.lib.texts\n\nr := 1\n";

/// A policy of these rules, beside a library and a setting that is no pattern.
fn files(rules: &str) -> [(&'static str, String); 3] {
    let policy = format!(
        "package dtgate.p\n\nimport data.dtgate.lib.texts as t\nimport input.change as asked\nimport rego.v1\n\n\
         pattern := data.guardrails.pattern\n\n{rules}\n"
    );
    [
        ("p.rego", policy),
        ("texts.rego", LIBRARY.to_owned()),
        ("data.yaml", "guardrails: {pattern: \"(\"}\n".to_owned()),
    ]
}

/// As in OPA, which finds each of them to object.
#[test]
fn a_name_that_a_rule_binds_means_no_import_and_no_other_rule() {
    for rule in [
        "deny contains \"x\" if { t := {\"x\": 1}; t.x == 1 }",
        "deny contains \"x\" if { some asked in [{\"foo\": 1}]; asked.foo == 1 }",
        "deny contains \"x\" if { asked := {\"name\": {\"requested\": null}}; asked.name.requested == null }",
        "deny contains \"x\" if { asked := {\"name\": {\"requested\": 7}}; asked.name.requested == 7 }",
        "deny contains \"x\" if { pattern := input.api; regex.match(pattern, \"v1\") }",
        "deny contains \"x\" if f({\"foo\": 1})\n\nf(asked) if asked.foo == 1",
        "deny contains \"x\" if every asked in [{\"foo\": 1}] { asked.foo == 1 }",
        "deny contains t.x if { t := {\"x\": \"x\"}; pattern == \"(\" }",
    ] {
        let files = files(rule);
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        assert_eq!(problems(&files), [""; 0], "{rule}");
        let bundle = Bundle::load(directory(&files).path()).unwrap();
        let input = json!({
            "operation": "token.update", "api": "v1", "environment": {"name": "prod"},
            "time": "2026-11-24T10:00:00.000Z",
        });
        let input: Input = serde_json::from_value(input).unwrap();
        let decision = Engine::new(bundle, Duration::from_secs(5)).decide(&input);
        let said: Vec<&str> = decision
            .violations
            .iter()
            .map(|violation| violation.message.as_str())
            .collect();
        assert_eq!(said, ["x"], "{rule}");
    }
}

#[test]
fn what_no_rule_binds_means_the_same_however_it_is_written() {
    for (rule, said) in [
        (
            "deny contains \"x\" if t.x == 1",
            "there is no rule data.dtgate.lib.texts.x",
        ),
        (
            "deny contains \"x\" if asked.foo == 1",
            "no member input.change.foo",
        ),
        // It is bound in a query of its own, and means the import outside of it.
        (
            "deny contains \"x\" if { count([1 | some asked in [{}]; not asked.foo]) == 1; asked.bar == 1 }",
            "no member input.change.bar",
        ),
        (
            "deny contains \"x\" if { every t in [1, 2] { t > 0 }; t.x == 1 }",
            "there is no rule data.dtgate.lib.texts.x",
        ),
        (
            "deny contains \"x\" if { x := {y | y := {t | some t in [1]}}; count(x) == t.x }",
            "there is no rule data.dtgate.lib.texts.x",
        ),
        (
            "deny contains \"x\" if regex.match(pattern, input.api)",
            "data.guardrails.pattern must be a regular expression",
        ),
        // `import rego.v1` is no name.
        (
            "v1 := data.guardrails.pattern\n\ndeny contains \"x\" if regex.match(v1, input.api)",
            "data.guardrails.pattern must be a regular expression",
        ),
        (
            "a.b := 1\n\ndeny contains \"x\" if data.dtgate.p.a.c",
            "there is no rule data.dtgate.p.a.c",
        ),
    ] {
        let files = files(rule);
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        let problems = problems(&files);
        assert!(
            problems.len() == 1 && problems[0].contains(said),
            "{rule}: {problems:?}"
        );
    }
}

#[test]
fn what_a_rule_of_the_same_package_has_no_member_of_is_undefined_as_in_opa() {
    let files = files("a.b := 1\n\ndeny contains \"x\" if a.c");
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    assert_eq!(problems(&files), [""; 0]);
}

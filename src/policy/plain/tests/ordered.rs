//! Comprehensions that are looked into, and objects with numbers in their names.

use super::values::{by_both_engines, by_opa};
use crate::policy::bundle::tests::problems;

const RULES: &[(&str, &str)] = &[
    (
        "deny contains [y | not y == 1; y = input.pairs[_][1]][_]",
        "[2]",
    ),
    (
        "deny contains x if { x := {y: z | not z == 1; [y, z] = input.pairs[_]}[_] }",
        "[2]",
    ),
    (
        "deny contains input.list[[y | not y == 1; y = input.pairs[_][1]][_]]",
        "[\"c\"]",
    ),
    (
        "deny contains sprintf(\"%v\", [p])\np[2][3] := 1 if input.none",
        "[\"{2: {}}\"]",
    ),
    (
        "deny contains sprintf(\"%v\", [p])\np[true].k contains 1 if input.none",
        "[\"{true: {\\\"k\\\": set()}}\"]",
    ),
];

#[test]
fn what_is_looked_into_is_brought_into_order() {
    let (wrong, _) = by_both_engines(RULES);
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_what_is_looked_into_has_the_values_of_opa() {
    let wrong = by_opa(RULES);
    assert!(wrong.is_empty(), "{wrong}");
}

/// OPA has `{2: {}}` where nothing is found, and the engine nothing.
#[test]
fn objects_of_which_the_engine_loses_a_part_are_refused() {
    for name in [
        "p[2].k",
        "p.a[true].b.c",
        "p[2][input.api].k",
        "p[null][input.api] contains",
    ] {
        let policy = format!(
            "package dtgate.p\n\ndeny contains \"x\" if p\n\n{name} := 1 if input.api == \"v1\"\n"
        );
        let policy = policy.replace("contains :=", "contains");
        let said = problems(&[("p.rego", &policy)]);
        assert!(
            said.iter()
                .any(|said| said.contains("p.rego:5:1: the engine loses a part of data.")),
            "{policy}: {said:?}"
        );
    }
}

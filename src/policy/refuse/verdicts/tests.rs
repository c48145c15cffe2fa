use crate::policy::bundle::tests::{problems, wrong};

const NEVER: &str = "deny contains \"never\" if input.api == \"v9\"\n\n";

#[test]
fn a_style_that_decides_nothing_here_is_refused_with_what_to_write() {
    for (rules, said) in [
        (
            "default allow := false\n\nallow if input.api == \"v1\"",
            "naming.rego:3:1: nobody asks for allow, so that it decides nothing: what nobody denies passes; keep the rule and \
             add `deny contains \"what is wrong\" if not allow`",
        ),
        (
            "allow if input.api == \"v1\"",
            "naming.rego:3:1: nobody asks for allow,",
        ),
        (
            "allow := {\"allowed\": false}",
            "naming.rego:3:1: nobody asks for allow,",
        ),
        (
            "violation contains {\"msg\": \"no\"} if input.api == \"v1\"",
            "naming.rego:3:1: nobody asks for violation, so that it decides nothing: write `deny contains {\"message\": msg} if { … }`",
        ),
        (
            "denied contains \"no\" if input.api == \"v1\"",
            "asks for denied, so that it decides nothing: write `deny contains",
        ),
        (
            "Deny contains \"no\" if input.api == \"v1\"",
            "asks for Deny, so that it decides nothing: write `deny contains",
        ),
        (
            "dney contains \"no\" if input.api == \"v1\"",
            "asks for dney, so that it decides nothing: write `deny contains",
        ),
        (
            "warnings contains \"no\" if input.api == \"v1\"",
            "asks for warnings, so that it decides nothing: write `warn contains",
        ),
        (
            "reject if input.api == \"v1\"",
            "asks for reject, so that it decides nothing: write `deny contains",
        ),
        (
            "result := {\"allow\": false}",
            "naming.rego:1:1: policy naming defines neither deny nor warn: write `deny contains \"what is wrong\" if { … }`",
        ),
    ] {
        let found = wrong(rules);
        assert!(found.contains(said), "{rules}: {found}");
        assert!(!found.contains(" | "), "once: {found}");
        // Beside a rule that judges it would be as silent, and nobody would notice.
        if !rules.starts_with("result") {
            let found = wrong(&format!("{NEVER}{rules}"));
            assert!(found.contains("nobody asks for"), "{rules}: {found}");
        }
    }
}

#[test]
fn a_rule_of_such_a_name_that_another_asks_for_is_fine() {
    for rules in [
        "default allow := false\n\nallow if input.api == \"v1\"\n\ndeny contains \"no\" if not allow",
        "violation contains \"a\" if input.api == \"v1\"\n\ndeny contains v if some v in violation",
        "deny contains \"no\" if _denied(input.api)\n\n_denied(x) if x == \"v1\"",
        "deny contains \"no\" if data.dtgate.naming.blocked.v1\n\nblocked.v1 := input.api == \"v1\"",
    ] {
        assert_eq!(wrong(rules), "", "{rules}");
    }
}

#[test]
fn what_is_no_set_is_refused_with_what_to_write() {
    for (rules, said) in [
        (
            "deny := true if input.api == \"v1\"",
            "naming.rego:3:1: deny must be a set that grows, which says what is wrong: write `deny contains \"what is wrong\" \
             if { … }`, not one value",
        ),
        (
            "deny if input.api == \"v1\"",
            "naming.rego:3:1: deny must be a set that grows, which",
        ),
        (
            "deny := \"x\" if input.api == \"v1\"\nelse := \"y\"",
            "naming.rego:3:1: deny must be a set that grows, which",
        ),
        (
            "default deny := false",
            "naming.rego:3:1: deny has no default: it is a set,",
        ),
        (
            "deny[msg] if { input.api == \"v1\"; msg := \"x\" }",
            "naming.rego:3:1: deny must be a set that grows: write",
        ),
        (
            "deny[\"x\"]",
            "naming.rego:3:1: deny must be a set that grows: write",
        ),
        (
            "warn(x) := x",
            "naming.rego:3:1: warn must be a set that grows: write",
        ),
    ] {
        let found = wrong(rules);
        assert!(found.starts_with(said), "{rules}: {found}");
    }
}

#[test]
fn older_rego_and_else_are_refused_with_what_to_write() {
    for (rules, said) in [
        (
            "deny[msg] { msg := \"x\" }",
            "naming.rego:3:11: the word `if` is missing before this body: in Rego v1 write",
        ),
        (
            "deny contains \"x\" { input.api == \"v1\" }",
            "naming.rego:3:19: the word `if` is missing",
        ),
        (
            "deny contains \"x\" if { input.api == \"v1\" } else contains \"y\" if { input.api == \"v2\" }",
            "naming.rego:3:49: a rule with `contains` has one body and no `else`: write what follows as a rule of its own,",
        ),
        (
            "deny contains \"x\" if { input.api == \"v1\" } else := \"y\" if { input.api == \"v2\" }",
            "naming.rego:3:44: a rule with `contains` has one body and no `else`",
        ),
        (
            "deny contains \"x\" if { input.api == \"v1\" } { input.api == \"v2\" }",
            "naming.rego:3:44: a rule with `contains` has one body and no `else`",
        ),
        (
            "deny contains \"x\" if { input.api == \"v1\" } else { input.api == \"v2\" }",
            "naming.rego:3:44: the word `if` is missing",
        ),
        (
            "deny contains \"x\" if p\n\np := 1 if { input.api == \"v1\" } { input.api == \"v2\" } else := 3",
            "naming.rego:5:55: `else` follows a rule with one body",
        ),
    ] {
        let found = wrong(rules);
        assert!(found.starts_with(said), "{rules}: {found}");
    }
}

#[test]
fn a_violation_that_nobody_could_read_is_refused_where_it_is_made() {
    for (rules, said) in [
        (
            "deny contains {\"msg\": \"no\"} if input.api == \"v1\"",
            "naming.rego:3:17: a violation says what is wrong in \"message\": write \"message\" instead of \"msg\"",
        ),
        (
            "deny contains v if {\n\tinput.api == \"v1\"\n\tv := {\"path\": \"name\", \"reason\": \"no\"}\n}",
            "naming.rego:5:25: a violation says what is wrong in \"message\": write \"message\" instead of \"reason\"",
        ),
        (
            "warn contains {\"path\": \"name\"} if input.api == \"v1\"",
            "naming.rego:3:17: a violation says what is wrong in \"message\": write {\"message\": \"what is wrong\", …}",
        ),
        (
            "deny contains _no(\"x\") if input.api == \"v1\"\n\n_no(text) := {\"msg\": text}",
            "naming.rego:5:16: a violation says what is wrong in \"message\"",
        ),
        (
            "deny contains v if some v in _all\n\n_all contains {\"text\": \"no\"} if input.api == \"v1\"",
            "naming.rego:5:17: a violation says what is wrong in \"message\"",
        ),
        (
            "deny contains _one if input.api == \"v1\"\n\n_one := \"x\" if input.operation == \"y\"\n\nelse := {\"error\": \"no\"}",
            "naming.rego:7:11: a violation says what is wrong in \"message\"",
        ),
        (
            "deny contains {\"message\": 3} if input.api == \"v1\"",
            "naming.rego:3:27: message of a violation is a text",
        ),
        (
            "deny contains {\"message\": \"no\", \"path\": [\"name\"]} if input.api == \"v1\"",
            "path of a violation is a text",
        ),
        (
            "deny contains true if input.api == \"v1\"",
            "naming.rego:3:15: a violation is a text, or an object with a \"message\"",
        ),
        (
            "deny contains 3 if input.api == \"v1\"",
            "naming.rego:3:15: a violation is a text,",
        ),
        (
            "deny contains [\"no\"] if input.api == \"v1\"",
            "a violation is a text,",
        ),
        (
            "deny contains \" \" if input.api == \"v1\"",
            "naming.rego:3:16: a violation says what is wrong: this is empty",
        ),
    ] {
        let found = wrong(rules);
        assert!(found.contains(said), "{rules}: {found}");
    }
}

#[test]
fn violations_that_can_be_read_are_fine() {
    for rules in [
        "deny contains {\"message\": sprintf(\"no %s\", [input.api]), \"path\": \"name\", \"more\": [1]} if input.api == \"v1\"",
        "deny contains v if {\n\tinput.api == \"v1\"\n\tv := {\"message\": \"no\"}\n}",
        "deny contains object.union({\"path\": \"name\"}, {\"message\": \"no\"}) if input.api == \"v1\"",
        "deny contains {key: \"no\"} if { key := \"message\"; input.api == \"v1\" }",
        "deny contains v if { input.api == \"v1\"; some v in [\"a\", \"b\"] }",
        "deny contains input.operation if input.api == \"v1\"",
        "deny contains v if { input.api == \"v1\"; v := concat(\" \", [\"a\", input.operation]) }",
    ] {
        assert_eq!(wrong(rules), "", "{rules}");
    }
}

/// A collection is not the violation: its members are.
#[test]
fn members_of_a_collection_are_violations_of_their_own() {
    for rules in [
        "forbidden := {\"WriteConfig\"}\n\ndeny contains s if { some s in forbidden; s in input.change.scopes.requested }",
        "deny contains s if { forbidden := [\"a\"]; some s in forbidden; s in input.change.scopes.requested }",
        "deny contains m if { msgs := [sprintf(\"no %s\", [s]) | some s in input.change.scopes.requested]; some m in msgs }",
        "deny contains m if { msgs := {s | some s in [\"a\", \"b\"]; s != input.api}; some m in msgs }",
        "msgs := [sprintf(\"no %s\", [s]) | some s in input.change.scopes.requested]\n\nwarn contains m if some m in msgs",
        "all := [{\"message\": \"a\"}, {\"message\": \"b\", \"path\": \"name\"}]\n\ndeny contains v if { input.api == \"v1\"; some v in all }",
        "all := [\"a\"] if input.api == \"v1\"\n\nelse := []\n\ndeny contains v if some v in all",
        "default all := []\n\nall := [\"a\"] if input.api == \"v1\"\n\ndeny contains v if some v in all",
        "all := [[\"a\"], [\"b\"]]\n\ndeny contains v if { input.api == \"v1\"; some one in all; some v in one }",
        "reasons := {\"A\": \"text\"}\n\ndeny contains why if { some s, why in reasons; s in input.change.scopes.requested }",
        "reasons[s] := sprintf(\"no %s\", [s]) if some s in input.change.scopes.requested\n\ndeny contains why if some why in reasons",
        "reasons.a := \"text\"\n\ndeny contains why if { some why in reasons; input.api == \"v1\" }",
        "all(api) := [\"a\"] if api == \"v1\"\n\ndeny contains v if some v in all(input.api)",
        "deny contains v if { input.api == \"v1\"; some v in {\"x\": {\"message\": \"a\"}} }",
    ] {
        assert_eq!(wrong(rules), "", "{rules}");
    }
    for (rules, said) in [
        (
            "all := [{\"msg\": \"a\"}]\n\ndeny contains v if { input.api == \"v1\"; some v in all }",
            "naming.rego:3:11: a violation says what is wrong in \"message\": write \"message\" instead of \"msg\"",
        ),
        (
            "all := [[\"a\"]]\n\ndeny contains v if { input.api == \"v1\"; some v in all }",
            "naming.rego:3:9: a violation is a text,",
        ),
        (
            "deny contains v if { all := {\"a\": {\"msg\": \"b\"}}; some v in all; input.api == \"v1\" }",
            "write \"message\" instead of \"msg\"",
        ),
        (
            "deny contains v if some v in [{\"msg\": s} | some s in input.change.scopes.requested]",
            "write \"message\" instead of \"msg\"",
        ),
        (
            "reasons[s] := {\"msg\": s} if some s in input.change.scopes.requested\n\ndeny contains why if some why in reasons",
            "write \"message\" instead of \"msg\"",
        ),
        (
            "all := [\"a\"]\n\ndeny contains all if input.api == \"v1\"",
            "naming.rego:3:8: a violation is a text,",
        ),
    ] {
        let found = wrong(rules);
        assert!(found.contains(said), "{rules}: {found}");
    }
}

#[test]
fn a_policy_in_a_file_of_tests_is_refused() {
    let fine = "package dtgate.a\n\ndeny contains \"x\" if input.api == \"v1\"\n";
    let said = |package: &str, rule: &str| {
        let text = format!("package dtgate.{package}\n\n{rule}\n");
        problems(&[("a.rego", fine), ("load_test.rego", &text)]).join(" | ")
    };
    let rule = "deny contains \"x\" if input.api == \"v2\"";
    assert_eq!(
        said("load", rule),
        "load_test.rego:3:1: nobody would ask this rule: files whose names end in _test.rego are tests; give the file another name"
    );
    assert_eq!(said("load_test", rule), "");
    assert_eq!(said("a", "test_x if true"), "");
}

#[test]
fn a_whole_token_in_the_data_is_refused_and_not_repeated() {
    let fine = "package dtgate.a\n\ndeny contains \"x\" if input.caller.token.id in data.known\n";
    let said = |token: &str| {
        let data = format!("known:\n  - {token}\n");
        problems(&[("a.rego", fine), ("data.yaml", &data)]).join(" | ")
    };
    let public = format!("dt0c01.{}", "A".repeat(24));
    let secret = "B".repeat(64);
    let refused = said(&format!("{public}.{secret}"));
    assert!(
        refused.starts_with("data.yaml:2:1: a whole token stands here"),
        "{refused}"
    );
    assert!(!refused.contains(&secret), "{refused}");
    assert_eq!(said(&public), "");
}

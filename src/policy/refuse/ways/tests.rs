use crate::policy::bundle::tests::problems;

/// What is said about these rules.
fn said(rules: &str) -> String {
    let policy = format!("package dtgate.p\n\nimport input.change as asked\n\n{rules}\n");
    problems(&[("p.rego", &policy)]).join(" | ")
}

#[test]
fn a_member_that_does_not_exist_is_found_behind_names_and_object_get() {
    let nmae =
        "the input document has no member input.change.nmae: did you mean input.change.name?";
    for (rules, wanted) in [
        (
            "deny contains \"x\" if object.get(input.change, \"nmae\", \"\") == \"\"",
            format!("p.rego:5:48: {nmae}"),
        ),
        (
            "deny contains \"x\" if object.get(input, [\"change\", \"nmae\"], \"\") == \"\"",
            format!("p.rego:5:52: {nmae}"),
        ),
        (
            "deny contains \"x\" if object.get(asked, `nmae`, {}) == {}",
            nmae.to_owned(),
        ),
        (
            "deny contains \"x\" if object.get(object.get(input, \"change\", {}), \"nmae\", 1) == 1",
            nmae.to_owned(),
        ),
        (
            "deny contains \"x\" if { name := object.get(input.change, \"name\", {}); not name.reqested }",
            "no member input.change.name.reqested".to_owned(),
        ),
        (
            "deny contains \"x\" if { c := input.change; d := c; d.nmae }",
            format!("p.rego:5:53: {nmae}"),
        ),
        (
            "deny contains \"x\" if { some s in asked.scopes.requested; s.name == \"x\" }",
            "input.change.scopes.requested.[] is a plain value: it has no member name".to_owned(),
        ),
        (
            "deny contains \"x\" if bad(input.change)\n\nbad(c) if c.nmae == \"x\"",
            format!("p.rego:7:13: {nmae}"),
        ),
        (
            "deny contains \"x\" if bad(1, asked)\n\nbad(_, c) if object.get(c, \"nmae\", \"\") == \"\"",
            nmae.to_owned(),
        ),
        // Missing in both.
        (
            "deny contains \"x\" if bad(input.change.name)\n\nwarn contains \"x\" if bad(input.change.enabled)\n\n\
             bad(c) if not c.reqested",
            "no member input.change.name.reqested".to_owned(),
        ),
    ] {
        let said = said(rules);
        assert!(said.contains(&wanted), "{rules}: {said}");
    }
}

#[test]
fn a_member_that_may_exist_is_none_of_these() {
    for rules in [
        "deny contains \"x\" if object.get(input.change.name, \"requested\", \"\") == \"\"",
        "deny contains \"x\" if object.get(input, [\"change\", input.api], \"\") == \"\"",
        "deny contains \"x\" if object.get(input.change.scopes, [\"requested\", 0], \"\") == \"\"",
        "deny contains \"x\" if object.get(input.unknown_members, \"nmae\", \"\") == \"\"",
        "deny contains \"x\" if object.get(input.environment.data, [\"nmae\"], \"\") == \"\"",
        // The default has it.
        "deny contains \"x\" if { t := object.get(input, \"token\", {\"nmae\": \"x\"}); t.nmae == \"x\" }",
        "deny contains \"x\" if { t := object.get(input, \"token\", data.dtgate.p.other); t.nmae == \"x\" }\n\nother := {\"nmae\": 1}",
        // One of them has it.
        "deny contains \"x\" if { some w in [input.change.name, input.change.expiration]; w.at }",
        "deny contains \"x\" if bad(input.change.name)\n\nwarn contains \"x\" if bad(input.change.expiration)\n\nbad(c) if not c.at",
        // Who calls it with what is not known.
        "deny contains \"x\" if bad(input.change)\n\nwarn contains \"x\" if bad({\"nmae\": 1})\n\nbad(c) if c.nmae",
        "deny contains \"x\" if bad(input.change)\n\nwarn contains \"x\" if { some c in [{\"nmae\": 1}]; bad(c) }\n\nbad(c) if c.nmae",
        "deny contains \"x\" if bad(input.change)\n\nwarn contains \"x\" if count([1]) == 1 with count as bad\n\nbad(c) := 1 if c.nmae",
        // The name means something else there.
        "deny contains \"x\" if { c := input.change; c.name }\n\nwarn contains \"x\" if { c := {\"nmae\": 1}; c.nmae }",
        "deny contains \"x\" if { c := input.change; c.name; count([1 | c := {\"nmae\": 1}; c.nmae]) > 0 }",
        "deny contains \"x\" if { t := input.change with input as {\"change\": {\"nmae\": 1}}; t.nmae }",
    ] {
        assert_eq!(said(rules), "", "{rules}");
    }
}

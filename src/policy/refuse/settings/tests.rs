use crate::policy::bundle::tests::problems;

const DATA: &str = "blocked: [a]\nlimits:\n  max: 3\n  teams: {}\n  empty:\nteams:\n  ops: {blocked: true, owner: a}\n  \
                    payments: {owner: b}\n  new: {}\nlist: [{name: a}, {name: b, off: true}]\nblank: {a: {}, b: {}}\n";

/// What is said about a rule beside this data.
fn said(rule: &str) -> String {
    let policy = format!("package dtgate.p\n\nimport data.limits as cfg\n\n{rule}\n");
    let library = "package dtgate.lib\n\nknown(x) if x in data.blocked\n";
    let tests =
        "package dtgate.p_test\n\ntest_x if data.nobody.defines.this with data.nobody as 1\n";
    problems(&[
        ("p.rego", &policy),
        ("lib.rego", library),
        ("p_test.rego", tests),
        ("settings.yaml", DATA),
    ])
    .join(" | ")
}

#[test]
fn data_that_nothing_defines_is_refused_with_a_guess_and_the_place() {
    for (rule, wanted) in [
        (
            "deny contains \"x\" if input.api in data.blokced",
            "p.rego:5:40: no data file defines data.blokced, and the rule would be silent: did you mean data.blocked?",
        ),
        (
            "deny contains \"x\" if data.limits.maxx < 2",
            "p.rego:5:34: no data file defines data.limits.maxx, and the rule would be silent: did you mean data.limits.max?",
        ),
        (
            "deny contains \"x\" if cfg[\"maxi\"] < 2",
            "data.limits.maxi, and the rule would be silent: did you mean data.limits.max?",
        ),
        (
            "deny contains \"x\" if not input.api in data.allowed_versions",
            "no data file defines data.allowed_versions, and the rule would be silent: write it into data.yaml; a \
             list or an object with nothing in it yet is [] or {}",
        ),
        (
            "deny contains \"x\" if { data.limits.mx < 2; data.limits.mx > 0 }\n\ndeny contains \"y\" if data.limits.mx > 1",
            "p.rego:5:36: no data file defines data.limits.mx, and the rule would be silent: did you mean data.limits.max? \
             (settings.yaml:3:3) (and at 2 other places)",
        ),
        (
            "deny contains \"x\" if data.blocked.a",
            "data.blocked has no member a, because it is a list: look into it by `in`",
        ),
        (
            "deny contains \"x\" if cfg.max.x",
            "data.limits.max has no member x, because it is a plain value",
        ),
        (
            "deny contains \"x\" if cfg.empty.x",
            "data.limits.empty has no member x, because it is a plain value",
        ),
        (
            "deny contains \"x\" if some x in data.nobody[input.api]",
            "defines data.nobody,",
        ),
        (
            "deny contains \"x\" if object.get(data.nobody, \"x\", 1) == 1",
            "defines data.nobody,",
        ),
        (
            "deny contains \"x\" if count({x | some x in data.nobody}) == 0",
            "defines data.nobody,",
        ),
        (
            "deny contains data.nobody if input.api == \"v9\"",
            "defines data.nobody,",
        ),
        (
            "deny contains \"x\" if { input.api == \"v9\" with data.blocked as data.nobody }",
            "defines data.nobody,",
        ),
    ] {
        let said = said(rule);
        assert!(said.contains(wanted), "{rule}: {said}");
    }
}

#[test]
fn what_no_element_has_is_refused() {
    for (rule, wanted) in [
        (
            "deny contains \"x\" if data.teams[_].blokced",
            "p.rego:5:36: data.teams[_].blokced is in no element, and the rule would be silent: did you mean \
             data.teams[_].blocked?",
        ),
        (
            "deny contains \"x\" if { some t; data.teams[t].on_call == input.api }",
            "data.teams[_].on_call is in no element, and the rule would be silent: write it into one at least, or ask \
             by object.get(…, \"on_call\", …)",
        ),
        (
            "deny contains \"x\" if { some team in data.teams; team.blokced }",
            "data.teams[_].blokced is in no element",
        ),
        (
            "deny contains \"x\" if every team in data.teams { team.blokced }",
            "data.teams[_].blokced is in no element",
        ),
        (
            "deny contains \"x\" if { team := data.teams[input.environment.name]; not team.blokced }",
            "data.teams[_].blokced is in no element",
        ),
        (
            "deny contains \"x\" if { some team in data.teams; not startswith(team.on_call, \"a\") }",
            "data.teams[_].on_call is in no element",
        ),
        (
            "deny contains \"x\" if { some team in data.teams; not team.on_call.active }",
            "data.teams[_].on_call is in no element",
        ),
        (
            "deny contains \"x\" if input.api in [it.nmae | some it in data.list]",
            "data.list[_].nmae is in no element",
        ),
        (
            "deny contains \"x\" if data.list[0].nmae == input.api",
            "data.list[_].nmae is in no element",
        ),
        (
            "deny contains \"x\" if data.blocked[_].name == input.api",
            "data.blocked[_] has no member name, because it is a plain value",
        ),
        (
            "deny contains \"x\" if off(data.teams.ops)\n\noff(team) if team.blokced",
            "p.rego:7:19: no data file defines data.teams.ops.blokced",
        ),
    ] {
        let said = said(rule);
        assert!(said.contains(wanted), "{rule}: {said}");
    }
}

#[test]
fn what_is_defined_or_optional_or_computed_is_fine() {
    for rule in [
        "deny contains \"x\" if input.api in data.blocked",
        "deny contains \"x\" if data.blocked[0] == input.api",
        "deny contains \"x\" if cfg.max < 2",
        "deny contains \"x\" if data.limits[input.api].x",
        "deny contains \"x\" if object.get(data.limits, [\"nobody\", \"defines\"], 1) == input.api",
        "deny contains \"x\" if object.get(cfg, \"nobody\", {}) == input.api",
        // Nothing is listed yet.
        "deny contains \"x\" if input.caller.token.id in data.limits.teams.payments",
        "deny contains \"x\" if input.caller.token.id in data.limits.teams[_].members",
        "deny contains \"x\" if data.blank[_].anything == input.api",
        "deny contains \"x\" if data.limits.empty[_].anything == input.api",
        // One of them has it.
        "deny contains \"x\" if data.teams[_].blocked",
        "deny contains \"x\" if { some team in data.teams; team.blocked }",
        "deny contains \"x\" if data.list[_].off",
        "deny contains \"x\" if { some team in data.teams; object.get(team, \"on_call\", \"\") == input.api }",
        // A flag that nothing has yet: it holds until somebody sets it.
        "deny contains \"x\" if { some it in data.list; not it.disabled; input.api == it.name }",
        "deny contains \"x\" if { team := data.teams[input.environment.name]; not team.disabled == true }",
        "deny contains \"x\" if input.api in [it.name | some it in data.list; not it.disabled]",
        "deny contains \"x\" if { some t; data.teams[t].owner == input.api; not data.teams[t].on_call }",
        "deny contains \"x\" if { some it in data.list; _on(it) }\n\n_on(it) if not it[\"disabled\"]",
        // A name that means two things.
        "deny contains \"x\" if { count([1 | some it in data.list; it.name == input.api]) == count([1 | some it in data.teams; it.owner == input.api]) }",
        "deny contains \"x\" if off(data.teams.ops)\n\nwarn contains \"y\" if off(input.environment.data)\n\noff(team) if team.on_call",
        "deny contains \"x\" if { data.teams[_].on_call == input.api with data.teams as {\"a\": {\"on_call\": input.operation}} }",
        "deny contains \"x\" if data.modes.p == \"warn\"",
        "deny contains \"x\" if data.lookup.required == false",
        "deny contains \"x\" if data.dtgate.lib.known(input.api)",
        "deny contains \"x\" if { data.nobody.x == input.api with data.nobody as {\"x\": input.operation} }",
    ] {
        assert_eq!(said(rule), "", "{rule}");
    }
}

/// One that is broken would make everything undefined.
#[test]
fn data_that_cannot_be_read_is_the_only_thing_that_is_wrong() {
    let policy = "package dtgate.p\n\ndeny contains \"x\" if input.api in data.blocked\n";
    let said = problems(&[("p.rego", policy), ("x.yaml", "blocked: [\n")]);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("x.yaml:2:1: "), "{said:?}");
}

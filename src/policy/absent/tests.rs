mod idioms;

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::policy::bundle::{Bundle, tests::directory};
use crate::policy::{Engine, Input, Sources};

/// What is told of a policy with these rules, without the name of the directory.
fn told_of(files: &[(&str, &str)]) -> Vec<String> {
    let directory = directory(files);
    let prefix = format!("{}/", directory.path().display());
    let bundle = Bundle::load(directory.path()).unwrap();
    let told = bundle.warnings.iter();
    told.map(|problem| problem.to_string().replace(&prefix, ""))
        .collect()
}

const DATA: &str = "allowed: [a, b]\nlimit: 3\nlevels: {a: 1}\n";

/// Whether a policy with these rules objects to a request of which everything is absent that may be.
fn objects(rules: &str) -> bool {
    let policy = format!("package dtgate.p\n\nimport input.change as asked\n\n{rules}\n");
    let files = [("p.rego", policy.as_str()), ("data.yaml", DATA)];
    let bundle = Bundle::load(directory(&files).path()).unwrap();
    let least = json!({
        "operation": "token.update", "api": "v1", "environment": {"name": "prod"},
        "time": "2026-11-24T10:00:00.000Z",
    });
    let input: Input = serde_json::from_value(least).unwrap();
    let decision = Engine::new(bundle, Duration::from_secs(5)).decide(&input);
    assert!(
        decision
            .violations
            .iter()
            .all(|violation| violation.code.is_none()),
        "{rules}: {:?}",
        decision.violations
    );
    !decision.violations.is_empty()
}

fn told(rules: &str) -> Vec<String> {
    let policy = format!("package dtgate.p\n\nimport input.change as asked\n\n{rules}\n");
    told_of(&[("p.rego", &policy), ("data.yaml", DATA)])
}

const NO_NAME: &str = "silent when the request asks for no name: ";
const NO_SCOPES: &str = "silent when the request asks for no scopes: ";
const NO_EXPIRATION: &str = "silent when the request asks for no expiration";
const NO_TOKEN: &str = "silent when the request is about no token that exists";
const NO_OWNER: &str = "silent when Dynatrace does not tell the token's owner";

const TOLD: &[(&str, &str)] = &[
    (
        "not startswith(input.change.name.requested, \"team-\")",
        NO_NAME,
    ),
    ("not startswith(asked.name.requested, \"team-\")", NO_NAME),
    (
        "not split(asked.name.requested, \"-\")[0] == \"ci\"",
        NO_NAME,
    ),
    ("split(asked.name.requested, \"-\")[0] != \"ci\"", NO_NAME),
    (
        "{ c := input.change; not startswith(c.name.requested, \"a\") }",
        NO_NAME,
    ),
    (
        "{ c := input.change; n := c.name; not startswith(n.requested, \"a\") }",
        NO_NAME,
    ),
    (
        "not startswith(lower(trim_space(asked.name.requested)), \"team-\")",
        NO_NAME,
    ),
    ("not input.change.name.requested in data.allowed", NO_NAME),
    ("not data.levels[asked.name.requested]", NO_NAME),
    ("not count(asked.name.requested) > 3", NO_NAME),
    ("not [asked.name.requested] == [\"b\"]", NO_NAME),
    ("not lower(asked.name.requested) == \"b\"", NO_NAME),
    ("input.change.name.requested != \"a\"", NO_NAME),
    ("\"a\" != asked.name.requested", NO_NAME),
    ("lower(asked.name.requested) != \"a\"", NO_NAME),
    ("count(asked.name.requested) < 3", NO_NAME),
    ("data.limit > count(asked.name.requested)", NO_NAME),
    ("startswith(asked.name.requested, \"a\") == false", NO_NAME),
    ("startswith(asked.name.requested, \"a\") != true", NO_NAME),
    ("(asked.name.requested in data.allowed) == false", NO_NAME),
    (
        "{ ok := startswith(asked.name.requested, \"a\"); not ok }",
        NO_NAME,
    ),
    (
        "{ ok := asked.name.requested in data.allowed; ok == false }",
        NO_NAME,
    ),
    (
        "not regex.match(\"^a\", input.change[\"name\"].requested)",
        NO_NAME,
    ),
    ("not \"x\" in input.change.scopes.requested", NO_SCOPES),
    ("count(input.change.scopes.requested) == 0", NO_SCOPES),
    ("count(asked.scopes.requested) < 1", NO_SCOPES),
    (
        "every s in asked.scopes.requested { startswith(s, \"a\") }",
        NO_SCOPES,
    ),
    (
        "every s in data.allowed { asked.name.requested != s }",
        NO_NAME,
    ),
    (
        "count({s | some s in data.allowed; not startswith(asked.name.requested, s)}) > 0",
        NO_NAME,
    ),
    (
        "time.parse_rfc3339_ns(input.change.expiration.at) > time.now_ns()",
        NO_EXPIRATION,
    ),
    ("input.change.expiration.at > input.time", NO_EXPIRATION),
    (
        "{ input.operation == \"token.update\"; input.token.current.owner != \"a\" }",
        NO_OWNER,
    ),
    (
        "input.token.current.owner != \"a\"",
        "or Dynatrace does not tell the token's owner",
    ),
    (
        "input.token.current.owner != \"a\"",
        "the request is about no token that exists",
    ),
    (
        "input.token.current.name != \"a\"",
        "the request is about no token that exists",
    ),
    ("not input.token.id in data.allowed", NO_TOKEN),
    (
        "object.get(input.token.current, \"owner\", \"\") != \"a\"",
        NO_TOKEN,
    ),
    (
        "input.change.name.requested != input.change.name.current",
        NO_TOKEN,
    ),
    (
        "input.change.enabled.requested != true",
        "does not say whether the token is enabled",
    ),
    (
        "not input.attributes.request.http.headers[\"x-team\"] in data.allowed",
        "the request has no header x-team",
    ),
    (
        "input.caller.jwt.claims.repository != \"a/b\"",
        "the caller shows no JSON Web Token, or one without the claim repository",
    ),
    (
        "not \"admins\" in input.caller.jwt.claims.realm_access.roles",
        "without the claim realm_access.roles",
    ),
    (
        "input.environment.data.stage != \"prod\"",
        "the configuration says no stage of the environment",
    ),
    (
        "not input.unknown_members.owner in data.allowed",
        "the request has no member owner",
    ),
    ("input.parsed_body.ttl < 5", "the body has no ttl"),
    (
        "not \"builtin:x\" in input.settings.schemas",
        "the request writes no settings that govern tokens",
    ),
];

#[test]
fn conditions_that_hold_for_nothing_are_told() {
    for (body, when) in TOLD {
        let told = told(&format!("deny contains \"x\" if {body}"));
        assert!(
            told.len() == 1 && told[0].contains(when),
            "{body}: {told:?}"
        );
        assert!(told[0].starts_with("p.rego:5:"), "{body}: {told:?}");
        assert!(
            !objects(&format!("deny contains \"x\" if {body}")),
            "{body}"
        );
    }
}

#[test]
fn conditions_that_hold_for_something_only_are_not_told() {
    for body in [
        "input.change.name.requested == \"a\"",
        "startswith(input.change.name.requested, \"a\")",
        "input.change.name.requested in data.allowed",
        "data.levels[asked.name.requested]",
        "count(asked.scopes.requested) > 3",
        "count(asked.scopes.requested) != 0",
        "asked.scopes.requested != []",
        "asked.name.requested != \"\"",
        "asked.scopes.requested == []",
        "some s in asked.scopes.requested",
        "{ some s in asked.scopes.requested; not s in data.allowed }",
        "{ some s in asked.scopes.requested; not startswith(s, \"a\") }",
        "not asked.name.requested",
        "not asked.name.requested == \"a\"",
        "not asked.name.requested != \"a\"",
        "not asked.expiration.at",
        "asked.enabled.requested == false",
        "not asked.enabled.requested == true",
        "not \"requested\" in object.keys(asked.name)",
        "object.get(asked.name, \"requested\", \"\") != \"a\"",
        "not startswith(object.get(asked.name, \"requested\", \"\"), \"a\")",
        "not input.caller.token.id in data.allowed",
        "input.environment.name != \"prod\"",
        "not input.api == \"v1\"",
        "{ name := input.change.name.requested; not startswith(name, \"a\") }",
        "{ asked.name.requested; not startswith(asked.name.requested, \"a\") }",
        "{ not startswith(asked.name.requested, \"a\"); is_string(asked.name.requested) }",
        "{ startswith(asked.name.requested, \"a\"); not endswith(asked.name.requested, \"b\") }",
        "{ asked.name.requested != \"\"; not endswith(asked.name.requested, \"b\") }",
        "{ input.operation == \"token.update\"; not input.token.id in data.allowed }",
        "{ input.operation in {\"token.update\", \"token.delete\"}; input.token.id != \"a\" }",
        // The gate denies for itself what could not be looked up.
        "{ some s in asked.scopes.requested; not s in asked.scopes.kept }",
        "{ input.token.known; input.token.current.scopes != [\"a\"] }",
        "count({s | some s in asked.scopes.requested; not s in data.allowed}) > 0",
        "count({1 | not startswith(asked.name.requested, \"a\")}) == 0",
        "not startswith(input.token.lookup_error, \"a\")",
        "time.parse_rfc3339_ns(asked.expiration.at) < time.now_ns()",
    ] {
        let told = told(&format!("deny contains \"x\" if {body}"));
        assert_eq!(told, [""; 0], "{body}");
    }
}

const FOLLOWED: &[(&str, &str)] = &[
    (
        "deny contains \"x\" if bad\n\nbad if asked.name.requested != \"a\"",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if not ok\n\nok if not bad\n\nbad if asked.name.requested != \"a\"",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if bad == true\n\nbad := asked.name.requested != \"a\"",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if ok == false\n\nok := startswith(asked.name.requested, \"a\")",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if bad\n\ndefault bad := false\n\nbad if asked.name.requested != \"a\"",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if bad(asked.name.requested)\n\nbad(n) if not startswith(n, \"a\")",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if bad(asked.name)\n\nbad(n) if n.requested != \"a\"",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if not ok(asked.name.requested)\n\nok(n) if startswith(n, \"a\")",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if some x in bad\n\nbad contains 1 if asked.name.requested != \"a\"",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if count(bad) > 0\n\nbad contains 1 if asked.name.requested != \"a\"",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if count(bad) > 0\n\nbad := {1 | asked.name.requested != \"a\"}",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if not 1 in good\n\ngood := all - bad\n\nall := {1}\n\nbad contains 1 if asked.name.requested != \"a\"",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if name != \"a\"\n\nname := asked.name.requested",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if name != \"a\"\n\nname := lower(n) if n := asked.name.requested",
        NO_NAME,
    ),
    (
        "deny contains \"x\" if not startswith(name, \"a\")\n\nname := asked.name.requested",
        NO_NAME,
    ),
    (
        "warn contains \"x\" if asked.name.requested != \"a\"",
        NO_NAME,
    ),
    // What is only there to be told silences who tells it.
    (
        "deny contains sprintf(\"%s\", [asked.name.requested]) if input.api == \"v1\"",
        NO_NAME,
    ),
    (
        "deny contains {\"message\": \"x\", \"name\": asked.name.requested} if input.api == \"v1\"",
        NO_NAME,
    ),
    (
        "deny contains msg if {\n\tinput.api == \"v1\"\n\tmsg := sprintf(\"%s\", [asked.name.requested])\n}",
        NO_NAME,
    ),
];

#[test]
fn rules_and_functions_are_followed() {
    for (rules, when) in FOLLOWED {
        let told = told(rules);
        assert!(
            told.len() == 1 && told[0].contains(when),
            "{rules}: {told:?}"
        );
        assert!(!objects(rules), "{rules}");
    }
    for rules in [
        "deny contains \"x\" if not ok\n\nok if asked.name.requested != \"a\"",
        "deny contains \"x\" if not ok\n\nok if not startswith(asked.name.requested, \"a\")",
        "deny contains \"x\" if ok == false\n\ndefault ok := false\n\nok if startswith(asked.name.requested, \"a\")",
        "deny contains \"x\" if { not exempt; input.api == \"v1\" }\n\nexempt if asked.name.requested != \"a\"",
        "deny contains \"x\" if count(good) == 0\n\ngood contains 1 if asked.name.requested != \"a\"",
        "deny contains \"x\" if not 1 in good\n\ngood contains 1 if asked.name.requested != \"a\"",
        "deny contains \"x\" if count(all - good) > 0\n\nall := {1}\n\ngood contains 1 if asked.name.requested != \"a\"",
        "deny contains \"x\" if {\n\trenaming\n\tnot startswith(asked.name.requested, \"a\")\n}\n\nrenaming if is_string(asked.name.requested)",
        "deny contains \"x\" if {\n\trenaming\n\tbad\n}\n\nrenaming if is_string(asked.name.requested)\n\nbad if not startswith(asked.name.requested, \"a\")",
        "deny contains \"x\" if {\n\tasked.name.requested\n\tbad(asked.name.requested)\n}\n\nbad(n) if not startswith(n, \"a\")",
        "deny contains \"x\" if {\n\tinput.operation in updates\n\tinput.token.id != \"a\"\n}\n\nupdates := {\"token.update\", \"token.delete\"}",
        "deny contains \"x\" if {\n\tabout\n\tnot creating\n\tinput.token.id != \"a\"\n}\n\nabout if input.operation in {\"token.create\", \"token.update\"}\n\ncreating if input.operation == \"token.create\"",
        "deny contains \"x\" if {\n\tname := asked.name.requested\n\tname != \"a\"\n\tmsg := sprintf(\"%s\", [name])\n\tmsg != \"b\"\n}",
        "deny contains \"x\" if {\n\tkey := sprintf(\"%s\", [asked.name.requested])\n\tkey in data.allowed\n}",
        "deny contains \"x\" if contains(sprintf(\"%s\", [asked.name.requested]), \"a\")",
        "unused if asked.name.requested != \"a\"\n\ndeny contains \"x\" if input.api == \"v1\"",
    ] {
        assert_eq!(told(rules), [""; 0], "{rules}");
    }
}

#[test]
fn what_to_write_is_rego_whatever_a_member_is_called() {
    for (member, wanted) in [
        (
            "input.attributes.request.http.headers[\"x-team\"]",
            "add a rule for `not input.attributes.request.http.headers[\"x-team\"]`",
        ),
        (
            "input.unknown_members[\"a.b\"]",
            "add a rule for `not input.unknown_members[\"a.b\"]`",
        ),
        (
            "input.unknown_members.set",
            "add a rule for `not input.unknown_members[\"set\"]`",
        ),
    ] {
        let rule = format!("deny contains \"x\" if not startswith({member}, \"a\")");
        let said = told(&rule);
        assert!(said[0].ends_with(wanted), "{said:?}");
        let rule = format!("{rule}\ndeny contains \"y\" if not {member}");
        assert_eq!(told(&rule), [""; 0]);
    }
}

#[test]
fn where_the_policy_asks_for_the_absence_nothing_is_told() {
    let bad = "deny contains \"x\" if not startswith(asked.name.requested, \"a\")";
    for other in [
        "deny contains \"y\" if not asked.name.requested",
        "deny contains \"y\" if { input.operation == \"token.create\"; not asked.name.requested }",
        "warn contains \"y\" if not asked.name.requested",
        "deny contains \"y\" if not \"requested\" in object.keys(asked.name)",
        "deny contains \"y\" if not named\n\nnamed if is_string(asked.name.requested)",
        "deny contains \"y\" if unnamed\n\nunnamed if not asked.name.requested",
        "deny contains \"y\" if object.get(asked.name, \"requested\", \"\") == \"\"",
    ] {
        assert_eq!(told(&format!("{bad}\n\n{other}")), [""; 0], "{other}");
    }
    // It is no objection to a missing name.
    for other in [
        "deny contains \"y\" if { not asked.name.requested; asked.name.requested == \"b\" }",
        "deny contains \"y\" if { not exempt; asked.name.requested == \"b\" }\n\nexempt if not asked.name.requested",
        "deny contains \"y\" if not asked.scopes.requested",
        "unused if not asked.name.requested",
    ] {
        assert_eq!(told(&format!("{bad}\n\n{other}")).len(), 1, "{other}");
    }
    // Another policy is another matter.
    let files = [
        (
            "p.rego",
            "package dtgate.p\n\ndeny contains \"x\" if input.change.name.requested != \"a\"\n",
        ),
        (
            "q.rego",
            "package dtgate.q\n\ndeny contains \"x\" if not input.change.name.requested\n",
        ),
    ];
    assert_eq!(told_of(&files).len(), 1);
}

#[test]
fn metadata_accepts_it() {
    let accepts = "# METADATA\n# title: x\n# custom:\n#   silent_when_absent: true\n";
    let bad = "deny contains \"x\" if input.change.name.requested != \"a\"\n";
    let other = "deny contains \"y\" if input.change.name.requested != \"b\"\n";
    for (text, number) in [
        (format!("package dtgate.p\n\n{bad}\n{other}"), 2),
        (format!("package dtgate.p\n\n{accepts}{bad}\n{other}"), 1),
        (
            format!("package dtgate.p\n\n{accepts}# scope: document\n{bad}\n{other}"),
            0,
        ),
        (
            format!("package dtgate.p\n\n{accepts}# scope: rule\n{bad}\n{other}"),
            1,
        ),
        (format!("{accepts}package dtgate.p\n\n{bad}\n{other}"), 0),
        (
            format!(
                "package dtgate.p\n\n# METADATA\n# custom: {{silent_when_absent: true}}\n{bad}"
            ),
            0,
        ),
        (
            format!(
                "package dtgate.p\n\n# METADATA\n# custom: {{silent_when_absent: false}}\n{bad}"
            ),
            1,
        ),
        (
            format!("package dtgate.p\n\n# METADATA\n# custom: [\n{bad}"),
            1,
        ),
        (
            format!("package dtgate.p\n\n# custom: {{silent_when_absent: true}}\n{bad}"),
            1,
        ),
    ] {
        assert_eq!(told_of(&[("p.rego", &text)]).len(), number, "{text}");
    }
}

#[test]
fn a_statement_is_shown_as_it_is_written() {
    for (statement, shown) in [
        (
            "\"a\" != asked.name.requested",
            "\"a\" != asked.name.requested",
        ),
        (
            "asked.name.requested != \"a\"",
            "asked.name.requested != \"a\"",
        ),
        (
            "not [asked.name.requested] == [\"b\"]",
            "not [asked.name.requested] == [\"b\"]",
        ),
        (
            "every s in asked.scopes.requested {\n\t\ts == \"a\"\n\t}",
            "every s in asked.scopes.requested { s == \"a\" }",
        ),
        (
            "not startswith(\n\t\tasked.name.requested,\n\t\t\"b\",\n\t)",
            "not startswith( asked.name.requested, \"b\", )",
        ),
    ] {
        let told = told(&format!(
            "deny contains \"x\" if {{\n\tinput.api == \"v1\"\n\t{statement}\n}}"
        ));
        let wanted = format!(": {shown}; bind it");
        assert!(told.len() == 1 && told[0].contains(&wanted), "{told:?}");
    }
    let told = told(
        "deny contains {\"message\": \"x\", \"name\": asked.name.requested} if input.api == \"v1\"",
    );
    assert!(
        told[0].contains(": {\"message\": \"x\", \"name\": asked.name.requested}; "),
        "{told:?}"
    );
}

/// What could not be looked up is denied by the gate, unless it is told not to.
#[test]
fn a_token_that_is_not_known_matters_where_policies_say_so() {
    let text = "package dtgate.p\n\ndeny contains \"x\" if {\n\tsome s in input.change.scopes.requested\n\tnot s in input.change.scopes.kept\n}\n";
    assert_eq!(
        told_of(&[("p.rego", text), ("data.yaml", "lookup: {required: true}")]),
        [""; 0]
    );
    let told = told_of(&[("p.rego", text), ("data.yaml", "lookup: {required: false}")]);
    assert_eq!(
        told,
        [
            "p.rego:5:2: silent when the token is not known: not s in input.change.scopes.kept; \
          bind it first if that is meant, or add a rule for `not input.change.scopes.kept`"
        ]
    );
}

#[test]
fn the_shipped_policies_are_told_nothing_of() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bundle = Bundle::load(root.join("policies")).unwrap();
    assert_eq!(bundle.warnings, []);
}

/// An entrypoint denies where it says nothing; what it must not find may be silent.
#[test]
fn entrypoints_are_followed_through_what_they_must_not_find() {
    let told = |rules: &str| {
        let policy = format!("package envoy.authz\n\ndefault allow := false\n\n{rules}\n");
        let directory = directory(&[("p.rego", &policy), ("data.yaml", DATA)]);
        let sources = Sources::at(directory.path());
        let sources = sources.with(&["envoy/authz/allow".parse().unwrap()]);
        let bundle = Bundle::load_all(&sources).unwrap();
        let told = bundle.warnings.iter().map(|it| it.message.clone());
        told.filter(|it| it.starts_with("silent"))
            .collect::<Vec<String>>()
    };
    for silent in [
        "allow if not forbidden\n\nforbidden if input.change.name.requested != \"ci\"",
        "allow := {\"allowed\": true} if count(reasons) == 0\n\nreasons contains \"no\" if not startswith(input.change.name.requested, \"team-\")",
        "allow if not forbidden\n\nforbidden if not input.change.name.requested in data.allowed",
    ] {
        let told = told(silent);
        assert!(
            told.len() == 1 && told[0].starts_with(NO_NAME),
            "{silent}: {told:?}"
        );
    }
    for loud in [
        "allow if input.change.name.requested != \"ci\"",
        "allow if not forbidden\n\nforbidden if input.change.name.requested != \"ci\"\n\nforbidden if not input.change.name.requested",
        "allow if startswith(input.change.name.requested, \"team-\")",
    ] {
        assert_eq!(told(loud), Vec::<String>::new(), "{loud}");
    }
}

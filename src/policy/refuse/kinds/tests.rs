use crate::policy::bundle::tests::problems;

fn said(rules: &str) -> String {
    let policy = format!("package dtgate.p\n\nimport input.change as asked\n\n{rules}\n");
    problems(&[("p.rego", &policy), ("data.yaml", "limit: 3\n")]).join(" | ")
}

/// Bodies of rules, and what is said of them.
const OF_OTHER_KINDS: &[(&str, &str)] = &[
    (
        "\"WriteConfig\" in input.change.scopes",
        "p.rego:5:39: input.change.scopes is an object: its members are requested, current, added, removed and kept",
    ),
    (
        "input.change.name == \"test\"",
        "p.rego:5:22: input.change.name is an object: its members are requested and current",
    ),
    ("asked.name != \"test\"", "input.change.name is an object"),
    (
        "count(input.change.scopes) > 12",
        "input.change.scopes is an object",
    ),
    (
        "input.environment == \"prod\"",
        "input.environment is an object: its members are name, id and data",
    ),
    ("input.token == \"id\"", "input.token is an object"),
    (
        "{ t := input.token; t == \"id\" }",
        "input.token is an object",
    ),
    (
        "input.caller in {\"a\", \"b\"}",
        "input.caller is an object",
    ),
    (
        "input.caller in known\n\nknown := [\"a\"]",
        "input.caller is an object",
    ),
    (
        "not input.change.name == wanted\n\nwanted := \"a\"",
        "input.change.name is an object",
    ),
    (
        "input.change.scopes == [\"a\"]",
        "input.change.scopes is an object",
    ),
    (
        "input.change.expiration < 3",
        "input.change.expiration is an object",
    ),
    (
        "startswith(input.change.name, \"team-\")",
        "input.change.name is an object: its members are requested and current; startswith takes a text",
    ),
    (
        "is(input.change.name)\n\nis(name) if name == \"a\"",
        "input.change.name is an object",
    ),
    (
        "input.token.known == \"true\"",
        "input.token.known is true or false: write `input.token.known == true`, without quotation marks",
    ),
    (
        "input.change.enabled.requested != \"false\"",
        "is true or false",
    ),
    (
        "input.change.scopes.requested == \"a\"",
        "is a list: ask for one of its members by `in`",
    ),
    (
        "input.change.scopes.requested == {\"a\"}",
        "is a list: ask for one",
    ),
    (
        "lower(input.change.scopes.requested) == \"a\"",
        "is a list: ask for one",
    ),
    (
        "input.change.name.requested == 3",
        "input.change.name.requested is a text, and never a number",
    ),
    (
        "\"a\" in input.change.name.requested",
        "is a text: `in` looks into lists and sets",
    ),
    (
        "3 in input.change.scopes.requested",
        "the members of input.change.scopes.requested are texts, and never a number",
    ),
];

#[test]
fn a_member_is_never_what_is_of_another_kind() {
    for (body, wanted) in OF_OTHER_KINDS {
        let said = said(&format!("deny contains \"x\" if {body}"));
        let once = said.matches("p.rego").count() == 1;
        assert!(said.contains(wanted) && once, "{body}: {said}");
    }
}

#[test]
fn a_text_that_a_member_never_is_is_refused_with_a_guess() {
    for (body, wanted) in [
        (
            "input.operation == \"token.updat\"",
            "p.rego:5:22: input.operation is never \"token.updat\": did you mean token.update?",
        ),
        (
            "input.operation in {\"token.create\", \"token.updat\"}",
            "never \"token.updat\": did you mean",
        ),
        (
            "input.operation in writes\n\nwrites := {\"token.create\", \"token.updat\"}",
            "never \"token.updat\": did you mean",
        ),
        (
            "not input.operation == \"zzz.qqq\"",
            "`dtgate endpoints` lists the operations",
        ),
        (
            "input.operation == \"rotate\"",
            "never \"rotate\": did you mean",
        ),
        (
            "input.caller.token.kind == \"oauth\"",
            "it is one of \"\", \"api-token\", \"bearer\", \"other\"",
        ),
        (
            "input.caller.token.kind == \"apitoken\"",
            "input.caller.token.kind is never \"apitoken\": did you mean api-token?",
        ),
        (
            "input.api == \"V2\"",
            "input.api is never \"V2\": did you mean v2?",
        ),
        (
            "\"scope\" in input.change.differs",
            "input.change.differs is never \"scope\": did you mean scopes?",
        ),
        (
            "{ some it in input.change.differs; it == \"scope\" }",
            "never \"scope\": did you mean scopes?",
        ),
    ] {
        let said = said(&format!("deny contains \"x\" if {body}"));
        let once = said.matches("p.rego").count() == 1;
        assert!(said.contains(wanted) && once, "{body}: {said}");
    }
}

#[test]
fn what_may_hold_is_fine() {
    for body in [
        "{ some _, wish in input.change; wish.requested == \"a\" }",
        "\"requested\" in object.keys(input.change.scopes)",
        "object.get(input.change, \"name\", \"\") == \"\"",
        "{ some it in input.change.scopes; \"a\" in it }",
        "has(input.change.scopes)\n\nhas(scopes) if \"a\" in scopes.requested",
        "{ print(input.change); input.api == \"v1\" }",
        "{ is_object(input.change.name); input.api == \"v1\" }",
        "contains(json.marshal(input.change), \"a\")",
        "sprintf(\"%v\", [input.change.name]) == \"a\"",
        "input.caller.token == {\"id\": \"\", \"kind\": \"\"}",
        "input.environment.data == {}",
        "\"a\" in input.environment.data",
        "\"a\" in input.unknown_members",
        "input.environment.data.team == 3",
        "input.parsed_body.x == 3",
        "input.attributes.request.http.headers.x == \"a\"",
        "input.caller.token.kind == \"\"",
        "input.token.known == false",
        "input.change.scopes.requested == [\"a\"]",
        "count(input.change.scopes.requested) > data.limit",
        "count(input.change.name.requested) > data.limit",
        "startswith(input.operation, \"token.\")",
        "either(input.change.name)\n\nwarn contains \"y\" if either(input.api)\n\neither(x) if x == \"v1\"",
        "{ x := \"a\"; x == input.change.name.requested }",
    ] {
        let said = said(&format!("deny contains \"x\" if {body}"));
        assert_eq!(said, "", "{body}");
    }
}

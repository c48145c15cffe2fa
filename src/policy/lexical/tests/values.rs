//! Rules with what is written out, and their right values: by both engines, and by OPA where it is there.

use crate::policy::plain::tests::values::{by_both_engines, by_opa};

const RULES: &[(&str, &str)] = &[
    // numbers that a machine's are, and characters that the engine's parser does not read
    (
        "deny contains x if some x in [1.0 == 1, 1e3 == 1000, 1.50e2 == 150, 0.10 == 0.1, 1e23 == 100000000000000000000000, 1e23 + 1 == 100000000000000000000001, 9007199254740992.0 + 1 == 9007199254740993, 0.1234567890123456 < 0.1234567890123457]",
        "[true]",
    ),
    (
        "deny contains \"é\tb\u{7}\u{7f}\"",
        "[\"é\\tb\\u0007\u{7f}\"]",
    ),
    (
        "deny contains \"\\ud83d|\\ude00\\ud83d\\ude00|\\ud83d\\u00e9\\\\ud83d\"",
        "[\"\u{fffd}|\u{fffd}\\ud83d\\ude00|\u{fffd}é\\\\ud83d\"]",
    ),
    // texts
    ("deny contains $\"\"", "[\"\"]"),
    (
        "deny contains $\"{input.api} and {input.none}\"",
        "[\"v1 and <undefined>\"]",
    ),
    (
        "deny contains $\"\\{{input.api}\\{\\n\\u00e9\"",
        "[\"{v1{\\né\"]",
    ),
    ("deny contains $`\\{{input.api}\\n`", "[\"{v1\\\\n\"]"),
    ("deny contains $`a\n{1}\n\\\\{2}`", "[\"a\\n1\\n\\\\{2}\"]"),
    (
        "deny contains $\"{1} {-1.50} {1e3} {true} {null} {\"x\"}\"",
        "[\"1 -1.50 1e3 true null x\"]",
    ),
    (
        "deny contains $\"{[1, \"a\"]} {{\"k\": {1}}} {set()}\"",
        "[\"[1, \\\"a\\\"] {\\\"k\\\": {1}} set()\"]",
    ),
    ("deny contains $\"{$\"<{input.api}>\"}\"", "[\"<v1>\"]"),
    (
        "deny contains $\"{$\"<{input.none}>\"} {count($`{input.none}`)}\"",
        "[\"<<undefined>> 11\"]",
    ),
    (
        "deny contains $\"{[x | x := input.list[_]; x != \"a\"]}\"",
        "[\"[\\\"b\\\", \\\"c\\\"]\"]",
    ),
    (
        "deny contains $\"{input.list[i]}\" if some i in [0, 2]",
        "[\"a\", \"c\"]",
    ),
    (
        "deny contains $\"{x}\" if { some x in input.list; x != \"a\" }",
        "[\"b\", \"c\"]",
    ),
    (
        "deny contains $\"{1 + 2} {\"a\" in input.list} {f(1)}{f(2)}\"\nf(x) := 7 if x == 1",
        "[\"3 true 7<undefined>\"]",
    ),
    (
        "deny contains $\"{input.x with input.x as 2} {p with input.x as 3}\"\np := input.x",
        "[\"2 3\"]",
    ),
    (
        "deny contains $\"{p}\" if true with input.x as 3\np := input.x",
        "[\"a\"]",
    ),
    ("deny contains 1 if not $\"{input.api}\" == \"v2\"", "[1]"),
    (
        "deny contains 1 if not startswith($\"{input.none}\", \"v\")",
        "[1]",
    ),
    ("deny contains $\"{ # why\n input.api }\"", "[\"v1\"]"),
    (
        "deny contains $\"{input.api}\" if { every x in input.list { $\"{x}!\" != \"d!\" } }",
        "[\"v1\"]",
    ),
    // keywords that are names
    ("deny contains input.members.k.not if true", "[]"),
    (
        "deny contains x if { x := {\"not\": 1, \"in\": 2}; x.in == 2; x.not == 1 }",
        "[{\"not\": 1, \"in\": 2}]",
    ),
    ("deny contains 1 if not.found == 3\nnot.found := 3", "[1]"),
    (
        "deny contains x if { every.a(2, x) }\nevery.a(x) := x + other\nother := 1",
        "[3]",
    ),
    (
        "deny contains 1 if { true.x.y == {1} }\ntrue.x.y contains 1",
        "[1]",
    ),
    ("deny contains 1 if { not.if.x == 2 }\nnot.if.x := 2", "[1]"),
    (
        "deny contains x if { if.x[x] }\nif.x contains y if some y in input.list\ndefault in.x := 1",
        "[\"a\", \"b\", \"c\"]",
    ),
    // not
    (
        "import future.keywords.not\ndeny contains 1 if not { input.api == \"v1\"; input.none }",
        "[1]",
    ),
    (
        "import future.keywords.not\ndeny contains 1 if not { input.api == \"v1\" }",
        "[]",
    ),
    (
        "import future.keywords.not\ndeny contains 1 if not {\n\tx := input.list[_]\n\tx == \"d\"\n}",
        "[1]",
    ),
    (
        "import future.keywords.not\ndeny contains 1 if { not { not { input.api } } }",
        "[1]",
    ),
    (
        "import future.keywords.not\ndeny contains x if { some x in input.list; not { y := x; y == \"a\" } }",
        "[\"b\", \"c\"]",
    ),
    (
        "import future.keywords.not\ndeny contains 1 if not f(input.none)\nf(x) := x",
        "[1]",
    ),
    (
        "import future.keywords.not\ndeny contains 1 if not input.api == \"v1\" with input.api as \"v2\"",
        "[1]",
    ),
    (
        "import future.keywords.not\ndeny contains 1 if not { input.api == \"v1\" } with input.api as \"v2\"",
        "[1]",
    ),
    (
        "import future.keywords.not\ndeny contains x if { not { x == \"a\" }; x = input.list[_] }",
        "[\"b\", \"c\"]",
    ),
    (
        "import future.keywords.not\ndeny contains [x | some x in input.list; not x\n== \"a\"]",
        "[[\"b\", \"c\"]]",
    ),
    (
        "import future.keywords.not\ndeny contains 1 if { every x in input.list { not { x == \"d\" } } }",
        "[1]",
    ),
    (
        "import future.keywords.not\ndeny contains 1 if not ({})",
        "[]",
    ),
    (
        "import future.keywords.not\nok if not input.none else := false\ndeny contains ok",
        "[true]",
    ),
    ("deny contains 1 if not {input.api} == {\"v2\"}", "[1]"),
    ("deny contains 1 if not f(input.none)\nf(x) := x", "[]"),
    // and, or
    (
        "import future.keywords.and\ndeny contains 1 if input.api and input.x == \"a\"",
        "[1]",
    ),
    (
        "import future.keywords.and\ndeny contains 1 if input.api and input.none",
        "[]",
    ),
    (
        "import future.keywords.or\ndeny contains 1 if input.none or input.x == \"a\"",
        "[1]",
    ),
    (
        "import future.keywords\ndeny contains 1 if input.none or input.x == \"b\"",
        "[]",
    ),
    (
        "import rego.v2\ndeny contains 1 if input.api or input.x and input.none",
        "[1]",
    ),
    (
        "import future.keywords\ndeny contains 1 if (input.api or input.x) and input.none",
        "[]",
    ),
    (
        "import future.keywords\ndeny contains 1 if input.none and input.x or input.api and not input.none",
        "[1]",
    ),
    (
        "import future.keywords\ndeny contains 1 if not (input.none or input.x == \"b\")",
        "[1]",
    ),
    (
        "import future.keywords\ndeny contains 1 if { some x in input.list; x == \"a\" } and { some x in input.list; x == \"c\" }",
        "[1]",
    ),
    (
        "import future.keywords\ndeny contains x if { some x in input.list; x == \"a\" or { y := x; y == \"c\" } }",
        "[\"a\", \"c\"]",
    ),
    (
        "import future.keywords\ndeny contains 1 if input.none and input.x with input.none as 1",
        "[1]",
    ),
    (
        "import future.keywords\ndeny contains 1 if {\n\tinput.none # why\n\tor\n\tinput.api and input.x\n}",
        "[1]",
    ),
    (
        "import future.keywords\ndeny contains 1 if input.api or 1 / 0 == 1",
        "[1]",
    ),
    (
        "import future.keywords\ndeny contains 1 if input.none and 1 / 0 == 1",
        "[]",
    ),
    (
        "import future.keywords\ndeny contains [x | some x in input.list; x == \"a\" or x == \"b\"]",
        "[[\"a\", \"b\"]]",
    ),
    (
        "import future.keywords\ndeny contains 1 if { every x in input.list { x == \"a\" or not { x == \"a\" } } }",
        "[1]",
    ),
    (
        "import future.keywords\ndeny contains 1 if ((input.none or input.api) and (not input.none))",
        "[1]",
    ),
    (
        "import future.keywords\ndeny contains 1 if { {input.api} == {\"v1\"} }",
        "[1]",
    ),
    (
        "import future.keywords\ndeny contains 1 if { \"a\" in input.list and 0, \"a\" in input.list }",
        "[1]",
    ),
    // functions without a body
    (
        "deny contains x if { some x in [\"v1\", \"v2\", \"v3\"]; stage(x) }\nstage(\"v1\") # the first\n\nstage(\"v2\")\n",
        "[\"v1\", \"v2\"]",
    ),
    (
        "deny contains x if { some x in [1, 2, 3]; f(x, [\"a\"]) }\nf(1, _)\nf(2,\n[\"a\"])\nf(3, x) if count(x) > 1",
        "[1, 2]",
    ),
    (
        "deny contains g(1) if f(1)\nf(1)\ng(x) := 3 if\n f(x)\n",
        "[3]",
    ),
    (
        "deny contains g(1) if\n f(1)\nf(1)\ng(x) := y if {\n y := 1 +\n x\n f(x)\n}\n",
        "[2]",
    ),
];

#[test]
fn what_is_new_means_what_it_means_in_opa() {
    let (wrong, by_bytecode) = by_both_engines(RULES);
    assert!(wrong.is_empty(), "{wrong}");
    assert!(by_bytecode > 8, "{by_bytecode}");
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_what_is_new_has_the_values_of_opa() {
    let wrong = by_opa(RULES);
    assert!(wrong.is_empty(), "{wrong}");
}

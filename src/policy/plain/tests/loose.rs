//! Variables that nothing gives a value: whatever OPA refuses for it is refused.

use std::process::Command;

use crate::policy::interpreter::prepare;
use crate::policy::source::files::File;

const HELPERS: &str =
    "f(x) := x\n\nt(x) if x == 1\n\ns contains \"a\"\n\no[k] := 1 if some k in [\"a\"]\n";

/// Conditions in which `*` has no value.
const LOOSE: [&str; 66] = [
    // a negation looks for nothing, but in what it computes
    "not input.list[*]",
    "not input.list[*] == 1",
    "not 1 == input.list[*]",
    "not input.list[*] > 1",
    "not input.list[*] in [1]",
    "not 1 in input.list[*]",
    "not 1, 1 in input.list[*]",
    "not input.objects[*].k == \"a\"",
    "not s[*]",
    "not o[*] == 1",
    "not data.settings.list[*]",
    "not f(*)",
    "not f(*) == 1",
    "not t(input.list[*])",
    "not t([input.list[*]])",
    "not [input.list[*]] == [1]",
    "not [*, 1] = input.list",
    "not {\"k\": *} = input.objects[0]",
    "not count(input.list, *)",
    "not walk(input, [*, 1])",
    "not walk(input.list[*], [[], 1])",
    "not * in input.list",
    "not *, 1 in input.list",
    "not 1, * in input.list",
    "not f(1 + *) == 2",
    "not [1 | * == 1] == []",
    "not input.list[input.list[*]]",
    // arguments, operators and values are looked for nowhere
    "f(*)",
    "f([*])",
    "f(1, 1 + *)",
    "* == 1",
    "1 < *",
    "[*] == [1]",
    "{*} = {1}",
    "{*: x} = {\"a\": 1}",
    "some {*: x} in input.objects",
    "* in input.list",
    "*, \"a\" in input.list",
    "0, * in input.list",
    "[*, \"a\" in input.list] == [1, true]",
    "[*, 1] = {\"a\", \"b\"}",
    "[*, 1] = [1]",
    "[*] = {\"k\": 1}",
    "[1] = {\"k\": *}",
    "{\"k\": *} = {\"k\": 1, \"l\": 2}",
    "[[*], 1] = [2, 1]",
    "[*] = \"a\"",
    "* = f(*)",
    "split(*, \"a\", y)",
    "data.settings[f(*)]",
    "print(*)",
    "print(input.list[*])",
    "input.x == 1 with input.x as [*]",
    "x := [y | y := 1; f(*)]",
    "x := [* | true]",
    "x := {*: 1 | true}",
    "x := [[*, 1] | true]",
    // what is looked into
    "x := [1 | * == 1][_]",
    "x = {*: 1 | true}[_]",
    "[* | true][_] == 1",
    "input.list[[0 | * == 1][_]] == 1",
    "some x in [1 | * == 1][_]",
    "walk([1 | * == 1][_], x)",
    "every x in [[1 | * == 1]][_] { x == 1 }",
    "every x in input.list { x == * }",
    "every x in input.list { not input.list[*] == x }",
];

/// Rules in which `*` has no value.
const RULES: [&str; 7] = [
    "deny contains * if true",
    "deny contains [*, 1]",
    "deny contains g(1)\n\ng(x) := [x, *]",
    "deny contains r\n\nr := *",
    "deny contains r\n\nr := 1 if { input.none } else := [*]",
    "deny contains r\n\nr[*] := 1",
    "deny contains r if true\n\nr[\"a\"] contains *, \"a\" in input.list",
];

fn files() -> Vec<File> {
    let conditions = LOOSE
        .iter()
        .map(|condition| format!("deny contains 1 if {{\n\t{condition}\n}}\n"));
    let rules = conditions.chain(RULES.map(str::to_owned));
    let rules = rules.flat_map(|rule| [rule.replace('*', "_"), rule.replace('*', "loose")]);
    let files = rules.enumerate().map(|(number, rule)| {
        let name = format!("c{number}.rego");
        File {
            path: name.clone(),
            name,
            text: format!("package dtgate.c{number}\n\n{rule}\n\n{HELPERS}"),
        }
    });
    files.collect()
}

#[test]
fn variables_without_a_value_are_refused() {
    for file in files() {
        let refused = prepare::ready(&[&file], &super::values::data()).map(|_| "accepted");
        let message = refused.map_or_else(|problem| problem.to_string(), str::to_owned);
        let expected = ["is unsafe", "expects 1 argument"];
        assert!(
            expected.iter().any(|part| message.contains(part)),
            "{}: {message}",
            file.text
        );
    }
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_variables_without_a_value_are_refused_by_opa() {
    let opa = std::env::var("OPA").unwrap_or_else(|_| "opa".to_owned());
    let folder = tempfile::tempdir().unwrap();
    for file in files() {
        let path = folder.path().join(file.name);
        std::fs::write(&path, &file.text).unwrap();
        let checked = Command::new(&opa).arg("check").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        let expected = ["is unsafe", "is undeclared"];
        assert!(
            expected.iter().any(|part| said.contains(part)),
            "{}: {said}",
            file.text
        );
    }
}

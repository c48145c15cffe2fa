use std::time::Duration;

use crate::policy::bundle::Bundle;
use crate::policy::bundle::tests::{directory, wrong};
use crate::policy::input::tests::input;
use crate::policy::{Decision, Engine};

fn decided(files: &[(&str, &str)]) -> Decision {
    let bundle = Bundle::load(directory(files).path()).unwrap();
    Engine::new(bundle, Duration::from_secs(5)).decide(&input())
}

fn objections(files: &[(&str, &str)]) -> Vec<String> {
    let violations = decided(files).violations.into_iter();
    violations.map(|violation| violation.message).collect()
}

const POLICY: &str = "package dtgate.p

import data.dtgate.lib

deny contains \"no\" if lib.wanted

deny contains \"all\" if count(lib.names) == 2
";
const LIBRARY: &str = "package dtgate.lib

wanted if _wanted

names := {name | some name in _names}

_wanted if input.api == \"v1\"

_names := {\"a\", \"b\"}
";

/// The engine would take the library for done after its first file, and the rules of the second would be undefined.
#[test]
fn a_package_in_several_files_is_one() {
    assert_eq!(
        objections(&[("p.rego", POLICY), ("lib/z.rego", LIBRARY)]),
        ["all", "no"]
    );
    let first = "package dtgate.lib\n\nother if input.api == \"v3\"\n";
    for name in ["lib/a.rego", "a.rego", "z.rego"] {
        assert_eq!(
            objections(&[("p.rego", POLICY), ("lib/m.rego", LIBRARY), (name, first)]),
            ["all", "no"],
            "{name}"
        );
    }
}

/// The same for packages that lie within another.
#[test]
fn a_package_within_another_is_evaluated() {
    let policy = POLICY.replace(
        "import data.dtgate.lib",
        "import data.dtgate.lib.deep as lib",
    );
    let deep = LIBRARY.replace("dtgate.lib", "dtgate.lib.deep");
    let outer = "package dtgate.lib\n\nother if input.api == \"v1\"\n";
    let first =
        "package dtgate.first\n\nimport data.dtgate.lib\n\ndeny contains \"outer\" if lib.other\n";
    let files = [
        ("first.rego", first),
        ("lib/a.rego", outer),
        ("lib/deep.rego", deep.as_str()),
        ("p.rego", policy.as_str()),
    ];
    assert_eq!(objections(&files), ["outer", "all", "no"]);
}

/// The engine does not evaluate the package that is being evaluated, and its rules would be undefined.
#[test]
fn a_package_may_import_itself() {
    let library = LIBRARY
        .replace(
            "package dtgate.lib\n",
            "package dtgate.lib\n\nimport data.dtgate.lib\n",
        )
        .replace("wanted if _wanted", "wanted if lib._wanted");
    assert_eq!(
        objections(&[("p.rego", POLICY), ("lib.rego", &library)]),
        ["all", "no"]
    );
}

#[test]
fn a_problem_is_told_at_its_place_in_the_file() {
    let library = "package dtgate.lib\n\none := 1\n";
    let policy = "package dtgate.p\n\nimport data.dtgate.lib\n\ndeny contains \"no\" if {\n\tlib.one == 1; to_number(input.api) == lib.one\n}\n";
    let said = objections(&[("p.rego", policy), ("lib.rego", library)]);
    assert!(said[0].contains("p.rego:6:16: "), "{said:?}");
    let place = |line: &str| line.find("to_number(").unwrap() + 1;
    assert_eq!(place(policy.lines().nth(5).unwrap()), 16);
}

/// As in OPA. The engine would evaluate the whole package, and its failure deny.
#[test]
fn what_nobody_asks_for_is_not_evaluated() {
    let broken = format!("{LIBRARY}\nbroken := count(input.api) + input.token.id\n");
    let policy =
        "package dtgate.p\n\nimport data.dtgate.lib\n\ndeny contains \"no\" if not lib.wanted\n";
    assert_eq!(
        objections(&[("p.rego", policy), ("lib.rego", &broken)]),
        [""; 0]
    );
}

#[test]
fn a_package_is_no_value_for_a_rule_in_it() {
    for (body, place, package) in [
        (
            "deny contains \"x\" if count(data.dtgate) == 0",
            "3:28",
            "data.dtgate",
        ),
        (
            "deny contains \"x\" if data[input.api] == 0",
            "3:22",
            "data",
        ),
        (
            "import data.dtgate.naming\n\ndeny contains \"x\" if naming[input.api] == 0",
            "5:22",
            "data.dtgate.naming",
        ),
    ] {
        let message = format!(
            "naming.rego:{place}: this rule is in {package}, and would ask for itself (OPA: rule is recursive)"
        );
        assert_eq!(wrong(body), message, "{body}");
    }
}

/// The engine would print that it is redundant.
#[test]
fn the_import_of_the_whole_input_is_taken_out_and_nothing_moves() {
    let text = "package dtgate.p\n\nimport # für alle\n  input\nimport input.api\n\nx := `\nimport input\n`\n";
    let blank = " ".repeat(17) + "\n" + &" ".repeat(7);
    let expected = text.replacen("import # für alle\n  input", &blank, 1);
    let quiet = crate::policy::lexical::written("p.rego", text).unwrap();
    assert!(quiet.starts_with(&expected), "{quiet}");
}

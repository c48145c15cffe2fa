use std::collections::BTreeSet;
use std::time::Duration;

use crate::policy::bundle::{
    Bundle, Problem,
    tests::{directory, problems, wrong},
};
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
    assert!(said[0].contains("p.rego:6:31: "), "{said:?}");
    let place = |line: &str| line.find(".api").unwrap() + 1;
    assert_eq!(place(policy.lines().nth(5).unwrap()), 31);
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
fn only_names_of_imports_change_and_no_line_moves() {
    let text = "package dtgate.p

import data.dtgate.lib
import data.guardrails.p as settings
import input.change as asked
import data[\"odd name\"] as odd
import data[\"24\"].hours as day

deny contains lib.said if {
	# lib.comment
	some scope in lib.names[\"lib\"]
	lib.f(lib.names, settings.max)
	{\"lib\": lib.names}[scope].lib == settings[asked.name]
	every name in odd.x {
		name != \"lib.names\"
		name != day.first
		name in [lib.names | lib.wanted]
	}
}

hidden if {
	some odd, asked in [1]
	odd == asked
}
";
    let expected = text
        .replace("contains lib.said", "contains data.dtgate.lib.said")
        .replace("in lib.names[", "in data.dtgate.lib.names[")
        .replace(
            "f(lib.names, settings.max)",
            "f(data.dtgate.lib.names, data.guardrails.p.max)",
        )
        .replace(": lib.names}", ": data.dtgate.lib.names}")
        .replace(
            "settings[asked.name]",
            "data.guardrails.p[input.change.name]",
        )
        .replace(
            "[lib.names | lib.wanted]",
            "[data.dtgate.lib.names | data.dtgate.lib.wanted]",
        );
    let mut engine = regorus::Engine::new();
    engine
        .add_policy("p.rego".to_owned(), text.to_owned())
        .unwrap();
    let modules = engine.get_modules();
    let mut shifts = super::Shifts::default();
    let written = super::written_out(&modules[0], &BTreeSet::new(), &mut shifts);
    assert_eq!(written.unwrap(), expected);
    let column = |column| {
        let problem = Problem::new("p.rego", 12, column, "");
        shifts.in_file(problem).column
    };
    let (before, after) = (
        text.lines().nth(11).unwrap(),
        expected.lines().nth(11).unwrap(),
    );
    for found in ["lib.f(", "data.dtgate.lib.names", "data.guardrails", ")"] {
        let written = found
            .replace("data.dtgate.", "")
            .replace("data.guardrails", "settings");
        assert_eq!(
            column(after.find(found).unwrap() + 1),
            before.find(&written).unwrap() + 1,
            "{found}"
        );
    }
}

/// The engine knows the import in all files of the package, but it is written out only where it stands.
#[test]
fn an_import_of_another_file_is_refused() {
    let library = "package dtgate.lib\n\nwanted if input.api == \"v1\"\n";
    for rule in [
        "deny contains \"x\" if lib.wanted",
        "deny contains lib if lib := \"x\"",
        "deny contains \"x\" if input.api == \"v1\" with lib.wanted as 1",
    ] {
        let other = format!("package dtgate.p\n\n{rule}\n");
        let files = [
            ("lib.rego", library),
            (
                "p.rego",
                "package dtgate.p\n\nimport data.dtgate.lib\n\nq if lib.wanted\n",
            ),
            ("q.rego", &other),
        ];
        let said = problems(&files);
        assert!(
            said.iter()
                .any(|said| said.contains("another file of the package imports lib")),
            "{rule}: {said:?}"
        );
    }
    let own = "package dtgate.p\n\ndeny contains libs if libs := \"x\"\n";
    let files = [
        ("lib.rego", library),
        (
            "p.rego",
            "package dtgate.p\n\nimport data.dtgate.lib\n\nq if lib.wanted\n",
        ),
        ("q.rego", own),
    ];
    assert_eq!(problems(&files), [""; 0]);
}

#[test]
fn a_package_as_a_whole_is_refused() {
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
            "naming.rego:{place}: {package} is a package: name the rule that is meant, as in {package}.rule"
        );
        assert_eq!(wrong(body), message, "{body}");
    }
}

#[test]
fn a_variable_that_hides_an_import_is_refused() {
    let message = "naming.rego:5:26: settings is an import: a variable needs another name";
    let import = "import data.guardrails.naming as settings\n\n";
    let wrong = |body: &str| {
        let policy = format!("package dtgate.naming\n\n{import}{body}\n");
        let data = ("data.yaml", "guardrails: {naming: {max: 1}}\n");
        problems(&[("naming.rego", &policy), data]).join(" | ")
    };
    assert_eq!(
        wrong("deny contains \"x\" if some settings in [1]"),
        message.replace("5:26", "5:27")
    );
    assert_eq!(
        wrong("deny contains \"x\" if { settings := 1; settings == 2 }"),
        message.replace("5:26", "5:24")
    );
    assert_eq!(
        wrong("deny contains \"x\" if f(1)\n\nf(settings) if settings == 1"),
        message.replace("5:26", "7:3")
    );
    assert_eq!(wrong("deny contains \"x\" if settings.max == 1"), "");
}

/// The engine would print that it is redundant.
#[test]
fn the_import_of_the_whole_input_is_taken_out_and_nothing_moves() {
    let text = "package dtgate.p\n\nimport # für alle\n  input\nimport input.api\n\nx := `\nimport input\n`\n";
    let blank = " ".repeat(18) + "\n" + &" ".repeat(7);
    let expected = text.replacen("import # für alle\n  input", &blank, 1);
    assert_eq!(text.len(), expected.len());
    let quiet = super::without_redundant("p.rego", text.to_owned());
    assert_eq!(quiet, expected);
}

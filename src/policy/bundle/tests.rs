use std::fs;

use super::*;

/// A directory with these files in it.
pub(in super::super) fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

/// What is wrong with these files, without the name of the directory.
pub(in super::super) fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let directory = directory(files);
    let prefix = format!("{}/", directory.path().display());
    match Bundle::load(directory.path()) {
        Ok(_) => Vec::new(),
        Err(error) => error
            .problems
            .iter()
            .map(|problem| problem.to_string().replace(&prefix, ""))
            .collect(),
    }
}

fn policy(body: &str) -> String {
    format!("package dtgate.naming\n\n{body}\n")
}

/// What is wrong with one policy that consists of these lines, from line 3 on.
pub(in super::super) fn wrong(body: &str) -> String {
    problems(&[("naming.rego", &policy(body))]).join(" | ")
}

const FINE: &str =
    "package dtgate.naming\n\ndeny contains \"no\" if input.operation == \"token.delete\"\n";

#[test]
fn a_sound_directory_loads() {
    let directory = directory(&[
        ("naming.rego", FINE),
        (
            "sub/lib.rego",
            "package dtgate.lib.text\n\nshort(x) if count(x) < 3\n",
        ),
        (
            "naming_test.rego",
            "package whatever_test\n\nimport data.x\n\ntest_a if http.send({})\n",
        ),
        (
            "data.yaml",
            "modes:\n  naming: warn\nguardrails: {naming: {max: 3}}\n",
        ),
        ("guardrails/naming/data.json", r#"{"min": 1}"#),
        ("README.md", "not ours"),
        ("cases.txt", "not even JSON"),
        (".hidden.rego", "nonsense"),
        (".git/x.rego", "nonsense"),
        (".manifest", r#"{"revision": "x"}"#),
    ]);
    let bundle = Bundle::load(directory.path()).unwrap();
    assert_eq!(bundle.names().collect::<Vec<_>>(), ["naming"]);
    assert_eq!(bundle.revision().len(), 64);
}

#[test]
fn the_revision_follows_names_and_contents_but_not_tests() {
    let revision = |files: &[(&str, &str)]| Bundle::load(directory(files).path()).unwrap().revision;
    let first = revision(&[("naming.rego", FINE)]);
    assert_eq!(
        first,
        revision(&[
            ("naming.rego", FINE),
            ("naming_test.rego", "package a"),
            ("x.txt", "")
        ])
    );
    assert_ne!(first, revision(&[("other.rego", FINE)]));
    assert_ne!(first, revision(&[("naming.rego", &format!("{FINE}\n"))]));
    assert_ne!(
        first,
        revision(&[("naming.rego", FINE), ("data.json", "{}")])
    );
}

#[test]
fn all_problems_are_told_at_once_and_in_order() {
    let found = problems(&[
        ("a.rego", "package dtgate.a\n\ndeny contains \"x\" if {\n"),
        (
            "b.rego",
            "package dtgate.b\n\ndeny contains \"x\" if {\n\thttp.send({}).x\n\tinput.opration\n}\n",
        ),
        ("data.json", "{\"modes\": {\"b\": \"off\"},\n  \"x\": }"),
    ]);
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].starts_with("a.rego:"), "{found:#?}");
    assert_eq!(
        found[1],
        "b.rego:4:2: http.send may not be used: a decision may not depend on another service"
    );
    assert_eq!(
        found[2],
        "b.rego:5:8: the input document has no member input.opration: did you mean input.operation?"
    );
    assert!(
        found[3].starts_with("data.json:2:8: expected value"),
        "{found:#?}"
    );
}

#[test]
fn a_policy_that_does_not_parse_is_refused_with_its_place() {
    assert_eq!(
        wrong("deny contains \"x\" if {\n\tx := := 3\n}"),
        "naming.rego:4:7: expecting expression"
    );
}

#[test]
fn a_variable_without_a_value_is_refused() {
    let message = wrong("deny contains \"x\" if {\n\tinput.api == nothing\n}");
    assert!(message.starts_with("naming.rego:4:15: "), "{message}");
}

#[test]
fn what_is_not_a_policy_below_dtgate_is_refused() {
    for package in ["authz", "dtgate", "dtgate.a.b", "data.dtgate.a"] {
        let found = problems(&[(
            "a.rego",
            &format!("package {package}\n\ndeny contains \"x\" if true\n"),
        )]);
        assert!(
            found.len() == 1 && found[0].starts_with("a.rego:1:1: the package"),
            "{package}: {found:?}"
        );
    }
}

#[test]
fn no_policy_at_all_is_refused() {
    assert!(
        problems(&[])
            .join("")
            .ends_with(": there is no policy here: policies are files that end in .rego")
    );
    assert!(
        problems(&[("lib.rego", "package dtgate.lib\n\nx := 1\n")])
            .join("")
            .ends_with(": there is no policy here: policies are files that end in .rego")
    );
    assert!(
        Bundle::load("/does/not/exist")
            .unwrap_err()
            .to_string()
            .contains("there is no such directory of policies")
    );
}

#[test]
fn a_policy_must_define_deny_or_warn_as_a_growing_set() {
    assert_eq!(
        wrong("verdict := true"),
        "naming.rego:1:1: policy naming defines neither deny nor warn: write `deny contains \"what is wrong\" if { … }`"
    );
    for body in [
        "deny := {\"x\"}",
        "deny if true",
        "deny[x] if x := \"a\"",
        "warn[x] := 1 if x := \"a\"",
        "deny(x) := {x}",
        "default deny := false",
        "deny.a contains \"x\" if true",
    ] {
        assert!(
            wrong(body).starts_with("naming.rego:3:1: "),
            "{body}: {}",
            wrong(body)
        );
    }
}

#[test]
fn a_builtin_that_must_not_be_used_is_refused_wherever_it_stands() {
    for (body, place) in [
        ("deny contains rand.intn(\"x\", 3) if true", "3:15"),
        (
            "deny contains \"x\" if {\n\tnot http.send({\"url\": \"x\"})\n}",
            "4:6",
        ),
        (
            "deny contains \"x\" if {\n\tevery x in [1] { x == rand.intn(\"x\", 3) }\n}",
            "4:24",
        ),
        (
            "deny contains \"x\" if {\n\tcount([y | y := opa.runtime()]) > 0\n}",
            "4:18",
        ),
        (
            "deny contains \"x\" if {\n\tdata.x with data.x as uuid.rfc4122(\"k\")\n}",
            "4:24",
        ),
        (
            "deny contains \"x\" if {\n\tcount([1]) == 1 with count as http.send\n}",
            "4:32",
        ),
        (
            "deny contains \"x\" if {\n\tinput.api with http.send as {\"a\": 1}\n}",
            "4:17",
        ),
        (
            "deny contains \"x\" if true\n\ndefault f(_) := 1\n\nf(x) := io.jwt.encode_sign(x, x, x)",
            "7:9",
        ),
        (
            "deny contains \"x\" if true\n\na := 1 if false\n\nelse := crypto.x509.parse_certificates(\"x\")",
            "7:9",
        ),
        (
            "deny contains \"x\" if {\n\tinput.unknown_members[rego.metadata.rule().title]\n}",
            "4:24",
        ),
    ] {
        let message = wrong(body);
        assert!(
            message.starts_with(&format!("naming.rego:{place}: ")),
            "{body}: {message}"
        );
        assert!(message.contains("may not be used"), "{message}");
    }
}

#[test]
fn a_function_that_does_not_exist_is_refused() {
    assert_eq!(
        wrong("deny contains \"x\" if contain(input.api, \"x\")"),
        "naming.rego:3:22: there is no function contain: did you mean contains?"
    );
    assert_eq!(
        wrong("deny contains \"x\" if shrt(1)\n\nshort(x) if x < 3"),
        "naming.rego:3:22: there is no function shrt: did you mean short?"
    );
    assert_eq!(
        wrong("deny contains \"x\" if short(1, 2, 3)\n\nshort(x) if x < 3"),
        "naming.rego:3:22: short takes 1 argument, not 3"
    );
    assert!(
        wrong("deny contains \"x\" if data.dtgate.lib.short(1)")
            .contains("no function data.dtgate.lib.short")
    );
}

#[test]
fn the_name_of_a_function_cannot_be_computed_or_disguised() {
    for call in [
        "http[\"send\"]({})",
        "http[input.api].send({})",
        "http.send[input.api]({})",
    ] {
        let message = wrong(&format!("deny contains \"x\" if {call}"));
        assert!(!message.is_empty(), "{call} was let through");
    }
}

#[test]
fn a_function_of_an_imported_package_may_be_named_like_a_builtin() {
    assert!(
        problems(&[
            ("naming.rego", "package dtgate.naming\n\nimport data.dtgate.lib.http\n\ndeny contains \"x\" if http.send(1)\n"),
            ("http.rego", "package dtgate.lib.http\n\nsend(x) if x == 1\n"),
        ])
        .is_empty()
    );
}

#[test]
fn a_function_that_calls_itself_is_refused() {
    assert!(
        wrong("deny contains \"x\" if f(1)\n\nf(x) := f(x)")
            .contains("data.dtgate.naming.f calls itself")
    );
    let message =
        wrong("deny contains \"x\" if f(1)\n\nf(x) := y if y := g(x)\n\ng(x) := [y | y := f(x)]");
    assert!(
        message.contains("naming.f calls itself") && message.contains("naming.g calls itself"),
        "{message}"
    );
    assert_eq!(
        wrong("deny contains \"x\" if f(1)\n\nf(x) := g(x)\n\ng(x) := x + 1"),
        ""
    );
}

#[test]
fn a_member_of_the_input_that_does_not_exist_is_refused_through_every_spelling() {
    for (body, place) in [
        (
            "deny contains \"x\" if input[\"change\"].nam.requested",
            "3:38",
        ),
        (
            "deny contains \"x\" if some x in input.change.scopes.requestd",
            "3:52",
        ),
        (
            "deny contains x if x := {\"message\": input.time.year}",
            "3:48",
        ),
        (
            "import input.change as wish\n\ndeny contains \"x\" if wish.scope.requested",
            "5:27",
        ),
    ] {
        let message = wrong(body);
        assert!(
            message.starts_with(&format!("naming.rego:{place}: input"))
                || message.starts_with(&format!("naming.rego:{place}: the input")),
            "{body}: {message}"
        );
    }
}

#[test]
fn a_reference_to_a_rule_that_does_not_exist_is_refused() {
    let message =
        wrong("import data.dtgate.lib\n\ndeny contains \"x\" if some x in lib.asked_scopes");
    assert_eq!(
        message,
        "naming.rego:5:32: there is no rule data.dtgate.lib.asked_scopes"
    );
    assert_eq!(
        wrong(
            "deny contains \"x\" if some x in data.dtgate.naming.limits.a\n\nlimits := {\"a\": 1}"
        ),
        ""
    );
}

#[test]
fn a_mode_for_a_policy_that_does_not_exist_is_refused() {
    assert_eq!(
        problems(&[
            ("naming.rego", FINE),
            ("data.yaml", "guardrails: {}\n\nmodes:\n  namin: warn\n")
        ]),
        [
            "data.yaml:4:3: data.modes.namin names a policy that does not exist: did you mean naming?"
        ]
    );
    assert_eq!(
        problems(&[
            ("naming.rego", FINE),
            ("data.json", r#"{"modes": {"naming": {"mode": "quiet"}}}"#)
        ]),
        [r#"data.json:1:13: data.modes.naming: a mode is enforce, warn or dry_run, not "quiet""#]
    );
}

#[test]
fn data_that_contradicts_itself_is_refused() {
    let found = problems(&[
        ("naming.rego", FINE),
        ("data.yaml", "a: {b: 1}\n"),
        ("a/data.json", r#"{"b": 2}"#),
    ]);
    assert_eq!(
        found,
        ["data.yaml:1:5: data.a.b is already defined by a/data.json"]
    );
    let found = problems(&[("naming.rego", FINE), ("data.yaml", "a: 1\nb: 2\na: 3\n")]);
    assert!(found[0].contains("a is defined twice"), "{found:?}");
    let found = problems(&[
        ("naming.rego", FINE),
        ("data.json", r#"{"a": {"b": 1, "b": 2}}"#),
    ]);
    assert!(
        found[0].starts_with("data.json:1:") && found[0].ends_with("b is defined twice"),
        "{found:?}"
    );
    let found = problems(&[
        ("naming.rego", FINE),
        ("data.yaml", "dtgate:\n  naming: {}\n"),
    ]);
    assert!(
        found[0].starts_with("data.yaml:1:1: data.dtgate"),
        "{found:?}"
    );
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles_and_what_cannot_be_read_is_a_problem() {
    use std::os::unix::fs::symlink;
    let elsewhere = directory(&[("real.rego", FINE)]);
    let directory = directory(&[("..data/a.rego", "nonsense")]);
    symlink(
        elsewhere.path().join("real.rego"),
        directory.path().join("naming.rego"),
    )
    .unwrap();
    assert!(Bundle::load(directory.path()).is_ok());
    // As Kubernetes has them: a directory within the one that is swapped.
    fs::create_dir_all(directory.path().join("..data/lib")).unwrap();
    let helper = "package dtgate.lib\n\nhelps := true\n";
    fs::write(directory.path().join("..data/lib/helper.rego"), helper).unwrap();
    symlink("..data/lib", directory.path().join("lib")).unwrap();
    let uses = "package dtgate.uses\n\ndeny contains \"x\" if not data.dtgate.lib.helps\n";
    fs::write(directory.path().join("uses.rego"), uses).unwrap();
    assert!(Bundle::load(directory.path()).is_ok());
    symlink("../..", directory.path().join("..data/lib/more")).unwrap();
    symlink("/does/not/exist", directory.path().join("gone.rego")).unwrap();
    fs::write(
        directory.path().join("latin.rego"),
        b"package dtgate.x # \xe9",
    )
    .unwrap();
    let problems = Bundle::load(directory.path()).unwrap_err().problems;
    let names: Vec<_> = problems
        .iter()
        .map(|problem| problem.path.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["gone.rego", "latin.rego", "more"]);
}

#[test]
fn a_setting_of_the_lookup_that_nobody_understands_is_refused() {
    let of = |data: &str| problems(&[("naming.rego", FINE), ("data.yaml", data)]);
    assert!(of("lookup: {required: false}\n").is_empty());
    assert_eq!(
        of("lookup:\n  required: maybe\n"),
        [r#"data.yaml:2:3: data.lookup.required is true or false, not "maybe""#]
    );
    assert_eq!(
        of("lookup:\n  require: false\n"),
        ["data.yaml:2:3: data.lookup has no member require: only required"]
    );
}

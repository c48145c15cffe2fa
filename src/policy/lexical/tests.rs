mod values;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{column, written};
use crate::policy::bundle::tests::problems;

/// The text for the parser.
fn text(rego: &str) -> String {
    written("p.rego", rego).unwrap_or_else(|problem| panic!("{rego}: {problem}"))
}

/// What is refused, and where.
fn refused(rego: &str) -> String {
    match written("p.rego", rego) {
        Ok(text) => panic!("{rego} is taken: {text}"),
        Err(problem) => problem.to_string(),
    }
}

/// Without what stands behind the text.
fn code(rego: &str) -> String {
    let text = text(rego);
    text.rsplit_once("\n#")
        .map_or_else(|| text.clone(), |(code, _)| code.to_owned())
}

/// The engine's parser reads what stands in a bracket twice.
#[test]
fn brackets_within_brackets_are_bounded() {
    let nested = |open: &str, close: &str, times| {
        format!("x := {}1{}", open.repeat(times), close.repeat(times))
    };
    for (open, close) in [("[", "]"), ("{", "}"), ("{\"a\": ", "}"), ("[", "")] {
        assert!(refused(&nested(open, close, 60)).contains("too much stands in brackets"));
        assert!(refused(&nested(open, close, 13)).contains("too much stands in brackets"));
    }
    assert_eq!(text(&nested("[", "]", 12)), nested("[", "]", 12));
    let rows = format!("x := [{}]", "[[[[[[[1]]]]]]],".repeat(2000));
    assert!(refused(&rows).contains("too much stands in brackets"));
}

#[test]
fn numbers_that_would_be_others_are_refused() {
    for number in [
        "9007199254740993.0",
        "12345678901234567890.123",
        "0.1000000000000000055511151231257827",
        "0.30000000000000000001",
        "1.00000000000000000000000001",
        "123456789012345678e1",
        "1e-400",
        "4e-324",
        "1e400",
        "17976931348623159e292",
    ] {
        let said = refused(&format!("package p\n\nx := [1, -{number}]\n"));
        assert!(said.starts_with("p.rego:3:11: "), "{said}");
        assert!(said.contains(number), "{said}");
    }
    for number in [
        "1.0",
        "0.1",
        "0.10",
        "1e3",
        "1E+3",
        "1.5e-3",
        "0.0",
        "0e9",
        "1e22",
        "1e23",
        "5e-324",
        "1.7976931348623157e308",
        "0.3333333333333333",
        "9007199254740992.0",
        "123456789012345678901234567890",
    ] {
        let rego = format!("x := [1, -{number}]");
        assert_eq!(text(&rego), rego);
    }
}

#[test]
fn a_control_character_beside_an_escape_is_refused() {
    let said = refused("package p\n\nx := \"\\n\u{9}\"\n");
    assert!(said.starts_with("p.rego:3:9: "), "{said}");
    assert!(said.contains("write \\u0009"), "{said}");
}

#[test]
fn a_text_becomes_a_call() {
    for (written, expected) in [
        ("x := $\"\"", "x := dtgate_template([])"),
        (
            "x := $\"a\\{b\\\\\\n\"",
            "x := dtgate_template([\"a{b\\\\\\n\"])",
        ),
        (
            "x := $`a\\{\n{y}`",
            "x := dtgate_template([`a`, `{\n`, {dtgate_template_1 | some dtgate_condition in [0]; dtgate_template_1 := y}])",
        ),
        (
            "x := $\"{y with input as 1}!\"",
            "x := dtgate_template([{dtgate_template_1 | some dtgate_condition in [0]; dtgate_template_1 := y with input as 1}, \"!\"])",
        ),
    ] {
        assert_eq!(code(written), expected, "{written}");
    }
}

#[test]
fn keywords_are_imported_in_the_header_only() {
    let rule = "p if not input.x";
    for header in [
        "import future.keywords.not",
        "package p\nimport data.a[\"x\"].b as c\nimport future.keywords.not",
        "package p.not\nimport rego.v1\nimport rego.v2 # new",
    ] {
        let text = code(&format!("{header}\n{rule}"));
        assert!(text.contains("[] == "), "{header}: {text}");
    }
    for same in [
        format!("{rule}\nimport future.keywords.not\n"),
        format!("q if {{ import future.keywords.not }}\n{rule}"),
        format!("import future.keywords.not as x\n{rule}"),
        format!("x := `\nimport future.keywords.not\n`\n{rule}"),
        format!("import data.future.keywords.not\n{rule}"),
    ] {
        assert_eq!(text(&same), same);
    }
}

#[test]
fn a_keyword_is_a_name_where_a_reference_begins_with_it() {
    for (written, expected) in [
        ("p if not.found == 1", "p if dtgate_word_not.found == 1"),
        (
            "p if { not[\"x\"] == 1 }",
            "p if { dtgate_word_not[\"x\"] == 1 }",
        ),
        ("every.x := 1", "dtgate_word_every.x := 1"),
        (
            "default with.x(_) := 1",
            "default dtgate_word_with.x(_) := 1",
        ),
    ] {
        assert_eq!(code(written), expected, "{written}");
    }
    for same in [
        "p if input.not.in == 1",
        "p if 1 in[1, 2]",
        "p if not [1][0] == 2",
        "p if x with input as[1]",
        "p := `not.x` # not.x",
        "import data.not.x",
        "package a.not",
    ] {
        assert_eq!(text(same), same);
    }
}

/// Each was refused by OPA, too.
#[test]
fn what_opa_refuses_is_refused_at_its_place() {
    const NEW: &str = "import future.keywords\n";
    for (rego, said) in [
        ("p := $\"{}\"", "p.rego:1:9: an expression with a value"),
        (
            "p := $\"{not x}\"",
            "p.rego:1:9: an expression with a value",
        ),
        (
            "p := $\"{some x in [1]}\"",
            "p.rego:1:9: an expression with a value",
        ),
        (
            "p := $\"{x := 1}\"",
            "p.rego:1:11: nothing can be given a value",
        ),
        (
            "p := $\"{1 = 1}\"",
            "p.rego:1:11: nothing can be given a value",
        ),
        ("p := $\"{x; y}\"", "p.rego:1:10: one expression"),
        ("p := $\"{x\ny}\"", "p.rego:2:1: one expression"),
        ("p := $\"{x and y}\"", "p.rego:1:11: one expression"),
        ("p := $\"a\nb\"", "p.rego:1:6: this text has no end"),
        (
            "p := $`a{",
            "p.rego:1:6: the expression in this text has no end",
        ),
        (
            "p := $\"{(x}\"",
            "p.rego:1:9: nothing closes this ( before }",
        ),
        (
            "dtgate_template_1 := 1",
            "p.rego:1:1: names that begin with dtgate_",
        ),
    ] {
        let problem = refused(rego);
        assert!(problem.starts_with(said), "{rego}: {problem}");
    }
    for (rule, said) in [
        (
            "p if { not {1} == {2} }",
            "p.rego:2:16: the brackets before this",
        ),
        ("p if { not {} }", "p.rego:2:12: this body is empty"),
        ("p if { not }", "p.rego:2:12: a condition is missing"),
        (
            "p if { x := 1 and true }",
            "p.rego:2:10: a condition beside",
        ),
        ("p if { not x := 1 }", "p.rego:2:14: a negated condition"),
        ("p if { true and }", "p.rego:2:17: a condition is missing"),
        (
            "p if { true and {1} == {1} }",
            "p.rego:2:21: the brackets before this",
        ),
    ] {
        let problem = refused(&format!("{NEW}{rule}"));
        assert!(problem.starts_with(said), "{rule}: {problem}");
    }
}

/// The place is behind the mark.
#[test]
fn places_are_those_of_the_file() {
    for marked in [
        "deny contains $\"{input.api}\" if input.›nowhere",
        "deny contains $\"é{input.api}{input.›nowhere}\" if true",
        "deny contains $`{input.api}\n{input.›nowhere}` if true",
        "import future.keywords\ndeny contains \"x\" if not { input.api; input.›nowhere }",
        "import future.keywords\ndeny contains \"x\" if input.api and input.›nowhere or true",
        "import future.keywords\ndeny contains \"x\" if {\n\tnot input.api\n\tinput.›nowhere and true\n}",
        "deny contains $\"{input.api}\" if ›]",
        "import future.keywords\ndeny contains \"x\" if { not { input.api; ›if } }",
        "deny contains $\"{input.api}\" if ›nothing == 1",
        "deny contains $\"{input.api}\" if ›startwith(input.api, \"a\")",
    ] {
        let marked = format!("package dtgate.p\n\n{marked}\n");
        let (before, _) = marked.split_once('›').unwrap();
        let last = before.rsplit('\n').next().unwrap();
        let place = format!(
            "p.rego:{}:{}: ",
            before.matches('\n').count() + 1,
            last.chars().count() + 1
        );
        let said = problems(&[("p.rego", &marked.replace('›', ""))]);
        assert!(
            said.iter().any(|said| said.contains(&place)),
            "{marked}: {said:?}"
        );
    }
}

#[test]
fn a_variable_that_nothing_gives_a_value_is_refused() {
    const NEW: &str = "import future.keywords\n";
    for rule in [
        "deny contains \"x\" if not input.list[_] == \"a\"",
        "deny contains \"x\" if not input.list[i] == \"a\"",
        "deny contains \"x\" if input.api or input.list[_] == \"a\"",
        "deny contains $\"{input.list[_]}\" if true",
        "deny contains $\"{n}\" if true",
    ] {
        let rule = rule.replace("input.list", "input.change.scopes.requested");
        let said = problems(&[("p.rego", &format!("package dtgate.p\n{NEW}{rule}\n"))]);
        assert!(
            said.iter().any(|said| said.contains("is unsafe")),
            "{rule}: {said:?}"
        );
    }
}

/// As long as they are, and whatever is open in them.
#[test]
fn hostile_files_are_read_in_linear_time() {
    let many = 50_000;
    let mut files = Vec::new();
    for part in [
        "$\"{",
        "$`{",
        "{",
        "[",
        "(",
        "\"",
        "`",
        "$\"",
        "\\{",
        "not ",
        "not{",
        "a and ",
        "a or(",
        "not.",
        "}",
        "$\"{x}\" ",
        "#",
        "\u{0}",
        "é",
        "if ",
        "{a|",
        "x with ",
        "1e",
        "\r",
    ] {
        for before in ["", "import future.keywords\np if ", "p := $\"{"] {
            files.push(format!("{before}{}", part.repeat(many)));
            files.push(format!("{before}{}x", part.repeat(150)));
        }
    }
    let started = Instant::now();
    for file in files {
        drop(written("p.rego", &file));
    }
    // It takes a second or two; what is not linear takes hours.
    assert!(
        started.elapsed() < Duration::from_mins(2),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_place_of_a_long_file_is_found() {
    let mut rego = String::from("package p\n");
    for number in 0..1000 {
        writeln!(rego, "p{number} := [$\"{{x}}\", y{number}, $\"{{z}}\"]").unwrap();
    }
    let text = text(&rego);
    for (number, line) in text.lines().enumerate().skip(1).take(1000) {
        let name = format!("y{}", number - 1);
        let made = line.find(&name).unwrap() + 1;
        let in_file = rego.lines().nth(number).unwrap().find(&name).unwrap() + 1;
        assert_eq!(column(&text, number + 1, made), in_file, "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Pieces of Rego in any order, without what is new.
    #[test]
    fn a_text_without_it_stays_what_it_is(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "package a.not\n", "import data.in.x\n", "import rego.v1\n", "p", " if ", "{", "}", "[", "]", "(", ")",
                " := ", "not x", "some x in ", "every x in ", "`", "\"", "\\", "\n", "# not.x $\"\n", " | ", ",", ";", "1e5",
                "0.5", ".not", ".in.if", "and ", "or ", " in [", "with input as ", "é", "\t", "\r\n", "else := ", "$", "\\{",
            ]),
            0..60,
        )
    ) {
        let rego: String = pieces.concat();
        // A control character in a text is written as an escape.
        let escaped = |text: &str| text.replace('\t', "\\u0009").replace('\r', "\\u000d");
        let is_new = rego.contains("$\"") || rego.contains("$`");
        if let (false, Ok(text)) = (is_new, written("p.rego", &rego)) {
            let code = text.rsplit_once("\n#0").map_or(text.as_str(), |(code, _)| code);
            prop_assert_eq!(escaped(code), escaped(&rego));
        }
    }
}

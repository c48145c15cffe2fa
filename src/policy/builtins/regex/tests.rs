use std::time::{Duration, Instant};

use crate::policy::builtins::own;
use crate::policy::builtins::tests::opa::compare_with;
use crate::policy::builtins::tests::{assert_said, said};

use super::*;

#[test]
fn classes_are_those_of_re2() {
    assert_said(&[
        (r#"regex.match(`^\d$`, "5")"#, "true"),
        (r#"regex.match(`^\d$`, "\u0663")"#, "false"),
        (r#"regex.match(`^\w+$`, "caf\u00e9")"#, "false"),
        (r#"regex.match(`^\s$`, "\u000b")"#, "false"),
        (r#"regex.match(`^[[:space:]]$`, "\u000b")"#, "true"),
        (r#"regex.match(`^\pL+$`, "caf\u00e9")"#, "true"),
        (
            r#"regex.match(`^\p{Greek}\P{Greek}\p{^Greek}$`, "\u03b1ab")"#,
            "true",
        ),
        (r#"regex.match(`caf\b`, "caf\u00e9")"#, "true"),
        (r#"regex.match(`a\B`, "a\u00e9")"#, "false"),
        (r#"regex.split(`\B`, "\u00e9\u00e9")"#, r#"["é","é"]"#),
        (
            r#"regex.match("(?i)^STRASSE K$", "stra\u017f\u017fe \u212a")"#,
            "true",
        ),
        (r#"regex.match(`(?i)^\w\W$`, "\u212a\u017f")"#, "false"),
        (r#"regex.match("^[a&&b]$", "&")"#, "true"),
        (r#"regex.match("^[a--b]$", "a")"#, "fails"),
        (r#"regex.match("^[+--]+$", "+,-")"#, "true"),
        (r#"regex.match("^[a~~b]$", "~")"#, "true"),
        (r#"regex.match("^[[]$", "[")"#, "true"),
        (r#"regex.match("^[]a]+$", "]a")"#, "true"),
        (r#"regex.match("^[^]a]$", "\n")"#, "true"),
        (
            r#"regex.match("^[[:alpha:][:^ascii:]-]+$", "a-\u00e9")"#,
            "true",
        ),
        (r#"regex.match(`^\Qa.b\E.$`, "a.bc")"#, "true"),
        (r#"regex.match(`\Aa\z`, "a\n")"#, "false"),
        (r#"regex.match("^a$", "a\n")"#, "false"),
        (r#"regex.match("(?m)^a$", "b\na")"#, "true"),
        (r#"regex.match("^.$", "\n")"#, "false"),
        (r#"regex.match("(?s)^.$", "\n")"#, "true"),
        (
            r#"regex.match(`^\101\x41\x{1F600}\07\t$`, "AA\ud83d\ude00\u0007\t")"#,
            "true",
        ),
        (r#"regex.match("^.{1,100}$", "a")"#, "true"),
        (r#"regex.match(`^\pL{1,100}$`, "\u00e9")"#, "true"),
        (r#"regex.match("x{,2}", "x{,2}")"#, "true"),
        (r#"regex.match("^a(?i)b|c$", "C")"#, "true"),
    ]);
}

const REFUSED: &[&str] = &[
    "(",
    ")",
    "a)",
    "[",
    "[a",
    "[]",
    "[b-a]",
    "a**",
    "a*+",
    "a{2}{3}",
    "*",
    "+a",
    "?",
    "a|*",
    "(*)",
    "x{1001}",
    "(x{100}){11}",
    "x{3,2}",
    r"\8",
    r"\1",
    r"\C",
    r"\Z",
    r"\q",
    r"\",
    r"\p{Foo}",
    r"\p{IsL}",
    r"\p{gc=L}",
    r"\pX",
    "(?P<>a)",
    "(?P<n",
    "(?<a b>c)",
    "(?x)a",
    "(?R)",
    "(?=a)",
    "(?<=a)",
    "(?i-)",
    "(?",
    "[[:foo:]]",
    r"\x",
    r"\x{}",
    r"\x{110000}",
    r"\xg0",
    r"[\b]",
    r"\p{Grek}",
    "(?#c)",
];

#[test]
fn what_go_refuses_is_refused() {
    for pattern in REFUSED {
        assert!(syntax::read(pattern).is_err(), "{pattern}");
    }
    for pattern in [
        "",
        "|",
        "()",
        "a|",
        "(?i)",
        "a(?i)*",
        "^*",
        "(?P<n>a)(?P<n>b)",
        "(?<1>a)",
        "{",
        "a{",
        "a{01}",
        "]",
        "}",
        r"\_",
        r"\-",
        "[a-]",
        "[-a]",
        "[--a]",
        r"\p{letter}",
        r"\p{Any}",
        r"\p{ l_u }",
        "(?:a{0}){1000}",
        "(?-s:a)",
        r"\x{D800}",
        "(?Us)a*?",
        r"\Q",
        r"\Qa",
        r"a\Q\E*",
        "[[a]",
        "[[:a]",
    ] {
        assert!(syntax::read(pattern).is_ok(), "{pattern}");
    }
    assert_said(&[
        (r#"regex.match("(", "a")"#, "fails"),
        (r#"regex.is_valid("a**")"#, "false"),
        ("regex.is_valid(1)", "false"),
        (r"regex.is_valid(`\d`)", "true"),
    ]);
}

#[test]
fn matches_are_found_as_go_finds_them() {
    assert_said(&[
        (r#"regex.split("", "")"#, "[]"),
        (r#"regex.split("a", "")"#, r#"[""]"#),
        (r#"regex.split("", "a\u00e9b")"#, r#"["a","é","b"]"#),
        (r#"regex.split("b*", "abbc")"#, r#"["a","c"]"#),
        (r#"regex.find_n("a*", "baac", -1)"#, r#"["","aa",""]"#),
        (r#"regex.find_n("a", "aaa", 2)"#, r#"["a","a"]"#),
        (r#"regex.find_n("a", "aaa", 0)"#, "[]"),
        (
            r#"regex.find_all_string_submatch_n("(a)|(b)", "ab", -1)"#,
            r#"[["a","a",""],["b","","b"]]"#,
        ),
        (
            r#"regex.find_all_string_submatch_n("(a){0}b(c){0}", "b", -1)"#,
            r#"[["b","",""]]"#,
        ),
        (
            r#"regex.template_match("urn:foo:{.*}", "urn:foo:bar:baz", "{", "}")"#,
            "true",
        ),
        (
            r#"regex.template_match("urn:foo:{.*", "urn:foo:bar", "{", "}")"#,
            "fails",
        ),
        (r#"regex.template_match("a", "a", "{{", "}")"#, "fails"),
    ]);
}

#[test]
fn what_takes_the_place_of_a_match_is_made_as_go_makes_it() {
    assert_said(&[
        (r#"regex.replace("a b", `\s+`, "-")"#, r#""a-b""#),
        (r#"regex.replace("foo", "(o)", "[$1]")"#, r#""f[o][o]""#),
        (
            r#"regex.replace("foo", "(?P<x>f)(o)", "${x}$2$3$$ $xy ${x $")"#,
            r#""fo$  ${x $o""#,
        ),
        (r#"regex.replace("ab", "", "-")"#, r#""-a-b-""#),
        (
            r#"regex.replace("ab", "(?P<n>x)?(?P<n>a)", "<$n>")"#,
            r#""<a>b""#,
        ),
        (r#"regex.replace("a", "a", "$01 $0x ${0}")"#, r#""  a""#),
    ]);
    let many = r#"regex.replace(concat("", ["a" | some _ in numbers.range(1, 3000)]), "(.*)", concat("", ["$1" | some _ in numbers.range(1, 3000)]))"#;
    assert_eq!(said(many), "fails");
}

/// Of many patterns, or large ones, each takes a bounded part of a thread's memory, and no search one without bound.
#[test]
fn a_pattern_takes_a_bounded_part_of_the_memory() {
    for pattern in [
        r"^.{1,100}$",
        r"^[\pL\pN _-]{1,100}$",
        r"^(\pL{1,30})-(\pL{1,30})$",
        "(?i)^(dev|hardening|prod)-[a-z0-9]{1,1000}$",
    ] {
        compiled(pattern).unwrap();
        compiled_with_groups(pattern).unwrap();
    }
    for pattern in [
        r"\pL{1,1000}x".to_owned(),
        "a".repeat(300_000),
        "a?".repeat(200_000),
    ] {
        let fault = compiled(&pattern).err();
        assert!(fault.is_some(), "{}", pattern.len());
        let fault = fault.unwrap();
        assert!(fault.starts_with("the pattern is "), "{fault}");
    }
    // A search for groups has a table of all groups in each state.
    let groups = "(a)?".repeat(3000);
    compiled(&groups).unwrap();
    assert!(compiled_with_groups(&groups).is_err());
    // What a search would have to look at is bounded, too.
    let pattern = compiled(r"(?:(?:a?){30}){30}a{900}").unwrap();
    assert!(pattern.is_match(&"a".repeat(1_000_000)).is_err());
    for number in 0..100 {
        compiled(&format!(r"\pL{{1,50}}{number}")).unwrap();
        assert!(patterns::all_bytes_kept() <= 64 << 20);
    }
    assert_eq!(
        said(r#"regex.is_valid(sprintf("%0300000d", [0]))"#),
        "fails"
    );
}

#[test]
fn a_pattern_costs_a_bounded_time() {
    let started = Instant::now();
    for pattern in [
        "((a{100}){10}){1000}".to_owned(),
        r"[\pL\pN]{1000}".repeat(20),
        "(".repeat(100_000),
        format!("{}a{}", "(".repeat(240), ")".repeat(240)),
        format!("a{}", "(?i)*".repeat(100_000)),
        format!("a{}", "(?i)*".repeat(240)),
        "(?:(?:a?){30}){30}a{900}".to_owned(),
    ] {
        if let Ok(pattern) = compiled(&pattern) {
            // Whether it takes the text or refuses it.
            let _said = pattern.is_match(&"a".repeat(10_000));
        }
    }
    assert!(started.elapsed() < Duration::from_mins(1));
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_regular_expressions_are_as_in_opa() {
    compare_with(
        &["regex.is_valid", "regex.match", "regex.split"],
        |name| {
            let mut lists = vec![patterns(), texts()];
            lists.truncate(own(name).unwrap().arity.into());
            lists
        },
        |_, _| false,
    );
    compare_with(
        &["regex.find_n", "regex.find_all_string_submatch_n"],
        |_| {
            let few = texts().into_iter().step_by(3).collect();
            vec![patterns(), few, vec![(-1).into(), 2.into()]]
        },
        |_, _| false,
    );
    compare_with(
        &["regex.replace"],
        |_| {
            let into = ["", "-", "$1", "${1}x", "$x", "$$", "$", "${", "<$0>"];
            let few = texts().into_iter().step_by(6).collect();
            vec![few, patterns(), into.map(serde_json::Value::from).into()]
        },
        |_, _| false,
    );
}

fn texts() -> Vec<serde_json::Value> {
    let texts = [
        "",
        "a",
        "b",
        "ab",
        "abba",
        "aab c",
        "AB",
        "\u{e9}",
        "a\u{e9}b",
        "\u{212a}\u{17f}k",
        "\n",
        "a\nb",
        "5\u{663}",
        "[]-^&~",
        "\u{1f600}",
        "\u{3b1}\u{3a3}\u{3c2}",
        "\u{b}\t ",
        "x{,2}",
        "\u{130}\u{131}i",
        "$1",
        "a1_",
        "\u{fffd}",
        "\u{0}",
    ];
    texts.map(serde_json::Value::from).into()
}

const PARTS: [&str; 76] = [
    "a",
    "b",
    ".",
    "^",
    "$",
    "*",
    "+",
    "?",
    "*?",
    "{2}",
    "{0}",
    "{1,}",
    "{,2}",
    "{01}",
    "{1001}",
    "|",
    "(",
    ")",
    "()",
    "(a)",
    "(?P<x>b)",
    "(?<x>a)",
    "(?:",
    "(?i)",
    "(?i:k)",
    "(?s)",
    "(?m)",
    "(?U)",
    "(?-i)",
    "(?x)",
    "[",
    "]",
    "[a&&b]",
    "[a--b]",
    "[a~~b]",
    "[[]",
    "[]a]",
    "[^a]",
    "[^]a]",
    "[a-]",
    "[+--]",
    "[[:alpha:]]",
    "[[:^word:]]",
    "[[:foo:]]",
    r"\d",
    r"\D",
    r"\w",
    r"\W",
    r"\s",
    r"\S",
    r"\b",
    r"\B",
    r"[\d\W]",
    r"[^\W]",
    r"\pL",
    r"\PL",
    r"\p{Greek}",
    r"\p{^Lu}",
    r"\pN",
    r"\p{IsL}",
    r"\A",
    r"\z",
    r"\Z",
    r"\C",
    r"\Qa.\E",
    r"\Q",
    r"\x61",
    r"\x{e9}",
    r"\141",
    r"\8",
    r"\n",
    r"\_",
    r"\q",
    "\u{e9}",
    "\u{3c3}",
    "{",
];

/// Patterns made of all small parts, one, two or three of them.
fn patterns() -> Vec<serde_json::Value> {
    let mut all: Vec<String> = PARTS.map(str::to_owned).into();
    for (number, one) in PARTS.iter().enumerate() {
        // All of them are too many for one question.
        for (place, other) in PARTS.iter().enumerate().skip(number % 7).step_by(7) {
            all.push(format!("{one}{other}"));
            let third = PARTS[(number * 31 + place * 17) % PARTS.len()];
            all.push(format!("{one}{other}{third}"));
        }
    }
    all.into_iter().map(serde_json::Value::from).collect()
}

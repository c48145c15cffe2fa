use serde_json::{Value as Json, json};

use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::tests::opa::compare_with;

use super::*;

#[test]
fn globs_match_as_in_opa() {
    assert_said(&[
        (
            r#"glob.match("settings:*", [":"], "settings:objects:write")"#,
            "false",
        ),
        (
            r#"glob.match("settings:*", [":"], "settings:objects")"#,
            "true",
        ),
        (
            r#"glob.match("settings:**", [":"], "settings:objects:write")"#,
            "true",
        ),
        (r#"glob.match("*.b", [], "a.x.b")"#, "false"),
        (r#"glob.match("*.b", null, "a.x.b")"#, "true"),
        (r#"glob.match("{prod-,}token", [], "token")"#, "true"),
        (
            r#"glob.match("{prod-,{a,b}-}token", [], "b-token")"#,
            "true",
        ),
        (r#"glob.match("[^m]", [], "^")"#, "true"),
        (r#"glob.match("[^m]", [], "x")"#, "false"),
        (r#"glob.match("[!m]", [], "x")"#, "true"),
        (r#"glob.match("**/b", ["/"], "a/x/b")"#, "true"),
        (r#"glob.match("**/b", ["/"], "b")"#, "false"),
        (r#"glob.match("?", [], "\u00fc")"#, "true"),
        (r#"glob.match("?", [], ".")"#, "false"),
        (r#"glob.match("?", [], "\n")"#, "true"),
        (r#"glob.match("a,b}", [], "a,b}")"#, "true"),
        (r#"glob.match("\\*", [], "*")"#, "true"),
        (r#"glob.match("a", ["ab"], "a")"#, "fails"),
        (r#"glob.match("a", [1], "a")"#, "fails"),
        (r#"glob.match("[b-a]", [], "a")"#, "fails"),
        (
            r#"glob.quote_meta("a*b?c\\d[e]{f},!-")"#,
            r#""a\\*b\\?c\\\\d\\[e\\]\\{f\\},!-""#,
        ),
    ]);
}

#[test]
fn what_opa_refuses_is_refused() {
    for glob in [
        "{", "{a", "[", "[a", "[]", "[!]", "[z-a]", "\\", "[a-bc]", "[a-]", "[a\\",
    ] {
        assert!(fault(glob).is_some(), "{glob}");
    }
    for glob in ["", "}", ",", "{}", "{,}", "]", "[-a]", "***", "[!!]"] {
        assert_eq!(fault(glob), None, "{glob}");
    }
    assert!(fault(&"{".repeat(100_000)).is_some());
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_globs_are_as_in_opa() {
    const PARTS: [&str; 33] = [
        "a",
        "b",
        "*",
        "**",
        "?",
        "{",
        "}",
        ",",
        "{a,b}",
        "{a,}",
        "{,*b}",
        "{}",
        "{*,{b,c}}",
        "[ab]",
        "[!a]",
        "[^a]",
        "[a-c]",
        "[!a-b]",
        "[]",
        "[a",
        "[a-]",
        "[-a]",
        "\\",
        "\\*",
        "\\a",
        ".",
        "/",
        "\u{fc}",
        "[\u{fc}-\u{ff}]",
        "!",
        "-",
        "[!!]",
        "[]-a]",
    ];
    let mut globs: Vec<String> = PARTS.map(str::to_owned).into();
    for (number, one) in PARTS.iter().enumerate() {
        for (place, other) in PARTS.iter().enumerate().skip(number % 5).step_by(5) {
            globs.push(format!("{one}{other}"));
            let third = PARTS[(number * 31 + place * 17) % PARTS.len()];
            globs.push(format!("{one}{other}{third}{one}"));
        }
    }
    let globs: Vec<Json> = globs.into_iter().map(Json::from).collect();
    let separators = vec![json!(null), json!([]), json!(["/", "."]), json!(["\u{fc}"])];
    let texts = [
        "", "a", "b", "c", "ab", "abc", "a.b", "a/b", "aab", "bab", "\u{fc}", "a\u{fc}b", "*",
        "a*", "{", "}", "a,b", "^", "-", "!", "\n", "]", "[", "\\", "aabb", "a/a.b",
    ];
    let texts: Vec<Json> = texts.map(Json::from).into();
    compare_with(
        &["glob.match"],
        |_| vec![globs.clone(), separators.clone(), texts.clone()],
        |_, _| false,
    );
    compare_with(&["glob.quote_meta"], |_| vec![globs.clone()], |_, _| false);
    let hostile = vec![
        json!([""]),
        json!([1]),
        json!(["ab"]),
        json!({}),
        json!("."),
    ];
    compare_with(
        &["glob.match"],
        |_| vec![texts.clone(), hostile.clone(), texts.clone()],
        |_, _| false,
    );
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_what_globs_have_in_common_is_as_in_opa() {
    const PARTS: [&str; 21] = [
        "a", "b", ".", "a*", "b+", ".*", ".+", "[ab]", "[a-c]*", "[b-d]+", "[]", "[]+", "*", "]",
        "[a", "\\", "\\*", "[-a]", "[a-]", "[c-a]", "[\\]]",
    ];
    let mut globs: Vec<Json> = vec![json!(""), json!(1)];
    for (number, one) in PARTS.iter().enumerate() {
        globs.push((*one).into());
        for (place, other) in PARTS.iter().enumerate().step_by(2) {
            let third = PARTS[(number * 5 + place) % 10];
            globs.push(format!("{one}{other}{third}").into());
        }
    }
    compare_with(
        &["regex.globs_match"],
        |_| vec![globs.clone(), globs.clone()],
        |_, _| false,
    );
}

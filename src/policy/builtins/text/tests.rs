use crate::policy::builtins::tests::assert_said;

#[test]
fn texts_are_replaced_all_at_once() {
    assert_said(&[
        (
            r#"strings.replace_n({"a": "b", "b": "a"}, "ab")"#,
            r#""ba""#,
        ),
        (
            r#"strings.replace_n({"ab": "X", "a": "Y"}, "abc")"#,
            r#""Ybc""#,
        ),
        (
            r#"strings.replace_n({"": "-", "b": "X"}, "abc")"#,
            r#""-a-X-c-""#,
        ),
        (r#"strings.replace_n({"a": 1}, "a")"#, "fails"),
        (r#"replace("abc", "", "-")"#, r#""-a-b-c-""#),
        (r#"replace("", "", "-")"#, r#""-""#),
        (r#"replace("aaa", "aa", "b")"#, r#""ba""#),
        // Go would cut the letter in two.
        ("replace(\"\u{e4}\", \"\", \"-\")", "fails"),
    ]);
}

#[test]
fn texts_are_counted_and_found_by_characters() {
    assert_said(&[
        (r#"strings.count("aaaa", "aa")"#, "2"),
        ("strings.count(\"a\u{1f600}b\", \"\")", "4"),
        ("indexof(\"\u{1f600}\u{e4}b\", \"b\")", "2"),
        (r#"indexof("abc", "x")"#, "-1"),
        (r#"indexof("abc", "")"#, "fails"),
        (r#"indexof_n("aaa", "aa")"#, "[0,1]"),
        (r#"indexof_n("ababab", "abab")"#, "[0,2]"),
        (r#"indexof_n("abc", "")"#, "fails"),
        ("substring(\"\u{e4}\u{1f600}bc\", 1, 2)", "\"\u{1f600}b\""),
        (r#"substring("abc", 1, -1)"#, r#""bc""#),
        (r#"substring("abc", 4, 1)"#, r#""""#),
        (r#"substring("abc", -1, 1)"#, "fails"),
        (
            "trim(\"\u{e4}x\u{e4}\u{1f600}\", \"\u{1f600}\u{e4}\")",
            r#""x""#,
        ),
        ("strings.reverse(\"a\u{1f600}\")", "\"\u{1f600}a\""),
    ]);
}

#[test]
fn case_is_changed_letter_by_letter() {
    assert_said(&[
        ("lower(\"\u{391}\u{3a3}\")", "\"\u{3b1}\u{3c3}\""),
        ("upper(\"\u{df}\")", "\"\u{df}\""),
        ("lower(\"\u{130}\")", r#""i""#),
        ("upper(\"\u{1fb3}\u{fb01}\")", "\"\u{1fbc}\u{fb01}\""),
    ]);
}

#[test]
fn texts_are_taken_apart_and_put_together() {
    assert_said(&[
        (r#"split("", "")"#, "[]"),
        (r#"split("", ",")"#, r#"[""]"#),
        ("split(\"a\u{1f600}\", \"\")", "[\"a\",\"\u{1f600}\"]"),
        (r#"strings.split_n("a,b,c", ",", 2)"#, r#"["a","b"]"#),
        (r#"strings.split_n("a,b,c", ",", -2)"#, r#"["b","c"]"#),
        (r#"concat(",", {"b", "a"})"#, r#""a,b""#),
        (r#"concat(",", ["a", 1])"#, "fails"),
        (
            r#"strings.any_prefix_match(["ab", "c"], {"b", "ca", "a"})"#,
            "true",
        ),
        (r#"strings.any_suffix_match("abc", ["bc", "x"])"#, "true"),
        (r#"strings.any_prefix_match("abc", ["bc", 1])"#, "fails"),
    ]);
}

#[test]
fn no_text_grows_without_bound() {
    let long = r#"sprintf("%70000s", ["x"])"#;
    let aas = r#"replace(sprintf("%70000s", [""]), " ", "a")"#;
    let calls = [
        format!(r#"replace({aas}, "a", {long})"#),
        format!(r#"strings.replace_n({{"a": {long}}}, {aas})"#),
        format!(r#"strings.replace_n({{"": {long}}}, {aas})"#),
        r#"strings.replace_n({sprintf("%300s", ["x"]): ""}, "a")"#.to_owned(),
        format!(r#"concat({long}, split({aas}, ""))"#),
        r#"sprintf("%1000000d%1000000d%1000000d%1000000d%1000000d", [1, 2, 3, 4, 5])"#.to_owned(),
    ];
    for call in &calls {
        assert_said(&[(call, "fails")]);
    }
}

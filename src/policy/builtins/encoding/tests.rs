use serde_json::{Value as Json, json};

use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::tests::opa::compare_with;

#[test]
fn encodings_are_those_of_opa() {
    assert_said(&[
        (r#"urlquery.decode("a=1&b=%41+c")"#, r#""a=1&b=A c""#),
        (r#"urlquery.decode("%zz")"#, "fails"),
        (
            r#"urlquery.encode("a*b ~&\u00e9")"#,
            r#""a%2Ab+~%26%C3%A9""#,
        ),
        (
            r#"urlquery.decode_object("a=1&a=%41&b")"#,
            r#"{"a":["1","A"],"b":[""]}"#,
        ),
        (r#"urlquery.decode_object("a;b")"#, "fails"),
        (
            r#"urlquery.encode_object({"b": ["1", "2"], "a": "&"})"#,
            r#""a=%26&b=1&b=2""#,
        ),
        (r#"base64url.decode("ab")"#, r#""i""#),
        (r#"base64.decode("YW\nI=")"#, r#""ab""#),
        (r#"base64.decode("YQ==YQ==")"#, "fails"),
        ("base64.is_valid([])", "false"),
        (r#"yaml.is_valid("a: 1\n---\nb: 2")"#, "true"),
        (r#"yaml.unmarshal("a: 1\n---\nb: 2")"#, r#"{"a":1}"#),
        ("yaml.is_valid(1)", "false"),
        (r#"yaml.is_valid("a: [")"#, "false"),
        (r#"yaml.is_valid("a: 1\n---\nb: [")"#, "false"),
    ]);
}

#[test]
fn yaml_is_not_read_where_go_could_read_it_differently() {
    assert_said(&[
        (r#"yaml.unmarshal("a: 010")"#, "fails"),
        (r#"yaml.unmarshal("[-010]")"#, "fails"),
        (r#"yaml.unmarshal("a: '010'")"#, r#"{"a":"010"}"#),
        (r#"yaml.unmarshal("a: \"010\"")"#, r#"{"a":"010"}"#),
        (r#"yaml.unmarshal("a: 1_000")"#, "fails"),
        (r#"yaml.unmarshal("a: 1_0.5e3")"#, "fails"),
        (r#"yaml.unmarshal("a: 0X1f")"#, "fails"),
        (r#"yaml.unmarshal("1_000: a")"#, "fails"),
        (r#"yaml.unmarshal("a: 18446744073709551616")"#, "fails"),
        (r#"yaml.unmarshal("1: a")"#, "fails"),
        (r#"yaml.unmarshal("true: a")"#, "fails"),
        (r#"yaml.is_valid("null: 1")"#, "fails"),
        (r#"yaml.is_valid("[a, [b]]: c")"#, "fails"),
        (r#"yaml.unmarshal("<<: {a: 1}")"#, "fails"),
        (r#"yaml.unmarshal("a: !foo 1")"#, "fails"),
        (r#"yaml.is_valid("!!binary aGk=")"#, "fails"),
        (r#"yaml.is_valid("- &x !foo [1]")"#, "fails"),
        (r#"yaml.is_valid("\"\\/\"")"#, "fails"),
        (
            r#"yaml.unmarshal("a: 2026-01-02\nb: v1_0\nc: 10.0.0.1\nd: yes\ne: wow!")"#,
            r#"{"a":"2026-01-02","b":"v1_0","c":"10.0.0.1","d":"yes","e":"wow!"}"#,
        ),
        (
            r#"yaml.unmarshal("{a: 0x1f, b: [0o17, -1.5], c: &x 1, d: *x, a: 2}")"#,
            r#"{"a":2,"b":[15,-1.5],"c":1,"d":1}"#,
        ),
    ]);
}

const TEXTS: &[&str] = &[
    "",
    "a",
    "YWI=",
    "YWI",
    "YQ==",
    "YQ=",
    "YQ",
    "YR==",
    "Y===",
    "====",
    "YQ==YQ==",
    "YW\r\nI=",
    "YWI=\n",
    "_-8=",
    "+/8=",
    "zz",
    "616",
    "a=1&b=2",
    "a=1&a=%41",
    "%zz",
    "%",
    "%4",
    "a;b",
    "a+b",
    "a%20b",
    "&&",
    "=",
    "=x",
    "a=b=c",
    "%ff",
    "%c3%a9",
    "\u{e9}",
    "a*b~-_.!'()",
    " /?#[]@:$,",
    "a: 1\n---\nb: 2",
    "\u{0}\n",
    "f81d4fae-7dec",
    "Infinity",
    "/w==",
    "4pg=",
];

#[test]
#[ignore = "needs OPA"]
fn needs_opa_encodings_are_as_in_opa() {
    let mut texts: Vec<Json> = TEXTS.iter().map(|text| Json::from(*text)).collect();
    texts.extend([
        json!(null),
        json!(1),
        json!([]),
        json!({}),
        json!({"a": "b c", "&": ["1", "2"], "\u{e9}": []}),
        json!({"a": 1}),
        json!({"a": [1]}),
        json!({"a": null}),
    ]);
    compare_with(
        &[
            "base64.decode",
            "base64.is_valid",
            "base64url.decode",
            "urlquery.decode",
            "urlquery.decode_object",
            "urlquery.encode",
            "urlquery.encode_object",
        ],
        |_| vec![texts.clone()],
        |_, _| false,
    );
    let documents = [
        "",
        "a: 1",
        "a: 1\n---\nb: 2",
        "- 1\n- x",
        "a: &x 1\nb: *x",
        "b: *x",
        "a: [",
        "{a: [}",
        "a: yes",
        "# c",
        "---",
        "x",
        "1",
        "a: 0.5",
        "a:\n  b: null",
        "\t",
        "a: 1\n---\n\tb: 2",
        "a: 1\n---\nb: [",
        "a: 1\n---\nb: 1\nb: 2",
        "a: 1\n---\nb: *x",
        "foo\ntest1: hello",
        "---\n---\n",
        "a: 1\n...\nb: 2",
        "a: 1\na: 2",
    ];
    let mut documents: Vec<Json> = documents.map(Json::from).into();
    documents.extend([json!(null), json!(1)]);
    compare_with(
        &["yaml.is_valid", "yaml.unmarshal"],
        |_| vec![documents.clone()],
        |_, _| false,
    );
}

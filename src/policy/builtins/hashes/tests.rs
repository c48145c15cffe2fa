use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::tests::opa::compare_with;
use serde_json::Value as Json;

#[test]
fn hashes_are_those_of_opa() {
    assert_said(&[
        (
            r#"crypto.md5("a")"#,
            r#""0cc175b9c0f1b6a831c399e269772661""#,
        ),
        (
            r#"crypto.sha1("a")"#,
            r#""86f7e437faa5a7fce15d1ddcb9eaeaea377667b8""#,
        ),
        (
            r#"crypto.sha256("")"#,
            r#""e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855""#,
        ),
        (r#"crypto.hmac.equal("a", "a")"#, "true"),
        (r#"crypto.hmac.equal("a", "b")"#, "false"),
        ("crypto.sha256(1)", "fails"),
    ]);
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_hashes_are_as_in_opa() {
    let long = "k".repeat(200);
    let texts: Vec<Json> = vec![
        "".into(),
        "a".into(),
        "\u{e9}\u{0}".into(),
        long.into(),
        Json::Null,
        1.into(),
    ];
    compare_with(
        &[
            "crypto.md5",
            "crypto.sha1",
            "crypto.sha256",
            "crypto.hmac.md5",
            "crypto.hmac.sha1",
            "crypto.hmac.sha256",
            "crypto.hmac.sha512",
            "crypto.hmac.equal",
        ],
        |name| vec![texts.clone(); if name.contains("hmac") { 2 } else { 1 }],
        |_, _| false,
    );
}

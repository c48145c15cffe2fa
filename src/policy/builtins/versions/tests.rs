use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::tests::opa::compare_with;
use serde_json::Value as Json;

#[test]
fn versions_are_those_of_opa() {
    assert_said(&[
        (r#"semver.is_valid("v1.2.3")"#, "true"),
        (r#"semver.is_valid("1.2")"#, "false"),
        ("semver.is_valid(1)", "false"),
        (r#"semver.compare("1.2.3-rc.2", "1.2.3-rc.10")"#, "-1"),
        (r#"semver.compare("1.2.3", "v1.2.3-rc")"#, "1"),
        (r#"semver.compare("1.2.3+a", "1.2.3+b")"#, "0"),
        (r#"semver.compare("1", "1.2.3")"#, "fails"),
    ]);
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_versions_are_as_in_opa() {
    let versions = [
        "",
        "1",
        "1.2",
        "1.2.3",
        "v1.2.3",
        "vv1.2.3",
        "1.2.3.4",
        "01.2.3",
        "1.02.3",
        "1.2.3-",
        "1.2.3-a",
        "1.2.3-a.b",
        "1.2.3-a.1",
        "1.2.3-1",
        "1.2.3-01",
        "1.2.3-0a",
        "1.2.3-a..b",
        "1.2.3+",
        "1.2.3+a",
        "1.2.3+01",
        "1.2.3-a+b",
        "1.2.3-a+b-c",
        "1.2.3+a-b",
        "9223372036854775807.0.0",
        "9223372036854775808.0.0",
        "1.2.3-9223372036854775807",
        "1.2.3-\u{e9}",
        "+1.2.3",
        "-1.2.3",
        " 1.2.3",
        "1.2.3-a.b.c",
        "1.2.3-A",
        "1.2.3--",
        "1.2.3-1.a",
        "1.2.3-10",
        "1.2.3-2",
        "1.10.0",
        "1.9.0",
        "0.0.0",
    ];
    let mut versions: Vec<Json> = versions.map(Json::from).into();
    versions.extend([Json::Null, 1.into()]);
    compare_with(
        &["semver.is_valid", "semver.compare"],
        |name| vec![versions.clone(); if name == "semver.compare" { 2 } else { 1 }],
        |_, _| false,
    );
}

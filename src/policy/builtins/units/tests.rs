use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::tests::opa::compare_with;
use serde_json::Value as Json;

#[test]
fn amounts_are_those_of_opa() {
    assert_said(&[
        (r#"units.parse("10Ki")"#, "10240"),
        (r#"units.parse("1.5M")"#, "1500000"),
        (r#"units.parse("1m")"#, "0.001"),
        (r#"units.parse("10e10000000Ei")"#, "fails"),
        (r#"units.parse("10 M")"#, "fails"),
        (r#"units.parse("10Q")"#, "fails"),
        (r#"units.parse_bytes("10MB")"#, "10000000"),
        (r#"units.parse_bytes("1.1KB")"#, "1100"),
        (r#"units.parse_bytes("\"1kib\"")"#, "1024"),
        (r#"units.parse_bytes("B")"#, "fails"),
    ]);
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_amounts_are_as_in_opa() {
    const AMOUNTS: [&str; 29] = [
        "",
        "0",
        "1",
        "10",
        "1.5",
        ".5",
        "5.",
        "-1",
        "+1",
        "1e3",
        "1E3",
        "1e-3",
        "1e+2",
        "1e",
        "1.1",
        "0.1",
        "3.3333333333333333333333",
        "1.2.3",
        "1+1",
        "--1",
        "1e3e3",
        "\"1\"",
        " 1",
        "99999999999999999999",
        "0.00000000001",
        "1e400",
        "-0.5",
        "01",
        "1_0",
    ];
    const UNITS: [&str; 34] = [
        "", "m", "M", "k", "K", "ki", "Ki", "KI", "kI", "mi", "Mi", "g", "G", "Gi", "gib", "GB",
        "b", "B", "kb", "KiB", "t", "Ti", "p", "Pi", "e", "E", "Ei", "ei", "EB", "q", "ib",
        "\u{b5}", "i", " k",
    ];
    let all = AMOUNTS.iter().flat_map(|amount| {
        UNITS
            .iter()
            .map(move |unit| Json::from(format!("{amount}{unit}")))
    });
    let mut all: Vec<Json> = all.collect();
    all.extend([Json::Null, 1.into()]);
    compare_with(
        &["units.parse", "units.parse_bytes"],
        |_| vec![all.clone()],
        |_, _| false,
    );
}

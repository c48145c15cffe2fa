use regorus::Value;
use serde_json::{Value as Json, json};

use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::tests::opa::compare_with;

#[test]
fn uuids_are_read_as_in_opa() {
    assert_said(&[
        (
            r#"uuid.parse("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")"#,
            r#"{"clocksequence":10085,"macvariables":"global:unicast","nodeid":"00-a0-c9-1e-6b-f6","time":854991792216875000,"variant":"RFC4122","version":1}"#,
        ),
        (
            r#"uuid.parse("{000003e8-7dec-21d0-a702-03a0c91e6bf6}")"#,
            r#"{"clocksequence":9986,"domain":"Org","id":1000,"macvariables":"local:multicast","nodeid":"03-a0-c9-1e-6b-f6","time":854991375949924000,"variant":"RFC4122","version":2}"#,
        ),
        (
            r#"uuid.parse("URN:UUID:00000000-0000-4000-c000-000000000000")"#,
            r#"{"variant":"Microsoft","version":4}"#,
        ),
        (
            r#"uuid.parse("00000000000000000000000000000000").variant"#,
            r#""Reserved""#,
        ),
        (
            r#"uuid.parse("00000000-0000-0000-0000-00000000000x")"#,
            "undefined",
        ),
        (
            r#"uuid.parse("0000000-00000-0000-0000-000000000000")"#,
            "undefined",
        ),
        ("uuid.parse(1)", "fails"),
    ]);
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_uuids_are_as_in_opa() {
    let mut texts = vec![json!(1), json!(null), json!(["x"]), json!("")];
    for version in 0..=15 {
        for clock in ["00", "7f", "8d", "c3", "e1", "ff"] {
            for node in ["00", "01", "02", "03", "ff", "zz", "\u{e4}"] {
                let text = format!("ffffff10-7dec-{version:x}fff-{clock}02-{node}a0c91e6bf6");
                let plain = text.replace('-', "");
                let forms = [
                    text.to_uppercase(),
                    format!("[{text}]"),
                    format!("uRn:uUid:{text}"),
                    format!("uri:uuid:{text}"),
                    plain,
                ];
                texts.extend(forms.map(Json::from));
                texts.push(text.into());
            }
        }
    }
    compare_with(
        &["uuid.parse"],
        |_| vec![texts.clone()],
        |_, given| matches!(given, [Value::String(_)]),
    );
}

use serde_json::json;

use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::tests::opa::compare_with;

#[test]
fn parts_of_objects_are_those_of_opa() {
    assert_said(&[
        (
            r#"json.filter({"a": {"b": 1, "c": [1, 2]}}, ["/a/b", "a/c/0"])"#,
            r#"{"a":{"b":1,"c":[1]}}"#,
        ),
        (
            r#"json.remove({"a": {"b": 1, "c": [1, 2]}}, ["/a/b", "a/c/0"])"#,
            r#"{"a":{"c":[2]}}"#,
        ),
        (r#"json.filter({"a": null}, ["a/b"])"#, r#"{"a":null}"#),
        (r#"json.remove({"a": null}, {"a/b"})"#, r#"{"a":null}"#),
        (
            r#"json.remove({"a/b": 1, "c~": 2}, ["a~1b", ["c~"]])"#,
            "{}",
        ),
        (r#"json.remove({"a": {1, 2}}, [["a", 1]])"#, r#"{"a":[2]}"#),
        (r#"json.filter({"a": 1}, "a")"#, "fails"),
        (r#"json.filter([1], ["0"])"#, "fails"),
    ]);
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_parts_of_objects_are_as_in_opa() {
    let objects = vec![
        json!({}),
        json!({"a": null}),
        json!({"a": {"b": 1, "c": [1, {"d": 2}, 3]}, "x": "y"}),
        json!({"a": [[1, 2], {"b": 3}]}),
        json!({"": {"": 1}}),
        json!({"a/b": 1, "c~": {"~1": 2}}),
        json!([1]),
        json!(null),
        json!({"a": 1, "b": 2}),
    ];
    let paths = vec![
        json!([]),
        json!([""]),
        json!(["/"]),
        json!(["a"]),
        json!(["/a"]),
        json!(["//a/b"]),
        json!(["a/b", "a"]),
        json!(["a", "a/b"]),
        json!(["a/c/1/d"]),
        json!(["a/c/1", "a/c/0"]),
        json!([["a", "c", 1]]),
        json!([["a", "c", "1"]]),
        json!([[]]),
        json!(["a/0/1", "a/1/b"]),
        json!(["a~1b", "c~0/~01"]),
        json!(["a/"]),
        json!(["x/y/z"]),
        json!([1]),
        json!("a"),
        json!(null),
        json!({}),
        json!(["b", "zz"]),
    ];
    compare_with(
        &["json.filter", "json.remove"],
        |_| vec![objects.clone(), paths.clone()],
        |_, _| false,
    );
}

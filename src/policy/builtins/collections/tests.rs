use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::tests::opa::compare_with;
use serde_json::json;

#[test]
fn objects_are_united_as_in_opa() {
    assert_said(&[
        ("object.union_n([])", "{}"),
        (
            r#"object.union_n([{"a": {"b": 2}}, {"a": 4}, {"a": {"c": 3}}])"#,
            r#"{"a":{"c":3}}"#,
        ),
        (
            r#"object.union_n([{"a": {"b": 1, "c": {"x": 1}}}, {"a": {"c": {"y": 2}}, "d": 1}, {"d": {}}])"#,
            r#"{"a":{"b":1,"c":{"x":1,"y":2}},"d":{}}"#,
        ),
        ("object.union_n([{}, 1])", "fails"),
        ("object.union_n({})", "fails"),
        // The engine's own needs minutes.
        (
            "count(object.union_n([{i: i} | some i in numbers.range(1, 50000)]))",
            "50000",
        ),
    ]);
}

#[test]
fn lists_sets_and_objects_are_as_in_opa() {
    assert_said(&[
        (r#"count("a\ud83d\ude00b")"#, "3"),
        ("count(1)", "fails"),
        ("array.concat([1, 2], [[3]])", "[1,2,[3]]"),
        ("array.concat([], [])", "[]"),
        ("array.concat({1}, [])", "fails"),
        (
            "count([y | x := numbers.range(1, 100000); a := array.concat(x, x); b := array.concat(a, a); \
             c := array.concat(b, b); d := array.concat(c, c); y := count(d)])",
            "fails",
        ),
        ("count({1, 2})", "2"),
        (r#"object.subset(["a"], [])"#, "true"),
        (r#"object.subset([], ["a"])"#, "false"),
        ("object.subset([1, 1, 2], [1, 2])", "true"),
        (
            r#"object.subset({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}})"#,
            "true",
        ),
        (r#"object.subset({"a": [1, 2]}, {"a": [2]})"#, "true"),
        (r#"object.subset(["a", "b"], {"b"})"#, "true"),
        ("object.subset([], set())", "false"),
        ("object.subset(1, 1)", "fails"),
        ("array.flatten([1, [2, [3]], {4}])", "[1,2,[3],[4]]"),
        ("array.slice([1, 2, 3], -5, 9223372036854775807)", "[1,2,3]"),
        ("array.slice([1, 2, 3], 2, 1)", "[]"),
        ("array.slice([1, 2, 3], 1.5, 2)", "fails"),
        ("sum([9223372036854775807, 1])", "9223372036854775808"),
        ("sum([])", "0"),
        ("product({2, 3})", "6"),
        ("product([0.1, 3])", "0.30000000000000004"),
        ("sum([0.1, 0.2])", "0.3"),
        (r#"sum(["1"])"#, "fails"),
    ]);
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_lists_are_as_in_opa() {
    let values = vec![
        json!([]),
        json!({}),
        json!(null),
        json!("a\u{1f600}b"),
        json!(1),
        json!([1, 2, 3]),
        json!([1, 1, 2]),
        json!([1, 2]),
        json!([2]),
        json!([[1], [2, [3]], 4]),
        json!({"a": 1}),
        json!({"a": 1, "b": {"c": [1, 2], "d": 3}}),
        json!({"b": {"c": [1]}}),
        json!({"b": {"c": [1, 2]}}),
        json!([0.1, 0.2]),
        json!([1.5, 2]),
        json!([1e300, 1e300]),
        json!([i64::MAX, 1]),
        json!([u64::MAX, u64::MAX]),
        json!(["1"]),
        json!([null]),
        json!([0.1, 0.2, 0.3, -0.6]),
        json!([1, 1, 1, 2]),
        json!([1, 2, 1, 1]),
        json!([-3, 0.5]),
        json!([0.1, 3]),
        json!([0.1, 0.2, 0.3]),
        json!([1.1, 1.1, 1e30]),
    ];
    let places = vec![
        json!(0),
        json!(1),
        json!(-1),
        json!(2),
        json!(5),
        json!(i64::MAX),
        json!(1.5),
        json!("1"),
        json!(null),
    ];
    compare_with(
        &[
            "count",
            "object.subset",
            "array.flatten",
            "array.slice",
            "sum",
            "product",
        ],
        |name| match name {
            "object.subset" => vec![values.clone(), values.clone()],
            "array.slice" => vec![values.clone(), places.clone(), places.clone()],
            _ => vec![values.clone()],
        },
        |_, _| false,
    );
}

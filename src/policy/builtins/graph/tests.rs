use serde_json::json;

use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::tests::opa::compare_with;

#[test]
fn paths_are_as_in_opa() {
    assert_said(&[
        (
            r#"graph.reachable_paths({"a": ["b", "c"], "b": [], "c": ["a", "x"]}, ["a"])"#,
            r#"[["a","b"],["a","c"]]"#,
        ),
        (
            r#"graph.reachable_paths({"a": ["a"]}, {"a"})"#,
            r#"[["a"]]"#,
        ),
        (r#"graph.reachable_paths({"a": "b"}, ["a"])"#, r#"[["a"]]"#),
        (r#"graph.reachable_paths({"a": [""]}, ["a"])"#, r#"[["a"]]"#),
        (r#"graph.reachable_paths({"a": []}, ["x"])"#, "[]"),
        ("graph.reachable_paths([], [])", "fails"),
        ("graph.reachable_paths({}, {})", "fails"),
    ]);
}

#[test]
fn a_graph_costs_a_bounded_time() {
    let dense = "{i: s | some i in numbers.range(1, 50); s := numbers.range(i + 1, 50)}";
    let long = "{i: [i + 1] | some i in numbers.range(1, 5000)}";
    assert_said(&[
        (&format!("graph.reachable_paths({dense}, [1])"), "fails"),
        (&format!("graph.reachable_paths({long}, [1])"), "fails"),
    ]);
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_paths_are_as_in_opa() {
    let graphs = vec![
        json!({"a": ["b", "c"], "b": ["a"], "c": ["", "x", "c"]}),
        json!({"a": ["b", "b"], "b": [], "": ["a"]}),
        json!({"a": "b", "b": null, "c": {"d": 1}}),
        json!({}),
        json!([]),
        json!(1),
    ];
    let starts = vec![
        json!(["a"]),
        json!(["a", "b", "x", ""]),
        json!([]),
        json!({}),
        json!("a"),
    ];
    compare_with(
        &["graph.reachable_paths"],
        |_| vec![graphs.clone(), starts.clone()],
        |_, _| false,
    );
}

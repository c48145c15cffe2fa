use regorus::Value;
use serde_json::json;

use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::tests::opa::compare_with;
use crate::policy::builtins::{Arguments, own};

#[test]
fn patches_are_applied_as_in_opa() {
    assert_said(&[
        (
            r#"json.patch({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}, {"op": "copy", "from": "a", "path": ["b"]}])"#,
            r#"{"a":[1,2],"b":[1,2]}"#,
        ),
        (
            r#"json.patch({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c~1d"}, {"op": "remove", "path": "a"}])"#,
            r#"{"c/d":1}"#,
        ),
        (
            r#"json.patch({{1}, {2}}, [{"op": "add", "path": [{1}, 3], "value": 3}, {"op": "remove", "path": [{1, 3}]}])"#,
            "[[2]]",
        ),
        (
            r#"json.patch(1, [{"op": "replace", "path": "", "value": 2}])"#,
            "2",
        ),
        (
            r#"json.patch([1], [{"op": "test", "path": "/0", "value": 1}])"#,
            "[1]",
        ),
        (
            r#"json.patch([1], [{"op": "test", "path": "/0", "value": 2}])"#,
            "fails",
        ),
        (
            r#"json.patch([1], [{"op": "remove", "path": "/01"}])"#,
            "fails",
        ),
        (r#"json.patch({}, [{"op": "remove", "path": ""}])"#, "fails"),
        (
            r#"json.patch({}, [{"op": "add", "path": "/x/y", "value": 1}])"#,
            "fails",
        ),
        (r#"json.patch({}, {"op": "add"})"#, "fails"),
        // It is OPA that takes the list's second member here, though it is the third by now.
        (
            r#"json.patch([{"a": 1}, {"b": 2}], [{"op": "add", "path": "/0", "value": 9}, {"op": "add", "path": "/1/x", "value": 3}])"#,
            r#"[9,{"b":2,"x":3},{"b":2}]"#,
        ),
    ]);
}

#[test]
fn a_patch_that_grows_without_end_fails() {
    let copy = json!({"op": "copy", "from": "/a", "path": "/a/-"});
    let deepen = [
        json!({"op": "copy", "from": "/a", "path": "/b"}),
        json!({"op": "add", "path": "/a", "value": {}}),
        json!({"op": "move", "from": "/b", "path": "/a/a"}),
    ];
    let deepen = deepen.iter().cycle().take(6000).cloned().collect();
    for operations in [vec![copy; 60], deepen] {
        let given = [json!({"a": [1]}), json!(operations)];
        let given = given.map(|it| Value::from_json_str(&it.to_string()).unwrap());
        let answer = (own("json.patch").unwrap().call)(Arguments::new(&given));
        assert!(answer.is_err(), "{answer:?}");
    }
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_patches_are_as_in_opa() {
    let sources = [
        json!({"a": 1}),
        json!({"a": {"b": [1, {"c": null}]}, "": 2, "a/b": 3, "0": [[], [[1]]]}),
        json!([{"a": 1}, {"b": 2}, [3, 4]]),
        json!(["x"]),
        json!([]),
        json!("x"),
        json!(null),
    ];
    let paths = [
        json!("/a"),
        json!("a/b/-"),
        json!("/a/b/1/c"),
        json!(["a", "b", 1]),
        json!(["a", "b", 1.0]),
        json!("/0"),
        json!("/1"),
        json!("/-"),
        json!("/+1"),
        json!("/-1"),
        json!("/1.0"),
        json!("/01"),
        json!("/1e0"),
        json!("/."),
        json!("/0/x"),
        json!("/2/0"),
        json!("/a~1b"),
        json!("//"),
        json!("/"),
        json!(["", 1, null]),
        json!(7),
        json!(null),
    ];
    let mut operations = vec![
        json!({"op": "nope", "path": "a"}),
        json!(1),
        json!({"op": 1, "path": "a"}),
    ];
    for path in &paths {
        operations.extend([
            json!({"op": "add", "path": path, "value": {"n": [1]}}),
            json!({"op": "add", "path": path}),
            json!({"op": "remove", "path": path}),
            json!({"op": "replace", "path": path, "value": null}),
            json!({"op": "test", "path": path, "value": 1}),
            json!({"op": "copy", "from": path, "path": "/z"}),
            json!({"op": "move", "from": path, "path": "/1"}),
            json!({"op": "move", "from": "/a", "path": path}),
        ]);
    }
    // Two of them behind one another.
    let pairs = operations.iter().enumerate().flat_map(|(place, one)| {
        let others = operations.iter().skip(place % 7).step_by(11);
        others.map(move |other| json!([one, other]))
    });
    let patches: Vec<_> = pairs
        .chain(operations.iter().map(|one| json!([one])))
        .chain([json!({}), json!("x"), json!([])])
        .collect();
    compare_with(
        &["json.patch"],
        |_| vec![sources.to_vec(), patches.clone()],
        |_, _| false,
    );
}

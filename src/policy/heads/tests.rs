use crate::policy::bundle::{Bundle, tests::directory};

/// The places of the heads that are refused in a policy that ends with these rules.
fn refused(rules: &str) -> Vec<String> {
    let policy = format!("package dtgate.p\n\nimport data.dtgate.lib\n\n{rules}\n");
    let library =
        "package dtgate.lib\n\nnote(x) := data.reasons[x]\n\nscopes := input.change.scopes.added\n";
    let data = ("data.yaml", "reasons: {WriteConfig: no}\n");
    let directory = directory(&[("p.rego", &policy), ("lib.rego", library), data]);
    match Bundle::load(directory.path()) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let problems = error.problems.iter().map(|problem| {
                let (place, message) = (problem.line - 4, &problem.message);
                assert!(message.contains("engine would then forget"), "{message}");
                format!("{place}:{}", problem.column)
            });
            problems.collect()
        }
    }
}

/// Why this file is there. When this fails the engine was mended, and the file can go.
#[test]
fn the_engine_forgets_what_it_found_when_the_last_is_undefined() {
    let said = |scopes: &str| {
        let mut engine = regorus::Engine::new();
        let policy = "package p\n\ndeny contains data.reasons[scope] if some scope in input.scopes";
        engine
            .add_policy("p.rego".to_owned(), policy.to_owned())
            .unwrap();
        engine
            .add_data_json(r#"{"reasons": {"WriteConfig": "no"}}"#)
            .unwrap();
        engine
            .set_input_json(&format!("{{\"scopes\": {scopes}}}"))
            .unwrap();
        engine
            .eval_rule("data.p.deny".to_owned())
            .map(|said| said.to_string())
    };
    assert_eq!(said(r#"["WriteConfig"]"#).unwrap(), r#"["no"]"#);
    assert_eq!(said(r#"["WriteConfig", "metrics.read"]"#).unwrap(), "[]");
    assert!(said(r#"["metrics.read", "WriteConfig"]"#).is_err());
}

#[test]
fn a_head_that_may_be_undefined_for_one_of_several_is_refused() {
    let many = "some scope in input.change.scopes.added";
    for (rules, place) in [
        (format!("deny contains data.reasons[scope] if {many}"), "1:15"),
        (format!("deny contains lib.note(scope) if {many}"), "1:15"),
        (format!("deny contains concat(\"\", [\"a\", data.reasons[scope]]) if {many}"), "1:32"),
        (format!("deny contains {{\"message\": data.reasons[scope]}} if {many}"), "1:27"),
        (format!("deny contains {{data.reasons[scope]: \"no\"}} if {many}"), "1:16"),
        (format!("deny contains max([s | s := 1; scope == \"b\"]) if {many}"), "1:15"),
        ("deny contains input.unknown_members.list[_].name".to_owned(), "1:15"),
        ("deny contains data.reasons[input.change.scopes.added[i]] if i > 1".to_owned(), "1:15"),
        (
            format!("deny contains sprintf(\"%s\", [x.y]) if {{\n\t{many}\n\tx := input.unknown_members[scope]\n}}"),
            "1:30",
        ),
        (
            format!("deny contains \"no\" if _reason\n\n_reason := data.reasons[scope] if {many}"),
            "3:12",
        ),
        (
            format!("deny contains \"no\" if _reasons.a\n\n_reasons[scope] := data.reasons[scope] if {many}"),
            "3:20",
        ),
        (
            format!("deny contains \"no\" if _reasons.a\n\n_reasons[data.reasons[scope]] := 1 if {many}"),
            "3:10",
        ),
        (
            format!("deny contains \"no\" if _f(1)\n\n_f(x) := data.reasons[scope] if {many}"),
            "3:10",
        ),
        (
            format!(
                "deny contains \"no\" if _f(1)\n\n_f(x) := 1 if {{\n\tx == 2\n}} else := data.reasons[scope] if {many}"
            ),
            "5:11",
        ),
        // A name of the body hides the rule of that name.
        (
            format!("scope := {{\"a\": 1}}\n\ndeny contains scope.a if {many}"),
            "3:15",
        ),
        (
            "deny contains data.reasons[key] if {\n\twalk(input.unknown_members, [path, value])\n\tkey := path[0]\n}".to_owned(),
            "1:15",
        ),
    ] {
        assert_eq!(refused(&rules), [place], "{rules}");
    }
}

#[test]
fn heads_that_are_always_there_are_fine() {
    let many = "some scope in input.change.scopes.added";
    for rules in [
        format!("deny contains scope if {many}"),
        format!("deny contains reason if {{\n\t{many}\n\treason := data.reasons[scope]\n}}"),
        format!("deny contains sprintf(\"%s: %d\", [scope, count(lower(scope))]) if {many}"),
        format!(
            "deny contains {{\"message\": scope, \"path\": concat(\".\", [\"a\", scope])}} if {many}"
        ),
        // The same for all of them: there for each, or for none.
        format!("deny contains sprintf(\"%s %s\", [scope, input.caller.token.id]) if {many}"),
        format!("deny contains lib.note(\"WriteConfig\") if {many}"),
        format!("deny contains lib.scopes if {many}"),
        // Nothing to forget.
        "deny contains data.reasons[name] if name := input.change.name.requested".to_owned(),
        "deny contains \"no\" if count(_all) > 0\n\n_all := {s: data.reasons[s] | some s in input.change.scopes.added; data.reasons[s]}".to_owned(),
        "deny contains \"no\" if _f(input.unknown_members)\n\n_f(x) := x.y if x.z".to_owned(),
        // A comprehension leaves out what is undefined.
        format!("deny contains concat(\",\", [r | r := data.reasons[scope]]) if {many}"),
    ] {
        assert_eq!(refused(&rules), [""; 0], "{rules}");
    }
}

#[test]
fn a_second_body_is_refused() {
    let policy = "package dtgate.p\n\ndeny contains \"no\" if p == 5\n\np := 5 if {\n\tinput.api == \"v1\"\n} {\n\tinput.api == \"v2\"\n}\n";
    let error = Bundle::load(directory(&[("p.rego", policy)]).path()).unwrap_err();
    assert!(error.problems[0].message.contains("one body"), "{error:?}");
    assert_eq!((error.problems[0].line, error.problems[0].column), (7, 3));
}

/// The interpreter lets it pass, and OPA does not.
#[test]
fn the_engine_takes_a_name_of_every_for_a_new_one() {
    let mut engine = regorus::Engine::new();
    let policy =
        "package p\n\nfine if {\n\tevery s in input.scopes {\n\t\ts = \"metrics.read\"\n\t}\n}";
    engine
        .add_policy("p.rego".to_owned(), policy.to_owned())
        .unwrap();
    engine
        .set_input_json(r#"{"scopes": ["WriteConfig"]}"#)
        .unwrap();
    let fine = engine.eval_rule("data.p.fine".to_owned()).unwrap();
    assert_eq!(fine, true.into());
}

#[test]
fn a_name_that_every_binds_is_refused_where_the_engine_does_not_know_it() {
    let load = |body: &str| {
        let policy = format!(
            "package dtgate.p\n\ndeny contains \"no\" if {{\n\tevery i, s in input.unknown_members.list {{\n\t\t{body}\n\t}}\n}}\n\nallowed(s) if data.map[s]\n"
        );
        let data = ("data.yaml", "map: {x: 1}\n");
        let loaded = Bundle::load(directory(&[("p.rego", &policy), data]).path());
        loaded.err().map(|error| {
            let problem = &error.problems[0];
            assert!(problem.message.starts_with("the engine "), "{problem}");
            (problem.line, problem.column)
        })
    };
    assert_eq!(load("data.map[s]"), Some((5, 12)));
    assert_eq!(load("not data.map[lower(s)].x"), Some((5, 16)));
    assert_eq!(load("data.map[i] == 1"), Some((5, 12)));
    assert_eq!(load("every t in [1] { data.map[t] }"), Some((5, 29)));
    assert_eq!(load("s = \"a\""), Some((5, 3)));
    assert_eq!(load("[1, \"a\"] = [i, s]"), Some((5, 14)));
    assert_eq!(load("count([1 | s = 1]) == 0"), Some((5, 14)));
    assert_eq!(load("count(input.change.scopes.kept, i)"), Some((5, 35)));
    assert_eq!(load("allowed(\"a\", s)"), Some((5, 16)));
    assert_eq!(load("allowed(s)"), None);
    assert_eq!(load("s.x == data.map.x"), None);
    assert_eq!(load("t := s; t == \"a\""), None);
    assert_eq!(load("count(s) == i"), None);
}

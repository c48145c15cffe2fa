//! Shapes of rules, many of which one engine or the other reads wrongly: each is refused, or the bytecode is never
//! silent where the interpreter objects or fails. The comparison of the proof has no part in it.

use super::*;
use crate::dynatrace::redact::Redacted;

/// Title, then the names and texts of files.
pub(super) fn shapes() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    const HEAD: &str = "package dtgate.p\nimport data.guardrails as g\nimport input.unknown_members as U\nimport input.change.scopes.requested as S\nimport input.change.name.requested as N\n";
    let shapes = include_str!("shapes.txt").split("\n----\n").skip(1);
    let shapes = shapes.map(|shape| {
        let (title, rest) = shape.split_once('\n').unwrap();
        let mut parts = rest.split("@file ");
        let rules = parts.next().unwrap();
        let head = if title.starts_with("RAW ") { "" } else { HEAD };
        let module = format!("{head}{rules}");
        let others = parts.map(|part| part.split_once('\n').unwrap());
        let mut files = vec![("p.rego", module)];
        files.extend(others.map(|(name, text)| (name, text.to_owned())));
        if !files.iter().any(|(name, _)| *name == "data.yaml") {
            files.push(("data.yaml", DATA.to_owned()));
        }
        (title, files)
    });
    shapes.collect()
}

/// Requests with what the shapes look for, and with everything of another kind.
pub(super) fn requests() -> Vec<Input> {
    const MEMBERS: &str = r#"[
        {}, {"k": null}, {"k": "a"}, {"k": "b"}, {"k": "none"}, {"k": false}, {"k": true}, {"k": 1}, {"k": ["a"]}, {"k": {"z": 1}},
        {"n": 0}, {"n": 1}, {"n": 1.5}, {"n": -3}, {"n": 2}, {"n": 1000}, {"n": 9007199254740993}, {"n": "1"}, {"n": 1, "k": "a"}, {"n": 1, "k": "z"},
        {"b": "x"}, {"b": "a", "k": "a"}, {"k": "a", "b": "b"}, {"k": null, "b": "a"},
        {"list": []}, {"list": ["a"]}, {"list": ["a", "b"]}, {"list": [["a", "b"]]}, {"list": [{"name": "a"}]}, {"list": [{"x": 1}]},
        {"list": [{"name": "a"}, {"x": 1}]}, {"list": [{"x": 1}, {"name": "a"}]}, {"list": [{"name": "q"}]}, {"list": {"i": {"name": "a"}}}, {"list": "a"}, {"list": null},
        {"obj": {}}, {"obj": {"a": null}}, {"obj": {"a": 1}}, {"obj": {"a": 1, "b": 2}}, {"obj": {"a": {"a": 1}}}, {"obj": {"v": false}}, {"obj": {"v": true}},
        {"obj": ["a"]}, {"obj": "a"}, {"obj": {"0": "a"}}, {"list": ["a"], "k": "none"}, {"list": ["a"], "k": false}
    ]"#;
    type Members = Redacted<serde_json::Map<String, serde_json::Value>>;
    let members: Vec<Members> = serde_json::from_str(MEMBERS).unwrap();
    let names = [
        "",
        "a",
        "prod-x",
        "prod-x-dev",
        "a-b-c",
        "payments-prod-ci",
        "Ünï-prod",
    ];
    let names = names.into_iter().map(Some).chain([None]);
    let scopes: [Option<&[&str]>; 8] = [
        None,
        Some(&[]),
        Some(&["a"]),
        Some(&["b"]),
        Some(&["b", "a"]),
        Some(&["a", "a"]),
        Some(&["a", "b", "c"]),
        Some(&["metrics.read", "WriteConfig"]),
    ];
    let request = |name: Option<&str>, scopes: Option<&[&str]>, members| {
        let mut request = input();
        request.change.name.requested = name.map(text);
        request.change.scopes.requested = scopes.map(texts);
        request.unknown_members = members;
        request
    };
    let mut requests: Vec<Input> = Vec::new();
    for name in names {
        for scopes in scopes {
            requests.push(request(name, scopes, Members::default()));
        }
    }
    for members in members {
        requests.push(request(Some("prod-x"), None, members.clone()));
        requests.push(request(None, Some(&["a", "b"]), members));
    }
    requests
}

#[test]
fn no_shape_of_a_rule_makes_the_bytecode_silent_where_the_interpreter_is_not() {
    let requests: Vec<_> = requests().iter().map(Input::to_rego).collect();
    let (mut compared, mut refused) = (0, 0);
    let mut wrong = String::new();
    for (title, files) in shapes() {
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        let bundle = match Bundle::load(directory(&files).path()) {
            Ok(bundle) => bundle,
            Err(error) => {
                println!("{title}: does not load: {}", error.problems[0]);
                continue;
            }
        };
        let engine = Engine::new(bundle, Duration::from_secs(5));
        let share = match engine.share(AnswersFor::All) {
            Ok(share) => share,
            Err(reason) => {
                println!("{title}: {reason}");
                refused += 1;
                continue;
            }
        };
        let comparison = engine.comparison(&share);
        let mut interpreter = Interpreter::clone_of(comparison.prepared);
        let mut objected = 0;
        for request in &requests {
            interpreter.begin(request, 0);
            let said = interpreter.ask_together(&array(comparison.rules));
            if said.is_none() {
                interpreter = Interpreter::clone_of(comparison.prepared);
            }
            let silent = proof::objections(said.iter().flatten()).is_some_and(|all| all.is_empty());
            objected += usize::from(!silent);
            if (said.is_none() || !silent)
                && share.bytecode.objecting(request, Bounds::MOST) == Ok(Vec::new())
            {
                writeln!(wrong, "{title}: {said:?} of {request}").unwrap();
                break;
            }
        }
        println!("{title}: {objected} of {} object", requests.len());
        compared += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(compared > 20 && refused > 20, "{compared} {refused}");
}

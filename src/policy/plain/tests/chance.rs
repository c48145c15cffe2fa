//! Policies by chance, judged by both engines and by OPA: whoever differs has to say so, by refusing or by failing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use regorus::Value;
use regorus::utils::limits::ExecutionTimerConfig;
use serde_json::{Map, Value as Json, json};

use super::author::Author;
use super::ordinary;
use crate::policy::bytecode::{Bounds, Bytecode};
use crate::policy::interpreter::{Interpreter, STEPS};
use crate::policy::rego::program::Program;
use crate::policy::source::files::File;

/// What OPA is asked at a time.
const AT_ONCE: u64 = 200;

/// Policies, unless `DTGATE_POLICIES` says how many.
fn policies() -> u64 {
    let number = std::env::var("DTGATE_POLICIES");
    number.map_or(400, |number| number.parse().unwrap())
}

fn inputs() -> Vec<Json> {
    vec![
        json!({}),
        json!({"a": "x", "b": 1, "list": ["x", "y", 2], "map": {"x": 1, "y": "x"}, "flag": true, "nested": [{"k": "x"}, {"k": "y", "v": 2}]}),
        json!({"a": "y", "b": 2.5, "list": [], "map": {}, "flag": false, "nested": []}),
        json!({"a": 1, "list": {"x": "y"}, "map": ["x", "z"], "flag": null, "nested": [["x"], "y", {"k": 1}]}),
    ]
}

fn data() -> Map<String, Json> {
    let data =
        json!({"settings": {"names": ["x", "z"], "map": {"x": 1, "z": {"k": "y"}}, "limit": 2}});
    data.as_object().unwrap().clone()
}

fn file(name: String, text: String) -> File {
    File {
        path: name.clone(),
        name,
        text,
    }
}

/// What OPA says of each policy to each input; nothing of those that it refuses, or that fail. And those in which it finds
/// a variable without a value.
fn asked(
    opa: &str,
    policies: &BTreeMap<u64, File>,
) -> (BTreeMap<u64, Vec<Option<Json>>>, BTreeSet<u64>) {
    let mut loose = BTreeSet::new();
    let folder = tempfile::tempdir().unwrap();
    let data = json!({"settings": data()["settings"], "inputs": inputs()});
    std::fs::write(folder.path().join("data.json"), data.to_string()).unwrap();
    let mut left: BTreeSet<u64> = policies.keys().copied().collect();
    for (number, file) in policies {
        std::fs::write(folder.path().join(format!("p{number}.rego")), &file.text).unwrap();
    }
    loop {
        let mut main = "package main\n".to_owned();
        for number in &left {
            writeln!(main, "answers[{number}][i] := said if {{ some i, one in data.inputs; said := data.p{number}.deny with input as one }}").unwrap();
        }
        std::fs::write(folder.path().join("main.rego"), main).unwrap();
        let ran = Command::new(opa)
            .args(["eval", "--format=json", "data.main.answers", "--data"])
            .arg(folder.path())
            .output()
            .unwrap();
        let answer: Json = serde_json::from_slice(&ran.stdout).unwrap();
        let Some(errors) = answer.get("errors").and_then(Json::as_array) else {
            // Where no policy says anything, there is none.
            let said = answer.pointer("/result/0/expressions/0/value");
            let said = said.unwrap_or(&Json::Null);
            let answers = left.iter().map(|number| {
                let of = |place: usize| {
                    said.get(number.to_string())?
                        .get(place.to_string())
                        .cloned()
                };
                (*number, (0..inputs().len()).map(of).collect())
            });
            return (answers.collect(), loose);
        };
        let before = left.len();
        for error in errors {
            let file = error
                .pointer("/location/file")
                .and_then(Json::as_str)
                .unwrap_or_default();
            let number = file
                .rsplit("/p")
                .next()
                .and_then(|name| name.strip_suffix(".rego"));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                left.remove(&number);
                if error["code"] == "rego_unsafe_var_error" {
                    loose.insert(number);
                }
                let _gone = std::fs::remove_file(file);
            }
        }
        assert!(left.len() < before, "{answer}");
    }
}

/// As JSON has them, with lists in one order: there are no sets in it.
fn ordered(value: &Json) -> Json {
    match value {
        Json::Array(members) => {
            let mut members: Vec<Json> = members.iter().map(ordered).collect();
            members.sort_by_key(Json::to_string);
            Json::Array(members)
        }
        Json::Object(members) => {
            let members = members
                .iter()
                .map(|(key, value)| (key.clone(), ordered(value)));
            let members: BTreeMap<String, Json> = members.collect();
            Json::Object(members.into_iter().collect())
        }
        Json::Number(number) => Json::from(number.as_f64()),
        other => other.clone(),
    }
}

/// What both engines say to each input; nothing where they fail, and nothing at all if the policy is refused.
fn said(policy: &File, number: u64) -> Option<[Vec<Option<Json>>; 2]> {
    let files = [policy];
    let (mut rego, mut problems) = crate::policy::read::compile(&files, &data());
    if problems.is_empty() {
        let modules = rego.get_modules().clone();
        crate::policy::refuse::misread(&Program::new(&modules), &mut problems);
    }
    if !problems.is_empty() {
        return None;
    }
    let (mut rego, _) = crate::policy::interpreter::prepare::evaluable(&mut rego, &data()).ok()?;
    let timer = ExecutionTimerConfig {
        limit: Duration::from_secs(5),
        check_interval: STEPS,
    };
    rego.set_execution_timer_config(timer);
    let rule = format!("data.p{number}.deny");
    let json = |value: &Value| serde_json::from_str::<Json>(&value.to_json_str().unwrap()).unwrap();
    let inputs: Vec<Value> = inputs()
        .iter()
        .map(|input| Value::from_json_str(&input.to_string()).unwrap())
        .collect();
    let interpreted = inputs.iter().map(|input| {
        let mut interpreter = Interpreter::clone_of(&rego);
        interpreter.begin(input, 0);
        interpreter.ask(&rule).ok().map(|said| json(&said))
    });
    let interpreted = interpreted.collect();
    let compiled = Bytecode::compile(&mut rego, std::slice::from_ref(&rule), timer).ok();
    let computed = inputs.iter().map(|input| {
        let said = compiled.as_ref()?.ask(input, Bounds::MOST).ok()?;
        let said = said
            .as_array()
            .ok()?
            .first()?
            .as_array()
            .ok()?
            .first()?
            .clone();
        matches!(said, Value::Set(_)).then(|| json(&said))
    });
    Some([interpreted, computed.collect()])
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_policies_by_chance_are_judged_as_opa_judges_them() {
    let opa = std::env::var("OPA").unwrap_or_else(|_| "opa".to_owned());
    let (mut wrong, mut taken) = (String::new(), String::new());
    let (mut judged, mut accepted, mut computed) = (0_u32, 0_u32, 0_u32);
    let (mut compared, mut objected) = (0_u32, 0_u32);
    // Policies with a variable to which OPA gives no value, and we do: in calls over comprehensions within `every`.
    let mut more = 0_u64;
    let first: u64 = std::env::var("DTGATE_SEED").map_or(0, |seed| seed.parse().unwrap());
    let last = first + policies();
    for start in (first..last).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let numbers = start..last.min(start + AT_ONCE);
        let policies = numbers.map(|number| {
            let mut author = Author::new(number);
            let rules = match number % 2 {
                0 => author.policy(),
                _ => ordinary::policy(&mut author),
            };
            let text = format!("package p{number}\n\n{rules}");
            (number, file(format!("p{number}.rego"), text))
        });
        let policies: BTreeMap<u64, File> = policies.collect();
        let (said_of, loose) = asked(&opa, &policies);
        for number in loose {
            let policy = &policies[&number];
            if said(policy, number).is_some() {
                more += 1;
                writeln!(taken, "{}", policy.text).unwrap();
            }
        }
        for (number, expected) in said_of {
            judged += 1;
            let policy = &policies[&number];
            let Some(both) = said(policy, number) else {
                continue;
            };
            accepted += 1;
            computed += u32::from(both[1].iter().any(Option::is_some));
            let mut places = both[0].iter().zip(&both[1]);
            if places.any(|(interpreted, computed)| {
                interpreted.is_none() && *computed == Some(json!([]))
            }) {
                writeln!(
                    wrong,
                    "the bytecode is silent, the interpreter fails\n{}",
                    policy.text
                )
                .unwrap();
            }
            for (engine, said) in ["interpreter", "bytecode"].into_iter().zip(both) {
                for (place, (said, expected)) in said.iter().zip(&expected).enumerate() {
                    let (Some(said), Some(expected)) = (said, expected) else {
                        continue;
                    };
                    compared += 1;
                    objected += u32::from(expected.as_array().is_some_and(|said| !said.is_empty()));
                    if ordered(said) != ordered(expected) {
                        writeln!(
                            wrong,
                            "{engine}, input {place}: {said}, OPA {expected}\n{}",
                            policy.text
                        )
                        .unwrap();
                    }
                }
            }
        }
    }
    println!(
        "{judged} policies that OPA has, {accepted} accepted, {computed} with bytecode, {compared} answers compared, {objected} objections"
    );
    assert!(wrong.is_empty(), "{wrong}");
    assert!(
        more <= policies() / 300 + 1,
        "taken, and refused by OPA:\n{taken}"
    );
    assert!(accepted > judged / 2, "{accepted} of {judged}");
    assert!(objected > accepted / 2, "{objected}");
}

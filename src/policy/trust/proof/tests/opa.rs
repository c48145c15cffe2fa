//! The interpreter beside OPA itself (`opa` on the `PATH`, or the file that `OPA` names): by each rule both say the
//! same, or the interpreter fails, which denies. Ignored unless asked for: `.ci/run` asks where OPA is installed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::shapes::{requests, shapes};
use super::*;
use regorus::Value;
use serde_json::{Value as Json, json};

/// What the two read differently: OPA alone finds nothing by a number where a condition is nothing but that look-up and
/// the rule has other definitions; with `==` behind it, or in one definition, OPA finds it, too.
const KNOWN: [&str; 1] = ["num keys data"];

/// What each rule says to each request: sets of JSON texts.
type Said = Vec<Vec<BTreeSet<String>>>;

fn opa() -> String {
    std::env::var("OPA").unwrap_or_else(|_| "opa".to_owned())
}

/// What OPA says, or why it says nothing at all: it refuses the policies, or some request makes two values meet.
fn asked(opa: &str, policies: &Path, rules: &[String], requests: &[Value]) -> Result<Said, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("requests.json");
    std::fs::write(&file, json!({"requests_to_judge": requests}).to_string()).unwrap();
    let rules: Vec<String> = rules
        .iter()
        .map(|rule| format!("[said | some said in {rule}]"))
        .collect();
    let query = format!(
        "[said | some request in data.requests_to_judge; said := [{}] with input as request]",
        rules.join(", ")
    );
    let ran = Command::new(opa)
        .args(["eval", "--format", "json", "--data"])
        .arg(policies)
        .arg("--data")
        .arg(&file)
        .arg(query)
        .output()
        .unwrap();
    let answer: Json = serde_json::from_slice(&ran.stdout).unwrap();
    let Some(said) = answer.pointer("/result/0/expressions/0/value") else {
        return Err(answer["errors"][0]["message"].to_string());
    };
    let texts = |said: &Json| {
        said.as_array()
            .unwrap()
            .iter()
            .map(Json::to_string)
            .collect()
    };
    let of_request = |said: &Json| said.as_array().unwrap().iter().map(texts).collect();
    Ok(said.as_array().unwrap().iter().map(of_request).collect())
}

/// Where the interpreter says something else, and does not fail.
fn differences(engine: &Engine, requests: &[Value], expected: &Said) -> Vec<String> {
    let mut interpreter = engine.interpreter();
    let mut found = Vec::new();
    for (request, expected) in requests.iter().zip(expected) {
        interpreter.begin(request, 0);
        let Some(said) = interpreter.ask_together(&engine.all_rules()) else {
            interpreter = engine.interpreter();
            continue;
        };
        let texts = |said: &Value| {
            let said = said.as_set().unwrap().iter();
            said.map(|said| serde_json::to_value(said).unwrap().to_string())
                .collect::<BTreeSet<_>>()
        };
        let said: Vec<_> = said.iter().map(texts).collect();
        if said != *expected {
            found.push(format!("{said:?}, OPA {expected:?}, of {request}"));
        }
    }
    found
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_the_interpreter_reads_shapes_of_rules_as_opa_does() {
    let opa = opa();
    let requests: Vec<Value> = requests().iter().map(Input::to_rego).collect();
    let (mut compared, mut wrong) = (0, String::new());
    for (title, files) in shapes() {
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        let folder = directory(&files);
        let Ok(bundle) = Bundle::load(folder.path()) else {
            continue;
        };
        let engine = Engine::new(bundle, Duration::from_secs(5));
        match asked(&opa, folder.path(), &engine.rule_paths(), &requests) {
            Ok(expected) => {
                let found = differences(&engine, &requests, &expected);
                if KNOWN.contains(&title) {
                    if found.is_empty() {
                        writeln!(wrong, "{title} is no longer read differently").unwrap();
                    }
                } else if let Some(first) = found.first() {
                    writeln!(
                        wrong,
                        "{title}: {} of {}: {first}",
                        found.len(),
                        requests.len()
                    )
                    .unwrap();
                }
                compared += 1;
            }
            Err(message) => println!("{title}: {message}"),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(compared > 80, "{compared}");
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_the_interpreter_reads_the_shipped_policies_as_opa_does() {
    let opa = opa();
    let engine = Engine::new(Bundle::load(SHIPPED).unwrap(), Duration::from_secs(5));
    let tree = Tree::read(&[SHIPPED]);
    let names: Vec<&str> = engine.names().collect();
    let mut requests = proof::inputs_of_tests(&tree, &names);
    let words = proof::words(&tree);
    requests.extend(proof::made_up(&words, engine.all_reads(), 1).take(1000));
    let expected = asked(&opa, Path::new(SHIPPED), &engine.rule_paths(), &requests).unwrap();
    let found = differences(&engine, &requests, &expected);
    assert!(
        found.is_empty(),
        "{} of {}: {}",
        found.len(),
        requests.len(),
        found[0]
    );
}

//! The table of idioms in the documentation: what each says when the member is there and when it is absent, by both
//! engines, and by OPA where it is there; and whether it is told.

use std::process::Command;
use std::time::Duration;

use regorus::Value;
use regorus::utils::limits::ExecutionTimerConfig;
use serde_json::{Value as Json, json};

use super::told_of;
use crate::policy::bytecode::{Bounds, Bytecode};
use crate::policy::interpreter::{Interpreter, STEPS, prepare};
use crate::policy::source::files::File;

struct Idiom {
    /// The whole file.
    text: String,
    condition: String,
    /// Whether it denies when the member is there, and when it is absent.
    denies: [bool; 2],
    is_told: bool,
}

fn idioms() -> Vec<Idiom> {
    let page = include_str!("../../../../docs/input.md");
    let (_, table) = page.split_once("| condition | ").unwrap();
    let rows = table.lines().skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| {
            let mut code = row.split('`').skip(1).step_by(2);
            let condition = code.next().unwrap();
            let rule = code.next().unwrap_or_default();
            let mut cells = row.trim_end_matches('|').rsplit('|').map(str::trim);
            let told = cells.next().unwrap();
            let mut denies = || match cells.next().unwrap() {
                "denies" => true,
                "says nothing" => false,
                other => panic!("{row}: {other}"),
            };
            let (absent, there) = (denies(), denies());
            assert!(["", "warns"].contains(&told), "{row}");
            Idiom {
                text: format!(
                    "package dtgate.p\n\ndeny contains \"no\" if {condition}\n\n{rule}\n"
                ),
                condition: condition.to_owned(),
                denies: [there, absent],
                is_told: told == "warns",
            }
        })
        .collect()
}

/// What is there, and what is absent.
fn inputs() -> [Json; 2] {
    let least = json!({
        "operation": "token.update", "api": "v2", "time": "2026-11-24T10:00:00.000Z",
        "change": {"name": {}, "enabled": {}, "scopes": {}, "expiration": {}, "personal": {}},
    });
    let mut full = least.clone();
    full["change"] = json!({
        "name": {"requested": "x"}, "enabled": {"requested": false}, "scopes": {"requested": ["a", "b"]},
        "expiration": {"requested": "2030-01-01T00:00:00Z", "at": "2030-01-01T00:00:00.000Z"}, "personal": {},
    });
    full["token"] = json!({"id": "t", "known": true, "current": {"owner": "bob", "scopes": ["a"]}});
    [full, least]
}

#[test]
fn each_says_what_the_documentation_says() {
    let timer = ExecutionTimerConfig {
        limit: Duration::from_secs(5),
        check_interval: STEPS,
    };
    let idioms = idioms();
    let mut by_bytecode = 0;
    for idiom in &idioms {
        let file = File {
            path: "p.rego".to_owned(),
            name: "p.rego".to_owned(),
            text: idiom.text.clone(),
        };
        let (mut rego, _) = prepare::ready(&[&file], &serde_json::Map::new()).unwrap();
        let asked = "data.dtgate.p.deny".to_owned();
        let bytecode = Bytecode::compile(&mut rego, std::slice::from_ref(&asked), timer).ok();
        for (input, denies) in inputs().iter().zip(idiom.denies) {
            let input = Value::from_json_str(&input.to_string()).unwrap();
            let mut interpreter = Interpreter::clone_of(&rego);
            interpreter.begin(&input, 0);
            let said = interpreter.ask(&asked).unwrap();
            let is_denied = said.as_set().is_ok_and(|said| !said.is_empty());
            assert_eq!(is_denied, denies, "{}", idiom.text);
            if let Some(Ok(said)) = bytecode.as_ref().map(|it| it.ask(&input, Bounds::MOST)) {
                by_bytecode += 1;
                assert!(
                    said.to_string().contains("no") == denies,
                    "{}: {said}",
                    idiom.text
                );
            }
        }
        let told = told_of(&[("p.rego", &idiom.text)]);
        assert_eq!(!told.is_empty(), idiom.is_told, "{}: {told:?}", idiom.text);
    }
    assert!(by_bytecode >= idioms.len(), "{by_bytecode}");
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_each_says_what_the_documentation_says() {
    let opa = std::env::var("OPA").unwrap_or_else(|_| "opa".to_owned());
    let folder = tempfile::tempdir().unwrap();
    for idiom in idioms() {
        let policy = folder.path().join("p.rego");
        std::fs::write(&policy, &idiom.text).unwrap();
        for (input, denies) in inputs().iter().zip(idiom.denies) {
            let file = folder.path().join("input.json");
            std::fs::write(&file, input.to_string()).unwrap();
            let asked = Command::new(&opa)
                .args([
                    "eval",
                    "--format=json",
                    "count(data.dtgate.p.deny) > 0",
                    "--input",
                ])
                .arg(&file)
                .arg("--data")
                .arg(&policy)
                .output()
                .unwrap();
            let said: Json = serde_json::from_slice(&asked.stdout).unwrap();
            let said = &said["result"][0]["expressions"][0]["value"];
            assert_eq!(*said, denies, "{}", idiom.condition);
        }
    }
}

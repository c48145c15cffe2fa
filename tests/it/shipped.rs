//! The shipped policies as a caller meets them, before the simulator.

use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::docs::{blocks, page};
use crate::harness::{Gate, Simulator, copy, gate, policies, program};

fn send(gate: &Gate, method: &str, target: &str, body: &Value) -> crate::harness::Answered {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let secret = Simulator::secret("api tokens");
    gate.raw(format!(
        "{method} {target} HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token {secret}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

#[test]
fn a_refusal_names_the_largest_part_that_would_pass() {
    let simulator = Simulator::start();
    let gate = gate(simulator.address);
    let mut scopes = vec![
        "metrics.read",
        "metrics.ingest",
        "logs.read",
        "logs.ingest",
        "entities.read",
        "problems.read",
        "events.read",
        "events.ingest",
        "slo.read",
        "releases.read",
        "DataExport",
        "WriteConfig",
    ];
    let answer = send(
        &gate,
        "POST",
        "/api/v2/apiTokens",
        &json!({"name": "payments-prod-ci", "scopes": scopes}),
    );
    assert_eq!(answer.status, 403, "{answer:?}");
    let message = answer.message();
    assert!(
        message.contains("11 of 12 scopes are fine; leave out WriteConfig, and the request passes"),
        "{message}"
    );
    let record = gate.records().pop().unwrap();
    assert_eq!(
        record["result"]["remedy"]["scopes"],
        json!(["WriteConfig"]),
        "{record}"
    );
    // And so it does.
    scopes.pop();
    let answer = send(
        &gate,
        "POST",
        "/api/v2/apiTokens",
        &json!({"name": "payments-prod-ci", "scopes": scopes}),
    );
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(
        gate.records()
            .iter()
            .all(|record| record["verdict"] != "allow" || record["result"].get("remedy").is_none())
    );
}

#[test]
fn terraforms_create_then_disable_leaves_no_orphan() {
    let simulator = Simulator::start();
    let gate = gate(simulator.address);
    let body = json!({"name": "payments-prod-ci", "enabled": false, "scopes": ["metrics.read"]});
    let created = send(&gate, "POST", "/api/v2/apiTokens", &body);
    assert_eq!(created.status, 201, "{created:?}");
    let target = format!(
        "/api/v2/apiTokens/{}",
        created.json()["id"].as_str().unwrap()
    );
    assert_eq!(send(&gate, "PUT", &target, &body).status, 204);
    let read = send(&gate, "GET", &target, &Value::Null);
    assert_eq!(read.json()["enabled"], json!(false));
    // It stays disabled: reviving it is refused, saying once more that it is disabled is not.
    assert_eq!(send(&gate, "PUT", &target, &body).status, 204);
    let revived = send(&gate, "PUT", &target, &json!({"enabled": true}));
    assert_eq!(revived.status, 403, "{revived:?}");
    assert!(revived.message().contains("reactivation"), "{revived:?}");
}

#[test]
fn a_token_that_breaks_every_rule_can_be_disabled() {
    let simulator = Simulator::start();
    let gate = gate(simulator.address);
    let admin = "/api/v2/apiTokens/dt0c01.ADMINAAAAAAAAAAAAAAAAAAA";
    assert_eq!(
        send(&gate, "PUT", admin, &json!({"enabled": false})).status,
        204
    );
    let scopes = json!({"scopes": ["metrics.read", "hub.read"]});
    let narrowed = send(&gate, "PUT", admin, &scopes);
    assert_eq!(
        narrowed.status, 204,
        "it may lose what it has: {narrowed:?}"
    );
}

#[test]
fn what_makes_other_credentials_is_denied_until_it_is_listed() {
    let simulator = Simulator::start();
    let gate = gate(simulator.address);
    let answer = send(
        &gate,
        "POST",
        "/api/v2/tenantTokenRotation/start",
        &Value::Null,
    );
    assert_eq!(answer.status, 403, "{answer:?}");
    let message = answer.message();
    assert!(
        message.contains("tenant_token_rotation.start is not open to caller"),
        "{message}"
    );
    assert!(message.contains("policy minting"), "{message}");
}

fn shipped() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(&policies(), directory.path());
    directory
}

fn tests_pass(policies: &Path) {
    let output = program().arg("test").arg(policies).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Takes a policy away as the README says: its two files, and its settings.
fn remove(directory: &Path, policy: &str) {
    for name in [format!("{policy}.rego"), format!("{policy}_test.rego")] {
        std::fs::remove_file(directory.join(name)).unwrap();
    }
    let file = directory.join("data.yaml");
    let (mut kept, mut is_its) = (String::new(), false);
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        if !line.starts_with("   ") {
            is_its = line == format!("  {policy}:");
        }
        if !is_its {
            kept = kept + line + "\n";
        }
    }
    std::fs::write(file, kept).unwrap();
}

const POLICIES: [&str; 11] = [
    "blast_radius",
    "escalation",
    "expiry",
    "forbidden_scopes",
    "known_scopes",
    "minting",
    "naming",
    "no_self_update",
    "protected_tokens",
    "reactivation",
    "scope_budget",
];

/// A reload runs all tests, and refuses what fails one.
#[test]
fn the_tests_hold_whichever_policy_is_removed() {
    let all = shipped();
    for policy in POLICIES {
        let directory = shipped();
        remove(directory.path(), policy);
        let settings = std::fs::read_to_string(directory.path().join("data.yaml")).unwrap();
        assert!(!settings.contains(&format!("  {policy}:")), "{settings}");
        tests_pass(directory.path());
        if policy != "scope_budget" {
            remove(all.path(), policy);
            tests_pass(all.path());
        }
    }
}

/// No setting as it is shipped. The tests that hold to those are not shipped: see the next.
#[test]
fn the_tests_hold_whatever_is_set() {
    let directory = shipped();
    let settings = "guardrails:
  forbidden_scopes: [LogExport]
  naming: {pattern: '^[A-Z]+$', example: CI}
  expiry: {max_days: 30, required: true}
  known_scopes: {legacy: deny, extra: [new.scope]}
  protected_tokens:
    ids: [d5836312-5790-4e80-afcf-09971954c3ea, dt0c01.ST2EY72KQINMH574WMNVI7YN]
    names: [payments-prod-ci, CI]
  escalation:
    mint_classes: []
    teams: {payments: {callers: [{team: payments}], scopes: [metrics.ingest], classes: [read]}}
  minting: {callers: {activegate_token.create: ['*']}}
  scope_budget: {max: 20}
  blast_radius: {created: 0, scopes_gained: 5, removed: 1}
";
    for settings in [
        settings.to_owned(),
        format!("{settings}modes: {{naming: warn}}\nlookup: {{required: false}}\n"),
        std::fs::read_to_string("deploy/data.yaml").unwrap(),
    ] {
        std::fs::write(directory.path().join("data.yaml"), settings).unwrap();
        tests_pass(directory.path());
    }
}

/// Whatever the pages show of `data.yaml` is accepted, and the shipped tests pass with it: each block by itself, and all of
/// them together.
#[test]
fn the_tests_hold_with_all_that_the_pages_show() {
    let mut shown = Vec::new();
    for name in ["policies/README.md", "docs/rollout.md"] {
        // That page has a policy of its own.
        let page = page(name).replace("modes:\n  names:", "modes:\n  reactivation:");
        for block in blocks(&page, "yaml") {
            let data: Map<String, Value> = yaml_serde::from_str(&block).unwrap();
            let is_data = |name: &String| SECTIONS.contains(&name.as_str());
            shown.extend(data.keys().all(is_data).then_some(data));
        }
    }
    let of = |name: &str| shown.iter().filter(|it| it.contains_key(name)).count();
    assert!(of("modes") >= 2 && of("exceptions") >= 1 && of("callers") >= 1);
    let settings = std::fs::read_to_string("policies/data.yaml").unwrap();
    let settings: Value = yaml_serde::from_str(&settings).unwrap();
    let callers = shown.iter().find_map(|it| it.get("callers")).unwrap();
    let callers = json!({"callers": callers});
    let nothing = json!({"modes": null, "exceptions": null, "lookup": {}});
    let mut all: Vec<Vec<Value>> = shown.into_iter().map(|it| vec![it.into()]).collect();
    all.push(all.concat());
    all.push(vec![nothing]);
    let directory = shipped();
    for over in all {
        let mut data = settings.clone();
        // Modes name teams that another block has.
        merge(&mut data, &callers);
        for over in &over {
            merge(&mut data, over);
        }
        // YAML, too.
        std::fs::write(directory.path().join("data.yaml"), data.to_string()).unwrap();
        tests_pass(directory.path());
    }
}

/// Members of `data` that pages show.
const SECTIONS: [&str; 5] = ["callers", "exceptions", "guardrails", "lookup", "modes"];

/// What is said later holds.
fn merge(data: &mut Value, over: &Value) {
    match (data, over) {
        (Value::Object(members), Value::Object(others)) => {
            for (name, value) in others {
                merge(members.entry(name).or_insert(Value::Null), value);
            }
        }
        (data, over) => *data = over.clone(),
    }
}

#[test]
fn the_settings_as_shipped_say_what_they_are_meant_to() {
    let directory = shipped();
    let tests = "shipped_settings_test.rego";
    let from = Path::new("tests/data").join(tests);
    std::fs::copy(from, directory.path().join(tests)).unwrap();
    tests_pass(directory.path());
}

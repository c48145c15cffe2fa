//! Policies as somebody writes them who knows OPA and has read `docs/input.md`: they do what they say at the first try,
//! in `dtgate test` and in `opa test`, on requests that are as the gate makes them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Gate, Upstream, copy, gate, program};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The policies and their tests, with the requests to test with.
fn suite() -> TempDir {
    let suite = tempfile::tempdir().unwrap();
    copy(&root().join("tests/data/ordinary"), suite.path());
    let requests = root().join("policies/lib/requests_test.rego");
    std::fs::copy(requests, suite.path().join("requests_test.rego")).unwrap();
    suite
}

/// All passed, and there were as many as there are to be.
fn passed(output: &Output, least: usize) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let count = said
        .split("PASS: ")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    assert!(count.unwrap().parse::<usize>().unwrap() >= least, "{said}");
}

#[test]
fn ordinary_policies_are_right_at_the_first_try() {
    let suite = suite();
    passed(
        &program().arg("test").arg(suite.path()).output().unwrap(),
        32,
    );
    // The gate loads them as they are.
    let request = suite.path().join("request.http");
    std::fs::write(
        &request,
        "DELETE /api/v2/apiTokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\nHost: gate\n\n",
    )
    .unwrap();
    let policies = suite.path().join("policies");
    copy(&root().join("tests/data/ordinary"), &policies);
    let check = program()
        .arg("check")
        .arg("--policies")
        .arg(&policies)
        .output();
    assert!(check.unwrap().status.success());
    let mut eval = program();
    eval.arg("eval")
        .arg("--request")
        .arg(&request)
        .arg("--policies")
        .arg(&policies);
    let output = eval.args(["--format", "json"]).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let violations = said["explanation"]["decision"]["violations"]
        .as_array()
        .unwrap();
    let policies: Vec<&str> = violations
        .iter()
        .map(|it| it["policy"].as_str().unwrap())
        .collect();
    // Nobody shows a token; the address is not one of ours, and it may be a weekend.
    let others = policies
        .iter()
        .filter(|&&policy| !matches!(policy, "network" | "weekends"));
    assert_eq!(
        others.collect::<Vec<_>>(),
        [&"callers", &"deletions"],
        "{said}"
    );
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_ordinary_policies_are_right_at_the_first_try() {
    let suite = suite();
    let opa = std::env::var("OPA").unwrap_or_else(|_| "opa".to_owned());
    passed(
        &Command::new(&opa)
            .arg("test")
            .arg(suite.path())
            .output()
            .unwrap(),
        32,
    );
    let check = Command::new(&opa)
        .args(["check", "--strict"])
        .arg(suite.path())
        .output();
    assert!(check.unwrap().status.success());
}

/// Policies in all the ways in which OPA's users write them, old and new: not one word is other than in OPA.
#[test]
fn policies_of_opas_users_are_taken_as_they_are() {
    let policies = root().join("tests/data/opa");
    passed(&program().arg("test").arg(&policies).output().unwrap(), 60);
    let check = program()
        .args(["check", "--policies"])
        .arg(&policies)
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(said.starts_with("31 policies: "), "{said}");
    // All of them by the faster engine.
    assert!(said.contains("judged by bytecode"), "{said}");
    assert!(!said.contains("by the interpreter alone"), "{said}");
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_policies_of_opas_users_are_right_in_opa() {
    let opa = std::env::var("OPA").unwrap_or_else(|_| "opa".to_owned());
    let policies = root().join("tests/data/opa");
    passed(
        &Command::new(&opa)
            .arg("test")
            .arg(&policies)
            .output()
            .unwrap(),
        60,
    );
}

#[test]
fn twelve_of_them_are_there_and_each_is_tested() {
    let names = std::fs::read_dir(root().join("tests/data/ordinary")).unwrap();
    let names: Vec<String> = names
        .map(|name| name.unwrap().file_name().into_string().unwrap())
        .collect();
    let policies: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".rego"))
        .filter(|name| !name.ends_with("_test"))
        .collect();
    assert_eq!(policies.len(), 12);
    for policy in policies {
        assert!(names.contains(&format!("{policy}_test.rego")), "{policy}");
    }
}

/// Tells whoever asks about its one token, and does whatever it is asked for.
fn dynatrace() -> Upstream {
    Upstream::answering_all(|seen| {
        let body = json!({
            "id": TOKEN, "name": "payments-prod-ci", "enabled": true, "owner": "john.smith", "personalAccessToken": false,
            "scopes": ["metrics.read", "entities.read"],
        });
        let body = if seen.line.starts_with("GET") {
            body.to_string()
        } else {
            String::new()
        };
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    })
}

const TOKEN: &str = "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA";

/// What the gate made of a request.
fn made(gate: &Gate, method: &str, target: &str, body: &str) -> Value {
    gate.send(method, target, body);
    let records = gate.records();
    let mut decisions = records
        .iter()
        .rev()
        .filter(|record| record["kind"] == "decision");
    decisions.next().unwrap()["input"].clone()
}

#[test]
fn the_requests_to_test_with_are_as_the_gate_makes_them() {
    let upstream = dynatrace();
    let knowing = gate(upstream.address);
    let files = tempfile::tempdir().unwrap();
    let blind = "package dtgate.blind\n\ndeny contains \"no\" if input.api == \"v3\"\n";
    std::fs::write(files.path().join("blind.rego"), blind).unwrap();
    let arguments = ["--policies", files.path().to_str().unwrap()];
    let blind = Gate::start(tempfile::tempdir().unwrap(), upstream.address, &arguments);
    let token = format!("/api/v2/apiTokens/{TOKEN}");
    let everything =
        r#"{"name":"n","enabled":false,"scopes":["logs.read","metrics.read"],"owner":"me"}"#;
    let as_asked = r#"{"name": "n", "enabled": false, "scopes": ["logs.read", "metrics.read"], "unknown": {"owner": "me"}}"#;
    let mut module =
        "package dtgate.lib.made_test\n\nimport data.dtgate.lib.requests_test as requests\n"
            .to_owned();
    for (number, (gate, method, target, body, helper)) in [
        (&knowing, "POST", "/api/v2/apiTokens", r#"{"name":"n","scopes":["logs.read"],"personalAccessToken":false}"#, r#"requests.create({"name": "n", "scopes": ["logs.read"], "personal": false})"#.to_owned()),
        (&blind, "POST", "/api/v2/apiTokens", r#"{"name":"n","scopes":[],"expirationDate":"now+14d"}"#, r#"requests.create({"name": "n", "scopes": [], "expiration": "now+14d", "at": made.change.expiration.at})"#.to_owned()),
        (&blind, "PUT", &token, everything, format!("requests.update({as_asked})")),
        (&blind, "DELETE", &token, "", "requests.delete".to_owned()),
        (&knowing, "PUT", &token, everything, format!("requests.known(requests.update({as_asked}), requests.existing)")),
        (&knowing, "PUT", &token, r#"{"enabled":true}"#, r#"requests.known(requests.update({"enabled": true}), requests.existing)"#.to_owned()),
        (&knowing, "DELETE", &token, "", "requests.known(requests.delete, requests.existing)".to_owned()),
        (
            &knowing,
            "PUT",
            "/api/config/v1/dashboards/d/shareSettings",
            r#"{"enabled":true}"#,
            r#"requests.other("dashboard_sharing.update", {"enabled": true})"#.to_owned(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let made = made(gate, method, target, body);
        let recent = made["caller"].get("recent");
        let helper = recent.map_or_else(
            || helper.clone(),
            |recent| format!("requests.after({helper}, {recent})"),
        );
        write!(
            module,
            "\ntest_{number} if {{\n\tmade := {made}\n\tsaid := object.union({helper}, {{\"api\": made.api, \"caller\": {{\"address\": made.caller.address, \"token\": made.caller.token}}, \"environment\": made.environment, \"time\": made.time}})\n\tprint(said, made)\n\tsaid == made\n}}\n"
        )
        .unwrap();
    }
    let suite = tempfile::tempdir().unwrap();
    std::fs::write(suite.path().join("made_test.rego"), module).unwrap();
    std::fs::copy(
        root().join("policies/lib/requests_test.rego"),
        suite.path().join("requests_test.rego"),
    )
    .unwrap();
    let output = program().arg("test").arg(suite.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("PASS: 8/8"),
        "{said}"
    );
}

/// Who asks, in the words of the helpers and in those of `eval`, which has the gate make the input.
#[test]
fn the_callers_to_test_with_are_as_the_gate_makes_them() {
    let files = tempfile::tempdir().unwrap();
    let blind = "package dtgate.blind\n\ndeny contains \"no\" if input.api == \"v3\"\n";
    std::fs::write(files.path().join("blind.rego"), blind).unwrap();
    let claims = r#"{"iss": "https://ci.example", "sub": "ci", "aud": "dtgate", "jti": "7", "repository": "example/a"}"#;
    let members = r#"{"spiffe_id": "spiffe://example/ns/a", "fingerprint": "00", "not_after": "2027-11-24T10:00:00.000Z"}"#;
    let id = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
    let asked = r#"requests.create({"name": "n"})"#;
    let nobody = format!("requests.from({asked}, requests.nobody)");
    let mut module =
        "package dtgate.lib.made_test\n\nimport data.dtgate.lib.requests_test as requests\n"
            .to_owned();
    let cases = [
        (vec![], nobody.clone()),
        (vec!["--token", id], asked.to_owned()),
        (
            vec!["--team", "b", "--team", "a"],
            format!(r#"requests.by_team(requests.by_team({nobody}, "b"), "a")"#),
        ),
        (
            vec!["--jwt", claims],
            format!("requests.by_jwt({nobody}, {claims})"),
        ),
        (
            vec!["--certificate", members, "--token", id],
            format!("requests.by_certificate({asked}, {members})"),
        ),
    ];
    for (number, (options, helper)) in cases.iter().enumerate() {
        let line = r#"curl -X POST https://gate/api/v2/apiTokens -H 'Content-Type: application/json' -d '{"name":"n","scopes":[]}'"#;
        let mut eval = program();
        eval.args(["eval", "--format", "json", "--curl", line, "--policies"]);
        let output = eval.arg(files.path()).args(options).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let caller = &said["input"]["caller"];
        write!(
            module,
            "\ntest_{number} if {{\n\tmade := {caller}\n\tprint({helper}.caller, made)\n\tobject.union({helper}.caller, {{\"address\": made.address}}) == made\n}}\n"
        )
        .unwrap();
    }
    let suite = tempfile::tempdir().unwrap();
    std::fs::write(suite.path().join("made_test.rego"), module).unwrap();
    std::fs::copy(
        root().join("policies/lib/requests_test.rego"),
        suite.path().join("requests_test.rego"),
    )
    .unwrap();
    let output = program().arg("test").arg(suite.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("PASS: 5/5"), "{said}");
}

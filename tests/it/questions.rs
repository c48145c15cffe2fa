//! Questions of operators before a request: OPA's data API and `AuthZEN`, on the admin listener. What they are answered,
//! that they open no door and leave no record, and that nobody can do harm by asking.

mod authzen;
mod hostile;
mod page;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::{Answered, GOOD, Gate, Upstream, exchange, policies, serving};

const CALLER: &str = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
const ID: &str = "d5836312-5790-4e80-afcf-09971954c3ea";
const BOTH: &str = "[admin]\ndata_api = true\nauthzen = true\n";

/// A gate with this configuration, and the shipped policies.
fn gate(upstream: &Upstream, config: &str) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    // Questions give way to all else, and many tests run at once.
    let patient = format!("policies.time_limit = \"5s\"\n{config}");
    std::fs::write(&file, patient).unwrap();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(&file)
        .arg("--policies")
        .arg(policies());
    if !config.contains("[environments") {
        command.args(["--upstream", &format!("http://{}", upstream.address)]);
    }
    Gate::spawn(directory, command)
}

fn post(admin: SocketAddr, path: &str, fields: &str, body: &str) -> Answered {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost:8081\r\nContent-Type: application/json\r\n{fields}"
    );
    let length = body.len();
    exchange(
        admin,
        format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes(),
    )
}

fn get(admin: SocketAddr, target: &str) -> Answered {
    exchange(
        admin,
        format!("GET {target} HTTP/1.1\r\nHost: localhost:8081\r\n\r\n").as_bytes(),
    )
}

fn evaluate(gate: &Gate, question: &Value) -> Value {
    let answer = post(
        gate.admin,
        "/access/v1/evaluation",
        "",
        &question.to_string(),
    );
    assert_eq!(answer.status, 200, "{question}: {answer:?}");
    answer.json()
}

/// A change of the tests' token, as a question.
fn update(body: &str) -> Value {
    json!({
        "subject": {"type": "token", "id": CALLER},
        "action": {"name": "token.update", "properties": {"api": "v1"}},
        "resource": {"type": "token", "id": ID, "properties": {"body": serde_json::from_str::<Value>(body).unwrap()}},
    })
}

fn metric(gate: &Gate, name: &str) -> u64 {
    let all = exchange(
        gate.admin,
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .body;
    let value = all.lines().find_map(|line| line.strip_prefix(name));
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or_default()
}

#[test]
fn nobody_is_answered_who_was_not_let() {
    let upstream = Upstream::lenient();
    for (config, data, authzen) in [
        ("", 404, 404),
        ("[admin]\ndata_api = true\n", 200, 404),
        ("[admin]\nauthzen = true\n", 404, 200),
    ] {
        let gate = gate(&upstream, config);
        let asked = |path: &str| get(gate.admin, path).status;
        assert_eq!(asked("/v1/data"), data, "{config}");
        assert_eq!(asked("/v1/data/guardrails"), data, "{config}");
        assert_eq!(
            asked("/.well-known/authzen-configuration"),
            authzen,
            "{config}"
        );
        for path in ["/access/v1/evaluation", "/access/v1/evaluations"] {
            let status = post(gate.admin, path, "", &update(GOOD).to_string()).status;
            // Without the path there is nothing that could take a body either.
            assert_eq!(status, if authzen == 200 { 200 } else { 404 }, "{config}");
        }
        // Who asks where nothing is answered is told why.
        for (path, status, key) in [
            ("/v1/data/guardrails", data, "admin.data_api"),
            (
                "/.well-known/authzen-configuration",
                authzen,
                "admin.authzen",
            ),
        ] {
            let answer = get(gate.admin, path);
            let is_off = answer.body.contains(&format!("{key} is off"));
            assert_eq!(is_off, status == 404, "{config}: {answer:?}");
        }
        // Not where clients are.
        let strange = gate.raw("GET /v1/data HTTP/1.1\r\nHost: gate\r\n\r\n");
        assert_ne!(
            strange.header("content-type"),
            Some("application/json"),
            "{strange:?}"
        );
        assert_eq!(get(gate.admin, "/healthz").status, 200);
    }
}

#[test]
fn documents_are_answered_as_opa_does() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let admin = gate.admin;
    let names =
        |answer: &Value| -> Vec<String> { answer.as_object().unwrap().keys().cloned().collect() };
    let defined = get(admin, "/v1/data/guardrails/scope_budget/max");
    assert_eq!(defined.header("content-type"), Some("application/json"));
    assert_eq!(defined.json()["result"], 12);
    assert_eq!(names(&defined.json()), ["decision_id", "result"]);
    let undefined = get(admin, "/v1/data/nothing/here").json();
    assert_eq!(names(&undefined), ["decision_id"]);
    let input = json!({"input": {
        "operation": "token.create", "api": "v2", "environment": {"name": "default"}, "time": "2026-01-01T00:00:00Z",
        "caller": {"token": {"id": CALLER, "kind": "api-token"}},
        "change": {"scopes": {"requested": ["WriteConfig"]}, "name": {"requested": "payments-prod-ci"}},
    }});
    let denied = post(
        admin,
        "/v1/data/dtgate/forbidden_scopes/deny",
        "",
        &input.to_string(),
    )
    .json();
    assert_eq!(denied["result"][0]["path"], "scopes[0]", "{denied}");
    // The same by GET, and a package as a whole.
    let query = input["input"]
        .to_string()
        .replace('"', "%22")
        .replace(' ', "+");
    let asked = get(
        admin,
        &format!("/v1/data/dtgate/forbidden_scopes?pretty&input={query}"),
    );
    assert_eq!(asked.json()["result"]["deny"], denied["result"]);
    assert!(asked.body.contains("\n  \""), "{}", asked.body);
    let all = post(admin, "/v1/data", "", &input.to_string()).json();
    assert_eq!(
        all["result"]["dtgate"]["forbidden_scopes"]["deny"],
        denied["result"]
    );
    assert!(all["result"].get("dtgate_known").is_none());
    // OPA says so where there is no input.
    let without = post(admin, "/v1/data/guardrails/scope_budget", "", "{}").json();
    assert_eq!(names(&without), ["decision_id", "result", "warning"]);
    assert_eq!(without["warning"]["code"], "api_usage_warning");
    for nothing in ["", "null", "{\"input\": null}"] {
        assert_eq!(
            names(&post(admin, "/v1/data/nothing", "", nothing).json()),
            ["decision_id", "warning"],
            "{nothing}"
        );
    }
    let null = get(admin, "/v1/data/nothing?input=null").json();
    assert_eq!(names(&null), ["decision_id"]);
    assert_eq!(gate.decisions(), [Value::Null; 0]);
}

#[test]
fn what_is_no_question_is_refused_with_opas_error() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    for body in [
        "{",
        "[]",
        "1",
        "{\"input\": 1, \"input\": 2}",
        "{\"input\": tru}",
        "\u{feff}{}",
    ] {
        let answer = post(gate.admin, "/v1/data/guardrails", "", body);
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["code"], "invalid_parameter", "{body}");
        assert!(answer.json()["message"].is_string(), "{body}");
    }
    assert_eq!(get(gate.admin, "/v1/data/a?input=%7B").status, 400);
    assert_eq!(get(gate.admin, "/v1/data/%ff").status, 400);
    let long = "/a".repeat(100);
    assert_eq!(get(gate.admin, &format!("/v1/data{long}")).status, 400);
    let gzip = post(gate.admin, "/v1/data", "Content-Encoding: gzip\r\n", "{}");
    assert_eq!(gzip.status, 400);
    for method in ["PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = exchange(
            gate.admin,
            format!("{method} /v1/data/guardrails HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        );
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, POST")),
            "{method}"
        );
    }
}

/// A page in an operator's browser can lead a name of its own here, and read what is answered to that.
#[test]
fn nobody_is_answered_who_asks_by_another_name() {
    let upstream = Upstream::lenient();
    let gate = gate(
        &upstream,
        &format!("{BOTH}hosts = [\"gate.internal\", \"other.internal:8081\"]\n"),
    );
    let asked = |path: &str, host: &str| {
        let text = format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        exchange(gate.admin, text.as_bytes())
    };
    for (host, status) in [
        ("Host: localhost\r\n", 200),
        ("Host: LOCALHOST:8081\r\n", 200),
        ("Host: 127.0.0.1:8081\r\n", 200),
        ("Host: [::1]:8081\r\n", 200),
        ("Host: gate.internal\r\n", 200),
        ("Host: Gate.Internal:9000\r\n", 200),
        ("Host: other.internal:8081\r\n", 200),
        ("Host: other.internal:8082\r\n", 421),
        ("Host: evil.example\r\n", 421),
        ("Host: evil.example:8081\r\n", 421),
        ("Host: localhost.evil.example\r\n", 421),
        ("Host: a@localhost\r\n", 421),
        ("Host: 127.0.0.1.evil.example\r\n", 421),
        ("Host: \r\n", 421),
    ] {
        for path in [
            "/v1/data/guardrails/scope_budget",
            "/.well-known/authzen-configuration",
        ] {
            let answer = asked(path, host);
            assert_eq!(answer.status, status, "{host}: {answer:?}");
            assert!(
                status == 200 || !answer.body.contains("max\""),
                "{answer:?}"
            );
        }
    }
    // What was always there has nothing to hide, and probes ask by any name.
    assert_eq!(asked("/healthz", "Host: evil.example\r\n").status, 200);
}

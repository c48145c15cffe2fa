//! Every endpoint by which a credential can be made, shown, widened, revived or removed is on the
//! catalogue, and the gate does with it what the catalogue says: by effect, with a policy that denies all.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Answered, Gate, Upstream, gate, policies, program};

/// One line of `tests/data/endpoints.txt`.
struct Known {
    method: String,
    target: String,
    operation: String,
    handling: &'static str,
}

fn known() -> Vec<Known> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/endpoints.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            Known {
                method: words[0].to_owned(),
                target: words[1].to_owned(),
                operation: words[2].to_owned(),
                handling: match words.get(3) {
                    None => "judge",
                    Some(&"passed") => "pass",
                    Some(&"refused") => "refuse",
                    Some(other) => panic!("{line}: {other}"),
                },
            }
        })
        .collect()
}

/// A gate that denies whatever a policy sees.
pub(crate) fn gate_that_denies(upstream: &Upstream, configuration: &str) -> (Gate, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let rego = "package dtgate.nothing\n\ndeny contains \"nothing passes\"\n";
    std::fs::create_dir(files.path().join("policies")).unwrap();
    std::fs::write(files.path().join("policies/nothing.rego"), rego).unwrap();
    let config = files.path().join("dtgate.toml");
    std::fs::write(&config, configuration).unwrap();
    let policies = files.path().join("policies");
    let arguments = [
        "--policies",
        policies.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ];
    let gate = Gate::start(tempfile::tempdir().unwrap(), upstream.address, &arguments);
    (gate, files)
}

/// A body that the operation can have; settings are about tokens.
fn body(known: &Known) -> &'static str {
    match (known.method.as_str(), known.operation.as_str()) {
        ("GET" | "DELETE", _) | (_, "edge_connect.rotate" | "public_share.passcode") => "",
        (_, operation) if operation.starts_with("tenant_token_rotation") => "",
        ("POST", "token_settings.update") => {
            r#"[{"schemaId":"builtin:tokens.token-settings","value":{"patEnabled":true}}]"#
        }
        ("PUT", "token_settings.update") => r#"{"value":{"patEnabled":true}}"#,
        _ => r#"{"name":"payments-prod-ci","scopes":["metrics.read"]}"#,
    }
}

#[test]
fn promise_2_every_endpoint_that_is_known_is_handled_as_the_catalogue_says() {
    let upstream = Upstream::answering_all(|_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    let (gate, _files) = gate_that_denies(&upstream, "");
    let mut judged = 0;
    for (at, known) in known().iter().enumerate() {
        let arrived = upstream.seen().len();
        let target = &known.target;
        let answer = gate.send(&known.method, target, body(known));
        let what = format!("{} {target}: {answer:?}", known.method);
        let status = match known.handling {
            "pass" => 204,
            _ => 403,
        };
        assert_eq!(answer.status, status, "{what}");
        let passed = usize::from(known.handling == "pass");
        assert_eq!(upstream.seen().len(), arrived + passed, "{what}");
        if known.handling == "pass" {
            continue;
        }
        judged += 1;
        let record = gate.records().last().unwrap().clone();
        assert_eq!(record["operation"], json!(known.operation), "{what}");
        assert_eq!(record["verdict"], "deny", "{what}");
        if known.handling == "judge" {
            assert_eq!(
                record["input"]["operation"],
                json!(known.operation),
                "line {at}"
            );
            assert!(answer.message().contains("nothing passes"), "{what}");
        } else {
            assert!(answer.message().contains("is not passed on"), "{what}");
        }
    }
    assert!(judged > 50, "only {judged} endpoints are guarded");
}

/// Whether a row's method, as `dtgate endpoints` prints it, covers one.
fn is_for(row: &str, method: &str) -> bool {
    match row {
        "*" => true,
        "write" => !matches!(method, "GET" | "HEAD" | "OPTIONS"),
        one => one == method,
    }
}

#[test]
fn the_list_of_endpoints_agrees_with_what_is_known() {
    let output = program()
        .args(["endpoints", "--format", "json"])
        .output()
        .unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let listed = |known: &Known| {
        let path = known.target.split('?').next().unwrap();
        let path = path.replace("/platform/classic/environment-api", "/api");
        let path = path.strip_prefix("/e/abc12345").unwrap_or(&path);
        let wanted: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        rows.iter().any(|row| {
            let pattern = row["path"].as_str().unwrap();
            let pattern: Vec<&str> = pattern.split('/').skip(1).collect();
            let rest = pattern.last() == Some(&"{*}");
            let length = pattern.len() - usize::from(rest);
            let same_length = wanted.len() == length || rest && wanted.len() >= length;
            let mut pairs = pattern.iter().take(length).zip(&wanted);
            row["operation"] == json!(known.operation)
                && row["handling"] == json!(known.handling)
                && is_for(row["method"].as_str().unwrap(), &known.method)
                && same_length
                && pairs.all(|(pattern, word)| pattern.starts_with('{') || pattern == word)
        })
    };
    for known in known() {
        assert!(
            listed(&known),
            "{} {} is on no row",
            known.method,
            known.target
        );
    }
    let pretty = program().arg("endpoints").output().unwrap();
    let text = String::from_utf8(pretty.stdout).unwrap();
    assert!(text.lines().count() > rows.len(), "{text}");
    let mut lines = text.lines().take(rows.len() + 1);
    let title = lines.next().unwrap();
    let words: Vec<&str> = title.split_whitespace().collect();
    assert_eq!(words, ["operation", "handling", "method", "path", "why"]);
    // Each column begins below its title.
    for (line, row) in lines.zip(rows) {
        for (column, value) in [
            ("operation", &row["operation"]),
            ("handling", &row["handling"]),
            ("method", &row["method"]),
            ("path", &row["path"]),
            ("why", &row["why"]),
        ] {
            let below = &line[title.find(column).unwrap()..];
            assert!(
                below.starts_with(value.as_str().unwrap()),
                "{column}: {line}"
            );
        }
    }
    assert!(!text.contains('\u{1b}'), "colours are for terminals only");
}

/// The answer shows nothing, but a row for every method is for this one too.
#[test]
fn options_pass_unless_a_row_is_for_every_method() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for (target, status) in [
        ("/api/v2/apiTokens", 204),
        ("/api/v2/apiTokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA", 204),
        ("/rest/x", 403),
        ("/platform/app-engine/app-functions/x", 403),
        ("/platform/storage/query/v1/x", 204),
    ] {
        let answer = gate.send("OPTIONS", target, "");
        assert_eq!(answer.status, status, "{target}");
    }
}

#[test]
fn an_override_is_obeyed_and_never_silent() {
    let upstream = Upstream::lenient();
    let configuration = "[upstream]\nurl = \"http://127.0.0.1:9\"\n[endpoints]\n\"workflow.update\" = \"judge\"\n\"internal_api.call\" = \"pass\"\n\"token.list\" = \"refuse\"\n";
    let (gate, files) = gate_that_denies(&upstream, configuration);
    assert_eq!(gate.send("POST", "/rest/x", "{}").status, 204);
    assert_eq!(gate.send("GET", "/api/v2/apiTokens", "").status, 403);
    let workflow = gate.send(
        "POST",
        "/platform/automation/v1/workflows",
        r#"{"title":"t"}"#,
    );
    assert!(
        workflow.message().contains("nothing passes"),
        "{workflow:?}"
    );
    assert_eq!(
        gate.records().last().unwrap()["input"]["unknown_members"],
        json!({"title": "t"})
    );

    assert_eq!(
        gate.records()[0]["endpoints"],
        json!({"internal_api.call": "pass", "token.list": "refuse", "workflow.update": "judge"})
    );
    let said = gate
        .log()
        .matches("changes how an operation is handled")
        .count();
    assert_eq!(said, 3, "{}", gate.log());
    let config = files.path().join("dtgate.toml");
    let run = |command: &str| {
        let mut command = run_with(command, &config);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let listed = run("endpoints");
    assert!(listed.contains("(configured)"), "{listed}");
    let checked = run("check");
    assert!(
        checked.contains("internal_api.call is handled as pass, not refuse"),
        "{checked}"
    );
}

fn run_with(command: &str, config: &std::path::Path) -> std::process::Command {
    let mut program = program();
    program.arg(command).arg("--config").arg(config);
    if command == "check" {
        program.arg("--policies").arg(policies());
    }
    program
}

#[test]
fn an_override_that_cannot_be_is_an_error() {
    let files = tempfile::tempdir().unwrap();
    let config = files.path().join("dtgate.toml");
    for (configuration, reason) in [
        (
            "\"token.lookup\" = \"judge\"",
            "token.lookup cannot be judged",
        ),
        ("\"token.creat\" = \"pass\"", "dtgate endpoints"),
        ("\"token.create\" = \"allow\"", "allow"),
    ] {
        let text =
            format!("[upstream]\nurl = \"http://127.0.0.1:1\"\n[endpoints]\n{configuration}\n");
        std::fs::write(&config, text).unwrap();
        let output = run_with("check", &config).output().unwrap();
        assert!(!output.status.success(), "{configuration}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn settings_pass_byte_for_byte_unless_they_are_about_tokens() {
    let upstream = Upstream::lenient();
    let (gate, _files) = gate_that_denies(&upstream, "");
    let body = " [{\"schemaId\":\"builtin:alerting.profile\",\"value\":{\"a\":1.50,\"A\":[]}}]";
    for target in [
        "/api/v2/settings/objects?validateOnly=true&adminAccess=false",
        "/platform/classic/environment-api/v2/settings/objects",
        "/e/abc/api/v2/settings/objects",
    ] {
        assert_eq!(gate.send("POST", target, body).status, 204, "{target}");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.line, format!("POST {target} HTTP/1.1"));
        assert_eq!(seen.body, body.as_bytes());
    }
    let chunked = format!(
        "POST /api/v2/settings/objects HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    assert_eq!(gate.raw(&chunked).status, 204);
    assert_eq!(upstream.seen().pop().unwrap().body, body.as_bytes());
    let refused = |answer: &Answered| assert!(answer.status >= 400, "{answer:?}");
    let arrived = upstream.seen().len();
    refused(&gate.raw(chunked.replace("builtin:alerting.profile", "builtin:activegate-token")));
    refused(&gate.send("PUT", "/api/v2/settings/objects/abc", "{}"));
    refused(&gate.send("POST", "/api/v2/settings/objects", "[{]"));
    assert_eq!(upstream.seen().len(), arrived);
}

#[test]
fn a_download_is_recorded_and_streamed() {
    let upstream = Upstream::answering(|seen| {
        if seen.header("if-none-match").is_some() {
            return b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n".to_vec();
        }
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nETag: \"1\"\r\n\r\ninstaller".to_vec()
    });
    let gate = gate(upstream.address);
    let target = "/api/v1/deployment/installer/agent/unix/default/latest?arch=x86&flavor=default";
    let answer = gate.send("GET", target, "");
    assert_eq!((answer.status, answer.body.as_str()), (200, "installer"));
    assert_eq!(upstream.seen()[0].line, format!("GET {target} HTTP/1.1"));
    let record = &gate.records()[1];
    assert_eq!(record["operation"], "installer.download");
    assert_eq!(record["verdict"], "allow");
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X\r\nIf-None-Match: \"1\"\r\n\r\n"
    );
    assert_eq!(gate.raw(head).status, 304);
}

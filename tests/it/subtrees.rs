//! What lies below guarded endpoints, under any spelling: nothing of it reaches the upstream unrecorded, and what
//! honest clients do there goes on. And what would make another request of one.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use serde_json::Value;

use crate::catalogue::gate_that_denies;
use crate::harness::{Answered, Gate, Upstream, gate, program};
use crate::wire::{Scripted, configured, connect};

/// The budgets for refusals are not what is tried here.
const GENEROUS: &str =
    "[limits]\nrefusals = 1000000\ndenials = 1000000\n[journal]\ndurability = \"buffered\"\n";

const TOKEN_OBJECT: &str = "vu9U3hXa3q0AAAABAB1idWlsdGluOnRva2Vucy50b2tlbi1zZXR0aW5ncwAGdGVuYW50";

/// A path for every row that is guarded, with something in each placeholder.
fn guarded_paths() -> BTreeSet<String> {
    let output = program().args(["endpoints", "--format", "json"]).output();
    let rows: Vec<Value> = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let guarded = rows.iter().filter(|row| row["handling"] != "pass");
    guarded
        .map(|row| {
            let path = row["path"].as_str().unwrap().replace("/{*}", "");
            let segments = path
                .split('/')
                .map(|segment| match segment.split_once('}') {
                    Some((_, verb)) => format!("x1{verb}"),
                    None => segment.to_owned(),
                });
            segments.collect::<Vec<_>>().join("/")
        })
        .collect()
}

fn spellings(path: &str) -> Vec<String> {
    let mut spellings = vec![
        path.to_owned(),
        format!("{path}/"),
        path.replace('/', "//"),
        format!("/e/abc12345{path}"),
        format!("/e/a/e/b{path}"),
        path.to_uppercase(),
        path.replacen("/v", "/%76", 1),
        format!("/x/..{path}"),
    ];
    if let Some(below) = path.strip_prefix("/api/") {
        spellings.push(format!("/platform/classic/environment-api/{below}"));
    }
    spellings
}

#[test]
fn promise_2_nothing_below_a_guarded_endpoint_passes_unrecorded() {
    let upstream = Upstream::answering_all(|_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    let (gate, _files) = gate_that_denies(&upstream, GENEROUS);
    let paths = guarded_paths();
    assert!(paths.len() > 80, "only {}", paths.len());
    let mut sent = 0;
    for path in &paths {
        for (method, below, body) in [
            ("POST", format!("{path}/unknown/below"), "{}"),
            ("PATCH", format!("{path}:frob"), "{}"),
            ("GET", format!("{path}/unknown/below"), ""),
        ] {
            for target in spellings(&below) {
                let answer = gate.send(method, &target, body);
                assert!(answer.status >= 400, "{method} {target}: {answer:?}");
                sent += 1;
            }
        }
    }
    let arrived = upstream.seen();
    assert!(arrived.is_empty(), "{:?}", arrived.first());
    let decisions = gate.records();
    let decisions = decisions
        .iter()
        .filter(|record| record["kind"] == "decision");
    assert_eq!(decisions.count(), sent, "each is recorded");
}

#[test]
fn an_unknown_write_below_a_guarded_endpoint_says_what_to_do() {
    let upstream = Upstream::lenient();
    let shipped = gate(upstream.address);
    let edge = "/platform/app-engine/edge-connect/v1/edge-connects/1";
    let answer = shipped.send("POST", &format!("{edge}/secret:reveal"), "{}");
    assert_eq!(answer.status, 403, "{answer:?}");
    let message = answer.message();
    for part in [
        "edge_connect.unknown",
        "does not know this path",
        "[endpoints]",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(
        shipped.records().last().unwrap()["operation"],
        "edge_connect.unknown"
    );
    let vault = "/api/v2/credentials/CREDENTIALS_VAULT-1/plain";
    let answer = shipped.send("GET", vault, "");
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.message().contains("shows secrets"), "{answer:?}");
    assert!(upstream.seen().is_empty());

    let configuration = "[endpoints]\n\"edge_connect.unknown\" = \"pass\"\n";
    let (opened, _files) = gate_that_denies(&upstream, configuration);
    assert_eq!(
        opened
            .send("POST", &format!("{edge}/secret:reveal"), "{}")
            .status,
        204
    );
    assert_eq!(opened.send("GET", vault, "").status, 403);
}

#[test]
fn an_unknown_read_below_a_guarded_endpoint_is_recorded_and_passed() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for target in [
        "/platform/automation/v1/workflows/1/statistics?x=y",
        "/api/v2/settings/objects/abc/diff",
        "/platform/app-engine/edge-connect/v1/edge-connects:matched",
    ] {
        let answer = gate.send("GET", target, "");
        assert_eq!(answer.status, 204, "{target}: {answer:?}");
        assert_eq!(
            upstream.seen().pop().unwrap().line,
            format!("GET {target} HTTP/1.1")
        );
        let records = gate.records();
        let decision = records.iter().rfind(|record| record["kind"] == "decision");
        let decision = decision.unwrap();
        assert_eq!(decision["operation"], "unknown.read", "{target}");
        assert_eq!(decision["verdict"], "allow", "{target}");
    }
}

#[test]
fn what_honest_clients_do_beside_guarded_endpoints_goes_on_unrecorded() {
    let upstream = Upstream::answering_all(|_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    let gate = gate(upstream.address);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/honest.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut sent = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (method, target) = line.split_once(' ').unwrap();
        let body = match method {
            "POST" | "PUT" | "PATCH" => {
                r#"{"schemaId":"builtin:alerting.profile","value":{"a":1}}"#
            }
            _ => "",
        };
        let answer = gate.send(method, target, body);
        assert_eq!(answer.status, 204, "{line}: {answer:?}");
        sent.push((format!("{line} HTTP/1.1"), body.as_bytes().to_vec()));
    }
    let seen = upstream.seen().into_iter();
    let seen: Vec<_> = seen.map(|seen| (seen.line, seen.body)).collect();
    assert_eq!(seen, sent);
    let records = gate.records();
    let decision = records.iter().find(|record| record["kind"] == "decision");
    assert_eq!(decision, None);
}

#[test]
fn the_same_rows_under_a_name_that_differs_in_case_are_refused() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for target in [
        "/api/v2/credentials/Details?ids=1",
        "/api/v2/credentials/DETAILS",
        "/e/a/e/b/rest/x",
        "/e/a/e/b/e/c/iam/v1/x",
        "/Platform-Reserved/x",
        "/api/v2/credentials/1/Details",
    ] {
        let answer = gate.send("GET", target, "");
        assert!(matches!(answer.status, 400 | 403), "{target}: {answer:?}");
        assert_eq!(
            gate.records().last().unwrap()["verdict"],
            "deny",
            "{target}"
        );
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn methods_are_written_in_capitals_and_trace_is_none() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, GENEROUS);
    let guarded = [
        "/api/v1/deployment/installer/agent/connectioninfo",
        "/api/v2/agentConnectionToken",
        "/api/v2/credentials/1/details",
        "/platform/public-access/v1/shares",
    ];
    let open = ["/", "/api/v2/metrics", "/ui/x"];
    let expect = |method: &str, target: &str, statuses: &[u16]| {
        let answer = gate.send(method, target, "");
        assert!(
            statuses.contains(&answer.status),
            "{method} {target}: {answer:?}"
        );
        assert_eq!(
            gate.records().last().unwrap()["verdict"],
            "deny",
            "{method} {target}"
        );
        answer
    };
    for target in guarded.iter().chain(&open) {
        let answer = expect("TRACE", target, &[405]);
        assert!(answer.header("allow").is_some(), "{answer:?}");
        for method in ["get", "Post", "dELETE", "trace", "options"] {
            let answer = expect(method, target, &[400]);
            assert!(answer.message().contains("in capitals"), "{answer:?}");
        }
    }
    for target in guarded.iter().take(3) {
        for method in ["QUERY", "POST", "FOO", "PROPFIND"] {
            let answer = expect(method, target, &[405]);
            assert_eq!(answer.header("allow"), Some("GET"), "{answer:?}");
        }
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(gate.send("QUERY", "/api/v2/metrics", "").status, 204);
}

#[test]
fn an_escape_that_is_none_is_refused_in_the_path_of_a_write() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for path in [
        "/api/v2/x%zz",
        "/api/v2/x%2",
        "/api/v2/x%",
        "/%/x",
        "/api/v2/%a%20x",
        "/x%2g",
    ] {
        for method in ["POST", "DELETE"] {
            let answer = gate.send(method, path, "");
            assert_eq!(answer.status, 400, "{method} {path}: {answer:?}");
            assert!(answer.message().contains("begins no escape"), "{answer:?}");
        }
        assert_eq!(gate.send("GET", path, "").status, 204, "{path}");
    }
    let gets = upstream.seen();
    assert!(gets.iter().all(|seen| seen.line.starts_with("GET ")));
}

/// A request with one more field.
fn with(gate: &Gate, line: &str, field: &str, body: &str) -> Answered {
    gate.raw(format!(
        "{line} HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X\r\n{field}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

#[test]
fn overrides_are_refused_in_every_spelling_and_honest_fields_are_not() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, GENEROUS);
    let read = "GET /api/v2/apiTokens/dt0c01.A";
    for field in [
        "X-Http-Verb: PUT",
        "X-HTTP-Verb-Override: DELETE",
        "X.HTTP.Method.Override: PUT",
        "X_Method: PUT",
        "X-HttpMethod: PUT",
        "X-Override-URL: /x",
        "X-MS-Original-URL: /x",
        "X-Original-Request-URI: /x",
        "X-Waws-Unencoded-URL: /x",
        "X-Path-Override: /x",
        "Trailer: Expires, X-HTTP-Method-Override",
        "Trailer: x-http-verb",
        "Trailer: X-Rewrite-Url",
    ] {
        let answer = with(&gate, read, field, "");
        assert_eq!(answer.status, 400, "{field}: {answer:?}");
    }
    for query in [
        "httpMethod=PUT",
        "_method=PUT",
        "http.method=PUT",
        "x-http-verb=PUT",
        "HTTP_VERB=PUT",
        "a=b;methodOverride=PUT",
    ] {
        let answer = with(&gate, &format!("{read}?{query}"), "X-A: b", "");
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
    }
    for field in [
        "X-Override-URL",
        "X-Rewrite-Uri",
        "X-Http-Path-Override",
        "X-Request-Uri",
        "X-Url",
        "X-Script-Name",
    ] {
        let field = format!("{field}: /api/v2/apiTokens/dt0c01.A");
        let answer = with(&gate, "POST /api/v2/metrics", &field, "{}");
        assert_eq!(answer.status, 400, "{field}: {answer:?}");
    }
    assert!(upstream.seen().is_empty());
    for field in [
        "X-Forwarded-Uri: /gate/api/v2/apiTokens/dt0c01.A",
        "X-Forwarded-Prefix: /gate",
        "X-Forwarded-Method: GET",
        "X-Request-Id: 1",
        "X-Request-Path: /gate",
        "X-Auth-Method: token",
        "Access-Control-Request-Method: PUT",
        "Trailer: Expires",
    ] {
        let answer = with(&gate, read, field, "");
        assert_eq!(answer.status, 200, "{field}: {answer:?}");
    }
}

#[test]
fn a_field_that_leads_from_one_guarded_path_to_another_is_refused() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let passes = "POST /api/v2/apiTokens/lookup";
    for name in [
        "X-Forwarded-Uri",
        "X-Envoy-Original-Path",
        "X-Request-Uri",
        "X-Script-Name",
        "Path",
    ] {
        for path in [
            "/api/v2/apiTokens",
            "/api/v2/apiTokens;/api/v2/apiTokens/lookup",
        ] {
            let field = format!("{name}: {path}");
            let answer = with(&gate, passes, &field, "{}");
            assert_eq!(answer.status, 400, "{field}: {answer:?}");
        }
    }
    assert!(upstream.seen().is_empty());
    for field in [
        "X-Forwarded-Uri: https://gate.example/e/x/api/v2/apiTokens/lookup?x=1",
        "X-Forwarded-Prefix: /gate",
    ] {
        let answer = with(&gate, passes, field, "{}");
        assert_eq!(answer.status, 204, "{field}: {answer:?}");
    }
}

#[test]
fn trailers_end_at_the_gate() {
    let upstream = Scripted::start();
    let gate = gate(upstream.address);
    let mut client = connect(gate.address);
    let request = "POST /api/v2/metrics HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nTrailer: X-Original-URL\r\n\r\n5\r\nwhole\r\n0\r\nX-Original-URL: /api/v1/tokens/x\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let mut stream = upstream.accept();
    let mut read = Vec::new();
    while !read.ends_with(b"0\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(
            stream.read(&mut byte).unwrap(),
            1,
            "{}",
            read.escape_ascii()
        );
        read.extend(byte);
        let text = String::from_utf8_lossy(&read).to_lowercase();
        assert!(!text.contains("original"), "{text}");
    }
    assert!(read.windows(5).any(|bytes| bytes == b"whole"));
}

#[test]
fn a_cookie_beside_a_token_is_one_credential_too_many() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let body = r#"{"name":"payments-prod-ci","scopes":["metrics.read"]}"#;
    let answer = with(
        &gate,
        "POST /api/v2/apiTokens",
        "Cookie: JSESSIONID=1",
        body,
    );
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(
        answer.message().contains("without the Cookie field"),
        "{answer:?}"
    );
    let query = format!(
        "POST /api/v2/apiTokens?Api-Token=dt0c01.A.B HTTP/1.1\r\nHost: g\r\nCookie: b925d32c=1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(gate.raw(query).status, 400);
    let settings = r#"[{"schemaId":"builtin:audit-log"}]"#;
    let answer = with(
        &gate,
        "POST /api/v2/settings/objects",
        "Cookie: a=b",
        settings,
    );
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(upstream.seen().is_empty());
    // Open traffic, and a field that says nothing.
    let other = r#"[{"schemaId":"builtin:alerting.profile"}]"#;
    for (line, cookie, body) in [
        ("POST /api/v2/settings/objects", "Cookie: a=b", other),
        ("GET /api/v2/apiTokens", "Cookie: a=b", ""),
        ("POST /api/v2/apiTokens", "Cookie: ", body),
    ] {
        assert_eq!(with(&gate, line, cookie, body).status, 204, "{line}");
    }
}

#[test]
fn settings_show_their_schema_however_their_id_is_written() {
    let upstream = Upstream::lenient();
    let (gate, _files) = gate_that_denies(&upstream, GENEROUS);
    let long = format!("{} {TOKEN_OBJECT}", "x".repeat(600));
    let encoded = TOKEN_OBJECT.replace('U', "%55").replace('d', "%2564");
    for id in [
        format!("{TOKEN_OBJECT}="),
        format!("{TOKEN_OBJECT}%3D%3D"),
        long,
        encoded,
        TOKEN_OBJECT.replace("AAAAB", "AAAAC"),
    ] {
        for (target, body) in [
            (
                "/api/v2/settings/objects",
                format!(r#"[{{"objectId":"{id}","value":{{}}}}]"#),
            ),
            (
                "/platform/settings/v1/objects",
                format!(r#"{{"schemaId":"x","insertAfter":"{id}"}}"#),
            ),
            (
                "/platform/settings/v1/objects:reorder",
                format!(r#"{{"order":["{id}"]}}"#),
            ),
        ] {
            let answer = gate.send("POST", target, &body);
            assert!(
                matches!(answer.status, 400 | 403),
                "{target} {body}: {answer:?}"
            );
        }
    }
    for method in ["PUT", "PATCH", "DELETE"] {
        for end in ["=", "%3D", "", ":clone", "/x"] {
            let target = format!("/platform/settings/v1/objects/{TOKEN_OBJECT}{end}");
            let body = if method == "DELETE" { "" } else { "{}" };
            let answer = gate.send(method, &target, body);
            assert!(answer.status >= 400, "{method} {target}: {answer:?}");
        }
    }
    let target = "/platform/settings/v1/objects?schema-id=builtin:tokens.token-settings";
    assert_eq!(gate.send("POST", target, "{}").status, 403);
    assert!(upstream.seen().is_empty());
    let records = gate.records();
    let deleted =
        |record: &&Value| record["request"]["method"] == "DELETE" && record["input"].is_object();
    let judged = records.iter().find(deleted).unwrap();
    assert_eq!(
        judged["input"]["settings"]["schemas"][0],
        "builtin:tokens.token-settings"
    );
}

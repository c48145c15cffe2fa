//! Questions of operators before a request: OPA's data API and `AuthZEN`, on the admin listener. What they are answered,
//! that they open no door and leave no record, and that nobody can do harm by asking.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Answered, BAD, GOOD, Gate, SECRET, TOKEN, Upstream, exchange, policies, read_answer, serving,
};

const CALLER: &str = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
const ID: &str = "d5836312-5790-4e80-afcf-09971954c3ea";
const BOTH: &str = "[admin]\ndata_api = true\nauthzen = true\n";

/// A gate with this configuration, and the shipped policies.
fn gate(upstream: &Upstream, config: &str) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    std::fs::write(&file, config).unwrap();
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
        "POST {path} HTTP/1.1\r\nHost: gate.example:8081\r\nContent-Type: application/json\r\n{fields}"
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
        format!("GET {target} HTTP/1.1\r\nHost: gate.example:8081\r\n\r\n").as_bytes(),
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
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
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
    assert_eq!(
        names(&post(admin, "/v1/data/nothing", "", "").json()),
        ["decision_id", "warning"]
    );
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
            format!("{method} /v1/data/guardrails HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").as_bytes(),
        );
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, POST")),
            "{method}"
        );
    }
}

#[test]
fn an_evaluation_says_what_a_request_would_be_told() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let passes = evaluate(&gate, &update(GOOD));
    assert_eq!(passes["decision"], true, "{passes}");
    assert_eq!(passes["context"]["violations"], json!([]));
    assert!(
        passes["context"]["unknown"][0]
            .as_str()
            .unwrap()
            .starts_with("token.current")
    );
    let denied = evaluate(&gate, &update(BAD));
    assert_eq!(denied["decision"], false);
    let found = &denied["context"]["violations"];
    // The request itself.
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let record = gate.decisions().pop().unwrap();
    let by_policy = |list: &Value| -> Vec<(Value, Value, Value)> {
        let of = |it: &Value| (it["policy"].clone(), it["path"].clone(), it["code"].clone());
        let mut all: Vec<_> = list.as_array().unwrap().iter().map(of).collect();
        all.retain(|(policy, ..)| policy == "forbidden_scopes");
        all
    };
    assert_eq!(by_policy(found), by_policy(&record["result"]["violations"]));
    assert!(!by_policy(found).is_empty(), "{denied}");
    assert_eq!(found[0]["effect"], "denies");
    // With what would pass, and the token as it is.
    let mut both = update(r#"{"name":"payments-prod-ci","scopes":["metrics.read","WriteConfig"]}"#);
    both["resource"]["properties"]["current"] =
        json!({"name": "payments-prod-ci", "scopes": ["metrics.read"]});
    let both = evaluate(&gate, &both);
    assert_eq!(
        both["context"]["remedy"]["scopes"],
        json!(["WriteConfig"]),
        "{both}"
    );
    assert_eq!(both["context"].get("unknown"), None);
    // Only the request itself is a decision.
    assert_eq!(gate.decisions().len(), 1);
    assert!(upstream.seen().is_empty());
    assert_eq!(
        metric(
            &gate,
            "dtgate_questions_total{api=\"authzen\",result=\"answered\"} "
        ),
        3
    );
}

#[test]
fn a_question_is_mapped_to_the_request_that_is_meant() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let of = |operation: &str, properties: Value, resource: Value| {
        json!({
            "subject": {"type": "user", "id": "alice", "properties": {"teams": ["payments"], "department": "x"}},
            "action": {"name": operation, "properties": properties},
            "resource": {"type": "token", "id": ID, "properties": resource},
            "context": {"time": "2026-01-01T00:00:00Z", "ip": "192.0.2.7"},
        })
    };
    let created = evaluate(
        &gate,
        &of(
            "token.create",
            json!({}),
            json!({"body": {"name": "payments-prod-ci", "scopes": ["metrics.read"]}}),
        ),
    );
    assert_eq!(
        (&created["decision"], &created["context"]["api"]),
        (&json!(true), &json!("v2")),
        "{created}"
    );
    assert_eq!(
        created["context"]["ignored"],
        json!([
            "subject.id",
            "subject.properties.department",
            "resource.id",
            "context.ip"
        ])
    );
    let open = evaluate(&gate, &of("token.list", json!({}), json!({})));
    assert_eq!(
        (&open["decision"], &open["context"]["open"]),
        (&json!(true), &json!(true)),
        "{open}"
    );
    let rotation = evaluate(
        &gate,
        &of("tenant_token.rotation.start", json!({}), json!({})),
    );
    assert_eq!(rotation["decision"], false, "{rotation}");
    // What the gate would refuse before any policy, and what is no request at all.
    for (operation, properties, resource, status) in [
        ("token.update", json!({}), json!({}), 400),
        ("token.update", json!({}), json!({"body": [1]}), 400),
        (
            "token.update",
            json!({}),
            json!({"body": {"scopes": "x"}}),
            400,
        ),
        (
            "token.update",
            json!({}),
            json!({"body": {"name": "a".repeat(70_000)}}),
            413,
        ),
        ("token.updat", json!({}), json!({}), 404),
        ("read", json!({}), json!({}), 404),
        ("token.update", json!({"api": "v9"}), json!({}), 400),
        (
            "token.update",
            json!({"path": "/api/v2/apiTokens", "method": "POST"}),
            json!({"body": {"name": "payments-prod-ci", "scopes": ["metrics.read"]}}),
            400,
        ),
        ("token.update", json!({"path": "no"}), json!({}), 400),
        ("token.update", json!({"method": "a b"}), json!({}), 400),
        ("installer.download", json!({}), json!({}), 400),
    ] {
        let question = of(operation, properties, resource);
        let answer = evaluate(&gate, &question);
        assert_eq!(answer["decision"], false, "{question}: {answer}");
        let error = &answer["context"]["error"];
        assert_eq!(error["status"], status, "{operation}: {answer}");
    }
    let mut slashes = update(GOOD);
    slashes["resource"]["id"] = json!("../../v2/apiTokens/x");
    assert_eq!(evaluate(&gate, &slashes)["decision"], false);
    let nowhere = json!({"environment": "stage"});
    let mut question = update(GOOD);
    question["context"] = nowhere;
    assert_eq!(
        evaluate(&gate, &question)["context"]["error"]["status"],
        400
    );
    assert!(gate.decisions().is_empty() && upstream.seen().is_empty());
}

#[test]
fn an_environment_is_asked_by_its_name() {
    let upstream = Upstream::lenient();
    let url = format!("http://{}", upstream.address);
    let config = format!(
        "{BOTH}[environments.prod]\nid = \"abc12345\"\nupstream.url = \"{url}\"\n[environments.stage]\nid = \"def67890\"\nupstream.url = \"{url}\"\n"
    );
    let gate = gate(&upstream, &config);
    let mut question = update(GOOD);
    let unnamed = evaluate(&gate, &question);
    assert!(
        unnamed["context"]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("several environments"),
        "{unnamed}"
    );
    for (name, decision) in [("prod", true), ("stage", true), ("test", false)] {
        question["context"] = json!({"environment": name});
        assert_eq!(evaluate(&gate, &question)["decision"], decision, "{name}");
    }
}

/// The shapes that the certification of `AuthZEN` sends, with operations of the catalogue in the place of its own.
#[test]
fn authzen_is_spoken_as_it_is_certified() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let question = update(GOOD);
    let (subject, action, resource) = (
        &question["subject"],
        &question["action"],
        &question["resource"],
    );
    let ask = |path: &str, body: &Value| post(gate.admin, path, "", &body.to_string());
    // What is not known is ignored, and every time is taken.
    let mut more = question.clone();
    more["futureField"] = json!({"nested": true});
    more["context"] = json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"});
    for _ in 0..3 {
        assert_eq!(evaluate(&gate, &more)["decision"], true);
    }
    // What is needed is missing, or of another kind.
    for (pointer, value) in [
        ("/subject", None),
        ("/action", None),
        ("/resource", None),
        ("/subject/type", None),
        ("/subject/id", None),
        ("/action/name", None),
        ("/resource/type", None),
        ("/resource/id", None),
        ("/subject", Some(json!("alice"))),
        ("/action/name", Some(json!(123))),
        ("/resource", Some(json!([]))),
        ("/context", Some(json!("x"))),
    ] {
        let mut wrong = question.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = wrong.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            None => drop(parent.remove(name)),
            Some(value) => drop(parent.insert(name.to_owned(), value)),
        }
        assert_eq!(
            ask("/access/v1/evaluation", &wrong).status,
            400,
            "{pointer}"
        );
    }
    for body in ["", "{", "[]", "\"x\""] {
        assert_eq!(
            post(gate.admin, "/access/v1/evaluation", "", body).status,
            400,
            "{body}"
        );
    }
    let plain = exchange(gate.admin, b"POST /access/v1/evaluation HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(plain.status, 400);
    let named = post(
        gate.admin,
        "/access/v1/evaluation",
        "X-Request-ID: bfe9eb29-ab87\r\n",
        &question.to_string(),
    );
    assert_eq!(named.header("x-request-id"), Some("bfe9eb29-ab87"));
    // Several, with what they have in common.
    let decisions = |body: &Value| -> Vec<Value> {
        let answer = ask("/access/v1/evaluations", body);
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        let answer = answer.json();
        assert_eq!(answer.get("decision"), None);
        answer["evaluations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["decision"].clone())
            .collect()
    };
    let bad = &update(BAD)["resource"];
    let list = |evaluations: Value| json!({"subject": subject, "action": action, "evaluations": evaluations});
    assert_eq!(
        decisions(&list(json!([{"resource": resource}, {"resource": bad}]))),
        [true, false]
    );
    assert_eq!(
        decisions(&json!({"evaluations": [question, update(BAD)]})),
        [true, false]
    );
    assert_eq!(
        decisions(&list(json!([{"resource": resource}, {}, 1]))),
        [true, false, false]
    );
    // The type comes from what they have in common, and nothing else of it does.
    let mut partial = resource.clone();
    partial.as_object_mut().unwrap().remove("type");
    let mut common = list(json!([{"resource": partial}]));
    common["resource"] =
        json!({"type": "token", "properties": {"body": {"scopes": ["WriteConfig"]}}});
    assert_eq!(decisions(&common), [true]);
    let three = json!([{"resource": bad}, {"resource": resource}, {"resource": bad}]);
    for (semantic, expected) in [
        ("execute_all", vec![false, true, false]),
        ("deny_on_first_deny", vec![false]),
        ("permit_on_first_permit", vec![false, true]),
    ] {
        let mut body = list(three.clone());
        body["options"] = json!({"evaluations_semantic": semantic, "another_option": "value"});
        assert_eq!(decisions(&body), expected, "{semantic}");
    }
    let mut unknown = list(three);
    unknown["options"] = json!({"evaluations_semantic": "first"});
    assert_eq!(ask("/access/v1/evaluations", &unknown).status, 400);
    // Without a list it is one question.
    let mut empty = question.clone();
    for evaluations in [None, Some(json!([]))] {
        if let Some(evaluations) = evaluations {
            empty["evaluations"] = evaluations;
        }
        assert_eq!(
            ask("/access/v1/evaluations", &empty).json()["decision"],
            true
        );
    }
    let many = list(json!(vec![json!({"resource": resource}); 51]));
    assert_eq!(ask("/access/v1/evaluations", &many).status, 400);
    assert_eq!(
        metric(&gate, "dtgate_limit_reached_total{limit=\"evaluations\"} "),
        1
    );
    let told = get(gate.admin, "/.well-known/authzen-configuration").json();
    assert_eq!(told["policy_decision_point"], "http://gate.example:8081");
    assert_eq!(
        told["access_evaluation_endpoint"],
        "http://gate.example:8081/access/v1/evaluation"
    );
    assert_eq!(
        told["access_evaluations_endpoint"],
        "http://gate.example:8081/access/v1/evaluations"
    );
}

#[test]
fn a_secret_in_a_question_is_written_nowhere() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let token = format!("{CALLER}.{SECRET}");
    let mut shown = String::new();
    let ask = |path: &str, body: &Value| {
        format!(
            "{:?}",
            post(
                gate.admin,
                path,
                &format!("X-Request-ID: {token}\r\n"),
                &body.to_string()
            )
        )
    };
    for path in [
        "/v1/data/dtgate/naming",
        "/v1/data",
        &format!("/v1/data/{token}"),
    ] {
        shown += &ask(
            path,
            &json!({"input": {"change": {"name": {"requested": token}}, "caller": {"token": {"id": token}}}}),
        );
        shown += &ask(path, &json!({"input": token, token.as_str(): 1}));
    }
    shown += &format!(
        "{:?}",
        get(
            gate.admin,
            &format!("/v1/data/a?input={token}&{token}={token}")
        )
    );
    let evaluation = "/access/v1/evaluation";
    let places = [
        "/subject/id",
        "/subject/type",
        "/action/name",
        "/action/properties/api",
        "/action/properties/path",
        "/action/properties/method",
        "/resource/id",
        "/resource/type",
        "/resource/properties/body",
        "/resource/properties/body/name",
        "/resource/properties/body/scopes",
        "/resource/properties/current",
        "/resource/properties/current/name",
        "/context/environment",
        "/context/time",
        "/subject/properties/token",
        "/subject/properties/address",
        "/subject/properties/teams",
        "/subject/properties/claims",
        "/subject/properties/claims/iss",
        "/subject/properties/certificate/subject",
        "/subject/properties/certificate/not_after",
    ];
    for place in places {
        for value in [json!(token), json!([token]), json!({token.as_str(): token})] {
            let mut question = update(GOOD);
            question["context"] = json!({});
            question["subject"]["properties"] =
                json!({"claims": {"iss": "https://a"}, "certificate": {}});
            question["resource"]["properties"]["current"] = json!({"name": "a", "scopes": []});
            let (parent, name) = place.rsplit_once('/').unwrap();
            let parent = question.pointer_mut(parent).unwrap();
            parent[name] = value;
            shown += &ask(evaluation, &question);
        }
    }
    shown += &ask(
        "/access/v1/evaluations",
        &json!({"evaluations": [token, {"subject": token}], "options": token}),
    );
    shown += &ask(evaluation, &json!({token.as_str(): token}));
    assert!(!shown.contains(&SECRET[..20]), "{shown}");
    assert!(gate.decisions().is_empty());
    // The journal and the log are looked through when the gate is dropped.
}

#[test]
fn long_deep_and_slow_questions_are_refused_and_others_are_not_kept_waiting() {
    let upstream = Upstream::lenient();
    let gate = gate(
        &upstream,
        "[admin]\ndata_api = true\nauthzen = true\nmax_body = \"64 KiB\"\nmax_questions = 1\n",
    );
    let long = format!("{{\"input\": \"{}\"}}", "a".repeat(70_000));
    let answer = post(gate.admin, "/v1/data/guardrails", "", &long);
    assert_eq!(answer.status, 413, "{answer:?}");
    for deep in ["[".repeat(20_000), "{\"a\":".repeat(10_000)] {
        for path in [
            "/v1/data/guardrails",
            "/access/v1/evaluation",
            "/access/v1/evaluations",
        ] {
            assert_eq!(post(gate.admin, path, "", &deep).status, 400, "{path}");
        }
    }
    let chunked = exchange(gate.admin, &[&b"POST /v1/data HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n"[..], &vec![b' '; 70_000]].concat());
    assert_eq!(chunked.status, 413);
    assert_eq!(
        metric(
            &gate,
            "dtgate_limit_reached_total{limit=\"question_body\"} "
        ),
        2
    );
    let slow = || {
        let mut stream = TcpStream::connect(gate.admin).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
            .write_all(b"POST /v1/data HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{")
            .unwrap();
        stream
    };
    let streams: Vec<TcpStream> = (0..4).map(|_| slow()).collect();
    // All places are taken: who comes now is told at once, and is not held up.
    let busy = crate::harness::eventually("all places are taken", || {
        let answer = post(gate.admin, "/v1/data/guardrails", "", "{}");
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(busy.header("retry-after"), Some("1"));
    assert_eq!(busy.json()["code"], "internal_error");
    assert_eq!(get(gate.admin, "/healthz").status, 200);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    for stream in streams {
        let answer = read_answer(&mut BufReader::new(stream)).unwrap();
        assert_eq!(answer.status, 408);
    }
    assert_eq!(
        post(gate.admin, "/v1/data/guardrails", "", "{}").status,
        200
    );
    assert!(
        metric(
            &gate,
            "dtgate_limit_reached_total{limit=\"question_timeout\"} "
        ) >= 4
    );
    assert!(metric(&gate, "dtgate_limit_reached_total{limit=\"questions\"} ") >= 1);
}

#[test]
fn many_questions_at_once_keep_nobody_from_being_served() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let list = json!({"evaluations": vec![update(BAD); 50]}).to_string();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..30)
            .map(|number| {
                let (admin, list) = (gate.admin, &list);
                scope.spawn(move || match number % 2 {
                    0 => post(admin, "/access/v1/evaluations", "", list).status,
                    _ => get(admin, "/v1/data").status,
                })
            })
            .collect();
        for _ in 0..5 {
            assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
            assert_eq!(get(gate.admin, "/healthz").status, 200);
        }
        asking.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(
        statuses.iter().all(|status| matches!(status, 200 | 503)),
        "{statuses:?}"
    );
    assert!(statuses.contains(&200), "{statuses:?}");
    assert_eq!(gate.decisions().len(), 5);
}

/// A rule that never ends is ended, and a rule that fails is told by its place.
#[test]
fn rules_that_fail_or_take_long_are_errors() {
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("policies");
    std::fs::create_dir(&folder).unwrap();
    let policy = "package dtgate.slow\n\ndeny contains \"no\" if input.operation == \"nothing\"\n\nfails := to_number(input.operation)\n\nends := count([1 | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); a == b; input.api])\n";
    std::fs::write(folder.join("slow.rego"), policy).unwrap();
    let file = directory.path().join("dtgate.toml");
    std::fs::write(&file, BOTH).unwrap();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(&file)
        .arg("--policies")
        .arg(&folder);
    command.args(["--upstream", &format!("http://{}", upstream.address)]);
    let gate = Gate::spawn(directory, command);
    for (rule, told) in [
        ("fails", "slow.rego:5:"),
        ("ends", "data.dtgate.slow.ends: "),
    ] {
        let answer = post(
            gate.admin,
            &format!("/v1/data/dtgate/slow/{rule}"),
            "",
            r#"{"input": {"operation": "x", "api": "v1"}}"#,
        );
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (500, &json!("internal_error")),
            "{answer:?}"
        );
        assert!(
            answer.json()["message"].as_str().unwrap().contains(told),
            "{answer:?}"
        );
    }
    let fine = post(
        gate.admin,
        "/v1/data/dtgate/slow/deny",
        "",
        r#"{"input": {}}"#,
    );
    assert_eq!(fine.json()["result"], json!([]));
}

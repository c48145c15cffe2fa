//! Questions that are meant to do harm.

use std::fmt::Write as _;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::{BOTH, CALLER, gate, get, metric, post, update};
use crate::harness::{BAD, GOOD, Gate, SECRET, TOKEN, Upstream, exchange, read_answer, serving};

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
    let target = format!("/v1/data/a?input={token}&{token}={token}");
    write!(shown, "{:?}", get(gate.admin, &target)).unwrap();
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
            question["subject"]["properties"] = json!({"claims": {"iss": "https://a"}, "certificate": {"spiffe_id": "spiffe://a/b"}});
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
    let chunked = exchange(gate.admin, &[&b"POST /v1/data HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n"[..], &vec![b' '; 70_000]].concat());
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
            .write_all(b"POST /v1/data HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
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
        let mut asking = Vec::new();
        for number in 0..30 {
            let (admin, list) = (gate.admin, &list);
            asking.push(scope.spawn(move || match number % 2 {
                0 => post(admin, "/access/v1/evaluations", "", list).status,
                _ => get(admin, "/v1/data/guardrails").status,
            }));
        }
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
    let quiet = post(
        gate.admin,
        "/v1/data/dtgate/slow/deny",
        "",
        r#"{"input": {}}"#,
    );
    assert_eq!(quiet.json()["result"], json!([]));
}

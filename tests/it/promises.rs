//! The five promises of the README, each by a test that fails when it is broken.

use serde_json::json;

use crate::harness::{BAD, GOOD, SECRET, TOKEN, Upstream, gate, program};

#[test]
fn promise_1_what_was_judged_is_what_is_sent() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let body = "{ \"name\": \"payments-prod-ci\",\n\"revoked\": null, \"scopes\" : [ \"\\u006detrics.read\" ], \"x\": 1.0 }";
    let answer = gate.send("PUT", &format!("/{TOKEN}/"), body);
    assert_eq!(answer.status, 204, "{answer:?}");
    let seen = upstream.seen();
    assert_eq!(seen[0].line, format!("PUT {TOKEN} HTTP/1.1"));
    assert_eq!(
        String::from_utf8_lossy(&seen[0].body),
        r#"{"name":"payments-prod-ci","scopes":["metrics.read"],"x":1.0}"#
    );
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
}

#[test]
fn promise_1_what_two_readers_could_see_differently_is_refused() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for body in [
        r#"{"scopes":["metrics.read"],"scopes":["WriteConfig"]}"#,
        r#"{"scopes":["metrics.read"],"Scopes":["WriteConfig"]}"#,
        r#"{"scopes":["metrics.read"],"ſcopes":["WriteConfig"]}"#,
        r#"{"scopes":"WriteConfig"}"#,
        r#"{"scopes":["metrics.read"]}{"scopes":["WriteConfig"]}"#,
        r#"[{"scopes":["WriteConfig"]}]"#,
    ] {
        let answer = gate.send("PUT", TOKEN, body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(
            answer.message().contains("was not sent to Dynatrace"),
            "{answer:?}"
        );
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn promise_2_nothing_passes_unjudged() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for (method, target) in [
        ("PUT", "/api/v1/tokens/x"),
        ("PUT", "/e/abc/api/v2/apiTokens/x"),
        ("POST", "/api/v1/%74okens"),
        ("PUT", "/api/v1/TOKENS/x"),
        ("PATCH", "/api/v1/tokens/x"),
        ("PUT", "/api/v1/tokens;a/x"),
        ("POST", "/platform/classic/environment-api/v2/apiTokens"),
        ("POST", "/rest/tokens"),
    ] {
        let answer = gate.send(method, target, BAD);
        assert!(
            (400..500).contains(&answer.status),
            "{method} {target}: {answer:?}"
        );
        assert_eq!(answer.json()["error"]["code"], answer.status);
        let records = gate.records();
        let last = records.last().unwrap();
        assert_eq!(last["verdict"], "deny", "{method} {target}");
        assert_eq!(
            last["decision_id"].as_str(),
            answer.header("dtgate-decision-id")
        );
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn promise_2_a_policy_that_fails_refuses() {
    let policies = tempfile::tempdir().unwrap();
    // With a name that no rehearsal has: a policy that fails for plain requests does not get as far.
    let rego = "package dtgate.broken\n\ndeny contains \"never\" if {\n\tinput.change.name.requested == \"payments-prod-boom\"\n\tto_number(input.change.name.requested) == 1\n}\n";
    std::fs::write(policies.path().join("broken.rego"), rego).unwrap();
    let upstream = Upstream::lenient();
    let arguments = ["--policies", policies.path().to_str().unwrap()];
    let gate =
        crate::harness::Gate::start(tempfile::tempdir().unwrap(), upstream.address, &arguments);
    let answer = gate.send("PUT", TOKEN, r#"{"name":"payments-prod-boom"}"#);
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(
        answer.message().contains("could not be evaluated"),
        "{answer:?}"
    );
    assert!(upstream.seen().is_empty());
}

#[test]
fn promise_3_the_decision_is_on_disk_before_the_upstream_hears_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let upstream = Upstream::answering(move |_| {
        let records = crate::harness::records(&journal);
        sender
            .lock()
            .unwrap()
            .send(records.last().cloned())
            .unwrap();
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let gate = crate::harness::Gate::start(directory, upstream.address, &[]);
    let answer = gate.send("PUT", TOKEN, GOOD);
    let recorded = receiver.recv().unwrap().unwrap();
    assert_eq!(recorded["kind"], "decision");
    assert_eq!(recorded["verdict"], "allow");
    assert_eq!(
        recorded["decision_id"].as_str(),
        answer.header("dtgate-decision-id")
    );
    let last = gate.records().pop().unwrap();
    assert_eq!(
        (&last["kind"], &last["status"]),
        (&json!("outcome"), &json!(204))
    );
}

#[test]
fn promise_4_no_secret_is_written() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let whole = format!("dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}");
    let encoded = whole.replace('.', "%2E");
    let mut answers = Vec::new();
    for (method, target, body) in [
        ("PUT", TOKEN.to_owned(), GOOD.to_owned()),
        (
            "DELETE",
            format!("/api/v2/apiTokens/{whole}"),
            String::new(),
        ),
        (
            "GET",
            format!("/api/v2/apiTokens/{whole}?api-token={whole}"),
            String::new(),
        ),
        ("GET", format!("/x/{encoded}"), String::new()),
        (
            "GET",
            format!("/x/{}", encoded.replace('%', "%25")),
            String::new(),
        ),
        (
            "DELETE",
            format!("/api/v1/%74okens/dt0c01.X.BBBBBBBBBBBBBBBBBBBB/{encoded}"),
            String::new(),
        ),
        (
            "DELETE",
            format!("/api/v1/tokens;x/{SECRET}"),
            String::new(),
        ),
        (
            "DELETE",
            format!("/api/v1/tokens/../%74okens/{SECRET}"),
            String::new(),
        ),
        ("PUT", TOKEN.to_owned(), format!("{{\"name\":\"{whole}\"}}")),
        (
            "PUT",
            TOKEN.to_owned(),
            format!("{{\"{whole}\":1,\"{whole}\":2}}"),
        ),
        // As a token of the old format, which nothing but the caller's own credential gives away.
        (
            "PUT",
            TOKEN.to_owned(),
            format!("{{\"{SECRET}\":1,\"{SECRET}\":2}}"),
        ),
        (
            "PUT",
            TOKEN.to_owned(),
            format!("{{\"scopes\":[\"{SECRET}\"]}}"),
        ),
        ("PUT", format!("{TOKEN}?{whole}=1"), GOOD.to_owned()),
        (
            "POST",
            format!("/api/v2/apiTokens/{whole}/x"),
            GOOD.to_owned(),
        ),
    ] {
        answers.push(format!("{:?}", gate.send(method, &target, &body)));
    }
    for id in [&whole, SECRET] {
        let answer = gate.raw(format!(
            "PUT {TOKEN} HTTP/1.1\r\nHost: x\r\nAuthorization: Api-Token {whole}\r\nX-Request-Id: {id}\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        ));
        answers.push(format!("{answer:?}"));
    }
    let metrics =
        crate::harness::exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let written = format!("{:?}{}{metrics}", gate.records(), gate.log()) + &answers.concat();
    assert!(written.contains("dt0c01.ST2EY72KQINMH574WMNVI7YN"));
    assert!(!written.contains(SECRET.split_at(20).0), "{written}");
}

#[test]
fn promise_5_history_cannot_change_unnoticed() {
    let upstream = Upstream::lenient();
    let mut gate = gate(upstream.address);
    gate.send("PUT", TOKEN, GOOD);
    gate.send("PUT", TOKEN, BAD);
    gate.signal("TERM");
    assert!(gate.wait().success());
    let verify = || {
        program()
            .args(["audit", "verify", "--journal"])
            .arg(gate.journal())
            .output()
            .unwrap()
    };
    assert!(verify().status.success());
    let segment = gate.journal().join("00000000000000000001.jsonl");
    let content = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, content.replacen("WriteConfig", "ReadConfigX", 1)).unwrap();
    let output = verify();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("broken"));
}

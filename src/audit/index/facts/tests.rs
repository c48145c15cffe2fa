use serde_json::{Value, json};

use super::*;

fn facts(record: &Value) -> Option<Facts> {
    of(record.to_string().as_bytes())
}

fn decision_of(record: &Value) -> Decision {
    let About::Decision(decision) = facts(record).unwrap().about else {
        panic!("{record} is no decision");
    };
    *decision
}

#[test]
fn a_decision_tells_by_what_it_is_found() {
    let record = json!({
        "seq": 7, "kind": "decision", "timestamp": "2026-11-24T09:30:00.123Z", "decision_id": "0A", "verdict": "allow",
        "operation": "token.update", "environment": "outer", "requested_by": "10.1.2.3",
        "caller": {"id": "dt0c01.A", "teams": ["payments", "", 5, "payments"], "certificate": {"subject": "CN=a"}},
        "input": {
            "environment": {"name": "prod"},
            "caller": {"token": {"id": "other"}, "certificate": {"subject": "no", "fingerprint": "f"},
                       "jwt": {"issuer": "i", "subject": "s"}},
            "token": {"id": "id-1", "current": {"name": "name"}},
            "change": {"name": {"current": "name", "requested": "new"}, "differs": [],
                       "scopes": {"requested": ["a", "b"], "added": ["b"], "removed": []}},
        },
        "result": {"violations": [{"policy": "p", "code": "c", "message": "Not ÉCLAIR-x"}, {"policy": "p", "code": "d"}]},
        "bundles": {"policies": {"revision": "r"}},
        "request": {"path": "/api/v1"},
    });
    let found = facts(&record).unwrap();
    assert_eq!((found.seq, &*found.kind), (7, "decision"));
    assert_eq!(found.at, Some(1_795_512_600_123));
    let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(ToString::to_string).collect() };
    let wanted = Decision {
        id: Some("0A".to_owned()),
        is_allowed: true,
        operation: "token.update".to_owned(),
        environment: Some("prod".to_owned()),
        caller: Some("dt0c01.A".to_owned()),
        client: Some("10.1.2.3".to_owned()),
        revision: Some("r".to_owned()),
        is_no_op: true,
        certificate: texts(&["CN=a", "f"]),
        claim: texts(&["i", "s"]),
        team: texts(&["payments"]),
        token: texts(&["id-1", "name", "new"]),
        scope: texts(&["a", "b"]),
        added: texts(&["b"]),
        removed: Vec::new(),
        policy: texts(&["p"]),
        code: texts(&["c", "d"]),
        words: texts(&[
            "id",
            "1",
            "name",
            "new",
            "cn",
            "a",
            "f",
            "i",
            "s",
            "api",
            "v1",
            "not",
            "éclair",
            "x",
            // Issuer and subject, as claims are.
            "\u{e000}\u{e001}value69",
            "\u{e000}\u{e001}value73",
        ]),
    };
    assert_eq!(decision_of(&record), wanted);
}

/// What stands here is what stores hold: where it has to change, [`FORM`] is raised, and rows of before are told apart.
#[test]
fn what_each_build_has_told_is_a_part_of_what_is_told_today() {
    let record = json!({
        "seq": 7, "kind": "decision", "verdict": "allow", "operation": "token.update",
        "masked": ["/input/token/id", "/input/change/differs"],
        "input": {
            "token": {"id": "***", "current": {"id": "other-id", "name": "ci"}},
            "change": {"differs": []},
        },
        "request": {"path": "/api/v2/apiTokens/dt0c01.ST2EY72KQINMH574WMNVI7YN"},
    });
    let texts = |texts: &[&str]| -> Vec<String> { texts.iter().map(ToString::to_string).collect() };
    let today = decision_of(&record);
    let id = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
    assert_eq!(today.token, texts(&["***", "ci", "other-id", id]));
    assert!(!today.is_no_op);
    let least = least(record.to_string().as_bytes());
    assert_eq!(least.token, texts(&["***", "ci"]));
    assert!(least.is_no_op);
    let path = [
        "ci",
        "api",
        "v2",
        "apitokens",
        "dt0c01",
        "st2ey72kqinmh574wmnvi7yn",
    ];
    assert_eq!(least.words, texts(&path));
    assert!(least.words.iter().all(|word| today.words.contains(word)));
    assert_eq!(FORM, 1);
}

#[test]
fn what_is_not_as_it_should_be_is_as_if_it_were_not_there() {
    let record =
        json!({"seq": 1, "kind": "decision", "timestamp": "soon", "verdict": 1, "caller": []});
    assert_eq!(facts(&record).unwrap().at, None);
    let wanted = Decision {
        operation: "unknown".to_owned(),
        ..Decision::default()
    };
    assert_eq!(decision_of(&record), wanted);
    for no_record in [
        "",
        "[1]",
        "{\"seq\":0}",
        "{\"seq\":\"1\"}",
        "{\"seq\":1,\"kind\":\"\\ud800\"}",
    ] {
        assert_eq!(of(no_record.as_bytes()), None, "{no_record}");
    }
    let long = "é".repeat(2000);
    let record = json!({"seq": 1, "kind": "decision", "caller": {"id": long, "teams": [long]}, "error": long});
    let decision = decision_of(&record);
    assert_eq!(decision.caller.unwrap().len(), 1024);
    assert_eq!([decision.team[0].len(), decision.words[0].len()], [1024; 2]);
}

#[test]
fn an_outcome_is_about_an_earlier_decision() {
    let outcome = |seq: u64, how: Value, status: u16| {
        let made = json!({"id": "dt0c01.NEW"});
        let record = json!({"seq": seq, "kind": "outcome", "decision_seq": 3, "outcome": how, "status": status,
            "credential": made, "detail": "No answer: no"});
        facts(&record).unwrap().about
    };
    let wanted = |ended| {
        About::Outcome(Outcome {
            of: 3,
            ended,
            made: Some("dt0c01.NEW".to_owned()),
            words: vec!["no".to_owned(), "answer".to_owned()],
        })
    };
    assert_eq!(outcome(4, json!("answered"), 201), wanted("answered"));
    assert_eq!(outcome(4, json!("answered"), 404), wanted("answered"));
    assert_eq!(outcome(4, json!("answered"), 503), wanted("unclear"));
    assert_eq!(outcome(4, json!("odd"), 201), wanted("unknown"));
    assert_eq!(outcome(3, json!("answered"), 201), About::Other);
    let settled = json!({"seq": 9, "kind": "settled", "decision_seq": 3, "found": "not_done"});
    let wanted = Settled {
        of: 3,
        found: "not_done".to_owned(),
    };
    assert_eq!(facts(&settled).unwrap().about, About::Settled(wanted));
    for (said, differs) in [
        ("would_allow", "would_allow"),
        ("failed", "failed"),
        ("timed_out", "timed_out"),
        ("odd", "violations"),
    ] {
        let record = json!({"seq": 9, "kind": "challenger", "decision_seq": 3, "differs": said});
        let wanted = Challenged { of: 3, differs };
        assert_eq!(facts(&record).unwrap().about, About::Challenged(wanted));
    }
}

#[test]
fn a_question_has_the_same_words() {
    let asked = |text| -> Vec<(String, bool)> { asked(text) };
    let word = |text: &str, open| (text.to_owned(), open);
    assert_eq!(
        asked("PAY-x*  É"),
        [word("pay", false), word("x", true), word("é", false)]
    );
    assert_eq!(asked("-- *"), []);
}

//! What callers did within the last hour is counted by what they have proven: whatever credential and address they come
//! with, and also while Dynatrace answers 5xx, when nobody's credential is known to be one.

use serde_json::{Value, json};

use super::{JWT, Making, Stand, TLS, request};
use crate::harness::{Answered, Upstream, exchange, serving};
use crate::tls::clients::{ask, client};

/// Two creations an hour.
const BUDGET: &str = "package dtgate.budget\n\ndeny contains {\"message\": \"too many\", \"code\": \"budget\"} if {\n\
                      \tinput.operation == \"token.create\"\n\tinput.caller.recent.created >= 2\n}\n";

/// Its answers: it makes tokens, or is out of order.
fn upstream(status: &'static str) -> Upstream {
    Upstream::answering_all(move |_| {
        let body = r#"{"token":"dt0c01.NEW.X"}"#;
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    })
}

fn stand(status: &'static str) -> Stand {
    let making = Making::before(upstream(status));
    making.file("policies/budget.rego", BUDGET);
    making.start(&[TLS, JWT])
}

fn create(fields: &[(&str, &str)]) -> String {
    let body = json!({"name": "a", "scopes": ["metrics.read"]}).to_string();
    request("POST", "/api/v2/apiTokens", fields, &body)
}

/// By a JSON Web Token, with a Dynatrace token that changes every time.
fn by_jwt(stand: &Stand, subject: &str, number: usize) -> Answered {
    let nobody = client(&stand.gate, None);
    let jwt = stand.token(json!({"iss": super::FIELD, "sub": subject}));
    let credential = format!(
        "Api-Token dt0c01.AAAAAAAAAAAAAAAAAAAAAAA{number}.{}",
        "B".repeat(64)
    );
    let fields = [
        ("x-dtgate-token", jwt.as_str()),
        ("Authorization", &credential),
    ];
    ask(&nobody, stand.gate.address, b"", &create(&fields)).unwrap()
}

fn recent(stand: &Stand) -> Vec<u64> {
    let decisions = stand.decisions();
    let seen = decisions
        .iter()
        .map(|it| it["input"]["caller"]["recent"]["created"].as_u64().unwrap());
    seen.collect()
}

#[test]
fn a_caller_with_a_json_web_token_has_one_budget_whatever_credential_it_shows() {
    for (status, wanted) in [("201 Created", 201), ("503 Service Unavailable", 503)] {
        let stand = stand(status);
        for number in 0..2 {
            assert_eq!(by_jwt(&stand, "repo:a", number).status, wanted);
        }
        let denied = by_jwt(&stand, "repo:a", 2);
        assert!(
            denied.status == 403 && denied.body.contains("too many"),
            "{denied:?}"
        );
        // Somebody else has one of its own, with the same credential.
        assert_eq!(by_jwt(&stand, "repo:b", 2).status, wanted);
        assert_eq!(recent(&stand), [0, 1, 2, 0]);
        // The journal knows it again after a kill.
        let Stand {
            gate,
            authority,
            signer,
            upstream,
        } = stand;
        let directory = gate.crash();
        let mut command = serving(&directory);
        command.current_dir(directory.path()).args([
            "--config",
            "dtgate.toml",
            "--policies",
            "policies",
        ]);
        let gate = crate::harness::Gate::spawn(directory, command);
        let stand = Stand {
            gate,
            authority,
            signer,
            upstream,
        };
        assert_eq!(by_jwt(&stand, "repo:a", 3).status, 403);
        assert_eq!(by_jwt(&stand, "repo:b", 3).status, wanted);
    }
}

#[test]
fn a_caller_with_a_certificate_has_one_budget_whatever_credential_it_shows() {
    for (status, wanted) in [("201 Created", 201), ("503 Service Unavailable", 503)] {
        let stand = stand(status);
        let known = client(&stand.gate, Some(stand.authority.issue(super::of_payments)));
        let renewed = client(&stand.gate, Some(stand.authority.issue(super::of_payments)));
        let create_by = |client: &std::sync::Arc<rustls::ClientConfig>, number: usize| {
            let secret = "B".repeat(64);
            let credential = format!("Api-Token dt0c01.AAAAAAAAAAAAAAAAAAAAAAA{number}.{secret}");
            let request = create(&[("Authorization", &credential)]);
            ask(client, stand.gate.address, b"", &request)
                .unwrap()
                .status
        };
        let statuses = [0, 1, 2].map(|number| create_by(&known, number));
        assert_eq!(statuses, [wanted, wanted, 403]);
        // A renewed one is the same caller's, by its SPIFFE id, or else by issuer and subject.
        assert_eq!(create_by(&renewed, 2), 403);
        assert_eq!(recent(&stand), [0, 1, 2, 2]);
        let of_ops = || client(&stand.gate, Some(stand.authority.issue(|_| {})));
        assert_eq!(
            [0, 1, 2].map(|number| create_by(&of_ops(), number)),
            statuses
        );
        let named = |name: &str| {
            let issued = stand.authority.issue(|params| {
                params
                    .distinguished_name
                    .push(rcgen::DnType::CommonName, name);
            });
            client(&stand.gate, Some(issued))
        };
        assert_eq!(create_by(&named("other"), 2), wanted);
        // Of one issuer and one subject: who has another name is another caller.
        let of_host = |name: &str| {
            let issued = stand.authority.issue(|params| {
                let host = rcgen::SanType::DnsName(name.try_into().unwrap());
                params.subject_alt_names = vec![host];
            });
            client(&stand.gate, Some(issued))
        };
        let one = of_host("a.example");
        assert_eq!([0, 1, 2].map(|number| create_by(&one, number)), statuses);
        assert_eq!(create_by(&of_host("a.example"), 2), 403);
        assert_eq!(create_by(&of_host("b.example"), 2), wanted);
    }
}

/// The names by which it is counted do not change with the key of pseudonyms.
#[test]
fn a_new_key_of_pseudonyms_begins_no_budget_anew() {
    let making = Making::before(upstream("201 Created"));
    making.file("policies/budget.rego", BUDGET);
    let pseudonyms = "[journal.pseudonyms]\nfields = ['caller.jwt.subject']\n";
    let stand = making.start(&[TLS, JWT, pseudonyms]);
    for number in 0..2 {
        assert_eq!(by_jwt(&stand, "repo:a", number).status, 201);
    }
    let before = stand.decisions().pop().unwrap();
    let Stand {
        gate,
        authority,
        signer,
        upstream,
    } = stand;
    let directory = gate.crash();
    let rotated = crate::harness::program()
        .args(["audit", "hash", "--rotate", "--journal"])
        .arg(directory.path().join("journal"))
        .output()
        .unwrap();
    assert!(rotated.status.success(), "{rotated:?}");
    let mut command = serving(&directory);
    command.current_dir(directory.path()).args([
        "--config",
        "dtgate.toml",
        "--policies",
        "policies",
    ]);
    let gate = crate::harness::Gate::spawn(directory, command);
    let stand = Stand {
        gate,
        authority,
        signer,
        upstream,
    };
    assert_eq!(by_jwt(&stand, "repo:a", 2).status, 403);
    assert_eq!(by_jwt(&stand, "repo:b", 2).status, 201);
    let decisions = stand.decisions();
    let subject = |record: &Value| record["caller"]["jwt"]["subject"].clone();
    let (first, denied) = (&before, &decisions[2]);
    assert_ne!(
        subject(first),
        subject(denied),
        "another key, another pseudonym"
    );
    assert_eq!(denied["input"]["caller"]["recent"]["created"], 2);
    assert_ne!(
        decisions[3]["counted"]["caller"],
        first["counted"]["caller"]
    );
}

/// Whoever asks before a request is told what the request would be, where the gate counts by what was proven.
#[test]
fn a_question_about_a_proven_caller_has_its_counts() {
    let making = Making::before(upstream("201 Created"));
    making.file("policies/budget.rego", BUDGET);
    let stand = making.start(&[TLS, JWT, "[admin]\nauthzen = true\ndata_api = true\n"]);
    for number in 0..2 {
        assert_eq!(by_jwt(&stand, "repo:a", number).status, 201);
    }
    let evaluate = |subject: Value| {
        let question = json!({
            "subject": subject, "action": {"name": "token.create"},
            "resource": {"type": "token", "id": "", "properties": {"body": {"name": "a", "scopes": ["metrics.read"]}}},
        })
        .to_string();
        let length = question.len();
        let request = format!(
            "POST /access/v1/evaluation HTTP/1.1\r\nHost: localhost:8081\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{question}"
        );
        exchange(stand.gate.admin, request.as_bytes()).json()
    };
    let jwt = |subject: &str, recent: Value| {
        let mut properties = json!({"claims": {"iss": super::FIELD}});
        if !recent.is_null() {
            properties["recent"] = recent;
        }
        json!({"type": "jwt", "id": subject, "properties": properties})
    };
    let is_unknown = |answer: &Value| {
        answer
            .to_string()
            .contains("caller.recent: zeros stand for it")
    };
    for (subject, decision, unknown) in [
        (jwt("repo:a", Value::Null), false, false),
        (jwt("repo:b", Value::Null), true, false),
        (jwt("repo:a", json!({"created": 1})), true, false),
        (jwt("repo:b", json!({"created": 2})), false, false),
        (
            json!({"type": "token", "id": "dt0c01.AAAAAAAAAAAAAAAAAAAAAAA0"}),
            true,
            true,
        ),
        (json!({"type": "team", "id": "payments"}), true, true),
        (
            json!({"type": "spiffe", "id": "spiffe://example/ns/a"}),
            true,
            false,
        ),
    ] {
        let answer = evaluate(subject.clone());
        assert_eq!(answer["decision"], decision, "{subject}: {answer}");
        assert_eq!(is_unknown(&answer), unknown, "{subject}: {answer}");
    }
    // Asking counts nothing, and what is no count is refused.
    assert_eq!(evaluate(jwt("repo:b", Value::Null))["decision"], true);
    let wrong = evaluate(jwt("repo:b", json!({"created": -1})));
    assert!(wrong.to_string().contains("object of counts"), "{wrong}");
    // OPA's data API adds nothing to an input.
    let data = |input: Value| {
        let body = json!({"input": input}).to_string();
        let request = format!(
            "POST /v1/data/dtgate/budget/deny HTTP/1.1\r\nHost: localhost:8081\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(stand.gate.admin, request.as_bytes()).json()["result"].clone()
    };
    let asked = |caller: Value| data(json!({"operation": "token.create", "caller": caller}));
    let named = json!({"jwt": {"issuer": super::FIELD, "subject": "repo:a"}});
    assert_eq!(asked(named), json!([]));
    assert_eq!(
        asked(json!({"recent": {"created": 2}}))
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

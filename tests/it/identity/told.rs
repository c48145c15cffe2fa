//! Who asked, in every record: also of requests that no policy saw, of those that are only counted, and of those that
//! the gate sent with its own credential.

use std::sync::Arc;

use rustls::ClientConfig;
use serde_json::{Value, json};

use super::{
    BROKERED, FIELD, JWT, Making, PUBLIC, SECRET, Stand, TLS, naming, of_payments, request, telling,
};
use crate::harness::{TOKEN, is_lookup, program};
use crate::tls::clients::{ask, client};

const SUBJECT: &str = "repo:example/payments:ref:refs/heads/main";
const SPIFFE: &str = "spiffe://example/ns/payments/sa/ci";
const NEW: &str = "/platform/new/v1/things";

/// What the only decision says about its caller.
fn told(stand: &Stand, number: usize) -> Value {
    let decisions = stand.decisions();
    assert_eq!(decisions.len(), number, "{decisions:?}");
    decisions[number - 1]["caller"].clone()
}

fn audit_tail(stand: &Stand) -> String {
    let mut tail = program();
    tail.args(["audit", "tail", "--journal"])
        .arg(stand.gate.journal());
    String::from_utf8(tail.output().unwrap().stdout).unwrap()
}

#[test]
fn a_request_that_no_policy_sees_has_its_caller_in_the_record() {
    let own = "unknown_writes = 'refuse'\n";
    let stand =
        Making::before(telling()).start(&[own, TLS, JWT, BROKERED, "teams = ['payments']\n"]);
    let nobody = client(&stand.gate, None);
    let known = client(&stand.gate, Some(stand.authority.issue(of_payments)));
    let jwt = stand.token(json!({"iss": FIELD}));
    let other = stand.token(json!({"iss": FIELD, "sub": "other", "repository": "b"}));
    let proof = ("x-dtgate-token", &*jwt);
    let cases = [
        // A body that nobody can read: it was lent the credential before.
        (request("PUT", TOKEN, &[proof], "{\"name\":"), 400, true),
        (request("POST", NEW, &[proof], "{}"), 403, false),
        (
            request("PUT", "/API/v1/tokens/x", &[proof], "{}"),
            400,
            false,
        ),
        (
            request("PUT", TOKEN, &[proof, ("Cookie", "a=b")], "{}"),
            400,
            false,
        ),
        (request("TRACE", TOKEN, &[proof], ""), 405, false),
    ];
    let mut number = 0;
    for (request, status, brokered) in &cases {
        let answer = ask(&nobody, stand.gate.address, b"", request).unwrap();
        assert_eq!(answer.status, *status, "{request}: {answer:?}");
        number += 1;
        let caller = told(&stand, number);
        let names = json!({"issuer": FIELD, "subject": SUBJECT});
        assert_eq!(caller["jwt"], names, "{request}: {caller}");
        assert_eq!(caller["teams"], json!(["payments"]), "{request}: {caller}");
        let id = brokered.then_some(PUBLIC);
        assert_eq!(caller.get("id").and_then(Value::as_str), id, "{caller}");
        assert_eq!(caller.get("brokered").is_some(), *brokered, "{caller}");
        let without = request.replace(&format!("x-dtgate-token: {jwt}\r\n"), "");
        let answer = ask(&known, stand.gate.address, b"", &without).unwrap();
        assert_eq!(answer.status, *status, "{without}: {answer:?}");
        number += 1;
        let caller = told(&stand, number);
        assert_eq!(caller["certificate"]["spiffe_id"], SPIFFE, "{caller}");
        let fingerprint = caller["certificate"]["fingerprint"].as_str().unwrap();
        assert_eq!(fingerprint.len(), 64);
        assert_eq!(caller["teams"], json!(["payments"]), "{caller}");
    }
    refused_tokens(&stand, number, (&nobody, &known), &other);
    let tail = audit_tail(&stand);
    let by = format!("by team payments ({SUBJECT} of {FIELD}) at 127.0.0.1");
    assert!(
        tail.contains(&format!("{by}, with the gate's {PUBLIC}\n")),
        "{tail}"
    );
    assert!(
        tail.contains(&format!("by team payments ({SPIFFE}) at")),
        "{tail}"
    );
    assert!(tail.contains(&format!("by other of {FIELD} at")), "{tail}");
    stand.hides(&[SECRET]);
}

/// What a token says that is refused, and what is told of it: by then so many requests have been recorded.
fn refused_tokens(
    stand: &Stand,
    number: usize,
    (nobody, known): (&Arc<ClientConfig>, &Arc<ClientConfig>),
    other: &str,
) {
    let foreign = ("x-dtgate-token", other);
    // 403 for its team.
    let answer = ask(
        nobody,
        stand.gate.address,
        b"",
        &naming("payments", &[foreign]),
    )
    .unwrap();
    assert_eq!(answer.status, 403, "{answer:?}");
    let caller = told(stand, number + 1);
    assert_eq!(
        caller,
        json!({"jwt": {"issuer": FIELD, "subject": "other"}})
    );
    // What a token says that is not believed is not told; what the connection has proven is.
    let forged = format!("{}x", other.replace('.', "x."));
    let field = ("x-dtgate-token", &*forged);
    let answer = ask(
        known,
        stand.gate.address,
        b"",
        &naming("payments", &[field]),
    )
    .unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
    let caller = told(stand, number + 2);
    assert!(caller.get("jwt").is_none(), "{caller}");
    assert_eq!(caller["certificate"]["spiffe_id"], SPIFFE);
}

#[test]
fn sums_and_unknown_writes_name_who_was_lent_the_credential() {
    let limits = "traffic = 'all'\n[limits]\nrefusals = 1\n";
    let mut stand = Making::before(telling()).start(&[JWT, BROKERED, limits]);
    let [one, other] = [SUBJECT, "other"].map(|sub| stand.token(json!({"iss": FIELD, "sub": sub})));
    for token in [&one, &other] {
        let proof = ("x-dtgate-token", &**token);
        for _ in 0..3 {
            let bad = stand
                .gate
                .raw(request("PUT", TOKEN, &[proof], "{\"name\":"));
            assert_eq!(bad.status, 400);
        }
        assert_eq!(
            stand.gate.raw(request("POST", NEW, &[proof], "{}")).status,
            204
        );
    }
    stand.gate.signal("TERM");
    assert!(stand.gate.wait().success());
    let records = stand.gate.records();
    let of_kind = |kind: &str| {
        let records = records.iter().filter(|record| record["kind"] == kind);
        records.cloned().collect::<Vec<Value>>()
    };
    let wanted = [SUBJECT, "other"].map(|subject| {
        json!({
            "id": PUBLIC, "kind": "api-token", "brokered": true, "teams": ["payments"],
            "jwt": {"issuer": FIELD, "subject": subject},
        })
    });
    let unseen = of_kind("unseen");
    let callers: Vec<&Value> = unseen.iter().map(|record| &record["caller"]).collect();
    assert_eq!(callers, wanted.iter().collect::<Vec<_>>());
    let sums = of_kind("suppressed");
    let entries = sums
        .iter()
        .flat_map(|sum| sum["callers"].as_array().unwrap());
    let mut callers: Vec<&Value> = entries.map(|entry| &entry["caller"]).collect();
    callers.dedup();
    assert_eq!(callers, wanted.iter().collect::<Vec<_>>());
    // Open traffic has no record but the one in the log.
    let mut listed = program();
    listed
        .args(["endpoints", "--unknown", "--journal"])
        .arg(stand.gate.journal());
    let listed = String::from_utf8(listed.output().unwrap().stdout).unwrap();
    assert!(listed.contains("team payments"), "{listed}");
    assert!(!listed.contains("damaged"), "{listed}");
    let log = stand.gate.log();
    let open = log
        .lines()
        .filter(|line| line.contains("\"route\":\"open\""));
    let open: Vec<Value> = open
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(open.len(), 2);
    assert_eq!(open[0]["caller.subject"], SUBJECT);
    assert_eq!(open[0]["caller.id"], PUBLIC);
    assert_eq!(open[0]["caller.brokered"], true);
}

#[test]
fn nobody_hides_who_it_is_behind_a_field_that_speaks_of_secrets() {
    let stand = Making::before(telling()).start(&[TLS, JWT, BROKERED]);
    let known = client(&stand.gate, Some(stand.authority.issue(of_payments)));
    let nobody = client(&stand.gate, None);
    let subject = "7Q2XK9MVT4HPLR5ZC3NWBY6SDJFGAE2U5TQ4KXM3ZP6RVN7H";
    let jwt = stand.token(json!({"iss": FIELD, "sub": subject}));
    for (client, mut fields, name, hidden) in [
        (&known, vec![], "/certificate/spiffe_id", SPIFFE),
        (
            &nobody,
            vec![("x-dtgate-token", &*jwt)],
            "/jwt/subject",
            subject,
        ),
    ] {
        let shown = format!("Bearer {hidden}");
        fields.push(("Proxy-Authorization", &shown));
        let answer = ask(
            client,
            stand.gate.address,
            b"",
            &naming("payments", &fields),
        )
        .unwrap();
        assert_eq!(answer.status, 400, "{answer:?}");
        // What looks like a token beside the gate's is refused before that is looked at.
        let message = answer.message();
        let says = |words| message.contains(words);
        assert!(
            says("leave that field out") || says("send the request without a token"),
            "{answer:?}"
        );
        let decisions = stand.decisions();
        let caller = &decisions.last().unwrap()["caller"];
        assert_eq!(caller.pointer(name).unwrap(), hidden, "{caller}");
        let seen = stand.upstream.seen();
        assert!(seen.iter().all(|seen| is_lookup(&seen.line)), "{seen:?}");
    }
}

#[test]
fn names_in_a_record_are_no_longer_than_a_line() {
    let stand = Making::new().start(&[JWT]);
    let long = "s".repeat(5000);
    let proof = stand.token(json!({"iss": FIELD, "sub": long}));
    let fields = [("x-dtgate-token", &*proof)];
    assert_eq!(stand.get("/API/v2/apiTokens", &fields).status, 400);
    let caller = told(&stand, 1);
    let subject = caller["jwt"]["subject"].as_str().unwrap();
    assert!(
        subject.len() <= 256 && subject.ends_with("..."),
        "{subject}"
    );
}

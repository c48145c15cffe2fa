//! What a record says, byte for byte: who reads journals must not have to care which version wrote one.

use http::Request;

use super::*;
use crate::audit::event::Answer;
use crate::dynatrace::catalogue::{Catalogue, Overrides};
use crate::dynatrace::current::CurrentToken;
use crate::dynatrace::redact::SEARCHES;
use crate::gateway::environment::{Environments, Sections};
use crate::gateway::lookup::LookupError;
use crate::gateway::upstream;
use crate::guard::Route;
use crate::listener::{Body, Peer, full};
use crate::policy::Policy;

/// One rule of every kind, with all that a violation can carry.
const RULES: &str = r#"package dtgate.kinds

deny contains {"message": "not \"WriteConfig\"", "path": "scopes[1]", "code": "forbidden-scope", "limit": 1.50, "list": [null, 1, {"é": "\n"}]} if "WriteConfig" in input.change.scopes.requested

warn contains sprintf("as %v", [input.caller.address]) if input.change.name.requested == "payments-prod-ci"
"#;

/// A request, and what Dynatrace says about its token.
struct Case {
    method: &'static str,
    target: &'static str,
    fields: &'static [(&'static str, &'static str)],
    body: &'static str,
    current: Option<&'static str>,
    error: Option<LookupError>,
    envoy: bool,
}

const PLAIN: Case = Case {
    method: "PUT",
    target: "/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea",
    fields: &[
        ("host", "gate"),
        ("content-type", "application/json"),
        ("x-request-id", "a \"client's\" id"),
        (
            "authorization",
            "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM",
        ),
    ],
    body: r#"{"name":"payments-prod-ci","revoked":false,"scopes":["metrics.read","logs.read","DataExport"],"more":{"a":[1,-2,0.25,1e2,null,"é\u0001"]}}"#,
    current: None,
    error: None,
    envoy: false,
};

fn cases() -> Vec<Case> {
    vec![
        PLAIN,
        Case {
            body: r#"{"name":"payments-prod-ci","scopes":["metrics.read","WriteConfig"]}"#,
            current: Some(
                r#"{"id":"d5836312-5790-4e80-afcf-09971954c3ea","name":"before","userId":"john","revoked":true,"scopes":["metrics.read","logs.read"],"personalAccessToken":false,"expires":1585976400000}"#,
            ),
            ..PLAIN
        },
        Case {
            error: Some(LookupError::Request("it may not be seen")),
            envoy: true,
            target: "/e/abc-1/api/v1/tokens/old-token-without-public-part",
            ..PLAIN
        },
        Case {
            method: "POST",
            target: "/api/v2/apiTokens?api-token=dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454",
            fields: &[("host", "gate"), ("content-type", "application/json")],
            body: r#"{"name":"n","scopes":[],"expirationDate":"now+14d","personalAccessToken":true}"#,
            envoy: true,
            ..PLAIN
        },
        Case {
            method: "DELETE",
            fields: &[("host", "gate")],
            body: "",
            ..PLAIN
        },
    ]
}

/// All records of one request, without numbers and hashes: decided, refused, answered, without an answer.
fn records(case: Case) -> [String; 4] {
    records_of(case, false)
}

/// The same. `tells_caller`: grants are configured.
fn records_of(case: Case, tells_caller: bool) -> [String; 4] {
    let key = HashKey::new([1; 32]);
    let mut request = Request::builder().method(case.method).uri(case.target);
    for (name, value) in case.fields {
        request = request.header(*name, value.as_bytes());
    }
    let mut request: Request<Body> = request.body(full(case.body)).unwrap();
    let address = "10.1.2.3:4711".parse().unwrap();
    request.extensions_mut().insert(Peer {
        address,
        tls: false,
        certificate: None,
        connection: address,
    });
    let (parts, _body) = request.into_parts();
    let mut started = Started::of(
        &parts,
        true,
        &crate::identity::forwarded::Config::default(),
        Trace::default(),
    );
    started.id = Redacted::ours("01a20c52-49be-734b-a743-e69351d33594");
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    let head = guard::head(&parts, true, &started.redactor, &catalogue, &key);
    let Route::Guarded(head) = head.unwrap() else {
        panic!("{} is not guarded", case.target);
    };
    let recording = Recording {
        key: &key,
        revision: "revision-1",
        started: &started,
        tells_caller,
    };
    let mut recorder = recording.of(&parts, Some(&head), None, Identity::default());
    recorder.decision_id = Redacted::ours("01a20c52-49be-734b-a743-e694d554b905");
    let call = guard::call(*head, case.body.as_bytes()).unwrap();

    let upstream: upstream::Config = toml::from_str("url = \"http://127.0.0.1:9\"").unwrap();
    let environments = Environments::new(
        Sections::of(&upstream),
        None,
        &crate::telemetry::Metrics::new("1.2.3"),
    )
    .unwrap();
    let (environment, _) = environments.open(&parts).unwrap();
    let mut found = Found::default();
    found.current = case
        .current
        .map(|body| CurrentToken::parse(body.as_bytes()).unwrap());
    found.error = case.error;
    let time = jiff::Timestamp::from_millisecond(1_795_501_800_123).unwrap();
    let told = environment.input(call.head(), &recorder.redactor);
    let input = recorder.input(&call, told, &parts, Some(&found), case.envoy, time);
    let input = input.unwrap();

    let policies = tempfile::tempdir().unwrap();
    std::fs::write(policies.path().join("kinds.rego"), RULES).unwrap();
    let policy = Policy::load(policies.path(), Duration::from_secs(1)).unwrap();
    let judged = policy.judge(Addressed { call, environment }, &input, |_| true);
    let nanoseconds = judged.decision().evaluation.as_nanos().to_string();
    let decided = written(recorder.decision(&judged, &input, false, None));
    let reason = Reason::Record(crate::audit::RecordError::Failed(
        "no \"space\" left".to_owned(),
    ));
    let answered = Became {
        outcome: Answer::Answered,
        status: Some(204),
        detail: None,
        credential: None,
    };
    let unknown = Became {
        outcome: Answer::Unknown,
        status: None,
        detail: Some(Redacted::ours("timed out")),
        credential: None,
    };
    [
        decided.replace(&nanoseconds, "15898622"),
        written(recorder.refusal(&reason, time, "revision-1")),
        written(recorder.outcome(time, 7, &answered, Duration::from_micros(1999))),
        written(recorder.outcome(time, 7, &unknown, Duration::ZERO)),
    ]
}

/// In place of the version of this build the one that wrote the expected lines.
fn written(record: impl Into<Record>) -> String {
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let record: Record = record.into();
    let text = String::from_utf8(record.as_json().to_vec()).unwrap();
    text.replace(&version, "\"version\":\"0.1.0\"")
}

#[test]
fn records_are_written_as_ever() {
    let mut lines = Vec::new();
    for case in cases() {
        lines.extend(records(case));
    }
    let expected: Vec<&str> = include_str!("records.jsonl").lines().collect();
    for (line, expected) in lines.iter().zip(&expected) {
        assert_eq!(line, expected);
    }
    assert_eq!(lines.len(), expected.len(), "{}", lines.join("\n"));
}

/// A grant can be bound to whoever asked, also to one who shows a cookie and no token: changes of such are counted by address,
/// and the record has the hash of what was shown all the same.
#[test]
fn records_of_a_caller_with_a_cookie_alone_have_its_hash() {
    let hash = |cookie: &'static [(&'static str, &'static str)], tells_caller| {
        let case = Case {
            method: "DELETE",
            fields: cookie,
            body: "",
            ..PLAIN
        };
        let [decided, ..] = records_of(case, tells_caller);
        let record: Value = serde_json::from_str(&decided).unwrap();
        record["request"]["caller_hash"].clone()
    };
    let one = hash(&[("host", "gate"), ("cookie", "SESSION=one")], true);
    assert!(one.as_str().unwrap().starts_with("hmac-sha256:"), "{one}");
    assert_ne!(
        hash(&[("host", "gate"), ("cookie", "SESSION=two")], true),
        one
    );
    assert!(hash(&[("host", "gate"), ("cookie", "SESSION=one")], false).is_null());
}

/// What the upstream gets, policies see: every field, all of it, and nothing that the query hides.
#[test]
fn a_policy_of_opa_envoy_sees_what_the_upstream_gets() {
    let case = Case {
        method: "GET",
        target: "/api/v1/deployment/installer/agent/unix/default/latest?arch=x86&flavor=a%20b%26c&api-token=dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454",
        fields: &[
            ("host", "gate"),
            ("x-team", "payments"),
            ("x-team", "platform"),
            ("x-note", "caf\u{e9} \\"),
            ("x-plain", "a\\b"),
        ],
        body: "",
        envoy: true,
        ..PLAIN
    };
    let [decided, ..] = records(case);
    let input = serde_json::from_str::<Value>(&decided).unwrap()["input"].clone();
    let http = &input["attributes"]["request"]["http"];
    assert_eq!(http["headers"]["x-team"], "payments, platform");
    assert_eq!(http["headers"]["x-note"], r"caf\xc3\xa9 \\");
    assert_eq!(http["headers"]["x-plain"], r"a\b");
    let path = "/api/v1/deployment/installer/agent/unix/default/latest";
    assert_eq!(http["path"], format!("{path}?arch=x86&flavor=a%20b%26c"));
    assert_eq!(
        input["parsed_query"],
        json!({"arch": ["x86"], "flavor": ["a b&c"]})
    );
    assert_eq!(input["parsed_path"][7], "latest");
    let [decided, ..] = records(Case {
        method: "DELETE",
        body: "",
        envoy: true,
        ..PLAIN
    });
    assert!(!decided.contains("parsed_body"), "{decided}");
}

/// People paste into any field: a whole token, the secret of their own, and the same in other spellings.
#[test]
fn promise_4_no_field_of_a_head_puts_a_secret_into_a_record() {
    const OWN: &str = "G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";
    let other = format!("dt0c01.OTHERAAAAAAAAAAAAAAAAAAA.{SECRET}");
    let encoded = other.replace('.', "%2E");
    let twice = other.replace('.', "%252E");
    let link = format!("https://x/dashboard?auth={SECRET}");
    let mut fields = Vec::new();
    for text in [&*other, &encoded, &twice, &link, OWN] {
        for name in ["host", "x-request-id", "referer", "user-agent"] {
            if (name, text) != ("host", &link) {
                fields.push((name.to_owned(), text.to_owned()));
            }
        }
    }
    for name in [&*other, OWN] {
        fields.push((name.to_ascii_lowercase(), "1".to_owned()));
    }
    for (name, text) in fields {
        let (name, text): (&str, &str) = (name.leak(), text.leak());
        let mut fields = PLAIN.fields.to_vec();
        fields.retain(|(other, _)| *other != name);
        fields.push((name, text));
        let case = Case {
            fields: fields.leak(),
            envoy: true,
            ..PLAIN
        };
        for record in records(case) {
            let record = record.to_ascii_uppercase();
            let is_written = record.contains(SECRET) || record.contains(OWN);
            assert!(!is_written, "{name}: {text}\n{record}");
        }
    }
}

const SECRET: &str = "NOTAREALSECRETOTHER12";

#[test]
fn a_scope_is_searched_for_secrets_once_when_its_body_is_read_and_once_for_all_of_the_input() {
    let searches = |scopes: &'static str| {
        let before = SEARCHES.get();
        let text = |text: String| -> &'static str { text.leak() };
        records(Case {
            body: text(format!(r#"{{"name":"ci","scopes":[{scopes}]}}"#)),
            current: Some(text(format!(
                r#"{{"id":"d5836312-5790-4e80-afcf-09971954c3ea","name":"ci","scopes":[{scopes}]}}"#
            ))),
            ..PLAIN
        });
        SEARCHES.get() - before
    };
    let two = searches(r#""activeGateTokenManagement.read","InstallerDownload""#);
    let three =
        searches(r#""activeGateTokenManagement.read","InstallerDownload","TenantTokenManagement""#);
    assert_eq!(three - two, 2);
}

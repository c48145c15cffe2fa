//! What real clients send, byte for byte as recorded, through the gate to the simulator: every one gets
//! an answer that it can work with.
//!
//! The clients: `dt` (the Python client of Dynatrace's API), the Terraform provider, Monaco, and the curl
//! line of the vendor's documentation. Their names and scopes break the shipped rules in part, so that
//! they run under a permissive rule first, and under the shipped ones for the form of a denial.

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Answered, Gate, Simulator, Upstream, data, gate};

/// A gate whose only policy denies `WriteConfig`, before a simulator.
struct Permissive {
    gate: Gate,
    _policies: TempDir,
    _simulator: Simulator,
}

impl Permissive {
    fn start() -> Self {
        let policies = tempfile::tempdir().unwrap();
        let rego = "package dtgate.only\n\ndeny contains \"WriteConfig is not granted\" if \"WriteConfig\" in input.change.scopes.requested\n";
        std::fs::write(policies.path().join("only.rego"), rego).unwrap();
        let simulator = Simulator::start();
        let arguments = ["--policies", policies.path().to_str().unwrap()];
        let gate = Gate::start(tempfile::tempdir().unwrap(), simulator.address, &arguments);
        Self {
            gate,
            _policies: policies,
            _simulator: simulator,
        }
    }

    fn replay(&self, name: &str) -> Answered {
        self.gate.raw(data(name))
    }
}

/// A 403 as every client can read it.
fn assert_denied(answer: &Answered) {
    assert_eq!(answer.status, 403, "{answer:?}");
    let media_type = answer.header("content-type").unwrap();
    assert!(media_type.starts_with("application/json"), "{answer:?}");
    assert!(!answer.body.contains('\n'), "one line: {answer:?}");
    assert!(!answer.body.contains(": {"), "compact: {answer:?}");
    let error = &answer.json()["error"];
    assert_eq!(error["code"], json!(403), "an integer: {answer:?}");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("Denied by dtgate: "), "{message}");
    let decision = answer.header("dtgate-decision-id").unwrap();
    assert!(message.contains(decision), "{message}");
    let violations = error["constraintViolations"].as_array().unwrap();
    assert!(!violations.is_empty(), "{answer:?}");
    for violation in violations {
        let mut members: Vec<_> = violation.as_object().unwrap().keys().collect();
        members.sort();
        assert_eq!(
            members,
            ["location", "message", "parameterLocation", "path"]
        );
        assert!(violation["path"].is_string(), "{violation}");
        assert!(violation["message"].is_string(), "{violation}");
        assert_eq!(violation["parameterLocation"], "PAYLOAD_BODY");
        assert!(violation["location"].is_null(), "{violation}");
    }
}

/// `dt` reads dates as `%Y-%m-%dT%H:%M:%S.%fZ`, and fails without the fraction.
fn assert_dates(value: &Value) {
    for (name, date) in value.as_object().unwrap() {
        if !name.ends_with("Date") || date.is_null() {
            continue;
        }
        let date = date.as_str().unwrap_or_else(|| panic!("{name}: {value}"));
        assert_eq!(date.len(), "2020-11-05T08:15:30.144Z".len(), "{date}");
        assert_eq!(&date[19..20], ".", "{date}");
        assert!(date.ends_with('Z'), "{date}");
        date.parse::<Timestamp>().unwrap();
    }
}

fn assert_created(answer: &Answered) -> String {
    assert!((200..300).contains(&answer.status), "{answer:?}");
    let created = answer.json();
    let id = created["id"].as_str().unwrap().to_owned();
    assert!(
        created["token"].as_str().unwrap().starts_with(&id),
        "{created}"
    );
    assert_dates(&created);
    id
}

fn assert_no_content(answer: &Answered) {
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (204, ""),
        "{answer:?}"
    );
}

#[test]
fn dt_works_through_the_gate() {
    let through = Permissive::start();
    assert_created(&through.replay("dt-create"));
    assert_created(&through.replay("dt-create-environment"));
    assert_no_content(&through.replay("dt-put"));

    let read = through.replay("dt-get");
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(read.json()["id"], "dt0c01.A");
    assert_dates(&read.json());

    let listed = through.replay("dt-list");
    assert_eq!(listed.status, 200, "{listed:?}");
    let tokens = listed.json()["apiTokens"].as_array().unwrap().clone();
    assert!(tokens.len() > 2, "{listed:?}");
    for token in &tokens {
        assert!(token["scopes"].is_array(), "{token}");
        assert_dates(token);
    }

    let found = through.replay("dt-lookup");
    assert_eq!(found.status, 200, "{found:?}");
    assert_eq!(found.json()["id"], "dt0c01.A");
    assert_dates(&found.json());

    let rotation = through.replay("dt-rotation-start");
    assert_eq!(rotation.status, 200, "{rotation:?}");
    assert!(
        rotation.json()["active"]["value"].is_string(),
        "{rotation:?}"
    );

    assert_no_content(&through.replay("dt-put-scopes"));
    assert_no_content(&through.replay("dt-delete"));
}

#[test]
fn terraform_works_through_the_gate() {
    let through = Permissive::start();
    assert_created(&through.replay("terraform-create-enabled"));
    // It makes a token first, and disables it then.
    assert_created(&through.replay("terraform-create-disabled"));
    assert_no_content(&through.replay("terraform-create-disabled-put"));
    let read = through.replay("terraform-read");
    assert_eq!(read.json()["enabled"], json!(false), "{read:?}");

    assert_no_content(&through.replay("terraform-update-environment"));
    assert_no_content(&through.replay("terraform-update"));
    let read = through.replay("terraform-read");
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(read.json()["name"], "tf");
    assert_eq!(read.json()["enabled"], json!(true));
    assert_dates(&read.json());

    let listed = through.replay("terraform-list");
    assert_eq!(listed.status, 200, "{listed:?}");
    assert!(listed.json()["apiTokens"].is_array(), "{listed:?}");

    assert_no_content(&through.replay("terraform-delete"));
    let again = through.replay("terraform-delete");
    assert_eq!((again.status, again.body.as_str()), (404, ""));
}

#[test]
fn monaco_reads_what_it_needs_about_its_own_token() {
    let through = Permissive::start();
    let found = through.replay("monaco-lookup");
    assert_eq!(found.status, 200, "{found:?}");
    let token = found.json();
    for member in ["id", "name", "owner", "creationDate"] {
        assert!(token[member].is_string(), "{member}: {token}");
    }
    assert_eq!(token["id"], "dt0c01.X");
    assert_eq!(token["enabled"], json!(true));
    assert!(token["scopes"].is_array(), "{token}");
    assert!(
        through
            .gate
            .records()
            .iter()
            .all(|record| record["kind"] != "decision")
    );
}

#[test]
fn what_breaks_the_shipped_rules_is_denied_in_dynatraces_own_form() {
    let simulator = Simulator::start();
    let gate = gate(simulator.address);
    for (name, message) in [
        ("dt-create", "metrics_token"),
        ("dt-create-environment", "metrics_token"),
        ("dt-put", "\"n\""),
        ("dt-put-scopes", "\"x\""),
        ("terraform-create-enabled", "\"tf\""),
        ("terraform-create-disabled", "\"tf\""),
        // The name is the token's own: only the scopes are new.
        ("terraform-update", "\"a\""),
        ("terraform-update-environment", "\"a\""),
    ] {
        let answer = gate.raw(data(name));
        assert_denied(&answer);
        let violations = answer.json()["error"]["constraintViolations"].to_string();
        let violations = violations.replace("\\\"", "\"");
        assert!(violations.contains(message), "{name}: {violations}");
        let last = gate.records().pop().unwrap();
        assert_eq!(
            last["decision_id"].as_str(),
            answer.header("dtgate-decision-id")
        );
    }
    // What reads, and what deletes another token, is nobody's business.
    for (name, status) in [
        ("dt-get", 200),
        ("dt-list", 200),
        ("dt-lookup", 200),
        ("monaco-lookup", 200),
        ("terraform-read", 200),
        ("terraform-list", 200),
        ("terraform-delete", 204),
    ] {
        assert_eq!(gate.raw(data(name)).status, status, "{name}");
    }
}

#[test]
fn the_vendors_own_example_is_denied_by_the_name_of_the_scope() {
    let simulator = Simulator::start();
    let gate = gate(simulator.address);
    let answer = gate.raw(data("seed-curl"));
    assert_denied(&answer);
    assert!(answer.body.contains("WriteConfig"), "{answer:?}");
    let paths: Vec<Value> = answer.json()["error"]["constraintViolations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| violation["path"].clone())
        .collect();
    assert!(paths.contains(&json!("scopes[2]")), "{paths:?}");

    // Without the one scope, the permissive rule lets it through: 204, as the documentation promises.
    let through = Permissive::start();
    assert_denied(&through.replay("seed-curl"));
    let request = String::from_utf8(data("seed-curl")).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let body = body.replace("\"WriteConfig\",\n", "");
    let head = head.rsplit_once(' ').unwrap().0;
    let answer = through
        .gate
        .raw(format!("{head} {}\r\n\r\n{body}", body.len()));
    assert_no_content(&answer);
}

/// Terraform follows a 307 with the whole write and its token to wherever it points, `dt` too, and both
/// take the page behind a 302 for success.
#[test]
fn a_redirect_of_a_write_never_reaches_a_client() {
    let policies = tempfile::tempdir().unwrap();
    std::fs::write(
        policies.path().join("none.rego"),
        "package dtgate.none\n\ndeny contains \"never\" if false\n",
    )
    .unwrap();
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let upstream = Upstream::answering_all(move |_| {
            format!("HTTP/1.1 {status}\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")
                .into_bytes()
        });
        let gate = Gate::start(
            tempfile::tempdir().unwrap(),
            upstream.address,
            &["--policies", policies.path().to_str().unwrap()],
        );
        for name in ["terraform-update", "dt-put-scopes"] {
            let answer = gate.raw(data(name));
            assert_eq!(answer.status, 502, "{status}: {answer:?}");
            assert_eq!(answer.header("location"), None);
            assert_eq!(answer.json()["error"]["code"], json!(502));
            assert!(answer.message().contains("redirect"), "{answer:?}");
            let outcome = gate.records().pop().unwrap();
            assert_eq!(outcome["kind"], "outcome");
            // Whether it was done, nobody knows.
            assert_eq!(outcome["outcome"], "unknown");
            assert_eq!(outcome["detail"], "redirect");
            assert_eq!(outcome["status"].to_string(), status[..3]);
        }
        assert_eq!(upstream.seen().len(), 2);
        // A read may be redirected: nothing is repeated by it, and the client decides.
        let answer = gate.raw(data("terraform-read"));
        assert_eq!(answer.status.to_string(), status[..3]);
        assert_eq!(answer.header("location"), Some("/other"));
    }
}

/// What Dynatrace itself answers reaches the client as it is, and is not asked for twice by the gate.
#[test]
fn the_upstreams_own_refusals_pass_unchanged() {
    let through: [(&str, &str, u16, &str); 4] = [
        (
            "429 Too Many Requests",
            "Retry-After: 3\r\nX-RateLimit-Limit: 50\r\n",
            429,
            "{\"error\":{\"code\":429,\"message\":\"slow\"}}",
        ),
        ("503 Service Unavailable", "", 503, "<html>bad</html>"),
        ("403 Forbidden", "", 403, ""),
        ("200 OK", "", 200, "{}"),
    ];
    let policies = tempfile::tempdir().unwrap();
    std::fs::write(
        policies.path().join("none.rego"),
        "package dtgate.none\n\ndeny contains \"never\" if false\n",
    )
    .unwrap();
    for (line, fields, status, body) in through {
        let upstream = Upstream::answering(move |_| {
            format!(
                "HTTP/1.1 {line}\r\n{fields}Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        });
        let gate = Gate::start(
            tempfile::tempdir().unwrap(),
            upstream.address,
            &["--policies", policies.path().to_str().unwrap()],
        );
        let answer = gate.raw(data("terraform-update"));
        assert_eq!((answer.status, answer.body.as_str()), (status, body));
        if status == 429 {
            assert_eq!(answer.header("retry-after"), Some("3"));
            assert_eq!(answer.header("x-ratelimit-limit"), Some("50"));
        }
        assert_eq!(upstream.seen().len(), 1);
    }
}

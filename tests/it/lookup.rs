//! The token as it is now, as policies see it: asked for before a change is judged, and true until it is sent.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Answered, Gate, SECRET, Seen, Simulator, TOKEN, Upstream, eventually, put, read_answer,
};

/// Nobody may add `WriteConfig`; whoever has it may keep it.
const ADDED: &str = "package dtgate.added\n\ndeny contains \"WriteConfig may not be added\" if \"WriteConfig\" in input.change.scopes.added\n";

/// A gate with one policy, before `upstream`; `data` and `configuration` are files of theirs.
fn gate_with(
    upstream: std::net::SocketAddr,
    rego: &str,
    data: &str,
    config: &str,
) -> (Gate, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let policies = files.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(policies.join("policy.rego"), rego).unwrap();
    std::fs::write(policies.join("data.yaml"), data).unwrap();
    let file = files.path().join("dtgate.toml");
    std::fs::write(&file, config).unwrap();
    let arguments = [
        "--policies",
        policies.to_str().unwrap(),
        "--config",
        file.to_str().unwrap(),
    ];
    let gate = Gate::start(tempfile::tempdir().unwrap(), upstream, &arguments);
    (gate, files)
}

/// The input of the last decision.
fn last_input(gate: &Gate) -> Value {
    let records = gate.records();
    let decision = records
        .iter()
        .rev()
        .find(|record| record["kind"] == "decision");
    decision.unwrap()["input"].clone()
}

/// A request of the administrator that the simulator knows.
fn request(method: &str, target: &str, body: &str) -> String {
    let secret = Simulator::secret("api tokens");
    format!(
        "{method} {target} HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token {secret}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn created(gate: &Gate, body: &str) -> String {
    let answer = gate.raw(request("POST", "/api/v2/apiTokens", body));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn what_terraform_repeats_shows_as_nothing_changed() {
    let simulator = Simulator::start();
    let (gate, _files) = gate_with(simulator.address, ADDED, "", "");
    let body = r#"{"name":"tf","enabled":true,"scopes":["metrics.read","logs.read"]}"#;
    let id = created(&gate, body);
    let input = last_input(&gate);
    assert_eq!(
        input["change"]["scopes"]["added"],
        json!(["metrics.read", "logs.read"])
    );
    assert_eq!(input["token"], Value::Null);

    let target = format!("/api/v2/apiTokens/{id}");
    let again = r#"{"name":"tf","enabled":true,"expirationDate":"now+14d","scopes":["logs.read","metrics.read"]}"#;
    let answer = gate.raw(request("PUT", &target, again));
    assert_eq!(answer.status, 204, "{answer:?}");
    let input = last_input(&gate);
    assert_eq!(input["change"]["differs"], json!([]), "{input}");
    assert_eq!(input["change"]["scopes"]["added"], json!([]));
    assert_eq!(input["change"]["scopes"]["removed"], json!([]));
    assert_eq!(
        input["change"]["scopes"]["kept"],
        json!(["logs.read", "metrics.read"])
    );
    assert_eq!(input["token"]["current"]["name"], "tf");
    assert_eq!(input["token"]["current"]["id"], json!(id));
    assert_eq!(input["token"]["lookup_error"], Value::Null);
    assert!(!input.to_string().contains("lastUsed"), "{input}");

    let disabled = gate.raw(request(
        "PUT",
        &target,
        r#"{"name":"tf","enabled":false,"scopes":["logs.read","metrics.read"]}"#,
    ));
    assert_eq!(disabled.status, 204, "{disabled:?}");
    assert_eq!(last_input(&gate)["change"]["differs"], json!(["enabled"]));
    assert_eq!(gate.raw(request("DELETE", &target, "")).status, 204);
    let input = last_input(&gate);
    assert_eq!(input["token"]["current"]["enabled"], json!(false));
}

#[test]
fn what_is_added_is_judged_and_what_is_kept_is_not() {
    let simulator = Simulator::start();
    let (gate, _files) = gate_with(simulator.address, ADDED, "", "");
    let denied = gate.raw(request(
        "POST",
        "/api/v2/apiTokens",
        r#"{"name":"n","scopes":["WriteConfig"]}"#,
    ));
    assert_eq!(denied.status, 403, "{denied:?}");
    // One that has it already: made around the gate.
    let direct = crate::harness::exchange(
        simulator.address,
        request(
            "POST",
            "/api/v2/apiTokens",
            r#"{"name":"n","scopes":["WriteConfig","logs.read"]}"#,
        )
        .as_bytes(),
    );
    let with = direct.json()["id"].as_str().unwrap().to_owned();
    let without = created(&gate, r#"{"name":"n","scopes":["logs.read"]}"#);
    let put = |id: &str, api: &str| {
        let target = format!("/api/{api}/{id}");
        let secret = Simulator::secret(if api == "v1/tokens" {
            "token management"
        } else {
            "api tokens"
        });
        let body = r#"{"name":"n","scopes":["WriteConfig","logs.read"]}"#;
        gate.raw(format!("PUT {target} HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token {secret}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    };
    for api in ["v2/apiTokens", "v1/tokens"] {
        assert_eq!(put(&with, api).status, 204, "{api}");
        let input = last_input(&gate);
        assert_eq!(
            input["change"]["scopes"]["kept"],
            json!(["WriteConfig", "logs.read"]),
            "{input}"
        );
        let answer = put(&without, api);
        assert_eq!(answer.status, 403, "{api}: {answer:?}");
        assert!(answer.message().contains("may not be added"), "{answer:?}");
    }
}

/// An upstream that answers lookups with `answer` and everything else with 204.
fn answering_lookups(answer: &'static str) -> Upstream {
    Upstream::answering_all(move |seen| {
        if seen.line.starts_with("GET") {
            answer.as_bytes().to_vec()
        } else {
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
        }
    })
}

fn writes(upstream: &Upstream) -> usize {
    let seen = upstream.seen();
    seen.iter()
        .filter(|seen| !seen.line.starts_with("GET"))
        .count()
}

#[test]
fn promise_2_a_failed_lookup_denies_and_says_why() {
    for (answer, reason) in [
        (
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
            "the credential is not valid",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "give it apiTokens.read",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "there is no such token",
        ),
        (
            "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
            "answered 500",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
            "answered 302",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", "answered 204"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<ht>",
            "is no token",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "is no token",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
            "the policies judge",
        ),
        ("no http", "the policies judge"),
    ] {
        let upstream = answering_lookups(answer);
        let (gate, _files) = gate_with(upstream.address, ADDED, "", "[lookup]\ntimeout = \"1s\"\n");
        let answered = gate.send("PUT", TOKEN, r#"{"name":"n","scopes":["a"]}"#);
        // What is not there is not there: a client that wants it gone is content.
        let status = if answer.contains(" 404 ") { 404 } else { 403 };
        assert_eq!(answered.status, status, "{answer:?}: {answered:?}");
        assert!(
            answered.message().contains(reason),
            "{answer:?}: {answered:?}"
        );
        assert_eq!(writes(&upstream), 0, "{answer:?}");
        let record = gate.records().pop().unwrap();
        assert_eq!(
            record["result"]["violations"][0]["code"], "lookup-failed",
            "{record}"
        );
        assert!(
            record["input"]["token"]["lookup_error"].is_string(),
            "{record}"
        );
        // A leaked token can be stopped all the same.
        assert_eq!(gate.send("PUT", TOKEN, r#"{"revoked":true}"#).status, 204);
        let revived = gate.send("PUT", TOKEN, r#"{"revoked":false}"#);
        assert_eq!(revived.status, status);
        assert_eq!(gate.send("DELETE", TOKEN, "").status, status);
    }
}

#[test]
fn a_policy_set_can_do_without_the_lookup() {
    let upstream = answering_lookups("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let (gate, _files) = gate_with(upstream.address, ADDED, "lookup: {required: false}\n", "");
    assert_eq!(gate.send("PUT", TOKEN, r#"{"scopes":["a"]}"#).status, 204);
    let input = last_input(&gate);
    assert_eq!(input["change"]["scopes"]["added"], Value::Null);
    assert!(
        input["token"]["lookup_error"]
            .as_str()
            .unwrap()
            .contains("404")
    );
}

#[test]
fn nobody_is_asked_when_no_policy_wants_to_know() {
    let upstream = answering_lookups("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let rego =
        "package dtgate.blind\n\ndeny contains \"no\" if \"x\" in input.change.scopes.requested\n";
    let (gate, _files) = gate_with(upstream.address, rego, "", "");
    assert_eq!(gate.send("PUT", TOKEN, r#"{"scopes":["a"]}"#).status, 204);
    assert_eq!(gate.send("DELETE", TOKEN, "").status, 204);
    assert_eq!(upstream.seen().len(), 2);
}

const FOUND: &str = "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{\"scopes\":[],\"name\":\"n\"}";

#[test]
fn it_is_asked_in_the_callers_name_and_of_the_same_collection() {
    let upstream = answering_lookups(FOUND);
    let (gate, _files) = gate_with(upstream.address, ADDED, "", "");
    let caller = format!("Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}");
    let asked = |target: &str, headers: &str| -> Seen {
        let body = r#"{"scopes":["a"]}"#;
        let answer = gate.raw(format!("PUT {target} HTTP/1.1\r\nHost: g\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(answer.status, 204, "{answer:?}");
        let seen = upstream.seen();
        let last = seen.iter().rev().find(|seen| seen.line.starts_with("GET"));
        last.unwrap().clone()
    };
    let header = format!("Authorization: {caller}\r\nX-Mine: 1\r\nAccept-Encoding: gzip\r\n");
    for path in [
        TOKEN,
        "/e/abc/api/v2/apiTokens/dt0c01.AB",
        "/platform/classic/environment-api/v2/apiTokens/dt0c01.AB",
        "/api/cluster/v2/tokens/dt0c01.AB",
    ] {
        let seen = asked(path, &header);
        assert_eq!(seen.line, format!("GET {path} HTTP/1.1"));
        assert_eq!(seen.header("authorization"), Some(caller.as_str()));
        assert_eq!(seen.header("x-mine"), None, "only what the question needs");
        assert_eq!(seen.header("accept-encoding"), None);
    }
    let token = caller.split(' ').next_back().unwrap();
    let seen = asked(&format!("{TOKEN}?Api-Token={token}"), "");
    assert_eq!(seen.header("authorization"), Some(caller.as_str()));
    assert!(!seen.line.contains('?'), "{}", seen.line);
    let seen = asked(TOKEN, "Authorization: Bearer dt0s16.AB.CD\r\n");
    assert_eq!(seen.header("authorization"), Some("Bearer dt0s16.AB.CD"));
    let seen = asked(TOKEN, "Cookie: JSESSIONID=1\r\n");
    assert_eq!(seen.header("cookie"), Some("JSESSIONID=1"));
}

#[test]
fn the_gates_own_token_reads_through_v2() {
    let upstream = answering_lookups(FOUND);
    let files = tempfile::tempdir().unwrap();
    let own = files.path().join("token");
    std::fs::write(&own, format!("dt0c01.OWN.{SECRET}\n")).unwrap();
    let config = format!("[lookup]\ntoken_file = {:?}\n", own.to_str().unwrap());
    let (gate, _files) = gate_with(upstream.address, ADDED, "", &config);
    let own = format!("Api-Token dt0c01.OWN.{SECRET}");
    for (target, asked) in [
        (
            TOKEN,
            "/api/v2/apiTokens/d5836312-5790-4e80-afcf-09971954c3ea",
        ),
        (
            "/e/abc/api/v1/tokens/dt0c01.AB",
            "/e/abc/api/v2/apiTokens/dt0c01.AB",
        ),
        ("/api/v2/apiTokens/dt0c01.AB", "/api/v2/apiTokens/dt0c01.AB"),
    ] {
        assert_eq!(gate.send("PUT", target, r#"{"scopes":["a"]}"#).status, 204);
        let seen = upstream.seen();
        let [.., question, change] = seen.as_slice() else {
            panic!("{seen:?}");
        };
        assert_eq!(question.line, format!("GET {asked} HTTP/1.1"));
        assert_eq!(question.header("authorization"), Some(own.as_str()));
        assert_ne!(
            change.header("authorization"),
            Some(own.as_str()),
            "the caller's own"
        );
    }
}

#[test]
fn a_token_file_that_cannot_be_used_is_found_at_the_start() {
    let files = tempfile::tempdir().unwrap();
    let (token, config) = (files.path().join("token"), files.path().join("dtgate.toml"));
    let text = format!(
        "[upstream]\nurl = \"http://127.0.0.1:9\"\n[lookup]\ntoken_file = {:?}\n",
        token.to_str().unwrap()
    );
    std::fs::write(&config, text).unwrap();
    let check = || {
        let mut program = crate::harness::program();
        program
            .arg("check")
            .arg("--config")
            .arg(&config)
            .arg("--policies")
            .arg(crate::harness::policies());
        program.output().unwrap()
    };
    for content in [None, Some(""), Some("two words")] {
        if let Some(content) = content {
            std::fs::write(&token, content).unwrap();
        }
        let output = check();
        assert!(!output.status.success(), "{content:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("lookup.token_file") && said.contains("token"),
            "{said}"
        );
        assert!(!said.contains("two words"), "{said}");
    }
}

#[test]
fn a_token_that_is_named_by_its_secret_is_asked_for_without_writing_it() {
    let upstream = Upstream::answering_all(|seen| {
        if seen.line.contains("/lookup")
            || seen
                .line
                .starts_with("GET /api/v2/apiTokens/dt0c01.ST2EY72KQINMH574WMNVI7YN ")
        {
            FOUND.as_bytes().to_vec()
        } else if seen.line.starts_with("GET") {
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()
        } else {
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
        }
    });
    let (gate, _files) = gate_with(upstream.address, ADDED, "", "");
    let whole = format!("/api/v2/apiTokens/dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}");
    assert_eq!(gate.send("DELETE", &whole, "").status, 204);
    assert!(!upstream.seen()[0].line.contains(SECRET));
    // One of the old format has no public part.
    let old = format!("/api/v1/tokens/{}", &SECRET[..21]);
    assert_eq!(gate.send("DELETE", &old, "").status, 204);
    let seen = upstream.seen();
    let lookup = seen
        .iter()
        .find(|seen| seen.line.contains("/lookup"))
        .unwrap();
    assert_eq!(lookup.line, "POST /api/v1/tokens/lookup HTTP/1.1");
    assert_eq!(
        lookup.body,
        json!({"token": &SECRET[..21]}).to_string().as_bytes()
    );
    assert_eq!(last_input(&gate)["token"]["current"]["name"], "n");
}

#[test]
fn the_gates_own_token_tells_nothing_to_who_shows_none() {
    let upstream = answering_lookups(FOUND);
    let files = tempfile::tempdir().unwrap();
    let own = files.path().join("token");
    std::fs::write(&own, format!("dt0c01.OWN.{SECRET}\n")).unwrap();
    let config = format!("[lookup]\ntoken_file = {:?}\n", own.to_str().unwrap());
    let (gate, _files) = gate_with(upstream.address, ADDED, "", &config);
    let body = r#"{"scopes":["a"]}"#;
    let answer = gate.raw(format!(
        "PUT {TOKEN} HTTP/1.1\r\nHost: g\r\nCookie: b925d32c=session\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    // A session is a credential, but not one that the gate's own token may speak for.
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(
        answer.message().contains("shows no credential"),
        "{answer:?}"
    );
    assert!(upstream.seen().is_empty());
}

#[test]
fn the_answer_about_another_token_is_none() {
    let other = "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"id\":\"dt0c01.AB\",\"scopes\":[]}";
    let upstream = answering_lookups(other);
    let (gate, _files) = gate_with(upstream.address, ADDED, "", "");
    let answer = gate.send("PUT", "/api/v2/apiTokens/dt0c01.CD", r#"{"scopes":["a"]}"#);
    assert!(
        answer.message().contains("about another token"),
        "{answer:?}"
    );
    assert_eq!(
        gate.send("PUT", "/api/v2/apiTokens/dt0c01.AB", r#"{"scopes":["a"]}"#)
            .status,
        204
    );
}

#[test]
fn promise_4_a_secret_in_a_name_is_not_written() {
    let name = format!("ci dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}");
    let body = json!({"name": name, "owner": name, "scopes": ["a"]}).to_string();
    let upstream = Upstream::answering_all(move |seen| {
        if seen.line.starts_with("GET") {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        } else {
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
        }
    });
    let (gate, _files) = gate_with(upstream.address, ADDED, "", "");
    assert_eq!(gate.send("PUT", TOKEN, r#"{"scopes":["a"]}"#).status, 204);
    let current = last_input(&gate)["token"]["current"].clone();
    assert_eq!(
        current["name"],
        "ci dt0c01.ST2EY72KQINMH574WMNVI7YN.[secret]"
    );
    let link = "https://x/#dashboard;id=1?auth=Ab3dE5gH7jK9mN1pQ3sT5";
    let shared = json!({"publicAccess": {"urls": {"-1": link}}}).to_string();
    let target = "/api/config/v1/dashboards/x/shareSettings";
    assert_eq!(gate.send("PUT", target, &shared).status, 204);
    assert_eq!(upstream.seen().pop().unwrap().body, shared.as_bytes());
    let record = last_input(&gate).to_string();
    assert!(
        record.contains("auth=[secret]") && !record.contains("Ab3dE5"),
        "{record}"
    );
}

#[test]
fn callers_who_may_not_know_a_token_do_not_stand_in_line_for_it() {
    let (told, arrived) = channel();
    let (let_go, released) = channel::<()>();
    let (told, released) = (Mutex::new(told), Mutex::new(released));
    let upstream = Upstream::answering_all(move |seen| {
        let stranger = !seen
            .header("authorization")
            .is_some_and(|value| value.contains("ST2EY"));
        if seen.line.starts_with("GET") && stranger {
            return b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        told.lock().unwrap().send(seen.line.clone()).unwrap();
        if seen.line.starts_with("GET") {
            return FOUND.as_bytes().to_vec();
        }
        released.lock().unwrap().recv().unwrap();
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let (gate, _files) = gate_with(upstream.address, ADDED, "", "[lookup]\ntimeout = \"30s\"\n");
    let first = begin(&gate, &put(r#"{"scopes":["a"]}"#));
    assert!(arrived.recv().unwrap().starts_with("GET"));
    assert!(arrived.recv().unwrap().starts_with("PUT"));
    // The turn is taken; a stranger is answered all the same.
    let stranger = put(r#"{"scopes":["b"]}"#).replace("ST2EY72KQINMH574WMNVI7YN", "STRANGER");
    assert_eq!(answer(begin(&gate, &stranger)).status, 403);
    let_go.send(()).unwrap();
    assert_eq!(answer(first).status, 204);
}

/// An upstream that says what arrives, and answers a write only when it is let.
struct Held {
    upstream: Upstream,
    arrived: Receiver<String>,
    let_go: Sender<()>,
}

fn held(answer: &'static str) -> Held {
    let (told, arrived) = channel();
    let (let_go, released) = channel::<()>();
    let released = Mutex::new(released);
    let told = Arc::new(Mutex::new(told));
    let upstream = Upstream::answering_all(move |seen| {
        told.lock().unwrap().send(seen.line.clone()).unwrap();
        if seen.line.starts_with("GET") {
            return answer.as_bytes().to_vec();
        }
        released.lock().unwrap().recv().unwrap();
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    Held {
        upstream,
        arrived,
        let_go,
    }
}

fn begin(gate: &Gate, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gate.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn answer(stream: TcpStream) -> Answered {
    read_answer(&mut BufReader::new(stream)).unwrap()
}

#[test]
fn changes_of_one_token_come_one_after_the_other() {
    let held = held(FOUND);
    let (gate, _files) = gate_with(
        held.upstream.address,
        ADDED,
        "",
        "[lookup]\ntimeout = \"30s\"\n",
    );
    let first = begin(&gate, &put(r#"{"scopes":["a"]}"#));
    assert!(held.arrived.recv().unwrap().starts_with("GET"));
    assert!(held.arrived.recv().unwrap().starts_with("PUT"));
    let second = begin(&gate, &put(r#"{"scopes":["b"]}"#));
    // It shows that it may know the token, and waits.
    assert!(held.arrived.recv().unwrap().contains("d5836312"));
    // Another token does not wait: its lookup arrives while the first change is under way.
    let other = put(r#"{"scopes":["c"]}"#).replace("d5836312", "00000000");
    let other = begin(&gate, &other);
    let line = held.arrived.recv().unwrap();
    assert!(
        line.starts_with("GET") && line.contains("00000000"),
        "{line}"
    );
    assert!(held.arrived.recv().unwrap().contains("00000000"));
    assert!(
        held.arrived.try_recv().is_err(),
        "the second waits for its turn"
    );
    held.let_go.send(()).unwrap();
    held.let_go.send(()).unwrap();
    assert!(held.arrived.recv().unwrap().starts_with("GET"));
    assert!(held.arrived.recv().unwrap().starts_with("PUT"));
    held.let_go.send(()).unwrap();
    for stream in [first, second, other] {
        assert_eq!(answer(stream).status, 204);
    }
}

#[test]
fn two_names_of_one_token_take_one_turn() {
    let held =
        held("HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{\"id\":\"dt0c01.AB\",\"scopes\":[]} ");
    let (gate, _files) = gate_with(
        held.upstream.address,
        ADDED,
        "",
        "[lookup]\ntimeout = \"30s\"\n",
    );
    let first = begin(&gate, &put(r#"{"scopes":["a"]}"#));
    // Once for each name.
    assert!(held.arrived.recv().unwrap().starts_with("GET"));
    assert!(held.arrived.recv().unwrap().starts_with("GET"));
    assert!(held.arrived.recv().unwrap().starts_with("PUT"));
    let renamed =
        put(r#"{"scopes":["b"]}"#).replace("d5836312-5790-4e80-afcf-09971954c3ea", "dt0c01.AB");
    let second = begin(&gate, &renamed);
    assert!(held.arrived.recv().unwrap().contains("dt0c01.AB"));
    // Something of another token's, so that the second had every chance.
    let other = begin(&gate, "GET /x HTTP/1.1\r\nHost: g\r\n\r\n");
    assert!(held.arrived.recv().unwrap().starts_with("GET /x "));
    drop(other);
    assert!(held.arrived.try_recv().is_err());
    held.let_go.send(()).unwrap();
    assert!(held.arrived.recv().unwrap().contains("dt0c01.AB"));
    assert!(held.arrived.recv().unwrap().starts_with("PUT"));
    held.let_go.send(()).unwrap();
    assert_eq!(answer(first).status, 204);
    assert_eq!(answer(second).status, 204);
}

#[test]
fn whoever_waits_too_long_for_the_turn_is_told() {
    let held = held(FOUND);
    let (gate, _files) = gate_with(
        held.upstream.address,
        ADDED,
        "",
        "[lookup]\ntimeout = \"100ms\"\n",
    );
    let first = begin(&gate, &put(r#"{"scopes":["a"]}"#));
    assert!(held.arrived.recv().unwrap().starts_with("GET"));
    assert!(held.arrived.recv().unwrap().starts_with("PUT"));
    let second = answer(begin(&gate, &put(r#"{"scopes":["b"]}"#)));
    assert_eq!(second.status, 403);
    assert!(
        second.message().contains("another change of this token"),
        "{second:?}"
    );
    held.let_go.send(()).unwrap();
    assert_eq!(answer(first).status, 204);
    let metrics = eventually("the failure is counted", || {
        let metrics =
            crate::harness::exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        metrics
            .body
            .contains("dtgate_lookup_failures_total 1")
            .then_some(metrics)
    });
    assert!(
        metrics.body.contains("dtgate_lookup_seconds_count 2"),
        "{}",
        metrics.body
    );
}

#[test]
fn a_client_that_hangs_up_while_it_waits_for_its_turn_changes_nothing() {
    let held = held(FOUND);
    let (gate, _files) = gate_with(
        held.upstream.address,
        ADDED,
        "",
        "[lookup]\ntimeout = \"30s\"\n",
    );
    let first = begin(&gate, &put(r#"{"scopes":["a"]}"#));
    assert!(held.arrived.recv().unwrap().starts_with("GET"));
    assert!(held.arrived.recv().unwrap().starts_with("PUT"));
    let second = begin(&gate, &put(r#"{"scopes":["b"]}"#));
    eventually("the second is read", || {
        let metrics =
            crate::harness::exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        metrics.body.contains("dtgate_in_flight 2").then_some(())
    });
    drop((first, second));
    // The first is recorded, and goes on. The second is not, and ends.
    eventually("the second is recorded as refused", || {
        (gate.records().len() == 3).then_some(())
    });
    held.let_go.send(()).unwrap();
    eventually("the first has its outcome", || {
        (gate.records().len() == 4).then_some(())
    });
    let records = gate.records();
    let kinds: Vec<_> = records.iter().map(|record| &record["kind"]).collect();
    assert_eq!(kinds, ["start", "decision", "decision", "outcome"]);
    let error = records[2]["error"].as_str().unwrap();
    assert!(error.contains("the client went away"), "{error}");
    let seen: Vec<String> = held.arrived.try_iter().collect();
    assert!(!seen.iter().any(|line| line.starts_with("PUT")), "{seen:?}");
}

/// A policy that protects tokens by the name that they have now must see the name.
#[test]
fn promise_1_a_request_does_not_hide_the_token_as_it_is() {
    const PROTECTED: &str = "package dtgate.kept\n\ndeny contains \"it stays\" if input.token.current.name == \"payments-prod-main\"\n";
    let simulator = Simulator::start();
    let (gate, _files) = gate_with(simulator.address, PROTECTED, "", "");
    let id = created(
        &gate,
        r#"{"name":"payments-prod-main","scopes":["metrics.read"]}"#,
    );
    let secret = Simulator::secret("api tokens");
    let delete = |field: &str| {
        let request = format!(
            "DELETE /api/v2/apiTokens/{id} HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token {secret}\r\n{field}\r\n"
        );
        gate.raw(request)
    };
    assert_eq!(delete("").status, 403);
    let answer = delete("Proxy-Authorization: payments-prod-main\r\n");
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(
        delete("Proxy-Authorization: another-long-value\r\n").status,
        403
    );
}

//! The outcome of a creation names the credential that was made, and never its secret, whatever the answer looks like;
//! the client gets the answer as it came.

use std::fmt::Write as _;
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Answered, Gate, Seen, eventually, exchange, files, read_answer, read_message, unless_gone,
};

/// The secret part of the credentials that are made here.
const MADE: &str = "B3NZQ6VLXOTAJ5CWY7DHUKI2MFE4RGPSB3NZQ6VLXOTAJ5CWY7DHUKI2MFE4RGPS";
const TOKENS: &str = "/api/v2/apiTokens";

/// Answers each request once, as the function says, and closes the connection.
fn upstream(answer: impl Fn(&Seen, &mut TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let seen = read_message(&mut reader).unwrap();
                answer(&seen, &mut stream);
                drop(stream.shutdown(Shutdown::Both));
            });
        }
    });
    address
}

/// A gate whose policy lets everything pass.
fn gate(upstream: SocketAddr, configuration: &str) -> (Gate, TempDir) {
    let files = tempfile::tempdir().unwrap();
    let policies = files.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let rego =
        "package dtgate.nothing\n\ndeny contains \"never\" if input.operation == \"never\"\n";
    std::fs::write(policies.join("nothing.rego"), rego).unwrap();
    let config = files.path().join("dtgate.toml");
    std::fs::write(&config, configuration).unwrap();
    let arguments = [
        "--policies",
        policies.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ];
    let gate = Gate::start(tempfile::tempdir().unwrap(), upstream, &arguments);
    (gate, files)
}

/// An answer with JSON in it.
fn created(body: &str) -> String {
    format!(
        "HTTP/1.1 201 Created\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// As clients do that would take a compressed answer.
fn create(gate: &Gate, target: &str) -> Answered {
    let body = if target.ends_with(":rotate") {
        ""
    } else {
        r#"{"name":"n","scopes":["metrics.read"]}"#
    };
    gate.raw(format!(
        "POST {target} HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token dt0c01.A.B\r\nAccept-Encoding: gzip\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// The outcome that was written last; it is there as soon as the answer is.
fn outcome(gate: &Gate) -> Value {
    let outcome = gate.records().pop().unwrap();
    assert_eq!(outcome["kind"], "outcome", "{outcome}");
    assert_eq!(outcome["outcome"], "answered", "{outcome}");
    outcome
}

/// Nothing that the gate has written holds the secret that was made.
fn assert_no_secret(gate: &Gate) {
    let mut written = gate.log();
    for path in files(&gate.journal()) {
        let content = unless_gone(std::fs::read(path)).unwrap_or_default();
        written.push_str(&String::from_utf8_lossy(&content));
    }
    let secret = MADE.split_at(16).0;
    assert!(!written.contains(secret), "{written}");
    assert!(!written.contains("abcdefghijklmnopqrstu"), "{written}");
}

#[test]
fn the_outcome_of_every_creation_names_what_was_made() {
    let whole = |id: &str| format!("{id}.{MADE}");
    let cases = [
        (
            TOKENS,
            json!({"id": "dt0c01.MADE1", "token": whole("dt0c01.MADE1"), "expirationDate": "2027-01-01T00:00:00.000Z"}),
            json!({"id": "dt0c01.MADE1", "expiration": "2027-01-01T00:00:00.000Z"}),
        ),
        (
            "/e/abc12345/platform/classic/environment-api/v2/apiTokens",
            json!({"id": "dt0c01.MADE2", "token": whole("dt0c01.MADE2")}),
            json!({"id": "dt0c01.MADE2"}),
        ),
        (
            "/api/v1/tokens",
            json!({"token": whole("dt0c01.MADE3")}),
            json!({"id": "dt0c01.MADE3"}),
        ),
        (
            "/api/cluster/v2/tokens",
            json!({"token": whole("dt0c01.MADE4")}),
            json!({"id": "dt0c01.MADE4"}),
        ),
        (
            "/api/v2/activeGateTokens",
            json!({"id": "dt0g02.MADE0005", "token": whole("dt0g02.MADE0005"), "expirationDate": "2027-01-01T00:00:00.000Z"}),
            json!({"id": "dt0g02.MADE0005", "expiration": "2027-01-01T00:00:00.000Z"}),
        ),
        (
            "/platform/app-engine/edge-connect/v1/edge-connects",
            json!({"id": "edge", "oauthClientId": "dt0s10.MADE6", "oauthClientSecret": whole("dt0s10.MADE6")}),
            json!({"id": "dt0s10.MADE6"}),
        ),
        (
            "/platform/app-engine/edge-connect/v1/edge-connects/5/oauthClient:rotate",
            json!({"clientId": "dt0s10.MADE9", "clientSecret": whole("dt0s10.MADE9")}),
            json!({"id": "dt0s10.MADE9"}),
        ),
        (
            "/api/cluster/v2/environments/e/tokenManagementToken",
            json!({"token": whole("dt0c01.MADE7")}),
            json!({"id": "dt0c01.MADE7"}),
        ),
        (
            "/api/cluster/v2/environments?createToken=true",
            json!({"id": "9c24d1cd-cffa-44d0-b3a6-8ca1a7d9bd41", "tokenManagementToken": whole("dt0c01.MADE8")}),
            json!({"id": "dt0c01.MADE8"}),
        ),
    ];
    let answers: Vec<(String, String)> = cases
        .iter()
        .map(|(target, answer, _)| ((*target).to_owned(), answer.to_string()))
        .collect();
    let upstream = upstream(move |seen, stream| {
        // What could not be read is not asked for.
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        let target = seen.line.split(' ').nth(1).unwrap();
        let (_, answer) = answers.iter().find(|(known, _)| known == target).unwrap();
        stream.write_all(created(answer).as_bytes()).unwrap();
    });
    let (gate, _files) = gate(upstream, "");
    for (target, answer, credential) in cases {
        let answered = create(&gate, target);
        assert_eq!(answered.status, 201, "{answered:?}");
        assert_eq!(answered.body, answer.to_string());
        let outcome = outcome(&gate);
        assert_eq!(outcome["status"], 201);
        assert_eq!(outcome["credential"], credential, "{target}: {outcome}");
        assert!(outcome.get("detail").is_none(), "{outcome}");
    }
    assert_no_secret(&gate);
}

#[test]
fn a_token_older_than_the_format_is_named_as_later_requests_with_it_are() {
    let token = "abcdefghijklmnopqrstu";
    let upstream = upstream(move |seen, stream| {
        let answer = if seen.line.starts_with("POST") {
            created(&json!({"token": token}).to_string())
        } else {
            "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned()
        };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let (gate, _files) = gate(upstream, "");
    create(&gate, "/api/v1/tokens");
    let made = outcome(&gate)["credential"]["id"].clone();
    assert!(made.as_str().unwrap().starts_with("hmac-sha256:"), "{made}");
    let used = format!(
        "DELETE /api/v1/tokens/dt0c01.OTHER HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token {token}\r\n\r\n"
    );
    assert_eq!(exchange(gate.address, used.as_bytes()).status, 204);
    let records = gate.records();
    let used = records.iter().rfind(|record| record["kind"] == "decision");
    assert_eq!(used.unwrap()["caller"]["id"], made);
    assert_no_secret(&gate);
}

const JSON: &str = "Content-Type: application/json\r\n";

/// An answer: head fields, body, and the id that its outcome has to tell, or why it cannot.
type Case = (&'static str, String, Result<&'static str, &'static str>);

fn answers_that_do_not_tell() -> Vec<Case> {
    let whole = format!("dt0c01.MADE.{MADE}");
    let good = json!({"id": "dt0c01.MADE", "token": whole}).to_string();
    let gzip = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    let html = "Content-Type: text/html\r\n";
    let twice = format!(r#"{{"token":"{whole}","token":"dt0c01.OTHER.{MADE}"}}"#);
    let twins = format!(r#"{{"Token":"dt0c01.OTHER.{MADE}","token":"{whole}"}}"#);
    let nested = format!(r#"{{"data":{good}}}"#);
    let wrong_types = format!(r#"{{"id":5,"token":null,"made":{good}}}"#);
    let padding = "x".repeat(70_000);
    let huge = format!(r#"{{"token":"{whole}","padding":"{padding}"}}"#);
    let nowhere = Err("where Dynatrace documents it");
    vec![
        (JSON, String::new(), Err("no body")),
        (gzip, "\u{1f}not really".to_owned(), Err("Content-Encoding")),
        (html, format!("<p>{whole}"), Err("not JSON (Content-Type)")),
        (JSON, format!("<p>{whole}</p>"), Err("line 1 column 1")),
        (JSON, format!("[{good}]"), Err("in one way")),
        (JSON, format!("{good}{good}"), Err("in one way")),
        (JSON, twice, Err("in one way")),
        (JSON, twins, Err("in one way")),
        (JSON, nested, nowhere),
        (JSON, wrong_types, nowhere),
        (JSON, huge, Err("longer than 64 KiB")),
    ]
}

fn answers_that_tell() -> Vec<Case> {
    let whole = format!("dt0c01.MADE.{MADE}");
    let good = json!({"id": "dt0c01.MADE", "token": whole}).to_string();
    let decoy = format!(r#"{{"data":{{"id":"dt0c01.DECOY"}},"token":"{whole}"}}"#);
    let csv = "Content-Type: text/csv; header=present\r\n";
    let told = Ok("dt0c01.MADE");
    vec![
        (JSON, decoy, told),
        (JSON, format!(r#"{{"id":"{whole}"}}"#), told),
        ("", good, told),
        ("Content-Type: text/plain\r\n", whole.clone(), told),
        (csv, format!("token\r\n{whole}\r\n"), told),
    ]
}

#[test]
fn an_answer_that_does_not_tell_goes_to_the_client_as_it_came_and_the_outcome_says_why() {
    let cases = [answers_that_do_not_tell(), answers_that_tell()].concat();
    let (next, answers) = mpsc::channel::<String>();
    let answers = std::sync::Mutex::new(answers);
    let upstream = upstream(move |_, stream| {
        let answer = answers.lock().unwrap().recv().unwrap();
        // Byte by byte, where it is not too much: no part of it is a whole.
        let pieces = if answer.len() < 1000 { 1 } else { 4096 };
        stream.set_nodelay(true).unwrap();
        for piece in answer.as_bytes().chunks(pieces) {
            stream.write_all(piece).unwrap();
        }
    });
    let (gate, _files) = gate(upstream, "");
    for chunked in [false, true] {
        for (fields, body, expected) in &cases {
            let head = format!("HTTP/1.1 201 Created\r\nConnection: close\r\n{fields}");
            let answer = if chunked {
                format!(
                    "{head}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
                    in_chunks(body)
                )
            } else {
                format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
            };
            next.send(answer).unwrap();
            let answered = create(&gate, "/api/v1/tokens");
            assert_eq!((answered.status, &answered.body), (201, body), "{fields}");
            let outcome = outcome(&gate);
            let id = outcome["credential"]["id"].as_str();
            let detail = outcome["detail"].as_str().unwrap_or_default();
            assert_eq!(
                (outcome["status"].as_u64(), id),
                (Some(201), expected.ok()),
                "{body}"
            );
            if let Err(why) = expected {
                assert!(
                    detail.starts_with("what it made is not known: "),
                    "{detail}"
                );
                assert!(detail.contains(why), "{detail}, and not {why}");
            }
        }
    }
    assert_no_secret(&gate);
}

/// In chunks of one to nine bytes; of a long text, in larger ones.
fn in_chunks(text: &str) -> String {
    let mut chunks = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let size = (chunks.len() % 9 + 1).max(rest.len() / 50).min(rest.len());
        let (chunk, after) = rest.split_at(rest.floor_char_boundary(size.max(4)).min(rest.len()));
        write!(chunks, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
        rest = after;
    }
    chunks
}

#[test]
fn an_answer_that_breaks_off_has_an_outcome_and_is_cut_for_the_client_too() {
    let whole = format!("dt0c01.MADE.{MADE}");
    for framing in [
        "Content-Length: 5000\r\n\r\n{",
        "Transfer-Encoding: chunked\r\n\r\n2000\r\n{",
    ] {
        let part = format!(
            "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n{framing}\"token\":\"{whole}\""
        );
        let upstream = upstream(move |_, stream| stream.write_all(part.as_bytes()).unwrap());
        let (gate, _files) = gate(upstream, "");
        let mut client = TcpStream::connect(gate.address).unwrap();
        let request = b"POST /api/v1/tokens HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token dt0c01.A.B\r\n\
            Content-Type: application/json\r\nContent-Length: 24\r\n\r\n{\"name\":\"n\",\"scopes\":[]}";
        client.write_all(request).unwrap();
        let mut answer = Vec::new();
        // A reset says as well as an end that this was not all.
        drop(client.read_to_end(&mut answer));
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
        assert!(answer.contains(&whole), "what came is passed on: {answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        let outcome = outcome(&gate);
        assert_eq!(outcome["status"], 201);
        assert_eq!(
            outcome["detail"],
            "what it made is not known: its answer broke off"
        );
        assert_no_secret(&gate);
    }
}

#[test]
fn nobody_waits_for_a_slow_answer_longer_than_configured() {
    let (go_on, waiting) = mpsc::channel::<()>();
    let waiting = std::sync::Mutex::new(waiting);
    let body = json!({"id": "dt0c01.MADE", "token": format!("dt0c01.MADE.{MADE}")}).to_string();
    let answer = created(&body);
    let upstream = upstream(move |_, stream| {
        let (begin, end) = answer.split_at(answer.len() - 20);
        stream.write_all(begin.as_bytes()).unwrap();
        waiting.lock().unwrap().recv().unwrap();
        stream.write_all(end.as_bytes()).unwrap();
    });
    let (gate, _files) = gate(upstream, "[limits]\nbirth_timeout = \"50ms\"\n");
    let mut client = TcpStream::connect(gate.address).unwrap();
    let request =
        b"POST /api/v2/apiTokens HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token dt0c01.A.B\r\n\
        Content-Type: application/json\r\nContent-Length: 24\r\n\r\n{\"name\":\"n\",\"scopes\":[]}";
    client.write_all(request).unwrap();
    let outcome = eventually("the outcome", || {
        gate.records()
            .pop()
            .filter(|record| record["kind"] == "outcome")
    });
    let detail = outcome["detail"].as_str().unwrap();
    assert!(
        detail.contains("within 50ms (limits.birth_timeout)"),
        "{detail}"
    );
    go_on.send(()).unwrap();
    let answered = read_answer(&mut BufReader::new(client)).unwrap();
    assert_eq!((answered.status, answered.body), (201, body));
    let metrics = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    assert!(
        metrics.contains("dtgate_limit_reached_total{limit=\"birth_timeout\"} 1"),
        "{metrics}"
    );
    assert_no_secret(&gate);
}

#[test]
fn what_was_not_made_is_not_looked_for() {
    let upstream = upstream(|_, stream| {
        let body =
            format!(r#"{{"error":{{"code":400,"message":"no"}},"token":"dt0c01.MADE.{MADE}"}}"#);
        let answer = created(&body).replace("201 Created", "400 Bad Request");
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let (gate, _files) = gate(upstream, "");
    assert_eq!(create(&gate, TOKENS).status, 400);
    let outcome = outcome(&gate);
    assert!(
        outcome.get("credential").is_none() && outcome.get("detail").is_none(),
        "{outcome}"
    );
    assert_no_secret(&gate);
}

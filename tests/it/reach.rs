//! An upstream that cannot be reached: why, for the operator, and no more than that nothing was sent, for the caller.

use std::net::TcpListener;
use std::sync::Arc;

use crate::harness::{GOOD, Gate, TOKEN, eventually, exchange, gate, policies, serving};

/// An address where nobody listens.
fn nobody() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Why the environment cannot be reached, at `/status`.
fn error(gate: &Gate) -> serde_json::Value {
    let status = exchange(
        gate.admin,
        "GET /status HTTP/1.1\r\nHost: g\r\n\r\n".as_bytes(),
    )
    .json();
    status["environments"][0]["error"].clone()
}

/// How often a line of the log has these words.
fn lines(gate: &Gate, words: &str) -> usize {
    let log = gate.log();
    log.lines().filter(|line| line.contains(words)).count()
}

const CREATE: &str = "/api/v2/apiTokens";

#[test]
fn why_nothing_is_reached_is_told_once_to_operators_and_not_to_clients() {
    let gate = gate(nobody());
    assert_eq!(error(&gate), serde_json::Value::Null);
    for _ in 0..3 {
        let answer = gate.send("POST", CREATE, GOOD);
        assert_eq!(answer.status, 502, "{answer:?}");
        let said = answer.message();
        assert!(said.contains("no connection to the upstream ("), "{said}");
        assert!(said.contains("did not reach Dynatrace"), "{said}");
        assert!(
            !said.contains("refused:") && !said.contains("connection refused"),
            "{said}"
        );
    }
    assert_eq!(error(&gate), "tcp connect error: connection refused");
    let outcome = eventually("the outcome is recorded", || {
        let mut records = gate.records().into_iter();
        records.find(|record| record["kind"] == "outcome")
    });
    let detail = "no connection to the upstream: tcp connect error: connection refused";
    assert_eq!(outcome["detail"], detail);
    eventually("it is logged", || {
        (lines(&gate, "the upstream cannot be reached") > 0).then_some(())
    });
    assert_eq!(lines(&gate, "the upstream cannot be reached"), 1);
    let log = gate.log();
    let warned = log.lines().find(|line| line.contains("cannot be reached"));
    let warned = warned.unwrap();
    assert!(
        warned.contains("WARN") && warned.contains("\"url\":\"http://127.0.0.1:"),
        "{warned}"
    );
    assert!(warned.contains("connection refused"), "{warned}");
}

/// It looks like a denial, and is none by a policy.
#[test]
fn a_token_that_cannot_be_looked_up_is_said_to_be_with_the_reason() {
    let gate = gate(nobody());
    for (method, body) in [("PUT", GOOD), ("DELETE", "")] {
        let answer = gate.send(method, TOKEN, body);
        assert_eq!(answer.status, 403, "{answer:?}");
        let said = answer.message();
        let wanted = "Denied by dtgate: the token could not be looked up: no connection to the upstream; the policies judge \
                      by the token as it is (decision ";
        assert!(said.starts_with(wanted), "{said}");
        assert!(
            said.ends_with("This request was not sent to Dynatrace."),
            "{said}"
        );
    }
    assert_eq!(error(&gate), "tcp connect error: connection refused");
}

/// No TLS where it is expected, and a name that nobody has.
#[test]
fn the_reason_names_what_to_look_at() {
    // As servers do that get TLS where they speak plain HTTP.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            drop(std::io::Write::write_all(&mut stream, answer));
        }
    });
    for (url, wanted) in [
        (
            format!("https://127.0.0.1:{port}"),
            "is it http:// and not https://?",
        ),
        ("http://nosuch.invalid".to_owned(), "dns error: "),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = serving(&directory);
        command
            .args(["--upstream", &url, "--policies"])
            .arg(policies());
        let gate = Gate::spawn(directory, command);
        assert_eq!(gate.send("POST", CREATE, GOOD).status, 502);
        let said = error(&gate);
        assert!(said.as_str().unwrap().contains(wanted), "{said}");
    }
}

#[test]
fn that_it_is_reached_again_is_told_too() {
    let address = nobody();
    let gate = gate(address);
    let open = "GET /api/v2/metrics HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n";
    assert_eq!(gate.raw(open).status, 502);
    let listener = TcpListener::bind(address).unwrap();
    let answers = Arc::new(listener);
    let serving = answers;
    let thread = std::thread::spawn(move || {
        let (stream, _) = serving.accept().unwrap();
        let mut reader = std::io::BufReader::new(&stream);
        crate::harness::read_message(&mut reader).unwrap();
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        std::io::Write::write_all(&mut &stream, answer).unwrap();
    });
    assert_eq!(gate.raw(open).status, 204);
    thread.join().unwrap();
    assert_eq!(error(&gate), serde_json::Value::Null);
    eventually("it is logged", || {
        (lines(&gate, "the upstream is reached again") == 1).then_some(())
    });
}

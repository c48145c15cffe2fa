//! Whatever goes wrong with a request is answered and recorded truthfully: what was not sent, what did not
//! arrive, and what may have happened.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::harness::{BAD, GOOD, TOKEN, Upstream, gate};
use crate::wire::{Scripted, assert_envelope, configured, connect, last_outcome, read_head, take};

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn an_upstream_that_is_down_is_502_and_certainly_did_nothing() {
    let gate = gate(nobody());
    let answer = gate.send("GET", "/x", "");
    assert_envelope(&answer, 502);
    // A change of a token would be denied already, because it could not be looked up.
    let answer = gate.send("POST", "/api/v1/tokens", GOOD);
    assert_envelope(&answer, 502);
    assert!(answer.message().contains("did not reach"), "{answer:?}");
    assert!(answer.header("dtgate-decision-id").is_some(), "{answer:?}");
    assert_eq!(last_outcome(&gate), "failed");
}

#[test]
fn an_upstream_that_hangs_up_is_502_and_may_have_acted() {
    let requests = std::sync::Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    // Not an answer: hyper takes it for a broken connection.
    let upstream = Upstream::answering(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        b"nonsense\r\n\r\n".to_vec()
    });
    let gate = gate(upstream.address);
    let answer = gate.send("PUT", TOKEN, GOOD);
    assert_envelope(&answer, 502);
    assert!(answer.message().contains("may have acted"), "{answer:?}");
    assert_eq!(last_outcome(&gate), "unknown");
    assert_eq!(requests.load(Ordering::SeqCst), 1, "a write is sent once");
}

#[test]
fn an_upstream_that_is_slow_is_504_and_may_have_acted() {
    let upstream = Scripted::start();
    let gate = configured(
        upstream.address,
        "[upstream]\nresponse_timeout = \"200ms\"\n",
    );
    let answer = gate.send("POST", "/api/v1/tokens", GOOD);
    assert_envelope(&answer, 504);
    assert!(answer.message().contains("may have acted"), "{answer:?}");
    assert_eq!(last_outcome(&gate), "unknown");
    let answer = gate.send("GET", "/x", "");
    assert_envelope(&answer, 504);
}

#[test]
fn a_slow_upload_is_no_slow_upstream() {
    let upstream = Scripted::start();
    let gate = configured(
        upstream.address,
        "[upstream]\nresponse_timeout = \"200ms\"\n",
    );
    let mut client = connect(gate.address);
    client
        .write_all(b"POST /logs HTTP/1.1\r\nHost: g\r\nContent-Length: 41\r\n\r\nx")
        .unwrap();
    let mut server = BufReader::new(upstream.accept());
    read_head(&mut server);
    assert_eq!(take(&mut server, 1), "x");
    // Twice the deadline, in parts: the upstream's own silence is what measures the time.
    let (_never, pause) = channel::<()>();
    for _ in 0..40 {
        client.write_all(b"x").unwrap();
        assert_eq!(take(&mut server, 1), "x");
        assert!(pause.recv_timeout(Duration::from_millis(10)).is_err());
    }
    server
        .get_mut()
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .unwrap();
    let head = read_head(&mut BufReader::new(client));
    assert!(head.starts_with("HTTP/1.1 204"), "{head}");
}

#[test]
fn a_body_longer_than_the_limit_is_413() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let body = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    assert_envelope(&gate.send("PUT", TOKEN, &body), 413);
    // The same without saying so first.
    let chunked = format!(
        "PUT {TOKEN} HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    assert_envelope(&gate.raw(chunked), 413);
    // Open traffic has no limit.
    assert_eq!(gate.send("PUT", "/api/v2/logs/ingest", &body).status, 204);
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn what_is_not_said_to_be_json_is_415() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for field in [
        "Content-Type: text/plain\r\n",
        "Content-Type: application/json; charset=utf-16\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
        "",
    ] {
        let request = format!(
            "PUT {TOKEN} HTTP/1.1\r\nHost: g\r\n{field}Content-Length: {}\r\n\r\n{GOOD}",
            GOOD.len()
        );
        assert_envelope(&gate.raw(request), 415);
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_body_that_is_missing_is_said_to_be_missing() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for (line, operation) in [
        ("POST /api/v2/apiTokens", "token.create"),
        (&format!("PUT {TOKEN}"), "token.update"),
        ("POST /api/v2/settings/objects", "token_settings.update"),
    ] {
        for length in ["", "Content-Length: 0\r\n"] {
            let credential = "Authorization: Api-Token dt0c01.A.B\r\n";
            let request = format!("{line} HTTP/1.1\r\nHost: g\r\n{credential}{length}\r\n");
            let answer = gate.raw(request);
            assert_envelope(&answer, 400);
            let said = format!("the request has no body, and {operation} needs one");
            assert!(answer.message().contains(&said), "{answer:?}");
        }
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_refused_head_is_recorded_with_operation_and_environment_as_far_as_they_are_known() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let length = GOOD.len();
    let update = "PUT /api/v2/apiTokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA";
    let (json, token) = (
        "Content-Type: application/json",
        "Authorization: Api-Token dt0c01.A.B",
    );
    for (line, fields, status) in [
        (update, &[token, "Content-Type: text/plain"][..], 415),
        (update, &[token, json, "Content-Encoding: gzip"], 415),
        (update, &[token, json, "X-HTTP-Override: DELETE"], 400),
        (update, &[token, json, "Connection: authorization"], 400),
        (update, &[token, token, json], 400),
        (update, &[token, json, "Cookie: a=b"], 400),
        (update, &[token, json, "Cookie2: a=b"], 400),
        (update, &["Cookie2: a=b", json], 400),
        (update, &[json], 401),
        (update, &[token, json], 400),
        ("PUT /api/v2/apiTokens/%2e%2e/x", &[token, json], 400),
    ] {
        let body = if fields == [token, json] { "{" } else { GOOD };
        let answer = gate.raw(format!(
            "{line} HTTP/1.1\r\nHost: g\r\n{}\r\nContent-Length: {}\r\n\r\n{body:<length$}",
            fields.join("\r\n"),
            body.len().max(length)
        ));
        assert_envelope(&answer, status);
        let records = gate.records();
        let record = records.last().unwrap();
        assert!(record["error"].is_string(), "{record}");
        assert_eq!(record["environment"], "default", "{fields:?} {record}");
        let operation = if line == update { "token.update" } else { "" };
        let recorded = record["operation"].as_str().unwrap_or_default();
        assert_eq!(recorded, operation, "{fields:?} {record}");
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_guarded_body_in_chunks_is_judged_whole() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let chunked = |body: &str| {
        let chunks: Vec<String> = body.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
        let chunks = chunks.concat();
        format!(
            "PUT {TOKEN} HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        )
    };
    let answer = gate.raw(chunked(BAD));
    assert_envelope(&answer, 403);
    assert!(answer.message().contains("WriteConfig"), "{answer:?}");
    assert!(upstream.seen().is_empty());
    assert_eq!(gate.raw(chunked(GOOD)).status, 204);
    let seen = upstream.seen().pop().unwrap();
    assert_eq!(String::from_utf8_lossy(&seen.body), GOOD);
    assert_eq!(
        seen.header("content-length"),
        Some(GOOD.len().to_string().as_str())
    );
    assert_eq!(seen.header("transfer-encoding"), None);
}

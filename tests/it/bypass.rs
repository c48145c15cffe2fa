//! Ways around the gate, generated: methods, paths, framings, encodings, spellings of JSON, credentials and
//! overrides, each crossed with each, over HTTP/1.1 and HTTP/2.
//!
//! What counts is the effect: an upstream that takes anything keeps what arrives, and a reader as careless as
//! any server could be ([`judge`]) says whether some part of it would grant `WriteConfig` or change a token
//! that no record speaks of.

mod cases;
mod framing;
mod judge;

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::harness::{Gate, Upstream, read_answer};
use cases::{Case, Dimensions, PLAIN};

/// Requests at the same time.
const CLIENTS: usize = 16;

/// What the gate and hyper may answer; 200 and 204 come from the upstream.
const STATUSES: &[u16] = &[200, 204, 400, 401, 403, 405, 408, 413, 415, 421, 429, 431];

fn start() -> (Upstream, Gate) {
    let upstream = Upstream::lenient();
    let gate = crate::wire::configured(
        upstream.address,
        "[limits]\nbody_timeout = \"100ms\"\n[listener]\nheader_timeout = \"200ms\"\n[journal]\ndurability = \"buffered\"\n",
    );
    (upstream, gate)
}

/// Nothing that arrived grants the scope, and nothing that changes a token is without its decision.
fn assert_nothing_got_by(upstream: &Upstream, gate: &Gate, case: impl Fn(usize) -> String) {
    let seen = upstream.seen();
    let blamed = |seen: &crate::harness::Seen| {
        let number = seen.header("x-case").and_then(|text| text.parse().ok());
        let case = number.map_or_else(|| "a case without number".to_owned(), &case);
        format!(
            "{case}\n\narrived as\n{}\n{}",
            seen.line,
            String::from_utf8_lossy(&seen.body)
        )
    };
    if let Some(granting) = seen.iter().find(|seen| judge::may_grant(seen)) {
        panic!("WriteConfig arrived: {}", blamed(granting));
    }
    let changes = seen
        .iter()
        .filter(|seen| judge::may_change_a_token(seen))
        .count();
    let allowed = gate
        .records()
        .iter()
        .filter(|record| record["kind"] == "decision" && record["verdict"] == "allow")
        .count();
    assert_eq!(
        changes, allowed,
        "changes that arrived, and decisions that allowed one"
    );
}

#[test]
fn promise_2_no_request_that_can_be_written_grants_a_forbidden_scope() {
    let (upstream, gate) = start();
    let cases = cases::all(&Dimensions::http1());
    println!(
        "{} requests, random part seeded with {:#x}",
        cases.len(),
        cases::SEED
    );
    assert!(cases.len() > 4_000, "only {}", cases.len());
    let next = AtomicUsize::new(0);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(status) = exchange(&gate, case) {
                        answered.fetch_add(1, Ordering::Relaxed);
                        assert!(STATUSES.contains(&status), "{status}: {case}");
                    }
                }
            });
        }
    });
    let answered = answered.into_inner();
    assert!(
        answered * 10 > cases.len() * 9,
        "{answered} of {} were answered",
        cases.len()
    );
    assert_nothing_got_by(&upstream, &gate, |number| cases[number].to_string());
}

/// Sends the bytes of a case, reads to the end, and gives the first status; `None`: it was cut off.
fn exchange(gate: &Gate, case: &Case) -> Option<u16> {
    let mut stream = TcpStream::connect(gate.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // The gate may have seen enough before it has everything.
    drop(stream.write_all(&case.bytes()));
    let mut reader = BufReader::new(stream);
    let mut first = read_answer(&mut reader)?;
    while first.status == 100 {
        first = read_answer(&mut reader)?;
    }
    drop(reader.get_ref().shutdown(Shutdown::Write));
    // What was pipelined behind it is done before the connection ends.
    drop(reader.read_to_end(&mut Vec::new()));
    Some(first.status)
}

#[test]
fn promise_2_nor_does_any_over_http_2() {
    let (upstream, gate) = start();
    let cases = cases::all(&Dimensions::http2());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let sent = runtime.block_on(async {
        let (mut sent, mut answered) = (0, 0);
        for group in cases.chunks(CLIENTS) {
            // A connection with many streams that end early is closed, as a defence.
            let stream = tokio::net::TcpStream::connect(gate.address).await.unwrap();
            let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (client, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            let mut tasks = tokio::task::JoinSet::new();
            for case in group {
                let Some(request) = case.request(gate.address) else {
                    continue;
                };
                let mut client = client.clone();
                let case = case.clone();
                tasks.spawn(async move {
                    client.ready().await.unwrap();
                    let request = request.map(|body| Full::new(Bytes::from(body)));
                    // A stream that is reset is as good as refused.
                    let Ok(answer) = client.send_request(request).await else {
                        return false;
                    };
                    let status = answer.status().as_u16();
                    drop(answer.into_body().collect().await);
                    assert!(STATUSES.contains(&status), "{status}: {case}");
                    true
                });
            }
            sent += tasks.len();
            let answers = tasks.join_all().await;
            answered += answers.iter().filter(|answered| **answered).count();
        }
        assert!(
            answered * 10 > sent * 9,
            "{answered} of {sent} were answered"
        );
        sent
    });
    println!(
        "{sent} of {} requests can be written in HTTP/2",
        cases.len()
    );
    assert!(sent > 1_500, "only {sent}");
    assert_nothing_got_by(&upstream, &gate, |number| cases[number].to_string());
}

#[test]
fn what_keeps_the_rules_arrives_under_every_plain_spelling() {
    let (upstream, gate) = start();
    let mut sent = 0;
    for (method, target) in [
        ("PUT", "/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea"),
        (
            "PUT",
            "//api/v1/tokens//d5836312-5790-4e80-afcf-09971954c3ea/",
        ),
        (
            "PUT",
            "/e/abc12345/api/v2/apiTokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA",
        ),
        (
            "PUT",
            "/platform/classic/environment-api/v2/apiTokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA",
        ),
        ("POST", "/api/v1/tokens/"),
        ("POST", "/api/v2/apiTokens"),
    ] {
        for framing in framing::HONEST {
            let case = Case {
                method: method.to_owned(),
                target: target.to_owned(),
                framing: *framing,
                ..PLAIN.with_body(r#"{"name":"payments-prod-ci","scopes":["metrics.r\u0065ad"]}"#)
            };
            assert_eq!(exchange(&gate, &case), Some(204), "{case}");
            sent += 1;
        }
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), sent);
    assert!(seen.iter().all(judge::may_change_a_token));
    assert!(!seen.iter().any(judge::may_grant));
    assert_nothing_got_by(&upstream, &gate, |number| number.to_string());
}

/// A judge that never flags anything would make every test above pass.
#[test]
fn the_judge_sees_what_is_there_to_see() {
    let dimensions = Dimensions::http1();
    let upstream = Upstream::lenient();
    let mut flagged = 0;
    for body in &dimensions.bodies {
        let case = PLAIN.with_body(body);
        let mut stream = TcpStream::connect(upstream.address).unwrap();
        stream.write_all(&case.bytes()).unwrap();
        assert!(read_answer(&mut BufReader::new(stream)).is_some());
        let seen = upstream.seen().pop().unwrap();
        assert!(judge::may_change_a_token(&seen), "{case}");
        assert!(judge::may_grant(&seen), "{case}");
        flagged += 1;
    }
    assert!(flagged > 60, "only {flagged}");
    for target in dimensions
        .targets
        .iter()
        .filter(|target| !target.contains("metrics/ingest"))
    {
        let case = Case {
            target: target.clone(),
            ..PLAIN.clone()
        };
        let line = format!("PUT {} HTTP/1.1", case.target);
        let seen = crate::harness::Seen {
            line,
            headers: Vec::new(),
            body: case.body.clone().into_bytes(),
        };
        assert!(judge::may_grant(&seen), "{target}");
    }
}

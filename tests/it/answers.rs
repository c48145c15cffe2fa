//! Whatever the upstream answers has one meaning or is none: nothing of it is taken for the answer to another
//! request, nobody gets half of one for a whole, and nobody waits for the rest for ever.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use rustix::process::Resource;

use crate::harness::{
    Answered, GOOD, Gate, SECRET, TOKEN, Upstream, eventually, gate, read_answer,
};
use crate::wire::{Scripted, assert_envelope, configured, connect, last_outcome, read_head};

/// An upstream that answers what the test says, and a good answer to whoever asks for `/next`.
fn saying() -> (Upstream, Arc<Mutex<Vec<u8>>>) {
    let saying = Arc::new(Mutex::new(Vec::new()));
    let said = saying.clone();
    let upstream = Upstream::answering_all(move |seen| {
        if seen.line.contains("/next") {
            return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext".to_vec();
        }
        said.lock().unwrap().clone()
    });
    (upstream, saying)
}

fn next(gate: &Gate) {
    let answer = gate.send("GET", "/next", "");
    assert_eq!((answer.status, answer.body.as_str()), (200, "next"));
}

/// How often a limit was reached.
pub(crate) fn reached(gate: &Gate, limit: &str) -> u64 {
    let line = format!("dtgate_limit_reached_total{{limit=\"{limit}\"}} ");
    let text = metrics(gate);
    let value = text.lines().find_map(|text| text.strip_prefix(&line));
    value.unwrap().parse().unwrap()
}

fn metrics(gate: &Gate) -> String {
    let mut stream = connect(gate.admin);
    let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn an_answer_that_can_be_read_in_two_ways_is_none() {
    let (upstream, saying) = saying();
    let gate = gate(upstream.address);
    // A body that is shorter by the length than by its chunks: hyper goes by these, and a client by that.
    let body = "6\r\nsecond\r\n0\r\n\r\n";
    let heads = [
        "200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        "200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1",
        "200 OK\r\ntransfer-encoding: Chunked\r\nCONTENT-LENGTH: 16",
        "404 Not Found\r\nContent-Length: 0\r\nTransfer-Encoding: chunked",
        "204 No Content\r\nContent-Length: 0\r\nTransfer-Encoding: chunked",
        "304 Not Modified\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        "200 OK\r\nTransfer-Encoding: identity",
        "200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 1",
        "200 OK\r\nTransfer-Encoding: gzip",
        "200 OK\r\nTransfer-Encoding: gzip, chunked",
        "200 OK\r\nTransfer-Encoding: chunked, gzip",
        "200 OK\r\nTransfer-Encoding: chunked, chunked",
        "200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "200 OK\r\nTransfer-Encoding: xchunked",
        "200 OK\r\nTransfer-Encoding: \"chunked\"",
        "200 OK\r\nTransfer-Encoding: chunked;q=1",
        "200 OK\r\nTransfer-Encoding:",
        "200 OK\r\nContent-Length: 3\r\nContent-Length: 5",
        "200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\nContent-Length: 4",
        "200 OK\r\nContent-Length: 3, 5",
        "200 OK\r\nContent-Length: +5",
        "200 OK\r\nContent-Length: -1",
        "200 OK\r\nContent-Length: 0x5",
        "200 OK\r\nContent-Length: 5;",
        "200 OK\r\nContent-Length: 5,",
        "200 OK\r\nContent-Length: 5 5",
        "200 OK\r\nContent-Length:",
        "200 OK\r\nContent-Length: 18446744073709551616",
        "204 No Content\r\nContent-Length: 3, 5",
        "304 Not Modified\r\nContent-Length: +5",
    ];
    for head in heads {
        *saying.lock().unwrap() = format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes();
        assert_is_none(&gate, head);
    }
}

#[test]
fn what_is_no_http_is_no_answer() {
    let (upstream, saying) = saying();
    let gate = gate(upstream.address);
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 000 None\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 099 None\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 600 None\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 999 None\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 1000 None\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
        "ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
        "<html>HTTP/1.1 200 OK</html>\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n Content-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rY: b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\0: a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno field\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: nothing\r\nContent-Length: 0\r\n\r\n",
    ] {
        *saying.lock().unwrap() = answer.as_bytes().to_vec();
        assert_is_none(&gate, answer);
    }
}

/// 502, for open and for guarded requests; what the journal says is that nobody knows.
fn assert_is_none(gate: &Gate, answer: &str) {
    let refused = gate.send("GET", "/x", "");
    assert_eq!(refused.status, 502, "{answer:?}: {refused:?}");
    assert_envelope(&refused, 502);
    let refused = gate.send("POST", "/api/v1/tokens", GOOD);
    assert_eq!(refused.status, 502, "{answer:?}: {refused:?}");
    assert_envelope(&refused, 502);
    assert!(refused.message().contains("may have acted"), "{refused:?}");
    assert_eq!(last_outcome(gate), "unknown");
    let record = gate.records().pop().unwrap();
    assert!(record["detail"].is_string(), "{record}");
    next(gate);
}

#[test]
fn an_answer_with_one_meaning_is_passed_on_with_it() {
    let (upstream, saying) = saying();
    let gate = gate(upstream.address);
    let lengths = |answer: &Answered| -> Vec<String> {
        let lengths = answer.headers.iter();
        let lengths = lengths.filter(|(name, _)| name == "content-length");
        lengths.map(|(_, value)| value.clone()).collect()
    };
    for (said, length) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nwhole",
            "5",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nwhole", "5"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 005\r\n\r\nwhole", "5"),
        ("HTTP/1.1 200 OK\r\nContent-Length:\t5 \r\n\r\nwhole", "5"),
        ("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nwhole", "5"),
        ("HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nwhole", "5"),
        ("HTTP/1.1 200 OK\nContent-Length: 5\n\nwhole", "5"),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nwhole", "5"),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nwhole",
            "5",
        ),
        (
            "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nwhole",
            "5",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n5;a=b\r\nwhole\r\n0\r\n\r\n",
            "",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nwhole\r\n00\r\n\r\n",
            "",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
            "5",
        ),
        // Trailers end at the gate: they could say what the head did not.
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\r\n5\r\nwhole\r\n0\r\nSet-Cookie: a=b\r\nContent-Length: 1\r\n\r\n",
            "",
        ),
    ] {
        *saying.lock().unwrap() = said.as_bytes().to_vec();
        for guarded in [false, true] {
            let answer = if guarded {
                gate.send("POST", "/api/v1/tokens", GOOD)
            } else {
                gate.send("GET", "/x", "")
            };
            assert_eq!(answer.status, 200, "{said:?}: {answer:?}");
            assert_eq!(answer.body, "whole", "{said:?}: {answer:?}");
            assert_eq!(lengths(&answer).concat(), length, "{said:?}: {answer:?}");
            assert_eq!(answer.header("set-cookie"), None);
            assert_eq!(answer.header("upgrade"), None);
            next(&gate);
        }
    }
}

/// What is behind an answer that has no body is not the next one.
#[test]
fn a_body_where_none_can_be_is_nobodys() {
    let (upstream, saying) = saying();
    let gate = gate(upstream.address);
    let forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    for (method, head) in [
        ("GET", "204 No Content\r\nContent-Length: 44"),
        ("GET", "204 No Content\r\nTransfer-Encoding: chunked"),
        ("GET", "204 No Content"),
        ("GET", "304 Not Modified\r\nContent-Length: 44"),
        ("HEAD", "200 OK\r\nContent-Length: 44"),
        ("GET", "200 OK\r\nContent-Length: 0"),
        ("GET", "205 Reset Content\r\nContent-Length: 0"),
    ] {
        *saying.lock().unwrap() = format!("HTTP/1.1 {head}\r\n\r\n{forged}").into_bytes();
        let mut client = BufReader::new(connect(gate.address));
        for _ in 0..3 {
            let request = format!("{method} /x HTTP/1.1\r\nHost: g\r\n\r\n");
            client.get_mut().write_all(request.as_bytes()).unwrap();
            let answer = read_head(&mut client);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {}", &head[..3])),
                "{answer}"
            );
            let claims =
                head.starts_with("204") && answer.to_lowercase().contains("content-length");
            assert!(!claims, "{answer}");
            let request = b"GET /next HTTP/1.1\r\nHost: g\r\n\r\n";
            client.get_mut().write_all(request).unwrap();
            assert_eq!(read_answer(&mut client).unwrap().body, "next", "{head}");
        }
    }
}

#[test]
fn a_head_may_have_as_many_fields_and_bytes_as_the_configuration_says() {
    let (upstream, saying) = saying();
    let gate = configured(
        upstream.address,
        "[upstream]\nmax_headers = 150\nmax_header_size = \"20 KiB\"\n",
    );
    let head = |fields: usize, bytes: usize| {
        let value = "v".repeat(bytes / fields);
        let fields = (0..fields).map(|number| format!("X-{number}: {value}\r\n"));
        let fields = fields.collect::<Vec<_>>().concat();
        format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n{fields}\r\nwhole").into_bytes()
    };
    for (fields, bytes) in [(120, 120), (149, 149), (10, 19_000)] {
        *saying.lock().unwrap() = head(fields, bytes);
        let answer = gate.send("GET", "/x", "");
        assert_eq!((answer.status, answer.body.as_str()), (200, "whole"));
        assert!(answer.headers.len() > fields, "{answer:?}");
        assert_eq!(gate.send("POST", "/api/v1/tokens", GOOD).status, 200);
    }
    for (number, (fields, bytes)) in [(150, 150), (1000, 1000), (10, 21_000), (1, 500_000)]
        .into_iter()
        .enumerate()
    {
        *saying.lock().unwrap() = head(fields, bytes);
        assert_is_none(&gate, &format!("{fields} fields, {bytes} bytes"));
        let answer = gate.send("GET", "/x", "");
        assert!(
            answer.message().contains("upstream.max_header"),
            "{answer:?}"
        );
        assert_eq!(reached(&gate, "upstream_head"), 3 * (number as u64 + 1));
    }
}

/// Every answer that ends before its end: the client must not take it for a whole one.
#[test]
fn half_an_answer_is_not_a_short_one() {
    let upstream = Scripted::start();
    let gate = gate(upstream.address);
    for guarded in [false, true] {
        for answer in [
            "Content-Length: 9\r\n\r\nbegin",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n",
            "Transfer-Encoding: chunked\r\n\r\n9\r\nbegin",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n0\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nbeginX\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n-1\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n10000000000000000\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n5\nbegin\n0\n\n",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n0\r\nContent-Length : 1\r\n\r\n",
        ] {
            let body = ask(&gate, &upstream, guarded, |server| {
                let answer = format!("HTTP/1.1 200 OK\r\n{answer}");
                server.write_all(answer.as_bytes()).unwrap();
            });
            assert!(is_broken(&body), "{answer:?}: {body:?}");
        }
        for bomb in ["5;", "0\r\nX: "] {
            let body = ask(&gate, &upstream, guarded, |server| {
                let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{bomb}");
                server.write_all(answer.as_bytes()).unwrap();
                // Until the gate hangs up.
                let more = vec![b'x'; 10_000];
                while server.write_all(&more).is_ok() {}
            });
            assert!(is_broken(&body), "{bomb:?}: {body:?}");
        }
    }
}

/// One exchange over a connection of its own, whose upstream end is the test's: all that the client got.
fn ask(
    gate: &Gate,
    upstream: &Scripted,
    guarded: bool,
    answer: impl FnOnce(&mut TcpStream),
) -> String {
    let mut client = connect(gate.address);
    let request = if guarded {
        let credential = "Authorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.x";
        format!(
            "POST /api/v1/tokens HTTP/1.1\r\nHost: g\r\n{credential}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{GOOD}",
            GOOD.len()
        )
    } else {
        "GET /x HTTP/1.1\r\nHost: g\r\n\r\n".to_owned()
    };
    client.write_all(request.as_bytes()).unwrap();
    let client = std::thread::spawn(move || {
        let mut client = client;
        let mut answer = Vec::new();
        // A connection that is reset has said enough.
        drop(client.read_to_end(&mut answer));
        String::from_utf8(answer).unwrap()
    });
    let mut server = BufReader::new(upstream.accept());
    read_head(&mut server);
    answer(server.get_mut());
    drop(server);
    client.join().unwrap()
}

/// Whether a client of HTTP/1.1 sees that something is missing.
fn is_broken(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return answer.is_empty();
    };
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let head = head.to_lowercase();
    match head.split("content-length: ").nth(1) {
        Some(rest) => body.len() < rest.lines().next().unwrap().parse().unwrap(),
        None => head.contains("transfer-encoding: chunked") && !body.ends_with("0\r\n\r\n"),
    }
}

#[test]
fn an_answer_that_does_not_go_on_is_broken_off() {
    let upstream = Scripted::start();
    let gate = configured(upstream.address, "[upstream]\nbody_timeout = \"300ms\"\n");
    let mut broken = 0;
    for guarded in [false, true] {
        for head in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
            for drips in [false, true] {
                let body = ask(&gate, &upstream, guarded, |server| {
                    let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
                    server.write_all(head.as_bytes()).unwrap();
                    let drop = if head.contains("chunked") {
                        "1\r\nx\r\n"
                    } else {
                        "x"
                    };
                    // Slower than the gate wants it, and never silent for as long as it may be.
                    let mut end = [0];
                    let limit = Some(std::time::Duration::from_millis(20));
                    server.set_read_timeout(limit).unwrap();
                    while !matches!(server.read(&mut end), Ok(0)) {
                        let written = !drips || server.write_all(drop.as_bytes()).is_ok();
                        if !written {
                            return;
                        }
                    }
                });
                assert!(is_broken(&body), "{head}: {body:?}");
                broken += 1;
                assert_eq!(reached(&gate, "upstream_body"), broken);
            }
        }
    }
    assert_eq!(last_outcome(&gate), "answered");
}

/// An upstream that sends interim answers for ever has not answered.
#[test]
fn interim_answers_without_end_are_502() {
    let upstream = Scripted::start();
    let gate = gate(upstream.address);
    for target in ["GET /x", "POST /api/v1/tokens"] {
        let (method, target) = target.split_once(' ').unwrap();
        let body = if method == "POST" { GOOD } else { "" };
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| gate.send(method, target, body));
            let mut server = BufReader::new(upstream.accept());
            read_head(&mut server);
            let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(500);
            while server.get_mut().write_all(interim.as_bytes()).is_ok() {}
            asking.join().unwrap()
        });
        assert_envelope(&answer, 502);
    }
    assert_eq!(last_outcome(&gate), "unknown");
}

#[test]
fn who_finds_no_connection_free_is_told_to_come_again_and_nothing_was_sent() {
    let upstream = Scripted::start();
    let gate = configured(
        upstream.address,
        "[upstream]\nmax_connections = 1\nconnect_timeout = \"200ms\"\n",
    );
    let mut first = BufReader::new(connect(gate.address));
    let request = b"GET /first HTTP/1.1\r\nHost: g\r\n\r\n";
    first.get_mut().write_all(request).unwrap();
    let mut server = BufReader::new(upstream.accept());
    read_head(&mut server);
    assert!(metrics(&gate).contains("\ndtgate_upstream_connections 1\n"));
    for (method, target, body) in [("GET", "/x", ""), ("POST", "/api/v1/tokens", GOOD)] {
        let answer = gate.send(method, target, body);
        assert_envelope(&answer, 503);
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(answer.message().contains("did not reach"), "{answer:?}");
    }
    assert_eq!(last_outcome(&gate), "failed");
    assert_eq!(reached(&gate, "upstream_connections"), 2);
    // A change is looked up first: who cannot be told is denied.
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 403);
    let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    server.get_mut().write_all(ok).unwrap();
    assert_eq!(read_answer(&mut first).unwrap().body, "ok");
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| gate.send("GET", "/second", ""));
        assert!(read_head(&mut server).starts_with("GET /second "));
        server.get_mut().write_all(ok).unwrap();
        waiting.join().unwrap()
    });
    assert_eq!(waiting.body, "ok");
    assert!(upstream.connections.try_recv().is_err());
    drop(server);
    eventually("the connection is given up", || {
        metrics(&gate)
            .contains("\ndtgate_upstream_connections 0\n")
            .then_some(())
    });
}

/// No descriptor is left for a connection: nothing was sent, and the gate goes on when there are some again.
#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "needs Linux, where a running program can be limited"
)]
fn without_a_descriptor_for_a_connection_nothing_is_sent() {
    let upstream = Upstream::answering_all(|_| {
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let gate = gate(upstream.address);
    let mut client = BufReader::new(connect(gate.address));
    let mut ask = |request: &str| {
        client.get_mut().write_all(request.as_bytes()).unwrap();
        read_answer(&mut client).unwrap()
    };
    let open = "GET /x HTTP/1.1\r\nHost: g\r\n\r\n";
    assert_eq!(ask(open).body, "ok");
    gate.limit(Resource::Nofile, Some(0));
    let guarded = format!(
        "POST /api/v1/tokens HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token dt0c01.PUBLIC.{SECRET}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{GOOD}",
        GOOD.len()
    );
    for request in [open, &guarded] {
        let answer = ask(request);
        assert_envelope(&answer, 502);
        assert!(answer.message().contains("did not reach"), "{answer:?}");
    }
    assert_eq!(last_outcome(&gate), "failed");
    assert_eq!(upstream.seen().len(), 1);
    gate.limit(Resource::Nofile, Some(1024));
    assert_eq!(ask(open).body, "ok");
}

/// Every thread has connections of its own, and takes those of the others before it goes without.
#[test]
fn no_thread_starves_beside_the_idle_connections_of_another() {
    let (upstream, saying) = saying();
    *saying.lock().unwrap() = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let gate = configured(
        upstream.address,
        "[listener]\nworkers = 4\n[upstream]\nmax_connections = 1\n",
    );
    // One for each thread, and they stay where they are.
    let mut clients: Vec<_> = (0..4)
        .map(|_| BufReader::new(connect(gate.address)))
        .collect();
    for _ in 0..5 {
        for client in &mut clients {
            let request = b"GET /x HTTP/1.1\r\nHost: g\r\n\r\n";
            client.get_mut().write_all(request).unwrap();
            assert_eq!(read_answer(client).unwrap().body, "ok");
        }
    }
    // All at once: one after the other, and nobody is left out.
    for client in &mut clients {
        let request = b"GET /x HTTP/1.1\r\nHost: g\r\n\r\n".repeat(20);
        client.get_mut().write_all(&request).unwrap();
    }
    for client in &mut clients {
        for _ in 0..20 {
            assert_eq!(read_answer(client).unwrap().body, "ok");
        }
    }
    assert!(metrics(&gate).contains("\ndtgate_upstream_connections 1\n"));
}

/// A request that its upstream has answered, and of which it takes no more.
#[test]
fn an_upload_that_nobody_takes_any_more_ends() {
    let upstream = Scripted::start();
    let gate = configured(
        upstream.address,
        "[upstream]\nresponse_timeout = \"300ms\"\n",
    );
    let mut client = connect(gate.address);
    // With the first byte: before that the upstream hears nothing.
    let head = "POST /logs HTTP/1.1\r\nHost: g\r\nContent-Length: 1000000000\r\n\r\nx";
    client.write_all(head.as_bytes()).unwrap();
    let mut server = BufReader::new(upstream.accept());
    read_head(&mut server);
    let early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nok";
    server.get_mut().write_all(early).unwrap();
    let mut answers = BufReader::new(client.try_clone().unwrap());
    assert!(read_head(&mut answers).starts_with("HTTP/1.1 413"));
    let uploading = std::thread::spawn(move || {
        let more = vec![b'x'; 100_000];
        while client.write_all(&more).is_ok() {}
    });
    eventually("the upload is given up", || {
        (reached(&gate, "upstream_response") == 1).then_some(())
    });
    // What was written before is all that comes.
    let mut taken = Vec::new();
    drop(server.read_to_end(&mut taken));
    assert!(taken.len() < 1_000_000_000);
    drop(answers.fill_buf());
    uploading.join().unwrap();
}

#[test]
fn a_lookup_is_no_longer_than_a_token() {
    let upstream = Upstream::answering_all(|_| {
        let body = "x".repeat(300_000);
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    });
    let gate = gate(upstream.address);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 403);
    assert_eq!(reached(&gate, "lookup_answer"), 1);
    assert_eq!(upstream.seen().len(), 1);
}

/// Half an answer to a lookup, and then silence: the turn of the token is free again.
#[test]
fn a_lookup_does_not_wait_for_ever() {
    let upstream = Scripted::start();
    let gate = configured(upstream.address, "[lookup]\ntimeout = \"200ms\"\n");
    for number in 1..3 {
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| gate.send("PUT", TOKEN, GOOD));
            let mut server = BufReader::new(upstream.accept());
            assert!(read_head(&mut server).starts_with("GET "));
            let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
            server.get_mut().write_all(begun).unwrap();
            asking.join().unwrap()
        });
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(reached(&gate, "lookup"), number);
    }
}

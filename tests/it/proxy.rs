//! Open traffic passes byte for byte and unbounded, and no request is two things at once.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually, gate, read_answer, read_message};
use crate::stalls::metric;
use crate::wire::{Scripted, assert_envelope, connect, last_outcome, read_head, take};

#[test]
fn methods_and_targets_pass_byte_for_byte() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let mut expected = Vec::new();
    for method in [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "BREW", "QUERY",
    ] {
        for target in [
            "/a//b",
            "/%7Euser;x=1?q=%zz&a=b",
            "/api/v2/metrics/ingest",
            "/",
            "/?",
            "//host/path",
            "/a/./b/../c",
            "/x?a=1&a=2&=&&b",
            "/%2f%2F+%20",
            "/api/v2/entities?entitySelector=type(%22HOST%22)&pageSize=500",
        ] {
            // What could change something has to say where in one way.
            let reads = matches!(method, "GET" | "OPTIONS");
            if !reads && (target.contains("/../") || target.contains("%2F")) {
                continue;
            }
            let answer = gate.send(method, target, "");
            assert_eq!(answer.status, 204, "{method} {target}: {answer:?}");
            expected.push(format!("{method} {target} HTTP/1.1"));
        }
    }
    let seen: Vec<String> = upstream.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(seen, expected);
    assert!(
        gate.records()
            .iter()
            .all(|record| record["kind"] == "start")
    );
}

#[test]
fn open_bodies_pass_byte_for_byte_whatever_they_are() {
    let upstream = Upstream::answering(|seen| {
        let mut answer = format!(
            "HTTP/1.1 202 Accepted\r\nContent-Type: x/y\r\nContent-Length: {}\r\n\r\n",
            seen.body.len()
        )
        .into_bytes();
        answer.extend(&seen.body);
        answer
    });
    let gate = gate(upstream.address);
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut request = format!("POST /api/v2/metrics/ingest HTTP/1.1\r\nHost: g\r\nContent-Encoding: gzip\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend(&body);
    let mut client = connect(gate.address);
    client.write_all(&request).unwrap();
    let answer = read_message(&mut BufReader::new(client)).unwrap();
    assert!(answer.line.starts_with("HTTP/1.1 202"), "{}", answer.line);
    assert_eq!(answer.header("content-type"), Some("x/y"));
    assert!(answer.body == body, "the answer's body changed");
    let seen = upstream.seen().pop().unwrap();
    assert!(seen.body == body, "the request's body changed");
    assert_eq!(seen.header("content-encoding"), Some("gzip"));
    assert_eq!(seen.header("content-length"), Some("100000"));
}

#[test]
fn the_first_part_of_an_answer_arrives_before_the_last_is_sent() {
    let upstream = Scripted::start();
    let gate = gate(upstream.address);
    let mut client = connect(gate.address);
    client
        .write_all(b"GET /logs HTTP/1.1\r\nHost: g\r\n\r\n")
        .unwrap();
    let mut server = BufReader::new(upstream.accept());
    read_head(&mut server);
    server
        .get_mut()
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .unwrap();
    let mut client = BufReader::new(client);
    read_head(&mut client);
    assert_eq!(take(&mut client, 10), "5\r\nfirst\r\n");
    server
        .get_mut()
        .write_all(b"4\r\nlast\r\n0\r\n\r\n")
        .unwrap();
    assert_eq!(take(&mut client, 14), "4\r\nlast\r\n0\r\n\r\n");
}

#[test]
fn the_first_part_of_a_request_arrives_before_the_last_is_sent() {
    let upstream = Scripted::start();
    let gate = gate(upstream.address);
    let mut client = connect(gate.address);
    client
        .write_all(
            b"POST /logs HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        )
        .unwrap();
    let mut server = BufReader::new(upstream.accept());
    let head = read_head(&mut server).to_lowercase();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(take(&mut server, 10), "5\r\nfirst\r\n");
    client.write_all(b"4\r\nlast\r\n0\r\n\r\n").unwrap();
    assert_eq!(take(&mut server, 14), "4\r\nlast\r\n0\r\n\r\n");
    server
        .get_mut()
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .unwrap();
    assert!(read_head(&mut BufReader::new(client)).starts_with("HTTP/1.1 204"));
}

const GIGABYTE: usize = 1 << 30;

/// Peak resident memory in kB, as Linux tells it.
fn peak_memory(gate: &Gate) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gate.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let peak = line.unwrap().split_whitespace().nth(1);
    peak.unwrap().parse().unwrap()
}

/// The same of a gate that has loaded its policies and compared its engines, which takes more than any request.
fn peak_of_the_start(gate: &Gate) -> u64 {
    eventually("the engines are compared", || {
        (metric(gate, "bytecode_trusted") == 1).then_some(())
    });
    peak_memory(gate)
}

fn assert_small(gate: &Gate, before: u64) {
    let grown = peak_memory(gate) - before;
    assert!(grown < 30_000, "the gate grew by {grown} kB from {before}");
}

fn write_gigabyte(stream: &mut impl Write) {
    let block = vec![b'x'; 1 << 20];
    for _ in 0..GIGABYTE / block.len() {
        stream.write_all(&block).unwrap();
    }
}

fn read_gigabyte(stream: &mut impl Read) {
    let mut block = vec![0; 1 << 18];
    let mut left = GIGABYTE;
    while left > 0 {
        let most = block.len().min(left);
        let count = stream.read(&mut block[..most]).unwrap();
        assert_ne!(count, 0, "{left} bytes are missing");
        left -= count;
    }
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "needs Linux, which tells the memory of a program"
)]
fn a_gigabyte_of_answer_does_not_grow_the_gate() {
    let upstream = Scripted::start();
    let gate = gate(upstream.address);
    let before = peak_of_the_start(&gate);
    let mut client = connect(gate.address);
    client
        .write_all(b"GET /big HTTP/1.1\r\nHost: g\r\n\r\n")
        .unwrap();
    let mut server = BufReader::new(upstream.accept());
    let writer = std::thread::spawn(move || {
        read_head(&mut server);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n");
        server.get_mut().write_all(head.as_bytes()).unwrap();
        write_gigabyte(server.get_mut());
    });
    let mut client = BufReader::new(client);
    assert!(read_head(&mut client).contains(&GIGABYTE.to_string()));
    read_gigabyte(&mut client);
    writer.join().unwrap();
    assert_small(&gate, before);
}

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "needs Linux, which tells the memory of a program"
)]
fn a_gigabyte_of_request_does_not_grow_the_gate() {
    let upstream = Scripted::start();
    let gate = gate(upstream.address);
    let before = peak_of_the_start(&gate);
    let mut client = connect(gate.address);
    let head = format!("PUT /big HTTP/1.1\r\nHost: g\r\nContent-Length: {GIGABYTE}\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    let reader = std::thread::spawn(move || {
        let mut server = BufReader::new(upstream.accept());
        assert!(read_head(&mut server).contains(&GIGABYTE.to_string()));
        read_gigabyte(&mut server);
        server
            .get_mut()
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
    });
    write_gigabyte(&mut client);
    reader.join().unwrap();
    assert!(read_head(&mut BufReader::new(client)).starts_with("HTTP/1.1 204"));
    assert_small(&gate, before);
}

#[test]
fn connections_are_kept_on_both_sides() {
    let upstream = Scripted::start();
    let gate = gate(upstream.address);
    let mut client = BufReader::new(connect(gate.address));
    let mut server: Option<BufReader<TcpStream>> = None;
    for number in 0..3 {
        let request = format!("GET /{number} HTTP/1.1\r\nHost: g\r\n\r\n");
        client.get_mut().write_all(request.as_bytes()).unwrap();
        // A second connection would leave the first one silent, and the test without its request.
        let server = server.get_or_insert_with(|| BufReader::new(upstream.accept()));
        assert!(read_head(server).starts_with(&format!("GET /{number} ")));
        server
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .unwrap();
        assert_eq!(read_answer(&mut client).unwrap().body, "ok");
    }
    assert!(upstream.connections.try_recv().is_err());
}

#[test]
fn fields_of_one_connection_stay_on_it() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Theirs\r\nX-Theirs: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\nX-Kept: 1\r\nVia: 1.0 fred\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let gate = gate(upstream.address);
    let fields = "Connection: X-Mine, close, TE\r\nX-Mine: 1\r\nTE: trailers\r\nKeep-Alive: 1\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nUpgrade: websocket\r\nVia: 1.0 ethel\r\nX-Kept: a\r\nX-Kept: b\r\nAuthorization: Api-Token x";
    let answer = gate.raw(format!(
        "GET /x HTTP/1.1\r\nHost: gate.example\r\n{fields}\r\n\r\n"
    ));
    assert_eq!(answer.status, 200, "{answer:?}");
    for gone in ["x-theirs", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(gone), None, "{answer:?}");
    }
    assert_eq!(answer.header("x-kept"), Some("1"));
    let via = |headers: &[(String, String)]| -> Vec<String> {
        headers
            .iter()
            .filter(|(name, _)| name == "via")
            .map(|(_, value)| value.clone())
            .collect()
    };
    assert_eq!(via(&answer.headers), ["1.0 fred", "1.1 dtgate"]);
    let seen = upstream.seen().pop().unwrap();
    for gone in [
        "connection",
        "x-mine",
        "te",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
    ] {
        assert_eq!(seen.header(gone), None, "{seen:?}");
    }
    assert_eq!(via(&seen.headers), ["1.0 ethel", "1.1 dtgate"]);
    assert_eq!(
        seen.headers
            .iter()
            .filter(|(name, _)| name == "x-kept")
            .count(),
        2
    );
    assert_eq!(seen.header("authorization"), Some("Api-Token x"));
    assert_eq!(
        seen.header("host"),
        Some(upstream.address.to_string().as_str())
    );
}

#[test]
fn requests_have_an_id_on_both_sides() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let answer = gate.send("GET", "/x", "");
    let seen = upstream.seen().pop().unwrap();
    assert!(answer.header("x-request-id").is_some());
    assert_eq!(answer.header("x-request-id"), seen.header("x-request-id"));
    // A client's own goes upstream; what comes back is ours, which log and journal know.
    let answer = gate.raw("GET /x HTTP/1.1\r\nHost: g\r\nX-Request-Id: theirs\r\n\r\n");
    let seen = upstream.seen().pop().unwrap();
    assert_eq!(seen.header("x-request-id"), Some("theirs"));
    let ours = answer.header("x-request-id").unwrap();
    assert_ne!(ours, "theirs");
    eventually("the log names the request", || {
        gate.log().contains(ours).then_some(())
    });
    let answer = gate.send("PUT", TOKEN, GOOD);
    let record = gate
        .records()
        .into_iter()
        .find(|record| record["kind"] == "decision")
        .unwrap();
    assert_eq!(
        record["request"]["id"].as_str(),
        answer.header("x-request-id")
    );
}

#[test]
fn two_lengths_never_reach_the_upstream() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let smuggled = "0\r\n\r\nPUT /smuggled HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n";
    let bodies = [
        (
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
            "3\r\nabc\r\n0\r\n\r\n",
        ),
        ("Transfer-Encoding: chunked\r\nContent-Length: 61", smuggled),
        ("Content-Length: 3\r\nContent-Length: 5", "abcde"),
        ("Content-Length: 3, 5", "abcde"),
        ("Content-Length: +3", "abc"),
        ("Transfer-Encoding: gzip", "abc"),
        (
            "Transfer-Encoding: chunked, identity",
            "3\r\nabc\r\n0\r\n\r\n",
        ),
        ("Transfer-Encoding: xchunked\r\nContent-Length: 3", "abc"),
        ("Transfer-Encoding : chunked\r\nContent-Length: 3", "abc"),
    ];
    for (fields, body) in bodies {
        for target in ["/x", TOKEN] {
            let mut client = connect(gate.address);
            let request = format!(
                "PUT {target} HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n{fields}\r\n\r\n{body}"
            );
            client.write_all(request.as_bytes()).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut answers = Vec::new();
            // A connection that is reset has answered enough.
            drop(client.read_to_end(&mut answers));
        }
    }
    for seen in upstream.seen() {
        let lengths = seen
            .headers
            .iter()
            .filter(|(name, _)| name == "content-length")
            .count();
        let codings = seen
            .headers
            .iter()
            .filter(|(name, _)| name == "transfer-encoding")
            .count();
        assert!(lengths + codings <= 1, "{seen:?}");
        assert!(!seen.line.contains("tokens"), "{seen:?}");
        assert!(
            seen.header("transfer-encoding")
                .is_none_or(|coding| coding == "chunked"),
            "{seen:?}"
        );
    }
}

#[test]
fn answers_without_a_body_end_where_their_head_ends() {
    let upstream = Upstream::answering(|seen| {
        let line = if seen.line.starts_with("HEAD") {
            "200 OK\r\nContent-Length: 1000"
        } else {
            "304 Not Modified\r\nETag: \"a\""
        };
        format!("HTTP/1.1 {line}\r\n\r\n").into_bytes()
    });
    let gate = gate(upstream.address);
    let mut client = BufReader::new(connect(gate.address));
    for _ in 0..2 {
        client
            .get_mut()
            .write_all(b"HEAD /x HTTP/1.1\r\nHost: g\r\n\r\n")
            .unwrap();
        let head = read_head(&mut client);
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(
            head.to_lowercase().contains("content-length: 1000"),
            "{head}"
        );
        client
            .get_mut()
            .write_all(b"GET /x HTTP/1.1\r\nHost: g\r\nIf-None-Match: \"a\"\r\n\r\n")
            .unwrap();
        let head = read_head(&mut client);
        assert!(head.starts_with("HTTP/1.1 304"), "{head}");
        assert!(head.contains("\"a\""), "{head}");
    }
}

#[test]
fn interim_answers_do_not_take_the_place_of_the_final_one() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
    });
    let gate = gate(upstream.address);
    let answer = gate.send("GET", "/x", "");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    let answer = gate.send("PUT", TOKEN, GOOD);
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert_eq!(last_outcome(&gate), "answered");
}

#[test]
fn who_expects_100_is_told_to_continue() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    let mut client = BufReader::new(connect(gate.address));
    let head = format!(
        "PUT {TOKEN} HTTP/1.1\r\nHost: g\r\nAuthorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        GOOD.len()
    );
    client.get_mut().write_all(head.as_bytes()).unwrap();
    assert!(read_head(&mut client).starts_with("HTTP/1.1 100"));
    client.get_mut().write_all(GOOD.as_bytes()).unwrap();
    assert!(read_head(&mut client).starts_with("HTTP/1.1 204"));
    assert_eq!(upstream.seen()[0].header("expect"), None);
}

#[test]
fn tunnels_are_refused() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for target in ["example.com:443", "127.0.0.1:1"] {
        let answer = gate.raw(format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
        ));
        assert_envelope(&answer, 405);
    }
    assert!(upstream.seen().is_empty());
}

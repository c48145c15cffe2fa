//! The PROXY protocol: believed from where it is configured, and from nowhere else.

use std::io::{BufReader, Write};
use std::net::Ipv4Addr;

use serde_json::Value;

use super::clients::{Stand, ask, client, metric};
use crate::harness::{Answered, GOOD, Gate, eventually, from, put, read_answer};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
const BYTES: &[u8] = &[
    0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, b'Q', b'U', b'I', b'T', 0x0a, 0x21, 0x11, 0, 15, 192, 0,
    2, 8, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb, 0x20, 0, 0,
];
const LOCAL: &[u8] = &[
    0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, b'Q', b'U', b'I', b'T', 0x0a, 0x20, 0, 0, 0,
];

/// Load balancers are at 127.0.0.2.
const BELIEVED: &str = "[listener.proxy_protocol]\nfrom = ['127.0.0.2']\n";

const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// One exchange on a new connection from there; `None`: the gate hangs up.
fn send(gate: &Gate, address: Ipv4Addr, bytes: &[u8]) -> Option<Answered> {
    let mut stream = from(address, gate.address).unwrap();
    stream.write_all(bytes).unwrap();
    read_answer(&mut BufReader::new(stream))
}

fn outcome(gate: &Gate, outcome: &str) -> u64 {
    metric(
        gate,
        &format!("dtgate_proxy_headers_total{{outcome=\"{outcome}\"}}"),
    )
}

/// The addresses that policies saw.
fn callers(gate: &Gate) -> Vec<String> {
    let records = gate.records();
    let decisions = records.iter().filter(|record| record["kind"] == "decision");
    let address = |record: &Value| {
        record["input"]["caller"]["address"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    decisions.map(address).collect()
}

#[test]
fn a_load_balancer_is_believed_and_has_to_say_whose_a_connection_is() {
    let mut stand = Stand::new();
    let gate = stand.start(BELIEVED);
    let request = put(GOOD);
    for begin in [LINE, BYTES, b"PROXY UNKNOWN\r\n", LOCAL] {
        let answer = send(&gate, BALANCER, &[begin, request.as_bytes()].concat()).unwrap();
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    assert_eq!(
        callers(&gate),
        ["192.0.2.7", "192.0.2.8", "127.0.0.2", "127.0.0.2"]
    );
    assert_eq!((outcome(&gate, "believed"), outcome(&gate, "own")), (2, 2));

    for begin in [
        &b""[..],
        b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
        b"PROXY TCP4 192.0.2.7\0 198.51.100.1 56324 443\r\n",
        &[BYTES.split_at(12).0, &[0x21, 0x11, 0xff, 0xff]].concat(),
    ] {
        assert!(send(&gate, BALANCER, &[begin, request.as_bytes()].concat()).is_none());
    }
    assert_eq!(
        (outcome(&gate, "missing"), outcome(&gate, "malformed")),
        (1, 3)
    );
    assert_eq!(
        metric(&gate, "dtgate_limit_reached_total{limit=\"proxy_header\"}"),
        1
    );
    assert_eq!(stand.upstream.seen().len(), 4);
}

#[test]
fn nobody_else_is_believed() {
    let mut stand = Stand::new();
    let gate = stand.start(BELIEVED);
    let request = put(GOOD);
    for begin in [LINE, BYTES] {
        let answer = send(&gate, STRANGER, &[begin, request.as_bytes()].concat());
        assert_eq!(answer.map(|answer| answer.status), Some(400));
    }
    assert_eq!(outcome(&gate, "ignored"), 2);
    // Its own address counts, and a second header behind a believed one is only bytes.
    assert_eq!(
        send(&gate, STRANGER, request.as_bytes()).unwrap().status,
        204
    );
    let twice = [LINE, LINE, request.as_bytes()].concat();
    assert_eq!(send(&gate, BALANCER, &twice).unwrap().status, 400);
    assert_eq!(callers(&gate), ["127.0.0.3"]);
    assert_eq!(stand.upstream.seen().len(), 1);
}

#[test]
fn without_the_setting_nobody_at_all_is_believed() {
    let mut stand = Stand::new();
    let gate = stand.start("");
    let answer = send(&gate, BALANCER, &[LINE, put(GOOD).as_bytes()].concat());
    assert_eq!(answer.map(|answer| answer.status), Some(400));
    assert_eq!(outcome(&gate, "ignored"), 1);
    assert!(callers(&gate).is_empty() && stand.upstream.seen().is_empty());
}

#[test]
fn the_header_comes_before_tls_and_not_within_it() {
    let mut stand = Stand::new();
    let tls = "[listener.tls]\nfiles = { certificate = 'certificate.pem', key = 'key.pem' }\n\
               [listener.proxy_protocol]\nfrom = ['127.0.0.1']\n";
    let gate = stand.start(tls);
    let client = client(&gate, None);
    let answer = ask(&client, gate.address, BYTES, &put(GOOD)).unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(callers(&gate), ["192.0.2.8"]);
    let within = [std::str::from_utf8(LINE).unwrap(), &put(GOOD)].concat();
    let answer = ask(&client, gate.address, BYTES, &within).unwrap();
    assert_eq!(answer.status, 400, "{answer:?}");
    // A handshake is no header; and from others a header is no handshake.
    assert!(ask(&client, gate.address, b"", &put(GOOD)).is_none());
    assert_eq!(outcome(&gate, "missing"), 1);
    let mut stream = from(STRANGER, gate.address).unwrap();
    stream.write_all(LINE).unwrap();
    eventually("it is counted", || {
        (outcome(&gate, "ignored") == 1).then_some(())
    });
    assert_eq!(stand.upstream.seen().len(), 1);
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for_without_end() {
    let mut stand = Stand::new();
    let gate = stand.start(&format!("{BELIEVED}timeout = '50ms'\n"));
    assert!(send(&gate, BALANCER, b"PROXY TCP4 192").is_none());
    assert_eq!(
        metric(&gate, "dtgate_limit_reached_total{limit=\"proxy_timeout\"}"),
        1
    );
    // Whoever connects and says nothing, as health checks do, is nobody's fault.
    drop(from(BALANCER, gate.address).unwrap());
    assert_eq!(outcome(&gate, "missing") + outcome(&gate, "malformed"), 0);
}

/// Clients behind one load balancer do not count as one.
#[test]
fn connections_count_at_the_address_of_their_client() {
    let mut stand = Stand::new();
    let gate = stand.start(&format!(
        "[listener]\nmax_connections_per_address = 2\n{BELIEVED}"
    ));
    let connect = |last: u8| {
        let mut stream = from(BALANCER, gate.address).unwrap();
        let line = format!("PROXY TCP4 192.0.2.{last} 198.51.100.1 1 2\r\n");
        stream.write_all(line.as_bytes()).unwrap();
        stream.write_all(put(GOOD).as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        assert_eq!(read_answer(&mut reader).unwrap().status, 204);
        reader
    };
    let per_address = || {
        metric(
            &gate,
            "dtgate_limit_reached_total{limit=\"connections_per_address\"}",
        )
    };
    let [mut first, _second, _third, _fourth, _fifth] = [1, 1, 2, 2, 3].map(connect);
    assert_eq!(per_address(), 0);
    // The first of that client makes room.
    let _one_more = connect(1);
    assert_eq!(per_address(), 1);
    assert!(read_answer(&mut first).is_none());
}

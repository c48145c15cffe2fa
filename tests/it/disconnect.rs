//! Whoever goes, the record is complete: a client that hangs up, a client that stops sending, a gate
//! that is told to end.

use std::io::{BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::harness::{
    GOOD, Gate, TOKEN, Upstream, eventually, exchange, gate, put, read_answer, verify,
};
use crate::wire::configured;

#[test]
fn a_client_that_hangs_up_leaves_no_record_without_outcome() {
    let held = Held::new();
    let gate = configured(held.upstream.address, IMPATIENT);
    let mut client = TcpStream::connect(gate.address).unwrap();
    client.write_all(put(GOOD).as_bytes()).unwrap();
    held.arrived();
    drop(client);
    eventually("the gate notices that the client is gone", || {
        (in_flight(&gate) == 0).then_some(())
    });
    assert_eq!(gate.records().pop().unwrap()["kind"], "decision");
    held.release();
    let outcome = last(&gate, "outcome");
    assert_eq!(outcome["outcome"], "answered");
    assert_eq!(outcome["status"], 204);
    verify(&gate.journal());
}

#[test]
fn a_body_that_never_ends_is_recorded_as_refused_and_sent_nowhere() {
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for how in [Shutdown::Both, Shutdown::Write] {
        let before = gate.records().len();
        let mut client = TcpStream::connect(gate.address).unwrap();
        let whole = put(GOOD);
        client
            .write_all(&whole.as_bytes()[..whole.len() - 10])
            .unwrap();
        client.shutdown(how).unwrap();
        let record = eventually("a record", || gate.records().get(before).cloned());
        assert_eq!(record["kind"], "decision", "{record}");
        assert_eq!(record["verdict"], "deny", "{record}");
        assert!(record["request"]["received_sha256"].is_null(), "{record}");
        assert!(record["request"]["forwarded_sha256"].is_null(), "{record}");
        assert_eq!(record["request"]["path"], TOKEN);
    }
    assert!(upstream.seen().is_empty());
    verify(&gate.journal());
}

#[test]
fn a_gate_told_to_end_finishes_what_it_has_begun_and_begins_nothing() {
    let held = Held::new();
    let mut gate = gate(held.upstream.address);
    let mut client = TcpStream::connect(gate.address).unwrap();
    client.write_all(put(GOOD).as_bytes()).unwrap();
    held.arrived();
    gate.signal("TERM");
    // One that comes at the very moment may be reset instead.
    eventually("a second client is refused", || {
        let error = TcpStream::connect_timeout(&gate.address, Duration::from_secs(1)).err()?;
        (error.kind() == std::io::ErrorKind::ConnectionRefused).then_some(())
    });
    assert!(gate.child.try_wait().unwrap().is_none(), "{}", gate.log());

    held.release();
    let answer = read_answer(&mut BufReader::new(client)).unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(gate.wait().code(), Some(0));
    let records = gate.records();
    let kinds: Vec<_> = records.iter().map(|record| &record["kind"]).collect();
    assert_eq!(kinds, ["start", "decision", "outcome", "stop"]);
    assert_eq!(records[2]["status"], 204);
    assert_eq!(held.upstream.seen().len(), 1);
    verify(&gate.journal());
}

#[test]
fn a_gate_told_to_end_waits_for_a_change_whose_client_is_gone() {
    let held = Held::new();
    let mut gate = configured(held.upstream.address, IMPATIENT);
    let mut client = TcpStream::connect(gate.address).unwrap();
    client.write_all(put(GOOD).as_bytes()).unwrap();
    held.arrived();
    drop(client);
    eventually("the gate notices that the client is gone", || {
        (in_flight(&gate) == 0).then_some(())
    });
    gate.signal("TERM");
    eventually("the gate drains", || {
        TcpStream::connect_timeout(&gate.address, Duration::from_secs(1)).err()
    });
    held.release();
    assert_eq!(gate.wait().code(), Some(0));
    let records = gate.records();
    let kinds: Vec<_> = records.iter().map(|record| &record["kind"]).collect();
    assert_eq!(kinds, ["start", "decision", "outcome", "stop"]);
    verify(&gate.journal());
}

/// A client that has closed its side is taken for gone soon.
const IMPATIENT: &str = "[listener]\nhalf_close_timeout = \"100ms\"\n";

/// An upstream that answers only when it is told to.
struct Held {
    upstream: Upstream,
    arrivals: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

impl Held {
    fn new() -> Self {
        let (arrived, arrivals) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let held = Mutex::new((arrived, released));
        let upstream = Upstream::answering(move |_| {
            let held = held.lock().unwrap();
            held.0.send(()).unwrap();
            held.1.recv().unwrap();
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
        });
        Self {
            upstream,
            arrivals,
            release,
        }
    }

    /// Waits until a request is here.
    fn arrived(&self) {
        self.arrivals.recv_timeout(Duration::from_secs(30)).unwrap();
    }

    fn release(&self) {
        self.release.send(()).unwrap();
    }
}

/// Requests whose client the gate still believes in.
fn in_flight(gate: &Gate) -> u64 {
    let metrics = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let line = metrics
        .lines()
        .find(|line| !line.starts_with('#') && line.contains("in_flight"))
        .unwrap_or_else(|| panic!("{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The newest record, once it is of that kind.
fn last(gate: &Gate, kind: &str) -> serde_json::Value {
    eventually(kind, || {
        gate.records().pop().filter(|record| record["kind"] == kind)
    })
}

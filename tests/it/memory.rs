//! However many requests have come, the gate takes no more memory than after the first of them.
//!
//! They are counted, and of every kind in turn: sent on, allowed, denied, refused, and no HTTP at all. Everything by
//! which the gate could remember them is another one each time: addresses, credentials, tokens, paths, names. A million:
//! `DTGATE_REQUESTS=1000000 DTGATE_PROGRAM=target/dist/dtgate cargo test --test it however_many -- --nocapture`.

use std::fs::File;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use crate::harness::{BAD, GOOD, Gate, SECRET, Upstream, eventually, from, read_answer, verify};
use crate::stalls::metric;
use crate::wire::patient;

/// Requests, unless `DTGATE_REQUESTS` says how many.
const REQUESTS: u32 = 5_000;
/// After so many every table and every buffer has been filled once.
const FIRST: u32 = 2_500;
/// How often the memory is looked at.
const LOOKS: u32 = 10;
/// What may come to it after that: of what the allocator holds, how full it is differs from moment to moment.
const MORE: u64 = 16 << 10;
const CLIENTS: u32 = 4;

/// A client that goes on where it was, on a connection that it keeps until that is closed.
struct Client {
    gate: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

#[test]
fn memory_does_not_grow_however_many_requests_come() {
    let requests = std::env::var("DTGATE_REQUESTS");
    let requests = requests.map_or(REQUESTS, |number| number.parse().unwrap());
    let upstream = Upstream::forgetting(|seen| {
        if !seen.line.starts_with("GET ") {
            return b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
        }
        let body = "x".repeat(1024);
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n{body}").into_bytes()
    });
    let log = File::options().write(true).open("/dev/null").unwrap();
    let gate = crate::log::gate(&upstream, log);
    eventually("the engines are compared", || {
        (metric(&gate, "bytecode_trusted") == 1).then_some(())
    });
    eprintln!("{:>9}  {:>9}  {:>9}", "requests", "VmRSS MiB", "VmHWM MiB");
    show(&gate, 0);
    let mut clients = [0; CLIENTS as usize].map(|_| Client {
        gate: gate.address,
        connection: None,
    });
    let first = FIRST.max(requests / LOOKS);
    ask(&mut clients, 0..first);
    let before = show(&gate, first);
    let mut done = first;
    while done < requests {
        let next = requests.min(done + requests / LOOKS);
        ask(&mut clients, done..next);
        done = next;
        let now = show(&gate, done);
        for (what, before, now) in [("VmRSS", before[0], now[0]), ("VmHWM", before[1], now[1])] {
            assert!(now < before + MORE, "{what}: from {before} to {now} kB");
        }
    }
    assert_eq!(metric(&gate, "panics_total"), 0);
    verify(&gate.journal());
}

/// All clients together; every number is asked for once.
fn ask(clients: &mut [Client], numbers: std::ops::Range<u32>) {
    std::thread::scope(|scope| {
        for (start, client) in (numbers.start..).zip(clients) {
            let own = (start..numbers.end).step_by(CLIENTS as usize);
            scope.spawn(move || own.for_each(|number| client.ask(number)));
        }
    });
}

impl Client {
    fn ask(&mut self, number: u32) {
        let (request, status) = request(number);
        let stream = self.connection.get_or_insert_with(|| {
            // From an address that nobody had before.
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + number);
            BufReader::new(patient(from(address, self.gate).unwrap()))
        });
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let answer = read_answer(stream).unwrap_or_else(|| panic!("no answer to {request:?}"));
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
        if answer.header("connection") == Some("close") {
            self.connection = None;
        }
    }
}

/// A request of its own for each number, and the status of its answer.
fn request(number: u32) -> (String, u16) {
    let letter = |digit| char::from(b'A' + digit - b'0');
    let public: String = format!("{number:024}").bytes().map(letter).collect();
    let credential = format!("Authorization: Api-Token dt0c01.{public}.{SECRET}\r\n");
    let token = format!("/api/v1/tokens/d5836312-5790-4e80-afcf-{number:012}");
    let named = GOOD.replace("ci", &format!("ci-{number}"));
    let twice = r#"{"name":"a","name":"b"}"#;
    // Each client has every one of them in turn.
    let (method, target, credential, body, status) = match number / CLIENTS % 20 {
        0 => ("PUT", token, &*credential, &*named, 204),
        1 => ("PUT", token, &*credential, BAD, 403),
        2 => ("PUT", token, &*credential, twice, 400),
        3 => ("PUT", token, "", GOOD, 401),
        4 => ("PUT", format!("{token};a"), &*credential, GOOD, 400),
        5 => return (format!("\u{16}\u{3}\u{1}{number}\r\n\r\n"), 400),
        6 => (
            "POST",
            format!("/api/v2/metrics/ingest?{number}"),
            &*credential,
            "a 1",
            204,
        ),
        _ => (
            "GET",
            format!("/api/v2/entities/{number}"),
            &*credential,
            "",
            200,
        ),
    };
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: gate\r\n{credential}Content-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    (request, status)
}

/// Prints what the program has in memory, and has had at most, and gives both, in kB.
fn show(gate: &Gate, requests: u32) -> [u64; 2] {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gate.child.id())).unwrap();
    let found = ["VmRSS:", "VmHWM:"].map(|name| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kib = line.split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap()
    });
    let [now, most] = found.map(|kib| kib / 1024);
    eprintln!("{requests:9}  {now:9}  {most:9}");
    found
}

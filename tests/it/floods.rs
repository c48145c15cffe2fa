//! Clients that send what costs them little: endless heads, endless frames, requests that nobody waits for. Each ends
//! by a limit or costs no more than it sends, and others are served meanwhile.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::frames::{self, Frames, frame, head};
use crate::harness::{GOOD, Gate, TOKEN, Upstream, eventually, read_answer};
use crate::stalls::{metric, reached};
use crate::wire::{configured, connect};

const QUICK: &str = "[listener]\nstall_timeout = \"300ms\"\nheader_timeout = \"300ms\"\nidle_timeout = \"500ms\"\nhandshake_timeout = \"300ms\"\n";

/// Reads until the connection ends, or fails.
fn to_the_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return all,
            Ok(read) => all.extend(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("still open"),
            Err(_reset) => return all,
        }
    }
}

/// Sends something again and again until the connection is cut; gives back how often.
fn until_cut(stream: &mut TcpStream, piece: &[u8], most: usize) -> usize {
    for count in 0..most {
        if stream.write_all(piece).is_err() {
            return count;
        }
    }
    panic!("not cut after {most} times");
}

fn serves(gate: &Gate) {
    assert_eq!(gate.send("GET", "/api/v2/x", "").status, 204);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    eventually("nothing is in flight", || {
        (metric(gate, "in_flight") == 0).then_some(())
    });
}

#[test]
fn begins_that_do_not_end_are_cut() {
    let gate = configured(Upstream::lenient().address, QUICK);
    for begin in [
        // Heads of HTTP/1, and a preface of HTTP/2.
        b"G".to_vec(),
        b"GET / HTTP/1.1\r\nHost: g\r\nX: ".to_vec(),
        b"P".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nS".to_vec(),
        // A request of HTTP/2 whose head is to be continued.
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(frames::SETTINGS, 0, 0, b""),
            frame(frames::HEADERS, frames::END_STREAM, 1, &head("GET", "/x")),
        ]
        .concat(),
    ] {
        let mut client = connect(gate.address);
        client.write_all(&begin).unwrap();
        to_the_end(&client);
    }
    assert_eq!(reached(&gate, "header_timeout"), 3);
    serves(&gate);
}

#[test]
fn heads_without_end_are_refused_by_their_size() {
    let gate = configured(Upstream::lenient().address, "");
    let mut client = connect(gate.address);
    client.write_all(b"GET /x HTTP/1.1\r\nHost: g\r\n").unwrap();
    let field = format!("X-Filler: {}\r\n", "x".repeat(1000));
    for _ in 0..200 {
        drop(client.write_all(field.as_bytes()));
    }
    let answer = String::from_utf8(to_the_end(&client)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

    // The same in CONTINUATION frames, empty ones too.
    for piece in [vec![b'x'; 1000], Vec::new()] {
        let mut client = Frames::connect(gate.address, 65_535);
        let begin = head("GET", "/x");
        client
            .send(frames::HEADERS, frames::END_STREAM, 1, &begin)
            .unwrap();
        let mut block = piece.clone();
        if !block.is_empty() {
            // One field that goes on and on.
            block = [b"\x00\x01x\x7f\xff\xff\x03".to_vec(), piece].concat();
        }
        let more = frame(9, 0, 1, &block);
        until_cut(&mut client.0, &more, 100_000);
    }
    // Extensions of chunks, and fields behind the last one.
    for (begin, piece) in [("1;", "x".repeat(1000)), ("0\r\n", field)] {
        let mut client = connect(gate.address);
        let head =
            format!("POST /x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n{begin}");
        client.write_all(head.as_bytes()).unwrap();
        until_cut(&mut client, piece.as_bytes(), 100_000);
    }
    serves(&gate);
}

#[test]
fn frames_that_ask_for_an_answer_are_not_read_when_nobody_takes_the_answers() {
    let gate = configured(Upstream::lenient().address, QUICK);
    let before = memory(&gate);
    for (kind, payload) in [(frames::PING, vec![0; 8]), (frames::SETTINGS, Vec::new())] {
        let mut client = Frames::connect(gate.address, 65_535);
        let many = frame(kind, 0, 0, &payload).repeat(1000);
        client
            .0
            .set_write_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        until_cut(&mut client.0, &many, 100_000);
    }
    assert!(
        memory(&gate) < before + (32 << 10),
        "{before} KiB before, now {}",
        memory(&gate)
    );
    serves(&gate);
}

#[test]
fn streams_that_are_opened_and_reset_end_the_connection() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "");
    let mut client = Frames::connect(gate.address, 65_535);
    let cancel = 8_u32.to_be_bytes();
    let mut sent = 0;
    for number in 0..100_000 {
        let stream = 2 * number + 1;
        let flags = frames::END_HEADERS | frames::END_STREAM;
        let pair = [
            frame(frames::HEADERS, flags, stream, &head("GET", "/x")),
            frame(frames::RST_STREAM, 0, stream, &cancel),
        ];
        if client.0.write_all(&pair.concat()).is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent < 100_000);
    serves(&gate);
}

#[test]
fn a_handshake_that_does_not_end_is_cut_and_so_is_what_is_none() {
    let directory = tempfile::tempdir().unwrap();
    crate::tls::write(directory.path(), &crate::tls::certified());
    let file = |name| directory.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let path = directory.path().join("dtgate.toml");
    std::fs::write(&path, QUICK).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let gate = Gate::start(
        directory,
        Upstream::lenient().address,
        &[
            "--config",
            &path,
            "--tls-certificate",
            &certificate,
            "--tls-key",
            &key,
        ],
    );
    // Nothing, half a record, an alert that says goodbye, and no TLS at all.
    for begin in [
        &b""[..],
        b"\x16\x03\x01\x02\x00\x01",
        b"\x15\x03\x03\x00\x02\x01\x00",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut client = connect(gate.address);
        client.write_all(begin).unwrap();
        to_the_end(&client);
    }
    // It is closed first, and counted then.
    eventually("three handshakes took too long, and none is left", || {
        let took_too_long = reached(&gate, "handshake_timeout");
        (took_too_long == 3 && metric(&gate, "connections") == 0).then_some(())
    });
}

#[test]
fn an_upgrade_is_not_made_and_holds_nothing() {
    let gate = configured(Upstream::lenient().address, QUICK);
    let mut client = BufReader::new(connect(gate.address));
    let request =
        "GET /ws HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.get_mut().write_all(request.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut client).unwrap().status, 204);
    to_the_end(client.get_ref());
    serves(&gate);
}

/// Requests with bodies, all in one go, whose answers nobody reads: what is buffered of them is bounded.
#[test]
fn a_pipeline_of_refused_bodies_does_not_grow_the_gate() {
    let gate = configured(Upstream::lenient().address, QUICK);
    let requests = [
        "PUT /api/v2/apiTokens/..%2fx HTTP/1.1\r\nHost: g\r\nContent-Length: 4\r\n\r\nbody",
        "POST /api/v2/x HTTP/1.1\r\nHost: g\r\nContent-Length: 4\r\n\r\nbody",
    ];
    // What the gate needs for any request is there before it is measured.
    for request in requests.repeat(20) {
        let mut client = BufReader::new(connect(gate.address));
        client.get_mut().write_all(request.as_bytes()).unwrap();
        read_answer(&mut client).unwrap();
    }
    let before = memory(&gate);
    for request in requests {
        let mut client = connect(gate.address);
        client
            .set_write_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        until_cut(&mut client, request.repeat(1000).as_bytes(), 10_000);
    }
    assert!(
        memory(&gate) < before + (32 << 10),
        "{before} KiB before, now {}",
        memory(&gate)
    );
    serves(&gate);
}

/// What the program has in memory, in KiB.
fn memory(gate: &Gate) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gate.child.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A client that many automations are made of, with a body of 8 MB that is refused on sight.
#[test]
#[ignore = "needs Go"]
fn needs_go_a_client_written_in_go_gets_its_early_refusal() {
    let gate = configured(Upstream::lenient().address, "");
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("main.go");
    std::fs::write(&program, GO).unwrap();
    let output = crate::clients::go()
        .args(["run", program.to_str().unwrap()])
        .arg(format!("http://{}/api/v2/apiTokens/..%2fx", gate.address))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, format!("{}\n", "400 ".repeat(20)), "{errors}");
}

const GO: &str = r#"package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	body := bytes.Repeat([]byte("x"), 8<<20)
	protocols := new(http.Protocols)
	for try := 0; try < 20; try++ {
		protocols.SetHTTP1(try < 10)
		protocols.SetUnencryptedHTTP2(try >= 10)
		client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
		request, _ := http.NewRequest("PUT", os.Args[1], bytes.NewReader(body))
		answer, err := client.Do(request)
		if err != nil {
			fmt.Fprintln(os.Stderr, try, err)
			continue
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		fmt.Print(answer.StatusCode, " ")
	}
	fmt.Println()
}
"#;

//! What one connection of HTTP/2 may do; and all that the specification says, where its test program is there.

use std::path::PathBuf;
use std::process::Command;

use crate::frames::{
    self, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, head,
};
use crate::harness::{Gate, Upstream, eventually, exchange, policies, serving};

const FEW: &str = "[listener.http2]\nmax_streams = 2\nmax_resets = 20\nmax_control_frames = 100\n";

fn gate(upstream: &Upstream) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dtgate.toml");
    std::fs::write(&path, FEW).unwrap();
    let path = path.to_str().unwrap().to_owned();
    Gate::start(directory, upstream.address, &["--config", &path])
}

fn reached(gate: &Gate, limit: &str) -> u64 {
    let page = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let series = format!("dtgate_limit_reached_total{{limit=\"{limit}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&*series));
    value.unwrap().parse().unwrap()
}

/// Reads until the gate hangs up.
fn to_the_end(mut client: Frames) {
    while client.next().is_some() {}
}

#[test]
fn frames_that_carry_nothing_are_limited_whatever_their_kind() {
    let gate = gate(&Upstream::lenient());
    let begin = frames::frame(HEADERS, END_HEADERS, 1, &head("POST", "/x"));
    for (at, (kind, flags, stream, payload)) in [
        (PING, 0, 0, vec![0; 8]),
        // One that nobody has asked for.
        (PING, frames::ACK, 0, vec![0; 8]),
        (SETTINGS, 0, 0, vec![]),
        (WINDOW_UPDATE, 0, 0, vec![0, 0, 0, 1]),
        (PRIORITY, 0, 3, vec![0, 0, 0, 0, 1]),
        (DATA, 0, 1, vec![]),
        (UNKNOWN, 0, 0, vec![1; 50]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Frames::connect(gate.address, 65_535);
        let many = frames::frame(kind, flags, stream, &payload).repeat(200);
        // It may be cut while it still sends.
        drop(std::io::Write::write_all(
            &mut client.0,
            &[&begin[..], &many].concat(),
        ));
        to_the_end(client);
        let expected = u64::try_from(at).unwrap() + 1;
        assert_eq!(
            reached(&gate, "http2_control"),
            expected,
            "frames of kind {kind}"
        );
    }
}

#[test]
fn a_client_that_gives_up_all_that_it_asks_for_is_cut() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream);
    let mut client = Frames::connect(gate.address, 65_535);
    let mut asked = 0;
    for number in 0..100 {
        let stream = 2 * number + 1;
        let flags = END_HEADERS | END_STREAM;
        if client
            .send(HEADERS, flags, stream, &head("GET", "/x"))
            .is_err()
        {
            break;
        }
        // Not before it was looked at: that has a limit of its own.
        if client.next().is_none() {
            break;
        }
        asked += 1;
        if client
            .send(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
            .is_err()
        {
            break;
        }
    }
    assert!((20..30).contains(&asked), "{asked}");
    assert_eq!(reached(&gate, "http2_resets"), 1);
}

#[test]
fn a_client_may_say_what_it_has_taken() {
    let upstream =
        Upstream::answering(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec());
    let gate = gate(&upstream);
    let mut client = Frames::connect(gate.address, 65_535);
    for number in 0..200 {
        let stream = 2 * number + 1;
        client.ask(stream, "GET", "/x", false);
        loop {
            let frame = client.next().expect("it is not cut");
            if frame.kind == DATA && !frame.payload.is_empty() {
                client.window(0, 1).unwrap();
                // For its stream, which is over.
                client.window(stream, 1).unwrap();
            }
            if frame.flags & END_STREAM != 0 {
                break;
            }
        }
    }
    assert_eq!(reached(&gate, "http2_control"), 0);
}

#[test]
fn a_connection_has_so_many_streams_and_no_more() {
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let hold = std::sync::Mutex::new(hold);
    let upstream = Upstream::answering(move |_| {
        assert!(hold.lock().unwrap().recv().is_err(), "until it is dropped");
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let gate = gate(&upstream);
    let mut client = Frames::connect(gate.address, 65_535);
    for stream in [1, 3, 5] {
        client.ask(stream, "GET", "/x", false);
    }
    let refused = client.next().unwrap();
    let refused_stream = 7_u32.to_be_bytes();
    assert_eq!(
        (refused.kind, refused.stream, &refused.payload[..]),
        (RST_STREAM, 5, &refused_stream[..])
    );
    // h2 refuses the third before hyper takes up the second.
    eventually("it is counted", || {
        (reached(&gate, "http2_streams") == 1).then_some(())
    });
    drop(release);
    for _ in 0..2 {
        assert_eq!(client.next().unwrap().kind, HEADERS);
    }
}

/// The program that tests implementations of HTTP/2 against the specification.
fn h2spec() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    target.join("clients-go/bin/h2spec")
}

/// Over TLS, where ALPN has chosen it. In plain text whoever begins otherwise speaks HTTP/1.1.
#[test]
#[ignore = "needs h2spec"]
fn needs_h2spec_the_gate_speaks_http_2_as_the_specification_has_it() {
    let upstream =
        Upstream::answering(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec());
    let directory = tempfile::tempdir().unwrap();
    crate::tls::write(directory.path(), &crate::tls::certified());
    let mut command = serving(&directory);
    command
        .current_dir(directory.path())
        .arg("--upstream")
        .arg(format!("http://{}", upstream.address))
        .arg("--policies")
        .arg(policies())
        .args(["--tls-certificate", "certificate.pem"])
        .args(["--tls-key", "key.pem"]);
    let gate = Gate::spawn(directory, command);
    let output = Command::new(h2spec())
        .args(["--tls", "--insecure", "-h", "127.0.0.1", "-p"])
        .arg(gate.address.port().to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let all = "145 tests, 145 passed, 0 skipped, 0 failed";
    assert_eq!(said.lines().last(), Some(all), "{said}");
}

const PRIORITY: u8 = 2;
const UNKNOWN: u8 = 0x42;

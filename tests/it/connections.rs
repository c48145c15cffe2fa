//! Many connections, and their ends: who makes room, who is let in, and who still gets an answer.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};

use crate::harness::{
    GOOD, Gate, TOKEN, Upstream, eventually, exchange, policies, program, put, read_answer,
    serving, verify,
};
use crate::stalls::{metric, reached};
use crate::wire::{Scripted, assert_envelope, configured, connect, patient, read_head};

const GET: &[u8] = b"GET /api/v2/x HTTP/1.1\r\nHost: g\r\n\r\n";

/// One request on a connection that stays open.
fn one(stream: &mut BufReader<TcpStream>) -> Option<u16> {
    stream.get_mut().write_all(GET).ok()?;
    Some(read_answer(stream)?.status)
}

/// A connection from another address of this machine.
fn from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(&address.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    patient(socket.into())
}

fn is_closed(mut stream: &TcpStream) -> bool {
    let mut byte = [0];
    stream
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    match stream.read(&mut byte) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_newcomer_takes_the_place_of_whoever_was_idle_for_longest() {
    let gate = configured(
        Upstream::lenient().address,
        "[listener]\nmax_connections = 4\nmax_connections_per_address = 5\n",
    );
    let mut known: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = BufReader::new(connect(gate.address));
            assert_eq!(one(&mut stream), Some(204));
            stream
        })
        .collect();
    // The first was used again: the second is the one.
    assert_eq!(one(&mut known[0]), Some(204));
    let mut newcomer = BufReader::new(connect(gate.address));
    assert_eq!(one(&mut newcomer), Some(204));
    eventually("the second is closed", || {
        is_closed(known[1].get_ref()).then_some(())
    });
    for index in [0, 2, 3] {
        known[index]
            .get_ref()
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        assert_eq!(one(&mut known[index]), Some(204));
    }
    // Those that never said a word are idle, too; and so are those that begin to and do not end.
    let mut silent: Vec<_> = (0..20).map(|_| connect(gate.address)).collect();
    for stream in &mut silent {
        drop(stream.write_all(b"GET /x HT"));
    }
    assert_eq!(gate.send("GET", "/api/v2/x", "").status, 204);
    assert!(metric(&gate, "connections") <= 4);
    assert!(reached(&gate, "connections") >= 20);
    assert_eq!(reached(&gate, "connections_per_address"), 0);
}

#[test]
fn whoever_has_a_request_keeps_its_place_and_newcomers_wait() {
    let upstream = Scripted::start();
    let gate = configured(
        upstream.address,
        "[listener]\nmax_connections = 2\nmax_connections_per_address = 3\n",
    );
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = BufReader::new(connect(gate.address));
        client.get_mut().write_all(GET).unwrap();
        let mut server = BufReader::new(upstream.accept());
        read_head(&mut server);
        clients.push((client, server));
    }
    // It waits at the door, and others behind it; operators see how many are in.
    let mut newcomer = BufReader::new(from(2, gate.address));
    newcomer.get_mut().write_all(GET).unwrap();
    eventually("it waits", || {
        (reached(&gate, "connections") == 1).then_some(())
    });
    assert_eq!(metric(&gate, "connections"), 2);
    let (mut client, mut server) = clients.pop().unwrap();
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
    server.get_mut().write_all(answer).unwrap();
    assert_eq!(read_answer(&mut client).unwrap().status, 204);
    // The upstream's connection may be a kept one.
    std::thread::spawn(move || {
        read_head(&mut server);
        server.get_mut().write_all(answer).unwrap();
    });
    let accepting = std::thread::spawn(move || {
        let mut server = BufReader::new(upstream.accept());
        read_head(&mut server);
        server.get_mut().write_all(answer).unwrap();
    });
    assert_eq!(read_answer(&mut newcomer).unwrap().status, 204);
    eventually("it made room", || is_closed(client.get_ref()).then_some(()));
    assert!(!is_closed(clients[0].0.get_ref()));
    drop(accepting);
}

#[test]
fn one_address_cannot_have_all_places() {
    let upstream = Scripted::start();
    let gate = configured(upstream.address, "[listener]\nmax_connections = 4\n");
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = connect(gate.address);
        client.write_all(GET).unwrap();
        let mut server = BufReader::new(upstream.accept());
        read_head(&mut server);
        held.push((client, server));
    }
    // Two of four are busy and of this address: one more is closed at once.
    for _ in 0..10 {
        let mut refused = connect(gate.address);
        assert!(matches!(refused.read(&mut [0]), Ok(0) | Err(_)));
    }
    assert_eq!(reached(&gate, "connections_per_address"), 10);
    // Others are let in.
    let mut other = BufReader::new(from(2, gate.address));
    other.get_mut().write_all(GET).unwrap();
    let mut server = BufReader::new(upstream.accept());
    read_head(&mut server);
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
    server.get_mut().write_all(answer).unwrap();
    assert_eq!(read_answer(&mut other).unwrap().status, 204);
    assert_eq!(reached(&gate, "connections"), 0);
}

#[test]
fn operators_are_answered_whatever_connects_to_their_port() {
    let gate = configured(Upstream::lenient().address, "");
    let healthy = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut silent: Vec<_> = (0..200).map(|_| connect(gate.admin)).collect();
    assert_eq!(exchange(gate.admin, healthy).status, 200);
    let bodies = b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc";
    for (index, stream) in silent.iter_mut().enumerate() {
        let begin: &[u8] = if index % 2 == 0 { b"GET /he" } else { bodies };
        // Most of them were closed to make room.
        drop(stream.write_all(begin));
    }
    assert_eq!(exchange(gate.admin, healthy).status, 200);
    for last in 2..=5 {
        silent.extend((0..50).map(|_| from(last, gate.admin)));
    }
    assert_eq!(exchange(gate.admin, healthy).status, 200);
    assert_eq!(exchange(gate.address, GET).status, 204);
}

/// The program, allowed to open so many files.
fn limited(files: u32, directory: &tempfile::TempDir, upstream: SocketAddr) -> Command {
    let mut served = serving(directory);
    served.arg("--upstream").arg(format!("http://{upstream}"));
    served.arg("--policies").arg(policies());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]);
    command.arg(served.get_program()).args(served.get_args());
    command
}

#[test]
fn a_gate_that_may_open_few_files_says_so_and_keeps_working() {
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let command = limited(200, &directory, upstream.address);
    let gate = Gate::spawn(directory, command);
    let log = gate.log();
    for word in [
        "may have 200 files open",
        "LimitNOFILE=",
        "listener.max_connections",
    ] {
        assert!(log.contains(word), "{log}");
    }
    // More clients than there are files, from several addresses.
    let silent: Vec<_> = (2..=9)
        .flat_map(|last| (0..50).map(move |_| last))
        .map(|last| from(last, gate.address))
        .collect();
    let operators: Vec<_> = (0..100).map(|_| connect(gate.admin)).collect();
    for round in 0..5 {
        assert_eq!(gate.ready().status, 200, "{round}: {}", gate.log());
        assert_eq!(gate.send("GET", "/api/v2/x", "").status, 204);
        let changed = gate.send("PUT", TOKEN, GOOD);
        assert_eq!(changed.status, 204, "{round}: {changed:?}");
    }
    drop((silent, operators));
    verify(&gate.journal());
}

#[test]
fn check_says_that_there_are_too_few_files_for_all_connections() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dtgate.toml");
    let toml =
        "[upstream]\nurl = \"http://127.0.0.1:1\"\n[listener]\nmax_connections = 4000000000\n";
    std::fs::write(&path, toml).unwrap();
    let check = |format| {
        let output = program()
            .args(["check", "--format", format, "--compare", "0", "--config"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = check("pretty");
    assert!(said.contains("lower listener.max_connections"), "{said}");
    let json: serde_json::Value = serde_json::from_str(&check("json")).unwrap();
    assert_ne!(json["descriptors"], json!(null), "{json}");
}

#[test]
fn a_client_that_closes_its_side_gets_its_answer() {
    let upstream = Scripted::start();
    let gate = configured(upstream.address, "");
    for request in [
        GET.to_vec(),
        b"POST /api/v2/x HTTP/1.1\r\nHost: g\r\nContent-Length: 4\r\n\r\nbody".to_vec(),
        b"GET /api/v2/x HTTP/1.0\r\nHost: g\r\n\r\n".to_vec(),
    ] {
        let client = connect(gate.address);
        (&client).write_all(&request).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut server = BufReader::new(upstream.accept());
        read_head(&mut server);
        let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 200000\r\n\r\n";
        server.get_mut().write_all(answer).unwrap();
        server.get_mut().write_all(&vec![b'x'; 200_000]).unwrap();
        let mut all = Vec::new();
        let mut client = client;
        client.read_to_end(&mut all).unwrap();
        let text = String::from_utf8(all).unwrap();
        assert!(text.starts_with("HTTP/1."), "{text}");
        assert!(text.contains(" 200 OK\r\n"), "{text}");
        assert!(text.ends_with(&"x".repeat(200_000)));
    }
    assert_eq!(metric(&gate, "in_flight"), 0);
}

/// What the client did is not said to be the upstream's doing.
#[test]
fn an_upload_that_breaks_off_is_400() {
    let upstream = Scripted::start();
    let gate = configured(upstream.address, "");
    for (begin, end) in [
        ("Content-Length: 10\r\n\r\nabc", ""),
        (
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "no length\r\n",
        ),
    ] {
        let client = connect(gate.address);
        let request = format!("POST /api/v2/x HTTP/1.1\r\nHost: g\r\n{begin}");
        (&client).write_all(request.as_bytes()).unwrap();
        let mut server = BufReader::new(upstream.accept());
        read_head(&mut server);
        (&client).write_all(end.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let answer = read_answer(&mut BufReader::new(client)).unwrap();
        assert_envelope(&answer, 400);
        assert!(answer.message().contains("may have acted"), "{answer:?}");
    }
}

#[test]
fn a_change_whose_client_closes_its_side_is_made_and_answered() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "");
    let client = connect(gate.address);
    (&client).write_all(put(GOOD).as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut client = BufReader::new(client);
    assert_eq!(read_answer(&mut client).unwrap().status, 204);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn a_client_of_tls_that_says_goodbye_behind_its_request_gets_its_answer() {
    let directory = tempfile::tempdir().unwrap();
    let certified = crate::tls::certified();
    crate::tls::write(directory.path(), &certified);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let file = |name| directory.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let gate = Gate::start(
        directory,
        Upstream::lenient().address,
        &["--tls-certificate", &certificate, "--tls-key", &key],
    );
    let name = "localhost".try_into().unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = connect(gate.address);
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    tls.write_all(GET).unwrap();
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    let mut tls = BufReader::new(tls);
    assert_eq!(read_answer(&mut tls).unwrap().status, 204);
}

#[test]
fn a_client_that_is_gone_is_noticed() {
    let upstream = Scripted::start();
    let gate = configured(
        upstream.address,
        "[listener]\nhalf_close_timeout = \"300ms\"\n",
    );
    for reset in [true, false] {
        let mut client = connect(gate.address);
        client.write_all(GET).unwrap();
        let mut server = BufReader::new(upstream.accept());
        read_head(&mut server);
        assert_eq!(metric(&gate, "in_flight"), 1);
        if reset {
            SockRef::from(&client)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
        drop(client);
        eventually("its request is given up", || {
            (metric(&gate, "in_flight") == 0).then_some(())
        });
        // And so is what it asked of the upstream.
        assert_eq!(server.read(&mut [0]).unwrap_or(0), 0);
        assert_eq!(reached(&gate, "half_close_timeout"), u64::from(!reset));
    }
}

/// What is refused on sight.
const REFUSED: &str = "/api/v2/apiTokens/..%2fx";

#[test]
fn an_early_refusal_arrives_although_the_client_is_still_sending() {
    let upstream = Upstream::lenient();
    let gate = configured(upstream.address, "");
    for body in [
        format!("Content-Length: {}\r\n\r\n", 8 << 20),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", 8 << 20),
    ] {
        for _ in 0..10 {
            let mut client = connect(gate.address);
            let head = format!("PUT {REFUSED} HTTP/1.1\r\nHost: g\r\n{body}");
            client.write_all(head.as_bytes()).unwrap();
            // A client that reads only when it has sent all.
            client.write_all(&vec![b'x'; 8 << 20]).unwrap();
            let mut client = BufReader::new(client);
            let answer = read_answer(&mut client).unwrap();
            assert_eq!(answer.status, 400, "{answer:?}");
            assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn whoever_goes_on_sending_after_a_refusal_is_cut_in_the_end() {
    let gate = configured(Upstream::lenient().address, "");
    let mut client = connect(gate.address);
    let head = format!("PUT {REFUSED} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    let piece = [b"10000\r\n".to_vec(), vec![b'x'; 1 << 16], b"\r\n".to_vec()].concat();
    let mut sent = 0_u64;
    while client.write_all(&piece).is_ok() {
        sent += 1 << 16;
        assert!(sent < 1 << 30);
    }
    assert!(sent >= 16 << 20, "{sent}");
    eventually("it is counted", || {
        (reached(&gate, "linger") == 1).then_some(())
    });
}

#[test]
fn a_small_body_that_nobody_wants_does_not_cost_the_connection() {
    let gate = configured(Upstream::lenient().address, "");
    let mut client = BufReader::new(connect(gate.address));
    for _ in 0..3 {
        let request = format!("PUT {REFUSED} HTTP/1.1\r\nHost: g\r\nContent-Length: 4\r\n\r\nbody");
        client.get_mut().write_all(request.as_bytes()).unwrap();
        let answer = read_answer(&mut client).unwrap();
        assert_eq!((answer.status, answer.header("connection")), (400, None));
    }
}

#[test]
fn a_refused_client_is_not_told_to_continue() {
    let gate = configured(Upstream::lenient().address, "");
    let mut client = BufReader::new(connect(gate.address));
    let request = format!(
        "PUT {REFUSED} HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    );
    client.get_mut().write_all(request.as_bytes()).unwrap();
    let answer = read_answer(&mut client).unwrap();
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
}

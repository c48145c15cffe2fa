//! Bytes on the wire, one at a time: an upstream that does what the test says, when it says so.

use std::io::{BufRead, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Answered, Gate};

/// An upstream of one connection at a time, under the control of the test.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Receiver<TcpStream>,
}

impl Scripted {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, connections): (Sender<TcpStream>, _) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if sender.send(patient(stream)).is_err() {
                    return;
                }
            }
        });
        Self {
            address,
            connections,
        }
    }

    pub(crate) fn accept(&self) -> TcpStream {
        self.connections
            .recv_timeout(Duration::from_secs(30))
            .unwrap()
    }
}

/// Fails instead of hanging.
pub(crate) fn patient(stream: TcpStream) -> TcpStream {
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).unwrap();
    stream.set_write_timeout(limit).unwrap();
    stream
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).unwrap())
}

/// A head as it stands on the wire, up to and with the empty line.
pub(crate) fn read_head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).unwrap(), 0, "cut: {head:?}");
    }
    head
}

pub(crate) fn take(stream: &mut impl Read, count: usize) -> String {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A gate with the shipped policies and a configuration file.
pub(crate) fn configured(upstream: SocketAddr, toml: &str) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dtgate.toml");
    std::fs::write(&path, toml).unwrap();
    let path = path.to_str().unwrap().to_owned();
    Gate::start(directory, upstream, &["--config", &path])
}

/// An error of the gate itself, in Dynatrace's form.
pub(crate) fn assert_envelope(answer: &Answered, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json()["error"]["code"], json!(status));
    assert!(answer.message().contains("Dynatrace"), "{answer:?}");
    assert!(answer.header("x-request-id").is_some(), "{answer:?}");
}

pub(crate) fn last_outcome(gate: &Gate) -> String {
    let record = gate.records().pop().unwrap();
    assert_eq!(record["kind"], "outcome", "{record}");
    record["outcome"].as_str().unwrap().to_owned()
}

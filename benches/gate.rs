//! A gate, as a program of its own, and clients that change tokens through it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A gate with the shipped policies before an upstream that answers at once. It ends when this is dropped.
pub(crate) struct Gate {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

/// What clients have got from a gate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Got {
    pub(crate) count: usize,
    /// Processor time, in hundredths of a second.
    pub(crate) used: u64,
    /// A second.
    pub(crate) requests: f64,
    /// In microseconds.
    pub(crate) median: u64,
    pub(crate) p99: u64,
}

impl Gate {
    pub(crate) fn start(upstream: SocketAddr, config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("dtgate.toml");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_dtgate"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--log",
                "json",
            ])
            .arg("--config")
            .arg(&file)
            .arg("--journal")
            .arg(directory.path().join("journal"))
            .arg("--policies")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies"))
            .args(["--upstream", &format!("http://{upstream}")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(
                log.read_line(&mut line).unwrap() > 0,
                "the gate did not start"
            );
            let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if said["message"] == "serving" {
                break said["listen"].as_str().unwrap().parse().unwrap();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self {
            child,
            address,
            _directory: directory,
        }
    }

    /// Processor time that it has used, in hundredths of a second; 0 where that is not told.
    fn used(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let times = fields
            .skip(11)
            .take(2)
            .filter_map(|it| it.parse::<u64>().ok());
        times.sum()
    }

    /// Clients that change tokens for some time, each one after the other.
    pub(crate) fn serves(&self, clients: usize, time: Duration) -> Got {
        let (begun, used) = (Instant::now(), self.used());
        let mut took: Vec<u64> = std::thread::scope(|scope| {
            let mut all = Vec::new();
            for number in 0..clients {
                all.push(scope.spawn(move || changes(self.address, number, begun, time)));
            }
            let took = all.into_iter().flat_map(|it| it.join().unwrap());
            took.collect()
        });
        let seconds = begun.elapsed().as_secs_f64();
        took.sort_unstable();
        Got {
            count: took.len(),
            used: self.used() - used,
            requests: took.len() as f64 / seconds,
            median: took[took.len() / 2],
            p99: took[took.len() * 99 / 100],
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Microseconds of each.
fn changes(gate: SocketAddr, number: usize, begun: Instant, time: Duration) -> Vec<u64> {
    let body = r#"{"name":"payments-prod-ci","scopes":["metrics.read"]}"#;
    let secret = "S".repeat(64);
    let request = format!(
        "PUT /api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3{number:02} HTTP/1.1\r\nHost: gate\r\n\
         Authorization: Api-Token dt0c01.ABCDEFGHIJKLMNOPQRSTUVWX.{secret}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let stream = TcpStream::connect(gate).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    let mut took = Vec::new();
    while begun.elapsed() < time {
        let sent = Instant::now();
        writer.write_all(request.as_bytes()).unwrap();
        let (line, _) = message(&mut reader).unwrap();
        assert!(line.contains(" 204 "), "{line}");
        took.push(u64::try_from(sent.elapsed().as_micros()).unwrap());
    }
    took
}

/// Tells whoever asks for a token one that has what is asked for, and takes every change.
pub(crate) fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(stream: TcpStream) -> Option<()> {
    let token = r#"{"name":"payments-prod-ci","scopes":["metrics.read"]}"#;
    let token = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{token}",
        token.len()
    );
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let (line, _) = message(&mut reader)?;
        let answer = if line.starts_with("GET ") {
            &token
        } else {
            "HTTP/1.1 204 No Content\r\n\r\n"
        };
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

/// The first line of a message, and how long its body was.
pub(crate) fn message(reader: &mut impl BufRead) -> Option<(String, u64)> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if first.is_empty() {
            line.clone_into(&mut first);
        }
        if let Some(text) = line.to_lowercase().strip_prefix("content-length: ") {
            length = text.parse().ok()?;
        }
    }
    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
    Some((first, length))
}

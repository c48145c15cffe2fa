//! What becomes of the gate when its log cannot be written: nothing. Requests are answered, changes are recorded, it
//! is ready, it ends when it is told to, and it says how many lines were lost.

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read, pipe};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{GOOD, Gate, Upstream, eventually, exchange, policies, program};

const CREATED: &str = r#"{"id":"dt0c01.PUBLIC","token":"dt0c01.PUBLIC.SECRET"}"#;

/// An upstream that makes tokens.
fn upstream() -> Upstream {
    Upstream::answering(|seen| {
        let (status, body) = if seen.line.starts_with("POST") {
            ("201 Created", CREATED)
        } else {
            ("200 OK", "{}")
        };
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    })
}

/// A gate with a short queue that logs to `log`, and says nowhere where it listens.
pub(crate) fn gate(upstream: &Upstream, log: impl Into<Stdio>) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let (command, addresses) = serving(&directory, upstream, "json");
    Gate::spawn_at(directory, command, log.into(), addresses)
}

fn serving(
    directory: &TempDir,
    upstream: &Upstream,
    format: &str,
) -> (Command, [std::net::SocketAddr; 2]) {
    let config = directory.path().join("dtgate.toml");
    std::fs::write(&config, "[log]\nqueue = \"16 KiB\"\n").unwrap();
    let addresses = [free(), free()];
    let mut command = program();
    command
        .args(["serve", "--log", format, "--config"])
        .arg(config)
        .args(["--listen", &addresses[0].to_string()])
        .args(["--admin", &addresses[1].to_string()])
        .args(["--upstream", &format!("http://{}", upstream.address)])
        .arg("--policies")
        .arg(policies())
        .arg("--journal")
        .arg(directory.path().join("journal"));
    (command, addresses)
}

fn free() -> std::net::SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// Everybody who asks gets an answer, and every change its two records.
fn goes_on(gate: &Gate) {
    let before = gate.records().len();
    for _ in 0..3 {
        let created = gate.send("POST", "/api/v2/apiTokens", GOOD);
        assert_eq!((created.status, created.body.as_str()), (201, CREATED));
        assert_eq!(gate.send("GET", "/api/v2/metrics", "").status, 200);
        assert_eq!(gate.ready().status, 200);
    }
    let kinds: Vec<Value> = gate
        .records()
        .drain(before..)
        .map(|record| record["kind"].clone())
        .collect();
    assert_eq!(kinds, ["decision", "outcome"].repeat(3));
}

/// Sends requests until so many more lines are lost.
fn lose_lines(gate: &Gate) {
    let lost = dropped(gate) + 10;
    let target = format!("/api/v2/metrics?{}", "long/".repeat(10));
    eventually("lines are dropped", || {
        assert_eq!(gate.send("GET", &target, "").status, 200);
        (dropped(gate) >= lost).then_some(())
    });
}

fn dropped(gate: &Gate) -> u64 {
    let metrics = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let mut lines = metrics.lines();
    let count = lines.find_map(|line| line.strip_prefix("dtgate_log_dropped_total "));
    count.unwrap().parse().unwrap()
}

fn ends(gate: &mut Gate) {
    gate.signal("TERM");
    let status = eventually("the end", || gate.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert_eq!(gate.records().pop().unwrap()["kind"], "stop");
}

#[test]
fn a_reader_of_the_log_that_goes_away_is_not_missed() {
    let upstream = upstream();
    let (reader, writer) = pipe().unwrap();
    let mut gate = gate(&upstream, writer);
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    for _ in 0..3 {
        reader.read_line(&mut line).unwrap();
    }
    drop(reader);
    goes_on(&gate);
    eventually("lines are dropped", || (dropped(&gate) >= 6).then_some(()));
    goes_on(&gate);
    ends(&mut gate);
}

#[test]
fn a_log_that_takes_nothing_is_not_missed() {
    let upstream = upstream();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut gate = gate(&upstream, full);
    goes_on(&gate);
    eventually("lines are dropped", || (dropped(&gate) >= 6).then_some(()));
    goes_on(&gate);
    ends(&mut gate);
}

#[test]
fn a_pipe_that_nobody_reads_holds_nobody_up_and_goes_on_when_somebody_does() {
    let upstream = upstream();
    let (reader, writer) = pipe().unwrap();
    let mut gate = gate(&upstream, writer);
    goes_on(&gate);
    lose_lines(&gate);
    goes_on(&gate);

    let lines = read_on(reader);
    let lost = eventually("what is lost is said", || {
        lines.try_iter().find_map(|line| lost(&line))
    });
    // What was lost later is said later.
    assert!((10..=dropped(&gate)).contains(&lost), "{lost}");
    gate.send("GET", "/api/v2/read-again", "");
    eventually("the log goes on", || {
        let mut lines = lines.try_iter();
        lines.find(|line| line["path"] == "/api/v2/read-again")
    });
    ends(&mut gate);
    eventually("the last line", || {
        lines.try_iter().find(|line| line["message"] == "stopped")
    });
}

#[test]
fn a_pipe_that_nobody_reads_does_not_stop_the_end() {
    let upstream = upstream();
    let (reader, writer) = pipe().unwrap();
    let mut gate = gate(&upstream, writer);
    lose_lines(&gate);
    goes_on(&gate);
    ends(&mut gate);
    drop(reader);
}

#[test]
#[ignore = "needs root, to mount a small disk"]
fn needs_root_a_full_disk_under_the_log_is_not_missed_and_the_log_goes_on_when_there_is_room() {
    let disk = Disk::mount();
    let upstream = upstream();
    let log = disk.path().join("log");
    let full = disk.path().join("full");
    std::fs::write(&full, vec![0; 32 << 10]).unwrap();
    let mut gate = gate(&upstream, File::create(&log).unwrap());
    goes_on(&gate);
    lose_lines(&gate);
    goes_on(&gate);

    std::fs::remove_file(&full).unwrap();
    let read = || {
        let text = std::fs::read_to_string(&log).unwrap();
        let whole = text.rsplit_once('\n').unwrap().0;
        let lines = whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<Value>>()
    };
    eventually("what is lost is said", || read().iter().find_map(lost));
    gate.send("GET", "/api/v2/room-again", "");
    eventually("the log goes on", || {
        let mut lines = read().into_iter();
        lines.find(|line| line["path"] == "/api/v2/room-again")
    });
    ends(&mut gate);
}

#[test]
fn nothing_that_a_client_sends_is_hidden_in_the_log() {
    // A terminal's command, what turns the direction, what ends a line, what is not seen.
    let hidden = "\u{9b}\u{202e}\u{2028}\u{200b}\u{e0041}";
    for format in ["json", "text"] {
        let upstream = upstream();
        let (mut reader, writer) = pipe().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (mut command, addresses) = serving(&directory, &upstream, format);
        command.env("NO_COLOR", "1");
        let mut gate = Gate::spawn_at(directory, command, writer.into(), addresses);
        let target = format!("/api/v2/metrics/x{hidden}");
        assert_eq!(gate.send("GET", &target, "").status, 200);
        ends(&mut gate);
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        let found = log.find(|c: char| hidden.contains(c));
        assert_eq!(found, None, "{log:?}");
        let escaped = if format == "json" {
            "x\\u009b\\u202e"
        } else {
            "x\\u{9b}\\u{202e}"
        };
        assert!(log.contains(escaped), "{log}");
    }
}

/// All lines, none of them torn.
fn read_on(reader: PipeReader) -> std::sync::mpsc::Receiver<Value> {
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            let line = serde_json::from_str(&line).unwrap_or_else(|_| panic!("torn: {line}"));
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// How many lines a line says to be missing.
fn lost(line: &Value) -> Option<u64> {
    let message = line["message"].as_str()?;
    message
        .contains("lines are missing here")
        .then(|| line["lines"].as_u64().unwrap())
}

/// A disk of 64 KiB.
struct Disk(TempDir);

impl Disk {
    fn mount() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "dtgate-test"])
            .arg(directory.path())
            .status();
        assert!(mounted.unwrap().success(), "only root can mount a disk");
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the gate may still have its log open.
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.unwrap().success());
    }
}

//! A gate that is killed at any step of sending records: nothing is lost, and everything is sent at least once.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::{BUSY, TAKEN, events, lines, logs, otlp, record, shipping};
use crate::harness::{GOOD, Gate, Seen, TOKEN, Upstream, verify};

/// How often the program is killed.
const KILLS: usize = 12;

/// A kind of sink.
struct Kind {
    name: &'static str,
    /// Its section, for a server at an address; files go into a folder.
    section: fn(std::net::SocketAddr, &Path) -> String,
    /// The first and the last number of each part of what was taken, in the order of arrival.
    numbers: fn(&[Seen]) -> Vec<(u64, u64)>,
    /// Whether a record is for it.
    is_for: fn(&Value) -> bool,
}

fn is_decision(record: &Value) -> bool {
    record["kind"] == "decision"
}

#[test]
fn a_kill_at_any_step_of_otlp_loses_nothing() {
    killed(&Kind {
        name: "otlp.siem",
        section: |address, _| otlp(address),
        numbers: |seen| {
            let numbers = logs(seen).into_iter().map(|log| record(&log).0);
            numbers.map(|seq| (seq, seq)).collect()
        },
        is_for: |_| true,
    });
}

#[test]
fn a_kill_at_any_step_of_opas_log_loses_nothing() {
    killed(&Kind {
        name: "opa.das",
        section: |address, _| format!("[ship.opa.das]\nurl = 'http://{address}/logs'\n"),
        numbers: |seen| {
            let seq = |event: Value| event["custom"]["seq"].as_u64().unwrap();
            let numbers = events(seen).into_iter().map(seq);
            numbers.map(|seq| (seq, seq)).collect()
        },
        is_for: is_decision,
    });
}

/// What is not told in words is told by number: `more` are between `first` and `last`.
#[test]
fn a_kill_at_any_step_of_a_webhook_loses_nothing() {
    killed(&Kind {
        name: "webhook.hook",
        section: |address, files| {
            let url = files.join("url");
            std::fs::write(&url, format!("http://{address}/hook")).unwrap();
            format!(
                "[ship.webhook.hook]\nshape = 'json'\nfrom = 'beginning'\nverdict = ['allow', 'deny']\n\
                 per_minute = 600\nurl_file = '{}'\n",
                url.display()
            )
        },
        numbers: |seen| {
            let message = |seen: &Seen| serde_json::from_slice::<Value>(&seen.body).unwrap();
            let number = |value: &Value| value.as_u64().unwrap();
            seen.iter()
                .map(message)
                .map(|it| (number(&it["first"]), number(&it["last"])))
                .collect()
        },
        is_for: is_decision,
    });
}

fn killed(kind: &Kind) {
    let round = Arc::new(AtomicUsize::new(0));
    let now = round.clone();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let keep = taken.clone();
    let (asked, arrivals) = std::sync::mpsc::channel();
    let asked = Mutex::new(asked);
    // In some rounds it takes them, in others not, in others it takes them and says nothing.
    let server = Upstream::answering_all(move |seen| {
        let round = now.load(Ordering::Relaxed);
        asked.lock().unwrap().send(round).unwrap_or(());
        match round % 3 {
            0 => {
                keep.lock().unwrap().push(seen.clone());
                TAKEN.to_vec()
            }
            1 => BUSY.to_vec(),
            _ => {
                keep.lock().unwrap().push(seen.clone());
                Vec::new()
            }
        }
    });
    let upstream = Upstream::lenient();
    let files = tempfile::tempdir().unwrap();
    // Many starts, while other tests run.
    let section = (kind.section)(server.address, files.path());
    let config = section + "[policies]\ntime_limit = '10s'\n";
    let mut directory = tempfile::tempdir().unwrap();
    for number in 0..KILLS {
        round.store(number, Ordering::Relaxed);
        let gate = shipping(directory, upstream.address, &config);
        for _ in 0..=number % 4 {
            assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        }
        wait(&gate, kind.name, number, &arrivals);
        directory = gate.crash();
        let cursor = directory
            .path()
            .join("journal/shipped")
            .with_extension(kind.name);
        assert!(cursor.exists());
        // What a kill between two steps of writing it would leave.
        match number {
            4 => {
                let half =
                    cursor.with_extension(format!("{}.new", kind.name.rsplit('.').next().unwrap()));
                std::fs::write(half, "{\"se").unwrap();
            }
            8 => std::fs::write(&cursor, "").unwrap(),
            _ => {}
        }
    }
    round.store(0, Ordering::Relaxed);
    let mut gate = shipping(directory, upstream.address, &config);
    gate.signal("TERM");
    assert!(gate.wait().success());
    arrived(kind, &gate, &taken.lock().unwrap());
    verify(&gate.journal());
}

/// Until the first message of this round has come, or one of the next, as far as there are so many: a quick gate sends
/// more in one.
fn wait(gate: &Gate, name: &str, number: usize, arrivals: &Receiver<usize>) {
    let mut patience = Duration::from_mins(1);
    let mut more = 1 + usize::from(number.is_multiple_of(3)) * (number % 4);
    while more > 0 {
        match arrivals.recv_timeout(patience) {
            Ok(of) if of == number => {
                more -= 1;
                patience = Duration::from_secs(1);
            }
            Ok(_late) => {}
            Err(silence) => {
                assert!(patience.as_secs() == 1, "no message: {silence}");
                break;
            }
        }
        if gate.journal().join(format!("shipped.{name}.new")).exists() {
            break;
        }
    }
}

/// Each record has, and none came first before those before it had come.
fn arrived(kind: &Kind, gate: &Gate, taken: &[Seen]) {
    let wanted: Vec<u64> = lines(&gate.journal())
        .into_iter()
        .filter(|(_, line)| (kind.is_for)(&serde_json::from_str(line).unwrap()))
        .map(|(seq, _)| seq)
        .collect();
    let mut next = 0;
    for (first, last) in (kind.numbers)(taken) {
        assert!(first <= last && wanted.contains(&first) && wanted.contains(&last));
        let place = wanted.iter().position(|seq| *seq == first).unwrap();
        assert!(
            place <= next,
            "{}: {first} comes before {}",
            kind.name,
            wanted[next]
        );
        let end = wanted.iter().position(|seq| *seq == last).unwrap() + 1;
        next = next.max(end);
    }
    assert_eq!(next, wanted.len(), "{}", kind.name);
}

//! What survives a kill: no change reaches the upstream without a decision that is still there afterwards.
//!
//! The program is killed by SIGKILL, so only the kernel keeps what was written; a power failure is not
//! tried here.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::{Gate, TOKEN, Upstream, read_answer, records, verify};

/// How often the program is killed.
const KILLS: usize = 50;

/// Clients that send at the same time.
const CLIENTS: usize = 4;

#[test]
fn promise_3_no_change_that_the_upstream_saw_lost_its_record_to_a_kill() {
    let (arrived, arrivals) = mpsc::channel();
    let arrived = Mutex::new(arrived);
    let upstream = Upstream::answering(move |seen| {
        drop(arrived.lock().unwrap().send(name(&seen.body)));
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let mut directory = tempfile::tempdir().unwrap();
    let answered = Mutex::new(Vec::new());
    for round in 0..KILLS {
        let gate = Gate::start(directory, upstream.address, &[]);
        let (address, number) = (gate.address, AtomicUsize::new(0));
        directory = std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| put_until_killed(address, round, &number, &answered));
            }
            let mark = format!("payments-prod-r{round}-");
            let mut missing = 1 + round % 9;
            while missing > 0 {
                let name = arrivals.recv_timeout(Duration::from_secs(30)).unwrap();
                // What a killed gate sent last may arrive late.
                missing -= usize::from(name.starts_with(&mark));
            }
            gate.crash()
        });
    }
    // One more start recovers the journal; what it stops with is whole.
    let mut gate = Gate::start(directory, upstream.address, &[]);
    gate.signal("TERM");
    assert!(gate.wait().success());
    verify(&gate.journal());

    let records = gate.records();
    let of_kind = |kind: &'static str| records.iter().filter(move |record| record["kind"] == kind);
    assert_eq!(of_kind("start").count(), KILLS + 1);
    let decided: HashMap<&str, &Value> = of_kind("decision")
        .filter(|record| record["verdict"] == "allow")
        .map(|record| {
            let forwarded = record["request"]["forwarded_sha256"].as_str().unwrap();
            (forwarded, record)
        })
        .collect();
    let seen = upstream.seen();
    assert!(seen.len() >= KILLS, "only {} requests", seen.len());
    for seen in seen {
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&seen.body));
        assert!(
            decided.contains_key(digest.as_str()),
            "{} went upstream unrecorded",
            name(&seen.body)
        );
    }

    // Whoever got an answer finds its outcome; an outcome that is missing is named in doubt, once, by the next start.
    let finished: HashSet<&str> = of_kind("outcome")
        .map(|record| record["decision_id"].as_str().unwrap())
        .collect();
    for id in answered.into_inner().unwrap() {
        assert!(finished.contains(id.as_str()), "{id} has no outcome");
    }
    let doubted: HashSet<&str> = of_kind("start")
        .flat_map(|record| record["in_doubt"].as_array().unwrap())
        .map(|id| id.as_str().unwrap())
        .collect();
    for record in decided.values() {
        let id = record["decision_id"].as_str().unwrap();
        assert_ne!(finished.contains(id), doubted.contains(id), "{record}");
    }
}

#[test]
fn a_half_written_record_is_set_aside_by_the_next_start() {
    let upstream = Upstream::lenient();
    let gate = crate::harness::gate(upstream.address);
    assert_eq!(
        gate.send("PUT", TOKEN, &change("payments-prod-1")).status,
        204
    );
    let directory = gate.crash();
    let journal = directory.path().join("journal");
    let before = records(&journal).len();
    let segment = journal.join("00000000000000000001.jsonl");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(segment)
        .unwrap();
    file.write_all(br#"{"kind":"decision","timest"#).unwrap();

    let gate = Gate::start(directory, upstream.address, &[]);
    let records = gate.records();
    assert_eq!(records[before]["kind"], "recovery");
    let aside = records[before]["set_aside"].as_str().unwrap();
    assert_eq!(
        std::fs::read_to_string(journal.join(aside)).unwrap(),
        r#"{"kind":"decision","timest"#
    );
    assert_eq!(records[before + 1]["kind"], "start");
    assert_eq!(
        gate.send("PUT", TOKEN, &change("payments-prod-2")).status,
        204
    );
    verify(&journal);
}

/// Sends one change after the other until the gate is gone, and keeps the decisions that were answered.
fn put_until_killed(
    address: SocketAddr,
    round: usize,
    number: &AtomicUsize,
    answered: &Mutex<Vec<String>>,
) {
    loop {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let body = change(&format!("payments-prod-r{round}-{number}"));
        let Some(answer) = put(address, &body) else {
            return;
        };
        assert_eq!(answer.status, 204, "{answer:?}");
        let id = answer.header("dtgate-decision-id").unwrap().to_owned();
        answered.lock().unwrap().push(id);
    }
}

fn put(address: SocketAddr, body: &str) -> Option<crate::harness::Answered> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .write_all(crate::harness::put(body).as_bytes())
        .ok()?;
    read_answer(&mut BufReader::new(stream))
}

fn change(name: &str) -> String {
    format!(r#"{{"name":"{name}","scopes":["metrics.read"]}}"#)
}

fn name(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["name"].as_str().unwrap().to_owned()
}

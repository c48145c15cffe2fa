//! Gates that change the same tokens together, of which one is killed, before a store that is restarted.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Watched, change, start, start_within, token};
use crate::harness::{Answered, Gate, Seen, Simulator, Upstream, eventually, exchange, program};
use crate::postgres::{Database, PASSWORD, Postgres};

/// Of a request with the credential that the simulator knows.
fn request(method: &str, target: &str, body: &Value) -> String {
    let (secret, body) = (Simulator::secret("api tokens"), body.to_string());
    format!(
        "{method} {target} HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token {secret}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn good() -> Value {
    json!({"name": "payments-prod-ci", "scopes": ["metrics.read"]})
}

/// The simulator's answer to a request that came elsewhere.
fn passed_on(to: SocketAddr, seen: &Seen) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    let mut message = format!("{}\r\nconnection: close\r\n", seen.line).into_bytes();
    for (name, value) in &seen.headers {
        write!(message, "{name}: {value}\r\n").unwrap();
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(&seen.body);
    stream.write_all(&message).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Changes tokens in turn, until it was told often enough; `false`: whatever becomes of them.
fn changes(gate: SocketAddr, tokens: &[String], sent: &AtomicUsize, has_to_hold: bool) {
    for _ in 0..15 {
        let number = sent.fetch_add(1, Ordering::SeqCst) % tokens.len();
        let request = request("PUT", &tokens[number], &good());
        if has_to_hold {
            let answer = exchange(gate, request.as_bytes());
            assert_eq!(answer.status, 204, "{answer:?}");
        } else if let Ok(mut stream) = TcpStream::connect(gate) {
            let mut answer = Vec::new();
            let told = stream
                .write_all(request.as_bytes())
                .and_then(|()| stream.shutdown(Shutdown::Write))
                .and_then(|()| stream.read_to_end(&mut answer));
            drop(told);
        }
    }
}

/// The ids of all decisions that an answer over all gates has, each with its gate.
fn asked(database: &Database<'_>) -> BTreeSet<(String, String)> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let output = program()
        .args(["audit", "query", "--format", "json", "--limit", "10000"])
        .args(["--store", &database.url(), "--password-file"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    // Nothing is missing, and nothing is said to be.
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let lines = String::from_utf8(output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|found| {
            (
                text(&found["gate"]),
                text(&found["decision"]["decision_id"]),
            )
        })
        .collect()
}

/// The same by a gate's journal.
fn decided(origin: &str, gate: &Gate) -> BTreeSet<(String, String)> {
    let decisions = gate.decisions().into_iter();
    decisions
        .map(|it| {
            (
                origin.to_owned(),
                it["decision_id"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

/// One is killed, then the store is restarted, while all change the same ten tokens of one simulator.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_no_two_gates_change_one_token_at_once() {
    let simulator = Simulator::start();
    let to = simulator.address;
    let made = |answer: &Answered| {
        assert_eq!(answer.status, 201, "{answer:?}");
        format!(
            "/api/v2/apiTokens/{}",
            answer.json()["id"].as_str().unwrap()
        )
    };
    let create = request("POST", "/api/v2/apiTokens", &good());
    let tokens: Vec<String> = (0..10)
        .map(|_| made(&exchange(to, create.as_bytes())))
        .collect();
    let watched = Watched::of(Upstream::forgetting_all, move |seen| {
        // What is tested is that nobody comes meanwhile.
        std::thread::sleep(Duration::from_millis(30));
        passed_on(to, seen)
    });
    let mut server = Postgres::start();
    let name = server.database().name;
    let names = ["gate-a", "gate-b", "gate-c"];
    let more = "turn_wait = \"30s\"";
    let begin = |directory, origin, server: &Postgres| {
        start(
            directory,
            &watched.upstream,
            &server.named(&name),
            (origin, more),
        )
    };
    let [a, b, c] = names.map(|origin| begin(tempfile::tempdir().unwrap(), origin, &server));
    let (sent, tokens) = (&AtomicUsize::new(0), &tokens);
    let under_way = |more: usize| {
        let before = watched.changes.load(Ordering::SeqCst);
        eventually("changes are under way", || {
            (watched.changes.load(Ordering::SeqCst) >= before + more).then_some(())
        });
    };
    let third = std::thread::scope(|scope| {
        for gate in [&a, &b, &c] {
            let (address, has_to_hold) = (gate.address, gate.address != c.address);
            for _ in 0..4 {
                scope.spawn(move || changes(address, tokens, sent, has_to_hold));
            }
        }
        under_way(40);
        c.crash()
    });
    std::thread::scope(|scope| {
        for gate in [&a, &b] {
            let address = gate.address;
            for _ in 0..4 {
                scope.spawn(move || changes(address, tokens, sent, true));
            }
        }
        under_way(20);
        server.stop("immediate");
        server.start_again();
    });
    assert_eq!(*watched.overlaps.lock().unwrap(), [""; 0]);
    // The third comes back, and all that they have recorded is there, once.
    let c = begin(third, "gate-c", &server);
    let mut all = BTreeSet::new();
    for (origin, mut gate) in names.iter().zip([a, b, c]) {
        gate.signal("TERM");
        assert!(gate.wait().success());
        crate::store::holds(&server.named(&name), origin, &gate.journal());
        all.extend(decided(origin, &gate));
    }
    assert!(all.len() >= 200, "{}", all.len());
    assert_eq!(asked(&server.named(&name)), all);
    // Nobody has to wait for a gate that ended as it should.
    let left = "SELECT count(*) FROM dtgate.turn WHERE until > '-infinity' AND gate <> 'gate-c'";
    assert_eq!(server.named(&name).sql(left), "0");
}

/// All locks are gone with the server; what a gate was doing is not.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_change_that_lasts_over_a_restart_of_the_store_keeps_its_turn() {
    let goes_on = Arc::new((Mutex::new(false), Condvar::new()));
    let waits = goes_on.clone();
    let watched = Watched::of(Upstream::forgetting, move |_| {
        let (told, is_told) = &*waits;
        let told = told.lock().unwrap();
        drop(is_told.wait_while(told, |told| !*told).unwrap());
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let mut server = Postgres::start();
    let name = server.database().name;
    let [a, b] = ["gate-a", "gate-b"].map(|origin| {
        let of = (origin, "turn_wait = \"60s\"");
        let (directory, database) = (tempfile::tempdir().unwrap(), server.named(&name));
        start_within(directory, &watched.upstream, &database, of, "60s")
    });
    std::thread::scope(|scope| {
        scope.spawn(|| change(a.address, &token(0)));
        let held = "SELECT gate FROM dtgate.turn WHERE until > clock_timestamp()";
        eventually("one has the turn", || {
            (server.named(&name).asked(held).as_deref() == Ok("gate-a")).then_some(())
        });
        server.stop("immediate");
        server.start_again();
        scope.spawn(|| change(b.address, &token(0)));
        let wanted = "SELECT wanted_by FROM dtgate.turn WHERE wanted > pg_postmaster_start_time()";
        eventually("the other one waits for it", || {
            (server.named(&name).asked(wanted).as_deref() == Ok("gate-b")).then_some(())
        });
        let (told, is_told) = &*goes_on;
        *told.lock().unwrap() = true;
        is_told.notify_all();
    });
    assert_eq!(*watched.overlaps.lock().unwrap(), [""; 0]);
    assert_eq!(watched.changes.load(Ordering::SeqCst), 2);
}

//! Everybody at once: all attackers, each from an address of its own, while honest clients do their work.
//!
//! The attackers go on until the honest clients have done a stated number of requests; no clock ends a phase.
//! How long the honest ones waited is printed, not asserted, and says more the more they ask:
//! `DTGATE_REQUESTS=150 cargo test --test it soak -- --nocapture`.

mod attackers;

use std::any::Any;
use std::collections::VecDeque;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    GOOD, Gate, Upstream, eventually, exchange, from, gate, put, read_answer, records, verify,
};

/// What attackers share: where to go, what they keep open, how far the honest clients are.
pub(crate) struct Ground {
    gate: SocketAddr,
    admin: SocketAddr,
    /// Requests that honest clients have had their answer to while the attack lasts; `None` when it is over.
    done: Mutex<Option<usize>>,
    moved: Condvar,
    invented: AtomicUsize,
    /// The newest of what was begun and is not ended: the oldest makes room.
    held: Mutex<VecDeque<Box<dyn Any + Send>>>,
}

impl Ground {
    /// One more honest request is answered.
    fn answered(&self) {
        let mut done = self.done.lock().unwrap();
        *done = done.map(|done| done + 1);
        self.moved.notify_all();
    }

    fn end(&self) {
        *self.done.lock().unwrap() = None;
        self.moved.notify_all();
    }

    /// Waits until an attacker who has had so many turns may have one more: some for every honest request, so that
    /// how much is attacked is a number and no matter of the machine. False when the attack is over.
    fn may_go_on(&self, turns: usize) -> bool {
        let early = |done: &mut Option<usize>| done.is_some_and(|done| turns > done * TURNS);
        let waited = self.moved.wait_while(self.done.lock().unwrap(), early);
        waited.unwrap().is_some()
    }

    fn hold(&self, open: impl Any + Send) {
        let mut held = self.held.lock().unwrap();
        if held.len() >= MOST_HELD {
            held.pop_front();
        }
        held.push_back(Box::new(open));
    }

    /// A number that was never given before.
    fn invented(&self) -> usize {
        self.invented.fetch_add(1, Ordering::Relaxed)
    }
}

#[test]
fn honest_clients_get_every_answer_while_everybody_attacks() {
    let upstream = Upstream::answering(|seen| {
        if seen.line.contains("/large") {
            return answer(&"x".repeat(20 * 1024));
        }
        if seen.line.starts_with("GET ") {
            return answer("{}");
        }
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let gate = gate(upstream.address);
    let before = work(gate.address, &|| ());
    let descriptors = descriptors(&gate);
    let (first, after_first) = (attack(&gate), memory(&gate));
    let (second, after_second) = (attack(&gate), memory(&gate));
    let after = work(gate.address, &|| ());
    for (when, took) in [
        ("before", &before),
        ("first attack", &first),
        ("second attack", &second),
        ("after", &after),
    ] {
        eprintln!("{when:>13}: open {}, guarded {}", took.open, took.guarded);
    }
    eventually("descriptors are back", || {
        (self::descriptors(&gate) <= descriptors + 8).then_some(())
    });
    // The allocator keeps what was needed once; another attack needs no more.
    let (mib, more) = (1 << 20, after_second.saturating_sub(after_first));
    eprintln!(
        "memory: {} MiB, then {} MiB more",
        after_first / mib,
        more / mib
    );
    assert!(more < 32 * mib, "{more} bytes more");
    assert_eq!(gate.ready().status, 200);
    for nothing in ["dtgate_panics_total", "dtgate_log_dropped_total"] {
        assert_eq!(metric(&gate, nothing), 0, "{nothing}");
    }
    eventually("nothing is held any more", || {
        let held = [
            "dtgate_connections",
            "dtgate_judge_waiting",
            "dtgate_body_bytes",
        ];
        held.iter()
            .all(|held| metric(&gate, held) == 0)
            .then_some(())
    });
    let journal = gate.journal();
    let honest = records(&journal)
        .iter()
        .filter(|record| is_honest(record))
        .count();
    assert_eq!(honest, 4 * each());
    verify(&journal);
}

/// All attackers at once, while honest clients work and the gate gets signals; how the honest ones fared.
fn attack(gate: &Gate) -> Took {
    let ground = &Ground {
        gate: gate.address,
        admin: gate.admin,
        done: Mutex::new(Some(0)),
        moved: Condvar::new(),
        invented: AtomicUsize::new(0),
        held: Mutex::default(),
    };
    let turns: Vec<AtomicUsize> = attackers::ALL.iter().map(|_| AtomicUsize::new(0)).collect();
    let took = std::thread::scope(|scope| {
        for (attacker, turns) in attackers::ALL.iter().zip(&turns) {
            let from = Ipv4Addr::new(127, 0, 0, attacker.address);
            scope.spawn(move || {
                while ground.may_go_on(turns.load(Ordering::Relaxed)) {
                    (attacker.turn)(ground, from);
                    turns.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Whatever fails, the attackers have to be told that it is over.
        let took = std::panic::catch_unwind(|| {
            let took = work(gate.address, &|| ground.answered());
            for signal in ["HUP", "USR1", "USR2"] {
                gate.signal(signal);
            }
            let healthy = exchange(gate.admin, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(healthy.status, 200);
            took
        });
        ground.end();
        took.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    for (attacker, turns) in attackers::ALL.iter().zip(&turns) {
        let turns = turns.load(Ordering::Relaxed);
        eprintln!("{turns:6} × {}", attacker.name);
        assert!(turns > 0, "{}", attacker.name);
    }
    took
}

/// A metric without labels.
fn metric(gate: &Gate, name: &str) -> u64 {
    let metrics = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut lines = metrics.body.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

/// A decision about a request of the honest client that was allowed.
fn is_honest(record: &Value) -> bool {
    record["kind"] == "decision"
        && record["verdict"] == "allow"
        && record["requested_by"] == HONEST.to_string()
}

/// How long requests took, in milliseconds.
struct Took {
    open: Spread,
    guarded: Spread,
}

struct Spread(Vec<f64>);

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: usize| sorted[(sorted.len() * share / 100).min(sorted.len() - 1)];
        write!(
            f,
            "p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            at(50),
            at(99),
            at(100)
        )
    }
}

/// What honest clients do: so many open requests and so many changes, one after the other, on connections that
/// they keep for ten requests.
fn work(gate: SocketAddr, answered: &(dyn Fn() + Sync)) -> Took {
    let get = "GET /api/v2/metrics HTTP/1.1\r\nHost: gate\r\n\r\n";
    std::thread::scope(|scope| {
        let open = scope.spawn(|| measured(gate, get, 200, answered));
        let guarded = measured(gate, &put(GOOD), 204, answered);
        Took {
            open: open.join().unwrap(),
            guarded,
        }
    })
}

fn measured(gate: SocketAddr, request: &str, status: u16, done: &dyn Fn()) -> Spread {
    let mut took = Vec::with_capacity(each());
    let mut connection = None;
    for number in 0..each() {
        if number % 10 == 0 {
            let stream = from(HONEST, gate).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_mins(1)))
                .unwrap();
            connection = Some(BufReader::new(stream));
        }
        let reader = connection.as_mut().unwrap();
        let begun = Instant::now();
        reader.get_mut().write_all(request.as_bytes()).unwrap();
        let answered = read_answer(reader)
            .unwrap_or_else(|| panic!("no answer to request {number} of {request}"));
        assert_eq!(answered.status, status, "{answered:?}");
        done();
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Spread(took)
}

/// Requests of each kind in each phase.
fn each() -> usize {
    let requests = std::env::var("DTGATE_REQUESTS");
    requests.map_or(50, |number| number.parse().unwrap())
}

fn answer(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Open descriptors of the program.
fn descriptors(gate: &Gate) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", gate.child.id()))
        .unwrap()
        .count()
}

/// Memory of the program that is in use, in bytes.
fn memory(gate: &Gate) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gate.child.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Connections that attackers keep open at most, all together: what this process may open is limited, too.
const MOST_HELD: usize = 600;
/// What an attacker may do for every request of an honest client.
const TURNS: usize = 2;

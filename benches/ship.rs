//! Sinks: `cargo bench --bench ship -- RECORDS` sends so many records of a journal to a receiver on loopback, by each kind
//! of sink; then, while records are written at a steady rate, how far a sink is behind; and what a sink that is down costs
//! whoever writes, and requests through a gate.
//!
//! The receiver answers at once and looks at nothing: it is the gate's side that is measured.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench that cannot begin has to say so, and prints what it measured"
)]

mod gate;

use std::io::{BufReader, BufWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dtgate::ship::{self, Journal, Shipping};
use dtgate::telemetry::Metrics;
use dtgate::value::Sha256Hex;
use serde_json::json;

fn main() {
    let records = std::env::args().find_map(|it| it.parse::<u64>().ok());
    let records = records.unwrap_or(50_000).max(1000);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for kind in ["opa", "otlp", "webhook"] {
            let journal = Written::new();
            let begun = Instant::now();
            let bytes = journal.write(records);
            let wrote = begun.elapsed();
            let to = receiver();
            let begun = Instant::now();
            let shipping = journal.start(&target(kind, to, journal.path()));
            journal.on_disk.store(records, Ordering::Relaxed);
            arrived(&shipping, records).await;
            let rate = records as f64 / begun.elapsed().as_secs_f64();
            println!(
                "{kind:<8} {rate:>9.0} records/s  ({} MiB of journal, written in {:.1} s)",
                bytes >> 20,
                wrote.as_secs_f64()
            );
            shipping.end(Duration::from_secs(10)).await;
        }
        for rate in [100, 1000, 10_000] {
            let (lag, behind) = lag(rate).await;
            println!("otlp     {rate:>6} records/s are written: {behind} behind at most, {lag} ms");
        }
    });
    let beside = [
        ("no sink", None),
        ("a sink that takes", Some(receiver())),
        ("a sink that is down", Some(nowhere())),
        ("a sink that stalls", Some(silent())),
    ];
    for (name, address) in beside {
        let mut took: Vec<u64> = (0..5).map(|_| written_beside(address)).collect();
        took.sort_unstable();
        let [least, _, middle, _, most] = took.try_into().unwrap();
        println!(
            "{name:<20} 20,000 records written and synced by hundreds in {middle} ms ({least} to {most})"
        );
    }
    requests_beside(&beside);
}

/// Changes of tokens through a gate, in turn beside each of the sinks, and how they compare with those beside none.
fn requests_beside(beside: &[(&str, Option<SocketAddr>)]) {
    let upstream = gate::upstream();
    let gates: Vec<gate::Gate> = beside
        .iter()
        .map(|(_, to)| {
            let section = to.map(|to| format!("[ship.otlp.bench]\nurl = 'http://{to}'\n"));
            gate::Gate::start(upstream, &section.unwrap_or_default())
        })
        .collect();
    let clients = 8;
    for gate in &gates {
        gate.serves(clients, WARM);
    }
    let mut all = vec![Vec::new(); beside.len()];
    for round in 0..ROUNDS {
        for place in 0..gates.len() {
            // Not always in the same order.
            let place = (place + round) % gates.len();
            all[place].push(gates[place].serves(clients, TIME));
        }
    }
    for (place, (name, _)) in beside.iter().enumerate() {
        let ratios = all[place].iter().zip(&all[0]);
        let mut ratios: Vec<f64> = ratios
            .map(|(it, none)| it.requests / none.requests)
            .collect();
        ratios.sort_by(f64::total_cmp);
        let middle = |of: fn(&gate::Got) -> f64| {
            let mut numbers: Vec<f64> = all[place].iter().map(of).collect();
            numbers.sort_by(f64::total_cmp);
            numbers[ROUNDS / 2]
        };
        let sum = |of: fn(&gate::Got) -> f64| all[place].iter().map(of).sum::<f64>();
        println!(
            "{name:<20} {:>6.0} changes/s through a gate, {:.2} ms, p99 {:.2} ms, {:.0} µs of processor time each; \
             × no sink {:.3} (quartiles {:.3} to {:.3})",
            middle(|it| it.requests),
            middle(|it| it.median as f64) / 1000.0,
            middle(|it| it.p99 as f64) / 1000.0,
            sum(|it| it.used as f64) * 10_000.0 / sum(|it| it.count as f64),
            ratios[ROUNDS / 2],
            ratios[ROUNDS / 4],
            ratios[ROUNDS * 3 / 4],
        );
    }
}

/// Of each gate, after it has served for a while.
const ROUNDS: usize = 41;
const TIME: Duration = Duration::from_millis(500);
const WARM: Duration = Duration::from_secs(3);

/// A journal as the writer leaves it.
struct Written {
    directory: tempfile::TempDir,
    on_disk: Arc<AtomicU64>,
    prev: std::sync::Mutex<(u64, String)>,
}

impl Written {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            on_disk: Arc::default(),
            prev: std::sync::Mutex::new((0, "0".repeat(64))),
        }
    }

    /// Writes more records; their bytes.
    fn write(&self, records: u64) -> u64 {
        let mut state = self.prev.lock().unwrap();
        let path = self.directory.path().join("00000000000000000001.jsonl");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        let mut file = BufWriter::new(file.unwrap());
        let mut bytes = 0;
        for _ in 0..records {
            let seq = state.0 + 1;
            let line = line(seq, &state.1);
            writeln!(file, "{line}").unwrap();
            bytes += line.len() as u64;
            *state = (seq, Sha256Hex::of(line.as_bytes()).as_str().to_owned());
        }
        file.flush().unwrap();
        bytes
    }

    fn start(&self, config: &str) -> Shipping {
        let on_disk = self.on_disk.clone();
        let journal = Journal {
            directory: self.path().to_owned(),
            origin: "gate.example".to_owned(),
            resource: dtgate::telemetry::otlp::resource(
                None,
                &dtgate::telemetry::otlp::Instance::of("127.0.0.1:8080".parse().unwrap()),
            ),
            on_disk: Arc::new(move || on_disk.load(Ordering::Relaxed)),
            shipped: Arc::new(|_| ()),
        };
        let config = toml::from_str(config).unwrap();
        ship::start(
            &config,
            None,
            &journal,
            &Metrics::new("0"),
            dtgate::app::now,
        )
        .unwrap()
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// About as long as a decision of the shipped policies.
fn line(seq: u64, prev: &str) -> String {
    let scopes: Vec<String> = (0..20)
        .map(|number| format!("scope.number.{number}"))
        .collect();
    json!({
        "seq": seq, "prev": prev, "synced": seq - 1, "kind": "decision",
        "timestamp": "2026-11-24T06:50:48.268Z", "decision_id": format!("01a20c52-49be-7000-8000-{seq:012}"),
        "labels": {"version": "0.1.0"}, "path": "dtgate",
        "input": {"operation": "token.update", "api": "v1", "environment": {"name": "default", "id": "", "data": {}},
            "caller": {"address": "10.1.2.3", "token": {"id": "dt0c01.ABC", "kind": "api-token"}, "teams": []},
            "token": {"id": "d5836312-5790-4e80-afcf-09971954c3ea", "known": true,
                "current": {"name": "payments-prod-ci", "scopes": scopes}},
            "change": {"scopes": {"requested": scopes, "current": scopes, "added": [], "removed": []}, "differs": []}},
        "result": {"allow": true, "violations": []}, "bundles": {"policies": {"revision": "1d2d"}},
        "metrics": {"timer_rego_query_eval_ns": 71_586}, "requested_by": "10.1.2.3", "verdict": "allow",
        "operation": "token.update", "caller": {"id": "dt0c01.ABC", "kind": "api-token"},
        "request": {"id": "01a20c52", "method": "PUT", "path": "/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea",
            "received_sha256": prev, "forwarded_sha256": prev},
    })
    .to_string()
}

fn target(kind: &str, to: SocketAddr, files: &Path) -> String {
    if kind != "webhook" {
        return format!("[{kind}.bench]\nurl = 'http://{to}'\n");
    }
    let url = files.join("url");
    std::fs::write(&url, format!("http://{to}/hook")).unwrap();
    let url = url.display();
    format!(
        "[webhook.bench]\nshape = 'slack'\nurl_file = '{url}'\nfrom = 'beginning'\nverdict = ['allow']\nper_minute = 600\n"
    )
}

async fn arrived(shipping: &Shipping, records: u64) {
    while shipping
        .state()
        .load(records)
        .iter()
        .any(|it| it.behind > 0)
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// How far a sink is behind at most, in milliseconds and in records, while so many are written a second, for two seconds.
async fn lag(rate: u64) -> (u128, u64) {
    let journal = Written::new();
    let shipping = journal.start(&target("otlp", receiver(), journal.path()));
    let (mut written, mut most, mut longest) = (0, 0, 0);
    let (begun, mut complete) = (Instant::now(), Instant::now());
    while begun.elapsed() < Duration::from_secs(2) {
        let due = u64::try_from(begun.elapsed().as_millis()).unwrap() * rate / 1000;
        if due > written {
            journal.write(due - written);
            written = due;
            journal.on_disk.store(written, Ordering::Relaxed);
        }
        let load = shipping.state().load(written);
        let behind: u64 = load.iter().map(|it| it.behind).sum();
        if behind == 0 {
            complete = Instant::now();
        }
        most = most.max(behind);
        longest = longest.max(complete.elapsed().as_millis());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    shipping.end(Duration::from_secs(10)).await;
    (longest, most)
}

/// Milliseconds to write and sync records while a sink is there, or none.
fn written_beside(to: Option<SocketAddr>) -> u64 {
    let journal = Written::new();
    let shipping = to.map(|to| journal.start(&target("otlp", to, journal.path())));
    let begun = Instant::now();
    for batch in 1..=200 {
        journal.write(100);
        let file = std::fs::File::open(journal.path().join("00000000000000000001.jsonl"));
        file.unwrap().sync_data().unwrap();
        journal.on_disk.store(batch * 100, Ordering::Relaxed);
    }
    let took = begun.elapsed();
    drop(shipping);
    u64::try_from(took.as_millis()).unwrap()
}

/// Takes everything, and looks at nothing.
fn receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || take(stream));
        }
    });
    address
}

fn take(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        gate::message(&mut reader)?;
        writer
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .ok()?;
    }
}

/// Where nobody listens.
fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Takes connections, and nothing else.
fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::mem::forget(listener);
    address
}

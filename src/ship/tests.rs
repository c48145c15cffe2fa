//! What arrives, whatever the server does.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::value::Sha256Hex;

mod events;
mod fault;
mod refused;

/// A journal as the writer leaves it, without the writer.
pub(super) struct Written {
    directory: TempDir,
    last: Arc<AtomicU64>,
    prev: String,
}

impl Written {
    pub(super) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            last: Arc::default(),
            prev: "0".repeat(64),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Records more decisions: denials, and every third is allowed.
    fn record(&mut self, records: u64) {
        for _ in 0..records {
            let seq = self.last.load(Ordering::Relaxed) + 1;
            let record = decision(
                seq,
                if seq.is_multiple_of(3) {
                    "allow"
                } else {
                    "deny"
                },
            );
            self.write(record);
        }
    }

    /// Records anything.
    pub(super) fn write(&mut self, record: Value) {
        let seq = self.last.load(Ordering::Relaxed) + 1;
        let mut members = json!({"seq": seq, "prev": self.prev, "synced": seq - 1});
        let Value::Object(rest) = record else {
            panic!("{record}");
        };
        members.as_object_mut().unwrap().extend(rest);
        let line = members.to_string();
        self.prev = Sha256Hex::of(line.as_bytes()).as_str().to_owned();
        let path = self.path().join("00000000000000000001.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(path);
        writeln!(file.unwrap(), "{line}").unwrap();
        self.last.store(seq, Ordering::Relaxed);
    }

    fn start(&self, config: &str) -> (Shipping, Metrics) {
        self.start_told(config, Arc::new(|_| ()))
    }

    fn start_told(
        &self,
        config: &str,
        shipped: Arc<dyn Fn(u64) + Send + Sync>,
    ) -> (Shipping, Metrics) {
        self.start_at(config, shipped, || Timestamp::UNIX_EPOCH)
    }

    fn start_at(
        &self,
        config: &str,
        shipped: Arc<dyn Fn(u64) + Send + Sync>,
        now: fn() -> Timestamp,
    ) -> (Shipping, Metrics) {
        let last = self.last.clone();
        let journal = Journal {
            directory: self.path().to_owned(),
            origin: "gate.example/journal".to_owned(),
            resource: Resource::default(),
            on_disk: Arc::new(move || last.load(Ordering::Relaxed)),
            shipped,
        };
        let metrics = Metrics::new("0");
        let config = toml::from_str(config).unwrap();
        (
            start(&config, None, &journal, &metrics, now).unwrap(),
            metrics,
        )
    }
}

/// A decision as the gate records it.
pub(super) fn decision(number: u64, verdict: &str) -> Value {
    let violations = match verdict {
        "deny" => {
            json!([{"policy": "forbidden_scopes", "mode": "enforce", "rule": "deny", "code": "forbidden-scope",
            "message": "scope \"WriteConfig\" may not be granted", "path": "scopes[0]"}])
        }
        _ => json!([]),
    };
    json!({
        "kind": "decision", "timestamp": "2026-11-24T06:50:48.268Z", "decision_id": format!("id-{number}"),
        "labels": {"version": "0.1.0"}, "path": "dtgate",
        "input": {"operation": "token.update", "environment": {"name": "prod"},
            "token": {"id": "d5836312", "known": true, "current": {"name": "payments-prod-ci"}}},
        "result": {"allow": verdict == "allow", "violations": violations},
        "bundles": {"policies": {"revision": "1d2d"}}, "metrics": {"timer_rego_query_eval_ns": 715_862},
        "requested_by": "10.1.2.3", "verdict": verdict, "operation": "token.update",
        "caller": {"id": "dt0c01.abc123", "kind": "api-token", "teams": ["payments"]},
        "request": {"id": "r-1", "method": "PUT", "path": "/api/v1/tokens/d5836312", "received_sha256": null,
            "forwarded_sha256": null},
    })
}

/// What a receiver does with a message.
#[derive(Clone, Copy)]
pub(super) enum Does {
    /// Answers: everything behind `HTTP/1.1 `, up to the end of the head.
    Answer(&'static str),
    /// Nothing, until the other side gives up.
    Stall,
    /// Breaks off in the middle of its answer.
    Break,
    /// Does not even read it.
    Close,
    /// Answers with a head that promises a body, which comes as `X-Body` says: all of it, a part, or nothing.
    Begin(&'static str),
}

pub(super) const TAKEN: Does = Does::Answer("200 OK");

/// A message as it came.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) line: String,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Got {
    /// The ids of the decisions in it, of OPA's log.
    fn ids(&self) -> Vec<String> {
        let mut text = String::new();
        let mut gzip = GzDecoder::new(&*self.body);
        gzip.read_to_string(&mut text).unwrap();
        let events: Vec<Value> = serde_json::from_str(&text).unwrap();
        let id = |event: &Value| event["decision_id"].as_str().unwrap().to_owned();
        events.iter().map(id).collect()
    }
}

/// A server that keeps what it takes.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    taken: Arc<Mutex<Vec<Got>>>,
    asked: Arc<AtomicU64>,
    does: Arc<Mutex<Act>>,
}

type Act = Box<dyn Fn(&Got) -> Does + Send>;

impl Receiver {
    pub(super) fn new(does: impl Fn(&Got) -> Does + Send + 'static) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap(), does)
    }

    fn at(listener: TcpListener, does: impl Fn(&Got) -> Does + Send + 'static) -> Self {
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            taken: Arc::default(),
            asked: Arc::default(),
            does: Arc::new(Mutex::new(Box::new(does))),
        };
        let (taken, asked) = (receiver.taken.clone(), receiver.asked.clone());
        let does = receiver.does.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (taken, asked, does) = (taken.clone(), asked.clone(), does.clone());
                std::thread::spawn(move || serve(stream, &taken, &asked, &does));
            }
        });
        receiver
    }

    pub(super) fn does_now(&self, does: impl Fn(&Got) -> Does + Send + 'static) {
        *self.does.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(does);
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// What was answered with success.
    pub(super) fn taken(&self) -> Vec<Got> {
        self.taken.lock().unwrap().clone()
    }

    /// The same, each once: on a busy machine an answer may come too late.
    fn firsts(&self) -> Vec<String> {
        let mut firsts = Vec::new();
        for id in self.ids() {
            if !firsts.contains(&id) {
                firsts.push(id);
            }
        }
        firsts
    }

    /// The ids of all decisions that were taken.
    fn ids(&self) -> Vec<String> {
        self.taken().iter().flat_map(Got::ids).collect()
    }
}

fn serve(stream: TcpStream, taken: &Mutex<Vec<Got>>, asked: &AtomicU64, does: &Mutex<Act>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    let (mut line, mut head) = (String::new(), String::new());
    if reader.read_line(&mut line).is_err() {
        return;
    }
    while !head.ends_with("\r\n\r\n") && head != "\r\n" {
        if !matches!(reader.read_line(&mut head), Ok(1..)) {
            return;
        }
    }
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length = length.split('\r').next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    let act = |got: &Got| does.lock().unwrap_or_else(PoisonError::into_inner)(got);
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let got = Got {
        line: line.trim_end().to_owned(),
        head,
        body,
    };
    let does = act(&got);
    if matches!(does, Does::Answer(text) | Does::Begin(text) if text.starts_with('2')) {
        taken.lock().unwrap().push(got);
    }
    asked.fetch_add(1, Ordering::Relaxed);
    match does {
        Does::Answer(text) => {
            let answer = format!("HTTP/1.1 {text}\r\nContent-Length: 0\r\n\r\n");
            drop(writer.write_all(answer.as_bytes()));
        }
        Does::Break => drop(writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Le")),
        Does::Close => {}
        Does::Begin(head) => {
            let head_only = format!("HTTP/1.1 {head}\r\n\r\n");
            drop(writer.write_all(head_only.as_bytes()));
            match head.rsplit(' ').next() {
                Some("long") => while writer.write_all(&[b'x'; 4096]).is_ok() {},
                Some("cut") => drop(writer.write_all(b"x")),
                _ => drop(reader.read_to_end(&mut Vec::new())),
            }
        }
        // Until it is closed over there.
        Does::Stall => drop(reader.read_to_end(&mut Vec::new())),
    }
}

/// Waits for what another thread does; two minutes at most, as a machine may have much else to do.
pub(super) async fn until(what: &str, happened: impl Fn() -> bool) {
    let waiting = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(2), waiting).await;
    waited.unwrap_or_else(|_late| panic!("never: {what}"));
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    let id = |number| format!("id-{number}");
    numbers.into_iter().map(id).collect()
}

fn opa(name: &str, address: SocketAddr, more: &str) -> String {
    format!("[opa.{name}]\nurl = 'http://{address}/logs'\n{more}\n")
}

fn counted(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.encode();
    let found = text.lines().find_map(|line| {
        let line = line.strip_prefix(name)?;
        line.rsplit(' ').next()?.parse().ok()
    });
    found.unwrap_or_default()
}

const WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn every_record_arrives_whatever_the_server_does() {
    let mut journal = Written::new();
    let server = Receiver::new(|_| TAKEN);
    let config = opa("das", server.address, "timeout = '2s'");
    let (shipping, metrics) = journal.start(&config);
    let mut failures = 0;
    for does in [
        Does::Answer("500 Internal Server Error"),
        Does::Answer("502 Bad Gateway"),
        Does::Answer("503 Service Unavailable\r\nRetry-After: 0"),
        Does::Answer("429 Too Many Requests\r\nRetry-After: 1"),
        Does::Answer("401 Unauthorized"),
        Does::Answer("403 Forbidden"),
        Does::Answer("404 Not Found"),
        Does::Answer("302 Found\r\nLocation: /login"),
        Does::Answer("413 Payload Too Large"),
        Does::Answer("400 Bad Request"),
        Does::Stall,
        Does::Break,
        Does::Close,
    ] {
        let asked = server.asked();
        server.does_now(move |_| does);
        journal.record(3);
        until("it is asked", || server.asked() > asked).await;
        server.does_now(|_| TAKEN);
        let all = journal.last.load(Ordering::Relaxed);
        until("they arrive", || server.firsts().len() as u64 >= all).await;
        let now = counted(&metrics, "dtgate_sink_failures_total");
        // One that is split does not count as long as there is more than one.
        assert!(now >= failures);
        failures = now;
    }
    assert!(failures >= 10, "{failures}");
    assert_eq!(server.firsts(), ids(1..=39));
    until("all are counted", || {
        counted(&metrics, "dtgate_sink_records_total") == 39
    })
    .await;
    assert_eq!(counted(&metrics, "dtgate_sink_missing_records_total"), 0);
    shipping.end(WITHIN).await;
}

#[tokio::test]
async fn a_server_that_is_gone_and_comes_back_gets_everything() {
    for _ in 0..20 {
        let mut journal = Written::new();
        let address = {
            let gone = TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        let (shipping, _) = journal.start(&opa("das", address, ""));
        journal.record(2500);
        let state = shipping.state();
        until("it is said", || state.all()["opa.das"].error.is_some()).await;
        let load = state.load(2500);
        assert_eq!((load[0].sink.as_str(), load[0].behind), ("opa.das", 2500));
        let Ok(listener) = TcpListener::bind(address) else {
            // Another test has got the port.
            shipping.end(Duration::ZERO).await;
            continue;
        };
        let server = Receiver::at(listener, |_| TAKEN);
        until("all arrive", || server.ids().len() == 2500).await;
        assert_eq!(server.ids(), ids(1..=2500));
        until("it is well", || state.all()["opa.das"].error.is_none()).await;
        let told = state.all().remove("opa.das").unwrap();
        assert_eq!((told.seq, told.at.is_some()), (2500, true));
        shipping.end(WITHIN).await;
        return;
    }
    panic!("there is no port that stays free");
}

#[tokio::test]
async fn one_that_stalls_delays_no_other_and_holds_the_end_no_longer_than_it_may() {
    let mut journal = Written::new();
    let (slow, quick) = (Receiver::new(|_| Does::Stall), Receiver::new(|_| TAKEN));
    let config = opa("slow", slow.address, "timeout = '1h'") + &opa("quick", quick.address, "");
    let told = Arc::new(AtomicU64::new(u64::MAX));
    let least = told.clone();
    let shipped = move |seq| least.store(seq, Ordering::Relaxed);
    let (shipping, _) = journal.start_told(&config, Arc::new(shipped));
    journal.record(1);
    until("the slow one has it", || slow.asked() == 1).await;
    journal.record(30);
    until("the quick one has all", || quick.ids().len() == 31).await;
    // Retention waits for the slow one.
    assert_eq!(told.load(Ordering::Relaxed), 0);
    // It would take an hour.
    shipping.end(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn a_restart_goes_on_and_the_end_sends_what_is_left() {
    let mut journal = Written::new();
    let server = Receiver::new(|_| TAKEN);
    let config = opa("das", server.address, "");
    for number in 1..=4 {
        let (shipping, _) = journal.start(&config);
        journal.record(5);
        shipping.end(WITHIN).await;
        assert_eq!(server.ids(), ids(1..=number * 5));
    }
}

#[tokio::test]
async fn a_record_that_is_refused_for_what_it_is_waits_or_is_left_out() {
    let mut journal = Written::new();
    let refuses = |got: &Got| {
        if got.ids().contains(&"id-7".to_owned()) {
            Does::Answer("413 Payload Too Large")
        } else {
            TAKEN
        }
    };
    let (waits, skips) = (Receiver::new(refuses), Receiver::new(refuses));
    let config = opa("waits", waits.address, "") + &opa("skips", skips.address, "refused = 'skip'");
    journal.record(20);
    let (shipping, metrics) = journal.start(&config);
    until("it is left out", || skips.firsts().len() == 19).await;
    let others = ids((1..=20).filter(|number| *number != 7));
    assert_eq!(skips.firsts(), others);
    // One of them came once more, to tell the record from the server.
    assert_eq!(skips.ids().len(), 20);
    let missing = counted(
        &metrics,
        r#"dtgate_sink_missing_records_total{sink="opa.skips"}"#,
    );
    assert_eq!(missing, 1);
    let state = shipping.state();
    until("the other stops there", || {
        let error = state.all()["opa.waits"].error.clone();
        error.is_some_and(|error| error.starts_with("record 7: the answer is 413"))
    })
    .await;
    assert_eq!(waits.ids(), ids(1..=6));
    // And goes on when the server takes it.
    waits.does_now(|_| TAKEN);
    until("it goes on", || waits.ids().len() == 20).await;
    assert_eq!(waits.ids(), ids(1..=20));
    shipping.end(WITHIN).await;
}

#[tokio::test]
async fn now_begins_with_the_start_and_the_next_start_goes_on_from_there() {
    let mut journal = Written::new();
    let server = Receiver::new(|_| Does::Answer("503 Service Unavailable"));
    let config = opa("das", server.address, "from = 'now'");
    journal.record(5);
    let (shipping, _) = journal.start(&config);
    journal.record(2);
    until("it is asked", || server.asked() > 0).await;
    shipping.end(Duration::ZERO).await;
    // Nothing had arrived; it begins no later for that.
    server.does_now(|_| TAKEN);
    journal.record(1);
    let (shipping, _) = journal.start(&config);
    shipping.end(WITHIN).await;
    let got = server.ids();
    assert!(got.ends_with(&ids(6..=8)), "{got:?}");
    assert!(!got.contains(&"id-5".to_owned()), "{got:?}");
}

#[tokio::test]
async fn what_has_arrived_everywhere_is_told() {
    let mut journal = Written::new();
    let [one, other] = [(); 2].map(|()| Receiver::new(|_| TAKEN));
    let told = Arc::new(Mutex::new(Vec::new()));
    let keep = told.clone();
    let config = opa("one", one.address, "") + &opa("other", other.address, "");
    let shipped = move |seq| keep.lock().unwrap().push(seq);
    let (shipping, _) = journal.start_told(&config, Arc::new(shipped));
    journal.record(4);
    shipping.end(WITHIN).await;
    let told = told.lock().unwrap().clone();
    assert_eq!(told.first(), Some(&0));
    assert!(told.is_sorted() && told.last() == Some(&4), "{told:?}");
}

#[test]
fn what_may_not_be_meant_is_said_and_mistakes_are_refused() {
    let told = |text: &str| {
        let config: Config = toml::from_str(text).unwrap();
        let told = doubts(&config).into_iter();
        told.map(|(keys, reason)| format!("{}: {reason}", keys.join(".")))
            .collect::<Vec<_>>()
    };
    let hook = "[webhook.a]\nurl_file = 'a'\nshape = 'slack'\n";
    for (text, wanted) in [
        (
            "[opa.a]\nurl = 'http://a/logs'",
            "opa.a.url: records cross the network readable",
        ),
        (
            "[otlp.a]\nurl = 'http://127.0.0.1:4317'",
            "otlp.a.url: 4317 is the port",
        ),
        (
            "[otlp.a]\nurl = 'https://x.live.dynatrace.com/api/v2/otlp'",
            "otlp.a: this looks like Dynatrace's",
        ),
        (
            "[opa.a]\nurl = 'http://localhost'\nca = 'a'",
            "opa.a.ca: it is never used",
        ),
        (
            "[opa.a]\nurl = 'http://localhost'\nproxy = 'http://p:1'",
            "opa.a.proxy: it is never used",
        ),
        (
            &format!("{hook}verdict = []"),
            "webhook.a.verdict: an empty list",
        ),
        (&format!("{hook}kind = []"), "webhook.a.kind: an empty list"),
        (
            &format!("{hook}verdict = ['allow', 'deny']"),
            "webhook.a.verdict: people are told",
        ),
        (
            &format!("{hook}kind = ['recovery']\npolicy = ['a']"),
            "webhook.a.kind: nothing is selected",
        ),
    ] {
        let told = told(text);
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{told:?}");
    }
    for text in [
        hook,
        "[opa.a]\nurl = 'https://a/logs'",
        "[otlp.a]\nurl = 'http://127.0.0.1:4318'",
        "[otlp.a]\nurl = 'https://x.live.dynatrace.com/api/v2/otlp'\nrefused = 'skip'",
    ] {
        assert_eq!(told(text), [""; 0], "{text}");
    }
    for wrong in [
        "[opa.a]",
        "[opa.a]\nurl = 'https://a?hunter2'",
        "[opa.a]\nurl = 'https://u:hunter2@a'",
        "[opa.'a.b']\nurl = 'https://a'",
        "[webhook.a]\nurl_file = 'a'\nshape = 'irc'",
        "[webhook.a]\nurl_file = 'a'\nshape = 'slack'\nper_minute = 0",
        "[webhook.a]\nurl = 'https://a/hunter2'\nshape = 'slack'",
    ] {
        let said = toml::from_str::<Config>(wrong).unwrap_err();
        assert!(!said.message().contains("hunter2"), "{said}");
    }
    let many: Vec<String> = (0..33)
        .map(|it| format!("[opa.a{it}]\nurl = 'https://a'\n"))
        .collect();
    let many: Config = toml::from_str(&many.concat()).unwrap();
    assert!(matches!(check(&many), Err(ShipError::Many)));
}

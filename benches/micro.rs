//! The steps of a guarded request, one at a time: `cargo bench --bench micro`.
//!
//! Absolute figures mean little on a shared machine; compare runs of one day on one machine.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot begin has to say so"
)]

mod hostile;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use dtgate::audit::chain::Head;
use dtgate::audit::event::{self, Answer, DecisionRecord, Event, Outcome, Record};
use dtgate::audit::verify::verify;
use dtgate::audit::{self, Audit, Compression, Durability};
use dtgate::dynatrace::catalogue::{Catalogue, Overrides};
use dtgate::dynatrace::change;
use dtgate::dynatrace::redact::{Redacted, Redactor};
use dtgate::dynatrace::token::{Caller, HashKey, TokenSecret};
use dtgate::guard::{json, path};
use dtgate::policy::{AnswersFor, Evaluator, Input, Policy, Trusted};
use dtgate::replay;
use dtgate::value::{Sha256Hex, rfc3339_millis};
use serde_json::{Map, Value, json};

fn main() {
    divan::main();
}

const SCOPES: [&str; 12] = [
    "metrics.read",
    "metrics.ingest",
    "logs.read",
    "logs.ingest",
    "entities.read",
    "problems.read",
    "events.read",
    "events.ingest",
    "slo.read",
    "releases.read",
    "DataExport",
    "ReadConfig",
];

/// Open traffic, a guarded path, and one that hides what it is.
#[divan::bench(args = [
    ("GET", "/api/v2/metrics/query"),
    ("POST", "/api/v2/metrics/ingest"),
    ("PUT", "/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea"),
    ("PUT", "/api/v1/x/%252e%252e/%2574okens/x"),
])]
fn canonical_path(bencher: Bencher<'_, '_>, (method, target): (&str, &str)) {
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    let key = HashKey::new([1; 32]);
    bencher.bench(|| {
        path::classify(
            black_box(method),
            black_box(target),
            black_box(&catalogue),
            &key,
        )
    });
}

#[divan::bench]
fn strict_parse(bencher: Bencher<'_, '_>) {
    let body = json!({"name": "payments-prod-ci", "enabled": true, "scopes": SCOPES}).to_string();
    bencher.bench(|| json::parse_object(black_box(body.as_bytes()), change::all_words()));
}

/// What a usual request says, made writable: an update of five scopes, each of which the input has four times.
#[divan::bench]
fn redaction(bencher: Bencher<'_, '_>) {
    let token = format!(
        "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{}",
        "G3DFPBEJYMODIDAE".repeat(4)
    );
    let scopes = [
        "metrics.read",
        "logs.read",
        "settings.objects.write",
        "InstallerDownload",
        "activeGateTokenManagement.create",
    ];
    bencher.bench(|| {
        let redactor = Redactor::new([TokenSecret::new(black_box(&token).clone())]);
        let mut texts = redactor.once();
        for _ in 0..4 {
            black_box(scopes.map(|scope| texts.text(scope)));
        }
        black_box(texts.text("payments-prod-ci"));
        redactor.path("/api/v2/apiTokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA")
    });
}

/// All shipped policies, by the interpreter; two of the scopes are new.
#[divan::bench(args = [3, 12, MOST])]
fn evaluation_interpreted(bencher: Bencher<'_, '_>, scopes: usize) {
    let (policy, input) = (shipped(), input_of(scopes));
    passes(&policy, &input, Evaluator::Interpreter);
    bencher.bench(|| black_box(&policy).decide(black_box(&input)));
}

/// All shipped policies, by the bytecode engine.
#[divan::bench(args = [3, 12, MOST])]
fn evaluation_compiled(bencher: Bencher<'_, '_>, scopes: usize) {
    let (policy, input) = (proven(), input_of(scopes));
    passes(&policy, &input, Evaluator::Bytecode);
    bencher.bench(|| black_box(&policy).decide(black_box(&input)));
}

/// A scope that nobody may grant, among others: the interpreter writes the objection, and what would pass is looked for.
#[divan::bench(args = [3, 12])]
fn evaluation_denied(bencher: Bencher<'_, '_>, scopes: usize) {
    let (policy, mut names) = (proven(), vec!["WriteConfig"]);
    names.extend(SCOPES.iter().take(scopes - 1));
    let input = input(&names, names.len());
    assert!(!policy.decide(&input).violations.is_empty());
    bencher.bench(|| black_box(&policy).decide(black_box(&input)));
}

/// As many objections as there are scopes.
#[divan::bench(args = [12, 200])]
fn evaluation_denied_unknown(bencher: Bencher<'_, '_>, scopes: usize) {
    let policy = proven();
    let names: Vec<String> = (0..scopes)
        .map(|number| format!("unknown.{number}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let input = input(&names, names.len());
    assert!(!policy.decide(&input).violations.is_empty());
    bencher.bench(|| black_box(&policy).decide(black_box(&input)));
}

/// The shipped policies, with the bytecode engine.
fn proven() -> Policy {
    let policy = shipped();
    let trusted = policy.prove(AnswersFor::Shipped, 50, 1);
    assert!(matches!(trusted, Trusted::Bytecode { .. }), "{trusted}");
    policy
}

/// An objection would be another thing to measure, and so would the wrong engine.
fn passes(policy: &Policy, input: &Input, evaluator: Evaluator) {
    let decision = policy.decide(input);
    assert!(decision.violations.is_empty(), "{:?}", decision.violations);
    assert_eq!(decision.evaluator, evaluator);
}

/// How many scopes the budget of these benches allows.
const MOST: usize = 48;

/// A token gains two scopes that it has not; all names are different, of the catalogue, and harmless. The input document
/// as the engines have it is a part of each evaluation.
fn input_of(scopes: usize) -> Input {
    let data = std::fs::read_to_string(policies().join("dynatrace/scopes/data.json")).unwrap();
    let catalogue: Map<String, Value> = serde_json::from_str(&data).unwrap();
    let names: Vec<&str> = catalogue
        .iter()
        .filter(|(_, scope)| scope["status"] == "current")
        .filter(|(_, scope)| scope["class"] == "read" || scope["class"] == "ingest")
        .map(|(name, _)| name.as_str())
        .take(scopes)
        .collect();
    assert_eq!(names.len(), scopes, "the catalogue has no more");
    input(&names, 2)
}

/// The shipped policies with a larger budget.
fn shipped() -> Policy {
    let directory = tempfile::tempdir().unwrap();
    copy(&policies(), directory.path());
    let settings = directory.path().join("data.yaml");
    let text = std::fs::read_to_string(&settings).unwrap();
    assert_eq!(text.matches("max: 12\n").count(), 1);
    std::fs::write(
        settings,
        text.replace("max: 12\n", &format!("max: {MOST}\n")),
    )
    .unwrap();
    Policy::load(directory.path(), Duration::from_secs(1)).unwrap()
}

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A whole decision about a token with 12 scopes, from its parts to the bytes that go to the writer.
#[divan::bench]
fn decision_record(bencher: Bencher<'_, '_>) {
    let input = input(&SCOPES, 0);
    bencher.bench(|| decision(black_box(&input)));
}

#[divan::bench]
fn outcome_record(bencher: Bencher<'_, '_>) {
    bencher.bench(|| outcome(black_box(7)));
}

/// What the writer does with a record: its number, the hash of the one before, and its own.
#[divan::bench]
fn chain_link(bencher: Bencher<'_, '_>) {
    let record = Record::from(decision(&input(&SCOPES, 0)));
    let (mut head, mut buffer) = (Head::origin(), Vec::new());
    bencher.bench_local(|| {
        buffer.clear();
        let number = head.encode(black_box(&record), 0, &mut buffer);
        black_box(&buffer);
        number
    });
}

#[divan::bench(args = [64, 1024, 65536])]
fn sha256(bencher: Bencher<'_, '_>, length: usize) {
    let bytes = vec![b'x'; length];
    let count = divan::counter::BytesCount::new(length);
    bencher
        .counter(count)
        .bench(|| Sha256Hex::of(black_box(&bytes)));
}

/// A decision judged again under the shipped policies, a thousand of one journal by one thread: divide by a thousand.
#[divan::bench(args = [12, MOST], sample_count = 20)]
fn replay(bencher: Bencher<'_, '_>, scopes: usize) {
    let policy = proven();
    let input = input_of(scopes);
    passes(&policy, &input, Evaluator::Bytecode);
    let record = decision(&input);
    let mut event: Map<String, Value> = DecisionRecord::into_event(record);
    let journal = tempfile::tempdir().unwrap();
    let lines = (1..=1000).map(|number: u64| {
        event.insert("seq".to_owned(), json!(number));
        serde_json::to_string(&event).unwrap() + "\n"
    });
    let text: String = lines.collect();
    std::fs::write(journal.path().join("00000000000000000001.jsonl"), text).unwrap();
    let options = replay::Options {
        wanted: replay::Wanted::default(),
        examples: 3,
        jobs: 1,
    };
    let report = replay::replay(journal.path(), &policy, &options).unwrap();
    assert_eq!(report.same, 1000);
    bencher.bench(|| replay::replay(journal.path(), black_box(&policy), &options));
}

#[divan::bench]
fn timestamp() -> String {
    rfc3339_millis(black_box(jiff::Timestamp::UNIX_EPOCH))
}

/// One record, alone: what a request waits for when no other shares the sync.
#[divan::bench(args = [Durability::Buffered, Durability::Synced], sample_count = 20)]
fn journal_append(bencher: Bencher<'_, '_>, durability: Durability) {
    let directory = tempfile::tempdir().unwrap();
    let (audit, _writer) = journal(directory.path(), durability);
    let runtime = runtime();
    let input = input(&SCOPES, 0);
    bencher.bench_local(|| runtime.block_on(audit.record(decision(&input))).unwrap());
}

/// 64 writers at once, each with 16 records one after the other: the time is that of all 1024.
#[divan::bench(args = [Durability::Buffered, Durability::Synced], sample_count = 20)]
fn journal_append_by_64(bencher: Bencher<'_, '_>, durability: Durability) {
    let directory = tempfile::tempdir().unwrap();
    let (audit, _writer) = journal(directory.path(), durability);
    let runtime = runtime();
    let input = Arc::new(input(&SCOPES, 0));
    bencher
        .counter(divan::counter::ItemsCount::new(1024_usize))
        .bench_local(|| {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..64 {
                let (audit, input) = (audit.clone(), input.clone());
                tasks.spawn_on(
                    async move {
                        for _ in 0..16 {
                            audit.record(decision(&input)).await.unwrap();
                        }
                    },
                    runtime.handle(),
                );
            }
            runtime.block_on(tasks.join_all());
        });
}

/// So many requests wait at once, each for 16 records one after the other. `TMPDIR=/dev/shm` leaves out the disk.
#[divan::bench(args = [1, 16, 256], sample_count = 20)]
fn journal_append_waiting(bencher: Bencher<'_, '_>, waiting: usize) {
    let directory = tempfile::tempdir().unwrap();
    let (audit, _writer) = journal(directory.path(), Durability::Synced);
    let runtime = runtime();
    let input = Arc::new(input(&SCOPES, 0));
    bencher
        .counter(divan::counter::ItemsCount::new(waiting * 16))
        .bench_local(|| {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..waiting {
                let (audit, input) = (audit.clone(), input.clone());
                tasks.spawn_on(
                    async move {
                        for _ in 0..16 {
                            audit.record(decision(&input)).await.unwrap();
                        }
                    },
                    runtime.handle(),
                );
            }
            runtime.block_on(tasks.join_all());
        });
}

/// Everything that `audit verify` does, of 64 MiB of text in four segments.
#[divan::bench(args = [Compression::Off, Compression::Zstd], sample_count = 10)]
fn journal_verify(bencher: Bencher<'_, '_>, compression: Compression) {
    let directory = tempfile::tempdir().unwrap();
    let config = audit::Config {
        directory: directory.path().join("journal"),
        compression,
        ..audit::Config::default()
    };
    let directory_held = audit::Directory::hold(&config.directory).unwrap();
    let (mut head, mut text) = (Head::origin(), 0);
    let allowed = Record::from(decision(&input(&SCOPES, 0)));
    for _ in 0..4 {
        let (first, mut buffer) = (head.next, Vec::new());
        while buffer.len() < 16 << 20 {
            let number = head.encode(&allowed, 0, &mut buffer);
            head.encode(&outcome(number), number, &mut buffer);
        }
        text += buffer.len();
        std::fs::write(config.directory.join(format!("{first:020}.jsonl")), buffer).unwrap();
    }
    // One more, so that all four are closed.
    std::fs::write(
        config.directory.join(format!("{:020}.jsonl", head.next)),
        "",
    )
    .unwrap();
    let runtime = runtime();
    let (audit, writer) = Audit::open(
        directory_held,
        &config,
        "bench",
        audit::Configured::default(),
        now,
    )
    .unwrap();
    while compression == Compression::Zstd && audit.kept().compressed_segments < 4 {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(audit);
    runtime.block_on(writer.join());
    bencher
        .counter(divan::counter::BytesCount::new(text))
        .bench_local(|| verify(&config.directory, None).unwrap());
}

/// The start with a last segment that is nearly full, 63 MiB of pairs of records.
#[divan::bench(sample_count = 5)]
fn journal_start(bencher: Bencher<'_, '_>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    drop(audit::Directory::hold(&path).unwrap());
    let runtime = runtime();
    let (mut head, mut buffer) = (Head::origin(), Vec::new());
    let allowed = Record::from(decision(&input(&SCOPES, 0)));
    while buffer.len() < 63 << 20 {
        let number = head.encode(&allowed, 0, &mut buffer);
        head.encode(&outcome(number), number, &mut buffer);
    }
    std::fs::write(path.join("00000000000000000001.jsonl"), buffer).unwrap();
    bencher.bench_local(|| {
        let (audit, writer) = journal(directory.path(), Durability::Buffered);
        drop(audit);
        runtime.block_on(writer.join());
    });
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap()
}

fn journal(directory: &Path, durability: Durability) -> (Audit, audit::Writer) {
    let config = audit::Config {
        directory: directory.join("journal"),
        durability,
        ..audit::Config::default()
    };
    let held = audit::Directory::hold(&config.directory).unwrap();
    Audit::open(held, &config, "bench", audit::Configured::default(), now).unwrap()
}

fn decision(input: &Input) -> DecisionRecord {
    let digest = Sha256Hex::ZERO;
    let caller = Caller::from_query("dt0c01.ST2EY72KQINMH574WMNVI7YN", &HashKey::new([1; 32]));
    let decision = event::Decision {
        timestamp: input.time,
        decision_id: &Redacted::ours("01a20c52-49be-734b-a743-e694d554b905"),
        labels: event::Labels { version: "0.1.0" },
        path: "dtgate",
        input: Some(input),
        result: event::Findings {
            allow: true,
            ..event::Findings::default()
        },
        bundles: event::Bundles {
            policies: event::Bundle {
                revision: digest.as_str(),
            },
        },
        metrics: event::Metrics {
            evaluation_ns: Some(15_898_622),
        },
        evaluator: None,
        turn: None,
        requested_by: &Redacted::ours("10.1.2.3"),
        verdict: "allow",
        grant: None,
        operation: Some("token.update"),
        environment: None,
        caller: Some(&event::Caller {
            id: Some(caller.id),
            kind: Some("api-token"),
            ..event::Caller::default()
        }),
        request: event::Request {
            id: &Redacted::ours("01a20c52-49be-734b-a743-e69351d33594"),
            client_id: None,
            method: &Redacted::ours("PUT"),
            path: &Redacted::ours("/api/v2/apiTokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA"),
            caller_hash: None,
            query: None,
            received_sha256: Some(&digest),
            forwarded_sha256: Some(&digest),
        },
        counted: None,
        error: None,
    };
    decision.record()
}

fn outcome(decision_seq: u64) -> Record {
    let event = Event::Outcome(Outcome {
        timestamp: now(),
        decision_id: &Redacted::ours("01a20c52-49be-734b-a743-e694d554b905"),
        decision_seq,
        outcome: Answer::Answered,
        status: Some(204),
        detail: None,
        credential: None,
        duration_ms: 1.0,
    });
    event.record()
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}

/// An update by Terraform of a token that is known, and has all but the last `added` of the scopes.
fn input(scopes: &[&str], added: usize) -> Input {
    let (current, added) = scopes.split_at(scopes.len() - added);
    serde_json::from_value(json!({
        "operation": "token.update",
        "api": "v2",
        "environment": {"name": "default", "id": ""},
        "caller": {
            "address": "10.1.2.3",
            "token": {"id": "dt0c01.ST2EY72KQINMH574WMNVI7YN", "kind": "api-token"},
        },
        "token": {
            "id": "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA",
            "known": true,
            "current": {
                "id": "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA", "name": "payments-prod-ci", "enabled": true,
                "scopes": current, "personal": false,
            },
        },
        "change": {
            "name": {"requested": "payments-prod-ci", "current": "payments-prod-ci"},
            "enabled": {"requested": true, "current": true},
            "scopes": {
                "requested": scopes, "current": current, "added": added, "removed": [], "kept": current,
            },
            "expiration": {},
            "personal": {},
            "differs": [],
        },
        "time": "2026-11-24T10:00:00.000Z",
    }))
    .unwrap()
}

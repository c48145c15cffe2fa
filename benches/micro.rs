//! The steps of a guarded request, one at a time: `cargo bench --bench micro`.
//!
//! Absolute figures mean little on a shared machine; compare runs of one day on one machine.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot begin has to say so"
)]

use std::path::Path;
use std::time::Duration;

use divan::{Bencher, black_box};
use dtgate::audit::event::{Event, Stop};
use dtgate::audit::{self, Audit, Durability};
use dtgate::dynatrace::catalogue::{Catalogue, Overrides};
use dtgate::dynatrace::change;
use dtgate::dynatrace::token::HashKey;
use dtgate::guard::{json, path};
use dtgate::policy::{Input, Policy};
use serde_json::{Map, json};

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
    bencher.bench(|| path::classify(method, black_box(target), &catalogue, &key));
}

#[divan::bench]
fn strict_parse(bencher: Bencher<'_, '_>) {
    let body = json!({"name": "payments-prod-ci", "enabled": true, "scopes": SCOPES}).to_string();
    bencher.bench(|| json::parse_object(black_box(body.as_bytes()), change::all_words()));
}

/// All shipped policies, by the interpreter.
#[divan::bench(args = [1, 12, 100])]
fn evaluation(bencher: Bencher<'_, '_>, scopes: usize) {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let policy = Policy::load(policies, Duration::from_secs(1)).unwrap();
    let scopes: Vec<&str> = SCOPES.iter().copied().cycle().take(scopes).collect();
    let input = input(&scopes);
    bencher.bench(|| policy.decide(black_box(&input)));
}

/// One record, alone: what a request waits for when no other shares the sync.
#[divan::bench(args = [Durability::Buffered, Durability::Synced], sample_count = 20)]
fn journal_append(bencher: Bencher<'_, '_>, durability: Durability) {
    let directory = tempfile::tempdir().unwrap();
    let config = audit::Config {
        directory: directory.path().join("journal"),
        durability,
        ..audit::Config::default()
    };
    let (audit, _writer) = Audit::open(&config, "bench", Map::new(), now).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    bencher.bench_local(|| {
        let event = Event::Stop(Stop {
            timestamp: "2026-11-24T10:00:00.000Z".to_owned(),
        });
        runtime.block_on(audit.record(event)).unwrap()
    });
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}

/// An update by Terraform of a token that is known, which adds nothing.
fn input(scopes: &[&str]) -> Input {
    serde_json::from_value(json!({
        "operation": "token.update",
        "api": "v2",
        "environment": {"name": "default", "id": ""},
        "caller": {
            "address": "10.1.2.3",
            "token": {"id": "dt0c01.ST2EY72KQINMH574WMNVI7YN", "kind": "api-token"},
            "certificate": null,
        },
        "token": {
            "id": "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA",
            "current": {
                "id": "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA", "name": "payments-prod-ci", "enabled": true, "owner": null,
                "scopes": scopes, "personal": false, "expiration": null,
            },
        },
        "change": {
            "name": {"requested": "payments-prod-ci", "current": "payments-prod-ci"},
            "enabled": {"requested": true, "current": true},
            "scopes": {"requested": scopes, "current": scopes, "added": [], "removed": [], "kept": scopes},
            "expiration": {"requested": null},
            "personal": {"requested": null},
            "differs": [],
        },
        "unknown_members": {},
        "time": "2026-11-24T10:00:00.000Z",
    }))
    .unwrap()
}

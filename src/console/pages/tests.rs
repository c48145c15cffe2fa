use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::audit::Stop;
use crate::audit::index::{FILE, Index};
use crate::console::params::Params;
use crate::console::reached::Kept;
use crate::console::viewer::Viewer;
use crate::console::{Asked, Gate, Made, Route};
use crate::telemetry::Metrics;
use crate::trail::Source;

const NOW: &str = "2026-11-24T12:00:00Z";

/// Beside a journal of these records, which have their numbers. A segment ends where one is missing.
fn gate_of(records: &[Value]) -> Gate {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let number = |record: &Value| record["seq"].as_u64().unwrap();
    for segment in records.chunk_by(|one, next| number(one) + 1 == number(next)) {
        let lines: Vec<String> = segment.iter().map(Value::to_string).collect();
        let name = format!("{:020}.jsonl", number(&segment[0]));
        std::fs::write(directory.path().join(name), lines.join("\n") + "\n").unwrap();
    }
    let path = directory.path().join(FILE);
    let mut index = Index::open(directory.path(), &path).unwrap();
    index.catch_up(|_| true).unwrap();
    Gate {
        trail: Arc::new(move || Source::of_gate(directory.path(), &path)),
        status: None,
        policies: None,
        kept: None,
        now: || NOW.parse().unwrap(),
        step_back: || {},
        worker: None,
        metrics: Metrics::new("1.2.3"),
    }
}

fn page(gate: &Gate, route: &Route, query: &str) -> String {
    let viewer = Viewer::nobody();
    let (stop, _waiting) = Stop::after(std::time::Duration::from_mins(1));
    let asked = Asked {
        gate,
        kept: &Kept::default(),
        viewer: &viewer,
        params: &Params::of(query),
        now: NOW.parse::<Timestamp>().unwrap(),
        stop: &stop,
    };
    match route.make(&asked).unwrap() {
        Made::Page(page) => page.body.into_string(),
        Made::File(_) | Made::Json(_) => panic!("{route:?}"),
    }
}

fn denial(seq: u64) -> Value {
    json!({
        "seq": seq, "kind": "decision", "timestamp": format!("2026-11-24T10:00:{seq:02}.000Z"), "verdict": "deny",
        "operation": "token.update", "input": {"request": {"path": "/api/v1/tokens/x"}},
        "result": {"violations": [{"policy": "naming", "mode": "enforce", "rule": "deny", "message": "m"}]},
    })
}

/// All pages with numbers.
fn counting() -> Vec<(Route, &'static str)> {
    vec![
        (Route::Now, "last=24h"),
        (Route::Now, "last=30d"),
        (Route::Callers, ""),
        (Route::Policies, ""),
        (Route::Policy("naming".to_owned()), ""),
        (Route::Decisions, ""),
    ]
}

#[test]
fn pages_with_numbers_say_what_is_not_in_them() {
    let refused = json!({"seq": 3, "kind": "suppressed", "timestamp": "2026-11-24T10:30:00.000Z", "count": 41});
    let gap = gate_of(&[denial(1), denial(2), refused, denial(6)]);
    let whole = gate_of(&[denial(1), denial(2), denial(3)]);
    let pruned = json!({
        "seq": 7, "kind": "pruned", "timestamp": "2026-11-24T10:45:00.000Z", "first": 1, "last": 4, "hash": "0".repeat(64),
    });
    let deleted = gate_of(&[denial(5), denial(6), pruned]);
    let said = [
        (&gap, "Records 4 to 5 are missing"),
        (
            &gap,
            "Refused in this time without a record of their own, and not in this answer: 41 requests",
        ),
        (&deleted, "Records 1 to 4 were deleted"),
    ];
    for (route, query) in counting() {
        for (gate, words) in said {
            let shown = page(gate, &route, query);
            assert!(shown.contains(words), "{route:?}: {words}: {shown}");
        }
        let shown = page(&whole, &route, query);
        for (_, words) in said {
            assert!(!shown.contains(words), "{route:?}: {words}: {shown}");
        }
    }
}

/// Of other policies than that of the page, or of another time, nothing is said.
#[test]
fn what_was_refused_in_another_time_is_not_told() {
    let refused = json!({"seq": 2, "kind": "suppressed", "timestamp": "2026-11-01T10:30:00.000Z", "count": 41});
    let gate = gate_of(&[denial(1), refused]);
    let told = |query| {
        page(&gate, &Route::Now, query)
            .contains("without a record of their own, and not in this answer: 41 requests")
    };
    assert!(!told("last=24h") && told("last=30d"));
}

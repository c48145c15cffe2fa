//! A journal that Terraform, a few hundred jobs and some people could have written: half of the records are outcomes,
//! most changes change nothing, some are denied.

use std::io::{BufWriter, Write};
use std::path::Path;

use dtgate::value::Sha256Hex;
use serde_json::{Value, json};

const SCOPES: [&str; 8] = [
    "metrics.read",
    "metrics.ingest",
    "logs.read",
    "logs.ingest",
    "entities.read",
    "problems.read",
    "slo.read",
    "WriteConfig",
];

/// 2026-01-01, and between two decisions.
pub(crate) const START: i64 = 1_767_225_600_000;
pub(crate) const STEP: i64 = 2000;

/// Numbers that look like chance.
fn chance(of: u64) -> u64 {
    let mut x = of.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn decision(number: u64) -> Value {
    let random = chance(number);
    let token = random % 5000;
    let (caller, address) = ((random >> 50) % 300, (random >> 9) % 2000);
    let at = START + i64::try_from(number).unwrap() * STEP;
    let time = jiff::Timestamp::from_millisecond(at).unwrap();
    let id = (u128::try_from(at).unwrap() << 80) | (7 << 76) | (2 << 62) | u128::from(random);
    let denied = (random >> 17).is_multiple_of(20);
    let no_op = (random >> 25) % 10 != 1;
    let start = usize::try_from((random >> 20) % 5).unwrap();
    let current: Vec<&str> = SCOPES.iter().skip(start).take(3).copied().collect();
    let added: Vec<&str> = if no_op {
        Vec::new()
    } else {
        vec![SCOPES[usize::try_from(random >> 40).unwrap() % 7]]
    };
    let name = format!(
        "service-{token}-{}",
        ["prod", "stage", "dev"][usize::try_from(token % 3).unwrap()]
    );
    let environment = if (random >> 33).is_multiple_of(2) {
        "prod"
    } else {
        "stage"
    };
    let violations = if denied {
        json!([{"policy": "forbidden_scopes", "mode": "enforce", "rule": "deny", "code": "forbidden-scope",
            "message": format!("scope \"WriteConfig\" may not be granted to {name}; not allowed"), "path": "scopes[0]"}])
    } else {
        json!([])
    };
    json!({
        "kind": "decision",
        "timestamp": format!("{time:.3}"),
        "decision_id": uuid::Uuid::from_u128(id).to_string(),
        "labels": {"version": "0.1.0"},
        "path": "dtgate",
        "input": {
            "operation": "token.update", "api": "v2",
            "environment": {"name": environment, "id": "", "data": {}},
            "caller": {
                "address": format!("10.{}.{}.1", address / 256, address % 256),
                "token": {"id": format!("dt0c01.CALLER{caller:022}"), "kind": "api-token"},
                "certificate": {"subject": "", "issuer": "", "serial": "", "dns": [], "uris": [], "emails": [],
                    "addresses": [], "spiffe_id": "", "fingerprint": "", "not_after": ""},
                "jwt": {"issuer": "https://ci.example", "subject": format!("repo:example/{caller}"), "audiences": [],
                    "id": "", "claims": {"repository": format!("example/{caller}"), "ref": "refs/heads/main"}},
                "teams": [format!("team-{}", caller % 20)],
            },
            "token": {"id": format!("dt0c01.TOKEN{token:023}"), "known": true,
                "current": {"id": format!("dt0c01.TOKEN{token:023}"), "name": name, "enabled": true,
                    "owner": "ci", "scopes": current, "personal": false}},
            "change": {
                "name": {"requested": name, "current": name},
                "enabled": {"requested": true, "current": true},
                "scopes": {"requested": current, "current": current, "added": added, "removed": [], "kept": current},
                "expiration": {}, "personal": {},
                "differs": if no_op { json!([]) } else { json!(["scopes"]) },
            },
            "unknown_members": {}, "time": format!("{time:.3}"),
        },
        "result": {"allow": !denied, "violations": violations},
        "bundles": {"policies": {"revision": "1d2dd3cb06ac8b43".repeat(4)}},
        "metrics": {"timer_rego_query_eval_ns": 71586},
        "requested_by": format!("10.{}.{}.1", address / 256, address % 256),
        "verdict": if denied { "deny" } else { "allow" },
        "operation": "token.update",
        "caller": {"id": format!("dt0c01.CALLER{caller:022}"), "kind": "api-token",
            "teams": [format!("team-{}", caller % 20)],
            "jwt": {"issuer": "https://ci.example", "subject": format!("repo:example/{caller}")}},
        "request": {"id": uuid::Uuid::from_u128(u128::from(random)).to_string(), "method": "PUT",
            "path": format!("/api/v2/apiTokens/dt0c01.TOKEN{token:023}"),
            "received_sha256": "1d2dd3cb06ac8b43".repeat(4), "forwarded_sha256": "1d2dd3cb06ac8b43".repeat(4)},
    })
}

/// Segments of about 32 MiB; gives the bytes.
pub(crate) fn write(directory: &Path, records: u64) -> u64 {
    let (mut total, mut segment, mut out): (u64, u64, Option<BufWriter<std::fs::File>>) =
        (0, 0, None);
    let mut prev = Sha256Hex::ZERO;
    let mut allowed = None;
    for seq in 1..=records {
        if segment > 32 << 20 {
            out = None;
            segment = 0;
        }
        let file = out.get_or_insert_with(|| {
            let path = directory.join(format!("{seq:020}.jsonl"));
            BufWriter::new(std::fs::File::create(path).unwrap())
        });
        let record = match allowed.take() {
            None => {
                let record = decision(seq / 2);
                allowed = (record["verdict"] == "allow").then(|| {
                    (
                        seq,
                        record["decision_id"].clone(),
                        record["timestamp"].clone(),
                    )
                });
                record
            }
            Some((of, id, time)) => json!({"kind": "outcome", "timestamp": time, "decision_id": id,
                "decision_seq": of, "outcome": "answered", "status": 204, "duration_ms": 4.545}),
        };
        let record = record.to_string();
        let line = format!(
            "{{\"seq\":{seq},\"prev\":\"{}\",\"synced\":{},{}",
            prev.as_str(),
            seq - 1,
            record.trim_start_matches('{')
        );
        prev = Sha256Hex::of(line.as_bytes());
        writeln!(file, "{line}").unwrap();
        segment += line.len() as u64 + 1;
        total += line.len() as u64 + 1;
    }
    total
}

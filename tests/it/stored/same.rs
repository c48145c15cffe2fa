//! Generated journals and questions: the store and the index answer alike.

use std::cell::Cell;

use clap::ValueEnum;
use dtgate::audit::index::{By, FILE, Filter, Hidden, Index, Otherwise, Pattern, Veil, Which};
use dtgate::store::{Asked, Question};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Way, decision, journal, outcome};
use crate::postgres::database;

/// What a name may be: all that means something to a server, and what nobody would think of.
const NAMES: [&str; 9] = [
    "payments",
    "pay",
    "éclair",
    "it's",
    "100%",
    "_x",
    "back\\slash",
    "a,\"b\"{c}",
    "NULL",
];
const SCOPES: [&str; 4] = ["metrics.read", "logs.read", "Data\u{0}Export", "{}"];

fn record() -> impl Strategy<Value = Value> {
    let scopes = || prop::collection::vec(prop::sample::select(&SCOPES[..]), 0..3);
    let name = || prop::sample::select(&NAMES[..]);
    let decision = (
        (0..3_usize, any::<bool>(), 0..3_usize, 0..100_u128),
        (name(), name(), scopes(), scopes(), scopes()),
        (name(), 0..7_u8, any::<bool>()),
    );
    let decision = decision.prop_map(|((kind, allow, env, id), names, (caller, odd, no_op))| {
        let (current, requested, asked, added, removed) = names;
        let operation = ["token.update", "token.create", "token.delete"][kind];
        let address = ["10.1.2.3", "10.9.1.1", "2001:db8::1"][env];
        let environment = ["a", "b", ""][env];
        let mut record = json!({
            "kind": "decision",
            "decision_id": uuid::Uuid::from_u128(id << 64 | id).to_string(),
            "verdict": if allow { "allow" } else { "deny" },
            "operation": operation,
            "requested_by": address,
            "caller": {"id": format!("dt0c01.{caller}"), "teams": [caller, "all"]},
            "input": {
                "environment": {"name": environment},
                "token": {"id": format!("id-{current}"), "current": {"name": current}},
                "change": {
                    "name": {"requested": requested},
                    "scopes": {"requested": asked, "added": added, "removed": removed},
                },
            },
            "result": {"violations": if allow { json!([]) } else { json!([
                {"policy": "scopes", "code": "forbidden", "message": format!("not {requested}-x")},
            ]) }},
            "request": {"path": format!("/api/{current}")},
        });
        if no_op {
            record["input"]["change"]["differs"] = json!([]);
        }
        match odd {
            0 => record["caller"]["jwt"] = json!({"issuer": "https://i", "subject": caller}),
            1 => {
                record["caller"]["certificate"] =
                    json!({"subject": "CN=a", "spiffe_id": format!("spiffe://{caller}"), "fingerprint": "f"});
            }
            2 => record["caller"] = json!([1, "x"]),
            3 => record["grant"] = json!({"id": "g", "ticket": "OPS pay"}),
            5 => {
                record["input"]["caller"]["jwt"] = json!({"issuer": "https://i", "claims": {"w": [caller], "exp": 1}});
                record["pseudonyms"] = json!(["/requested_by"]);
            }
            4 => record["masked"] = json!(["/input/token/id", "/input/change/scopes"]),
            _ => {}
        }
        record
    });
    prop_oneof![
        5 => decision,
        1 => Just(json!({"kind": "stop"})),
        1 => (0..9_u64).prop_map(|count| {
            json!({"kind": "suppressed", "first": "2026-11-24T00:00:00.000Z", "count": count,
                "reasons": [{"reason": "read", "count": 99}],
                "callers": [{"requested_by": "a", "count": 98, "caller": {"claims": {"count": 97, "first": "1"}}}]})
        }),
    ]
}

/// Every allowed decision has an outcome now and then, and is settled now and then.
fn records() -> impl Strategy<Value = Vec<Value>> {
    let step = (record(), 0..6_usize, 0..4_usize, any::<bool>());
    prop::collection::vec(step, 1..25).prop_map(|steps| {
        let mut records: Vec<Value> = Vec::new();
        for (record, how, settled, is_slow) in steps {
            let is_allowed = record["verdict"] == "allow";
            records.push(record);
            let of = records.len();
            if !is_allowed {
                continue;
            }
            if let Some(outcome) = ["answered", "failed", "unknown"].get(how) {
                let detail = ["", "No answer", "pay: made it"][settled % 3];
                let made = if is_slow { json!({"id": "made it"}) } else { Value::Null };
                let status = if settled == 3 { 503 } else { 201 };
                records.push(json!({"kind": "outcome", "decision_seq": of, "outcome": outcome, "status": status,
                    "credential": made, "detail": detail}));
            }
            if let Some(found) = ["done", "unknown"].get(settled) {
                records.push(json!({"kind": "settled", "decision_seq": of, "found": found}));
            }
            if let Some(differs) = ["would_deny", "would_allow", "violations"].get(settled + usize::from(is_slow)) {
                records.push(json!({"kind": "challenger", "decision_seq": of, "differs": differs}));
            }
        }
        for (at, record) in records.iter_mut().enumerate() {
            // Several in a quarter of an hour, and several at once.
            let minutes = at / 2 * 4;
            record["timestamp"] = json!(format!("2026-11-24T{:02}:{:02}:00.123Z", minutes / 60, minutes % 60));
        }
        records
    })
}

#[expect(clippy::too_many_lines, reason = "one line for each part of a filter")]
fn filter() -> impl Strategy<Value = Filter> {
    let pattern = |of: &'static [&'static str]| {
        let one = (prop::sample::select(of), any::<bool>()).prop_map(|(text, exactly)| {
            if exactly {
                Pattern::Exactly(text.to_owned())
            } else {
                Pattern::Begins(text.chars().take(3).collect())
            }
        });
        prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..3)]
    };
    let maybe = |of: &'static [&'static str]| prop_oneof![5 => Just(None), 1 => prop::sample::select(of).prop_map(Some)];
    let texts = (
        pattern(&NAMES),
        pattern(&["metrics.read", "logs.read", "{}"]),
        pattern(&["metrics.read", "{}"]),
        pattern(&["logs.read"]),
        pattern(&["a", "b"]),
        pattern(&["token.update", "token.delete"]),
        pattern(&["dt0c01.pay", "dt0c01.it's", "dt0c01.é"]),
        pattern(&["https://i", "it's", "pay", "w=it's", "w=pay"]),
        pattern(&["CN=a", "spiffe://pay", "f"]),
    );
    let others = (
        maybe(&[
            "not",
            "pay",
            "PAY x",
            "éclair x",
            "pay*",
            "it's",
            "--",
            "api 100%",
            "made",
            "no* answer",
            "pay made",
        ]),
        maybe(&["10.1.0.0/16", "10.9.1.1", "2001:db8::/32", "192.168.0.0/24"]),
        prop::option::of(any::<bool>()),
        prop::option::of(any::<bool>()),
        prop_oneof![4 => Just(None), 1 => prop::sample::select(vec![
            Which::Answered, Which::Failed, Which::Unknown, Which::None, Which::Doubt, Which::Settled,
        ]).prop_map(Some)],
        (
            pattern(&["scopes"]),
            pattern(&["forbidden"]),
            pattern(&["all", "pay"]),
        ),
        (
            prop::option::of(0..20_i64),
            prop::option::of(0..20_i64),
            prop::option::of(1..60_u64),
        ),
        prop_oneof![6 => Just(None), 1 => (0..100_u128).prop_map(Some)],
        prop_oneof![5 => Just(None), 1 => prop::sample::select(vec![
            Otherwise::Allow, Otherwise::Any, Otherwise::Deny,
        ]).prop_map(Some)],
    );
    let hidden = prop_oneof![5 => Just(Vec::new()), 1 => prop::sample::select(vec![
        vec![(Hidden::Names, Veil::Mask)], vec![(Hidden::Scopes, Veil::Mask)], vec![(Hidden::Token, Veil::Mask)],
        vec![(Hidden::Names, Veil::Mask), (Hidden::Scopes, Veil::Mask)], vec![(Hidden::Client, Veil::Pseudonym)],
    ])];
    let marks = (prop::bool::weighted(0.2), hidden);
    (texts, others, marks).prop_map(|(texts, others, (granted, hidden))| {
        let (token, scope, added, removed, environment, operation, caller, claim, certificate) =
            texts;
        let (text, client, allowed, no_op, outcome, (policy, code, team), times, id, challenger) =
            others;
        let start = 1_795_478_400_000;
        let quarter = |at: Option<i64>| at.map(|at| start + at * 450_000);
        Filter {
            since: quarter(times.0),
            until: quarter(times.1),
            before: times.2,
            token,
            scope,
            added,
            removed,
            environment,
            operation,
            caller,
            claim,
            certificate,
            policy,
            code,
            team,
            text: text.map(str::to_owned),
            client: client.map(|it| it.parse().unwrap()).into_iter().collect(),
            allowed,
            no_op,
            outcome,
            challenger,
            id: id.map(|id| uuid::Uuid::from_u128(id << 64 | id).to_string()),
            granted,
            hidden,
            ..Filter::default()
        }
    })
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_the_store_answers_as_the_index_does() {
    let database = database();
    let way = Way::to(&database);
    let number = Cell::new(0);
    let config = ProptestConfig {
        cases: 24,
        max_shrink_iters: 30,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(records in records(), filters in prop::collection::vec(filter(), 13))| {
        number.set(number.get() + 1);
        let gate = format!("gate-{}", number.get());
        let (directory, hash) = journal(&records);
        way.ship(&gate, directory.path(), records.len() as u64, &hash);
        let mut index = Index::open(directory.path(), &directory.path().join(FILE)).unwrap();
        index.catch_up(|_| true).unwrap();
        let asked = Asked::open(&way.config).unwrap();
        for (at, filter) in filters.iter().chain([&Filter::default()]).enumerate() {
            let question = Question { filter, gate: Some(&gate), before: None };
            for limit in [3, 1000] {
                let mut wanted = index.find(filter, limit).unwrap();
                // The store looks for it when lines are read.
                wanted.decisions.iter_mut().for_each(|it| it.challenger = None);
                let found = asked.find(question, limit).unwrap();
                let decisions: Vec<_> = found.decisions.iter().map(|it| it.decided.clone()).collect();
                prop_assert_eq!(decisions, wanted.decisions, "{:?}", filter);
                prop_assert_eq!(found.more, wanted.more);
            }
            let (since, until) = (filter.since, filter.until);
            prop_assert_eq!(
                asked.counted(Some(&gate), since, until).unwrap(),
                index.counted(since, until).unwrap()
            );
            let by = By::value_variants()[at % By::value_variants().len()];
            let mut wanted = index.sums(filter, by).unwrap();
            for sum in &mut wanted.all {
                // No server takes it.
                sum.name = sum.name.replace('\0', "\u{fffd}");
            }
            prop_assert_eq!(asked.sums(question, by).unwrap(), wanted, "{:?} {:?}", by, filter);
            let (by, name) = [
                (By::Team, "all"),
                (By::Subject, "it's"),
                (By::Certificate, "spiffe://pay"),
                (By::Credential, "dt0c01.pay"),
            ][at % 4];
            let names = [name, "", "nobody"];
            let objected = index.objections(filter, by, &names).unwrap();
            prop_assert_eq!(asked.objections(question, by, &names).unwrap(), objected, "{:?} {:?}", by, filter);
        }
    });
}

/// A store is asked for a few decisions of each part; where there are no more, it tells what the index counts.
#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_latencies_are_those_that_the_index_counts() {
    let database = database();
    let way = Way::to(&database);
    let mut records = Vec::new();
    for (second, environment, ns, ms) in [
        (1, "prod", 3_000_000_u64, 4.5),
        (2, "dev", 70_000, 0.0),
        (61, "prod", 5_000_999, 1_000.123),
        (62, "prod", 1, 12.0),
    ] {
        let mut decided = decision(second, "payments", "ci");
        decided["input"]["environment"]["name"] = json!(environment);
        // What somebody wrote into a request is a text in the record.
        decided["request"]["path"] = json!("/\"timer_rego_query_eval_ns\":1,\"duration_ms\":1,");
        decided["metrics"] = json!({"timer_rego_query_eval_ns": ns});
        // And what it does not know is a part of it.
        decided["input"]["unknown_members"] = json!({"duration_ms": 1, "timer_rego_query_eval_ns": 999_000_000_000_u64,
            "z": {"metrics": {"timer_rego_query_eval_ns": 999_000_000_000_u64}, "operation": "x"}});
        if ns % 2 == 0 {
            // As a gate writes it.
            decided["turn"] = json!("local");
        }
        records.push(decided);
        let mut ended = outcome(second, records.len() as u64);
        ended["duration_ms"] = json!(ms);
        records.push(ended);
    }
    // It was never sent, and this one has not ended.
    records.push(decision(63, "payments", "ci"));
    let mut failed = outcome(63, records.len() as u64);
    (failed["outcome"], failed["duration_ms"]) = (json!("failed"), json!(90.0));
    records.push(failed);
    records.push(decision(64, "payments", "denied"));
    let (directory, hash) = journal(&records);
    way.ship("gate-a", directory.path(), records.len() as u64, &hash);
    let asked = Asked::open(&way.config).unwrap();
    let mut index = Index::open(directory.path(), &directory.path().join(FILE)).unwrap();
    index.catch_up(|_| true).unwrap();
    let began: jiff::Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
    let times = (began.as_millisecond(), began.as_millisecond() + 3_600_000);
    for (environment, parts) in [(vec![], 4), (vec![Pattern::Exactly("dev".to_owned())], 2)] {
        let filter = Filter {
            environment: environment.clone(),
            ..Filter::default()
        };
        let question = Question {
            filter: &filter,
            gate: None,
            before: None,
        };
        let counted = index.latencies(times, 60_000, &environment).unwrap();
        assert_eq!(counted.len(), parts, "{counted:?}");
        assert_eq!(asked.latencies(question, times, 60_000).unwrap(), counted);
        // What is decided at the end or later is in no part.
        let until = (times.0, times.0 + 61_000);
        let found = asked.latencies(question, until, 60_000).unwrap();
        assert!(found.iter().all(|it| it.from == times.0), "{found:?}");
    }
}

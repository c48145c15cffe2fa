//! What blocks say is what the rows say, whatever is asked, and whatever became of the journal meanwhile.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::audit::index::blocks::{self, Piece, Times};
use crate::audit::index::{FILE, Pattern};

/// A decision of somebody, at an hour that need not be later than that of the one before; now and then without a time, or
/// another record.
fn record() -> impl Strategy<Value = Value> {
    let few = |of: &'static [&'static str]| prop::sample::select(of);
    let decision = (
        (
            prop::option::weighted(0.97, 0..400_u32),
            0..4_u8,
            any::<bool>(),
            any::<bool>(),
        ),
        (
            few(&["a", "b", ""]),
            few(&["token.update", "token.create", ""]),
        ),
        (
            few(&["x", "y", "z", ""]),
            few(&["", "one", "two"]),
            few(&["", "iss"]),
            few(&["", "sub"]),
        ),
        prop::collection::vec(few(&["red", "blue"]), 0..3),
    );
    let decision = decision.prop_map(|(how, place, who, teams)| {
        let (minute, objections, allow, no_op) = how;
        let (environment, operation) = place;
        let (caller, certificate, issuer, subject) = who;
        let violations = match objections {
            0 => json!([{"policy": "p", "code": "c"}]),
            1 => json!([{"policy": "p"}, {"policy": "q", "code": "d"}]),
            2 => json!([{"policy": "warns"}]),
            _ => json!([]),
        };
        let mut record = json!({
            "kind": "decision", "verdict": if allow { "allow" } else { "deny" }, "operation": operation,
            "caller": {
                "id": caller, "teams": teams, "jwt": {"issuer": issuer, "subject": subject},
                "certificate": {"subject": certificate, "fingerprint": "one"},
            },
            "input": {"environment": {"name": environment}, "change": {}},
            "result": {"violations": violations},
        });
        if let Some(minute) = minute {
            record["timestamp"] = json!(format!("2026-11-24T0{}:{:02}:30.123Z", minute / 60, minute % 60));
        }
        if no_op {
            record["input"]["change"]["differs"] = json!([]);
        }
        record
    });
    let outcome = (1..200_u64)
        .prop_map(|of| json!({"kind": "outcome", "decision_seq": of, "outcome": "answered"}));
    let other = Just(json!({"kind": "start", "timestamp": "2026-11-24T01:30:00.123Z"}));
    prop_oneof![12 => decision, 3 => outcome, 1 => other]
}

fn filter() -> impl Strategy<Value = Filter> {
    let some = |of: &'static [&'static str]| {
        let one =
            prop::sample::select(of).prop_map(|text| Pattern::try_from(text.to_owned()).unwrap());
        prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..3)]
    };
    let maybe = || prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let time = || prop::option::of((0..400_i64).prop_map(|minute| BEGIN + minute * 60_000));
    let who = (
        some(&["x", "y", "nobody", "z*"]),
        some(&["one", "two", "t*"]),
        some(&["iss", "sub"]),
        some(&["red", "blue"]),
    );
    let what = (
        some(&["a", "b", "c"]),
        some(&["token.update", "token.*"]),
        some(&["p", "warns"]),
        some(&["c", "d"]),
    );
    (time(), time(), who, what, maybe(), maybe()).prop_map(
        |(since, until, who, what, allowed, no_op)| Filter {
            since,
            until,
            caller: who.0,
            certificate: who.1,
            claim: who.2,
            team: who.3,
            environment: what.0,
            operation: what.1,
            policy: what.2,
            code: what.3,
            allowed,
            no_op,
            ..Filter::default()
        },
    )
}

/// Segments of so many records each.
fn write_segments(directory: &Path, records: &[Value], each: usize) {
    let lines = crate::audit::index::tests::lines(records);
    let lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    for (number, some) in lines.chunks(each).enumerate() {
        let first = number * each + 1;
        std::fs::write(directory.join(format!("{first:020}.jsonl")), some.concat()).unwrap();
    }
}

/// Everything that can be asked of blocks.
fn assert_same(index: &Index, filter: &Filter) {
    for by in ALL {
        for when in [When::Ever, When::Quarter] {
            let rows = index.by_rows(filter, by, when, ROOM).unwrap();
            if let Some(wanted) = index.wanted(filter, by, when).unwrap() {
                let blocks = index.by_blocks(&wanted, by, when, ROOM).unwrap();
                assert_eq!(blocks, rows, "{by:?} {when:?} {filter:?}");
            }
            assert_eq!(index.summed(filter, by, when, ROOM).unwrap(), rows);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn blocks_say_what_rows_say(
        records in prop::collection::vec(record(), 1..150),
        filters in prop::collection::vec(filter(), 8),
        each in 3..40_usize,
        cut in 0..150_usize,
        gone in 0..4_usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        // In two goes, and then the first segments are pruned.
        write_segments(directory, &records[..cut.min(records.len())], each);
        let mut index = Index::open(directory, &directory.join(FILE)).unwrap();
        index.catch_up(|_| true).unwrap();
        write_segments(directory, &records, each);
        index.catch_up(|_| true).unwrap();
        for filter in filters.iter().chain([&Filter::default()]) {
            assert_same(&index, filter);
        }
        for segment in 0..gone.min(records.len() / each) {
            std::fs::remove_file(directory.join(format!("{:020}.jsonl", segment * each + 1))).unwrap();
        }
        index.catch_up(|_| true).unwrap();
        for filter in filters.iter().chain([&Filter::default()]) {
            assert_same(&index, filter);
        }
    }

    #[test]
    fn who_objected_is_what_the_rows_of_a_name_say(
        records in prop::collection::vec(record(), 1..100),
        filter in filter(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &records);
        let index = indexed(directory.path());
        // The first is answered by blocks, the second by rows.
        let by_rows = Filter { before: Some(1_000), ..filter.clone() };
        for (by, names) in [
            (By::Credential, ["x", "y", "nobody", ""]),
            (By::Subject, ["sub", "iss", "nobody", ""]),
            (By::Certificate, ["two", "one", "nobody", ""]),
            (By::Team, ["red", "blue", "green", ""]),
        ] {
            for filter in [&filter, &by_rows] {
                let found = index.objections(filter, by, &names).unwrap();
                for (name, found) in names.iter().zip(found) {
                    prop_assert_eq!(found, plainly(&index, &records, filter, by, name), "{:?} {}", by, name);
                }
            }
        }
    }
}

/// The policies that objected when somebody was refused, by looking at each decision.
fn plainly(
    index: &Index,
    records: &[Value],
    filter: &Filter,
    by: By,
    name: &str,
) -> BTreeMap<String, u64> {
    let text = |record: &Value, at: &str| {
        record
            .pointer(at)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let either = |one: String, other: String| if one.is_empty() { other } else { one };
    let mut policies = BTreeMap::new();
    for decided in index.find(filter, 1000).unwrap().decisions {
        let record = &records[usize::try_from(decided.seq).unwrap() - 1];
        let teams = record["caller"]["teams"].as_array().unwrap();
        let is_of = match by {
            By::Credential => text(record, "/caller/id") == name,
            By::Subject => {
                either(
                    text(record, "/caller/jwt/subject"),
                    text(record, "/caller/jwt/issuer"),
                ) == name
            }
            By::Certificate => {
                let subject = text(record, "/caller/certificate/subject");
                either(subject, text(record, "/caller/certificate/fingerprint")) == name
            }
            _ if name.is_empty() => teams.is_empty(),
            _ => teams.iter().any(|team| team == name),
        };
        if is_of && record["verdict"] == "deny" {
            for violation in record["result"]["violations"].as_array().unwrap() {
                *policies
                    .entry(violation["policy"].as_str().unwrap().to_owned())
                    .or_default() += 1;
            }
        }
    }
    policies
}

#[test]
fn the_largest_blocks_that_there_are_answer() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &decisions(1..47));
    let index = indexed(directory.path());
    let pieces = blocks::pieces(&index.db, Times::default(), None).unwrap();
    let block = |level, number| Piece::Block { level, number };
    let last = Piece::Rows {
        first: 46,
        last: 47,
    };
    assert_eq!(
        pieces,
        [block(3, 0), block(2, 4), block(1, 10), block(0, 22), last]
    );
}

#[test]
fn a_damaged_block_is_damage_of_the_index() {
    for (column, bytes) in [("whens", "x'ff'"), ("whens", "x'01'"), ("whens", "'x'")] {
        let (_directory, index) = several();
        index
            .db
            .execute_batch(&format!("UPDATE block SET {column} = {bytes}"))
            .unwrap();
        let error = index.totals(&Filter::default(), By::Verdict).unwrap_err();
        assert!(error.is_damage(), "{error}");
    }
}

/// 2026-11-24.
const BEGIN: i64 = 1_795_478_400_000;

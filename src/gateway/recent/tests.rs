use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn minute(number: i64) -> Minute {
    Minute::of(Timestamp::from_second(number * 60).unwrap())
}

fn created(created: u64) -> Amounts {
    Amounts {
        created,
        ..Amounts::default()
    }
}

fn entry(caller: &str, at: i64, amounts: Amounts) -> Entry {
    Entry {
        caller: caller.into(),
        minute: minute(at),
        amounts,
        is_proven: false,
    }
}

fn proven(caller: &str, at: i64, amounts: Amounts) -> Entry {
    Entry {
        is_proven: true,
        ..entry(caller, at, amounts)
    }
}

#[test]
fn what_is_older_than_an_hour_counts_no_more() {
    let mut table = Table::new(10);
    table.add(&entry("a", 100, created(2)));
    table.add(&entry("a", 130, created(3)));
    for (now, wanted) in [(100, 5), (130, 5), (160, 5), (161, 3), (190, 3), (191, 0)] {
        assert_eq!(table.sum("a", minute(now)), created(wanted), "{now}");
    }
    // The clock was set back: what was counted stays counted.
    assert_eq!(table.sum("a", minute(10)), created(5));
    assert_eq!(table.sum("b", minute(130)), created(0));
}

#[test]
fn the_caller_whose_last_change_is_longest_ago_is_forgotten_first() {
    let mut table = Table::new(2);
    assert!(!table.add(&entry("a", 1, created(1))));
    assert!(!table.add(&entry("b", 2, created(1))));
    assert!(!table.add(&entry("a", 3, created(1))));
    // b goes, and something of it still counted.
    assert!(table.add(&entry("c", 4, created(1))));
    assert_eq!(table.len(), 2);
    let now = minute(4);
    assert_eq!(
        ["a", "b", "c"].map(|it| table.sum(it, now).created),
        [2, 0, 1]
    );
    // What is over anyway is no loss.
    assert!(!table.add(&entry("d", 500, created(1))));
    // Taken back of somebody who was forgotten: nothing.
    table.take_back(&entry("b", 2, created(1)));
    assert_eq!(table.len(), 2);
}

#[test]
fn whoever_invents_credentials_pushes_out_nobody_who_is_known() {
    let mut table = Table::new(3);
    let taken = entry("taken", 1, created(1));
    table.add(&taken);
    assert!(!table.accept(&taken));
    table.add(&proven("proven", 1, created(2)));
    // A change of each was refused in between: they stay known.
    for caller in ["taken", "proven"] {
        table.add(&entry(caller, 1, created(7)));
        table.take_back(&entry(caller, 1, created(7)));
    }
    let emptied = proven("emptied", 1, created(1));
    table.add(&emptied);
    table.take_back(&emptied);
    table.add(&entry("emptied", 1, created(4)));
    for number in 0..50 {
        table.add(&entry(&format!("invented {number}"), 2, created(1)));
    }
    let now = minute(2);
    let sums = ["taken", "proven", "emptied", "invented 0", "invented 49"];
    assert_eq!(sums.map(|it| table.sum(it, now).created), [1, 2, 4, 0, 1]);
    assert_eq!(table.len(), 6);
    // Among those who are known, one goes for another, and that is told.
    let last = entry("invented 49", 2, created(1));
    assert!(table.accept(&last));
    assert_eq!(table.sum("taken", now), created(0));
    assert!(!table.accept(&last));
}

#[test]
fn a_caller_who_did_nothing_in_the_end_takes_no_room() {
    let recent = Recent::new(Metrics::new("1.2.3"));
    let counting = |caller: &str| {
        let turns = Turns::new(Duration::from_secs(1));
        Counting {
            recent: recent.clone(),
            entry: entry(caller, 7, created(1)),
            name: HashKey::new([1; 32]).name(caller),
            _turn: turns.try_take(caller).unwrap(),
        }
    };
    let sum = || recent.table().sum("a", minute(7)).created;
    // Given up before it was judged, and before it was sent.
    drop(counting("a"));
    let spent = counting("a").spend();
    assert_eq!(sum(), 1);
    drop(spent);
    assert_eq!((sum(), recent.table().len()), (0, 0));
    // Sent, and nobody knows more; then what is known.
    drop(counting("a").spend().sent());
    assert_eq!(sum(), 1);
    for (outcome, status, wanted) in [
        (Answer::Answered, Some(204), 2),
        (Answer::Answered, Some(401), 2),
        (Answer::Failed, None, 2),
        (Answer::Unknown, None, 3),
        (Answer::Answered, Some(500), 4),
    ] {
        let became = Became {
            outcome,
            status,
            detail: None,
            credential: None,
        };
        counting("a").spend().sent().came_to(&became);
        assert_eq!(sum(), wanted, "{outcome:?} {status:?}");
    }
}

#[test]
fn what_a_request_comes_to() {
    let input = |change: Value| -> Input {
        serde_json::from_value(json!({
            "operation": "token.update", "api": "v2", "environment": {"name": "a"}, "change": change,
            "time": "2026-11-24T10:00:00Z",
        }))
        .unwrap()
    };
    let known = input(json!({"scopes": {"requested": ["a", "b", "c"], "added": ["b", "c", "b"]}}));
    let unknown = input(json!({"scopes": {"requested": ["a", "b", "a"]}}));
    let none = input(json!({}));
    for (operation, input, wanted) in [
        (Operation::TokenUpdate, &known, [0, 2, 0]),
        (Operation::TokenUpdate, &unknown, [0, 2, 0]),
        (Operation::TokenUpdate, &none, [0, 0, 0]),
        (Operation::TokenCreate, &known, [1, 2, 0]),
        (Operation::ClusterTokenCreate, &none, [1, 0, 0]),
        (Operation::TokenDelete, &unknown, [0, 0, 1]),
        (Operation::ActiveGateTokenCreate, &unknown, [0, 0, 0]),
    ] {
        let Amounts {
            created,
            scopes_gained,
            removed,
        } = amounts(Some(operation), input);
        assert_eq!([created, scopes_gained, removed], wanted, "{operation}");
    }
    assert_eq!(amounts(None, &known), Amounts::default());
}

/// A journal of these records, in two segments.
fn journal(records: &[Value], cut: usize) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut segment = 1;
    for part in [&records[..cut], &records[cut..]] {
        let lines = part.iter().map(|record| format!("{record}\n"));
        let path = directory.path().join(format!("{segment:020}.jsonl"));
        if !part.is_empty() {
            std::fs::write(path, lines.collect::<String>()).unwrap();
        }
        segment += part.len();
    }
    directory
}

const NOW: &str = "2026-11-24T10:00:30Z";

fn decision(seq: usize, caller: &str, minutes_ago: i64, amounts: [u64; 3]) -> Value {
    let time = at(NOW) - jiff::SignedDuration::from_mins(minutes_ago);
    json!({
        "seq": seq, "kind": "decision", "timestamp": time.to_string(), "verdict": "allow",
        "counted": {"caller": caller, "created": amounts[0], "scopes_gained": amounts[1], "removed": amounts[2]},
    })
}

#[test]
fn a_journal_tells_of_the_last_hour() {
    let outcome = |of: usize, how: &str, status: Value| json!({"seq": 90 + of, "kind": "outcome", "decision_seq": of, "outcome": how, "status": status});
    let records = [
        decision(1, "a", 62, [1, 0, 0]),
        decision(2, "a", 59, [1, 4, 0]),
        decision(3, "a", 5, [0, 2, 0]),
        outcome(3, "answered", json!(403)),
        decision(5, "a", 4, [0, 0, 1]),
        outcome(5, "failed", json!(null)),
        decision(7, "a", 3, [0, 1, 1]),
        outcome(7, "answered", json!(204)),
        decision(9, "b", -30, [7, 0, 0]),
        json!({"seq": 10, "kind": "settled", "decision_seq": 9, "found": "not_done"}),
        decision(11, "b", -30, [2, 0, 0]),
        json!({"seq": 12, "kind": "decision", "timestamp": NOW, "counted": "nothing"}),
        json!({"seq": 13, "kind": "decision", "timestamp": "never", "counted": {"caller": "a", "created": 9}}),
        json!({"seq": 14, "kind": "decision", "timestamp": NOW, "note": "\"counted\":{\"caller\":\"a\",\"created\":9}"}),
    ];
    for cut in [0, 2, records.len()] {
        let directory = journal(&records, cut);
        let recent = Recent::new(Metrics::new("1.2.3"));
        recent.restore(directory.path(), at(NOW), true);
        let of = |caller: &str, now: &str| {
            let sum = recent.of(caller, at(now));
            [sum.created, sum.scopes_gained, sum.removed]
        };
        assert_eq!(of("a", NOW), [1, 5, 1], "{cut}");
        assert_eq!(of("b", NOW), [2, 0, 0]);
        // Of whatever the clock said, nothing counts for longer than an hour from now.
        assert_eq!(of("b", "2026-11-24T11:01:30Z"), [0; 3]);
    }
    Recent::new(Metrics::new("1.2.3")).restore(Path::new("/nowhere"), at(NOW), true);
}

#[test]
fn who_is_known_is_read_from_a_journal_too() {
    let caller = |name: &str, number: usize, shown: Value, status: u16| {
        let mut record = decision(2 * number + 1, name, 5, [1, 0, 0]);
        record["caller"] = shown;
        let outcome = json!({"seq": 2 * number + 2, "kind": "outcome", "decision_seq": 2 * number + 1,
            "outcome": "answered", "status": status});
        [record, outcome]
    };
    let id = json!({"id": "dt0c01.A", "kind": "api-token"});
    let mut records = Vec::new();
    records.extend(caller("taken", 0, id.clone(), 201));
    let jwt = json!({"jwt": {"issuer": "https://i", "subject": "s"}});
    records.extend(caller("jwt", 1, jwt, 503));
    let certificate = json!({"certificate": {"subject": "CN=a", "fingerprint": "aa"}});
    records.extend(caller("certificate", 2, certificate, 503));
    records.extend(caller("stranger", 3, id.clone(), 503));
    for number in 4..MOST_CALLERS + 4 {
        records.extend(caller(
            &format!("invented {number}"),
            number,
            id.clone(),
            503,
        ));
    }
    let directory = journal(&records, 10);
    let recent = Recent::new(Metrics::new("1.2.3"));
    recent.restore(directory.path(), at(NOW), true);
    let of = |name: &str| recent.of(name, at(NOW)).created;
    assert_eq!(
        ["taken", "jwt", "certificate", "stranger"].map(of),
        [1, 1, 1, 0]
    );
}

#[test]
fn no_more_of_a_journal_is_read_than_so_many_records() {
    let records: Vec<Value> = (1..=6)
        .map(|seq| decision(seq, "a", 10, [1, 0, 0]))
        .collect();
    let directory = journal(&records, 4);
    let read = |since: &str, most: u64| {
        let (mut lines, is_all) =
            crate::audit::lines::since(directory.path(), at(since), most).unwrap();
        let count = std::iter::from_fn(|| lines.next_line().unwrap()).count();
        (count, is_all)
    };
    assert_eq!(read("2026-11-24T09:00:00Z", 4), (6, true));
    assert_eq!(read("2026-11-24T09:00:00Z", 3), (2, false));
    // The last segment begins before that.
    assert_eq!(read("2026-11-24T09:59:00Z", 3), (2, true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is counted and taken back, the sum is that of a list of all changes.
    #[test]
    fn sums_are_those_of_a_list(steps in prop::collection::vec((0..3_usize, 0..200_i64, 0..5_u64, any::<bool>()), 1..80)) {
        let mut table = Table::new(10);
        let mut all: HashMap<usize, Vec<(i64, u64)>> = HashMap::new();
        let mut steps = steps;
        steps.sort_by_key(|step| step.1);
        for (caller, at, amount, is_taken_back) in steps {
            let change = entry(["a", "b", "c"][caller], at, created(amount));
            table.add(&change);
            if is_taken_back {
                table.take_back(&change);
            } else {
                all.entry(caller).or_default().push((at, amount));
            }
            for (number, name) in ["a", "b", "c"].iter().enumerate() {
                let list = all.get(&number).into_iter().flatten();
                let wanted: u64 = list.filter(|(minute, _)| *minute >= at - 60).map(|(_, amount)| amount).sum();
                prop_assert_eq!(table.sum(name, minute(at)), created(wanted));
            }
        }
    }
}

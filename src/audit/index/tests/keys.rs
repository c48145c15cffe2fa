//! Keys of pseudonyms that records tell of are known however long ago that was.

use super::*;
use crate::audit::pseudonym::{Differing, MOST_KEYS, Said, differing};

const TIME: &str = "2026-11-24T01:30:00.123Z";

fn key(version: u32, fingerprint: &str) -> Value {
    json!({"fields": ["caller.address"], "key": format!("v{version}"), "fingerprint": fingerprint})
}

fn told(kind: &str, pseudonyms: &Value) -> Value {
    json!({"kind": kind, "timestamp": TIME, "pseudonyms": pseudonyms})
}

fn said(version: u32, fingerprint: &str) -> Said {
    Said {
        version,
        fingerprint: Some(fingerprint.to_owned()),
    }
}

fn of(records: &[Value]) -> Vec<Said> {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), records);
    indexed(directory.path()).said_of_keys().unwrap()
}

#[test]
fn a_key_is_known_however_often_a_gate_was_started_since() {
    let mut records = vec![
        told("start", &key(1, "a")),
        json!({"kind": "start", "timestamp": TIME}),
    ];
    records.extend((0..300).map(|_| told("start", &key(2, "b"))));
    records.extend((0..300).map(|_| told("reload", &key(2, "b"))));
    assert_eq!(of(&records), [said(1, "a"), said(2, "b")]);
    // Earlier builds told no fingerprint.
    records.push(told("start", &json!({"key": "v1"})));
    let early = Said {
        version: 1,
        fingerprint: None,
    };
    assert_eq!(of(&records), [said(1, "a"), said(2, "b"), early]);
}

#[test]
fn of_several_keys_with_one_number_the_one_is_last_that_was_told_of_last() {
    let keys = |names: &str| {
        names
            .chars()
            .map(|name| key(1, &name.to_string()))
            .collect::<Vec<_>>()
    };
    let record = |(kind, names): (&str, &str)| match kind {
        "pruned" => told(kind, &json!(keys(names))),
        _ => told(kind, &keys(names)[0]),
    };
    for (records, wanted) in [
        (&[("start", "a"), ("start", "b"), ("start", "a")][..], "ba"),
        (&[("pruned", "ba")], "ba"),
        (&[("start", "b"), ("pruned", "ba")], "ab"),
        (&[("pruned", "a"), ("reload", "b"), ("pruned", "ba")], "ab"),
        (&[("pruned", "b"), ("pruned", "abc")], "abc"),
        // What stands in other records is no matter.
        (&[("decision", "a"), ("stop", "b"), ("start", "c")], "c"),
    ] {
        let records: Vec<Value> = records.iter().copied().map(record).collect();
        let all = of(&records).into_iter();
        let all: String = all.filter_map(|it| it.fingerprint).collect();
        assert_eq!(all, wanted, "{records:?}");
    }
}

#[test]
fn what_told_of_a_key_may_be_deleted_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let text = lines(&[
        told("start", &key(1, "a")),
        json!({"kind": "stop", "timestamp": TIME}),
        told("start", &key(2, "b")),
    ]);
    let at = memchr::memrchr(b'\n', &text[..text.len() - 1]).unwrap() + 1;
    let first = segment(directory.path());
    std::fs::write(&first, &text[..at]).unwrap();
    std::fs::write(
        directory.path().join(format!("{:020}.jsonl", 3)),
        &text[at..],
    )
    .unwrap();
    let mut index = indexed(directory.path());
    std::fs::remove_file(first).unwrap();
    index.catch_up(|_| true).unwrap();
    assert_eq!(index.line(1).unwrap(), None);
    assert_eq!(index.said_of_keys().unwrap(), [said(1, "a"), said(2, "b")]);
}

/// Whoever makes up so many has the index say that there may be more, and not that all are there.
#[test]
fn keys_that_are_made_up_take_no_room_and_leave_nothing_certain() {
    let long = "f".repeat(100_000);
    let most = u32::try_from(MOST_KEYS).unwrap();
    let made_up = |count: u32| {
        (0..count)
            .map(|at| key(1, &format!("{at}")))
            .collect::<Vec<_>>()
    };
    let starts = |count: u32| {
        made_up(count)
            .into_iter()
            .map(|key| told("start", &key))
            .collect::<Vec<_>>()
    };
    let pruned = vec![told("pruned", &json!(made_up(3 * most)))];
    let others = [
        Differing::Key {
            version: 1,
            is_replaced: false,
        },
        Differing::Others { more: true },
    ];
    for (records, count) in [
        (starts(most - 1), most - 1),
        (starts(most + 500), most),
        (pruned, most),
    ] {
        let kept = of(&records);
        assert_eq!(kept.len(), count as usize);
        let lost = differing(None, &kept).unwrap();
        assert_eq!(lost, others[..if count < most { 1 } else { 2 }]);
    }
    let records = [
        told("start", &key(1, &long)),
        told("pruned", &json!([key(2, &long), key(2, &long)])),
    ];
    let kept = of(&records);
    assert_eq!(kept.len(), 2);
    assert!(
        kept.iter()
            .all(|it| it.fingerprint.as_ref().is_some_and(|it| it.len() < 100))
    );
    // One that no file could have a number for.
    let records = ["v4294967295", "v4294967296"].map(|key| told("start", &json!({"key": key})));
    let kept = of(&records);
    assert_eq!(kept.len(), 1);
    assert_eq!(differing(None, &kept).unwrap().last(), others.last());
}

//! What a record that is missing, or hides what it is about, leaves of the certainty of `history` and `settle`: wherever it
//! stands, and however it hides it.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::audit::written;
use crate::beside::{TOKEN, answered, audit, change, start};

const UUID: &str = "019ab533-0040-7000-8000-00000000000a";
const NAMED: &str = "hmac-sha256:v1:00000000000000000000000000000000";

/// What is done to a change that is between others, so that nobody knows that it is of the token.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// It is a change of another token.
    Other,
    Gone,
    Unread,
    MaskedId,
    MaskedIdAndPath,
    MaskedInput,
    HalfMasked,
    MaskedEnvironment,
    ReplacedEnvironment,
    LostKey,
    HalfLostKey,
}

const HIDDEN: [How; 10] = [
    How::Gone,
    How::Unread,
    How::MaskedId,
    How::MaskedIdAndPath,
    How::MaskedInput,
    How::HalfMasked,
    How::MaskedEnvironment,
    How::ReplacedEnvironment,
    How::LostKey,
    How::HalfLostKey,
];

fn hidden(minute: u32, how: How) -> Value {
    let mut record = change(minute, &["x"], &["b"]);
    let mut erase = |around: &str, name: &str| {
        let members = record.pointer_mut(around).unwrap();
        members.as_object_mut().unwrap().remove(name);
        let erased = &mut record["erased"];
        if erased.is_null() {
            *erased = json!([]);
        }
        let path = json!(format!("{around}/{name}"));
        erased.as_array_mut().unwrap().push(path);
    };
    match how {
        How::Other => {
            for place in ["/input/token/id", "/input/token/current/id"] {
                *record.pointer_mut(place).unwrap() = json!("dt0c01.OTHER");
            }
        }
        How::Gone | How::Unread => {}
        How::MaskedId => erase("/input/token", "id"),
        How::MaskedIdAndPath => {
            erase("/input/token", "id");
            erase("/input/token", "current");
            erase("/request", "path");
        }
        How::MaskedInput => {
            erase("", "input");
            record["environment"] = json!("prod");
        }
        How::HalfMasked => {
            erase("/input/token", "current");
            record["input"]["token"]["id"] = json!(UUID);
        }
        How::MaskedEnvironment => erase("/input", "environment"),
        How::ReplacedEnvironment => {
            record["input"]["environment"]["name"] = json!("hidden");
            record["masked"] = json!(["/input/environment/name"]);
        }
        How::LostKey => {
            record["input"]["token"] = json!({"id": NAMED});
            record["pseudonyms"] = json!(["/input/token/id"]);
        }
        How::HalfLostKey => {
            record["input"]["token"]["id"] = json!(UUID);
            record["input"]["token"]["current"]["id"] = json!(NAMED);
            record["pseudonyms"] = json!(["/input/token/current/id"]);
        }
    }
    record
}

/// Known at 20, in doubt at 30, and looked up at 50; and a change at one of these minutes of which somebody may not know. With
/// the numbers of the change in doubt and of the lookup.
fn journal(how: How, hidden_at: u32, seen: &str) -> (TempDir, [u64; 2]) {
    let mut blind = change(30, &[], &["b"]);
    blind["input"]["token"]
        .as_object_mut()
        .unwrap()
        .remove("current");
    blind["input"]["change"] = json!({"scopes": {"requested": ["b"]}});
    // A line that stands nearer to the beginning than so many records have room is none.
    let mut gate = start(&["a_policy_with_a_long_name"; 20]);
    gate["pseudonyms"] = json!({"fields": ["caller.token.id"], "key": "v1"});
    let mut all = vec![
        (4, hidden(4, How::Other), true),
        (20, change(20, &["z"], &["a"]), true),
        (30, blind, false),
        (50, change(50, &[seen], &["c"]), true),
        (hidden_at, hidden(hidden_at, how), true),
    ];
    all.sort_by_key(|(minute, ..)| *minute);
    let (mut records, mut gone, mut numbers) = (vec![gate], Vec::new(), [0; 2]);
    for (minute, record, is_done) in all {
        records.push(record);
        let seq = records.len() as u64;
        match minute {
            30 => numbers[0] = seq,
            50 => numbers[1] = seq,
            _ => {}
        }
        if is_done {
            records.push(answered(minute, seq));
        }
        if minute == hidden_at {
            gone.extend([seq, seq + 1]);
        }
    }
    // The end is there in any case.
    records.push(start(&[]));
    let directory = written(&records);
    if matches!(how, How::Gone | How::Unread) {
        let segment = directory.path().join("journal/00000000000000000001.jsonl");
        let text = std::fs::read_to_string(&segment).unwrap();
        let lines = text.lines().zip(1_u64..);
        let lines = lines.filter_map(|(line, seq)| match how {
            _ if !gone.contains(&seq) => Some(format!("{line}\n")),
            How::Gone => None,
            _ => Some("x\n".to_owned()),
        });
        std::fs::write(&segment, lines.collect::<String>()).unwrap();
    }
    (directory, numbers)
}

/// What is said of the change in doubt.
#[derive(Debug, PartialEq)]
struct Said {
    what: String,
    carried_out: Value,
    unsure: Value,
    is_counted: bool,
    found: String,
    why: String,
    settled: Vec<Value>,
}

fn said(directory: &TempDir) -> Said {
    let directory = directory.path();
    let ran = audit(directory, &["history", TOKEN, "--format", "json"]);
    let lines = ran.out.lines();
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found = lines.find(|it| it["what"].as_str().unwrap().starts_with('#'));
    let found = found.unwrap_or_else(|| panic!("{} {}", ran.out, ran.err));
    let pretty = audit(directory, &["history", TOKEN]).out;
    let what = found["what"].as_str().unwrap().to_owned();
    assert!(pretty.contains(&what), "{what}: {pretty}");
    let csv = audit(directory, &["history", TOKEN, "--format", "csv"]).out;
    let row = csv.lines().find(|line| line.contains(&what)).unwrap();
    assert!(row.ends_with(&format!(",{}", found["unsure"])), "{row}");
    let listed = audit(directory, &["settle", "--format", "json"]).out;
    let mut listed = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let doubt = listed
        .find(|it| it["timestamp"] == "2026-11-24T10:30:00.000Z")
        .unwrap();
    let text = |name: &str| doubt[name].as_str().unwrap().to_owned();
    let said = (text("found"), text("detail"));
    audit(directory, &["settle", "--apply"]);
    let journal = records_of(directory);
    let settled = journal.filter(|it| it["kind"] == "settled");
    Said {
        what,
        carried_out: found["carried_out"].clone(),
        unsure: found["unsure"].clone(),
        is_counted: pretty.contains("1 change in doubt"),
        found: said.0,
        why: said.1,
        settled: settled.map(|it| it["found"].clone()).collect(),
    }
}

/// Those that can be read.
fn records_of(directory: &std::path::Path) -> impl Iterator<Item = Value> {
    let text = std::fs::read_dir(directory.join("journal")).unwrap();
    let files = text.map(|it| it.unwrap().path());
    let segments = files.filter(|it| it.extension().is_some_and(|it| it == "jsonl"));
    let lines = segments.flat_map(|it| {
        let text = std::fs::read_to_string(it).unwrap();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.collect::<Vec<Value>>()
    });
    lines.collect::<Vec<_>>().into_iter()
}

#[test]
fn what_may_have_been_done_by_a_record_that_nobody_sees_is_not_said_for_certain() {
    for (seen, is_done) in [("b", true), ("a", false)] {
        let (is_certain, or, found) = if is_done {
            (
                "was carried out",
                ", or a record that is missing or hidden did the same",
                "done",
            )
        } else {
            (
                "was not carried out, or was undone",
                ", perhaps by a record that is missing or hidden",
                "not_done",
            )
        };
        for (how, minute) in [How::Other]
            .into_iter()
            .chain(HIDDEN)
            .flat_map(|how| [2, 25, 40, 55].map(|minute| (how, minute)))
        {
            let (directory, [number, by]) = journal(how, minute, seen);
            let said = said(&directory);
            let is_between = (20..50).contains(&minute);
            let is_unsure = how != How::Other && (is_between || how == How::Unread);
            let or = if is_unsure { or } else { "" };
            let at = format!("{how:?} at {minute}, {seen}");
            let what = format!("#{number} {is_certain}{or}: record {by} found it so");
            assert_eq!(said.what, what, "{at}");
            let carried_out = if is_unsure {
                Value::Null
            } else {
                json!(is_done)
            };
            assert_eq!(
                (&said.carried_out, &said.unsure),
                (&carried_out, &json!(is_unsure)),
                "{at}"
            );
            assert_eq!(said.is_counted, is_unsure, "{at}");
            if is_unsure {
                assert_eq!((&*said.found, said.settled.len()), ("unknown", 0), "{at}");
                let why = format!("record {by} found it ");
                assert!(
                    said.why.starts_with(&why) && said.why.contains("missing or hidden"),
                    "{at}: {}",
                    said.why
                );
            } else {
                let why = format!("record {by} found it so");
                assert_eq!((&*said.found, &*said.why), (found, &*why), "{at}");
                // Nothing is written to a journal that is damaged.
                let written = if matches!(how, How::Gone | How::Unread) {
                    vec![]
                } else {
                    vec![json!(found)]
                };
                assert_eq!(said.settled, written, "{at}");
            }
        }
    }
}

/// What is said to be elsewhere may be of such a record, and what is carried on from before may not hold any more.
#[test]
fn nor_are_scopes_that_such_a_record_may_have_changed() {
    for (how, is_unsure) in [
        (How::Other, false),
        (How::Gone, true),
        (How::MaskedInput, true),
        (How::MaskedEnvironment, true),
    ] {
        let ran = audit(
            journal(how, 25, "q").0.path(),
            &["history", TOKEN, "--format", "json"],
        );
        let lines: Vec<Value> = ran
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let doubt = lines
            .iter()
            .find(|it| it["happened"].is_null() && !it["seq"].is_null())
            .unwrap();
        let before = if is_unsure { Value::Null } else { json!(["a"]) };
        assert_eq!(doubt["scopes_if_not_done"], before, "{how:?}");
        let found = lines.iter().find(|it| it["elsewhere"] == true).unwrap();
        let what = found["what"].as_str().unwrap();
        let words = "changed elsewhere, or by a record that is missing or hidden";
        assert_eq!(what.starts_with(words), is_unsure, "{how:?}: {what}");
        assert_eq!(found["unsure"], is_unsure, "{how:?}");
    }
}

#[test]
fn a_change_in_no_known_environment_is_followed_in_none_and_that_is_told_once() {
    for how in [How::MaskedEnvironment, How::ReplacedEnvironment] {
        let (directory, _) = journal(how, 40, "b");
        for arguments in [
            &["history", TOKEN][..],
            &["history", TOKEN, "--environment", "prod"],
        ] {
            let ran = audit(directory.path(), arguments);
            let note = "of 1 change of this token masks have hidden in which environment it was";
            assert_eq!(
                ran.err.matches(note).count(),
                1,
                "{arguments:?}: {}",
                ran.err
            );
            assert!(
                ran.out.contains("did the same"),
                "{arguments:?}: {}",
                ran.out
            );
        }
        let ran = audit(directory.path(), &["history", TOKEN, "--format", "json"]);
        let lines = ran
            .out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut masked = lines.filter(|it| it["timestamp"] == "2026-11-24T10:40:00.000Z");
        assert_eq!(masked.next().unwrap()["scopes_after"], Value::Null);
    }
    // Nor is it looked up in the environment that stands there.
    let mut doubt = hidden(30, How::ReplacedEnvironment);
    doubt["input"]["environment"]["name"] = json!("prod");
    let directory = written(&[start(&[]), doubt]);
    let looked = crate::one_token::audit_with_token(directory.path());
    let why = "masks have hidden in which environment it was";
    assert!(looked.out.contains(why), "{} {}", looked.out, looked.err);
}

#[test]
fn a_key_that_is_missing_is_told_once_beside_what_it_makes_unsure() {
    let (directory, _) = journal(How::LostKey, 40, "b");
    let ran = audit(directory.path(), &["history", TOKEN]);
    let note = "of 1 change since then a pseudonym stands for an id of the token, and a key of pseudonyms is missing: it may \
                be this one. Put the key back from a copy";
    assert_eq!(ran.err.matches(note).count(), 1, "{}", ran.err);
    let key = "the key pseudonym-v1.key is missing";
    assert_eq!(ran.err.matches(key).count(), 1, "{}", ran.err);
    let ran = audit(directory.path(), &["settle"]);
    assert_eq!(ran.err.matches(key).count(), 1, "{}", ran.err);
}

/// A look at the token now tells nothing of a change before which nobody knows what it had, or that an earlier one explains.
#[test]
fn what_an_earlier_change_explains_is_not_looked_up() {
    let asked = |records: &[Value]| crate::one_token::audit_with_token(written(records).path()).out;
    let earlier = "an earlier change of the token may have come into force after it";
    for (minute, is_late) in [(11, true), (14, true), (16, false)] {
        let out = asked(&[
            start(&[]),
            change(10, &["a"], &["b"]),
            change(minute, &["a"], &["b"]),
        ]);
        let last = out.lines().last().unwrap();
        assert_eq!(last.contains(earlier), is_late, "{minute}: {out}");
    }
}

/// Who asks by a pseudonym sees nothing of what others have done to the token, by its public id.
#[test]
fn where_a_pseudonym_is_all_that_is_known_changes_of_public_ids_leave_nothing_certain() {
    let named = |mut record: Value| {
        for place in ["/input/token/id", "/input/token/current/id"] {
            *record.pointer_mut(place).unwrap() = json!(NAMED);
        }
        record["pseudonyms"] = json!(["/input/token/id", "/input/token/current/id"]);
        record
    };
    for (minute, is_unsure) in [(2, false), (40, true)] {
        let other = (minute, hidden(minute, How::Other));
        let mut all = vec![
            (20, named(change(20, &["a"], &["b"]))),
            (50, named(change(50, &["b"], &["c"]))),
            other,
        ];
        all.sort_by_key(|(minute, _)| *minute);
        let all = all.into_iter().map(|(_, record)| record);
        let records: Vec<Value> = [start(&[])].into_iter().chain(all).collect();
        let directory = written(&records);
        let ran = audit(directory.path(), &["history", NAMED, "--format", "json"]);
        let lines = ran.out.lines();
        let mut lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found = lines.find(|it| it["seq"].is_null()).unwrap();
        assert_eq!(found["unsure"], is_unsure, "{minute}: {found}");
        let note = "an id of it is known by a pseudonym only";
        assert_eq!(ran.err.matches(note).count(), 1, "{}", ran.err);
        let ran = audit(directory.path(), &["settle", "--format", "json"]);
        let is_done = ran.out.contains("\"found\":\"done\"");
        assert_eq!(is_done, !is_unsure, "{minute}: {}", ran.out);
    }
}

/// A change for which nobody looked the token up.
fn blind(minute: u32, requested: &[&str]) -> Value {
    let mut record = change(minute, &[], requested);
    let token = record["input"]["token"].as_object_mut().unwrap();
    token.remove("current");
    record["input"]["change"] = json!({"scopes": {"requested": requested}});
    record
}

/// What somebody found done may have been done after the next change, and of two at once the first may be done last: a later
/// one that asks for the same is not said to be done because the token is so.
#[test]
fn what_may_have_come_into_force_late_explains_what_is_seen_later() {
    let settled = json!({"kind": "settled", "timestamp": "2026-11-24T10:32:00.000Z", "found": "done",
        "decision_id": "019ab533-0020-7000-8000-000000000001", "decision_seq": 2, "detail": "a person found it so"});
    let answered_later = |minute: u32, after: u32, seq: u64| {
        let mut outcome = answered(minute, seq);
        outcome["timestamp"] = answered(after, seq)["timestamp"].clone();
        outcome
    };
    let late = [
        start(&[]),
        blind(20, &["b"]),
        blind(21, &["a"]),
        answered(21, 3),
        settled,
    ];
    let at_once = [
        start(&[]),
        blind(20, &["b"]),
        blind(21, &["a"]),
        answered(21, 3),
        answered_later(20, 22, 2),
    ];
    let one_by_one = [
        start(&[]),
        blind(20, &["b"]),
        answered(20, 2),
        blind(21, &["a"]),
        answered(21, 4),
    ];
    for (before, is_certain) in [(late, false), (at_once, false), (one_by_one, true)] {
        let mut records = before.to_vec();
        records.extend([
            blind(30, &["b"]),
            change(50, &["b"], &["c"]),
            answered(50, 7),
        ]);
        let directory = written(&records);
        let history = audit(directory.path(), &["history", TOKEN]);
        let is_said = history.out.contains("was carried out");
        assert_eq!(is_said, is_certain, "{}", history.out);
        let settle = audit(directory.path(), &["settle", "--format", "json"]).out;
        let doubt = settle
            .lines()
            .find(|line| line.contains("10:30:00"))
            .unwrap();
        let is_done = doubt.contains("\"found\":\"done\"");
        assert_eq!(is_done, is_certain, "{doubt}");
    }
}

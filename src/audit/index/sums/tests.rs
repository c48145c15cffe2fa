use serde_json::json;

use super::*;
use crate::audit::index::tests::{decisions, indexed, write};

pub(in crate::audit::index) const ALL: [By; 15] = [
    By::Verdict,
    By::Policy,
    By::Code,
    By::Caller,
    By::Credential,
    By::Subject,
    By::Certificate,
    By::Team,
    By::Token,
    By::Scope,
    By::Environment,
    By::Operation,
    By::Client,
    By::Outcome,
    By::Challenger,
];

/// An index of decisions with many names, several of them in each.
fn several() -> (tempfile::TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    let all = (0..300_u64).map(|number| {
        let mut record = decisions(number..number + 1).remove(0);
        record["timestamp"] = json!(format!("2026-11-24T{:02}:30:00.123Z", number % 24));
        record["verdict"] = json!(if number % 3 == 0 { "deny" } else { "allow" });
        record["input"]["token"] = json!({"id": format!("id-{}", number % 50)});
        record["input"]["change"]["name"] = json!({"requested": format!("name-{number}")});
        let scopes: Vec<_> = (0..number % 9)
            .map(|at| format!("s{}", at * number % 70))
            .collect();
        record["input"]["change"]["scopes"]["requested"] = json!(scopes);
        record["result"] = json!({"violations": match number % 3 {
            0 => json!([{"policy": "a", "code": "x"}, {"policy": "b"}]),
            1 => json!([{"policy": "b"}]),
            _ => json!([]),
        }});
        record
    });
    write(directory.path(), &all.collect::<Vec<_>>());
    let index = indexed(directory.path());
    (directory, index)
}

/// Whatever is looked up at once, the sums are the same.
#[test]
fn what_is_looked_up_at_once_changes_no_sum() {
    let (_directory, index) = several();
    for by in ALL {
        for when in [When::Ever, When::Quarter] {
            let sums = |at_once| {
                let room = Room { at_once, ..ROOM };
                let sums = index.summed(&Filter::default(), by, when, room).unwrap();
                assert_eq!(sums.left_out, 0);
                let rows = index.by_rows(&Filter::default(), by, when, room).unwrap();
                assert_eq!(sums, rows);
                sums.all
            };
            let whole = sums(ROOM.at_once);
            let decisions: u64 = whole.iter().map(|it| it.allowed + it.denied).sum();
            assert!(decisions >= 300, "{by:?}: {decisions}");
            for at_once in [1, 7, 100] {
                assert_eq!(sums(at_once), whole, "{by:?} {when:?} {at_once}");
            }
        }
    }
}

/// Who has made very many names gets no more memory than others, and is told.
#[test]
fn names_that_there_is_no_room_for_are_left_out_and_counted() {
    let (_directory, index) = several();
    for by in [By::Token, By::Scope, By::Policy] {
        let sums = |names| {
            let room = Room { names, ..ROOM };
            index
                .summed(&Filter::default(), by, When::Ever, room)
                .unwrap()
        };
        let count = |sums: &Sums| -> u64 { sums.all.iter().map(|it| it.allowed + it.denied).sum() };
        let whole = count(&sums(ROOM.names));
        for names in [0, 100, 1000] {
            let sums = sums(names);
            let taken: usize = sums.all.iter().map(|it| it.name.len() + ENTRY).sum();
            assert!(taken <= names, "{by:?} {names}: {taken}");
            assert_eq!(count(&sums) + sums.left_out, whole, "{by:?} {names}");
        }
        assert!(sums(100).left_out > 0, "{by:?}");
    }
}

mod blocked;

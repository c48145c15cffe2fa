//! What the index answers is what a plain look at every record would, whatever the journal holds and however the index
//! came about.

mod hostile;
mod keys;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::audit::chain::Head;
use crate::audit::event::Record;

pub(super) fn write(directory: &Path, records: &[Value]) {
    std::fs::write(segment(directory), lines(records)).unwrap();
}

fn segment(directory: &Path) -> PathBuf {
    directory.join("00000000000000000001.jsonl")
}

pub(super) fn lines(records: &[Value]) -> Vec<u8> {
    let (mut head, mut lines) = (Head::origin(), Vec::new());
    for record in records {
        head.encode(&Record::of(record, 0), 0, &mut lines);
    }
    lines
}

pub(super) fn indexed(directory: &Path) -> Index {
    let mut index = Index::open(directory, &directory.join(FILE)).unwrap();
    index.catch_up(|_| true).unwrap();
    index
}

/// Whoever goes from decision to decision finds no other record on the way.
#[test]
fn beside_a_decision_are_decisions() {
    let directory = tempfile::tempdir().unwrap();
    let kinds = [
        "start",
        "decision",
        "outcome",
        "checkpoint",
        "decision",
        "outcome",
    ];
    let records = kinds.map(
        |kind| json!({"kind": kind, "timestamp": "2026-11-24T01:30:00.123Z", "decision_seq": 2}),
    );
    write(directory.path(), &records);
    let index = indexed(directory.path());
    assert_eq!(index.decisions_beside(2).unwrap(), (None, Some(5)));
    assert_eq!(index.decisions_beside(5).unwrap(), (Some(2), None));
    assert_eq!(index.neighbours(5).unwrap(), (Some(4), Some(6)));
}

const NAMES: [&str; 3] = ["payments", "pay", "éclair"];
const WORDS: [&str; 9] = [
    "not",
    "pay",
    "PAY x",
    "éclair x",
    "pay*",
    "api",
    "--",
    "no* éclair",
    "answer",
];
const SCOPES: [&str; 4] = ["metrics.read", "logs.read", "DataExport", "WriteConfig"];

/// A decision or another record, with members that are missing or of the wrong type now and then.
fn record() -> impl Strategy<Value = Value> {
    let scopes = || prop::collection::vec(prop::sample::select(&SCOPES[..]), 0..3);
    let name = || prop::sample::select(&NAMES[..]);
    let decision = (
        (0..4_u8, any::<bool>(), 0..3_u8, 0..5_i64, 0..100_u128),
        (name(), name(), scopes(), scopes(), scopes()),
        (name(), 0..4_u8, any::<bool>()),
    );
    let decision = decision.prop_map(|((kind, allow, env, hour, id), names, (caller, odd, no_op))| {
        let (current, requested, asked, added, removed) = names;
        let operation = ["token.update", "token.create", "token.delete", "settings.write"];
        let environment = ["a", "b", ""];
        let mut record = json!({
            "kind": "decision",
            "timestamp": format!("2026-11-24T0{hour}:30:00.123Z"),
            "decision_id": uuid::Uuid::from_u128(id << 64 | id).to_string(),
            "verdict": if allow { "allow" } else { "deny" },
            "operation": operation[usize::from(kind)],
            "requested_by": format!("10.1.{env}.3"),
            "caller": {"id": format!("dt0c01.{caller}"), "teams": [caller]},
            "input": {
                "environment": {"name": environment[usize::from(env)]},
                "token": {"id": format!("id-{current}"), "current": {"name": current}},
                "change": {
                    "name": {"requested": requested},
                    "scopes": {"requested": asked, "added": added, "removed": removed},
                },
            },
            "environment": "outer",
            "result": {"violations": if allow { json!([]) } else { json!([
                {"policy": "scopes", "code": "forbidden", "message": format!("not {requested}-x")},
            ]) }},
            "request": {"path": format!("/api/{current}")},
        });
        if no_op {
            record["input"]["change"]["differs"] = json!([]);
        }
        match odd {
            0 => record["input"]["change"]["scopes"]["added"] = json!({"a": 1}),
            1 => record["caller"] = json!([1, "x"]),
            2 => record["requested_by"] = json!(7),
            3 => record["grant"] = json!({"id": "g", "ticket": "OPS api"}),
            4 => record["grant"] = json!(["g"]),
            _ => {}
        }
        record
    });
    let outcome = outcome();
    let other = prop_oneof![
        Just(json!({"kind": "stop", "timestamp": "2026-11-24T09:30:00.123Z"})),
        Just(json!({"kind": 5, "timestamp": []})),
        (1..40_u64, 0..6_usize).prop_map(|(of, how)| {
            let differs = [
                json!("would_deny"),
                json!("would_allow"),
                json!("violations"),
                json!(7),
                json!("failed"),
                json!("timed_out"),
            ];
            json!({"kind": "challenger", "decision_seq": of, "differs": differs[how]})
        }),
        (1..40_u64, any::<bool>()).prop_map(|(of, is_known)| {
            let found = if is_known { "not_done" } else { "unknown" };
            json!({"kind": "settled", "decision_seq": of, "found": found})
        }),
    ];
    prop_oneof![6 => decision, 3 => outcome, 1 => other]
}

/// How a decision ended, with members of the wrong type now and then.
fn outcome() -> impl Strategy<Value = Value> {
    let status = [json!(200), json!(503), json!(302), json!(400), Value::Null];
    let status = prop::sample::select(status.to_vec());
    let name = prop::sample::select(&NAMES[..]);
    let detail = prop::sample::select(vec!["", "No answer: pay", "éclair, api"]);
    let outcome = (1..40_u64, 0..4_usize, name, detail, status);
    outcome.prop_map(|(of, how, made, detail, status)| {
        let outcome = [json!("answered"), json!("failed"), json!("unknown"), json!(5)];
        json!({
            "kind": "outcome", "timestamp": "2026-11-24T09:30:00.123Z", "decision_seq": of,
            "outcome": outcome[how], "status": status, "duration_ms": 1.25, "credential": {"id": made},
            "detail": detail,
        })
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let pattern = |of: &'static [&'static str]| {
        let one = (prop::sample::select(of), any::<bool>()).prop_map(|(text, exactly)| {
            if exactly {
                Pattern::Exactly(text.to_owned())
            } else {
                Pattern::Begins(text.chars().take(3).collect())
            }
        });
        prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..3)]
    };
    let maybe = |of: &'static [&'static str]| prop_oneof![4 => Just(None), 1 => prop::sample::select(of).prop_map(Some)];
    let texts = (
        pattern(&["payments", "id-pay", "éclair", "nobody"]),
        pattern(&SCOPES),
        pattern(&SCOPES),
        pattern(&SCOPES),
        pattern(&["a", "outer", "b"]),
        pattern(&["token.update", "settings.write"]),
    );
    let others = (
        pattern(&["dt0c01.pay", "dt0c01.payments", "dt0c01.é"]),
        maybe(&WORDS),
        maybe(&["10.1.0.0/16", "10.1.2.3", "10.1.1.0/24"]),
        prop_oneof![2 => Just(None), 1 => any::<bool>().prop_map(Some)],
        prop_oneof![2 => Just(None), 1 => any::<bool>().prop_map(Some)],
        prop_oneof![4 => Just(None), 1 => prop::sample::select(vec![
            Which::Answered, Which::Failed, Which::Unknown, Which::None, Which::Doubt, Which::Settled,
        ]).prop_map(Some)],
        (
            pattern(&["scopes"]),
            pattern(&["forbidden"]),
            pattern(&["pay", "éclair"]),
        ),
        (
            prop::option::of(0..6_i64),
            prop::option::of(0..6_i64),
            prop::option::of(1..40_u64),
        ),
        prop_oneof![5 => Just(None), 1 => (0..100_u128).prop_map(Some)],
        prop_oneof![4 => Just(None), 1 => prop::sample::select(vec![
            Otherwise::Allow, Otherwise::Any, Otherwise::Deny,
        ]).prop_map(Some)],
    );
    (texts, others, prop::bool::weighted(0.2)).prop_map(|(texts, others, granted)| {
        let (token, scope, added, removed, environment, operation) = texts;
        let (caller, text, client, allowed, no_op, outcome, policies, times, id, challenger) =
            others;
        let hour = |hour: i64| {
            let time: jiff::Timestamp = format!("2026-11-24T0{hour}:30:00.123Z").parse().unwrap();
            time.as_millisecond()
        };
        Filter {
            token,
            scope,
            added,
            removed,
            environment,
            operation,
            caller,
            text: text.map(str::to_owned),
            client: client.into_iter().map(|it| it.parse().unwrap()).collect(),
            allowed,
            no_op,
            outcome,
            challenger,
            policy: policies.0,
            code: policies.1,
            team: policies.2,
            since: times.0.map(hour),
            until: times.1.map(hour),
            before: times.2,
            id: id.map(|id| uuid::Uuid::from_u128(id << 64 | id).to_string()),
            granted,
            ..Filter::default()
        }
    })
}

/// The numbers of the decisions that a filter lets through, by looking at all of them.
fn plainly(records: &[Value], filter: &Filter) -> Vec<u64> {
    let mut found = Vec::new();
    for (number, record) in records.iter().enumerate().rev() {
        let seq = number as u64 + 1;
        if record["kind"] == "decision" && fits(records, record, seq, filter) {
            found.push(seq);
        }
    }
    found
}

#[expect(clippy::too_many_lines, reason = "one question a filter")]
fn fits(records: &[Value], record: &Value, seq: u64, filter: &Filter) -> bool {
    let text = |at: &str| {
        record
            .pointer(at)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let list = |at: &str| -> Vec<String> {
        let list = record.pointer(at).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let any = |patterns: &[Pattern], texts: &[String]| {
        patterns.is_empty()
            || texts
                .iter()
                .any(|text| !text.is_empty() && patterns.iter().any(|pattern| pattern.fits(text)))
    };
    let later = |kind: &str| {
        let after = records.iter().skip(usize::try_from(seq).unwrap());
        let of_it = after.filter(|it| it["kind"] == kind && it["decision_seq"] == seq);
        of_it.cloned().collect::<Vec<Value>>()
    };
    let outcomes = later("outcome");
    let mut names = vec![text("/input/token/id"), text("/input/token/current/name")];
    names.extend([
        text("/input/change/name/requested"),
        text("/input/change/name/current"),
    ]);
    names.extend(
        outcomes
            .iter()
            .map(|it| it["credential"]["id"].as_str().unwrap().to_owned()),
    );
    let environment = match text("/input/environment/name") {
        name if name.is_empty() => text("/environment"),
        name => name,
    };
    let violations = |member: &str| -> Vec<String> {
        let list = record
            .pointer("/result/violations")
            .and_then(Value::as_array);
        let texts = list
            .into_iter()
            .flatten()
            .map(|it| it[member].as_str().unwrap().to_owned());
        texts.collect()
    };
    let outcome = outcomes
        .last()
        .map(|it| it["outcome"].as_str().unwrap_or("unknown").to_owned());
    let status = outcomes.last().and_then(|it| it["status"].as_u64());
    let is_clear = status.is_some_and(|status| [200, 400].contains(&status));
    let ms = text("/timestamp")
        .parse::<jiff::Timestamp>()
        .unwrap()
        .as_millisecond();
    let allow = text("/verdict") == "allow";
    let is_changing = ["token.update", "settings.write"].contains(&&*text("/operation"));
    let no_op = record.pointer("/input/change/differs") == Some(&json!([])) && is_changing;
    let doubt = allow && outcome.is_none();
    let otherwise = later("challenger")
        .last()
        .map(|it| match it["differs"].as_str() {
            Some("would_deny") => Otherwise::Deny,
            Some("would_allow") => Otherwise::Allow,
            Some("failed") => Otherwise::Failed,
            Some("timed_out") => Otherwise::TimedOut,
            _ => Otherwise::Any,
        });
    let is_open = later("settled").iter().all(|it| it["found"] == "unknown");
    let details = outcomes.iter().map(|it| it["detail"].as_str());
    let details: Vec<String> = details
        .map(|it| it.unwrap_or_default().to_owned())
        .collect();
    let searched: Vec<String> = names[..4]
        .iter()
        .chain(&details)
        .chain(&violations("message"))
        .chain(&[
            text("/request/path"),
            text("/grant/id"),
            text("/grant/ticket"),
        ])
        .flat_map(|text| {
            let text = text.to_lowercase();
            let words = text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric());
            words.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let has_words = |wanted: &str| {
        let wanted = wanted.to_lowercase();
        let mut words = wanted.split(' ').filter(|word| *word != "--").peekable();
        words.peek().is_some()
            && words.all(|word| match word.strip_suffix('*') {
                Some(begin) => searched.iter().any(|it| it.starts_with(begin)),
                None => searched.iter().any(|it| it == word),
            })
    };
    any(&filter.token, &names)
        && any(&filter.scope, &list("/input/change/scopes/requested"))
        && any(&filter.added, &list("/input/change/scopes/added"))
        && any(&filter.removed, &list("/input/change/scopes/removed"))
        && any(&filter.environment, &[environment])
        && any(&filter.operation, &[text("/operation")])
        && any(&filter.policy, &violations("policy"))
        && any(&filter.code, &violations("code"))
        && any(&filter.team, &list("/caller/teams"))
        && any(&filter.caller, &[text("/caller/id")])
        && filter.client.iter().all(|network| {
            text("/requested_by")
                .parse()
                .is_ok_and(|address| network.contains(address))
        })
        && filter.allowed.is_none_or(|wanted| wanted == allow)
        && filter.no_op.is_none_or(|wanted| wanted == no_op)
        && filter
            .id
            .as_ref()
            .is_none_or(|id| *id == text("/decision_id"))
        && filter.since.is_none_or(|since| ms >= since)
        && filter.until.is_none_or(|until| ms < until)
        && filter.before.is_none_or(|before| seq < before)
        && (!filter.granted || !text("/grant/id").is_empty())
        && filter.text.as_deref().is_none_or(has_words)
        && filter.challenger.is_none_or(|wanted| match wanted {
            Otherwise::Any => otherwise.is_some(),
            one => otherwise == Some(one),
        })
        && filter.outcome.is_none_or(|wanted| match wanted {
            Which::Answered => outcome.as_deref() == Some("answered"),
            Which::Failed => outcome.as_deref() == Some("failed"),
            Which::Unknown => outcome.as_deref() == Some("unknown"),
            Which::None => doubt,
            Which::Doubt | Which::Settled => {
                let is_unclear = outcome.as_deref() == Some("answered") && !is_clear;
                let is_unknown = outcome.as_deref() == Some("unknown");
                let was_in_doubt = doubt || allow && (is_unclear || is_unknown);
                was_in_doubt && is_open == (wanted == Which::Doubt)
            }
        })
}

fn found(index: &Index, filter: &Filter, limit: usize) -> Vec<u64> {
    let page = index.find(filter, limit).unwrap();
    page.decisions.iter().map(|decided| decided.seq).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_found_is_what_a_look_at_every_record_finds(
        records in prop::collection::vec(record(), 1..40),
        filters in prop::collection::vec(filter(), 24),
        cut in 0..40_usize,
    ) {
        let directory = tempfile::tempdir().unwrap();
        // In two goes: what comes later is about what was there.
        write(directory.path(), &records[..cut.min(records.len())]);
        drop(indexed(directory.path()));
        write(directory.path(), &records);
        let index = indexed(directory.path());
        prop_assert_eq!(index.last().unwrap(), records.len() as u64);
        for filter in &filters {
            let wanted = plainly(&records, filter);
            prop_assert_eq!(found(&index, filter, 100), wanted.clone(), "{:?}", filter);
            let page = index.find(filter, 1).unwrap();
            prop_assert_eq!(page.more, wanted.len() > 1);
            let sums = index.sums(filter, By::Verdict).unwrap().all;
            let counted: u64 = sums.iter().map(|sum| sum.allowed + sum.denied).sum();
            if filter.id.is_none() {
                prop_assert_eq!(counted, wanted.len() as u64);
            }
        }
    }
}

pub(super) fn decisions(numbers: std::ops::Range<u64>) -> Vec<Value> {
    let records = numbers.map(|number| {
        json!({
            "kind": "decision", "timestamp": "2026-11-24T06:30:00.123Z", "verdict": "allow",
            "decision_id": uuid::Uuid::from_u128(u128::from(number) << 64).to_string(),
            "operation": "token.update", "input": {"token": {"id": format!("id-{number}")}},
        })
    });
    records.collect()
}

fn all(index: &Index) -> Vec<u64> {
    found(index, &Filter::default(), 1000)
}

#[test]
fn large_records_come_into_an_index_a_few_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut records = decisions(0..40);
    for record in &mut records {
        record["error"] = json!("x".repeat(1 << 20));
    }
    write(directory.path(), &records);
    let mut index = Index::open(directory.path(), &directory.path().join(FILE)).unwrap();
    let mut steps = Vec::new();
    index
        .catch_up(|seq| {
            steps.push(seq);
            true
        })
        .unwrap();
    assert_eq!(steps, [32]);
    assert_eq!(all(&index).len(), 40);
}

/// What an outcome says comes to the words of its decision, whether both are indexed at once or not.
#[test]
fn what_an_outcome_says_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = |of: u64, detail: &str| json!({"kind": "outcome", "decision_seq": of, "outcome": "failed", "detail": detail});
    let mut records = decisions(0..5);
    records.push(outcome(2, "no answer"));
    write(directory.path(), &records);
    let mut index = indexed(directory.path());
    for (of, detail) in [
        (4, "connection reset"),
        (1, "reset by peer"),
        (2, "at last"),
        (3, ""),
    ] {
        records.push(outcome(of, detail));
    }
    write(directory.path(), &records);
    index.catch_up(|_| true).unwrap();
    let by = |text: &str, limit: usize| {
        let text = Some(text.to_owned());
        let filter = Filter {
            text,
            ..Filter::default()
        };
        found(&index, &filter, limit)
    };
    for round in 0..2 {
        assert_eq!(by("answer", 9), [2]);
        assert_eq!(by("reset", 9), [4, 1]);
        assert_eq!(by("reset", 1), [4]);
        assert_eq!(by("res* id 0", 9), [1]);
        assert_eq!(by("answer last", 9), [2]);
        // A word that both have is one word.
        assert_eq!(by("id", 9), [5, 4, 3, 2, 1]);
        if round == 0 {
            let sql = "INSERT INTO words(words) VALUES ('optimize')";
            index.db.execute_batch(sql).unwrap();
        }
    }
}

#[test]
fn what_is_counted_by_token_counts_for_each_of_its_names() {
    let directory = tempfile::tempdir().unwrap();
    let mut records = decisions(0..4);
    records[0]["input"]["token"]["current"] = json!({"name": "payments"});
    records[1]["input"] =
        json!({"token": {"id": "id-0"}, "change": {"name": {"requested": "id-0"}}});
    records[1]["verdict"] = json!("deny");
    records[2]["input"] = json!({});
    records.push(json!({"kind": "outcome", "decision_seq": 4, "credential": {"id": "made"}}));
    write(directory.path(), &records);
    let index = indexed(directory.path());
    let counted = |filter: &Filter| -> Vec<(String, u64, u64)> {
        let sums = index.sums(filter, By::Token).unwrap().all.into_iter();
        sums.map(|sum| (sum.name, sum.allowed, sum.denied))
            .collect()
    };
    let row = |name: &str, allowed, denied| (name.to_owned(), allowed, denied);
    let wanted = [
        row("", 1, 0),
        row("id-0", 1, 1),
        row("id-3", 1, 0),
        row("made", 1, 0),
        row("payments", 1, 0),
    ];
    assert_eq!(counted(&Filter::default()), wanted);
    let denied = Filter {
        allowed: Some(false),
        ..Filter::default()
    };
    assert_eq!(counted(&denied), [row("id-0", 0, 1)]);
    let nobody = Filter {
        token: vec![Pattern::Exactly("nobody".to_owned())],
        ..Filter::default()
    };
    assert_eq!(counted(&nobody), []);
}

#[test]
fn whatever_ends_a_filler_the_next_one_goes_on_behind_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &decisions(0..5));
    let index = indexed(directory.path());
    index
        .db
        .execute_batch("BEGIN IMMEDIATE; DELETE FROM decision;")
        .unwrap();
    // As a process leaves it that is killed: nothing is closed, nothing is rolled back.
    let killed = tempfile::tempdir().unwrap();
    for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        std::fs::copy(directory.path().join(name), killed.path().join(name)).unwrap();
    }
    drop(index);
    write(killed.path(), &decisions(0..9));
    let index = indexed(killed.path());
    assert_eq!(all(&index), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(index.counts().unwrap(), (9, 9));
}

#[test]
fn two_who_fill_one_index_do_not_get_into_each_others_way() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &decisions(0..3));
    let mut one = indexed(directory.path());
    let mut other = indexed(directory.path());
    for most in [5, 6, 9] {
        write(directory.path(), &decisions(0..most));
        one.catch_up(|_| true).unwrap();
        other.catch_up(|_| true).unwrap();
        assert_eq!(all(&other).len() as u64, most);
    }
    one.empty().unwrap();
    write(directory.path(), &decisions(0..12));
    other.catch_up(|_| true).unwrap();
    one.catch_up(|_| true).unwrap();
    assert_eq!((all(&one).len(), one.counts().unwrap()), (12, (12, 12)));
}

#[test]
fn an_index_that_cannot_be_used_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &decisions(0..5));
    let path = directory.path().join(FILE);
    let wanted = all(&indexed(directory.path()));
    std::fs::write(
        &path,
        b"no database at all, but long enough to be taken for one",
    )
    .unwrap();
    assert_eq!(all(&indexed(directory.path())), wanted);
    // Of an older version.
    let db = Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA user_version = 0; DELETE FROM decision;")
        .unwrap();
    drop(db);
    assert_eq!(all(&indexed(directory.path())), wanted);
    // Somebody put a view in the place of a table, or a trigger behind one.
    for sql in [
        "DROP TABLE decision; CREATE VIEW decision AS WITH RECURSIVE t(seq) AS \
         (SELECT 1 UNION ALL SELECT seq + 1 FROM t) SELECT seq, 1 AS ms, 0 AS verdict FROM t",
        "CREATE TRIGGER x AFTER INSERT ON record BEGIN DELETE FROM decision; END",
        "CREATE TABLE more(x)",
        "DROP INDEX by_denial",
    ] {
        let db = Connection::open(&path).unwrap();
        db.execute_batch(sql).unwrap();
        drop(db);
        assert!(
            Index::open_to_read(directory.path(), &path)
                .unwrap()
                .is_none()
        );
        assert_eq!(all(&indexed(directory.path())), wanted);
    }
    // Half of it is gone.
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, &content[..content.len() / 2]).unwrap();
    let index = Index::open(directory.path(), &path).and_then(|mut index| {
        index.catch_up(|_| true)?;
        index.find(&Filter::default(), 10).map(|_| ())
    });
    assert!(index.is_ok() || index.is_err_and(|error| error.is_damage()));
}

#[test]
fn a_file_that_is_no_index_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &decisions(0..2));
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "mine").unwrap();
    let error = Index::open(directory.path(), &path).unwrap_err();
    assert!(matches!(error, Error::Foreign(_)), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

/// Wherever it is: also while it is written, and after a kill.
#[test]
fn an_index_that_is_open_is_known_to_be_one() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &decisions(0..2));
    let path = directory.path().join("elsewhere.sqlite");
    let index = Index::open(directory.path(), &path).unwrap();
    check(directory.path(), &path).unwrap();
    // As a kill leaves it.
    std::mem::forget(index);
    check(directory.path(), &path).unwrap();
    let mut index = Index::open(directory.path(), &path).unwrap();
    index.catch_up(|_| true).unwrap();
    assert_eq!(all(&index), [2, 1]);
}

#[test]
fn another_journal_has_another_index() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &decisions(0..5));
    drop(indexed(directory.path()));
    // Replaced as a whole.
    write(directory.path(), &decisions(10..13));
    let index = indexed(directory.path());
    assert_eq!(all(&index), [3, 2, 1]);
    let filter = |id: &str| Filter {
        token: vec![Pattern::Exactly(id.to_owned())],
        ..Filter::default()
    };
    assert!(found(&index, &filter("id-0"), 9).is_empty());
    assert_eq!(found(&index, &filter("id-12"), 9), [3]);
    drop(index);
    // Cut, as after a sync that failed, and written on.
    let mut index = indexed(directory.path());
    let mut shorter = decisions(10..12);
    write(directory.path(), &shorter);
    shorter.extend(decisions(20..21));
    std::fs::write(
        directory.path().join("00000000000000000003.jsonl"),
        lines(&shorter)
            .split_inclusive(|byte| *byte == b'\n')
            .nth(2)
            .unwrap(),
    )
    .unwrap();
    index.catch_up(|_| true).unwrap();
    assert!(found(&index, &filter("id-12"), 9).is_empty());
    assert_eq!(found(&index, &filter("id-20"), 9), [3]);
}

#[test]
fn ids_of_one_millisecond_are_told_apart_before_anything_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let id = |number: u64| {
        uuid::Uuid::from_u64_pair(0x0199_0000_0000_7abc, (1 << 63) | number).to_string()
    };
    let all = (0..60).map(|number| {
        let mut record = decisions(number..number + 1).remove(0);
        record["decision_id"] = json!(id(number));
        record["verdict"] = json!("allow");
        record
    });
    write(directory.path(), &all.collect::<Vec<_>>());
    let index = indexed(directory.path());
    for number in [0, 7, 59] {
        for text in [id(number), id(number).to_uppercase()] {
            let filter = Filter {
                id: Some(text),
                ..Filter::default()
            };
            let page = index.find(&filter, 1).unwrap();
            let found: Vec<u64> = page.decisions.iter().map(|it| it.seq).collect();
            assert_eq!((found, page.more), (vec![number + 1], false));
            let sums = index.sums(&filter, By::Verdict).unwrap().all;
            let counted: u64 = sums.iter().map(|sum| sum.allowed + sum.denied).sum();
            assert_eq!(counted, 1);
        }
    }
    let none = Filter {
        id: Some(id(60)),
        ..Filter::default()
    };
    assert!(index.find(&none, 1).unwrap().decisions.is_empty());
    assert!(index.sums(&none, By::Verdict).unwrap().all.is_empty());
}

#[test]
fn totals_are_the_sums_of_all_quarters() {
    let directory = tempfile::tempdir().unwrap();
    let all = (0..200_u64).map(|number| {
        let mut record = decisions(number..number + 1).remove(0);
        record["timestamp"] = json!(format!("2026-11-24T{:02}:30:00.123Z", number % 24));
        record["verdict"] = json!(if number % 3 == 0 { "deny" } else { "allow" });
        let scopes: Vec<_> = (0..number % 4)
            .map(|at| SCOPES[usize::try_from(at).unwrap()])
            .collect();
        record["input"]["change"]["scopes"]["requested"] = json!(scopes);
        // A list in which only some have a code.
        record["result"] = json!({"violations": match number % 3 {
            0 => json!([{"policy": "a", "code": "x"}, {"policy": "b"}]),
            1 => json!([{"policy": "b"}]),
            _ => json!([]),
        }});
        record
    });
    write(directory.path(), &all.collect::<Vec<_>>());
    let index = indexed(directory.path());
    for by in [
        By::Verdict,
        By::Policy,
        By::Code,
        By::Scope,
        By::Caller,
        By::Team,
        By::Outcome,
    ] {
        let mut expected = std::collections::BTreeMap::new();
        for sum in index.sums(&Filter::default(), by).unwrap().all {
            let counts: &mut (u64, u64) = expected.entry(sum.name).or_default();
            counts.0 += sum.allowed;
            counts.1 += sum.denied;
        }
        let totals = index.totals(&Filter::default(), by).unwrap().all;
        let totals = totals
            .into_iter()
            .map(|sum| (sum.name, (sum.allowed, sum.denied)));
        assert_eq!(
            totals.collect::<std::collections::BTreeMap<_, _>>(),
            expected,
            "{by:?}"
        );
    }
    let codes = index.totals(&Filter::default(), By::Code).unwrap().all;
    let codes: Vec<(&str, u64)> = codes
        .iter()
        .map(|it| (&*it.name, it.allowed + it.denied))
        .collect();
    assert_eq!(codes, [("", 133), ("x", 67)]);
}

#[test]
fn what_a_gate_deletes_meanwhile_is_not_missing() {
    let directory = tempfile::tempdir().unwrap();
    let mut records = decisions(0..6);
    records.push(json!({"kind": "pruned", "timestamp": "2026-11-25T00:00:00.000Z", "last": 3}));
    let lines = lines(&records);
    let all: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    let second = directory.path().join("00000000000000000004.jsonl");
    std::fs::write(segment(directory.path()), all[..3].concat()).unwrap();
    std::fs::write(&second, all[3..6].concat()).unwrap();
    let index = indexed(directory.path());
    assert_eq!(index.gaps(None, None).unwrap(), Gaps::default());
    // It is not indexed when the gaps are looked for.
    std::fs::write(&second, all[3..].concat()).unwrap();
    std::fs::remove_file(segment(directory.path())).unwrap();
    let gaps = index.gaps(None, None).unwrap();
    assert_eq!(gaps.missing, []);
    assert_eq!(gaps.pruned.unwrap().first, 4);
    // Somebody else deleted it.
    std::fs::write(&second, all[3..6].concat()).unwrap();
    assert_eq!(index.gaps(None, None).unwrap().missing, [(1, 3)]);
}

#[test]
fn a_text_that_is_found_by_an_option_is_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let mut record = decisions(0..1).remove(0);
    record["requested_by"] = json!("10.1.2.3");
    record["caller"] = json!({"id": "dt0c01.CALLER"});
    record["input"]["change"]["scopes"]["requested"] = json!(["slo.read"]);
    let made = json!({"kind": "outcome", "decision_seq": 1, "outcome": "answered", "credential": {"id": "dt0c01.MADE"}});
    write(directory.path(), &[record, made]);
    let index = indexed(directory.path());
    for (text, option) in [
        ("10.1.2.3", "--client"),
        ("dt0c01.CALLER", "--caller"),
        ("slo.read", "--scope"),
        ("dt0c01.MADE", "--token"),
    ] {
        assert_eq!(index.found_by(text).unwrap(), [option], "{text}");
    }
    assert!(index.found_by("nothing").unwrap().is_empty());
}

/// A running gate writes on while it is asked: what it has written since is not gone.
#[test]
fn an_end_that_is_gone_is_told_and_what_a_gate_writes_meanwhile_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let lines = lines(&decisions(0..6));
    let all: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    let put =
        |last: usize| std::fs::write(segment(directory.path()), all[..last].concat()).unwrap();
    let head = |last: usize| {
        let text = format!("{last:020}:{} {last:020}\n", "0".repeat(64));
        std::fs::write(directory.path().join("head"), text).unwrap();
    };
    put(4);
    let index = indexed(directory.path());
    let cut = |until| index.gaps(None, until).unwrap().cut;
    assert_eq!(cut(None), None);
    head(4);
    assert_eq!(cut(None), None);
    head(6);
    assert_eq!(cut(None), Some((4, 6)));
    let time = |text: &str| Some(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    assert_eq!(cut(time("2026-11-24T06:00:00Z")), None);
    assert_eq!(cut(time("2026-11-24T07:00:00Z")), Some((4, 6)));
    // Not indexed, and there.
    put(5);
    assert_eq!(cut(None), Some((5, 6)));
    put(6);
    assert_eq!(cut(None), None);
    std::fs::write(directory.path().join("head"), "no head").unwrap();
    assert_eq!(cut(None), None);
}

#[test]
fn requests_that_are_only_counted_are_counted_by_the_time() {
    let directory = tempfile::tempdir().unwrap();
    let suppressed = |minute: u32, count: Value| json!({"kind": "suppressed", "timestamp": format!("2026-11-24T06:{minute:02}:00.000Z"), "count": count});
    let mut records = decisions(0..1);
    records.extend([
        suppressed(10, json!(7)),
        suppressed(20, json!(30)),
        suppressed(30, json!("many")),
    ]);
    write(directory.path(), &records);
    let index = indexed(directory.path());
    let time = |minute: u32| {
        let text = format!("2026-11-24T06:{minute:02}:00Z");
        Some(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    };
    for (since, until, wanted) in [
        (None, None, 37),
        (time(10), time(20), 7),
        (time(11), None, 30),
        (None, time(10), 0),
    ] {
        assert_eq!(index.counted(since, until).unwrap(), wanted);
    }
    // What no gate wrote is too much for any number.
    records.extend((0..9).map(|_| suppressed(40, json!(u64::MAX))));
    write(directory.path(), &records);
    assert!(indexed(directory.path()).counted(None, None).unwrap() > 37);
}

/// Whoever looks for something by what masks have hidden finds less than there is.
#[test]
fn what_masks_have_hidden_is_found_by_that() {
    let directory = tempfile::tempdir().unwrap();
    let id = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
    let record = |operation: &str, path: &str, lists: Value| {
        let mut record = json!({
            "kind": "decision", "timestamp": "2026-11-24T06:30:00.123Z", "verdict": "allow", "decision_id": "x",
            "operation": operation, "request": {"path": path},
        });
        let members = record.as_object_mut().unwrap();
        members.extend(lists.as_object().unwrap().clone());
        record
    };
    let path = format!("/api/v2/apiTokens/{id}");
    let shown = json!({"input": {"token": {"id": id, "current": {"id": "dt0c01.OTHER"}},
        "change": {"scopes": {"requested": ["a"]}}}});
    write(
        directory.path(),
        &[
            record("token.update", &path, shown),
            record("token.update", &path, json!({"erased": ["/input"]})),
            record(
                "token.update",
                "-",
                json!({"erased": ["/input"], "masked": ["/request/path"]}),
            ),
            record(
                "token.update",
                &path,
                json!({"masked": ["/input/change/scopes/added"]}),
            ),
            record(
                "token.delete",
                "-",
                json!({"masked": ["/input/token/id", "/request"]}),
            ),
            record(
                "token.create",
                "/api/v2/apiTokens",
                json!({"erased": ["/input"]}),
            ),
            record("settings.write", "-", json!({"erased": ["/input"]})),
            record(
                "token.update",
                &path,
                json!({"masked": ["/input/token/current/id"]}),
            ),
            record(
                "token.create",
                "/api/v2/apiTokens",
                json!({"masked": ["/input/token/current/id"]}),
            ),
        ],
    );
    let index = indexed(directory.path());
    let hidden = |hidden| {
        let filter = Filter {
            hidden: vec![(hidden, Veil::Mask)],
            ..Filter::default()
        };
        found(&index, &filter, 9)
    };
    assert_eq!(hidden(Hidden::Token), [5, 3]);
    assert_eq!(hidden(Hidden::Names), [8, 6, 5, 3, 2]);
    assert_eq!(hidden(Hidden::Scopes), [6, 4, 3, 2]);
    let named = |name: &str| {
        let filter = Filter {
            token: vec![Pattern::Exactly(name.to_owned())],
            ..Filter::default()
        };
        found(&index, &filter, 9)
    };
    assert_eq!(named(id), [8, 4, 2, 1]);
    assert_eq!(named("dt0c01.OTHER"), [1]);
}

#[test]
fn only_a_record_that_says_so_itself_changed_nothing() {
    for (record, wanted) in [
        (json!({"input": {"change": {"differs": []}}}), true),
        (json!({"input": {"change": {"differs": ["scopes"]}}}), false),
        (json!({"input": {"change": {}}}), false),
        (
            json!({"input": {"change": {"differs": []}, "unknown_members": {}}}),
            true,
        ),
        // What it does nobody knows.
        (
            json!({"input": {"change": {"differs": []}, "unknown_members": {"owner": "x"}}}),
            false,
        ),
        (
            json!({"input": {"change": {"differs": []}}, "masked": ["/input/change/differs"]}),
            false,
        ),
        (
            json!({"input": {"change": {"differs": []}}, "masked": ["/input/change"]}),
            false,
        ),
        (
            json!({"input": {"change": {"differs": []}}, "erased": ["/input/unknown_members/a"]}),
            false,
        ),
        (
            json!({"input": {"change": {"differs": []}}, "masked": ["/caller/id"]}),
            true,
        ),
    ] {
        let mut line = record.clone();
        line["seq"] = json!(1);
        line["operation"] = json!("token.update");
        let line = line.to_string();
        let row = row::Row::read(line.as_bytes()).unwrap();
        assert_eq!(row.is_no_op(&row.masks()), wanted, "{record}");
    }
}

#[test]
fn a_heavy_question_ends_when_nobody_waits_for_it_any_more() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &[json!({"kind": "start"})]);
    let endless =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
    for is_gone in [false, true] {
        let mut index = indexed(directory.path());
        let (stop, waiting) = Stop::after(if is_gone {
            std::time::Duration::from_hours(1)
        } else {
            std::time::Duration::from_millis(50)
        });
        index.stop_at(stop).unwrap();
        let asking = std::thread::spawn(move || {
            let asked = index.db.query_row(endless, [], |row| row.get::<_, i64>(0));
            let line = index.line(1);
            (asked.map_err(Error::from), line)
        });
        if is_gone {
            drop(waiting);
        }
        let (asked, line) = asking.join().unwrap();
        assert!(matches!(asked, Err(Error::Stopped)), "{asked:?}");
        assert!(matches!(line, Err(Error::Stopped)), "{line:?}");
    }
}

/// However far the index is behind: what stands between it and the end is not opened for that.
#[test]
fn that_the_end_is_gone_is_seen_by_the_last_lines_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = |first: u64| directory.path().join(format!("{first:020}.jsonl"));
    let all = lines(&decisions(0..9));
    let all: Vec<&[u8]> = all.split_inclusive(|byte| *byte == b'\n').collect();
    let noted = |seq: u64| {
        let hash = crate::value::Sha256Hex::of(b"");
        let head = format!("{seq:020}:{} {seq:020}\n", hash.as_str());
        std::fs::write(directory.path().join("head"), head).unwrap();
    };
    std::fs::write(path(1), all[..2].concat()).unwrap();
    let mut index = indexed(directory.path());
    // Nobody can read what stands here.
    std::fs::create_dir(path(3)).unwrap();
    let cut = |index: &Index| index.gaps(None, None).unwrap().cut;
    for (content, wanted) in [
        (all[6..].concat(), 9),
        ([all[6..].concat(), b"{\"seq\":10".to_vec()].concat(), 9),
        (
            [all[6..8].concat(), b"no record\n".repeat(20_000)].concat(),
            8,
        ),
    ] {
        std::fs::write(path(7), content).unwrap();
        noted(12);
        assert_eq!(cut(&index), Some((wanted, 12)));
        noted(wanted);
        assert_eq!(cut(&index), None);
    }
    // The one that was begun last has nothing yet.
    std::fs::write(path(10), b"").unwrap();
    noted(12);
    assert_eq!(cut(&index), Some((8, 12)));
    let (stop, waiting) = Stop::after(std::time::Duration::from_hours(1));
    index.stop_at(stop).unwrap();
    drop(waiting);
    assert!(matches!(index.gaps(None, None), Err(Error::Stopped)));
}

#[test]
fn lines_that_are_none_stand_for_records_whenever_they_were_read() {
    let directory = tempfile::tempdir().unwrap();
    let lines = lines(&decisions(0..9));
    let mut all: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    all[3] = b"x\n";
    std::fs::write(segment(directory.path()), all[..4].concat()).unwrap();
    let first = indexed(directory.path()).gaps(None, None).unwrap();
    assert_eq!((first.missing, first.unread), (vec![], 1));
    for (until, missing) in [(6, vec![]), (9, vec![(7, 7)])] {
        if until == 9 {
            all.remove(6);
            all.push(b"");
        }
        std::fs::write(segment(directory.path()), all[..until].concat()).unwrap();
        let gaps = indexed(directory.path()).gaps(None, None).unwrap();
        assert_eq!((&gaps.missing, gaps.unread), (&missing, 1), "{until}");
        let mut fresh = Index::in_memory(directory.path()).unwrap();
        fresh.catch_up(|_| true).unwrap();
        assert_eq!(fresh.gaps(None, None).unwrap(), gaps);
    }
}

#[test]
fn gaps_of_another_time_take_no_room_of_those_that_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let hour = |number: u64| 1_700_000_000_000 + i64::try_from(number).unwrap() * 3_600_000;
    let mut records = decisions(0..3000);
    for (number, record) in (0..).zip(&mut records) {
        let time = jiff::Timestamp::from_millisecond(hour(number)).unwrap();
        record["timestamp"] = json!(format!("{time:.3}"));
    }
    let lines = lines(&records);
    let all = lines.split_inclusive(|byte| *byte == b'\n');
    let every_other = all.step_by(2).collect::<Vec<_>>();
    std::fs::write(segment(directory.path()), every_other.concat()).unwrap();
    let index = indexed(directory.path());
    let of = |since, until| {
        let gaps = index.gaps(since, until).unwrap();
        (gaps.missing, gaps.more_missing)
    };
    assert_eq!(of(Some(hour(2997)), None), (vec![(2998, 2998)], 0));
    assert_eq!(
        of(Some(hour(2994)), Some(hour(2996))).0,
        [(2994, 2994), (2996, 2996)]
    );
    assert_eq!(of(None, Some(hour(1))), (vec![(2, 2)], 0));
    assert_eq!(of(None, None).1, 1000 - 8);
}

#[test]
fn what_is_or_was_in_doubt_is_found_without_a_look_at_each_decision() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &decisions(0..3));
    let index = indexed(directory.path());
    for which in [Which::Doubt, Which::Settled] {
        let sql = format!("EXPLAIN QUERY PLAN {}", part::ended(which).one_of);
        let mut plan = index.db.prepare(&sql).unwrap();
        let steps = plan.query_map([], |row| row.get::<_, String>(3)).unwrap();
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        let by = |index: &str| steps.iter().any(|step| step.contains(index));
        assert!(by("by_doubt") && by("by_end"), "{steps:?}");
    }
}

/// Of two ids of a token, each may have a pseudonym, or both.
#[test]
fn an_id_that_has_a_pseudonym_is_hidden_from_who_has_not_its_key() {
    let (name, uuid) = (
        "hmac-sha256:v1:00000000000000000000000000000000",
        "019ab533-0040-7000-8000-00000000000a",
    );
    let directory = tempfile::tempdir().unwrap();
    let record = |id: &str, current: &str, path: &str, lists: Value| {
        let mut record = json!({
            "kind": "decision", "timestamp": "2026-11-24T06:30:00.123Z", "verdict": "allow", "decision_id": "x",
            "operation": "token.update", "request": {"path": format!("/api/v2/apiTokens/{path}")},
            "input": {"token": {"id": id, "current": {"id": current}}},
        });
        let members = record.as_object_mut().unwrap();
        members.extend(lists.as_object().unwrap().clone());
        record
    };
    let current = "/input/token/current/id";
    write(
        directory.path(),
        &[
            record(uuid, name, uuid, json!({"pseudonyms": [current]})),
            record(
                "dt0c01.A",
                name,
                "dt0c01.A",
                json!({"pseudonyms": [current]}),
            ),
            record(
                name,
                name,
                name,
                json!({"pseudonyms": ["/input/token/id", current, "/request/path"]}),
            ),
            record(
                uuid,
                "dt0c01.A",
                uuid,
                json!({"pseudonyms": ["/requested_by"]}),
            ),
            // A mask has hidden where the id would be told, or what is told instead.
            record(
                "x",
                name,
                "dt0c01.A",
                json!({"masked": ["/input/token/id"], "pseudonyms": [current]}),
            ),
            record(
                "x",
                name,
                name,
                json!({"masked": ["/input/token/id"], "pseudonyms": [current, "/request/path"]}),
            ),
        ],
    );
    let index = indexed(directory.path());
    let hidden = |hidden| {
        let filter = Filter {
            hidden: vec![(hidden, Veil::Pseudonym)],
            ..Filter::default()
        };
        found(&index, &filter, 9)
    };
    assert_eq!(hidden(Hidden::ByOtherId), [1]);
    assert_eq!(hidden(Hidden::ByPublicId), [5, 2]);
    assert_eq!(hidden(Hidden::Token), [6, 3]);
}

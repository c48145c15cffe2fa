//! Journals and files that somebody made up, damaged or put in the place of others.

use super::*;

#[test]
fn whatever_stands_in_a_journal_is_indexed_or_counted() {
    let directory = tempfile::tempdir().unwrap();
    let long = "\u{1b}[31m\0\u{202e}".repeat(100_000);
    let mut odd = decisions(0..1);
    odd.push(json!({"kind": "decision", "timestamp": long, "decision_id": long, "verdict": {"a": [1]},
        "operation": long, "requested_by": long, "error": long, "result": {"violations": [1, {"policy": long}, [[]]]},
        "input": {"token": {"id": long}, "change": {"scopes": {"added": [long, 5, {"a": 1}], "removed": "x"},
            "differs": {}}}}));
    odd.push(json!({"kind": [], "decision_seq": -1}));
    odd.push(json!({"kind": "outcome", "decision_seq": 1.5, "credential": "none"}));
    odd.push(json!({"kind": "outcome", "decision_seq": u64::MAX, "duration_ms": 1e300}));
    odd.push(json!({"kind": "pruned", "last": "x"}));
    let mut content = lines(&odd);
    content.extend(b"not json\n\xff\xfe\n[1,2]\n{}\n{\"seq\":-5}\n{\"seq\":1e99}\n\n");
    content.extend("[".repeat(5000).as_bytes());
    content.push(b'\n');
    std::fs::write(segment(directory.path()), content).unwrap();
    let index = indexed(directory.path());
    assert_eq!(index.counts().unwrap(), (6, 2));
    assert_eq!(index.unread().unwrap(), 8);
    assert_eq!(all(&index), [2, 1]);
    let filter = Filter {
        operation: vec![Pattern::Exactly(long)],
        ..Filter::default()
    };
    assert_eq!(found(&index, &filter, 9), [2]);
    let line = index.line(2).unwrap().unwrap();
    let cells = crate::audit::tail::Cells::of(&line).unwrap();
    let shown = format!("{cells:?}");
    assert!(!shown.contains(['\u{1b}', '\0', '\u{202e}']));
}

/// Numbers that are found, whatever it takes, in bounded time.
fn numbers(directory: &Path, content: &[Vec<u8>]) -> (Vec<u64>, u64) {
    std::fs::write(segment(directory), content.concat()).unwrap();
    let index = indexed(directory);
    (all(&index), index.unread().unwrap())
}

#[test]
fn lines_that_are_copied_swapped_or_made_up_hide_no_others() {
    let whole: Vec<Vec<u8>> = lines(&decisions(0..6))
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let changed = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut content = whole.clone();
        change(&mut content);
        let directory = tempfile::tempdir().unwrap();
        let found = numbers(directory.path(), &content);
        // Asked once more it is not read again and again.
        let mut index = indexed(directory.path());
        index.catch_up(|_| true).unwrap();
        assert_eq!(all(&index), found.0);
        found
    };
    let six = vec![6, 5, 4, 3, 2, 1];
    assert_eq!(changed(&|_| {}), (six.clone(), 0));
    // A copy, right behind the line and much later.
    assert_eq!(changed(&|it| it.insert(2, it[1].clone())), (six.clone(), 1));
    assert_eq!(changed(&|it| it.push(it[1].clone())), (six.clone(), 1));
    assert_eq!(changed(&|it| it.swap(2, 3)), (vec![6, 5, 4, 2, 1], 1));
    assert_eq!(changed(&|it| drop(it.remove(2))), (vec![6, 5, 4, 2, 1], 0));
    // One that claims to be the last that there will ever be.
    let far = br#"{"seq":4000000000000000000,"kind":"decision","verdict":"allow"}"#;
    let far = [far.as_slice(), b"\n"].concat();
    assert_eq!(changed(&|it| it.insert(2, far.clone())), (six.clone(), 1));
    // One that claims that all before it was pruned.
    let pruned = br#"{"seq":7,"kind":"pruned","first":1,"last":4000000000000000000}"#;
    let pruned = [pruned.as_slice(), b"\n"].concat();
    assert_eq!(changed(&|it| it.push(pruned.clone())), (six.clone(), 0));
    // Members that are there twice.
    let twice = br#"{"seq":7,"seq":8,"kind":"decision","kind":"stop"}"#;
    let twice = [twice.as_slice(), b"\n"].concat();
    assert_eq!(changed(&|it| it.push(twice.clone())), (six, 1));
}

#[test]
fn what_is_pruned_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let content = lines(&decisions(0..8));
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let second = directory.path().join("00000000000000000006.jsonl");
    std::fs::write(segment(directory.path()), lines[..5].concat()).unwrap();
    std::fs::write(second, lines[5..].concat()).unwrap();
    let mut index = indexed(directory.path());
    assert_eq!(index.counts().unwrap(), (8, 8));
    std::fs::remove_file(segment(directory.path())).unwrap();
    index.catch_up(|_| true).unwrap();
    assert_eq!(
        (all(&index), index.counts().unwrap()),
        (vec![8, 7, 6], (3, 3))
    );
    let gone = Filter {
        token: vec![Pattern::Exactly("id-2".to_owned())],
        ..Filter::default()
    };
    assert!(found(&index, &gone, 9).is_empty());
    let sums = index.sums(&Filter::default(), By::Verdict).unwrap().all;
    assert_eq!(sums.iter().map(|sum| sum.allowed).sum::<u64>(), 3);
    // And is not there in an index that is made anew.
    index.empty().unwrap();
    index.catch_up(|_| true).unwrap();
    assert_eq!(all(&index), [8, 7, 6]);
}

#[test]
fn what_was_put_back_is_missed_until_the_index_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let content = lines(&decisions(0..8));
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let second = directory.path().join("00000000000000000006.jsonl");
    std::fs::write(second, lines[5..].concat()).unwrap();
    let mut index = indexed(directory.path());
    assert!(!index.lacks_what_was_put_back().unwrap());
    std::fs::write(segment(directory.path()), lines[..5].concat()).unwrap();
    index.catch_up(|_| true).unwrap();
    assert_eq!(all(&index), [8, 7, 6]);
    assert!(index.lacks_what_was_put_back().unwrap());
    index.empty().unwrap();
    index.catch_up(|_| true).unwrap();
    assert_eq!(index.counts().unwrap(), (8, 8));
    assert!(!index.lacks_what_was_put_back().unwrap());
}

#[test]
fn any_words_can_be_looked_for() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &decisions(0..3));
    let index = indexed(directory.path());
    let long = "a b* ".repeat(2048);
    let quoted = "\"".repeat(10_240);
    let deep = "(".repeat(5000) + &"NEAR(id 2, 5) AND NOT ".repeat(300);
    for text in [
        "\"",
        "*",
        "-",
        "NEAR(",
        "id:2",
        "{text}: id",
        "^id",
        "id + 2",
        "id OR 2)",
        "'; DROP TABLE words; --",
        "\0",
        "id\0two",
        "\u{202e}",
        "",
        " ",
        "AND",
        "NOT NOT",
        "id*2",
        "**",
        "*id",
        &long,
        &quoted,
        &deep,
    ] {
        let filter = Filter {
            text: Some(text.to_owned()),
            ..Filter::default()
        };
        index
            .find(&filter, 10)
            .unwrap_or_else(|error| panic!("{text:.40}: {error}"));
    }
    // Nor do names mean anything but themselves.
    for text in ["%", "_", "' OR 1=1 --", "\0", "[a-z]", &"x".repeat(1 << 20)] {
        for pattern in [
            Pattern::Exactly(text.to_owned()),
            Pattern::Begins(text.to_owned()),
        ] {
            let filter = Filter {
                operation: vec![pattern.clone()],
                token: vec![pattern],
                caller: vec![Pattern::Begins(text.to_owned())],
                id: Some(text.to_owned()),
                ..Filter::default()
            };
            assert!(found(&index, &filter, 9).is_empty(), "{text:.40}");
        }
    }
}

#[test]
fn what_stands_in_the_place_of_an_index_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &decisions(0..2));
    let path = directory.path().join(FILE);
    let mine = directory.path().join("mine");
    std::fs::write(&mine, "").unwrap();
    std::os::unix::fs::symlink(&mine, &path).unwrap();
    let error = Index::open(directory.path(), &path).unwrap_err();
    assert!(matches!(error, Error::Foreign(_)), "{error}");
    assert_eq!(std::fs::read(&mine).unwrap(), b"");
    std::fs::remove_file(&path).unwrap();
    // A pipe would be waited for.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let error = Index::open(directory.path(), &path).unwrap_err();
    assert!(matches!(error, Error::Foreign(_)), "{error}");
    assert!(
        Index::open_to_read(directory.path(), &path)
            .unwrap()
            .is_none()
    );
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(Index::open(directory.path(), &path).is_err());
    std::fs::remove_dir(&path).unwrap();
    // An empty one is filled.
    std::fs::write(&path, "").unwrap();
    assert_eq!(all(&indexed(directory.path())), [2, 1]);
}

/// Tables that are right, with what no dtgate writes into them.
#[test]
fn an_index_with_content_of_somebodys_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let mut records = decisions(0..3);
    write(directory.path(), &records);
    let path = directory.path().join(FILE);
    for (number, sql) in [
        "UPDATE position SET seq = -5",
        "UPDATE position SET hash = x'ff'",
        "DELETE FROM position",
        "UPDATE words_config SET v = 99",
        "DELETE FROM words_config",
        "UPDATE words_data SET block = x'ff' WHERE id = 10",
    ]
    .into_iter()
    .enumerate()
    {
        drop(indexed(directory.path()));
        let db = Connection::open(&path).unwrap();
        db.execute_batch(sql).unwrap();
        drop(db);
        let next = u64::try_from(number).unwrap() + 3;
        records.extend(decisions(next..next + 1));
        write(directory.path(), &records);
        // The gate's own.
        Keeper::start(directory.path(), &path).unwrap().end();
        let keeper = Keeper::start(directory.path(), &path).unwrap();
        let last = records.len() as u64;
        let since = std::time::Instant::now();
        while keeper.progress().last() != last && since.elapsed().as_secs() < 20 {
            std::thread::yield_now();
        }
        keeper.end();
        let index = Index::open_to_read(directory.path(), &path)
            .unwrap()
            .unwrap();
        assert_eq!(all(&index).len() as u64, last, "{sql}");
        let filter = Filter {
            token: vec![Pattern::Exactly(format!("id-{next}"))],
            ..Filter::default()
        };
        assert_eq!(found(&index, &filter, 9), [last], "{sql}");
    }
}

/// What became of a decision is said by a record about that decision, and by no other.
#[test]
fn an_index_that_names_the_outcome_of_another_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let mut records = decisions(0..2);
    records.push(json!({"kind": "outcome", "decision_seq": 1, "outcome": "answered"}));
    records.push(json!({"kind": "settled", "decision_seq": 1, "found": "done"}));
    write(directory.path(), &records);
    let index = indexed(directory.path());
    let lines = |index: &Index, seq| {
        let decided = index.decision(seq).unwrap().unwrap();
        [decided.outcome, decided.settled]
            .map(|other| is_about(&index.line(other.unwrap()).unwrap().unwrap(), decided.seq))
    };
    assert_eq!(lines(&index, 1), [true, true]);
    index
        .db
        .execute_batch("UPDATE decision SET outcome_seq = 3, settled = 4")
        .unwrap();
    assert_eq!(lines(&index, 1), [true, true]);
    assert_eq!(lines(&index, 2), [false, false]);
    // Nor is another decision.
    index
        .db
        .execute_batch("UPDATE decision SET outcome_seq = 1, settled = 2")
        .unwrap();
    assert_eq!(lines(&index, 1), [false, false]);
}

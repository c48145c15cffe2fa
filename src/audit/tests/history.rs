//! What `verify` says of a history that was changed: which record, and what became of what was set aside.

use super::super::verify::Report;
use super::*;

/// What is wrong, in words.
fn verdict(config: &Config) -> String {
    let error = verify(&config.directory, None).unwrap_err();
    assert!(error.is_verdict(), "{error}");
    error.to_string()
}

/// Its segments have a few records each.
async fn in_segments(config: &mut Config, records: u64) -> Vec<PathBuf> {
    config.segment_size = Size::from_bytes(800);
    written(config, records).await;
    segments(&config.directory).unwrap()
}

fn edit(path: &Path, from: &str, to: &str) -> String {
    let content = fs::read_to_string(path).unwrap();
    assert!(content.contains(from), "{content}");
    fs::write(path, content.replacen(from, to, 1)).unwrap();
    content
}

#[tokio::test]
async fn the_record_that_was_changed_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 8).await;
    let path = segment(&config);
    // Record 6 is event 4: the first is the start.
    for (from, to, said) in [
        ("id-4", "id-9", ":6: record 6 was changed: record 7 names"),
        (
            "\"decision_seq\":4",
            "\"decision_seq\": 4",
            ":6: record 6 was changed: record 7 names",
        ),
        (
            "\"seq\":6",
            "\"seq\":9",
            ":6: record 6 comes next, but this is record 9",
        ),
        (
            "{\"seq\":6",
            "{\"sequence\":6",
            ":6: record 6 is damaged: it has no",
        ),
        (
            "id-4",
            "id-\0",
            ":6: record 6 is damaged: it holds a null byte",
        ),
        (
            "{\"seq\":6",
            " {\"seq\":6",
            ":6: record 6 was changed: record 7 names",
        ),
        ("{\"seq\":7", "\n{\"seq\":7", ":7: record 7 is damaged"),
        (
            "\"seq\":1,\"prev\":\"0",
            "\"seq\":1,\"prev\":\"1",
            ":1: record 1 names",
        ),
        (
            "\"kind\":\"stop\"",
            "\"kind\":\"halt\"",
            "record 10 was changed, or record 11 after it",
        ),
    ] {
        let whole = edit(&path, from, to);
        let verdict = verdict(&config);
        assert!(verdict.contains(said), "{from}: {verdict}");
        fs::write(&path, whole).unwrap();
    }
    // Another number of the record before it: record 8 vouches for record 7 no more, so it may be either.
    let content = fs::read_to_string(&path).unwrap();
    let line = content.lines().nth(6).unwrap();
    let (_, prev) = line.split_once("\"prev\":\"").unwrap();
    let (prev, _) = prev.split_once('"').unwrap();
    edit(&path, prev, &"0".repeat(64));
    let said = verdict(&config);
    assert!(
        said.contains(":6: record 6 was changed, or record 7 after it"),
        "{said}"
    );
}

#[tokio::test]
async fn what_happened_to_segments_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    let paths = in_segments(&mut config, 14).await;
    let firsts: Vec<u64> = paths.iter().filter_map(|path| first_record(path)).collect();
    assert!(firsts.len() > 3, "{firsts:?}");
    let contents: Vec<String> = paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let (second, third) = (firsts[1], firsts[2]);
    let last_of_second = contents[1].lines().last().unwrap();
    let shorter = contents[1].strip_suffix(&format!("{last_of_second}\n"));
    let cases: [(&[(usize, String)], String); 5] = [
        (
            &[(
                1,
                contents[1].replace(
                    last_of_second,
                    &last_of_second.replace("\"status\":204", "\"status\":205"),
                ),
            )],
            format!("record {} was changed: record {third} names", third - 1),
        ),
        (
            &[(
                1,
                contents[1].replacen("\"status\":204", "\"status\":205", 1),
            )],
            format!("record {second} was changed: record {} names", second + 1),
        ),
        (
            &[(1, shorter.unwrap().to_owned())],
            format!("record {} comes next, but", third - 1),
        ),
        (
            &[(1, contents[2].clone()), (2, contents[1].clone())],
            format!("record {second} comes next, but this is record {third}"),
        ),
        (
            &[(1, contents[1].trim_end().to_owned())],
            format!(
                "record {} is damaged: the last line is incomplete",
                third - 1
            ),
        ),
    ];
    for (changes, said) in cases {
        for (place, content) in changes {
            fs::write(&paths[*place], content).unwrap();
        }
        let verdict = verdict(&config);
        assert!(verdict.contains(&said), "{said}: {verdict}");
        for (path, content) in paths.iter().zip(&contents) {
            fs::write(path, content).unwrap();
        }
    }
    let renamed = config.directory.join("00000000000000000006.jsonl");
    fs::rename(&paths[1], &renamed).unwrap();
    let said = verdict(&config);
    assert!(
        said.contains(&format!("record {second} comes next, but")),
        "{said}"
    );
    fs::rename(&renamed, &paths[1]).unwrap();
    // The last one, replaced by an older copy of itself.
    let last = paths.last().unwrap();
    fs::write(last, "").unwrap();
    let said = verdict(&config);
    assert!(said.contains("was cut off"), "{said}");
    assert!(matches!(open(&config), Err(OpenError::Damaged { .. })));
}

#[tokio::test]
async fn nothing_vouches_for_the_last_record_until_its_head_was_noted() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 2).await;
    let report = verify(&config.directory, None).unwrap();
    assert_eq!(report.unvouched, [5]);
    let noted = |report: &Report| NotedHead {
        seq: report.head_seq,
        hash: report.head_hash.clone(),
    };
    let head = noted(&report);
    assert_eq!(
        verify(&config.directory, Some(&head)).unwrap().unvouched,
        [0; 0]
    );
    written(&config, 2).await;
    assert_eq!(
        verify(&config.directory, Some(&head)).unwrap().unvouched,
        [10]
    );
    // A change of it is found by the file that goes with the journal, and not without.
    edit(&segment(&config), "\"kind\":\"stop\"", "\"kind\":\"halt\"");
    let path = segment(&config);
    let content = fs::read_to_string(&path).unwrap();
    let (before, last) = content.trim_end().rsplit_once('\n').unwrap();
    fs::write(
        &path,
        format!("{before}\n{}\n", last.replace("1970", "1971")),
    )
    .unwrap();
    let said = verdict(&config);
    assert!(
        said.contains("record 4 was changed") || said.contains("record 10 was changed"),
        "{said}"
    );
}

/// A journal whose end was torn once, and the file that holds it.
async fn torn_once(config: &Config) -> PathBuf {
    written(config, 1).await;
    let path = segment(config);
    let mut content = fs::read(&path).unwrap();
    content.extend(b"{\"seq\":5,\"pr");
    fs::write(&path, content).unwrap();
    written(config, 1).await;
    path.with_extension("jsonl.torn-1")
}

#[tokio::test]
async fn what_was_set_aside_is_listed_and_missed() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let aside = torn_once(&config).await;
    let name = aside::name(&aside);
    let report = verify(&config.directory, None).unwrap();
    assert_eq!(report.problems, [""; 0]);
    let [recovered] = report.recoveries.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(recovered.seq, 5);
    assert_eq!(recovered.reason, "the last line is incomplete");
    assert_eq!(recovered.set_aside.as_deref(), Some(name.as_str()));
    assert_eq!(recovered.set_aside_bytes, Some(12));

    let problem = || {
        let mut problems = verify(&config.directory, None).unwrap().problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.remove(0)
    };
    let says = format!("record 5 says that {name} was set aside: ");
    fs::write(&aside, "{\"seq\":5,\"pR").unwrap();
    assert_eq!(problem(), format!("{says}it was changed"));
    fs::write(&aside, "").unwrap();
    assert_eq!(
        problem(),
        format!("{says}it was changed, and has 0 bytes instead of 12")
    );
    fs::remove_file(&aside).unwrap();
    assert_eq!(problem(), format!("{says}it is gone"));
    fs::create_dir(&aside).unwrap();
    assert!(problem().contains("cannot be read"));
    fs::remove_dir(&aside).unwrap();
    fs::write(&aside, "{\"seq\":5,\"pr").unwrap();
    fs::write(aside.with_extension("torn-2"), "x").unwrap();
    assert!(problem().contains(".torn-2 was set aside, and no record says so"));
    // The next start says so, and the file that is gone stays gone.
    written(&config, 1).await;
    let report = verify(&config.directory, None).unwrap();
    assert_eq!((report.problems.len(), report.recoveries.len()), (0, 2));
}

/// A record may name anything; `verify` opens nothing outside the journal.
#[tokio::test]
async fn a_name_that_leads_elsewhere_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    torn_once(&config).await;
    let (mut head, mut content) = (chain::Head::origin(), Vec::new());
    for name in ["/etc/hostname", "../x.jsonl.torn-1", "hash.key", ""] {
        let event = Event::Recovery(Recovery {
            timestamp: String::new(),
            reason: String::new(),
            refused_events: 0,
            aside: Some(SetAside {
                name: name.to_owned(),
                length: 1,
                sha256: String::new(),
            }),
        });
        head.encode(&event.record(), 0, &mut content);
    }
    anew(&config);
    fs::write(config.directory.join("00000000000000000001.jsonl"), content).unwrap();
    let problems = verify(&config.directory, None).unwrap().problems;
    assert_eq!(problems.len(), 4);
    assert!(
        problems
            .iter()
            .all(|problem| problem.ends_with("no name of such a file"))
    );
}

#[tokio::test]
async fn a_file_that_only_looks_like_one_set_aside_stops_no_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let aside = torn_once(&config).await;
    let last = aside.with_extension(format!("torn-{}", u64::MAX));
    fs::write(&last, "").unwrap();
    written(&config, 1).await;
    assert_eq!(verify(&config.directory, None).unwrap().problems, [""; 0]);
}

#[tokio::test]
async fn a_start_names_the_file_that_it_cannot_read() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let second = torn_once(&config).await.with_extension("torn-2");
    let said = || open(&config).err().unwrap().to_string();
    fs::create_dir(&second).unwrap();
    assert_eq!(said(), second.display().to_string());
    fs::remove_dir(&second).unwrap();
    let head = config.directory.join("head");
    fs::remove_file(&head).unwrap();
    fs::create_dir(&head).unwrap();
    assert_eq!(said(), head.display().to_string());
}

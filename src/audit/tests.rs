use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

mod attack;
mod checkpoints;
mod damage;
mod hands;
mod history;
mod keep;
mod outgoing;
mod trouble;
mod unreadable;
mod witnessed;

use crate::dynatrace::redact::Redactor;

use super::event::{Answer, Outcome, Stop};
use super::verify::{VerifyError, verify};
use super::*;
use crate::value::Size;
use chain::NotedHead;

fn now() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}

fn config(directory: &Path) -> Config {
    Config {
        directory: directory.join("journal"),
        // Where a test looks for a segment it is as it was written.
        compression: Compression::Off,
        ..Config::default()
    }
}

fn open(config: &Config) -> Result<(Audit, Writer), OpenError> {
    let directory = Directory::hold(&config.directory)?;
    Audit::open(directory, config, "r", Configured::default(), now)
}

/// Where the chain breaks, says the refusal to open it.
fn broken(opened: Result<(Audit, Writer), OpenError>) -> Break {
    match opened {
        Err(OpenError::Damaged {
            damage: Damage::Broken(at),
            ..
        }) => at,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opens"),
    }
}

fn event(number: u64) -> Record {
    let event = Event::Outcome(Outcome {
        timestamp: now(),
        decision_id: &Redactor::default().text(&format!("id-{number}")),
        decision_seq: number,
        outcome: Answer::Answered,
        status: Some(204),
        detail: None,
        credential: None,
        duration_ms: 1.0,
    });
    event.record()
}

/// A journal with `records` events between start and stop.
async fn written(config: &Config, records: u64) {
    let (audit, writer) = open(config).unwrap();
    for number in 0..records {
        audit.record(event(number)).await.unwrap();
    }
    drop(audit);
    writer.join().await;
}

/// Waits for what another thread does; half a minute at most.
async fn until(what: &str, happened: impl Fn() -> bool) {
    let waiting = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    waited.unwrap_or_else(|_late| panic!("never: {what}"));
}

/// An empty directory in place of a journal.
fn anew(config: &Config) {
    drop(fs::remove_dir_all(&config.directory));
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700).create(&config.directory).unwrap();
}

fn segment(config: &Config) -> PathBuf {
    segments(&config.directory).unwrap().pop().unwrap()
}

#[tokio::test]
async fn promise_5_any_changed_byte_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 3).await;
    let path = segment(&config);
    let content = fs::read(&path).unwrap();
    let whole = verify(&config.directory, None).unwrap();
    let noted = NotedHead {
        seq: whole.head_seq,
        hash: whole.head_hash,
    };
    for at in 0..content.len() {
        let mut changed = content.clone();
        changed[at] ^= 1;
        fs::write(&path, changed).unwrap();
        assert!(
            verify(&config.directory, Some(&noted)).is_err(),
            "byte {at}"
        );
    }
}

#[tokio::test]
async fn promise_5_removed_and_swapped_records_and_segments_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(700);
    written(&config, 12).await;
    let paths = segments(&config.directory).unwrap();
    assert!(paths.len() > 3, "{paths:?}");
    assert_eq!(verify(&config.directory, None).unwrap().outcomes, 12);
    let path = &paths[1];
    let content = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = content.lines().collect();
    for changed in [
        [&lines[1..], &[]].concat(),
        [&lines[1..], &lines[..1]].concat(),
        [&lines[..], &lines[..1]].concat(),
    ] {
        fs::write(path, changed.join("\n") + "\n").unwrap();
        assert!(matches!(
            verify(&config.directory, None),
            Err(VerifyError::Damaged(Damage::Broken(_)) | VerifyError::Missing { .. })
        ));
    }
    fs::remove_file(path).unwrap();
    assert!(matches!(
        verify(&config.directory, None),
        Err(VerifyError::Missing { .. })
    ));
}

#[tokio::test]
async fn a_clean_cut_is_found_against_a_noted_head() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 3).await;
    let report = verify(&config.directory, None).unwrap();
    let noted: NotedHead = format!("{}:{}", report.head_seq, report.head_hash)
        .parse()
        .unwrap();
    verify(&config.directory, Some(&noted)).unwrap();
    let path = segment(&config);
    let content = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = content.lines().take(3).collect();
    fs::write(&path, kept.join("\n") + "\n").unwrap();
    assert!(matches!(
        verify(&config.directory, None),
        Err(VerifyError::Damaged(Damage::Cut {
            last: 3,
            answered: 4
        }))
    ));
    // Whoever can cut the one file can remove the other.
    fs::remove_file(config.directory.join("head")).unwrap();
    verify(&config.directory, None).unwrap();
    assert!(matches!(
        verify(&config.directory, Some(&noted)),
        Err(VerifyError::Head { .. })
    ));
}

#[tokio::test]
async fn an_end_torn_at_any_byte_is_set_aside_and_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 2).await;
    let path = segment(&config);
    let content = fs::read(&path).unwrap();
    let last_line = content[..content.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    for cut in last_line + 1..content.len() {
        anew(&config);
        fs::write(&path, &content[..cut]).unwrap();
        let (audit, writer) = open(&config).unwrap();
        drop(audit);
        writer.join().await;
        verify(&config.directory, None).unwrap();
        let aside = path.with_extension("jsonl.torn-1");
        assert_eq!(
            fs::read(aside).unwrap(),
            &content[last_line..cut],
            "cut at {cut}"
        );
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .contains("\"kind\":\"recovery\"")
        );
    }
}

/// A crash leaves the beginning of a line, or null bytes: never other words in a whole one.
#[tokio::test]
async fn a_line_that_nothing_confirms_is_checked_in_every_part() {
    for end in ["", "{\"seq\":3", "{}\n"] {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let (mut head, mut content) = (chain::Head::origin(), Vec::new());
        head.encode(&event(1), 0, &mut content);
        let hash = head.hash.as_str();
        let odd =
            format!("{{\"seq\":2,\"prev\":\"{hash}\",\"kind\":\"outcome\",\"x\":\"\\ud800\"}}\n");
        content.extend([odd.as_bytes(), end.as_bytes()].concat());
        anew(&config);
        fs::write(config.directory.join("00000000000000000001.jsonl"), content).unwrap();
        let refused = broken(open(&config));
        assert_eq!((refused.line, refused.record), (2, 2), "{end}");
    }
}

/// A segment whose last line is longer than what is read of it at a time.
#[tokio::test]
async fn a_segment_goes_on_behind_a_long_last_line() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(1);
    let long = Event::Stop(Stop {
        timestamp: "x".repeat(200_000),
    });
    let (audit, writer) = open(&config).unwrap();
    for record in [event(1), long.record(), event(2)] {
        audit.record(record).await.unwrap();
    }
    drop(audit);
    writer.join().await;
    // The chain goes on from the long line.
    let paths = segments(&config.directory).unwrap();
    let is_long = |path: &PathBuf| fs::metadata(path).unwrap().len() > 200_000;
    let place = paths.iter().position(is_long).unwrap();
    for path in &paths[place + 1..] {
        fs::remove_file(path).unwrap();
    }
    let content = fs::read_to_string(&paths[place]).unwrap();
    let (long, _checkpoint) = content.split_once('\n').unwrap();
    fs::write(&paths[place], format!("{long}\n")).unwrap();
    let next = first_record(&paths[place]).unwrap() + 1;
    fs::write(segment::segment_path(&config.directory, next), "").unwrap();
    fs::remove_file(config.directory.join("head")).unwrap();
    written(&config, 1).await;
    verify(&config.directory, None).unwrap();
}

/// What was before a segment was on disk before it began, and cannot be what a crash left.
#[tokio::test]
async fn what_is_missing_or_added_before_an_empty_segment_is_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 4).await;
    let path = segment(&config);
    let content = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = content.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 7);
    let next = config.directory.join("00000000000000000008.jsonl");
    fs::write(&next, "").unwrap();
    let odd = lines[6].replace("\"kind\"", "\"x\":\"\\ud800\",\"kind\"");
    for (changed, bad) in [
        (lines[..3].concat(), 3),
        (lines[..5].concat(), 5),
        (String::new(), 1),
        (content.clone() + "garbage", 8),
        (content.clone() + "garbage\n", 8),
        (content.clone() + "\n", 8),
        (content.trim_end().to_owned(), 7),
        (lines[..6].concat() + &odd, 7),
    ] {
        fs::write(&path, &changed).unwrap();
        let refused = broken(open(&config));
        assert_eq!(
            (refused.path, refused.line),
            (path.clone(), bad),
            "{changed}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), changed);
    }
    fs::write(&path, content).unwrap();
    written(&config, 1).await;
    verify(&config.directory, None).unwrap();
}

/// An operator who moves segments away may move one too many.
#[tokio::test]
async fn a_segment_that_does_not_say_what_came_before_it_is_not_continued() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    written(&config, 4).await;
    let (old, away) = (segment(&config), directory.path().join("away"));
    let next = config.directory.join("00000000000000000008.jsonl");
    fs::rename(&old, &away).unwrap();
    for content in ["", "{\"seq\":8,\"prev\":\"12"] {
        fs::write(&next, content).unwrap();
        assert_eq!(broken(open(&config)).line, 1);
        assert_eq!(fs::read_to_string(&next).unwrap(), content);
    }
    fs::rename(&away, &old).unwrap();
    written(&config, 1).await;
    // What follows a whole line needs none before it.
    fs::rename(&old, &away).unwrap();
    config.segment_size = Size::from_bytes(1);
    written(&config, 1).await;
    fs::rename(&away, &old).unwrap();
    verify(&config.directory, None).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_records_make_one_chain() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (audit, writer) = open(&config).unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let audit = audit.clone();
            tokio::spawn(async move {
                let mut numbers = Vec::new();
                for number in 0..8 {
                    numbers.push(audit.record(event(task * 8 + number)).await.unwrap());
                }
                numbers
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.extend(task.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (2..514).collect::<Vec<u64>>());
    assert!(audit.counters().batches.load(Ordering::Relaxed) <= 512);
    drop(audit);
    writer.join().await;
    assert_eq!(verify(&config.directory, None).unwrap().outcomes, 512);
}

#[tokio::test]
async fn one_journal_has_one_writer() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (audit, writer) = open(&config).unwrap();
    assert!(matches!(open(&config), Err(OpenError::InUse(_))));
    drop(audit);
    writer.join().await;
    written(&config, 1).await;
}

#[tokio::test]
async fn promise_3_a_failing_journal_acknowledges_nothing_and_recovers_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    // Every record wants a segment of its own, so that a missing directory is felt at once.
    config.segment_size = Size::from_bytes(1);
    let (audit, writer) = open(&config).unwrap();
    let first = audit.record(event(1)).await.unwrap();
    let away = directory.path().join("away");
    fs::rename(&config.directory, &away).unwrap();
    for number in 2..5 {
        audit.record(event(number)).await.unwrap_err();
    }
    audit.health().unwrap_err();
    fs::rename(&away, &config.directory).unwrap();
    // The writer tries again by itself; nobody has to write for that.
    let recovered = async {
        while audit.health().is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recovered)
        .await
        .unwrap();
    let next = audit.record(event(5)).await.unwrap();
    assert!(next >= first + 2, "a recovery record between");
    drop(audit);
    writer.join().await;
    let report = verify(&config.directory, None).unwrap();
    assert_eq!((report.outcomes, report.recoveries.len()), (2, 1));
}

#[tokio::test]
async fn promise_3_a_segment_that_was_taken_away_acknowledges_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (audit, writer) = open(&config).unwrap();
    audit.record(event(1)).await.unwrap();
    let path = segment(&config);
    let away = directory.path().join("away");
    fs::rename(&path, &away).unwrap();
    audit.record(event(2)).await.unwrap_err();
    fs::write(&path, "").unwrap();
    audit.record(event(3)).await.unwrap_err();
    drop(audit);
    writer.join().await;
    fs::rename(&away, &path).unwrap();
    assert!(!fs::read_to_string(&path).unwrap().contains("id-3"));
}

#[test]
fn records_are_shown_without_what_could_steer_a_terminal() {
    let line =
        "{\"kind\":\"recovery\",\"seq\":1,\"timestamp\":\"t\",\"reason\":\"a\\u001b[2Jb\\u202ec\"}";
    let shown = tail::render(line);
    assert!(shown.contains("a\\u{1b}[2Jb\\u{202e}c"), "{shown}");
}

#[test]
fn sums_are_shown_by_reason_and_by_caller() {
    let line = r#"{"seq":7,"kind":"suppressed","timestamp":"t","first":"t1","last":"t2","count":9,
        "reasons":[{"reason":"denied","operation":"token.update","count":5},{"reason":"look-alike","count":3}],"other_reasons":1,
        "callers":[{"requested_by":"10.0.0.1","caller":{"id":"dt0c01.A","kind":"api-token"},"count":5},{"requested_by":"10.0.0.2","count":4}]}"#;
    let shown = tail::render(line);
    let shown: Vec<&str> = shown.lines().map(str::trim).collect();
    assert!(
        shown[0].ends_with("9 requests refused without a record of their own, from t1 to t2"),
        "{shown:?}"
    );
    assert_eq!(
        shown[1..],
        [
            "5  denied token.update",
            "3  look-alike",
            "5  by dt0c01.A at 10.0.0.1",
            "4  by all other callers at 10.0.0.2",
            "1  for other reasons",
        ]
    );
}

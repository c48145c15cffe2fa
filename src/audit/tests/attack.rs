//! Somebody who can write the journal's files and has not its key: what he changes is never signed in silence, nothing
//! that he puts there takes more than its room, and a kill anywhere, again and again, loses nothing.

use std::os::unix::fs::FileExt;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::json;

use super::super::checkpoint::key;
use super::super::event::Pruned;
use super::super::keeper::compress;
use super::super::lines::Lines;
use super::super::retention::{Followed, due, finish, prune, removal};
use super::super::segment::{LONGEST_LINE, is_compressed};
use super::super::tree::stored::pruned_member;
use super::super::verify::{CheckpointError, Late, Report, Trust, verify_by};
use super::*;
use crate::value::Sha256Hex;

fn small(directory: &Path) -> Config {
    Config {
        segment_size: Size::from_bytes(1500),
        ..config(directory)
    }
}

fn keyed(config: &Config) -> Result<Report, VerifyError> {
    let key = key::public(&config.directory).unwrap().0.unwrap();
    let trust = Trust {
        keys: vec![key],
        ..Trust::default()
    };
    verify_by(&config.directory, None, &trust)
}

fn texts(config: &Config) -> Vec<String> {
    let mut lines = Lines::new(&config.directory);
    let mut found = Vec::new();
    while let Some(line) = lines.next_line().unwrap() {
        found.push(String::from_utf8(line.bytes).unwrap());
    }
    found
}

/// A journal of these lines in one segment, with a chain that is whole.
fn chained(config: &Config, lines: &[String]) {
    for path in segments(&config.directory).unwrap() {
        fs::remove_file(path).unwrap();
    }
    let (mut text, mut prev) = (String::new(), Sha256Hex::ZERO);
    for (place, line) in lines.iter().enumerate() {
        let (_, rest) = line.split_once("\"prev\":\"").unwrap();
        let rest = rest.get(64..).unwrap();
        let line = format!("{{\"seq\":{},\"prev\":\"{}{rest}", place + 1, prev.as_str());
        prev = Sha256Hex::of(line.as_bytes());
        text += &line;
        text.push('\n');
    }
    fs::write(segment::segment_path(&config.directory, 1), text).unwrap();
    for file in ["head", "tree"].map(|file| config.directory.join(file)) {
        if file.exists() {
            fs::remove_file(file).unwrap();
        }
    }
}

fn is_of(kind: &str, line: &str) -> bool {
    line.contains(&format!("\"kind\":\"{kind}\""))
}

/// While the gate is down all is written anew, without the checkpoints that do not hold any more. The start signs it:
/// there is nothing that it could know better by. But `verify` says so.
#[tokio::test]
async fn what_a_start_signs_for_the_first_time_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 5).await;
    written(&config, 5).await;
    assert_eq!(keyed(&config).unwrap().checkpoints.signed_late, []);
    let lines = texts(&config);
    let mut changed: Vec<String> = lines
        .iter()
        .filter(|line| !is_of("checkpoint", line))
        .cloned()
        .collect();
    changed[2] = changed[2].replace("id-1", "id-x");
    chained(&config, &changed);
    written(&config, 1).await;
    let report = keyed(&config).unwrap();
    let to = changed.len() as u64;
    let late = Late {
        from: 1,
        to,
        by: to + 1,
    };
    assert_eq!(report.checkpoints.signed_late, [late]);
    // And it stays told.
    written(&config, 1).await;
    assert_eq!(keyed(&config).unwrap().checkpoints.signed_late.len(), 1);
}

/// The checkpoints are left, or put in another place: then the start knows that they are its own, and signs no more.
#[tokio::test]
async fn a_start_signs_nothing_that_its_own_checkpoints_contradict() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 5).await;
    written(&config, 5).await;
    let lines = texts(&config);
    let mut edited = lines.clone();
    edited[2] = edited[2].replace("id-1", "id-x");
    let mut shorter = lines.clone();
    shorter.remove(3);
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    for changed in [edited, shorter, swapped] {
        chained(&config, &changed);
        let (audit, writer) = open(&config).unwrap();
        // It serves all the same.
        audit.record(event(9)).await.unwrap();
        drop(audit);
        writer.join().await;
        let found = texts(&config);
        let added = &found[changed.len()..];
        assert!(
            !added.iter().any(|line| is_of("checkpoint", line)),
            "{added:?}"
        );
        let error = verify(&config.directory, None).unwrap_err();
        assert!(matches!(error, VerifyError::Checkpoint { .. }), "{error}");
    }
}

/// A crash leaves records behind the last checkpoint, too: they are named, and no more than they.
#[tokio::test]
async fn what_a_kill_left_unsigned_is_told_exactly() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 3).await;
    let before = texts(&config).len() as u64;
    {
        let held = Arc::new(Directory::hold(&config.directory).unwrap());
        let (mut journal, _found) = Journal::open(held, &config, now()).unwrap();
        journal
            .append([event(1), event(2)].iter(), Instant::now())
            .unwrap();
    }
    written(&config, 1).await;
    let late = Late {
        from: before,
        to: before + 2,
        by: before + 3,
    };
    assert_eq!(keyed(&config).unwrap().checkpoints.signed_late, [late]);
}

/// Behind the newest checkpoint there can be no more than a gate leaves that was killed: a longer end is somebody else's.
#[tokio::test]
async fn an_end_that_no_gate_left_unsigned_is_a_problem_by_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 3).await;
    let signed = texts(&config);
    let outcome = signed.iter().find(|line| is_of("outcome", line)).unwrap();
    let start = signed.iter().find(|line| is_of("start", line)).unwrap();
    let at = |line: &str, seconds: i64| {
        let (opening, rest) = line.split_once("\"timestamp\":\"").unwrap();
        let (_, rest) = rest.split_once('"').unwrap();
        let time = jiff::Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        format!("{opening}\"timestamp\":\"{time}\"{rest}")
    };
    let hour = 3600;
    for (name, tail, is_problem) in [
        ("a kill", vec![at(outcome, 0), at(outcome, 59)], false),
        (
            "an hour of records",
            (0..60).map(|minute| at(outcome, minute * 60)).collect(),
            true,
        ),
        (
            "a machine that slept twice",
            vec![
                at(outcome, 0),
                at(outcome, 9 * hour),
                at(outcome, 20 * hour),
                at(outcome, 20 * hour + 5),
            ],
            false,
        ),
        (
            "a clock that was set back",
            vec![
                at(outcome, 0),
                at(outcome, 50),
                at(outcome, -9 * hour),
                at(outcome, 10 - 9 * hour),
            ],
            false,
        ),
        (
            "a gate that is killed again and again",
            (0..60)
                .flat_map(|minute| [at(start, minute * 60), at(outcome, minute * 60 + 30)])
                .collect(),
            false,
        ),
    ] {
        chained(&config, &[&signed[..], &tail[..]].concat());
        let report = keyed(&config).unwrap();
        assert_eq!(report.checkpoints.proven, signed.len() as u64 - 1);
        let (from, to) = (signed.len() + 1, signed.len() + tail.len());
        let says = format!("records {from} to {to} are not signed");
        let said = report
            .problems
            .iter()
            .any(|problem| problem.contains(&says));
        assert_eq!(said, is_problem, "{name}: {:?}", report.problems);
        assert!(!report.has_head_file);
        // Nobody's key, nobody's promise.
        assert_eq!(verify(&config.directory, None).unwrap().problems, [""; 0]);
        let trust = Trust {
            keys: vec![key::public(&config.directory).unwrap().0.unwrap()],
            interval: Some(crate::value::Duration::from_secs(20 * 60)),
            ..Trust::default()
        };
        let report = verify_by(&config.directory, None, &trust).unwrap();
        assert_eq!(report.problems, [""; 0], "{name}");
    }
}

/// What says that records were deleted, rightly.
fn removal_of(config: &Config, first: u64, last: u64) -> Record {
    let lines = texts(config);
    let oldest = chain::Link::read(lines[0].as_bytes()).unwrap().seq.unwrap();
    let hash = Sha256Hex::of(lines[usize::try_from(last - oldest).unwrap()].as_bytes());
    let pruned = Pruned {
        first,
        last,
        hash: hash.as_str().to_owned(),
        tree: pruned_member(&config.directory, last).unwrap(),
        reason: "max_age".to_owned(),
        ..Pruned::default()
    };
    Event::Pruned(pruned).record()
}

fn append(config: &Config, record: Record) -> Journal {
    let held = Arc::new(Directory::hold(&config.directory).unwrap());
    let (mut journal, _found) = Journal::open(held, config, now()).unwrap();
    journal.note(&[record]).unwrap();
    journal
}

fn why(config: &Config) -> CheckpointError {
    match keyed(config) {
        Err(VerifyError::Checkpoint { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

/// The record that says that the beginning was deleted: anybody can write it. The gate's own is signed before it deletes.
#[tokio::test]
async fn a_pruned_record_that_no_checkpoint_covers_vouches_for_nothing_by_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let config = small(directory.path());
    written(&config, 30).await;
    let paths = segments(&config.directory).unwrap();
    let last = first_record(&paths[2]).unwrap() - 1;
    drop(append(&config, removal_of(&config, 1, last)));
    keyed(&config).unwrap();
    for path in &paths[..2] {
        fs::remove_file(path).unwrap();
    }
    // The chain alone cannot know.
    verify(&config.directory, None).unwrap();
    assert!(matches!(why(&config), CheckpointError::Deleted { .. }));
    // A start signs nothing of it.
    written(&config, 1).await;
    assert!(matches!(why(&config), CheckpointError::Deleted { .. }));
}

/// Where the segments are still there when the gate starts, it signs all, and later that vouches for nothing.
#[tokio::test]
async fn a_pruned_record_that_a_later_start_has_signed_vouches_for_nothing_by_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let config = small(directory.path());
    written(&config, 30).await;
    let paths = segments(&config.directory).unwrap();
    let last = first_record(&paths[2]).unwrap() - 1;
    let before = texts(&config).len();
    drop(append(&config, removal_of(&config, 1, last)));
    // What was intended because of it is taken back.
    let pruning = config.directory.join("pruning");
    fs::write(&pruning, format!("{before} {last}\n")).unwrap();
    written(&config, 1).await;
    assert!(!pruning.exists());
    assert_eq!(keyed(&config).unwrap().checkpoints.signed_late.len(), 1);
    for path in &paths[..2] {
        fs::remove_file(path).unwrap();
    }
    assert!(matches!(
        why(&config),
        CheckpointError::DeletedUnsigned { .. }
    ));
    // Nor does a deletion of the gate's own that goes on from it.
    let next = first_record(&paths[3]).unwrap() - 1;
    let mut journal = append(&config, removal_of(&config, last + 1, next));
    let keys = Keys::read_or_make(&config.directory, None).unwrap();
    let mut notary = Notary::new(keys.current, config.checkpoint_interval);
    notary.seal(&mut journal, now()).unwrap().unwrap();
    drop(journal);
    fs::remove_file(&paths[2]).unwrap();
    verify(&config.directory, None).unwrap();
    assert!(matches!(
        why(&config),
        CheckpointError::DeletedUnsigned { .. }
    ));
}

/// A gate that went on from such a deletion would take away what shows it, once it has deleted twice.
#[tokio::test]
async fn a_gate_deletes_nothing_behind_a_deletion_that_no_gate_signed_in_time() {
    for is_of_a_gate in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let config = small(directory.path());
        written(&config, 40).await;
        let paths = segments(&config.directory).unwrap();
        let last = first_record(&paths[2]).unwrap() - 1;
        let mut journal = append(&config, removal_of(&config, 1, last));
        if is_of_a_gate {
            let keys = Keys::read_or_make(&config.directory, None).unwrap();
            let mut notary = Notary::new(keys.current, config.checkpoint_interval);
            notary.seal(&mut journal, now()).unwrap().unwrap();
        }
        drop(journal);
        // Later gates have other keys.
        for _ in 0..2 {
            key::prepare(&config.directory, None).unwrap();
            written(&config, 1).await;
        }
        for path in &paths[..2] {
            fs::remove_file(path).unwrap();
        }
        let retention = Retention {
            max_age: None,
            max_size: Some(Size::from_bytes(1)),
        };
        let due = due(&config.directory, &retention, now(), u64::MAX).unwrap();
        let plan = due.plan.unwrap();
        let removed = removal(
            &config.directory,
            &plan,
            now(),
            &mut Followed::default(),
            &mut || Ok(()),
        );
        match removed {
            Ok(pruned) => assert!(is_of_a_gate && pruned.first == last + 1),
            Err(error) => assert!(
                !is_of_a_gate && error.to_string().contains("was not signed by the gate"),
                "{error}"
            ),
        }
    }
}

#[tokio::test]
async fn names_and_numbers_beyond_all_measure_are_nobodys() {
    let directory = tempfile::tempdir().unwrap();
    let config = small(directory.path());
    written(&config, 12).await;
    let whole = keyed(&config).unwrap();
    for number in [0, (1 << 60) + 1, u64::MAX - 1, u64::MAX] {
        let path = config.directory.join(format!("{number:020}.jsonl"));
        fs::write(&path, "{}\n").unwrap();
        assert_eq!(keyed(&config).unwrap(), whole);
        fs::remove_file(path).unwrap();
    }
    let last = 1_u64 << 60;
    let path = config.directory.join(format!("{last:020}.jsonl"));
    fs::write(&path, "{}\n").unwrap();
    assert!(matches!(keyed(&config), Err(VerifyError::Missing { .. })));
    fs::remove_file(path).unwrap();
    // What is pruned up to the end of all numbers.
    for last in [u64::MAX, u64::MAX - 1, 1 << 61] {
        let pruned = Event::Pruned(Pruned {
            last,
            hash: "0".repeat(64),
            ..Pruned::default()
        });
        let lines = texts(&config);
        {
            let held = Arc::new(Directory::hold(&config.directory).unwrap());
            let (mut journal, _found) = Journal::open(held, &config, now()).unwrap();
            journal.note(&[pruned.record()]).unwrap();
        }
        assert!(matches!(keyed(&config), Err(VerifyError::Pruned { .. })));
        chained(&config, &lines);
    }
}

#[tokio::test]
async fn a_record_that_nobody_would_read_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (audit, writer) = open(&config).unwrap();
    let record = |length| Record::of(&json!({"kind": "x", "text": "a".repeat(length)}), length);
    let error = audit.record(record(LONGEST_LINE)).await.unwrap_err();
    assert!(
        error.to_string().contains("longer than any may be"),
        "{error}"
    );
    // The longest one that is written is read.
    let longest = LONGEST_RECORD - r#"{"kind":"x","text":""}"#.len();
    audit.record(record(longest)).await.unwrap();
    drop(audit);
    writer.join().await;
    verify(&config.directory, None).unwrap();
}

/// A file of nothing, longer than any line: it is refused for its length, and not read to its end.
#[tokio::test]
async fn a_line_without_end_is_not_read_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let config = small(directory.path());
    written(&config, 12).await;
    let path = segments(&config.directory).unwrap().remove(1);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(b"x", length + 1).unwrap();
    file.set_len(1 << 40).unwrap();
    let error = verify(&config.directory, None).unwrap_err();
    assert!(error.is_verdict(), "{error}");
    assert!(error.to_string().contains("longer than 64 MiB"), "{error}");
    let mut lines = Lines::new(&config.directory);
    let refused = loop {
        match lines.next_line() {
            Ok(line) => assert!(line.is_some()),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
    const { assert!(LONGEST_LINE < 1 << 27) };
}

/// Steps of a journal's life. Each is ended by a kill after so many steps of its own, or comes to its end.
#[derive(Clone, Copy, Debug)]
enum Act {
    Write(u8),
    Seal,
    Compress,
    Prune,
    Start,
}

fn acts() -> impl Strategy<Value = Vec<(Act, Option<u8>)>> {
    let act = prop_oneof![
        3 => (1_u8..12).prop_map(Act::Write),
        2 => Just(Act::Seal),
        2 => Just(Act::Compress),
        3 => Just(Act::Prune),
        1 => Just(Act::Start),
    ];
    proptest::collection::vec((act, proptest::option::weighted(0.7, 0_u8..16)), 4..24)
}

/// A journal, and all that was acknowledged.
struct Life {
    config: Config,
    root: PathBuf,
    lives: usize,
    known: Vec<String>,
    covered: u64,
}

impl Life {
    /// What is on disk now is all that there is from here on.
    fn kill(&mut self, at: &Path) {
        self.config.directory = at.to_owned();
    }

    fn next(&mut self) -> PathBuf {
        self.lives += 1;
        self.root.join(self.lives.to_string())
    }

    fn notary(&self) -> Notary {
        let keys = Keys::read_or_make(&self.config.directory, None).unwrap();
        Notary::new(keys.current, self.config.checkpoint_interval)
    }

    fn open(&self) -> Journal {
        let held = Arc::new(Directory::hold(&self.config.directory).unwrap());
        Journal::open(held, &self.config, now()).unwrap().0
    }

    /// Does something step by step; a copy of the directory goes on after step `kill`.
    fn steps(
        &mut self,
        kill: Option<u8>,
        act: impl FnOnce(&mut Self, &mut dyn FnMut() -> io::Result<()>) -> io::Result<()>,
    ) {
        let (from, to) = (self.config.directory.clone(), self.next());
        let mut left = kill;
        let mut step = || match &mut left {
            Some(0) => {
                copy(&from, &to);
                Err(io::Error::other("killed"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        };
        let done = act(self, &mut step);
        if to.exists() {
            self.kill(&to);
        } else {
            done.unwrap();
        }
    }

    fn act(&mut self, act: Act, kill: Option<u8>) {
        match act {
            Act::Write(number) => {
                let mut journal = self.open();
                for _ in 0..number {
                    let event = event(self.known.len() as u64);
                    let first = journal.append([event].iter(), Instant::now()).unwrap();
                    self.known.push(format!("\"seq\":{first},"));
                }
            }
            Act::Seal => {
                let mut notary = self.notary();
                let mut journal = self.open();
                if let Some(signed) = notary.seal(&mut journal, now()).unwrap() {
                    self.covered = signed.checkpoint.size;
                }
            }
            Act::Compress => self.steps(kill, |life, step| {
                let mut closed = segments(&life.config.directory)?;
                closed.pop();
                closed.retain(|path| !is_compressed(path));
                closed.iter().try_for_each(|path| compress(path, step))
            }),
            Act::Prune => self.steps(kill, |life, step| {
                let path = life.config.directory.clone();
                if !finish(&path, life.covered, step)? {
                    return Ok(());
                }
                let due = due(&path, &life.config.retention, now(), life.covered)?;
                let Some(plan) = due.plan else {
                    return Ok(());
                };
                let pruned = removal(&path, &plan, now(), &mut Followed::default(), step)?;
                // As in a gate it is open from before: a start would take back what is intended.
                let mut journal = life.open();
                let written = journal.head().next - 1;
                // The record, and the checkpoint over it, may be the last that is done, too.
                let mut late = None;
                let record = || {
                    let mut notary = life.notary();
                    journal.append(
                        [Event::Pruned(pruned.clone()).record()].iter(),
                        Instant::now(),
                    )?;
                    if kill == Some(15) {
                        return Err(io::Error::other("killed"));
                    }
                    late = notary.seal(&mut journal, now())?;
                    Ok(())
                };
                let done = prune(&path, &pruned, written, record, step);
                life.covered = life.covered.max(late.map_or(0, |it| it.checkpoint.size));
                match done {
                    Err(_killed) if kill == Some(15) => Ok(()),
                    done => done,
                }
            }),
            Act::Start => {
                // What a kill left half written is set aside, or nothing is wrong.
                self.covered = 0;
                let mut journal = self.open();
                let start = json!({"kind": "start", "timestamp": now().to_string()});
                journal.note(&[Record::of(&start, 100)]).unwrap();
            }
        }
    }

    /// Every record that was acknowledged is there once, or a record says that it was deleted.
    fn check(&self) {
        let report = verify(&self.config.directory, None).unwrap();
        assert_eq!(report.problems, [""; 0]);
        let gone = report.pruned.iter().map(|it| it.pruned.last).max();
        let lines = texts(&self.config);
        let first = chain::Link::read(lines[0].as_bytes()).unwrap().seq.unwrap();
        assert!(first <= gone.unwrap_or(0) + 1);
        for known in &self.known {
            let times = lines
                .iter()
                .filter(|line| line.get(1..).is_some_and(|it| it.starts_with(known)))
                .count();
            let number: u64 = known
                .get(6..known.len() - 1)
                .unwrap_or_default()
                .parse()
                .unwrap();
            assert_eq!(times, usize::from(number >= first), "{known}");
        }
        if report.checkpoints.count > 0 {
            keyed(&self.config).unwrap();
        }
    }
}

/// The directory as a kill leaves it.
fn copy(from: &Path, to: &Path) {
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn kills_at_any_step_of_anything_in_any_order_lose_nothing(acts in acts()) {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        config.segment_size = Size::from_bytes(900);
        config.retention.max_size = Some(Size::from_bytes(2700));
        config.durability = Durability::Buffered;
        let mut life = Life {
            config,
            root: directory.path().to_owned(),
            lives: 0,
            known: Vec::new(),
            covered: 0,
        };
        Keys::read_or_make(Directory::hold(&life.config.directory).unwrap().path(), None).unwrap();
        life.act(Act::Write(6), None);
        life.act(Act::Seal, None);
        for (act, kill) in acts {
            life.act(act, kill);
            life.check();
        }
    }
}

//! Segments that are closed because they are old, compressed, deleted: nothing is lost, nothing is there twice, and
//! what was changed is found, wherever a kill comes.

use std::collections::BTreeMap;
use std::time::Instant;

use super::super::checkpoint::key;
use super::super::checkpoint::note::{PublicKey, SigningKey};
use super::super::compress::pack;
use super::super::event::Pruned;
use super::super::keeper::compress;
use super::super::lines::{Line, Lines, last};
use super::super::pseudonym::{Differing, Said, differing, rotate};
use super::super::retention::{Followed, Plan, due, finish, prune, removal};
use super::super::segment::{forms, is_compressed};
use super::super::verify::{Report, Trust, verify_by};
use super::*;

const SMALL: Size = Size::from_bytes(700);

/// A journal of several segments, all plain.
async fn in_segments(directory: &Path) -> Config {
    let mut config = config(directory);
    config.segment_size = SMALL;
    written(&config, 16).await;
    assert!(segments(&config.directory).unwrap().len() > 4);
    config
}

fn all() -> impl FnMut() -> io::Result<()> {
    || Ok(())
}

fn closed(config: &Config) -> Vec<PathBuf> {
    let mut segments = segments(&config.directory).unwrap();
    segments.pop();
    segments
}

fn compressed(config: &Config) {
    for path in closed(config) {
        compress(&path, &mut all()).unwrap();
    }
}

fn lines(directory: &Path) -> Vec<Line> {
    let mut lines = Lines::new(directory);
    let mut found = Vec::new();
    while let Some(line) = lines.next_line().unwrap() {
        found.push(line);
    }
    found
}

fn texts(directory: &Path) -> Vec<Vec<u8>> {
    lines(directory).into_iter().map(|it| it.bytes).collect()
}

/// The directory as it is at this moment: what a kill would leave.
fn copy(from: &Path, to: &Path) {
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// What is left at every step of something.
struct States {
    of: PathBuf,
    into: PathBuf,
    taken: Vec<PathBuf>,
}

impl States {
    fn new(config: &Config, directory: &Path) -> Self {
        let into = directory.join("states");
        fs::create_dir(&into).unwrap();
        Self {
            of: config.directory.clone(),
            into,
            taken: Vec::new(),
        }
    }

    fn take(&mut self) {
        let to = self.into.join(self.taken.len().to_string());
        copy(&self.of, &to);
        self.taken.push(to);
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect()
}

fn whole(directory: &Path) -> Report {
    let report = verify(directory, None).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    report
}

#[tokio::test]
async fn a_kill_at_any_step_of_compressing_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    let before = texts(&config.directory);
    let mut states = States::new(&config, directory.path());
    // The rest is left to the start.
    for path in closed(&config).iter().take(2) {
        compress(path, &mut || {
            states.take();
            Ok(())
        })
        .unwrap();
        states.take();
    }
    for state in &states.taken {
        assert_eq!(texts(state), before);
        assert_eq!(whole(state).records, before.len() as u64);
        let config = Config {
            directory: state.clone(),
            compression: Compression::Zstd,
            ..config.clone()
        };
        let (audit, writer) = open(&config).unwrap();
        let kept = |audit: &Audit| audit.kept().compressed_segments;
        let expected = closed(&config).len() as u64;
        until("compressed", || kept(&audit) >= expected).await;
        assert_eq!(audit.kept().compress_error, None);
        drop(audit);
        writer.join().await;
        assert_eq!(texts(state)[..before.len()], before);
        // A start, a stop, and a checkpoint.
        assert_eq!(whole(state).records, before.len() as u64 + 3);
        let names = names(state);
        assert!(names.iter().all(|name| !name.contains(".new")), "{names:?}");
        for path in closed(&config) {
            let (plain, compressed) = forms(&path);
            assert_ne!(plain.exists(), compressed.exists(), "{names:?}");
        }
    }
}

#[tokio::test]
async fn a_place_in_a_segment_is_the_same_in_both_forms() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    let before = lines(&config.directory);
    compressed(&config);
    for (number, line) in before.iter().enumerate() {
        let mut rest = Lines::from(&config.directory, line.place);
        for expected in &before[number..] {
            let found = rest.next_line().unwrap().unwrap();
            assert_eq!(
                (found.place, &found.bytes),
                (expected.place, &expected.bytes)
            );
        }
        assert!(rest.next_line().unwrap().is_none());
    }
}

#[tokio::test]
async fn a_start_needs_no_plain_segment_but_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    compressed(&config);
    written(&config, 1).await;
    whole(&config.directory);
    // All that is left are the last two; or the last was closed too, and is all there is.
    let paths = segments(&config.directory).unwrap();
    for path in &paths[..paths.len() - 2] {
        fs::remove_file(path).unwrap();
    }
    written(&config, 1).await;
    let last = segment(&config);
    compress(&last, &mut all()).unwrap();
    written(&config, 1).await;
    assert!(!is_compressed(&segment(&config)));
    let text = texts(&config.directory);
    assert!(text.windows(2).all(|pair| {
        let seq = |line: &[u8]| chain::Link::read(line).unwrap().seq.unwrap();
        seq(&pair[0]) + 1 == seq(&pair[1])
    }));
}

#[tokio::test]
async fn a_changed_byte_of_a_compressed_segment_stops_what_reads_it_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    compressed(&config);
    for path in closed(&config).into_iter().take(3) {
        let content = fs::read(&path).unwrap();
        for at in 0..content.len() {
            let mut changed = content.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            let error = verify(&config.directory, None).unwrap_err();
            assert!(error.is_verdict());
            let error = error.to_string();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(error.contains(name), "byte {at}: {error}");
        }
        fs::write(&path, content).unwrap();
    }
    // A start reads the last one's last line.
    let path = closed(&config).pop().unwrap();
    let content = fs::read(&path).unwrap();
    fs::write(&path, &content[..content.len() - 1]).unwrap();
    fs::write(segment(&config), "").unwrap();
    fs::remove_file(config.directory.join("head")).unwrap();
    let error = open(&config).map(drop).unwrap_err().to_string();
    assert!(error.contains("changed after it was compressed"), "{error}");
}

/// Writes a segment with these lines in the form that it has.
fn rewrite(path: &Path, lines: &[&[u8]]) {
    let mut text = lines.join(&b"\n"[..]);
    text.push(b'\n');
    if is_compressed(path) {
        let mut out = Vec::new();
        pack(&mut &text[..], &mut out, &mut all()).unwrap();
        text = out;
    }
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn a_deleted_swapped_repeated_or_inserted_line_is_found_in_any_segment() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    let noted = verify(&config.directory, None).unwrap();
    let noted = NotedHead {
        seq: noted.head_seq,
        hash: noted.head_hash,
    };
    compressed(&config);
    for path in segments(&config.directory).unwrap() {
        let content = fs::read(&path).unwrap();
        let mut text = Vec::new();
        let mut reader = segment::open_lines(&path, 0).unwrap();
        reader.read_to_end(&mut text).unwrap();
        let lines: Vec<&[u8]> = text.trim_ascii_end().split(|byte| *byte == b'\n').collect();
        let mut found = Vec::new();
        for at in 0..lines.len() {
            let (before, rest) = lines.split_at(at);
            found.push([before, &rest[1..]].concat());
            found.push([before, &rest[..1], rest].concat());
            found.push([before, &[b"{}"], rest].concat());
            if rest.len() > 1 {
                found.push([before, &[rest[1], rest[0]], &rest[2..]].concat());
            }
        }
        for changed in found {
            rewrite(&path, &changed);
            verify(&config.directory, Some(&noted)).unwrap_err();
        }
        fs::write(&path, content).unwrap();
    }
    whole(&config.directory);
}

#[tokio::test]
async fn both_forms_that_differ_are_a_problem_and_neither_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = in_segments(directory.path()).await;
    let path = closed(&config).remove(0);
    let plain = fs::read(&path).unwrap();
    compress(&path, &mut all()).unwrap();
    fs::write(&path, &plain).unwrap();
    whole(&config.directory);
    let (plain_path, other) = forms(&path);
    rewrite(&other, &[b"{}"]);
    let report = verify(&config.directory, None).unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    config.compression = Compression::Zstd;
    let (audit, writer) = open(&config).unwrap();
    until("told", || audit.kept().compress_error.is_some()).await;
    audit.record(event(1)).await.unwrap();
    drop(audit);
    writer.join().await;
    assert!(plain_path.exists() && other.exists());
}

/// What would be deleted of a journal, when all of it may be.
fn planned(config: &Config, most: Size) -> Pruned {
    let retention = Retention {
        max_age: None,
        max_size: Some(most),
    };
    let due = due(&config.directory, &retention, now(), u64::MAX).unwrap();
    let plan = due.plan.unwrap();
    removal(
        &config.directory,
        &plan,
        now(),
        &mut Followed::default(),
        &mut all(),
    )
    .unwrap()
}

/// Writes the record of it, and a checkpoint over it, as the writer does.
fn record(config: &Config, pruned: &Pruned) {
    let held = Arc::new(Directory::hold(&config.directory).unwrap());
    let (mut journal, _found) = Journal::open(held, config, now()).unwrap();
    let record = Event::Pruned(pruned.clone()).record();
    journal
        .append(std::iter::once(&record), Instant::now())
        .unwrap();
    let keys = Keys::read_or_make(&config.directory, None).unwrap();
    let mut notary = Notary::new(keys.current, config.checkpoint_interval);
    notary.seal(&mut journal, now()).unwrap();
}

fn delete(config: &Config, most: Size) -> Pruned {
    let pruned = planned(config, most);
    let write = || {
        record(config, &pruned);
        Ok(())
    };
    prune(&config.directory, &pruned, pruned.last, write, &mut all()).unwrap();
    pruned
}

#[tokio::test]
async fn a_kill_at_any_step_of_deleting_leaves_a_journal_that_is_whole() {
    for is_packed in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let config = in_segments(directory.path()).await;
        fs::write(
            config.directory.join("00000000000000000001.jsonl.torn-1"),
            "x",
        )
        .unwrap();
        if is_packed {
            compressed(&config);
        }
        let before = texts(&config.directory);
        let pruned = planned(&config, SMALL);
        let mut states = States::new(&config, directory.path());
        let write = || {
            record(&config, &pruned);
            Ok(())
        };
        let seq = before.len() as u64;
        let path = &config.directory;
        prune(path, &pruned, seq, write, &mut || {
            states.take();
            Ok(())
        })
        .unwrap();
        states.take();
        assert!(states.taken.len() > 8, "{}", states.taken.len());
        let mut ends = BTreeMap::new();
        for state in &states.taken {
            // What was set aside is not as it should be, as long as its segment is there.
            verify(state, None).unwrap();
            finish(state, u64::MAX, &mut all()).unwrap();
            let report = verify(state, None).unwrap();
            let found = texts(state);
            let gone = usize::try_from(pruned.last).unwrap();
            if report.pruned.is_empty() {
                assert_eq!(found, before);
            } else {
                // Then comes the record of it, and a checkpoint.
                assert!(found[..found.len() - 2] == before[gone..]);
                assert_eq!(report.problems, Vec::<String>::new());
                assert_eq!(report.pruned[0].pruned, pruned);
            }
            *ends.entry(report.pruned.len()).or_insert(0) += 1;
            assert!(names(state).iter().all(|name| name != "pruning"));
            let config = Config {
                directory: state.clone(),
                ..config.clone()
            };
            written(&config, 1).await;
            verify(state, None).unwrap();
        }
        assert_eq!(ends.keys().copied().collect::<Vec<_>>(), [0, 1]);
    }
}

#[tokio::test]
async fn what_is_missing_without_a_record_or_beyond_it_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    let whole_before = directory.path().join("before");
    copy(&config.directory, &whole_before);
    let pruned = delete(&config, Size::from_bytes(1500));
    assert_eq!(whole(&config.directory).pruned.len(), 1);
    // One too many.
    let first = segments(&config.directory).unwrap().remove(0);
    let away = directory.path().join("away");
    fs::rename(&first, &away).unwrap();
    let missing = verify(&config.directory, None).unwrap_err();
    let VerifyError::Missing { expected, .. } = missing else {
        panic!("{missing}");
    };
    assert_eq!(expected, pruned.last + 1);
    fs::rename(&away, &first).unwrap();
    // Put back, all of it, or without a gap.
    let mut gone: Vec<_> = segments(&whole_before).unwrap();
    gone.retain(|path| first_record(path).unwrap() <= pruned.last);
    for path in gone.iter().rev() {
        fs::copy(path, config.directory.join(path.file_name().unwrap())).unwrap();
        whole(&config.directory);
    }
    fs::remove_file(config.directory.join(gone[1].file_name().unwrap())).unwrap();
    verify(&config.directory, None).unwrap_err();
    // Never deleted as the configuration says, but by hand.
    let first = segments(&whole_before).unwrap().remove(0);
    fs::remove_file(first).unwrap();
    let missing = verify(&whole_before, None).unwrap_err();
    assert!(matches!(missing, VerifyError::Missing { .. }), "{missing}");
}

#[tokio::test]
async fn a_journal_is_deleted_from_again_and_by_hand_only_what_is_accounted_for() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    let first = delete(&config, Size::from_bytes(2500));
    written(&config, 8).await;
    let second = delete(&config, Size::from_bytes(1500));
    assert_eq!(second.first, first.last + 1);
    whole(&config.directory);
    // The record of the first deletion is deleted too, in the end.
    for _ in 0..3 {
        written(&config, 8).await;
        delete(&config, Size::from_bytes(1500));
        whole(&config.directory);
    }
    let first = segments(&config.directory).unwrap().remove(0);
    fs::remove_file(first).unwrap();
    written(&config, 8).await;
    let retention = Retention {
        max_age: None,
        max_size: Some(SMALL),
    };
    let due = due(&config.directory, &retention, now(), u64::MAX).unwrap();
    let refused = removal(
        &config.directory,
        &due.plan.unwrap(),
        now(),
        &mut Followed::default(),
        &mut all(),
    );
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("no record says that they were deleted"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_is_changed_is_not_deleted_and_what_a_record_says_wrongly_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    let path = segments(&config.directory).unwrap().remove(1);
    let content = fs::read_to_string(&path).unwrap();
    fs::write(&path, content.replacen("answered", "answerex", 1)).unwrap();
    let retention = Retention {
        max_age: None,
        max_size: Some(SMALL),
    };
    let due = due(&config.directory, &retention, now(), u64::MAX).unwrap();
    removal(
        &config.directory,
        &due.plan.unwrap(),
        now(),
        &mut Followed::default(),
        &mut all(),
    )
    .unwrap_err();
    fs::write(&path, content).unwrap();
    let right = planned(&config, SMALL);
    for wrong in [
        Pruned {
            hash: "0".repeat(64),
            ..right.clone()
        },
        Pruned {
            last: right.last + 1,
            ..right.clone()
        },
        Pruned {
            last: u64::MAX - 1,
            ..right.clone()
        },
    ] {
        let to = directory
            .path()
            .join(format!("{}-{}", wrong.last, wrong.hash));
        copy(&config.directory, &to);
        let config = Config {
            directory: to,
            ..config.clone()
        };
        record(&config, &wrong);
        written(&config, 8).await;
        let error = verify(&config.directory, None).unwrap_err();
        assert!(matches!(error, VerifyError::Pruned { .. }), "{error}");
    }
}

#[tokio::test]
async fn only_what_is_due_and_covered_is_deleted_and_never_the_last_two() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    let all = segments(&config.directory).unwrap();
    let path = &config.directory;
    let age = |seconds| now() + jiff::SignedDuration::from_secs(seconds);
    let old = Retention {
        max_age: Some(crate::value::Duration::from_secs(60)),
        max_size: None,
    };
    assert!(
        due(path, &Retention::default(), age(1 << 20), u64::MAX)
            .unwrap()
            .plan
            .is_none()
    );
    for (seconds, expected) in [(-100, 0), (60, 0), (61, all.len() - 2)] {
        let due = due(path, &old, age(seconds), u64::MAX).unwrap();
        assert_eq!(due.plan.map_or(0, |plan| plan.segments.len()), expected);
    }
    let nothing = due(path, &old, age(61), 0).unwrap();
    assert_eq!((nothing.plan, nothing.waiting), (None, all.len() - 2));
    let second = first_record(&all[1]).unwrap();
    for (covered, expected) in [(second - 2, 0), (second - 1, 1), (second, 1)] {
        let due = due(path, &old, age(61), covered).unwrap();
        assert_eq!(due.plan.map_or(0, |plan| plan.segments.len()), expected);
        assert_eq!(due.waiting, all.len() - 2 - expected);
    }
}

#[tokio::test]
async fn a_decision_in_doubt_is_not_forgotten_with_its_segment() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(1);
    let decision = |id: &str| {
        let decision = serde_json::json!({
            "kind": "decision", "verdict": "allow", "decision_id": id,
            "timestamp": "1970-01-01T00:00:00.000Z"
        });
        Record::of(&decision, 64)
    };
    let (audit, writer) = open(&config).unwrap();
    let first = audit.record(decision("id-2")).await.unwrap();
    let lost = audit.record(decision("lost")).await.unwrap();
    for number in 0..4 {
        audit.record(event(number)).await.unwrap();
    }
    assert_eq!(first, 2);
    drop(audit);
    writer.join().await;
    // The outcome of the first is in a segment that is kept.
    let (gone, kept): (Vec<_>, Vec<_>) = segments(&config.directory)
        .unwrap()
        .into_iter()
        .partition(|path| first_record(path).unwrap() <= lost);
    let plan = Plan {
        segments: gone,
        first: 1,
        last: first_record(&kept[0]).unwrap() - 1,
        reason: "max_age",
    };
    let pruned = removal(
        &config.directory,
        &plan,
        now(),
        &mut Followed::default(),
        &mut all(),
    )
    .unwrap();
    assert_eq!(
        (pruned.in_doubt.clone(), pruned.in_doubt_count),
        (vec!["lost".to_owned()], 1)
    );
    // Nor when the record of that is deleted, too.
    let write = || {
        record(&config, &pruned);
        Ok(())
    };
    prune(&config.directory, &pruned, lost + 4, write, &mut all()).unwrap();
    written(&config, 4).await;
    let report = whole(&config.directory);
    assert_eq!(report.deleted_in_doubt, ["lost"]);
    let (gone, kept): (Vec<_>, Vec<_>) = segments(&config.directory)
        .unwrap()
        .into_iter()
        .partition(|path| first_record(path).unwrap() <= report.pruned[0].seq);
    let plan = Plan {
        segments: gone,
        first: pruned.last + 1,
        last: first_record(&kept[0]).unwrap() - 1,
        reason: "max_age",
    };
    let again = removal(
        &config.directory,
        &plan,
        now(),
        &mut Followed::default(),
        &mut all(),
    )
    .unwrap();
    assert_eq!(again.in_doubt, ["lost"]);
}

/// Whoever waits for an answer that never comes must not have the rest of the journal read at each deletion.
#[tokio::test]
async fn what_stays_in_doubt_has_each_line_read_once_whatever_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(2000);
    let (audit, writer) = open(&config).unwrap();
    let made = |record: serde_json::Value| Record::of(&record, 256);
    let time = "1970-01-01T00:00:00.000Z";
    let mut decided = Vec::new();
    for number in 0..120 {
        let id = format!("id-{number}");
        let decision = serde_json::json!({"kind": "decision", "verdict": "allow", "decision_id": id, "timestamp": time});
        decided.push(audit.record(made(decision)).await.unwrap());
        // What is answered with 5xx stays in doubt; some are settled, much later.
        let status = if number % 10 == 0 { 503 } else { 204 };
        let outcome = serde_json::json!({
            "kind": "outcome", "decision_id": id, "decision_seq": decided[number], "outcome": "answered",
            "status": status, "timestamp": time,
        });
        audit.record(made(outcome)).await.unwrap();
        if number % 30 == 29 {
            let settled = number - 19;
            let settled = serde_json::json!({
                "kind": "settled", "decision_id": format!("id-{settled}"), "decision_seq": decided[settled],
                "found": "done", "timestamp": time,
            });
            audit.record(made(settled)).await.unwrap();
        }
    }
    drop(audit);
    writer.join().await;
    let records = texts(&config.directory).len() as u64;
    let retention = Retention {
        max_age: None,
        max_size: Some(Size::from_bytes(1)),
    };
    let mut followed = Followed::default();
    let mut rounds = 0;
    loop {
        let due = due(&config.directory, &retention, now(), u64::MAX).unwrap();
        let Some(mut plan) = due.plan else { break };
        // One segment in each round, and the third is tried again.
        plan.segments.truncate(1);
        let next = segments(&config.directory).unwrap().remove(1);
        plan.last = first_record(&next).unwrap() - 1;
        for _ in 0..if rounds == 3 { 2 } else { 1 } {
            let known =
                removal(&config.directory, &plan, now(), &mut followed, &mut all()).unwrap();
            let mut nothing = Followed::default();
            let fresh = removal(&config.directory, &plan, now(), &mut nothing, &mut all()).unwrap();
            assert_eq!(known, fresh);
        }
        let pruned = removal(&config.directory, &plan, now(), &mut followed, &mut all()).unwrap();
        let write = || {
            record(&config, &pruned);
            Ok(())
        };
        let written = pruned.last;
        prune(&config.directory, &pruned, written, write, &mut all()).unwrap();
        rounds += 1;
    }
    assert!(rounds > 10, "{rounds}");
    // Each once, and those of the segment that is written just now in each round: of that there are few.
    let all = records + 3 * rounds;
    let again = rounds * 20;
    assert!(
        followed.lines <= all + again,
        "{} of {all} in {rounds}",
        followed.lines
    );
    assert!(whole(&config.directory).problems.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_to_a_reader_while_segments_are_compressed_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = SMALL;
    config.compression = Compression::Zstd;
    config.retention.max_size = Some(Size::from_bytes(20_000));
    let (audit, writer) = open(&config).unwrap();
    // Nothing may go before the reader has read it.
    audit.shared.shipped_up_to(0);
    let records = 400;
    let reader = std::thread::spawn({
        let mut lines = Lines::new(&config.directory);
        move || {
            let mut seen = Vec::new();
            while seen.len() < records {
                match lines.next_line().unwrap() {
                    Some(line) => seen.push(chain::Link::read(&line.bytes).unwrap().seq.unwrap()),
                    None => std::thread::yield_now(),
                }
            }
            seen
        }
    });
    for number in 0..records as u64 {
        audit.record(event(number)).await.unwrap();
    }
    let seen = reader.join().unwrap();
    assert_eq!(seen, (1..=records as u64).collect::<Vec<_>>());
    // A reader from the beginning finds less from here on.
    audit.shared.shipped_up_to(u64::MAX);
    let mut lines = Lines::new(&config.directory);
    let mut next = None;
    for number in 0..120 {
        audit.record(event(number)).await.unwrap();
        while let Some(line) = lines.next_line().unwrap() {
            let seq = chain::Link::read(&line.bytes).unwrap().seq.unwrap();
            assert!(next.is_none_or(|next| seq >= next));
            next = Some(seq + 1);
        }
        if number % 20 == 0 {
            verify(&config.directory, None).unwrap();
        }
    }
    until("deleted", || audit.kept().pruned_up_to.is_some()).await;
    let kept = audit.kept();
    assert_eq!((kept.compress_error, kept.prune_error), (None, None));
    drop(audit);
    writer.join().await;
    let report = whole(&config.directory);
    let last = report.pruned.last().unwrap();
    assert!(last.pruned.last > 100, "{last:?}");
    assert_eq!(report.head_seq, lines_end(&config.directory));
}

fn lines_end(directory: &Path) -> u64 {
    let last = lines(directory).pop().unwrap();
    chain::Link::read(&last.bytes).unwrap().seq.unwrap()
}

#[test]
fn an_old_segment_is_closed_and_an_empty_one_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_age = Some(crate::value::Duration::from_secs(60));
    let opened = |seconds| {
        let held = Arc::new(Directory::hold(&config.directory).unwrap());
        let now = now() + jiff::SignedDuration::from_secs(seconds);
        Journal::open(held, &config, now).unwrap().0
    };
    let mut journal = opened(0);
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let count = || segments(&config.directory).unwrap().len();
    journal.close_old(at(1 << 20)).unwrap();
    assert_eq!(count(), 1);
    for (seconds, expected) in [(0, 1), (60, 1), (61, 2), (100, 2)] {
        journal.append([event(1)].iter(), at(seconds)).unwrap();
        assert_eq!(count(), expected, "{seconds}");
    }
    for (seconds, expected) in [(121, 2), (122, 3), (1000, 3)] {
        journal.close_old(at(seconds)).unwrap();
        assert_eq!(count(), expected, "{seconds}");
    }
    drop(journal);
    // A start knows by its first record how old the segment is that it goes on with: an event is of second 0.
    let mut journal = opened(2000);
    journal.close_old(Instant::now()).unwrap();
    assert_eq!(count(), 3);
    journal.append([event(1)].iter(), Instant::now()).unwrap();
    drop(journal);
    for (seconds, expected) in [(-100, 3), (0, 3), (59, 3), (61, 4)] {
        opened(seconds).close_old(Instant::now()).unwrap();
        assert_eq!(count(), expected, "{seconds}");
    }
    whole(&config.directory);
}

/// Everything but the last two segments.
const ALL: Size = Size::from_bytes(1);

#[tokio::test]
async fn a_name_is_not_given_back_when_the_record_that_told_of_it_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = SMALL;
    let origin = |name: &str| Some(Origin::try_from(name.to_owned()).unwrap());
    config.origin = origin("first");
    written(&config, 4).await;
    config.origin = origin("second");
    key::prepare(&config.directory, config.origin.as_ref()).unwrap();
    written(&config, 16).await;
    let is_renamed = |record: bool| {
        let names = renamed::renamed(&config.directory).unwrap();
        assert_eq!((&*names[0].old, &*names[0].new), ("first", "second"));
        assert_eq!((names.len(), names[0].record > 0), (1, record));
    };
    is_renamed(true);
    assert_eq!(delete(&config, ALL).keys.len(), 1);
    is_renamed(false);
    let refused = key::prepare(&config.directory, origin("first").as_ref()).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("had the name \"first\" before"),
        "{refused}"
    );
}

#[tokio::test]
async fn keys_are_known_when_all_records_that_told_of_them_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = SMALL;
    config.pseudonyms.fields = vec!["caller.address".to_owned().try_into().unwrap()];
    written(&config, 4).await;
    let key_of = || key::public(&config.directory).unwrap().0.unwrap();
    let old = key_of();
    let new = key::prepare(&config.directory, None).unwrap();
    written(&config, 16).await;
    assert_eq!(key_of(), new);
    let head = whole(&config.directory);
    let pruned = delete(&config, ALL);
    assert_eq!((pruned.keys.len(), pruned.pseudonyms.len()), (1, 1));
    let left = String::from_utf8(texts(&config.directory).concat()).unwrap();
    for kind in ["start", "key", "reload"] {
        assert!(!left.contains(&format!("\"kind\":\"{kind}\"")), "{kind}");
    }
    let by = |key: &PublicKey| Trust {
        keys: vec![key.clone()],
        ..Trust::default()
    };
    for key in [&old, &new] {
        let report = verify_by(&config.directory, None, &by(key)).unwrap();
        assert!(report.checkpoints.proven > pruned.last, "{report:?}");
    }
    let stranger = SigningKey::generate(new.name()).unwrap().public();
    verify_by(&config.directory, None, &by(&stranger)).unwrap_err();
    // What was taken over once is taken over again.
    assert!(head.head_seq > pruned.last);
    config.pseudonyms.fields.clear();
    written(&config, 16).await;
    let again = delete(&config, ALL);
    assert_eq!(
        (&again.keys, &again.pseudonyms),
        (&pruned.keys, &pruned.pseudonyms)
    );
    verify_by(&config.directory, None, &by(&old)).unwrap();
    // A key that is lost is missed, and its version not given out again.
    let lost = config.directory.join("pseudonym-v1.key");
    fs::remove_file(&lost).unwrap();
    let told: Vec<_> = texts(&config.directory)
        .iter()
        .flat_map(|line| Said::all(line))
        .collect();
    let differing = differing(Some(&config.directory), &told).unwrap();
    let lost_one = Differing::Key {
        version: 1,
        is_replaced: false,
    };
    assert_eq!(differing, [lost_one]);
    assert_eq!(rotate(&config.directory).unwrap().version, 2);
    // Another key of the same version is noticed by the walk.
    fs::rename(config.directory.join("pseudonym-v2.key"), &lost).unwrap();
    config.pseudonyms.fields = vec!["caller.address".to_owned().try_into().unwrap()];
    written(&config, 1).await;
    assert_eq!(
        whole(&config.directory)
            .other_keys
            .iter()
            .map(|it| it.1)
            .collect::<Vec<_>>(),
        [1]
    );
}

#[tokio::test]
async fn damage_anywhere_in_a_pruned_journal_is_a_verdict() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    delete(&config, ALL);
    written(&config, 12).await;
    compressed(&config);
    let before = texts(&config.directory);
    let report = whole(&config.directory);
    let noted = NotedHead {
        seq: report.head_seq,
        hash: report.head_hash,
    };
    let trust = Trust {
        keys: vec![key::public(&config.directory).unwrap().0.unwrap()],
        ..Trust::default()
    };
    for path in segments(&config.directory).unwrap() {
        let content = fs::read(&path).unwrap();
        // A part of all bytes, with what is behind the last frame.
        let (some, all) = (0..content.len()).partition::<Vec<_>, _>(|at| at % 9 == 0);
        let behind = all.into_iter().filter(|at| at + 24 > content.len());
        for at in some.into_iter().chain(behind) {
            let mut changed = content.clone();
            changed[at] ^= 0x41;
            fs::write(&path, changed).unwrap();
            match verify_by(&config.directory, Some(&noted), &trust) {
                Err(error) => assert!(error.is_verdict(), "{} {at}: {error}", path.display()),
                Ok(report) if report.problems.is_empty() => {
                    assert_eq!(texts(&config.directory), before, "{} {at}", path.display());
                }
                Ok(_) => {}
            }
        }
        fs::write(&path, content).unwrap();
    }
}

#[tokio::test]
async fn a_head_whose_record_was_deleted_is_no_sign_of_a_changed_journal() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    let heads: Vec<NotedHead> = texts(&config.directory)
        .iter()
        .map(|line| NotedHead {
            seq: chain::Link::read(line).unwrap().seq.unwrap(),
            hash: crate::value::Sha256Hex::of(line).as_str().to_owned(),
        })
        .collect();
    let pruned = delete(&config, ALL);
    for head in &heads {
        let verified = verify(&config.directory, Some(head));
        if head.seq < pruned.last {
            let error = verified.unwrap_err();
            assert!(matches!(error, VerifyError::HeadDeleted { .. }), "{error}");
            assert!(error.is_verdict() && error.to_string().contains("take a newer head"));
        } else {
            verified.unwrap();
        }
        let other = NotedHead {
            hash: crate::value::Sha256Hex::of(b"other").as_str().to_owned(),
            seq: head.seq,
        };
        let error = verify(&config.directory, Some(&other)).unwrap_err();
        let is_deleted = matches!(error, VerifyError::HeadDeleted { .. });
        assert_eq!(is_deleted, head.seq < pruned.last, "{error}");
    }
}

#[tokio::test]
async fn the_last_records_are_read_without_those_before() {
    let directory = tempfile::tempdir().unwrap();
    let config = in_segments(directory.path()).await;
    compressed(&config);
    let all = lines(&config.directory);
    for wanted in 0..all.len() + 2 {
        let (mut rest, is_all) = last(&config.directory, wanted as u64).unwrap();
        let mut found = 0;
        let mut first = None;
        while let Some(line) = rest.next_line().unwrap() {
            first = first.or(Some(line.place.segment));
            found += 1;
        }
        assert!(found >= wanted.min(all.len()), "{wanted}: {found}");
        assert_eq!(is_all, first == Some(1), "{wanted}");
        if wanted == 2 {
            assert!(found < all.len() / 2, "{found}");
        }
    }
}

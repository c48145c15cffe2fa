//! Checkpoints: when they are made, what they prove, and that whatever is changed is found by the key.
#![expect(
    clippy::cast_possible_truncation,
    clippy::string_slice,
    reason = "journals of tests are short, and their hashes and keys are ASCII"
)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Stop;
use super::super::checkpoint::key;
use super::super::checkpoint::note::{Note, PublicKey, SigningKey};
use super::super::event::Cosigned;
use super::super::proof::{
    CheckError, Covered, Proof, ProveError, Wanted, covered, prove, prove_until,
};
use super::super::tree::stored::{Stored, pruned_member};
use super::super::verify::{CheckpointError, Report, Trust, verify_by};
use super::*;

fn key_of(config: &Config) -> PublicKey {
    key::public(&config.directory).unwrap().0.unwrap()
}

fn by(keys: &[PublicKey]) -> Trust {
    Trust {
        keys: keys.to_vec(),
        ..Trust::default()
    }
}

fn proven(config: &Config) -> Report {
    let report = verify_by(&config.directory, None, &by(&[key_of(config)])).unwrap();
    assert_eq!(report.problems, [""; 0]);
    report
}

fn kinds(config: &Config) -> Vec<String> {
    let lines = all(config);
    let kind = |line: &String| {
        serde_json::from_str::<Value>(line).unwrap()["kind"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    lines.iter().map(kind).collect()
}

/// Every line with its newline.
fn all(config: &Config) -> Vec<String> {
    let paths = segments(&config.directory).unwrap();
    let contents = paths.iter().map(|path| fs::read_to_string(path).unwrap());
    contents
        .flat_map(|content| {
            content
                .split_inclusive('\n')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Several segments with several checkpoints.
async fn in_segments(config: &mut Config, records: u64) {
    config.segment_size = Size::from_bytes(1500);
    written(config, records).await;
    assert!(segments(&config.directory).unwrap().len() > 2);
}

fn copied(from: &Config, to: &Path) -> Config {
    let copy = Config {
        directory: to.join("copy"),
        ..from.clone()
    };
    anew(&copy);
    for entry in fs::read_dir(&from.directory).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.directory.join(entry.file_name())).unwrap();
    }
    copy
}

#[tokio::test]
async fn a_closed_journal_ends_with_a_checkpoint_over_all_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    for runs in 1..4 {
        written(&config, 2).await;
        let report = proven(&config);
        assert_eq!(report.checkpoints.count, runs);
        assert_eq!(report.checkpoints.proven, report.records - 1);
        assert_eq!(
            kinds(&config)[report.records as usize - 2..],
            ["stop", "checkpoint"]
        );
    }
}

#[tokio::test]
async fn a_checkpoint_comes_with_time_and_not_for_its_own_sake() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.checkpoint_interval = crate::value::Duration::from_millis(20);
    let (audit, writer) = open(&config).unwrap();
    let newest = audit.checkpoints();
    until("the start is covered", || {
        newest
            .borrow()
            .as_ref()
            .is_some_and(|it| it.checkpoint.size == 1)
    })
    .await;
    audit.record(event(1)).await.unwrap();
    // Record 2 is the checkpoint, record 3 the event.
    until("the event is covered", || {
        newest
            .borrow()
            .as_ref()
            .is_some_and(|it| it.checkpoint.size == 3)
    })
    .await;
    let signed = newest.borrow().clone().unwrap();
    let witness = SigningKey::generate("witness.example").unwrap();
    let mut note = Note::parse(&signed.note).unwrap();
    let (signature, witness) = witness.cosign(&note.text, 7);
    note.signatures.push(signature);
    let cosigned = Event::Cosigned(Cosigned {
        timestamp: now(),
        size: 3,
        witness: witness.to_string(),
        note: note.to_string(),
    });
    audit.record(cosigned.record()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        kinds(&config),
        ["start", "checkpoint", "outcome", "checkpoint", "cosigned"]
    );
    drop(audit);
    writer.join().await;
    let trust = Trust {
        witnesses: vec![witness],
        ..by(&[key_of(&config)])
    };
    let report = verify_by(&config.directory, None, &trust).unwrap();
    assert_eq!(
        (
            report.checkpoints.cosignatures,
            report.checkpoints.witnessed
        ),
        (1, 3)
    );
}

#[tokio::test]
async fn a_closed_segment_is_covered() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    in_segments(&mut config, 20).await;
    let report = proven(&config);
    assert_eq!(
        report.segments as u64, report.checkpoints.count,
        "one a segment, and one at the end of the last"
    );
}

#[tokio::test]
async fn the_tree_is_made_anew_where_its_file_is_not_right() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    in_segments(&mut config, 30).await;
    let last = proven(&config).head_seq;
    let path = config.directory.join("tree");
    let whole = fs::read(&path).unwrap();
    let hashes = Hashes::open(&config.directory).unwrap().tree(last).unwrap();
    let mut wrong = whole.clone();
    wrong[32 * 20] ^= 1;
    for content in [
        whole.clone(),
        wrong,
        whole[..whole.len() - 100].to_vec(),
        whole[..40].to_vec(),
        [whole.as_slice(), &[7; 333]].concat(),
        vec![0; whole.len()],
        Vec::new(),
    ] {
        fs::write(&path, &content).unwrap();
        let stored = Stored::open(&config.directory, last, &[key_of(&config)])
            .unwrap()
            .unwrap();
        assert_eq!(stored.tree(), &hashes);
        let is_right = fs::read(&path).unwrap() == whole;
        // A hash of no root may stay wrong until a proof needs it, which then reads the journal.
        assert!(is_right || content[32 * 20..32 * 21] != whole[32 * 20..32 * 21]);
        fs::write(&path, &whole).unwrap();
    }
    fs::remove_file(&path).unwrap();
    written(&config, 1).await;
    proven(&config);
    assert!(fs::read(&path).unwrap().starts_with(&whole));
}

/// Not the last line alone: any record is found that is not the one that was written.
#[test]
fn whatever_is_changed_is_found_by_the_key() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    runtime.block_on(in_segments(&mut config, 12));
    proven(&config);
    let trust = by(&[key_of(&config)]);
    let paths = segments(&config.directory).unwrap();
    let contents: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 400,
        ..ProptestConfig::default()
    });
    let strategy = (
        0..5_u8,
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..8_u8,
    );
    let ran = runner.run(&strategy, |(kind, segment, at, other, bit)| {
        let segment = segment.index(paths.len());
        let content = &contents[segment];
        let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
        let (line, other) = (at.index(lines.len()), other.index(lines.len()));
        let mut changed: Vec<&[u8]> = lines.clone();
        let flipped;
        match kind {
            0 => {
                let mut bytes = content.clone();
                bytes[at.index(content.len())] ^= 1 << bit;
                flipped = bytes;
                changed = vec![&flipped];
            }
            1 => drop(changed.remove(line)),
            2 => changed.swap(line, other),
            3 => changed.insert(other, lines[line]),
            _ => changed.insert(line, b"{\"seq\":1,\"prev\":\"\",\"kind\":\"outcome\"}\n"),
        }
        let changed = changed.concat();
        fs::write(&paths[segment], &changed).unwrap();
        let found = verify_by(&config.directory, None, &trust);
        fs::write(&paths[segment], content).unwrap();
        let holds = found.is_ok_and(|report| report.problems.is_empty());
        prop_assert!(
            !holds || changed == *content,
            "kind {kind}, segment {segment}"
        );
        Ok(())
    });
    ran.unwrap();
    proven(&config);
}

/// Somebody who can write everything but has no key.
#[tokio::test]
async fn a_journal_that_was_written_anew_is_found_by_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 8).await;
    written(&config, 3).await;
    let lines = all(&config);
    let trust = by(&[key_of(&config)]);
    for (number, edited) in [(3, "id-1"), (13, "id-0")] {
        let (mut changed, mut prev) = (String::new(), crate::value::Sha256Hex::ZERO);
        for (place, line) in lines.iter().enumerate() {
            let line = if place + 1 == number {
                line.replace(edited, "id-x")
            } else {
                line.clone()
            };
            assert!(place + 1 != number || line.contains("id-x"), "{line}");
            let (before, rest) = line.split_once("\"prev\":\"").unwrap();
            let line = format!("{before}\"prev\":\"{}{}", prev.as_str(), &rest[64..]);
            prev = crate::value::Sha256Hex::of(line.trim_end().as_bytes());
            changed += &line;
        }
        let copy = copied(&config, directory.path());
        fs::write(segment(&copy), &changed).unwrap();
        fs::remove_file(copy.directory.join("head")).unwrap();
        let error = verify_by(&copy.directory, None, &trust).unwrap_err();
        assert!(
            matches!(error, VerifyError::Checkpoint { why: CheckpointError::Root { from, to, .. }, .. } if (from..=to).contains(&(number as u64))),
            "{error}"
        );
        // Without the key, too, as long as nobody signs anew.
        verify(&copy.directory, None).unwrap_err();
        // With another key of his own all looks well to whoever has not the right one.
        let mut forged = Vec::new();
        let stranger = SigningKey::generate(trust.keys[0].name()).unwrap();
        forge(&changed, &stranger, &mut forged);
        fs::write(segment(&copy), &forged).unwrap();
        verify(&copy.directory, None).unwrap();
        let error = verify_by(&copy.directory, None, &trust).unwrap_err();
        assert!(
            matches!(
                error,
                VerifyError::Checkpoint {
                    why: CheckpointError::Foreign { .. },
                    ..
                }
            ),
            "{error}"
        );
        verify_by(&copy.directory, None, &by(&[stranger.public()])).unwrap();
    }
}

/// All records with checkpoints by another key.
fn forge(text: &str, key: &SigningKey, into: &mut Vec<u8>) {
    let (mut head, mut tree) = (chain::Head::origin(), tree::Compact::default());
    for line in text.lines() {
        let mut record: Value = serde_json::from_str(line).unwrap();
        let members = record.as_object_mut().unwrap();
        for member in ["seq", "prev", "synced"] {
            members.shift_remove(member);
        }
        let synced = tree.size();
        let record = match members["kind"].as_str() {
            Some("checkpoint") => {
                let signed = Signed::new(synced, tree.root(), key, now());
                Event::Checkpoint(signed.event(&key.public())).record()
            }
            _ => Record::of(&record, 64),
        };
        let start = into.len();
        head.encode(&record, synced, into);
        tree.push(tree::leaf(&into[start..into.len() - 1]), |_| {});
    }
}

#[tokio::test]
async fn a_cut_and_another_history_are_found_by_a_checkpoint_from_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 2).await;
    let early = copied(&config, directory.path());
    let whole_early = fs::read(segment(&early)).unwrap();
    written(&config, 2).await;
    let key = key_of(&config);
    let note = |line: &String| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["note"]
            .as_str()
            .map(|note| Note::parse(note).unwrap())
    };
    let notes: Vec<Note> = all(&config).iter().filter_map(note).collect();
    assert_eq!(notes.len(), 2);
    let kept = |number: usize, keys: &[PublicKey]| Trust {
        kept: Some(notes[number].clone()),
        ..by(keys)
    };
    for keys in [vec![], vec![key.clone()]] {
        for number in 0..2 {
            let report = verify_by(&config.directory, None, &kept(number, &keys)).unwrap();
            assert!(report.checkpoints.compared.is_some());
        }
        // The journal as it was before, with a closed end and the file `head` of its own.
        let why = |trust: &Trust| match verify_by(&early.directory, None, trust).unwrap_err() {
            VerifyError::Checkpoint { why, .. } => why,
            other => panic!("{other}"),
        };
        assert!(matches!(
            why(&kept(1, &keys)),
            CheckpointError::Cut { last: 5, size: 9 }
        ));
        // Gone on with otherwise, by whoever has the key.
        written(&early, 9).await;
        assert!(matches!(
            why(&kept(1, &keys)),
            CheckpointError::Other { size: 9 }
        ));
        fs::write(segment(&early), &whole_early).unwrap();
        fs::copy(config.directory.join("head"), early.directory.join("head")).unwrap();
        fs::remove_file(early.directory.join("head")).unwrap();
    }
    let other = SigningKey::generate("other").unwrap().public();
    assert!(matches!(
        verify_by(&config.directory, None, &kept(0, &[other])),
        Err(VerifyError::Checkpoint {
            why: CheckpointError::KeptKey,
            ..
        })
    ));
}

#[tokio::test]
async fn another_key_takes_over_and_the_old_one_vouches_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 2).await;
    let old = key_of(&config);
    let new = key::prepare(&config.directory, None).unwrap();
    assert_eq!(key_of(&config), old);
    written(&config, 2).await;
    assert_eq!(key_of(&config), new);
    written(&config, 1).await;
    assert_eq!(
        kinds(&config).iter().filter(|kind| *kind == "key").count(),
        1
    );
    for keys in [vec![old.clone()], vec![new.clone()], vec![old.clone(), new]] {
        let report = verify_by(&config.directory, None, &by(&keys)).unwrap();
        assert_eq!(report.checkpoints.proven, report.records - 1);
        assert_eq!(report.checkpoints.key_changes, 1);
    }
    // A key that appears from nowhere is not believed.
    fs::remove_file(config.directory.join("checkpoint.key")).unwrap();
    written(&config, 1).await;
    assert!(matches!(
        verify_by(&config.directory, None, &by(&[old])),
        Err(VerifyError::Checkpoint {
            why: CheckpointError::Foreign { .. },
            ..
        })
    ));
    verify_by(&config.directory, None, &by(&[key_of(&config)])).unwrap();
}

#[tokio::test]
async fn a_journal_keeps_its_origin() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    let origin = |name: &str| Some(Origin::try_from(name.to_owned()).unwrap());
    config.origin = origin("gate.example/prod");
    written(&config, 1).await;
    assert_eq!(key_of(&config).name(), "gate.example/prod");
    config.origin = origin("gate.example/other");
    let refused = open(&config).err().unwrap().to_string();
    assert!(
        refused.contains("audit key --rotate --origin gate.example/other"),
        "{refused}"
    );
    key::check(&config.directory, config.origin.as_ref()).unwrap_err();
    key::prepare(&config.directory, config.origin.as_ref()).unwrap();
    key::check(&config.directory, config.origin.as_ref()).unwrap();
    written(&config, 1).await;
    config.origin = None;
    written(&config, 1).await;
    proven(&config);
    // It does not get back one that it had.
    let before = origin("gate.example/prod");
    let refused = key::prepare(&config.directory, before.as_ref())
        .unwrap_err()
        .to_string();
    assert!(refused.contains("take one that it never had"), "{refused}");
    assert_eq!(key::public(&config.directory).unwrap().1, None);
    key::prepare(&config.directory, origin("gate.example/other").as_ref()).unwrap();
}

#[tokio::test]
async fn a_key_that_is_none_or_open_to_others_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 1).await;
    let path = config.directory.join("checkpoint.key");
    let secret = fs::read_to_string(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(open(&config), Err(OpenError::Exposed { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for wrong in [
        "",
        "x",
        &secret.replace("KEY+d", "KEY+e"),
        &secret[..secret.len() - 8],
    ] {
        fs::write(&path, wrong).unwrap();
        let refused = open(&config).err().unwrap().to_string();
        assert!(refused.contains("holds no key"), "{refused}");
        assert!(Directory::check(&config.directory).is_err());
    }
    fs::write(&path, secret).unwrap();
    written(&config, 1).await;
}

#[tokio::test]
async fn one_record_is_proven_without_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    in_segments(&mut config, 25).await;
    let (key, last) = (key_of(&config), proven(&config).head_seq);
    for number in 1..last {
        let proof = prove(&config.directory, &Wanted::Number(number)).unwrap();
        let read: Proof = proof.to_string().parse().unwrap();
        assert_eq!(read, proof);
        let checked = read.check(std::slice::from_ref(&key), &[]).unwrap();
        assert_eq!((checked.seq, checked.size), (number, last - 1));
        assert!(!proof.to_string().contains("PRIVATE"));
    }
    assert!(matches!(
        prove(&config.directory, &Wanted::Number(last)),
        Err(ProveError::NotCovered(_))
    ));
    for gone in [Wanted::Number(last + 1), "nobody".parse().unwrap()] {
        assert!(matches!(
            prove(&config.directory, &gone),
            Err(ProveError::Gone)
        ));
    }
    let (over, _waiting) = Stop::after(Duration::ZERO);
    assert!(matches!(
        prove_until(&config.directory, &Wanted::Number(7), &over),
        Err(ProveError::Io(error)) if error.kind() == io::ErrorKind::TimedOut
    ));
    let proof = prove(&config.directory, &Wanted::Number(7)).unwrap();
    // The file is no more than a help.
    for content in [Vec::new(), vec![7; 10_000]] {
        fs::write(config.directory.join("tree"), content).unwrap();
        assert_eq!(prove(&config.directory, &Wanted::Number(7)).unwrap(), proof);
    }
    let other = SigningKey::generate("other").unwrap().public();
    assert!(matches!(
        proof.check(std::slice::from_ref(&other), &[]),
        Err(CheckError::Key(_))
    ));
    assert_eq!(
        proof.check(std::slice::from_ref(&key), &[other]),
        Err(CheckError::Witness)
    );
    let text = proof.to_string().into_bytes();
    for at in 0..text.len() {
        let mut changed = text.clone();
        changed[at] ^= 1;
        let checked = String::from_utf8(changed).ok().and_then(|text| {
            text.parse::<Proof>()
                .ok()?
                .check(std::slice::from_ref(&key), &[])
                .ok()
        });
        assert_eq!(checked, None, "byte {at}");
    }
}

/// What a page says of each record, without reading the journal.
#[tokio::test]
async fn the_hashes_beside_the_journal_say_what_a_checkpoint_covers() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    in_segments(&mut config, 25).await;
    let lines = all(&config);
    let line = |number: u64| {
        lines[usize::try_from(number).unwrap() - 1]
            .trim_end()
            .as_bytes()
    };
    let last = proven(&config).head_seq;
    let look = |number, record| covered(&config.directory, number, record, line(last));
    for number in 1..last {
        assert_eq!(look(number, line(number)), Covered::By(last - 1));
        assert_eq!(look(number, b"{}"), Covered::Differs(last - 1));
    }
    assert_eq!(look(last, line(last)), Covered::NotYet);
    assert_eq!(look(0, b"{}"), Covered::Unknown);
    let no_checkpoint = covered(&config.directory, 1, line(1), line(1));
    assert_eq!(no_checkpoint, Covered::Unknown);
    fs::write(config.directory.join("tree"), b"").unwrap();
    assert_eq!(look(7, line(7)), Covered::Unknown);
}

/// As retention leaves it.
#[tokio::test]
async fn a_journal_whose_beginning_was_pruned_is_proven_from_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    in_segments(&mut config, 30).await;
    let paths = segments(&config.directory).unwrap();
    let last = first_record(&paths[2]).unwrap() - 1;
    let lines = all(&config);
    let hash = crate::value::Sha256Hex::of(lines[last as usize - 1].trim_end().as_bytes());
    let tree = pruned_member(&config.directory, last).unwrap();
    let pruned = json!({"kind": "pruned", "timestamp": "", "first": 1, "last": last, "hash": hash.as_str(), "tree": tree});
    let (audit, writer) = open(&config).unwrap();
    audit.record(Record::of(&pruned, 256)).await.unwrap();
    drop(audit);
    writer.join().await;
    let whole = proven(&config);
    for path in &paths[..2] {
        fs::remove_file(path).unwrap();
    }
    let report = proven(&config);
    assert_eq!(report.head_hash, whole.head_hash);
    assert_eq!(report.checkpoints.proven, whole.checkpoints.proven);
    let proof = prove(&config.directory, &Wanted::Number(last + 1)).unwrap();
    proof.check(&[key_of(&config)], &[]).unwrap();
    // The tree goes on without the file, and so do proofs.
    fs::remove_file(config.directory.join("tree")).unwrap();
    assert_eq!(
        prove(&config.directory, &Wanted::Number(last + 1)).unwrap(),
        proof
    );
    written(&config, 3).await;
    proven(&config);
    prove(&config.directory, &Wanted::Number(last + 2))
        .unwrap()
        .check(&[key_of(&config)], &[])
        .unwrap();
    assert!(matches!(
        prove(&config.directory, &Wanted::Number(last)),
        Err(ProveError::Gone)
    ));
    // One segment more than the record says.
    fs::remove_file(&paths[2]).unwrap();
    assert!(matches!(
        verify(&config.directory, None),
        Err(VerifyError::Missing { .. })
    ));
}

#[tokio::test]
async fn what_an_operator_found_out_ends_the_doubt() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (audit, writer) = open(&config).unwrap();
    let mut decided = Vec::new();
    for id in ["a", "b", "c"] {
        let decision = json!({"kind": "decision", "decision_id": id, "verdict": "allow"});
        decided.push(audit.record(Record::of(&decision, 64)).await.unwrap());
    }
    for (place, found) in ["done", "not_done", "unknown"].iter().enumerate() {
        let id = ["a", "b", "c"][place];
        let settled = json!({"kind": "settled", "decision_id": id, "decision_seq": decided[place], "found": found});
        audit.record(Record::of(&settled, 64)).await.unwrap();
    }
    // Sent, and no answer came.
    for (id, outcome, status) in [
        ("d", "unknown", json!(null)),
        ("e", "failed", json!(null)),
        ("f", "answered", json!(204)),
        ("g", "answered", json!(503)),
        ("h", "answered", json!(404)),
    ] {
        let decision = json!({"kind": "decision", "decision_id": id, "verdict": "allow"});
        let seq = audit.record(Record::of(&decision, 64)).await.unwrap();
        let ended = json!({"kind": "outcome", "decision_id": id, "decision_seq": seq, "outcome": outcome, "status": status});
        audit.record(Record::of(&ended, 64)).await.unwrap();
    }
    drop(audit);
    writer.join().await;
    assert_eq!(proven(&config).in_doubt, ["c", "d", "g"]);
    // Somebody looks again, and finds out.
    let (audit, writer) = open(&config).unwrap();
    let settled =
        json!({"kind": "settled", "decision_id": "c", "decision_seq": decided[2], "found": "done"});
    audit.record(Record::of(&settled, 64)).await.unwrap();
    drop(audit);
    writer.join().await;
    assert_eq!(proven(&config).in_doubt, ["d", "g"]);
}

/// An hour of answers that tell nothing must not make one record of all of them.
#[tokio::test]
async fn a_start_names_the_last_decisions_in_doubt_and_counts_them() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    for (more, wanted) in [(100, json!(null)), (5, json!(105))] {
        let (audit, writer) = open(&config).unwrap();
        for number in 0..more {
            let id = format!("{more}-{number}");
            let decision = json!({"kind": "decision", "decision_id": id, "verdict": "allow"});
            audit.record(Record::of(&decision, 64)).await.unwrap();
        }
        drop(audit);
        writer.join().await;
        let (audit, writer) = open(&config).unwrap();
        drop(audit);
        writer.join().await;
        let text = fs::read_to_string(segment(&config)).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut starts = lines.filter(|it| it["kind"] == "start");
        let start = starts.next_back().unwrap();
        assert_eq!(start["in_doubt_count"], wanted);
        let named = start["in_doubt"].as_array().unwrap();
        assert_eq!(
            (named.len(), named.last().unwrap()),
            (100, &json!(format!("{more}-{}", more - 1)))
        );
    }
}

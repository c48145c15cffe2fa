//! How far a destination is, whatever happens to the journal and to the file that says it.

use super::*;
use crate::audit::outgoing::{Bookmark, Most, Whose, whose};
use crate::value::Sha256Hex;

const ALL: Most = Most {
    records: 1000,
    bytes: 1 << 20,
};

fn at(config: &Config) -> Bookmark {
    Bookmark::open(&config.directory, "opa.a", 0).unwrap()
}

/// The numbers of what comes next, all of which arrive; and how many are missing.
fn takes(bookmark: &mut Bookmark, last: u64, most: Most) -> (Vec<u64>, u64) {
    let batch = bookmark.next(last, most).unwrap();
    for record in &batch.records {
        bookmark.passed(record);
    }
    bookmark.arrived();
    bookmark.save().unwrap();
    let seqs = batch.records.iter().map(|record| record.seq).collect();
    (seqs, batch.missing)
}

fn cursor(config: &Config) -> PathBuf {
    config.directory.join("shipped.opa.a")
}

fn numbers(from: u64, to: u64) -> (Vec<u64>, u64) {
    ((from..=to).collect(), 0)
}

#[tokio::test]
async fn records_come_once_in_order_and_no_further_than_they_are_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(700);
    written(&config, 12).await;
    let last = verify(&config.directory, None).unwrap().head_seq;
    let mut bookmark = at(&config);
    assert_eq!(takes(&mut bookmark, 0, ALL), numbers(1, 0));
    let few = Most { records: 3, ..ALL };
    assert_eq!(takes(&mut bookmark, 2, few), numbers(1, 2));
    assert_eq!(takes(&mut bookmark, 9, few), numbers(3, 5));
    // One record is, however long it is.
    let short = Most { bytes: 1, ..ALL };
    assert_eq!(takes(&mut bookmark, 9, short), numbers(6, 6));
    // A restart goes on behind what arrived.
    let mut bookmark = at(&config);
    assert_eq!(bookmark.seq(), 6);
    assert_eq!(takes(&mut bookmark, last, ALL), numbers(7, last));
    assert_eq!(takes(&mut bookmark, last, ALL), numbers(1, 0));
}

#[tokio::test]
async fn what_was_passed_and_has_not_arrived_comes_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 5).await;
    let mut bookmark = at(&config);
    let batch = bookmark.next(4, ALL).unwrap();
    bookmark.passed(&batch.records[1]);
    bookmark.arrived();
    bookmark.passed(&batch.records[3]);
    assert!(bookmark.is_ahead());
    bookmark.save().unwrap();
    assert!(!bookmark.is_ahead());
    assert_eq!((bookmark.seq(), at(&config).seq()), (2, 2));
    // It reads on behind what it was given.
    assert_eq!(takes(&mut bookmark, 6, ALL), numbers(5, 6));
    assert_eq!(takes(&mut at(&config), 6, ALL), numbers(1, 0));
}

#[tokio::test]
async fn a_cursor_that_is_torn_empty_removed_or_of_another_journal_sends_everything() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 5).await;
    let last = verify(&config.directory, None).unwrap().head_seq;
    let everything = numbers(1, last);
    assert_eq!(takes(&mut at(&config), last, ALL), everything);
    let good = fs::read(cursor(&config)).unwrap();
    assert_eq!(takes(&mut at(&config), last + 1, ALL), (vec![], 1));
    for bad in [&good[..good.len() / 2], b"", b"null", b"{\"seq\":-1}"] {
        fs::write(cursor(&config), bad).unwrap();
        assert_eq!(takes(&mut at(&config), last, ALL), everything);
    }
    fs::remove_file(cursor(&config)).unwrap();
    assert_eq!(takes(&mut at(&config), last, ALL), everything);
    // Another journal in the same place: shorter, and longer.
    for records in [2, 9] {
        anew(&config);
        written(&config, records).await;
        let last = verify(&config.directory, None).unwrap().head_seq;
        fs::write(cursor(&config), &good).unwrap();
        let got = takes(&mut at(&config), last, ALL);
        assert_eq!(got, numbers(1, last), "{records}");
    }
}

#[tokio::test]
async fn a_cursor_that_somebody_has_set_forward_sends_everything_and_counts_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 5).await;
    let last = verify(&config.directory, None).unwrap().head_seq;
    assert_eq!(takes(&mut at(&config), 3, ALL), numbers(1, 3));
    let good: serde_json::Value =
        serde_json::from_slice(&fs::read(cursor(&config)).unwrap()).unwrap();
    let hash = good["hash"].as_str().unwrap();
    for (seq, hash) in [(last - 1, hash), (1000, hash), (1000, ""), (last - 1, "")] {
        let mut edited = good.clone();
        edited["seq"] = seq.into();
        edited["hash"] = hash.into();
        fs::write(cursor(&config), edited.to_string()).unwrap();
        let mut bookmark = at(&config);
        // What is told to have arrived may be deleted.
        assert_eq!(bookmark.seq(), 0);
        assert_eq!(takes(&mut bookmark, last, ALL), numbers(1, last));
    }
}

#[tokio::test]
async fn it_goes_on_where_segments_were_compressed_and_deleted_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(700);
    written(&config, 12).await;
    let few = Most { records: 5, ..ALL };
    assert_eq!(takes(&mut at(&config), 9, few), numbers(1, 5));
    config.compression = Compression::Zstd;
    let (audit, writer) = open(&config).unwrap();
    let is_compressed = || {
        let all = segments(&config.directory).unwrap();
        all.iter().filter(|path| is_zst(path)).count() > 3
    };
    until("segments are compressed", is_compressed).await;
    drop(audit);
    writer.join().await;
    let last = verify(&config.directory, None).unwrap().head_seq;
    assert_eq!(takes(&mut at(&config), 9, ALL), numbers(6, 9));
    // Deleted is what has arrived, and then more.
    let paths = segments(&config.directory).unwrap();
    fs::remove_file(&paths[0]).unwrap();
    let mut bookmark = at(&config);
    let batch = bookmark.next(last, few).unwrap();
    assert_eq!((batch.records[0].seq, batch.missing), (10, 0));
    let gone = segments(&config.directory).unwrap();
    let first = first_record(gone.last().unwrap()).unwrap();
    // The keeper may have been stopped between the two forms of one.
    for entry in fs::read_dir(&config.directory).unwrap() {
        let path = entry.unwrap().path();
        if first_record(&path).is_some_and(|it| it < first) {
            fs::remove_file(path).unwrap();
        }
    }
    let mut bookmark = at(&config);
    let (seqs, missing) = takes(&mut bookmark, last, ALL);
    assert_eq!(seqs, (first..=last).collect::<Vec<_>>());
    assert_eq!(missing, first - 10);
}

fn is_zst(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "zst")
}

#[tokio::test]
async fn what_is_damaged_is_missing_and_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 5).await;
    let path = segment(&config);
    let content = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = content.lines().collect();
    let with = |damaged: &[usize]| {
        let lines = lines.iter().enumerate().map(|(at, line)| {
            let is_damaged = damaged.contains(&(at + 1));
            if is_damaged { "{\"seq\":" } else { line }
        });
        fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
        drop(fs::remove_file(cursor(&config)));
    };
    with(&[3]);
    let mut bookmark = at(&config);
    assert_eq!(takes(&mut bookmark, 4, ALL), (vec![1, 2, 4], 1));
    // A number that jumps is damage, and not the next record.
    let jumps = content.replacen("{\"seq\":3,", "{\"seq\":6,", 1);
    assert_ne!(jumps, content);
    fs::write(&path, jumps).unwrap();
    fs::remove_file(cursor(&config)).unwrap();
    assert_eq!(takes(&mut at(&config), 6, ALL), (vec![1, 2, 4, 5, 6], 1));
    // The first that is left, where those before were deleted.
    let left = path.with_file_name("00000000000000000003.jsonl");
    fs::write(&left, format!("broken\n{}\n", lines[3..].join("\n"))).unwrap();
    fs::remove_file(&path).unwrap();
    fs::remove_file(cursor(&config)).unwrap();
    assert_eq!(takes(&mut at(&config), 6, ALL), (vec![4, 5, 6], 1));
    fs::remove_file(&left).unwrap();
    with(&[4]);
    let mut bookmark = at(&config);
    assert_eq!(takes(&mut bookmark, 4, ALL), (vec![1, 2, 3], 1));
    // Nothing came since.
    assert_eq!(takes(&mut bookmark, 4, ALL), (vec![], 0));
    assert_eq!(takes(&mut bookmark, 6, ALL), (vec![5, 6], 0));
    // The record that the cursor names was changed since; the next one still names it.
    with(&[]);
    let mut bookmark = at(&config);
    assert_eq!(takes(&mut bookmark, 3, ALL), numbers(1, 3));
    let changed = content.replacen("id-1\"", "id-9\"", 1);
    assert_ne!(changed, content);
    fs::write(&path, changed).unwrap();
    assert_eq!(takes(&mut at(&config), 6, ALL), numbers(4, 6));
}

#[tokio::test]
async fn now_is_behind_a_record_and_stays_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(700);
    written(&config, 12).await;
    let open = |from| Bookmark::open(&config.directory, "opa.a", from).unwrap();
    let mut bookmark = open(8);
    assert_eq!(bookmark.seq(), 8);
    assert_eq!(takes(&mut bookmark, 8, ALL), numbers(1, 0));
    // It was written when it was opened.
    let mut bookmark = open(11);
    assert_eq!(takes(&mut bookmark, 11, ALL), numbers(9, 11));
    // Another journal is noticed, even if nothing had arrived.
    fs::remove_file(cursor(&config)).unwrap();
    drop(open(11));
    let kept = fs::read(cursor(&config)).unwrap();
    anew(&config);
    written(&config, 3).await;
    fs::write(cursor(&config), kept).unwrap();
    let last = verify(&config.directory, None).unwrap().head_seq;
    assert_eq!(takes(&mut open(0), last, ALL), numbers(1, last));
}

#[tokio::test]
async fn retention_waits_for_what_is_sent_and_goes_on_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(2_000);
    config.retention.max_size = Some(Size::from_bytes(6_000));
    config.is_shipped = true;
    let (audit, writer) = open(&config).unwrap();
    for number in 0..100 {
        audit.record(event(number)).await.unwrap();
    }
    let waiting = || audit.keeps()().waiting_for_a_checkpoint > 0;
    until("segments wait", waiting).await;
    let first = || segments(&config.directory).unwrap().remove(0);
    assert!(first().ends_with("00000000000000000001.jsonl"));
    // A sink is behind record 40: what comes later stays.
    audit.shipped()(40);
    let moved = || !first().ends_with("00000000000000000001.jsonl");
    let mut number = 100;
    while !moved() {
        audit.record(event(number)).await.unwrap();
        number += 1;
    }
    let oldest = first_record(&first()).unwrap();
    assert!(oldest <= 41, "{oldest}");
    drop(audit);
    writer.join().await;
}

#[tokio::test]
async fn what_the_other_side_has_lost_comes_again_under_whatever_name_it_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(700);
    written(&config, 12).await;
    let mut bookmark = at(&config).under("a");
    assert_eq!(takes(&mut bookmark, 10, ALL), numbers(1, 10));
    for behind in [9, 4, 0] {
        assert!(bookmark.lost(behind).unwrap());
        assert!(bookmark.is_ahead());
        assert_eq!(bookmark.seq(), behind);
        assert_eq!(takes(&mut bookmark, 10, ALL), numbers(behind + 1, 10));
    }
    assert!(!bookmark.lost(10).unwrap() && !bookmark.lost(11).unwrap());
    // What was deleted in the meantime is missed.
    let oldest = segments(&config.directory).unwrap().remove(0);
    let gone = fs::read_to_string(&oldest).unwrap().lines().count() as u64;
    fs::remove_file(oldest).unwrap();
    assert!(bookmark.lost(0).unwrap());
    let (came, missing) = takes(&mut bookmark, 10, ALL);
    assert_eq!((came, missing), (numbers(gone + 1, 10).0, gone));
    // Under another name nothing comes again that is still there under the old one, also after a restart.
    drop(at(&config).under("b"));
    let mut bookmark = at(&config).under("b");
    assert!(!bookmark.lost(10).unwrap());
    assert_eq!(bookmark.sent().behind, 10);
    assert_eq!(takes(&mut bookmark, 12, ALL), numbers(11, 12));
    assert!(bookmark.lost(10).unwrap());
    assert_eq!(takes(&mut bookmark, 12, ALL), numbers(11, 12));
    // What the other side has lost of the old name comes under the new one.
    assert!(bookmark.lost(7).unwrap());
    assert_eq!(bookmark.sent().behind, 7);
    assert_eq!(takes(&mut bookmark, 12, ALL), numbers(8, 12));
}

#[tokio::test]
async fn a_record_from_elsewhere_is_told_by_what_the_journal_has() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(700);
    let nothing = whose(directory.path(), 3, &Sha256Hex::ZERO);
    assert_eq!(nothing.unwrap(), Whose::Untold);
    let whose = |seq, hash: &Sha256Hex| whose(&config.directory, seq, hash).unwrap();
    written(&config, 12).await;
    let last = verify(&config.directory, None).unwrap().head_seq;
    let batch = at(&config).next(last, ALL).unwrap();
    let hashes: Vec<Sha256Hex> = batch
        .records
        .iter()
        .map(|it| Sha256Hex::of(&it.line))
        .collect();
    for (record, hash) in batch.records.iter().zip(&hashes) {
        assert_eq!(whose(record.seq, hash), Whose::Ours);
        assert_eq!(whose(record.seq, &Sha256Hex::ZERO), Whose::Another);
    }
    assert_eq!(whose(last + 1, &hashes[0]), Whose::Beyond);
    assert_eq!(whose(last + 90, &hashes[0]), Whose::Beyond);
    // One that was changed since, while the next one still names it.
    let path = &segments(&config.directory).unwrap()[0];
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.replacen("timestamp", "timestomp", 1)).unwrap();
    assert_eq!(whose(1, &hashes[0]), Whose::Ours);
    assert_eq!(whose(1, &hashes[1]), Whose::Another);
    // What was deleted is named by what is left, or by nothing.
    let all = segments(&config.directory).unwrap();
    let left = first_record(&all[2]).unwrap();
    for path in &all[..2] {
        fs::remove_file(path).unwrap();
    }
    let place = usize::try_from(left).unwrap() - 2;
    assert_eq!(whose(left - 1, &hashes[place]), Whose::Ours);
    assert_eq!(whose(left - 1, &Sha256Hex::ZERO), Whose::Another);
    assert_eq!(whose(left - 2, &hashes[place - 1]), Whose::Untold);
}

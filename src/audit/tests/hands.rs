//! Who may touch a journal: one gate at a time, and nobody else.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn refusal(config: &Config) -> String {
    let held = Directory::hold(&config.directory);
    let refused = held.and_then(|held| held.hash_key().map(|_key| held));
    let checked = Directory::check(&config.directory);
    let refused = refused.err().unwrap().to_string();
    assert_eq!(checked.err().unwrap().to_string(), refused);
    refused
}

/// An error with what it comes from.
fn whole(error: &dyn std::error::Error) -> String {
    let texts = std::iter::successors(Some(error), |error| error.source());
    texts
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[test]
fn a_directory_that_is_for_everybody_is_not_to_be_taken_away_from_them() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    fs::create_dir_all(&config.directory).unwrap();
    mode(&config.directory, 0o1777);
    let said = refusal(&config);
    assert!(
        said.contains("name a directory of the journal's own"),
        "{said}"
    );
    assert!(!said.contains("chmod"), "{said}");
}

#[tokio::test]
async fn a_directory_or_a_file_that_is_open_to_others_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    Directory::check(&config.directory).unwrap();
    assert!(!config.directory.exists(), "a check makes nothing");
    written(&config, 1).await;
    let held = Directory::hold(&config.directory).unwrap();
    held.hash_key().unwrap();
    drop(held);
    let (segment, key) = (segment(&config), config.directory.join("hash.key"));
    for (path, good, refused) in [
        (
            &config.directory,
            &[0o700, 0o750, 0o2750][..],
            &[0o777, 0o770, 0o755, 0o701, 0o704][..],
        ),
        (
            &segment,
            &[0o600, 0o640, 0o644][..],
            &[0o666, 0o620, 0o602][..],
        ),
        (
            &config.directory.join("head"),
            &[0o600, 0o640, 0o644][..],
            &[0o666, 0o620, 0o602][..],
        ),
        (&key, &[0o600, 0o400][..], &[0o666, 0o644, 0o640, 0o604][..]),
    ] {
        for open in refused {
            mode(path, *open);
            let said = refusal(&config);
            assert!(
                said.contains(&format!("mode {:04o}", open & 0o777)),
                "{said}"
            );
            let wanted = if path == &config.directory {
                "700"
            } else {
                "600"
            };
            assert!(
                said.ends_with(&format!("run `chmod {wanted} {}`", path.display())),
                "{said}"
            );
        }
        for closed in good {
            mode(path, *closed);
            Directory::check(&config.directory).unwrap();
            Directory::hold(&config.directory)
                .unwrap()
                .hash_key()
                .unwrap();
        }
    }
}

/// Who may read the directory may read what is in it, but for the key: a group of auditors, where somebody wants one.
#[tokio::test]
async fn files_are_as_readable_as_their_directory() {
    for (of_directory, of_file) in [(0o700, 0o600), (0o750, 0o640)] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        config.segment_size = Size::from_kib(1);
        anew(&config);
        mode(&config.directory, of_directory);
        Directory::hold(&config.directory)
            .unwrap()
            .hash_key()
            .unwrap();
        written(&config, 20).await;
        let last = segments(&config.directory).unwrap().pop().unwrap();
        let mut torn = fs::OpenOptions::new().append(true).open(last).unwrap();
        torn.write_all(b"{\"seq\":").unwrap();
        written(&config, 0).await;

        let mut seen = BTreeSet::new();
        for entry in fs::read_dir(&config.directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            let wanted = if ["hash.key", "checkpoint.key"].contains(&&*name) {
                0o600
            } else {
                of_file
            };
            assert_eq!(found, wanted, "{name}");
            seen.insert(name.rsplit('.').next().unwrap().to_owned());
        }
        let kinds = ["head", "jsonl", "key", "torn-1", "tree"].map(str::to_owned);
        assert_eq!(seen, BTreeSet::from(kinds));
        assert!(segments(&config.directory).unwrap().len() > 2);
    }
}

#[test]
fn what_is_no_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let key = config.directory.join("hash.key");
    let first = Directory::hold(&config.directory)
        .unwrap()
        .hash_key()
        .unwrap();
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        Directory::hold(&config.directory)
            .unwrap()
            .hash_key()
            .unwrap(),
        first
    );
    for (content, said) in [
        (vec![0; 32], "is not random"),
        (vec![7; 32], "is not random"),
        (
            b"0123456789abcdef0123456789abcdef".to_vec(),
            "is not random",
        ),
        (vec![], "has 0 bytes, not 32"),
        (first[..31].to_vec(), "has 31 bytes, not 32"),
        ([first, first].concat(), "is longer than 32 bytes"),
    ] {
        fs::write(&key, content).unwrap();
        let refused = refusal(&config);
        assert!(
            refused.contains(said) && refused.contains("remove it"),
            "{refused}"
        );
    }
    fs::remove_file(&key).unwrap();
    let elsewhere = directory.path().join("key");
    fs::write(&elsewhere, first).unwrap();
    symlink(&elsewhere, &key).unwrap();
    assert!(refusal(&config).contains("is no regular file"));
    fs::remove_file(&key).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    assert!(refusal(&config).contains("is no regular file"));
    fs::remove_file(&key).unwrap();
    // What a start left that was ended while it made the key.
    fs::write(config.directory.join("hash.key.new"), [0; 7]).unwrap();
    let second = Directory::hold(&config.directory)
        .unwrap()
        .hash_key()
        .unwrap();
    assert_ne!(first, second);
}

#[tokio::test]
async fn every_way_to_a_directory_leads_to_one_lock_and_no_file_holds_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (audit, writer) = open(&config).unwrap();
    for entry in fs::read_dir(&config.directory).unwrap() {
        let path = entry.unwrap().path();
        if first_record(&path).is_none() {
            fs::remove_file(path).unwrap();
        }
    }
    let link = directory.path().join("link");
    symlink(&config.directory, &link).unwrap();
    for path in [
        config.directory.clone(),
        link,
        config.directory.join("../journal/."),
    ] {
        assert!(
            matches!(Directory::hold(&path), Err(OpenError::InUse(_))),
            "{path:?}"
        );
    }
    audit.record(event(1)).await.unwrap();
    // A file of that name is left from the first dtgate, and means nothing.
    fs::write(config.directory.join("lock"), "").unwrap();
    drop(audit);
    writer.join().await;
    written(&config, 1).await;
    verify(&config.directory, None).unwrap();
}

/// Whatever the segment that is written: one with records, one that is new, one that is about to follow.
#[tokio::test]
async fn a_gate_whose_directory_was_moved_away_writes_into_no_other() {
    for segment_size in [Size::from_mib(1), Size::from_bytes(1)] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        config.segment_size = segment_size;
        let (audit, writer) = open(&config).unwrap();
        audit.record(event(1)).await.unwrap();
        let away = directory.path().join("away");
        fs::rename(&config.directory, &away).unwrap();
        let (second, second_writer) = open(&config).unwrap();
        second.record(event(2)).await.unwrap();
        for number in 3..6 {
            audit.record(event(number)).await.unwrap_err();
            second.record(event(number)).await.unwrap();
        }
        audit.health().unwrap_err();
        drop(audit);
        writer.join().await;
        drop(second);
        second_writer.join().await;
        let report = verify(&config.directory, None).unwrap();
        assert_eq!(report.outcomes, 4);
        let first = Config {
            directory: away,
            ..config
        };
        written(&first, 1).await;
        let report = verify(&first.directory, None).unwrap();
        // What was refused may be there, as after a crash; what was acknowledged is.
        assert!([2, 3].contains(&report.outcomes), "{report:?}");
    }
}

/// The same file, in another directory that another gate could hold.
#[tokio::test]
async fn a_segment_in_another_directory_is_not_the_one_that_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (audit, writer) = open(&config).unwrap();
    audit.record(event(1)).await.unwrap();
    let (path, away) = (segment(&config), directory.path().join("away"));
    fs::rename(&config.directory, &away).unwrap();
    anew(&config);
    fs::hard_link(away.join(path.file_name().unwrap()), &path).unwrap();
    let refused = audit.record(event(2)).await.unwrap_err().to_string();
    assert!(refused.contains("is not the directory"), "{refused}");
    drop(audit);
    writer.join().await;
}

/// Nobody has to write for it to be seen.
#[tokio::test]
async fn a_journal_that_is_taken_away_is_missed_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (audit, writer) = open(&config).unwrap();
    let (path, away) = (segment(&config), directory.path().join("away"));
    fs::rename(&path, &away).unwrap();
    until("missed", || audit.health().is_err()).await;
    fs::rename(&away, &path).unwrap();
    until("back", || audit.health().is_ok()).await;
    drop(audit);
    writer.join().await;
    let report = verify(&config.directory, None).unwrap();
    assert_eq!(report.recoveries.len(), 1);
    assert!(
        report.recoveries[0].reason.contains("is gone"),
        "{report:?}"
    );
}

#[test]
fn what_is_no_directory_is_refused_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    fs::write(&path, "").unwrap();
    let refused = [
        Directory::hold(&path).err(),
        Directory::check(&path).err(),
        Directory::hold(&path.join("below")).err(),
    ];
    for error in refused {
        let error = error.unwrap();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(why, "is no directory: name one that is the journal's own");
    }
}

#[test]
fn a_pipe_in_place_of_a_segment_is_named_and_nobody_waits_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    fs::create_dir(&config.directory).unwrap();
    fs::set_permissions(&config.directory, fs::Permissions::from_mode(0o700)).unwrap();
    let segment = config.directory.join("00000000000000000001.jsonl");
    let made = std::process::Command::new("mkfifo").arg(&segment).status();
    assert!(made.unwrap().success());
    let mut lines = lines::Lines::new(&config.directory);
    for said in [
        lines.next_line().unwrap_err().to_string(),
        whole(&Directory::hold(&config.directory).unwrap_err()),
        whole(&Directory::check(&config.directory).unwrap_err()),
        whole(&verify(&config.directory, None).unwrap_err()),
    ] {
        assert!(
            said.contains("00000000000000000001.jsonl") && said.contains("is no regular file"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_key_of_pseudonyms_that_was_replaced_is_told_by_who_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    let field = pseudonym::Field::try_from("caller.address".to_owned()).unwrap();
    config.pseudonyms.fields.push(field);
    written(&config, 2).await;
    written(&config, 2).await;
    assert_eq!(verify(&config.directory, None).unwrap().other_keys, []);
    let starts = verify(&config.directory, None).unwrap().head_seq;
    let replaced = config.directory.join("pseudonym-v1.key");
    fs::remove_file(&replaced).unwrap();
    key::read_or_make(&replaced).unwrap();
    written(&config, 2).await;
    let report = verify(&config.directory, None).unwrap();
    assert_eq!(report.other_keys, [(starts + 1, 1)]);
    // Another version is another key, and no news.
    pseudonym::rotate(&config.directory).unwrap();
    written(&config, 2).await;
    let report = verify(&config.directory, None).unwrap();
    assert_eq!(report.other_keys, [(starts + 1, 1)]);
}

/// Beside what is proven: whoever verifies learns that values cannot be found any more.
#[tokio::test]
async fn a_key_of_pseudonyms_that_is_missing_is_told_by_who_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    let field = pseudonym::Field::try_from("caller.address".to_owned()).unwrap();
    config.pseudonyms.fields.push(field);
    written(&config, 2).await;
    pseudonym::rotate(&config.directory).unwrap();
    written(&config, 2).await;
    let told = || {
        let report = verify(&config.directory, None).unwrap();
        assert_eq!(report.problems, [""; 0]);
        (serde_json::json!(report.missing_keys), report.unread_keys)
    };
    assert_eq!(told(), (serde_json::json!([]), None));
    let lost = config.directory.join("pseudonym-v1.key");
    fs::remove_file(&lost).unwrap();
    let missing = |is_replaced: bool| {
        let key = serde_json::json!([{"version": 1, "replaced": is_replaced}]);
        (key, None)
    };
    assert_eq!(told(), missing(false));
    key::read_or_make(&lost).unwrap();
    assert_eq!(told(), missing(true));
    // Whoever may not read it is told so, and what is proven is proven.
    fs::set_permissions(&lost, fs::Permissions::from_mode(0o644)).unwrap();
    let (keys, why) = told();
    assert_eq!(keys, serde_json::json!([]));
    assert!(why.is_some_and(|why| why.contains("pseudonym-v1.key")));
}

/// By the last segment alone nobody knows: what gave the pseudonyms of old records must not be made anew.
#[tokio::test]
async fn a_start_whose_keys_are_gone_makes_none_of_the_same_number() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    let field = pseudonym::Field::try_from("caller.address".to_owned()).unwrap();
    config.pseudonyms.fields.push(field.clone());
    written(&config, 2).await;
    config.pseudonyms.fields.clear();
    config.segment_size = Size::from_bytes(1);
    written(&config, 4).await;
    let last = segments(&config.directory).unwrap().pop().unwrap();
    let last = fs::read_to_string(last).unwrap();
    assert!(!last.contains("\"pseudonyms\""), "{last}");
    // The last segment does not tell, the index does.
    assert_eq!(told_to_index(&config.directory), None);
    let file = config.directory.join(index::FILE);
    let mut index = index::Index::open(&config.directory, &file).unwrap();
    index.catch_up(|_| true).unwrap();
    let told = told_to_index(&config.directory);
    assert_eq!(told.map(|it| it.version), Some(1));
    fs::remove_file(config.directory.join("pseudonym-v1.key")).unwrap();
    config.pseudonyms.fields.push(field);
    written(&config, 1).await;
    let there = |name: &str| config.directory.join(name).exists();
    assert!(!there("pseudonym-v1.key") && there("pseudonym-v2.key"));
}

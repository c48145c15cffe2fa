//! What witnesses confirm, wherever it stands: late, or behind a checkpoint whose segment was deleted.

use std::time::Instant;

use super::super::checkpoint::key;
use super::super::checkpoint::note::{Note, PublicKey, SigningKey};
use super::super::event::{Cosigned, Pruned};
use super::super::tree::stored::pruned_member;
use super::super::verify::{CheckpointError, Checkpoints, Trust, verify_by};
use super::*;
use crate::value::Sha256Hex;

/// A journal that is written here, and who signs it.
struct Signing {
    journal: Journal,
    notary: Notary,
    witness: SigningKey,
}

impl Signing {
    fn start(config: &Config) -> Self {
        let held = Arc::new(Directory::hold(&config.directory).unwrap());
        let keys = Keys::read_or_make(&config.directory, None).unwrap();
        let (journal, _found) = Journal::open(held, config, now()).unwrap();
        Self {
            journal,
            notary: Notary::new(keys.current, config.checkpoint_interval),
            witness: SigningKey::generate("witness.example").unwrap(),
        }
    }

    fn append(&mut self, record: &Record) -> u64 {
        let records = std::iter::once(record);
        self.notary.see(records.clone());
        self.journal.append(records, Instant::now()).unwrap()
    }

    fn seal(&mut self) -> Signed {
        self.notary.seal(&mut self.journal, now()).unwrap().unwrap()
    }

    /// What a gate writes when the witness has confirmed this.
    fn cosigned(&self, signed: &Signed) -> Record {
        let mut note = Note::parse(&signed.note).unwrap();
        let (signature, witness) = self.witness.cosign(&note.text, 7);
        note.signatures.push(signature);
        let cosigned = Cosigned {
            timestamp: now(),
            size: signed.checkpoint.size,
            witness: witness.to_string(),
            note: note.to_string(),
        };
        Event::Cosigned(cosigned).record()
    }

    fn key(&self) -> PublicKey {
        self.witness.cosign("", 0).1
    }
}

/// What retention tells of a first segment that it deletes.
fn told(config: &Config, deleted: &[u8], last: u64) -> Pruned {
    let mut lines = deleted.split(|byte| *byte == b'\n');
    let line = lines.rfind(|it| !it.is_empty());
    Pruned {
        first: 1,
        last,
        hash: Sha256Hex::of(line.unwrap()).as_str().to_owned(),
        tree: pruned_member(&config.directory, last).unwrap(),
        reason: "max_size".to_owned(),
        ..Pruned::default()
    }
}

fn verified(config: &Config, witnesses: Vec<PublicKey>) -> Result<Checkpoints, VerifyError> {
    let trust = Trust {
        keys: vec![key::public(&config.directory).unwrap().0.unwrap()],
        witnesses,
        ..Trust::default()
    };
    verify_by(&config.directory, None, &trust).map(|report| report.checkpoints)
}

/// The answer came when the segment was closed, and later that segment was deleted.
#[test]
fn a_cosignature_of_a_checkpoint_that_was_deleted_breaks_nothing_and_proves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(1);
    let mut signing = Signing::start(&config);
    signing.append(&event(1));
    let signed = signing.seal();
    let cosigned = signing.append(&signing.cosigned(&signed));
    let last = cosigned - 1;
    let before = segments(&config.directory).unwrap();
    assert_eq!(first_record(&before[1]), Some(cosigned));
    for number in 2..5 {
        signing.append(&event(number));
    }
    signing.seal();
    let pruned = told(&config, &fs::read(&before[0]).unwrap(), last);
    signing.append(&Event::Pruned(pruned).record());
    let newest = signing.seal();
    let whole = verified(&config, vec![signing.key()]).unwrap();
    assert_eq!((whole.cosignatures, whole.witnessed), (1, 1));
    fs::remove_file(&before[0]).unwrap();
    let rest = verified(&config, Vec::new()).unwrap();
    assert_eq!((rest.cosignatures, rest.witnessed), (1, 0));
    // Nothing that is there was confirmed.
    let alone = verified(&config, vec![signing.key()]);
    assert!(
        matches!(
            alone,
            Err(VerifyError::Checkpoint {
                why: CheckpointError::Unwitnessed,
                ..
            })
        ),
        "{alone:?}"
    );
    signing.append(&signing.cosigned(&newest));
    let more = verified(&config, vec![signing.key()]).unwrap();
    assert_eq!(more.witnessed, newest.checkpoint.size);
}

/// Whoever trusts a witness alone is told as much as whoever trusts a key: nobody has seen that records were deleted, or
/// what they were.
#[test]
fn a_witness_alone_does_not_prove_a_journal_whose_beginning_nobody_vouches_for() {
    let by_witness = |config: &Config, key: PublicKey| {
        let trust = Trust {
            witnesses: vec![key],
            ..Trust::default()
        };
        verify_by(&config.directory, None, &trust)
    };
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(1);
    let mut signing = Signing::start(&config);
    signing.append(&event(1));
    signing.seal();
    for number in 2..5 {
        signing.append(&event(number));
    }
    let signed = signing.seal();
    signing.append(&signing.cosigned(&signed));
    let key = signing.key();
    by_witness(&config, key.clone()).unwrap();
    let before = segments(&config.directory).unwrap();
    let last = first_record(&before[1]).unwrap() - 1;
    let taken = fs::read(&before[0]).unwrap();
    fs::remove_file(&before[0]).unwrap();
    by_witness(&config, key.clone()).unwrap_err();
    // Anybody can write what was deleted, behind what the witness has seen.
    let pruned = told(&config, &taken, last);
    let without_tree = Pruned {
        tree: Vec::new(),
        ..pruned.clone()
    };
    signing.append(&Event::Pruned(without_tree).record());
    let error = by_witness(&config, key.clone()).unwrap_err().to_string();
    assert!(
        error.contains("no pruned record of this journal says"),
        "{error}"
    );
    signing.append(&Event::Pruned(pruned).record());
    let error = by_witness(&config, key.clone()).unwrap_err().to_string();
    assert!(
        error.contains("is below no checkpoint of a key or a witness"),
        "{error}"
    );
    let newest = signing.seal();
    signing.append(&signing.cosigned(&newest));
    by_witness(&config, key).unwrap();
}

/// A gate signs what it deletes, and is started again: whoever trusts a witness alone takes that. A removal that only the
/// start has signed may be anybody's.
#[test]
fn a_witness_alone_tells_a_removal_that_the_gate_has_signed_from_one_that_a_start_has_signed() {
    for is_signed in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        config.segment_size = Size::from_bytes(1);
        let mut signing = Signing::start(&config);
        signing.append(&event(1));
        signing.seal();
        for number in 2..5 {
            signing.append(&event(number));
        }
        signing.seal();
        let before = segments(&config.directory).unwrap();
        let last = first_record(&before[1]).unwrap() - 1;
        let taken = fs::read(&before[0]).unwrap();
        fs::remove_file(&before[0]).unwrap();
        let pruned = told(&config, &taken, last);
        signing.append(&Event::Pruned(pruned).record());
        if is_signed {
            signing.seal();
        }
        signing.append(&event(5));
        signing.append(&started());
        let newest = signing.seal();
        signing.append(&signing.cosigned(&newest));
        let trust = Trust {
            witnesses: vec![signing.key()],
            ..Trust::default()
        };
        let found = verify_by(&config.directory, None, &trust).map_err(|error| error.to_string());
        match found {
            Ok(_) => assert!(is_signed),
            Err(said) => {
                assert!(!is_signed, "{said}");
                assert!(said.contains("but by a later start"), "{said}");
            }
        }
    }
}

fn started() -> Record {
    let start = Start {
        timestamp: now().to_string(),
        version: "1.2.3",
        revision: "r".to_owned(),
        form: 1,
        configured: Configured::default(),
        in_doubt: Vec::new(),
        in_doubt_count: None,
    };
    Event::Start(start).record()
}

/// A witness takes seconds, and a busy gate with small segments makes many checkpoints meanwhile.
#[test]
fn a_cosignature_may_come_many_checkpoints_later() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let mut signing = Signing::start(&config);
    signing.append(&event(0));
    let signed = signing.seal();
    for number in 0..300 {
        signing.append(&event(number));
        signing.seal();
    }
    signing.append(&signing.cosigned(&signed));
    let found = verified(&config, vec![signing.key()]).unwrap();
    assert_eq!(found.witnessed, signed.checkpoint.size);
}

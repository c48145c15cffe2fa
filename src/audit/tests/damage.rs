//! What a crash can leave is opened, and no record that somebody was answered for is ever set aside.
//!
//! The journals are written by the writer's own code. A crash keeps any of the sectors of what was not synced, and
//! any length of it; everything else is damage.

use proptest::prelude::*;

use super::super::mark::Marked;
use super::super::settle::{End, examine};
use super::*;

/// A journal with how far it was on disk, and what the file `head` said, at every moment that was synced.
struct Written {
    content: Vec<u8>,
    /// Length, and last record.
    synced: Vec<(usize, u64)>,
    marks: Vec<Marked>,
}

impl Written {
    fn marked(&self) -> &Marked {
        self.marks.last().unwrap()
    }

    /// Every record up to this one was on disk, with `length` bytes.
    fn last(&self) -> (usize, u64) {
        *self.synced.last().unwrap()
    }
}

/// Batches of these sizes; buffered ones are synced every third time.
fn batches(durability: Durability, sizes: &[u64]) -> Written {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.durability = durability;
    let held = Directory::hold(&config.directory).unwrap();
    let (mut journal, _found) = Journal::open(held.into(), &config, now()).unwrap();
    let path = config.directory.join("00000000000000000001.jsonl");
    let (mut synced, mut marks) = (Vec::new(), Vec::new());
    let mut number = 0;
    for (place, size) in sizes.iter().enumerate() {
        let records: Vec<Record> = (0..*size).map(|_| long_event(&mut number)).collect();
        journal
            .append(records.iter(), std::time::Instant::now())
            .unwrap();
        if place % 3 == 2 || place + 1 == sizes.len() {
            journal.sync().unwrap();
        }
        let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
        let marked = mark::read(&config.directory).unwrap().unwrap().unwrap();
        if marked.answered == number {
            synced.push((length, number));
            marks.push(marked);
        }
    }
    Written {
        content: fs::read(&path).unwrap(),
        synced,
        marks,
    }
}

/// Some shorter than a sector, some longer than several.
fn long_event(number: &mut u64) -> Record {
    *number += 1;
    let length = usize::try_from(*number * 389 % 2500).unwrap();
    let event = Event::Outcome(Outcome {
        timestamp: now(),
        decision_id: &Redactor::default().text(&"x".repeat(length)),
        decision_seq: *number,
        outcome: Answer::Answered,
        status: Some(204),
        detail: None,
        credential: None,
        duration_ms: 1.0,
    });
    event.record()
}

fn opened(content: &[u8], marked: Option<&Marked>) -> Result<End, Damage> {
    let path = Path::new("00000000000000000001.jsonl");
    examine(path, content, chain::Head::origin(), marked)
}

/// What a crash leaves of everything behind byte `durable`: sectors by the bits of `kept`, as far as `length`.
fn crashed(content: &[u8], durable: usize, sector: usize, kept: u64, length: usize) -> Vec<u8> {
    let mut left = content[..length].to_vec();
    for (place, byte) in left.iter_mut().enumerate().skip(durable) {
        if kept & (1 << (place / sector % 64)) == 0 {
            *byte = 0;
        }
    }
    left
}

fn sizes() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(1..12_u64, 2..9)
}

fn durability() -> impl Strategy<Value = Durability> {
    prop_oneof![Just(Durability::Synced), Just(Durability::Buffered)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_a_crash_leaves_is_opened(
        durability in durability(),
        sizes in sizes(),
        cases in prop::collection::vec((any::<u64>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::sample::select(vec![512_usize, 4096])), 40),
    ) {
        let written = batches(durability, &sizes);
        for (kept, at, older, sector) in cases {
            // The last sync never ended, or it is the one before; the file `head` is as old as it likes.
            let (durable, record) = match written.synced.len() {
                0 | 1 => (0, 0),
                length => written.synced[length - 2],
            };
            let length = durable + at.index(written.content.len() - durable + 1);
            let left = crashed(&written.content, durable, sector, kept, length);
            let marks = &written.marks[..written.marks.len() - 1];
            let marked = (!marks.is_empty()).then(|| &marks[older.index(marks.len())]);
            for marked in [marked, None] {
                let end = opened(&left, marked);
                let end = end.map_err(|damage| TestCaseError::fail(damage.to_string()))?;
                prop_assert!(end.head.next > record && end.good >= durable);
                prop_assert_eq!(end.good < left.len(), end.torn.is_some());
                prop_assert_eq!(&left[..end.good], &written.content[..end.good]);
            }
        }
    }

    #[test]
    fn damage_never_sets_a_record_aside_that_was_on_disk(
        durability in durability(),
        sizes in sizes(),
        damages in prop::collection::vec((0..8_u8, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 40),
    ) {
        let written = batches(durability, &sizes);
        for (kind, from, to) in damages {
            let damaged = damage(&written.content, kind, from.index(written.content.len()), to.index(written.content.len()));
            if let Ok(end) = opened(&damaged, Some(written.marked())) {
                let (length, record) = written.last();
                prop_assert!(end.head.next > record, "kind {}: ends before record {}", kind, end.head.next);
                prop_assert!(damaged[..length] == written.content[..length], "kind {}", kind);
            }
            // Without the file, or with an old one, every later record that can still be read is a witness.
            let older = from.index(written.marks.len());
            for marked in [None, Some(&written.marks[older])] {
                let Ok(end) = opened(&damaged, marked) else { continue };
                let rest = &damaged[end.good..];
                for (length, record) in &written.synced {
                    let Some(witness) = written.content.get(*length..*length + BEGINNING) else {
                        continue;
                    };
                    let seen = rest.windows(BEGINNING).any(|window| window == witness);
                    prop_assert!(
                        !seen || end.head.next > *record,
                        "kind {}: record {} is set aside", kind, end.head.next
                    );
                }
            }
        }
    }
}

/// Enough of a record to say what was on disk before it.
const BEGINNING: usize = 112;

fn damage(content: &[u8], kind: u8, from: usize, to: usize) -> Vec<u8> {
    let (from, to) = (from.min(to), from.max(to));
    let mut damaged = content.to_vec();
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let line = from % lines.len();
    match kind {
        0 => damaged.truncate(from),
        1 => damaged[from..to].fill(0),
        2 => damaged[from] ^= 1,
        3 => damaged[from..].fill(0),
        4 => damaged = [&lines[..line], &lines[line + 1..]].concat().concat(),
        5 => damaged = [&lines[..=line], &lines[line..]].concat().concat(),
        6 => {
            let (from, to) = (from / 512 * 512, to / 512 * 512);
            for place in 0..512.min(damaged.len() - to) {
                damaged.swap(from + place, to + place);
            }
        }
        _ => damaged.extend(&content[from..to]),
    }
    damaged
}

/// The case that was reported: of 92 records in a journal that was closed, 72 were set aside.
#[tokio::test]
async fn null_bytes_over_a_record_in_the_middle_are_no_torn_end() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 90).await;
    let path = segment(&config);
    let whole = fs::read(&path).unwrap();
    let start = whole.split_inclusive(|byte| *byte == b'\n').take(20);
    let start = start.map(<[u8]>::len).sum::<usize>();
    for head in [true, false] {
        let mut damaged = whole.clone();
        damaged[start..start + 600].fill(0);
        fs::write(&path, &damaged).unwrap();
        if !head {
            fs::remove_file(config.directory.join("head")).unwrap();
        }
        let before = listing(&config);
        let refused = broken(open(&config));
        assert_eq!((refused.line, refused.record), (21, 21));
        let said = open(&config).err().unwrap().to_string();
        assert!(
            said.contains("record 21 is damaged: it holds 600 null bytes"),
            "{said}"
        );
        assert!(said.contains("start with a new directory"), "{said}");
        assert_eq!(listing(&config), before);
    }
}

#[tokio::test]
async fn the_last_record_is_refused_when_it_was_changed_cut_or_destroyed() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (audit, writer) = open(&config).unwrap();
    for number in 0..3 {
        audit.record(event(number)).await.unwrap();
    }
    // As a gate that is killed leaves it.
    let path = segment(&config);
    let whole = fs::read_to_string(&path).unwrap();
    let head = fs::read(config.directory.join("head")).unwrap();
    drop(audit);
    writer.join().await;
    let cut = |bytes: usize| whole.get(..whole.len() - bytes).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    for damaged in [
        whole.replace("id-2", "id-9"),
        cut(1).to_owned(),
        cut(40).to_owned(),
        lines[..3].concat(),
        cut(200).to_owned() + &"\0".repeat(200),
        String::new(),
    ] {
        fs::write(config.directory.join("head"), &head).unwrap();
        fs::write(&path, &damaged).unwrap();
        assert!(
            matches!(open(&config), Err(OpenError::Damaged { .. })),
            "{damaged}"
        );
        assert!(
            matches!(
                verify(&config.directory, None),
                Err(VerifyError::Damaged(_))
            ),
            "{damaged}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(open(&config), Err(OpenError::Damaged { .. })));
    assert!(matches!(
        verify(&config.directory, None),
        Err(VerifyError::Damaged(Damage::Cut { last: 0, .. }))
    ));
    fs::write(config.directory.join("head"), "what?").unwrap();
    assert!(matches!(open(&config), Err(OpenError::Damaged { .. })));
}

/// Nobody was answered for it, so it may be torn as any other end.
#[tokio::test]
async fn a_last_checkpoint_that_was_cut_is_a_torn_end() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 2).await;
    let path = segment(&config);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    assert!(matches!(
        verify(&config.directory, None),
        Err(VerifyError::Torn { record: 5, .. })
    ));
    written(&config, 1).await;
    assert_eq!(verify(&config.directory, None).unwrap().recoveries.len(), 1);
}

/// A start lets it pass, because nobody was answered for it. Who looks for what is missing is told.
#[tokio::test]
async fn a_stop_record_that_was_cut_off_cleanly_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 2).await;
    assert_eq!(verify(&config.directory, None).unwrap().problems, [""; 0]);
    let path = segment(&config);
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    fs::write(&path, lines[..3].concat()).unwrap();
    let problems = verify(&config.directory, None).unwrap().problems;
    assert!(
        problems[0].starts_with("record 5 was on disk"),
        "{problems:?}"
    );
    written(&config, 1).await;
    assert_eq!(verify(&config.directory, None).unwrap().problems, [""; 0]);
}

/// Without `synced` nothing says what was on disk: only the end may be torn.
#[test]
fn a_journal_of_the_first_dtgate_is_opened_when_it_is_whole_or_its_end_is_torn() {
    let mut content = Vec::new();
    let mut hash = crate::value::Sha256Hex::ZERO;
    let mut lengths = Vec::new();
    for number in 1..=20_u64 {
        let line = format!(
            "{{\"seq\":{number},\"prev\":\"{}\",\"kind\":\"outcome\",\"decision_id\":\"{}\"}}",
            hash.as_str(),
            "x".repeat(300)
        );
        hash = crate::value::Sha256Hex::of(line.as_bytes());
        content.extend(line.bytes());
        content.push(b'\n');
        lengths.push(content.len());
    }
    assert!(opened(&content, None).unwrap().torn.is_none());
    let cut = &content[..lengths[18] + 100];
    assert_eq!(opened(cut, None).unwrap().head.next, 20);
    let mut hole = content.clone();
    hole[lengths[18] + 10..].fill(0);
    assert_eq!(opened(&hole, None).unwrap().head.next, 20);
    let mut hole = content;
    hole[lengths[9]..lengths[9] + 600].fill(0);
    assert!(matches!(
        opened(&hole, None),
        Err(Damage::Broken(Break { record: 11, .. }))
    ));
}

/// A start that is ended at any moment while it sets an end aside, and the start after it.
#[tokio::test]
async fn an_end_is_set_aside_whole_and_told_whenever_a_start_ends() {
    let torn = b"{\"seq\":4,\"prev\":\"00".as_slice();
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    written(&config, 1).await;
    let path = segment(&config);
    let whole = fs::read(&path).unwrap();
    let with_tail = [whole.as_slice(), torn].concat();
    let aside = config
        .directory
        .join(format!("{}.torn-1", aside::name(&path)));
    let unfinished = config
        .directory
        .join(format!("{}.torn-1.new", aside::name(&path)));
    // What the first start writes when nothing ends it: its own records too can be torn.
    fs::write(&path, &with_tail).unwrap();
    drop(open(&config).unwrap().0);
    let told = fs::read(&path).unwrap();
    let mut states = vec![
        (with_tail.clone(), None, Some(&torn[..5])),
        (with_tail.clone(), Some(torn), None),
        (whole.clone(), Some(torn), None),
    ];
    let steps = (whole.len() + 1..told.len()).step_by(97);
    states.extend(steps.map(|length| (told[..length].to_vec(), Some(torn), None)));
    assert!(states.len() > 6);
    for (content, complete, begun) in states {
        anew(&config);
        fs::write(&path, &content).unwrap();
        if let Some(complete) = complete {
            fs::write(&aside, complete).unwrap();
        }
        if let Some(begun) = begun {
            fs::write(&unfinished, begun).unwrap();
        }
        written(&config, 1).await;
        let report = verify(&config.directory, None).unwrap();
        assert_eq!(report.problems, [""; 0]);
        let told = report.recoveries.iter().filter(|recovered| {
            let name = recovered.set_aside.as_deref().unwrap();
            fs::read(config.directory.join(name)).unwrap() == torn
        });
        assert_eq!(told.count(), 1, "{report:?}");
        assert!(fs::read(&path).unwrap().starts_with(&whole));
    }
}

/// The directory with all that is in it.
fn listing(config: &Config) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(&config.directory).unwrap();
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    found.sort();
    found
}

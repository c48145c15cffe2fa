//! One compressed segment that is damaged: whoever wants the rest of the journal gets it, and is told.

use super::super::keeper::compress;
use super::super::lines::Lines;
use super::*;

fn seqs(lines: &mut Lines) -> io::Result<Vec<u64>> {
    let mut seqs = Vec::new();
    while let Some(line) = lines.next_line()? {
        seqs.push(chain::Link::read(&line.bytes).unwrap().seq.unwrap());
    }
    Ok(seqs)
}

#[tokio::test]
async fn what_is_damaged_is_stepped_over_and_told_where_that_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.segment_size = Size::from_bytes(700);
    written(&config, 16).await;
    let plain = segments(&config.directory).unwrap();
    for path in &plain[..plain.len() - 1] {
        compress(path, &mut || Ok(())).unwrap();
    }
    let all = seqs(&mut Lines::new(&config.directory)).unwrap();
    let packed = segments(&config.directory).unwrap();
    let (damaged, next) = (&packed[1], first_record(&packed[2]).unwrap());
    let first = first_record(damaged).unwrap();
    let whole = fs::read(damaged).unwrap();
    // In a frame, and in what is read when it is opened.
    for at in [whole.len() / 4, whole.len() - 50, whole.len() - 1] {
        let mut content = whole.clone();
        content[at] ^= 0x40;
        fs::write(damaged, content).unwrap();
        seqs(&mut Lines::new(&config.directory)).unwrap_err();
        let mut lines = Lines::new(&config.directory).over_damage();
        let seen = seqs(&mut lines).unwrap();
        let unreadable = lines.unreadable();
        assert_eq!(unreadable.len(), 1, "{unreadable:?}");
        let from = unreadable[0].first.unwrap();
        assert!((first..=next).contains(&from));
        let kept = all
            .iter()
            .copied()
            .filter(|seq| *seq < from || *seq >= next);
        assert_eq!(seen, kept.collect::<Vec<_>>());
        assert_eq!(lines.unreadable(), []);

        let said = verify(&config.directory, None).unwrap_err().to_string();
        let last = from - 1;
        let words = if from == first {
            format!("(it begins with record {first}, and none in it can be read)")
        } else {
            format!("(records {first} to {last} in it can be read)")
        };
        assert!(said.contains(&words), "{said}");

        let mut index = index::Index::in_memory(&config.directory).unwrap();
        index.catch_up(|_| true).unwrap_err();
        let mut index = index::Index::in_memory(&config.directory).unwrap();
        index.over_damage(|_| {});
        index.catch_up(|_| true).unwrap();
        assert_eq!(index.last().unwrap(), *all.last().unwrap());
        let missing = index.gaps(None, None).unwrap().missing;
        let expected: Vec<_> = (from < next)
            .then_some((from, next - 1))
            .into_iter()
            .collect();
        assert_eq!(missing, expected);
    }
}

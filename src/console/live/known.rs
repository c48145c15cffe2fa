//! What those who look on were told, and what there is to tell since.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::{LOOKED_AT, News};
use crate::audit::index::Filter;
use crate::console::Fault;
use crate::console::desk::Gate;
use crate::console::pages::decisions::rows;
use crate::console::row::Row;
use crate::store::{Found, Key, Moment};
use crate::trail::Source;
use crate::trail::ended::How;

/// What is known of the newest decisions, and of those before them that have no answer yet.
#[derive(Default)]
pub(super) struct Known {
    told: HashMap<Key, Told>,
    /// The newest decision of each gate of a store.
    newest: BTreeMap<String, u64>,
}

/// What was told of a decision.
struct Told {
    at: Moment,
    /// The records that say something of it.
    by: [Option<u64>; 3],
    has_no_answer_yet: bool,
}

impl Known {
    /// What there is to tell since it was looked last, the oldest first: decisions that were not there, and those of which
    /// there is more to say. Where nothing was known, there is nothing new.
    pub(super) fn look(gate: &Gate, before: Option<&Self>) -> Result<(Self, Vec<News>), Fault> {
        let source = gate.open()?;
        // One more than is told: where it is new, too, it is lost.
        let mut found = source
            .find(&Filter::default(), None, LOOKED_AT + 1)?
            .decisions;
        let newest = source.newest_of_gates()?.into_iter();
        let newest = newest.map(|it| (it.gate, it.seq)).collect();
        let stay: HashSet<Key> = found.iter().map(Found::key).collect();
        let mut is_lost = false;
        if let Some(before) = before {
            let (late, is_more) = before.late(&source, &newest, &stay)?;
            is_lost = is_more;
            found.extend(late);
            found.extend(before.waiting(&source, &stay)?);
        }
        found.sort_by_cached_key(|it| Reverse((it.at, it.gate.clone(), it.decided.seq)));
        let mut told = 0;
        let (mut read, mut is_new) = (Vec::new(), HashSet::new());
        for it in &found {
            match before.map(|before| before.told.get(&it.key())) {
                // What is there already may be without an answer yet.
                None if it.decided.outcome.is_none() => read.push(it.clone()),
                Some(None) if told == LOOKED_AT => is_lost = true,
                Some(None) => {
                    told += 1;
                    is_new.insert(it.key());
                    read.push(it.clone());
                }
                Some(Some(told)) if told.has_no_answer_yet || told.by != by(it) => {
                    read.push(it.clone());
                }
                None | Some(Some(_)) => {}
            }
        }
        read.reverse();
        let rows = rows(&source, &read, gate.wait())?.0;
        let open = rows.iter().filter(|row| row.ended.how == How::NotYet);
        let open: HashSet<Key> = open.map(Row::key).collect();
        let told = found.iter().map(|it| {
            let told = Told {
                at: it.at,
                by: by(it),
                has_no_answer_yet: open.contains(&it.key()),
            };
            (it.key(), told)
        });
        let known = Self {
            told: told
                .filter(|(key, told)| told.has_no_answer_yet || stay.contains(key))
                .collect(),
            newest,
        };
        let Some(before) = before else {
            return Ok((known, Vec::new()));
        };
        let news = rows.into_iter().filter_map(|row| {
            let key = row.key();
            match (is_new.contains(&key), before.told.get(&key)) {
                (true, _) => Some(News::Row(Box::new(row))),
                (false, Some(told)) if told.has_no_answer_yet && open.contains(&key) => None,
                (false, _) => Some(News::Again(Box::new(row))),
            }
        });
        let lost = is_lost.then_some(News::Lost);
        Ok((known, lost.into_iter().chain(news).collect()))
    }

    /// What gates have sent that is not among the newest of all, and whether there is more of it than is looked at.
    fn late(
        &self,
        source: &Source,
        newest: &BTreeMap<String, u64>,
        there: &HashSet<Key>,
    ) -> Result<(Vec<Found>, bool), Fault> {
        let (mut late, mut is_more) = (Vec::new(), false);
        for (gate, seq) in newest {
            let known = self.newest.get(gate).copied();
            let last = Key {
                gate: gate.clone(),
                seq: known.unwrap_or_default(),
            };
            // Between two that are among the newest of all, all are.
            let newest = Key {
                gate: gate.clone(),
                seq: *seq,
            };
            if known == Some(*seq) || (there.contains(&last) && there.contains(&newest)) {
                continue;
            }
            let mut found = source.find_of(gate, &Filter::default(), LOOKED_AT + 1)?;
            found.retain(|it| it.decided.seq > last.seq);
            is_more |= found.len() > LOOKED_AT;
            found.retain(|it| !there.contains(&it.key()));
            late.extend(found);
        }
        Ok((late, is_more))
    }

    /// Those without an answer that are not among the newest any more.
    fn waiting(&self, source: &Source, there: &HashSet<Key>) -> Result<Vec<Found>, Fault> {
        let waiting = self.told.iter();
        let waiting = waiting.filter(|(key, told)| told.has_no_answer_yet && !there.contains(*key));
        let mut waiting: Vec<_> = waiting.map(|(key, told)| (told.at, key)).collect();
        waiting.sort_unstable_by(|one, other| other.cmp(one));
        let mut found = Vec::new();
        for (_, key) in waiting.into_iter().take(LOOKED_AT) {
            found.extend(source.decision(key)?);
        }
        Ok(found)
    }
}

/// The records that say something of a decision.
pub(super) fn by(found: &Found) -> [Option<u64>; 3] {
    let decided = &found.decided;
    [decided.outcome, decided.settled, decided.challenger]
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::audit::index::{FILE, Index};
    use crate::console::desk::tests::gate_of;

    #[test]
    fn more_decisions_than_are_looked_at_are_said_to_be_lost() {
        let new = |count: usize, known: usize| {
            let known = Known::look(&gate_of(known), None).unwrap().0;
            Known::look(&gate_of(count), Some(&known)).unwrap().1
        };
        let lost = |new: &[News]| new.iter().filter(|it| matches!(it, News::Lost)).count();
        let exactly = new(LOOKED_AT + 1, 1);
        assert_eq!((exactly.len(), lost(&exactly)), (LOOKED_AT, 0));
        let more = new(LOOKED_AT + 2, 1);
        assert_eq!((more.len(), lost(&more)), (LOOKED_AT + 1, 1));
        assert!(matches!(more[0], News::Lost));
    }

    fn allowed(seq: u64) -> Value {
        json!({"seq": seq, "kind": "decision", "timestamp": "2026-11-24T10:00:00.000Z", "verdict": "allow"})
    }

    fn outcome(seq: u64, of: u64) -> Value {
        json!({"seq": seq, "kind": "outcome", "decision_seq": of, "outcome": "answered", "status": 201,
               "timestamp": "2026-11-24T10:00:00.400Z"})
    }

    /// Beside a journal of these records.
    fn beside(directory: &Path, records: &[Value], now: fn() -> jiff::Timestamp) -> Gate {
        // No record is as short as these.
        let long = |record: &Value| {
            let mut record = record.clone();
            record["hash"] = "0".repeat(200).into();
            record.to_string()
        };
        let lines: Vec<String> = records.iter().map(long).collect();
        let segment = directory.join("00000000000000000001.jsonl");
        std::fs::write(segment, lines.join("\n") + "\n").unwrap();
        let path = directory.join(FILE);
        let mut index = Index::open(directory, &path).unwrap();
        index.catch_up(|_| true).unwrap();
        let journal = directory.to_owned();
        Gate {
            trail: Arc::new(move || Source::of_gate(&journal, &path)),
            now,
            ..gate_of(0)
        }
    }

    /// What is told: whether it is new, its number, and how it ended.
    fn told(news: &[News]) -> Vec<(bool, u64, &str)> {
        let told = news.iter().map(|it| match it {
            News::Row(row) => (true, row.cells.seq, &*row.ended.text),
            News::Again(row) => (false, row.cells.seq, &*row.ended.text),
            News::Lost => (true, 0, "lost"),
        });
        told.collect()
    }

    const SOON: fn() -> jiff::Timestamp = || "2026-11-24T10:00:01Z".parse().unwrap();
    const LATE: fn() -> jiff::Timestamp = || "2026-11-24T10:10:00Z".parse().unwrap();

    #[test]
    fn a_decision_is_told_again_once_it_has_an_answer_or_can_have_none() {
        let directory = tempfile::tempdir().unwrap();
        let mut records = vec![allowed(1)];
        let look = |records: &[Value], now, before: Option<&Known>| {
            Known::look(&beside(directory.path(), records, now), before).unwrap()
        };
        let (known, news) = look(&records, SOON, None);
        assert_eq!(told(&news), []);
        records.extend([allowed(2), allowed(3)]);
        let (known, news) = look(&records, SOON, Some(&known));
        let yet = "no answer yet";
        assert_eq!(told(&news), [(true, 2, yet), (true, 3, yet)]);
        // One that was there, and one that was told.
        records.extend([outcome(4, 2), outcome(5, 1)]);
        let (known, news) = look(&records, SOON, Some(&known));
        assert_eq!(told(&news), [(false, 1, "201"), (false, 2, "201")]);
        let (known, news) = look(&records, SOON, Some(&known));
        assert_eq!(told(&news), []);
        let (known, news) = look(&records, LATE, Some(&known));
        assert_eq!(told(&news), [(false, 3, "in doubt")]);
        let (known, news) = look(&records, LATE, Some(&known));
        assert_eq!(told(&news), []);
        records.push(outcome(6, 3));
        let (_, news) = look(&records, LATE, Some(&known));
        assert_eq!(told(&news), [(false, 3, "201")]);
    }

    #[test]
    fn one_that_waits_is_known_behind_many_others_and_nothing_else_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let look = |records: &[Value], now, before: Option<&Known>| {
            Known::look(&beside(directory.path(), records, now), before).unwrap()
        };
        let mut records = vec![allowed(1)];
        let (mut known, _) = look(&records, SOON, None);
        let mut seq = 1;
        for _ in 0..3 {
            for _ in 0..LOOKED_AT / 2 {
                records.extend([allowed(seq + 1), outcome(seq + 2, seq + 1)]);
                seq += 2;
            }
            known = look(&records, SOON, Some(&known)).0;
        }
        assert_eq!(known.told.len(), LOOKED_AT + 2);
        let (later, news) = look(&records, LATE, Some(&known));
        assert_eq!(told(&news), [(false, 1, "in doubt")]);
        assert_eq!(later.told.len(), LOOKED_AT + 1);
        records.push(outcome(seq + 1, 1));
        let (_, news) = look(&records, SOON, Some(&known));
        assert_eq!(told(&news), [(false, 1, "201")]);
    }
}

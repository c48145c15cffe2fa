//! Of which form rows are. By what a record is looked for changes from build to build, and nothing of a row changes after
//! it was sent: rows of earlier builds say less, or something else, than they would say today.
//!
//! A gate notes from which record on its rows are of its own form, among the names (kind [`KIND`]), where each role of a
//! gate may add: so no table changes, and earlier builds take no notice. A later note takes the place of earlier ones of
//! the same record and of those behind it: where rows fill a gap, what was noted of those behind them is noted again.
//!
//! Nobody signs these notes, and each role of a gate may forge them: they are a hint for whoever asks, and never a reason to
//! find less. What is proven goes by the `start` records, which are in the chain ([`super::verify`]).

use std::collections::BTreeMap;

use tokio_postgres::GenericClient;

use super::StoreError;
use super::ask::Asked;
use super::column::column;
use super::moment::Moment;
use super::schema::{signed, unsigned};
use crate::audit::facts::FORM;

/// The rows of all gates, as far as it is noted of which form they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Forms(BTreeMap<String, Form>);

/// The rows of one gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Form {
    /// Records, and the form of the rows from there on up to the next of these. In order.
    from: Vec<(u64, u32)>,
    /// Of the last note.
    number: u32,
}

/// One note, as it stands among the names.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Note<'a> {
    /// The first is 1.
    number: u32,
    form: u32,
    from: u64,
    gate: &'a str,
}

impl<'a> Note<'a> {
    /// `None`: no gate writes such a one.
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(4, ' ');
        let note = Self {
            number: parts.next()?.parse().ok()?,
            form: parts.next()?.parse().ok()?,
            from: parts.next()?.parse().ok()?,
            gate: parts.next()?,
        };
        let is_record = i64::try_from(note.from).is_ok_and(|from| from > 0);
        (is_record && (1..=MOST).contains(&note.number)).then_some(note)
    }

    fn text(&self) -> String {
        let Self {
            number,
            form,
            from,
            gate,
        } = self;
        format!("{number} {form} {from} {gate}")
    }
}

impl Forms {
    /// By the notes of forms up to this one. Forged ones may have one number: what comes of them is the same each time.
    fn of(notes: &[&str], most: u32) -> Self {
        let notes = notes.iter().filter_map(|note| Note::read(note));
        let mut notes: Vec<Note<'_>> = notes.filter(|note| note.form <= most).collect();
        notes.sort_unstable();
        let mut forms = Self::default();
        for note in notes {
            let form = forms.0.entry(note.gate.to_owned()).or_default();
            form.from.retain(|(from, _)| *from < note.from);
            form.from.push((note.from, note.form));
            form.number = note.number;
        }
        forms
    }

    /// Those of one gate. Without a note, all are of an earlier form.
    fn of_gate(&self, gate: &str) -> Form {
        self.0.get(gate).cloned().unwrap_or_default()
    }
}

impl Form {
    /// Of which form the row of a record is; 0: of an earlier one.
    fn at(&self, seq: u64) -> u32 {
        let before = self.from.iter().rev().find(|(from, _)| *from <= seq);
        before.map_or(0, |(_, form)| *form)
    }

    /// What has to be noted where the rows from one record to another, behind which stands the row `next`, were sent by
    /// this build.
    fn filled(&self, (first, last): (u64, u64), next: Option<u64>) -> Vec<(u64, u32)> {
        let is_changed = self
            .from
            .iter()
            .any(|(from, _)| *from > first && *from <= last);
        let is_ours = self.at(first) == FORM && !is_changed;
        // Nothing follows, and everything is of this form from there on.
        let is_end = next.is_some() || self.from.last().is_none_or(|(from, _)| *from <= first);
        if is_ours && is_end {
            return Vec::new();
        }
        let mut noted = vec![(first, FORM)];
        if let Some(next) = next {
            noted.push((next, self.at(next)));
            noted.extend(self.from.iter().filter(|(from, _)| *from > next));
            noted.dedup_by_key(|(_, form)| *form);
        }
        noted
    }

    /// The first and the last records of rows that another build has sent.
    fn others(&self) -> Vec<(u64, u64)> {
        let begin = std::iter::once((1, 0)).chain(self.from.iter().copied());
        let ends = self.from.iter().map(|(from, _)| from.saturating_sub(1));
        let ends = ends.chain(std::iter::once(u64::MAX));
        let others = begin
            .zip(ends)
            .filter(|((from, form), to)| *form != FORM && from <= to)
            .map(|((from, _), to)| (from, to));
        let mut others: Vec<(u64, u64)> = others.collect();
        // Nobody has so many builds. Whoever forged them is shown more, and never less.
        if others.len() > RANGES {
            others.truncate(RANGES);
            if let Some((_, to)) = others.last_mut() {
                *to = u64::MAX;
            }
        }
        others
    }
}

async fn notes(client: &(impl GenericClient + Sync)) -> Result<Forms, StoreError> {
    let rows = client.query(NOTES, &[&KIND]).await?;
    let notes: Result<Vec<&str>, _> = rows.iter().map(|row| column(row, 0)).collect();
    // Also those of later builds, so that this one's takes their place.
    Ok(Forms::of(&notes?, u32::MAX))
}

/// Notes that the rows of these records, which are about to be written, are of the form of this build. `true`: so are all
/// that come behind them in this session. Nobody else may write under this name meanwhile.
pub(super) async fn note(
    client: &(impl GenericClient + Sync),
    gate: &str,
    new: impl Iterator<Item = i64>,
) -> Result<bool, StoreError> {
    let mut form = notes(client).await?.of_gate(gate);
    let mut is_end = false;
    for (first, last) in runs(new) {
        let next = client.query_one(NEXT, &[&gate, &signed(last)]).await?;
        let next: Option<i64> = column(&next, 0)?;
        is_end = next.is_none();
        let noted = form.filled((first, last), next.map(unsigned));
        if noted.len() > RANGES {
            continue;
        }
        for (from, of) in noted {
            // Once somebody has used up the numbers, nothing is noted any more: nothing else depends on it.
            form.number = form.number.saturating_add(1);
            if form.number > MOST {
                return Ok(is_end);
            }
            let note = Note {
                number: form.number,
                form: of,
                from,
                gate,
            };
            client.execute(ADD, &[&KIND, &note.text()]).await?;
            form.from.retain(|(it, _)| *it < from);
            form.from.push((from, of));
        }
    }
    Ok(is_end)
}

/// The first and the last of numbers that follow one another.
fn runs(all: impl Iterator<Item = i64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for seq in all.map(unsigned) {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(seq) => *last = seq,
            _ => runs.push((seq, seq)),
        }
    }
    runs
}

impl Asked {
    fn forms(&self) -> Result<Forms, StoreError> {
        let rows = self.rows(NOTES, &[&KIND])?;
        let notes: Result<Vec<&str>, _> = rows.iter().map(|row| column(row, 0)).collect();
        Ok(Forms::of(&notes?, FORM))
    }

    /// Of these gates, those of which rows of about this time (milliseconds since 1970) were sent by other builds: a question
    /// for something of them may find less than there is. Between the first and the last of them, every time is theirs.
    pub fn sent_by_others(
        &self,
        gates: &[String],
        (since, until): (Option<i64>, Option<i64>),
    ) -> Result<Vec<String>, StoreError> {
        let forms = self.forms()?;
        let [since, until] = [since, until].map(|ms| ms.map(Moment::of_millis));
        let (mut names, mut from, mut to) = (Vec::new(), Vec::new(), Vec::new());
        for gate in gates {
            for (first, last) in forms.of_gate(gate).others() {
                names.push(gate);
                from.push(signed(first));
                to.push(signed(last));
            }
        }
        let rows = self.rows(OTHERS, &[&names, &from, &to, &since, &until])?;
        let found: Result<Vec<String>, _> = rows.iter().map(|row| column(row, 0)).collect();
        let found = found?;
        let found = gates.iter().filter(|it| found.contains(it)).cloned();
        Ok(found.collect())
    }
}

/// Of such a note among the names. No record has names of this kind.
const KIND: &str = "form";

/// So many and so long ones at most: whoever may add rows can add any, and an answer has its bound.
const NOTES: &str =
    "SELECT value FROM (SELECT value FROM dtgate.name WHERE kind = $1 LIMIT 10000) AS note
    WHERE octet_length(value) <= 300";
const ADD: &str = "INSERT INTO dtgate.name(kind, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const NEXT: &str = "SELECT min(seq) FROM dtgate.record WHERE gate = $1 AND seq > $2";

/// The first and the last of the rows of each range, by the primary key: however many there are, two of them are read.
const OTHERS: &str = "
SELECT DISTINCT asked.gate FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS asked(gate, first, last),
LATERAL (SELECT at FROM dtgate.record AS r WHERE r.gate = asked.gate AND r.seq BETWEEN asked.first AND asked.last
  ORDER BY r.seq LIMIT 1) AS oldest,
LATERAL (SELECT at FROM dtgate.record AS r WHERE r.gate = asked.gate AND r.seq BETWEEN asked.first AND asked.last
  ORDER BY r.seq DESC LIMIT 1) AS newest
WHERE ($4::timestamptz IS NULL OR newest.at >= $4) AND ($5::timestamptz IS NULL OR oldest.at < $5)";

/// Parts of the records of one gate that are asked for. A gate has a new one with each change of builds.
const RANGES: usize = 64;

/// The highest number of a note: one gate writes a few in its life.
const MOST: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_note_takes_the_place_of_those_behind_it() {
        let other = FORM + 1;
        let notes = [
            format!("2 {FORM} 700 a b"),
            format!("1 {other} 500 a b"),
            format!("1 {FORM} 1 b"),
            "no note".to_owned(),
            "1 x 5 c".to_owned(),
        ];
        let forms = read(&notes, other);
        let of = forms.of_gate("a b");
        assert_eq!(of.others(), [(1, 499), (500, 699)]);
        let whole = forms.of_gate("b");
        assert!(whole.others().is_empty());
        let unknown = forms.of_gate("c");
        assert_eq!(unknown.others(), [(1, u64::MAX)]);
        // Sent again from record 300 on; then an earlier build goes on.
        let more = [format!("3 {FORM} 300 a b"), format!("4 {other} 900 a b")];
        let all = [&notes[..], &more].concat();
        let of = read(&all, other).of_gate("a b");
        assert_eq!(of.others(), [(1, 299), (900, u64::MAX)]);
        assert_eq!(of.number, 4);
        // Whoever asks does not go by what only a later build could have noted.
        let of = read(&all, FORM).of_gate("a b");
        assert_eq!((of.others(), of.number), (vec![(1, 299)], 3));
    }

    /// Rows 4 to 19 are sent while others stand behind them.
    #[test]
    fn of_rows_that_fill_a_gap_it_is_noted_too() {
        let other = FORM + 1;
        let form = |from: &[(u64, u32)]| Form {
            from: from.to_vec(),
            number: 1,
        };
        for (noted, next, wanted) in [
            (vec![(1, FORM)], Some(20), vec![]),
            (vec![(1, FORM)], None, vec![]),
            (vec![], Some(20), vec![(4, FORM), (20, 0)]),
            (vec![], None, vec![(4, FORM)]),
            (vec![(1, other)], Some(20), vec![(4, FORM), (20, other)]),
            (vec![(20, FORM)], Some(20), vec![(4, FORM)]),
            (vec![(10, FORM)], Some(20), vec![(4, FORM)]),
            (
                vec![(1, FORM), (12, other)],
                Some(20),
                vec![(4, FORM), (20, other)],
            ),
            (
                vec![(1, other), (25, FORM), (30, other)],
                Some(20),
                vec![(4, FORM), (20, other), (25, FORM), (30, other)],
            ),
            (vec![(1, FORM), (25, other)], None, vec![(4, FORM)]),
            (vec![(1, FORM), (25, other)], Some(20), vec![]),
        ] {
            let noted = form(&noted);
            assert_eq!(noted.filled((4, 19), next), wanted, "{noted:?} {next:?}");
        }
        assert_eq!(
            runs([4, 5, 6, 9, 11, 12].into_iter()),
            [(4, 6), (9, 9), (11, 12)]
        );
    }

    #[test]
    fn what_no_gate_writes_is_no_note() {
        let own = format!("1 {FORM} 1 a");
        for forged in [
            "18446744073709551615 0 1 a",
            "4294967295 0 1 a",
            "1000001 0 1 a",
            "0 0 1 a",
            "-1 0 1 a",
            "2 0 0 a",
            "2 0 18446744073709551615 a",
            "2 0 9223372036854775808 a",
            "2 4294967296 1 a",
        ] {
            let of = read(&[own.clone(), forged.to_owned()], u32::MAX).of_gate("a");
            assert_eq!((of.number, of.others()), (1, vec![]), "{forged}");
        }
        let last = [own, format!("{MOST} 0 1 a")];
        assert_eq!(read(&last, FORM).of_gate("a").number, MOST);
    }

    #[test]
    fn so_many_notes_are_no_more_questions() {
        let other = FORM + 1;
        let notes = (0..10_000_u32).map(|at| {
            let form = if at % 2 == 0 { other } else { FORM };
            format!("{} {form} {} a", at + 1, u64::from(at) * 10 + 1)
        });
        let notes: Vec<String> = notes.collect();
        let others = read(&notes, other).of_gate("a").others();
        assert_eq!(others.len(), RANGES);
        assert_eq!(others.first(), Some(&(1, 10)));
        // All that is left out.
        assert_eq!(others.last(), Some(&(1261, u64::MAX)));
    }

    fn read(notes: &[String], most: u32) -> Forms {
        let notes: Vec<&str> = notes.iter().map(String::as_str).collect();
        Forms::of(&notes, most)
    }

    #[test]
    fn a_note_is_read_as_it_is_written() {
        let note = Note {
            number: 3,
            form: FORM,
            from: 15,
            gate: "gate c",
        };
        assert_eq!(Note::read(&note.text()), Some(note));
    }
}

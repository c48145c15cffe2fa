//! Of which form rows are. By what a record is looked for changes from build to build, and nothing of a row changes after
//! it was sent: rows of earlier builds say less, or something else, than they would say today.
//!
//! A gate notes from which record on its rows are of its own form, among the names (kind [`KIND`]), where each role of a
//! gate may add: so no table changes, and earlier builds take no notice. It does so only where nothing of it stands behind
//! that record, so that a later note takes the place of earlier ones of the same records and of those behind them.

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
pub(super) struct Forms(BTreeMap<String, Form>);

/// The rows of one gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    /// Records, and the form of the rows from there on up to the next of these. In order.
    from: Vec<(u64, u32)>,
    /// Of the last note.
    number: u64,
}

/// One note, as it stands among the names.
#[derive(Debug, PartialEq, Eq)]
struct Note<'a> {
    /// The first is 1.
    number: u64,
    form: u32,
    from: u64,
    gate: &'a str,
}

impl<'a> Note<'a> {
    /// `None`: no gate writes such a one.
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(4, ' ');
        Some(Self {
            number: parts.next()?.parse().ok()?,
            form: parts.next()?.parse().ok()?,
            from: parts.next()?.parse().ok()?,
            gate: parts.next()?,
        })
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
    fn of(notes: &[&str]) -> Self {
        let mut notes: Vec<Note<'_>> = notes.iter().filter_map(|note| Note::read(note)).collect();
        notes.sort_by_key(|note| note.number);
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
    pub(super) fn of_gate(&self, gate: &str) -> Form {
        self.0.get(gate).cloned().unwrap_or_default()
    }
}

impl Form {
    /// Whether the row of this record says what this build says.
    pub(super) fn is_ours(&self, seq: u64) -> bool {
        let mut all = self.from.iter().rev();
        all.find(|(from, _)| *from <= seq)
            .is_some_and(|(_, form)| *form == FORM)
    }

    /// The first and the last records of rows that another build has sent.
    fn others(&self) -> Vec<(u64, u64)> {
        let begin = std::iter::once((1, 0)).chain(self.from.iter().copied());
        let ends = self.from.iter().map(|(from, _)| from.saturating_sub(1));
        let ends = ends.chain(std::iter::once(u64::MAX));
        begin
            .zip(ends)
            .filter(|((from, form), to)| *form != FORM && from <= to)
            .map(|((from, _), to)| (from, to))
            .collect()
    }
}

async fn notes(client: &(impl GenericClient + Sync)) -> Result<Forms, StoreError> {
    let rows = client.query(NOTES, &[&KIND]).await?;
    let notes: Result<Vec<&str>, _> = rows.iter().map(|row| column(row, 0)).collect();
    Ok(Forms::of(&notes?))
}

/// Notes that the rows of these records, which are about to be written and follow one another, are of the form of this
/// build, as far as nothing of the gate stands behind them. `true`: so are all that come behind them in this session.
/// Nobody else may write under this name meanwhile.
pub(super) async fn note(
    client: &(impl GenericClient + Sync),
    gate: &str,
    new: impl Iterator<Item = i64>,
) -> Result<bool, StoreError> {
    let end = client.query_one(END, &[&gate]).await?;
    let end: i64 = column::<Option<i64>>(&end, 0)?.unwrap_or_default();
    let Some(from) = new.filter(|seq| *seq > end).min() else {
        return Ok(false);
    };
    let form = notes(client).await?.of_gate(gate);
    if form
        .from
        .last()
        .is_none_or(|(last, form)| *form != FORM || *last > unsigned(from))
    {
        let note = Note {
            number: form.number + 1,
            form: FORM,
            from: unsigned(from),
            gate,
        };
        client.execute(ADD, &[&KIND, &note.text()]).await?;
    }
    Ok(true)
}

impl Asked {
    pub(super) fn forms(&self) -> Result<Forms, StoreError> {
        let rows = self.rows(NOTES, &[&KIND])?;
        let notes: Result<Vec<&str>, _> = rows.iter().map(|row| column(row, 0)).collect();
        Ok(Forms::of(&notes?))
    }

    /// Of these gates, those of which rows of this time (milliseconds since 1970) were sent by other builds: a question for
    /// something of them may find less than there is.
    pub fn sent_by_others(
        &self,
        gates: &[String],
        (since, until): (Option<i64>, Option<i64>),
    ) -> Result<Vec<String>, StoreError> {
        let forms = self.forms()?;
        let [since, until] = [since, until].map(|ms| ms.map(Moment::of_millis));
        let mut found = Vec::new();
        for gate in gates {
            for (from, to) in forms.of_gate(gate).others() {
                let rows =
                    self.rows(OTHERS, &[gate, &signed(from), &signed(to), &since, &until])?;
                if !rows.is_empty() {
                    found.push(gate.clone());
                    break;
                }
            }
        }
        Ok(found)
    }
}

/// Of such a note among the names. No record has names of this kind.
const KIND: &str = "form";

const NOTES: &str = "SELECT value FROM dtgate.name WHERE kind = $1";
const ADD: &str = "INSERT INTO dtgate.name(kind, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const END: &str = "SELECT max(seq) FROM dtgate.record WHERE gate = $1";
const OTHERS: &str = "SELECT 1 FROM dtgate.record WHERE gate = $1 AND seq BETWEEN $2 AND $3
  AND ($4::timestamptz IS NULL OR at >= $4) AND ($5::timestamptz IS NULL OR at < $5) LIMIT 1";

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
        let read = |notes: &[String]| {
            let notes: Vec<&str> = notes.iter().map(String::as_str).collect();
            Forms::of(&notes)
        };
        let forms = read(&notes);
        let of = forms.of_gate("a b");
        assert_eq!(of.others(), [(1, 499), (500, 699)]);
        assert!(of.is_ours(700) && of.is_ours(9000));
        assert!(!of.is_ours(1) && !of.is_ours(499) && !of.is_ours(699));
        let whole = forms.of_gate("b");
        assert!(whole.others().is_empty() && whole.is_ours(1));
        let unknown = forms.of_gate("c");
        assert_eq!(unknown.others(), [(1, u64::MAX)]);
        assert!(!unknown.is_ours(1));
        // Sent again from record 300 on; then an earlier build goes on.
        let more = [format!("3 {FORM} 300 a b"), format!("4 {other} 900 a b")];
        let of = read(&[&notes[..], &more].concat()).of_gate("a b");
        assert_eq!(of.others(), [(1, 299), (900, u64::MAX)]);
        assert!(of.is_ours(300) && of.is_ours(899) && !of.is_ours(900));
        assert_eq!(of.number, 4);
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

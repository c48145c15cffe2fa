//! Rows in: all of a batch or nothing of it, and what is there already only once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;

use bytes::{BufMut, BytesMut};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement, Transaction};

use super::StoreError;
use super::column::column;
use super::form;
use super::rows::{Ending, Row, prev};
use super::schema::lock_of;
use crate::value::{Sha256Hex, hex};

/// What is asked again and again in one session.
#[derive(Debug)]
pub(super) struct Statements {
    lock: Statement,
    there: Statement,
    copy: Statement,
    end: Statement,
    /// The same with words of outcomes.
    end_in_words: Statement,
    names: Statement,
    /// It is noted of which form the rows are that come.
    is_noted: bool,
}

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, StoreError> {
        Ok(Self {
            lock: client.prepare("SELECT pg_advisory_xact_lock($1)").await?,
            there: client.prepare(THERE).await?,
            copy: client.prepare(COPY).await?,
            end: client.prepare(&END.replace(IN_WORDS, "")).await?,
            end_in_words: client.prepare(&END.replace(IN_WORDS, SET_WORDS)).await?,
            names: client.prepare(NAMES).await?,
            is_noted: false,
        })
    }

    /// Adds texts to the list of all names. Several gates add the same: in order, so that none waits for another that
    /// waits for it.
    pub(super) async fn add_names(
        &self,
        client: &Client,
        names: &[(&str, &str)],
    ) -> Result<(), StoreError> {
        let mut names = names.to_vec();
        names.sort_unstable();
        let (kinds, values): (Vec<&str>, Vec<&str>) = names.into_iter().unzip();
        client.execute(&self.names, &[&kinds, &values]).await?;
        Ok(())
    }

    /// Writes rows that follow one another in the journal: how many were not there. `before`: the hash of the record before
    /// them as it was sent, where that is known.
    pub(super) async fn write(
        &mut self,
        client: &mut Client,
        gate: &str,
        rows: &[Row<'_>],
        before: Option<&Sha256Hex>,
        mut endings: BTreeMap<i64, Ending>,
    ) -> Result<usize, StoreError> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(0);
        };
        let transaction = client.transaction().await?;
        // Whoever else writes under this name waits, so that what is there now is all there is.
        transaction.execute(&self.lock, &[&lock_of(gate)]).await?;
        let there = transaction
            .query(&self.there, &[&gate, &(first.seq - 1), &last.seq])
            .await?;
        let there: HashMap<i64, Vec<u8>> = there
            .iter()
            .map(|row| Ok((column(row, 0)?, column(row, 1)?)))
            .collect::<Result<_, StoreError>>()?;
        let other = |row: &&Row<'_>| there.get(&row.seq).is_some_and(|hash| *hash != row.hash);
        let other = rows.iter().find(other).map(|row| row.seq);
        let odd = there.get(&(first.seq - 1));
        let odd = odd.filter(|hash| first.seq > 1 && !goes_on(first, hash, before));
        if let Some(seq) = other.or_else(|| odd.map(|_| first.seq - 1)) {
            return Err(StoreError::Foreign {
                gate: gate.to_owned(),
                seq,
            });
        }
        let new: Vec<&Row<'_>> = rows
            .iter()
            .filter(|row| !there.contains_key(&row.seq))
            .collect();
        let mut is_noted = self.is_noted;
        if !new.is_empty() {
            if !is_noted {
                let new = new.iter().map(|row| row.seq);
                is_noted = form::note(&transaction, gate, new).await?;
            }
            self.copy(&transaction, gate, &new, &mut endings).await?;
        }
        self.end(&transaction, gate, endings).await?;
        transaction.commit().await?;
        self.is_noted = is_noted;
        Ok(new.len())
    }

    /// Decisions come with their endings, as far as those are known.
    async fn copy(
        &self,
        transaction: &Transaction<'_>,
        gate: &str,
        rows: &[&Row<'_>],
        endings: &mut BTreeMap<i64, Ending>,
    ) -> Result<(), StoreError> {
        let sink = transaction.copy_in(&self.copy).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, TYPES));
        let none = Ending::default();
        for row in rows {
            let decision = row.decision();
            let ending = decision.and_then(|_| endings.remove(&row.seq));
            let ending = ending.as_ref().unwrap_or(&none);
            let token = decision.map(|it| {
                let made = ending.made.iter().filter(|made| !it.token.contains(made));
                it.token.iter().chain(made).collect::<Vec<_>>()
            });
            let verdict = decision.map(|it| if it.is_allowed { "allow" } else { "deny" });
            let found = ending.settled.as_ref().map(|(_, found)| found.as_str());
            let values: [&(dyn ToSql + Sync); 29] = [
                &gate,
                &row.seq,
                &row.at,
                &row.kind(),
                &row.hash.as_slice(),
                &row.line,
                &decision.and_then(|it| it.id.as_deref()),
                &verdict,
                &decision.map(|it| it.operation.as_str()),
                &decision.and_then(|it| it.environment.as_deref()),
                &decision.and_then(|it| it.caller.as_deref()),
                &decision.and_then(|it| it.client.as_deref()),
                &decision.and_then(|it| it.revision.as_deref()),
                &decision.map(|it| it.is_no_op),
                &decision.map(|it| &it.certificate),
                &decision.map(|it| &it.claim),
                &decision.map(|it| &it.team),
                &token,
                &decision.map(|it| &it.scope),
                &decision.map(|it| &it.added),
                &decision.map(|it| &it.removed),
                &decision.map(|it| &it.policy),
                &decision.map(|it| &it.code),
                &decision.map(|it| Words([&it.words, &ending.words])),
                &ending.outcome.map(|(_, outcome)| outcome),
                &ending.outcome.map(|(seq, _)| seq),
                &ending.settled.as_ref().map(|(seq, _)| *seq),
                &found.or_else(|| row.differs()),
                &row.about(),
            ];
            writer.as_mut().write(&values).await?;
        }
        writer.finish().await?;
        Ok(())
    }

    /// Tells decisions that are there how they ended. Told again, or in another order, it comes to the same.
    async fn end(
        &self,
        transaction: &Transaction<'_>,
        gate: &str,
        mut endings: BTreeMap<i64, Ending>,
    ) -> Result<(), StoreError> {
        while !endings.is_empty() {
            let mut of = Columns::default();
            for (seq, ending) in &mut endings {
                of.seq.push(*seq);
                of.outcome_seq.push(ending.outcome.map(|(seq, _)| seq));
                of.outcome.push(ending.outcome.map(|(_, outcome)| outcome));
                let settled = ending.settled.clone().unzip();
                of.settled_seq.push(settled.0);
                of.found.push(settled.1);
                of.made.push(ending.made.pop());
                let words = std::mem::take(&mut ending.words);
                of.words.push((!words.is_empty()).then(|| words.join(" ")));
            }
            let values: [&(dyn ToSql + Sync); 8] = [
                &gate,
                &of.seq,
                &of.outcome_seq,
                &of.outcome,
                &of.settled_seq,
                &of.found,
                &of.made,
                &of.words,
            ];
            // A role without the right to `words` does, as long as no outcome has any.
            let has_words = of.words.iter().any(Option::is_some);
            let end = if has_words {
                &self.end_in_words
            } else {
                &self.end
            };
            transaction.execute(end, &values).await?;
            // One credential at a time: hardly any request makes more.
            endings.retain(|_, ending| !ending.made.is_empty());
        }
        Ok(())
    }
}

/// Whether a row can stand behind the one that has this hash. A record that was damaged before it was sent has another one
/// than the next record names.
fn goes_on(row: &Row<'_>, hash: &[u8], before: Option<&Sha256Hex>) -> bool {
    let hash = hex(hash);
    let named = prev(&row.line);
    // What names none is damaged itself, and is kept as it is.
    named.is_none_or(|named| named == hash) || before.is_some_and(|before| before.as_str() == hash)
}

/// Endings, as the server takes them.
#[derive(Default)]
struct Columns {
    seq: Vec<i64>,
    outcome_seq: Vec<Option<i64>>,
    outcome: Vec<Option<&'static str>>,
    settled_seq: Vec<Option<i64>>,
    found: Vec<Option<String>>,
    made: Vec<Option<String>>,
    /// With a blank between them.
    words: Vec<Option<String>>,
}

/// The words of a decision and of its outcomes, each once: a `tsvector`.
#[derive(Debug)]
struct Words<'a>([&'a Vec<String>; 2]);

impl ToSql for Words<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let words: HashSet<&str> = self.0.into_iter().flatten().map(String::as_str).collect();
        let mut words: Vec<&str> = words.into_iter().collect();
        words.sort_unstable();
        out.put_i32(i32::try_from(words.len())?);
        for word in words {
            out.put_slice(word.as_bytes());
            // The end of the word, and no places of it.
            out.put_slice(&[0, 0, 0]);
        }
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::TS_VECTOR
    }

    to_sql_checked!();
}

const THERE: &str = "SELECT seq, hash FROM dtgate.record WHERE gate = $1 AND seq BETWEEN $2 AND $3";

const COPY: &str = "COPY dtgate.record(gate, seq, at, kind, hash, line, decision_id, verdict, operation, environment,
  caller, client, revision, no_op, certificate, claim, team, token, scope, added, removed, policy, code, words,
  outcome, outcome_seq, settled_seq, found, decision_seq) FROM STDIN BINARY";

const TYPES: &[Type] = &[
    Type::TEXT,
    Type::INT8,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::BYTEA,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::BOOL,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TS_VECTOR,
    Type::TEXT,
    Type::INT8,
    Type::INT8,
    Type::TEXT,
    Type::INT8,
];

/// The last outcome stays; of settlements the last that found something, or else the last.
const END: &str = "UPDATE dtgate.record AS r SET
    outcome = CASE WHEN e.outcome_seq > coalesce(r.outcome_seq, 0) THEN e.outcome ELSE r.outcome END,
    outcome_seq = greatest(r.outcome_seq, e.outcome_seq),
    settled_seq = CASE WHEN e.settled_seq IS NOT NULL AND (r.settled_seq IS NULL
        OR (e.found <> 'unknown', e.settled_seq) > (r.found <> 'unknown', r.settled_seq))
      THEN e.settled_seq ELSE r.settled_seq END,
    found = CASE WHEN e.settled_seq IS NOT NULL AND (r.settled_seq IS NULL
        OR (e.found <> 'unknown', e.settled_seq) > (r.found <> 'unknown', r.settled_seq))
      THEN e.found ELSE r.found END,
    token = CASE WHEN e.made IS NULL OR e.made = ANY(coalesce(r.token, '{}')) THEN r.token
      ELSE array_append(r.token, e.made) END/* words */
  FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[])
    AS e(seq, outcome_seq, outcome, settled_seq, found, made, words)
  WHERE r.gate = $1 AND r.seq = e.seq AND r.kind = 'decision' AND (
    e.outcome_seq > coalesce(r.outcome_seq, 0)
    OR e.settled_seq IS NOT NULL AND (r.settled_seq IS NULL
      OR (e.found <> 'unknown', e.settled_seq) > (r.found <> 'unknown', r.settled_seq))
    OR e.made IS NOT NULL AND e.made <> ALL(coalesce(r.token, '{}'))
    OR string_to_array(e.words, ' ') <@ tsvector_to_array(coalesce(r.words, '')) IS FALSE)";

/// Where [`SET_WORDS`] stands, or nothing.
const IN_WORDS: &str = "/* words */";

const SET_WORDS: &str = ",
    words = CASE WHEN e.words IS NULL THEN r.words
      ELSE coalesce(r.words, '') || array_to_tsvector(string_to_array(e.words, ' ')) END";

const NAMES: &str =
    "INSERT INTO dtgate.name(kind, value) SELECT kind, value FROM unnest($1::text[], $2::text[])
  AS new(kind, value) ON CONFLICT DO NOTHING";

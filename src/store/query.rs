//! Decisions found, the newest first: what a filter means, in SQL. Nothing that somebody wrote stands in the SQL itself.
//!
//! Which way a question goes is the server's to say, and it can be wrong: two things that are common each and never come
//! together have it look at every record, back in time. What takes longer than that should is asked again, and then goes
//! by what is named.

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::StoreError;
use super::ask::{Asked, Found, found};
use super::column::column;
use super::moment::Moment;
use super::names::{Clients, Meant};
use super::schema::{self, signed, unsigned};
use crate::audit::facts::{GRANTED, asked, claims_asked, mark};
use crate::audit::index::{Filter, Otherwise, Which, ids};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub filter: &'a Filter,
    /// Of one gate only.
    pub gate: Option<&'a str>,
    /// Only those before it: the next page.
    pub before: Option<&'a Cursor>,
}

/// A decision, by its place among those of all gates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub at: Moment,
    pub gate: String,
    pub seq: u64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub decisions: Vec<Found>,
    /// There are older ones.
    pub more: bool,
}

/// What stands behind `WHERE`, and its values.
#[derive(Default)]
pub(super) struct Condition {
    /// It names something by which records are found.
    has_names: bool,
    parts: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync>>,
}

impl Condition {
    /// `?` stands for the value.
    pub(super) fn add(&mut self, part: &str, value: impl ToSql + Sync + 'static) {
        self.values.push(Box::new(value));
        let number = format!("${}", self.values.len());
        self.parts.push(part.replace('?', &number));
    }

    pub(super) fn say(&mut self, part: &str) {
        self.parts.push(part.to_owned());
    }

    pub(super) fn text(&self) -> String {
        self.parts.join(" AND ")
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value).collect()
    }
}

impl Asked {
    /// The newest decisions that a filter lets through.
    pub fn find(&self, question: Question<'_>, limit: usize) -> Result<Page, StoreError> {
        let Some(condition) = self.condition(question)? else {
            return Ok(Page::default());
        };
        let most = limit.saturating_add(1).min(MOST);
        let sql = format!(
            "SELECT {COLUMNS} FROM dtgate.record AS d WHERE {} {ORDER} LIMIT {most}",
            condition.text()
        );
        let values = condition.values();
        let rows = if condition.has_names {
            self.rows_either_way(&sql, &values)?
        } else {
            self.rows(&sql, &values)?
        };
        let decisions: Result<Vec<Found>, _> = rows.iter().map(found).collect();
        let mut decisions = decisions?;
        let more = decisions.len() > limit;
        decisions.truncate(limit);
        Ok(Page { decisions, more })
    }

    /// How many decisions a filter lets through.
    pub(super) fn count(&self, question: Question<'_>) -> Result<u64, StoreError> {
        let Some(condition) = self.condition(question)? else {
            return Ok(0);
        };
        let sql = format!(
            "SELECT count(*) FROM dtgate.record AS d WHERE {}",
            condition.text()
        );
        let rows = self.rows(&sql, &condition.values())?;
        let count: Option<i64> = rows.first().map(|row| column(row, 0)).transpose()?;
        Ok(count.map_or(0, unsigned))
    }

    fn rows_either_way(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.say("SAVEPOINT way; SET LOCAL statement_timeout = '500ms'")?;
        let rows = self.rows(sql, values);
        self.say("ROLLBACK TO SAVEPOINT way")?;
        let is_slow = matches!(&rows, Err(StoreError::Postgres(error))
            if error.code() == Some(&SqlState::QUERY_CANCELED));
        if !is_slow {
            return rows;
        }
        self.say("SET LOCAL enable_indexscan = off; SET LOCAL enable_seqscan = off")?;
        let rows = self.rows(sql, values);
        self.say("ROLLBACK TO SAVEPOINT way")?;
        rows
    }

    /// What a question means; `None`: nothing can be found.
    pub(super) fn condition(
        &self,
        question: Question<'_>,
    ) -> Result<Option<Condition>, StoreError> {
        let filter = question.filter;
        if filter.allowed == Some(false) && filter.outcome.is_some() {
            // What was denied has no end.
            return Ok(None);
        }
        let mut condition = Condition::default();
        condition.say("d.kind = 'decision'");
        if let Some(text) = &filter.text {
            let words = asked(text);
            if words.is_empty() {
                // It holds no word that could be looked for.
                return Ok(None);
            }
            condition.has_names = true;
            condition.add("d.words @@ ?::text::tsquery", words_asked(&words));
        }
        let claims = claims_asked(filter);
        if !claims.is_empty() {
            condition.has_names = true;
            condition.add("d.words @@ ?::text::tsquery", any_word_asked(&claims));
        }
        let granted = filter.granted.then(|| GRANTED.to_owned());
        let hidden = filter.hidden.iter().copied().map(mark);
        for mark in granted.into_iter().chain(hidden) {
            condition.has_names = true;
            let mark = (mark, false);
            condition.add("d.words @@ ?::text::tsquery", words_asked(&[mark]));
        }
        if !self.names_meant(filter, &mut condition)? {
            return Ok(None);
        }
        if let Some(id) = &filter.id {
            condition.add("d.decision_id = ANY(?)", ids(id));
        }
        if let Some(gate) = question.gate {
            condition.add("d.gate = ?", gate.to_owned());
        }
        if let Some(since) = filter.since {
            condition.add("d.at >= ?", Moment::of_millis(since));
        }
        if let Some(until) = filter.until {
            condition.add("d.at < ?", Moment::of_millis(until));
        }
        if filter.since.is_some() || filter.until.is_some() {
            // What has no time is of none.
            condition.say("d.at > '-infinity' AND d.at < 'infinity'");
        }
        if let Some(before) = filter.before {
            condition.add("d.seq < ?", signed(before));
        }
        if let Some(Cursor { at, gate, seq }) = question.before {
            condition.add("d.at <= ?", *at);
            condition.values.push(Box::new(gate.clone()));
            condition.values.push(Box::new(signed(*seq)));
            let last = condition.values.len();
            let [at, gate] = [last - 2, last - 1];
            condition.say(&format!(
                "(d.at, d.gate, d.seq) < (${at}, ${gate}, ${last})"
            ));
        }
        match filter.allowed {
            None => {}
            Some(true) => condition.say("d.verdict = 'allow'"),
            Some(false) => condition.say("d.verdict = 'deny'"),
        }
        match filter.no_op {
            None => {}
            // By the index of those few.
            Some(true) if !filter.added.is_empty() || !filter.removed.is_empty() => {
                condition.say(schema::CONTRADICTION);
            }
            Some(true) => condition.say("d.no_op"),
            Some(false) => condition.say("NOT d.no_op"),
        }
        if let Some(otherwise) = filter.challenger {
            condition.say(&challenged(otherwise));
        }
        if let Some(which) = filter.outcome {
            condition.say(ended(which));
        }
        Ok(Some(condition))
    }

    /// The parts that are names; `false`: something that is named is nowhere.
    fn names_meant(&self, filter: &Filter, condition: &mut Condition) -> Result<bool, StoreError> {
        for (column, kind, patterns) in [
            ("token", "token", &filter.token),
            ("caller", "caller", &filter.caller),
            ("certificate", "certificate", &filter.certificate),
            ("claim", "claim", &filter.claim),
            ("code", "code", &filter.code),
            ("policy", "policy", &filter.policy),
            ("added", "scope", &filter.added),
            ("removed", "scope", &filter.removed),
            ("scope", "scope", &filter.scope),
            ("team", "team", &filter.team),
            ("operation", "operation", &filter.operation),
            ("environment", "environment", &filter.environment),
        ] {
            if patterns.is_empty() || column == "claim" && filter.asks_for_claims() {
                continue;
            }
            condition.has_names = true;
            let is_list = !matches!(column, "caller" | "operation" | "environment");
            match self.meant(kind, &filter.expanded(patterns))? {
                Meant::These(names) if names.is_empty() => return Ok(false),
                Meant::These(names) if is_list => {
                    condition.add(&format!("d.{column} && ?::text[]"), names);
                }
                Meant::These(names) => condition.add(&format!("d.{column} = ANY(?)"), names),
                Meant::Many { exactly, begins } => {
                    let of = if is_list {
                        format!("unnest(d.{column})")
                    } else {
                        format!("(SELECT d.{column})")
                    };
                    condition.values.push(Box::new(exactly));
                    let number = condition.values.len();
                    let part = format!(
                        "EXISTS (SELECT FROM {of} AS of(name) WHERE of.name = ANY(${number})
                         OR EXISTS (SELECT FROM unnest(?::text[]) AS it WHERE starts_with(of.name, it)))"
                    );
                    condition.add(&part, begins);
                }
            }
        }
        if filter.client.is_empty() && filter.client_named.is_empty() {
            return Ok(true);
        }
        let clients = self.clients(filter)?;
        let is_there = !clients.is_empty();
        condition.has_names = true;
        match clients {
            Clients::These(names) => condition.add("d.client = ANY(?)", names),
            Clients::Many { first, last } => {
                condition.values.push(Box::new(first));
                let number = condition.values.len();
                let part = format!(
                    "EXISTS (SELECT FROM unnest(${number}::text[], ?::text[]) AS of(first, last)
                     WHERE d.client ~>=~ of.first AND d.client ~<=~ of.last)"
                );
                condition.add(&part, last);
            }
        }
        Ok(is_there)
    }
}

/// As `words` is asked. A word holds no quote and no backslash: it ends before one.
fn words_asked(words: &[(String, bool)]) -> String {
    quoted(words).join(" & ")
}

/// The same, of which one has to be there.
pub(super) fn any_word_asked(words: &[(String, bool)]) -> String {
    quoted(words).join(" | ")
}

fn quoted(words: &[(String, bool)]) -> Vec<String> {
    let words = words.iter().map(|(word, is_open)| {
        let star = if *is_open { ":*" } else { "" };
        format!("'{word}'{star}")
    });
    words.collect()
}

/// By how requests ended. Only allowed ones have an end.
fn ended(which: Which) -> &'static str {
    match which {
        Which::Answered => "d.verdict = 'allow' AND (d.outcome = 'answered' OR d.outcome = 'unclear')",
        Which::Failed => "d.verdict = 'allow' AND d.outcome = 'failed'",
        Which::Unknown => "d.verdict = 'allow' AND d.outcome = 'unknown'",
        Which::None => "d.verdict = 'allow' AND d.outcome IS NULL",
        Which::Settled => {
            "d.verdict = 'allow' AND (d.outcome IS NULL OR d.outcome = 'unknown' OR d.outcome = 'unclear')
             AND coalesce(d.found, 'unknown') <> 'unknown'"
        }
        Which::Doubt => {
            "d.verdict = 'allow' AND (d.outcome IS NULL OR d.outcome = 'unknown' OR d.outcome = 'unclear')
             AND coalesce(d.found, 'unknown') = 'unknown'"
        }
    }
}

/// By what a challenger would have done otherwise, as its own row says it.
fn challenged(otherwise: Otherwise) -> String {
    let found = match otherwise {
        Otherwise::Allow => "c.found = 'would_allow'",
        Otherwise::Any => "true",
        Otherwise::Deny => "c.found = 'would_deny'",
        Otherwise::Failed => "c.found = 'failed'",
        Otherwise::TimedOut => "c.found = 'timed_out'",
    };
    format!(
        "EXISTS (SELECT FROM dtgate.record AS c WHERE c.kind = 'challenger' AND c.gate = d.gate
         AND c.decision_seq = d.seq AND {found})"
    )
}

const COLUMNS: &str = "d.gate, d.seq, d.at, coalesce(d.no_op, false), d.outcome_seq, d.settled_seq";
const ORDER: &str = "ORDER BY d.at DESC, d.gate DESC, d.seq DESC";
/// Of results.
const MOST: usize = 100_000_000;

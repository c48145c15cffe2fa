//! Decisions found, the newest first.
//!
//! Which way a query goes is decided by counting: of every part of the filter that has an index, so many entries are
//! counted as could be sorted in no time. The rarest part leads, the others are looked at on the way. Where each part has
//! more, the way is back in time, until there are enough.

use std::collections::HashSet;
use std::net::IpAddr;

use rusqlite::{OptionalExtension, Row as Found, ToSql, params_from_iter};

use super::claims::claims_asked;
use super::fill::{signed, uuid_beginning};
use super::filter::{Filter, Pattern, is_same_id};
use super::part::{Part, about, challenged, ended, narrow, texts_of};
use super::tables::{ALLOW, DENY, Kind};
use super::{Error, Index, words};
use crate::value::Network;

/// A decision, as far as the index knows it; the rest is in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    pub seq: u64,
    /// When it was written, in milliseconds since 1970, as far as the record has a time.
    pub ms: Option<i64>,
    pub no_op: bool,
    /// The number of its outcome.
    pub outcome: Option<u64>,
    /// The number of the record that settled it.
    pub settled: Option<u64>,
    /// The number of the record of a challenger that would have decided otherwise; of the store it is not known.
    pub challenger: Option<u64>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub decisions: Vec<Decided>,
    /// There are older ones.
    pub more: bool,
}

/// Where a query goes along, and what it looks at.
pub(super) struct Chosen {
    pub(super) sql: String,
    pub(super) values: Vec<Box<dyn ToSql>>,
    order: &'static str,
}

/// How a query goes.
enum Way {
    /// By the index of this part.
    By(usize),
    /// By the words.
    Words,
    /// Back in time.
    Back,
}

impl Index {
    /// The newest decisions that a filter lets through.
    pub fn find(&self, filter: &Filter, limit: usize) -> Result<Page, Error> {
        let Some(chosen) = self.chosen(filter)? else {
            return Ok(Page::default());
        };
        let order = chosen.order;
        let sql = format!(
            "SELECT d.seq, d.ms, d.noop, d.outcome_seq, d.settled, d.challenger_seq FROM {} ORDER BY {order} DESC LIMIT {}",
            chosen.sql,
            limit.saturating_add(1).min(MOST)
        );
        let mut statement = self.db.prepare(&sql)?;
        let values = chosen.values.iter().map(|value| &**value);
        let found = statement.query_map(params_from_iter(values), decided)?;
        let mut decisions = found.collect::<rusqlite::Result<Vec<_>>>()?;
        let more = decisions.len() > limit;
        decisions.truncate(limit);
        Ok(Page { decisions, more })
    }

    /// What stands behind `FROM` for a filter; `None`: nothing can be found.
    pub(super) fn chosen(&self, filter: &Filter) -> Result<Option<Chosen>, Error> {
        let asked = match &filter.text {
            None => None,
            Some(text) => match words::asked(text) {
                Some(asked) => Some(asked),
                // It holds no word that could be looked for.
                None => return Ok(None),
            },
        };
        let granted = filter.granted.then(|| format!("\"{}\"", words::GRANTED));
        let hidden = filter.hidden.iter();
        let hidden = hidden.map(|it| format!("\"{}\"", words::mark(*it)));
        let claims = any_of(&claims_asked(filter));
        let asked = [asked, granted, claims]
            .into_iter()
            .flatten()
            .chain(hidden)
            .reduce(|one, other| format!("{one} AND {other}"));
        let Some(parts) = self.parts(filter)? else {
            return Ok(None);
        };
        let (range, times) = self.range(filter)?;
        let way = self.way(&parts, asked.is_some(), &range)?;
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let (mut conditions, mut order) = (vec![range.replace("seq", "d.seq")], "d.seq");
        let from = match &way {
            Way::Words => {
                order = "words.rowid";
                conditions.push(range.replace("seq", "words.rowid"));
                "words CROSS JOIN decision d ON d.seq = words.rowid".to_owned()
            }
            Way::By(at) => match parts.get(*at).and_then(|part| part.index) {
                Some(index) => format!("decision d INDEXED BY {index}"),
                None => "decision d".to_owned(),
            },
            Way::Back => "decision d NOT INDEXED".to_owned(),
        };
        for (number, part) in parts.into_iter().enumerate() {
            let leads = matches!(way, Way::By(at) if at == number);
            // A sign before it keeps the column from choosing another way.
            let sign = if leads { "" } else { "+" };
            conditions.push(format!("{sign}d.{}", part.condition()));
            if leads {
                conditions.extend(part.index.and_then(narrow).map(str::to_owned));
            }
            values.extend(part.values);
        }
        if let Some(asked) = asked {
            conditions.push(match way {
                Way::Words => "words MATCH ?".to_owned(),
                _ => "EXISTS (SELECT 1 FROM words WHERE words MATCH ? AND words.rowid = d.seq)"
                    .to_owned(),
            });
            values.push(Box::new(asked));
        }
        conditions.extend(times);
        let sql = format!("{from} WHERE {}", conditions.join(" AND "));
        Ok(Some(Chosen { sql, values, order }))
    }

    /// The decisions of this id; `None`: there are none. The index keeps how ids begin, and those of one millisecond may
    /// begin alike: each is read, before anything is counted or cut off.
    fn called(&self, id: &str) -> Result<Option<Part>, Error> {
        let likely = match uuid_beginning(id) {
            Some(beginning) => Part::literal("id", Some("by_id"), beginning),
            None => about(texts_of(Kind::Decision, &[Pattern::Exactly(id.to_owned())])),
        };
        let sql = format!("SELECT seq FROM decision WHERE {}", likely.condition());
        let mut statement = self.db.prepare(&sql)?;
        let values = likely.values.iter().map(|value| &**value);
        let found = statement.query_map(params_from_iter(values), |row| row.get(0))?;
        let mut exact = Vec::new();
        for seq in found {
            let seq: u64 = seq?;
            let line = self.line(seq)?;
            let row = line.as_deref().and_then(super::row::Row::read);
            if row.is_some_and(|row| is_same_id(&row.decision_id.0, id)) {
                exact.push(seq.to_string());
            }
        }
        let part = Part {
            column: "seq",
            index: None,
            one_of: exact.join(", "),
            values: Vec::new(),
            is_one: false,
        };
        Ok((!exact.is_empty()).then_some(part))
    }

    /// A decision by its number.
    pub fn decision(&self, seq: u64) -> Result<Option<Decided>, Error> {
        let sql = "SELECT seq, ms, noop, outcome_seq, settled, challenger_seq FROM decision WHERE seq = ?";
        let found = self.db.query_row(sql, [signed(seq)], decided);
        Ok(found.optional()?)
    }

    /// The numbers of the records before and after one, as far as there are any.
    pub fn neighbours(&self, seq: u64) -> Result<(Option<u64>, Option<u64>), Error> {
        Ok(self.db.query_row(
            "SELECT (SELECT max(seq) FROM record WHERE seq < ?1), (SELECT min(seq) FROM record WHERE seq > ?1)",
            [signed(seq)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?)
    }

    /// The numbers of the decisions before and after a record, as far as there are any.
    pub fn decisions_beside(&self, seq: u64) -> Result<(Option<u64>, Option<u64>), Error> {
        Ok(self.db.query_row(
            "SELECT (SELECT max(seq) FROM decision WHERE seq < ?1), (SELECT min(seq) FROM decision WHERE seq > ?1)",
            [signed(seq)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?)
    }

    /// The parts of a filter; `None`: something that it names is nowhere.
    pub(super) fn parts(&self, filter: &Filter) -> Result<Option<Vec<Part>>, Error> {
        let texts = [
            ("token", "", Kind::Token, &filter.token),
            ("caller", "by_caller", Kind::Caller, &filter.caller),
            (
                "certificate",
                "by_certificate",
                Kind::Certificate,
                &filter.certificate,
            ),
            ("claim", "by_claim", Kind::Claim, &filter.claim),
            ("objections", "by_objections", Kind::Code, &filter.code),
            ("objections", "by_objections", Kind::Policy, &filter.policy),
            ("added", "by_added", Kind::Scope, &filter.added),
            ("removed", "by_removed", Kind::Scope, &filter.removed),
            ("asked", "by_asked", Kind::Scope, &filter.scope),
            ("teams", "by_teams", Kind::Team, &filter.team),
            (
                "operation",
                "by_operation",
                Kind::Operation,
                &filter.operation,
            ),
            (
                "environment",
                "by_environment",
                Kind::Environment,
                &filter.environment,
            ),
        ];
        let mut parts = Vec::new();
        if let Some(id) = &filter.id {
            let Some(part) = self.called(id)? else {
                return Ok(None);
            };
            parts.push(part);
        }
        for (column, index, kind, patterns) in texts {
            if patterns.is_empty() || column == "claim" && filter.asks_for_claims() {
                continue;
            }
            let part = texts_of(kind, &filter.expanded(patterns));
            let part = match column {
                "token" => about(part),
                "caller" | "operation" | "environment" => part.of(column, index),
                _ => Part {
                    one_of: format!("SELECT list FROM member WHERE text IN ({})", part.one_of),
                    ..part.of(column, index)
                },
            };
            let Some(part) = self.narrowed(part)? else {
                return Ok(None);
            };
            parts.push(part);
        }
        if !filter.client.is_empty() || !filter.client_named.is_empty() {
            let Some(part) = self.narrowed(self.clients(filter)?)? else {
                return Ok(None);
            };
            parts.push(part);
        }
        parts.extend(filter.outcome.map(ended));
        parts.extend(filter.challenger.map(challenged));
        match filter.allowed {
            None => {}
            Some(true) => parts.push(Part::literal("verdict", None, ALLOW)),
            Some(false) => parts.push(Part::literal("verdict", Some("by_denial"), DENY)),
        }
        match filter.no_op {
            None => {}
            Some(true) => parts.push(Part::literal("noop", None, 1)),
            Some(false) => parts.push(Part::literal("noop", Some("by_effect"), 0)),
        }
        Ok(Some(parts))
    }

    /// Addresses are few beside decisions: each is looked at.
    pub(super) fn clients(&self, filter: &Filter) -> Result<Part, Error> {
        let networks = &filter.client;
        let addresses = networks.iter().filter_map(Network::address);
        let known_as = addresses.filter_map(|it| filter.known_as.get(&it.to_string()));
        let named = known_as.flatten().chain(&filter.client_named);
        let named: HashSet<&String> = named.collect();
        self.db.execute_batch(
            "CREATE TEMP TABLE IF NOT EXISTS clients(id INTEGER PRIMARY KEY); DELETE FROM clients;",
        )?;
        let mut all = self
            .db
            .prepare("SELECT id, value FROM text WHERE kind = ?")?;
        let mut rows = all.query([Kind::Client as i64])?;
        let mut add = self.db.prepare("INSERT INTO temp.clients(id) VALUES (?)")?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(1)?;
            let address: Option<IpAddr> = text.parse().ok();
            if named.contains(&text)
                || address.is_some_and(|it| networks.iter().any(|network| network.contains(it)))
            {
                add.execute([row.get::<_, i64>(0)?])?;
            }
        }
        Ok(Part {
            column: "client",
            index: Some("by_client"),
            one_of: "SELECT id FROM temp.clients".to_owned(),
            values: Vec::new(),
            is_one: false,
        })
    }

    /// Looks how many values a part has: one can lead in the order of numbers, and none means that nothing is found.
    fn narrowed(&self, part: Part) -> Result<Option<Part>, Error> {
        if part.column == "seq" {
            return Ok(Some(part));
        }
        let mut statement = self.db.prepare(&format!("{} LIMIT 2", part.one_of))?;
        let values = part.values.iter().map(|value| &**value);
        let found = statement.query_map(params_from_iter(values), |row| row.get::<_, i64>(0))?;
        let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(match found.as_slice() {
            [] => None,
            [one] => Some(Part::literal(part.column, part.index, *one)),
            _ => Some(part),
        })
    }

    /// Numbers between which records of the time stand, and what is left to compare.
    fn range(&self, filter: &Filter) -> Result<(String, Vec<String>), Error> {
        let (mut range, mut times) = (vec!["seq > 0".to_owned()], Vec::new());
        if let Some(since) = filter.since {
            let first: Option<i64> = self.db.query_row(
                "SELECT min(first) FROM span WHERE latest >= ?",
                [since],
                |row| row.get(0),
            )?;
            range.push(format!("seq >= {}", first.unwrap_or(i64::MAX)));
            times.push(format!("d.ms >= {since}"));
        }
        if let Some(until) = filter.until {
            let last: Option<i64> = self.db.query_row(
                "SELECT max(first) FROM span WHERE earliest < ?",
                [until],
                |row| row.get(0),
            )?;
            let next: Option<i64> = self.db.query_row(
                "SELECT min(first) FROM span WHERE first > ?",
                [last.unwrap_or(0)],
                |row| row.get(0),
            )?;
            range.push(match (last, next) {
                (None, _) => "seq < 0".to_owned(),
                (_, Some(next)) => format!("seq < {next}"),
                (_, None) => "seq > 0".to_owned(),
            });
            times.push(format!("d.ms < {until}"));
        }
        if let Some(before) = filter.before {
            range.push(format!("seq < {}", signed(before)));
        }
        Ok((range.join(" AND "), times))
    }

    /// The way on which the fewest decisions are looked at.
    fn way(&self, parts: &[Part], has_words: bool, range: &str) -> Result<Way, Error> {
        let mut best: Option<(i64, usize)> = None;
        for (at, part) in parts.iter().enumerate() {
            let from = match (part.column, part.index) {
                ("seq", _) => "decision d".to_owned(),
                (_, Some(index)) => format!("decision d INDEXED BY {index}"),
                (_, None) => continue,
            };
            let narrow = part.index.and_then(narrow).unwrap_or("1");
            let sql = format!(
                "SELECT count(*) FROM (SELECT 1 FROM {from} WHERE d.{} AND {narrow} AND {} LIMIT {ENOUGH})",
                part.condition(),
                range.replace("seq", "d.seq")
            );
            let values = part.values.iter().map(|value| &**value);
            let count: i64 = self
                .db
                .query_row(&sql, params_from_iter(values), |row| row.get(0))?;
            if best.is_none_or(|(fewest, _)| count < fewest) {
                best = Some((count, at));
            }
        }
        if has_words {
            // Words come in the order of numbers, however many there are.
            return Ok(match best {
                Some((count, at)) if count < FEW => Way::By(at),
                _ => Way::Words,
            });
        }
        Ok(match best {
            Some((count, at)) if count < ENOUGH || parts.get(at).is_some_and(|it| it.is_one) => {
                Way::By(at)
            }
            _ => Way::Back,
        })
    }
}

/// As `words` is asked for any of these.
pub(super) fn any_of(words: &[(String, bool)]) -> Option<String> {
    let words = words.iter();
    let words =
        words.map(|(word, is_open)| format!("\"{word}\"{}", if *is_open { "*" } else { "" }));
    let any = words.reduce(|one, other| format!("{one} OR {other}"))?;
    Some(format!("({any})"))
}

fn decided(row: &Found<'_>) -> rusqlite::Result<Decided> {
    Ok(Decided {
        seq: row.get(0)?,
        ms: row.get(1)?,
        no_op: row.get(2)?,
        outcome: row.get(3)?,
        settled: row.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs),
        challenger: row.get(5)?,
    })
}

/// So many are found and sorted in no time.
const ENOUGH: i64 = 20_000;
/// So few that looking for words in each takes no time.
const FEW: i64 = 2_000;
/// Of results.
const MOST: usize = 100_000_000;

//! How many decisions there were, by what and when.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{OptionalExtension, params_from_iter};

use super::filter::Filter;
use super::tables::{DENY, Kind};
use super::{Error, Index};

/// By what decisions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Allowed or denied
    Verdict,
    /// Policies that objected
    Policy,
    /// Codes of objections
    Code,
    /// Public id of the caller's credential
    Caller,
    /// Teams of the caller
    Team,
    /// Environment
    Environment,
    /// Operation
    Operation,
    /// Address of the client
    Client,
    /// How allowed requests ended
    Outcome,
}

/// So many of one kind in a quarter of an hour.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// When it begins, in milliseconds since 1970.
    pub from: i64,
    /// Empty: of none.
    pub name: String,
    pub allowed: u64,
    pub denied: u64,
}

impl Index {
    /// Counts the decisions that a filter lets through. One that several names stand for counts for each.
    pub fn sums(&self, filter: &Filter, by: By) -> Result<Vec<Sum>, Error> {
        let Some(chosen) = self.chosen(filter)? else {
            return Ok(Vec::new());
        };
        let column = match by {
            By::Verdict => "verdict",
            By::Policy | By::Code => "objections",
            By::Caller => "caller",
            By::Team => "teams",
            By::Environment => "environment",
            By::Operation => "operation",
            By::Client => "client",
            By::Outcome => "outcome",
        };
        let sql = format!(
            "SELECT d.ms / {QUARTER}, d.{column}, d.verdict, count(*) FROM {} GROUP BY 1, 2, 3",
            chosen.sql
        );
        let mut statement = self.db.prepare(&sql)?;
        let mut names: HashMap<i64, Vec<String>> = HashMap::new();
        let mut sums: HashMap<(i64, String), (u64, u64)> = HashMap::new();
        let values = chosen.values.iter().map(|value| &**value);
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let quarter = row.get::<_, Option<i64>>(0)?.unwrap_or_default();
            let (id, verdict): (Option<i64>, i64) = (row.get(1)?, row.get(2)?);
            let count: u64 = row.get(3)?;
            let found = match id {
                None => vec![String::new()],
                Some(id) => match names.entry(id) {
                    Entry::Occupied(known) => known.get().clone(),
                    Entry::Vacant(new) => new.insert(self.named(by, id)?).clone(),
                },
            };
            for name in found {
                let sum = sums.entry((quarter, name)).or_default();
                if verdict == DENY {
                    sum.1 += count;
                } else {
                    sum.0 += count;
                }
            }
        }
        let mut sums: Vec<Sum> = sums
            .into_iter()
            .map(|((quarter, name), (allowed, denied))| Sum {
                from: quarter.saturating_mul(QUARTER),
                name,
                allowed,
                denied,
            })
            .collect();
        sums.sort_by(|one, other| (one.from, &one.name).cmp(&(other.from, &other.name)));
        Ok(sums)
    }

    /// What a number in a column stands for.
    fn named(&self, by: By, id: i64) -> Result<Vec<String>, Error> {
        let kind = match by {
            By::Verdict => {
                let name = if id == DENY { "deny" } else { "allow" };
                return Ok(vec![name.to_owned()]);
            }
            By::Outcome => {
                let name = match id {
                    super::tables::ANSWERED => "answered",
                    super::tables::FAILED => "failed",
                    _ => "unknown",
                };
                return Ok(vec![name.to_owned()]);
            }
            By::Policy => Kind::Policy,
            By::Code => Kind::Code,
            By::Team => Kind::Team,
            By::Caller | By::Environment | By::Operation | By::Client => {
                let sql = "SELECT value FROM text WHERE id = ?";
                let name = self
                    .db
                    .prepare_cached(sql)?
                    .query_row([id], |row| row.get(0));
                return Ok(vec![name.optional()?.unwrap_or_default()]);
            }
        };
        let sql = "SELECT value FROM member JOIN text ON text.id = member.text WHERE member.list = ? AND text.kind = ?";
        let mut statement = self.db.prepare_cached(sql)?;
        let found = statement.query_map([id, kind as i64], |row| row.get(0))?;
        let mut found = found.collect::<rusqlite::Result<Vec<String>>>()?;
        if found.is_empty() {
            found.push(String::new());
        }
        Ok(found)
    }
}

/// Every zone's days and hours begin with one.
const QUARTER: i64 = 15 * 60 * 1000;

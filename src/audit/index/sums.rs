//! How many decisions there were, by what and when.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{OptionalExtension, params_from_iter};

use super::filter::Filter;
use super::query::Chosen;
use super::tables::{ANSWERED, COULD_NOT, DENY, FAILED, Kind, TIMED_OUT, WOULD_ALLOW, WOULD_DENY};
use super::texts::BETWEEN;
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
    /// Who callers proved to be: by a JSON Web Token, a certificate, or their credential
    Caller,
    /// Public id of the credential that went to Dynatrace
    Credential,
    /// Subject of the caller's JSON Web Token
    Subject,
    /// SPIFFE id, subject or fingerprint of the caller's certificate
    Certificate,
    /// Teams of the caller
    Team,
    /// Ids and names of the token that a request is about, or that it made: each of them counts
    Token,
    /// Scopes that were asked for
    Scope,
    /// Environment
    Environment,
    /// Operation
    Operation,
    /// Address of the client
    Client,
    /// How requests ended
    Outcome,
    /// What a challenger would have done otherwise
    Challenger,
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
    /// Counts the decisions that a filter lets through, in each quarter of an hour. One that several names stand for counts
    /// for each.
    pub fn sums(&self, filter: &Filter, by: By) -> Result<Vec<Sum>, Error> {
        self.summed(filter, by, &format!("d.ms / {QUARTER}"))
    }

    /// The same over all of the time, which is less to count.
    pub fn totals(&self, filter: &Filter, by: By) -> Result<Vec<Sum>, Error> {
        self.summed(filter, by, "0")
    }

    fn summed(&self, filter: &Filter, by: By, when: &str) -> Result<Vec<Sum>, Error> {
        let Some(chosen) = self.chosen(filter)? else {
            return Ok(Vec::new());
        };
        let column = match by {
            By::Token => return self.by_token(&chosen, when),
            By::Verdict => "d.verdict",
            By::Policy | By::Code => "d.objections",
            By::Caller => PROVEN,
            By::Credential => "d.caller",
            By::Subject => "d.claim",
            By::Certificate => "d.certificate",
            By::Team => "d.teams",
            By::Scope => "d.asked",
            By::Environment => "d.environment",
            By::Operation => "d.operation",
            By::Client => "d.client",
            By::Outcome => ENDED,
            By::Challenger => "d.challenger",
        };
        let sql = format!("SELECT {when}, {column}, d.verdict FROM {}", chosen.sql);
        let mut statement = self.db.prepare(&sql)?;
        // Counted here: `GROUP BY` would sort all of them.
        let mut groups: HashMap<(i64, Option<i64>), (u64, u64)> = HashMap::new();
        let values = chosen.values.iter().map(|value| &**value);
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let quarter = row.get::<_, Option<i64>>(0)?.unwrap_or_default();
            let group = groups.entry((quarter, row.get(1)?)).or_default();
            if row.get::<_, i64>(2)? == DENY {
                group.1 += 1;
            } else {
                group.0 += 1;
            }
        }
        let listed = self.listed(by)?;
        let is_listed = listed.is_some();
        let mut names = listed.unwrap_or_default();
        let mut sums: HashMap<(i64, String), (u64, u64)> = HashMap::new();
        for ((quarter, id), (allowed, denied)) in groups {
            let found = match id {
                None => vec![String::new()],
                Some(id) => match names.entry(id) {
                    Entry::Occupied(known) => known.get().clone(),
                    // Every list that has a name is known.
                    Entry::Vacant(new) if is_listed => new.insert(vec![String::new()]).clone(),
                    Entry::Vacant(new) => new.insert(self.named(by, id)?).clone(),
                },
            };
            for name in found {
                let sum = sums.entry((quarter, name)).or_default();
                sum.0 += allowed;
                sum.1 += denied;
            }
        }
        Ok(in_order(sums))
    }

    /// Which tokens a decision is about stands apart from it, by the token: all of a token are looked through once, and
    /// not those of each decision.
    fn by_token(&self, chosen: &Chosen, when: &str) -> Result<Vec<Sum>, Error> {
        let sql = format!("SELECT d.seq, {when}, d.verdict FROM {}", chosen.sql);
        let mut statement = self.db.prepare(&sql)?;
        let values = chosen.values.iter().map(|value| &**value);
        let decisions = statement.query_map(params_from_iter(values), |row| {
            let quarter = row.get::<_, Option<i64>>(1)?.unwrap_or_default();
            let is_denied = row.get::<_, i64>(2)? == DENY;
            Ok((row.get::<_, i64>(0)?, quarter, is_denied, false))
        })?;
        let mut decisions = decisions.collect::<rusqlite::Result<Vec<_>>>()?;
        decisions.sort_unstable();
        let (Some((first, ..)), Some((last, ..))) = (decisions.first(), decisions.last()) else {
            return Ok(Vec::new());
        };
        let (kind, first, last) = (Kind::Token as i64, *first, *last);
        let mut sums: HashMap<(i64, String), (u64, u64)> = HashMap::new();
        let mut count = |quarter, name: &str, is_denied| {
            let (allowed, denied) = sums.entry((quarter, name.to_owned())).or_default();
            *(if is_denied { denied } else { allowed }) += 1;
        };
        let mut statement = self.db.prepare(ABOUT)?;
        let mut rows = statement.query([kind, first, last])?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(1)?;
            let at = decisions.binary_search_by_key(&seq, |(seq, ..)| *seq);
            let found = at.ok().and_then(|at| decisions.get_mut(at));
            if let Some((_, quarter, is_denied, is_named)) = found {
                *is_named = true;
                count(*quarter, &row.get::<_, String>(0)?, *is_denied);
            }
        }
        for (_, quarter, is_denied, is_named) in &decisions {
            if !is_named {
                count(*quarter, "", *is_denied);
            }
        }
        Ok(in_order(sums))
    }

    /// What a number in a column stands for.
    fn named(&self, by: By, id: i64) -> Result<Vec<String>, Error> {
        match by {
            By::Verdict => {
                let name = if id == DENY { "deny" } else { "allow" };
                Ok(vec![name.to_owned()])
            }
            By::Outcome => {
                let name = match id {
                    -1 => "denied",
                    ANSWERED => "answered",
                    FAILED => "failed",
                    SETTLED => "settled",
                    _ => "in doubt",
                };
                Ok(vec![name.to_owned()])
            }
            By::Challenger => {
                let name = match id {
                    WOULD_DENY => "would_deny",
                    WOULD_ALLOW => "would_allow",
                    COULD_NOT => "failed",
                    TIMED_OUT => "timed_out",
                    _ => "violations",
                };
                Ok(vec![name.to_owned()])
            }
            By::Caller => match id.rem_euclid(3) {
                0 => self.named(By::Credential, id / 3),
                1 => self.named(By::Certificate, id / 3),
                _ => self.named(By::Subject, id / 3),
            },
            // In the order in which they were put together.
            By::Subject => self.member(id, Kind::Claim, &[1, 0]),
            By::Certificate => self.member(id, Kind::Certificate, &[1, 0, 2]),
            // Known by their lists.
            By::Policy | By::Code | By::Team | By::Scope | By::Token => Ok(Vec::new()),
            By::Credential | By::Environment | By::Operation | By::Client => {
                let sql = "SELECT value FROM text WHERE id = ?";
                let name = self
                    .db
                    .prepare_cached(sql)?
                    .query_row([id], |row| row.get(0));
                Ok(vec![name.optional()?.unwrap_or_default()])
            }
        }
    }

    /// The first of several texts that belong together; all of them, where the index has no more than their hash.
    fn member(&self, id: i64, kind: Kind, order: &[usize]) -> Result<Vec<String>, Error> {
        let sql = "SELECT value FROM list WHERE id = ?";
        let together = self
            .db
            .prepare_cached(sql)?
            .query_row([id], |row| row.get::<_, String>(0));
        let together = together.optional()?.unwrap_or_default();
        if !together.contains(BETWEEN) {
            return self.members(id, kind);
        }
        let texts: Vec<&str> = together.split(BETWEEN).collect();
        let mut texts = order.iter().filter_map(|at| texts.get(*at));
        let first = texts.find(|text| !text.is_empty());
        Ok(vec![first.copied().unwrap_or_default().to_owned()])
    }

    /// What lists stand for, all of them at once: each alone would be looked for in all that there is.
    fn listed(&self, by: By) -> Result<Option<HashMap<i64, Vec<String>>>, Error> {
        let mut names: HashMap<i64, Vec<String>> = HashMap::new();
        let kind = match by {
            By::Policy => Kind::Policy,
            By::Code => Kind::Code,
            By::Team => Kind::Team,
            By::Scope => Kind::Scope,
            _ => return Ok(None),
        };
        let sql = "SELECT member.list, text.value FROM text CROSS JOIN member ON member.text = text.id WHERE text.kind = ?";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([kind as i64])?;
        while let Some(row) = rows.next()? {
            names.entry(row.get(0)?).or_default().push(row.get(1)?);
        }
        Ok(Some(names))
    }

    fn members(&self, id: i64, kind: Kind) -> Result<Vec<String>, Error> {
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

fn in_order(sums: HashMap<(i64, String), (u64, u64)>) -> Vec<Sum> {
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
    sums
}

/// The decisions of a range that tokens are named in, by the token.
const ABOUT: &str = "SELECT t.value, a.seq FROM text t CROSS JOIN about a ON a.text = t.id
    WHERE t.kind = ? AND a.seq BETWEEN ? AND ?";
/// Who the caller proved to be: numbers of three tables, told apart by their remainder. The gate's own credential is
/// nobody's, and stands where nothing better is known.
const PROVEN: &str = "coalesce(d.claim * 3 + 2, d.certificate * 3 + 1, d.caller * 3)";
/// A denied request has no outcome, and what is in doubt has none that tells what became of it.
const ENDED: &str = "CASE WHEN d.verdict = 1 THEN -1 WHEN d.outcome < 3 THEN d.outcome
    WHEN d.settled > 0 THEN -2 ELSE 3 END";
const SETTLED: i64 = -2;
/// Every zone's days and hours begin with one.
const QUARTER: i64 = 15 * 60 * 1000;

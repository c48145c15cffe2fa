//! How many decisions there were, by what and when.

mod blocked;

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params_from_iter};

use super::filter::Filter;
use super::query::Chosen;
use super::tables::{ANSWERED, COULD_NOT, DENY, FAILED, Kind, TIMED_OUT, WOULD_ALLOW, WOULD_DENY};
use super::texts::BETWEEN;
use super::{Error, Index, QUARTER};

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

/// So many of one kind in a quarter of an hour, or in another part of the time that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// When it begins, in milliseconds since 1970.
    pub from: i64,
    /// Empty: of none.
    pub name: String,
    pub allowed: u64,
    pub denied: u64,
}

/// What was counted, in bounded room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    pub all: Vec<Sum>,
    /// How many decisions count for names that there was no room for, once for each name.
    pub left_out: u64,
}

/// What counting may take.
#[derive(Clone, Copy)]
struct Room {
    /// What is looked up at once: groups, or decisions.
    at_once: usize,
    /// Bytes of all names that are counted, about.
    names: usize,
}

/// The sums so far.
struct Counted {
    found: HashMap<(i64, String), (u64, u64)>,
    room: usize,
    left_out: u64,
}

/// What is counted for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// In parts of so many milliseconds.
    Parts(i64),
    Quarter,
    Ever,
}

impl When {
    fn sql(self) -> String {
        match self {
            Self::Parts(_) | Self::Quarter => format!("d.ms / {}", self.long()),
            Self::Ever => "0".to_owned(),
        }
    }

    /// In milliseconds.
    fn long(self) -> i64 {
        match self {
            Self::Parts(long) => long.max(1),
            Self::Quarter | Self::Ever => QUARTER,
        }
    }
}

/// Of one value and one quarter: allowed and denied.
type Groups = HashMap<(Option<i64>, i64), (u64, u64)>;
type Group = ((Option<i64>, i64), (u64, u64));

impl Counted {
    fn within(room: Room) -> Self {
        Self {
            found: HashMap::new(),
            room: room.names,
            left_out: 0,
        }
    }

    fn add(&mut self, quarter: i64, name: &str, (allowed, denied): (u64, u64)) {
        let key = (quarter, name.to_owned());
        if let Some(sum) = self.found.get_mut(&key) {
            sum.0 += allowed;
            sum.1 += denied;
            return;
        }
        let Some(room) = self.room.checked_sub(name.len() + ENTRY) else {
            self.left_out += allowed + denied;
            return;
        };
        self.room = room;
        self.found.insert(key, (allowed, denied));
    }

    fn in_order(self, when: When) -> Sums {
        let found = self.found.into_iter();
        let mut all: Vec<Sum> = found
            .map(|((number, name), (allowed, denied))| Sum {
                from: number.saturating_mul(when.long()),
                name,
                allowed,
                denied,
            })
            .collect();
        all.sort_by(|one, other| (one.from, &one.name).cmp(&(other.from, &other.name)));
        Sums {
            all,
            left_out: self.left_out,
        }
    }
}

impl Index {
    /// Counts the decisions that a filter lets through, in each quarter of an hour. One that several names stand for counts
    /// for each.
    pub fn sums(&self, filter: &Filter, by: By) -> Result<Sums, Error> {
        self.summed(filter, by, When::Quarter, ROOM)
    }

    /// The same in parts of so many milliseconds. Each decision is looked at: for an hour or so.
    pub fn by_parts(&self, filter: &Filter, by: By, long: i64) -> Result<Sums, Error> {
        self.summed(filter, by, When::Parts(long), ROOM)
    }

    /// The same over all of the time, which is less to count.
    pub fn totals(&self, filter: &Filter, by: By) -> Result<Sums, Error> {
        self.summed(filter, by, When::Ever, ROOM)
    }

    fn summed(&self, filter: &Filter, by: By, when: When, room: Room) -> Result<Sums, Error> {
        match self.wanted(filter, by, when)? {
            Some(wanted) => self.by_blocks(&wanted, by, when, room),
            None => self.by_rows(filter, by, when, room),
        }
    }

    fn by_rows(&self, filter: &Filter, by: By, when: When, room: Room) -> Result<Sums, Error> {
        let Some(chosen) = self.chosen(filter)? else {
            return Ok(Sums::default());
        };
        let mut counted = Counted::within(room);
        let column = match by {
            By::Token => {
                self.by_token(&chosen, when, room, &mut counted)?;
                return Ok(counted.in_order(when));
            }
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
        let sql = format!(
            "SELECT {}, {column}, d.verdict FROM {}",
            when.sql(),
            chosen.sql
        );
        let mut statement = self.db.prepare(&sql)?;
        // Counted here: `GROUP BY` would sort all of them.
        let mut groups = Groups::new();
        let values = chosen.values.iter().map(|value| &**value);
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let quarter = row.get::<_, Option<i64>>(0)?.unwrap_or_default();
            let group = groups.entry((row.get(1)?, quarter)).or_default();
            if row.get::<_, i64>(2)? == DENY {
                group.1 += 1;
            } else {
                group.0 += 1;
            }
            if groups.len() >= room.at_once {
                self.count(by, std::mem::take(&mut groups), &mut counted)?;
            }
        }
        self.count(by, groups, &mut counted)?;
        Ok(counted.in_order(when))
    }

    /// Adds groups to the sums, by their names.
    fn count(&self, by: By, groups: Groups, counted: &mut Counted) -> Result<(), Error> {
        // All of a value one after the other.
        let mut groups: Vec<Group> = groups.into_iter().collect();
        groups.sort_unstable();
        let kind = match by {
            By::Policy => Kind::Policy,
            By::Code => Kind::Code,
            By::Team => Kind::Team,
            By::Scope => Kind::Scope,
            _ => return self.count_each(by, &groups, counted),
        };
        // Each list alone would be looked for in all that there is.
        let mut is_named = vec![false; groups.len()];
        let mut statement = self.db.prepare_cached(LISTED)?;
        let mut rows = statement.query([kind as i64])?;
        while let Some(row) = rows.next()? {
            let list: Option<i64> = row.get(0)?;
            let first = groups.partition_point(|((id, _), _)| *id < list);
            let those = groups.iter().zip(&mut is_named).skip(first);
            let those = those.take_while(|(((id, _), _), _)| *id == list);
            for (((_, quarter), sum), is_named) in those {
                counted.add(*quarter, &row.get::<_, String>(1)?, *sum);
                *is_named = true;
            }
        }
        let all = groups.iter().zip(is_named);
        for (((_, quarter), sum), _) in all.filter(|(_, is_named)| !is_named) {
            counted.add(*quarter, "", *sum);
        }
        Ok(())
    }

    fn count_each(&self, by: By, groups: &[Group], counted: &mut Counted) -> Result<(), Error> {
        for those in groups.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
            let id = those.first().and_then(|((id, _), _)| *id);
            let names = match id {
                None => vec![String::new()],
                Some(id) => self.named(by, id)?,
            };
            for ((_, quarter), sum) in those {
                for name in &names {
                    counted.add(*quarter, name, *sum);
                }
            }
        }
        Ok(())
    }

    fn by_token(
        &self,
        chosen: &Chosen,
        when: When,
        room: Room,
        counted: &mut Counted,
    ) -> Result<(), Error> {
        let sql = format!(
            "SELECT d.seq, {}, d.verdict FROM {}",
            when.sql(),
            chosen.sql
        );
        let mut statement = self.db.prepare(&sql)?;
        let values = chosen.values.iter().map(|value| &**value);
        let mut rows = statement.query(params_from_iter(values))?;
        let mut decisions = Vec::new();
        while let Some(row) = rows.next()? {
            decisions.push(About {
                seq: row.get(0)?,
                quarter: row.get::<_, Option<i64>>(1)?.unwrap_or_default(),
                is_denied: row.get::<_, i64>(2)? == DENY,
                is_named: false,
            });
            if decisions.len() >= room.at_once {
                self.count_tokens(std::mem::take(&mut decisions), counted)?;
            }
        }
        self.count_tokens(decisions, counted)
    }

    /// Which tokens a decision is about stands apart from it, by the token: all of a token are looked through once, and
    /// not those of each decision.
    fn count_tokens(&self, mut decisions: Vec<About>, counted: &mut Counted) -> Result<(), Error> {
        decisions.sort_unstable_by_key(|it| it.seq);
        let (Some(first), Some(last)) = (decisions.first(), decisions.last()) else {
            return Ok(());
        };
        let values = [Kind::Token as i64, first.seq, last.seq];
        let mut statement = self.db.prepare_cached(ABOUT)?;
        let mut rows = statement.query(values)?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(1)?;
            let at = decisions.binary_search_by_key(&seq, |it| it.seq);
            if let Some(found) = at.ok().and_then(|at| decisions.get_mut(at)) {
                found.is_named = true;
                counted.add(found.quarter, &row.get::<_, String>(0)?, found.sum());
            }
        }
        for decision in decisions.iter().filter(|it| !it.is_named) {
            counted.add(decision.quarter, "", decision.sum());
        }
        Ok(())
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
            // Known by what stands apart.
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

/// A decision, of which it is not known yet which tokens it is about.
struct About {
    seq: i64,
    quarter: i64,
    is_denied: bool,
    is_named: bool,
}

impl About {
    fn sum(&self) -> (u64, u64) {
        let denied = u64::from(self.is_denied);
        (1 - denied, denied)
    }
}

/// The names of all lists.
const LISTED: &str =
    "SELECT member.list, text.value FROM text CROSS JOIN member ON member.text = text.id
    WHERE text.kind = ?";
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
/// A hundred megabytes or so: whoever has more names asks about less.
const ROOM: Room = Room {
    at_once: 1 << 20,
    names: 64 << 20,
};
/// Bytes of a sum beside its name, about.
const ENTRY: usize = 64;

#[cfg(test)]
mod tests;

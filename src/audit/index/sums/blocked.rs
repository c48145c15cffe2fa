//! Counted by blocks: what they know is what most questions ask for.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{params, params_from_iter};

use super::{By, Counted, Groups, Room, Sums, When};
use crate::audit::index::blocks::{self, Alike, Column, Cube, Times};
use crate::audit::index::filter::Filter;
use crate::audit::index::part::Part;
use crate::audit::index::tables::{DENY, Kind};
use crate::audit::index::{Error, Index};
use crate::audit::stop::Stop;

/// A filter that blocks can answer.
pub(super) struct Wanted {
    times: Times,
    cube: Cube,
    /// What each of these columns may be; `None`: something that it names is nowhere.
    parts: Option<Vec<(Column, HashSet<i64>)>>,
}

impl Index {
    /// The filter, where blocks can answer it.
    pub(super) fn wanted(
        &self,
        filter: &Filter,
        by: By,
        when: When,
    ) -> Result<Option<Wanted>, Error> {
        let Some(columns) = columns(by) else {
            return Ok(None);
        };
        let is_more = filter.text.is_some()
            || filter.id.is_some()
            || filter.before.is_some()
            || filter.granted
            || !filter.hidden.is_empty()
            || filter.asks_for_claims()
            || !filter.client.is_empty()
            || !filter.client_named.is_empty();
        if is_more {
            return Ok(None);
        }
        let times = Times {
            since: filter.since,
            until: filter.until,
        };
        let mut wanted = Wanted {
            times,
            cube: Cube::When,
            parts: Some(Vec::new()),
        };
        let Some(parts) = self.parts(filter)? else {
            wanted.parts = None;
            return Ok(Some(wanted));
        };
        let mut all = columns.to_vec();
        let mut conditions = Vec::new();
        for part in parts {
            let Some(column) = Column::named(part.column) else {
                return Ok(None);
            };
            all.push(column);
            conditions.push((column, part));
        }
        let has = |cube: Cube| all.iter().all(|column| cube.columns().contains(column));
        // What is summed by time has the fewer sums: callers may be as many as there are decisions.
        wanted.cube = match when {
            When::Quarter | When::Ever if has(Cube::When) => Cube::When,
            When::Ever if has(Cube::Who) => Cube::Who,
            When::Parts(_) | When::Quarter | When::Ever => return Ok(None),
        };
        let mut parts = Vec::new();
        for (column, part) in conditions {
            parts.push((column, self.values(&part)?));
        }
        wanted.parts = Some(parts);
        Ok(Some(wanted))
    }

    /// The values that a part of a filter means.
    fn values(&self, part: &Part) -> Result<HashSet<i64>, Error> {
        if part.is_one {
            return Ok(part.one_of.parse().into_iter().collect());
        }
        let mut statement = self.db.prepare(&part.one_of)?;
        let values = part.values.iter().map(|value| &**value);
        let found = statement.query_map(params_from_iter(values), |row| row.get(0))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// The same as by the rows, from the sums of many at once.
    pub(super) fn by_blocks(
        &self,
        wanted: &Wanted,
        by: By,
        when: When,
        room: Room,
    ) -> Result<Sums, Error> {
        let mut counted = Counted::within(room);
        let mut groups = Groups::new();
        self.each_alike(wanted, |alike, count| {
            let quarter = match when {
                When::Quarter => alike.quarter,
                When::Parts(_) | When::Ever => 0,
            };
            let sum = groups.entry((group(by, alike), quarter)).or_default();
            let sum = if alike.verdict == DENY {
                &mut sum.1
            } else {
                &mut sum.0
            };
            *sum = sum.saturating_add(count);
            if groups.len() >= room.at_once {
                self.count(by, std::mem::take(&mut groups), &mut counted)?;
            }
            Ok(())
        })?;
        self.count(by, groups, &mut counted)?;
        Ok(counted.in_order(when))
    }

    /// Tells what the decisions that are wanted are alike in, and how many there are: all of one moment.
    fn each_alike(
        &self,
        wanted: &Wanted,
        mut take: impl FnMut(&Alike, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(parts) = &wanted.parts else {
            return Ok(());
        };
        let stop = self.stop.as_ref();
        // Who fills the index may make a block of rows meanwhile, or forget some.
        let moment = self.db.unchecked_transaction()?;
        for piece in blocks::pieces(&moment, wanted.times, stop)? {
            if stop.is_some_and(Stop::is_over) {
                return Err(Error::Stopped);
            }
            blocks::each(&moment, wanted.times, piece, wanted.cube, |alike, count| {
                let is_wanted = parts
                    .iter()
                    .all(|(column, values)| values.contains(&alike.get(*column)));
                if is_wanted {
                    take(alike, count)
                } else {
                    Ok(())
                }
            })?;
        }
        moment.commit()?;
        Ok(())
    }

    /// The policies that objected when somebody was refused, and how often: for each of these names, which decisions are
    /// counted by. `None`: it has to be asked for each name, because the filter or the names are others than blocks know.
    pub fn objections(
        &self,
        filter: &Filter,
        by: By,
        names: &[&str],
    ) -> Result<Option<Vec<BTreeMap<String, u64>>>, Error> {
        let Some(wanted) = self.wanted_by_policy(filter, by)? else {
            return Ok(None);
        };
        let mut known: HashMap<i64, Vec<usize>> = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            for id in self.called_by(by, name)? {
                known.entry(id).or_default().push(at);
            }
        }
        let mut denied: HashMap<(usize, i64), u64> = HashMap::new();
        self.each_alike(&wanted, |alike, count| {
            let found = group(by, alike).and_then(|id| known.get(&id));
            if alike.verdict == DENY && alike.objections != 0 {
                for at in found.into_iter().flatten() {
                    let sum = denied.entry((*at, alike.objections)).or_default();
                    *sum = sum.saturating_add(count);
                }
            }
            Ok(())
        })?;
        let mut all = vec![BTreeMap::new(); names.len()];
        for ((at, objections), count) in denied {
            let policies = self.members(objections, Kind::Policy)?;
            for policy in policies.into_iter().filter(|policy| !policy.is_empty()) {
                if let Some(of) = all.get_mut(at) {
                    *of.entry(policy).or_default() += count;
                }
            }
        }
        Ok(Some(all))
    }

    fn wanted_by_policy(&self, filter: &Filter, by: By) -> Result<Option<Wanted>, Error> {
        let Some(mut wanted) = self.wanted(filter, by, When::Ever)? else {
            return Ok(None);
        };
        let is_known = matches!(
            by,
            By::Credential | By::Subject | By::Certificate | By::Team
        );
        wanted.cube = Cube::Who;
        Ok(is_known.then_some(wanted))
    }

    /// The numbers that stand for a name in the column that decisions are counted by.
    fn called_by(&self, by: By, name: &str) -> Result<Vec<i64>, Error> {
        let (kind, sql) = match by {
            By::Credential => (Kind::Caller, NAMED),
            By::Certificate => (Kind::Certificate, LISTING),
            By::Team => (Kind::Team, LISTING),
            _ => (Kind::Claim, LISTING),
        };
        let mut statement = self.db.prepare_cached(sql)?;
        let found = statement.query_map(params![kind as i64, name], |row| row.get(0))?;
        let mut found = found.collect::<rusqlite::Result<Vec<i64>>>()?;
        if matches!(by, By::Certificate | By::Subject) {
            // A list counts for one of its texts.
            let mut counting = Vec::new();
            for id in found {
                if self.named(by, id)?.iter().any(|it| it == name) {
                    counting.push(id);
                }
            }
            found = counting;
        }
        Ok(found)
    }
}

/// What decisions are grouped by, of those by which blocks are summed.
fn group(by: By, alike: &Alike) -> Option<i64> {
    let some = |number: i64| Some(number).filter(|it| *it != 0);
    match by {
        By::Verdict => Some(alike.verdict),
        By::Policy | By::Code => some(alike.objections),
        By::Caller => [(alike.claim, 2), (alike.certificate, 1), (alike.caller, 0)]
            .into_iter()
            .find(|(number, _)| *number != 0)
            .map(|(number, of)| number.saturating_mul(3).saturating_add(of)),
        By::Credential => some(alike.caller),
        By::Subject => some(alike.claim),
        By::Certificate => some(alike.certificate),
        By::Team => some(alike.teams),
        By::Environment => some(alike.environment),
        By::Operation => some(alike.operation),
        By::Token | By::Scope | By::Client | By::Outcome | By::Challenger => None,
    }
}

/// The columns from which that is known; `None`: blocks do not have it.
fn columns(by: By) -> Option<&'static [Column]> {
    Some(match by {
        By::Verdict => &[Column::Verdict],
        By::Policy | By::Code => &[Column::Objections],
        By::Caller => &[Column::Claim, Column::Certificate, Column::Caller],
        By::Credential => &[Column::Caller],
        By::Subject => &[Column::Claim],
        By::Certificate => &[Column::Certificate],
        By::Team => &[Column::Teams],
        By::Environment => &[Column::Environment],
        By::Operation => &[Column::Operation],
        By::Token | By::Scope | By::Client | By::Outcome | By::Challenger => return None,
    })
}

/// The number of a text.
const NAMED: &str = "SELECT id FROM text WHERE kind = ? AND value = ?";
/// The lists that hold a text.
const LISTING: &str = "SELECT member.list FROM text JOIN member ON member.text = text.id
    WHERE text.kind = ? AND text.value = ?";

//! Counted by blocks: what they know is what most questions ask for.

use std::collections::hash_map::Entry;
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

    /// The policies that objected when somebody was refused, and how often: for each of these names of callers, which
    /// decisions are counted by. The empty one stands for all of whom there is no name.
    pub fn objections(
        &self,
        filter: &Filter,
        by: By,
        names: &[&str],
    ) -> Result<Vec<BTreeMap<String, u64>>, Error> {
        let mut known: HashMap<i64, Vec<usize>> = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            for id in self.called_by(by, name)? {
                known.entry(id).or_default().push(at);
            }
        }
        let nameless = names.iter().position(|name| name.is_empty());
        let nameless: Vec<usize> = nameless.into_iter().collect();
        let mut have_no_name: HashMap<i64, bool> = HashMap::new();
        let mut denied: HashMap<(i64, usize), u64> = HashMap::new();
        let mut add = |id: Option<i64>, objections: i64, count: u64| -> Result<(), Error> {
            let of_id = id.and_then(|id| known.get(&id));
            let of = match (of_id, id) {
                (Some(of), _) => of,
                (None, None) => &nameless,
                (None, Some(_)) if nameless.is_empty() => return Ok(()),
                (None, Some(id)) => {
                    // One caller stands in many blocks.
                    if have_no_name.len() >= MOST_ASKED {
                        have_no_name.clear();
                    }
                    let has_no_name = match have_no_name.entry(id) {
                        Entry::Occupied(known) => *known.get(),
                        Entry::Vacant(new) => *new.insert(self.has_no_name(by, id)?),
                    };
                    if !has_no_name {
                        return Ok(());
                    }
                    &nameless
                }
            };
            for at in of {
                let sum = denied.entry((objections, *at)).or_default();
                *sum = sum.saturating_add(count);
            }
            Ok(())
        };
        match self.wanted_by_policy(filter, by)? {
            Some(wanted) => self.each_alike(&wanted, |alike, count| {
                let is_refused = alike.verdict == DENY && alike.objections != 0;
                if is_refused {
                    add(group(by, alike), alike.objections, count)?;
                }
                Ok(())
            })?,
            None => self.each_refused(filter, by, |id, objections| add(id, objections, 1))?,
        }
        self.by_policies(denied, names.len())
    }

    /// How often each policy objected, by the lists of objections: for each of so many names.
    fn by_policies(
        &self,
        denied: HashMap<(i64, usize), u64>,
        names: usize,
    ) -> Result<Vec<BTreeMap<String, u64>>, Error> {
        let mut all = vec![BTreeMap::new(); names];
        // All of one list of objections one after the other.
        let mut denied: Vec<((i64, usize), u64)> = denied.into_iter().collect();
        denied.sort_unstable();
        for of_list in denied.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
            let list = of_list.first().map_or(0, |((list, _), _)| *list);
            let mut policies = self.members(list, Kind::Policy)?;
            policies.retain(|policy| !policy.is_empty());
            for ((_, at), count) in of_list {
                for policy in &policies {
                    if let Some(of) = all.get_mut(*at) {
                        *of.entry(policy.clone()).or_default() += count;
                    }
                }
            }
        }
        Ok(all)
    }

    /// Tells of each that policies refused what its caller stands under, and the list of objections.
    fn each_refused(
        &self,
        filter: &Filter,
        by: By,
        mut take: impl FnMut(Option<i64>, i64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let column = match by {
            By::Credential => "d.caller",
            By::Subject => "d.claim",
            By::Certificate => "d.certificate",
            By::Team => "d.teams",
            _ => return Ok(()),
        };
        let Some(chosen) = self.chosen(filter)? else {
            return Ok(());
        };
        let sql = format!(
            "SELECT {column}, d.objections, d.verdict FROM {}",
            chosen.sql
        );
        let mut statement = self.db.prepare(&sql)?;
        let values = chosen.values.iter().map(|value| &**value);
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let objections: Option<i64> = row.get(1)?;
            if let Some(objections) = objections
                && row.get::<_, i64>(2)? == DENY
            {
                take(row.get(0)?, objections)?;
            }
        }
        Ok(())
    }

    /// Whether nothing that stands under this number is a name.
    fn has_no_name(&self, by: By, id: i64) -> Result<bool, Error> {
        let names = match by {
            By::Team => self.members(id, Kind::Team)?,
            _ => self.named(by, id)?,
        };
        Ok(names.iter().all(String::is_empty))
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

/// Callers of whom it is remembered whether they have a name.
const MOST_ASKED: usize = 1 << 16;
/// The number of a text.
const NAMED: &str = "SELECT id FROM text WHERE kind = ? AND value = ?";
/// The lists that hold a text.
const LISTING: &str = "SELECT member.list FROM text JOIN member ON member.text = text.id
    WHERE text.kind = ? AND text.value = ?";

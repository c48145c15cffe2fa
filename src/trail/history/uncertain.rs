//! Where a change of the token may be that none of its steps tells of: its record is missing, or hides which token it is
//! about. What such a change may have done, no later look at the token tells of another one.

use std::collections::{BTreeMap, BTreeSet};

use super::scopes::SETTLES;
use super::{MOST, Step};
use crate::audit::index::{Filter, Hidden, PUBLIC, Pattern, Veil, is_public};
use crate::audit::pseudonym::is_pseudonym;
use crate::store::{Found, Key, Moment};
use crate::trail::lacking::lacking;
use crate::trail::{Error, Source, known_as};

/// Where a record stands among those of several gates. Those of one journal have no moments: their numbers say it.
pub type Order = (Moment, Key);

/// A record by its place and its time, which a margin is counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub order: Order,
    /// Milliseconds since 1970.
    pub ms: Option<i64>,
}

/// Why a record may be of a change of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Masks have hidden which token it is about.
    Masked,
    /// They have hidden the other id of it.
    HalfMasked,
    /// A pseudonym by a key that is missing stands for an id of it.
    Named,
    /// It is about the token, and masks have hidden in which environment.
    Environment,
    /// It is about the token and in doubt, and masks have hidden for which scopes.
    Scopes,
    /// It is about a token with a public id or a pseudonym of one, and of this one a pseudonym is all that is known.
    OnlyPseudonym,
    /// The same, where masks have hidden the public id of this one.
    OnlyOther,
    /// It is not there, or cannot be read.
    Gone,
}

/// The first and the last of records that may be such changes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `None`: nobody knows where they begin.
    pub(super) first: Option<Order>,
    pub(super) last: Order,
    /// When the last was written at the latest, in milliseconds since 1970; `None`: nobody knows.
    pub(super) until: Option<i64>,
    pub(super) why: Why,
}

/// How far records go.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reach {
    last: Order,
    until: i64,
}

/// All that makes what is said of a token uncertain.
#[derive(Clone, Debug, Default)]
pub struct Uncertain {
    /// In the order of their first records: where each begins, and how far it and those before it go.
    places: Vec<(Option<Order>, Reach)>,
    by_why: BTreeMap<Why, Reach>,
    counts: BTreeMap<Why, usize>,
    /// Nobody knows where they stand.
    is_everywhere: bool,
    /// Why the public id of the token is not known: what is recorded under it is not among its steps.
    in_part: Option<Why>,
}

impl Place {
    /// Of one record.
    pub(super) fn of(found: &Found, why: Why) -> Self {
        let order = (found.at, found.key());
        Self {
            first: Some(order.clone()),
            last: order,
            until: found.decided.ms,
            why,
        }
    }

    fn reach(&self) -> Reach {
        Reach {
            last: self.last.clone(),
            until: self.until.unwrap_or(i64::MAX),
        }
    }
}

impl Reach {
    fn extend(&mut self, other: &Self) {
        self.last = other.last.clone().max(self.last.clone());
        self.until = self.until.max(other.until);
    }

    /// Whether some of it may come into force after this was known: it is later, or was under way then.
    fn goes_beyond(&self, known: &Mark) -> bool {
        let is_late = |ms| self.until.saturating_add(LATE) >= ms;
        self.last > known.order || known.ms.is_none_or(is_late)
    }
}

impl Uncertain {
    pub(super) fn of(mut places: Vec<Place>, is_everywhere: bool, in_part: Option<Why>) -> Self {
        places.sort_by(|one, other| one.first.cmp(&other.first));
        let mut all = Self {
            is_everywhere,
            in_part,
            ..Self::default()
        };
        let mut so_far: Option<Reach> = None;
        for place in places {
            let reach = place.reach();
            let of_why = all.by_why.entry(place.why);
            of_why.or_insert_with(|| reach.clone()).extend(&reach);
            *all.counts.entry(place.why).or_default() += 1;
            let so_far = so_far.get_or_insert_with(|| reach.clone());
            so_far.extend(&reach);
            all.places.push((place.first, so_far.clone()));
        }
        all
    }

    /// Whether something may have come into force after the one was known, and before the other was looked up.
    pub fn is_between(&self, known: &Mark, by: &Mark) -> bool {
        let begun = |first: &Option<Order>| first.as_ref() < Some(&by.order);
        let before = self.places.partition_point(|(first, _)| begun(first));
        let last = before.checked_sub(1).and_then(|at| self.places.get(at));
        let is_there = last.is_some_and(|(_, reach)| reach.goes_beyond(known));
        is_there || self.is_everywhere
    }

    /// Why something may have come into force after that was known; `None`: nothing has.
    pub fn after(&self, known: &Mark) -> Option<Why> {
        let mut beyond = self.by_why.iter();
        let found = beyond.find(|(_, reach)| reach.goes_beyond(known));
        let found = found.map(|(why, _)| *why);
        found.or_else(|| self.is_everywhere.then_some(Why::Gone))
    }

    pub(super) fn in_part(&self) -> Option<Why> {
        self.in_part
    }

    /// How many records hide something so.
    pub(super) fn count(&self, why: Why) -> usize {
        self.counts.get(&why).copied().unwrap_or_default()
    }
}

/// What is known of a token before it is asked what of it is hidden.
pub(super) struct Around<'a> {
    pub(super) source: &'a Source,
    pub(super) environment: &'a [Pattern],
    /// By which its records were looked for.
    pub(super) names: &'a BTreeSet<String>,
    pub(super) ids: &'a BTreeSet<String>,
    pub(super) steps: &'a [Step],
    /// Its records, those that cannot be read too.
    pub(super) seen: &'a BTreeSet<Key>,
}

impl Around<'_> {
    /// Beside these places all that may be of the token.
    pub(super) fn uncertain(
        &self,
        mut places: Vec<Place>,
        mut is_everywhere: bool,
    ) -> Result<Uncertain, Error> {
        places.extend(self.masked()?);
        places.extend(self.named()?);
        places.extend(self.elsewhere()?);
        places.extend(self.under_public_ids()?);
        let doubts = self.steps.iter().filter(|it| it.hides_doubt());
        places.extend(doubts.map(|step| step.place(Why::Scopes)));
        if self.source.is_store() {
            places.extend(self.behind()?);
            let others = self.source.sent_by_others(self.since(), None)?;
            is_everywhere |= !others.is_empty();
        } else {
            let gaps = self.source.gaps(None, None)?;
            is_everywhere |= gaps.unread > 0 || gaps.more_missing > 0;
            let pruned = gaps.pruned.map(|it| (1, it.first.saturating_sub(1)));
            for (first, last) in gaps.missing.into_iter().chain(pruned) {
                places.push(self.gone(first, last)?);
            }
        }
        // What came to an end before the token is heard of is none of it.
        if let Some(first) = self.steps.first().map(Step::mark) {
            places.retain(|place| place.reach().goes_beyond(&first));
        }
        Ok(Uncertain::of(places, is_everywhere, self.in_part()))
    }

    /// Why the public id is not known.
    fn in_part(&self) -> Option<Why> {
        if self.ids.iter().any(|id| is_pseudonym(id)) {
            return Some(Why::OnlyPseudonym);
        }
        let is_known = self.ids.iter().any(|id| is_public(id));
        let is_hidden = !is_known && self.steps.iter().any(|step| step.hides_public_id);
        is_hidden.then_some(Why::OnlyOther)
    }

    /// Where it is not, each change of a token with a public id may be of this one: up to the last of them.
    fn under_public_ids(&self) -> Result<Option<Place>, Error> {
        let Some(why) = self.in_part() else {
            return Ok(None);
        };
        let any = Filter {
            token: vec![Pattern::Begins(PUBLIC.to_owned())],
            allowed: Some(true),
            ..Filter::default()
        };
        let page = self.source.find(&any, None, 1)?;
        let last = page.decisions.first();
        Ok(last.map(|last| Place {
            first: None,
            ..Place::of(last, why)
        }))
    }

    /// Since when something may be of it. Clocks are set back now and then: the order tells what is not.
    fn since(&self) -> Option<i64> {
        let first = self.steps.iter().filter_map(Step::millis).min();
        first.map(|first| first - SLACK)
    }

    /// Masks have hidden an id by which it would be found.
    fn masked(&self) -> Result<Vec<Place>, Error> {
        let mut places = self.hidden((Hidden::Token, Veil::Mask), Why::Masked)?;
        for what in half_hidden_from(self.ids) {
            let mut half = self.hidden((what, Veil::Mask), Why::HalfMasked)?;
            // What is one of its steps is known to be of it.
            half.retain(|it| !self.seen.contains(&it.last.1));
            places.extend(half);
        }
        Ok(places)
    }

    /// The same of pseudonyms, where a key is missing.
    fn named(&self) -> Result<Vec<Place>, Error> {
        let mut places = Vec::new();
        for what in [Hidden::Token]
            .into_iter()
            .chain(half_hidden_from(self.ids))
        {
            places.extend(self.hidden((what, Veil::Pseudonym), Why::Named)?);
        }
        places.retain(|it| !self.seen.contains(&it.last.1));
        if places.is_empty() || !lacking(self.source)?.is_empty() {
            return Ok(places);
        }
        // Who has but a pseudonym cannot tell which others stand for the same.
        if self.in_part() != Some(Why::OnlyPseudonym) {
            places.clear();
        }
        for place in &mut places {
            place.why = Why::OnlyPseudonym;
        }
        Ok(places)
    }

    /// Its own changes of which masks have hidden in which environment: among its steps, or not, where it is asked for by
    /// its environment.
    fn elsewhere(&self) -> Result<Vec<Place>, Error> {
        let steps = self.steps.iter();
        let steps = steps.filter(|it| it.hides_environment && it.cells.verdict == "allow");
        let mut places: Vec<Place> = steps.map(|it| it.place(Why::Environment)).collect();
        if !self.environment.is_empty() {
            let filter = Filter {
                since: self.since(),
                allowed: Some(true),
                token: self.names.iter().cloned().map(Pattern::Exactly).collect(),
                hidden: vec![(Hidden::Environment, Veil::Mask)],
                ..Filter::default()
            };
            let filter = match self.source.keys() {
                Some(journal) => known_as(filter, journal)?,
                None => filter,
            };
            let mut others = self.found(&filter, Why::Environment)?;
            others.retain(|it| !self.seen.contains(&it.last.1));
            places.extend(others);
        }
        Ok(places)
    }

    /// Changes that may be of any token: those in the environments that are asked for, and those of which masks have hidden
    /// in which they were.
    fn hidden(&self, what: (Hidden, Veil), why: Why) -> Result<Vec<Place>, Error> {
        let in_these = Filter {
            since: self.since(),
            allowed: Some(true),
            environment: self.environment.to_vec(),
            hidden: vec![what],
            ..Filter::default()
        };
        let mut places = self.found(&in_these, why)?;
        if !self.environment.is_empty() {
            let mut in_any = in_these;
            in_any.environment.clear();
            in_any.hidden.push((Hidden::Environment, Veil::Mask));
            let known: BTreeSet<Order> = places.iter().map(|it| it.last.clone()).collect();
            let mut others = self.found(&in_any, why)?;
            others.retain(|it| !known.contains(&it.last));
            places.extend(others);
        }
        Ok(places)
    }

    fn found(&self, filter: &Filter, why: Why) -> Result<Vec<Place>, Error> {
        let page = self.source.find(filter, None, MOST.requests)?;
        let found = page.decisions.iter();
        let mut places: Vec<Place> = found.map(|it| Place::of(it, why)).collect();
        if let Some(oldest) = page.decisions.last().filter(|_| page.more) {
            places.push(older(oldest));
        }
        Ok(places)
    }

    /// Records of a journal that are not there: all were written before the next one that is.
    fn gone(&self, first: u64, last: u64) -> Result<Place, Error> {
        let order = |seq| (Moment::default(), key(seq));
        let (_, next) = self.source.neighbours(&key(last))?;
        let next = next.map(|next| self.source.line(&key(next))).transpose()?;
        let until = next.flatten().and_then(|line| written(&line));
        Ok(Place {
            first: Some(order(first)),
            last: order(last),
            until,
            why: Why::Gone,
        })
    }

    /// What gates have written, and has not come to the store: it is as new as the last that has, or newer.
    fn behind(&self) -> Result<Vec<Place>, Error> {
        let mut places = Vec::new();
        for (last, _) in self.source.unshipped()? {
            let line = self.source.line(&last)?;
            let ms = line.and_then(|line| written(&line));
            let first = ms.map(|ms| (Moment::of_millis(ms), last.clone()));
            places.push(Place {
                first,
                last: (Moment::default(), last),
                until: None,
                why: Why::Gone,
            });
        }
        Ok(places)
    }
}

/// All that is older than this one.
pub(super) fn older(oldest: &Found) -> Place {
    Place {
        first: None,
        ..Place::of(oldest, Why::Gone)
    }
}

/// What may be hidden of a change of a token with these ids, so that none of them is in its record: the other id, where
/// only one is known.
fn half_hidden_from(ids: &BTreeSet<String>) -> Vec<Hidden> {
    let (mut public, mut others) = (false, false);
    for id in ids {
        public |= is_public(id);
        others |= !is_public(id);
    }
    match (public, others) {
        (true, false) => vec![Hidden::ByOtherId],
        (false, true) => vec![Hidden::ByPublicId],
        // No id is known that it could have besides; or none at all.
        (true, true) | (false, false) => Vec::new(),
    }
}

fn key(seq: u64) -> Key {
    Key {
        gate: String::new(),
        seq,
    }
}

/// When a record was written, in milliseconds since 1970.
fn written(line: &[u8]) -> Option<i64> {
    let record: serde_json::Value = serde_json::from_slice(line).ok()?;
    let time: jiff::Timestamp = record.get("timestamp")?.as_str()?.parse().ok()?;
    Some(time.as_millisecond())
}

/// Milliseconds after which a request that is recorded is taken to have had its effect: it is under way for some minutes
/// at most, and then has [`SETTLES`].
const LATE: i64 = 2 * SETTLES * 1000;
/// Milliseconds before the first step from where on hidden records are looked for.
const SLACK: i64 = 24 * 3600 * 1000;

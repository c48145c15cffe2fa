//! Which scopes each token has after each step, by what was done and by what the gate saw when it looked tokens up.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{Happened, Step};
use crate::audit::index::Gaps;
use crate::store::Key;
use crate::trail::Known;

/// The scopes of a token after a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum After {
    #[default]
    NotKnown,
    Known(Vec<String>),
    /// These, if the change in doubt was carried out; else what it had before, if that is known.
    Doubt(Vec<String>, Option<Vec<String>>),
}

/// What a lookup told that no record before it explains, or that ends a doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The record of the request for which the token was looked up.
    pub by: Key,
    pub timestamp: String,
    pub environment: String,
    pub token: String,
    /// The record by which its scopes were known before, or the one in doubt.
    pub since: Key,
    pub since_timestamp: String,
    pub what: What,
    pub scopes: Vec<String>,
    /// Records between the two are missing in the journal.
    pub is_beside_gap: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Somebody changed it, and not through this gate.
    Elsewhere {
        added: Vec<String>,
        removed: Vec<String>,
    },
    /// It is as the change in doubt would have left it.
    CarriedOut,
    /// It is as it was before the change in doubt.
    NotCarriedOut,
    /// It is neither.
    Otherwise,
}

impl Found {
    /// The decision in doubt of which it tells what became.
    pub fn ends(&self) -> Option<Key> {
        let is_end = matches!(self.what, What::CarriedOut | What::NotCarriedOut);
        is_end.then(|| self.since.clone())
    }
}

/// What came of one step.
#[derive(Debug)]
pub struct Seen {
    pub found: Option<Found>,
    pub after: After,
}

/// The tokens of a history, by their environments and ids.
#[derive(Debug, Default)]
pub struct Tokens {
    by_id: BTreeMap<(String, String), Token>,
    /// The id by which Dynatrace knows a token, by another one of its ids.
    known_as: BTreeMap<(String, String), String>,
    /// What pseudonyms stand for.
    known: Known,
    /// First and last records that are missing.
    missing: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, Default)]
struct Token {
    after: After,
    /// The record by which that is known, and its time.
    since: (Key, String),
    /// What it had before the last change, and when that was over.
    before: Option<Vec<String>>,
    changed: Option<Timestamp>,
    /// What else changes in doubt may have left it with: whoever sees that cannot tell which of them it was.
    others: BTreeSet<BTreeSet<String>>,
}

impl Found {
    /// What was added and removed elsewhere.
    pub fn scopes_changed(&self) -> (&[String], &[String]) {
        match &self.what {
            What::Elsewhere { added, removed } => (added, removed),
            _ => (&[], &[]),
        }
    }
}

impl Tokens {
    pub fn new(gaps: &Gaps, known: Known) -> Self {
        Self {
            known,
            by_id: BTreeMap::new(),
            known_as: BTreeMap::new(),
            missing: gaps.missing.clone(),
        }
    }

    /// Takes the steps one after the other, in the order of records.
    pub fn see(&mut self, step: &Step) -> Seen {
        let environment = step.cells.environment.clone();
        let id = self.id(step);
        let mut token = self.by_id.remove(&id).unwrap_or_default();
        let mut found = token.look(step);
        if let Some(found) = &mut found {
            let (since, seq) = (found.since.seq, found.by.seq);
            let mut missing = self.missing.iter();
            found.is_beside_gap = missing.any(|(first, _)| (since..seq).contains(first));
        }
        token.step(step);
        let after = match token.after.clone() {
            // What was not made has none.
            After::NotKnown if step.is_no_creation() => After::Known(Vec::new()),
            after => after,
        };
        // It goes on under the id that it got.
        if !step.token.made.is_empty() {
            let made = (environment, self.known.id(&step.token.made).to_owned());
            self.by_id.insert(made, token.clone());
        }
        // Those that nobody can tell apart are no one token.
        if !id.1.is_empty() {
            self.by_id.insert(id, token);
        }
        Seen { found, after }
    }

    /// How many sets of scopes changes in doubt may have left, of all tokens.
    #[cfg(test)]
    pub(super) fn others(&self) -> usize {
        self.by_id.values().map(|token| token.others.len()).sum()
    }

    /// The one id under which a token is kept that may have several.
    fn id(&mut self, step: &Step) -> (String, String) {
        let environment = &step.cells.environment;
        let about = self.known.id(step.token.any_id()).to_owned();
        let about = (environment.clone(), about);
        let also = self.known.id(&step.token.also);
        if !also.is_empty() && also != about.1 && !self.known_as.contains_key(&about) {
            let also = also.to_owned();
            self.known_as.insert(about.clone(), also.clone());
            // What is known of it by both: the later counts.
            let id = (environment.clone(), also);
            let known = self.by_id.get(&id).map(|token| token.since.1.clone());
            let before = self.by_id.remove(&about);
            if let Some(before) = before.filter(|it| known.is_none_or(|known| it.since.1 > known)) {
                self.by_id.insert(id, before);
            }
        }
        match self.known_as.get(&about) {
            Some(id) => (environment.clone(), id.clone()),
            None => about,
        }
    }
}

impl Token {
    /// Compares what the gate saw with what is known.
    fn look(&mut self, step: &Step) -> Option<Found> {
        let scopes = step.scopes_before()?;
        let what = match &self.after {
            After::NotKnown => None,
            After::Known(known) => {
                let (added, removed) = (without(&scopes, known), without(known, &scopes));
                if added.is_empty() && removed.is_empty() {
                    None
                } else if self.overlaps(step, &scopes) {
                    return None;
                } else {
                    Some(What::Elsewhere { added, removed })
                }
            }
            After::Doubt(done, before) => {
                let is_before = before.as_ref().is_some_and(|it| is_same(it, &scopes));
                let is_of_others = self.others.contains(&set(&scopes));
                // It may still come into force; and a token without scopes looks like itself, removed or not.
                let tells_nothing = if is_same(done, &scopes) {
                    done.is_empty()
                } else {
                    (is_before || before.is_none()) && self.is_near(step, SETTLES)
                };
                if tells_nothing {
                    return None;
                }
                match (is_same(done, &scopes), is_before) {
                    // Whether it was carried out makes no difference.
                    (true, true) => None,
                    // Nobody knows what it had before: it may have had these.
                    _ if before.is_none() || is_of_others => None,
                    (true, false) => Some(What::CarriedOut),
                    (false, true) => Some(What::NotCarriedOut),
                    (false, false) => Some(What::Otherwise),
                }
            }
        };
        self.others.clear();
        let (since, since_timestamp) = self.since.clone();
        self.after = After::Known(scopes.clone());
        self.since = (step.key.clone(), step.cells.timestamp.clone());
        Some(Found {
            by: step.key.clone(),
            timestamp: step.cells.timestamp.clone(),
            environment: step.cells.environment.clone(),
            token: step.about(),
            since,
            since_timestamp,
            what: what?,
            scopes,
            is_beside_gap: false,
        })
    }

    /// Two requests at once: the token was looked up for this one while the other was not carried out yet.
    fn overlaps(&self, step: &Step, scopes: &[String]) -> bool {
        self.is_near(step, AT_ONCE) && self.before.as_ref().is_some_and(|it| is_same(it, scopes))
    }

    /// Within so many seconds of the last change.
    fn is_near(&self, step: &Step, seconds: i64) -> bool {
        let at: Option<Timestamp> = step.cells.timestamp.parse().ok();
        at.zip(self.changed).is_none_or(|(at, changed)| {
            at.duration_since(changed) < SignedDuration::from_secs(seconds)
        })
    }

    fn step(&mut self, step: &Step) {
        if step.happened == Happened::No {
            return;
        }
        let after = if step.hides_scopes() {
            None
        } else {
            match step.scopes_asked() {
                Some(asked) => Some(asked),
                // What is not said is as it was, in doubt or not.
                None => return,
            }
        };
        let (before, unsettled) = match &self.after {
            After::Known(scopes) => (Some(scopes.clone()), None),
            After::NotKnown => (step.scopes_before(), None),
            After::Doubt(done, _) => (step.scopes_before(), Some(done.clone())),
        };
        let is_in_doubt = step.happened == Happened::Perhaps;
        let both = before.as_ref().zip(after.as_ref());
        let is_as_before = both.is_some_and(|(one, other)| is_same(one, other));
        if is_in_doubt && is_as_before {
            // It makes no doubt, and yet it may have undone what an earlier one did.
            let again = unsettled.and(after);
            self.others.extend(again.as_deref().map(set));
            return;
        }
        if is_in_doubt {
            self.others.extend(unsettled.as_deref().map(set));
        } else {
            self.others.clear();
        }
        self.after = match after {
            None => After::NotKnown,
            Some(after) if is_in_doubt => After::Doubt(after, before.clone()),
            Some(after) => After::Known(after),
        };
        self.before = before;
        self.since = (step.key.clone(), step.cells.timestamp.clone());
        let ended = step.ended.as_ref().unwrap_or(&step.cells.timestamp);
        self.changed = ended.parse().ok();
    }
}

fn without(all: &[String], those: &[String]) -> Vec<String> {
    let those: BTreeSet<&String> = those.iter().collect();
    let rest = all.iter().filter(|it| !those.contains(it));
    rest.cloned().collect()
}

fn set(scopes: &[String]) -> BTreeSet<String> {
    scopes.iter().cloned().collect()
}

fn is_same(one: &[String], other: &[String]) -> bool {
    without(one, other).is_empty() && without(other, one).is_empty()
}

/// Seconds after which a request that nobody answered is taken to have had its effect, or none.
pub const SETTLES: i64 = 300;
/// Seconds within which requests may have been under way together.
const AT_ONCE: i64 = 10;

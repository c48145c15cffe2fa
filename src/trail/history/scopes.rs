//! Which scopes each token has after each step, by what was done and by what the gate saw when it looked tokens up.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::uncertain::{Mark, Uncertain};
use super::{Happened, Step};
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
    /// A record that is missing, or hides what it is about, may have done the same: since its scopes were known for certain.
    pub is_unsure: bool,
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
    /// The decision in doubt of which it tells for certain what became, and whether it was carried out.
    pub fn ends(&self) -> Option<(Key, bool)> {
        let is_done = match self.what {
            What::CarriedOut => true,
            What::NotCarriedOut => false,
            What::Elsewhere { .. } | What::Otherwise => return None,
        };
        (!self.is_unsure).then(|| (self.since.clone(), is_done))
    }
}

/// What came of one step.
#[derive(Debug)]
pub struct Seen {
    pub found: Option<Found>,
    pub after: After,
}

/// The tokens of a history, by their environments and ids.
#[derive(Debug)]
pub struct Tokens<'a> {
    by_id: BTreeMap<(String, String), Token>,
    /// The id by which Dynatrace knows a token, by another one of its ids.
    known_as: BTreeMap<(String, String), String>,
    /// What pseudonyms stand for.
    known: &'a Known,
    uncertain: &'a Uncertain,
}

#[derive(Clone, Debug, Default)]
struct Token {
    after: After,
    /// The record by which that is known, and its time.
    since: (Key, String),
    /// The last record by which its scopes were known for certain: before a change in doubt, the one that told of them.
    known: Mark,
    /// What it had before the last change, and when that was over.
    before: Option<Vec<String>>,
    changed: Option<Timestamp>,
    /// What else changes in doubt may have left it with, or may yet: whoever sees that cannot tell which of them it was. And
    /// until when; `None`: nobody knows.
    others: BTreeMap<BTreeSet<String>, Option<Timestamp>>,
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

impl<'a> Tokens<'a> {
    pub(super) fn new(uncertain: &'a Uncertain, known: &'a Known) -> Self {
        Self {
            by_id: BTreeMap::new(),
            known_as: BTreeMap::new(),
            known,
            uncertain,
        }
    }

    /// Takes the steps one after the other, in the order of records.
    pub fn see(&mut self, step: &Step) -> Seen {
        // It is about one of the tokens of its id, and nobody knows in which environment.
        if step.hides_environment {
            return Seen {
                found: None,
                after: After::NotKnown,
            };
        }
        let environment = step.cells.environment.clone();
        let id = self.id(step);
        let mut token = self.by_id.remove(&id).unwrap_or_default();
        let mark = step.mark();
        let is_unsure = self.uncertain.is_between(&token.known, &mark);
        let found = token.look(step, &mark, is_unsure);
        token.step(step, &mark);
        let after = match token.after_it(&mark, is_unsure) {
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
    fn look(&mut self, step: &Step, mark: &Mark, is_unsure: bool) -> Option<Found> {
        let scopes = step.scopes_before()?;
        let is_of_others = self.others.contains_key(&set(&scopes));
        let what = match &self.after {
            After::NotKnown => None,
            After::Known(known) => {
                let (added, removed) = (without(&scopes, known), without(known, &scopes));
                if added.is_empty() && removed.is_empty() {
                    None
                } else if self.overlaps(step, &scopes) {
                    return None;
                } else {
                    (!is_of_others).then_some(What::Elsewhere { added, removed })
                }
            }
            After::Doubt(done, before) => {
                let is_before = before.as_ref().is_some_and(|it| is_same(it, &scopes));
                let is_done = is_same(done, &scopes);
                // It may still come into force; and a token without scopes looks like itself, removed or not.
                let tells_nothing = if is_done {
                    done.is_empty()
                } else {
                    (is_before || before.is_none()) && self.is_near(step, SETTLES)
                };
                if tells_nothing {
                    return None;
                }
                match (is_done, is_before) {
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
        let is_ended = matches!(what, Some(What::CarriedOut | What::NotCarriedOut));
        if !is_ended || is_unsure {
            self.may_come_yet();
        }
        let (since, since_timestamp) = self.since.clone();
        self.after = After::Known(scopes.clone());
        self.since = (step.key.clone(), step.cells.timestamp.clone());
        self.is_known(step, mark);
        Some(Found {
            by: step.key.clone(),
            timestamp: step.cells.timestamp.clone(),
            environment: step.cells.environment.clone(),
            token: step.about(),
            since,
            since_timestamp,
            what: what?,
            scopes,
            is_unsure,
        })
    }

    /// What it has is known for certain, by this step. What came into force before does not count any more.
    fn is_known(&mut self, step: &Step, mark: &Mark) {
        self.known = mark.clone();
        let at: Option<Timestamp> = step.cells.timestamp.parse().ok();
        self.others
            .retain(|_, until| until.zip(at).is_none_or(|(until, at)| until > at));
    }

    /// The change in doubt is followed no more, and may have had its effect, or have it yet.
    fn may_come_yet(&mut self) {
        if let After::Doubt(done, _) = &self.after {
            let until = settled(self.changed);
            self.others.insert(set(done), until);
        }
    }

    /// The change before was still under way when this one was asked for: it may have come into force after it.
    fn may_come_later(&mut self, step: &Step) {
        let asked: Option<Timestamp> = step.cells.timestamp.parse().ok();
        let overlaps = |ended: Timestamp| asked.is_none_or(|asked| ended > asked);
        if let (After::Known(scopes), true) = (&self.after, self.changed.is_some_and(overlaps)) {
            self.others.insert(set(scopes), self.changed);
        }
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

    fn step(&mut self, step: &Step, mark: &Mark) {
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
        let seen = step.scopes_before();
        let (before, is_unsettled) = match &self.after {
            After::Known(scopes) => (Some(scopes.clone()), false),
            After::NotKnown => (seen.clone(), false),
            After::Doubt(..) => (seen.clone(), true),
        };
        let is_in_doubt = step.happened == Happened::Perhaps;
        let ended = step.ended();
        let both = before.as_ref().zip(after.as_ref());
        if let Some((_, again)) = both.filter(|(one, other)| is_in_doubt && is_same(one, other)) {
            // It makes no doubt, and yet it may undo what another one does.
            self.others.insert(set(again), settled(ended));
            return;
        }
        if is_unsettled {
            self.may_come_yet();
        }
        self.may_come_later(step);
        if !is_in_doubt || is_unsettled && seen.is_some() {
            self.is_known(step, mark);
        }
        if let (true, Some(after)) = (step.is_settled(), &after) {
            // Somebody found out that it was done, and not when.
            self.others.insert(set(after), settled(ended));
        }
        self.after = match after {
            None => After::NotKnown,
            Some(after) if is_in_doubt => After::Doubt(after, before.clone()),
            Some(after) => After::Known(after),
        };
        self.before = before;
        self.since = (step.key.clone(), step.cells.timestamp.clone());
        self.changed = ended;
    }

    /// The scopes after a step, as far as they are certain. `is_unsure`: something may have changed them since they were known
    /// before it.
    fn after_it(&self, mark: &Mark, is_unsure: bool) -> After {
        let is_unsure = self.known != *mark && (is_unsure || !self.others.is_empty());
        match &self.after {
            After::Known(_) if is_unsure => After::NotKnown,
            After::Doubt(done, _) if is_unsure => After::Doubt(done.clone(), None),
            after => after.clone(),
        }
    }
}

/// Until when what nobody answered may come into force.
fn settled(ended: Option<Timestamp>) -> Option<Timestamp> {
    let until = ended?.checked_add(SignedDuration::from_secs(SETTLES));
    until.ok()
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

//! What a replay has found, in numbers and examples. It does not grow with the journal.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::newest::Bound;
use super::wanted::Met;
use crate::audit::lines::Unreadable;
use crate::audit::pseudonym::{Differing, MOST_KEYS, Said};

/// What came of all decisions that were wanted.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Revision of the candidate.
    pub revision: String,
    /// All of them.
    pub decisions: u64,
    /// Those that were judged again, by some policies at least.
    pub replayed: u64,
    /// As they were, to the last violation.
    pub same: u64,
    pub new_denials: u64,
    pub new_allows: u64,
    /// The same verdict for other reasons, or with other warnings.
    pub changed: u64,
    /// Of those that were judged again, how many a policy of the candidate could not judge: that denies.
    pub failed: u64,
    /// Of those that were judged again, how many had passed by a grant: what counts is that policies denied them.
    pub granted: u64,
    /// Of those that were judged again, how many were decided by other policies or other data.
    pub of_other_policies: u64,
    /// Of the newest, how many are left out: Dynatrace has turned them away for their credential.
    #[serde(skip)]
    pub turned_away: u64,
    /// Of the newest, what left out others that are there.
    #[serde(skip)]
    pub ended_by: Option<Bound>,
    /// Lines that are no records.
    pub damaged: u64,
    /// The rest of each compressed segment that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Unreadable>,
    /// First and last records that are not in the journal: of the first of them, what retention has deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<(u64, u64)>,
    /// Further ones.
    #[serde(skip_serializing_if = "is_none")]
    pub more_missing: u64,
    /// The end is gone: the last record that is there, and the one that was on disk, says the file `head`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Moment>,
    /// How many were not judged again, by reason.
    #[serde(rename = "not_replayed")]
    pub not_replayed: BTreeMap<String, u64>,
    /// How many some policies could not judge, by policy and reason.
    #[serde(rename = "not_replayed_by")]
    pub not_by: BTreeMap<String, BTreeMap<String, u64>>,
    /// What is otherwise, by kind of change and policy.
    pub groups: Vec<Group>,
    /// Who is affected, by name.
    pub callers: BTreeMap<String, Affected>,
    /// Changes of callers that there was no room to name.
    pub other_callers: Affected,
    /// Which keys of pseudonyms records tell of.
    #[serde(skip)]
    pub keys: BTreeSet<Said>,
    /// Those of them that the journal has not, or others in their places: what has a pseudonym by them is not found by its
    /// value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_keys: Vec<Differing>,
    /// Which conditions held of any decision.
    #[serde(skip)]
    pub met: Met,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Report {
    /// Records are gone that retention has not deleted.
    pub fn has_gaps(&self) -> bool {
        let is_any = self.missing.iter().any(|(first, _)| *first > 1);
        is_any || self.more_missing > 0 || self.cut.is_some()
    }

    /// How many decisions are left out of which masks have hidden whether they are wanted.
    pub fn perhaps_wanted(&self) -> u64 {
        let count = self.not_replayed.get(PERHAPS);
        count.copied().unwrap_or_default()
    }
}

/// When a decision was made, and its number.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Moment {
    pub seq: u64,
    pub timestamp: String,
}

/// How a decision differs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Allowed then, denied now.
    NewDenial,
    /// Denied then, allowed now.
    NewAllow,
    /// The same verdict, other violations.
    Violations,
}

/// What one policy changes in one way.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    pub change: Change,
    pub policy: String,
    pub count: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Example {
    pub seq: u64,
    pub timestamp: String,
    pub decision_id: String,
    pub operation: String,
    pub environment: String,
    /// Name and public id of the token that it is about, as far as they are known.
    pub token: String,
    /// Who asked, as `audit tail` tells it.
    pub by: String,
    pub says: String,
}

/// How many decisions about one caller differ.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Affected {
    pub new_denials: u64,
    pub new_allows: u64,
    pub changed: u64,
}

/// One decision that differs.
pub(super) struct Found<'a> {
    pub(super) change: Change,
    pub(super) seq: u64,
    pub(super) timestamp: &'a str,
    pub(super) decision_id: &'a str,
    pub(super) operation: &'a str,
    pub(super) environment: &'a str,
    pub(super) token: String,
    /// Who asked, as `audit tail` tells it, and in one name.
    pub(super) asked: String,
    pub(super) caller: String,
    /// What each policy says that makes the difference.
    pub(super) by_policy: BTreeMap<String, String>,
}

impl Report {
    pub(super) fn new(revision: &str) -> Self {
        Self {
            revision: revision.to_owned(),
            ..Self::default()
        }
    }

    /// How many could not be judged again.
    pub fn unreplayed(&self) -> u64 {
        self.not_replayed.values().sum()
    }

    /// One that is wanted.
    pub(super) fn decision(&mut self, seq: u64, timestamp: &str) {
        self.decisions += 1;
        let moment = || Moment {
            seq,
            timestamp: timestamp.to_owned(),
        };
        if self.first.as_ref().is_none_or(|first| seq < first.seq) {
            self.first = Some(moment());
        }
        match &mut self.last {
            Some(last) if last.seq >= seq => {}
            Some(last) => {
                last.seq = seq;
                timestamp.clone_into(&mut last.timestamp);
            }
            none => *none = Some(moment()),
        }
    }

    /// A record that may tell of a key.
    pub(super) fn key(&mut self, line: &[u8]) {
        if self.keys.len() < MOST_KEYS {
            self.keys.extend(Said::all(line));
        }
    }

    pub(super) fn not_replayed(&mut self, reason: String) {
        add(&mut self.not_replayed, reason, 1);
    }

    pub(super) fn not_by(&mut self, policy: String, reason: String) {
        add(self.not_by.entry(policy).or_default(), reason, 1);
    }

    /// One that differs.
    pub(super) fn found(&mut self, found: Found<'_>, examples: usize) {
        let one = Affected::of(found.change);
        self.new_denials += one.new_denials;
        self.new_allows += one.new_allows;
        self.changed += one.changed;
        self.affect(found.caller, one);
        for (policy, says) in found.by_policy {
            let group = self.group(found.change, policy);
            group.count += 1;
            if group.examples.len() < examples {
                group.examples.push(Example {
                    seq: found.seq,
                    timestamp: found.timestamp.to_owned(),
                    decision_id: found.decision_id.to_owned(),
                    operation: found.operation.to_owned(),
                    environment: found.environment.to_owned(),
                    token: found.token.clone(),
                    by: found.asked.clone(),
                    says,
                });
            }
        }
    }

    fn affect(&mut self, caller: String, by: Affected) {
        self.callers.entry(caller).or_default().add(by);
        // The first by name stay, so that it is the same ones whoever judged what.
        if self.callers.len() > CALLERS
            && let Some((_, last)) = self.callers.pop_last()
        {
            self.other_callers.add(last);
        }
    }

    fn group(&mut self, change: Change, policy: String) -> &mut Group {
        let at = self
            .groups
            .binary_search_by(|group| (group.change, &group.policy).cmp(&(change, &policy)));
        let at = at.unwrap_or_else(|at| {
            let group = Group {
                change,
                policy,
                count: 0,
                examples: Vec::new(),
            };
            self.groups.insert(at, group);
            at
        });
        self.groups.get_mut(at).expect("it was found or put there")
    }

    /// Adds what another thread has found. Of the examples the first ones stay.
    pub(super) fn add(&mut self, other: Self, examples: usize) {
        self.decisions += other.decisions;
        self.replayed += other.replayed;
        self.same += other.same;
        self.new_denials += other.new_denials;
        self.new_allows += other.new_allows;
        self.changed += other.changed;
        self.failed += other.failed;
        self.granted += other.granted;
        self.of_other_policies += other.of_other_policies;
        self.damaged += other.damaged;
        self.met.add(other.met);
        self.keys.extend(other.keys);
        self.first = match (self.first.take(), other.first) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.last = self.last.take().max(other.last);
        for (reason, count) in other.not_replayed {
            add(&mut self.not_replayed, reason, count);
        }
        for (policy, reasons) in other.not_by {
            let own = self.not_by.entry(policy).or_default();
            for (reason, count) in reasons {
                add(own, reason, count);
            }
        }
        for group in other.groups {
            let own = self.group(group.change, group.policy);
            own.count += group.count;
            own.examples.extend(group.examples);
            own.examples.sort_by_key(|example| example.seq);
            own.examples.truncate(examples);
        }
        for (caller, affected) in other.callers {
            self.affect(caller, affected);
        }
        self.other_callers.add(other.other_callers);
    }
}

impl Affected {
    fn of(change: Change) -> Self {
        let mut one = Self::default();
        match change {
            Change::NewDenial => one.new_denials = 1,
            Change::NewAllow => one.new_allows = 1,
            Change::Violations => one.changed = 1,
        }
        one
    }

    fn add(&mut self, other: Self) {
        self.new_denials += other.new_denials;
        self.new_allows += other.new_allows;
        self.changed += other.changed;
    }

    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// Adds to the count of a reason. Reasons that there is no room for count as one.
fn add(counts: &mut BTreeMap<String, u64>, reason: String, by: u64) {
    *counts.entry(reason).or_default() += by;
    // The first by name stay, so that it is the same ones whoever judged what.
    if counts.len() > REASONS + usize::from(counts.contains_key(OTHERS)) {
        let is_kept = |reason: &str| [OTHERS, PERHAPS].contains(&reason);
        let mut named = counts.keys().rev().filter(|reason| !is_kept(reason));
        let last = named.next().cloned().unwrap_or_default();
        let further = counts.remove(&last).unwrap_or_default();
        *counts.entry(OTHERS.to_owned()).or_default() += further;
    }
}

/// Names of callers and reasons that are kept.
const CALLERS: usize = 1000;
const REASONS: usize = 100;

/// Why a decision is not judged of which nobody knows whether it is wanted.
pub(super) const PERHAPS: &str = "whether --where holds of it is masked";

const OTHERS: &str = "further reasons";

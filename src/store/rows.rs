//! Records as rows: pure, so that what is written does not depend on how records come in batches.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::moment::Moment;
use super::schema::signed;
use crate::audit::facts::{self, About, Decision, Facts};
use crate::audit::outgoing::Outgoing;

/// A record, and what it is looked for by.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) seq: i64,
    pub(super) at: Moment,
    pub(super) hash: [u8; 32],
    pub(super) line: Cow<'a, str>,
    facts: Option<Facts>,
}

/// The hash of the record before, by a record's own word.
pub(super) fn prev(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Said {
        prev: String,
    }
    let Said { prev } = serde_json::from_str(line).ok()?;
    Some(prev)
}

/// How a decision ended, as far as some records tell it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ending {
    /// The last outcome, and its number.
    pub(super) outcome: Option<(i64, &'static str)>,
    /// What was found out, and the number of the record that says so.
    pub(super) settled: Option<(i64, String)>,
    /// Credentials that were made.
    pub(super) made: Vec<String>,
    /// What outcomes say, in words.
    pub(super) words: Vec<String>,
}

impl<'a> Row<'a> {
    pub(super) fn of(record: &'a Outgoing) -> Self {
        Self::read(record.seq, &record.line)
    }

    /// A line that stands as the record of this number.
    pub(super) fn read(seq: u64, line: &'a [u8]) -> Self {
        let facts = facts::of(line);
        let hash = Sha256::digest(line).into();
        // What is no UTF-8 is no record, and is never sent. If it were, its hash would tell that it is not as it was.
        let line = String::from_utf8_lossy(line);
        let line = if line.contains('\0') {
            Cow::Owned(line.replace('\0', "\u{fffd}"))
        } else {
            line
        };
        Self {
            seq: signed(seq),
            at: Moment::of(facts.as_ref().and_then(|facts| facts.at)),
            hash,
            line,
            facts,
        }
    }

    pub(super) fn kind(&self) -> &str {
        self.facts.as_ref().map_or(UNREADABLE, |facts| &facts.kind)
    }

    /// What it tells, if it is a record.
    pub(super) fn told(&self) -> Option<&About> {
        self.facts.as_ref().map(|facts| &facts.about)
    }

    pub(super) fn decision(&self) -> Option<&Decision> {
        match self.facts.as_ref().map(|facts| &facts.about) {
            Some(About::Decision(decision)) => Some(decision),
            _ => None,
        }
    }

    /// The decision that it says something about.
    pub(super) fn about(&self) -> Option<i64> {
        match self.facts.as_ref().map(|facts| &facts.about) {
            Some(About::Outcome(outcome)) => Some(signed(outcome.of)),
            Some(About::Settled(settled)) => Some(signed(settled.of)),
            Some(About::Challenged(challenged)) => Some(signed(challenged.of)),
            _ => None,
        }
    }

    /// In what a challenger differs from it.
    pub(super) fn differs(&self) -> Option<&'static str> {
        match self.facts.as_ref().map(|facts| &facts.about) {
            Some(About::Challenged(challenged)) => Some(challenged.differs),
            _ => None,
        }
    }

    /// What it says about it.
    fn ending(&self) -> Option<Ending> {
        let ending = match &self.facts.as_ref()?.about {
            About::Outcome(outcome) => Ending {
                outcome: Some((self.seq, outcome.ended)),
                made: outcome.made.iter().cloned().collect(),
                words: outcome.words.clone(),
                settled: None,
            },
            About::Settled(settled) => Ending {
                settled: Some((self.seq, settled.found.clone())),
                ..Ending::default()
            },
            About::Challenged(_) | About::Decision(_) | About::Other => return None,
        };
        Some(ending)
    }

    /// Its texts that stand in the list of all names: what each is, and the text.
    pub(super) fn names(&self) -> Vec<(&'static str, &str)> {
        let Some(it) = self.decision() else {
            let made = match self.facts.as_ref().map(|facts| &facts.about) {
                Some(About::Outcome(outcome)) => outcome.made.as_deref(),
                _ => None,
            };
            return made.into_iter().map(|made| ("token", made)).collect();
        };
        let lists = [
            ("certificate", &it.certificate),
            ("claim", &it.claim),
            ("code", &it.code),
            ("policy", &it.policy),
            ("scope", &it.scope),
            ("scope", &it.added),
            ("scope", &it.removed),
            ("team", &it.team),
            ("token", &it.token),
        ];
        let ones = [
            ("caller", it.caller.as_deref()),
            ("client", it.client.as_deref()),
            ("environment", it.environment.as_deref()),
            ("operation", Some(it.operation.as_str())),
        ];
        let lists = lists
            .into_iter()
            .flat_map(|(kind, list)| list.iter().map(move |text| (kind, text.as_str())));
        let ones = ones
            .into_iter()
            .filter_map(|(kind, text)| Some((kind, text?)));
        lists.chain(ones).collect()
    }
}

impl Ending {
    /// The same, in whatever order and however often: the last outcome, and the last settlement that found something.
    fn join(&mut self, other: Self) {
        self.outcome = self.outcome.max(other.outcome);
        let rank = |settled: &Option<(i64, String)>| {
            let it = settled.as_ref();
            it.map(|(seq, found)| (found != "unknown", *seq))
        };
        if rank(&other.settled) > rank(&self.settled) {
            self.settled = other.settled;
        }
        for made in other.made {
            if !self.made.contains(&made) {
                self.made.push(made);
            }
        }
        for word in other.words {
            if !self.words.contains(&word) {
                self.words.push(word);
            }
        }
    }
}

/// What records say about decisions, by the numbers of those.
pub(super) fn endings(rows: &[Row<'_>]) -> BTreeMap<i64, Ending> {
    let mut endings: BTreeMap<i64, Ending> = BTreeMap::new();
    for row in rows {
        if let (Some(of), Some(ending)) = (row.about(), row.ending()) {
            endings.entry(of).or_default().join(ending);
        }
    }
    endings
}

/// The kind of what is no record that could be looked for.
const UNREADABLE: &str = "unreadable";

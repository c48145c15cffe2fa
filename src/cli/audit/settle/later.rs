//! What the journal tells of the changes in doubt of one token: what became of them, and whether a look at the token now
//! would tell it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::doubt::Looked;
use crate::audit::event;
use crate::cli::audit::source::Source;
use crate::trail::history::{
    After, Found, Happened, MOST, Order, SETTLES, Step, Steps, What, Why, steps,
};

/// What is known of one change.
#[derive(Clone, Default)]
pub(super) struct Told {
    /// What became of it.
    pub(super) known: Option<Looked>,
    /// What a later record found, and why that proves nothing.
    pub(super) unsure: Option<String>,
    /// Why what the token is now would tell nothing.
    pub(super) again: Option<&'static str>,
    /// The scopes before it, as far as they are certain.
    pub(super) before: Option<Vec<String>>,
}

impl Told {
    /// Of a change that is not among those that were read.
    pub(super) fn unread() -> Self {
        Self {
            again: Some(MAY_BE_GONE),
            ..Self::default()
        }
    }

    fn found(&mut self, found: &Found) {
        let seq = found.by.seq;
        if let Some((_, is_done)) = found.ends() {
            let what = if is_done {
                event::Found::Done
            } else {
                event::Found::NotDone
            };
            self.known = Some(Looked::new(what, &format!("record {seq} found it so")));
            return;
        }
        self.unsure = match found.what {
            What::CarriedOut => Some(format!(
                "record {seq} found it carried out, and a record that is missing or hidden may have done the same"
            )),
            What::NotCarriedOut => Some(format!(
                "record {seq} found it as before, and a record that is missing or hidden may have undone it"
            )),
            What::Elsewhere { .. } | What::Otherwise => None,
        };
    }
}

/// All changes in doubt of a token, by the numbers of their records.
pub(super) fn told_later(source: &Source, token: &str) -> anyhow::Result<BTreeMap<u64, Told>> {
    let found = steps(source, token, &[], MOST)?;
    let others = Others::of(source, &found)?;
    let mut told: BTreeMap<u64, Told> = BTreeMap::new();
    let mut tokens = found.tokens();
    let mut under_way = UnderWay::default();
    for step in &found.all {
        let seen = tokens.see(step);
        if let Some(found) = seen.found {
            told.entry(found.since.seq).or_default().found(&found);
        }
        if step.happened == Happened::Perhaps {
            let it = told.entry(step.key.seq).or_default();
            let later = others.changed_again(step);
            it.again = later.or_else(|| under_way.reaches(step).then_some(UNDER_WAY));
            it.before = match seen.after {
                After::Doubt(_, before) => before,
                After::Known(_) | After::NotKnown => None,
            };
        }
        under_way.add(step);
    }
    Ok(told)
}

/// What else may have changed the token.
struct Others<'a> {
    steps: &'a Steps,
    /// The last of its changes.
    last: Option<Order>,
    /// The end of the journal is gone.
    is_cut: bool,
}

impl<'a> Others<'a> {
    fn of(source: &Source, steps: &'a Steps) -> anyhow::Result<Self> {
        let changes = steps.all.iter().filter(|step| is_change(step));
        Ok(Self {
            last: changes.map(|step| step.mark().order).max(),
            is_cut: source.gaps(None, None)?.cut.is_some(),
            steps,
        })
    }

    /// Why the token may be otherwise now than this change has left it.
    fn changed_again(&self, step: &Step) -> Option<&'static str> {
        let mark = step.mark();
        if self.last.as_ref().is_some_and(|last| *last > mark.order) {
            return Some(CHANGED);
        }
        let hidden = self.steps.uncertain.after(&mark).map(|why| match why {
            Why::Masked | Why::HalfMasked => MAY_BE_MASKED,
            Why::Named => MAY_BE_NAMED,
            Why::Environment => MAY_BE_IN_ANY,
            Why::OnlyPseudonym => MAY_BE_ANY,
            Why::OnlyOther => MAY_BE_OTHER,
            Why::Scopes | Why::Gone => MAY_BE_GONE,
        });
        hidden.or_else(|| self.is_cut.then_some(MAY_BE_GONE))
    }
}

/// Until when earlier changes may have come into force, in milliseconds since 1970: of all, and of removals.
#[derive(Default)]
struct UnderWay {
    any: Option<i64>,
    removals: Option<i64>,
}

impl UnderWay {
    fn add(&mut self, step: &Step) {
        if !is_change(step) {
            return;
        }
        let late = match step.happened {
            Happened::Perhaps => SETTLES * 1000,
            Happened::Yes if step.is_settled() => SETTLES * 1000,
            Happened::Yes | Happened::No => 0,
        };
        let ended = step.ended().map(Timestamp::as_millisecond);
        let until = Some(ended.map_or(i64::MAX, |ended| ended.saturating_add(late)));
        self.any = self.any.max(until);
        if is_removal(step) {
            self.removals = self.removals.max(until);
        }
    }

    /// Whether one of them may have come into force after this one was asked for. Whether a token is there, removals tell.
    fn reaches(&self, step: &Step) -> bool {
        let until = if is_removal(step) {
            self.removals
        } else {
            self.any
        };
        let asked = step.mark().ms;
        until.is_some_and(|until| asked.is_none_or(|asked| until > asked))
    }
}

/// Whether it may have changed the token, which is followed in one environment.
fn is_change(step: &Step) -> bool {
    step.happened != Happened::No && !step.hides_environment
}

fn is_removal(step: &Step) -> bool {
    step.cells.operation.ends_with(".delete")
}

const CHANGED: &str = "the token was changed again";
const UNDER_WAY: &str = "an earlier change of the token may have come into force after it";
const MAY_BE_MASKED: &str = "the token may have been changed again: masks have hidden which one a request of that time or \
     later was about";
const MAY_BE_NAMED: &str = "the token may have been changed again: a request of that time or later has a pseudonym in place of \
     its id, and a key of pseudonyms is missing";
const MAY_BE_IN_ANY: &str = "the token may have been changed again: masks have hidden in which environment a request of that \
     time or later was";
const MAY_BE_ANY: &str = "the token may have been changed again: one of its ids is known by a pseudonym only, and a later \
     request was about a token with a public id, or another pseudonym of one";
const MAY_BE_OTHER: &str = "the token may have been changed again: masks have hidden its public id, and a later request was \
     about a token with one";
const MAY_BE_GONE: &str = "the token may have been changed again: records of that time or later are missing or cannot be read";

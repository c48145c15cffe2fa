//! Where a journal goes on whose last records are not here under an earlier name any more: what a store has lost of it was
//! sent again, under the name that the journal has now.
//!
//! Whoever may write rows could invent such a gate, to hide that an end was cut off. So it counts only where the key that
//! the earlier gate told last, or one that it handed over to, has signed the chain that goes on.

use super::{Chain, Earlier, Problems, Rows};
use crate::audit::checkpoint::note::PublicKey;
use crate::audit::facts::{self, About};
use crate::audit::verify::Trust;
use crate::store::StoreError;
use crate::store::ask::{Asked, Key};
use crate::store::gates::Gate;

/// The name under which the records behind the last one are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Continued {
    pub(in crate::store) gate: String,
    /// The last record under the earlier name; 0: there is none.
    pub(in crate::store) last: u64,
}

impl Continued {
    /// What a record behind the last one tells.
    pub(in crate::store) fn told(
        &self,
        asked: &Asked,
        seq: i64,
    ) -> Result<Option<About>, StoreError> {
        let Some(seq) = u64::try_from(seq).ok().filter(|seq| *seq > self.last) else {
            return Ok(None);
        };
        let gate = self.gate.clone();
        let line = asked.line(&Key { gate, seq })?;
        let facts = line.and_then(|line| facts::of(&line));
        Ok(facts.map(|facts| facts.about))
    }
}

impl Asked {
    /// Under which name the records of a gate are here that it had sent and that are not here under its own; `None`: under
    /// none, as far as it can be proven.
    pub(super) fn continued(
        &self,
        gate: &str,
        trust: &Trust,
    ) -> Result<Option<Continued>, StoreError> {
        let (last, gates) = (self.last(gate)?, self.gates()?);
        let said = gates.into_iter().find(|it| it.name == gate);
        let Some(said) = said.filter(|it| it.shipped > last) else {
            return Ok(None);
        };
        let Some(keys) = keys(&said, trust) else {
            return Ok(None);
        };
        let trust = Trust {
            keys,
            interval: trust.interval,
            ..Trust::default()
        };
        for other in self.recorded()? {
            if other == gate {
                continue;
            }
            let earlier = self.earlier(&other)?;
            let goes_on = |it: &Earlier| it.gate == gate && it.last == last;
            // Where nothing is left, the signatures say whose records these are.
            let is_meant = if last == 0 {
                self.has_been(&other, gate)?
            } else {
                earlier.iter().any(goes_on)
            };
            if is_meant && self.is_proven(&other, &earlier, &trust, said.shipped)? {
                return Ok(Some(Continued { gate: other, last }));
            }
        }
        Ok(None)
    }

    /// Whether the chain of a gate holds and is signed up to this record, which may be the last checkpoint itself.
    fn is_proven(
        &self,
        gate: &str,
        earlier: &[Earlier],
        trust: &Trust,
        up_to: u64,
    ) -> Result<bool, StoreError> {
        let bounds = self.bounds()?;
        let mut problems = Problems::default();
        let mut chain = Chain::of(gate, earlier, None, trust);
        self.walk_earlier(earlier, &bounds, &mut chain, &mut problems)?;
        let mut rows = Rows::of(self, &bounds, gate, i64::MAX);
        chain.walk(self, &mut rows, &mut problems)?;
        let is_whole = problems.all().is_empty();
        Ok(is_whole
            && matches!(chain.end(), Some(Ok(report)) if report.head_seq >= up_to
                && report.checkpoints.proven.saturating_add(1) >= up_to))
    }
}

/// The keys by which what goes on has to be signed: those that are trusted of this gate, or the one that it told last.
fn keys(said: &Gate, trust: &Trust) -> Option<Vec<PublicKey>> {
    let trusted = trust.keys.iter().filter(|key| key.name() == said.name);
    let trusted: Vec<PublicKey> = trusted.cloned().collect();
    if !trusted.is_empty() {
        return Some(trusted);
    }
    let key: PublicKey = said.key.parse().ok()?;
    (key.name() == said.name).then(|| vec![key])
}

//! What is proven of one gate: its journal's chain from the first record that is here to the last, under all of its names.
//!
//! A gate may have sent more than its rows are: what a store loses is sent again, under the name that the journal has by
//! then. The chain of hashes pins all of it. The gate's own row says with which record its journal ended, and its hash. It
//! goes on under another name where the records of that one go on from its last row without a gap, up to that record and
//! with that hash; and where one of them says that a key of this name handed over to one of another. Else its end is cut
//! off. Whatever is demanded of it is demanded of both together.

use super::chain::{Chain, Earlier, earlier};
use super::fleet::{End, Fleet, MOST_NAMES};
use super::source::Source;
use super::{Problems, unproven};
use crate::audit::chain::NotedHead;
use crate::audit::verify::{Report, Trust, VerifyError};
use crate::store::StoreError;
use crate::value::{Sha256Hex, counted};

/// Under which names the records behind the last row of a gate are here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Onward {
    pub(in crate::store) parts: Vec<Part>,
    /// The last row of the gate itself; 0: there is none.
    pub(in crate::store) last: u64,
}

/// Rows of another gate, behind one record and up to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Part {
    pub(in crate::store) gate: String,
    behind: u64,
    up_to: u64,
}

impl Onward {
    fn push(&mut self, gate: &str, up_to: u64) {
        let behind = self.parts.last().map_or(self.last, |part| part.up_to);
        if up_to > behind {
            let gate = gate.to_owned();
            self.parts.push(Part {
                gate,
                behind,
                up_to,
            });
        }
    }

    fn extend(&mut self, behind: &[&End]) {
        for end in behind {
            self.push(&end.gate, end.last);
        }
    }

    /// Their names, in order.
    pub(in crate::store) fn names(&self) -> Vec<String> {
        self.parts.iter().map(|part| part.gate.clone()).collect()
    }
}

/// What is demanded of a gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand<'a> {
    pub(super) noted: Option<&'a NotedHead>,
    pub(super) trust: &'a Trust,
    /// What comes before it need not be there.
    pub(super) begins: Option<u64>,
}

/// On the way.
pub(super) struct Proof<'a> {
    gate: &'a str,
    fleet: &'a Fleet,
    demand: Demand<'a>,
    pub(super) earlier: Vec<Earlier>,
    /// Of names that its journal got later.
    pub(super) onward: Onward,
    /// It had sent more than its rows are.
    pub(super) is_short: bool,
    /// It is shown the rows of the gate itself, one after the other.
    pub(super) chain: Chain<'a>,
}

/// What came of it.
pub(super) struct Proven {
    pub(super) earlier: Vec<Earlier>,
    pub(super) chain: Option<Result<Report, VerifyError>>,
    pub(super) notes: Vec<String>,
}

impl<'a> Proof<'a> {
    /// Goes through what was sent under earlier names. That the rows there are as their lines say is a matter of those gates.
    pub(super) fn begin(
        source: &impl Source,
        fleet: &'a Fleet,
        gate: &'a str,
        demand: Demand<'a>,
        problems: &mut Problems,
    ) -> Result<Self, StoreError> {
        let earlier = match demand.begins {
            None if demand.trust.begins.is_none() => earlier(source, fleet, gate)?,
            _ => Vec::new(),
        };
        let said = fleet.said(gate);
        let end = fleet.end(gate);
        let begins = demand.begins.unwrap_or_default();
        let last = end.map_or(0, |end| end.last).max(begins);
        let is_short = said.is_some_and(|said| said.shipped > last);
        let onward = if is_short {
            onward(source, fleet, gate, last, demand.trust)?
        } else {
            let mut onward = Onward {
                last,
                ..Onward::default()
            };
            onward.extend(&handed_to(source, fleet, gate)?);
            onward
        };
        let names = earlier.iter().map(|it| it.gate.clone());
        let names = std::iter::once(gate.to_owned()).chain(names);
        let head = said.map(|said| NotedHead {
            seq: said.head_seq,
            hash: said.head_hash.clone(),
        });
        let of_gates = names.chain(onward.names()).collect();
        let mut chain = Chain::of(of_gates, head, demand.noted, demand.trust);
        for Earlier { gate, last } in &earlier {
            chain.walk(source, gate, (0, *last), problems)?;
        }
        Ok(Self {
            gate,
            fleet,
            demand,
            earlier,
            onward,
            is_short,
            chain,
        })
    }

    /// All rows of the gate were seen.
    pub(super) fn end(
        mut self,
        source: &impl Source,
        problems: &mut Problems,
    ) -> Result<Proven, StoreError> {
        let Demand {
            noted,
            trust,
            begins,
        } = self.demand;
        let is_whole = self.chain.broken.is_none();
        let own = self.chain.last().or(begins).unwrap_or_default();
        if self.is_short {
            for Part {
                gate,
                behind,
                up_to,
            } in &self.onward.parts
            {
                self.chain.walk(source, gate, (*behind, *up_to), problems)?;
            }
        }
        let last = self.chain.last().or(begins).unwrap_or_default();
        let has_head = self.chain.has_head;
        let (chain, handovers) = self.chain.end();
        let keys = &trust.keys;
        let proven = match &chain {
            Some(Ok(report)) if keys.is_empty() => report.head_seq,
            Some(Ok(report)) => report.checkpoints.proven,
            _ => 0,
        };
        let said = self.fleet.said(self.gate);
        let goes_on = self.is_short
            && last > own
            && said.is_some_and(|said| last >= said.head_seq.max(said.shipped))
            && has_head == Some(true)
            && handovers.leave(self.gate, keys, proven);
        if (noted.is_some() || trust.wants_proof())
            && !goes_on
            && let Some(problem) = unproven(self.gate, &self.earlier, chain.as_ref(), trust)
        {
            problems.add(problem);
        }
        let mut notes = self.fleet.beyond(&self.earlier);
        if let (Some(said), true) = (said, is_whole) {
            if goes_on {
                notes.push(elsewhere(
                    own,
                    said.head_seq.max(said.shipped),
                    &self.onward,
                ));
            } else if said.shipped > own {
                problems.add(cut_off(own, said.shipped, self.fleet.has_more));
            }
            if has_head == Some(false) {
                let (head, hash) = (said.head_seq, &said.head_hash);
                problems.add(format!(
                    "record {head} has another hash than the gate's own row says: {hash}"
                ));
            }
        }
        Ok(Proven {
            earlier: self.earlier,
            chain,
            notes,
        })
    }
}

fn elsewhere(own: u64, last: u64, onward: &Onward) -> String {
    let names = onward.names().join(", ");
    format!(
        "its records {} to {last} are here as those of gate {names}, which goes on with its journal. They are proven together; \
         that rows there are as their lines say is verified with that gate",
        own + 1
    )
}

fn cut_off(own: u64, shipped: u64, has_more: bool) -> String {
    let end = if own == 0 {
        "the store has no record of it".to_owned()
    } else {
        format!("nothing of it is here behind record {own}")
    };
    let more = counted(shipped - own, "record");
    let not_looked = if has_more {
        ". There are more gates than are looked at for where they went: --gate looks for one"
    } else {
        ""
    };
    format!("{end}, and had record {shipped}, says the gate's own row: {more} cut off{not_looked}")
}

/// The gates whose records go on from the last one of this gate, and so on, where keys say that it has got their names:
/// anybody can make a first record that names another one.
pub(super) fn handed_to<'a>(
    source: &impl Source,
    fleet: &'a Fleet,
    gate: &str,
) -> Result<Vec<&'a End>, StoreError> {
    let mut all: Vec<&End> = Vec::new();
    let mut newest = fleet.end(gate);
    while let Some(end) = newest
        && all.len() < MOST_NAMES
    {
        newest = None;
        for next in fleet.next(end) {
            let before = earlier(source, fleet, &next.gate)?;
            if before.last().is_some_and(|it| it.gate == end.gate) {
                newest = Some(next);
                break;
            }
        }
        all.extend(newest);
    }
    Ok(all)
}

/// Where the records of a gate go on that has none behind this one any more: the first gate that has the record with which
/// its journal ended, and whose records go on from its last one.
fn onward(
    source: &impl Source,
    fleet: &Fleet,
    gate: &str,
    last: u64,
    trust: &Trust,
) -> Result<Onward, StoreError> {
    let noted = trust.begins.as_ref().filter(|it| it.seq == last);
    let end = fleet.end(gate).filter(|end| end.last == last);
    let hash = match (noted, end) {
        (Some(noted), _) => noted.hash.clone(),
        (None, Some(end)) => end.hash.clone(),
        (None, None) => Sha256Hex::ZERO.as_str().to_owned(),
    };
    for newest in fleet.heads(gate) {
        let mut onward = Onward {
            last,
            ..Onward::default()
        };
        for before in earlier(source, fleet, newest)? {
            onward.push(&before.gate, before.last);
        }
        let end = fleet.end(newest).map_or(0, |end| end.last);
        onward.push(newest, end);
        onward.extend(&handed_to(source, fleet, newest)?);
        let Some(first) = onward.parts.first() else {
            continue;
        };
        let there = source.hashes(&first.gate, last + 1)?;
        let named = there.and_then(|(_, prev)| prev);
        if named.is_some_and(|named| named == hash) {
            return Ok(onward);
        }
    }
    Ok(Onward {
        last,
        ..Onward::default()
    })
}

//! The chain of one journal, under whatever names it was sent: another name is another gate here, and the same journal.

use std::collections::VecDeque;

use super::Problems;
use super::fleet::{Fleet, MOST_NAMES};
use super::source::{Source, Step};
use crate::audit::chain::NotedHead;
use crate::audit::checkpoint::note::PublicKey;
use crate::audit::renamed::takes_over;
use crate::audit::verify::{Beginning, Elsewhere, Report, Trust, VerifyError};
use crate::store::StoreError;

/// A name under which a journal was sent before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    pub gate: String,
    /// The last record that was sent under it.
    pub last: u64,
}

/// The way through the lines of a journal, under whatever names they are here.
pub(super) struct Chain<'a> {
    name: String,
    of_gates: Vec<String>,
    noted: Option<&'a NotedHead>,
    trust: &'a Trust,
    /// With what the journal ends, by its gate's word, and whether that record is what it should be.
    head: Option<NotedHead>,
    pub(super) has_head: Option<bool>,
    /// The records by which a key took over, as far as they were met.
    handovers: Vec<(u64, PublicKey, PublicKey)>,
    walk: Option<Elsewhere<'a>>,
    pub(super) broken: Option<VerifyError>,
}

impl<'a> Chain<'a> {
    /// `of_gates`: all names under which records of the journal are here, this gate's first.
    pub(super) fn of(
        of_gates: Vec<String>,
        head: Option<NotedHead>,
        noted: Option<&'a NotedHead>,
        trust: &'a Trust,
    ) -> Self {
        let gate = of_gates.first().map_or("", String::as_str);
        Self {
            name: format!("gate {gate}"),
            of_gates,
            noted,
            trust,
            head,
            has_head: None,
            handovers: Vec::new(),
            walk: None,
            broken: None,
        }
    }

    /// Goes on with this record, as long as nothing is broken.
    pub(super) fn see(
        &mut self,
        source: &impl Source,
        step: &Step<'_>,
        problems: &mut Problems,
    ) -> Result<(), StoreError> {
        let Step { seq, line, ahead } = *step;
        if line.is_empty() {
            problems.add(format!(
                "row {seq} is larger than any that a gate writes, or has no line: neither it nor what stands behind it is read"
            ));
        }
        let walk = if let Some(walk) = &mut self.walk {
            walk
        } else {
            let beginning = Beginning {
                name: &self.name,
                first: seq,
                line,
                removals: &source.removals(&self.of_gates, seq)?,
            };
            match Elsewhere::new(beginning, self.noted, self.trust) {
                Ok(new) => self.walk.insert(new),
                Err(error) => {
                    self.broken = Some(error);
                    return Ok(());
                }
            }
        };
        let next = walk.next();
        if next != seq {
            problems.add(format!("row {seq} stands where record {next} comes next"));
        }
        match walk.see(line, ahead) {
            Ok(kind) if kind == "key" && self.handovers.len() < MOST_KEYS => {
                let handover = takes_over(line).map(|(old, new)| (seq, old, new));
                self.handovers.extend(handover);
            }
            Ok(_other) => {}
            Err(error) => self.broken = Some(error),
        }
        if let (Some(head), None) = (&self.head, &self.broken)
            && head.seq == seq
        {
            self.has_head = Some(head.hash == walk.hash());
        }
        Ok(())
    }

    /// Goes on with all rows of a gate behind the first of these records and up to the second.
    pub(super) fn walk(
        &mut self,
        source: &impl Source,
        gate: &str,
        span: (u64, u64),
        problems: &mut Problems,
    ) -> Result<(), StoreError> {
        if self.broken.is_some() {
            return Ok(());
        }
        source.walk(gate, span, problems, &mut |step, problems| {
            self.see(source, &step, problems)?;
            Ok(self.broken.is_none())
        })
    }

    /// The last record that was met.
    pub(super) fn last(&self) -> Option<u64> {
        self.walk.as_ref().map(|walk| walk.next() - 1)
    }

    /// `None`: there were no lines.
    pub(super) fn end(self) -> (Option<Result<Report, VerifyError>>, Handovers) {
        let report = match self.broken {
            Some(error) => Some(Err(error)),
            None => self.walk.map(Elsewhere::end),
        };
        (report, Handovers(self.handovers))
    }
}

/// How keys of a journal took over from one another. Each says that both have signed it.
pub(super) struct Handovers(Vec<(u64, PublicKey, PublicKey)>);

impl Handovers {
    /// Whether a key of this name handed over to one of another name, up to this record. Where keys of that name are
    /// trusted, it has to be one of them, or one that followed it.
    pub(super) fn leave(&self, name: &str, trusted: &[PublicKey], up_to: u64) -> bool {
        let own = trusted.iter().filter(|key| key.name() == name);
        let mut known: Vec<&PublicKey> = own.collect();
        let is_any = known.is_empty();
        for (seq, old, new) in &self.0 {
            let is_known = known.contains(&old);
            if *seq <= up_to && (is_any || is_known) && old.name() == name && new.name() != name {
                return true;
            }
            if is_known {
                known.push(new);
            }
        }
        false
    }
}

/// Under which names this journal was sent before: a gate whose first record here goes on from one of another gate, which
/// a `key` record says it was; that may be here under a later name. The oldest first.
pub(super) fn earlier(
    source: &impl Source,
    fleet: &Fleet,
    gate: &str,
) -> Result<Vec<Earlier>, StoreError> {
    let mut names = vec![gate.to_owned()];
    let behind = fleet.behind(gate);
    let mut earlier = VecDeque::new();
    while let Some(newest) = names.last()
        && names.len() < MOST_NAMES
    {
        let Some((first, Some(prev))) = source.first(newest)? else {
            break;
        };
        if first <= 1 {
            break;
        }
        let all = names.iter().chain(behind.iter().map(|it| &it.gate));
        let lines = source.keys(&all.cloned().collect::<Vec<_>>())?;
        let mut found = None;
        for old in led_to(newest, &lines) {
            if names.contains(&old) {
                continue;
            }
            let before = source.hashes(&old, first - 1)?;
            if before.is_some_and(|(hash, _)| hash == prev) {
                found = Some(old);
                break;
            }
        }
        let Some(old) = found else { break };
        names.push(old.clone());
        earlier.push_front(Earlier {
            gate: old,
            last: first - 1,
        });
    }
    Ok(earlier.into())
}

/// From which names keys were handed over to this one, also by way of others.
fn led_to(name: &str, lines: &[String]) -> Vec<String> {
    let handed = lines.iter().filter_map(|line| takes_over(line.as_bytes()));
    let handed = handed.map(|(old, new)| (old.name().to_owned(), new.name().to_owned()));
    let mut handed: Vec<(String, String)> = handed.filter(|(old, new)| old != new).collect();
    let mut names = vec![name.to_owned()];
    let mut at = 0;
    while let Some(name) = names.get(at).cloned() {
        handed.retain(|(old, new)| {
            let leads = *new == name;
            if leads && !names.contains(old) {
                names.push(old.clone());
            }
            !leads
        });
        at += 1;
    }
    names.split_off(1)
}

/// Keys that took over in one journal: more than anybody rotates.
const MOST_KEYS: usize = 4096;

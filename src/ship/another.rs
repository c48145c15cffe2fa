//! Whether a server refuses a record for what it is: it takes another one now. A server that refuses everything does so
//! for another reason than what records are.
//!
//! Which one it takes nobody knows: what it has taken before may be too old for it by now, and of what comes next all
//! may be. So several are tried.

use super::keep::{Keep, Refusal, Sent};
use super::{Outgoing, Refused};

impl Keep {
    /// Whether the server takes another record than one that it refuses. First it gets once more what it has taken
    /// before; then the newest record that is on disk, and a few of those behind the refused one. `rest` begins with that.
    pub(super) async fn takes_another(&mut self, rest: &[Outgoing], refused: u64) -> bool {
        if let Some(taken) = self.taken.clone()
            && taken.seq != refused
        {
            match self.takes(&taken).await {
                Ok(is_taken) => return is_taken,
                Err(_is_refused_too) => self.taken = None,
            }
        }
        for another in self.others(rest, refused) {
            if let Ok(is_taken) = self.takes(&another).await {
                self.taken = is_taken.then_some(another);
                return is_taken;
            }
        }
        false
    }

    /// Sends one record. `Ok(false)`: whether it would be taken nobody can say now.
    async fn takes(&mut self, another: &Outgoing) -> Result<bool, Refusal> {
        match self.sink.send(std::slice::from_ref(another)).await {
            Err(refusal @ Refusal::Records(_)) => Err(refusal),
            sent => Ok(matches!(sent, Ok(Sent::Arrived(1..)))),
        }
    }

    /// Records by which the server can be told from a record.
    fn others(&self, rest: &[Outgoing], refused: u64) -> Vec<Outgoing> {
        let is_it =
            |it: &&Outgoing| it.seq != refused && it.line.len() <= LONGEST && self.sink.is_for(it);
        // One that cannot be read is not the only one.
        let newest = self
            .bookmark
            .newest_records((self.on_disk)())
            .unwrap_or_default();
        let mut others: Vec<Outgoing> = newest.iter().find(is_it).cloned().into_iter().collect();
        let behind: Vec<&Outgoing> = rest.iter().filter(is_it).collect();
        let middle = behind.get(behind.len() / 2);
        for another in [behind.last(), middle, behind.first()] {
            others.extend(another.map(|it| (*it).clone()));
        }
        let mut seen = Vec::new();
        others.retain(|it| {
            let is_new = !seen.contains(&it.seq);
            seen.push(it.seq);
            is_new
        });
        others
    }

    /// Keeps one of the records that were taken, where it may be needed.
    pub(super) fn remember(&mut self, sent: Sent, part: &[Outgoing]) {
        if self.refused == Refused::Skip && matches!(sent, Sent::Arrived(1..)) {
            let mut newest = part.iter().rev().filter(|it| it.line.len() <= LONGEST);
            let taken = newest.find(|it| self.sink.is_for(it));
            self.taken = taken.cloned().or_else(|| self.taken.take());
        }
    }
}

/// Bytes of a record that is sent for this.
const LONGEST: usize = 64 << 10;

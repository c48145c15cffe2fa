//! What came since somebody looked last, as soon as it can be read.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::known::by;
use super::since::Last;
use super::{LOOKED_AT, News};
use crate::audit::Stop;
use crate::audit::index::{Filter, Pattern};
use crate::console::Fault;
use crate::console::desk::Gate;
use crate::console::pages::decisions::rows;
use crate::store::Found;
use crate::trail::Source;

/// What the thread that reads and those who look on know of each other.
#[derive(Default)]
pub(super) struct Seen {
    /// Nothing can be read at this moment.
    pub(super) is_unread: AtomicBool,
    /// Those who want to know what came since they looked last.
    joining: Mutex<Vec<Joining>>,
}

/// Somebody who wants to know that.
struct Joining {
    environments: Vec<Pattern>,
    last: Last,
    /// How often it could not be read.
    failed: u8,
    told: oneshot::Sender<Vec<News>>,
}

impl Seen {
    fn joining(&self) -> MutexGuard<'_, Vec<Joining>> {
        self.joining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came since `last`, as soon as somebody has looked.
    pub(super) fn join(
        &self,
        last: Last,
        environments: Vec<Pattern>,
    ) -> oneshot::Receiver<Vec<News>> {
        let (told, missed) = oneshot::channel();
        let mut joining = self.joining();
        // Those who have gone hold no place, and nobody tells them while nothing can be read.
        joining.retain(Joining::is_there);
        joining.push(Joining {
            environments,
            last,
            failed: 0,
            told,
        });
        missed
    }

    /// Tells those who have joined: each within `look`, and whose turn does not come within that the next time. So is one
    /// told again of whom nothing could be read, a few times: what cannot be read is not lost.
    pub(super) fn tell(&self, gate: &Gate, look: Duration) {
        let until = Instant::now() + look;
        let joining = std::mem::take(&mut *self.joining());
        let (mut later, mut failed) = (Vec::new(), Vec::new());
        for mut it in joining.into_iter().filter(Joining::is_there) {
            if Instant::now() >= until {
                later.push(it);
                continue;
            }
            let (stop, _waiting) = Stop::after(look);
            match it.missed(&gate.until(stop)) {
                Ok(missed) => {
                    let _gone = it.told.send(missed);
                }
                Err(_) if it.failed < AGAIN => {
                    it.failed += 1;
                    failed.push(it);
                }
                Err(error) => {
                    tracing::debug!(%error, "it is not known what somebody has missed");
                    let _gone = it.told.send(vec![News::Lost]);
                }
            }
        }
        let mut joining = self.joining();
        later.append(&mut joining);
        later.append(&mut failed);
        *joining = later;
    }

    pub(super) fn is_read(&self) {
        if self.is_unread.swap(false, Ordering::Relaxed) {
            tracing::info!("the console reads what is new again");
        }
    }

    pub(super) fn is_not_read(&self, error: &Fault) {
        self.joining().retain(Joining::is_there);
        if !self.is_unread.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the console cannot read what is new");
        }
    }
}

impl Joining {
    fn is_there(&self) -> bool {
        !self.told.is_closed()
    }

    /// The oldest first. Where the last one is too far back, some are lost. Of what they have seen it is told again what
    /// became of it.
    fn missed(&self, gate: &Gate) -> Result<Vec<News>, Fault> {
        let source = gate.open()?;
        let filter = Filter {
            environment: self.environments.clone(),
            ..Filter::default()
        };
        let newest = source.find(&filter, None, LOOKED_AT + 1)?.decisions;
        let (mut new, mut is_lost) = self.since(&source, &filter, &newest)?;
        let seen = newest.iter().filter(|it| !new.contains(it));
        let seen: Vec<Found> = seen.filter(|it| self.may_be_told_of(it)).cloned().collect();
        new.sort_by_cached_key(|it| Reverse((it.at, it.gate.clone(), it.decided.seq)));
        is_lost |= new.len() > LOOKED_AT;
        new.truncate(LOOKED_AT);
        new.reverse();
        let lost = is_lost.then_some(News::Lost);
        let rows = |found: &[Found]| Ok::<_, Fault>(rows(&source, found, gate.wait())?.0);
        let again = rows(&seen)?.into_iter();
        let again = again.filter(|row| !row.ended.text.is_empty() || row.otherwise.is_some());
        let again = again.map(Box::new).map(News::Again);
        let new = rows(&new)?.into_iter().map(Box::new).map(News::Row);
        Ok(lost.into_iter().chain(again).chain(new).collect())
    }

    /// What came since, and whether there is more of it. Gates send when they can: what is new of a gate is what stands
    /// behind the last of it that they have seen, whatever its time is.
    fn since(
        &self,
        source: &Source,
        filter: &Filter,
        newest: &[Found],
    ) -> Result<(Vec<Found>, bool), Fault> {
        let last = self.last.all();
        if last.is_empty() {
            return Ok((newest.to_vec(), false));
        }
        let (mut new, mut is_lost) = (Vec::new(), false);
        for last in last {
            let mut found = source.find_of(&last.gate, filter, LOOKED_AT + 1)?;
            let is_there = found.iter().any(|it| it.key() == *last);
            if is_there || source.decision(last)?.is_some() {
                found.retain(|it| it.decided.seq > last.seq);
                is_lost |= found.len() > LOOKED_AT;
            } else {
                is_lost = true;
            }
            new.extend(found);
        }
        let is_other = |gate: &str| last.iter().all(|it| it.gate != gate);
        if self.last.is_of_all() {
            // Of any other gate nothing was there.
            for it in source.newest_of_gates()? {
                if is_other(&it.gate) {
                    new.extend(source.find_of(&it.gate, filter, LOOKED_AT + 1)?);
                }
            }
        } else {
            let oldest = newest.iter().rposition(|it| last.contains(&it.key()));
            let before = newest.iter().take(oldest.unwrap_or(newest.len()));
            new.extend(before.filter(|it| is_other(&it.gate)).cloned());
            is_lost |= oldest.is_none() && newest.len() > LOOKED_AT;
        }
        Ok((new, is_lost))
    }

    /// Whether a record that came since may say what became of it, or that none came.
    fn may_be_told_of(&self, found: &Found) -> bool {
        let mut last = self.last.all().iter();
        let last = last.find(|it| it.gate == found.gate).map(|it| it.seq);
        found.decided.outcome.is_none() || by(found).into_iter().flatten().max() > last
    }
}

/// How often it is tried again to read what somebody has missed.
const AGAIN: u8 = 3;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::console::desk::tests::gate_of;
    use crate::store::Key;

    fn key(seq: u64) -> Key {
        Key {
            gate: String::new(),
            seq,
        }
    }

    fn numbers(news: &[News]) -> Vec<Option<u64>> {
        news.iter().map(|it| it.key().map(|key| key.seq)).collect()
    }

    #[test]
    fn whoever_joins_is_told_what_came_since_and_what_is_lost() {
        let missed = |count: usize, last: Option<u64>| {
            let last = Last::of(last.into_iter().map(key));
            let (told, _missed) = oneshot::channel();
            let joining = Joining {
                environments: Vec::new(),
                last,
                failed: 0,
                told,
            };
            numbers(&joining.missed(&gate_of(count)).unwrap())
        };
        assert_eq!(missed(5, Some(3)), [Some(4), Some(5)]);
        assert_eq!(missed(5, Some(5)), []);
        assert_eq!(missed(2, None), [Some(1), Some(2)]);
        let far = missed(LOOKED_AT + 2, Some(1));
        assert_eq!((far.len(), far[0], far[1]), (LOOKED_AT + 1, None, Some(3)));
        // One that was never there, or not any more.
        assert_eq!(missed(2, Some(9)), [None, Some(1), Some(2)]);
        assert_eq!(missed(LOOKED_AT + 1, None)[0], None);
    }

    #[test]
    fn of_those_who_have_gone_nothing_is_kept_while_nothing_can_be_read() {
        let seen = Seen::default();
        let stays = seen.join(Last::default(), Vec::new());
        for _ in 0..100 {
            drop(seen.join(Last::default(), Vec::new()));
        }
        assert_eq!(seen.joining().len(), 2);
        seen.is_not_read(&Fault::Late);
        assert_eq!(seen.joining().len(), 1);
        drop(stays);
    }

    /// All who had joined had one limit, and the last of them were told that decisions are lost.
    #[test]
    fn however_slow_it_is_nobody_is_told_that_some_are_lost_where_none_are() {
        let gate = gate_of(2);
        let open = gate.trail.clone();
        let slow = Gate {
            trail: Arc::new(move || {
                std::thread::sleep(Duration::from_millis(100));
                open()
            }),
            ..gate
        };
        let seen = Seen::default();
        let mut waiting: Vec<_> = (0..8)
            .map(|_| seen.join(Last::default(), Vec::new()))
            .collect();
        let look = Duration::from_millis(400);
        seen.tell(&slow, look);
        let left = seen.joining().len();
        assert!((1..8).contains(&left), "{left}");
        while !seen.joining().is_empty() {
            seen.tell(&slow, look);
        }
        for missed in &mut waiting {
            assert_eq!(numbers(&missed.try_recv().unwrap()), [Some(1), Some(2)]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_read_again_and_lost_only_in_the_end() {
        let gate = gate_of(1);
        let open = gate.trail.clone();
        let failing = |times: usize| {
            let (open, asked) = (open.clone(), AtomicUsize::new(0));
            Gate {
                trail: Arc::new(move || match asked.fetch_add(1, Ordering::Relaxed) {
                    at if at < times => Source::of_gate(Path::new("/none"), Path::new("/none")),
                    _ => open(),
                }),
                ..gate.clone()
            }
        };
        let told = |gate: &Gate| {
            let seen = Seen::default();
            let mut missed = seen.join(Last::default(), Vec::new());
            for _ in 0..=AGAIN {
                seen.tell(gate, Duration::from_secs(10));
            }
            numbers(&missed.try_recv().unwrap())
        };
        assert_eq!(told(&failing(1)), [Some(1)]);
        assert_eq!(told(&failing(usize::MAX)), [None]);
    }
}

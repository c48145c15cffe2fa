//! Records on their way to the writer, and answers on their way back.
//!
//! Every record that was queued is answered, or its waiting end learns that nobody will. To wake a task of
//! another thread costs a system call and often a switch of threads; so of all tasks of one batch that
//! wait on the same thread the writer wakes one, and that one wakes the others, on its own thread. They
//! then come with their next records together, and share the next sync. Whoever waits has to be a future
//! that is polled when it is woken, or dropped; one that is kept and forgotten would keep others waiting.

use std::thread::ThreadId;

use tokio::sync::oneshot;

use super::RecordError;
use super::event::Record;

/// A record that waits to be written.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) record: Record,
    answer: oneshot::Sender<Told>,
    wanted: Wanted,
    /// Where the task was that waits: the best guess at where it will be woken.
    thread: ThreadId,
}

/// Whether a record is written when nobody waits for it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It is true whoever waits.
    Always,
    /// It allows what nobody will do any more.
    WhileAwaited,
}

/// What became of a record, and the answers that its receiver has to pass on.
#[derive(Debug)]
pub(super) struct Told {
    answer: Answer,
    others: Others,
}

/// The number of a record that is on disk.
type Answer = Result<u64, RecordError>;

/// Answers to others. They are passed on whatever happens to their holder: with its end, at the latest.
#[derive(Debug, Default)]
struct Others(Vec<(oneshot::Sender<Told>, Answer)>);

impl Pending {
    pub(super) fn new(record: Record, wanted: Wanted) -> (Self, oneshot::Receiver<Told>) {
        let (answer, written) = oneshot::channel();
        let thread = std::thread::current().id();
        let pending = Self {
            record,
            answer,
            wanted,
            thread,
        };
        (pending, written)
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted == Wanted::Always || !self.answer.is_closed()
    }
}

impl Told {
    pub(super) fn answer(self) -> Answer {
        drop(self.others);
        self.answer
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for (waiting, answer) in self.0.drain(..) {
            let told = Told {
                answer,
                others: Self::default(),
            };
            if waiting.send(told).is_err() {
                tracing::debug!("nobody waits for a record any more");
            }
        }
    }
}

/// Answers a batch, each record by its place in it.
pub(super) fn answer(batch: &mut Vec<Pending>, answer: impl Fn(u64) -> Answer) {
    let mut threads: Vec<(ThreadId, Others)> = Vec::new();
    for (place, pending) in (0..).zip(batch.drain(..)) {
        let waiting = (pending.answer, answer(place));
        let same = threads
            .iter_mut()
            .find(|(thread, _)| *thread == pending.thread);
        match same {
            Some((_, others)) => others.0.push(waiting),
            None => threads.push((pending.thread, Others(vec![waiting]))),
        }
    }
    for (_, mut others) in threads {
        // One that waits no more passes nothing on: the next one has to.
        while let Some((first, answer)) = others.0.pop() {
            let Err(told) = first.send(Told { answer, others }) else {
                break;
            };
            others = told.others;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audit::event::{Event, Stop};

    fn batch(length: u64) -> (Vec<Pending>, Vec<oneshot::Receiver<Told>>) {
        let event = Event::Stop(Stop {
            timestamp: String::new(),
        });
        (0..length)
            .map(|_| Pending::new(event.record(), Wanted::Always))
            .unzip()
    }

    /// What each of them hears, waiting in a task of its own.
    async fn heard(waiting: Vec<(u64, oneshot::Receiver<Told>)>) {
        let mut tasks = tokio::task::JoinSet::new();
        for (place, written) in waiting {
            tasks.spawn(async move { (place, written.await.unwrap().answer().unwrap()) });
        }
        let all = tokio::time::timeout(Duration::from_secs(5), tasks.join_all());
        for (place, answer) in all.await.unwrap() {
            assert_eq!(place, answer);
        }
    }

    #[tokio::test]
    async fn everybody_hears_whoever_went_away() {
        for gone in 0..64_u64 {
            let (mut pending, waiting) = batch(5);
            let stays = |place: u64| gone & (1 << place) == 0;
            // Before the answer, or between the answer and the next poll.
            let early = gone >= 32;
            let mut waiting: Vec<_> = (0..).zip(waiting).collect();
            waiting.retain(|(place, _)| !early || stays(*place));
            answer(&mut pending, Ok);
            waiting.retain(|(place, _)| stays(*place));
            heard(waiting).await;
        }
    }

    #[tokio::test]
    async fn every_thread_has_one_that_wakes_the_others() {
        let (mut pending, waiting) = batch(4);
        let there = std::thread::spawn(|| batch(3)).join().unwrap();
        pending.extend(there.0);
        answer(&mut pending, Ok);
        let mut waiting: Vec<_> = (0..).zip(waiting.into_iter().chain(there.1)).collect();
        let told = |(_, written): &mut (u64, oneshot::Receiver<Told>)| written.try_recv().ok();
        let woken: Vec<Told> = waiting.iter_mut().filter_map(told).collect();
        assert_eq!(woken.len(), 2);
        drop(woken);
        let told: Vec<u64> = waiting
            .iter_mut()
            .filter_map(|(_, written)| written.try_recv().ok()?.answer().ok())
            .collect();
        assert_eq!(told, [0, 1, 2, 4, 5]);
    }
}

//! Changes to one token, one after the other.
//!
//! A difference is only true while nobody else changes the token: whoever looked it up keeps its turn until
//! the upstream has answered. Turns are taken in the order in which they were asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Who has a turn, by what is changed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<String, Line>>>);

/// The mutex of one token; whoever waits for it holds a clone.
type Line = Arc<tokio::sync::Mutex<()>>;

/// The right to change something, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    key: String,
    line: Option<Line>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// The turn, if nobody has it and nobody waits for it.
    pub(super) fn try_take(&self, key: &str) -> Option<Turn> {
        let mut turn = self.stand(key);
        turn.guard = Some(turn.line.clone()?.try_lock_owned().ok()?);
        Some(turn)
    }

    /// Waits for the turn. Whoever stops waiting leaves nothing behind.
    pub(super) async fn take(&self, key: &str) -> Turn {
        let mut turn = self.stand(key);
        if let Some(line) = turn.line.clone() {
            turn.guard = Some(line.lock_owned().await);
        }
        turn
    }

    /// A place in the line, without the turn.
    fn stand(&self, key: &str) -> Turn {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Turn {
            turns: self.clone(),
            key: key.to_owned(),
            line: Some(lines.entry(key.to_owned()).or_default().clone()),
            guard: None,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.guard.take());
        drop(self.line.take());
        // Clones are made under the lock that is held here: one is left when nobody waits.
        if lines
            .get(&self.key)
            .is_some_and(|line| Arc::strong_count(line) == 1)
        {
            lines.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn lines(turns: &Turns) -> usize {
        turns.0.lock().unwrap().len()
    }

    #[tokio::test]
    async fn a_turn_is_waited_for_and_others_are_not() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        drop(turns.take("b").await);
        assert!(turns.try_take("a").is_none());
        drop(turns.try_take("b").unwrap());
        assert_eq!(lines(&turns), 1);
        let mut second = by_hand(turns.take("a"));
        assert!(second.waits(), "it is taken");
        drop(first);
        assert!(!second.waits(), "it is free");
    }

    /// A future that is polled by hand.
    struct Polled<F>(std::pin::Pin<Box<F>>);

    fn by_hand<F: Future>(future: F) -> Polled<F> {
        Polled(Box::pin(future))
    }

    impl<F: Future> Polled<F> {
        fn waits(&mut self) -> bool {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            self.0.as_mut().poll(&mut context).is_pending()
        }
    }

    #[tokio::test]
    async fn whoever_stops_waiting_leaves_nothing_behind() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        let mut second = by_hand(turns.take("a"));
        assert!(second.waits());
        drop(first);
        drop(second);
        assert_eq!(lines(&turns), 0);
        let first = turns.take("a").await;
        let mut second = by_hand(turns.take("a"));
        assert!(second.waits());
        drop(second);
        assert_eq!(lines(&turns), 1);
        drop(first);
        assert_eq!(lines(&turns), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_at_a_time_however_many_come() {
        let turns = Turns::default();
        let inside = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..200)
            .map(|number| {
                let (turns, inside) = (turns.clone(), inside.clone());
                tokio::spawn(async move {
                    let _turn = turns.take(&(number % 3).to_string()).await;
                    let together = inside.fetch_add(1 << (8 * (number % 3)), Ordering::SeqCst);
                    assert_eq!((together >> (8 * (number % 3))) & 0xFF, 0);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1 << (8 * (number % 3)), Ordering::SeqCst);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(lines(&turns), 0);
    }
}

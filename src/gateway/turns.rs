//! Changes to one token, one after the other.
//!
//! A difference is only true while nobody else changes the token: whoever looked it up keeps its turn until
//! the upstream has answered. Callers take turns, each in the order in which it asked: nobody keeps a token from the
//! others by changing it without end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::client::Who;
use super::line::{self, Crowded, Line};

/// Who has a turn, by what is changed. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    timeout: Duration,
    /// One for each token; whoever waits in it holds a clone.
    lines: Arc<Mutex<HashMap<String, Line>>>,
}

/// The right to change something, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    key: String,
    line: Option<Line>,
    held: Option<line::Turn>,
}

impl Turns {
    /// For turns that nobody waits longer for.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            lines: Arc::default(),
        }
    }

    /// The same turns as those before, with another patience.
    pub(super) fn after(self, before: &Self) -> Self {
        Self {
            lines: before.lines.clone(),
            ..self
        }
    }

    /// The turn, if nobody has it and nobody waits for it.
    pub(super) fn try_take(&self, key: &str) -> Option<Turn> {
        let mut turn = self.stand(key);
        turn.held = Some(turn.line.as_ref()?.try_turn()?);
        Some(turn)
    }

    /// Waits for the turn. Whoever stops waiting leaves nothing behind.
    pub(super) async fn take(&self, key: &str, who: Who) -> Result<Turn, Crowded> {
        let mut turn = self.stand(key);
        if let Some(line) = turn.line.clone() {
            turn.held = Some(line.turn(who).await?);
        }
        Ok(turn)
    }

    /// A place in the line, without the turn.
    fn stand(&self, key: &str) -> Turn {
        let mut lines = self.lines();
        let line = lines
            .entry(key.to_owned())
            .or_insert_with(|| Line::new(1, WAITING, self.timeout));
        Turn {
            turns: self.clone(),
            key: key.to_owned(),
            line: Some(line.clone()),
            held: None,
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = self.turns.lines();
        drop(self.held.take());
        drop(self.line.take());
        // Clones are made under the lock that is held here: one is left when nobody waits.
        if lines.get(&self.key).is_some_and(Line::is_alone) {
            lines.remove(&self.key);
        }
    }
}

/// Changes of one token by one caller that wait.
const WAITING: usize = 32;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn who(last: u8) -> Who {
        let address = std::net::IpAddr::from([10, 0, 0, last]);
        Who::new(address.into(), None)
    }

    fn lines(turns: &Turns) -> usize {
        turns.lines().len()
    }

    #[tokio::test]
    async fn a_turn_is_waited_for_and_others_are_not() {
        let turns = Turns::new(Duration::from_mins(1));
        let first = turns.take("a", who(1)).await.unwrap();
        drop(turns.take("b", who(1)).await.unwrap());
        assert!(turns.try_take("a").is_none());
        drop(turns.try_take("b").unwrap());
        assert_eq!(lines(&turns), 1);
        let mut second = by_hand(turns.take("a", who(1)));
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
        let turns = Turns::new(Duration::from_mins(1));
        let first = turns.take("a", who(1)).await.unwrap();
        let mut second = by_hand(turns.take("a", who(1)));
        assert!(second.waits());
        drop(first);
        drop(second);
        assert_eq!(lines(&turns), 0);
        let first = turns.take("a", who(1)).await.unwrap();
        let mut second = by_hand(turns.take("a", who(1)));
        assert!(second.waits());
        drop(second);
        assert_eq!(lines(&turns), 1);
        drop(first);
        assert_eq!(lines(&turns), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_at_a_time_however_many_come() {
        let turns = Turns::new(Duration::from_mins(1));
        let inside = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..200)
            .map(|number| {
                let (turns, inside) = (turns.clone(), inside.clone());
                tokio::spawn(async move {
                    let key = (number % 3).to_string();
                    let who = who(u8::try_from(number % 20).unwrap());
                    let _turn = turns.take(&key, who).await.unwrap();
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

//! What came since somebody looked last, as soon as it can be read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{LOOKED_AT, News};
use crate::audit::index::{Filter, Pattern};
use crate::console::Fault;
use crate::console::desk::Gate;
use crate::console::pages::decisions::rows;
use crate::store::Key;

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
    /// What they have seen last; `None`: nothing.
    last: Option<Key>,
    told: oneshot::Sender<Vec<News>>,
}

impl Seen {
    fn joining(&self) -> MutexGuard<'_, Vec<Joining>> {
        self.joining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came since `last`, as soon as somebody has looked.
    pub(super) fn join(
        &self,
        last: Option<Key>,
        environments: Vec<Pattern>,
    ) -> oneshot::Receiver<Vec<News>> {
        let (told, missed) = oneshot::channel();
        self.joining().push(Joining {
            environments,
            last,
            told,
        });
        missed
    }

    /// Tells those who have joined.
    pub(super) fn tell(&self, gate: &Gate) {
        let joining = std::mem::take(&mut *self.joining());
        for it in joining.into_iter().filter(|it| !it.told.is_closed()) {
            let missed = it.missed(gate).unwrap_or_else(|error| {
                tracing::debug!(%error, "it is not known what somebody has missed");
                vec![News::Lost]
            });
            let _gone = it.told.send(missed);
        }
    }

    pub(super) fn is_read(&self) {
        if self.is_unread.swap(false, Ordering::Relaxed) {
            tracing::info!("the console reads what is new again");
        }
    }

    pub(super) fn is_not_read(&self, error: &Fault) {
        if !self.is_unread.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the console cannot read what is new");
        }
    }
}

impl Joining {
    /// The oldest first. Where the last one is too far back, some are lost.
    fn missed(&self, gate: &Gate) -> Result<Vec<News>, Fault> {
        let source = gate.open()?;
        let filter = Filter {
            environment: self.environments.clone(),
            ..Filter::default()
        };
        let mut new = source.find(&filter, None, LOOKED_AT + 1)?.decisions;
        let known = match &self.last {
            None => (new.len() <= LOOKED_AT).then_some(new.len()),
            Some(last) => new.iter().position(|it| it.key() == *last),
        };
        new.truncate(known.unwrap_or(LOOKED_AT));
        new.reverse();
        let lost = known.is_none().then_some(News::Lost);
        let rows = rows(&source, &new)?.0.into_iter();
        let rows = rows.map(Box::new).map(News::Row);
        Ok(lost.into_iter().chain(rows).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::desk::tests::gate_of;

    fn numbers(news: &[News]) -> Vec<Option<u64>> {
        news.iter().map(|it| it.key().map(|key| key.seq)).collect()
    }

    #[test]
    fn whoever_joins_is_told_what_came_since_and_what_is_lost() {
        let missed = |count: usize, last: Option<u64>| {
            let last = last.map(|seq| Key {
                gate: String::new(),
                seq,
            });
            let (told, _missed) = oneshot::channel();
            let joining = Joining {
                environments: Vec::new(),
                last,
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
}

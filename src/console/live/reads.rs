//! Whether a thread reads, for all who look on: one at most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::console::Fault;

/// Whether a thread reads: one at most.
#[derive(Clone, Default)]
pub(super) struct Reads(Arc<Mutex<bool>>);

/// The thread that reads. Dropped before it has ended: it has failed, and another one may begin.
pub(super) struct Reader {
    reads: Reads,
    has_ended: bool,
}

impl Reads {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks on. Where no thread reads, one begins.
    pub(super) fn join<T: Clone>(
        &self,
        rows: &broadcast::Sender<T>,
        begin: impl FnOnce(Reader) -> Result<(), Fault>,
    ) -> Result<broadcast::Receiver<T>, Fault> {
        // Held until it is known: a thread that is about to end sees who has come, or has ended before.
        let mut is_read = self.lock();
        let receiver = rows.subscribe();
        if !*is_read {
            let reader = Reader {
                reads: self.clone(),
                has_ended: false,
            };
            *is_read = true;
            // What is not begun is dropped, which takes the lock.
            drop(is_read);
            begin(reader)?;
        }
        Ok(receiver)
    }
}

impl Reader {
    /// Whether anybody looks on. Where nobody does, it has ended.
    pub(super) fn goes_on<T>(&mut self, rows: &broadcast::Sender<T>) -> bool {
        let mut is_read = self.reads.lock();
        if rows.receiver_count() > 0 {
            return true;
        }
        *is_read = false;
        self.has_ended = true;
        false
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Another one may have begun since it has ended.
        if !self.has_ended {
            *self.reads.lock() = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Who looks on, and the readers that have threads.
    #[test]
    fn one_reads_however_often_a_page_is_loaded_again() {
        let (rows, _) = broadcast::channel::<u8>(1);
        let (reads, threads) = (Reads::default(), RefCell::new(Vec::new()));
        let join = || {
            let begin = |reader| {
                threads.borrow_mut().push(reader);
                Ok(())
            };
            reads.join(&rows, begin).unwrap()
        };
        let count = || threads.borrow().len();
        drop(join());
        // The reader has not looked since the first one went.
        let again = join();
        assert_eq!(count(), 1);
        assert!(threads.borrow_mut()[0].goes_on(&rows));
        drop(again);
        assert!(!threads.borrow_mut()[0].goes_on(&rows));
        let _later = join();
        assert_eq!(count(), 2);
        // The first one is gone only now: that is not the end of the second.
        drop(threads.borrow_mut().remove(0));
        let _more = join();
        assert_eq!(count(), 1);
        // One that failed makes room for another.
        threads.borrow_mut().clear();
        let _after = join();
        assert_eq!(count(), 1);
        let refused = Reads::default().join(&rows, |_reader| Err(Fault::Busy));
        assert!(matches!(refused, Err(Fault::Busy)));
    }
}

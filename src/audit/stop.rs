//! When a question is given up: its time is over, or nobody waits for the answer any more.
//!
//! Whoever works for an answer asks now and then. Nothing here stops anybody by force.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// When to stop. Clones say the same.
#[derive(Clone, Debug)]
pub struct Stop {
    ends: Instant,
    is_gone: Arc<AtomicBool>,
}

/// Whoever waits for an answer. Dropped: nobody does any more.
#[derive(Debug)]
#[must_use]
pub struct Waiting(Arc<AtomicBool>);

impl Stop {
    /// After so long, or as soon as whoever waits is gone.
    pub fn after(within: Duration) -> (Self, Waiting) {
        let is_gone = Arc::new(AtomicBool::new(false));
        let waiting = Waiting(is_gone.clone());
        let ends = Instant::now() + within;
        (Self { ends, is_gone }, waiting)
    }

    pub fn is_over(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed) || self.left().is_zero()
    }

    /// What is left of the time.
    pub fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_when_the_time_is_or_when_nobody_waits() {
        let (stop, waiting) = Stop::after(Duration::from_hours(1));
        let other = stop.clone();
        assert!(!stop.is_over() && !other.is_over());
        drop(waiting);
        assert!(stop.is_over() && other.is_over());
        let (stop, _waiting) = Stop::after(Duration::ZERO);
        assert!(stop.is_over());
    }
}

//! How many messages are sent within a minute.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Those of the last minute.
#[derive(Debug)]
pub(super) struct Rate {
    most: usize,
    sent: VecDeque<Instant>,
}

impl Rate {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            sent: VecDeque::new(),
        }
    }

    /// How many may be sent now.
    pub(super) fn free(&mut self) -> usize {
        let now = Instant::now();
        let is_old = |sent: &Instant| now.duration_since(*sent) >= MINUTE;
        while self.sent.front().is_some_and(is_old) {
            self.sent.pop_front();
        }
        self.most.saturating_sub(self.sent.len())
    }

    pub(super) fn take(&mut self) {
        self.sent.push_back(Instant::now());
    }
}

const MINUTE: Duration = Duration::from_mins(1);

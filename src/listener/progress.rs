//! Whether a client does its part: it owes bytes, or has bytes to take, and time passes.
//!
//! Only time in which the client is the one to act counts; whoever waits for something else tells nobody here.
//! Two limits: on silence, and on too little in all. Knows neither sockets nor HTTP.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without a byte.
    pub(super) silence: Duration,
    /// The bytes that have to move while the client was waited for so long in all.
    pub(super) least: u64,
}

/// Why a client is not waited for any longer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Overdue {
    /// Bytes move, but too few.
    Slow,
    /// Not a byte.
    Stalled,
}

/// What moved, and how long the client was waited for.
#[derive(Debug, Default)]
pub(super) struct Progress {
    since: Option<Instant>,
    /// Within the present stretch of as much waiting as `Patience::silence`.
    waited: Duration,
    moved: u64,
    slow: bool,
}

/// A `Progress` that wakes its task when it is overdue.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) progress: Progress,
    /// Most clients are never waited for: the timer is made for the first that is.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// `rate`: bytes a second.
    pub(super) fn new(silence: Duration, rate: u64) -> Self {
        let millis = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        let least = rate.saturating_mul(millis) / 1000;
        Self {
            silence,
            least: least.max(1),
        }
    }
}

impl Progress {
    /// It is the client's turn.
    pub(super) fn waits(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// So many bytes moved, and it is not the client's turn any more. `now` is asked for only if it was.
    pub(super) fn moved(
        &mut self,
        bytes: usize,
        now: impl FnOnce() -> Instant,
        patience: &Patience,
    ) {
        self.moved = self
            .moved
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let Some(since) = self.since.take() else {
            return;
        };
        self.waited += now().saturating_duration_since(since);
        if self.waited >= patience.silence {
            self.slow |= self.moved < patience.least;
            self.waited = Duration::ZERO;
            self.moved = 0;
        }
    }

    /// When to look again at a client that is waited for; `None`: it is not.
    pub(super) fn judge(
        &self,
        now: Instant,
        patience: &Patience,
    ) -> Result<Option<Instant>, Overdue> {
        if self.slow {
            return Err(Overdue::Slow);
        }
        let Some(since) = self.since else {
            return Ok(None);
        };
        let silent = since + patience.silence;
        if silent <= now {
            return Err(Overdue::Stalled);
        }
        if self.moved >= patience.least {
            return Ok(Some(silent));
        }
        let slow = since + patience.silence.saturating_sub(self.waited);
        if slow <= now {
            return Err(Overdue::Slow);
        }
        Ok(Some(slow))
    }
}

impl Watch {
    /// It is the client's turn; ready when it had it for too long.
    pub(super) fn poll_overdue(
        &mut self,
        cx: &mut Context<'_>,
        patience: &Patience,
    ) -> Poll<Overdue> {
        loop {
            let now = Instant::now();
            self.progress.waits(now);
            let deadline = match self.progress.judge(now, patience) {
                Err(overdue) => return Poll::Ready(overdue),
                Ok(deadline) => deadline.unwrap_or(now + patience.silence),
            };
            // Set for an earlier wait it rings too early, never too late.
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            ready!(timer.as_mut().poll(cx));
            timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        silence: Duration::from_secs(30),
        least: 30 * 1024,
    };

    /// A client that moves `bytes`, `every` so many seconds: what it is told, and after how many seconds.
    fn client(bytes: usize, every: u64) -> Option<(Overdue, u64)> {
        let start = Instant::now();
        let mut progress = Progress::default();
        for second in 0..3600 {
            let now = start + Duration::from_secs(second);
            if second > 0 && second % every == 0 {
                progress.moved(bytes, || now, &PATIENCE);
            }
            progress.waits(now);
            if let Err(overdue) = progress.judge(now, &PATIENCE) {
                return Some((overdue, second));
            }
        }
        None
    }

    #[test]
    fn a_silent_client_is_stalled_and_a_trickle_is_too_slow() {
        assert_eq!(client(0, 3600), Some((Overdue::Stalled, 30)));
        assert_eq!(client(1, 29), Some((Overdue::Slow, 30)));
        assert_eq!(client(1, 1), Some((Overdue::Slow, 30)));
        // Zero bytes are no progress, however often they come.
        assert_eq!(client(0, 1), Some((Overdue::Slow, 30)));
        // A good begin does not last.
        assert_eq!(client(40 << 10, 31), Some((Overdue::Stalled, 30)));
    }

    #[test]
    fn a_slow_client_that_keeps_on_is_waited_for() {
        assert_eq!(client(1100, 1), None);
        assert_eq!(client(11_000, 10), None);
        assert_eq!(client(40 << 10, 29), None);
    }

    #[test]
    fn time_in_which_it_is_not_the_clients_turn_does_not_count() {
        let start = Instant::now();
        let mut progress = Progress::default();
        for minute in 0..60 {
            let now = start + Duration::from_secs(60 * minute);
            assert_eq!(progress.judge(now, &PATIENCE), Ok(None));
            progress.waits(now);
            progress.moved(1 << 10, || now + Duration::from_secs(1), &PATIENCE);
        }
    }

    #[test]
    fn what_was_moved_at_first_does_not_pay_for_a_trickle_later() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut progress = Progress::default();
        progress.moved(10 << 20, || start, &PATIENCE);
        progress.waits(start);
        progress.moved(1, || at(29), &PATIENCE);
        progress.waits(at(29));
        progress.moved(1, || at(58), &PATIENCE);
        progress.waits(at(58));
        progress.moved(1, || at(80), &PATIENCE);
        progress.waits(at(80));
        assert!(progress.judge(at(87), &PATIENCE).is_ok());
        assert_eq!(progress.judge(at(88), &PATIENCE), Err(Overdue::Slow));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_wakes_its_task_when_the_last_wait_is_too_long() {
        let mut watch = Watch::default();
        let started = Instant::now();
        let first = std::future::poll_fn(|cx| watch.poll_overdue(cx, &PATIENCE));
        assert!(
            tokio::time::timeout(Duration::from_secs(20), first)
                .await
                .is_err()
        );
        watch.progress.moved(40 << 10, Instant::now, &PATIENCE);
        let second = std::future::poll_fn(|cx| watch.poll_overdue(cx, &PATIENCE));
        assert_eq!(second.await, Overdue::Stalled);
        assert_eq!(started.elapsed().as_secs(), 50);
    }
}

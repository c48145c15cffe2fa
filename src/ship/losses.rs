//! How often the other side has lost what it had.

use std::time::Duration;

use tokio::time::Instant;

/// Losses of late. A server that forgets is not sent everything again and again without a pause.
#[derive(Debug, Default)]
pub(super) struct Losses {
    number: u32,
    last: Option<Instant>,
}

impl Losses {
    /// There is another one. How long to wait before it is made good: the first time not at all, then longer each time.
    pub(super) fn another(&mut self) -> Duration {
        if self.last.is_none_or(|last| last.elapsed() >= FORGOTTEN) {
            self.number = 0;
        }
        self.last = Some(Instant::now());
        self.number = self.number.saturating_add(1);
        match self.number.checked_sub(2) {
            None => Duration::ZERO,
            Some(before) => FIRST_PAUSE
                .saturating_mul(2_u32.saturating_pow(before))
                .min(LONGEST_PAUSE),
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_mins(2);
/// So long after the last one, another one counts as the first.
const FORGOTTEN: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_loss_is_made_good_later_until_none_came_for_some_time() {
        let mut losses = Losses::default();
        for _ in 0..2 {
            assert_eq!(losses.another(), Duration::ZERO);
            let mut pauses = Vec::new();
            for _ in 0..40 {
                let pause = losses.another();
                pauses.push(pause);
                tokio::time::advance(pause + Duration::from_secs(1)).await;
            }
            assert_eq!(pauses[..3], [250, 500, 1000].map(Duration::from_millis));
            assert!(pauses.is_sorted());
            assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
            tokio::time::advance(FORGOTTEN).await;
        }
    }
}

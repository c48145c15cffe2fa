//! A bundle that came and was refused: what was in force stands in its place, and it is tried again now and then.

use std::time::Duration;

use tokio::time::Instant;

/// One that is put aside.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    pub(super) digest: String,
    pub(super) reason: String,
    /// How often it was refused.
    times: u32,
    /// Something else was new as well, and may be the cause.
    pub(super) with_others: bool,
    /// Until then it is not tried again.
    due: Instant,
}

impl Aside {
    /// `before`: what was put aside so far.
    pub(super) fn new(before: Option<&Self>, digest: &str, reason: &str) -> Self {
        let before = before.filter(|before| before.digest == digest);
        let times = before.map_or(1, |before| before.times.saturating_add(1));
        Self {
            digest: digest.to_owned(),
            reason: reason.to_owned(),
            times,
            with_others: false,
            due: Instant::now() + pause(times),
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.due <= Instant::now()
    }

    /// Tries it as soon as it comes.
    pub(super) fn try_now(&mut self) {
        self.with_others = false;
        self.due = Instant::now();
    }
}

/// After how long what was refused so often is tried again: twice as long each time.
pub fn pause(times: u32) -> Duration {
    FIRST
        .saturating_mul(1 << times.min(16).saturating_sub(1))
        .min(LONGEST)
}

const FIRST: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_tried_ever_more_seldom_and_another_from_the_beginning() {
        let mut aside = Aside::new(None, "a", "wrong");
        for times in 1..=20 {
            assert_eq!(aside.times, times);
            assert!(!aside.is_due() && pause(times) <= LONGEST);
            aside.try_now();
            assert!(aside.is_due());
            aside = Aside::new(Some(&aside), "a", "wrong");
        }
        assert_eq!(pause(u32::MAX), LONGEST);
        assert_eq!(Aside::new(Some(&aside), "b", "wrong").times, 1);
    }
}

//! Logins that have begun. In memory only, and not many.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::console::session::hash;

/// A login that has begun.
pub(super) struct Begun {
    /// By which its browser is known.
    browser: [u8; 32],
    pub(super) nonce: String,
    /// What PKCE proves with.
    pub(super) verifier: String,
    /// A page of the console.
    pub(super) next: String,
    /// The session that the browser had.
    pub(super) former: Option<[u8; 32]>,
    began: Instant,
}

/// Those that have begun, by a hash of their state.
#[derive(Default)]
pub(super) struct Logins(Mutex<HashMap<[u8; 32], Begun>>);

impl Begun {
    pub(super) fn new(browser: &str, nonce: String, verifier: String, next: &str) -> Self {
        Self {
            browser: hash(browser),
            nonce,
            verifier,
            next: next.to_owned(),
            former: None,
            began: Instant::now(),
        }
    }

    fn is_good(&self, now: Instant) -> bool {
        now.duration_since(self.began) < LONGEST
    }
}

impl Logins {
    /// Whether another one had to go: where there are too many, the oldest does.
    pub(super) fn keep(&self, state: &str, begun: Begun) -> bool {
        let now = Instant::now();
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, begun| begun.is_good(now));
        let is_full = table.len() >= MOST;
        if is_full {
            let oldest = table.iter().min_by_key(|(_, begun)| begun.began);
            if let Some(oldest) = oldest.map(|(state, _)| *state) {
                table.remove(&oldest);
            }
        }
        table.insert(hash(state), begun);
        is_full
    }

    /// The one that began in this browser, once. Another browser does not end it.
    pub(super) fn take(&self, state: &str, browser: &str) -> Option<Begun> {
        let state = hash(state);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = table.get(&state)?;
        if begun.browser != hash(browser) {
            return None;
        }
        let begun = table.remove(&state)?;
        begun.is_good(Instant::now()).then_some(begun)
    }
}

/// How long somebody may take to log in at the issuer.
const LONGEST: Duration = Duration::from_mins(10);
/// Logins that have begun, at once.
const MOST: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(browser: &str) -> Begun {
        Begun::new(browser, "n".to_owned(), "v".to_owned(), "/console")
    }

    #[test]
    fn a_login_counts_once_and_in_its_browser_only() {
        let logins = Logins::default();
        assert!(!logins.keep("state", begun("browser")));
        assert!(logins.take("state", "another").is_none());
        assert!(logins.take("other", "browser").is_none());
        assert!(logins.take("state", "browser").is_some());
        assert!(logins.take("state", "browser").is_none());
    }

    #[test]
    fn one_that_took_too_long_is_over_and_there_are_never_too_many() {
        let logins = Logins::default();
        let old = Begun {
            began: Instant::now().checked_sub(LONGEST).unwrap(),
            ..begun("browser")
        };
        logins.keep("state", old);
        assert!(logins.take("state", "browser").is_none());
        for number in 0..MOST {
            assert!(!logins.keep(&number.to_string(), begun("browser")));
        }
        assert!(logins.keep("last", begun("browser")));
        assert!(logins.take("0", "browser").is_none());
        assert!(logins.take("last", "browser").is_some());
    }
}

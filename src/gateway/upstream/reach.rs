//! Whether the upstream can be reached at all, told to the operator when that changes and not by every request.

use std::error::Error;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::{Error as TlsError, InvalidMessage};

use crate::value::plain_words;

/// What all threads know about it together.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Read by every request, so without a lock.
    fails: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// Why it cannot be reached now.
    reason: Option<String>,
    /// When it was logged last that it cannot.
    logged: Option<Instant>,
    /// Whether that is the last that was logged.
    stands: bool,
}

impl Reach {
    /// No connection could be made. Says so once while it lasts, and again where the reason is another one; in all not
    /// more often than each minute.
    pub(super) fn failed(&self, url: &str, reason: &str, now: Instant) {
        let mut told = self.told();
        let is_new = told.reason.as_deref() != Some(reason);
        let is_due = |logged| now.saturating_duration_since(logged) >= PAUSE;
        told.reason = Some(reason.to_owned());
        self.fails.store(true, Ordering::Relaxed);
        if (is_new || !told.stands) && told.logged.is_none_or(is_due) {
            told.logged = Some(now);
            told.stands = true;
            tracing::warn!(url, error = reason, "the upstream cannot be reached");
        }
    }

    /// A connection carried a request.
    pub(super) fn reached(&self, url: &impl Display) {
        if !self.fails.load(Ordering::Relaxed) {
            return;
        }
        let mut told = self.told();
        self.fails.store(false, Ordering::Relaxed);
        told.reason = None;
        if std::mem::take(&mut told.stands) {
            tracing::info!(%url, "the upstream is reached again");
        }
    }

    /// Why it cannot be reached now.
    pub(super) fn reason(&self) -> Option<String> {
        self.told().reason.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no connection, in words of people: the causes behind one another, each once.
pub(super) fn why(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut hint = None;
    for cause in std::iter::successors(Some(error), |error| cause(*error)) {
        let words = plain_words(&cause.to_string());
        hint = hint.or_else(|| hint_of(cause));
        let is_said = |before: &String| before.ends_with(&words);
        if !words.is_empty() && !said.iter().any(is_said) {
            said.push(words);
        }
    }
    let said = said.join(": ");
    match hint {
        Some(hint) => format!("{said} ({hint})"),
        None => said,
    }
}

/// The next cause. An error of the system that wraps another one does not call it its source.
fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let inner = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    let inner = inner.map(|inner| inner as &(dyn Error + 'static));
    inner.or_else(|| error.source())
}

/// What to look at, where the words alone do not say it.
fn hint_of(error: &(dyn Error + 'static)) -> Option<&'static str> {
    Some(match error.downcast_ref::<TlsError>()? {
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "no TLS is spoken there: is it http:// and not https://?"
        }
        TlsError::InvalidCertificate(_) => "its certificate is not trusted: see upstream.ca",
        _ => return None,
    })
}

/// Between two lines of the log.
const PAUSE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_reason_is_that_of_the_last_try() {
        let (reach, now) = (Reach::default(), Instant::now());
        assert_eq!(reach.reason(), None);
        reach.failed("http://a", "refused", now);
        reach.failed("http://a", "no such name", now);
        assert_eq!(reach.reason().as_deref(), Some("no such name"));
        reach.reached(&"http://a");
        assert_eq!(reach.reason(), None);
    }

    #[test]
    fn it_is_logged_once_while_it_lasts_and_once_a_minute_at_most() {
        let (reach, now) = (Reach::default(), Instant::now());
        let logged = |reach: &Reach| reach.told().logged;
        reach.failed("http://a", "refused", now);
        let later = now + PAUSE;
        reach.failed("http://a", "refused", later);
        assert_eq!(logged(&reach), Some(now), "nothing is new");
        reach.reached(&"http://a");
        reach.failed("http://a", "refused", now + PAUSE / 2);
        assert_eq!(logged(&reach), Some(now), "too early");
        reach.failed("http://a", "refused", later);
        assert_eq!(logged(&reach), Some(later));
        reach.failed("http://a", "no such name", later + PAUSE);
        assert_eq!(logged(&reach), Some(later + PAUSE), "another reason");
    }

    #[test]
    fn causes_are_said_once_in_plain_words() {
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
        assert_eq!(why(&refused), "connection refused");
        let wrong = TlsError::InvalidMessage(InvalidMessage::InvalidContentType);
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, wrong);
        assert_eq!(
            why(&wrapped),
            "received corrupt message of type InvalidContentType (no TLS is spoken there: is it http:// and not https://?)"
        );
    }
}

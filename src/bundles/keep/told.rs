//! What operators are told of the bundles that servers have, and which of them are too old.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Downloads, REFUSED, lock};
use crate::bundles::Name;
use crate::bundles::aside::Aside;
use crate::bundles::config::{Remote, WhenStale};
use crate::value::rfc3339_millis;

/// What is known of one.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) url: String,
    pub(super) max_age: Option<Duration>,
    pub(super) since: Timestamp,
    pub(super) last_request: Option<Timestamp>,
    /// When the server last said that what is in force is what it has.
    pub(super) last_success: Option<Timestamp>,
    /// The digest of what came last and is not in force, and when: if it is put in force, the server said so then.
    pub(super) came: Option<(String, Timestamp)>,
    pub(super) error: Option<String>,
    pub(super) when_stale: WhenStale,
    pub(super) aside: Option<Aside>,
}

impl Told {
    pub(super) fn new(remote: &Remote, last_success: Option<Timestamp>, since: Timestamp) -> Self {
        Self {
            url: remote.shown(),
            max_age: remote.max_age.map(crate::value::Duration::as_std),
            since,
            last_request: None,
            last_success,
            came: None,
            error: None,
            when_stale: remote.when_stale,
            aside: None,
        }
    }
}

impl Downloads {
    pub(super) fn tell(&self, name: &Name, kept: Result<bool, String>) {
        let now = (self.now)();
        let mut all = lock(&self.told);
        let Some(told) = all.get_mut(name) else {
            return;
        };
        told.last_request = Some(now);
        self.metrics
            .bundle_fetched(name.as_str(), kept.is_ok().then_some(now));
        match kept {
            Ok(vouches) => {
                if vouches {
                    told.last_success = Some(now);
                }
                if told.error.take().is_some() {
                    tracing::info!(%name, url = told.url, "a bundle can be fetched again");
                }
            }
            Err(error) => {
                if told.error.as_ref() != Some(&error) {
                    tracing::warn!(
                        %name, url = told.url, %error,
                        "a bundle cannot be fetched: what was in force last stays"
                    );
                }
                told.error = Some(error);
            }
        }
    }

    /// What operators are told.
    pub fn told(&self) -> Vec<Value> {
        let all = lock(&self.told);
        let told = all.iter().map(|(name, told)| {
            json!({
                "name": name.as_str(),
                "url": told.url,
                "last_request": told.last_request.map(rfc3339_millis),
                "last_success": told.last_success.map(rfc3339_millis),
                "error": told.error,
            })
        });
        told.collect()
    }

    /// The first bundle that is older than it may be without its server's word.
    pub fn stale(&self) -> Option<String> {
        self.first_stale(|_| true)
    }

    /// The same, of those for which changes are refused then.
    pub fn refuses(&self) -> Option<String> {
        self.first_stale(|when_stale| when_stale == WhenStale::Refuse)
    }

    fn first_stale(&self, counts: impl Fn(WhenStale) -> bool) -> Option<String> {
        let now = (self.now)();
        let all = lock(&self.told);
        all.iter().find_map(|(name, told)| {
            let since = told.last_success.unwrap_or(told.since);
            let most = told.max_age.filter(|_| counts(told.when_stale))?;
            is_older(since, now, most).then(|| {
                let since = rfc3339_millis(since);
                match &told.error {
                    Some(error) if error.starts_with(REFUSED) => format!(
                        "bundle {name}: what its server has is refused, and it has not vouched for what is in force since \
                         {since} (max_age); /status says why"
                    ),
                    _ => format!("bundle {name}: its server has not answered since {since} (max_age)"),
                }
            })
        })
    }
}

/// A moment that is still to come is not believed: somebody has set the clock.
fn is_older(since: Timestamp, now: Timestamp, most: Duration) -> bool {
    let age = Duration::try_from(now.duration_since(since));
    let ahead = Duration::try_from(since.duration_since(now)).unwrap_or_default();
    age.is_ok_and(|age| age > most) || ahead > CLOCKS_DIFFER
}

const CLOCKS_DIFFER: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_is_still_to_come_is_no_young_one() {
        let (now, most) = (Timestamp::UNIX_EPOCH, Duration::from_secs(10));
        for (seconds, is_old) in [
            (-11, true),
            (-10, false),
            (0, false),
            (59, false),
            (61, true),
        ] {
            let since = now + jiff::SignedDuration::from_secs(seconds);
            assert_eq!(is_older(since, now, most), is_old, "{seconds}");
        }
    }
}

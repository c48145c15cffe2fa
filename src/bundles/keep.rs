//! Fetches bundles again and again, a task each, never on a request's way.
//!
//! What was fetched is put where the gate reads it; whether it is in force is not decided here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::config::{Remote, WhenStale};
use super::fetch::{Answer, Fetched};
use super::stored::{Said, Stored};
use super::{Config, Name};
use crate::telemetry::Metrics;
use crate::value::{Sha256Hex, rfc3339_millis, unwritten};

type Bundles = BTreeMap<Name, Config>;

/// The tasks, and what they have to tell.
pub struct Downloads {
    told: Mutex<BTreeMap<Name, Told>>,
    tasks: Mutex<Tasks>,
    /// A bundle came.
    came: Notify,
    metrics: Metrics,
    now: fn() -> Timestamp,
}

#[derive(Default)]
struct Tasks {
    /// What they fetch, and where they put it.
    wanted: Option<(PathBuf, Bundles, bool)>,
    running: Vec<AbortHandle>,
}

#[derive(Clone, Debug)]
struct Told {
    url: String,
    max_age: Option<Duration>,
    since: Timestamp,
    last_request: Option<Timestamp>,
    last_success: Option<Timestamp>,
    error: Option<String>,
    when_stale: WhenStale,
    /// The digest of a bundle that came and was refused, and why: it is put aside until something else is in force.
    refused: Option<(String, String)>,
}

/// Why a bundle that has to be there before the gate reads is not there.
#[derive(Debug, thiserror::Error)]
#[error("policies.bundles.{name}: {url}: {reason}")]
pub struct Missing {
    name: Name,
    url: String,
    reason: String,
}

/// Sees to it that each bundle is there: what was in force last, or, where none was, what the server has.
pub async fn prepare(
    state: &Path,
    bundles: &Bundles,
    is_shared: bool,
    is_start: bool,
    now: Timestamp,
) -> Result<(), Missing> {
    for (name, config) in bundles {
        let Some(remote) = config.remote() else {
            continue;
        };
        let missing = |reason: String| Missing {
            name: name.clone(),
            url: remote.shown(),
            reason,
        };
        let stored = Stored::new(state, name, config, is_shared);
        if is_start {
            stored
                .restore()
                .map_err(|error| missing(unwritten(&error)))?;
        }
        // One that was signed by another key, say, is fetched again before the gate gives up on it.
        if stored.is_good() {
            continue;
        }
        let fetched = remote
            .fetch(None, None)
            .await
            .map_err(|error| error.to_string());
        let vetted = fetched.and_then(|answer| match answer {
            Answer::Bundle(fetched) => stored.vet(&fetched.bytes).map(|()| Some(fetched)),
            Answer::Unchanged => Ok(None),
        });
        match vetted {
            Ok(Some(fetched)) => {
                let kept = stored.keep(&fetched.bytes, &said(&stored, &fetched, now));
                kept.map_err(|error| missing(unwritten(&error)))?;
            }
            // What is there is read, and refused with its reason.
            Ok(None) => {}
            Err(_reason) if stored.is_there() => {}
            Err(reason) => return Err(missing(reason)),
        }
    }
    Ok(())
}

/// Keeps what is in force, for the next start. `false`: it is not there any more.
pub fn in_force(state: &Path, name: &Name, config: &Config, digest: &str) -> std::io::Result<bool> {
    match config.remote() {
        Some(_) => Stored::new(state, name, config, false).is_in_force(digest),
        None => Ok(true),
    }
}

fn said(stored: &Stored, fetched: &Fetched, now: Timestamp) -> Said {
    Said {
        digest: Sha256Hex::of(&fetched.bytes).as_str().to_owned(),
        etag: fetched.etag.clone(),
        confirmed: Some(rfc3339_millis(now)),
        server: stored.server.clone(),
    }
}

impl Downloads {
    pub fn new(metrics: Metrics, now: fn() -> Timestamp) -> Arc<Self> {
        Arc::new(Self {
            told: Mutex::default(),
            tasks: Mutex::default(),
            came: Notify::new(),
            metrics,
            now,
        })
    }

    /// Fetches these, and no others; `is_shared`: they are not the only source. Has to be called within a tokio runtime.
    pub fn keep(self: &Arc<Self>, state: &Path, bundles: &Bundles, is_shared: bool) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = (state.to_owned(), bundles.clone(), is_shared);
        if tasks.wanted.as_ref() == Some(&wanted) {
            return;
        }
        for task in tasks.running.drain(..) {
            task.abort();
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clear();
        for (name, config) in bundles {
            let Some(remote) = config.remote() else {
                continue;
            };
            let stored = Stored::new(state, name, config, is_shared);
            let confirmed = stored.said().confirmed;
            let last_success = confirmed.and_then(|moment| moment.parse().ok());
            told.insert(
                name.clone(),
                Told {
                    url: remote.shown(),
                    max_age: remote.max_age.map(crate::value::Duration::as_std),
                    since: (self.now)(),
                    last_request: None,
                    last_success,
                    error: None,
                    when_stale: remote.when_stale,
                    refused: None,
                },
            );
            self.metrics
                .bundle_will_be_fetched(name.as_str(), last_success);
            let (all, name, remote) = (self.clone(), name.clone(), remote.clone());
            let task = tokio::spawn(async move { all.fetch_on(&name, &remote, &stored).await });
            tasks.running.push(task.abort_handle());
        }
        tasks.wanted = Some(wanted);
    }

    /// Returns when a bundle has come.
    pub async fn came(&self) {
        self.came.notified().await;
    }

    async fn fetch_on(&self, name: &Name, remote: &Remote, stored: &Stored) {
        let (mut can_wait, mut failures) = (false, 0_u32);
        loop {
            let began = Instant::now();
            let wait = can_wait.then(|| remote.long_poll.as_std());
            let etag = stored.etag();
            let answer = remote
                .fetch(etag.as_deref(), wait.filter(|_| etag.is_some()))
                .await;
            let kept = match answer {
                Ok(answer) => {
                    if let Answer::Bundle(fetched) = &answer {
                        can_wait = fetched.can_wait;
                    }
                    match vetted(stored, answer).await {
                        Ok(answer) => match self.refused(name, &answer) {
                            Some(reason) => Err(reason),
                            None => self.kept(stored, answer),
                        },
                        Err(reason) => Err(reason),
                    }
                }
                Err(error) => Err(error.to_string()),
            };
            failures = if kept.is_ok() {
                0
            } else {
                failures.saturating_add(1)
            };
            self.tell(name, kept);
            let has_waited = can_wait && began.elapsed() >= Duration::from_secs(1);
            let delay = match failures {
                0 if has_waited => Duration::ZERO,
                0 => between(remote.min_delay.as_std(), remote.max_delay.as_std()),
                _ => after_failures(failures, remote.max_delay.as_std()),
            };
            sleep(delay).await;
        }
    }

    /// Why what came is not tried again. An answer that says something else ends it that it was put aside.
    fn refused(&self, name: &Name, answer: &Answer) -> Option<String> {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.get_mut(name)?;
        let (digest, reason) = told.refused.as_ref()?;
        if let Answer::Bundle(fetched) = answer
            && Sha256Hex::of(&fetched.bytes).as_str() == digest
        {
            return Some(format!("what the server has was refused: {reason}"));
        }
        told.refused = None;
        self.came.notify_one();
        None
    }

    /// The bundles that came and are not in force, by name and digest.
    pub fn waiting(state: &Path, bundles: &Bundles) -> Vec<(Name, String)> {
        let remote = bundles.iter().filter(|(_, it)| it.remote().is_some());
        let waiting = remote.filter_map(|(name, config)| {
            let digest = Stored::new(state, name, config, false).waiting()?;
            Some((name.clone(), digest))
        });
        waiting.collect()
    }

    /// These are refused: what was in force last is read in their place, so that other files can change without them.
    pub fn put_aside(
        &self,
        state: &Path,
        bundles: &Bundles,
        waiting: &[(Name, String)],
        reason: &str,
    ) {
        for (name, digest) in waiting {
            let Some(config) = bundles.get(name) else {
                continue;
            };
            let stored = Stored::new(state, name, config, false);
            if stored.waiting().as_ref() != Some(digest) {
                continue;
            }
            let restored = stored.restore();
            let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if let (Ok(()), Some(told)) = (restored, all.get_mut(name)) {
                told.refused = Some((digest.clone(), reason.to_owned()));
            }
        }
    }

    /// Whether a bundle is put aside.
    pub fn holds_refused(&self) -> bool {
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().any(|told| told.refused.is_some())
    }

    /// Something else is in force: bundles that were put aside are tried again when they come.
    pub fn try_again(&self) {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.values_mut().for_each(|told| told.refused = None);
    }

    /// Puts what came where the gate reads it.
    fn kept(&self, stored: &Stored, answer: Answer) -> Result<(), String> {
        let now = (self.now)();
        let kept = match answer {
            Answer::Unchanged => stored.say(&Said {
                confirmed: Some(rfc3339_millis(now)),
                ..stored.said()
            }),
            Answer::Bundle(fetched) => {
                let kept = stored.keep(&fetched.bytes, &said(stored, &fetched, now));
                if matches!(kept, Ok(true)) {
                    self.came.notify_one();
                }
                kept.map(|_is_other| ())
            }
        };
        kept.map_err(|error| format!("policies.state: {}", unwritten(&error)))
    }

    fn tell(&self, name: &Name, kept: Result<(), String>) {
        let now = (self.now)();
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(told) = all.get_mut(name) else {
            return;
        };
        told.last_request = Some(now);
        self.metrics
            .bundle_fetched(name.as_str(), kept.is_ok().then_some(now));
        match kept {
            Ok(()) => {
                told.last_success = Some(now);
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
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
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
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find_map(|(name, told)| {
            let since = told.last_success.unwrap_or(told.since);
            let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            let is_old = told.max_age.is_some_and(|most| age > most) && counts(told.when_stale);
            is_old.then(|| {
                let since = rfc3339_millis(since);
                format!("bundle {name}: its server has not answered since {since} (max_age)")
            })
        })
    }
}

/// The same, if it may be read: that takes its time, and others are served on this thread.
async fn vetted(stored: &Stored, answer: Answer) -> Result<Answer, String> {
    let Answer::Bundle(fetched) = answer else {
        return Ok(answer);
    };
    let (stored, bytes) = (stored.clone(), fetched.bytes.clone());
    let vetted = tokio::task::spawn_blocking(move || stored.vet(&bytes)).await;
    let refused = vetted.unwrap_or_else(|_fault| Err("it cannot be read".to_owned()));
    let refused = refused.map_err(|reason| format!("what the server has is refused: {reason}"));
    refused.map(|()| Answer::Bundle(fetched))
}

/// Twice as long each time, up to the longest; gates that fail together do not come back together.
fn after_failures(failures: u32, most: Duration) -> Duration {
    let longest = FIRST_PAUSE
        .saturating_mul(1 << failures.min(16).saturating_sub(1))
        .min(most);
    between(longest / 2, longest)
}

/// A time that chance finds.
fn between(least: Duration, most: Duration) -> Duration {
    let mut bytes = [0; 2];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return most;
    }
    let part = f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX);
    least + most.saturating_sub(least).mul_f64(part)
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_their_bounds() {
        let most = Duration::from_mins(1);
        for failures in [1, 2, 5, 40, u32::MAX] {
            let pause = after_failures(failures, most);
            assert!(
                pause <= most && pause >= Duration::from_millis(500),
                "{pause:?}"
            );
        }
        assert!(after_failures(40, most) >= most / 2);
        assert_eq!(between(most, most), most);
    }
}

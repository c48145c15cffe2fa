//! Fetches bundles again and again, a task each, never on a request's way.
//!
//! What was fetched is put where the gate reads it; whether it is in force is not decided here.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::aside::Aside;
use super::config::{Remote, WhenStale};
use super::fetch::{Answer, Fetched};
use super::stored::{Said, Stored};
use super::{Config, Name, Vouched};
use crate::policy::{Policy, Release};
use crate::telemetry::Metrics;
use crate::value::{Sha256Hex, rfc3339_millis, unwritten};

type Bundles = BTreeMap<Name, Config>;

/// The tasks, and what they have to tell.
pub struct Downloads {
    told: Mutex<BTreeMap<Name, Told>>,
    tasks: Mutex<Tasks>,
    /// A bundle came.
    came: Notify,
    /// Those that were put aside are wanted now.
    again: Notify,
    /// One that was put aside is tried, until then at most: no other is, so that each is tried by itself.
    trying: Mutex<Option<Instant>>,
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
    /// When the server last said that what is in force is what it has.
    last_success: Option<Timestamp>,
    /// The digest of what came last and is not in force, and when: if it is put in force, the server said so then.
    came: Option<(String, Timestamp)>,
    error: Option<String>,
    when_stale: WhenStale,
    aside: Option<Aside>,
}

/// Why a bundle that has to be there before the gate reads is not there.
#[derive(Debug, thiserror::Error)]
#[error("policies.bundles.{name}: {url}: {reason}")]
pub struct Missing {
    name: Name,
    url: String,
    reason: String,
}

/// Sees to it that each bundle is there: what was in force last, or, where none was, what the server has now. `running`:
/// those that are fetched again and again already.
pub async fn prepare(
    state: &Path,
    bundles: &Bundles,
    is_shared: bool,
    is_start: bool,
    running: &Bundles,
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
        // One that was signed by another key, say, is fetched again before the gate gives up on it. So is one that was
        // never in force: its server may have a better one by now.
        let was_in_force = stored.was_in_force();
        if stored.is_good() && (was_in_force || running.get(name) == Some(config)) {
            continue;
        }
        let fetched = match remote.fetch(None, None).await {
            Ok(Answer::Bundle(fetched)) => fetched,
            // What is there is read, and refused with its reason.
            Ok(Answer::Unchanged) => continue,
            Err(_reason) if stored.is_there() => continue,
            Err(reason) => return Err(missing(reason.to_string())),
        };
        match stored.vet(&fetched.bytes) {
            Ok(()) => {
                let kept = stored.keep(&fetched.bytes, &said(&stored, &fetched, now));
                kept.map_err(|error| missing(unwritten(&error)))?;
            }
            Err(_reason) if was_in_force => {}
            Err(reason) => return Err(missing(reason)),
        }
    }
    Ok(())
}

/// Keeps what is in force, for the next start: the bytes that were judged, whatever has come meanwhile. Gives what is to
/// be remembered of when the server vouched for it.
pub fn in_force(
    state: &Path,
    name: &Name,
    config: &Config,
    judged: &Release,
) -> io::Result<Option<Vouched>> {
    if config.remote().is_none() {
        return Ok(None);
    }
    let stored = Stored::new(state, name, config, false);
    stored.is_in_force(&judged.packed)?;
    Ok(stored.vouched(&judged.digest))
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
            again: Notify::new(),
            trying: Mutex::default(),
            metrics,
            now,
        })
    }

    /// Fetches these, and no others; `is_shared`: they are not the only source. Has to be called within a tokio runtime.
    pub fn keep(self: &Arc<Self>, state: &Path, bundles: &Bundles, is_shared: bool) {
        let mut tasks = lock(&self.tasks);
        let wanted = (state.to_owned(), bundles.clone(), is_shared);
        if tasks.wanted.as_ref() == Some(&wanted) {
            return;
        }
        for task in tasks.running.drain(..) {
            task.abort();
        }
        let mut told = lock(&self.told);
        told.clear();
        for (name, config) in bundles {
            let Some(remote) = config.remote() else {
                continue;
            };
            let stored = Stored::new(state, name, config, is_shared);
            let last_success = stored.confirmed((self.now)());
            told.insert(
                name.clone(),
                Told {
                    url: remote.shown(),
                    max_age: remote.max_age.map(crate::value::Duration::as_std),
                    since: stored.since().unwrap_or_else(self.now),
                    last_request: None,
                    last_success,
                    came: None,
                    error: None,
                    when_stale: remote.when_stale,
                    aside: None,
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

    async fn fetch_on(self: &Arc<Self>, name: &Name, remote: &Remote, stored: &Stored) {
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
                            None => self.kept(name, stored, answer).await,
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
            tokio::select! {
                () = sleep(delay) => {}
                () = self.again.notified() => {}
            }
        }
    }

    /// Why what came is not tried yet. An answer that says something else ends it that it was put aside.
    fn refused(&self, name: &Name, answer: &Answer) -> Option<String> {
        let digest = match answer {
            Answer::Bundle(fetched) => Some(Sha256Hex::of(&fetched.bytes)),
            Answer::Unchanged => None,
        };
        let mut all = lock(&self.told);
        let told = all.get_mut(name)?;
        let aside = told.aside.as_ref()?;
        if digest.is_none_or(|digest| digest.as_str() != aside.digest) {
            told.aside = None;
            self.came.notify_one();
            return None;
        }
        let (mut trying, now) = (lock(&self.trying), Instant::now());
        if !aside.is_due() || trying.is_some_and(|until| until > now) {
            return Some(format!("{REFUSED} was refused: {}", aside.reason));
        }
        *trying = Some(now + LONGEST_TRY);
        None
    }

    /// The bundles that came and are not in force, by name and digest.
    pub fn waiting(state: &Path, bundles: &Bundles, in_force: &Policy) -> Vec<(Name, String)> {
        let remote = bundles.iter().filter(|(_, it)| it.remote().is_some());
        let waiting = remote.filter_map(|(name, config)| {
            let stored = Stored::new(state, name, config, false);
            let digest = stored.waiting(digest(in_force, name))?;
            Some((name.clone(), digest))
        });
        waiting.collect()
    }

    /// These are refused: what is in force is read in their place, so that other files can change without them.
    pub fn put_aside(
        &self,
        state: &Path,
        bundles: &Bundles,
        in_force: &Policy,
        waiting: &[(Name, String)],
        reason: &str,
    ) {
        *lock(&self.trying) = None;
        for (name, refused) in waiting {
            let Some(config) = bundles.get(name) else {
                continue;
            };
            let stored = Stored::new(state, name, config, false);
            let in_force = digest(in_force, name);
            if stored.waiting(in_force).as_ref() != Some(refused) {
                continue;
            }
            let restored = stored.put_back(in_force);
            if let (Ok(true), Some(told)) = (restored, lock(&self.told).get_mut(name)) {
                told.aside = Some(Aside::new(told.aside.as_ref(), refused, reason));
            }
        }
    }

    /// These were put aside together, or with other files that are refused: each may be right by itself.
    pub fn put_aside_with_others(&self, waiting: &[(Name, String)]) {
        let mut all = lock(&self.told);
        for (name, refused) in waiting {
            let told = all.get_mut(name).and_then(|told| told.aside.as_mut());
            if let Some(aside) = told.filter(|aside| aside.digest == *refused) {
                aside.with_others = true;
            }
        }
    }

    /// Whether a bundle is put aside.
    pub fn holds_refused(&self) -> bool {
        lock(&self.told).values().any(|told| told.aside.is_some())
    }

    /// Nothing else is refused any more: those that were put aside with others are tried, one after the other.
    pub fn try_those_with_others(&self) {
        self.try_those(|aside| aside.with_others);
    }

    /// Somebody wants them tried.
    pub fn try_all(&self) {
        self.try_those(|_| true);
    }

    fn try_those(&self, wanted: impl Fn(&Aside) -> bool) {
        let mut all = lock(&self.told);
        let aside = all.values_mut().filter_map(|told| told.aside.as_mut());
        let wanted: Vec<&mut Aside> = aside.filter(|aside| wanted(aside)).collect();
        if !wanted.is_empty() {
            wanted.into_iter().for_each(Aside::try_now);
            self.again.notify_waiters();
        }
    }

    /// Something else is in force: bundles that were put aside are tried again when they come.
    pub fn are_in_force(&self, policy: &Policy) {
        *lock(&self.trying) = None;
        let mut held = false;
        for (name, told) in lock(&self.told).iter_mut() {
            held |= told.aside.take().is_some();
            let in_force = digest(policy, name);
            let came = told.came.take_if(|came| Some(&*came.0) == in_force);
            told.last_success = came.map(|(_, moment)| moment).or(told.last_success);
        }
        if held {
            self.again.notify_waiters();
        }
    }

    /// Puts what came where the gate reads it; on another thread, because a disk can be slow.
    async fn kept(
        self: &Arc<Self>,
        name: &Name,
        stored: &Stored,
        answer: Answer,
    ) -> Result<bool, String> {
        let (all, name, stored) = (self.clone(), name.clone(), stored.clone());
        let kept = tokio::task::spawn_blocking(move || all.keep_answer(&name, &stored, answer));
        let kept = kept
            .await
            .unwrap_or_else(|_fault| Err(io::Error::other("a fault")));
        kept.map_err(|error| format!("policies.state: {}", unwritten(&error)))
    }

    /// Whether the server vouches by it for what is in force.
    fn keep_answer(&self, name: &Name, stored: &Stored, answer: Answer) -> io::Result<bool> {
        let now = (self.now)();
        let fetched = match answer {
            Answer::Unchanged => {
                let said = Said {
                    confirmed: Some(rfc3339_millis(now)),
                    ..stored.said()
                };
                stored.say(&said)?;
                return stored.vouch(&said).map(|()| true);
            }
            Answer::Bundle(fetched) => fetched,
        };
        let said = said(stored, &fetched, now);
        let vouches = stored.is_remembered(&said.digest);
        if !vouches && let Some(told) = lock(&self.told).get_mut(name) {
            told.came = Some((said.digest.clone(), now));
        }
        if stored.keep(&fetched.bytes, &said)? {
            self.came.notify_one();
        }
        stored.vouch(&said)?;
        Ok(vouches)
    }

    fn tell(&self, name: &Name, kept: Result<bool, String>) {
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

/// The same, if it may be read: that takes its time, and others are served on this thread.
async fn vetted(stored: &Stored, answer: Answer) -> Result<Answer, String> {
    let Answer::Bundle(fetched) = answer else {
        return Ok(answer);
    };
    let (stored, bytes) = (stored.clone(), fetched.bytes.clone());
    let vetted = tokio::task::spawn_blocking(move || stored.vet(&bytes)).await;
    let refused = vetted.unwrap_or_else(|_fault| Err("it cannot be read".to_owned()));
    let refused = refused.map_err(|reason| format!("{REFUSED} is refused: {reason}"));
    refused.map(|()| Answer::Bundle(fetched))
}

/// The digest of a bundle that is in force.
fn digest<'a>(in_force: &'a Policy, name: &Name) -> Option<&'a str> {
    let release = in_force.releases().find(|it| it.name == name.as_str());
    release.map(|release| release.digest.as_str())
}

/// A moment that is still to come is not believed: somebody has set the clock.
fn is_older(since: Timestamp, now: Timestamp, most: Duration) -> bool {
    let age = Duration::try_from(now.duration_since(since));
    let ahead = Duration::try_from(since.duration_since(now)).unwrap_or_default();
    age.is_ok_and(|age| age > most) || ahead > CLOCKS_DIFFER
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
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
/// How long one that was put aside is tried, before another is.
const LONGEST_TRY: Duration = Duration::from_mins(1);
const CLOCKS_DIFFER: Duration = Duration::from_mins(1);
/// How it begins that what came is refused.
const REFUSED: &str = "what the server has";

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

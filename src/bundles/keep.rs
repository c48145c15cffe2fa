//! Fetches bundles again and again, a task each, never on a request's way.
//!
//! What was fetched is put where the gate reads it; whether it is in force is not decided here.

mod prepare;
mod refused;
mod told;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::config::Remote;
use super::fetch::{Answer, Fetched};
use super::stored::{Said, Stored};
use super::{Config, Name};
use crate::telemetry::Metrics;
use crate::value::{Sha256Hex, rfc3339_millis, unwritten};
pub use prepare::{Missing, in_force, prepare};
use told::Told;

type Bundles = BTreeMap<Name, Config>;
type Wanted = (PathBuf, Bundles, bool);
type Known = (Name, Remote, Stored, Moments);
/// When the server vouched for what is in force, and when that was put in force, as far as the disk knows.
type Moments = (Option<Timestamp>, Option<Timestamp>);

/// The tasks, and what they have to tell.
pub struct Downloads {
    told: Mutex<BTreeMap<Name, Told>>,
    tasks: Mutex<Tasks>,
    /// A bundle came.
    came: Notify,
    /// Those that were put aside are wanted now.
    again: Notify,
    /// Nothing is put where the gate reads it while somebody has this.
    placing: tokio::sync::Mutex<()>,
    /// What is in force is not on disk yet as such: nothing may be put in its place.
    is_unkept: AtomicBool,
    /// One that was put aside is tried, until then at most: no other is, so that each is tried by itself.
    trying: Mutex<Option<Instant>>,
    metrics: Metrics,
    now: fn() -> Timestamp,
}

#[derive(Default)]
struct Tasks {
    /// What they fetch, and where they put it.
    wanted: Option<Wanted>,
    running: Vec<AbortHandle>,
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
            placing: tokio::sync::Mutex::default(),
            is_unkept: AtomicBool::default(),
            trying: Mutex::default(),
            metrics,
            now,
        })
    }

    /// Fetches these, and no others; `is_shared`: they are not the only source. Has to be called within a tokio runtime.
    pub async fn keep(self: &Arc<Self>, state: &Path, bundles: &Bundles, is_shared: bool) {
        let wanted = (state.to_owned(), bundles.clone(), is_shared);
        if lock(&self.tasks).wanted.as_ref() == Some(&wanted) {
            return;
        }
        let (all, of) = (self.clone(), wanted.clone());
        let known = off_thread(move || all.known(&of)).await.unwrap_or_default();
        let mut tasks = lock(&self.tasks);
        for task in tasks.running.drain(..) {
            task.abort();
        }
        let mut told = lock(&self.told);
        told.clear();
        for (name, remote, stored, (last_success, since)) in known {
            let since = since.unwrap_or_else(self.now);
            told.insert(name.clone(), Told::new(&remote, last_success, since));
            self.metrics
                .bundle_will_be_fetched(name.as_str(), last_success);
            let all = self.clone();
            let task = tokio::spawn(async move { all.fetch_on(&name, &remote, &stored).await });
            tasks.running.push(task.abort_handle());
        }
        tasks.wanted = Some(wanted);
    }

    /// Those that servers have, and when each server last vouched for what is in force, as far as the disk knows.
    fn known(&self, (state, bundles, is_shared): &Wanted) -> Vec<Known> {
        let known = bundles.iter().filter_map(|(name, config)| {
            let stored = Stored::new(state, name, config, *is_shared);
            let moments = (stored.confirmed((self.now)()), stored.since());
            Some((name.clone(), config.remote()?.clone(), stored, moments))
        });
        known.collect()
    }

    /// While somebody has what this gives, what was fetched waits: what is read meanwhile can be kept as it was read.
    pub async fn hold(&self) -> impl Drop + use<'_> {
        self.placing.lock().await
    }

    /// Whether a start would find what is in force. While it would not, nothing that is fetched takes its place.
    pub fn is_kept(&self) -> bool {
        !self.is_unkept.load(Relaxed)
    }

    pub fn set_kept(&self, is_kept: bool) {
        self.is_unkept.store(!is_kept, Relaxed);
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
            let said = stored.clone();
            let etag = off_thread(move || said.etag()).await.flatten();
            let answer = remote
                .fetch(etag.as_deref(), wait.filter(|_| etag.is_some()))
                .await;
            let is_whole = matches!(answer, Ok(Answer::Bundle(_)));
            let kept = match answer {
                Ok(answer) => {
                    if let Answer::Bundle(fetched) = &answer {
                        can_wait = fetched.can_wait;
                    }
                    match vetted(stored, answer).await {
                        Ok(answer) => self.kept(name, stored, answer).await,
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
            let least = remote.min_delay.as_std();
            let delay = match failures {
                0 if has_waited && is_whole => least.min(AFTER_A_WHOLE_ONE),
                0 if has_waited => Duration::ZERO,
                0 => between(least, remote.max_delay.as_std()),
                _ => after_failures(failures, remote.max_delay.as_std()),
            };
            tokio::select! {
                () = sleep(delay) => {}
                () = self.again.notified() => {}
            }
        }
    }

    /// Puts what came where the gate reads it, unless it was refused and is not tried again yet; on another thread, because a disk can be slow.
    async fn kept(
        self: &Arc<Self>,
        name: &Name,
        stored: &Stored,
        answer: Answer,
    ) -> Result<bool, String> {
        let _one = match answer {
            // What is being read stays as it is, until it is kept.
            Answer::Bundle(_) => Some(self.placing.lock().await),
            Answer::Unchanged => None,
        };
        // Only now: it may have been refused while this waited.
        if let Some(reason) = self.refused(name, &answer) {
            return Err(reason);
        }
        if matches!(answer, Answer::Bundle(_)) && !self.is_kept() {
            return Err(UNKEPT.to_owned());
        }
        let (all, name, stored) = (self.clone(), name.clone(), stored.clone());
        let kept = off_thread(move || all.keep_answer(&name, &stored, answer)).await;
        let kept = kept.unwrap_or_else(|| Err(io::Error::other("a fault")));
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
}

/// Does what a disk or a core can take long for where it holds nobody up. `None`: it panicked, and that is logged.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// The same, if it may be read: that takes its time, and others are served on this thread.
async fn vetted(stored: &Stored, answer: Answer) -> Result<Answer, String> {
    let Answer::Bundle(fetched) = answer else {
        return Ok(answer);
    };
    let (stored, bytes) = (stored.clone(), fetched.bytes.clone());
    let vetted = off_thread(move || stored.vet(&bytes)).await;
    let refused = vetted.unwrap_or_else(|| Err("it cannot be read".to_owned()));
    let refused = refused.map_err(|reason| format!("{REFUSED} is refused: {reason}"));
    refused.map(|()| Answer::Bundle(fetched))
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
/// A server that waits with its answer is asked again at once, but not as soon as it has sent a bundle: each has to be
/// judged, and whoever has the server could send another one each second.
const AFTER_A_WHOLE_ONE: Duration = Duration::from_secs(10);
const UNKEPT: &str = "policies.state: what is in force is not written there yet, and would be lost";
/// How it begins that what came is refused.
const REFUSED: &str = "what the server has";

#[cfg(test)]
mod tests {
    use super::*;

    /// What came while another was judged took its place before that was kept: a start took the one before.
    #[tokio::test]
    async fn what_is_being_read_stays_there_until_it_is_kept() {
        let state = tempfile::tempdir().unwrap();
        let config: Config = toml::from_str("url = 'http://127.0.0.1:1/a'").unwrap();
        let name = Name::try_from("platform".to_owned()).unwrap();
        let stored = Stored::new(state.path(), &name, &config, false);
        let all = Downloads::new(Metrics::new("0"), || Timestamp::UNIX_EPOCH);
        let put = |bytes: &'static [u8]| {
            let (all, name, stored) = (all.clone(), name.clone(), stored.clone());
            let fetched = Fetched {
                bytes: bytes.into(),
                etag: None,
                can_wait: false,
            };
            tokio::spawn(async move { all.kept(&name, &stored, Answer::Bundle(fetched)).await })
        };
        let current = || std::fs::read(state.path().join("platform.tar.gz")).unwrap();
        put(b"one").await.unwrap().unwrap();
        let held = all.hold().await;
        let mut second = put(b"two");
        let waits = tokio::time::timeout(Duration::from_millis(50), &mut second).await;
        assert!(waits.is_err());
        assert_eq!(current(), b"one");
        drop(held);
        second.await.unwrap().unwrap();
        assert_eq!(current(), b"two");
        // The disk was full when that was to be kept.
        all.set_kept(false);
        let refused = put(b"three").await.unwrap().unwrap_err();
        assert!(refused.contains("policies.state"), "{refused}");
        assert_eq!(current(), b"two");
        all.set_kept(true);
        put(b"three").await.unwrap().unwrap();
        assert_eq!(current(), b"three");
    }

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

//! A second set of policies, asked about what the first has judged, without any effect.
//!
//! A request leaves what was judged in a queue and goes on: it never waits here, and nothing that becomes of it here
//! comes back. A thread of low priority asks the challenger; where it would have decided otherwise, a task of its own has
//! that recorded. What finds no room in the queue is counted.

mod judging;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::Gateway;
use super::environment::Addressed;
use super::record::Recorder;
use super::rejection::Rejection;
use crate::audit::Recorded;
use crate::audit::event::DecisionRecord;
use crate::policy::{Decision, Input, Judged, Mask, Mode, Policy, Verdict};
use crate::telemetry::{Limit, Metrics};
use crate::value::rfc3339_millis;
pub use judging::{Desk, Judging};

/// Where judged requests are left. Clones are the same one.
#[derive(Clone)]
pub struct Challenger(Arc<Inner>);

struct Inner {
    loaded: ArcSwapOption<Loaded>,
    /// Of the policies in force that it was checked beside.
    beside: AtomicU64,
    /// Why the files as they are now are not what judges.
    refused: Mutex<Option<String>>,
    queue: mpsc::Sender<Job>,
    /// Bytes of what waits, and how many have no result yet.
    bytes: AtomicUsize,
    pending: AtomicUsize,
    metrics: Metrics,
}

/// The policies, since when, and what their answers came to.
struct Loaded {
    policy: Policy,
    since: Timestamp,
    results: [AtomicU64; Came::ALL.len()],
}

/// What became of one judged request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Came {
    Dropped,
    Failed,
    Same,
    TimedOut,
    Violations,
    WouldAllow,
    WouldDeny,
}

/// What was judged, and has to be judged again.
struct Job {
    recorder: Arc<Recorder>,
    input: Input,
    said: Said,
    /// The number of the decision; `None`: it has no record, and what is said of it has none either.
    sequence: Option<u64>,
    /// Of the set that has judged, and its rules.
    generation: u64,
    mask: Option<Mask>,
    held: Held,
}

/// What policies said, as far as it is compared.
#[derive(Debug, Eq, PartialEq)]
struct Said {
    verdict: Verdict,
    violations: BTreeSet<(String, Mode, Option<String>, Option<String>)>,
}

/// A place in the queue, until it is dropped.
struct Held {
    challenger: Challenger,
    bytes: usize,
}

impl Challenger {
    /// With nothing loaded, and what judges.
    pub fn new(metrics: Metrics) -> (Self, Judging) {
        let (queue, queued) = mpsc::channel(QUEUE);
        let challenger = Self(Arc::new(Inner {
            loaded: ArcSwapOption::empty(),
            beside: AtomicU64::new(0),
            refused: Mutex::default(),
            queue,
            bytes: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            metrics,
        }));
        (challenger.clone(), Judging::new(challenger, queued))
    }

    /// What is asked, or will be, was checked beside the policies of this generation: what others have judged it is not asked
    /// about. It may not have what they read, and they may be told otherwise.
    pub fn checked_beside(&self, generation: u64) {
        self.0.beside.store(generation, Relaxed);
    }

    fn is_beside(&self, generation: u64) -> bool {
        self.0.beside.load(Relaxed) == generation
    }

    /// From now on these policies are asked, or none.
    pub fn put(&self, policy: Option<Policy>, now: Timestamp) {
        self.tell(None);
        let loaded = policy.map(|policy| {
            let results = Came::ALL.map(Came::as_str);
            self.0.metrics.will_be_challenged(&results);
            Arc::new(Loaded {
                policy,
                since: now,
                results: Default::default(),
            })
        });
        self.0.loaded.store(loaded);
    }

    /// The files as they are now are refused, and what was loaded goes on.
    pub fn refuse(&self, reason: String) {
        self.tell(Some(reason));
    }

    /// The files are again what judges.
    pub fn put_back(&self) {
        self.tell(None);
    }

    fn tell(&self, refused: Option<String>) {
        self.0.metrics.challenger_is_refused(refused.is_some());
        *self
            .0
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// The digest of what is asked.
    pub fn revision(&self) -> Option<String> {
        let loaded = self.0.loaded.load();
        loaded.as_ref().map(|it| it.policy.revision().to_owned())
    }

    /// What operators are told; `null`: there is none.
    pub fn told(&self) -> Value {
        let loaded = self.0.loaded.load_full();
        let refused = self.0.refused.lock();
        let refused = refused.unwrap_or_else(PoisonError::into_inner).clone();
        if loaded.is_none() && refused.is_none() {
            return Value::Null;
        }
        let results = loaded.as_ref().map(|loaded| {
            let results = Came::ALL.iter().zip(&loaded.results);
            let results =
                results.map(|(came, count)| (came.as_str().to_owned(), json!(count.load(Relaxed))));
            results.collect::<Map<String, Value>>()
        });
        let loaded = loaded.as_ref();
        json!({
            "revision": loaded.map(|it| it.policy.revision()),
            "names": loaded.map(|it| it.policy.names().collect::<Vec<_>>()),
            "since": loaded.map(|it| rfc3339_millis(it.since)),
            "refused": refused.is_some(),
            "error": refused,
            "waiting": self.0.pending.load(Relaxed),
            "decisions": results,
        })
    }

    fn is_loaded(&self) -> bool {
        self.0.loaded.load().is_some()
    }

    fn count(&self, loaded: &Loaded, came: Came) {
        self.0.metrics.challenged(came.as_str());
        if let Some(count) = loaded.results.get(came as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Room for one more in the queue.
    fn room(&self, bytes: usize) -> Option<Held> {
        self.0.pending.fetch_add(1, Relaxed);
        let before = self.0.bytes.fetch_add(bytes, Relaxed);
        // Gives it back where there is none.
        let held = Held {
            challenger: self.clone(),
            bytes,
        };
        (before + bytes <= MOST_BYTES || before == 0).then_some(held)
    }

    /// Leaves it in the queue, if there is room. Nobody waits for that.
    fn offer(&self, asked: Asked, bytes: usize) {
        let Some(loaded) = self.0.loaded.load_full() else {
            return;
        };
        if !self.is_beside(asked.generation) {
            self.count(&loaded, Came::Dropped);
            return;
        }
        let offered = self.room(bytes).is_some_and(|held| {
            let Asked {
                recorder,
                input,
                said,
                sequence,
                generation,
                mask,
            } = asked;
            let job = Job {
                recorder,
                input,
                said,
                sequence,
                generation,
                mask,
                held,
            };
            self.0.queue.try_send(job).is_ok()
        });
        if !offered {
            self.0.metrics.reached(Limit::Challenger);
            self.count(&loaded, Came::Dropped);
        }
    }
}

/// What a job is made of.
struct Asked {
    recorder: Arc<Recorder>,
    input: Input,
    said: Said,
    sequence: Option<u64>,
    generation: u64,
    mask: Option<Mask>,
}

impl Gateway {
    /// Records what was decided, and leaves it to the challenger, where there is one.
    pub(super) async fn decided_and_challenged(
        &self,
        recorder: &Arc<Recorder>,
        judged: Judged<Addressed>,
        event: DecisionRecord,
        missing: bool,
        input: Input,
    ) -> Result<Recorded<Addressed>, Rejection> {
        let challenger = &self.shared.outside.challenger;
        let said = challenger
            .is_loaded()
            .then(|| (Said::of(judged.decision()), event.length()));
        let decided = self.decided(recorder, judged, event, missing).await;
        if let Some((said, bytes)) = said
            && !matches!(&decided, Err(rejection) if rejection.reason.is_superseded())
        {
            let asked = Asked {
                recorder: recorder.clone(),
                input,
                said,
                sequence: decided.as_ref().ok().map(Recorded::sequence),
                generation: self.set.generation,
                mask: self.set.policy.mask().cloned(),
            };
            challenger.offer(asked, bytes);
        }
        decided
    }
}

impl Said {
    fn of(decision: &Decision) -> Self {
        let violations = decision.violations.iter();
        Self {
            // A grant is no word of the policies.
            verdict: if decision.grant.is_some() {
                Verdict::Deny
            } else {
                decision.verdict
            },
            violations: violations
                .map(|it| (it.policy.clone(), it.mode, it.code.clone(), it.path.clone()))
                .collect(),
        }
    }

    /// In what the challenger's differs.
    fn differs(&self, other: &Self) -> Came {
        match (self.verdict, other.verdict) {
            (Verdict::Allow, Verdict::Deny) => Came::WouldDeny,
            (Verdict::Deny, Verdict::Allow) => Came::WouldAllow,
            _ if self == other => Came::Same,
            _ => Came::Violations,
        }
    }
}

impl Came {
    /// By their number.
    const ALL: [Self; 7] = [
        Self::Dropped,
        Self::Failed,
        Self::Same,
        Self::TimedOut,
        Self::Violations,
        Self::WouldAllow,
        Self::WouldDeny,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Failed => "failed",
            Self::Same => "same",
            Self::TimedOut => "timed_out",
            Self::Violations => "violations",
            Self::WouldAllow => "would_allow",
            Self::WouldDeny => "would_deny",
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.challenger.0.bytes.fetch_sub(self.bytes, Relaxed);
        self.challenger.0.pending.fetch_sub(1, Relaxed);
    }
}

/// Judged requests that wait.
const QUEUE: usize = 256;
/// Bytes of their records, together: each takes some times that in memory.
const MOST_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests;

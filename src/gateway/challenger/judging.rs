//! Asks the challenger, and has recorded where it differs: away from requests, and on no thread of theirs.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Came, Challenger, Held, Job, Loaded, Said};
use crate::audit::event::{Challenged, DecisionRecord};
use crate::audit::{Audit, RecordError, step_back};
use crate::dynatrace::token::HashKey;
use crate::gateway::Ledger;
use crate::gateway::cut::Cut;
use crate::policy::{Decision, Violation};
use crate::telemetry::Limit;
use crate::value::threads;

/// What judges, until it is started.
pub struct Judging {
    challenger: Challenger,
    queued: mpsc::Receiver<Job>,
}

/// What became of one job, and what of it is to be written.
struct Done {
    differs: Option<Differs>,
    _held: Held,
}

/// The record of it, as that of the decision would be.
struct Differs {
    record: DecisionRecord,
    decision_seq: u64,
    /// Of the set that has judged: by its rules it was masked.
    generation: u64,
    otherwise: &'static str,
}

/// What has to be there to write it down.
pub struct Desk {
    pub audit: Audit,
    pub ledger: Ledger,
    /// Names what is too long to be written.
    pub key: HashKey,
    pub now: fn() -> Timestamp,
}

impl Judging {
    pub(super) fn new(challenger: Challenger, queued: mpsc::Receiver<Job>) -> Self {
        Self { challenger, queued }
    }

    /// Judges on a thread of its own, and records until `closing`; then what waits, for a moment.
    ///
    /// The thread does not hold the journal: it ends with the program, whatever it thinks about.
    pub fn start(
        self,
        desk: Desk,
        closing: CancellationToken,
    ) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let Self {
            challenger,
            mut queued,
        } = self;
        let (results, done) = mpsc::channel(AT_ONCE);
        let (judge, now) = (challenger.clone(), desk.now);
        let thread = threads::named("challenger");
        thread.spawn(move || {
            step_back();
            while let Some(job) = queued.blocking_recv() {
                if results.blocking_send(judge.judge(job, now)).is_err() {
                    return;
                }
            }
        })?;
        Ok(challenger.record(desk, done, closing))
    }
}

impl Challenger {
    /// What the challenger says about one request. Whatever it does, somebody hears of the job.
    fn judge(&self, job: Job, now: fn() -> Timestamp) -> Done {
        let Some(loaded) = self.0.loaded.load_full() else {
            return Done {
                differs: None,
                _held: job.held,
            };
        };
        if !self.is_beside(job.generation) {
            self.count(&loaded, Came::Dropped);
            return Done {
                differs: None,
                _held: job.held,
            };
        }
        let asked = catch_unwind(AssertUnwindSafe(|| self.ask(&loaded, &job, now)));
        let (came, differs) = asked.unwrap_or((Came::Failed, None));
        self.count(&loaded, came);
        Done {
            differs,
            _held: job.held,
        }
    }

    fn ask(&self, loaded: &Loaded, job: &Job, now: fn() -> Timestamp) -> (Came, Option<Differs>) {
        let decision = loaded.policy.replay(&job.input);
        let came = job.said.differs(&Said::of(&decision));
        let counted = failure(&decision).unwrap_or(came);
        let Some(decision_seq) = job.sequence.filter(|_| came != Came::Same) else {
            return (counted, None);
        };
        let record = job.recorder.challenged(&decision, &job.input);
        let record = self.masked(job, record, now());
        let differs = record.map(|record| Differs {
            record,
            decision_seq,
            generation: job.generation,
            otherwise: counted.as_str(),
        });
        (counted, differs)
    }

    /// As the rules of those in force want it; where nobody knows what they want there is no record.
    fn masked(&self, job: &Job, record: DecisionRecord, now: Timestamp) -> Option<DecisionRecord> {
        let Some(mask) = &job.mask else {
            return Some(record);
        };
        match mask.apply(record.into_event(), now) {
            Ok(masked) if masked.drop => {
                self.0.metrics.record_dropped();
                None
            }
            Ok(masked) => Some(DecisionRecord::of_event(&masked.event)),
            Err(error) => {
                self.0.metrics.record_failed();
                tracing::debug!(%error, "what the challenger said cannot be masked, and is not recorded");
                None
            }
        }
    }

    /// Writes down what differs, several at once: they share a sync.
    async fn record(self, desk: Desk, mut done: mpsc::Receiver<Done>, closing: CancellationToken) {
        let mut writing = JoinSet::new();
        while let Some(Some(result)) = closing.run_until_cancelled(done.recv()).await {
            self.write(&desk, result, &mut writing).await;
        }
        let end = Instant::now() + AT_THE_END;
        while self.0.pending.load(Relaxed) > writing.len()
            && let Ok(Some(result)) = timeout_at(end, done.recv()).await
        {
            self.write(&desk, result, &mut writing).await;
        }
        writing.join_all().await;
    }

    async fn write(&self, desk: &Desk, done: Done, writing: &mut JoinSet<()>) {
        while writing.try_join_next().is_some() {}
        if writing.len() >= AT_ONCE {
            writing.join_next().await;
        }
        let Some(differs) = &done.differs else {
            return;
        };
        if !desk.ledger.has_room() {
            // Only allowed changes may use what is left of the disk.
            self.0.metrics.reached(Limit::MinFree);
            return;
        }
        let record = desk.audit.with_pseudonyms(differs.record.clone());
        let cut = Cut::new(desk.key.clone(), self.0.metrics.clone());
        let record = cut.record(record).of_challenger(Challenged {
            timestamp: (desk.now)(),
            decision_seq: differs.decision_seq,
            differs: differs.otherwise,
        });
        let (audit, metrics) = (desk.audit.clone(), self.0.metrics.clone());
        let generation = differs.generation;
        writing.spawn(async move {
            match audit.challenged(record, generation).await {
                Ok(_) => {}
                // Others are in force, which may have other masks: it was masked by the old ones.
                Err(RecordError::Superseded) => {
                    tracing::debug!(
                        "what the challenger said is of policies that are not in force any more"
                    );
                }
                // The journal says why in the log.
                Err(_) => metrics.record_failed(),
            }
            drop(done);
        });
    }
}

/// What kept a policy from being asked. In force it denies; that says nothing about the request.
fn failure(decision: &Decision) -> Option<Came> {
    let any = |is_it: fn(&Violation) -> bool| decision.violations.iter().any(is_it);
    let failed = any(Violation::is_failure).then_some(Came::Failed);
    let timed_out = any(Violation::is_timeout).then_some(Came::TimedOut);
    timed_out.or(failed)
}

/// Records that are written at once.
const AT_ONCE: usize = 64;
/// How long the end waits for what has not been judged yet.
const AT_THE_END: Duration = Duration::from_secs(1);

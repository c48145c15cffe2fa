//! Requests that go nowhere: what is written about them, and what is only counted.

use std::time::Instant;

use super::environment::Addressed;
use super::ledger::Class;
use super::record::Recorder;
use super::rejection::{Reason, Rejection};
use super::story::Started;
use super::sums::Kind;
use super::{Gateway, traced};
use crate::audit::event::DecisionRecord;
use crate::audit::{RecordError, Recorded};
use crate::dynatrace::catalogue::Operation;
use crate::policy::{Decision, Judged, Mask, Verdict};
use crate::telemetry::Step;

impl Gateway {
    /// Records a request that policies never saw, or counts it, and refuses it.
    pub(super) async fn refuse(&self, recorder: &Recorder, reason: Reason) -> Rejection {
        let time = (self.shared.now)();
        let (payer, kind) = (recorder.payer(), recorder.kind(&reason));
        let mut mask = self.set.policy.mask().cloned();
        // A mask sees all of it; what it leaves is cut later.
        let written = |revision: &str, mask: Option<&Mask>| {
            let event = recorder.refusal(&reason, time, revision);
            match mask {
                None => self.shared.cut.record(event),
                Some(_mask) => event,
            }
        };
        let mut event = written(self.set.policy.revision(), mask.as_ref());
        let length = event.length();
        let entered = (self.shared.ledger).enter(Class::Refusal, payer, kind, length, time);
        if entered.is_err() {
            return Rejection {
                reason,
                decision_id: None,
                counted: true,
            };
        }
        recorder.trace().step(Step::Record);
        let waiting = Instant::now();
        let audit = &self.shared.audit;
        let mut generation = self.set.generation;
        // Once for each reload, at most.
        let entry = loop {
            if let Some(mask) = &mask {
                event = match self.masked(mask, event, Verdict::Deny, recorder).await {
                    Ok(Some(event)) => self.shared.cut.record(event),
                    Ok(None) => return Rejection::from(reason),
                    Err(error) => break Err(error),
                };
            }
            let entry = audit.refused(event, generation).await;
            let Err(RecordError::Superseded) = entry else {
                break entry;
            };
            let now = audit.in_force();
            (generation, mask) = (now.generation, now.mask);
            event = written(&now.revision, mask.as_ref());
        };
        self.count_record(recorder, waiting, entry.is_ok());
        if entry.is_ok() {
            recorder
                .trace()
                .tell(|said| traced::recorded(said, recorder));
        }
        match entry {
            Ok(_sequence) => Rejection {
                reason,
                decision_id: Some(recorder.decision_id.clone()),
                counted: false,
            },
            Err(error) => Reason::from(error).into(),
        }
    }

    /// Records what was decided. A denial or a read is counted instead, and ends here, where its caller has had as many
    /// as are recorded: nothing that was judged goes anywhere without a record.
    pub(super) async fn decided(
        &self,
        recorder: &Recorder,
        judged: Judged<Addressed>,
        event: DecisionRecord,
        missing: bool,
    ) -> Result<Recorded<Addressed>, Rejection> {
        let reads = judged.subject().call.head().path().endpoint().reads();
        let verdict = judged.decision().verdict;
        let (class, reason) = match verdict {
            Verdict::Allow if reads => (Some(Class::Read), "read"),
            Verdict::Allow => (None, ""),
            Verdict::Deny => (Some(Class::Denial), "denied"),
        };
        let cut = |event: DecisionRecord| match verdict {
            Verdict::Allow => event,
            Verdict::Deny => self.shared.cut.record(event),
        };
        let mask = self.set.policy.mask();
        // A mask sees all of it; what it leaves is cut later.
        let event = match mask {
            None => cut(event),
            Some(_mask) => event,
        };
        let enter = |class| {
            let operation = Some(recorder.operation());
            let kind = Kind { reason, operation };
            let (payer, length) = (recorder.payer(), event.length());
            self.shared
                .ledger
                .enter(class, payer, kind, length, (self.shared.now)())
        };
        if let Some(Err(counted)) = class.map(enter) {
            let (_addressed, decision) = judged.into_parts();
            return Err(Rejection {
                reason: match (decision.verdict, counted.wait) {
                    (Verdict::Allow, _) => Reason::Unrecorded(counted),
                    (Verdict::Deny, Some(wait)) => Reason::Throttled {
                        decision: Box::new(decision),
                        wait,
                    },
                    (Verdict::Deny, None) => denied(decision, missing),
                },
                decision_id: None,
                counted: true,
            });
        }
        let waiting = Instant::now();
        let event = match mask {
            None => event,
            Some(mask) => match self.masked(mask, event, verdict, recorder).await {
                Ok(Some(event)) => cut(event),
                // Only what nobody allowed can be dropped.
                Ok(None) => {
                    let (_addressed, decision) = judged.into_parts();
                    return Err(denied(decision, missing).into());
                }
                Err(error) => {
                    self.shared.metrics.record_failed();
                    return Err(Reason::from(error).into());
                }
            },
        };
        let durable = self
            .shared
            .audit
            .decided(judged, event, self.set.generation)
            .await;
        self.count_record(recorder, waiting, durable.is_ok());
        if durable.is_ok() {
            recorder
                .trace()
                .tell(|said| traced::recorded(said, recorder));
        }
        durable.map_err(|error: RecordError| Reason::from(error).into())
    }

    /// Whether a refused request has a line in the log. Those that are never recorded pay for it here; what the
    /// upstream or a fault of ours is to blame for is always told.
    pub(super) fn is_logged(&self, started: &Started, rejection: &Rejection) -> bool {
        let blameless = matches!(rejection.reason, Reason::Panic | Reason::Upstream(_));
        if rejection.counted || rejection.decision_id.is_some() || blameless {
            return !rejection.counted;
        }
        let kind = Kind {
            reason: rejection.reason.kind(),
            operation: rejection.reason.operation().map(Operation::as_str),
        };
        self.shared
            .ledger
            .line(started.address(), kind, (self.shared.now)())
    }
}

/// Why a denied request is refused.
pub(super) fn denied(decision: Decision, missing: bool) -> Reason {
    if missing && decision.only_lookup_failed() {
        Reason::Missing(Box::new(decision))
    } else {
        Reason::Denied(Box::new(decision))
    }
}

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
use crate::policy::{Decision, Judged, Verdict};
use crate::telemetry::Step;

impl Gateway {
    /// Records a request that policies never saw, or counts it, and refuses it.
    pub(super) async fn refuse(&self, recorder: &Recorder, reason: Reason) -> Rejection {
        let time = (self.shared.now)();
        let (payer, kind) = (recorder.payer(), recorder.kind(&reason));
        let written = |revision: &str| {
            let event = recorder.refusal(&reason, time, revision);
            self.shared.cut.record(event)
        };
        let event = written(self.set.policy.revision());
        let entered = self
            .shared
            .ledger
            .enter(Class::Refusal, payer, kind, event.length(), time);
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
        let mut entry = audit.refused(event, self.set.generation).await;
        // Once for each reload, at most.
        while let Err(RecordError::Superseded) = entry {
            let now = audit.in_force();
            entry = audit.refused(written(&now.revision), now.generation).await;
        }
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
        let (event, class, reason) = match judged.decision().verdict {
            Verdict::Allow if reads => (event, Some(Class::Read), "read"),
            Verdict::Allow => (event, None, ""),
            Verdict::Deny => (self.shared.cut.record(event), Some(Class::Denial), "denied"),
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

//! Requests that policies deny and a one-time grant lets pass.
//!
//! Only what policies have judged gets here, and what they do not name in a grant stays denied: [`Judged::pass_by`] sees
//! to that. A grant is claimed before the record is written, and stays so unless it is certain that no record was.

use std::sync::Arc;

use serde_json::Value;

use super::Gateway;
use super::environment::Addressed;
use super::record::Recorder;
use super::rejection::{Reason, Rejection};
use crate::audit::Recorded;
use crate::audit::event::DecisionRecord;
use crate::dynatrace::redact::Redacted;
use crate::grant::{Claim, Facts};
use crate::policy::{Granted, Input, Judged};
use crate::value::Visible;

impl Gateway {
    /// A request that was denied, as it passes by a grant, and the grant in its hands; else as it was.
    pub(super) fn granted(
        &self,
        recorder: &Recorder,
        judged: Judged<Addressed>,
        input: &Input,
    ) -> (Judged<Addressed>, Option<Claim>) {
        let Some(claim) = self.claim(recorder, &judged, input) else {
            return (judged, None);
        };
        let granted = judged.pass_by(claim.granted());
        // It covers all of it, or it was not claimed.
        let claim = granted.is_allowed().then_some(claim);
        (granted, claim)
    }

    fn claim(
        &self,
        recorder: &Recorder,
        judged: &Judged<Addressed>,
        input: &Input,
    ) -> Option<Claim> {
        let (config, grants) = (self.set.grants.as_ref()?, &self.shared.outside.grants);
        let decision = judged.decision();
        if grants.is_empty() || !decision.can_be_granted() {
            return None;
        }
        // As the journal has the request that was denied.
        let record = recorder.decision(judged, input, false, None);
        let record = self.shared.audit.with_pseudonyms(record);
        let request = Facts::of(&Value::Object(record.into_event())).ok()?;
        let is_told = |granted: &Granted| {
            let is_whole = granted.is_whole(recorder.redactor());
            if !is_whole {
                tracing::warn!(
                    decision_id = %recorder.decision_id, grant.id = %granted.id, ticket = %Visible(&granted.ticket),
                    "a grant is not used: the request shows a part of it as a secret, or it holds one, and its record could \
                     not prove it"
                );
            }
            is_whole
        };
        let covers =
            |granted: &Granted| decision.not_covered(granted).next().is_none() && is_told(granted);
        let reads = judged.subject().call.head().path().endpoint().reads();
        grants.claim(config, &request, reads, covers, (self.shared.now)())
    }

    /// Records what was decided, by a grant or without one.
    pub(super) async fn decided_by(
        &self,
        claim: Option<Claim>,
        recorder: &Arc<Recorder>,
        judged: Judged<Addressed>,
        event: DecisionRecord,
        missing: bool,
        input: Input,
    ) -> Result<Recorded<Addressed>, Rejection> {
        let Some(mut claim) = claim else {
            let deciding = self.decided_and_challenged(recorder, judged, event, missing, input);
            return deciding.await;
        };
        claim.hand_over();
        let deciding = self.decided_and_challenged(recorder, judged, event, missing, input);
        let durable = deciding.await;
        let reason = durable.as_ref().err().map(|it| &it.reason);
        let records = self.shared.audit.head().map_or(0, |head| head.seq);
        let of = (&recorder.decision_id, recorder.operation());
        settle(of, claim, reason, records);
        durable
    }

    /// How to ask for a grant, where the refused request could have one.
    pub(super) fn how_to_ask(&self, rejection: &Rejection) -> Option<String> {
        let config = self.set.grants.as_ref()?;
        let Reason::Denied(decision) = &rejection.reason else {
            return None;
        };
        let id = rejection.decision_id.as_ref()?;
        decision
            .can_be_granted()
            .then(|| config.how_to_ask.about(id))
    }
}

/// What becomes of a claim, once it is known whether a record with it is on disk; `of`: the decision, and its operation;
/// `reason`: why it is not; `records`: how many the journal has.
fn settle(of: (&Redacted, &str), claim: Claim, reason: Option<&Reason>, records: u64) {
    let (id, operation) = of;
    let granted = claim.granted();
    match reason {
        None => {
            claim.used(id);
            tracing::warn!(
                decision_id = %id, grant.id = %granted.id, requested_by = %granted.requested_by,
                approved_by = %granted.approved_by, ticket = %Visible(&granted.ticket),
                operation, "a grant was used: policies deny this request, and it passes once"
            );
        }
        Some(Reason::Record(error)) if !error.is_unwritten() => {
            claim.in_doubt(id, records);
            tracing::error!(
                decision_id = %id, grant.id = %granted.id,
                "a grant is used up, or not: its record may have been written, and its request was refused"
            );
        }
        Some(_) => claim.give_back(),
    }
}

#[cfg(test)]
mod tests;

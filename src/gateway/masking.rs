//! Records as the policies' mask wants them, before anybody writes them down.
//!
//! It fails closed: where nobody knows what has to be masked there is no record, and the request ends. A drop rule may
//! leave out what was refused or denied; what is allowed is always recorded.

use super::Gateway;
use super::record::Recorder;
use crate::audit::RecordError;
use crate::audit::event::DecisionRecord;
use crate::policy::{Mask, Verdict};

impl Gateway {
    /// The record as it may be written; `None`: not at all.
    pub(super) async fn masked(
        &self,
        mask: &Mask,
        record: DecisionRecord,
        verdict: Verdict,
        recorder: &Recorder,
    ) -> Result<Option<DecisionRecord>, RecordError> {
        let mask = mask.clone();
        let now = (self.shared.now)();
        let unmasked = |reason: &dyn std::fmt::Display| RecordError::Unmasked(reason.to_string());
        // It takes as long as policies do, and must not stall open traffic.
        let masking = &self.shared.masking;
        let turn = masking.clone().acquire_owned().await;
        let turn = turn.map_err(|closed| unmasked(&closed))?;
        let working = tokio::task::spawn_blocking(move || {
            let masked = mask.apply(record.into_event(), now);
            drop(turn);
            masked
        });
        let masked = working.await.map_err(|_panic| unmasked(&"a panic"))?;
        let masked = masked.map_err(|error| unmasked(&error))?;
        match (masked.drop, verdict) {
            (true, Verdict::Deny) => {
                self.shared.metrics.record_dropped();
                let operation = Some(recorder.operation());
                self.shared.ledger.dropped(operation, now);
                return Ok(None);
            }
            (true, Verdict::Allow) => self.shared.metrics.drop_ignored(),
            (false, _) => {}
        }
        Ok(Some(DecisionRecord::of_event(&masked.event)))
    }
}

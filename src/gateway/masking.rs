//! Records as the policies' mask wants them, before anybody writes them down.
//!
//! It fails closed: where nobody knows what has to be masked there is no record, and the request ends. A drop rule may
//! leave out what was refused or denied; what is allowed is always recorded.

use serde_json::{Map, Value};

use super::Gateway;
use super::record::Recorder;
use crate::audit::RecordError;
use crate::audit::event::DecisionRecord;
use crate::audit::masks::Masks;
use crate::policy::{Mask, Masked, Verdict};

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
            let event = record.into_event();
            let environment = environment(&event);
            let masked = mask.apply(event, now);
            drop(turn);
            masked.map(|masked| with_environment(masked, environment))
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

/// The name of the environment, where it stands in the input.
fn environment(event: &Map<String, Value>) -> Option<Value> {
    name_of(event).cloned()
}

fn name_of(event: &Map<String, Value>) -> Option<&Value> {
    event.get("input")?.pointer("/environment/name")
}

/// A record whose input a mask has taken away, or put another in its place, keeps the name of its environment, as one has
/// that policies did not see: in which of them something was changed has to be known. Rules that name just that take it
/// away all the same.
fn with_environment(mut masked: Masked, environment: Option<Value>) -> Masked {
    let lists = ["erased", "masked"].map(|list| masked.event.get(list).and_then(Value::as_array));
    let paths = lists.into_iter().flatten().flatten();
    let paths = paths.filter_map(Value::as_str);
    let is_named =
        Masks::new(paths.filter(|path| *path != "/input")).hide("input.environment.name");
    if let Some(environment) = environment
        && name_of(&masked.event).is_none_or(|name| !name.is_string())
        && !is_named
    {
        masked.event.insert("environment".to_owned(), environment);
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_without_its_input_keeps_the_name_of_its_environment() {
        let of = |list: &str, paths: &[&str], input: Value| {
            let event = json!({"input": {"environment": {"name": "prod"}}});
            let environment = environment(event.as_object().unwrap());
            let mut event = Map::from_iter([(list.to_owned(), json!(paths))]);
            if !input.is_null() {
                event.insert("input".to_owned(), input);
            }
            let masked = Masked { event, drop: false };
            let masked = with_environment(masked, environment);
            masked.event.get("environment").cloned()
        };
        let masked = |paths: &[&str], input: Value| of("erased", paths, input);
        let prod = Some(json!("prod"));
        for other in [
            json!({}),
            json!("masked"),
            json!([]),
            json!({"environment": {}}),
            json!({"environment": {"name": 5}}),
        ] {
            assert_eq!(of("masked", &["/input"], other.clone()), prod, "{other}");
            let named = ["/input", "/input/environment/name"];
            assert_eq!(of("masked", &named, other.clone()), None, "{other}");
        }
        // What a rule itself puts there is meant.
        let given = json!({"environment": {"name": "some"}});
        assert_eq!(of("masked", &["/input"], given), None);
        assert_eq!(masked(&["/input"], Value::Null), prod);
        assert_eq!(masked(&["/input", "/caller"], Value::Null), prod);
        assert_eq!(masked(&["/input", "/input/environment"], Value::Null), None);
        assert_eq!(masked(&["/input/environment"], json!({})), None);
        let named = json!({"environment": {"name": "prod"}});
        assert_eq!(masked(&["/input/caller"], named), None);
    }
}

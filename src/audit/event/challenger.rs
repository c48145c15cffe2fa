//! What a challenger would have decided, where that is something else.
//!
//! It is made of a record as the decision's own would be, with the challenger's findings: whatever masks and pseudonyms
//! do to a record of a decision they have done to that one.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{DecisionRecord, OTHER, Record};
use crate::value::rfc3339_millis;

/// About which decision, and in what the two differ.
#[derive(Clone, Copy, Debug)]
pub struct Challenged {
    pub timestamp: Timestamp,
    pub decision_seq: u64,
    pub differs: &'static str,
}

impl DecisionRecord {
    /// What of it belongs into the record of a challenger: nothing of the request, which the decision has.
    pub fn of_challenger(self, told: Challenged) -> Record {
        let mut event = self.into_event();
        let mut all = Map::new();
        all.insert("kind".to_owned(), json!("challenger"));
        all.insert(
            "timestamp".to_owned(),
            json!(rfc3339_millis(told.timestamp)),
        );
        all.insert("decision_id".to_owned(), event.remove("decision_id").into());
        all.insert("decision_seq".to_owned(), json!(told.decision_seq));
        all.insert("differs".to_owned(), json!(told.differs));
        for member in ["verdict", "result", "bundles", "metrics"] {
            all.insert(member.to_owned(), event.remove(member).into());
        }
        for member in ["erased", "masked", "pseudonyms"] {
            let Some(Value::Array(mut places)) = event.remove(member) else {
                continue;
            };
            places.retain(|place| place.as_str().is_some_and(|it| it.starts_with("/result")));
            if !places.is_empty() {
                all.insert(member.to_owned(), places.into());
            }
        }
        Record::of(&all, OTHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_request_is_in_it_and_of_masks_only_what_is_about_it() {
        let event = json!({
            "kind": "decision", "timestamp": "2026-11-24T10:00:00.000Z", "decision_id": "d", "labels": {"version": "1"},
            "path": "dtgate", "input": {"operation": "token.update"}, "result": {"allow": false, "violations": []},
            "bundles": {"policies": {"revision": "r"}}, "metrics": {"timer_rego_query_eval_ns": 1},
            "requested_by": "10.0.0.1", "verdict": "deny", "request": {"path": "/a"},
            "erased": ["/input/caller", "/result/violations/0/details"], "masked": ["/requested_by"],
        });
        let Value::Object(event) = event else {
            panic!()
        };
        let told = Challenged {
            timestamp: "2026-11-24T10:00:01Z".parse().unwrap(),
            decision_seq: 7,
            differs: "would_deny",
        };
        let record = DecisionRecord::of_event(&event).of_challenger(told);
        let record: Value = serde_json::from_slice(record.as_json()).unwrap();
        let wanted = json!({
            "kind": "challenger", "timestamp": "2026-11-24T10:00:01.000Z", "decision_id": "d", "decision_seq": 7,
            "differs": "would_deny", "verdict": "deny", "result": {"allow": false, "violations": []},
            "bundles": {"policies": {"revision": "r"}}, "metrics": {"timer_rego_query_eval_ns": 1},
            "erased": ["/result/violations/0/details"],
        });
        assert_eq!(record, wanted);
    }
}

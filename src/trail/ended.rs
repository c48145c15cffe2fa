//! How a request ended, in a word or two.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::audit::Ending;
use crate::audit::tail::Cells;
use crate::value::Visible;

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Nothing, where it was not sent because it was denied.
    pub text: String,
    pub how: How,
}

/// How well that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Dynatrace did it, or it was denied and there was nothing to do.
    Well,
    /// Dynatrace refused it, it was not sent, or somebody looked what became of it.
    Otherwise,
    /// It is under way, as far as anybody can know.
    NotYet,
    /// Nobody knows: somebody should look.
    InDoubt,
}

/// How long an answer may be on its way.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    pub now: Timestamp,
    pub longest: Duration,
}

impl Wait {
    /// What was decided later may be under way, in milliseconds since 1970.
    pub fn since(&self) -> Option<i64> {
        let longest = SignedDuration::try_from(self.longest).ok()?;
        let since = self.now.checked_sub(longest).ok()?;
        Some(since.as_millisecond().saturating_add(1))
    }

    /// Whether a request that was decided then may be under way. No clock is taken to be wrong by more than the wait.
    fn lasts(&self, decided: &str) -> bool {
        let longest = SignedDuration::try_from(self.longest).unwrap_or(SignedDuration::MAX);
        let decided = decided.parse::<Timestamp>();
        decided.is_ok_and(|decided| self.now.duration_since(decided).abs() < longest)
    }
}

impl Ended {
    /// The same for whoever looks on while requests come: one that has no answer yet is in doubt only when none can come
    /// any more.
    pub fn by_now(
        cells: &Cells,
        outcome: Option<&Value>,
        settled: Option<&Value>,
        wait: Wait,
    ) -> Self {
        let is_open = cells.verdict == "allow" && outcome.is_none() && settled.is_none();
        if is_open && wait.lasts(&cells.timestamp) {
            return Self {
                text: "no answer yet".to_owned(),
                how: How::NotYet,
            };
        }
        Self::of(cells, outcome, settled)
    }

    pub fn of(cells: &Cells, outcome: Option<&Value>, settled: Option<&Value>) -> Self {
        let of = |text: &str, how| Self {
            text: text.to_owned(),
            how,
        };
        if let Some(found) = settled.and_then(|record| record["found"].as_str()) {
            let how = match found {
                "unknown" => How::InDoubt,
                _ => How::Otherwise,
            };
            return of(&format!("settled: {}", Visible(found)), how);
        }
        let Some(outcome) = outcome else {
            return match &*cells.verdict {
                "allow" => of("in doubt", How::InDoubt),
                _ => of("", How::Well),
            };
        };
        let status = outcome["status"].as_u64();
        let answered = status.map(|status| status.to_string());
        match ending(outcome) {
            Ending::Done => of(&answered.unwrap_or_default(), How::Well),
            Ending::Refused => of(&answered.unwrap_or_default(), How::Otherwise),
            Ending::NotSent => of("not sent", How::Otherwise),
            Ending::Unclear | Ending::Unknown => {
                let doubt = ["in doubt".to_owned()];
                let parts: Vec<String> = answered.into_iter().chain(doubt).collect();
                of(&parts.join(", "), How::InDoubt)
            }
        }
    }
}

/// By an outcome's record.
pub fn ending(outcome: &Value) -> Ending {
    let how = outcome["outcome"].as_str().unwrap_or_default();
    Ending::of(how, outcome["status"].as_u64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_no_answer_is_in_doubt_only_when_none_can_come() {
        let ended = |verdict: &str, outcome: Option<Value>, now: &str| {
            let line = json!({"kind": "decision", "seq": 1, "verdict": verdict, "timestamp": "2026-11-24T10:00:00.000Z"});
            let cells = Cells::of(line.to_string().as_bytes()).unwrap();
            let wait = Wait {
                now: now.parse().unwrap(),
                longest: Duration::from_secs(65),
            };
            Ended::by_now(&cells, outcome.as_ref(), None, wait).text
        };
        let (soon, late) = ("2026-11-24T10:01:04Z", "2026-11-24T10:01:05Z");
        assert_eq!(ended("allow", None, soon), "no answer yet");
        assert_eq!(ended("allow", None, late), "in doubt");
        // Its clock is ahead by a little, or by very much.
        assert_eq!(
            ended("allow", None, "2026-11-24T09:59:00Z"),
            "no answer yet"
        );
        assert_eq!(ended("allow", None, "2026-11-24T09:00:00Z"), "in doubt");
        assert_eq!(ended("deny", None, soon), "");
        let answered = json!({"kind": "outcome", "outcome": "answered", "status": 200});
        assert_eq!(ended("allow", Some(answered), soon), "200");
        let unknown = json!({"kind": "outcome", "outcome": "unknown"});
        assert_eq!(ended("allow", Some(unknown), soon), "in doubt");
    }
}

//! How a request ended, in a word or two.

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
    /// Nobody knows: somebody should look.
    InDoubt,
}

impl Ended {
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

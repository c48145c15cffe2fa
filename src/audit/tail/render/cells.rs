//! A decision in a few short texts, for tables.

use serde_json::Value;

use super::sealed::otherwise;
use super::{by_grant, changes, clean, effect, is_granted, list, number, target, text, who};

/// What a row of a table says. All of it can be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cells {
    pub seq: u64,
    pub timestamp: String,
    pub decision_id: String,
    pub verdict: String,
    pub operation: String,
    pub environment: String,
    /// Name and id of the token, or method and path.
    pub target: String,
    /// By whom, in the shortest form.
    pub who: String,
    /// The address.
    pub client: String,
    /// What would change.
    pub changes: Vec<String>,
    /// Each with what it came to.
    pub objections: Vec<String>,
    /// By which grant it passed; nothing, where it needed none.
    pub grant: String,
    pub error: String,
}

/// What a challenger would have decided otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Otherwise {
    /// `would_deny`, `would_allow`, `violations`, `failed` or `timed_out`.
    pub differs: String,
    /// In words.
    words: &'static str,
    pub objections: Vec<String>,
}

impl Otherwise {
    /// Of its record.
    pub fn of(record: &Value) -> Self {
        let mut record = record.clone();
        clean(&mut record);
        Self {
            differs: text(&record, "/differs").to_owned(),
            words: otherwise(&record),
            objections: objections(&record),
        }
    }

    /// For a cell.
    pub fn short(&self) -> String {
        let objections = self.objections.iter().take(SHOWN).cloned();
        let mut parts: Vec<String> = objections.collect();
        if let Some(more) = self.objections.len().checked_sub(SHOWN + 1) {
            parts.push(format!("and {} more", more + 1));
        }
        match &*parts {
            [] => format!("challenger {}", self.words),
            parts => format!("challenger {}: {}", self.words, parts.join("; ")),
        }
    }
}

fn objections(record: &Value) -> Vec<String> {
    let objections = list(record, "/result/violations").iter().map(|violation| {
        let does = effect(record, violation);
        let (policy, message) = (text(violation, "/policy"), text(violation, "/message"));
        format!("{policy} {does}: {message}")
    });
    objections.collect()
}

/// Objections of a challenger in one cell.
const SHOWN: usize = 3;

impl Cells {
    /// `None`: it is no JSON.
    pub fn of(line: &[u8]) -> Option<Self> {
        let mut record: Value = serde_json::from_slice(line).ok()?;
        clean(&mut record);
        let told = record.get("caller").unwrap_or(&Value::Null);
        let seen = record.pointer("/input/caller").unwrap_or(&Value::Null);
        let names = [who::name(told), who::name(seen)];
        let shown = text(seen, "/token/id").to_owned();
        let environments = ["/input/environment/name", "/environment"];
        let environment = environments.map(|at| text(&record, at));
        Some(Self {
            seq: number(&record, "/seq"),
            timestamp: text(&record, "/timestamp").to_owned(),
            decision_id: text(&record, "/decision_id").to_owned(),
            verdict: text(&record, "/verdict").to_owned(),
            operation: match text(&record, "/operation") {
                "" => "unknown".to_owned(),
                operation => operation.to_owned(),
            },
            environment: environment
                .into_iter()
                .find(|name| !name.is_empty())
                .unwrap_or("-")
                .to_owned(),
            target: target(&record),
            who: names.into_iter().flatten().next().unwrap_or(shown),
            client: text(&record, "/requested_by").to_owned(),
            changes: changes(&record),
            objections: objections(&record),
            grant: if is_granted(&record) {
                by_grant(&record)
            } else {
                String::new()
            },
            error: text(&record, "/error").to_owned(),
        })
    }
}

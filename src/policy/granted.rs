//! A one-time grant, as far as a decision has to know it: by whom it is, and which policies it is for.
//!
//! It guarantees that nothing is covered that is not named. Who may make one, and whether it is still good, is known
//! elsewhere.

use serde::Serialize;

use crate::dynatrace::redact::{Redactor, Texts};

/// By what one request passes although policies deny it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Granted {
    pub id: String,
    /// `request`: exactly one that was denied. `change`: the next one of a token.
    pub allows: &'static str,
    /// By which decision that request was denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    pub requested_by: String,
    pub approved_by: String,
    pub reason: String,
    pub ticket: String,
    /// From then on it lets nothing pass: RFC 3339.
    pub until: String,
    /// Whose objections it is for.
    pub policies: Vec<String>,
    /// Those that may also have failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_policies: Vec<String>,
    /// All of it as it was signed, with its signatures: what proves the rest.
    pub note: String,
}

impl Granted {
    /// Whether a record says all of it, as it was signed: its note proves nothing where a part is taken out, because the
    /// request shows that part as a secret, or because it looks like one.
    pub fn is_whole(&self, redactor: &Redactor) -> bool {
        *redactor.all(self) == *self
    }

    /// Whether it is for what this policy says, or for the policy having failed.
    pub fn is_for(&self, policy: &str, has_failed: bool) -> bool {
        let named = if has_failed {
            &self.failed_policies
        } else {
            &self.policies
        };
        named.iter().any(|name| name == policy)
    }
}

impl Texts for Granted {
    fn redacted(self, redactor: &Redactor) -> Self {
        let Self {
            id,
            requested_by,
            approved_by,
            reason,
            ticket,
            until,
            policies,
            failed_policies,
            allows,
            decision,
            note,
        } = self;
        let text = |text: String| redactor.text(&text).to_string();
        Self {
            // A UUID, a time, and names of packages: checked when they were read.
            id,
            until,
            policies,
            failed_policies,
            allows,
            decision: decision.map(text),
            note: text(note),
            requested_by: text(requested_by),
            approved_by: text(approved_by),
            reason: text(reason),
            ticket: text(ticket),
        }
    }
}

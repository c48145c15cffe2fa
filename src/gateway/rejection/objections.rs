//! What policies object to, as an answer shows it.

use crate::dynatrace::redact::Redactor;
use crate::dynatrace::{ConstraintViolation, ParameterLocation};
use crate::policy::{Decision, Effect};

/// As many as a client can show.
pub(super) fn objections(
    decision: &Decision,
    has_body: bool,
    redactor: &Redactor,
) -> Vec<ConstraintViolation> {
    let mut room = MAX_BYTES;
    let all = decision.with_effect(Effect::Deny);
    let shown = all.take(MAX_VIOLATIONS).map(|violation| {
        let message = violation.told();
        // Without a body all that is asked for is in the path.
        let whole = if has_body { "" } else { "id" };
        let path = violation.path.as_deref().unwrap_or(whole);
        ConstraintViolation {
            path: redactor.text(path).cut(MAX_TEXT),
            message: redactor.text(&message).cut(MAX_TEXT),
            parameter_location: match path {
                // What the policies so call is not in the body.
                "id" | "operation" => ParameterLocation::Path,
                _ if !has_body => ParameterLocation::Path,
                _ => ParameterLocation::PayloadBody,
            },
            location: None,
        }
    });
    let fits = |violation: &ConstraintViolation| {
        let json = serde_json::to_vec(violation).map_or(0, |json| json.len());
        let left = room.checked_sub(json);
        room = left.unwrap_or_default();
        left.is_some()
    };
    shown.take_while(fits).collect()
}

/// One sentence that says who denied, and why, even where a client shows nothing else. `shown`: how many of the
/// violations stand beside it.
pub(super) fn denied(decision: &Decision, shown: usize, redactor: &Redactor) -> String {
    let mut violations = decision.with_effect(Effect::Deny);
    let first = violations.next().map_or_else(String::new, |violation| {
        let message = redactor.text(&violation.message).cut(MAX_TEXT);
        // No policy has that name.
        if violation.is_of_lookup() {
            return message.to_string();
        }
        format!("{message} (policy {})", violation.policy)
    });
    let count = 1 + violations.count();
    let denied = match count {
        1 => format!("Denied by dtgate: {first}"),
        _ => format!("Denied by dtgate: {count} violations, the first: {first}"),
    };
    let left_out = match count.saturating_sub(shown) {
        0 => String::new(),
        left_out => format!("; the journal also has {left_out} that this answer does not show"),
    };
    let denied = format!("{denied}{left_out}");
    match &decision.remedy {
        Some(remedy) => format!("{denied}. {}", upper_first(&remedy.text)),
        None => denied,
    }
}

/// Text as the begin of a sentence.
fn upper_first(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Objections in one answer, and all their bytes; the journal has all.
const MAX_VIOLATIONS: usize = 100;
const MAX_BYTES: usize = 16 << 10;

/// Bytes of one text in an answer.
const MAX_TEXT: usize = 500;

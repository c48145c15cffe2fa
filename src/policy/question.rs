//! What engines are asked, and the names that dtgate has for it in the data and among the packages.

use regorus::Value;

/// Where in the data the values of rules are that do not depend on the request.
pub(super) const KNOWN: &str = "dtgate_known";

/// The package of the question that a compiled program answers.
pub(super) const QUESTION: &str = "dtgate_question";

/// Several rules as one question.
pub(super) fn array(rules: &[String]) -> String {
    // A line each, as people would write it.
    format!("[{}]", rules.join(",\n"))
}

/// Whether the answer of a rule is a set, and empty.
pub(super) fn says_nothing(answer: &Value) -> bool {
    answer
        .as_set()
        .is_ok_and(|said| said.iter().next().is_none())
}

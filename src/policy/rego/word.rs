//! Words, as names and steps of references are.

/// Whether a step of a path can be written behind a dot.
pub(in crate::policy) fn is_word(step: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    step.starts_with(is_letter) && step.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

/// Whether a step is written behind a dot, and not in brackets.
pub(in crate::policy) fn follows_a_dot(name: &str) -> bool {
    is_word(name) && name != "set"
}

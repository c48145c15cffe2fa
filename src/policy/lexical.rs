//! Rego that OPA reads and the engine's parser does not, as Rego that both read; before the parser sees it.
//!
//! Texts with expressions in them (`$"…{x}…"`) become calls, `and`, `or` and `not { … }` comprehensions that find
//! something or nothing, keywords that begin a reference (`not.found`) names, characters in texts escapes, and functions
//! without a body (`stage("dev")`) get the value that they have. OPA's compiler does the same with its
//! trees. A text without all this stays what it is, byte for byte. No line moves; what is said of a place later is said
//! of the place in the file ([`moved`]). What it cannot read it leaves to the parser to complain about.

mod deep;
mod facts;
mod keywords;
mod literals;
mod moved;
pub(in crate::policy) mod numbers;
mod statements;
#[cfg(test)]
mod tests;
mod tokens;

use super::problem::Problem;
#[cfg(test)]
pub(super) use deep::MOST_DEEP;
pub(super) use keywords::{is_keyword, without_mark};
pub(super) use moved::{appended, column, in_file};

/// The function that a text with expressions in it becomes a call of; its arguments begin with it, too.
pub(super) const TEMPLATE: &str = "dtgate_template";

/// What some editors begin a file with.
pub(super) const BYTE_ORDER: char = '\u{feff}';

/// The name that the loop of a condition binds which may bind nothing itself.
pub(super) const IMPLICIT: &str = "dtgate_condition";

/// What is wrong, and where that begins.
#[derive(Debug)]
struct Wrong {
    start: usize,
    message: String,
    /// The parser must not see the file: it would not come back.
    is_for_nobody: bool,
}

impl Wrong {
    fn new(start: usize, message: impl Into<String>) -> Self {
        Self {
            start,
            message: message.into(),
            is_for_nobody: false,
        }
    }

    /// What goes beyond a bound.
    fn beyond(start: usize, message: impl Into<String>) -> Self {
        Self {
            is_for_nobody: true,
            ..Self::new(start, message)
        }
    }
}

/// A policy for the engine's parser.
///
/// # Errors
///
/// What OPA refuses, or what would mean something else.
pub(super) fn written(path: &str, text: &str) -> Result<String, Problem> {
    let told = |wrong: &Wrong| {
        let before = text.get(..wrong.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        Problem::new(path, line, last.chars().count() + 1, &*wrong.message)
    };
    if let Some(start) = text.find('\0') {
        let said = "a character with the number 0 stands here (OPA: illegal null character)";
        return Err(told(&Wrong::new(start, said)));
    }
    // As OPA takes it. No place moves.
    let marked;
    let text = match text.strip_prefix(BYTE_ORDER) {
        Some(rest) => {
            marked = format!("{:1$}{rest}", "", BYTE_ORDER.len_utf8());
            &marked
        }
        None => text,
    };
    let (tokens, wrong) = tokens::read(text);
    deep::refuse(text, &tokens).map_err(|wrong| told(&wrong))?;
    match wrong {
        None => {}
        Some(wrong) if wrong.is_for_nobody || has_new(text) => return Err(told(&wrong)),
        Some(_) => return Ok(text.to_owned()),
    }
    let mut changes = moved::Changes::default();
    literals::write_out(text, &tokens, &mut changes).map_err(|wrong| told(&wrong))?;
    let imported = keywords::imported(text, &tokens, &mut changes);
    keywords::references(text, &tokens, &mut changes).map_err(|wrong| told(&wrong))?;
    statements::write_out(text, &tokens, imported, &mut changes).map_err(|wrong| told(&wrong))?;
    facts::write_out(text, &tokens, &mut changes);
    if changes.is_empty() {
        return Ok(text.to_owned());
    }
    Ok(changes.applied(text))
}

/// Whether a file says with `import rego.v1` which Rego it is written in.
pub(super) fn says_rego_v1(text: &str) -> bool {
    tokens::tokens(text).is_ok_and(|tokens| keywords::says_rego_v1(text, &tokens))
}

/// Whether the parser would complain of what is new, and not of what is wrong.
fn has_new(text: &str) -> bool {
    let signs = ["$\"", "$`", "future.keywords", "rego.v2"];
    signs.iter().any(|sign| text.contains(sign))
}

//! What policies read from the data: refused where nothing defines it, and where it cannot work; and what they do not read.
//!
//! It reads syntax and data; what a setting means is not its question.

mod shipped;
mod undefined;
mod unread;
mod unusable;

use crate::policy::problem::Problem;
use crate::policy::rego::program::Program;
use crate::policy::source::files::Tree;
pub(in crate::policy) use unread::unread;

/// What can be told once the data is known.
const WRONG: [fn(&Program<'_>, &Tree, &mut Vec<Problem>); 3] =
    [undefined::refuse, unusable::refuse, shipped::refuse];

/// Refuses settings that policies could not work with.
pub(in crate::policy) fn refuse(program: &Program<'_>, tree: &Tree, problems: &mut Vec<Problem>) {
    for refuse in WRONG {
        refuse(program, tree, problems);
    }
}

#[cfg(test)]
mod tests;

//! Imports of what is not there.
//!
//! What they stand for is written out before an engine evaluates them (`policy/plain`); only how they begin is looked at.

use crate::policy::problem::Problem;
use crate::policy::rego::program::{self, Program};

/// The words that `import future.keywords` may name: they are part of the language.
const KEYWORDS: [&str; 4] = ["contains", "every", "if", "in"];

/// Refuses imports of what is not there. Those of keywords that are have been taken out before the parser.
pub(in crate::policy) fn refuse(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for module in program.modules {
        for (_, path, span) in program::imports(module) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let message = match path.as_slice() {
                ["future", "keywords", word, ..] if !KEYWORDS.contains(word) => {
                    format!("there is no keyword {word} to import: leave it out")
                }
                ["future", "keywords", ..] | ["rego", "v1"] | ["data" | "input", ..] => continue,
                _ => "an import begins with data, with input, or is rego.v1".to_owned(),
            };
            problems.push(program::at(span, message));
        }
    }
}

#[cfg(test)]
mod tests;

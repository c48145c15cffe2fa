//! Writes out what policies read through imports, before an engine evaluates them.
//!
//! The engine evaluates the whole package that an import names, whatever is read of it. And as soon as one file of a
//! package is done it takes the others, and the packages below, for done as well: their rules are undefined then, and
//! policies that rest on them silent. `data.dtgate.lib.texts` instead of `lib.texts` evaluates that rule and what it
//! needs, as OPA does. So nothing here may be left out.

use regorus::unstable::{Module, Ref};

use crate::policy::problem::Problem;
use crate::policy::rego::program;

/// The words that `import future.keywords` may name: they are part of the language.
const KEYWORDS: [&str; 4] = ["contains", "every", "if", "in"];

/// Refuses imports of what is not there. Those of keywords that are have been taken out before the parser.
pub(in crate::policy) fn unknown(modules: &[Ref<Module>], problems: &mut Vec<Problem>) {
    for module in modules {
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

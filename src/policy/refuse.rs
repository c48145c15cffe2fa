//! What is refused when policies are loaded: what could never hold, what an engine reads otherwise than OPA and cannot be
//! written out, and settings that no policy can use. A file a kind.

mod calls;
mod imports;
pub(in crate::policy) mod kinds;
mod missing;
mod names;
mod nulls;
mod operators;
pub(in crate::policy) mod others;
pub(in crate::policy) mod settings;
mod steps;
pub(in crate::policy) mod verdicts;
mod violations;
pub(in crate::policy) mod ways;

use super::problem::Problem;
use super::rego::program::Program;

type Refusal = fn(&Program<'_>, &mut Vec<Problem>);

/// What a program could never do, or would be silent about.
const IMPOSSIBLE: [Refusal; 5] = [
    missing::refuse,
    ways::refuse,
    nulls::refuse,
    kinds::refuse,
    violations::refuse,
];

/// What a decision must not rest on, and what the engine reads otherwise than OPA does.
const MISREAD: [Refusal; 5] = [
    calls::refuse,
    names::refuse,
    imports::refuse,
    steps::refuse,
    operators::refuse,
];

/// Refuses what does not depend on the data.
pub(super) fn program(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for refuse in IMPOSSIBLE {
        refuse(program, problems);
    }
    misread(program, problems);
}

/// Refuses what no engine may be given, not even for a test.
pub(super) fn misread(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for refuse in MISREAD {
        refuse(program, problems);
    }
}

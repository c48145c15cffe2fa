//! What is refused when policies are loaded: what could never hold, what an engine reads otherwise than OPA and cannot be
//! written out, and settings that no policy can use. A file a kind.

pub(in crate::policy) mod imports;
pub(in crate::policy) mod kinds;
pub(in crate::policy) mod names;
pub(in crate::policy) mod nulls;
pub(in crate::policy) mod settings;
pub(in crate::policy) mod steps;
pub(in crate::policy) mod verdicts;
pub(in crate::policy) mod ways;

use regorus::unstable::{Module, Ref};

use super::problem::Problem;
use super::rego::program::Program;

/// Refuses what a program could never do, or would be silent about; not what depends on the data.
pub(super) fn program(program: &Program<'_>, modules: &[Ref<Module>], problems: &mut Vec<Problem>) {
    ways::unknown(program, problems);
    nulls::compared(modules, problems);
    kinds::compared(program, problems);
    verdicts::unreadable(program, problems);
    misread(modules, problems);
}

/// Refuses what the engine reads otherwise than OPA does.
pub(super) fn misread(modules: &[Ref<Module>], problems: &mut Vec<Problem>) {
    names::ambiguous(modules, problems);
    imports::unknown(modules, problems);
    steps::misread(modules, problems);
}

//! References to rules that nobody defines: they would be undefined for ever, and a policy that rests on one would never
//! object.

use super::others::is_ours;
use crate::policy::problem::Problem;
use crate::policy::rego::names::Meaning;
use crate::policy::rego::program::{Program, at, known};
use crate::policy::rego::walk::{self, Site};

/// Refuses them below `data.dtgate` and in other packages, where they are named from `data` on or by an import; what else the data has is for
/// [`super::settings`] to say. What a rule of the same package has no member of is undefined, as in OPA.
pub(in crate::policy) fn refuse(program: &Program<'_>, problems: &mut Vec<Problem>) {
    if !program.is_whole {
        return;
    }
    for definition in &program.definitions {
        walk::rule(definition.rule, &mut |site| {
            if let Site::Reference(reference) = site
                && let Some(first) = known(reference).first()
                && definition.names.has(first)
                && let Meaning::Data(path) = program.meaning(definition, reference)
                && (is_ours(&path) || program.is_within_a_package(&path))
                && !program.has_below(&path)
            {
                let message = format!("there is no rule {}", path.join("."));
                problems.push(at(reference.span(), message));
            }
        });
    }
}

//! References to rules that nobody defines: they would be undefined for ever, and a policy that rests on one would never
//! object.

use crate::policy::problem::Problem;
use crate::policy::rego::names::Meaning;
use crate::policy::rego::program::{Program, at};
use crate::policy::rego::walk::{self, Site};

/// Refuses them below `data.dtgate`; what else the data has is for [`super::settings`] to say.
pub(in crate::policy) fn refuse(program: &Program<'_>, problems: &mut Vec<Problem>) {
    if !program.is_whole {
        return;
    }
    for definition in &program.definitions {
        walk::rule(definition.rule, &mut |site| {
            if let Site::Reference(reference) = site
                && let Meaning::Data(path) = program.meaning(definition, reference)
                && path.get(1).is_some_and(|step| step == "dtgate")
                && !program.has_below(&path)
            {
                let message = format!("there is no rule {}", path.join("."));
                problems.push(at(reference.span(), message));
            }
        });
    }
}

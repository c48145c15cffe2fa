//! Rules that say nothing because a member of the input is absent, where their author meant that they object.
//!
//! In Rego what asks for something undefined is undefined, and a rule of which a part is undefined says nothing. That is
//! what an author wants of `input.change.name.requested == "root"`: who asks for no name asks for no bad one. It is not
//! what an author wants of a condition that holds for nothing: no name begins with `team-`, is another than `ci`, is in
//! a list; nothing is less than two, and every member of nothing is fine. Such conditions are told, where their silence
//! lets a request pass, and where neither the rule nor another one of the policy asks for the absence.
//!
//! What rules ask for and require is for [`seen`] to say; [`followed`] follows them from `deny` and `warn` on, and from
//! entrypoints, which deny where they say nothing, through all that they ask for. Nothing is evaluated.

mod accepted;
mod around;
mod followed;
mod forms;
mod never;
mod policies;
mod seen;
#[cfg(test)]
mod tests;
mod told;
mod used;

use std::collections::BTreeMap;

use super::problem::Problem;
use crate::policy::rego::program::{Path, Program};
use crate::policy::rego::rests::{is_of_library, is_verdict};
use accepted::Accepted;
use followed::Followed;
pub(super) use never::never_there;
use policies::Policies;
use told::{Place, Told};
use used::Use;

/// What is told. `entrypoints`: where the rules stand that have to be true; `lookup_required`: a token that could not be
/// looked up denies without the policies.
pub(super) fn silent(
    program: &Program<'_>,
    entrypoints: &[Path],
    lookup_required: bool,
) -> Vec<Problem> {
    let policies = Policies::of(program);
    let accepted = Accepted::of(program);
    let mut packages: BTreeMap<&[String], Vec<usize>> = BTreeMap::new();
    for definition in &program.definitions {
        if is_verdict(&definition.path)
            && definition.name().len() == 1
            && !is_of_library(definition.package())
        {
            let rules = packages.entry(definition.package()).or_default();
            rules.push(definition.number);
        }
    }
    let packages = packages.into_values().map(|rules| (rules, Use::OBJECTION));
    let entrypoints = entrypoints.iter().map(|path| {
        let rules = program.definitions.iter().filter(|it| it.path == *path);
        (rules.map(|it| it.number).collect(), Use::PERMISSION)
    });
    let mut told: BTreeMap<Place, Told> = BTreeMap::new();
    for (rules, used) in packages.chain(entrypoints) {
        let Followed {
            told: found, asked, ..
        } = Followed::of(&policies, &rules, used, lookup_required);
        for (place, mut found) in found {
            found.when.retain(|(when, _)| !asked.contains(when));
            if !found.when.is_empty() && !accepted.has(program.definitions.get(place.rule)) {
                told.entry(place).or_insert(found);
            }
        }
    }
    told.into_values().map(Told::problem).collect()
}

//! The policies that come with dtgate, and which of the loaded ones are still theirs, word for word.
//!
//! The bytecode engine was attacked on these, with settings of all kinds, and nothing was found. So it may answer for
//! them without being asked for; whatever is not among them needs somebody's word (`policies.bytecode = "all"`).

use std::collections::BTreeSet;

use regorus::unstable::{Module, Ref};

use crate::policy::rego::program::{Definition, Path, Program};
use crate::policy::rego::rests::is_of_library;
use crate::policy::source::files::{File, Tree};

/// What of the loaded policies is as it was shipped.
pub(in crate::policy) struct Shipped<'a> {
    /// The library, and policies that rest on nothing else.
    pub(in crate::policy) files: Vec<&'a File>,
    /// The paths of the rules in them, which stand nowhere else.
    rules: BTreeSet<Path>,
}

impl<'a> Shipped<'a> {
    /// # Errors
    ///
    /// Says why none is.
    pub(in crate::policy) fn of(
        tree: &'a Tree,
        modules: &[Ref<Module>],
    ) -> Result<Self, &'static str> {
        let mut files: Vec<&File> = tree.policies.iter().collect();
        files.retain(|file| is_one_of(LIBRARY, file) || is_one_of(POLICIES, file));
        some_policy(&files)?;
        let has = |text: &&str| files.iter().any(|file| file.text == **text);
        if !LIBRARY.iter().all(has) {
            return Err(OTHER_LIBRARY);
        }
        let program = Program::new(modules);
        let all = || program.definitions.iter();
        let is_shipped = |files: &[&File], rule: &&Definition<'_>| {
            files.iter().any(|file| file.path == rule.names.file)
        };
        let own = all().filter(|rule| !is_shipped(&files, rule));
        let own: BTreeSet<&[String]> = own.filter_map(Definition::root).collect();
        // What another file adds to a rule changes it, though its own text is the same.
        let changed = all().filter(|rule| is_shipped(&files, rule));
        let changed = changed.filter(|rule| rule.root().is_some_and(|root| own.contains(root)));
        let changed: Vec<&Definition<'_>> = changed.collect();
        if changed.iter().any(|rule| is_of_library(rule.package())) {
            return Err(OTHER_LIBRARY);
        }
        files.retain(|file| !changed.iter().any(|rule| rule.names.file == file.path));
        some_policy(&files)?;
        let rules = all().filter(|rule| is_shipped(&files, rule));
        let rules = rules
            .filter_map(|rule| Some(rule.root()?.to_vec()))
            .collect();
        Ok(Self { files, rules })
    }

    /// Whether a rule is as it was shipped.
    pub(in crate::policy) fn has(&self, rule: &str) -> bool {
        let path: Path = rule.split('.').map(str::to_owned).collect();
        self.rules.contains(&path)
    }
}

const OTHER_LIBRARY: &str =
    "dtgate.lib is not the one that dtgate ships, on which its policies rest";

fn some_policy(files: &[&File]) -> Result<(), &'static str> {
    let found = files.iter().any(|file| is_one_of(POLICIES, file));
    found
        .then_some(())
        .ok_or("none of the policies is one that dtgate ships")
}

fn is_one_of(texts: &[&str], file: &File) -> bool {
    texts.contains(&file.text.as_str())
}

const LIBRARY: &[&str] = &[
    include_str!("../../../policies/lib/callers.rego"),
    include_str!("../../../policies/lib/request.rego"),
    include_str!("../../../policies/lib/spelling.rego"),
];

/// Each has its package for itself.
const POLICIES: &[&str] = &[
    include_str!("../../../policies/blast_radius.rego"),
    include_str!("../../../policies/escalation.rego"),
    include_str!("../../../policies/expiry.rego"),
    include_str!("../../../policies/forbidden_scopes.rego"),
    include_str!("../../../policies/known_scopes.rego"),
    include_str!("../../../policies/minting.rego"),
    include_str!("../../../policies/naming.rego"),
    include_str!("../../../policies/no_self_update.rego"),
    include_str!("../../../policies/protected_tokens.rego"),
    include_str!("../../../policies/reactivation.rego"),
    include_str!("../../../policies/scope_budget.rego"),
];

#[cfg(test)]
mod tests;

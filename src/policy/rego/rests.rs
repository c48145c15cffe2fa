//! What rules rest on: which are the same for every request, because they neither read the input nor rest on a rule that
//! does. Nothing here evaluates them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::program::{Path, Program, known};
use super::walk::{self, Site};
use crate::policy::builtins;

/// Which rules there are, by package and first name: the parts of one document count as one.
pub(in crate::policy) struct Rules {
    pub(in crate::policy) all: BTreeSet<Path>,
    pub(in crate::policy) functions: BTreeSet<Path>,
    /// Those whose value is not the same for every request.
    pub(in crate::policy) dynamic: BTreeSet<Path>,
    /// Whether nothing refers to a rule of another policy.
    pub(in crate::policy) separable: bool,
    /// The rules that refer to each.
    dependents: BTreeMap<Path, BTreeSet<Path>>,
}

impl Rules {
    pub(in crate::policy) fn of(program: &Program<'_>) -> Self {
        let mut rules = Self {
            all: BTreeSet::new(),
            functions: BTreeSet::new(),
            dynamic: BTreeSet::new(),
            separable: true,
            dependents: BTreeMap::new(),
        };
        // Who refers to what, by the path that is written there.
        let mut references = Vec::new();
        for definition in &program.definitions {
            let Some(root) = definition.root() else {
                continue;
            };
            let root = root.to_vec();
            walk::rule(definition.rule, &mut |site| match site {
                Site::Call {
                    function: reference,
                    ..
                }
                | Site::Reference(reference) => {
                    let steps = known(reference);
                    if steps.is_empty() {
                        // What is looked into has no name, and is walked to by itself.
                        return;
                    }
                    // It may be a name that the rule binds, and rests on more then than it does.
                    let path = definition.names.whole(&steps);
                    if path.first().is_some_and(|first| first == "input") || is_of_now(&steps) {
                        rules.dynamic.insert(root.clone());
                    }
                    references.push((root.clone(), path));
                }
                Site::With(_) => {
                    rules.dynamic.insert(root.clone());
                }
                _ => {}
            });
            if definition.arity.is_some() {
                rules.functions.insert(root.clone());
            }
            rules.all.insert(root);
        }
        rules.separable = references.iter().all(|(path, reference)| {
            let package = path.split_last().map(|(_, package)| package);
            let mut reached = rules.reached(reference);
            reached.all(|rule| {
                rule.split_last().map(|(_, package)| package) == package || is_of_library(rule)
            })
        });
        for (path, reference) in references {
            let reached: Vec<Path> = rules.reached(&reference).cloned().collect();
            for rule in reached {
                let dependents = rules.dependents.entry(rule).or_default();
                dependents.insert(path.clone());
            }
        }
        rules.spread();
        rules
    }

    /// Whatever rests on something dynamic is dynamic.
    fn spread(&mut self) {
        let mut found: BTreeSet<Path> = BTreeSet::new();
        let mut pending: Vec<&Path> = self.dynamic.iter().collect();
        while let Some(path) = pending.pop() {
            if found.insert(path.clone()) {
                pending.extend(self.dependents(path));
            }
        }
        self.dynamic = found;
    }

    /// The rules that refer to this one.
    pub(in crate::policy) fn dependents(&self, rule: &Path) -> impl Iterator<Item = &Path> {
        self.dependents.get(rule).into_iter().flatten()
    }

    /// The rule of this path, or all in the package of this path and below it.
    pub(in crate::policy) fn below<'a>(
        &'a self,
        path: &'a [String],
    ) -> impl Iterator<Item = &'a Path> {
        let all = self
            .all
            .range::<[String], _>((Bound::Included(path), Bound::Unbounded));
        all.take_while(move |rule| rule.starts_with(path))
    }

    /// The rules that a reference may evaluate: the one that it goes through, or all below it.
    pub(in crate::policy) fn reached<'a>(
        &'a self,
        reference: &'a [String],
    ) -> impl Iterator<Item = &'a Path> {
        let through = (1..=reference.len()).filter_map(|length| {
            let prefix = reference.get(..length)?;
            self.all.get(prefix)
        });
        let below = self
            .below(reference)
            .filter(move |rule| rule.len() > reference.len());
        through.chain(below)
    }

    pub(in crate::policy) fn constant(&self) -> impl Iterator<Item = &Path> {
        let rules = self.all.difference(&self.dynamic);
        rules.filter(|path| !is_verdict(path) && !self.functions.contains(*path))
    }
}

/// Whether a rule or package is in the library, which all policies share.
pub(in crate::policy) fn is_of_library(path: &[String]) -> bool {
    matches!(path, [data, dtgate, lib, ..] if data == "data" && dtgate == "dtgate" && lib == "lib")
}

/// Whether a rule is one that policies object by.
pub(in crate::policy) fn is_verdict(path: &[String]) -> bool {
    path.last()
        .is_some_and(|name| name == "deny" || name == "warn")
}

/// What is time or talk.
fn is_of_now(name: &[String]) -> bool {
    builtins::timed(&name.join(".")).is_some() || name == ["print"]
}

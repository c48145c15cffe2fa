//! What rules rest on: which are the same for every request, because they neither read the input nor rest on a rule that
//! does. Nothing here evaluates them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use regorus::unstable::{Module, Ref};

use super::check::{self, Names, Path};
use super::walk::{self, Site};

/// Which rules there are, by package and first name: the parts of one document count as one.
pub(super) struct Rules {
    pub(super) all: BTreeSet<Path>,
    pub(super) functions: BTreeSet<Path>,
    /// Those whose value is not the same for every request.
    pub(super) dynamic: BTreeSet<Path>,
    /// Whether nothing refers to a rule of another policy.
    pub(super) separable: bool,
}

impl Rules {
    pub(super) fn of(modules: &[Ref<Module>]) -> Self {
        let mut rules = Self {
            all: BTreeSet::new(),
            functions: BTreeSet::new(),
            dynamic: BTreeSet::new(),
            separable: true,
        };
        // Who refers to what, by the path that is written there.
        let mut references = Vec::new();
        for module in modules {
            let names = Names::of(module);
            for rule in &module.policy {
                let Some(path) = check::path_of(&names, rule) else {
                    continue;
                };
                if check::function(rule).is_some() {
                    rules.functions.insert(path.clone());
                }
                walk::rule(rule, &mut |site| match site {
                    Site::Call {
                        function: reference,
                        ..
                    }
                    | Site::Reference(reference) => {
                        let steps = check::known(reference);
                        let resolved = names.resolve(&steps);
                        if depends_on_request(&resolved) {
                            rules.dynamic.insert(path.clone());
                        }
                        references.push((path.clone(), resolved));
                        references.push((path.clone(), [names.package.clone(), steps].concat()));
                    }
                    Site::With(_) => {
                        rules.dynamic.insert(path.clone());
                    }
                    _ => {}
                });
                rules.all.insert(path);
            }
        }
        rules.separable = references.iter().all(|(path, reference)| {
            let package = path.split_last().map(|(_, package)| package);
            let mut reached = rules.reached(reference);
            reached.all(|rule| {
                rule.split_last().map(|(_, package)| package) == package || is_of_library(rule)
            })
        });
        rules.spread(&references);
        rules
    }

    /// Whatever rests on something dynamic is dynamic.
    fn spread(&mut self, references: &[(Path, Path)]) {
        let mut dependents: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
        for (path, reference) in references {
            for rule in self.reached(reference) {
                dependents.entry(rule).or_default().push(path);
            }
        }
        let mut found: BTreeSet<Path> = BTreeSet::new();
        let mut pending: Vec<&Path> = self.dynamic.iter().collect();
        while let Some(path) = pending.pop() {
            if found.insert(path.clone()) {
                pending.extend(dependents.get(path).into_iter().flatten().copied());
            }
        }
        self.dynamic = found;
    }

    /// The rules that a reference may evaluate: the one that it goes through, or all below it.
    pub(super) fn reached<'a>(&'a self, reference: &'a [String]) -> impl Iterator<Item = &'a Path> {
        let through = (1..=reference.len()).filter_map(|length| {
            let prefix = reference.get(..length)?;
            self.all.get(prefix)
        });
        let below = self
            .all
            .range::<[String], _>((Bound::Excluded(reference), Bound::Unbounded));
        through.chain(below.take_while(move |path| path.starts_with(reference)))
    }

    pub(super) fn constant(&self) -> impl Iterator<Item = &Path> {
        let rules = self.all.difference(&self.dynamic);
        rules.filter(|path| !is_verdict(path) && !self.functions.contains(*path))
    }
}

/// Whether a rule or package is in the library, which all policies share.
pub(super) fn is_of_library(path: &[String]) -> bool {
    matches!(path, [data, dtgate, lib, ..] if data == "data" && dtgate == "dtgate" && lib == "lib")
}

/// Whether a rule is one that policies object by.
pub(super) fn is_verdict(path: &[String]) -> bool {
    path.last()
        .is_some_and(|name| name == "deny" || name == "warn")
}

/// The input, and what is time or talk.
fn depends_on_request(path: &[String]) -> bool {
    path.first().is_some_and(|first| first == "input")
        || path == ["time", "now_ns"]
        || path == ["print"]
}

//! What each policy may read of the input: by its own rules, and by those of every package that it asks.

use std::collections::{BTreeMap, BTreeSet};

use super::program::{Path, Program, Read, known, package};
use super::walk::{self, Site};
use crate::policy::entrypoint::Entrypoint;

/// What one package reads, and what it asks.
#[derive(Default)]
struct Package {
    reads: BTreeSet<Read>,
    asks: BTreeSet<Read>,
}

impl Program<'_> {
    /// By the name of the policy, `naming` of `data.dtgate.naming`.
    pub(in crate::policy) fn reads_of_policies(
        &self,
        names: &[&str],
        entrypoints: &[Entrypoint],
    ) -> BTreeMap<String, BTreeSet<Read>> {
        let packages = self.by_package();
        let of_one = |name: &&str| {
            let mut entrypoints = entrypoints.iter();
            let own = match entrypoints.find(|entrypoint| entrypoint.name() == *name) {
                Some(entrypoint) => self.package_of(&entrypoint.path()),
                None => Some(["data", "dtgate", name].map(str::to_owned).to_vec()),
            };
            let reached = reached(&packages, own);
            let reached = reached.iter().filter_map(|path| packages.get(path));
            let reads = reached.flat_map(|package| package.reads.iter().cloned());
            ((*name).to_owned(), reads.collect())
        };
        names.iter().map(of_one).collect()
    }

    /// The packages that these rules are in, and those that they may ask, one after the other.
    pub(in crate::policy) fn reached_from(&self, entrypoints: &[Entrypoint]) -> BTreeSet<Path> {
        let packages = self.by_package();
        let own = entrypoints.iter();
        let own = own.filter_map(|entrypoint| self.package_of(&entrypoint.path()));
        reached(&packages, own)
    }

    /// The package that a rule is in: the innermost around it.
    pub(in crate::policy) fn package_of(&self, rule: &[String]) -> Option<Path> {
        let modules = self.modules.iter().map(|module| package(module));
        let around = modules.filter(|path| rule.len() > path.len() && rule.starts_with(path));
        around.max_by_key(Vec::len)
    }

    fn by_package(&self) -> BTreeMap<Path, Package> {
        let mut packages: BTreeMap<Path, Package> = BTreeMap::new();
        for definition in &self.definitions {
            let package = packages.entry(definition.package().clone()).or_default();
            walk::rule(definition.rule, &mut |site| {
                let way = match site {
                    Site::Reference(reference) => definition.names.way(reference),
                    Site::Call { function, .. } => {
                        let path = definition.names.whole(&known(function));
                        Some(path.into_iter().map(Some).collect())
                    }
                    _ => None,
                };
                let Some(way) = way else {
                    return;
                };
                match way.first() {
                    Some(Some(first)) if first == "input" => package.reads.insert(way),
                    Some(Some(first)) if first == "data" => package.asks.insert(way),
                    _ => false,
                };
            });
        }
        packages
    }
}

/// Packages, and those that they may ask, one after the other.
fn reached(
    packages: &BTreeMap<Path, Package>,
    first: impl IntoIterator<Item = Path>,
) -> BTreeSet<Path> {
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<Path> = first.into_iter().collect();
    while let Some(path) = waiting.pop() {
        if let Some(package) = packages.get(&path)
            && !seen.contains(&path)
        {
            let asked = packages.keys().filter(|other| package.asks(other));
            waiting.extend(asked.cloned());
        }
        seen.insert(path);
    }
    seen
}

impl Package {
    /// Whether it may ask a rule of that package: a step that is computed may be any.
    fn asks(&self, package: &Path) -> bool {
        self.asks.iter().any(|way| {
            let mut steps = way.iter().zip(package);
            steps.all(|(step, wanted)| step.as_ref().is_none_or(|step| step == wanted))
        })
    }
}

//! What each policy may read of the input: by its own rules, and by those of every package that it asks.

use std::collections::{BTreeMap, BTreeSet};

use super::program::{Path, Program, Read, known};
use super::walk::{self, Site};

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
    ) -> BTreeMap<String, BTreeSet<Read>> {
        let packages = self.by_package();
        let of_one = |name: &&str| {
            let own = ["data", "dtgate", name].map(str::to_owned).to_vec();
            let (mut seen, mut waiting) = (BTreeSet::new(), vec![own]);
            let mut reads = BTreeSet::new();
            while let Some(path) = waiting.pop() {
                if !seen.insert(path.clone()) {
                    continue;
                }
                let Some(package) = packages.get(&path) else {
                    continue;
                };
                reads.extend(package.reads.iter().cloned());
                let asked = packages.keys().filter(|other| package.asks(other));
                waiting.extend(asked.cloned());
            }
            ((*name).to_owned(), reads)
        };
        names.iter().map(of_one).collect()
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

impl Package {
    /// Whether it may ask a rule of that package: a step that is computed may be any.
    fn asks(&self, package: &Path) -> bool {
        self.asks.iter().any(|way| {
            let mut steps = way.iter().zip(package);
            steps.all(|(step, wanted)| step.as_ref().is_none_or(|step| step == wanted))
        })
    }
}

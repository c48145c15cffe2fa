//! Which policies are left to the interpreter, because something that they rest on could fail unnoticed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::Bound;

use crate::policy::rego::program::Path;
use crate::policy::rego::rests::{Rules, is_of_library};

/// What the bytecode engine is not trusted with, and why.
#[derive(Debug)]
pub(in crate::policy) enum Left {
    /// Policies by their packages (`data.dtgate.naming`), each with a reason.
    Policies(BTreeMap<Path, String>),
    All(String),
}

impl fmt::Display for Left {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policies(left) => out.write_str(left.values().next().map_or("", String::as_str)),
            Self::All(reason) => out.write_str(reason),
        }
    }
}

/// The packages of the asked rules that rest on a refused one, or on another package that is left.
pub(super) fn left(
    rules: &Rules,
    refused: &[(Path, String)],
    asked: &[String],
) -> BTreeMap<Path, String> {
    let asked: BTreeSet<Path> = asked
        .iter()
        .map(|rule| rule.split('.').map(str::to_owned).collect())
        .collect();
    let mut reasons: BTreeMap<&Path, &str> = BTreeMap::new();
    // In the order of the files, so that the first reason is the one that is told.
    let mut pending: VecDeque<(&Path, &str)> = VecDeque::new();
    for (path, reason) in refused {
        pending.extend(rules.below(path).map(|rule| (rule, reason.as_str())));
    }
    while let Some((rule, reason)) = pending.pop_front() {
        if reasons.contains_key(rule) {
            continue;
        }
        reasons.insert(rule, reason);
        pending.extend(rules.dependents(rule).map(|path| (path, reason)));
        // Where a policy is left, its file is, and so all of its rules.
        let package = rule.split_last().map_or(&[][..], |(_, package)| package);
        if !is_of_library(rule) && is_asked(package, &asked, &reasons) {
            pending.extend(rules.below(package).map(|path| (path, reason)));
        }
    }
    let mut left = BTreeMap::new();
    for path in &asked {
        if let Some(reason) = reasons.get(path)
            && let Some((_, package)) = path.split_last()
        {
            left.insert(package.to_vec(), (*reason).to_owned());
        }
    }
    left
}

/// Whether an asked rule of the package has a reason to be left.
fn is_asked(package: &[String], asked: &BTreeSet<Path>, reasons: &BTreeMap<&Path, &str>) -> bool {
    let mut below = asked
        .range::<[String], _>((Bound::Excluded(package), Bound::Unbounded))
        .take_while(|path| path.starts_with(package));
    below.any(|path| path.len() == package.len() + 1 && reasons.contains_key(path))
}

//! The rules of all policies, and what may be known of a request of which one of them holds.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, LiteralStmt, Rule, RuleHead};

use crate::dynatrace::catalogue::{ENDPOINTS, Operation};
use crate::policy::refuse::ways::{self, Scope};
use crate::policy::rego::program::{self, Names, Path, Program};
use crate::policy::rego::walk;

/// The operations that a request may be: all of them, or these.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Operations(pub(super) Option<BTreeSet<Operation>>);

impl Operations {
    pub(super) fn and(self, other: &Self) -> Self {
        match (self.0, &other.0) {
            (Some(one), Some(other)) => Self(Some(&one & other)),
            (one, other) => Self(one.or_else(|| other.clone())),
        }
    }

    pub(super) fn or(self, other: &Self) -> Self {
        match (self.0, &other.0) {
            (Some(one), Some(other)) => Self(Some(&one | other)),
            _ => Self(None),
        }
    }

    pub(super) fn others(self) -> Self {
        let all = ENDPOINTS
            .iter()
            .map(|row| row.operation)
            .collect::<BTreeSet<_>>();
        Self(self.0.map(|these| &all - &these))
    }

    /// Whether something is true of each.
    pub(super) fn all(&self, is_so: impl Fn(Operation) -> bool) -> bool {
        self.0
            .as_ref()
            .is_some_and(|these| these.iter().all(|operation| is_so(*operation)))
    }
}

/// What is certain of a request of which something holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Required {
    /// The absences that are out of the question.
    pub(super) sure: BTreeSet<String>,
    pub(super) operations: Operations,
}

impl Required {
    pub(super) fn and(&mut self, other: Self) {
        self.sure.extend(other.sure);
        self.operations = std::mem::take(&mut self.operations).and(&other.operations);
    }

    pub(super) fn or(self, other: &Self) -> Self {
        Self {
            sure: &self.sure & &other.sure,
            operations: self.operations.or(&other.operations),
        }
    }
}

pub(super) struct Known<'a> {
    pub(super) rule: &'a Rule,
    pub(super) path: Path,
    pub(super) scope: Scope<'a>,
    /// The names that it binds.
    pub(super) bound: BTreeSet<String>,
    pub(super) arguments: BTreeSet<String>,
}

pub(super) struct Policies<'a> {
    pub(super) rules: Vec<Known<'a>>,
    by_path: BTreeMap<Path, Vec<usize>>,
    /// What rules require, as far as it was asked for; of those that are looked at, nothing.
    pub(super) required: RefCell<BTreeMap<Vec<usize>, Required>>,
}

impl<'a> Policies<'a> {
    pub(super) fn of(program: &'a Program<'a>, names: &'a [Names<'a>]) -> Self {
        let mut rules = Vec::new();
        let mut by_path: BTreeMap<Path, Vec<usize>> = BTreeMap::new();
        for (number, (rule, scope)) in ways::scopes(program, names).into_iter().enumerate() {
            let path = [
                scope.names.package.clone(),
                program::known(program::head(rule)),
            ]
            .concat();
            by_path.entry(path.clone()).or_default().push(number);
            let mut arguments = BTreeSet::new();
            if let Rule::Spec {
                head: RuleHead::Func { args, .. },
                ..
            } = rule
            {
                walk::patterns(args, &mut |site| {
                    if let walk::Site::Binding(span) = site {
                        arguments.insert(span.text().to_owned());
                    }
                });
            }
            rules.push(Known {
                rule,
                path,
                scope,
                bound: walk::bound(rule),
                arguments,
            });
        }
        Self {
            rules,
            by_path,
            required: RefCell::default(),
        }
    }

    /// The rules that a reference asks for.
    pub(super) fn meant(&self, known: &Known<'_>, reference: &Expr) -> Vec<usize> {
        let path = program::known(reference);
        if path.first().is_none_or(|first| known.bound.contains(first)) {
            return Vec::new();
        }
        let meant = known.scope.names.functions(&path);
        let found = meant.iter().find_map(|path| {
            let mut lengths = (1..=path.len()).rev();
            lengths.find_map(|length| self.by_path.get(path.get(..length)?))
        });
        found.cloned().unwrap_or_default()
    }

    /// The rules of a function that is called.
    pub(super) fn function(&self, known: &Known<'_>, called: &Expr) -> Vec<usize> {
        let Some(path) = program::dotted(called) else {
            return Vec::new();
        };
        let meant = known.scope.names.functions(&path);
        let found = meant.iter().find_map(|path| self.by_path.get(path));
        let is_function = |rule: &usize| {
            let rule = self.rules.get(*rule).map(|known| known.rule);
            rule.is_some_and(|rule| program::function(rule).is_some())
        };
        found
            .into_iter()
            .flatten()
            .copied()
            .filter(is_function)
            .collect()
    }

    /// Whether a statement calls a function of the policies.
    pub(super) fn calls(&self, known: &Known<'_>, statement: &LiteralStmt) -> bool {
        let mut calls = false;
        walk::statement(statement, &mut |site| {
            if let walk::Site::Call { function, .. } = site {
                calls |= !self.function(known, function).is_empty();
            }
        });
        calls
    }
}

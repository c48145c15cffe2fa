//! The rules of all policies, and what may be known of a request of which one of them holds.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, LiteralStmt};

use crate::dynatrace::catalogue::{ENDPOINTS, Operation};
use crate::policy::refuse::ways::{self, Scope};
use crate::policy::rego::program::{self, Definition, Program};
use crate::policy::rego::{syntax, walk};

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
    pub(super) definition: &'a Definition<'a>,
    pub(super) scope: Scope<'a>,
    pub(super) arguments: BTreeSet<&'a str>,
}

pub(super) struct Policies<'a> {
    program: &'a Program<'a>,
    /// As the definitions of the program.
    pub(super) rules: Vec<Known<'a>>,
    /// What rules require, as far as it was asked for; of those that are looked at, nothing.
    pub(super) required: RefCell<BTreeMap<Vec<usize>, Required>>,
}

impl<'a> Policies<'a> {
    pub(super) fn of(program: &'a Program<'a>) -> Self {
        let known = ways::scopes(program).map(|scope| Known {
            definition: scope.definition,
            arguments: syntax::arguments(scope.definition.rule),
            scope,
        });
        Self {
            program,
            rules: known.collect(),
            required: RefCell::default(),
        }
    }

    /// The rules that a reference asks for.
    pub(super) fn meant(&self, known: &Known<'_>, reference: &Expr) -> Vec<usize> {
        let rules = self.program.meaning(known.definition, reference).rule();
        rules.into_iter().map(|rule| rule.number).collect()
    }

    /// The rules of a function that is called.
    pub(super) fn function(&self, known: &Known<'_>, called: &Expr) -> Vec<usize> {
        let name = program::dotted(called).unwrap_or_default();
        let rules = self.program.functions(&known.definition.names, &name);
        rules.map(|rule| rule.number).collect()
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

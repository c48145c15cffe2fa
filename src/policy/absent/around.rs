//! A query around what is looked at: which names it assigns what, and which names its conditions ask for.
//!
//! It is read once, and asked about each statement.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, LiteralStmt, Query};

use super::forms::is_text;
use crate::policy::rego::program::known;
use crate::policy::rego::syntax::{Binding, given};
use crate::policy::rego::walk::{self, Site};

#[derive(Debug)]
pub(super) struct Around<'a> {
    query: &'a Query,
    assigned: BTreeMap<&'a str, &'a Expr>,
    asked: OnceCell<BTreeSet<String>>,
}

impl<'a> Around<'a> {
    pub(super) fn of(query: &'a Query) -> Self {
        let mut assigned = BTreeMap::new();
        for (name, value, how) in query.stmts.iter().filter_map(given) {
            if how == Binding::Assigned {
                assigned.entry(name).or_insert(value);
            }
        }
        Self {
            query,
            assigned,
            asked: OnceCell::new(),
        }
    }

    /// What a name is assigned.
    pub(super) fn assigned(&self, name: &str) -> Option<&'a Expr> {
        self.assigned.get(name).copied()
    }

    /// Whether a condition asks for a name: all but what is assigned to be told.
    pub(super) fn asks(&self, name: &str) -> bool {
        self.asked.get_or_init(|| self.conditions()).contains(name)
    }

    fn conditions(&self) -> BTreeSet<String> {
        let is_condition = |statement: &&LiteralStmt| match given(statement) {
            Some((_, value, Binding::Assigned)) => {
                !matches!(value, Expr::Object { .. }) && !is_text(value)
            }
            _ => true,
        };
        let mut asked = BTreeSet::new();
        for statement in self.query.stmts.iter().filter(is_condition) {
            walk::statement(statement, &mut |site| {
                if let Site::Reference(reference) = site {
                    asked.extend(known(reference).into_iter().next());
                }
            });
        }
        asked
    }
}

//! What is certain of a request of which a statement, or a rule, holds: the absences that are out of the question, and
//! the operations that it may be.

use std::collections::BTreeSet;
use std::rc::Rc;

use regorus::unstable::{AssignOp, BoolOp, Expr, Literal, LiteralStmt, Query, Rule, RuleHead};

use super::{Need, Seen};
use crate::policy::absent::around::Around;
use crate::policy::absent::forms::{is_false, is_predicate, truth};
use crate::policy::absent::policies::{Known, Operations, Policies, Required};
use crate::policy::rego::syntax::{self, is_reference};

impl Seen<'_, '_, '_> {
    /// What is certain of a request of which a statement holds. What only holds because nobody looked at a danger
    /// is not: somebody may not have thought of it.
    pub(in crate::policy::absent) fn required(&self, statement: &LiteralStmt) -> Required {
        if !statement.with_mods.is_empty() {
            return Required::default();
        }
        match &statement.literal {
            Literal::Expr { expr, .. } => self.required_of(expr),
            Literal::NotExpr { expr, .. } => {
                let rules = if is_reference(expr) {
                    self.policies.meant(self.known, expr)
                } else {
                    Vec::new()
                };
                let said = self
                    .operations(expr)
                    .or_else(|| self.policies.operations(&rules));
                Required {
                    sure: without(
                        self.statement_needs(statement),
                        &self.statement_dangers(statement),
                    ),
                    operations: said.unwrap_or_default().others(),
                }
            }
            Literal::SomeIn { collection, .. } => {
                let mut all = self
                    .policies
                    .required(&self.policies.meant(self.known, collection));
                all.sure.extend(without(self.needs(collection), &[]));
                all
            }
            Literal::SomeVars { .. } | Literal::Every { .. } => Required::default(),
        }
    }

    /// The same for an expression that is true.
    pub(in crate::policy::absent) fn required_of(&self, expr: &Expr) -> Required {
        let mut all = Required::default();
        match expr {
            Expr::AssignExpr {
                op: AssignOp::ColEq,
                rhs,
                ..
            } if is_predicate(rhs) => return all,
            _ if is_reference(expr) => {
                all = self
                    .policies
                    .required(&self.policies.meant(self.known, expr));
                if let Some(bound) = self.bound(expr) {
                    all.and(self.required_of(bound));
                }
            }
            Expr::Call { fcn, .. } => {
                let rules = self.policies.function(self.known, fcn);
                all = self.policies.required(&rules);
            }
            Expr::Membership { collection, .. } => {
                all = self
                    .policies
                    .required(&self.policies.meant(self.known, collection));
            }
            Expr::BoolExpr { .. } => {
                if let Some((other, true)) = truth(expr) {
                    return self.required_of(other);
                }
            }
            _ => {}
        }
        all.sure
            .extend(without(self.needs(expr), &self.dangers(expr, false)));
        all.operations =
            std::mem::take(&mut all.operations).and(&self.operations(expr).unwrap_or_default());
        all
    }

    /// The operations that an expression says, if it says nothing else.
    pub(in crate::policy::absent) fn operations(&self, expr: &Expr) -> Option<Operations> {
        let is_operation = |expr: &Expr| {
            let ways = self.known.scope.ways(expr);
            matches!(ways.as_slice(), [way] if way.iter().map(Option::as_deref).eq([Some("input"), Some("operation")]))
        };
        let names: Vec<String> = match expr {
            Expr::BoolExpr {
                op: BoolOp::Eq,
                lhs,
                rhs,
                ..
            } => match (is_operation(lhs), is_operation(rhs)) {
                (true, _) => vec![syntax::written(rhs)?.to_owned()],
                (_, true) => vec![syntax::written(lhs)?.to_owned()],
                _ => return None,
            },
            Expr::Membership {
                key: None,
                value,
                collection,
                ..
            } if is_operation(value) => self.listed(collection)?,
            _ => return None,
        };
        let operations = names.iter().filter_map(|name| name.parse().ok());
        Some(Operations(Some(operations.collect())))
    }

    /// The texts of a collection that is written out, here or as a rule.
    fn listed(&self, collection: &Expr) -> Option<Vec<String>> {
        let texts = |expr: &Expr| {
            let texts = syntax::items(expr)?.iter();
            texts
                .map(|item| syntax::written(item).map(str::to_owned))
                .collect()
        };
        let rules = self.policies.meant(self.known, collection);
        let [rule] = rules.as_slice() else {
            return texts(collection);
        };
        match syntax::values(self.policies.rules.get(*rule)?.definition.rule).as_slice() {
            [value] => texts(value),
            _ => None,
        }
    }
}

impl<'a> Policies<'a> {
    /// What is certain where one of these rules has a value, or has something in it.
    pub(in crate::policy::absent) fn required(&self, rules: &[usize]) -> Required {
        if rules.is_empty() {
            return Required::default();
        }
        if let Some(known) = self.required.borrow().get(rules) {
            return known.clone();
        }
        let key = rules.to_vec();
        self.required
            .borrow_mut()
            .insert(key.clone(), Required::default());
        let mut all: Option<Required> = None;
        for known in rules.iter().filter_map(|rule| self.rules.get(*rule)) {
            for one in self.required_by(known) {
                all = Some(match all {
                    Some(all) => all.or(&one),
                    None => one,
                });
            }
        }
        let all = all.unwrap_or_default();
        self.required.borrow_mut().insert(key, all.clone());
        all
    }

    /// By each body of a rule.
    pub(in crate::policy::absent) fn required_by(&self, known: &Known<'a>) -> Vec<Required> {
        let bodies = match known.definition.rule {
            Rule::Default { value, .. } if is_false(value) => return Vec::new(),
            Rule::Default { .. } => return vec![Required::default()],
            Rule::Spec { bodies, .. } => bodies,
        };
        let value = syntax::value(known.definition.rule);
        let of = |query: Option<&'a Query>, value: Option<&'a Expr>| {
            let within = query.map(|query| Rc::new(Around::of(query)));
            let within: Vec<Rc<Around<'_>>> = within.into_iter().collect();
            let seen = Seen {
                policies: self,
                known,
                given: Some(&[]),
                within: &within,
            };
            let mut all = Required::default();
            for statement in query.into_iter().flat_map(|query| &query.stmts) {
                all.and(seen.required(statement));
            }
            if let Some(value) = value {
                all.and(seen.required_of(value));
            }
            all
        };
        if bodies.is_empty() {
            return vec![of(None, value)];
        }
        let bodies = bodies.iter().map(|body| {
            let own = body.assign.as_ref().map(|assign| assign.value.as_ref());
            (body.query.as_ref(), own.or(value))
        });
        let bodies = bodies.filter(|(_, value)| !value.is_some_and(is_false));
        bodies
            .map(|(query, value)| of(Some(query), value))
            .collect()
    }

    /// The operations that a rule says, if that is all that it says.
    pub(in crate::policy::absent) fn operations(&self, rules: &[usize]) -> Option<Operations> {
        let mut all: Option<Operations> = None;
        for known in rules.iter().map(|rule| self.rules.get(*rule)) {
            let known = known?;
            let Rule::Spec {
                head: RuleHead::Compr { assign: None, .. },
                bodies,
                ..
            } = known.definition.rule
            else {
                return None;
            };
            for body in bodies {
                let [
                    LiteralStmt {
                        literal: Literal::Expr { expr, .. },
                        ..
                    },
                ] = body.query.stmts.as_slice()
                else {
                    return None;
                };
                let seen = Seen {
                    policies: self,
                    known,
                    given: None,
                    within: &[],
                };
                let these = seen.operations(expr)?;
                all = Some(match all {
                    Some(all) => all.or(&these),
                    None => these,
                });
            }
        }
        all
    }
}

/// When what is needed is absent, but for the dangers.
fn without(mut needs: Vec<Need>, dangers: &[Need]) -> BTreeSet<String> {
    needs.retain(|need| !dangers.contains(need));
    needs.into_iter().flat_map(|need| need.when).collect()
}

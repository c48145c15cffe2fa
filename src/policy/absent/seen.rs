//! What statements ask for: the members that they need, what they require of a request, and which of them hold for
//! nothing.
//!
//! It reads one statement, or one expression, at a time, and follows names; where that leads is for its caller.

use std::collections::BTreeSet;

use regorus::unstable::{AssignOp, BoolOp, Expr, Literal, LiteralStmt, Query, Rule, RuleHead};

use super::forms::{
    effective, indices, is_count, is_empty, is_predicate, is_reference, is_text, is_zero, truth,
};
use super::policies::{Known, Operations, Policies, Required};
use crate::policy::input;
use crate::policy::refuse::verdicts;
use crate::policy::rego::program::{self, Read};
use crate::policy::rego::walk;

/// A member that is needed, and when it is absent.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Need {
    pub(super) member: String,
    pub(super) when: Vec<String>,
}

impl Need {
    /// What a request asks for, if it asks for it.
    fn is_wish(&self) -> bool {
        let last = self.member.rsplit('.').next();
        self.member.starts_with("input.change.") && matches!(last, Some("requested" | "at"))
    }

    /// What is absent lasts for ever.
    fn is_endless(&self) -> bool {
        self.member.starts_with("input.change.expiration.")
            || self.member == "input.token.current.expiration"
    }
}

/// Where something stands.
pub(super) struct Seen<'p, 'a, 'h> {
    pub(super) policies: &'p Policies<'a>,
    pub(super) known: &'p Known<'a>,
    /// What the function that it stands in was given, if that is known.
    pub(super) given: Option<&'h [Read]>,
    pub(super) within: &'h [&'a Query],
}

impl<'a> Seen<'_, 'a, '_> {
    /// The ways into the input that an expression may mean here.
    pub(super) fn ways(&self, expr: &Expr) -> Vec<Read> {
        let mut ways = self.known.scope.ways(expr);
        let first = walk::path(expr).and_then(|path| path.into_iter().next()?.name);
        if let Some(given) = self.given
            && first.is_some_and(|first| self.known.arguments.contains(&first))
        {
            ways.retain(|way| given.iter().any(|given| way.starts_with(given)));
        }
        ways
    }

    fn members(&self, expr: &Expr) -> Vec<Need> {
        self.ways(expr).iter().filter_map(need).collect()
    }

    /// The members without which an expression is undefined.
    pub(super) fn needs(&self, expr: &Expr) -> Vec<Need> {
        let all = |items: &[&Expr]| items.iter().flat_map(|item| self.needs(item)).collect();
        match expr {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
            | Expr::ArrayCompr { .. }
            | Expr::SetCompr { .. }
            | Expr::ObjectCompr { .. } => Vec::new(),
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                let mut needs = self.members(expr);
                needs.extend(
                    indices(expr)
                        .into_iter()
                        .flat_map(|index| self.needs(index)),
                );
                needs.extend(self.of_value(expr));
                needs
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => {
                items.iter().flat_map(|item| self.needs(item)).collect()
            }
            Expr::Object { fields, .. } => {
                let parts = fields.iter().flat_map(|(_, key, value)| [key, value]);
                parts.flat_map(|part| self.needs(part)).collect()
            }
            Expr::Call { fcn, params, .. } => {
                let name = program::dotted(fcn).unwrap_or_default().join(".");
                match (name.as_str(), params.as_slice()) {
                    ("print" | "trace", _) => Vec::new(),
                    ("object.get", [object, key, _]) => all(&[object.as_ref(), key.as_ref()]),
                    _ => params.iter().flat_map(|param| self.needs(param)).collect(),
                }
            }
            Expr::UnaryExpr { expr, .. } => self.needs(expr),
            Expr::AssignExpr {
                op: AssignOp::ColEq,
                rhs,
                ..
            } => self.needs(rhs),
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => all(&[lhs.as_ref(), rhs.as_ref()]),
            Expr::Membership {
                key,
                value,
                collection,
                ..
            } => {
                let parts = key.iter().chain([value, collection]);
                parts.flat_map(|part| self.needs(part)).collect()
            }
        }
    }

    /// What a rule that is short for something needs.
    fn of_value(&self, reference: &Expr) -> Vec<Need> {
        let rules = self.policies.meant(self.known, reference);
        let [rule] = rules.as_slice() else {
            return Vec::new();
        };
        let Some(known) = self.policies.rules.get(*rule) else {
            return Vec::new();
        };
        let (
            Rule::Spec {
                head:
                    RuleHead::Compr {
                        assign: Some(assign),
                        ..
                    },
                bodies,
                ..
            },
            true,
        ) = (
            known.rule,
            std::ptr::from_ref(known) != std::ptr::from_ref(self.known),
        )
        else {
            return Vec::new();
        };
        if bodies.len() > 1 {
            return Vec::new();
        }
        let within: Vec<&Query> = bodies.iter().map(|body| body.query.as_ref()).collect();
        let seen = Seen {
            policies: self.policies,
            known,
            given: None,
            within: &within,
        };
        let value = assign.value.as_ref();
        // What it is false of is another matter.
        if is_predicate(value) {
            return Vec::new();
        }
        let mut needs = seen.needs(value);
        needs.extend(
            seen.bound(value)
                .into_iter()
                .flat_map(|bound| seen.needs(bound)),
        );
        needs
    }

    /// What a statement needs, whatever it makes of it.
    pub(super) fn statement_needs(&self, statement: &LiteralStmt) -> Vec<Need> {
        if !statement.with_mods.is_empty() {
            return Vec::new();
        }
        match &statement.literal {
            Literal::SomeVars { .. } => Vec::new(),
            Literal::Expr { expr, .. } => self.needs(expr),
            Literal::NotExpr { expr, .. } => {
                let loud = Self::compared(expr);
                let loud: Vec<Need> = loud
                    .into_iter()
                    .flat_map(|side| self.members(side))
                    .collect();
                let mut needs = match expr.as_ref() {
                    Expr::Var { .. } => Vec::new(),
                    _ => self.needs(expr),
                };
                needs.retain(|need| !loud.contains(need));
                needs
            }
            Literal::SomeIn { collection, .. } => self.needs(collection),
            Literal::Every { domain, .. } => self.needs(domain),
        }
    }

    /// The members whose absence makes a negation true.
    pub(super) fn asks(&self, statement: &LiteralStmt) -> Vec<Need> {
        match &statement.literal {
            Literal::NotExpr { expr, .. } => {
                let sides = Self::compared(expr);
                let mut needs: Vec<Need> = sides
                    .into_iter()
                    .flat_map(|side| self.members(side))
                    .collect();
                if let Expr::Membership {
                    key: None,
                    value,
                    collection,
                    ..
                } = expr.as_ref()
                {
                    needs.extend(self.key(value, collection));
                }
                needs.extend(self.defaults(expr));
                needs
            }
            Literal::Expr { expr, .. } => self.defaults(expr),
            _ => Vec::new(),
        }
    }

    /// `"requested" in object.keys(input.change.name)`
    fn key(&self, value: &Expr, collection: &Expr) -> Option<Need> {
        let Expr::Call { fcn, params, .. } = collection else {
            return None;
        };
        let [object] = params.as_slice() else {
            return None;
        };
        let name = walk::written(value)?;
        if program::dotted(fcn)? != ["object", "keys"] {
            return None;
        }
        let mut way = self.ways(object).into_iter().next()?;
        way.push(Some(name.to_owned()));
        need(&way)
    }

    /// The members for which something else is taken where they are absent.
    fn defaults(&self, expr: &Expr) -> Vec<Need> {
        let mut needs = Vec::new();
        Self::each_call(expr, &mut |call| {
            needs.extend(self.known.scope.defaulted(call).iter().filter_map(need));
        });
        needs
    }

    fn each_call(expr: &Expr, see: &mut dyn FnMut(&Expr)) {
        match expr {
            Expr::Call { params, .. } => {
                see(expr);
                for param in params {
                    Self::each_call(param, see);
                }
            }
            Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::BinExpr { lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => {
                Self::each_call(lhs, see);
                Self::each_call(rhs, see);
            }
            Expr::Membership {
                value, collection, ..
            } => {
                Self::each_call(value, see);
                Self::each_call(collection, see);
            }
            _ => {}
        }
    }

    /// What OPA looks up within a negation: a reference, and one that is compared with `==`.
    fn compared(negated: &Expr) -> Vec<&Expr> {
        match negated {
            Expr::BoolExpr {
                op: BoolOp::Eq,
                lhs,
                rhs,
                ..
            }
            | Expr::AssignExpr {
                op: AssignOp::Eq,
                lhs,
                rhs,
                ..
            } => {
                let sides = [lhs.as_ref(), rhs.as_ref()];
                sides
                    .into_iter()
                    .filter(|side| is_reference(side))
                    .collect()
            }
            _ if is_reference(negated) => vec![negated],
            _ => Vec::new(),
        }
    }

    /// What is certain of a request of which a statement holds. What only holds because nobody looked at a danger
    /// is not: somebody may not have thought of it.
    pub(super) fn required(&self, statement: &LiteralStmt) -> Required {
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
    pub(super) fn required_of(&self, expr: &Expr) -> Required {
        let mut all = Required::default();
        match expr {
            Expr::AssignExpr {
                op: AssignOp::ColEq,
                rhs,
                ..
            } if is_predicate(rhs) => return all,
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
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

    /// What a name of the rule was bound to, where that is true or false.
    pub(super) fn bound(&self, name: &Expr) -> Option<&'a Expr> {
        let Expr::Var { span, .. } = name else {
            return None;
        };
        let statements = self.within.iter().flat_map(|query| &query.stmts);
        statements.into_iter().find_map(|statement| match &statement.literal {
            Literal::Expr { expr, .. } => match expr.as_ref() {
                Expr::AssignExpr { op: AssignOp::ColEq, lhs, rhs, .. } => {
                    let is_it = matches!(lhs.as_ref(), Expr::Var { span: of, .. } if of.text() == span.text());
                    is_it.then(|| rhs.as_ref())
                }
                _ => None,
            },
            _ => None,
        })
    }

    /// The operations that an expression says, if it says nothing else.
    pub(super) fn operations(&self, expr: &Expr) -> Option<Operations> {
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
                (true, _) => vec![walk::written(rhs)?.to_owned()],
                (_, true) => vec![walk::written(lhs)?.to_owned()],
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
        let texts = |expr: &Expr| match expr {
            Expr::Array { items, .. } | Expr::Set { items, .. } => items
                .iter()
                .map(|item| walk::written(item).map(str::to_owned))
                .collect(),
            _ => None,
        };
        let rules = self.policies.meant(self.known, collection);
        let [rule] = rules.as_slice() else {
            return texts(collection);
        };
        match verdicts::values(self.policies.rules.get(*rule)?.rule).as_slice() {
            [value] => texts(value),
            _ => None,
        }
    }

    /// The members for which a statement would hold, were they nothing, and without which it is undefined.
    pub(super) fn statement_dangers(&self, statement: &LiteralStmt) -> Vec<Need> {
        if !statement.with_mods.is_empty() {
            return Vec::new();
        }
        match &statement.literal {
            Literal::Expr { expr, .. } => self.dangers(expr, false),
            Literal::NotExpr { expr, .. } => {
                let loud = Self::compared(expr);
                let loud: Vec<Need> = loud
                    .into_iter()
                    .flat_map(|side| self.members(side))
                    .collect();
                let mut found = self.dangers(expr, true);
                found.retain(|need| !loud.contains(need));
                found
            }
            Literal::Every { domain, .. } => self.needs(domain),
            Literal::SomeVars { .. } | Literal::SomeIn { .. } => Vec::new(),
        }
    }

    /// The same for an expression, or for its being false.
    pub(super) fn dangers(&self, expr: &Expr, negated: bool) -> Vec<Need> {
        if let Some((other, is_wanted)) = truth(expr)
            && (self.bound(other).is_some() || is_predicate(other))
        {
            return self.dangers(other, negated == is_wanted);
        }
        match expr {
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } if negated => {
                match self.bound(expr) {
                    Some(bound) if is_predicate(bound) => self.dangers(bound, true),
                    _ => indices(expr)
                        .into_iter()
                        .flat_map(|index| self.needs(index))
                        .collect(),
                }
            }
            Expr::Membership { .. } if negated => self.needs(expr),
            Expr::Call { .. } if negated || is_text(expr) => self.needs(expr),
            Expr::AssignExpr {
                op: AssignOp::ColEq,
                lhs,
                rhs,
                ..
            } if self.is_told(lhs) => self.texts(rhs),
            Expr::Object { .. } => self.texts(expr),
            Expr::BoolExpr { op, lhs, rhs, .. } => self.compared_dangers(op, lhs, rhs, negated),
            Expr::AssignExpr {
                op: AssignOp::Eq,
                lhs,
                rhs,
                ..
            } => self.compared_dangers(&BoolOp::Eq, lhs, rhs, negated),
            _ => Vec::new(),
        }
    }

    /// What is only there to be told, and silences who tells it.
    fn texts(&self, expr: &Expr) -> Vec<Need> {
        match expr {
            Expr::Object { fields, .. } => {
                let values = fields.iter().map(|(_, _, value)| value);
                values.flat_map(|value| self.needs(value)).collect()
            }
            _ if is_text(expr) => self.needs(expr),
            _ => Vec::new(),
        }
    }

    /// Whether a name is given a value to be told, and no condition asks for it.
    fn is_told(&self, name: &Expr) -> bool {
        let Expr::Var { span, .. } = name else {
            return false;
        };
        let statements = self.within.iter().flat_map(|query| &query.stmts);
        let mut conditions = statements.filter(|statement| match &statement.literal {
            Literal::Expr { expr, .. } => match expr.as_ref() {
                Expr::AssignExpr {
                    op: AssignOp::ColEq,
                    rhs,
                    ..
                } => !matches!(rhs.as_ref(), Expr::Object { .. }) && !is_text(rhs),
                _ => true,
            },
            _ => true,
        });
        !conditions.any(|statement| {
            let mut asks = false;
            walk::statement(statement, &mut |site| {
                if let walk::Site::Reference(reference) = site {
                    asks |= program::known(reference)
                        .first()
                        .is_some_and(|first| *first == span.text());
                }
            });
            asks
        })
    }

    fn compared_dangers(&self, op: &BoolOp, lhs: &Expr, rhs: &Expr, negated: bool) -> Vec<Need> {
        let op = effective(op, negated);
        match op {
            BoolOp::Eq => {
                let counts = [(lhs, rhs), (rhs, lhs)];
                let empty = counts
                    .into_iter()
                    .find(|(one, other)| is_count(one) && is_zero(other));
                empty
                    .map(|(count, _)| self.needs(count))
                    .unwrap_or_default()
            }
            BoolOp::Ne => {
                let sides = [(lhs, rhs), (rhs, lhs)];
                // Whether there is something.
                if sides
                    .into_iter()
                    .any(|(one, other)| is_empty(one) || (is_count(other) && is_zero(one)))
                {
                    return Vec::new();
                }
                let (mut needs, other) = (self.needs(lhs), self.needs(rhs));
                let is_of_both = !needs.is_empty() && !other.is_empty();
                needs.extend(other);
                // Who asks for nothing asks for nothing else than there is.
                if is_of_both && needs.iter().any(|need| !need.is_wish()) {
                    needs.retain(|need| !need.is_wish());
                }
                needs
            }
            BoolOp::Lt | BoolOp::Le => self.less(lhs, rhs),
            BoolOp::Gt | BoolOp::Ge => self.less(rhs, lhs),
        }
    }

    /// Nothing is less than anything, and for ever is later.
    fn less(&self, lower: &Expr, upper: &Expr) -> Vec<Need> {
        let lower = self
            .needs(lower)
            .into_iter()
            .filter(|need| !need.is_endless());
        let upper = self.needs(upper).into_iter().filter(Need::is_endless);
        lower.chain(upper).collect()
    }
}

/// When what is needed is absent, but for the dangers.
fn without(mut needs: Vec<Need>, dangers: &[Need]) -> BTreeSet<String> {
    needs.retain(|need| !dangers.contains(need));
    needs.into_iter().flat_map(|need| need.when).collect()
}

fn need(way: &Read) -> Option<Need> {
    if way.first()?.as_deref() != Some("input") {
        return None;
    }
    let steps: Vec<Option<&str>> = way.iter().map(Option::as_deref).collect();
    let when = input::absences(&steps);
    let named: Vec<&str> = steps.into_iter().map_while(|step| step).collect();
    (!when.is_empty()).then(|| Need {
        member: named.join("."),
        when,
    })
}

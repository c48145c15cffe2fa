//! The members for which something would hold, were they nothing, and without which it is undefined.

use regorus::unstable::{AssignOp, BoolOp, Expr, Literal, LiteralStmt};

use super::{Need, Seen};
use crate::policy::absent::forms::{
    effective, is_count, is_empty, is_predicate, is_text, is_zero, truth,
};
use crate::policy::rego::syntax::{is_reference, parts, variable};

impl Seen<'_, '_, '_> {
    /// The members for which a statement would hold, were they nothing, and without which it is undefined.
    pub(in crate::policy::absent) fn statement_dangers(
        &self,
        statement: &LiteralStmt,
    ) -> Vec<Need> {
        if !statement.with_mods.is_empty() {
            return Vec::new();
        }
        match &statement.literal {
            Literal::Expr { expr, .. } => self.dangers(expr, false),
            Literal::NotExpr { expr, .. } => {
                let loud = self.loud(expr);
                let mut found = self.dangers(expr, true);
                found.retain(|need| !loud.contains(need));
                found
            }
            Literal::Every { domain, .. } => self.needs(domain),
            Literal::SomeVars { .. } | Literal::SomeIn { .. } => Vec::new(),
        }
    }

    /// The same for an expression, or for its being false.
    pub(in crate::policy::absent) fn dangers(&self, expr: &Expr, negated: bool) -> Vec<Need> {
        if let Some((other, is_wanted)) = truth(expr)
            && (self.bound(other).is_some() || is_predicate(other))
        {
            return self.dangers(other, negated == is_wanted);
        }
        match expr {
            _ if negated && is_reference(expr) => match self.bound(expr) {
                Some(bound) if is_predicate(bound) => self.dangers(bound, true),
                _ => {
                    let parts = parts(expr).into_iter();
                    parts.flat_map(|part| self.needs(part)).collect()
                }
            },
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
        let Some(name) = variable(name) else {
            return false;
        };
        !self.within.iter().any(|around| around.asks(name.text()))
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

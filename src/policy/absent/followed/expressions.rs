//! Follows what an expression asks for, and how that is used there: each form uses its parts in a way of its own, which the
//! visitor does not know.

use regorus::unstable::{Expr, Ref};

use super::{Followed, Here};
use crate::policy::absent::forms::{self, side_that_grows};
use crate::policy::absent::used::{Effect, Use};
use crate::policy::rego::syntax::{self, is_reference};

impl<'a> Followed<'_, 'a> {
    /// Follows what an expression asks for.
    pub(super) fn expression(&mut self, rule: usize, expr: &'a Expr, here: &Here<'a>, used: Use) {
        let less = if used.negated {
            used.less.opposite()
        } else {
            used.less
        };
        if let Some((collected, query)) = syntax::comprehension(expr) {
            let within = self.query(rule, query, here, less);
            for value in collected {
                self.value(rule, Some(value), &within, less, Use::plain(less));
            }
            return;
        }
        match expr {
            Expr::ArithExpr { lhs, rhs, .. } => {
                self.expression(rule, lhs, here, used.part(less));
                self.expression(rule, rhs, here, used.part(less.opposite()));
            }
            Expr::BoolExpr { lhs, rhs, .. } => {
                self.comparison(rule, expr, [lhs.as_ref(), rhs.as_ref()], here, used);
            }
            Expr::Membership {
                key,
                value,
                collection,
                ..
            } => {
                for part in key.iter().chain([value]) {
                    self.expression(rule, part, here, used.part(Effect::Unclear));
                }
                self.expression(rule, collection, here, used.part(less));
            }
            _ => {
                for part in syntax::parts(expr) {
                    self.expression(rule, part, here, used.part(less));
                }
            }
        }
        match expr {
            Expr::Call { fcn, params, .. } => {
                self.call(rule, fcn, params, here, Use { less, ..used });
            }
            _ if is_reference(expr) => self.reference(rule, expr, here, Use { less, ..used }),
            _ => {}
        }
    }

    fn call(
        &mut self,
        rule: usize,
        function: &Expr,
        params: &[Ref<Expr>],
        here: &Here<'a>,
        used: Use,
    ) {
        let Some(known) = self.policies.rules.get(rule) else {
            return;
        };
        let seen = self.seen(known, here);
        let given = params.iter().flat_map(|param| seen.ways(param)).collect();
        let rules = self.policies.function(known, function);
        let here = Here {
            given: Some(given),
            ..here.clone()
        };
        self.enter(&rules, &here, used);
    }

    fn comparison(
        &mut self,
        rule: usize,
        expr: &'a Expr,
        sides: [&'a Expr; 2],
        here: &Here<'a>,
        used: Use,
    ) {
        let undefined = |side: &Expr| {
            if is_reference(side) {
                used.undefined
            } else {
                used.parts
            }
        };
        if let Some((other, is_wanted)) = forms::truth(expr) {
            let used = Use {
                undefined: undefined(other),
                negated: used.negated == is_wanted,
                ..used
            };
            return self.expression(rule, other, here, used);
        }
        let grows = side_that_grows(expr, used.negated);
        for (number, side) in sides.into_iter().enumerate() {
            let less = match grows {
                Some(grows) if grows == number => used.less,
                Some(_) => used.less.opposite(),
                None => Effect::Unclear,
            };
            let used = Use {
                undefined: undefined(side),
                ..used.part(less)
            };
            self.expression(rule, side, here, used);
        }
    }

    fn reference(&mut self, rule: usize, expr: &'a Expr, here: &Here<'a>, used: Use) {
        let Some(known) = self.policies.rules.get(rule) else {
            return;
        };
        // What it was bound to was followed there, but not as what it is used for.
        if used.negated
            && let Some(value) = self.seen(known, here).bound(expr)
        {
            let used = Use {
                undefined: used.parts,
                ..used
            };
            return self.expression(rule, value, here, used);
        }
        let rules = self.policies.meant(known, expr);
        let here = Here {
            given: None,
            ..here.clone()
        };
        self.enter(&rules, &here, used);
    }
}

//! What statements ask for: the members that they need. What they require of a request is for [`required`] to say, and
//! which of them hold for nothing for [`dangers`].
//!
//! It reads one statement, or one expression, at a time, and follows names; where that leads is for its caller. The visitor
//! of [`walk`](crate::policy::rego::walk) would not do: what a part means for the whole differs from form to form.

mod dangers;
mod required;

use std::ptr;
use std::rc::Rc;

use regorus::unstable::{AssignOp, BoolOp, Expr, Literal, LiteralStmt, Rule, RuleHead};
use serde_json::Value as Json;

use super::around::Around;
use super::forms::is_predicate;
use super::policies::{Known, Policies};
use crate::policy::input;
use crate::policy::rego::program::{Read, dotted, known};
use crate::policy::rego::syntax::{self, is_reference, variable};
use crate::policy::rego::word::follows_a_dot;

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
    /// The queries around it.
    pub(super) within: &'h [Rc<Around<'a>>],
}

impl<'a> Seen<'_, 'a, '_> {
    /// The ways into the input that an expression may mean here.
    pub(super) fn ways(&self, expr: &Expr) -> Vec<Read> {
        let mut ways = self.known.scope.ways(expr);
        let first = known(expr).into_iter().next();
        if let Some(given) = self.given
            && first.is_some_and(|first| self.known.arguments.contains(first.as_str()))
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
        let (mut needs, mut of_value) = (Vec::new(), Vec::new());
        let mut parts = syntax::parts(expr);
        match expr {
            Expr::Call { fcn, .. } => {
                let name = dotted(fcn).unwrap_or_default().join(".");
                match name.as_str() {
                    "print" | "trace" => parts.clear(),
                    "object.get" => parts.truncate(2),
                    _ => {}
                }
            }
            Expr::AssignExpr {
                op: AssignOp::ColEq,
                rhs,
                ..
            } => parts = vec![rhs],
            _ if is_reference(expr) => {
                needs = self.members(expr);
                of_value = self.of_value(expr);
            }
            _ => {}
        }
        needs.extend(parts.into_iter().flat_map(|part| self.needs(part)));
        needs.extend(of_value);
        needs
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
        let rule = known.definition.rule;
        let (
            Rule::Spec {
                head: RuleHead::Compr { .. },
                bodies,
                ..
            },
            Some(value),
        ) = (rule, syntax::value(rule))
        else {
            return Vec::new();
        };
        // What it is false of is another matter.
        if bodies.len() > 1 || ptr::eq(known, self.known) || is_predicate(value) {
            return Vec::new();
        }
        let within = bodies.iter().map(|body| Rc::new(Around::of(&body.query)));
        let within: Vec<Rc<Around<'_>>> = within.collect();
        let seen = Seen {
            policies: self.policies,
            known,
            given: None,
            within: &within,
        };
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
                let loud = self.loud(expr);
                let mut needs = match variable(expr) {
                    Some(_) => Vec::new(),
                    None => self.needs(expr),
                };
                needs.retain(|need| !loud.contains(need));
                needs
            }
            Literal::SomeIn { collection, .. } => self.needs(collection),
            Literal::Every { domain, .. } => self.needs(domain),
        }
    }

    /// The members whose absence makes a negation of this true.
    fn loud(&self, negated: &Expr) -> Vec<Need> {
        let sides = Self::compared(negated).into_iter();
        sides.flat_map(|side| self.members(side)).collect()
    }

    /// The members that a statement asks the absence of.
    pub(super) fn asks(&self, statement: &LiteralStmt) -> Vec<Need> {
        match &statement.literal {
            Literal::NotExpr { expr, .. } => {
                let mut needs = self.loud(expr);
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
        let name = syntax::written(value)?;
        if dotted(fcn)? != ["object", "keys"] {
            return None;
        }
        let mut way = self.ways(object).into_iter().next()?;
        way.push(Some(name.to_owned()));
        need(&way)
    }

    /// The members for which something else is taken where they are absent.
    fn defaults(&self, expr: &Expr) -> Vec<Need> {
        let own = self.known.scope.defaulted(expr);
        let mut needs: Vec<Need> = own.iter().filter_map(need).collect();
        let parts = syntax::parts(expr).into_iter();
        needs.extend(parts.flat_map(|part| self.defaults(part)));
        needs
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

    /// What a name of the rule was bound to.
    pub(super) fn bound(&self, name: &Expr) -> Option<&'a Expr> {
        let name = variable(name)?.text();
        let mut within = self.within.iter();
        within.find_map(|around| around.assigned(name))
    }
}

fn need(way: &Read) -> Option<Need> {
    if way.first()?.as_deref() != Some("input") {
        return None;
    }
    let steps: Vec<Option<&str>> = way.iter().map(Option::as_deref).collect();
    let when = input::absences(&steps);
    let named: Vec<&str> = steps.into_iter().map_while(|step| step).collect();
    (!when.is_empty()).then(|| Need {
        member: written(&named),
        when,
    })
}

/// A member as policies write it.
fn written(steps: &[&str]) -> String {
    let mut text = String::new();
    for step in steps {
        match text.as_str() {
            "" => text.push_str(step),
            _ if follows_a_dot(step) => text.extend([".", step]),
            _ => text.extend(["[", &Json::from(*step).to_string(), "]"]),
        }
    }
    text
}

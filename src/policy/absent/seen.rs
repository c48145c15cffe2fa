//! What statements ask for: the members that they need. What they require of a request is for [`required`] to say, and
//! which of them hold for nothing for [`dangers`].
//!
//! It reads one statement, or one expression, at a time, and follows names; where that leads is for its caller.

mod dangers;
mod required;

use regorus::unstable::{AssignOp, BoolOp, Expr, Literal, LiteralStmt, Query, Rule, RuleHead};
use serde_json::Value as Json;

use super::forms::{indices, is_predicate, is_reference};
use super::policies::{Known, Policies};
use crate::policy::input;
use crate::policy::rego::program::{self, Read};
use crate::policy::rego::walk;
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
                let loud = self.loud(expr);
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

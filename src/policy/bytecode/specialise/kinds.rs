//! What kind of value an expression has, as far as that is certain: sets that are joined and numbers that are
//! compared must be sets and numbers, because the bytecode engine takes an error for silence. Each form has a kind for a
//! reason of its own.

use std::collections::BTreeMap;

use regorus::Value;
use regorus::unstable::{BinOp, Expr, Rule, RuleHead};

use crate::policy::builtins;
use crate::policy::rego::program::{self, Definition, Path, Program};
use crate::policy::rego::syntax::{self, Binding, Form, given};
use crate::policy::rego::walk;

/// Kinds that matter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Array,
    Number,
    Object,
    Set,
    /// Anything else, or not known.
    Other,
}

impl Kind {
    pub(super) fn has_members(self) -> bool {
        matches!(self, Self::Array | Self::Object | Self::Set)
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Array(_) => Self::Array,
            Value::Number(_) => Self::Number,
            Value::Object(_) => Self::Object,
            Value::Set(_) => Self::Set,
            _ => Self::Other,
        }
    }
}

/// Everything that kinds are read off.
pub(super) struct Kinds<'a> {
    pub(super) program: &'a Program<'a>,
    /// The values of rules that do not depend on the input.
    pub(super) known: &'a BTreeMap<Path, Value>,
    data: &'a Value,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(
        program: &'a Program<'a>,
        known: &'a BTreeMap<Path, Value>,
        data: &'a Value,
    ) -> Self {
        Self {
            program,
            known,
            data,
        }
    }

    /// Of an expression in a rule; `depth` ends circles, which rules cannot have but names can.
    pub(super) fn of(&self, within: &Definition<'_>, expr: &Expr, depth: usize) -> Kind {
        let Some(depth) = depth.checked_sub(1) else {
            return Kind::Other;
        };
        // What is assigned is written so.
        if let Expr::RefBrack { refr, index, .. } = expr
            && let Expr::Array { items, .. } = refr.as_ref()
            && let [only] = items.as_slice()
            && index.span().text() == "0"
        {
            return self.of(within, only, depth);
        }
        match (syntax::form(expr), expr) {
            (Form::Number, _) => Kind::Number,
            (Form::Array, _) => Kind::Array,
            (Form::Object, _) => Kind::Object,
            (Form::Set, _)
            | (
                _,
                Expr::BinExpr {
                    op: BinOp::Intersection | BinOp::Union,
                    ..
                },
            ) => Kind::Set,
            (_, Expr::ArithExpr { lhs, .. }) => self.of(within, lhs, depth),
            (_, Expr::Call { fcn, params, .. }) => {
                let (name, params) = program::called(fcn, params);
                match name.unwrap_or_default().join(".").as_str() {
                    "abs"
                    | "ceil"
                    | "count"
                    | "div"
                    | "floor"
                    | "indexof"
                    | "mul"
                    | "plus"
                    | "rem"
                    | "round"
                    | "time.add_date"
                    | "time.parse_rfc3339_ns" => Kind::Number,
                    // Of sets it is a set, and of numbers a number.
                    "minus" => params
                        .first()
                        .map_or(Kind::Other, |one| self.of(within, one, depth)),
                    builtins::DOCUMENT | builtins::OBJECT => Kind::Object,
                    "object.keys" => Kind::Set,
                    // Or an object: both have members.
                    builtins::MEMBERS
                    | builtins::WALKED
                    | "array.concat"
                    | "array.slice"
                    | "split" => Kind::Array,
                    _ => Kind::Other,
                }
            }
            (Form::Reference, _) => self.of_reference(within, expr, depth),
            _ => Kind::Other,
        }
    }

    fn of_reference(&self, within: &Definition<'_>, expr: &Expr, depth: usize) -> Kind {
        let first = program::known(expr).into_iter().next().unwrap_or_default();
        match within.bound.get(&first) {
            None => {
                let way = within.names.way(expr);
                way.map_or(Kind::Other, |way| self.of_path(&way, depth))
            }
            Some(1) if syntax::variable(expr).is_some() => {
                let value = assigned(within.rule, &first);
                value.map_or(Kind::Other, |value| self.of(within, value, depth))
            }
            Some(_) => Kind::Other,
        }
    }

    /// Of a whole path from `data` on.
    fn of_path(&self, path: &[Option<String>], depth: usize) -> Kind {
        for length in (1..=path.len()).rev() {
            let prefix: Option<Path> = path.iter().take(length).cloned().collect();
            let Some(prefix) = prefix else {
                continue;
            };
            let rest = path.get(length..).unwrap_or_default();
            if let Some(value) = self.known.get(&prefix) {
                return below(value, rest);
            }
            if let Some(kind) = self.of_rule(&prefix, rest.is_empty(), depth) {
                return kind;
            }
        }
        match path {
            [Some(data), rest @ ..] if data == "data" => below(self.data, rest),
            _ => Kind::Other,
        }
    }

    /// Of a rule, when there is one of that path: that of all its definitions.
    fn of_rule(&self, path: &Path, whole: bool, depth: usize) -> Option<Kind> {
        let definitions = self.program.root(path);
        let mut kinds = definitions.into_iter().map(|definition| {
            match (definition.rule, syntax::value(definition.rule)) {
                (rule, Some(_)) if syntax::is_set(rule) => Kind::Set,
                (
                    Rule::Spec {
                        head: RuleHead::Compr { refr, .. },
                        bodies,
                        ..
                    },
                    Some(value),
                ) if syntax::variable(refr).is_some()
                    && bodies.iter().all(|body| !body.is_else) =>
                {
                    self.of(definition, value, depth)
                }
                (Rule::Default { value, .. }, _) => self.of(definition, value, depth),
                _ => Kind::Other,
            }
        });
        let first = kinds.next()?;
        let same = kinds.all(|kind| kind == first);
        Some(if same && whole { first } else { Kind::Other })
    }
}

/// Of what is found below a value; a step that is not known may be any.
fn below(value: &Value, steps: &[Option<String>]) -> Kind {
    let Some((first, rest)) = steps.split_first() else {
        return Kind::of(value);
    };
    let Ok(members) = value.as_object() else {
        return Kind::Other;
    };
    if let Some(name) = first {
        let member = members.get(&Value::from(name.as_str()));
        return member.map_or(Kind::Other, |value| below(value, rest));
    }
    let mut kinds = members.iter().map(|(_, value)| below(value, rest));
    let first = kinds.next().unwrap_or(Kind::Other);
    if kinds.all(|kind| kind == first) {
        first
    } else {
        Kind::Other
    }
}

/// What a rule assigns to a name, anywhere in its queries, if it does so once.
fn assigned<'r>(rule: &'r Rule, name: &str) -> Option<&'r Expr> {
    let mut found = Vec::new();
    walk::queries(rule, &mut |query| {
        let all = query.stmts.iter().filter_map(given);
        found.extend(all.filter(|(given, _, how)| *given == name && *how == Binding::Assigned));
    });
    match found.as_slice() {
        [(_, value, _)] => Some(value),
        _ => None,
    }
}

//! What kind of value an expression has, as far as that is certain: sets that are joined and numbers that are
//! compared must be sets and numbers, because the bytecode engine takes an error for silence.

use std::collections::BTreeMap;

use regorus::Value;
use regorus::unstable::{AssignOp, BinOp, Expr, Literal, Module, Query, Ref, Rule, RuleHead};

use crate::policy::builtins;
use crate::policy::rego::program::{self, Names, Path};
use crate::policy::rego::walk::{self, Site};

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
    pub(super) modules: &'a [Ref<Module>],
    pub(super) definitions: BTreeMap<Path, Vec<(&'a Module, &'a Rule)>>,
    /// The values of rules that do not depend on the input.
    pub(super) known: &'a BTreeMap<Path, Value>,
    data: &'a Value,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(
        modules: &'a [Ref<Module>],
        known: &'a BTreeMap<Path, Value>,
        data: &'a Value,
    ) -> Self {
        let mut definitions: BTreeMap<Path, Vec<_>> = BTreeMap::new();
        for module in modules {
            let names = Names::of(module);
            for rule in &module.policy {
                if let Some(path) = program::path_of(&names, rule) {
                    definitions
                        .entry(path)
                        .or_default()
                        .push((&**module, &**rule));
                }
            }
        }
        Self {
            modules,
            definitions,
            known,
            data,
        }
    }

    /// Of an expression in a rule; `depth` ends circles, which rules cannot have but names can.
    pub(super) fn of(&self, names: &Names<'_>, rule: &Rule, expr: &Expr, depth: usize) -> Kind {
        let Some(depth) = depth.checked_sub(1) else {
            return Kind::Other;
        };
        // What is assigned is written so.
        if let Expr::RefBrack { refr, index, .. } = expr
            && let Expr::Array { items, .. } = refr.as_ref()
            && let [only] = items.as_slice()
            && index.span().text() == "0"
        {
            return self.of(names, rule, only, depth);
        }
        match expr {
            Expr::Number { .. } => Kind::Number,
            Expr::Array { .. } | Expr::ArrayCompr { .. } => Kind::Array,
            Expr::Object { .. } | Expr::ObjectCompr { .. } => Kind::Object,
            Expr::Set { .. }
            | Expr::SetCompr { .. }
            | Expr::BinExpr {
                op: BinOp::Intersection | BinOp::Union,
                ..
            } => Kind::Set,
            Expr::ArithExpr { lhs, .. } => self.of(names, rule, lhs, depth),
            Expr::Call { fcn, params, .. } => {
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
                        .map_or(Kind::Other, |one| self.of(names, rule, one, depth)),
                    builtins::OBJECT => Kind::Object,
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
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                self.of_reference(names, rule, expr, depth)
            }
            _ => Kind::Other,
        }
    }

    fn of_reference(&self, names: &Names<'_>, rule: &Rule, expr: &Expr, depth: usize) -> Kind {
        let steps: Vec<Option<String>> = walk::path(expr)
            .unwrap_or_default()
            .into_iter()
            .map(|step| step.name)
            .collect();
        let Some(Some(first)) = steps.first() else {
            return Kind::Other;
        };
        match bindings(rule).get(first) {
            None => {}
            Some(1) if steps.len() == 1 => {
                return assigned(rule, first)
                    .map_or(Kind::Other, |value| self.of(names, rule, &value, depth));
            }
            Some(_) => return Kind::Other,
        }
        if let Some(import) = names.imports.get(first) {
            let rest = steps.iter().skip(1).cloned();
            let whole: Vec<Option<String>> = import.iter().cloned().map(Some).chain(rest).collect();
            return self.of_path(&whole, depth);
        }
        if first == "data" || first == "input" {
            return self.of_path(&steps, depth);
        }
        let package = names.package.iter().cloned().map(Some);
        self.of_path(&package.chain(steps).collect::<Vec<_>>(), depth)
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
        let definitions = self.definitions.get(path)?;
        let mut kinds = definitions.iter().map(|(module, rule)| {
            let names = Names::of(module);
            match rule {
                Rule::Spec {
                    head: RuleHead::Set { key: Some(_), .. },
                    ..
                } => Kind::Set,
                Rule::Spec {
                    head:
                        RuleHead::Compr {
                            refr,
                            assign: Some(assign),
                            ..
                        },
                    bodies,
                    ..
                } if matches!(refr.as_ref(), Expr::Var { .. })
                    && bodies.iter().all(|body| !body.is_else) =>
                {
                    self.of(&names, rule, &assign.value, depth)
                }
                Rule::Default { value, .. } => self.of(&names, rule, value, depth),
                Rule::Spec { .. } => Kind::Other,
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

/// How often a rule binds each name.
pub(super) fn bindings(rule: &Rule) -> BTreeMap<String, usize> {
    let mut bindings = BTreeMap::new();
    walk::rule(rule, &mut |site| {
        if let Site::Binding(name) = site
            && name.text() != "_"
        {
            *bindings.entry(name.text().to_owned()).or_default() += 1;
        }
    });
    bindings
}

/// What a rule assigns to a name, anywhere in its bodies, if it does so once.
fn assigned(rule: &Rule, name: &str) -> Option<Ref<Expr>> {
    let mut found = Vec::new();
    if let Rule::Spec { head, bodies, .. } = rule {
        let assigned = match head {
            RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => assign.as_ref(),
            RuleHead::Set { .. } => None,
        };
        for value in assigned.iter().map(|assign| &assign.value) {
            in_expression(value, name, &mut found);
        }
        for body in bodies {
            in_query(&body.query, name, &mut found);
        }
    }
    match found.as_slice() {
        [value] => Some(value.clone()),
        _ => None,
    }
}

fn in_query(query: &Query, name: &str, found: &mut Vec<Ref<Expr>>) {
    for statement in &query.stmts {
        if let Literal::Expr { expr, .. } = &statement.literal {
            if let Expr::AssignExpr {
                op: AssignOp::ColEq,
                lhs,
                rhs,
                ..
            } = expr.as_ref()
                && matches!(lhs.as_ref(), Expr::Var { span, .. } if span.text() == name)
            {
                found.push(rhs.clone());
            } else {
                in_expression(expr, name, found);
            }
        }
    }
}

/// Comprehensions bind names too.
fn in_expression(expr: &Expr, name: &str, found: &mut Vec<Ref<Expr>>) {
    if let Expr::ArrayCompr { query, .. }
    | Expr::SetCompr { query, .. }
    | Expr::ObjectCompr { query, .. } = expr
    {
        in_query(query, name, found);
    }
}

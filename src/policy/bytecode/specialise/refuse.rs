//! What the bytecode engine may not be given.
//!
//! Where the interpreter fails, and so denies, the bytecode finds nothing, and so lets pass. Builtins tell when they
//! fail ([`watch`]); what can fail otherwise is refused here unless it is certain that it cannot: joining what are no
//! sets, comparing what are no numbers, a rule or a member with two values. What the bytecode would take for a value
//! although it is undefined is refused too: in a comprehension, in a set, before an `else`. So is what its compiler was
//! seen to read wrongly.

use std::borrow::Cow;

use regorus::Value;
use regorus::unstable::{
    ArithOp, AssignOp, BoolOp, Expr, Literal, Query, Ref, Rule, RuleHead, Span,
};

use super::kinds::{Kind, Kinds};
use super::{DEPTH, order};
use crate::policy::builtins;
use crate::policy::bytecode::watch;
use crate::policy::rego::certain;
use crate::policy::rego::edit::{colon, whole};
use crate::policy::rego::program::{self, Definition, Path};
use crate::policy::rego::rests::{Rules, is_verdict};
use crate::policy::rego::syntax::{self, literal};
use crate::policy::rego::walk::{self, Site};

/// The rules that could fail unnoticed, each with the first place in it and what stands there.
pub(super) fn what_can_fail(rules: &Rules, kinds: &Kinds<'_>) -> Vec<(Path, String)> {
    let mut found = Vec::new();
    for definition in &kinds.program.definitions {
        let (rule, path) = (definition.rule, definition.root().map(<[_]>::to_vec));
        // Its value is known: it is not evaluated any more.
        if path
            .as_ref()
            .is_some_and(|path| kinds.known.contains_key(path))
        {
            continue;
        }
        let scope = Scope {
            definition,
            rules,
            kinds,
            walks: order::walks_in(rule),
        };
        let told = |span: &Span, what: &str| {
            let place = program::at(span, "");
            format!("{}:{}: {what}", place.path, place.line)
        };
        let shape = scope.shape(path.as_ref());
        let mut refused = shape.map(|what| told(rule.span(), what));
        walk::rule(rule, &mut |site| {
            if refused.is_none() {
                refused = scope.refusal(site).map(|(span, what)| told(span, &what));
            }
        });
        if let Some(refused) = refused {
            // A rule without a path may be any of its package.
            found.push((
                path.unwrap_or_else(|| definition.package().clone()),
                refused,
            ));
        }
    }
    found
}

/// The compiler leaves the others out.
const MOST_ARGUMENTS: usize = 8;

const UNDEFINED: &str =
    "collects what may be undefined: bind it first, as in name := input.change.name.current";

/// A rule, and what its names mean.
struct Scope<'a> {
    definition: &'a Definition<'a>,
    rules: &'a Rules,
    kinds: &'a Kinds<'a>,
    /// How often the rule walks through something.
    walks: i32,
}

impl Scope<'_> {
    /// What is wrong with one site, and where.
    fn refusal<'s>(&self, site: Site<'s>) -> Option<(&'s Span, Cow<'static, str>)> {
        let (span, what) = match site {
            Site::With(expr) => (expr.span(), Some("uses with".into())),
            Site::Call {
                function,
                arguments,
            } => (function.span(), self.call(function, arguments)),
            Site::Operation(expr) => (expr.span(), self.operation(expr).map(Cow::Borrowed)),
            Site::Pattern(expr) => {
                let what = "takes a value apart, or compares where it binds a name";
                let is_name = matches!(expr, Expr::Var { .. });
                (expr.span(), (!is_name).then_some(what.into()))
            }
            Site::Binding(name) => (name, self.binding(name.text()).map(Cow::Borrowed)),
            Site::Declared(name) => (
                name,
                Some("finds a name by an index (write `some … in`)".into()),
            ),
            Site::Every { .. } | Site::Replacing(_) | Site::Text(_) => return None,
            Site::Members(expr) => {
                let kind = self.kinds.of(self.definition, expr, DEPTH);
                let open = !kind.has_members() && whole(expr).is_none();
                let what = "walks through what may have no members";
                (expr.span(), open.then_some(what.into()))
            }
            Site::Reference(reference) => (
                reference.span(),
                self.reference(reference).map(Cow::Borrowed),
            ),
        };
        Some((span, what?))
    }

    fn call(&self, function: &Expr, arguments: &[Ref<Expr>]) -> Option<Cow<'static, str>> {
        let (name, arguments) = program::called(function, arguments);
        let name = name.unwrap_or_default();
        let function = self.kinds.program.function(&self.definition.names, &name);
        let arity = if let Some((_, arity)) = function {
            arity
        } else {
            let name = name.join(".");
            let is_watched = builtins::is_only_ours(&name) || watch::watched(&name).is_some();
            if name == watch::ITERABLE || !is_watched {
                return Some(format!("uses {name}").into());
            }
            builtins::arity(&name).unwrap_or_default()
        };
        if arguments.len() > MOST_ARGUMENTS {
            return Some("hands over many arguments".into());
        }
        (arguments.len() != arity).then_some("hands a result to an argument".into())
    }

    fn binding(&self, name: &str) -> Option<&'static str> {
        if self.bound(name) > 1 {
            return Some("binds a name twice");
        }
        self.is_named(name)
            .then_some("binds a name that means something else")
    }

    /// Whether a name has a meaning that no body gives it.
    fn is_named(&self, name: &str) -> bool {
        self.kinds.program.is_global(&self.definition.names, name)
    }

    fn reference(&self, reference: &Expr) -> Option<&'static str> {
        for index in syntax::brackets(reference) {
            let mut open = false;
            walk::expression(index, &mut |site| {
                if let Site::Reference(reference) = site {
                    let first = program::known(reference).into_iter().next();
                    open |= first
                        .is_some_and(|first| self.bound(&first) == 0 && !self.is_named(&first));
                }
            });
            if open {
                return Some("walks by an index (write `some … in`)");
            }
        }
        let path = self.resolved(reference)?;
        let plain = self.plain(reference)?;
        let mut whole = false;
        for rule in self.rules.reached(&path) {
            if is_verdict(rule) {
                return Some("asks what a policy says");
            }
            // It is its value that stands there then, or the machine would evaluate what was not written for it.
            whole |= rule.len() > plain;
        }
        whole.then_some("reads a package, or a rule by an index")
    }

    fn bound(&self, name: &str) -> usize {
        self.definition.bound.get(name).copied().unwrap_or(0)
    }

    /// The path of a reference from `data` or `input` on; nothing when it begins at a name that the rule binds.
    fn resolved(&self, reference: &Expr) -> Option<Path> {
        self.kinds
            .program
            .meaning(self.definition, reference)
            .path()
    }

    /// Whether a reference goes to the input, or to the data; nothing when it goes to a rule, or to what the body binds.
    fn is_of_input(&self, reference: &Expr) -> Option<bool> {
        let path = self.resolved(reference)?;
        let is_dynamic =
            |rule: &Path| rule.len() <= path.len() && !self.kinds.known.contains_key(rule);
        if self.rules.reached(&path).any(is_dynamic) {
            return None;
        }
        Some(path.first().is_some_and(|first| first == "input"))
    }

    /// How many steps of the path of a reference are written with dots.
    fn plain(&self, reference: &Expr) -> Option<usize> {
        let mut dotted = reference;
        while program::dotted(dotted).is_none() {
            let (Expr::RefBrack { refr, .. } | Expr::RefDot { refr, .. }) = dotted else {
                return None;
            };
            dotted = refr;
        }
        self.resolved(dotted).map(|path| path.len())
    }

    /// Whether an expression has a value for sure.
    fn is_there(&self, expr: &Expr) -> bool {
        let is_there = |expr: &Expr| match expr {
            Expr::Var { span, .. } if self.bound(span.text()) > 0 => true,
            Expr::Var { .. } | Expr::RefDot { .. } => {
                let path = self.resolved(expr);
                let known = path.and_then(|path| self.kinds.known.get(&path));
                known.is_some_and(|value| *value != Value::Undefined)
            }
            _ => false,
        };
        certain::vanishing(expr, &is_there).is_none()
    }

    fn operation(&self, expr: &Expr) -> Option<&'static str> {
        let both = |one: &Expr, other: &Expr, kind: Kind| {
            let of = |expr| self.kinds.of(self.definition, expr, DEPTH);
            of(one) == kind && of(other) == kind
        };
        match expr {
            Expr::AssignExpr {
                op: AssignOp::Eq, ..
            } => Some("unifies"),
            // The compiler goes on after `:=` when there is no value; it is written as `=`.
            Expr::AssignExpr { lhs, .. } => {
                colon(lhs).is_none().then_some("assigns in an odd place")
            }
            _ if order::asks_before_it_walks(self.walks, expr) => {
                Some("asks in a comprehension before it walks through something")
            }
            Expr::BinExpr { lhs, rhs, .. } => {
                (!both(lhs, rhs, Kind::Set)).then_some("joins what may be no sets")
            }
            Expr::ArithExpr { op, lhs, rhs, .. } => match op {
                ArithOp::Sub if both(lhs, rhs, Kind::Set) => None,
                ArithOp::Add | ArithOp::Mul | ArithOp::Sub if both(lhs, rhs, Kind::Number) => None,
                _ => Some("calculates with what may be no numbers, or divides"),
            },
            Expr::BoolExpr { op, lhs, rhs, .. } => match op {
                BoolOp::Eq | BoolOp::Ne => None,
                BoolOp::Ge | BoolOp::Gt | BoolOp::Le | BoolOp::Lt => {
                    (!both(lhs, rhs, Kind::Number)).then_some("compares what may be no numbers")
                }
            },
            Expr::ArrayCompr { term, .. } | Expr::SetCompr { term, .. } => {
                (!self.is_there(term)).then_some(UNDEFINED)
            }
            Expr::ObjectCompr {
                key, value, query, ..
            } => {
                if !is_once_a_key(key, query) {
                    return Some("may make a member of an object twice");
                }
                (!self.is_there(value)).then_some(UNDEFINED)
            }
            // The compiler leaves the key out.
            Expr::Membership { key: Some(_), .. } => Some("asks for a member with its key"),
            Expr::UnaryExpr { expr, .. } => (!matches!(expr.as_ref(), Expr::Number { .. }))
                .then_some("negates what may be no number"),
            _ => None,
        }
    }

    /// A rule that could have two values, or has a form that is not for this engine.
    fn shape(&self, path: Option<&Path>) -> Option<&'static str> {
        let (head, bodies) = match self.definition.rule {
            Rule::Spec { head, bodies, .. } => (head, bodies),
            Rule::Default { args, .. } => {
                return (!args.is_empty()).then_some("has a default of a function");
            }
        };
        if program::dotted(program::head(self.definition.rule)).is_none_or(|name| name.len() != 1) {
            return Some("defines an object by its members");
        }
        if order::has_late_roots(self.definition.rule, &|reference| {
            self.is_of_input(reference)
        }) {
            return Some(
                "reads the input, or the data, both within a comprehension or an `every` and outside of it",
            );
        }
        if order::uses_before_it_binds(self.definition.rule) {
            return Some("uses a name in a comprehension or an `every` before it has a value");
        }
        if let RuleHead::Func { args, .. } = head
            && args
                .iter()
                .any(|name| matches!(&**name, Expr::Var { span, .. } if span.text() == "_"))
        {
            return Some("has an argument without a name");
        }
        if order::has_names_of_two_scopes(self.definition.rule) {
            return Some("uses a name both within a comprehension or an `every` and outside of it");
        }
        let outputs = certain::outputs(self.definition.rule);
        let is_there = outputs.iter().all(|output| self.is_there(output));
        if let RuleHead::Set { .. } = head {
            // One element more of what policies say only has the interpreter asked.
            let is_verdict = path.is_some_and(|path| is_verdict(path));
            return (!is_verdict && !is_there).then_some(UNDEFINED);
        }
        if bodies.len() > 1 && !is_there {
            return Some(
                "has an else, and a value that may be undefined: bind it first, as in name := input.change.name.current",
            );
        }
        let twins = path.map(|path| self.kinds.program.root(path));
        let twins: Vec<&Rule> = twins
            .into_iter()
            .flatten()
            .map(|twin| twin.rule)
            .filter(|rule| matches!(rule, Rule::Spec { .. }))
            .collect();
        let fixed = fixed_value(self.definition.rule);
        let same = |other: &&Rule| fixed.is_some() && fixed_value(other) == fixed;
        if twins.len() > 1 && !twins.iter().all(same) {
            return Some("may have two values");
        }
        // One definition that finds several values.
        let several = certain::finds_several(self.kinds.program, self.definition);
        (fixed.is_none() && several).then_some("may have two values")
    }
}

/// Whether an object's members are those of one thing that is walked through, by the same keys. Nothing is walked
/// through by an open index.
fn is_once_a_key(key: &Expr, query: &Query) -> bool {
    let Expr::Var { span: name, .. } = key else {
        return false;
    };
    let mut walks = query
        .stmts
        .iter()
        .filter_map(|statement| match &statement.literal {
            Literal::SomeIn { key, value, .. } => Some((key, value)),
            _ => None,
        });
    let (Some((Some(key), _)), None) = (walks.next(), walks.next()) else {
        return false;
    };
    matches!(key.as_ref(), Expr::Var { span, .. } if span.text() == name.text())
}

/// What a definition says its value is, when that is the same whatever its body finds.
fn fixed_value(rule: &Rule) -> Option<Value> {
    let Rule::Spec { head, bodies, .. } = rule else {
        return None;
    };
    let assign = match head {
        RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => assign.as_ref(),
        RuleHead::Set { .. } => return None,
    };
    if bodies.iter().any(|body| body.is_else) {
        return None;
    }
    match assign {
        Some(assign) => literal(&assign.value),
        None => Some(true.into()),
    }
}

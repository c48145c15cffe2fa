//! Comparisons of members of the input with what they never are: an object with a text, a truth value with a text, an
//! operation with a name that no operation has.
//!
//! In Rego values of different kinds are different, and the rule silent, or true, for every request. The kinds of the
//! members are promised; what stands on the other side is looked at where it is written out, in a rule too.

mod texts;

use regorus::unstable::{AssignOp, Expr, Rule, RuleHead};

use super::ways::Scope;
use super::{verdicts, ways};
use crate::policy::input::{self, Shape};
use crate::policy::problem::Problem;
use crate::policy::rego::program::{self, Program};
use crate::policy::rego::walk::{self, Site};

/// Refuses them, and builtins that are given what they cannot work with.
pub(in crate::policy) fn compared(program: &Program<'_>, problems: &mut Vec<Problem>) {
    ways::sites(program, &mut |scope, rule, site| {
        let here = Here { scope, rule };
        match site {
            Site::Operation(
                Expr::BoolExpr { lhs, rhs, .. }
                | Expr::AssignExpr {
                    op: AssignOp::Eq,
                    lhs,
                    rhs,
                    ..
                },
            ) => {
                for (member, other) in [(lhs, rhs), (rhs, lhs)] {
                    for other in here.written(other) {
                        problems.extend(here.compared(member, other));
                    }
                }
            }
            Site::Operation(Expr::Membership {
                key: None,
                value,
                collection,
                ..
            }) => {
                problems.extend(here.looked_into(collection, value));
                for item in here.written(collection).into_iter().flat_map(items) {
                    problems.extend(here.compared(value, item));
                }
            }
            Site::Call {
                function,
                arguments,
            } => {
                let name = program::dotted(function).unwrap_or_default();
                if program.is_function(scope.names, &name) {
                    return;
                }
                let name = name.join(".");
                for (place, argument) in arguments.iter().enumerate() {
                    let message = |shape: &Shape, path: &str| match shape {
                        Shape::Object(members) if name == "count" => Some(object(path, members)),
                        Shape::Flag => None,
                        shape if texts::is_text(&name, place) => {
                            let what = what(shape, path)?;
                            Some(format!("{what}; {name} takes a text"))
                        }
                        _ => None,
                    };
                    problems.extend(here.problem(argument, &[], &message));
                }
            }
            _ => {}
        }
    });
}

/// Where an expression stands.
struct Here<'a> {
    scope: &'a Scope<'a>,
    rule: &'a Rule,
}

impl<'a> Here<'a> {
    /// What is wrong with a member, if it is so for all that the expression may mean.
    fn problem(
        &self,
        member: &Expr,
        below: &[Option<String>],
        wrong: &dyn Fn(&Shape, &str) -> Option<String>,
    ) -> Option<Problem> {
        let mut said = None;
        for way in self.scope.ways(member) {
            let steps = way.iter().map(|step| step.as_deref().unwrap_or("[_]"));
            let path = steps.collect::<Vec<_>>().join(".").replace(".[_]", "[_]");
            let way: Vec<Option<&str>> = way.iter().chain(below).map(Option::as_deref).collect();
            if way.first() != Some(&Some("input")) {
                return None;
            }
            let message = wrong(&input::shape(&way)?, &path)?;
            said.get_or_insert(message);
        }
        let steps = walk::path(member)?;
        Some(program::at(steps.first()?.span, said?))
    }

    /// A member beside something that is written out.
    fn compared(&self, member: &Expr, other: &Expr) -> Option<Problem> {
        self.problem(member, &[], &|shape, path| {
            if is_of(shape, other)? {
                return misspelt(shape, other, path);
            }
            let what = what(shape, path);
            what.or_else(|| Some(format!("{path} is a text, and never {}", noun(other)?)))
        })
    }

    /// What `in` is asked of.
    fn looked_into(&self, collection: &Expr, value: &Expr) -> Option<Problem> {
        let whole = self.problem(collection, &[], &|shape, path| match shape {
            Shape::Text(_) => Some(format!(
                "{path} is a text: `in` looks into lists and sets; write contains({path}, …) or =="
            )),
            // A request that sends one makes it fail, which is tried when policies are loaded.
            Shape::Flag | Shape::List => None,
            Shape::Object(_) => what(shape, path),
        });
        whole.or_else(|| {
            let each = [None];
            let values = self.written(value);
            values.into_iter().find_map(|value| {
                self.problem(collection, &each, &|shape, path| {
                    if is_of(shape, value)? {
                        return misspelt(shape, value, path);
                    }
                    let noun = noun(value)?;
                    Some(format!("the members of {path} are texts, and never {noun}"))
                })
            })
        })
    }

    /// What is written out: here, or as the values of a rule of the policies.
    fn written<'e>(&self, expr: &'e Expr) -> Vec<&'e Expr>
    where
        'a: 'e,
    {
        let Some(path) = walk::fixed_path(expr) else {
            return vec![expr];
        };
        if path
            .first()
            .is_some_and(|first| walk::bound(self.rule).contains(first))
        {
            return Vec::new();
        }
        let meant = self.scope.names.functions(&path);
        let mut found = Vec::new();
        for module in self.scope.program.modules {
            let package = program::package(module);
            for rule in &module.policy {
                let Some(head) = walk::fixed_path(program::head(rule)) else {
                    continue;
                };
                if !meant.contains(&[package.as_slice(), &head].concat()) {
                    continue;
                }
                if !matches!(
                    rule.as_ref(),
                    Rule::Spec {
                        head: RuleHead::Compr { .. },
                        ..
                    }
                ) {
                    return Vec::new();
                }
                found.extend(verdicts::values(rule));
            }
        }
        found
    }
}

/// What stands in a collection as it is written.
fn items(collection: &Expr) -> Vec<&Expr> {
    match collection {
        Expr::Array { items, .. } | Expr::Set { items, .. } => {
            items.iter().map(AsRef::as_ref).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a value that is written out is of the kind of a member; nothing where that cannot be seen.
fn is_of(shape: &Shape, value: &Expr) -> Option<bool> {
    noun(value)?;
    Some(match value {
        Expr::String { .. } | Expr::RawString { .. } => matches!(shape, Shape::Text(_)),
        Expr::Bool { .. } => matches!(shape, Shape::Flag),
        Expr::Array { .. } | Expr::ArrayCompr { .. } => matches!(shape, Shape::List),
        Expr::Object { .. } | Expr::ObjectCompr { .. } => matches!(shape, Shape::Object(_)),
        _ => false,
    })
}

/// What a value is called; nothing for what is not written out, and for null, which has a check of its own.
fn noun(value: &Expr) -> Option<&'static str> {
    Some(match value {
        Expr::String { .. } | Expr::RawString { .. } => "a text",
        Expr::Number { .. } => "a number",
        Expr::Bool { .. } => "true or false",
        Expr::Array { .. } | Expr::ArrayCompr { .. } => "a list",
        Expr::Set { .. } | Expr::SetCompr { .. } => "a set",
        Expr::Object { .. } | Expr::ObjectCompr { .. } => "an object",
        _ => return None,
    })
}

/// What a member is, if it is no text, and what to do with such a one.
fn what(shape: &Shape, path: &str) -> Option<String> {
    match shape {
        Shape::Flag => Some(format!(
            "{path} is true or false: write `{path} == true`, without quotation marks"
        )),
        Shape::List => Some(format!(
            "{path} is a list: ask for one of its members by `in`, and for a set by {{x | some x in {path}}}"
        )),
        Shape::Object(members) => Some(object(path, members)),
        Shape::Text(_) => None,
    }
}

fn object(path: &str, members: &[String]) -> String {
    let (last, members) = members
        .split_last()
        .map_or(("none", [].as_slice()), |(last, rest)| {
            (last.as_str(), rest)
        });
    let members = match members {
        [] => last.to_owned(),
        others => format!("{} and {last}", others.join(", ")),
    };
    format!("{path} is an object: its members are {members}")
}

/// A text that a member never is.
fn misspelt(shape: &Shape, value: &Expr, path: &str) -> Option<String> {
    let (Shape::Text(values), Some(text)) = (shape, walk::written(value)) else {
        return None;
    };
    if values.is_empty() || values.contains(&text) {
        return None;
    }
    let nearly =
        |value: &&&str| value.eq_ignore_ascii_case(text) || value.rsplit('.').next() == Some(text);
    let nearest = values.iter().find(nearly);
    let guess = nearest.map_or_else(
        || input::guess(text, "", values),
        |value| format!(": did you mean {value}?"),
    );
    let advice = match (guess.as_str(), path) {
        // What resembles no operation and no API may stand for something that is never to hold.
        ("", "input.api") => return None,
        ("", "input.operation") if !text.contains('.') => return None,
        ("", "input.operation") => ": `dtgate endpoints` lists the operations".to_owned(),
        ("", _) => {
            let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            format!(": it is one of {}", values.join(", "))
        }
        (guess, _) => guess.to_owned(),
    };
    Some(format!("{path} is never {text:?}{advice}"))
}

#[cfg(test)]
mod tests;

//! Comparisons of members of the input with what they never are: an object with a text, a truth value with a text, an
//! operation with a name that no operation has.
//!
//! In Rego values of different kinds are different, and the rule silent, or true, for every request. The kinds of the
//! members are promised; what stands on the other side is looked at where it is written out, in a rule too.

mod texts;

use regorus::unstable::{AssignOp, Expr, Rule};

use super::ways::{self, Scope};
use crate::policy::input::{self, Shape};
use crate::policy::problem::Problem;
use crate::policy::rego::program::{self, Definition, Program};
use crate::policy::rego::syntax::{self, Form, form};
use crate::policy::rego::walk::Site;

/// Refuses them, and builtins that are given what they cannot work with.
pub(in crate::policy) fn refuse(program: &Program<'_>, problems: &mut Vec<Problem>) {
    ways::sites(program, &mut |scope, site| {
        let here = Here(scope);
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
                let collections = here.written(collection).into_iter();
                for item in collections.filter_map(syntax::items).flatten() {
                    problems.extend(here.compared(value, item));
                }
            }
            Site::Call {
                function,
                arguments,
            } => {
                let Some(name) = program.builtin(&scope.definition.names, function) else {
                    return;
                };
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
struct Here<'a>(&'a Scope<'a>);

impl<'a> Here<'a> {
    /// What is wrong with a member, if it is so for all that the expression may mean.
    fn problem(
        &self,
        member: &Expr,
        below: &[Option<String>],
        wrong: &dyn Fn(&Shape, &str) -> Option<String>,
    ) -> Option<Problem> {
        let mut said = None;
        for way in self.0.ways(member) {
            let steps = way.iter().map(|step| step.as_deref().unwrap_or("[_]"));
            let path = steps.collect::<Vec<_>>().join(".").replace(".[_]", "[_]");
            let way: Vec<Option<&str>> = way.iter().chain(below).map(Option::as_deref).collect();
            if way.first() != Some(&Some("input")) {
                return None;
            }
            let message = wrong(&input::shape(&way)?, &path)?;
            said.get_or_insert(message);
        }
        let steps = syntax::path(member)?;
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
        if syntax::fixed_path(expr).is_none() {
            return vec![expr];
        }
        let Scope {
            program,
            definition,
            ..
        } = self.0;
        let rules = program.meaning(definition, expr).whole_rule();
        let is_plain = |it: &&Definition<'_>| {
            let is_value = it.arity.is_none() && !syntax::is_set(it.rule) && !it.is_open();
            is_value && matches!(it.rule, Rule::Spec { .. })
        };
        if !rules.iter().all(is_plain) {
            return Vec::new();
        }
        let values = rules.into_iter().map(|it| syntax::values(it.rule));
        values.flatten().collect()
    }
}

/// Whether a value that is written out is of the kind of a member; nothing where that cannot be seen.
fn is_of(shape: &Shape, value: &Expr) -> Option<bool> {
    noun(value)?;
    Some(match shape {
        Shape::Text(_) => form(value) == Form::Text,
        Shape::Flag => form(value) == Form::Flag,
        Shape::List => form(value) == Form::Array,
        Shape::Object(_) => form(value) == Form::Object,
    })
}

/// What a value is called; nothing for what is not written out, and for null, which has a check of its own.
fn noun(value: &Expr) -> Option<&'static str> {
    match form(value) {
        Form::Text => Some("a text"),
        Form::Number => Some("a number"),
        Form::Flag => Some("true or false"),
        Form::Array => Some("a list"),
        Form::Set => Some("a set"),
        Form::Object => Some("an object"),
        Form::Call | Form::Null | Form::Operation | Form::Reference => None,
    }
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
    let (Shape::Text(values), Some(text)) = (shape, syntax::written(value)) else {
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

//! Violations that nobody could read: the policy would fail where it denies.
//!
//! Only what may become a violation is looked at, and not all that a rule says, as the visitor would.

use regorus::unstable::{Expr, Query, Ref, Rule, Span};

use super::others::is_ours;
use crate::policy::problem::Problem;
use crate::policy::rego::program::{Definition, Program, at, head};
use crate::policy::rego::rests::{is_of_library, is_verdict};
use crate::policy::rego::syntax::{self, Binding, Form, form, given};

/// Refuses them, as far as it is written in the policies what a violation is.
pub(in crate::policy) fn refuse(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for definition in &program.definitions {
        let is_said = is_verdict(&definition.path)
            && definition.name().len() == 1
            && definition.package().len() > 2
            && is_ours(definition.package())
            && !is_of_library(definition.package());
        if is_said
            && syntax::is_set(definition.rule)
            && let Some(key) = syntax::value(definition.rule)
        {
            let seen = Seen {
                program,
                definition,
                within: Vec::new(),
            };
            seen.violation(key, 0, MOST_STEPS, problems);
        }
    }
}

/// Where an expression stands that may become a violation.
#[derive(Clone)]
struct Seen<'a> {
    program: &'a Program<'a>,
    definition: &'a Definition<'a>,
    /// The comprehensions around it.
    within: Vec<&'a Query>,
}

impl<'a> Seen<'a> {
    /// Looks at what is said, and follows names to where they get their value; what is not found there is found when
    /// requests are rehearsed, or not at all. `deep`: how many collections the violation stands in.
    fn violation(&self, said: &'a Expr, deep: usize, steps: usize, problems: &mut Vec<Problem>) {
        let Some(steps) = steps.checked_sub(1) else {
            return;
        };
        match (said, deep.checked_sub(1)) {
            (Expr::Call { fcn, .. }, _) => self.rules(fcn, deep, steps, problems),
            _ if syntax::is_reference(said) => {
                for (value, how) in self.bound_to(said) {
                    let deep = deep + usize::from(how == Binding::Each);
                    self.violation(value, deep, steps, problems);
                }
                self.rules(said, deep, steps, problems);
            }
            (_, None) => problems.extend(unreadable_value(said)),
            (_, Some(deep)) => {
                for (member, query) in members(said) {
                    let mut seen = self.clone();
                    seen.within.extend(query);
                    seen.violation(member, deep, steps, problems);
                }
            }
        }
    }

    /// The same for the values of a rule of the policies, and for the members of one that grows.
    fn rules(&self, meant: &Expr, deep: usize, steps: usize, problems: &mut Vec<Problem>) {
        if syntax::fixed_path(meant).is_none() {
            return;
        }
        for definition in self.program.meaning(self.definition, meant).whole_rule() {
            if definition.number == self.definition.number {
                continue;
            }
            // Of `reasons[scope] := "text"` one name more leads to the text.
            let steps_of_head = syntax::path(head(definition.rule)).unwrap_or_default();
            let own = steps_of_head.len() - definition.name().len()
                + usize::from(syntax::is_set(definition.rule));
            let Some(deep) = deep.checked_sub(own) else {
                continue;
            };
            let seen = Seen {
                program: self.program,
                definition,
                within: Vec::new(),
            };
            for value in syntax::values(definition.rule) {
                seen.violation(value, deep, steps, problems);
            }
        }
    }

    /// What a name is given where it stands: a value, or each member of a collection.
    fn bound_to(&self, name: &Expr) -> Vec<(&'a Expr, Binding)> {
        let Some(name) = syntax::variable(name) else {
            return Vec::new();
        };
        let bodies: &[_] = match self.definition.rule {
            Rule::Spec { bodies, .. } => bodies,
            Rule::Default { .. } => &[],
        };
        let bodies = bodies.iter().map(|body| body.query.as_ref());
        let queries = bodies.chain(self.within.iter().copied());
        let all = queries.flat_map(|query| &query.stmts).filter_map(given);
        all.filter(|(given, ..)| *given == name.text())
            .map(|(_, value, how)| (value, how))
            .collect()
    }
}

/// What is written as the members of a collection, and the query that gives their names a value.
fn members(collection: &Expr) -> Vec<(&Expr, Option<&Query>)> {
    if let Some((mut collected, query)) = syntax::comprehension(collection) {
        let last = collected.pop().into_iter();
        return last.map(|value| (value, Some(query))).collect();
    }
    let values = match collection {
        Expr::Object { fields, .. } => fields.iter().map(|(_, _, value)| value.as_ref()).collect(),
        _ => syntax::items(collection)
            .unwrap_or_default()
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<_>>(),
    };
    values.into_iter().map(|value| (value, None)).collect()
}

/// Why a violation that is written like this could not be read.
fn unreadable_value(said: &Expr) -> Option<Problem> {
    match form(said) {
        Form::Object => match said {
            Expr::Object { fields, .. } => unreadable_object(said, fields),
            _ => None,
        },
        Form::Text => {
            let is_empty = syntax::written(said).is_some_and(|text| text.trim().is_empty());
            is_empty.then(|| at(said.span(), "a violation says what is wrong: this is empty"))
        }
        Form::Array | Form::Flag | Form::Null | Form::Number | Form::Set => Some(at(
            said.span(),
            "a violation is a text, or an object with a \"message\": write {\"message\": \"what is wrong\"}",
        )),
        Form::Call | Form::Operation | Form::Reference => None,
    }
}

fn unreadable_object(whole: &Expr, fields: &[(Span, Ref<Expr>, Ref<Expr>)]) -> Option<Problem> {
    let mut names = Vec::new();
    for (_, key, value) in fields {
        // A name that is computed may be any.
        let name = syntax::written(key)?;
        if matches!(name, "message" | "path" | "code") && is_no_text(value) {
            return Some(at(
                value.span(),
                format!("{name} of a violation is a text: write it in quotes, or by sprintf"),
            ));
        }
        names.push((name, key));
    }
    if names.iter().any(|(name, _)| *name == "message") {
        return None;
    }
    let meant = names
        .iter()
        .find(|(name, _)| MESSAGES.contains(&name.to_lowercase().as_str()));
    Some(match meant {
        Some((name, key)) => at(
            key.span(),
            format!(
                "a violation says what is wrong in \"message\": write \"message\" instead of {name:?}"
            ),
        ),
        None => at(
            fields
                .first()
                .map_or_else(|| whole.span(), |(_, key, _)| key.span()),
            "a violation says what is wrong in \"message\": write {\"message\": \"what is wrong\", …}",
        ),
    })
}

fn is_no_text(value: &Expr) -> bool {
    !matches!(
        form(value),
        Form::Call | Form::Operation | Form::Reference | Form::Text
    )
}

/// What others call the message.
const MESSAGES: [&str; 9] = [
    "description",
    "detail",
    "error",
    "message_text",
    "messages",
    "msg",
    "reason",
    "text",
    "title",
];

/// How often a name is followed to what it stands for.
const MOST_STEPS: usize = 6;

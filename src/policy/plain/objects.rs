//! Objects that grow, as what they come to: `p[k] := v if …` is an object of the pairs that its definitions find.
//!
//! Bytecode has no such rules. A member that is found twice with two values is an error either way ([`OBJECT`]).

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Bracket, Form, Module, Place, Query, Rule, Statement, Term, known};
use crate::policy::builtins::OBJECT;

/// A path without `data`.
type Path = Vec<String>;

pub(super) fn write_out(modules: &mut [Module]) {
    let mut homes: BTreeMap<Path, BTreeSet<usize>> = BTreeMap::new();
    let mut others: BTreeSet<Path> = BTreeSet::new();
    let mut open: BTreeSet<Path> = BTreeSet::new();
    for (number, module) in modules.iter_mut().enumerate() {
        let package = module.package.clone();
        for rule in &mut module.rules {
            let Some(first) = known(&rule.name).and_then(|name| name.into_iter().next()) else {
                continue;
            };
            let path = [package.clone(), vec![first.clone()]].concat();
            homes.entry(path.clone()).or_default().insert(number);
            let Some(is_open) = member(rule).map(|step| !matches!(step.form, Form::Text(_))) else {
                others.insert(path);
                continue;
            };
            if is_open {
                open.insert(path.clone());
            }
            if asks_for(rule, &first, &path) {
                others.insert(path);
            }
        }
        for rule in &mut module.rules {
            rule.queries_mut(&mut |query| {
                let targets = query.statements.iter().flat_map(|one| &one.with);
                for mut path in targets.filter_map(|(target, _)| known(target)) {
                    // What replaces a member of it replaces a rule.
                    path.remove(0);
                    others.extend(
                        (1..path.len()).filter_map(|length| path.get(..length).map(<[_]>::to_vec)),
                    );
                }
            });
        }
    }
    open.retain(|path| {
        !others.contains(path) && homes.get(path).is_some_and(|homes| homes.len() == 1)
    });
    for module in modules {
        let package = module.package.clone();
        let mut made: BTreeMap<String, Rule> = BTreeMap::new();
        let mut rules = Vec::new();
        for rule in std::mem::take(&mut module.rules) {
            let first = known(&rule.name)
                .and_then(|name| name.into_iter().next())
                .unwrap_or_default();
            if open.contains(&[package.clone(), vec![first.clone()]].concat()) {
                let pairs = pairs(&rule);
                match made.get_mut(&first) {
                    Some(whole) => join(whole, pairs),
                    None => drop(made.insert(first, object(rule, pairs))),
                }
            } else {
                rules.push(rule);
            }
        }
        rules.extend(made.into_values());
        module.rules = rules;
    }
}

/// The one step behind its name, of a rule that says what a member is.
fn member(rule: &Rule) -> Option<&Term> {
    let Form::Reference(_, steps) = &rule.name.form else {
        return None;
    };
    let [step] = steps.as_slice() else {
        return None;
    };
    let is_plain = !rule.is_default
        && rule.arguments.is_none()
        && rule.element.is_none()
        && rule.bodies.len() < 2;
    is_plain.then_some(step)
}

/// Whether a rule asks for what it is a part of.
fn asks_for(rule: &mut Rule, name: &str, path: &[String]) -> bool {
    let mut asks = false;
    rule.terms_mut(&mut |term| {
        asks |= match &term.form {
            Form::Root(root) => root == name,
            Form::Reference(base, _) => match (&base.form, known(term)) {
                (Form::Root(root), Some(steps)) if root == "data" => {
                    let steps = steps.get(1..).unwrap_or_default();
                    steps.starts_with(path) || path.starts_with(steps)
                }
                (Form::Root(root), _) => root == name,
                _ => false,
            },
            _ => false,
        };
    });
    asks
}

/// What a definition finds, as a list of pairs.
fn pairs(rule: &Rule) -> Term {
    let place = rule.place;
    let yes = || Term::new(place, Form::Constant("true".to_owned()));
    let step = member(rule).cloned().unwrap_or_else(yes);
    let value = rule.value.clone().unwrap_or_else(yes);
    let pair = Term::new(place, Form::Array(vec![step, value]));
    let query = rule
        .bodies
        .first()
        .map_or_else(Query::default, |body| body.query.clone());
    let statements = if query.statements.is_empty() {
        vec![Statement::holds(yes())]
    } else {
        query.statements
    };
    let query = Query {
        statements,
        ..query
    };
    Term::new(
        place,
        Form::Comprehension(Bracket::Square, vec![pair], query),
    )
}

fn object(rule: Rule, pairs: Term) -> Rule {
    let Rule { place, name, .. } = rule;
    let name = match name.form {
        Form::Reference(base, _) => *base,
        _ => name,
    };
    Rule {
        place,
        is_default: false,
        name,
        arguments: None,
        element: None,
        value: Some(of_pairs(place, pairs)),
        bodies: Vec::new(),
    }
}

/// The object that has these pairs for members.
pub(super) fn of_pairs(place: Place, pairs: Term) -> Term {
    let name = OBJECT.split('.').map(str::to_owned).collect();
    Term::new(place, Form::Call(name, vec![pairs]))
}

fn join(whole: &mut Rule, pairs: Term) {
    if let Some(Term {
        form: Form::Call(_, arguments),
        ..
    }) = &mut whole.value
        && let Some(all) = arguments.first_mut()
    {
        let place = all.place;
        let before = std::mem::replace(all, Term::name(place, "_"));
        let name = vec!["array".to_owned(), "concat".to_owned()];
        *all = Term::new(place, Form::Call(name, vec![before, pairs]));
    }
}

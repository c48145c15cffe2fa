//! Computed steps in data: `data.teams[input.unknown_members.team]`.
//!
//! OPA takes a number for the name of a member there, and a text for a place in a list. The interpreter does the first,
//! the bytecode neither. Where the data has such names or lists, a builtin looks what is asked for up ([`DATUM`]). What `with` puts there OPA takes literally,
//! and so does another one ([`REPLACED`]).

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::tree::{Form, Module, Term, known};
use crate::policy::builtins::{DATUM, REPLACED};

/// A path without `data`.
type Path = Vec<String>;

/// The data, and what `with` puts in its place somewhere.
pub(super) struct Data<'a> {
    stored: &'a Map<String, Json>,
    replaced: BTreeSet<Path>,
}

impl<'a> Data<'a> {
    pub(super) fn new(stored: &'a Map<String, Json>, modules: &mut [Module]) -> Self {
        let mut replaced = BTreeSet::new();
        for rule in modules.iter_mut().flat_map(|module| &mut module.rules) {
            rule.queries_mut(&mut |query| {
                let targets = query.statements.iter().flat_map(|one| &one.with);
                for path in targets.filter_map(|(target, _)| known(target)) {
                    if let Some((_, path)) =
                        path.split_first().filter(|(first, _)| *first == "data")
                    {
                        replaced.insert(path.to_vec());
                    }
                }
            });
        }
        Self { stored, replaced }
    }

    /// Changes a term, but not the queries in it; `given`: the variables that have a value.
    pub(super) fn write_out(&self, term: &mut Term, given: &BTreeSet<String>) {
        if matches!(term.form, Form::Comprehension(..)) {
            return;
        }
        for part in term.parts_mut() {
            self.write_out(part, given);
        }
        let Form::Reference(base, steps) = &mut term.form else {
            return;
        };
        if !matches!(&base.form, Form::Root(root) if root == "data") {
            return;
        }
        let is_replaced = self.is_replaced(steps);
        let looks_up = |step: &Term| {
            if is_replaced {
                !is_name(step)
            } else {
                is_computed(step)
            }
        };
        let Some(first) = steps.iter().position(looks_up).filter(|first| *first > 0) else {
            return;
        };
        let (path, computed) = steps.split_at(first);
        let matters = matters(self.stored, steps);
        if !computed.iter().all(|step| is_given(step, given)) || !(matters || is_replaced) {
            return;
        }
        let place = term.place;
        let from = path.iter().cloned().fold((**base).clone(), Term::step);
        let mut arguments = vec![from, Term::new(place, Form::Array(computed.to_vec()))];
        if is_replaced {
            arguments.push(Term::new(place, Form::Constant(matters.to_string())));
        }
        let name = if is_replaced { REPLACED } else { DATUM };
        let name = name.split('.').map(str::to_owned).collect();
        term.form = Form::Call(name, arguments);
    }

    /// Whether steps behind the first that is computed are looked up in another way than in any object.
    pub(super) fn looks_up(&self, steps: &[Term]) -> bool {
        let mut further = steps.iter().skip_while(|step| !is_computed(step)).skip(1);
        further.any(|step| !is_name(step)) && matters(self.stored, steps)
    }

    /// Whether `with` puts something in place of what the steps begin with, or of something in it.
    fn is_replaced(&self, steps: &[Term]) -> bool {
        is_replaced(steps, self.replaced.iter())
    }
}

/// Whether the steps begin with one of these paths, or one of these with them.
pub(super) fn is_replaced(
    steps: &[Term],
    mut replaced: impl Iterator<Item = impl AsRef<[String]>>,
) -> bool {
    let path: Path = steps
        .iter()
        .map_while(|step| match &step.form {
            Form::Text(name) if is_name(step) => Some(name.clone()),
            _ => None,
        })
        .collect();
    replaced.any(|one| one.as_ref().starts_with(&path) || path.starts_with(one.as_ref()))
}

/// Whether a step means the same to all: a text that is no number.
fn is_name(step: &Term) -> bool {
    let is_place = |name: &str| {
        name.trim_start_matches('+')
            .starts_with(|c: char| c.is_ascii_digit())
    };
    matches!(&step.form, Form::Text(name) if !is_place(name))
}

fn is_computed(step: &Term) -> bool {
    !matches!(step.form, Form::Text(_) | Form::Constant(_))
}

/// Whether nothing has to be looked for.
fn is_given(term: &Term, given: &BTreeSet<String>) -> bool {
    match &term.form {
        Form::Name(name) => given.contains(name),
        Form::Comprehension(..) => false,
        _ => term.parts().into_iter().all(|part| is_given(part, given)),
    }
}

/// Whether the data has, where the steps may lead, a list or a member with a number for a name.
fn matters(data: &Map<String, Json>, steps: &[Term]) -> bool {
    let Some((Form::Text(first), rest)) = steps.split_first().map(|(one, rest)| (&one.form, rest))
    else {
        return false;
    };
    let mut reached: Vec<&Json> = data.get(first).into_iter().collect();
    for step in rest {
        let name = match &step.form {
            Form::Text(name) | Form::Constant(name) => Some(name),
            _ => None,
        };
        let mut below = Vec::new();
        for value in reached {
            match (value, name) {
                (Json::Array(_), _) => return true,
                (Json::Object(members), Some(name)) => below.extend(members.get(name)),
                (Json::Object(members), None) => {
                    if members.keys().any(|name| is_number(name)) {
                        return true;
                    }
                    below.extend(members.values());
                }
                _ => {}
            }
        }
        reached = below;
    }
    false
}

fn is_number(name: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(name).is_ok()
}

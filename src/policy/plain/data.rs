//! Computed steps in data: `data.teams[input.unknown_members.team]`.
//!
//! OPA takes a number for the name of a member there, and a text for a place in a list. The interpreter does the first,
//! the bytecode neither. Where the data has such names or lists, a builtin looks what is asked for up ([`DATUM`]).

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::tree::{Form, Term};
use crate::policy::builtins::DATUM;

/// Changes a term, but not the queries in it; `given`: the variables that have a value.
pub(super) fn write_out(term: &mut Term, data: &Map<String, Json>, given: &BTreeSet<String>) {
    if matches!(term.form, Form::Comprehension(..)) {
        return;
    }
    for part in term.parts_mut() {
        write_out(part, data, given);
    }
    let Form::Reference(base, steps) = &mut term.form else {
        return;
    };
    if !matches!(&base.form, Form::Root(root) if root == "data") {
        return;
    }
    let Some(known) = steps.iter().position(is_computed) else {
        return;
    };
    let (path, computed) = steps.split_at(known);
    if !computed.iter().all(|step| is_given(step, given)) || !matters(data, steps) {
        return;
    }
    let place = term.place;
    let data = (**base).clone();
    let from = path.iter().cloned().fold(data, Term::step);
    let steps = Term::new(place, Form::Array(computed.to_vec()));
    let name = DATUM.split('.').map(str::to_owned).collect();
    term.form = Form::Call(name, vec![from, steps]);
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

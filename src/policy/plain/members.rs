//! A rule for one member beside one for all: `p.a := 1` beside `p[key] := 2 if …`.
//!
//! Asked for `p.a`, the engine evaluates the rules of that name and no others. As `p[name] := 1 if { name := "a" }` they are
//! all parts of one document, as they are in OPA.

use std::collections::BTreeSet;

use super::tree::{Body, Form, Module, Query, Rule, Statement, Term, known};

type Path = Vec<String>;

pub(super) fn write_out(modules: &mut [Module]) {
    let mut open: BTreeSet<Path> = BTreeSet::new();
    for module in &*modules {
        for rule in module.rules.iter().filter(|rule| is_open(rule)) {
            open.insert(
                [
                    module.package.clone(),
                    known(&rule.name).unwrap_or_default(),
                ]
                .concat(),
            );
        }
    }
    for module in modules {
        let package = module.package.clone();
        for rule in &mut module.rules {
            if rule.is_default || rule.arguments.is_some() {
                continue;
            }
            let whole = [package.clone(), known(&rule.name).unwrap_or_default()].concat();
            let around = (package.len() + 1..whole.len())
                .find(|length| whole.get(..*length).is_some_and(|path| open.contains(path)));
            if let Some(around) = around {
                computed(rule, around - package.len() - 1);
            }
        }
    }
}

/// Whether a rule says of its name what is below by a key that is computed.
fn is_open(rule: &Rule) -> bool {
    let Form::Reference(_, steps) = &rule.name.form else {
        return false;
    };
    steps.iter().any(|step| !matches!(step.form, Form::Text(_)))
}

/// Gives the steps of the name from one on by the body.
fn computed(rule: &mut Rule, from: usize) {
    let mut statements = Vec::new();
    if let Form::Reference(_, steps) = &mut rule.name.form
        && let Some(step) = steps.get_mut(from)
        && matches!(step.form, Form::Text(_))
    {
        let name = Term::name(step.place, "dtgate_key");
        let text = std::mem::replace(step, name.clone());
        statements.push(Statement::holds(Term::infix(":=", name, text)));
    }
    if rule.bodies.is_empty() {
        rule.bodies.push(Body {
            place: rule.place,
            value: None,
            query: Query::default(),
        });
    }
    for body in &mut rule.bodies {
        body.query.statements.extend(statements.iter().cloned());
    }
}

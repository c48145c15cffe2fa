//! What heads compute becomes the last statement of their bodies: OPA's compiler does the same.
//!
//! Where a head has no value, its body does not hold, and the next `else` is asked. The engine drops with it whatever
//! the rule has found before, or fails when something else follows. So `deny contains reason if { some scope in scopes;
//! reason := data.reasons[scope] }` is what it gets of `deny contains data.reasons[scope] if some scope in scopes`.

use crate::policy::rego::certain::ANSWERING;

use super::Fresh;
use super::tree::{Body, Form, Kind, Query, Rule, Statement, Term};

pub(super) fn write_out(rule: &mut Rule, fresh: &mut Fresh) {
    if rule.is_default {
        return;
    }
    comprehensions(rule, fresh);
    // Of one body that finds one thing, it is the same where the head is asked.
    let is_single =
        rule.bodies.len() == 1 && !rule.bodies.iter().any(|body| finds_several(&body.query));
    let is_open = rule.element.iter().chain(&rule.value).any(has_open_steps);
    // Bytecode would collect that it is undefined.
    let is_collected = rule.element.as_ref().is_some_and(may_vanish);
    if is_single && !is_open && !is_collected {
        return;
    }
    let mut heads: Vec<&mut Term> = rule.element.iter_mut().chain(&mut rule.value).collect();
    if let Form::Reference(_, steps) = &mut rule.name.form {
        heads.extend(steps);
    }
    let has_body = !rule.bodies.is_empty();
    let mut last = Vec::new();
    for head in heads {
        // Without a body there is one value, or none.
        if may_vanish(head) && (has_body || looks(head)) {
            last.push(moved(head, fresh));
        }
    }
    if !last.is_empty() && !has_body {
        let query = Query::default();
        rule.bodies.push(Body {
            place: rule.place,
            value: None,
            query,
        });
    }
    let mut bodies = rule.bodies.iter_mut();
    if let Some(first) = bodies.next() {
        first.query.statements.append(&mut last);
    }
    for body in bodies {
        if let Some(value) = body.value.as_mut().filter(|value| may_vanish(value)) {
            let last = moved(value, fresh);
            body.query.statements.push(last);
        }
    }
}

fn comprehensions(rule: &mut Rule, fresh: &mut Fresh) {
    let heads = rule.arguments.iter_mut().flatten();
    let heads = heads.chain(&mut rule.element).chain(&mut rule.value);
    for term in heads.chain([&mut rule.name]) {
        within(term, fresh);
    }
    for body in &mut rule.bodies {
        if let Some(value) = &mut body.value {
            within(value, fresh);
        }
        within_query(&mut body.query, fresh);
    }
}

fn within_query(query: &mut Query, fresh: &mut Fresh) {
    for statement in &mut query.statements {
        for term in statement.terms_mut() {
            within(term, fresh);
        }
        if let Kind::Every { query, .. } = &mut statement.kind {
            within_query(query, fresh);
        }
    }
}

fn within(term: &mut Term, fresh: &mut Fresh) {
    for part in term.parts_mut() {
        within(part, fresh);
    }
    if let Form::Comprehension(_, heads, query) = &mut term.form {
        within_query(query, fresh);
        for head in heads.iter_mut().filter(|head| may_vanish(head)) {
            let last = moved(head, fresh);
            query.statements.push(last);
        }
    }
}

fn moved(head: &mut Term, fresh: &mut Fresh) -> Statement {
    let name = fresh.name(head.place);
    let value = std::mem::replace(head, name.clone());
    Statement::holds(Term::infix(":=", name, value))
}

/// Whether a term may have no value although the body holds.
fn may_vanish(term: &Term) -> bool {
    match &term.form {
        Form::Constant(_) | Form::Text(_) | Form::Name(_) | Form::Comprehension(..) => false,
        Form::Array(_) | Form::Set(_) | Form::Object(_) => term.parts().into_iter().any(may_vanish),
        Form::Call(name, terms) => {
            !ANSWERING.contains(&name.join(".").as_str()) || terms.iter().any(may_vanish)
        }
        Form::Minus(term) => may_vanish(term),
        Form::Root(_) | Form::Reference(..) | Form::Infix(..) | Form::In(..) => true,
    }
}

/// Whether a body may hold for more than one thing.
fn finds_several(query: &Query) -> bool {
    query.statements.iter().any(|statement| {
        let several = match &statement.kind {
            Kind::Some(_) | Kind::SomeIn { .. } => true,
            Kind::Holds(_) | Kind::Not(_) | Kind::Every { .. } => false,
        };
        several || statement.terms().into_iter().any(has_open_steps)
    })
}

/// Whether a term looks for something, or may: by a variable in brackets, or by `walk`.
fn has_open_steps(term: &Term) -> bool {
    let here = match &term.form {
        Form::Comprehension(..) => return false,
        Form::Reference(_, steps) => steps.iter().any(looks),
        Form::Call(name, _) => name == &["walk"],
        _ => false,
    };
    here || term.parts().into_iter().any(has_open_steps)
}

/// Whether there are variables in a term that nothing else gives a value.
fn looks(term: &Term) -> bool {
    match &term.form {
        Form::Name(_) => true,
        Form::Comprehension(..) => false,
        _ => term.parts().into_iter().any(looks),
    }
}

//! The two documents, named first where a rule names them within a query of it.
//!
//! Bytecode fetches each once in a body, where it is named first. When that is in a query that has nothing to walk
//! through, it is never fetched, and nothing is found in it anywhere else. A condition that always holds names it before.

use super::tree::{Body, Form, Kind, Place, Query, Rule, Statement, Term, path};

pub(super) fn write_out(rule: &mut Rule) {
    let [mut outside, mut within] = [Roots::default(); 2];
    rule.value
        .iter()
        .chain(&rule.element)
        .for_each(|term| in_term(term, &mut outside, &mut within));
    for body in &rule.bodies {
        let value = body.value.iter();
        value.for_each(|term| in_term(term, &mut outside, &mut within));
        in_query(&body.query, &mut outside, &mut within);
    }
    let late = |within: u32, outside: u32| within > 1 || (within == 1 && outside > 0);
    let mut first = Vec::new();
    if late(within.input, outside.input) {
        let input = Term::new(rule.place, Form::Root("input".to_owned()));
        let never = Term::new(rule.place, Form::Array(vec![input.clone()]));
        first.push(never_same(rule.place, input, never));
    }
    if late(within.data, outside.data) {
        let data = path(rule.place, &["data".to_owned(), NOWHERE.to_owned()]);
        let never = Term::new(rule.place, Form::Constant("0".to_owned()));
        first.push(never_same(rule.place, data, never));
    }
    if rule.is_default || first.is_empty() {
        return;
    }
    if rule.bodies.is_empty() {
        let query = Query::default();
        rule.bodies.push(Body {
            place: rule.place,
            value: None,
            query,
        });
    }
    for body in &mut rule.bodies {
        let rest = std::mem::take(&mut body.query.statements);
        let place = rest.first().map_or(rule.place, |first| first.place);
        let first = first.iter().cloned().map(|one| Statement { place, ..one });
        body.query.statements = first.chain(rest).collect();
    }
}

/// What data has not.
const NOWHERE: &str = "dtgate_nowhere";

fn never_same(place: Place, one: Term, other: Term) -> Statement {
    Statement {
        place,
        kind: Kind::Not(Term::infix("==", one, other)),
        with: Vec::new(),
        is_negated: false,
    }
}

/// How often the documents are named.
#[derive(Clone, Copy, Default)]
struct Roots {
    input: u32,
    data: u32,
}

fn in_query(query: &Query, here: &mut Roots, within: &mut Roots) {
    for statement in &query.statements {
        for term in statement.terms() {
            in_term(term, here, within);
        }
        if let Kind::Every { query, .. } = &statement.kind {
            let mut inner = Roots::default();
            in_query(query, &mut inner, within);
            within.add(inner);
        }
    }
}

fn in_term(term: &Term, here: &mut Roots, within: &mut Roots) {
    match &term.form {
        Form::Root(name) if name == "input" => here.input += 1,
        // The value of a rule may be data.
        Form::Root(_) => here.data += 1,
        Form::Comprehension(_, heads, query) => {
            let mut inner = Roots::default();
            for head in heads {
                in_term(head, &mut inner, within);
            }
            in_query(query, &mut inner, within);
            within.add(inner);
        }
        _ => {
            for part in term.parts() {
                in_term(part, here, within);
            }
        }
    }
}

impl Roots {
    fn add(&mut self, other: Self) {
        self.input += other.input;
        self.data += other.data;
    }
}

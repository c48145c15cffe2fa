//! Statements that wait until all that they use has a value.
//!
//! One is looked at again only when a variable that it waits for has got a value: the cost of a body grows with its
//! length, in whatever order it is written.

use std::collections::{BTreeMap, BTreeSet};

use super::variables::{Names, closed_over, gives, may_give, needs, told_apart};
use crate::policy::plain::tree::Statement;

pub(super) struct Waiting {
    left: Vec<Option<One>>,
    /// Those that may be ready, by their numbers.
    woken: BTreeSet<usize>,
    /// The statements that wait for each variable.
    sleeping: BTreeMap<String, Vec<usize>>,
    /// The variables of the statement that was handed out last.
    last: Names,
    #[cfg(test)]
    pub(super) looks: usize,
}

/// A statement, and what has to have a value for it.
pub(super) struct One {
    statement: Statement,
    /// With every `_` as a variable of its own.
    pub(super) apart: Statement,
    needs: Names,
    closed_over: Names,
    /// What it could give a value itself. Any other variable that has none is worth waiting for alone.
    may_give: Names,
    waits_for_all: bool,
}

impl One {
    fn new(statement: Statement, owned: &Names) -> Self {
        let apart = told_apart(&statement);
        Self {
            needs: needs(&apart),
            closed_over: closed_over(&apart, owned),
            may_give: may_give(&apart),
            apart,
            statement,
            waits_for_all: false,
        }
    }

    /// The variables that have no value when it is their turn.
    pub(super) fn missing(&self, given: &Names) -> Vec<String> {
        let given_here = gives(&self.apart, given);
        let own = self.needs.iter();
        let own = own.filter(|name| !given.contains(*name) && !given_here.contains(*name));
        let closed_over = self.closed_over.iter();
        let closed_over = closed_over.filter(|name| !given.contains(*name));
        own.chain(closed_over).cloned().collect()
    }
}

impl Waiting {
    /// `owned`: what the query of these statements, and the queries around it, name.
    pub(super) fn new(statements: Vec<Statement>, owned: &Names) -> Self {
        let statements = statements.into_iter();
        let left: Vec<Option<One>> = statements.map(|one| Some(One::new(one, owned))).collect();
        Self {
            woken: (0..left.len()).collect(),
            left,
            sleeping: BTreeMap::new(),
            last: Names::new(),
            #[cfg(test)]
            looks: 0,
        }
    }

    /// The first statement that is ready.
    pub(super) fn next(&mut self, given: &Names) -> Option<Statement> {
        for name in std::mem::take(&mut self.last) {
            if given.contains(&name) {
                self.woken
                    .extend(self.sleeping.remove(&name).into_iter().flatten());
            }
        }
        while let Some(number) = self.woken.pop_first() {
            let Some(place) = self.left.get_mut(number) else {
                continue;
            };
            let Some(one) = place else { continue };
            #[cfg(test)]
            {
                self.looks += 1;
            }
            let missing = one.missing(given);
            if missing.is_empty() {
                let One {
                    statement, needs, ..
                } = place.take()?;
                self.last = needs;
                return Some(statement);
            }
            let hopeless = missing
                .iter()
                .find(|name| one.closed_over.contains(*name) || !one.may_give.contains(*name));
            let names: Vec<&String> = match hopeless {
                Some(name) => vec![name],
                None if one.waits_for_all => Vec::new(),
                None => {
                    one.waits_for_all = true;
                    let needs = one.needs.iter();
                    needs.filter(|name| !given.contains(*name)).collect()
                }
            };
            for name in names {
                let sleeping = self.sleeping.entry(name.clone()).or_default();
                sleeping.push(number);
            }
        }
        None
    }

    /// The first that is left.
    pub(super) fn first(&self) -> Option<&One> {
        self.left.iter().flatten().next()
    }
}

#[cfg(test)]
mod tests {
    use super::super::variables::bound;
    use super::*;
    use crate::policy::plain::tree::{Form, Kind, Place, Term};

    fn name(name: &str) -> Term {
        Term::name(Place::default(), name)
    }

    fn list(names: impl Iterator<Item = String>) -> Term {
        let names = names.map(|one| name(&one));
        Term::new(Place::default(), Form::Array(names.collect()))
    }

    /// Hands all out; how often one was looked at, and in which order they came.
    fn looks(statements: Vec<Statement>) -> (usize, Vec<Statement>) {
        let owned = Names::new();
        let mut waiting = Waiting::new(statements, &owned);
        let (mut given, mut order) = (Names::new(), Vec::new());
        while let Some(statement) = waiting.next(&given) {
            for term in statement.terms() {
                if let Form::Infix("=", both) = &term.form {
                    bound(&both.0, &mut given);
                    bound(&both.1, &mut given);
                }
            }
            order.push(statement);
        }
        assert!(waiting.first().is_none());
        (waiting.looks, order)
    }

    fn joined(one: Term, other: Term) -> Statement {
        Statement::holds(Term::infix("=", one, other))
    }

    fn constant() -> Term {
        Term::new(Place::default(), Form::Constant("1".to_owned()))
    }

    #[test]
    fn a_chain_in_reverse_order_is_looked_at_twice() {
        for length in [100, 200, 400] {
            let pair = |number: usize| {
                let [one, other] = [number, number + 1].map(|number| name(&format!("x{number}")));
                joined(one, other)
            };
            let mut statements: Vec<Statement> = (0..length).map(pair).collect();
            statements.push(joined(name(&format!("x{length}")), constant()));
            let (looks, order) = looks(statements);
            assert_eq!(order.len(), length + 1);
            assert!(looks <= 3 * length + 1, "{length}: {looks}");
        }
    }

    #[test]
    fn what_needs_many_variables_waits_for_one_after_the_other_and_no_other() {
        for length in [100, 200, 400] {
            let all = (0..length).map(|number| format!("x{number}"));
            let not = Statement {
                kind: Kind::Not(list(all.clone())),
                ..Statement::holds(constant())
            };
            let mut statements = vec![not];
            statements.extend(all.map(|one| joined(name(&one), constant())));
            let (looks, order) = looks(statements);
            assert!(matches!(
                order.last().map(|last| &last.kind),
                Some(Kind::Not(_))
            ));
            assert!(looks <= 3 * length + 1, "{length}: {looks}");
        }
    }

    #[test]
    fn the_first_that_is_ready_comes_first() {
        let statements = vec![
            joined(name("a"), name("b")),
            joined(name("c"), constant()),
            joined(name("b"), constant()),
            joined(name("d"), constant()),
        ];
        let (_, order) = looks(statements);
        let first: Vec<String> = order
            .iter()
            .map(|one| {
                let mut names = Names::new();
                one.names(&mut names);
                names.into_iter().collect::<Vec<_>>().concat()
            })
            .collect();
        assert_eq!(first, ["c", "b", "ab", "d"]);
    }
}

//! One policy, followed from what it says on: which silence of a rule silences the policy, and which makes it object.
//!
//! What is undefined within a negation makes it hold, and what a function or a rule finds is used in one way or the
//! other; so each rule is followed as it is used.

mod expressions;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use regorus::unstable::{Expr, Literal, LiteralStmt, Query, Rule, Span};

use super::around::Around;
use super::forms::{self, is_false};
use super::policies::{Known, Operations, Policies};
use super::seen::{Need, Seen};
use super::told::{Place, Told};
use super::used::{Effect, Use};
use crate::dynatrace::catalogue::Operation;
use crate::policy::input::{LOOKED_UP, NO_TOKEN, REMOVED, UNKNOWN};
use crate::policy::rego::program::{self, Read};
use crate::policy::rego::syntax;

/// How many rules of a policy are followed, counted again each time that they are asked for otherwise.
const MOST_RULES: usize = 20_000;

/// What is certain where something stands.
#[derive(Clone, Debug, Default)]
struct Here<'a> {
    /// The queries around it.
    within: Vec<Rc<Around<'a>>>,
    /// The absences that are out of the question.
    sure: BTreeSet<String>,
    /// The absences of which all of it says nothing.
    needed: BTreeSet<String>,
    operations: Operations,
    /// What the function that it stands in was given.
    given: Option<Vec<Read>>,
}

/// A rule, how it is used, and what is certain there.
type Visit = (usize, Use, BTreeSet<String>, Operations, Option<Vec<Read>>);

/// What one policy says, as far as it was followed.
pub(super) struct Followed<'p, 'a> {
    policies: &'p Policies<'a>,
    lookup_required: bool,
    left: usize,
    visited: BTreeSet<Visit>,
    pub(super) told: BTreeMap<Place, Told>,
    /// The absences that it objects to.
    pub(super) asked: BTreeSet<String>,
}

impl<'p, 'a> Followed<'p, 'a> {
    /// Follows what these rules of one policy say, used like this.
    pub(super) fn of(
        policies: &'p Policies<'a>,
        rules: &[usize],
        used: Use,
        lookup_required: bool,
    ) -> Self {
        let mut followed = Self {
            policies,
            lookup_required,
            left: MOST_RULES,
            visited: BTreeSet::new(),
            told: BTreeMap::new(),
            asked: BTreeSet::new(),
        };
        for rule in rules {
            followed.enter(&[*rule], &Here::default(), used);
        }
        followed
    }

    fn seen<'h>(&self, known: &'p Known<'a>, here: &'h Here<'a>) -> Seen<'p, 'a, 'h> {
        Seen {
            policies: self.policies,
            known,
            given: here.given.as_deref(),
            within: &here.within,
        }
    }

    /// The rules of one name.
    fn enter(&mut self, rules: &[usize], here: &Here<'a>, used: Use) {
        let policies = self.policies;
        let default =
            rules
                .iter()
                .find_map(|rule| match policies.rules.get(*rule)?.definition.rule {
                    Rule::Default { value, .. } => Some(is_false(value)),
                    Rule::Spec { .. } => None,
                });
        let undefined = match (default, used.negated) {
            (None, _) | (Some(true), false) => used.undefined,
            (Some(true), true) => used.parts.opposite(),
            (Some(false), _) => Effect::Unclear,
        };
        for number in rules {
            let key = (
                *number,
                used,
                here.sure.clone(),
                here.operations.clone(),
                here.given.clone(),
            );
            if self.left == 0 || !self.visited.insert(key) {
                continue;
            }
            self.left -= 1;
            let Some(known) = policies.rules.get(*number) else {
                continue;
            };
            let rule = known.definition.rule;
            let Rule::Spec { bodies, .. } = rule else {
                continue;
            };
            let here = Here {
                within: Vec::new(),
                ..here.clone()
            };
            let value = syntax::value(rule);
            let effect = if syntax::is_set(rule) {
                used.less
            } else {
                undefined
            };
            if bodies.is_empty() {
                self.value(*number, value, &here, effect, used);
            }
            for (place, body) in bodies.iter().enumerate() {
                let value = match &body.assign {
                    Some(assign) => Some(assign.value.as_ref()),
                    None => value,
                };
                // What follows takes its place.
                let goes_on = bodies.get(place + 1).is_some_and(|next| next.is_else);
                let effect = if goes_on || value.is_some_and(is_false) {
                    Effect::Unclear
                } else {
                    effect
                };
                let within = self.query(*number, &body.query, &here, effect);
                self.value(*number, value, &within, effect, used);
            }
        }
    }

    /// What a rule is, or contains.
    fn value(
        &mut self,
        rule: usize,
        value: Option<&'a Expr>,
        here: &Here<'a>,
        effect: Effect,
        used: Use,
    ) {
        let (Some(value), Some(known)) = (value, self.policies.rules.get(rule)) else {
            return;
        };
        let seen = self.seen(known, here);
        let dangers = seen.dangers(value, used.negated);
        let needs = seen.needs(value);
        match effect {
            Effect::Silent => self.tell(rule, forms::start(value), value.span(), dangers, here),
            Effect::Loud => self.ask(needs, here),
            Effect::Unclear => {}
        }
        let used = Use {
            negated: used.negated,
            less: used.less,
            ..Use::plain(effect)
        };
        self.expression(rule, value, here, used);
    }

    /// The statements of a query; what is certain behind them.
    fn query(
        &mut self,
        rule: usize,
        query: &'a Query,
        here: &Here<'a>,
        effect: Effect,
    ) -> Here<'a> {
        let mut within = here.clone();
        within.within.push(Rc::new(Around::of(query)));
        let Some(known) = self.policies.rules.get(rule) else {
            return within;
        };
        let seen = self.seen(known, &within);
        let mut sure: Vec<BTreeSet<String>> = Vec::new();
        let mut operations = here.operations.clone();
        let mut needed = Vec::new();
        let mut dangers = Vec::new();
        let mut asked = Vec::new();
        for statement in &query.stmts {
            let required = seen.required(statement);
            sure.push(required.sure);
            operations = operations.and(&required.operations);
            needed.extend(seen.statement_needs(statement));
            dangers.push((statement, seen.statement_dangers(statement)));
            asked.extend(seen.asks(statement));
        }
        within.sure.extend(sure.iter().flatten().cloned());
        within.operations = operations;
        match effect {
            Effect::Silent => {
                within
                    .needed
                    .extend(needed.into_iter().flat_map(|need| need.when));
                for (statement, dangers) in dangers {
                    self.tell(rule, &statement.span, &statement.span, dangers, &within);
                }
                self.ask(asked, &within);
            }
            Effect::Loud => self.ask(needed, here),
            Effect::Unclear => {}
        }
        let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
        for when in sure.iter().flatten() {
            *counts.entry(when).or_default() += 1;
        }
        for (statement, own) in query.stmts.iter().zip(&sure) {
            if !self.policies.calls(known, statement) {
                self.statement(rule, statement, &within, effect);
                continue;
            }
            // What a function is given is not certain to it because it was given.
            let others = counts.iter();
            let others = others.filter(|(when, count)| **count > usize::from(own.contains(**when)));
            let mut inner = within.clone();
            inner.sure.clone_from(&here.sure);
            inner.sure.extend(others.map(|(when, _)| (*when).clone()));
            self.statement(rule, statement, &inner, effect);
        }
        within
    }

    fn statement(
        &mut self,
        rule: usize,
        statement: &'a LiteralStmt,
        here: &Here<'a>,
        effect: Effect,
    ) {
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::Expr { expr, .. } => self.expression(rule, expr, here, Use::plain(effect)),
            Literal::NotExpr { expr, .. } => {
                let used = Use {
                    undefined: effect.opposite(),
                    negated: true,
                    ..Use::plain(effect)
                };
                self.expression(rule, expr, here, used);
            }
            Literal::SomeIn { collection, .. } => {
                self.expression(rule, collection, here, Use::plain(effect));
            }
            Literal::Every { domain, query, .. } => {
                let used = Use::plain(effect).part(effect.opposite());
                self.expression(rule, domain, here, used);
                let mut here = here.clone();
                if let Some(known) = self.policies.rules.get(rule) {
                    let needs = self.seen(known, &here).needs(domain);
                    here.sure
                        .extend(needs.into_iter().flat_map(|need| need.when));
                }
                self.query(rule, query, &here, effect);
            }
        }
    }

    /// Notes what is to be told of a statement.
    fn tell(
        &mut self,
        rule: usize,
        start: &Span,
        whole: &Span,
        dangers: Vec<Need>,
        here: &Here<'a>,
    ) {
        for need in dangers {
            for when in self.possible(&need, here) {
                let place = Place {
                    rule,
                    start: start.start,
                };
                let told = self.told.entry(place).or_insert_with(|| Told {
                    problem: program::at(start, ""),
                    text: forms::text(start, whole),
                    when: Vec::new(),
                });
                if told.when.iter().all(|(known, _)| *known != when) {
                    told.when.push((when, need.member.clone()));
                }
            }
        }
    }

    /// Notes that absences are objected to.
    fn ask(&mut self, needs: Vec<Need>, here: &Here<'a>) {
        let when = needs.into_iter().flat_map(|need| need.when);
        self.asked
            .extend(when.filter(|when| !here.sure.contains(when) && !here.needed.contains(when)));
    }

    /// When a member may be absent, as far as a request can pass by it.
    fn possible(&self, need: &Need, here: &Here<'a>) -> Vec<String> {
        // It tells of what the gate denies for itself.
        if need.when.iter().any(|when| when == LOOKED_UP) {
            return Vec::new();
        }
        let of_scopes =
            ["added", "removed", "kept"].map(|name| format!("input.change.scopes.{name}"));
        let is_difference = of_scopes
            .iter()
            .any(|member| need.member.starts_with(member));
        let is_out = |when: &str| match when {
            REMOVED => true,
            // All that a new token asks for is added.
            UNKNOWN => {
                self.lookup_required
                    || (is_difference && here.operations.all(Operation::makes_token))
            }
            NO_TOKEN => here.operations.all(Operation::changes_token),
            _ => false,
        };
        let when = need.when.iter();
        when.filter(|when| !is_out(when) && !here.sure.contains(*when))
            .cloned()
            .collect()
    }
}

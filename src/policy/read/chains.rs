//! How far a question leads from rule to rule, and how much stands in one body.
//!
//! Evaluators, and the passes over a program, call themselves for each rule that a rule asks, for each statement behind
//! one that has several answers, and for each expression in another. What goes beyond these bounds is given to none of
//! them: it would end the program, or keep it busy for minutes.

use std::collections::BTreeMap;

use regorus::unstable::{Expr, Literal, LiteralStmt, Module, Query, Ref, Rule};

use crate::policy::problem::Problem;
use crate::policy::rego::names::Meaning;
use crate::policy::rego::program::{Definition, Program, at, known};
use crate::policy::rego::syntax;
use crate::policy::rego::walk::{self, Site};

/// How many statements a body, a comprehension or an `every` may have.
pub(in crate::policy) const MOST_STATEMENTS: usize = 1_000;

/// Over how many rules and functions a question may lead.
pub(in crate::policy) const MOST_RULES: usize = 200;

/// How many statements and expressions may stand behind and within one another, on the way through all of these rules.
pub(in crate::policy) const MOST_NESTED: usize = 2_000;

/// What goes beyond a bound in files that parse.
pub(super) fn beyond_bounds(modules: &[Ref<Module>]) -> Vec<Problem> {
    let program = Program::new(modules);
    let mut beyond = Vec::new();
    for definition in &program.definitions {
        walk::queries(definition.rule, &mut |query| {
            if let Some(one) = query.stmts.get(MOST_STATEMENTS) {
                let message = format!(
                    "more than {MOST_STATEMENTS} statements stand in one body: put some of them into rules of their own"
                );
                beyond.push(at(&one.span, message));
            }
        });
    }
    if beyond.is_empty() {
        beyond.extend(Graph::of(&program).beyond());
    }
    beyond
}

/// A path, of a rule or of what is around rules, as one place of a way.
#[derive(Default)]
struct Node {
    /// The first definition, where it is a rule.
    definition: Option<usize>,
    /// How much of it stands within one another.
    nested: usize,
    /// What it asks, or what is below it.
    next: Vec<usize>,
}

/// What asks what.
struct Graph<'p, 'a> {
    program: &'p Program<'a>,
    nodes: Vec<Node>,
}

/// The longest way from a place on.
#[derive(Clone, Copy, Default)]
struct Way {
    rules: usize,
    nested: usize,
}

impl<'p, 'a> Graph<'p, 'a> {
    fn of(program: &'p Program<'a>) -> Self {
        let mut numbers: BTreeMap<&[String], usize> = BTreeMap::new();
        let mut nodes: Vec<Node> = Vec::new();
        for definition in &program.definitions {
            let path = definition.path.as_slice();
            for length in 1..=path.len() {
                let Some(part) = path.get(..length) else {
                    continue;
                };
                if numbers.contains_key(part) {
                    continue;
                }
                let number = nodes.len();
                numbers.insert(part, number);
                nodes.push(Node::default());
                let around = part
                    .split_last()
                    .and_then(|(_, around)| numbers.get(around));
                if let Some(around) = around.and_then(|around| nodes.get_mut(*around)) {
                    around.next.push(number);
                }
            }
        }
        for definition in &program.definitions {
            let own = numbers.get(definition.path.as_slice());
            if let Some(node) = own.and_then(|own| nodes.get_mut(*own)) {
                node.definition.get_or_insert(definition.number);
                node.nested = node.nested.max(nested_in_rule(definition.rule));
            }
        }
        for definition in &program.definitions {
            let path = definition.path.as_slice();
            let around = (1..=path.len()).filter_map(|length| numbers.get(path.get(..length)?));
            let around: Vec<usize> = around.copied().collect();
            let mut asks = Vec::new();
            for asked in asked(program, definition, &numbers) {
                match nodes.get(asked) {
                    // All packages, as tests ask: it is among them, and its own is not meant.
                    Some(node) if node.definition.is_none() && around.contains(&asked) => {
                        let others = node.next.iter().filter(|it| !around.contains(it));
                        asks.extend(others.copied());
                    }
                    _ => asks.push(asked),
                }
            }
            if let Some(node) = around.last().and_then(|own| nodes.get_mut(*own)) {
                node.next.append(&mut asks);
            }
        }
        for node in &mut nodes {
            node.next.sort_unstable();
            node.next.dedup();
        }
        Self { program, nodes }
    }

    /// The first bound that is exceeded, at the rule from which the way is the longest.
    fn beyond(&self) -> Option<Problem> {
        let (ways, circles) = self.ways();
        if circles.len() > MOST_RULES {
            let message = format!(
                "this rule rests on itself, or on one that does, as more than {MOST_RULES} do (OPA: rule is recursive)"
            );
            return self.told(*circles.first()?, message);
        }
        let of_rules = ways.iter().zip(&self.nodes).enumerate();
        let of_rules = of_rules.filter(|(_, (_, node))| node.definition.is_some());
        let ways: Vec<(usize, Way)> = of_rules
            .filter_map(|(number, (way, _))| Some((number, (*way)?)))
            .collect();
        let (number, way) = *ways.iter().max_by_key(|(_, way)| way.rules)?;
        if way.rules > MOST_RULES {
            let message = format!(
                "this rule leads over {} rules and functions, one asking the next, and {MOST_RULES} are the most: join some of \
                 them",
                way.rules
            );
            return self.told(number, message);
        }
        let (number, way) = *ways.iter().max_by_key(|(_, way)| way.nested)?;
        if way.nested > MOST_NESTED {
            let message = format!(
                "this rule, with those that it leads to, has {} statements and expressions behind and within one another, and \
                 {MOST_NESTED} are the most: ask less at once",
                way.nested
            );
            return self.told(number, message);
        }
        None
    }

    fn told(&self, node: usize, message: String) -> Option<Problem> {
        let definition = self.nodes.get(node)?.definition?;
        let rule = self.program.definitions.get(definition)?.rule;
        Some(at(rule.span(), message))
    }

    /// The longest way from each place on, and the rules from which a way leads in circles. From the ends on: nothing here
    /// calls itself.
    fn ways(&self) -> (Vec<Option<Way>>, Vec<usize>) {
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        let mut open: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for (number, node) in self.nodes.iter().enumerate() {
            open.push(node.next.len());
            for next in &node.next {
                if let Some(before) = before.get_mut(*next) {
                    before.push(number);
                }
            }
        }
        let mut ways: Vec<Option<Way>> = vec![None; self.nodes.len()];
        let ends = open.iter().enumerate().filter(|(_, open)| **open == 0);
        let mut ready: Vec<usize> = ends.map(|(number, _)| number).collect();
        while let Some(number) = ready.pop() {
            let Some(node) = self.nodes.get(number) else {
                continue;
            };
            let mut way = Way::default();
            for next in node.next.iter().filter_map(|next| *ways.get(*next)?) {
                way.rules = way.rules.max(next.rules);
                way.nested = way.nested.max(next.nested);
            }
            way.rules += usize::from(node.definition.is_some());
            way.nested += node.nested;
            if let Some(its) = ways.get_mut(number) {
                *its = Some(way);
            }
            for before in before.get(number).into_iter().flatten() {
                if let Some(open) = open.get_mut(*before) {
                    *open -= 1;
                    ready.extend((*open == 0).then_some(*before));
                }
            }
        }
        let circles = ways.iter().zip(&self.nodes).enumerate();
        let circles = circles.filter(|(_, (way, node))| way.is_none() && node.definition.is_some());
        let circles = circles.map(|(number, _)| number).collect();
        (ways, circles)
    }
}

/// The places that a definition asks.
fn asked(
    program: &Program<'_>,
    definition: &Definition<'_>,
    numbers: &BTreeMap<&[String], usize>,
) -> Vec<usize> {
    let mut asked = Vec::new();
    walk::rule(definition.rule, &mut |site| {
        let reference = match site {
            Site::Reference(reference) | Site::With(reference) => reference,
            Site::Call { function, .. } => {
                let path = definition.names.whole(&known(function));
                asked.extend(numbers.get(path.as_slice()));
                return;
            }
            _ => return,
        };
        match program.meaning(definition, reference) {
            Meaning::Rule(path, its) => {
                // Its value, and what other rules say below that.
                asked.extend(its.first().and_then(|it| numbers.get(it.path.as_slice())));
                asked.extend(numbers.get(path.as_slice()));
            }
            // Of the data it is nobody's.
            Meaning::Data(path) => asked.extend(numbers.get(path.as_slice())),
            Meaning::Input(_) | Meaning::Local => {}
        }
    });
    // A rule of its own path may say another part of the same document.
    let own = numbers.get(definition.path.as_slice());
    asked.retain(|it| Some(it) != own);
    asked
}

fn nested_in_rule(rule: &Rule) -> usize {
    match rule {
        Rule::Default { value, .. } => nested(value),
        Rule::Spec { bodies, .. } => {
            let values = syntax::values(rule).into_iter().map(nested).max();
            let bodies = bodies.iter().map(|body| nested_in_query(&body.query));
            values.unwrap_or_default() + bodies.max().unwrap_or_default()
        }
    }
}

/// A statement is evaluated for each answer of those before it, within them.
fn nested_in_query(query: &Query) -> usize {
    let deepest = query.stmts.iter().map(nested_in_statement).max();
    query.stmts.len() + deepest.unwrap_or_default()
}

fn nested_in_statement(statement: &LiteralStmt) -> usize {
    let with = statement.with_mods.iter().map(|with| nested(&with.r#as));
    let own = match &statement.literal {
        Literal::SomeVars { .. } => 0,
        Literal::SomeIn { collection, .. } => nested(collection),
        Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => nested(expr),
        Literal::Every { domain, query, .. } => nested(domain).max(1 + nested_in_query(query)),
    };
    with.max().unwrap_or_default().max(own)
}

fn nested(expr: &Expr) -> usize {
    let parts = syntax::parts(expr).into_iter().map(nested).max();
    let parts = parts.unwrap_or_default();
    let collected = syntax::comprehension(expr).map_or(0, |(collected, query)| {
        let collected = collected.into_iter().map(nested).max();
        collected.unwrap_or_default() + nested_in_query(query)
    });
    let steps = match expr {
        Expr::RefBrack { .. } | Expr::RefDot { .. } => steps(expr),
        _ => 1,
    };
    steps + parts.max(collected)
}

fn steps(mut reference: &Expr) -> usize {
    let mut steps = 0;
    while let Expr::RefBrack { refr, .. } | Expr::RefDot { refr, .. } = reference {
        steps += 1;
        reference = refr;
    }
    steps
}

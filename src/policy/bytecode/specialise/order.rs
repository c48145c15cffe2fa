//! What the bytecode does in another order than the interpreter: where it could have forgotten something, or go on with
//! the wrong thing. It looks at the shape of a rule alone.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Literal, Query, Rule, Span};

use crate::policy::rego::scopes::nested;
use crate::policy::rego::walk::{self, Site};
use crate::policy::rego::{program, syntax};

/// Whether a rule names the input, or the data, in a query within it and outside of that as well; `root` says whether
/// a reference goes to the input (true), the data (false), or neither.
///
/// The machine fetches each once in a body, at the first place that names it. When that place is in a query that has
/// nothing to walk through, it never does, and the other places find nothing.
pub(super) fn has_late_roots(rule: &Rule, root: &dyn Fn(&Expr) -> Option<bool>) -> bool {
    let (mut all, mut late) = ([0, 0], false);
    walk::rule(rule, &mut |site| mention(site, root, &mut all));
    let first = named_first(rule, root);
    nested(rule, &mut |query| {
        let mut within = [0, 0];
        query.walk(&mut |site| mention(site, root, &mut within));
        let mut roots = within.into_iter().zip(all).zip(first);
        late |= roots.any(|((within, all), is_first)| within > 0 && within < all && !is_first);
    });
    late
}

/// Whether each body begins with conditions that name the data, and the input: they are negations, where policies are
/// written out so.
fn named_first(rule: &Rule, root: &dyn Fn(&Expr) -> Option<bool>) -> [bool; 2] {
    let Rule::Spec { bodies, .. } = rule else {
        return [false; 2];
    };
    let mut first = [!bodies.is_empty(); 2];
    for body in bodies {
        let mut named = [0; 2];
        let negated = body
            .query
            .stmts
            .iter()
            .map_while(|statement| match &statement.literal {
                Literal::NotExpr { expr, .. } => Some(expr),
                _ => None,
            });
        for expr in negated {
            let mut has_query = false;
            let mut here = [0; 2];
            walk::expression(expr, &mut |site| {
                has_query |=
                    matches!(site, Site::Operation(expr) if syntax::comprehension(expr).is_some());
                mention(site, root, &mut here);
            });
            if has_query {
                break;
            }
            named
                .iter_mut()
                .zip(here)
                .for_each(|(all, here)| *all += here);
        }
        first
            .iter_mut()
            .zip(named)
            .for_each(|(first, named)| *first &= named > 0);
    }
    first
}

/// Counts who names the data, and who the input.
fn mention(site: Site<'_>, is_input: &dyn Fn(&Expr) -> Option<bool>, counts: &mut [usize; 2]) {
    if let Site::Reference(reference) = site
        && let Some(is_input) = is_input(reference)
    {
        let [data, input] = counts;
        *if is_input { input } else { data } += 1;
    }
}

/// Whether a name that a query within a rule binds stands outside of it as well, where it is another.
pub(super) fn has_names_of_two_scopes(rule: &Rule) -> bool {
    let count = |names: &mut BTreeMap<String, usize>, reference: &Expr| {
        if let Some(first) = program::known(reference).into_iter().next() {
            *names.entry(first).or_default() += 1;
        }
    };
    let mut all = BTreeMap::new();
    walk::rule(rule, &mut |site| {
        if let Site::Reference(reference) = site {
            count(&mut all, reference);
        }
    });
    let mut found = false;
    nested(rule, &mut |query| {
        let mut own = BTreeMap::new();
        query.walk(&mut |site| {
            if let Site::Reference(reference) = site {
                count(&mut own, reference);
            }
        });
        let mut bound = query.bound().into_iter().map(Span::text);
        found |= bound.any(|name| own.get(name) != all.get(name));
    });
    found
}

/// Whether a query within a rule uses a name that the rule gives a value further down.
pub(super) fn uses_before_it_binds(rule: &Rule) -> bool {
    let bound = walk::bound(|see| walk::rule(rule, see)).into_iter();
    let bound: BTreeMap<&str, u32> = bound.map(|name| (name.text(), name.start)).collect();
    let mut early = false;
    nested(rule, &mut |query| {
        let own: BTreeSet<&str> = query.bound().into_iter().map(Span::text).collect();
        query.walk(&mut |site| {
            if let Site::Reference(reference) = site
                && let Some(first) = program::known(reference).into_iter().next()
                && !own.contains(first.as_str())
            {
                early |= bound
                    .get(first.as_str())
                    .is_some_and(|start| *start > reference.span().start);
            }
        });
    });
    early
}

/// Whether a comprehension in a rule that walks through something asks before it walks through something itself. When
/// that fails, the machine goes on with the next round of the walk around it. `all`: how often the rule walks.
pub(super) fn asks_before_it_walks(all: i32, comprehension: &Expr) -> bool {
    let Some((_, query)) = syntax::comprehension(comprehension) else {
        return false;
    };
    let mut own = 0;
    walk::expression(comprehension, &mut |site| own += walks(site));
    all > own && !walks_first(query)
}

/// How often a rule walks through something.
pub(super) fn walks_in(rule: &Rule) -> i32 {
    let mut all = 0;
    walk::rule(rule, &mut |site| all += walks(site));
    all
}

/// 1 where something is walked through.
fn walks(site: Site<'_>) -> i32 {
    match site {
        Site::Members(_) => 1,
        // What is asked for a member is not.
        Site::Operation(Expr::Membership { .. }) => -1,
        _ => 0,
    }
}

/// Whether a query walks through something first, and whatever else it says rests on what it finds there: the machine
/// moves what rests on nothing to the front.
fn walks_first(query: &Query) -> bool {
    let mut found: BTreeSet<String> = BTreeSet::new();
    query.stmts.iter().enumerate().all(|(place, statement)| {
        let mut rests = place == 0 && matches!(statement.literal, Literal::SomeIn { .. });
        let mut bound = Vec::new();
        walk::statement(statement, &mut |site| match site {
            Site::Binding(name) => bound.push(name.text().to_owned()),
            Site::Reference(reference) => {
                rests |= program::known(reference)
                    .first()
                    .is_some_and(|first| found.contains(first));
            }
            _ => {}
        });
        found.extend(bound);
        rests
    })
}

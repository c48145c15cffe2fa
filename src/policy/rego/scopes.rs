//! Where in a rule its names are bound: a query within it has names of its own, which mean nothing outside of it.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Query, Rule, Span};

use super::walk::{self, Site};
use super::{program, syntax};

/// A query within a rule, which has names of its own.
pub(in crate::policy) enum Nested<'a> {
    Comprehension(&'a Expr),
    /// With the names that it gives each member.
    Every(Vec<&'a Span>, &'a Query),
}

impl<'a> Nested<'a> {
    pub(in crate::policy) fn walk(&self, see: &mut dyn FnMut(Site<'a>)) {
        match self {
            Self::Comprehension(expr) => walk::expression(expr, see),
            Self::Every(_, query) => walk::query(query, see),
        }
    }

    /// The names that are bound in it, or in a query within it.
    pub(in crate::policy) fn bound(&self) -> Vec<&'a Span> {
        let mut bound = walk::bound(|see| self.walk(see));
        if let Self::Every(names, _) = self {
            bound.extend(names);
        }
        bound
    }
}

/// Calls `see` for every query within a rule, each before those within it.
pub(in crate::policy) fn nested<'a>(rule: &'a Rule, see: &mut dyn FnMut(&Nested<'a>)) {
    walk::rule(rule, &mut |site| match site {
        Site::Operation(expr) if syntax::comprehension(expr).is_some() => {
            see(&Nested::Comprehension(expr));
        }
        Site::Every { key, value, query } => {
            let names = key.into_iter().chain([value]).collect();
            see(&Nested::Every(names, query));
        }
        _ => {}
    });
}

/// Where the references of a rule begin that begin at a name which is bound there.
pub(in crate::policy) fn local(rule: &Rule) -> BTreeSet<u32> {
    // What is bound in the rule, or in a query within it, by number; and what stands there. The innermost comes last.
    let mut bound: BTreeMap<u32, (&str, usize)> = BTreeMap::new();
    let mut references: Vec<(u32, String, usize)> = Vec::new();
    let mut of_rule = Vec::new();
    walk::rule(rule, &mut |site| of_rule.extend(first_name(site)));
    let mut scopes = vec![(walk::bound(|see| walk::rule(rule, see)), of_rule)];
    nested(rule, &mut |within| {
        let mut names = Vec::new();
        within.walk(&mut |site| names.extend(first_name(site)));
        scopes.push((within.bound(), names));
    });
    for (number, (names, first_names)) in scopes.into_iter().enumerate() {
        bound.extend(
            names
                .into_iter()
                .map(|name| (name.start, (name.text(), number))),
        );
        let found = first_names.into_iter();
        references.extend(found.map(|(start, name)| (start, name, number)));
    }
    let bound: BTreeSet<(&str, usize)> = bound.into_values().collect();
    let local = references
        .into_iter()
        .filter(|(_, name, number)| bound.contains(&(name.as_str(), *number)));
    local.map(|(start, ..)| start).collect()
}

/// The name that a reference begins with, and where.
fn first_name(site: Site<'_>) -> Option<(u32, String)> {
    let Site::Reference(reference) = site else {
        return None;
    };
    let name = program::known(reference).into_iter().next()?;
    Some((syntax::start_of(reference).span().start, name))
}

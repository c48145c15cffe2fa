//! Changes the text of a module where it stands. What is not changed stays to the letter.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;
use regorus::unstable::{Expr, Literal, LiteralStmt, Module, Rule, RuleHead};

use super::kinds::{Kinds, bindings};
use super::{DEPTH, Rewritten, quietly};
use crate::policy::bytecode::watch::{ITERABLE, watched};
use crate::policy::question::KNOWN;
use crate::policy::rego::edit::{
    Change, Changes, applied, colon, insert, is_after_a_dot, lines, whole,
};
use crate::policy::rego::program::{self, Names, Path};
use crate::policy::rego::rests::{Rules, is_verdict};
use crate::policy::rego::walk::{self, Site};

pub(super) struct Rewriter<'a> {
    rules: &'a Rules,
    kinds: &'a Kinds<'a>,
    values: BTreeMap<Path, String>,
    /// Knows the data and the values, and no rule.
    settings: &'a mut regorus::Engine,
    /// How many definitions of each rule are left.
    left: BTreeMap<Path, usize>,
    /// Objections that mean the same in every package, and the rule that each is left in.
    objections: BTreeMap<String, Path>,
    /// Rules that an objection was taken from, behind the one that still has it.
    pub(super) shared: Vec<(Path, Path)>,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(
        rules: &'a Rules,
        kinds: &'a Kinds<'a>,
        values: BTreeMap<Path, String>,
        settings: &'a mut regorus::Engine,
    ) -> Self {
        let definitions = kinds.definitions.iter();
        let mut rewriter = Self {
            rules,
            kinds,
            values,
            settings,
            left: definitions
                .map(|(path, all)| (path.clone(), all.len()))
                .collect(),
            objections: BTreeMap::new(),
            shared: Vec::new(),
        };
        while rewriter.find_undefined() {}
        rewriter
    }

    /// Takes rules whose every definition is ruled out for undefined; says whether there were any.
    fn find_undefined(&mut self) -> bool {
        let kinds = self.kinds;
        let mut undefined = Vec::new();
        for (path, definitions) in &kinds.definitions {
            let never = !self.values.contains_key(path)
                && definitions.iter().all(|(module, rule)| {
                    let names = Names::of(module);
                    let bound = bound(module);
                    let changes = self.changes(&names, &bound, rule);
                    is_complete(rule) && self.never(&names, &bound, rule, &changes)
                });
            if never {
                // No value has this name.
                undefined.push((path.clone(), "undefined".to_owned()));
            }
        }
        let found = !undefined.is_empty();
        self.values.extend(undefined);
        found
    }

    fn changes(&self, names: &Names<'_>, bound: &BTreeSet<String>, rule: &Rule) -> Changes {
        let mut changes = Changes::new();
        walk::rule(rule, &mut |site| {
            if let Site::Reference(reference) = site {
                changes.extend(change(names, bound, &self.values, reference));
            }
        });
        // The compiler goes on behind `:=` when there is no value.
        walk::rule(rule, &mut |site| {
            if let Site::Operation(Expr::AssignExpr { lhs, .. }) = site
                && let Some(start) = colon(lhs)
            {
                let end = start + ":=".len();
                let text = "=".to_owned();
                changes.insert(start, Change { end, text });
            }
        });
        // What is walked through has to have members, and says so when it has none.
        walk::rule(rule, &mut |site| {
            if let Site::Members(expr) = site
                && !self.kinds.of(names, rule, expr, DEPTH).has_members()
                && let Some((start, end)) = whole(expr)
            {
                insert(&mut changes, start, &format!("{ITERABLE}("));
                changes.entry(end).or_insert_with(|| Change {
                    end,
                    text: ")".to_owned(),
                });
            }
        });
        changes
    }

    pub(super) fn module(&mut self, module: &Module) -> Rewritten {
        let names = Names::of(module);
        let bound = bound(module);
        let source = module.package.span.source.get_contents();
        let mut changes = Changes::new();
        for rule in &module.policy {
            let Some(path) = program::path_of(&names, rule) else {
                continue;
            };
            if self.values.contains_key(&path) {
                continue;
            }
            let of_rule = self.changes(&names, &bound, rule);
            match self.left_away(&names, &bound, rule, &path, &of_rule) {
                Some((start, removed)) => drop(changes.insert(start, removed)),
                None => changes.extend(of_rule),
            }
        }
        let text = applied(source, 0, source.len(), &changes);
        Rewritten {
            path: names.file.to_owned(),
            package: names.package,
            text,
        }
    }

    /// The removal of a definition that can never hold, or that another policy has as well, unless it is the last
    /// one of its rule.
    fn left_away(
        &mut self,
        names: &Names<'_>,
        bound: &BTreeSet<String>,
        rule: &Rule,
        path: &Path,
        changes: &Changes,
    ) -> Option<(usize, Change)> {
        if self.left.get(path).is_none_or(|left| *left < 2) {
            return None;
        }
        let (start, end) = lines(rule.span())?;
        let superfluous = self.never(names, bound, rule, changes)
            || (is_verdict(path) && self.is_absolute(names, bound, rule) && {
                let source = rule.span().source.get_contents();
                self.is_shared(applied(source, start, end, changes), path)
            });
        superfluous.then(|| {
            self.left.entry(path.clone()).and_modify(|left| *left -= 1);
            let text = String::new();
            (start, Change { end, text })
        })
    }

    /// Whether another rule has the objection, too.
    fn is_shared(&mut self, objection: String, path: &Path) -> bool {
        match self.objections.entry(objection) {
            Entry::Occupied(first) => {
                self.shared.push((first.get().clone(), path.clone()));
                true
            }
            Entry::Vacant(first) => {
                first.insert(path.clone());
                false
            }
        }
    }

    /// Whether a definition needs something that the settings rule out.
    fn never(
        &mut self,
        names: &Names<'_>,
        bound: &BTreeSet<String>,
        rule: &Rule,
        changes: &Changes,
    ) -> bool {
        let Rule::Spec { bodies, span, .. } = rule else {
            return false;
        };
        let [body] = bodies.as_slice() else {
            return false;
        };
        let source = span.source.get_contents();
        for statement in &body.query.stmts {
            // What stands before it could fail, which is no silence.
            if !self.is_settled(names, bound, statement) {
                return false;
            }
            let Some((start, end)) = lines(&statement.span) else {
                return false;
            };
            match self.holds(&applied(source, start, end, changes)) {
                Some(true) => {}
                Some(false) => return true,
                None => return false,
            }
        }
        false
    }

    /// Whether a definition means the same in every package: it names no rule of its own, and no function of the
    /// policies.
    fn is_absolute(&self, names: &Names<'_>, bound: &BTreeSet<String>, rule: &Rule) -> bool {
        let (mut absolute, own) = (true, bindings(rule));
        walk::rule(rule, &mut |site| {
            absolute &= match site {
                Site::Call { .. } | Site::With(_) => false,
                Site::Reference(reference) => {
                    let first = program::known(reference)
                        .into_iter()
                        .next()
                        .unwrap_or_default();
                    own.contains_key(&first)
                        || matches!(first.as_str(), "data" | "input")
                        || change(names, bound, &self.values, reference).is_some()
                }
                _ => true,
            }
        });
        absolute
    }

    /// Whether a statement rests on nothing but data, and can be asked without its module.
    fn is_settled(&self, names: &Names<'_>, bound: &BTreeSet<String>, stmt: &LiteralStmt) -> bool {
        let is_test = matches!(stmt.literal, Literal::Expr { .. } | Literal::NotExpr { .. });
        let mut settled = is_test;
        walk::statement(stmt, &mut |site| {
            settled &= match site {
                Site::Binding(_)
                | Site::Declared(_)
                | Site::Every { .. }
                | Site::Replacing(_)
                | Site::With(_) => false,
                Site::Members(_) | Site::Operation(_) | Site::Pattern(_) => true,
                Site::Call { function, .. } => {
                    let name = program::dotted(function).unwrap_or_default();
                    watched(&name.join(".")).is_some()
                }
                Site::Reference(reference) => self.is_of_settings(names, bound, reference),
            }
        });
        settled
    }

    fn is_of_settings(
        &self,
        names: &Names<'_>,
        bound: &BTreeSet<String>,
        reference: &Expr,
    ) -> bool {
        let steps = program::known(reference);
        let Some(first) = steps.first().filter(|first| !bound.contains(*first)) else {
            return false;
        };
        // Data, or a rule that is replaced by its value.
        change(names, bound, &self.values, reference).is_some()
            || (first == "data" && self.rules.reached(&steps).next().is_none())
    }

    /// Whether a statement holds: its expression has a value, and not `false`; `None`: it cannot be asked.
    fn holds(&mut self, statement: &str) -> Option<bool> {
        // The engine says of `not x` as a query that it holds, whatever x is.
        if let Some(negated) = statement.strip_prefix("not ") {
            return self.holds(negated).map(|holds| !holds);
        }
        let settings = &mut *self.settings;
        let answer = quietly(|| settings.eval_query(statement.to_owned(), false))?;
        let value = answer
            .result
            .first()
            .and_then(|result| result.expressions.first());
        Some(
            value
                .is_some_and(|found| !matches!(found.value, Value::Bool(false) | Value::Undefined)),
        )
    }
}

/// A rule of one value, which is undefined when nothing defines it.
fn is_complete(rule: &Rule) -> bool {
    matches!(
        rule,
        Rule::Spec {
            head: RuleHead::Compr { refr, .. },
            ..
        } if matches!(refr.as_ref(), Expr::Var { .. })
    )
}

/// The names that a module binds itself, anywhere.
fn bound(module: &Module) -> BTreeSet<String> {
    let rules = module.policy.iter();
    rules.flat_map(|rule| walk::bound(rule)).collect()
}

/// What the beginning of a reference becomes, if its value is known: where it starts and ends, and the new text.
fn change(
    names: &Names<'_>,
    bound: &BTreeSet<String>,
    values: &BTreeMap<Path, String>,
    reference: &Expr,
) -> Option<(usize, Change)> {
    let steps = walk::path(reference)?;
    let first = steps.first()?;
    let name = first.name.clone()?;
    if bound.contains(&name) {
        return None;
    }
    let start = usize::try_from(first.span.start).ok()?;
    let begin = match name.as_str() {
        "data" | "input" => vec![name],
        _ => [names.package.clone(), vec![name]].concat(),
    };
    // The whole reference, with the place where each step ends.
    let mut path = begin.clone();
    let mut ends = vec![first.span.end; path.len()];
    for step in steps.iter().skip(1) {
        path.push(step.name.clone().unwrap_or_default());
        ends.push(step.span.end);
    }
    let (length, member) = (begin.len()..=path.len())
        .find_map(|length| Some((length, values.get(path.get(..length)?)?)))?;
    // A step in brackets ends after its bracket, which its span does not cover.
    let mut dotted = steps.iter().take(length + 1 - begin.len()).skip(1);
    if !dotted.all(|step| is_after_a_dot(step.span)) {
        return None;
    }
    let end = usize::try_from(*ends.get(length.checked_sub(1)?)?).ok()?;
    let text = format!("data.{KNOWN}.{member}");
    Some((start, Change { end, text }))
}

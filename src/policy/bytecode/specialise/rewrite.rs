//! Changes the text of a module where it stands. What is not changed stays to the letter.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use regorus::Value;
use regorus::unstable::{Expr, Literal, LiteralStmt, Module, Rule, RuleHead};

use super::kinds::Kinds;
use super::{DEPTH, Rewritten};
use crate::policy::bytecode::watch::{ITERABLE, watched};
use crate::policy::complaint::answer;
use crate::policy::question::KNOWN;
use crate::policy::rego::edit::{
    Change, Changes, applied, colon, insert, is_after_a_dot, lines, whole,
};
use crate::policy::rego::names::Meaning;
use crate::policy::rego::program::{self, Definition, Path};
use crate::policy::rego::rests::{Rules, is_verdict};
use crate::policy::rego::syntax;
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
        let definitions = kinds.program.roots();
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
        for (path, definitions) in kinds.program.roots() {
            let never = !self.values.contains_key(path)
                && definitions.into_iter().all(|definition| {
                    let changes = self.changes(definition);
                    is_complete(definition.rule) && self.never(definition, &changes)
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

    fn changes(&self, definition: &Definition<'_>) -> Changes {
        let mut changes = Changes::new();
        walk::rule(definition.rule, &mut |site| {
            if let Site::Reference(reference) = site {
                changes.extend(self.change(definition, reference));
            }
        });
        // The compiler goes on behind `:=` when there is no value.
        walk::rule(definition.rule, &mut |site| {
            if let Site::Operation(Expr::AssignExpr { lhs, .. }) = site
                && let Some(start) = colon(lhs)
            {
                let end = start + ":=".len();
                let text = "=".to_owned();
                changes.insert(start, Change { end, text });
            }
        });
        // What is walked through has to have members, and says so when it has none.
        walk::rule(definition.rule, &mut |site| {
            if let Site::Members(expr) = site
                && !self.kinds.of(definition, expr, DEPTH).has_members()
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
        let (kinds, source) = (self.kinds, &module.package.span.source);
        let (file, source) = (source.get_path(), source.get_contents());
        let mut changes = Changes::new();
        let of_file = kinds.program.definitions.iter();
        for definition in of_file.filter(|definition| definition.names.file == file) {
            let Some(path) = definition.root().map(<[_]>::to_vec) else {
                continue;
            };
            if self.values.contains_key(&path) {
                continue;
            }
            let of_rule = self.changes(definition);
            match self.left_away(definition, &path, &of_rule) {
                Some((start, removed)) => drop(changes.insert(start, removed)),
                None => changes.extend(of_rule),
            }
        }
        let text = applied(source, 0, source.len(), &changes);
        Rewritten {
            path: file.clone(),
            package: program::package(module),
            text,
        }
    }

    /// The removal of a definition that can never hold, or that another policy has as well, unless it is the last
    /// one of its rule.
    fn left_away(
        &mut self,
        definition: &Definition<'_>,
        path: &Path,
        changes: &Changes,
    ) -> Option<(usize, Change)> {
        if self.left.get(path).is_none_or(|left| *left < 2) {
            return None;
        }
        let span = definition.rule.span();
        let (start, end) = lines(span)?;
        let superfluous = self.never(definition, changes)
            || (is_verdict(path) && self.is_absolute(definition) && {
                let source = span.source.get_contents();
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
    fn never(&mut self, definition: &Definition<'_>, changes: &Changes) -> bool {
        let Rule::Spec { bodies, span, .. } = definition.rule else {
            return false;
        };
        let [body] = bodies.as_slice() else {
            return false;
        };
        let source = span.source.get_contents();
        for statement in &body.query.stmts {
            // What stands before it could fail, which is no silence.
            if !self.is_settled(definition, statement) {
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
    fn is_absolute(&self, definition: &Definition<'_>) -> bool {
        let mut absolute = true;
        walk::rule(definition.rule, &mut |site| {
            absolute &= match site {
                Site::Call { .. } | Site::With(_) => false,
                Site::Reference(reference) => {
                    let first = program::known(reference)
                        .into_iter()
                        .next()
                        .unwrap_or_default();
                    definition.binds(&first)
                        || matches!(first.as_str(), "data" | "input")
                        || self.change(definition, reference).is_some()
                }
                _ => true,
            }
        });
        absolute
    }

    /// Whether a statement rests on nothing but data, and can be asked without its module.
    fn is_settled(&self, definition: &Definition<'_>, stmt: &LiteralStmt) -> bool {
        let is_test = matches!(stmt.literal, Literal::Expr { .. } | Literal::NotExpr { .. });
        let mut settled = is_test;
        walk::statement(stmt, &mut |site| {
            settled &= match site {
                Site::Binding(_)
                | Site::Declared(_)
                | Site::Every { .. }
                | Site::Replacing(_)
                | Site::With(_) => false,
                Site::Members(_) | Site::Operation(_) | Site::Pattern(_) | Site::Text(_) => true,
                Site::Call { function, .. } => {
                    let name = program::dotted(function).unwrap_or_default();
                    watched(&name.join(".")).is_some()
                }
                Site::Reference(reference) => self.is_of_settings(definition, reference),
            }
        });
        settled
    }

    /// Whether it is of the data, or a rule that is replaced by its value.
    fn is_of_settings(&self, definition: &Definition<'_>, reference: &Expr) -> bool {
        self.change(definition, reference).is_some()
            || match self.kinds.program.meaning(definition, reference) {
                Meaning::Data(path) => self.rules.reached(&path).next().is_none(),
                _ => false,
            }
    }

    /// What the beginning of a reference becomes, if its value is known: where it starts and ends, and the new text.
    fn change(&self, definition: &Definition<'_>, reference: &Expr) -> Option<(usize, Change)> {
        let path = self.kinds.program.meaning(definition, reference).path()?;
        let steps = syntax::path(reference)?;
        // How many steps of the path the first one that is written stands for.
        let first = path.len() + 1 - program::known(reference).len();
        let mut lengths = first..=path.len();
        let (length, member) =
            lengths.find_map(|length| Some((length, self.values.get(path.get(..length)?)?)))?;
        let written = steps.get(..=length - first)?;
        // A step in brackets ends after its bracket, which its span does not cover.
        let mut dotted = written.iter().skip(1);
        if !dotted.all(|step| is_after_a_dot(step.span)) {
            return None;
        }
        let start = usize::try_from(written.first()?.span.start).ok()?;
        let end = usize::try_from(written.last()?.span.end).ok()?;
        let text = format!("data.{KNOWN}.{member}");
        Some((start, Change { end, text }))
    }

    /// Whether a statement holds: its expression has a value, and not `false`; `None`: it cannot be asked.
    fn holds(&mut self, statement: &str) -> Option<bool> {
        // The engine says of `not x` as a query that it holds, whatever x is.
        if let Some(negated) = statement.strip_prefix("not ") {
            return self.holds(negated).map(|holds| !holds);
        }
        let settings = &mut *self.settings;
        let results = answer("", || settings.eval_query(statement.to_owned(), false)).ok()?;
        let value = results
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
        } if syntax::variable(refr).is_some()
    )
}

//! Writes out what policies read through imports, before an engine evaluates them.
//!
//! The engine evaluates the whole package that an import names, whatever is read of it. And as soon as one file of a
//! package is done it takes the others, and the packages below, for done as well: their rules are undefined then, and
//! policies that rest on them silent. `data.dtgate.lib.texts` instead of `lib.texts` evaluates that rule and what it
//! needs, as OPA does. So nothing here may be left out, and packages that are read as a whole are refused.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Import, Module, Ref};

use super::bundle::Problem;
use super::check::{self, Names, Path};
use super::names::is_word;
use super::negations;
use super::places::{Change, Changes, applied};
use super::walk::{self, Site};

/// Where lines became longer, by file and line.
#[derive(Debug, Default)]
pub(super) struct Shifts(BTreeMap<(String, usize), Vec<Shift>>);

/// A piece that was replaced. In characters.
#[derive(Debug)]
struct Shift {
    /// In the file, from 1.
    column: usize,
    before: usize,
    after: usize,
}

impl Shifts {
    /// A problem with what was evaluated, at its place in the file.
    pub(super) fn in_file(&self, mut problem: Problem) -> Problem {
        let key = (problem.path.clone(), problem.line);
        let mut longer = 0;
        for shift in self.0.get(&key).into_iter().flatten() {
            let start = shift.column + longer;
            if problem.column < start {
                break;
            }
            if problem.column < start + shift.after {
                problem.column = shift.column;
                return problem;
            }
            longer = (longer + shift.after).saturating_sub(shift.before);
        }
        problem.column = problem.column.saturating_sub(longer);
        problem
    }
}

/// The text of a module with the paths of imports instead of their names, and with its negations written out; no line
/// moves. `sets`: the rules that are sets.
///
/// Calls stay as they are: the engine finds their function without evaluating a package.
pub(super) fn written_out(
    module: &Module,
    sets: &BTreeSet<Path>,
    shifts: &mut Shifts,
) -> Result<String, Problem> {
    let names = Names::of(module);
    let mut changes = Changes::new();
    for rule in &module.policy {
        let bound = walk::bound(rule);
        walk::rule(rule, &mut |site| {
            if let Site::Reference(reference) = site
                && let Some((start, change)) = change(&names, &bound, reference)
            {
                changes.insert(start, change);
            }
        });
    }
    negations::write_out(module, sets, &mut changes)?;
    let source = &module.package.span.source;
    let (path, source) = (source.get_path(), source.get_contents());
    // In the order of their places, as the lines want them.
    for (start, change) in &changes {
        let before = source.get(..*start).unwrap_or_default();
        let replaced = source.get(*start..change.end).unwrap_or_default();
        let shift = Shift {
            column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
            before: replaced.chars().count(),
            after: change.text.chars().count(),
        };
        let line = before.matches('\n').count() + 1;
        shifts
            .0
            .entry((path.clone(), line))
            .or_default()
            .push(shift);
    }
    Ok(applied(source, 0, source.len(), &changes))
}

/// The text without `import input`, which says nothing that is not so: the engine would print to standard error that it
/// is redundant, and panic where that is closed. Nothing moves.
pub(super) fn without_redundant(path: &str, mut text: String) -> String {
    let mut reader = regorus::Engine::new();
    if !text.contains("import") || reader.add_policy(path.to_owned(), text.clone()).is_err() {
        return text;
    }
    for module in reader.get_modules() {
        for import in module.imports.iter().filter(|import| is_redundant(import)) {
            let (start, end) = (import.span.start, import.refr.span().end);
            let place = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let blank = |c: char| {
                let blank = if c == '\n' { c } else { ' ' };
                std::iter::repeat_n(blank, c.len_utf8())
            };
            if let Some((start, end)) = place
                && let Some(written) = text.get(start..end)
            {
                let written: String = written.chars().flat_map(blank).collect();
                text.replace_range(start..end, &written);
            }
        }
    }
    text
}

fn is_redundant(import: &Import) -> bool {
    let is_input = |refr: &Expr| matches!(refr, Expr::Var { span, .. } if span.text() == "input");
    import.r#as.is_none() && is_input(&import.refr)
}

/// What the first name of a reference becomes, and where it is.
fn change(
    names: &Names<'_>,
    bound: &BTreeSet<String>,
    reference: &Expr,
) -> Option<(usize, Change)> {
    let steps = walk::path(reference)?;
    let first = steps.first()?;
    let name = first.name.as_deref()?;
    let import = document(names, name).filter(|_| !bound.contains(name))?;
    // What has other names is no package.
    if !import.iter().all(|step| is_word(step)) {
        return None;
    }
    let start = usize::try_from(first.span.start).ok()?;
    let end = usize::try_from(first.span.end).ok()?;
    let text = import.join(".");
    Some((start, Change { end, text }))
}

/// What an import stands for, if it is in one of the two documents. The others (`rego.v1`) are no names.
fn document<'a>(names: &'a Names<'_>, name: &str) -> Option<&'a Path> {
    let is_document =
        |import: &&Path| matches!(import.first().map(String::as_str), Some("data" | "input"));
    names.imports.get(name).filter(is_document)
}

/// Refuses variables with the name of an import, names that only another file imports, and references to a package as a
/// whole, or to what several are below.
pub(super) fn ambiguous(modules: &[Ref<Module>], problems: &mut Vec<Problem>) {
    let packages = check::packages(modules);
    let imported: BTreeSet<(Path, String)> = modules
        .iter()
        .flat_map(|module| {
            let aliases = check::imports(module).map(|(alias, _, _)| alias);
            aliases.map(|alias| (check::package(module), alias))
        })
        .collect();
    for module in modules {
        let names = Names::of(module);
        for rule in &module.policy {
            // The engine knows it in all files of the package; nothing would be written out in this one.
            let is_foreign = |first: &&String| {
                !names.imports.contains_key(*first)
                    && imported.contains(&(names.package.clone(), (*first).clone()))
            };
            walk::rule(rule, &mut |site| {
                if let Site::Reference(named) | Site::With(named) = site
                    && let Some(first) = check::known(named).first().filter(is_foreign)
                {
                    let message = format!(
                        "another file of the package imports {first}: import it here, too, or use another name"
                    );
                    problems.push(check::at(named.span(), message));
                }
            });
            walk::rule(rule, &mut |site| match site {
                Site::Binding(span) if document(&names, span.text()).is_some() => {
                    let message = format!(
                        "{} is an import: a variable needs another name",
                        span.text()
                    );
                    problems.push(check::at(span, message));
                }
                Site::Reference(reference) => {
                    let path = names.resolve(&check::known(reference));
                    if packages.contains(&path) {
                        let message = format!(
                            "{} is a package: name the rule that is meant, as in {}.rule",
                            path.join("."),
                            path.join("."),
                        );
                        problems.push(check::at(reference.span(), message));
                    }
                }
                _ => {}
            });
        }
    }
}

#[cfg(test)]
mod tests;

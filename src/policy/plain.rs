//! Policies written out in the plain part of Rego that the engine reads as OPA does.
//!
//! OPA's own compiler works like this: it gives variables names of their own, moves what is computed out of heads and
//! negations, brings statements into an order in which every variable has a value before it is used, and takes patterns
//! apart. Here the tree of every file is changed step by step, and printed for the engine; what is said about it later
//! is said of the place in the file ([`Origins`]).

mod calls;
mod data;
mod heads;
mod implicit;
mod members;
mod names;
mod objects;
mod operators;
mod order;
mod packages;
mod places;
mod print;
mod read;
mod roots;
mod shadows;
mod tree;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Module as Source, Ref};
use serde_json::{Map, Value as Json};

use super::problem::Problem;
use crate::policy::builtins;
use crate::policy::rego::program;
pub(super) use print::{Layout, Origins};
use tree::{Form, Module, Place, Term, known};

/// A file for the engine: its path and its text.
pub(super) type Text = (String, String);

/// Writes all files out.
///
/// # Errors
///
/// Names a variable that nothing gives a value, or a package that cannot be a value.
pub(super) fn write_out(
    sources: &[Ref<Source>],
    data: &Map<String, Json>,
    layout: Layout,
) -> Result<(Vec<Text>, Origins), Problem> {
    let files: Vec<String> = sources
        .iter()
        .map(|module| module.package.span.source.get_path().clone())
        .collect();
    let mut modules: Vec<Module> = sources
        .iter()
        .enumerate()
        .map(|(file, module)| read::module(module, file))
        .collect();
    let (rules, functions) = defined(&modules);
    let none = BTreeSet::new();
    let wrong = |place: Place, message: String| {
        let path = files.get(place.file).map_or("policies", String::as_str);
        Problem::new(path, place.line, place.column, message)
    };
    for (module, source) in modules.iter_mut().zip(sources) {
        let package = module.package.clone();
        let names = names::Names {
            package: &package,
            imports: &imports(source),
            rules: rules.get(&package).unwrap_or(&none),
            functions: &functions,
        };
        names::write_out(module, &names).map_err(|(place, message)| wrong(place, message))?;
    }
    let mut paths = files.clone();
    words::write_out(&mut modules, &mut paths).map_err(|(place, message)| wrong(place, message))?;
    shadows::write_out(&mut modules);
    members::write_out(&mut modules);
    packages::write_out(&mut modules, data).map_err(|(place, message)| wrong(place, message))?;
    objects::write_out(&mut modules).map_err(|(place, message)| wrong(place, message))?;
    join_functions(&mut modules);
    let (_, functions) = defined(&modules);
    let sets = sets(&modules);
    let replaced = replaced(&mut modules);
    let data = data::Data::new(data, &mut modules);
    for module in &mut modules {
        let package = Package {
            name: &module.package,
            functions: &functions,
            sets: &sets,
            replaced: &replaced,
        };
        for rule in &mut module.rules {
            let mut fresh = Fresh::default();
            heads::write_out(rule, &mut fresh);
            calls::write_out(rule, &package, &mut fresh);
            order::write_out(rule, &data, &mut fresh).map_err(|loose| {
                let message = format!(
                    "nothing gives {} a value that could be used here (OPA: var {} is unsafe)",
                    loose.name, loose.name
                );
                wrong(loose.place, message)
            })?;
            operators::write_out(rule, &package);
            roots::write_out(rule);
        }
    }
    let mut origins = Origins::of(files);
    let texts = modules
        .iter()
        .zip(paths)
        .map(|(module, path)| {
            let text = print::module(module, (&path, module.file), layout, &mut origins);
            (path, text)
        })
        .collect();
    Ok((texts, origins))
}

/// All definitions of a function in the file of the first: the engine takes what it knows of that for the others, too.
fn join_functions(modules: &mut [Module]) {
    let mut homes: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for number in 0..modules.len() {
        let Some(module) = modules.get_mut(number) else {
            continue;
        };
        let package = module.package.clone();
        let rules = std::mem::take(&mut module.rules);
        for rule in rules {
            let mut home = number;
            if rule.arguments.is_some() {
                let path = [package.clone(), known(&rule.name).unwrap_or_default()].concat();
                home = *homes.entry(path).or_insert(number);
            }
            if let Some(module) = modules.get_mut(home) {
                module.rules.push(rule);
            }
        }
    }
}

/// What imports stand for in the two documents; the others (`rego.v1`) are no names.
fn imports(source: &Source) -> BTreeMap<String, Vec<String>> {
    program::imports(source)
        .filter(|(_, path, _)| {
            path.first()
                .is_some_and(|first| first == "data" || first == "input")
        })
        .map(|(alias, path, _)| (alias, path))
        .collect()
}

type Rules = BTreeMap<Vec<String>, BTreeSet<String>>;
type Functions = BTreeMap<Vec<String>, usize>;

/// The rules of each package, and all functions with the number of their arguments.
fn defined(modules: &[Module]) -> (Rules, Functions) {
    let (mut rules, mut functions) = (Rules::new(), Functions::new());
    for module in modules {
        let names = rules.entry(module.package.clone()).or_default();
        for rule in &module.rules {
            let name = known(&rule.name).unwrap_or_default();
            names.extend(name.first().cloned());
            if let Some(arguments) = &rule.arguments {
                let data = ["data".to_owned()];
                let path = [&data, module.package.as_slice(), &name].concat();
                functions.insert(path, arguments.len());
            }
        }
    }
    (rules, functions)
}

/// The rules that are sets which grow: they are always there.
fn sets(modules: &[Module]) -> BTreeSet<Vec<String>> {
    let mut sets = BTreeSet::new();
    for module in modules {
        for rule in module.rules.iter().filter(|rule| rule.element.is_some()) {
            sets.insert(
                [
                    module.package.clone(),
                    known(&rule.name).unwrap_or_default(),
                ]
                .concat(),
            );
        }
    }
    sets
}

/// The builtins that `with` replaces.
fn replaced(modules: &mut [Module]) -> BTreeSet<String> {
    let mut replaced = BTreeSet::new();
    for rule in modules.iter_mut().flat_map(|module| &mut module.rules) {
        rule.queries_mut(&mut |query| {
            let targets = query.statements.iter().flat_map(|one| &one.with);
            let names = targets.filter_map(|(target, _)| known(target));
            replaced.extend(
                names
                    .map(|name| name.join("."))
                    .filter(|name| builtins::is_known(name)),
            );
        });
    }
    replaced
}

/// What a step may ask about the policies.
struct Package<'a> {
    name: &'a [String],
    functions: &'a Functions,
    sets: &'a BTreeSet<Vec<String>>,
    /// The builtins that `with` replaces somewhere.
    replaced: &'a BTreeSet<String>,
}

impl Package<'_> {
    /// How many arguments a function takes, of the policies or of the engine.
    fn arity(&self, name: &[String]) -> Option<usize> {
        let own = self.functions.get(name).copied();
        own.or_else(|| builtins::arity(&name.join(".")))
    }

    /// Whether a reference names a set that grows.
    fn is_set(&self, term: &Term) -> bool {
        let Some(path) = known(term) else {
            return false;
        };
        let whole = match &term.form {
            Form::Reference(_, steps) => steps.len() + 1,
            _ => 1,
        };
        let path = match path.split_first() {
            Some((first, rest)) if first == "data" => rest.to_vec(),
            _ => [self.name, &path].concat(),
        };
        whole == known(term).map_or(0, |path| path.len()) && self.sets.contains(&path)
    }
}

/// Names for what is given a name here.
#[derive(Default)]
struct Fresh(usize);

impl Fresh {
    fn name(&mut self, place: Place) -> Term {
        self.0 += 1;
        Term::name(place, &format!("dtgate_{}", self.0))
    }
}

#[cfg(test)]
pub(super) mod tests;

//! Objects that grow, as what they come to: `p[k] := v if …` is an object of the pairs that its definitions find, and so
//! are `p[k].l := v` and `p[k] contains v`.
//!
//! Bytecode has no such rules. And the engine finds nothing, instead of an empty object, where a path of several steps
//! is never found. A member that is found twice with two values is an error either way ([`DOCUMENT`]).

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Bracket, Form, Module, Place, Query, Rule, Statement, Term, known};
use crate::policy::builtins::DOCUMENT;

/// A path without `data`.
type Path = Vec<String>;

/// What the definitions of one object have among them.
#[derive(Default)]
struct Growing {
    place: Place,
    /// A path of several steps, or a set at the end of it.
    is_deep: bool,
    /// A step that is computed.
    is_open: bool,
    /// A definition that is no such pair.
    has_others: bool,
    /// A definition with a constant that is no text in its name, which is there in OPA though nothing is found.
    odd: Option<Place>,
}

impl Growing {
    fn see(&mut self, rule: &Rule, steps: &[Term]) {
        let is_constant = |step: &Term| matches!(step.form, Form::Text(_) | Form::Constant(_));
        self.is_deep |= steps.len() > 1 || rule.element.is_some();
        self.is_open |= !steps.iter().all(is_constant);
        let begins_oddly = matches!(
            steps,
            [Term { form: Form::Constant(_), .. }, rest @ ..]
                if rest.iter().any(|step| !is_constant(step)
                    || (rule.element.is_none() && matches!(step.form, Form::Text(_))))
        );
        if begins_oddly {
            self.odd.get_or_insert(rule.place);
        }
        self.has_others |= rule.is_default || rule.arguments.is_some() || rule.bodies.len() > 1;
    }

    /// Whether it is written out; the engine reads an object of one step, or of constant ones, as OPA does.
    ///
    /// # Errors
    ///
    /// Says why it has to be, and cannot.
    fn is_written_out(&self, path: &Path) -> Result<bool, (Place, String)> {
        if let Some(place) = self.odd {
            let path = path.join(".");
            let message = format!(
                "the engine loses a part of data.{path} where nothing is found, because a step of its name is a \
                 number, true, false or null: write a text there, or the object as a value"
            );
            return Err((place, message));
        }
        if self.is_deep && !self.is_open {
            return Ok(false);
        }
        if self.has_others && self.is_deep {
            let path = path.join(".");
            let message = format!(
                "data.{path} grows by computed steps, and other definitions, or `with`, or one of its own say what \
                 it is: use rules of two names"
            );
            return Err((self.place, message));
        }
        Ok(!self.has_others)
    }
}

/// # Errors
///
/// Names an object that the engine would read otherwise, and that cannot be written out.
pub(super) fn write_out(modules: &mut [Module]) -> Result<(), (Place, String)> {
    let objects = growing(modules);
    let mut open: BTreeSet<Path> = BTreeSet::new();
    for (path, object) in objects {
        if object.is_written_out(&path)? {
            open.insert(path);
        }
    }
    let mut made: BTreeMap<Path, (usize, Rule)> = BTreeMap::new();
    for (home, module) in modules.iter_mut().enumerate() {
        for rule in std::mem::take(&mut module.rules) {
            let path = [
                module.package.clone(),
                known(&rule.name).unwrap_or_default(),
            ]
            .concat();
            if !open.contains(&path) {
                module.rules.push(rule);
                continue;
            }
            let pairs = pairs(&rule);
            match made.get_mut(&path) {
                Some((_, whole)) => join(whole, pairs),
                None => drop(made.insert(path, (home, object(rule, pairs)))),
            }
        }
    }
    for (home, rule) in made.into_values() {
        if let Some(module) = modules.get_mut(home) {
            module.rules.push(rule);
        }
    }
    Ok(())
}

/// The objects that grow, by the path that is not computed.
fn growing(modules: &mut [Module]) -> BTreeMap<Path, Growing> {
    let mut objects: BTreeMap<Path, Growing> = BTreeMap::new();
    let mut others: BTreeSet<Path> = BTreeSet::new();
    for module in modules {
        let package = module.package.clone();
        for rule in &mut module.rules {
            let name = known(&rule.name).unwrap_or_default();
            let path = [package.as_slice(), &name].concat();
            let steps = steps(rule);
            others.extend(around(&path));
            if steps.is_empty() || asks_for(rule, &package, &path) {
                others.insert(path.clone());
            }
            if !steps.is_empty() {
                let place = rule.place;
                let new = || Growing {
                    place,
                    ..Growing::default()
                };
                objects.entry(path).or_insert_with(new).see(rule, &steps);
            }
            rule.queries_mut(&mut |query| {
                let targets = query.statements.iter().flat_map(|one| &one.with);
                for path in targets.filter_map(|(target, _)| known(target)) {
                    // What replaces a member of it replaces a rule.
                    if let Some([data, path @ ..]) = Some(path.as_slice())
                        && data == "data"
                    {
                        others.extend(around(path));
                    }
                }
            });
        }
    }
    for (path, object) in &mut objects {
        object.has_others |= others.contains(path);
    }
    objects
}

/// The paths that a path begins with.
fn around(path: &[String]) -> impl Iterator<Item = Path> {
    (1..path.len()).filter_map(|length| path.get(..length).map(<[_]>::to_vec))
}

/// The steps of the name of a rule from the first on that is no name.
fn steps(rule: &Rule) -> Vec<Term> {
    let length = known(&rule.name).map_or(0, |name| name.len());
    match &rule.name.form {
        Form::Reference(_, steps) => steps
            .iter()
            .skip(length.saturating_sub(1))
            .cloned()
            .collect(),
        _ => Vec::new(),
    }
}

/// Whether a rule asks for what it is a part of.
fn asks_for(rule: &mut Rule, package: &[String], path: &[String]) -> bool {
    let mut asks = false;
    rule.terms_mut(&mut |term| {
        let first = match &term.form {
            Form::Reference(base, _) => &base.form,
            form => form,
        };
        if let Form::Root(root) = first
            && let Some(mut asked) = known(term)
        {
            if root == "data" {
                asked.remove(0);
            } else {
                asked.splice(0..0, package.iter().cloned());
            }
            asks |= asked.starts_with(path) || path.starts_with(&asked);
        }
    });
    asks
}

/// What a definition finds, as a list of paths, each with its value, or with an element of a set that grows.
fn pairs(rule: &Rule) -> Term {
    let place = rule.place;
    let yes = || Term::new(place, Form::Constant("true".to_owned()));
    let path = Term::new(place, Form::Array(steps(rule)));
    let grows = Term::new(place, Form::Constant(rule.element.is_some().to_string()));
    let value = rule.element.clone().or_else(|| rule.value.clone());
    let found = vec![path, value.unwrap_or_else(yes), grows];
    let found = Term::new(place, Form::Array(found));
    let query = rule
        .bodies
        .first()
        .map_or_else(Query::default, |body| body.query.clone());
    let statements = if query.statements.is_empty() {
        vec![Statement::holds(yes())]
    } else {
        query.statements
    };
    let query = Query {
        statements,
        ..query
    };
    Term::new(
        place,
        Form::Comprehension(Bracket::Square, vec![found], query),
    )
}

fn object(rule: Rule, pairs: Term) -> Rule {
    let length = known(&rule.name).map_or(0, |name| name.len());
    let Rule {
        place, mut name, ..
    } = rule;
    if let Form::Reference(base, steps) = &mut name.form {
        steps.truncate(length.saturating_sub(1));
        if steps.is_empty() {
            name = (**base).clone();
        }
    }
    let builtin = DOCUMENT.split('.').map(str::to_owned).collect();
    Rule {
        place,
        is_default: false,
        name,
        arguments: None,
        element: None,
        value: Some(Term::new(place, Form::Call(builtin, vec![pairs]))),
        bodies: Vec::new(),
    }
}

fn join(whole: &mut Rule, pairs: Term) {
    if let Some(Term {
        form: Form::Call(_, arguments),
        ..
    }) = &mut whole.value
        && let Some(all) = arguments.first_mut()
    {
        let place = all.place;
        let before = std::mem::replace(all, Term::name(place, "_"));
        let name = vec!["array".to_owned(), "concat".to_owned()];
        *all = Term::new(place, Form::Call(name, vec![before, pairs]));
    }
}

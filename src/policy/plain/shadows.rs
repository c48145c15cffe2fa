//! Rules and builtins of one name, and builtins in place of functions.
//!
//! In OPA a rule hides the builtin of its name. The engine takes the one in one place and the other in another, so that
//! such a rule gets a name of its own. And it knows builtins as functions to call, and not as what `with` puts in place of
//! one: there it gets a function that calls it.

use std::collections::BTreeSet;

use regorus::unstable::BUILTINS;

use super::tree::{Form, Module, Rule, Term, known, path};
use crate::policy::builtins;

const HIDING: &str = "dtgate_rule_";

/// The name of a rule as it is written.
pub(super) fn written(name: &str) -> &str {
    name.strip_prefix(HIDING).unwrap_or(name)
}

pub(super) fn write_out(modules: &mut [Module]) {
    let families: BTreeSet<&str> = BUILTINS
        .keys()
        .copied()
        .chain(builtins::allowed())
        .map(|name| name.split_once('.').map_or(name, |(family, _)| family))
        .collect();
    let mut hiding: BTreeSet<Vec<String>> = BTreeSet::new();
    for module in &*modules {
        let names = module.rules.iter().filter_map(|rule| known(&rule.name));
        for name in names.filter_map(|name| name.into_iter().next()) {
            if families.contains(name.as_str()) {
                hiding.insert([module.package.as_slice(), &[name]].concat());
            }
        }
    }
    for module in modules {
        if !hiding.is_empty() {
            let own = Hiding {
                package: module.package.clone(),
                rules: &hiding,
            };
            module.rules.iter_mut().for_each(|rule| own.rule(rule));
        }
        replacing(module);
    }
}

/// The rules that have the name of a builtin, with their packages, for one of the packages.
struct Hiding<'a> {
    package: Vec<String>,
    rules: &'a BTreeSet<Vec<String>>,
}

impl Hiding<'_> {
    fn rule(&self, rule: &mut Rule) {
        self.first(&mut rule.name);
        rule.terms_mut(&mut |term| self.term(term));
        rule.queries_mut(&mut |query| {
            for (target, _) in query.statements.iter_mut().flat_map(|one| &mut one.with) {
                self.term(target);
            }
        });
    }

    fn term(&self, term: &mut Term) {
        self.first(term);
        match &mut term.form {
            Form::Reference(base, steps) if matches!(&base.form, Form::Root(root) if root == "data") =>
            {
                let path: Vec<String> = steps
                    .iter()
                    .map_while(|step| match &step.form {
                        Form::Text(step) => Some(step.clone()),
                        _ => None,
                    })
                    .collect();
                if let Some(length) = self.hidden(&path)
                    && let Some(Term {
                        form: Form::Text(step),
                        ..
                    }) = steps.get_mut(length - 1)
                {
                    step.insert_str(0, HIDING);
                }
            }
            Form::Call(name, _) => {
                if let Some([data, path @ ..]) = Some(name.as_slice())
                    && data == "data"
                    && let Some(length) = self.hidden(path)
                    && let Some(step) = name.get_mut(length)
                {
                    step.insert_str(0, HIDING);
                }
            }
            _ => {}
        }
    }

    /// How many steps of a path name one of the rules.
    fn hidden(&self, path: &[String]) -> Option<usize> {
        (1..=path.len()).find(|length| {
            path.get(..*length)
                .is_some_and(|it| self.rules.contains(it))
        })
    }

    /// A rule of the package, which a term begins with.
    fn first(&self, term: &mut Term) {
        let first = match &mut term.form {
            Form::Reference(base, _) => &mut base.form,
            form => form,
        };
        if let Form::Root(name) = first
            && self
                .rules
                .contains(&[self.package.as_slice(), std::slice::from_ref(name)].concat())
        {
            name.insert_str(0, HIDING);
        }
    }
}

/// Puts functions in place of the builtins that `with` puts somewhere.
fn replacing(module: &mut Module) {
    let mut made: BTreeSet<String> = BTreeSet::new();
    let package = ["data".to_owned()]
        .into_iter()
        .chain(module.package.iter().cloned());
    let package: Vec<String> = package.collect();
    let mut functions = Vec::new();
    for rule in &mut module.rules {
        rule.queries_mut(&mut |query| {
            for (_, value) in query.statements.iter_mut().flat_map(|one| &mut one.with) {
                let place = value.place;
                let Some(name) = builtin(value) else { continue };
                let own = format!("dtgate_calls_{}", name.replace('.', "_"));
                *value = path(
                    place,
                    &[package.as_slice(), std::slice::from_ref(&own)].concat(),
                );
                if made.insert(own.clone()) {
                    let arity = builtins::arity(&name).unwrap_or_default();
                    let arguments =
                        (0..arity).map(|number| Term::name(place, &format!("dtgate_a{number}")));
                    let arguments: Vec<Term> = arguments.collect();
                    let call = name.split('.').map(str::to_owned).collect();
                    functions.push(Rule {
                        place,
                        is_default: false,
                        name: Term::new(place, Form::Root(own)),
                        arguments: Some(arguments.clone()),
                        element: None,
                        value: Some(Term::new(place, Form::Call(call, arguments))),
                        bodies: Vec::new(),
                    });
                }
            }
        });
    }
    module.rules.append(&mut functions);
}

/// The builtin that a term names and does not call.
fn builtin(term: &Term) -> Option<String> {
    let first = match &term.form {
        Form::Reference(base, _) => &base.form,
        form => form,
    };
    let name = known(term)?.join(".");
    (matches!(first, Form::Root(_)) && builtins::arity(&name).is_some_and(|arity| arity > 0))
        .then_some(name)
}

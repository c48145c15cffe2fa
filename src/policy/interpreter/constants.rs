//! Rules that are the same for every request are evaluated once, when the policies are loaded, and are data from then on.
//!
//! The interpreter begins anew with every request. Most of what it would do then is the same each time: the tables that
//! policies make of their settings and of the catalogue of scopes.

use std::collections::BTreeMap;
use std::time::Duration;

use regorus::Value;
use regorus::unstable::{Expr, Module, Ref, Rule, RuleHead};

use crate::policy::complaint::engine_problem;
use crate::policy::problem::Problem;
use crate::policy::question::KNOWN;
use crate::policy::rego::edit::{Change, Changes, applied, lines};
use crate::policy::rego::program::{self, Names, Path};
use crate::policy::rego::rests::Rules;
use crate::policy::rego::walk::{self, Site};
use crate::policy::rego::word::is_word;

/// Time for one such rule. No request waits for it, and the machine may be busy.
pub(in crate::policy) const LIMIT: Duration = Duration::from_secs(5);

/// The texts of the modules with the values of such rules in place of their definitions, by file, and these values, which
/// are data. No line moves. `rego` evaluates the modules as they are.
///
/// Nothing is evaluated beforehand where a policy replaces something by `with`: the rule may rest on that.
///
/// # Errors
///
/// A rule that cannot be evaluated: each request that asks for it would be denied.
pub(in crate::policy) fn evaluated(
    rego: &mut regorus::Engine,
) -> Result<(Vec<(String, String)>, Value), Problem> {
    let modules = rego.get_modules().clone();
    let mut texts = Vec::new();
    let (mut values, mut changes) = (BTreeMap::new(), BTreeMap::new());
    if !modules.iter().any(|module| replaces(module)) {
        let rules = Rules::of(&modules);
        let all = definitions(&modules);
        for (number, path) in rules.constant().enumerate() {
            let Some(places) = all.get(path).and_then(|rules| places(rules)) else {
                continue;
            };
            let rule = path.join(".");
            let value = rego
                .eval_rule(rule.clone())
                .map_err(|error| engine_problem(&error.to_string(), &rule))?;
            if value != Value::Undefined {
                let member = format!("r{number}");
                replace(path, &member, places, &mut changes);
                values.insert(Value::from(member), value);
            }
        }
    }
    let none = Changes::new();
    for module in &modules {
        let (path, source) = (file(module), module.package.span.source.get_contents());
        let changes = changes.get(path).unwrap_or(&none);
        texts.push((path.clone(), applied(source, 0, source.len(), changes)));
    }
    let values = BTreeMap::from([(Value::from(KNOWN), Value::from(values))]);
    Ok((texts, Value::from(values)))
}

fn file(module: &Module) -> &String {
    module.package.span.source.get_path()
}

fn replaces(module: &Module) -> bool {
    let mut replaces = false;
    for rule in &module.policy {
        walk::rule(rule, &mut |site| replaces |= matches!(site, Site::With(_)));
    }
    replaces
}

/// The definitions of each rule, with the modules that they are in.
fn definitions(modules: &[Ref<Module>]) -> BTreeMap<Path, Vec<(&Module, &Rule)>> {
    let mut all: BTreeMap<Path, Vec<(&Module, &Rule)>> = BTreeMap::new();
    for module in modules {
        let names = Names::of(module);
        for rule in &module.policy {
            if let Some(path) = program::path_of(&names, rule) {
                all.entry(path).or_default().push((module, rule));
            }
        }
    }
    all
}

/// Where a definition stands, in which file.
type Place<'a> = (&'a Module, usize, usize);

/// Where the definitions stand, if all of them are of a plain name and have their lines for themselves.
fn places<'a>(rules: &[(&'a Module, &Rule)]) -> Option<Vec<Place<'a>>> {
    let place = |(module, rule): &(&'a Module, &Rule)| {
        if !is_plain(rule) {
            return None;
        }
        let (start, end) = lines(rule.span())?;
        Some((*module, start, end))
    };
    rules.iter().map(place).collect()
}

fn is_plain(rule: &Rule) -> bool {
    let name = match rule {
        Rule::Default { refr, .. }
        | Rule::Spec {
            head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. },
            ..
        } => refr,
        Rule::Spec { .. } => return false,
    };
    matches!(name.as_ref(), Expr::Var { span, .. } if is_word(span.text()))
}

/// Puts a value in place of the first definition, and nothing in place of the others.
fn replace<'a>(
    path: &Path,
    member: &str,
    places: Vec<Place<'a>>,
    changes: &mut BTreeMap<&'a String, Changes>,
) {
    let name = path.last().map(String::as_str).unwrap_or_default();
    let mut text = format!("{name} := data.{KNOWN}.{member}");
    for (module, start, end) in places {
        let source = module.package.span.source.get_contents();
        let rows = source.get(start..end).unwrap_or_default().matches('\n');
        text.extend(rows);
        let text = std::mem::take(&mut text);
        let change = Change { end, text };
        changes
            .entry(file(module))
            .or_default()
            .insert(start, change);
    }
}

#[cfg(test)]
mod tests;

//! Rules that are the same for every request are evaluated once, when the policies are loaded, and are data from then on.
//!
//! The interpreter begins anew with every request. Most of what it would do then is the same each time: the tables that
//! policies make of their settings and of the catalogue of scopes.

use std::collections::BTreeMap;
use std::time::Duration;

use regorus::Value;
use regorus::unstable::Span;

use crate::policy::complaint::answer;
use crate::policy::problem::Problem;
use crate::policy::question::KNOWN;
use crate::policy::rego::edit::{Change, Changes, applied, lines};
use crate::policy::rego::program::{self, Definition, Path, Program};
use crate::policy::rego::rests::Rules;
use crate::policy::rego::syntax;
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
    let program = Program::new(&modules);
    if !program.definitions.iter().any(replaces) {
        let rules = Rules::of(&program);
        for (number, path) in rules.constant().enumerate() {
            let Some(places) = places(&program.root(path)) else {
                continue;
            };
            let rule = path.join(".");
            let value = answer(&rule, || rego.eval_rule(rule.clone()))?;
            if value != Value::Undefined {
                let member = format!("r{number}");
                replace(path, &member, places, &mut changes);
                values.insert(Value::from(member), value);
            }
        }
    }
    let none = Changes::new();
    for module in &modules {
        let source = &module.package.span.source;
        let (path, source) = (source.get_path(), source.get_contents());
        let changes = changes.get(path.as_str()).unwrap_or(&none);
        texts.push((path.clone(), applied(source, 0, source.len(), changes)));
    }
    let values = BTreeMap::from([(Value::from(KNOWN), Value::from(values))]);
    Ok((texts, Value::from(values)))
}

fn replaces(definition: &Definition<'_>) -> bool {
    let mut replaces = false;
    walk::rule(definition.rule, &mut |site| {
        replaces |= matches!(site, Site::With(_));
    });
    replaces
}

/// Where a definition stands: its text, from where to where.
type Place<'a> = (&'a Span, usize, usize);

/// Where the definitions stand, if all of them are of a plain name and have their lines for themselves.
fn places<'a>(rules: &[&Definition<'a>]) -> Option<Vec<Place<'a>>> {
    let place = |definition: &&Definition<'a>| {
        let span = definition.rule.span();
        let (start, end) = lines(span)?;
        is_plain(definition).then_some((span, start, end))
    };
    rules.iter().map(place).collect()
}

fn is_plain(definition: &Definition<'_>) -> bool {
    let name = syntax::variable(program::head(definition.rule));
    definition.arity.is_none() && name.is_some_and(|name| is_word(name.text()))
}

/// Puts a value in place of the first definition, and nothing in place of the others.
fn replace<'a>(
    path: &Path,
    member: &str,
    places: Vec<Place<'a>>,
    changes: &mut BTreeMap<&'a str, Changes>,
) {
    let name = path.last().map(String::as_str).unwrap_or_default();
    let mut text = format!("{name} := data.{KNOWN}.{member}");
    for (span, start, end) in places {
        let source = span.source.get_contents();
        let rows = source.get(start..end).unwrap_or_default().matches('\n');
        text.extend(rows);
        let text = std::mem::take(&mut text);
        let change = Change { end, text };
        changes
            .entry(span.source.get_path().as_str())
            .or_default()
            .insert(start, change);
    }
}

#[cfg(test)]
mod tests;

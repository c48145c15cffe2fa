//! Writes policies anew for the bytecode engine: the same rules, with everything done beforehand that does not
//! depend on the input.
//!
//! A rule that neither reads the input nor rests on one that does is evaluated once, by the interpreter, and
//! references to it become references to its value. A definition that needs something which the settings rule out
//! is left away, and an objection that another policy has to the letter. Nothing here is trusted: what comes out
//! answers requests only after it was compared with the interpreter on the policies as they are.

mod kinds;
mod left;
mod order;
mod refuse;
mod rewrite;

use std::collections::BTreeMap;

use regorus::Value;

use crate::policy::complaint::answer;
use crate::policy::question::{KNOWN, QUESTION};
use crate::policy::read;
use crate::policy::rego::program::{Path, Program};
use crate::policy::rego::rests::Rules;
use kinds::Kinds;
pub(in crate::policy) use left::Left;
use rewrite::Rewriter;

/// Policies as the bytecode engine gets them.
pub(in crate::policy) struct Specialised {
    pub(in crate::policy) modules: Vec<Rewritten>,
    /// Whether each policy uses rules of its own and of the library only.
    pub(in crate::policy) separable: bool,
    /// Rules that object whenever another does, behind that one: what both say stands in it alone.
    pub(in crate::policy) shared: Vec<(String, String)>,
    /// The data, with the values of rules that do not depend on the input below [`KNOWN`].
    pub(in crate::policy) data: Value,
}

/// A module, written anew.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Rewritten {
    pub(in crate::policy) path: String,
    pub(in crate::policy) package: Path,
    pub(in crate::policy) text: String,
}

/// How far kinds are followed, from rule to rule.
const DEPTH: usize = 16;

/// Writes the modules anew, for these rules to be asked.
///
/// # Errors
///
/// Says what in the policies the bytecode engine cannot be trusted with ([`refuse`]). Its rules take an error for
/// undefined, where the interpreter denies.
pub(in crate::policy) fn specialise(
    interpreter: &mut regorus::Engine,
    asked: &[String],
) -> Result<Specialised, Left> {
    let modules = interpreter.get_modules().clone();
    let program = Program::new(&modules);
    let rules = Rules::of(&program);
    let mut known = BTreeMap::new();
    for path in rules.constant() {
        let rule = path.join(".");
        if let Ok(value) = answer(&rule, || interpreter.eval_rule(rule.clone())) {
            known.insert(path.clone(), value);
        }
    }
    let data = interpreter.get_data();
    let has = |name: &&str| {
        data.as_object()
            .is_ok_and(|data| data.get(&(*name).into()).is_some())
    };
    if let Some(name) = [KNOWN, QUESTION].iter().find(|name| has(name)) {
        return Err(Left::All(format!("the data has a member {name}")));
    }
    let kinds = Kinds::new(&program, &known, &data);
    let left = left::left(&rules, &refuse::what_can_fail(&rules, &kinds), asked);
    if !left.is_empty() {
        return Err(Left::Policies(left));
    }
    // By number: paths may hold anything.
    let members = known
        .keys()
        .cloned()
        .zip((0..).map(|number| format!("r{number}")));
    let members: BTreeMap<Path, String> = members.collect();
    let values = known.values().zip(members.values());
    let values = values.filter(|(value, _)| **value != Value::Undefined);
    let values: BTreeMap<Value, Value> = values
        .map(|(value, member)| (member.as_str().into(), value.clone()))
        .collect();
    let values = Value::from(BTreeMap::from([(Value::from(KNOWN), Value::from(values))]));
    let mut settings = read::engine();
    for data in [data.clone(), values] {
        settings
            .add_data(data)
            .map_err(|error| Left::All(error.to_string()))?;
    }
    let mut rewriter = Rewriter::new(&rules, &kinds, members, &mut settings);
    let modules = modules
        .iter()
        .map(|module| rewriter.module(module))
        .collect();
    let shared = rewriter.shared;
    Ok(Specialised {
        modules,
        separable: rules.separable,
        shared: shared
            .into_iter()
            .map(|(one, other)| (one.join("."), other.join(".")))
            .collect(),
        data: settings.get_data(),
    })
}

#[cfg(test)]
mod tests;

//! Compares the bytecode engine with the interpreter before it may answer a request.
//!
//! Both are asked about every input that the policies' own tests use, and about made-up ones. One difference,
//! in any rule, and the policies are left to the interpreter. This is evidence, not logic: which is why the
//! bytecode engine may only say that nobody objects, why what could fail unnoticed is kept from it, and why the
//! comparison goes on while it works.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use regorus::Value;
use serde_json::{Map, Value as Json};

use super::sample::Sampler;
use crate::policy::bytecode::{Bounds, Bytecode, COMPARED, Silence};
use crate::policy::complaint::guarded;
use crate::policy::extent;
use crate::policy::interpreter::{Interpreter, prepare};
use crate::policy::question::{array, says_nothing};
use crate::policy::rego::program::{Program, Read};
use crate::policy::source::files::{File, Tree};
use crate::policy::suite;

/// What both engines are asked about, and what they say.
pub(in crate::policy) struct Comparison<'a> {
    pub(in crate::policy) bytecode: &'a Bytecode,
    pub(in crate::policy) prepared: &'a regorus::Engine,
    /// The rules that the bytecode answers for.
    pub(in crate::policy) rules: &'a [String],
}

impl Comparison<'_> {
    /// Both answers, or how they differ.
    ///
    /// Where the interpreter has no answer the request is denied, and the other may say anything but that nobody
    /// objects. Both get more time than a request has: a busy machine must not look like a difference.
    pub(in crate::policy) fn of(
        &self,
        interpreter: &mut Interpreter,
        input: &Value,
    ) -> Result<(), String> {
        let rules = array(self.rules);
        interpreter.begin(input, 0);
        let began = Instant::now();
        let Some(expected) = interpreter.ask_together(&rules) else {
            *interpreter = Interpreter::with_time(self.prepared, COMPARED);
            if began.elapsed() >= COMPARED.limit {
                let limit = COMPARED.limit;
                return Err(format!(
                    "the interpreter takes more than {limit:?} about {input}"
                ));
            }
            return match self.bytecode.objecting(input, Bounds::COMPARED) {
                Ok(objecting) if objecting.is_empty() => Err(difference(
                    "that it cannot be evaluated",
                    "that nobody objects",
                    input,
                )),
                Ok(_) | Err(_) => Ok(()),
            };
        };
        let differs = |found: &dyn fmt::Display| {
            let expected = extent::shown(&Value::from(expected.clone()));
            Err(difference(&expected, &found.to_string(), input))
        };
        match self.bytecode.ask(input, Bounds::COMPARED) {
            Ok(found) if objections(flat(&found)) != objections(expected.iter()) => {
                differs(&extent::shown(&found))
            }
            Ok(_) => self
                .silent(&expected, input)
                .or_else(|rule| differs(&format!("that {rule} is silent"))),
            Err(Silence::BuiltinFailed) => Ok(()),
            Err(silence) => differs(&silence),
        }
    }

    /// A rule that the bytecode takes for silent, and that objects.
    fn silent(&self, expected: &[Value], input: &Value) -> Result<(), &str> {
        let Ok(objecting) = self.bytecode.objecting(input, Bounds::COMPARED) else {
            // Then it lets nothing pass either.
            return Ok(());
        };
        let mut both = self.rules.iter().zip(expected);
        let missed =
            both.find(|(rule, said)| !says_nothing(said) && !objecting.contains(&rule.as_str()));
        missed.map_or(Ok(()), |(rule, _)| Err(rule))
    }
}

fn flat(chunks: &Value) -> impl Iterator<Item = &Value> {
    let chunks = chunks
        .as_array()
        .into_iter()
        .flat_map(|chunks| chunks.iter());
    chunks.flat_map(|chunk| {
        chunk
            .as_array()
            .into_iter()
            .flat_map(|answers| answers.iter())
    })
}

/// What all rules say together: an objection that several policies share stands in one of them only.
fn objections<'a>(answers: impl Iterator<Item = &'a Value>) -> Option<BTreeSet<&'a Value>> {
    let mut all = BTreeSet::new();
    for answer in answers {
        all.extend(answer.as_set().ok()?.iter());
    }
    Some(all)
}

fn difference(expected: &str, found: &str, input: &Value) -> String {
    format!("the interpreter says {expected}, the bytecode {found}, of {input}")
}

/// The inputs that policy tests set, found by running the tests with rules that print them.
///
/// What a test replaces in the data is not looked at. Nothing comes from tests that do not compile.
pub(in crate::policy) fn inputs_of_tests(tree: &Tree, policies: &[&str]) -> Vec<Value> {
    // An entrypoint has no `deny` that could be watched; its tests are found by the policies that they ask, too.
    let policies = policies.iter().filter(|policy| !policy.contains('/'));
    let watchers: Vec<File> = policies.map(|policy| watcher(policy)).collect();
    let files: Vec<&File> = tree
        .policies
        .iter()
        .chain(&tree.masks)
        .chain(&tree.tests)
        .chain(&watchers)
        .collect();
    let Ok((mut rego, _)) = prepare::ready(&files, &tree.data) else {
        return Vec::new();
    };
    let modules = rego.get_modules().clone();
    rego.set_execution_timer_config(suite::LIMIT);
    let mut found = BTreeMap::new();
    for test in suite::tests(&Program::new(&modules)) {
        let mut rego = rego.clone();
        // A test that fails, panics or takes too long has used inputs all the same.
        drop(guarded(|| rego.eval_rule(test.path())));
        for print in rego.take_prints().unwrap_or_default() {
            let printed = print.split_once(": ").map_or("", |(_, text)| text);
            if print.starts_with(WATCHER)
                && !found.contains_key(printed)
                && let Ok(input) = serde_json::from_str::<Json>(printed)
            {
                found.insert(printed.to_owned(), crate::policy::input::to_rego(&input));
            }
        }
    }
    found.into_values().collect()
}

/// One more part of `deny` that adds nothing and prints the input whenever somebody asks for it.
fn watcher(policy: &str) -> File {
    let path = format!("{WATCHER}{policy}");
    let text = format!(
        "package dtgate.{policy}\n\ndeny contains \"\" if {{\n\tprint(input)\n\tfalse\n}}\n"
    );
    File {
        name: path.clone(),
        path,
        text,
    }
}

const WATCHER: &str = "inputs of ";

/// Every word of the policies and their data, for made-up requests.
pub(in crate::policy) fn words(tree: &Tree) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for file in &tree.policies {
        // What stands between quotation marks; that some of it does not is no harm.
        let quoted = file
            .text
            .lines()
            .flat_map(|line| line.split('"').skip(1).step_by(2));
        words.extend(quoted.map(str::to_owned));
        // And names behind a dot, which may be those of members.
        let names = file.text.split('.').skip(1);
        let names = names.filter_map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
        });
        words.extend(names.map(str::to_owned));
    }
    collect(&tree.data, &mut words);
    words.retain(|word| word.len() <= 80);
    words
}

fn collect(members: &Map<String, Json>, words: &mut BTreeSet<String>) {
    for (name, value) in members {
        words.insert(name.clone());
        collect_value(value, words);
    }
}

fn collect_value(value: &Json, words: &mut BTreeSet<String>) {
    match value {
        Json::String(text) => drop(words.insert(text.clone())),
        Json::Array(items) => items.iter().for_each(|item| collect_value(item, words)),
        Json::Object(members) => collect(members, words),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// Made-up requests in the words of the policies.
pub(in crate::policy) fn made_up<'a>(
    words: &'a BTreeSet<String>,
    reads: &'a BTreeSet<Read>,
    seed: u64,
) -> impl Iterator<Item = Value> {
    let mut sampler = Sampler::new(words, reads, seed);
    std::iter::repeat_with(move || sampler.input().to_rego())
}

#[cfg(test)]
pub(in crate::policy) mod tests;

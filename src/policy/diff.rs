//! How two sets of policies differ: files, settings, modes, and the smallest request that they decide differently.
//!
//! Requests are made up, in the words of both sets, and those of the tests of both are among them; all of them are such as
//! a gate can have read. That none is decided differently is evidence, and no proof.

mod possible;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::Policy;
use crate::policy::decision::{Decision, Verdict};
use crate::policy::input::Input;
use crate::policy::source::files::{File, Tree};
use crate::policy::trust::proof::{inputs_of_tests, words};
use crate::policy::trust::sample::Sampler;
use possible::possible;

/// What is different.
#[derive(Debug)]
#[non_exhaustive]
pub struct Diff {
    /// Files with rules that are only in one, or not the same in both, by name: the old text and the new one.
    pub files: Vec<(String, Option<String>, Option<String>)>,
    /// Members of the data, by path: the old value and the new one.
    pub settings: Vec<(String, Option<Json>, Option<Json>)>,
    /// How policies are applied, by policy, as people read it.
    pub modes: Vec<(String, Option<String>, Option<String>)>,
    pub requests: Requests,
}

/// What both sets say of the same requests.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Requests {
    pub asked: usize,
    /// Denied by the new set only.
    pub denied: usize,
    /// Denied by the old set only.
    pub allowed: usize,
    /// The smallest that was found of each kind.
    pub examples: Vec<Example>,
}

/// A request that is decided differently.
#[derive(Debug)]
#[non_exhaustive]
pub struct Example {
    /// An input document, as `dtgate eval --request` takes it.
    pub input: Json,
    pub old: Decision,
    pub new: Decision,
}

impl Diff {
    /// `made_up`: how many requests are made up, from a seed.
    pub fn of(old: &Policy, new: &Policy, made_up: usize, seed: u64) -> Self {
        let (one, other) = (old.engine.tree(), new.engine.tree());
        let modes = |policy: &Policy| -> BTreeMap<String, String> {
            let modes = policy.engine.modes();
            modes.map(|(name, mode)| (name.to_owned(), mode)).collect()
        };
        let mut settings = Vec::new();
        compare(&one.data, &other.data, &mut Vec::new(), &mut settings);
        settings.retain(|(path, ..)| path != "modes" && !path.starts_with("modes."));
        Self {
            files: different(rules(one), rules(other)),
            settings,
            modes: different(modes(old), modes(new)),
            requests: Requests::of(old, new, made_up, seed),
        }
    }

    /// Whether nothing is.
    pub fn is_none(&self) -> bool {
        self.files.is_empty() && self.settings.is_empty() && self.modes.is_empty()
    }
}

/// By name: the files with rules. A name that several sources have stands for all of them.
fn rules(tree: &Tree) -> BTreeMap<String, String> {
    let mut rules: BTreeMap<String, String> = BTreeMap::new();
    let files: Vec<&File> = tree.policies.iter().chain(&tree.masks).collect();
    for file in files {
        rules
            .entry(file.name.clone())
            .or_default()
            .push_str(&file.text);
    }
    rules
}

/// What is in one map only, or not the same in both.
fn different<T: Clone + PartialEq>(
    old: BTreeMap<String, T>,
    mut new: BTreeMap<String, T>,
) -> Vec<(String, Option<T>, Option<T>)> {
    let mut found = Vec::new();
    for (name, before) in old {
        let after = new.remove(&name);
        if after.as_ref() != Some(&before) {
            found.push((name, Some(before), after));
        }
    }
    found.extend(
        new.into_iter()
            .map(|(name, after)| (name, None, Some(after))),
    );
    found.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    found
}

/// Goes into objects that both have, no deeper: an element of a list is told with its list.
fn compare(
    old: &Map<String, Json>,
    new: &Map<String, Json>,
    way: &mut Vec<String>,
    found: &mut Vec<(String, Option<Json>, Option<Json>)>,
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        way.push(name.clone());
        match (old.get(name), new.get(name)) {
            (Some(Json::Object(one)), Some(Json::Object(other))) => compare(one, other, way, found),
            (one, other) if one != other => {
                found.push((way.join("."), one.cloned(), other.cloned()));
            }
            _ => {}
        }
        way.pop();
    }
}

impl Requests {
    fn of(old: &Policy, new: &Policy, made_up: usize, seed: u64) -> Self {
        let mut all = Self::default();
        let mut smallest: BTreeMap<bool, Input> = BTreeMap::new();
        let of_tests = [old, new].into_iter().flat_map(|policy| {
            let names: Vec<&str> = policy.names().collect();
            inputs_of_tests(policy.engine.tree(), &names)
        });
        let of_tests = of_tests.filter_map(|input| serde_json::to_value(input).ok());
        let mut said = words(old.engine.tree());
        said.extend(words(new.engine.tree()));
        let mut reads = old.engine.all_reads().clone();
        reads.extend(new.engine.all_reads().iter().cloned());
        let mut sampler = Sampler::new(&said, &reads, seed);
        let made_up = (0..made_up).map(|_| sampler.input().to_json());
        let all_of_them = of_tests.chain(made_up);
        for input in all_of_them.filter_map(|document| read(possible(&document))) {
            all.asked += 1;
            let Some(is_denied) = flips(old, new, &input) else {
                continue;
            };
            if is_denied {
                all.denied += 1;
            } else {
                all.allowed += 1;
            }
            let is_smaller = |before: &Input| length(&input) < length(before);
            if smallest.get(&is_denied).is_none_or(is_smaller) {
                smallest.insert(is_denied, input);
            }
        }
        for (is_denied, input) in smallest {
            let input = shrunk(&input.to_json(), |less| {
                let less = possible(less);
                let input = read(less.clone())?;
                (flips(old, new, &input) == Some(is_denied)).then_some(less)
            });
            if let Some(read) = read(input.clone()) {
                all.examples.push(Example {
                    old: old.decide(&read),
                    new: new.decide(&read),
                    input,
                });
            }
        }
        all
    }
}

/// Whether one set denies and the other does not: that the new one does.
fn flips(old: &Policy, new: &Policy, input: &Input) -> Option<bool> {
    let verdict = |policy: &Policy| policy.replay(input).verdict;
    let differ = || verdict(old) != verdict(new);
    // A machine that was busy for a moment makes a policy fail, and nobody take it for a difference.
    (differ() && differ()).then(|| verdict(new) == Verdict::Deny)
}

fn read(document: Json) -> Option<Input> {
    serde_json::from_value(document).ok()
}

fn length(input: &Input) -> usize {
    input.to_json().to_string().len()
}

/// The same document without what can be left out of it, as long as it `holds`: that says what is left.
fn shrunk(document: &Json, holds: impl Fn(&Json) -> Option<Json>) -> Json {
    let mut document = document.clone();
    let mut size = document.to_string().len();
    let mut left = MOST_STEPS;
    loop {
        let mut places = Vec::new();
        collect(&document, &mut Vec::new(), &mut places);
        let before = size;
        for place in places {
            let mut less = document.clone();
            if left == 0 {
                return document;
            }
            if without(&mut less, &place) {
                left -= 1;
                // What has to be there was put back: only less is less.
                let smaller = holds(&less).map(|less| (less.to_string().len(), less));
                if let Some((length, less)) = smaller.filter(|(length, _)| *length < size) {
                    (document, size) = (less, length);
                }
            }
        }
        if size == before {
            return document;
        }
    }
}

/// Of one member or element.
#[derive(Clone, Debug)]
enum Step {
    Member(String),
    Element(usize),
}

/// All places, the outer ones first, and of a list the last ones first: those before them stay where they are.
fn collect(value: &Json, way: &mut Vec<Step>, places: &mut Vec<Vec<Step>>) {
    let steps: Vec<(Step, &Json)> = match value {
        Json::Object(members) => {
            let steps = members.iter();
            steps
                .map(|(name, value)| (Step::Member(name.clone()), value))
                .collect()
        }
        Json::Array(elements) => {
            let steps = elements.iter().enumerate().rev();
            steps
                .map(|(place, value)| (Step::Element(place), value))
                .collect()
        }
        _ => Vec::new(),
    };
    for (step, value) in steps {
        way.push(step);
        places.push(way.clone());
        collect(value, way, places);
        way.pop();
    }
}

/// Takes what is there away. `false`: nothing is there any more.
fn without(value: &mut Json, place: &[Step]) -> bool {
    match (value, place) {
        (Json::Object(members), [Step::Member(name)]) => members.shift_remove(name).is_some(),
        (Json::Array(elements), [Step::Element(place)]) => {
            let is_there = *place < elements.len();
            if is_there {
                elements.remove(*place);
            }
            is_there
        }
        (Json::Object(members), [Step::Member(name), rest @ ..]) => members
            .get_mut(name)
            .is_some_and(|value| without(value, rest)),
        (Json::Array(elements), [Step::Element(place), rest @ ..]) => elements
            .get_mut(*place)
            .is_some_and(|value| without(value, rest)),
        _ => false,
    }
}

/// Requests that are tried to make one smaller.
const MOST_STEPS: usize = 2000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::DEFAULT_LIMIT;
    use crate::policy::bundle::tests::directory;

    fn policy(files: &[(&str, &str)]) -> Policy {
        Policy::load(directory(files).path(), DEFAULT_LIMIT).unwrap()
    }

    const RULE: &str = "package dtgate.scopes\n\ndeny contains \"no\" if {\n\tsome scope in input.change.scopes.requested\n\tscope in data.guardrails.scopes.forbidden\n}\n";

    #[test]
    fn what_differs_is_told_and_the_smallest_request_is_found() {
        let old = policy(&[
            ("scopes.rego", RULE),
            (
                "data.yaml",
                "guardrails: {scopes: {forbidden: [WriteConfig]}}\n",
            ),
        ]);
        let new = policy(&[
            ("scopes.rego", RULE),
            (
                "data.yaml",
                "guardrails: {scopes: {forbidden: [WriteConfig, apiTokens.write]}}\nmodes: {scopes: enforce}\n",
            ),
            (
                "more.rego",
                "package dtgate.more\n\nwarn contains \"w\" if input.operation == \"token.delete\"\n",
            ),
        ]);
        let diff = Diff::of(&old, &new, 2000, 1);
        let files: Vec<&str> = diff.files.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(files, ["more.rego"]);
        let [(path, before, after)] = &diff.settings[..] else {
            panic!("{:?}", diff.settings);
        };
        assert_eq!(path, "guardrails.scopes.forbidden");
        assert_eq!(
            (before, after),
            (
                &Some(json!(["WriteConfig"])),
                &Some(json!(["WriteConfig", "apiTokens.write"]))
            )
        );
        assert_eq!(diff.modes.len(), 1, "{:?}", diff.modes);
        assert!(
            diff.requests.denied > 0 && diff.requests.allowed == 0,
            "{:?}",
            diff.requests
        );
        let [example] = &diff.requests.examples[..] else {
            panic!("{:?}", diff.requests.examples);
        };
        assert_eq!(
            example.input["change"]["scopes"]["requested"],
            json!(["apiTokens.write"])
        );
        assert!(
            example.input["change"]
                .get("name")
                .is_none_or(|it| it == &json!({})),
            "{}",
            example.input
        );
        assert_eq!(
            (example.old.verdict, example.new.verdict),
            (Verdict::Allow, Verdict::Deny)
        );
        // Of the other side, and of one with itself.
        let diff = Diff::of(&new, &old, 2000, 1);
        assert!(diff.requests.denied == 0 && diff.requests.allowed > 0);
        let same = Diff::of(&old, &old, 200, 1);
        assert!(same.is_none() && same.requests.examples.is_empty());
    }

    #[test]
    fn a_document_gets_as_small_as_it_can() {
        let big = json!({"a": [1, 2, {"b": "x", "c": [3, 4]}], "d": {"e": {}}});
        let has = |less: &Json| less.to_string().contains('4').then(|| less.clone());
        let small = shrunk(&big, has);
        assert_eq!(small, json!({"a": [{"c": [4]}]}));
    }
}

//! Paths of a mask: `/input/caller/address`, in an event.
//!
//! A step means every member that it may be meant for: as it is written, with `~1` and `~0` read as JSON pointers have
//! them, with `%20` as URLs have it. What may be a secret goes rather than stays.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value as Json};

/// A path, as it is written and by its steps.
#[derive(Debug)]
pub(super) struct Pointer {
    text: String,
    steps: Vec<String>,
}

/// A step that was found.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

/// A path that no mask may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unusable {
    #[error("data.system.log.mask has a path that does not begin with /")]
    NoSlash,
    #[error(
        "data.system.log.mask has a path that may not be masked: only what is below /input and /result, and /requested_by, \
         /caller, /request/path, /request/client_id and /error; the rest is what the chain and the evidence need"
    )]
    Protected,
    #[error(
        "data.system.log.mask has a path with *: there are no wildcards; write a rule with `some`"
    )]
    Wildcard,
    #[error(
        "data.system.log.mask has an upsert through a value that has no members, or beyond the end of an array"
    )]
    NoWay,
    #[error("data.system.log.mask has an upsert of what is no text, outside of /input and /result")]
    NoText,
    #[error("data.system.log.mask has an upsert of what is no list at /result/violations")]
    NoList,
    #[error("data.system.log.mask has a path of more than {DEEPEST} steps")]
    Deep,
}

impl Pointer {
    pub(super) fn parse(text: &str) -> Result<Self, Unusable> {
        let path = text.strip_prefix('/').ok_or(Unusable::NoSlash)?;
        let steps: Vec<String> = path.split('/').map(str::to_owned).collect();
        if steps.len() > DEEPEST {
            return Err(Unusable::Deep);
        }
        let is_free = matches!(
            steps
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .as_slice(),
            [
                "input" | "result" | "nd_builtin_cache" | "caller" | "requested_by" | "error",
                ..
            ] | ["request", "path" | "client_id"]
        );
        // Who counts what was decided reads it.
        let means = |step: &str, name: &str| meanings(step).iter().any(|it| it == name);
        let counts = match steps.as_slice() {
            [first] => first == "result",
            [first, second, ..] => first == "result" && means(second, "allow"),
            [] => true,
        };
        if !is_free || counts {
            return Err(Unusable::Protected);
        }
        Ok(Self {
            text: text.to_owned(),
            steps,
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Outside of what OPA has, members keep their kind: readers of journals rely on it.
    pub(super) fn may_hold(&self, value: &Json) -> Result<(), Unusable> {
        let is_opas = matches!(
            self.steps.first().map(String::as_str),
            Some("input" | "result")
        );
        if self.steps == ["result", "violations"] && !value.is_array() {
            return Err(Unusable::NoList);
        }
        let is_text = value.is_string() && self.steps != ["caller"];
        (is_opas || is_text).then_some(()).ok_or(Unusable::NoText)
    }

    /// All places that it means; none where there is no such thing.
    pub(super) fn places(&self, event: &Map<String, Json>) -> Result<Vec<Vec<Step>>, Unusable> {
        let mut found: Vec<(Vec<Step>, &Json)> = Vec::new();
        for (depth, step) in self.steps.iter().enumerate() {
            if depth == 0 {
                let first = names(event, step).filter_map(|name| {
                    event
                        .get_key_value(&name)
                        .map(|(name, value)| (vec![Step::Member(name.clone())], value))
                });
                found = first.collect();
                continue;
            }
            let mut next = Vec::new();
            for (place, value) in found {
                let with = |step: Step| {
                    let mut place = place.clone();
                    place.push(step);
                    place
                };
                match value {
                    Json::Object(members) => {
                        if step == "*" && !members.contains_key("*") {
                            return Err(Unusable::Wildcard);
                        }
                        for name in names(members, step) {
                            if let Some(value) = members.get(&name) {
                                next.push((with(Step::Member(name)), value));
                            }
                        }
                    }
                    Json::Array(elements) => {
                        if step == "*" {
                            return Err(Unusable::Wildcard);
                        }
                        if let Some((at, value)) =
                            index(step).and_then(|at| Some((at, elements.get(at)?)))
                        {
                            next.push((with(Step::Element(at)), value));
                        }
                    }
                    _ => {}
                }
            }
            found = next;
        }
        Ok(found.into_iter().map(|(place, _)| place).collect())
    }

    /// Puts the value there, in all places that it means; members that are not there are made.
    pub(super) fn upsert(
        &self,
        event: &mut Map<String, Json>,
        value: &Json,
    ) -> Result<(), Unusable> {
        let places = self.places(event)?;
        for place in &places {
            if let Some(there) = at(event, place) {
                *there = value.clone();
            }
        }
        if !places.is_empty() {
            return Ok(());
        }
        let Some((first, rest)) = self.steps.split_first() else {
            return Err(Unusable::NoSlash);
        };
        let mut here = event
            .entry(first.clone())
            .or_insert_with(|| Json::Object(Map::new()));
        for step in rest {
            here = match here {
                Json::Object(members) => {
                    let known = names(members, step).find(|name| members.contains_key(name));
                    let name = known.unwrap_or_else(|| unescaped(step));
                    members
                        .entry(name)
                        .or_insert_with(|| Json::Object(Map::new()))
                }
                Json::Array(elements) => {
                    let found = index(step).and_then(|at| elements.get_mut(at));
                    found.ok_or(Unusable::NoWay)?
                }
                _ => return Err(Unusable::NoWay),
            };
        }
        *here = value.clone();
        Ok(())
    }
}

/// The names that a step may mean, the written one first, of those that are there.
fn names<'a>(
    members: &'a Map<String, Json>,
    step: &'a str,
) -> impl Iterator<Item = String> + use<'a> {
    let mut all = meanings(step);
    all.retain(|name| members.contains_key(name));
    all.into_iter()
}

/// What a step may mean, the written one first, each once.
fn meanings(step: &str) -> Vec<String> {
    let decoded = percent_decode_str(step).decode_utf8_lossy().into_owned();
    let mut all = vec![step.to_owned()];
    for other in [unescaped(step), decoded] {
        if !all.contains(&other) {
            all.push(other);
        }
    }
    all
}

/// The members that a path may mean, by their steps: for whoever asks what a mask has changed, or where a pseudonym stands.
/// Where a name in it is a pseudonym, it is whatever is beside that: nobody can tell which one it was.
pub fn members(path: &str) -> Vec<Vec<String>> {
    let steps = path.trim_start_matches('/').split('/');
    let steps: Vec<&str> = steps.take_while(|step| !step.contains(PSEUDONYM)).collect();
    let mut all = vec![Vec::new()];
    for step in &steps {
        let meanings = meanings(step);
        let longer = all.iter().flat_map(|begun: &Vec<String>| {
            meanings.iter().map(move |step| {
                let mut longer = begun.clone();
                longer.push(step.clone());
                longer
            })
        });
        // Every step has three meanings at most, and few have more than one.
        all = longer.take(MOST).collect();
    }
    if let Some(below) = steps.strip_prefix(CLAIMS.as_slice()) {
        all.extend(unescaped_names(below));
    }
    all
}

/// Journals of earlier builds have the names of claims as they are, with their slashes: `https://acme.example/person` is
/// one name.
fn unescaped_names(below: &[&str]) -> impl Iterator<Item = Vec<String>> {
    let ends = 2..=below.len().min(MOST);
    ends.filter_map(move |end| {
        let (name, rest) = below.split_at_checked(end)?;
        let name = name.join("/");
        let steps = CLAIMS
            .iter()
            .copied()
            .chain([&*name])
            .chain(rest.iter().copied());
        Some(steps.map(str::to_owned).collect())
    })
}

/// Names of their members are those of whoever issues tokens.
const CLAIMS: [&str; 4] = ["input", "caller", "jwt", "claims"];
/// How pseudonyms begin.
const PSEUDONYM: &str = "hmac-sha256:v";

/// Meanings of a path.
const MOST: usize = 64;

/// As JSON pointers have it (RFC 6901).
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// As OPA reads it: `01` and `+1` are places, too.
fn index(step: &str) -> Option<usize> {
    step.parse().ok()
}

fn at<'a>(event: &'a mut Map<String, Json>, place: &[Step]) -> Option<&'a mut Json> {
    let (first, rest) = place.split_first()?;
    let Step::Member(name) = first else {
        return None;
    };
    let mut here = event.get_mut(name)?;
    for step in rest {
        here = match (here, step) {
            (Json::Object(members), Step::Member(name)) => members.get_mut(name)?,
            (Json::Array(elements), Step::Element(at)) => elements.get_mut(*at)?,
            _ => return None,
        };
    }
    Some(here)
}

/// Takes away what is at a place.
pub(super) fn remove(event: &mut Map<String, Json>, place: &[Step]) {
    let Some((last, around)) = place.split_last() else {
        return;
    };
    match (around.is_empty(), last) {
        (true, Step::Member(name)) => {
            event.shift_remove(name);
        }
        _ => match (at(event, around), last) {
            (Some(Json::Object(members)), Step::Member(name)) => {
                members.shift_remove(name);
            }
            (Some(Json::Array(elements)), Step::Element(at)) if *at < elements.len() => {
                elements.remove(*at);
            }
            _ => {}
        },
    }
}

/// Steps of a path: readers of a record stop at 128 levels.
const DEEPEST: usize = 64;

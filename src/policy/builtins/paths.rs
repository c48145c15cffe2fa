//! Parts of objects by their paths, as OPA 1.22 has them (`topdown/json.go`).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;

use super::arguments::{kind, wrong};
use super::{Answer, Arguments, Own, WALKED};
use crate::policy::extent;

pub(super) const OWN: &[Own] = &[
    Own::new("json.filter", 2, filter),
    Own::new("json.remove", 2, remove),
    Own::new(WALKED, 1, walked),
];

/// Steps of a path. (OPA has no bound.)
pub(super) const MOST_STEPS: usize = 1000;

/// What is meant below here.
#[derive(Default)]
enum Meant {
    /// Nothing yet.
    #[default]
    None,
    All,
    Some(BTreeMap<Value, Self>),
}

impl Meant {
    fn get(&self, name: &Value) -> Option<&Self> {
        match self {
            Self::Some(names) => names.get(name),
            Self::None | Self::All => None,
        }
    }

    fn add(&mut self, path: &[Value]) {
        match (path, &mut *self) {
            (_, Self::All) => {}
            ([], here) => *here = Self::All,
            ([first, rest @ ..], Self::Some(names)) => {
                names.entry(first.clone()).or_default().add(rest);
            }
            ([first, rest @ ..], here) => {
                let mut below = Self::None;
                below.add(rest);
                *here = Self::Some(BTreeMap::from([(first.clone(), below)]));
            }
        }
    }
}

fn meant(arguments: Arguments<'_>) -> Result<Meant, String> {
    let paths: Vec<&Value> = match arguments.any(1)? {
        Value::Array(paths) => paths.iter().collect(),
        Value::Set(paths) => paths.iter_sorted().collect(),
        other => return Err(wrong(1, "one of {set, array}", other)),
    };
    let mut meant = Meant::Some(BTreeMap::new());
    for path in paths {
        let steps = steps(path)?;
        if steps.len() > MOST_STEPS {
            return Err(format!("a path has more than {MOST_STEPS} steps"));
        }
        // The empty path means nothing.
        if !steps.is_empty() {
            meant.add(&steps);
        }
    }
    Ok(meant)
}

pub(super) fn steps(path: &Value) -> Result<Vec<Value>, String> {
    match path {
        Value::String(path) if path.is_empty() => Ok(Vec::new()),
        Value::String(path) => {
            let step = |step: &str| step.replace("~1", "/").replace("~0", "~").into();
            Ok(path.trim_start_matches('/').split('/').map(step).collect())
        }
        Value::Array(steps) => Ok(steps.iter().cloned().collect()),
        other => Err(format!(
            "operand 2 must be one of {{set, array}} containing string paths or array of path segments but got {}",
            kind(other)
        )),
    }
}

fn object(arguments: Arguments<'_>) -> Result<&Value, String> {
    match arguments.any(0)? {
        object @ Value::Object(_) => Ok(object),
        other => Err(wrong(0, "object", other)),
    }
}

fn filter(arguments: Arguments<'_>) -> Answer {
    Ok(kept(object(arguments)?, &meant(arguments)?))
}

fn remove(arguments: Arguments<'_>) -> Answer {
    Ok(left(object(arguments)?, Some(&meant(arguments)?)).unwrap_or(Value::Undefined))
}

/// Each value in a value, itself too, with the path to it; in their order.
fn walked(arguments: Arguments<'_>) -> Answer {
    extent::writable(arguments.any(0)?)?;
    let mut found = Vec::new();
    let mut left = vec![(Vec::new(), arguments.any(0)?)];
    while let Some((path, value)) = left.pop() {
        let below: Vec<(Value, &Value)> = match value {
            Value::Object(members) => {
                let members = members.iter();
                members
                    .map(|(name, member)| (name.clone(), member))
                    .collect()
            }
            Value::Array(members) => {
                let members = members.iter().enumerate();
                members
                    .map(|(place, member)| (Value::from(place), member))
                    .collect()
            }
            Value::Set(elements) => {
                let elements = elements.iter_sorted();
                elements.map(|element| (element.clone(), element)).collect()
            }
            _ => Vec::new(),
        };
        for (step, member) in below.into_iter().rev() {
            left.push(([path.as_slice(), &[step]].concat(), member));
        }
        found.push(Value::from(vec![Value::from(path), value.clone()]));
    }
    Ok(Value::from(found))
}

/// The place of a member of a list, as paths have it.
fn place(place: usize) -> Value {
    Value::from(place.to_string())
}

/// Only what is meant.
fn kept(value: &Value, meant: &Meant) -> Value {
    if matches!(meant, Meant::All) {
        return value.clone();
    }
    let below = |name: &Value, value: &Value| meant.get(name).map(|meant| kept(value, meant));
    match value {
        Value::Array(members) => {
            let members = members.iter().enumerate();
            let members = members.filter_map(|(number, member)| below(&place(number), member));
            Value::from(members.collect::<Vec<_>>())
        }
        Value::Set(members) => {
            let members = members
                .iter_sorted()
                .filter_map(|member| below(member, member));
            Value::from(members.collect::<BTreeSet<_>>())
        }
        Value::Object(members) => {
            let members = members.iter();
            let members =
                members.filter_map(|(name, value)| Some((name.clone(), below(name, value)?)));
            Value::from(members.collect::<BTreeMap<_, _>>())
        }
        other => other.clone(),
    }
}

/// All but what is meant.
fn left(value: &Value, meant: Option<&Meant>) -> Option<Value> {
    let meant = match meant {
        None => return Some(value.clone()),
        Some(Meant::All) => return None,
        Some(meant) => meant,
    };
    Some(match value {
        Value::Array(members) => {
            let members = members.iter().enumerate();
            let members = members.filter_map(|(number, it)| left(it, meant.get(&place(number))));
            Value::from(members.collect::<Vec<_>>())
        }
        Value::Set(members) => {
            let members = members
                .iter_sorted()
                .filter_map(|it| left(it, meant.get(it)));
            Value::from(members.collect::<BTreeSet<_>>())
        }
        Value::Object(members) => {
            let members = members.iter();
            let members =
                members.filter_map(|(name, it)| Some((name.clone(), left(it, meant.get(name))?)));
            Value::from(members.collect::<BTreeMap<_, _>>())
        }
        other => other.clone(),
    })
}

//! The order of all values, as OPA 1.22 has it (`ast/compare.go`, `topdown/comparison.go`): objects are less than sets,
//! where the engine's own order has them the other way round.
//!
//! The operators are here under the names that OPA knows them by. They never fail.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use regorus::Value;

use super::arguments::wrong;
use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[
    Own::new("equal", 2, |given| holds(given, Ordering::is_eq)),
    Own::new("gt", 2, |given| holds(given, Ordering::is_gt)),
    Own::new("gte", 2, |given| holds(given, Ordering::is_ge)),
    Own::new("lt", 2, |given| holds(given, Ordering::is_lt)),
    Own::new("lte", 2, |given| holds(given, Ordering::is_le)),
    Own::new("max", 1, |given| Ok(last(sorted(given)?))),
    Own::new("min", 1, |given| Ok(first(sorted(given)?))),
    Own::new("neq", 2, |given| holds(given, Ordering::is_ne)),
    Own::new("sort", 1, |given| Ok(sorted(given)?.into())),
];

fn holds(arguments: Arguments<'_>, wanted: fn(Ordering) -> bool) -> Answer {
    let order = compared(arguments.any(0)?, arguments.any(1)?);
    Ok(wanted(order).into())
}

/// The members of an array or a set.
fn sorted(arguments: Arguments<'_>) -> Result<Vec<Value>, String> {
    let mut members: Vec<Value> = match arguments.any(0)? {
        Value::Array(members) => members.iter().cloned().collect(),
        Value::Set(members) => members.iter_sorted().cloned().collect(),
        other => return Err(wrong(0, "one of {set, array}", other)),
    };
    members.sort_by(compared);
    Ok(members)
}

fn first(members: Vec<Value>) -> Value {
    members.into_iter().next().unwrap_or(Value::Undefined)
}

fn last(members: Vec<Value>) -> Value {
    members.into_iter().next_back().unwrap_or(Value::Undefined)
}

fn compared(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => pairs(one.iter(), other.iter()),
        (Value::Set(one), Value::Set(other)) => {
            pairs(members(one.iter_sorted()), members(other.iter_sorted()))
        }
        (Value::Object(one), Value::Object(other)) => {
            let [one, other] = [one, other].map(|object| {
                let mut members: Vec<_> = object.iter().collect();
                members.sort_by(|(one, _), (other, _)| compared(one, other));
                members.into_iter().flat_map(|(name, value)| [name, value])
            });
            pairs(one, other)
        }
        _ if place(one) == place(other) => one.cmp(other),
        _ => place(one).cmp(&place(other)),
    }
}

fn members<'v>(members: impl Iterator<Item = &'v Value>) -> impl Iterator<Item = &'v Value> {
    let mut members: Vec<_> = members.collect();
    members.sort_by(|one, other| compared(one, other));
    members.into_iter()
}

fn pairs<'v>(
    mut ones: impl Iterator<Item = &'v Value>,
    mut others: impl Iterator<Item = &'v Value>,
) -> Ordering {
    loop {
        match (ones.next(), others.next()) {
            (Some(one), Some(other)) => match compared(one, other) {
                Ordering::Equal => {}
                order => return order,
            },
            (one, other) => return one.is_some().cmp(&other.is_some()),
        }
    }
}

/// The order of kinds.
fn place(value: &Value) -> u8 {
    match value {
        Value::Undefined => 0,
        Value::Null => 1,
        Value::Bool(_) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
        Value::Set(_) => 7,
    }
}

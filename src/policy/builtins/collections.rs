//! Lists, sets and objects, as OPA 1.22 has them (`topdown/aggregates.go`, `array.go`, `subset.go`).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigInt;
use regorus::Value;

use super::arguments::{from_whole, kind, whole, wrong};
use super::numbers::extended::Extended;
use super::numbers::{reckoned, short};
use super::{Answer, Arguments, DATUM, DOCUMENT, MEMBERS, OBJECT, Own, REPLACED};

pub(super) const OWN: &[Own] = &[
    Own::new("array.concat", 2, concat),
    Own::new("array.flatten", 1, flatten),
    Own::new("array.slice", 3, slice),
    Own::new("count", 1, count),
    Own::new(DATUM, 2, datum),
    Own::new(DOCUMENT, 1, document),
    Own::new(MEMBERS, 1, members),
    Own::new(OBJECT, 1, object),
    Own::new(REPLACED, 3, replaced),
    Own::new("object.subset", 2, subset),
    Own::new("object.union_n", 1, union_all),
    Own::new("product", 1, product),
    Own::new("sum", 1, sum),
];

/// Characters of a text, and not what a machine makes of them.
fn count(arguments: Arguments<'_>) -> Answer {
    let count = match arguments.any(0)? {
        Value::Array(members) => members.len(),
        Value::Set(members) => members.len(),
        Value::Object(members) => members.len(),
        Value::String(text) => text.chars().count(),
        other => return Err(wrong(0, "one of {array, object, set, string}", other)),
    };
    Ok(Value::from(u64::try_from(count).unwrap_or(u64::MAX)))
}

/// OPA has no bound: doubled a few times, a list would fill all memory.
fn concat(arguments: Arguments<'_>) -> Answer {
    let (mut both, more) = (arguments.array(0)?, arguments.array(1)?);
    if both.len() + more.len() > MOST_MEMBERS {
        return Err(format!(
            "the list would have more than {MOST_MEMBERS} members"
        ));
    }
    both.extend(more);
    Ok(Value::from(both.into_iter().cloned().collect::<Vec<_>>()))
}

/// The members of the lists that are members, one level deep.
fn flatten(arguments: Arguments<'_>) -> Answer {
    let mut flat = Vec::new();
    for member in arguments.array(0)? {
        match member {
            Value::Array(nested) => flat.extend(nested.iter().cloned()),
            other => flat.push(other.clone()),
        }
    }
    Ok(Value::from(flat))
}

/// What the steps lead to, as in OPA's store: each is a name, and a name in a list may be a place.
fn datum(arguments: Arguments<'_>) -> Answer {
    let mut value = arguments.any(0)?;
    for step in arguments.array(1)? {
        let name = match step {
            Value::String(name) => name.to_string(),
            Value::Number(_) => match whole(step) {
                Some(whole) => whole.to_string(),
                None => step.to_string(),
            },
            _ => return Ok(Value::Undefined),
        };
        value = match value {
            Value::Object(_) => &value[name.as_str()],
            Value::Array(members) => place(&name)
                .and_then(|place| members.get(place))
                .unwrap_or(&Value::Undefined),
            _ => return Ok(Value::Undefined),
        };
    }
    Ok(value.clone())
}

/// An element of a set is its own key, and in what is no collection there is nothing.
fn members(arguments: Arguments<'_>) -> Answer {
    Ok(match arguments.any(0)? {
        value @ (Value::Array(_) | Value::Object(_)) => value.clone(),
        Value::Set(elements) => {
            let elements = elements.iter_sorted();
            let members = elements.map(|element| (element.clone(), element.clone()));
            Value::from(members.collect::<BTreeMap<_, _>>())
        }
        _ => Value::new_array(),
    })
}

/// What the steps lead to literally. Where that is not what data has by them, nobody knows here which of both is looked
/// into.
fn replaced(arguments: Arguments<'_>) -> Answer {
    let mut value = arguments.any(0)?;
    for step in arguments.array(1)? {
        value = &value[step];
    }
    if *arguments.any(2)? == Value::from(true) && datum(arguments)? != *value {
        let said = "OPA looks into data by a number as by a text, and into what `with` puts in its place it does not: \
                    convert the step before, by to_number or format_int";
        return Err(said.to_owned());
    }
    Ok(value.clone())
}

/// The place in a list that a name says, as Go has it: `+1` and `1.0` do.
fn place(name: &str) -> Option<usize> {
    let (digits, zeros) = name.split_once('.').unwrap_or((name, ""));
    let is_whole = digits.len() < 20 && zeros.bytes().all(|byte| byte == b'0');
    is_whole.then(|| digits.parse().ok())?
}

/// The object of these pairs. Of two with one name OPA keeps one, and which is not said anywhere.
fn object(arguments: Arguments<'_>) -> Answer {
    let mut members: BTreeMap<Value, Value> = BTreeMap::new();
    for pair in arguments.array(0)? {
        let Value::Array(pair) = pair else {
            return Err(wrong(0, "array of pairs", pair));
        };
        let [key, value] = pair.as_ref().as_slice() else {
            return Err("a pair has two members".to_owned());
        };
        if let Some(other) = members.insert(key.clone(), value.clone())
            && other != *value
        {
            return Err(format!("two members of an object have the name {key}"));
        }
    }
    Ok(Value::from(members))
}

/// What grows at the end of a path, or what is below it.
enum Grown {
    Value(Value),
    Set(BTreeSet<Value>),
    Below(BTreeMap<Value, Self>),
}

impl Grown {
    fn into_value(self) -> Value {
        match self {
            Self::Value(value) => value,
            Self::Set(elements) => Value::from(elements),
            Self::Below(members) => {
                let members = members.into_iter();
                let members = members.map(|(key, below)| (key, below.into_value()));
                Value::from(members.collect::<BTreeMap<_, _>>())
            }
        }
    }
}

/// The object of these paths and values; of each it is said whether it is an element of a set.
fn document(arguments: Arguments<'_>) -> Answer {
    let mut all = Grown::Below(BTreeMap::new());
    for found in arguments.array(0)? {
        let Value::Array(found) = found else {
            return Err(wrong(0, "array of arrays", found));
        };
        let [Value::Array(path), value, Value::Bool(grows)] = found.as_ref().as_slice() else {
            return Err("a path, a value and a boolean are wanted".to_owned());
        };
        put(&mut all, path.as_ref().as_slice(), value, *grows)?;
    }
    Ok(all.into_value())
}

/// The steps of a path are those that a policy writes: it is not deep.
fn put(all: &mut Grown, path: &[Value], value: &Value, grows: bool) -> Result<(), String> {
    match (all, path.split_first()) {
        (Grown::Below(members), Some((step, rest))) => {
            let new = || match (rest, grows) {
                ([], true) => Grown::Set(BTreeSet::new()),
                ([], false) => Grown::Value(value.clone()),
                _ => Grown::Below(BTreeMap::new()),
            };
            let below = members.entry(step.clone()).or_insert_with(new);
            put(below, rest, value, grows)
        }
        (Grown::Set(known), None) if grows => {
            known.insert(value.clone());
            Ok(())
        }
        (Grown::Value(known), None) if !grows && known == value => Ok(()),
        _ => Err("two members of an object have one name, and different values".to_owned()),
    }
}

/// All of them in one; what stands in a later one counts, and objects of one name are united.
fn union_all(arguments: Arguments<'_>) -> Answer {
    let all = arguments.array(0)?;
    if let Some(other) = all.iter().find(|it| !matches!(it, Value::Object(_))) {
        return Err(format!(
            "operand 1 must be array of objects but got array containing {}",
            kind(other)
        ));
    }
    Ok(united(&all))
}

/// Looks at each member once, however many objects there are.
fn united(all: &[&Value]) -> Value {
    let mut members: BTreeMap<&Value, Vec<&Value>> = BTreeMap::new();
    for (name, value) in all.iter().filter_map(|it| it.as_object().ok()).flatten() {
        let known = members.entry(name).or_default();
        // Only objects are united: one stays alone with the objects behind it.
        if !matches!(value, Value::Object(_)) || !matches!(known.last(), Some(Value::Object(_))) {
            known.clear();
        }
        known.push(value);
    }
    let member = |(name, values): (&Value, Vec<&Value>)| {
        let value = match *values.as_slice() {
            [only] => only.clone(),
            _ => united(&values),
        };
        (name.clone(), value)
    };
    let members = members.into_iter().map(member);
    Value::from(members.collect::<BTreeMap<_, _>>())
}

fn slice(arguments: Arguments<'_>) -> Answer {
    let members = arguments.array(0)?;
    let within =
        |place: i64, most: usize| usize::try_from(place.max(0)).map_or(most, |it| it.min(most));
    let (start, stop) = (arguments.integer(1)?, arguments.integer(2)?);
    let stop = within(stop, members.len());
    let start = within(start, stop);
    let part = members.into_iter().skip(start).take(stop - start);
    Ok(Value::from(part.cloned().collect::<Vec<_>>()))
}

fn sum(arguments: Arguments<'_>) -> Answer {
    reckon(
        arguments,
        0,
        |a, b| a + b,
        Extended::plus,
        Extended::into_value,
    )
}

fn product(arguments: Arguments<'_>) -> Answer {
    reckon(
        arguments,
        1,
        |a, b| a * b,
        Extended::times_in_double,
        Extended::into_double,
    )
}

/// Exact, if all are integers.
fn reckon(
    arguments: Arguments<'_>,
    first: u32,
    exact: fn(BigInt, BigInt) -> BigInt,
    step: fn(Extended, Extended) -> Extended,
    finish: fn(Extended) -> Answer,
) -> Answer {
    let collection = arguments.any(0)?;
    let members: Vec<&Value> = match collection {
        Value::Array(members) => members.iter().collect(),
        Value::Set(members) => members.iter_sorted().collect(),
        other => return Err(wrong(0, "one of {set, array}", other)),
    };
    if let Some(other) = members.iter().find(|it| !matches!(it, Value::Number(_))) {
        return Err(format!(
            "operand 1 must be {0} of numbers but got {0} containing {1}",
            kind(collection),
            kind(other)
        ));
    }
    let first = BigInt::from(first);
    if let Some(integers) = members
        .iter()
        .map(|it| whole(it))
        .collect::<Option<Vec<_>>>()
    {
        let step = |all: BigInt, next| short(exact(all, short(next)?));
        return Ok(from_whole(integers.into_iter().try_fold(first, step)?));
    }
    let mut all = Extended::from_whole(&first);
    for member in members {
        all = step(all, reckoned(member)?);
    }
    finish(all)
}

/// Whether all of the second is in the first.
fn subset(arguments: Arguments<'_>) -> Answer {
    let is_subset = match (arguments.any(0)?, arguments.any(1)?) {
        (Value::Array(all), Value::Set(some)) => {
            // As OPA counts them: each member as often as it stands there, and there has to be one.
            let found = all.iter().filter(|member| some.contains(member)).count();
            !all.is_empty() && found >= some.len()
        }
        (all @ Value::Object(_), some @ Value::Object(_))
        | (all @ Value::Set(_), some @ Value::Set(_))
        | (all @ Value::Array(_), some @ Value::Array(_)) => has(all, some),
        _ => {
            return Err(
                "both arguments object.subset must be of the same type or array and set".to_owned(),
            );
        }
    };
    Ok(is_subset.into())
}

fn has(all: &Value, some: &Value) -> bool {
    match (all, some) {
        (Value::Object(all), Value::Object(some)) => some
            .iter()
            .all(|(name, value)| all.get(name).is_some_and(|it| has(it, value))),
        (Value::Set(all), Value::Set(some)) => {
            some.iter_sorted().all(|member| all.contains(member))
        }
        // In one piece.
        (Value::Array(all), Value::Array(some)) => {
            let all: Vec<&Value> = all.iter().collect();
            let some: Vec<&Value> = some.iter().collect();
            some.is_empty() || all.windows(some.len()).any(|run| run == some)
        }
        _ => all == some,
    }
}

/// Of a list that two lists make.
const MOST_MEMBERS: usize = 1_000_000;

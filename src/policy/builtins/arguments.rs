//! What a builtin is given, and what it says when that is of the wrong kind (OPA's words).

use num_bigint::BigInt;
use regorus::Value;

/// The arguments of one call, counted from 0; as many as the builtin takes.
#[derive(Clone, Copy)]
pub(in super::super) struct Arguments<'a>(&'a [Value]);

impl<'a> Arguments<'a> {
    pub(in super::super) fn new(values: &'a [Value]) -> Self {
        Self(values)
    }

    pub(super) fn any(self, place: usize) -> Result<&'a Value, String> {
        let missing = || format!("operand {} is missing", place + 1);
        self.0.get(place).ok_or_else(missing)
    }

    pub(super) fn text(self, place: usize) -> Result<&'a str, String> {
        match self.any(place)? {
            Value::String(text) => Ok(text),
            other => Err(wrong(place, "string", other)),
        }
    }

    pub(super) fn array(self, place: usize) -> Result<Vec<&'a Value>, String> {
        match self.any(place)? {
            Value::Array(members) => Ok(members.iter().collect()),
            other => Err(wrong(place, "array", other)),
        }
    }

    /// The members of an array or a set, in their order; all of them are texts.
    pub(super) fn texts(self, place: usize) -> Result<Vec<&'a str>, String> {
        let collection = self.any(place)?;
        let members: Box<dyn Iterator<Item = &Value>> = match collection {
            Value::Array(members) => Box::new(members.iter()),
            Value::Set(members) => Box::new(members.iter_sorted()),
            other => return Err(wrong(place, "one of {set, array}", other)),
        };
        let text = |member: &'a Value| match member {
            Value::String(text) => Ok(text.as_ref()),
            other => Err(format!(
                "operand {} must be {1} of strings but got {1} containing {2}",
                place + 1,
                kind(collection),
                kind(other)
            )),
        };
        members.map(text).collect()
    }

    /// An integer of any size.
    pub(super) fn whole(self, place: usize) -> Result<BigInt, String> {
        let value = self.any(place)?;
        if !matches!(value, Value::Number(_)) {
            return Err(wrong(place, "number", value));
        }
        whole(value).ok_or_else(|| {
            format!(
                "operand {} must be integer number but got floating-point number",
                place + 1
            )
        })
    }

    /// An integer that a machine has.
    pub(super) fn integer(self, place: usize) -> Result<i64, String> {
        let large = |_| format!("operand {} must be an integer of 64 bits", place + 1);
        self.whole(place)?.try_into().map_err(large)
    }
}

/// The integer that a number is, if it is one: `1.0` is.
pub(super) fn whole(value: &Value) -> Option<BigInt> {
    let Value::Number(number) = value else {
        return None;
    };
    if let Some(whole) = number.as_big() {
        return Some(whole.as_ref().clone());
    }
    // The digits that it was written with, and not those of its bits.
    let float = value.as_f64().ok()?;
    (float.fract() == 0.0).then(|| float.to_string().parse().ok())?
}

/// Whether a number is kept as one that was written with a point or an exponent: OPA keeps how it was written, and a
/// format or a document shows it.
pub(super) fn is_float(value: &Value) -> bool {
    match value {
        // Only such a number gets decimals; one that is too large for that is infinite.
        Value::Number(number) => number.format_decimal_with_width(1).contains(['.', 'i']),
        _ => false,
    }
}

/// Refuses to write down a number that is whole and was written as `1.0` or `1e2`: which of them, nobody knows any more.
pub(super) fn writable(value: &Value) -> Result<(), String> {
    match value {
        Value::Array(members) => members.iter().try_for_each(writable),
        Value::Set(members) => members.iter_sorted().try_for_each(writable),
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, value)| writable(name).and_then(|()| writable(value))),
        number if is_float(number) && whole(number).is_some() => Err(format!(
            "the number {number} was written with a point or an exponent, and OPA would show that: write round(it)"
        )),
        _ => Ok(()),
    }
}

pub(super) fn from_whole(whole: BigInt) -> Value {
    Value::Number(whole.into())
}

/// The longest text that a builtin makes. OPA has no such bound: a short policy can ask it for gigabytes.
pub(super) const MOST_BYTES: usize = 4 << 20;

/// Refuses a text of more bytes, before it is made.
pub(super) fn bounded(bytes: usize) -> Result<(), String> {
    if bytes > MOST_BYTES {
        return Err("the text would be longer than 4 MiB".to_owned());
    }
    Ok(())
}

/// As OPA says it.
pub(super) fn wrong(place: usize, wanted: &str, found: &Value) -> String {
    format!(
        "operand {} must be {wanted} but got {}",
        place + 1,
        kind(found)
    )
}

/// What OPA calls it.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Set(_) => "set",
        Value::Object(_) => "object",
        Value::Undefined => "undefined",
    }
}

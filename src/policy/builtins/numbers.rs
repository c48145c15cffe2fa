//! Numbers, as OPA 1.22 has them (`topdown/arithmetic.go`, `bits.go`, `numbers.go`, `casts.go`).
//!
//! The operators are here under the names that OPA knows them by: `div(15.3, 3)` is what `15.3 / 3` is there, `5.1`,
//! where the engine's own `/` has the rounding of a machine's number.

pub(super) mod extended;
#[cfg(test)]
mod tests;

use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive, Zero};
use regorus::Value;

use super::arguments::{from_whole, whole, wrong};
use super::{Answer, Arguments, Own};
use crate::policy::lexical::numbers::unheld;
use extended::Extended;

pub(super) const OWN: &[Own] = &[
    Own::new("abs", 1, |given| extended(given, 0)?.abs().into_value()),
    Own::new("bits.and", 2, |given| bits(given, |a, b| a & b)),
    Own::new("bits.lsh", 2, shift_left),
    Own::new("bits.negate", 1, |given| Ok(from_whole(!given.whole(0)?))),
    Own::new("bits.or", 2, |given| bits(given, |a, b| a | b)),
    Own::new("bits.rsh", 2, shift_right),
    Own::new("bits.xor", 2, |given| bits(given, |a, b| a ^ b)),
    Own::new("ceil", 1, |given| nearest(given, Extended::ceil)),
    Own::new("div", 2, divide),
    Own::new("floor", 1, |given| nearest(given, Extended::floor)),
    Own::new("format_int", 2, format_int),
    Own::new("minus", 2, minus),
    Own::new("mul", 2, |given| {
        binary(given, |a, b| a * b, Extended::times)
    }),
    Own::new("numbers.range", 2, |given| {
        range(given.whole(0)?, &given.whole(1)?, &BigInt::from(1))
    }),
    Own::new("numbers.range_step", 3, range_step),
    Own::new("plus", 2, |given| {
        binary(given, |a, b| a + b, Extended::plus)
    }),
    Own::new("rem", 2, remainder),
    Own::new("round", 1, |given| nearest(given, Extended::round)),
    Own::new("to_number", 1, to_number),
];

/// The longest integer that is reckoned with; OPA has no bound, and one shift there fills the memory.
const MOST_BITS: u64 = 1 << 16;

/// The longest range; OPA's ends when the query does.
const MOST_MEMBERS: u64 = 100_000;

pub(super) fn short(whole: BigInt) -> Result<BigInt, String> {
    if whole.bits() > MOST_BITS {
        return Err("the integer is longer than 65536 bits".to_owned());
    }
    Ok(whole)
}

/// What OPA reckons with as with a machine's integer.
fn small(whole: &BigInt) -> Option<i32> {
    whole.to_i32()
}

fn number(given: Arguments<'_>, place: usize) -> Result<&Value, String> {
    match given.any(place)? {
        number @ Value::Number(_) => Ok(number),
        other => Err(wrong(place, "number", other)),
    }
}

fn extended(given: Arguments<'_>, place: usize) -> Result<Extended, String> {
    reckoned(number(given, place)?)
}

/// The number as OPA reckons with it.
pub(super) fn reckoned(number: &Value) -> Result<Extended, String> {
    match whole(number) {
        Some(whole) => Ok(Extended::from_whole(&short(whole)?)),
        None => Extended::from_text(&text_of(number)?),
    }
}

/// A number as JSON has it.
fn text_of(number: &Value) -> Result<String, String> {
    let float = number.as_f64().map_err(|error| error.to_string())?;
    if !float.is_finite() {
        return Err("the number is too large".to_owned());
    }
    Ok(float.to_string())
}

fn nearest(given: Arguments<'_>, reckon: fn(Extended) -> BigInt) -> Answer {
    Ok(from_whole(reckon(extended(given, 0)?)))
}

/// Exact for integers.
fn binary(
    given: Arguments<'_>,
    exact: fn(BigInt, BigInt) -> BigInt,
    reckon: fn(Extended, Extended) -> Extended,
) -> Answer {
    let (a, b) = (number(given, 0)?, number(given, 1)?);
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        return Ok(from_whole(short(exact(short(a)?, short(b)?))?));
    }
    reckon(extended(given, 0)?, extended(given, 1)?).into_value()
}

/// The difference of numbers, or of sets.
fn minus(given: Arguments<'_>) -> Answer {
    match (given.any(0)?, given.any(1)?) {
        (Value::Set(a), Value::Set(b)) => Ok(a.difference(b).into_value()),
        (Value::Set(_), other) => Err(wrong(1, "set", other)),
        _ => binary(given, |a, b| a - b, Extended::minus),
    }
}

fn divide(given: Arguments<'_>) -> Answer {
    let (a, b) = (number(given, 0)?, number(given, 1)?);
    if whole(b).is_some_and(|b| b.is_zero()) {
        return Err("divide by zero".to_owned());
    }
    if let (Some(a), Some(b)) = (whole(a), whole(b))
        && let (Some(a), Some(b)) = (small(&a), small(&b))
        && i64::from(a) % i64::from(b) == 0
    {
        return Ok(Value::from(i64::from(a) / i64::from(b)));
    }
    extended(given, 0)?.over(extended(given, 1)?)?.into_value()
}

fn remainder(given: Arguments<'_>) -> Answer {
    let (a, b) = (number(given, 0)?, number(given, 1)?);
    let (Some(a), Some(b)) = (whole(a), whole(b)) else {
        return Err("modulo on floating-point number".to_owned());
    };
    if b.is_zero() {
        return Err("modulo by zero".to_owned());
    }
    Ok(from_whole(short(a)? % short(b)?))
}

fn bits(given: Arguments<'_>, reckon: fn(BigInt, BigInt) -> BigInt) -> Answer {
    Ok(from_whole(reckon(
        short(given.whole(0)?)?,
        short(given.whole(1)?)?,
    )))
}

/// A number of places to shift by; OPA takes the lowest 64 bits of it.
fn places(given: Arguments<'_>) -> Result<u64, String> {
    let negative = "operand 2 must be an unsigned integer number but got a negative integer";
    let places = given.whole(1)?.to_biguint().ok_or(negative)?;
    Ok(places.iter_u64_digits().next().unwrap_or(0))
}

fn shift_left(given: Arguments<'_>) -> Answer {
    let (whole, places) = (short(given.whole(0)?)?, places(given)?);
    if whole.is_zero() {
        return Ok(from_whole(whole));
    }
    if places > MOST_BITS {
        return Err("the integer would be longer than 65536 bits".to_owned());
    }
    Ok(from_whole(short(whole << places)?))
}

fn shift_right(given: Arguments<'_>) -> Answer {
    let (whole, places) = (short(given.whole(0)?)?, places(given)?);
    // Beyond that, nothing is left of it but its sign.
    Ok(from_whole(whole >> places.min(MOST_BITS + 1)))
}

fn range_step(given: Arguments<'_>) -> Answer {
    let step = given.whole(2)?;
    if !step.is_positive() {
        return Err("step must be a positive integer".to_owned());
    }
    range(given.whole(0)?, &given.whole(1)?, &step)
}

/// From one to the other, upwards or downwards.
fn range(first: BigInt, last: &BigInt, step: &BigInt) -> Answer {
    let steps = (last - &first).abs() / step;
    let steps = steps.to_u64().filter(|steps| *steps < MOST_MEMBERS);
    let steps = steps.ok_or("the range has more than 100000 numbers")?;
    let step = if *last < first { -step } else { step.clone() };
    let mut next = first;
    let mut members = Vec::new();
    for _ in 0..=steps {
        members.push(from_whole(next.clone()));
        next += &step;
    }
    Ok(members.into())
}

fn format_int(given: Arguments<'_>) -> Answer {
    let number = number(given, 0)?;
    let base = whole(given.any(1)?).and_then(|base| base.to_u32());
    let base = base.filter(|base| [2, 8, 10, 16].contains(base));
    let base = base.ok_or("operand 2 must be one of {2, 8, 10, 16}")?;
    let whole = match whole(number) {
        Some(whole) => whole,
        None => Extended::from_text(&text_of(number)?)?.truncated(),
    };
    Ok(short(whole)?.to_str_radix(base).into())
}

fn to_number(given: Arguments<'_>) -> Answer {
    match given.any(0)? {
        Value::Null => Ok(Value::from(0_i64)),
        Value::Bool(is_true) => Ok(Value::from(i64::from(*is_true))),
        number @ Value::Number(_) => Ok(number.clone()),
        Value::String(text) => {
            parsed(text).ok_or_else(|| "could not parse string as number".to_owned())
        }
        other => Err(wrong(0, "one of {null, boolean, number, string}", other)),
    }
}

/// The longest number that is read from a text.
const MOST_DIGITS: usize = 20_000;

/// The number that Go reads from a text, and that JSON has as well.
pub(super) fn parsed(text: &str) -> Option<Value> {
    let known = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if text.len() > MOST_DIGITS || !text.chars().all(known) {
        return None;
    }
    let float = text.parse::<f64>().ok().filter(|float| float.is_finite())?;
    let is_whole = !text.contains(['.', 'e', 'E']);
    if unheld(text).is_some() {
        return None;
    }
    match (is_whole, float == 0.0) {
        (true, true) => Some(Value::from(0_i64)),
        (false, true) => Some(Value::from(float)),
        _ => Value::from_numeric_string(&numeral(text)).ok(),
    }
}

/// A number as the engine has to read it, so that it knows later that it was not written as an integer: `100.0` for
/// `1e2`. One that no float is exactly stays as it is.
pub(in super::super) fn numeral(text: &str) -> String {
    let float = text.parse::<f64>().ok().filter(|it| it.is_finite());
    let plain = float.map(|float| format!("{float:.1}"));
    let is_exact = |plain: &String| {
        let [one, other] = [text, plain].map(|text| Value::from_numeric_string(text).ok());
        one.is_some() && one == other
    };
    let plain = plain.filter(|plain| text.contains(['e', 'E']) && is_exact(plain));
    plain.unwrap_or_else(|| text.to_owned())
}

/// Why OPA would show of a number how it was written, which the engine forgets.
pub(in super::super) fn unkept(text: &str) -> Option<String> {
    let float = text.parse::<f64>().ok()?;
    let is_plain = text == float.to_string();
    let is_integer = !text.contains(['.', 'e', 'E']);
    (!is_plain && !is_integer).then(|| {
        format!("OPA shows how the number {text} is written, and dtgate forgets it: write {float}")
    })
}

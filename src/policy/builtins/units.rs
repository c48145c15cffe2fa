//! Amounts with a unit, as OPA 1.22 has them (`topdown/parse_units.go`, `parse_bytes.go`).

#[cfg(test)]
mod tests;

use num_bigint::{BigInt, Sign};
use regorus::Value;

use super::arguments::from_whole;
use super::numbers::extended::Extended;
use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[
    Own::new("units.parse", 1, parse),
    Own::new("units.parse_bytes", 1, parse_bytes),
];

/// Digits of an amount, and its exponent. (OPA takes exponents of six digits.)
const MOST_DIGITS: usize = 1000;
const MOST_EXPONENT: u32 = 1000;

fn parse(arguments: Arguments<'_>) -> Answer {
    let text = arguments.text(0)?.replace('"', "");
    let (amount, unit) = split(&text)?;
    let mut letters = unit.chars();
    let first = letters.next().map(String::from).unwrap_or_default();
    let unit = first + &letters.as_str().to_lowercase();
    let Amount { digits, tens } = Amount::read(amount)?;
    // The number that a machine has for a thousandth.
    let (times, over) = match unit.as_str() {
        "m" => (
            BigInt::from(1_152_921_504_606_847_u64),
            BigInt::from(1) << 60,
        ),
        "k" | "K" => (BigInt::from(1000), BigInt::from(1)),
        "M" => (BigInt::from(1000).pow(2), BigInt::from(1)),
        unit => {
            let power = ["", "k", "m", "g", "t", "p", "e"];
            let lower = unit.to_lowercase();
            let is_binary = lower.len() == 2 && lower.ends_with('i');
            let place = power
                .iter()
                .position(|it| *it == lower.trim_end_matches('i'));
            match place.and_then(|place| u32::try_from(place).ok()) {
                Some(power) if is_binary && power > 0 => (BigInt::from(1024).pow(power), 1.into()),
                Some(power) if lower.len() < 2 && !lower.ends_with('i') => {
                    (BigInt::from(1000).pow(power), 1.into())
                }
                _ => return Err(format!("unit {unit} not recognized")),
            }
        }
    };
    let (mut above, mut below) = (digits * times, over);
    let scale = BigInt::from(10).pow(tens.unsigned_abs());
    if tens < 0 {
        below *= scale;
    } else {
        above *= scale;
    }
    if &above % &below == BigInt::ZERO {
        return Ok(from_whole(above / below));
    }
    fraction(&above, &below)
}

/// With ten places, rounded to the nearest.
fn fraction(above: &BigInt, below: &BigInt) -> Answer {
    let is_negative = above.sign() == Sign::Minus;
    let scaled = above.magnitude() * 10_u64.pow(10) * 2_u8 + below.magnitude();
    let rounded = (scaled / (below.magnitude() * 2_u8)).to_string();
    let rounded = format!("{rounded:0>11}");
    let (whole, fraction) = rounded.split_at(rounded.len() - 10);
    let sign = if is_negative { "-" } else { "" };
    Value::from_json_str(&format!("{sign}{whole}.{fraction}")).map_err(|error| error.to_string())
}

fn parse_bytes(arguments: Arguments<'_>) -> Answer {
    let text = arguments.text(0)?.to_lowercase().replace('"', "");
    let (amount, unit) = split(&text)?;
    let unit = match unit {
        "" => BigInt::from(1),
        unit => {
            let short = unit.strip_suffix('b').unwrap_or(unit);
            let (letter, base) = match short.strip_suffix('i') {
                Some(letter) => (letter, 1024),
                None => (short, 1000),
            };
            let powers = ["k", "m", "g", "t", "p", "e"];
            let place = powers.iter().position(|it| *it == letter);
            let power = place.and_then(|place| u32::try_from(place + 1).ok());
            let power = power.ok_or_else(|| format!("byte unit {unit} not recognized"))?;
            BigInt::from(base).pow(power)
        }
    };
    let amount = Amount::read(amount)?.reckoned()?;
    Ok(from_whole(
        amount.times(Extended::from_whole(&unit)).truncated(),
    ))
}

/// The amount and its unit.
fn split(text: &str) -> Result<(&str, &str), String> {
    if text.contains(' ') {
        return Err("spaces not allowed in resource strings".to_owned());
    }
    let bytes = text.as_bytes();
    let at = |place: usize| bytes.get(place).copied().unwrap_or_default();
    let mut place = 0;
    while place < bytes.len() {
        let is_sign = |byte: u8| matches!(byte, b'+' | b'-');
        match at(place) {
            b'e' | b'E' if is_sign(at(place + 1)) => place += 1,
            b'e' | b'E' if !at(place + 1).is_ascii_digit() => break,
            byte if byte.is_ascii_digit() || b".eE+-".contains(&byte) => {}
            _ => break,
        }
        place += 1;
    }
    let (amount, unit) = text.split_at(place);
    if amount.is_empty() {
        return Err("no amount provided".to_owned());
    }
    Ok((amount, unit))
}

/// `digits * 10^tens`.
struct Amount {
    digits: BigInt,
    tens: i32,
}

impl Amount {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || "could not parse amount to a number".to_owned();
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let unsigned = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(wrong());
        }
        let exponent: i32 = exponent.parse().map_err(|_error| wrong())?;
        if digits.len() > MOST_DIGITS || exponent.unsigned_abs() > MOST_EXPONENT {
            return Err("exponent too large".to_owned());
        }
        let places = i32::try_from(fraction.len()).map_err(|_error| wrong())?;
        let digits: BigInt = digits.parse().map_err(|_error| wrong())?;
        Ok(Self {
            digits: if mantissa.starts_with('-') {
                -digits
            } else {
                digits
            },
            tens: exponent - places,
        })
    }

    fn reckoned(self) -> Result<Extended, String> {
        let tens = usize::try_from(self.tens.unsigned_abs()).map_err(|error| error.to_string())?;
        if self.tens >= 0 {
            return Extended::from_text(&format!("{}{}", self.digits, "0".repeat(tens)));
        }
        let sign = if self.digits.sign() == Sign::Minus {
            "-"
        } else {
            ""
        };
        let digits = format!(
            "{:0>width$}",
            self.digits.magnitude().to_string(),
            width = tens + 1
        );
        let (whole, fraction) = digits.split_at(digits.len() - tens);
        Extended::from_text(&format!("{sign}{whole}.{fraction}"))
    }
}

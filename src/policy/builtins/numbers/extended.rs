//! Numbers with a mantissa of 64 bits, which is what OPA reckons with where integers do not do (Go's `big.Float`).

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};
use regorus::Value;

use crate::policy::builtins::arguments::from_whole;

const BITS: u64 = 64;

/// What a number of a machine has.
const DOUBLE_BITS: u64 = 53;

/// `mantissa * 2^exponent`; the mantissa has at most 64 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy::builtins) struct Extended {
    mantissa: BigInt,
    exponent: i64,
}

impl Extended {
    fn new(mantissa: BigInt, exponent: i64) -> Self {
        Self::rounded(mantissa, exponent, BITS)
    }

    /// The nearest one; of two, the even one.
    fn rounded(mantissa: BigInt, exponent: i64, bits: u64) -> Self {
        let Some(dropped) = mantissa.bits().checked_sub(bits).filter(|bits| *bits > 0) else {
            return Self { mantissa, exponent };
        };
        let (sign, exact) = mantissa.into_parts();
        let mut rounded = &exact >> dropped;
        let rest = exact - (&rounded << dropped);
        let half = num_bigint::BigUint::one() << (dropped - 1);
        let up = match rest.cmp(&half) {
            Ordering::Less => false,
            Ordering::Equal => rounded.bit(0),
            Ordering::Greater => true,
        };
        if up {
            rounded += 1_u32;
        }
        let exponent = exponent.saturating_add_unsigned(dropped);
        Self::rounded(BigInt::from_biguint(sign, rounded), exponent, bits)
    }

    pub(in crate::policy::builtins) fn from_whole(whole: &BigInt) -> Self {
        Self::new(whole.clone(), 0)
    }

    /// From a number in decimals, without an exponent.
    pub(in crate::policy::builtins) fn from_text(text: &str) -> Result<Self, String> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{fraction}").parse::<BigInt>();
        let digits = digits.map_err(|error| error.to_string())?;
        Ok(Self::ratio(digits, &ten_to(fraction.len()), 0))
    }

    /// `(above / below) * 2^exponent`.
    fn ratio(above: BigInt, below: &BigInt, exponent: i64) -> Self {
        // More bits than are kept, and one more for whatever is left.
        let shift = (below.bits() + BITS + 2).saturating_sub(above.bits());
        let above = above << shift;
        let (quotient, rest) = (&above / below, &above % below);
        let sticky = BigInt::from(i32::from(!rest.is_zero()));
        let sticky = if above.is_negative() { -sticky } else { sticky };
        let exponent = exponent.saturating_sub_unsigned(shift + 1);
        Self::new((quotient << 1) + sticky, exponent)
    }

    /// Two mantissas for one exponent.
    fn aligned(self, other: Self) -> (BigInt, BigInt, i64) {
        let exponent = self.exponent.min(other.exponent);
        let shifted = |it: Self| it.mantissa << it.exponent.abs_diff(exponent);
        (shifted(self), shifted(other), exponent)
    }

    pub(in crate::policy::builtins) fn plus(self, other: Self) -> Self {
        let (a, b, exponent) = self.aligned(other);
        Self::new(a + b, exponent)
    }

    pub(in crate::policy::builtins) fn minus(self, other: Self) -> Self {
        let (a, b, exponent) = self.aligned(other);
        Self::new(a - b, exponent)
    }

    pub(in crate::policy::builtins) fn times(self, other: Self) -> Self {
        let exponent = self.exponent.saturating_add(other.exponent);
        Self::new(self.mantissa * other.mantissa, exponent)
    }

    /// With a mantissa of 53 bits: OPA begins a product with a number of a machine.
    pub(in crate::policy::builtins) fn times_in_double(self, other: Self) -> Self {
        let exponent = self.exponent.saturating_add(other.exponent);
        Self::rounded(self.mantissa * other.mantissa, exponent, DOUBLE_BITS)
    }

    pub(in crate::policy::builtins) fn over(self, other: Self) -> Result<Self, String> {
        if other.mantissa.is_zero() {
            return Err("divide by zero".to_owned());
        }
        let exponent = self.exponent.saturating_sub(other.exponent);
        let (above, below) = (self.mantissa, other.mantissa);
        let above = if below.is_negative() { -above } else { above };
        Ok(Self::ratio(above, &below.abs(), exponent))
    }

    pub(in crate::policy::builtins) fn abs(self) -> Self {
        Self {
            mantissa: self.mantissa.abs(),
            ..self
        }
    }

    /// Without its fraction.
    pub(in crate::policy::builtins) fn truncated(self) -> BigInt {
        let places = self.exponent.unsigned_abs();
        if self.exponent >= 0 {
            return self.mantissa << places;
        }
        let (sign, magnitude) = self.mantissa.into_parts();
        BigInt::from_biguint(sign, magnitude >> places)
    }

    /// Half away from zero.
    pub(in crate::policy::builtins) fn round(self) -> BigInt {
        let half = Self {
            mantissa: BigInt::from(if self.mantissa.is_negative() { -1 } else { 1 }),
            exponent: -1,
        };
        self.plus(half).truncated()
    }

    /// As OPA has it: 1 for what lies between -1 and 0.
    pub(in crate::policy::builtins) fn ceil(self) -> BigInt {
        let whole = self.clone().truncated();
        if whole.is_negative() || self.is(&whole) {
            return whole;
        }
        whole + 1
    }

    /// As OPA has it: 0 for what lies between -1 and 0.
    pub(in crate::policy::builtins) fn floor(self) -> BigInt {
        let whole = self.clone().truncated();
        if !whole.is_negative() || self.is(&whole) {
            return whole;
        }
        whole - 1
    }

    fn is(self, whole: &BigInt) -> bool {
        let whole = Self {
            mantissa: whole.clone(),
            exponent: 0,
        };
        let (a, b, _) = self.aligned(whole);
        a == b
    }

    /// By the shortest decimal number that is nearer to it than to any other, as OPA writes it down.
    pub(in crate::policy::builtins) fn into_value(self) -> Result<Value, String> {
        self.written(BITS)
    }

    /// What [`Extended::times_in_double`] made.
    pub(in crate::policy::builtins) fn into_double(self) -> Result<Value, String> {
        self.written(DOUBLE_BITS)
    }

    fn written(self, bits: u64) -> Result<Value, String> {
        let (digits, exponent) = self.shortest(bits);
        if let Ok(exponent) = usize::try_from(exponent) {
            return Ok(from_whole(digits * ten_to(exponent)));
        }
        let float = format!("{digits}e{exponent}").parse::<f64>();
        match float {
            Ok(0.0) if !digits.is_zero() => Err("the number is too near to zero".to_owned()),
            Ok(float) if float.is_finite() => Ok(Value::from(float)),
            _ => Err("the number is too large".to_owned()),
        }
    }

    /// `digits * 10^exponent`.
    fn shortest(&self, bits: u64) -> (BigInt, i64) {
        let (sign, magnitude) = (self.mantissa.sign(), self.mantissa.abs());
        if sign == Sign::NoSign {
            return (BigInt::zero(), 0);
        }
        // All bits, so that the last of them is as far as the next number.
        let missing = bits.saturating_sub(magnitude.bits());
        let mantissa = magnitude << missing;
        let exponent = self.exponent.saturating_sub_unsigned(missing);
        let is_even = !mantissa.bit(0);
        let is_power = mantissa == BigInt::one() << (bits - 1);
        // A little less than log10(2) is more than enough to begin with.
        let mut place = exponent
            .saturating_add_unsigned(bits)
            .saturating_mul(30_103)
            / 100_000
            + 1;
        loop {
            let unit = power(2, exponent) * power(10, place.saturating_neg());
            let below = power(2, exponent.saturating_neg()) * power(10, place);
            let above = &mantissa * &unit;
            let digits: BigInt = (&above * 2 + &below) / (&below * 2);
            let distance: BigInt = &digits * &below - &above;
            let distance = distance.abs() * if is_power { 4 } else { 2 };
            if distance < unit || (distance == unit && is_even) {
                let digits = if sign == Sign::Minus { -digits } else { digits };
                return (digits, place);
            }
            place -= 1;
        }
    }
}

/// 1 if the exponent is negative.
fn power(base: u32, exponent: i64) -> BigInt {
    let exponent = u32::try_from(exponent).unwrap_or(0);
    Pow::pow(BigInt::from(base), exponent)
}

fn ten_to(exponent: usize) -> BigInt {
    power(10, exponent.to_i64().unwrap_or(0))
}

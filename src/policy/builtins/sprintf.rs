//! `sprintf`, which in OPA is Go's `fmt.Sprintf`: what does not fit its verb is written out with a mark, not refused.

mod floats;
mod quoted;
#[cfg(test)]
mod tests;
mod verbs;
pub(super) mod written;

use num_bigint::BigInt;
use num_traits::ToPrimitive;
use regorus::Value;

use super::arguments::{bounded, is_float, whole, writable};
use super::{Answer, Arguments, Own};
use crate::policy::extent;

pub(super) const OWN: &[Own] = &[Own::new("sprintf", 2, sprintf)];

/// An argument as Go's `fmt` gets it: everything that is no number is a text.
enum Argument {
    Text(String),
    Integer(i64),
    Big(BigInt),
    Float(f64),
}

impl Argument {
    fn new(value: &Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(text.as_ref().to_owned()),
            Value::Number(_) => match (whole(value), value.as_f64()) {
                (_, Ok(float)) if is_float(value) => Self::Float(float),
                (Some(whole), _) => whole.to_i64().map_or(Self::Big(whole), Self::Integer),
                (None, _) => Self::Text(written::text(value)),
            },
            other => {
                extent::writable(other)?;
                writable(other)?;
                Self::Text(written::text(other))
            }
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Integer(_) => "int64",
            Self::Big(_) => "*big.Int",
            Self::Float(_) => "float64",
        }
    }
}

fn sprintf(given: Arguments<'_>) -> Answer {
    let (format, values) = (given.text(0)?, given.array(1)?);
    let arguments = values.into_iter().map(Argument::new);
    let mut printer = Printer {
        out: String::new(),
        arguments: arguments.collect::<Result<_, _>>()?,
        next: 0,
        is_good: true,
        is_reordered: false,
        flags: Flags::default(),
    };
    printer.print(format)?;
    bounded(printer.out.len())?;
    Ok(printer.out.into())
}

/// What stands between `%` and the verb.
#[derive(Default, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the flags of the format"
)]
struct Flags {
    sharp: bool,
    /// `#` with `v`.
    sharp_v: bool,
    plus: bool,
    /// `+` with `v`.
    plus_v: bool,
    minus: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

struct Printer {
    out: String,
    arguments: Vec<Argument>,
    /// The argument that comes next.
    next: usize,
    /// Whether the index in the format was one.
    is_good: bool,
    is_reordered: bool,
    flags: Flags,
}

/// Widths and precisions go as far as this.
const MOST: usize = 1_000_000;

impl Printer {
    fn print(&mut self, format: &str) -> Result<(), String> {
        let mut rest = format;
        while let Some((before, directive)) = rest.split_once('%') {
            self.out.push_str(before);
            rest = self.directive(directive)?;
            bounded(self.out.len())?;
        }
        self.out.push_str(rest);
        self.extra()
    }

    /// What is left of the arguments.
    fn extra(&mut self) -> Result<(), String> {
        if self.is_reordered || self.next >= self.arguments.len() {
            return Ok(());
        }
        self.flags = Flags::default();
        self.out.push_str("%!(EXTRA ");
        for (count, place) in (self.next..self.arguments.len()).enumerate() {
            if count > 0 {
                self.out.push_str(", ");
            }
            let kind = self.arguments.get(place).map_or("", Argument::kind);
            self.out.push_str(kind);
            self.out.push('=');
            self.argument(place, 'v')?;
            bounded(self.out.len())?;
        }
        self.out.push(')');
        Ok(())
    }

    /// One directive; what follows it is left.
    fn directive<'a>(&mut self, text: &'a str) -> Result<&'a str, String> {
        self.is_good = true;
        self.flags = Flags::default();
        let mut rest = self.read_flags(text);
        let mut after_index;
        (rest, after_index) = self.read_index(rest);
        if let Some(after) = rest.strip_prefix('*') {
            rest = after;
            self.flags.width = self.number_given("%!(BADWIDTH)", true);
            after_index = false;
        } else {
            (self.flags.width, rest) = read_number(rest);
            if after_index && self.flags.width.is_some() {
                self.is_good = false;
            }
        }
        if let Some(after) = rest.strip_prefix('.').filter(|after| !after.is_empty()) {
            if after_index {
                self.is_good = false;
            }
            (rest, after_index) = self.read_index(after);
            if let Some(after) = rest.strip_prefix('*') {
                rest = after;
                self.flags.precision = self.number_given("%!(BADPREC)", false);
                after_index = false;
            } else {
                let precision;
                (precision, rest) = read_number(rest);
                self.flags.precision = Some(precision.unwrap_or(0));
            }
        }
        if !after_index {
            (rest, _) = self.read_index(rest);
        }
        let mut characters = rest.chars();
        let Some(verb) = characters.next() else {
            self.out.push_str("%!(NOVERB)");
            return Ok("");
        };
        self.verb(verb)?;
        Ok(characters.as_str())
    }

    fn verb(&mut self, verb: char) -> Result<(), String> {
        let marked = |what: &str| format!("%!{verb}({what})");
        if verb == '%' {
            self.out.push('%');
        } else if !self.is_good {
            self.out.push_str(&marked("BADINDEX"));
        } else if self.next >= self.arguments.len() {
            self.out.push_str(&marked("MISSING"));
        } else {
            if matches!(verb, 'v' | 'w') {
                let flags = &mut self.flags;
                flags.sharp_v = std::mem::take(&mut flags.sharp);
                flags.plus_v = std::mem::take(&mut flags.plus);
            }
            self.argument(self.next, verb)?;
            self.next += 1;
        }
        Ok(())
    }

    fn read_flags<'a>(&mut self, text: &'a str) -> &'a str {
        let flags = &mut self.flags;
        let mut characters = text.chars();
        loop {
            let rest = characters.as_str();
            match characters.next() {
                Some('#') => flags.sharp = true,
                Some('0') => flags.zero = true,
                Some('+') => flags.plus = true,
                Some('-') => flags.minus = true,
                Some(' ') => flags.space = true,
                _ => return rest,
            }
        }
    }

    /// An index such as `[2]` says which argument comes next. Whether there was one.
    fn read_index<'a>(&mut self, text: &'a str) -> (&'a str, bool) {
        let Some(inside) = text.strip_prefix('[') else {
            return (text, false);
        };
        self.is_reordered = true;
        let closed = inside.split_once(']').filter(|_| text.len() > 2);
        let Some((index, rest)) = closed else {
            self.is_good = false;
            return (inside, false);
        };
        let (number, left) = read_number(index);
        let number = number.filter(|_| left.is_empty());
        match number.map(|number| number.checked_sub(1)) {
            Some(Some(place)) if place < self.arguments.len() => {
                self.next = place;
                (rest, true)
            }
            found => {
                self.is_good = false;
                (rest, found.is_some())
            }
        }
    }

    /// A width or precision that is an argument.
    fn number_given(&mut self, bad: &str, is_width: bool) -> Option<usize> {
        let given = self.arguments.get(self.next);
        let number = match given {
            Some(Argument::Integer(number)) => Some(*number),
            _ => None,
        };
        if given.is_some() {
            self.next += 1;
        }
        let size = |number: i64| usize::try_from(number.unsigned_abs()).ok();
        let known = number.filter(|number| size(*number).is_some_and(|size| size <= MOST));
        match known {
            Some(number) if number < 0 && is_width => {
                self.flags.minus = true;
                self.flags.zero = false;
                size(number)
            }
            Some(number) if number >= 0 => size(number),
            _ => {
                self.out.push_str(bad);
                None
            }
        }
    }
}

/// Digits at the beginning of a text. A number that is too large swallows what follows.
fn read_number(text: &str) -> (Option<usize>, &str) {
    let mut number = None;
    let mut rest = text.chars();
    loop {
        let left = rest.as_str();
        let Some(digit) = rest.next().and_then(|c| c.to_digit(10)) else {
            return (number, left);
        };
        let before = number.unwrap_or(0);
        if before > MOST {
            return (None, "");
        }
        number = digit.to_usize().map(|digit| before * 10 + digit);
    }
}

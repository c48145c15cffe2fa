//! One argument by one verb (Go's `fmt/print.go` and `fmt/format.go`).

use std::fmt::Write as _;

use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive, Zero};

use super::floats::float;
use super::quoted::{is_printable, quoted, quoted_character};
use super::{Argument, Flags, Printer};
use crate::policy::builtins::arguments::bounded;

impl Printer {
    /// Prints an argument; one that does not fit the verb with its kind and a mark.
    pub(super) fn argument(&mut self, place: usize, verb: char) -> Result<(), String> {
        let flags = self.flags;
        let Some(argument) = self.arguments.get(place) else {
            return Ok(());
        };
        let width = flags.width.unwrap_or(0);
        bounded(
            self.out
                .len()
                .saturating_add(width.max(flags.precision.unwrap_or(0))),
        )?;
        let text = match verb {
            'T' => Some(padded(&truncated(argument.kind(), flags), flags)),
            _ => printed(argument, verb, flags)?,
        };
        if let Some(text) = text {
            self.out.push_str(&text);
            return Ok(());
        }
        let value = match argument {
            Argument::Big(whole) => whole.to_string(),
            _ => printed(argument, 'v', flags)?.unwrap_or_default(),
        };
        let kind = argument.kind().trim_start_matches('*');
        write!(self.out, "%!{verb}({kind}={value})").expect("a text takes it");
        Ok(())
    }
}

/// `None` where the verb is none for such an argument.
fn printed(argument: &Argument, verb: char, flags: Flags) -> Result<Option<String>, String> {
    Ok(match argument {
        Argument::Text(text) => of_text(text, verb, flags)?,
        Argument::Integer(number) => of_integer(*number, verb, flags),
        Argument::Big(_) if matches!(verb, 'p' | 'w') => {
            return Err(format!("a large integer cannot be printed with %{verb}"));
        }
        Argument::Big(number) => of_big(number, verb, flags),
        Argument::Float(number) => float(*number, verb, flags),
    })
}

/// With spaces on the left, or on the right with `-`, or with zeros on the left.
pub(super) fn padded(text: &str, flags: Flags) -> String {
    let missing = flags
        .width
        .unwrap_or(0)
        .saturating_sub(text.chars().count());
    let filler = if flags.zero && !flags.minus { "0" } else { " " };
    let filler = filler.repeat(missing);
    if flags.minus {
        format!("{text}{filler}")
    } else {
        format!("{filler}{text}")
    }
}

/// Without zeros.
pub(super) fn padded_with_spaces(text: &str, flags: Flags) -> String {
    padded(
        text,
        Flags {
            zero: false,
            ..flags
        },
    )
}

fn truncated(text: &str, flags: Flags) -> String {
    let most = flags.precision.unwrap_or(usize::MAX);
    text.chars().take(most).collect()
}

fn of_text(text: &str, verb: char, flags: Flags) -> Result<Option<String>, String> {
    let plain = || padded(&truncated(text, flags), flags);
    Ok(match verb {
        'v' if flags.sharp_v => Some(in_quotes(text, flags)),
        'v' | 's' => Some(plain()),
        'q' => Some(in_quotes(text, flags)),
        'x' | 'X' => {
            bounded(text.len().saturating_mul(5))?;
            Some(bytes_in_hex(text, verb == 'X', flags))
        }
        _ => None,
    })
}

fn in_quotes(text: &str, flags: Flags) -> String {
    let text = truncated(text, flags);
    let is_plain =
        |c: char| c != '`' && c != '\u{7f}' && c != '\u{feff}' && (c == '\t' || c >= ' ');
    if flags.sharp && text.chars().all(is_plain) {
        return padded(&format!("`{text}`"), flags);
    }
    padded(&quoted(&text, flags.plus), flags)
}

fn bytes_in_hex(text: &str, is_upper: bool, flags: Flags) -> String {
    let most = flags.precision.unwrap_or(usize::MAX);
    let prefix = match (flags.sharp, is_upper) {
        (false, _) => "",
        (true, false) => "0x",
        (true, true) => "0X",
    };
    let mut hex = String::new();
    for (place, byte) in text.bytes().take(most).enumerate() {
        if place == 0 {
            hex.push_str(prefix);
        } else if flags.space {
            hex.push(' ');
            hex.push_str(prefix);
        }
        let digits = if is_upper {
            format!("{byte:02X}")
        } else {
            format!("{byte:02x}")
        };
        hex.push_str(&digits);
    }
    padded(&hex, flags)
}

/// The base, and whether its digits are capitals.
fn base(verb: char) -> Option<(u32, bool)> {
    Some(match verb {
        'd' | 'v' => (10, false),
        'b' => (2, false),
        'o' | 'O' => (8, false),
        'x' => (16, false),
        'X' => (16, true),
        _ => return None,
    })
}

fn of_integer(number: i64, verb: char, flags: Flags) -> Option<String> {
    let as_character = || u32::try_from(number).ok().and_then(char::from_u32);
    match verb {
        'c' => {
            let character = as_character().unwrap_or(char::REPLACEMENT_CHARACTER);
            return Some(padded(&character.to_string(), flags));
        }
        'q' => {
            let character = as_character().unwrap_or(char::REPLACEMENT_CHARACTER);
            return Some(padded(&quoted_character(character, flags.plus), flags));
        }
        'U' => return Some(code_point(number, flags)),
        _ => {}
    }
    let (base, is_upper) = base(verb)?;
    if number == 0 && flags.precision == Some(0) {
        return Some(" ".repeat(flags.width.unwrap_or(0)));
    }
    let mut digits = digits(&BigInt::from(number).abs(), base, is_upper);
    let has_sign = number < 0 || flags.plus || flags.space;
    let least = match (flags.precision, flags.width) {
        (Some(precision), _) => precision,
        (None, Some(width)) if flags.zero && !flags.minus => {
            width.saturating_sub(usize::from(has_sign))
        }
        _ => 0,
    };
    digits.insert_str(0, &"0".repeat(least.saturating_sub(digits.len())));
    let prefix = match (base, flags.sharp) {
        (2, true) => "0b",
        (8, true) if !digits.starts_with('0') => "0",
        (16, true) if is_upper => "0X",
        (16, true) => "0x",
        _ => "",
    };
    let octal = if verb == 'O' { "0o" } else { "" };
    let sign = sign(number < 0, flags.plus, flags.space);
    Some(padded_with_spaces(
        &format!("{sign}{octal}{prefix}{digits}"),
        flags,
    ))
}

fn sign(is_negative: bool, plus: bool, space: bool) -> &'static str {
    match (is_negative, plus, space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    }
}

fn digits(magnitude: &BigInt, base: u32, is_upper: bool) -> String {
    let digits = magnitude.to_str_radix(base);
    if is_upper {
        digits.to_ascii_uppercase()
    } else {
        digits
    }
}

fn code_point(number: i64, flags: Flags) -> String {
    // A negative one shows its bits.
    let bits = number.cast_unsigned();
    let least = flags.precision.unwrap_or(0).max(4);
    let hex = format!("{bits:X}");
    let zeros = "0".repeat(least.saturating_sub(hex.len()));
    let mut text = format!("U+{zeros}{hex}");
    let character = bits.to_u32().and_then(char::from_u32);
    if let Some(character) = character.filter(|c| flags.sharp && is_printable(*c)) {
        write!(text, " '{character}'").expect("a text takes it");
    }
    padded_with_spaces(&text, flags)
}

/// Go's large integers print themselves, a little differently.
fn of_big(number: &BigInt, verb: char, flags: Flags) -> Option<String> {
    let (base, is_upper) = if verb == 's' {
        (10, false)
    } else {
        base(verb)?
    };
    let digits = digits(&number.abs(), base, is_upper);
    if number.is_zero() && flags.precision == Some(0) {
        return Some(String::new());
    }
    let sign = sign(
        number.is_negative(),
        flags.plus || flags.plus_v,
        flags.space,
    );
    let prefix = match (verb, flags.sharp || flags.sharp_v) {
        ('O', _) => "0o",
        ('b', true) => "0b",
        ('o', true) => "0",
        ('x', true) => "0x",
        ('X', true) => "0X",
        _ => "",
    };
    let mut zeros = flags.precision.unwrap_or(0).saturating_sub(digits.len());
    let length = sign.len() + prefix.len() + zeros + digits.len();
    let missing = flags.width.unwrap_or(0).saturating_sub(length);
    let (mut left, mut right) = (0, 0);
    if flags.minus {
        right = missing;
    } else if flags.zero && flags.precision.is_none() {
        zeros = missing;
    } else {
        left = missing;
    }
    let (left, right) = (" ".repeat(left), " ".repeat(right));
    let zeros = "0".repeat(zeros);
    Some(format!("{left}{sign}{prefix}{zeros}{digits}{right}"))
}

//! Floating point numbers (Go's `strconv.FormatFloat`, and what `fmt` makes of it).

use super::Flags;
use super::verbs::{padded, padded_with_spaces};

/// Decimal digits after the point that a number can have; what is wanted beyond them are zeros.
const MOST_DIGITS: usize = 1_100;

pub(super) fn float(number: f64, verb: char, flags: Flags) -> Option<String> {
    let (verb, usual) = match verb {
        'v' => ('g', None),
        'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
        'f' | 'e' | 'E' => (verb, Some(6)),
        'F' => ('f', Some(6)),
        _ => return None,
    };
    let precision = flags.precision.or(usual);
    let mut text = written(number.abs(), verb, precision);
    if flags.sharp && verb != 'b' {
        text = with_point(&text, verb, precision);
    }
    let sign = match (number.is_sign_negative(), flags.plus, flags.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    if !number.is_finite() {
        return Some(padded_with_spaces(&format!("{sign}{text}"), flags));
    }
    let width = flags.width.unwrap_or(0);
    if flags.zero && !flags.minus && !sign.is_empty() && width > text.len() + 1 {
        let zeros = "0".repeat(width - text.len() - 1);
        return Some(format!("{sign}{zeros}{text}"));
    }
    Some(padded(&format!("{sign}{text}"), flags))
}

/// The shortest text that is read as the same number.
pub(super) fn shortest(number: f64, verb: char) -> String {
    let sign = if number.is_sign_negative() { "-" } else { "" };
    format!("{sign}{}", written(number.abs(), verb, None))
}

fn written(number: f64, verb: char, precision: Option<usize>) -> String {
    match verb {
        'f' => fixed(number, precision),
        'e' => exponential(number, precision),
        'E' => exponential(number, precision).to_uppercase(),
        'G' => general(number, precision).to_uppercase(),
        'x' => hexadecimal(number, precision),
        'X' => hexadecimal(number, precision).to_uppercase(),
        'b' => binary(number),
        _ => general(number, precision),
    }
}

fn fixed(number: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else {
        return format!("{number}");
    };
    let most = precision.min(MOST_DIGITS);
    let zeros = "0".repeat(precision - most);
    format!("{number:.most$}{zeros}")
}

fn exponential(number: f64, precision: Option<usize>) -> String {
    let (mantissa, exponent) = parts(number, precision);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Mantissa and exponent, with so many digits after the point.
fn parts(number: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        Some(precision) => format!("{number:.*e}", precision.min(MOST_DIGITS)),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let beyond = precision.unwrap_or(0).saturating_sub(MOST_DIGITS);
    let zeros = "0".repeat(beyond);
    (format!("{mantissa}{zeros}"), exponent.parse().unwrap_or(0))
}

/// Plain unless the exponent is small or large.
fn general(number: f64, precision: Option<usize>) -> String {
    let wanted = precision.map(|precision| precision.max(1));
    let kept = wanted.map(|wanted| (wanted - 1).min(MOST_DIGITS));
    let (mantissa, exponent) = parts(number, kept);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let most = match wanted {
        None => 6,
        Some(wanted) => {
            let wanted = i32::try_from(wanted).unwrap_or(i32::MAX);
            if wanted > count && count > exponent {
                count
            } else {
                wanted
            }
        }
    };
    let after = |places: i32| usize::try_from(places).unwrap_or(0);
    if number != 0.0 && (exponent < -4 || exponent >= most) {
        return exponential(number, Some(after(count - 1)));
    }
    fixed(number, Some(after(count - 1 - exponent)))
}

/// With at least the wanted digits, and always a point.
fn with_point(text: &str, verb: char, precision: Option<usize>) -> String {
    let marks: &[char] = if matches!(verb, 'x' | 'X') {
        &['p', 'P']
    } else {
        &['e', 'E', 'p', 'P']
    };
    let cut = text.find(marks).unwrap_or(text.len());
    let (number, tail) = text.split_at(cut);
    let wanted = match verb {
        'g' | 'G' | 'x' | 'X' => precision.unwrap_or(6),
        _ => 0,
    };
    let digits = number.chars().filter(|c| *c != '.');
    let mut seen = digits.skip_while(|c| *c == '0').count();
    let mut all = number.to_owned();
    if !number.contains('.') {
        if number == "0" {
            seen += 1;
        }
        all.push('.');
    }
    all.push_str(&"0".repeat(wanted.saturating_sub(seen)));
    all.push_str(tail);
    all
}

const FRACTION_BITS: u32 = 52;

/// The mantissa without its hidden bit, and the exponent of a number.
fn bits(number: f64) -> (u64, i32) {
    let bits = number.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    let exponent = i32::try_from((bits >> FRACTION_BITS) & 0x7ff).unwrap_or(0);
    if exponent == 0 {
        (fraction, -1022)
    } else {
        (fraction | (1 << FRACTION_BITS), exponent - 1023)
    }
}

fn binary(number: f64) -> String {
    let (mantissa, exponent) = bits(number);
    let exponent = exponent - 52;
    let sign = if exponent < 0 { "" } else { "+" };
    format!("{mantissa}p{sign}{exponent}")
}

fn hexadecimal(number: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = bits(number);
    if mantissa == 0 {
        exponent = 0;
    }
    // One digit before the point, and 15 after it.
    mantissa <<= 60 - FRACTION_BITS;
    while mantissa != 0 && mantissa & (1 << 60) == 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let dropped = 60 - 4 * u32::try_from(precision).unwrap_or(0);
        let rest = mantissa & ((1 << dropped) - 1);
        mantissa >>= dropped;
        let half = 1 << (dropped - 1);
        if rest > half || (rest == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa & (1 << 61) != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let first = mantissa >> 60;
    let fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let fraction = match precision {
        None => fraction.trim_end_matches('0').to_owned(),
        Some(precision) => {
            let zeros = "0".repeat(precision.saturating_sub(15));
            format!(
                "{fraction:.precision$}{zeros}",
                precision = precision.min(15)
            )
        }
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x{first}{point}{fraction}p{sign}{:02}", exponent.abs())
}

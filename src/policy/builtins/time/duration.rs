//! Durations such as `1h30m`, as Go's `time.ParseDuration` reads them; OPA adds days, weeks and years.

/// The nanoseconds of a unit, and for OPA's own the hours.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const MOST: u64 = 1 << 63;

pub(super) fn nanoseconds(text: &str) -> Result<i64, String> {
    let invalid = || "invalid duration".to_owned();
    let rewritten;
    let mut known = text;
    if text.contains(['d', 'w', 'y']) {
        rewritten = in_hours(text).ok_or_else(invalid)?;
        known = &rewritten;
    }
    parsed(known).ok_or_else(invalid)
}

fn parsed(text: &str) -> Option<i64> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let nanoseconds;
        (nanoseconds, rest) = segment(rest)?;
        sum = sum.checked_add(nanoseconds).filter(|sum| *sum <= MOST)?;
    }
    if is_negative {
        return 0_i64.checked_sub_unsigned(sum);
    }
    i64::try_from(sum).ok()
}

/// One number with its unit, in nanoseconds, and what follows.
fn segment(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit());
    let (unit, rest) = rest.split_at(end.unwrap_or(rest.len()));
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let exact = whole.checked_mul(*unit).filter(|exact| *exact <= MOST)?;
    let exact = exact.checked_add(part(fraction, *unit))?;
    (exact <= MOST).then_some((exact, rest))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// A fraction of a unit, with the rounding that Go has.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "Go reckons like this; the result is below the unit"
)]
fn part(fraction: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0_u64, 1.0_f64);
    for digit in fraction.bytes() {
        if value > (MOST - 1) / 10 {
            break;
        }
        let next = value * 10 + u64::from(digit - b'0');
        if next > MOST {
            break;
        }
        value = next;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

/// With days, weeks and years as hours.
fn in_hours(text: &str) -> Option<String> {
    let mut rewritten = String::new();
    let mut rest = text;
    if let Some(sign) = text.chars().next().filter(|c| matches!(c, '-' | '+')) {
        rewritten.push(sign);
        rest = text.get(1..)?;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(end);
        let long = ["ms", "us", "\u{b5}s", "ns"];
        let unit = long.into_iter().find(|unit| after.starts_with(unit));
        let unit = unit.or_else(|| after.get(..1).filter(|unit| *unit >= "a" && *unit <= "z"))?;
        rest = after.strip_prefix(unit)?;
        let hours = match unit {
            "d" => Some(24.0),
            "w" => Some(7.0 * 24.0),
            "y" => Some(365.0 * 24.0),
            _ => None,
        };
        if number.is_empty() {
            return None;
        }
        if let Some(hours) = hours {
            let number: f64 = number.parse().ok()?;
            let hours = number * hours;
            if !hours.is_finite() {
                return None;
            }
            rewritten.push_str(&hours.to_string());
            rewritten.push('h');
        } else {
            rewritten.push_str(number);
            rewritten.push_str(unit);
        }
    }
    Some(rewritten)
}

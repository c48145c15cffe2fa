//! Semantic versions, as OPA 1.22 has them (`topdown/semver.go`): with a `v` before them, and in whole.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use regorus::Value;

use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[
    Own::new("semver.compare", 2, compare),
    Own::new("semver.is_valid", 1, is_valid),
];

#[expect(clippy::unnecessary_wraps, reason = "it is one of several")]
fn is_valid(arguments: Arguments<'_>) -> Answer {
    Ok(arguments
        .text(0)
        .is_ok_and(|text| parse(text).is_some())
        .into())
}

fn compare(arguments: Arguments<'_>) -> Answer {
    let (one, other) = (arguments.text(0)?, arguments.text(1)?);
    let version =
        |place: usize, text: &str| format!("operand {place}: string {text} is not a valid SemVer");
    let one = parse(one).ok_or_else(|| version(1, one))?;
    let other = parse(other).ok_or_else(|| version(2, other))?;
    let order = one.numbers.cmp(&other.numbers);
    let order = order.then_with(|| releases(one.pre_release, other.pre_release));
    Ok(Value::from(i64::from(order as i8)))
}

struct Version<'a> {
    numbers: [i64; 3],
    pre_release: Option<&'a str>,
}

fn parse(text: &str) -> Option<Version<'_>> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, metadata) = cut(text, '+');
    let (text, pre_release) = cut(text, '-');
    let is_plain = |part: &str| {
        let is_letter = |letter: u8| letter == b'-' || letter.is_ascii_alphanumeric();
        !part.is_empty() && part.bytes().all(is_letter)
    };
    let is_led = |part: &str| part.len() > 1 && part.starts_with('0') && is_number(part);
    if !metadata.is_none_or(|it| it.split('.').all(is_plain))
        || !pre_release.is_none_or(|it| it.split('.').all(|part| is_plain(part) && !is_led(part)))
    {
        return None;
    }
    let mut parts = text.split('.').map(|part| {
        let is_led = part.len() > 1 && part.starts_with('0');
        (is_number(part) && !is_led).then(|| part.parse().ok())?
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(Version {
        numbers,
        pre_release,
    })
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit())
}

/// A version before its release is less than the release.
fn releases(one: Option<&str>, other: Option<&str>) -> Ordering {
    let (Some(one), Some(other)) = (one, other) else {
        return one.is_none().cmp(&other.is_none());
    };
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        let (one, other) = match (ones.next(), others.next()) {
            (Some(one), Some(other)) => (one, other),
            (one, other) => return one.is_some().cmp(&other.is_some()),
        };
        // As in Go, a number that is too large is the largest.
        let number = |part: &str| part.parse().unwrap_or(i64::MAX);
        let order = match (is_number(one), is_number(other)) {
            (true, true) => number(one).cmp(&number(other)),
            (false, false) => one.cmp(other),
            (is_number, _) => (!is_number).cmp(&is_number),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

//! Texts, as OPA 1.22 has them (`topdown/strings.go`).

mod case;
mod replace;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use regorus::Value;

use super::arguments::{bounded, wrong};
use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[
    Own::new("concat", 2, concat),
    Own::new("contains", 2, |given| on_two(given, |a, b| a.contains(b))),
    Own::new("endswith", 2, |given| on_two(given, |a, b| a.ends_with(b))),
    Own::new("indexof", 2, index_of),
    Own::new("indexof_n", 2, index_of_all),
    Own::new("lower", 1, |given| on_one(given, case::lower)),
    Own::new("replace", 3, replace::one),
    Own::new("split", 2, split),
    Own::new("startswith", 2, |given| {
        on_two(given, |a, b| a.starts_with(b))
    }),
    Own::new("strings.any_prefix_match", 2, any_prefix),
    Own::new("strings.any_suffix_match", 2, any_suffix),
    Own::new("strings.count", 2, count),
    Own::new("strings.replace_n", 2, replace::many),
    Own::new("strings.reverse", 1, |given| {
        on_one(given, |text| text.chars().rev().collect())
    }),
    Own::new("strings.split_n", 3, split_n),
    Own::new("substring", 3, substring),
    Own::new("trim", 2, |given| {
        trim(given, |text, cut| text.trim_matches(|c| cut.contains(&c)))
    }),
    Own::new("trim_left", 2, |given| {
        trim(given, |text, cut| {
            text.trim_start_matches(|c| cut.contains(&c))
        })
    }),
    Own::new("trim_prefix", 2, |given| {
        cut(given, |text, part| text.strip_prefix(part))
    }),
    Own::new("trim_right", 2, |given| {
        trim(given, |text, cut| {
            text.trim_end_matches(|c| cut.contains(&c))
        })
    }),
    Own::new("trim_space", 1, |given| {
        on_one(given, |text| text.trim().to_owned())
    }),
    Own::new("trim_suffix", 2, |given| {
        cut(given, |text, part| text.strip_suffix(part))
    }),
    Own::new("upper", 1, |given| on_one(given, case::upper)),
];

fn on_one(given: Arguments<'_>, change: fn(&str) -> String) -> Answer {
    Ok(change(given.text(0)?).into())
}

fn on_two(given: Arguments<'_>, holds: fn(&str, &str) -> bool) -> Answer {
    Ok(holds(given.text(0)?, given.text(1)?).into())
}

/// Trims characters; the second text lists them.
fn trim(given: Arguments<'_>, trimmed: for<'a> fn(&'a str, &BTreeSet<char>) -> &'a str) -> Answer {
    let (text, listed) = (given.text(0)?, given.text(1)?);
    Ok(trimmed(text, &listed.chars().collect()).into())
}

/// Cuts one text off another, once.
fn cut(given: Arguments<'_>, rest: for<'a> fn(&'a str, &str) -> Option<&'a str>) -> Answer {
    let (text, part) = (given.text(0)?, given.text(1)?);
    Ok(rest(text, part).unwrap_or(text).into())
}

fn from_count(count: usize) -> Value {
    Value::from(u64::try_from(count).unwrap_or(u64::MAX))
}

/// How often a text stands in another, without overlap; the empty one once more often than there are characters.
fn count(given: Arguments<'_>) -> Answer {
    Ok(from_count(given.text(0)?.matches(given.text(1)?).count()))
}

fn concat(given: Arguments<'_>) -> Answer {
    let (between, parts) = (given.text(0)?, given.texts(1)?);
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    bounded(bytes.saturating_add(between.len().saturating_mul(parts.len())))?;
    Ok(parts.join(between).into())
}

fn split(given: Arguments<'_>) -> Answer {
    let (text, between) = (given.text(0)?, given.text(1)?);
    Ok(pieces(text, between).collect::<Vec<Value>>().into())
}

/// Between empty texts stand the characters, as Go has it.
fn pieces<'a>(text: &'a str, between: &'a str) -> Box<dyn Iterator<Item = Value> + 'a> {
    if between.is_empty() {
        let mut bytes = [0; 4];
        Box::new(
            text.chars()
                .map(move |c| Value::from(&*c.encode_utf8(&mut bytes))),
        )
    } else {
        Box::new(text.split(between).map(Value::from))
    }
}

/// The first pieces, or the last ones if it is negative.
fn split_n(given: Arguments<'_>) -> Answer {
    let (text, between, most) = (given.text(0)?, given.text(1)?, given.integer(2)?);
    let count = usize::try_from(most.unsigned_abs()).unwrap_or(usize::MAX);
    let pieces = pieces(text, between);
    if most >= 0 {
        return Ok(pieces.take(count).collect::<Vec<Value>>().into());
    }
    let all: Vec<Value> = pieces.collect();
    let skipped = all.len().saturating_sub(count);
    Ok(all.into_iter().skip(skipped).collect::<Vec<Value>>().into())
}

fn searched(given: Arguments<'_>) -> Result<(&str, &str), String> {
    let (text, part) = (given.text(0)?, given.text(1)?);
    if part.is_empty() {
        return Err("empty search character".to_owned());
    }
    Ok((text, part))
}

/// The place in characters, or -1.
fn index_of(given: Arguments<'_>) -> Answer {
    let (text, part) = searched(given)?;
    Ok(match text.split_once(part) {
        Some((before, _)) => from_count(before.chars().count()),
        None => Value::from(-1_i64),
    })
}

/// All places in characters, overlapping ones too.
fn index_of_all(given: Arguments<'_>) -> Answer {
    let (text, part) = searched(given)?;
    let (text, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    let prefixes = prefixes(&part);
    let (mut found, mut matched) = (Vec::new(), 0);
    for (place, character) in text.iter().enumerate() {
        matched = extended(&part, &prefixes, matched, *character);
        if matched == part.len() {
            found.push(from_count(place + 1 - matched));
        }
    }
    Ok(found.into())
}

/// For each beginning of a text, the length of the longest shorter beginning that it ends with (Knuth, Morris, Pratt).
fn prefixes(part: &[char]) -> Vec<usize> {
    let mut lengths = vec![0];
    let mut matched = 0;
    for character in part.iter().skip(1) {
        matched = extended(part, &lengths, matched, *character);
        lengths.push(matched);
    }
    lengths
}

/// How much of a text has been seen after one more character.
fn extended(part: &[char], prefixes: &[usize], mut matched: usize, next: char) -> usize {
    loop {
        if part.get(matched) == Some(&next) {
            return matched + 1;
        }
        let Some(before) = matched.checked_sub(1) else {
            return 0;
        };
        matched = prefixes.get(before).copied().unwrap_or(0);
    }
}

/// By characters; a negative length means the rest.
fn substring(given: Arguments<'_>) -> Answer {
    let (text, start, length) = (given.text(0)?, given.integer(1)?, given.integer(2)?);
    let start = usize::try_from(start).map_err(|_negative| "negative offset".to_owned())?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let part: String = text.chars().skip(start).take(length).collect();
    Ok(part.into())
}

/// One text, or those of a collection.
fn one_or_more(given: Arguments<'_>, place: usize) -> Result<Vec<&str>, String> {
    match given.any(place)? {
        Value::String(text) => Ok(vec![text]),
        Value::Array(_) | Value::Set(_) => given.texts(place),
        other => Err(wrong(place, "one of {string, set, array}", other)),
    }
}

fn any_prefix(given: Arguments<'_>) -> Answer {
    let (texts, prefixes) = (one_or_more(given, 0)?, one_or_more(given, 1)?);
    let bytes = |text: &&str| text.bytes().collect();
    let texts = texts.iter().map(bytes).collect();
    Ok(begins(texts, prefixes.iter().map(bytes)).into())
}

fn any_suffix(given: Arguments<'_>) -> Answer {
    let (texts, suffixes) = (one_or_more(given, 0)?, one_or_more(given, 1)?);
    let reversed = |text: &&str| text.bytes().rev().collect();
    let texts = texts.iter().map(reversed).collect();
    Ok(begins(texts, suffixes.iter().map(reversed)).into())
}

/// Whether one of the texts begins with one of the others. Sorted, the one after a prefix is the only one to look at.
fn begins(mut texts: Vec<Vec<u8>>, mut prefixes: impl Iterator<Item = Vec<u8>>) -> bool {
    texts.sort_unstable();
    prefixes.any(|prefix| {
        let place = texts.partition_point(|text| *text < prefix);
        texts
            .get(place)
            .is_some_and(|text| text.starts_with(&prefix))
    })
}

//! Replacing, as Go's `strings.Replacer` does it: from the left, all texts at once, never in what was replaced.

use aho_corasick::{AhoCorasick, MatchKind};
use regorus::Value;

use crate::policy::builtins::arguments::{MOST_BYTES, bounded, wrong};
use crate::policy::builtins::{Answer, Arguments};

/// What all texts to be replaced may have together: a machine is built for them in each call.
const MOST_PATTERNS: usize = 64 << 10;

pub(super) fn one(given: Arguments<'_>) -> Answer {
    let (text, old, new) = (given.text(0)?, given.text(1)?, given.text(2)?);
    if old.is_empty() {
        return between_characters(text, new, &[]);
    }
    let count = text.matches(old).count();
    bounded(text.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(text.replace(old, new).into())
}

pub(super) fn many(given: Arguments<'_>) -> Answer {
    let (pairs, text) = (given.any(0)?, given.text(1)?);
    let Value::Object(pairs) = pairs else {
        return Err(wrong(0, "object", pairs));
    };
    let mut empty = None;
    let mut known = Vec::new();
    for (key, value) in pairs.iter_sorted() {
        let Value::String(key) = key else {
            return Err("operand 1 non-string key found in pattern object".to_owned());
        };
        let Value::String(value) = value else {
            return Err("operand 1 non-string value found in pattern object".to_owned());
        };
        if key.is_empty() {
            empty = Some(value.as_ref());
        } else {
            known.push((key.as_ref(), value.as_ref()));
        }
    }
    match empty {
        Some(new) => between_characters(text, new, &known),
        None => Ok(replaced(text, &known, |_, part| Ok(part.to_owned()))?.into()),
    }
}

/// The empty text is found before each character and at the end.
fn between_characters(text: &str, new: &str, known: &[(&str, &str)]) -> Answer {
    if !text.is_ascii() {
        // Go finds it before each byte, and makes a text that is none.
        return Err("the empty text can only be replaced in ASCII".to_owned());
    }
    let spread = |before: usize, part: &str| {
        bounded(before.saturating_add(part.len().saturating_mul(new.len() + 1)))?;
        let characters = part.chars();
        Ok(characters.flat_map(|c| new.chars().chain([c])).collect())
    };
    // What is found has it before itself as well.
    let with: Vec<(&str, String)> = known
        .iter()
        .map(|(old, by)| (*old, format!("{new}{by}")))
        .collect();
    let with: Vec<(&str, &str)> = with.iter().map(|(old, by)| (*old, by.as_str())).collect();
    let mut all = replaced(text, &with, spread)?;
    all.push_str(new);
    Ok(all.into())
}

/// Where several begin at one place, the first of them in the order of the keys; `rest` gets what stands between.
fn replaced(
    text: &str,
    known: &[(&str, &str)],
    rest: impl Fn(usize, &str) -> Result<String, String>,
) -> Result<String, String> {
    let size: usize = known.iter().map(|(old, _)| old.len()).sum();
    if size > MOST_PATTERNS {
        return Err("the texts to be replaced have more than 64 KiB".to_owned());
    }
    let machine = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(known.iter().map(|(old, _)| old))
        .map_err(|error| error.to_string())?;
    let (mut all, mut done) = (String::with_capacity(text.len().min(MOST_BYTES)), 0);
    for found in machine.find_iter(text) {
        all.push_str(&rest(
            all.len(),
            text.get(done..found.start()).unwrap_or_default(),
        )?);
        let by = known.get(found.pattern().as_usize());
        all.push_str(by.map_or("", |(_, by)| by));
        bounded(all.len())?;
        done = found.end();
    }
    all.push_str(&rest(all.len(), text.get(done..).unwrap_or_default())?);
    bounded(all.len())?;
    Ok(all)
}

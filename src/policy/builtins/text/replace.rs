//! Replacing, as Go's `strings.Replacer` does it: from the left, all texts at once, never in what was replaced.

use regorus::Value;

use crate::policy::builtins::arguments::{bounded, wrong};
use crate::policy::builtins::{Answer, Arguments};

/// The longest text to be replaced: at each place of the other one it may be compared.
const MOST_OLD: usize = 256;

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
        None => Ok(replaced(text, &known, |_, between| Ok(between.to_owned()))?.into()),
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
    let known = Known::new(known)?;
    let (mut all, mut done, mut next) = (String::with_capacity(text.len()), 0, 0);
    while let Some(left) = text.as_bytes().get(next..) {
        let Some((length, by)) = known.at_start(left) else {
            next += 1;
            continue;
        };
        let between = text.get(done..next).unwrap_or_default();
        all.push_str(&rest(all.len(), between)?);
        all.push_str(by);
        bounded(all.len())?;
        next += length;
        done = next;
    }
    all.push_str(&rest(all.len(), text.get(done..).unwrap_or_default())?);
    bounded(all.len())?;
    Ok(all)
}

/// Texts to be replaced in their order, none of which begins with another one: that would never be found.
struct Known<'a> {
    texts: Vec<(&'a [u8], &'a str)>,
    /// Whether one of them begins with the byte.
    firsts: [bool; 256],
}

impl<'a> Known<'a> {
    fn new(all: &[(&'a str, &'a str)]) -> Result<Self, String> {
        let mut texts: Vec<(&[u8], &str)> = Vec::with_capacity(all.len());
        let mut firsts = [false; 256];
        for (old, by) in all {
            if old.len() > MOST_OLD {
                return Err("a text to be replaced has more than 256 bytes".to_owned());
            }
            let old = old.as_bytes();
            if texts
                .last()
                .is_some_and(|(before, _)| old.starts_with(before))
            {
                continue;
            }
            if let Some(first) = old
                .first()
                .and_then(|first| firsts.get_mut(usize::from(*first)))
            {
                *first = true;
            }
            texts.push((old, by));
        }
        Ok(Self { texts, firsts })
    }

    /// The length of the one that a text begins with, and what stands in its place.
    fn at_start(&self, text: &[u8]) -> Option<(usize, &'a str)> {
        let first = usize::from(*text.first()?);
        if self.firsts.get(first) != Some(&true) {
            return None;
        }
        let after = self.texts.partition_point(|(old, _)| *old <= text);
        let (old, by) = self.texts.get(after.checked_sub(1)?)?;
        text.starts_with(old).then_some((old.len(), *by))
    }
}

//! Regular expressions, as OPA 1.22 has them (`topdown/regex.go`).

mod common;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use regorus::Value;

use super::arguments::bounded;
use super::patterns::{self, Pattern, Place, Wanted, syntax};
use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[
    Own::new(
        "regex.find_all_string_submatch_n",
        3,
        find_all_string_submatch_n,
    ),
    Own::new("regex.find_n", 3, find_n),
    Own::new("regex.globs_match", 2, globs_match),
    Own::new("regex.is_valid", 1, is_valid),
    Own::new("regex.match", 2, matches),
    Own::new("regex.replace", 3, replace),
    Own::new("regex.split", 2, split),
    Own::new("regex.template_match", 4, template_match),
];

/// Why OPA would not take the pattern.
pub(in super::super) fn fault(pattern: &str) -> Option<String> {
    compiled(pattern).err()
}

fn compiled(pattern: &str) -> Result<Rc<Pattern>, String> {
    patterns::kept(&format!("r{pattern}"), Wanted::Whole, || {
        syntax::read(pattern)
    })
}

fn compiled_with_groups(pattern: &str) -> Result<Rc<Pattern>, String> {
    patterns::kept(&format!("R{pattern}"), Wanted::Groups, || {
        syntax::read(pattern)
    })
}

fn matches(arguments: Arguments<'_>) -> Answer {
    let (pattern, text) = (arguments.text(0)?, arguments.text(1)?);
    Ok(compiled(pattern)?.is_match(text)?.into())
}

fn is_valid(arguments: Arguments<'_>) -> Answer {
    let Ok(pattern) = arguments.text(0) else {
        return Ok(false.into());
    };
    patterns::readable(pattern)?;
    Ok(syntax::read(pattern).is_ok().into())
}

/// What the text has there.
fn part(text: &str, (start, end): Place) -> &str {
    text.get(start..end)
        .expect("a match begins and ends between characters")
}

fn split(arguments: Arguments<'_>) -> Answer {
    let (pattern, text) = (arguments.text(0)?, arguments.text(1)?);
    let compiled = compiled(pattern)?;
    if text.is_empty() && !pattern.is_empty() {
        return Ok(Value::from(vec![Value::from("")]));
    }
    let (mut parts, mut begins, mut ends) = (Vec::new(), 0, 0);
    for (start, end) in compiled.matches(text, usize::MAX)? {
        ends = start;
        if end != 0 {
            parts.push(Value::from(part(text, (begins, start))));
        }
        begins = end;
    }
    if ends != text.len() {
        parts.push(Value::from(part(text, (begins, text.len()))));
    }
    Ok(Value::from(parts))
}

/// How many matches are wanted: all, if it is negative.
fn most(arguments: Arguments<'_>, place: usize) -> Result<usize, String> {
    let most = arguments.integer(place)?;
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

fn find_n(arguments: Arguments<'_>) -> Answer {
    let (pattern, text) = (arguments.text(0)?, arguments.text(1)?);
    let most = most(arguments, 2)?;
    let found = compiled(pattern)?.matches(text, most)?;
    let found = found.into_iter().map(|place| part(text, place).into());
    Ok(Value::from(found.collect::<Vec<Value>>()))
}

fn find_all_string_submatch_n(arguments: Arguments<'_>) -> Answer {
    let (pattern, text) = (arguments.text(0)?, arguments.text(1)?);
    let most = most(arguments, 2)?;
    let compiled = compiled_with_groups(pattern)?;
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    for groups in compiled.groups(text, most)? {
        let groups = groups.into_iter().map(|place| match place {
            Some(place) => Value::from(part(text, place)),
            None => Value::from(""),
        });
        let groups: Vec<Value> = groups.collect();
        let of_group = |group: &Value| 1 + group.as_string().map_or(0, |text| text.len());
        bytes = bytes.saturating_add(groups.iter().map(of_group).sum());
        bounded(bytes)?;
        found.push(Value::from(groups));
    }
    Ok(Value::from(found))
}

fn replace(arguments: Arguments<'_>) -> Answer {
    let (text, pattern) = (arguments.text(0)?, arguments.text(1)?);
    let replacement = arguments.text(2)?;
    let compiled = compiled_with_groups(pattern)?;
    let template = template(replacement, &compiled)?;
    let (mut made, mut begins) = (String::new(), 0);
    for groups in compiled.groups(text, usize::MAX)? {
        let Some(Some(whole)) = groups.first().copied() else {
            continue;
        };
        made.push_str(part(text, (begins, whole.0)));
        for piece in &template {
            match piece {
                Piece::Text(text) => made.push_str(text),
                Piece::Groups(numbers) => {
                    let place = |number: &usize| groups.get(*number).copied().flatten();
                    if let Some(place) = numbers.iter().find_map(place) {
                        made.push_str(part(text, place));
                    }
                }
            }
            bounded(made.len())?;
        }
        begins = whole.1;
    }
    made.push_str(part(text, (begins, text.len())));
    bounded(made.len())?;
    Ok(made.into())
}

/// A part of what takes the place of a match.
enum Piece<'a> {
    Text(&'a str),
    /// The first of these groups that has a part in the match.
    Groups(Vec<usize>),
}

/// Takes `$1`, `${name}` and `$$` apart as Go's `Expand` does.
fn template<'a>(template: &'a str, pattern: &Pattern) -> Result<Vec<Piece<'a>>, String> {
    let letters = compiled(r"[\pL\p{Nd}_]+")?;
    let (mut pieces, mut rest) = (Vec::new(), template);
    while let Some((before, after)) = rest.split_once('$') {
        pieces.push(Piece::Text(before));
        if let Some(after) = after.strip_prefix('$') {
            pieces.push(Piece::Text("$"));
            rest = after;
            continue;
        }
        let braced = after.strip_prefix('{');
        let named = braced.unwrap_or(after);
        let (name, behind) = named.split_at(letters.begins(named));
        let behind = match braced {
            Some(_) => behind.strip_prefix('}'),
            None => Some(behind),
        };
        match behind {
            Some(behind) if !name.is_empty() => {
                pieces.push(Piece::Groups(groups(name, pattern)));
                rest = behind;
            }
            _ => {
                pieces.push(Piece::Text("$"));
                rest = after;
            }
        }
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// The groups that a name or a number means.
fn groups(name: &str, pattern: &Pattern) -> Vec<usize> {
    let is_number = name.bytes().all(|digit| digit.is_ascii_digit());
    if is_number && (name == "0" || !name.starts_with('0')) {
        return name.parse().into_iter().collect();
    }
    let names = pattern.names.iter().enumerate();
    let meant = names.filter(|(_, known)| known.as_deref() == Some(name));
    meant.map(|(number, _)| number).collect()
}

/// Matches with a pattern that is plain text with regular expressions between delimiters.
fn template_match(arguments: Arguments<'_>) -> Answer {
    let (template, text) = (arguments.text(0)?, arguments.text(1)?);
    patterns::readable(template)?;
    let (open, close) = (delimiter(arguments, 2)?, delimiter(arguments, 3)?);
    let unbalanced = || format!("unbalanced braces in {template:?}");
    let (mut pattern, mut level, mut begins) = ("^".to_owned(), 0_usize, 0);
    for (place, byte) in template.bytes().enumerate() {
        if byte == open {
            level += 1;
            if level == 1 {
                pattern += &regex_syntax::escape(part(template, (begins, place)));
                begins = place + 1;
            }
        } else if byte == close {
            level = level.checked_sub(1).ok_or_else(unbalanced)?;
            if level == 0 {
                let inner = part(template, (begins, place));
                syntax::read(&format!("^{inner}$"))?;
                pattern.extend(["(", inner, ")"]);
                begins = place + 1;
            }
        }
    }
    if level != 0 {
        return Err(unbalanced());
    }
    pattern += &regex_syntax::escape(part(template, (begins, template.len())));
    pattern.push('$');
    Ok(compiled(&pattern)?.is_match(text)?.into())
}

fn delimiter(arguments: Arguments<'_>, place: usize) -> Result<u8, String> {
    match arguments.text(place)?.as_bytes() {
        [only] => Ok(*only),
        text => Err(format!(
            "{} delimiter has to be exactly one character long but is {} long",
            if place == 2 { "start" } else { "end" },
            text.len()
        )),
    }
}

/// Whether there is a text that both match.
fn globs_match(arguments: Arguments<'_>) -> Answer {
    Ok(common::have_common(arguments.text(0)?, arguments.text(1)?)?.into())
}

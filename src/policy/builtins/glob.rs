//! Globs, as OPA 1.22 has them (`topdown/glob.go`, and the library `gobwas/glob` that it uses).

#[cfg(test)]
mod tests;

use std::iter::Peekable;
use std::str::Chars;

use regex_syntax::hir::{Class, ClassUnicode, Hir, Look, Repetition};
use regorus::Value;

use super::arguments::wrong;
use super::patterns::class;
use super::patterns::{self, Read, Wanted};
use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[
    Own::new("glob.match", 3, matches),
    Own::new("glob.quote_meta", 1, quote_meta),
];

/// How deep braces may nest.
const MOST_DEPTH: usize = 250;

/// Why OPA would not take the glob.
pub(in super::super) fn fault(glob: &str) -> Option<String> {
    read(glob, &[]).err()
}

/// Whether a glob without separators is about that: what is no glob is about nothing.
pub(in super::super) fn is_about(glob: &str, text: &str) -> bool {
    has(glob, &[], text).unwrap_or(false)
}

fn matches(arguments: Arguments<'_>) -> Answer {
    let glob = arguments.text(0)?;
    let separators = separators(arguments)?;
    Ok(has(glob, &separators, arguments.text(2)?)?.into())
}

fn has(glob: &str, separators: &[char], text: &str) -> Result<bool, String> {
    let mut key = "g".to_owned();
    key.extend(separators);
    // Separators are given by the argument, and a glob has no way to end them.
    key = format!("{key}\u{0}{}\u{0}{glob}", separators.len());
    let pattern = patterns::kept(&key, Wanted::Whole, || read(glob, separators))?;
    pattern.is_match(text)
}

fn quote_meta(arguments: Arguments<'_>) -> Answer {
    let mut quoted = String::new();
    for letter in arguments.text(0)?.chars() {
        if "*?\\[]{}".contains(letter) {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    Ok(quoted.into())
}

/// `null`: there are none. An empty list: the dot is.
fn separators(arguments: Arguments<'_>) -> Result<Vec<char>, String> {
    let members = match arguments.any(1)? {
        Value::Null => return Ok(Vec::new()),
        Value::Array(members) if members.is_empty() => return Ok(vec!['.']),
        Value::Array(members) => members,
        other => return Err(wrong(1, "one of {array, null}", other)),
    };
    let separator = |member: &Value| {
        let Value::String(text) = member else {
            return Err("operand 2 must be array of strings".to_owned());
        };
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(only), None) => Ok(only),
            _ => Err("operand 2 must be array of runes: one character each".to_owned()),
        }
    };
    members.iter().map(separator).collect()
}

/// As a regular expression.
fn read(glob: &str, separators: &[char]) -> Result<Read, String> {
    let mut inside = ClassUnicode::empty();
    for separator in separators {
        inside.union(&class::range(u32::from(*separator), u32::from(*separator)));
    }
    inside.negate();
    let mut reader = Reader {
        letters: glob.chars().peekable(),
        inside: Hir::class(Class::Unicode(inside)),
    };
    let hir = reader.all()?;
    let hir = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
    let names = vec![None];
    Ok(Read { hir, names })
}

/// Braces that are not closed yet, or the whole.
#[derive(Default)]
struct Open {
    alternatives: Vec<Hir>,
    parts: Vec<Hir>,
}

impl Open {
    fn end_alternative(&mut self) {
        let parts = std::mem::take(&mut self.parts);
        self.alternatives.push(Hir::concat(parts));
    }

    fn close(mut self) -> Hir {
        self.end_alternative();
        Hir::alternation(self.alternatives)
    }
}

struct Reader<'p> {
    letters: Peekable<Chars<'p>>,
    /// A character that is no separator.
    inside: Hir,
}

impl Reader<'_> {
    fn all(&mut self) -> Result<Hir, String> {
        let mut open = Vec::new();
        let mut here = Open::default();
        while let Some(letter) = self.letters.next() {
            let part = match letter {
                '{' if open.len() == MOST_DEPTH => {
                    return Err(format!("more than {MOST_DEPTH} braces are open"));
                }
                '{' => {
                    open.push(std::mem::take(&mut here));
                    continue;
                }
                ',' if !open.is_empty() => {
                    here.end_alternative();
                    continue;
                }
                '}' if !open.is_empty() => {
                    let closed = std::mem::replace(&mut here, open.pop().unwrap_or_default());
                    closed.close()
                }
                '?' => self.inside.clone(),
                '*' if self.letters.next_if_eq(&'*').is_some() => any_number(all()),
                '*' => any_number(self.inside.clone()),
                '[' => Hir::class(Class::Unicode(self.class()?)),
                '\\' => one(self.letters.next().ok_or("trailing backslash")?),
                letter => one(letter),
            };
            here.parts.push(part);
        }
        if !open.is_empty() {
            return Err("unclosed `{`".to_owned());
        }
        Ok(here.close())
    }

    /// One range, or a list of characters in which `-` is one of them.
    fn class(&mut self) -> Result<ClassUnicode, String> {
        let is_negated = self.letters.next_if_eq(&'!').is_some();
        let ended = || "unexpected end of input".to_owned();
        let mut ahead = self.letters.clone();
        let first = ahead.next().ok_or_else(ended)?;
        let mut class = if ahead.next_if_eq(&'-').is_some() {
            let last = ahead.next().ok_or_else(ended)?;
            let is_closed = ahead.next().ok_or_else(ended)? == ']';
            self.letters = ahead;
            if last < first {
                return Err("range hi character is less than lo".to_owned());
            }
            if !is_closed {
                return Err("expected close range character".to_owned());
            }
            class::range(u32::from(first), u32::from(last))
        } else {
            self.listed()?
        };
        if is_negated {
            class.negate();
        }
        Ok(class)
    }

    fn listed(&mut self) -> Result<ClassUnicode, String> {
        let mut class = ClassUnicode::empty();
        loop {
            let ended = || "unexpected end of input".to_owned();
            let letter = match self.letters.next().ok_or_else(ended)? {
                ']' => break,
                '\\' => self.letters.next().ok_or("trailing backslash")?,
                letter => letter,
            };
            class.union(&class::range(u32::from(letter), u32::from(letter)));
        }
        if class.ranges().is_empty() {
            return Err("could not parse range".to_owned());
        }
        Ok(class)
    }
}

fn one(letter: char) -> Hir {
    Hir::literal(letter.to_string().into_bytes())
}

fn all() -> Hir {
    Hir::dot(regex_syntax::hir::Dot::AnyChar)
}

fn any_number(of: Hir) -> Hir {
    Hir::repetition(Repetition {
        min: 0,
        max: None,
        greedy: true,
        sub: Box::new(of),
    })
}

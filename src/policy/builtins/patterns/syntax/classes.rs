//! Reads classes of letters, and letters that are written by an escape.

use regex_syntax::hir::{Class, ClassUnicode, Hir};

use super::{BAD_ESCAPE, BAD_RANGE, NO_BRACKET, Outcome, Problem, Reader};
use crate::policy::builtins::patterns::class;

impl<'p> Reader<'p> {
    /// `\d`, `\pL` and their like.
    pub(super) fn known_class(&mut self) -> Outcome<'p, Option<ClassUnicode>> {
        let start = self.rest;
        let mut letters = start.chars();
        let (Some('\\'), Some(letter)) = (letters.next(), letters.next()) else {
            return Ok(None);
        };
        if let Some(class) = class::perl(letter, self.flags.folds) {
            self.skip(2);
            return Ok(Some(class));
        }
        if !matches!(letter, 'p' | 'P') {
            return Ok(None);
        }
        self.skip(2);
        let name = if let Some(braced) = self.rest.strip_prefix('{') {
            let Some((name, rest)) = braced.split_once('}') else {
                return Err(Problem(BAD_RANGE, start));
            };
            self.rest = rest;
            name
        } else {
            let before = self.rest;
            self.next();
            self.since(before)
        };
        let plain = name.strip_prefix('^');
        let Some(mut class) = class::unicode(plain.unwrap_or(name)) else {
            return Err(Problem(BAD_RANGE, self.since(start)));
        };
        if self.flags.folds {
            class::fold(&mut class);
        }
        if (letter == 'P') != plain.is_some() {
            class.negate();
        }
        Ok(Some(class))
    }

    /// One character behind a backslash, as its number.
    pub(super) fn escape(&mut self) -> Outcome<'p, u32> {
        let start = self.rest;
        self.skip(1);
        let Some(letter) = self.next() else {
            return Err(Problem("trailing backslash at end of expression", ""));
        };
        let code = match letter {
            '1'..='7' if !self.rest.starts_with(|next| matches!(next, '0'..='7')) => None,
            '0'..='7' => {
                let mut code = letter.to_digit(8).unwrap_or_default();
                for _digit in 0..2 {
                    let Some(digit) = self.rest.chars().next().and_then(|it| it.to_digit(8)) else {
                        break;
                    };
                    self.skip(1);
                    code = code * 8 + digit;
                }
                Some(code)
            }
            'x' => self.hexadecimal(),
            'a' => Some(0x07),
            'f' => Some(0x0c),
            'n' => Some(0x0a),
            'r' => Some(0x0d),
            't' => Some(0x09),
            'v' => Some(0x0b),
            letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() => {
                Some(u32::from(letter))
            }
            _ => None,
        };
        code.ok_or_else(|| Problem(BAD_ESCAPE, self.since(start)))
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        if !self.rest.starts_with('{') {
            let high = self.next()?.to_digit(16)?;
            return Some(high * 16 + self.next()?.to_digit(16)?);
        }
        self.skip(1);
        let mut code = None;
        loop {
            match self.next()? {
                '}' => return code,
                digit => {
                    let digit = digit.to_digit(16)?;
                    let next = code.unwrap_or(0) * 16 + digit;
                    code = (next <= u32::from(char::MAX)).then_some(next);
                    code?;
                }
            }
        }
    }

    /// What stands in brackets.
    pub(super) fn class(&mut self) -> Outcome<'p, ()> {
        let start = self.rest;
        self.skip(1);
        let is_negated = self.rest.starts_with('^');
        self.skip(usize::from(is_negated));
        let mut class = ClassUnicode::empty();
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            if let Some(named) = self.named_class()? {
                class.union(&named);
            } else if let Some(known) = self.known_class()? {
                class.union(&known);
            } else {
                class.union(&self.range(start)?);
            }
        }
        self.skip(1);
        if is_negated {
            class.negate();
        }
        self.push(Hir::class(Class::Unicode(class)));
        Ok(())
    }

    fn named_class(&mut self) -> Outcome<'p, Option<ClassUnicode>> {
        let start = self.rest;
        let Some((name, rest)) = start.strip_prefix("[:").and_then(|it| it.split_once(":]")) else {
            return Ok(None);
        };
        self.rest = rest;
        match class::posix(name, self.flags.folds) {
            Some(class) => Ok(Some(class)),
            None => Err(Problem(BAD_RANGE, self.since(start))),
        }
    }

    /// One character, or all from one to another.
    fn range(&mut self, whole: &'p str) -> Outcome<'p, ClassUnicode> {
        let start = self.rest;
        let low = self.member(whole)?;
        let mut high = low;
        // `[a-]` is two characters.
        if self.rest.starts_with('-') && self.rest.len() > 1 && !self.rest.starts_with("-]") {
            self.skip(1);
            high = self.member(whole)?;
            if high < low {
                return Err(Problem(BAD_RANGE, self.since(start)));
            }
        }
        let mut range = class::range(low, high);
        if self.flags.folds {
            class::fold(&mut range);
        }
        Ok(range)
    }

    fn member(&mut self, whole: &'p str) -> Outcome<'p, u32> {
        if self.rest.starts_with('\\') {
            return self.escape();
        }
        self.next().map(u32::from).ok_or(Problem(NO_BRACKET, whole))
    }
}

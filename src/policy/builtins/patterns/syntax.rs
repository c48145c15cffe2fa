//! Regular expressions as Go's `regexp` reads them (RE2 with Perl's additions): what it refuses is refused.

mod classes;

use regex_syntax::hir::{Capture, Class, Dot, Hir, Look, Repetition};

use super::{Read, class};

/// How often one repetition may repeat, with those around it.
const MOST_COPIES: u32 = 1000;

/// How deep groups and repetitions may nest. (Go has 1,000.)
const MOST_DEPTH: usize = 250;

/// Reads a pattern, or says why Go would not.
pub(in crate::policy::builtins) fn read(pattern: &str) -> Result<Read, String> {
    let mut reader = Reader {
        rest: pattern,
        flags: Flags::default(),
        open: vec![Group::default()],
        names: vec![None],
    };
    reader.all().map_err(|problem| match problem {
        Problem(what, "") => what.to_owned(),
        Problem(what, text) => format!("{what}: `{text}`"),
    })
}

/// What is wrong, and where.
struct Problem<'p>(&'static str, &'p str);

type Outcome<'p, T> = Result<T, Problem<'p>>;

const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_GROUP: &str = "invalid or unsupported Perl syntax";
const BAD_RANGE: &str = "invalid character class range";
const BAD_REPEAT: &str = "invalid repeat count";
const NO_BRACKET: &str = "missing closing ]";

#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are four flags")]
struct Flags {
    /// `i`
    folds: bool,
    /// `m`
    has_lines: bool,
    /// `s`
    dot_is_all: bool,
    /// `U`
    is_lazy: bool,
}

/// One part of a pattern.
struct Part {
    hir: Hir,
    /// How often the innermost of it stands in it, if repetitions are written out.
    copies: u32,
    depth: usize,
}

/// A group that is not closed yet; the first is the whole pattern.
#[derive(Default)]
struct Group {
    /// 0: it only groups.
    number: u32,
    /// Those before it.
    flags: Flags,
    alternatives: Vec<Part>,
    parts: Vec<Part>,
}

impl Group {
    /// Makes one part of what stands since the last `|`.
    fn end_alternative(&mut self) {
        let (copies, depth) = largest(&self.parts);
        let parts = std::mem::take(&mut self.parts);
        let hir = Hir::concat(parts.into_iter().map(|part| part.hir).collect());
        self.alternatives.push(Part { hir, copies, depth });
    }

    fn close(mut self) -> Part {
        self.end_alternative();
        let (copies, depth) = largest(&self.alternatives);
        let alternatives = self.alternatives.into_iter().map(|part| part.hir);
        let hir = Hir::alternation(alternatives.collect());
        let hir = match self.number {
            0 => hir,
            index => Hir::capture(Capture {
                index,
                name: None,
                sub: Box::new(hir),
            }),
        };
        let depth = depth.saturating_add(1);
        Part { hir, copies, depth }
    }
}

fn largest(parts: &[Part]) -> (u32, usize) {
    let copies = parts.iter().map(|part| part.copies).max();
    let depth = parts.iter().map(|part| part.depth).max();
    (copies.unwrap_or(1), depth.unwrap_or(0))
}

struct Reader<'p> {
    rest: &'p str,
    flags: Flags,
    open: Vec<Group>,
    names: Vec<Option<String>>,
}

impl<'p> Reader<'p> {
    fn all(&mut self) -> Outcome<'p, Read> {
        let whole = self.rest;
        let mut after_repeat = None;
        while let Some(letter) = self.rest.chars().next() {
            let start = self.rest;
            let repeat = match letter {
                '*' | '+' | '?' => {
                    self.skip(1);
                    Some((u32::from(letter == '+'), (letter == '?').then_some(1)))
                }
                '{' => self.counted()?,
                _ => None,
            };
            if let Some((least, most)) = repeat {
                self.repeat(least, most, start, after_repeat)?;
                after_repeat = Some(start);
                continue;
            }
            after_repeat = None;
            self.one(letter, whole)?;
        }
        let (Some(group), true) = (self.open.pop(), self.open.is_empty()) else {
            return Err(Problem("missing closing )", whole));
        };
        Ok(Read {
            hir: group.close().hir,
            names: std::mem::take(&mut self.names),
        })
    }

    /// Reads what is no repetition.
    fn one(&mut self, letter: char, whole: &'p str) -> Outcome<'p, ()> {
        match letter {
            '(' if self.rest.starts_with("(?") => return self.perl_group(),
            '(' => {
                self.skip(1);
                self.open_capture(None)?;
            }
            '|' => {
                self.skip(1);
                self.group().end_alternative();
            }
            ')' => {
                self.skip(1);
                let closed = self.open.pop().expect("the first is never taken here");
                if self.open.is_empty() {
                    return Err(Problem("unexpected )", whole));
                }
                self.flags = closed.flags;
                self.push_part(closed.close())?;
            }
            '^' if self.flags.has_lines => self.look(1, Look::StartLF),
            '^' => self.look(1, Look::Start),
            '$' if self.flags.has_lines => self.look(1, Look::EndLF),
            '$' => self.look(1, Look::End),
            '.' => {
                self.skip(1);
                let is_all = self.flags.dot_is_all;
                let dot = if is_all {
                    Dot::AnyChar
                } else {
                    Dot::AnyCharExceptLF
                };
                self.push(Hir::dot(dot));
            }
            '[' => return self.class(),
            '\\' => return self.backslash(),
            letter => {
                self.skip(letter.len_utf8());
                self.literal(u32::from(letter));
            }
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.skip(letter.len_utf8());
        Some(letter)
    }

    /// What was read since then.
    fn since(&self, start: &'p str) -> &'p str {
        let length = start.len() - self.rest.len();
        start.get(..length).unwrap_or(start)
    }

    fn group(&mut self) -> &mut Group {
        self.open.last_mut().expect("the whole pattern is open")
    }

    fn push(&mut self, hir: Hir) {
        let (copies, depth) = (1, 1);
        self.group().parts.push(Part { hir, copies, depth });
    }

    fn push_part(&mut self, part: Part) -> Outcome<'p, ()> {
        if part.depth > MOST_DEPTH {
            return Err(Problem("expression nests too deeply", ""));
        }
        self.group().parts.push(part);
        Ok(())
    }

    fn look(&mut self, bytes: usize, look: Look) {
        self.skip(bytes);
        self.push(Hir::look(look));
    }

    fn literal(&mut self, letter: u32) {
        let mut only = class::range(letter, letter);
        if self.flags.folds {
            class::fold(&mut only);
        }
        self.push(Hir::class(Class::Unicode(only)));
    }

    fn open_capture(&mut self, name: Option<String>) -> Outcome<'p, ()> {
        let number = u32::try_from(self.names.len()).expect("a pattern is no longer than that");
        self.names.push(name);
        self.open_group(number)
    }

    fn open_group(&mut self, number: u32) -> Outcome<'p, ()> {
        if self.open.len() > MOST_DEPTH {
            return Err(Problem("expression nests too deeply", ""));
        }
        self.open.push(Group {
            number,
            flags: self.flags,
            ..Group::default()
        });
        Ok(())
    }

    fn repeat(
        &mut self,
        least: u32,
        most: Option<u32>,
        start: &'p str,
        after_repeat: Option<&'p str>,
    ) -> Outcome<'p, ()> {
        let is_lazy = self.rest.starts_with('?');
        self.skip(usize::from(is_lazy));
        if let Some(before) = after_repeat {
            return Err(Problem(
                "invalid nested repetition operator",
                self.since(before),
            ));
        }
        let text = self.since(start);
        let Some(part) = self.group().parts.pop() else {
            return Err(Problem("missing argument to repetition operator", text));
        };
        let times = most.unwrap_or(least).max(1);
        let copies = if most == Some(0) {
            1
        } else {
            times.saturating_mul(part.copies)
        };
        if copies > MOST_COPIES && times > 1 {
            return Err(Problem(BAD_REPEAT, text));
        }
        let hir = Hir::repetition(Repetition {
            min: least,
            max: most,
            greedy: is_lazy == self.flags.is_lazy,
            sub: Box::new(part.hir),
        });
        let depth = part.depth.saturating_add(1);
        self.push_part(Part { hir, copies, depth })
    }

    /// `{2}`, `{2,}` and `{2,3}`; anything else that begins like one is a plain brace.
    fn counted(&mut self) -> Outcome<'p, Option<(u32, Option<u32>)>> {
        let Some((inner, rest)) = self
            .rest
            .strip_prefix('{')
            .and_then(|it| it.split_once('}'))
        else {
            return Ok(None);
        };
        let (least, most) = inner.split_once(',').unwrap_or((inner, inner));
        let is_number = |text: &str| {
            let has_digits = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
            has_digits && (text == "0" || !text.starts_with('0'))
        };
        if !is_number(least) || !(most.is_empty() || is_number(most)) {
            return Ok(None);
        }
        let start = std::mem::replace(&mut self.rest, rest);
        let number = |text: &str| text.parse().ok().filter(|number| *number <= MOST_COPIES);
        match (number(least), most, number(most)) {
            (Some(least), "", _) => Ok(Some((least, None))),
            (Some(least), _, Some(most)) if least <= most => Ok(Some((least, Some(most)))),
            _ => Err(Problem(BAD_REPEAT, self.since(start))),
        }
    }

    /// What begins with `(?`: a group with a name, flags, or a group with flags.
    fn perl_group(&mut self) -> Outcome<'p, ()> {
        let start = self.rest;
        let named = start
            .strip_prefix("(?P<")
            .or_else(|| start.strip_prefix("(?<"));
        // Go wants something behind the bracket.
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            let Some((name, rest)) = named.split_once('>') else {
                return Err(Problem("invalid named capture", start));
            };
            self.rest = rest;
            let is_plain = |letter: u8| letter == b'_' || letter.is_ascii_alphanumeric();
            if name.is_empty() || !name.bytes().all(is_plain) {
                return Err(Problem("invalid named capture", self.since(start)));
            }
            return self.open_capture(Some(name.to_owned()));
        }
        self.skip(2);
        let mut flags = self.flags;
        let (mut sets, mut has_flag) = (true, true);
        while let Some(letter) = self.next() {
            let flag = match letter {
                'i' => &mut flags.folds,
                'm' => &mut flags.has_lines,
                's' => &mut flags.dot_is_all,
                'U' => &mut flags.is_lazy,
                '-' if sets => {
                    (sets, has_flag) = (false, false);
                    continue;
                }
                ':' | ')' if has_flag => {
                    if letter == ':' {
                        self.open_group(0)?;
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            };
            *flag = sets;
            has_flag = true;
        }
        Err(Problem(BAD_GROUP, self.since(start)))
    }

    fn backslash(&mut self) -> Outcome<'p, ()> {
        let start = self.rest;
        let look = match start.chars().nth(1) {
            Some('A') => Some(Look::Start),
            Some('b') => Some(Look::WordAscii),
            Some('B') => Some(Look::WordAsciiNegate),
            Some('z') => Some(Look::End),
            _ => None,
        };
        if let Some(look) = look {
            self.look(2, look);
        } else if let Some(quoted) = start.strip_prefix("\\Q") {
            let (quoted, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            self.rest = rest;
            for letter in quoted.chars() {
                self.literal(u32::from(letter));
            }
        } else if let Some(class) = self.known_class()? {
            self.push(Hir::class(Class::Unicode(class)));
        } else {
            let letter = self.escape()?;
            self.literal(letter);
        }
        Ok(())
    }
}

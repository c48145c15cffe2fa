//! Whether two globs have a text in common: the library `glob-intersection` that OPA uses, with its meaning of `.`, `[]`,
//! `+` and `*` (a flag belongs to the token before it), and with what it misses.

use regex_syntax::hir::ClassUnicode;

use crate::policy::builtins::patterns::class;

/// Comparisons of two tokens. OPA has no such bound, and its way back doubles with each star.
const MOST_STEPS: usize = 100_000;

/// Flags that are tried within one another.
const MOST_DEPTH: usize = 250;

#[derive(PartialEq)]
enum Letters {
    One(char),
    Any,
    Set(ClassUnicode),
}

#[derive(Clone, Copy, PartialEq)]
enum Flag {
    None,
    Plus,
    Star,
}

struct Token {
    letters: Letters,
    flag: Flag,
}

pub(super) fn have_common(left: &str, right: &str) -> Result<bool, String> {
    let (left, right) = (tokens(left)?, tokens(right)?);
    let Some((left, right)) = trimmed(&left, &right) else {
        return Ok(false);
    };
    let mut search = Search {
        steps: MOST_STEPS,
        depth: MOST_DEPTH,
    };
    search.plain(left, right)
}

/// The next character, and whether it was escaped.
fn next(letters: &mut std::slice::Iter<'_, char>) -> Result<Option<(char, bool)>, String> {
    match letters.next() {
        Some('\\') => match letters.next() {
            Some(letter) => Ok(Some((*letter, true))),
            None => Err("input ends with a \\ (escape) character".to_owned()),
        },
        Some(letter) => Ok(Some((*letter, false))),
        None => Ok(None),
    }
}

fn tokens(glob: &str) -> Result<Vec<Token>, String> {
    let letters: Vec<char> = glob.chars().collect();
    let mut rest = letters.iter();
    let mut tokens: Vec<Token> = Vec::new();
    while let Some(next) = next(&mut rest)? {
        let letters = match next {
            ('.', false) => Letters::Any,
            ('[', false) => set(&mut rest)?,
            (']', false) => return Err("set-close ']' with no preceding '['".to_owned()),
            ('+' | '*', false) => {
                return Err(format!("flag {:?} must be preceded by a non-flag", next.0));
            }
            (letter, _) => Letters::One(letter),
        };
        let flag = match rest.as_slice().first() {
            Some('+') => Flag::Plus,
            Some('*') => Flag::Star,
            _ => Flag::None,
        };
        if flag != Flag::None {
            rest.next();
        }
        add(&mut tokens, Token { letters, flag });
    }
    Ok(tokens)
}

/// Adds a token, or what it says more than the one before it, if both are flagged alike.
fn add(tokens: &mut Vec<Token>, token: Token) {
    match tokens.last_mut() {
        Some(last)
            if last.flag != Flag::None
                && token.flag != Flag::None
                && last.letters == token.letters =>
        {
            if token.flag == Flag::Plus {
                last.flag = Flag::Plus;
            }
        }
        _ => tokens.push(token),
    }
}

fn set(rest: &mut std::slice::Iter<'_, char>) -> Result<Letters, String> {
    let (mut members, mut before) = (ClassUnicode::empty(), None);
    loop {
        match next(rest)?.ok_or("found [ without matching ]")? {
            (']', false) => return Ok(Letters::Set(members)),
            ('-', false) => {
                let first: char =
                    before.ok_or("range character '-' must be preceded by a character")?;
                if rest.as_slice().len() < 2 {
                    return Err("range character '-' must be followed by a character".to_owned());
                }
                let last = match next(rest)?.ok_or("found [ without matching ]")? {
                    (']' | '-', false) => {
                        return Err(
                            "range character '-' cannot be followed by a special symbol".to_owned()
                        );
                    }
                    (letter, _) => letter,
                };
                if last < first {
                    return Err("range is out of order".to_owned());
                }
                members.union(&class::range(u32::from(first), u32::from(last)));
                before = None;
            }
            (letter, _) => {
                members.union(&class::range(u32::from(letter), u32::from(letter)));
                before = Some(letter);
            }
        }
    }
}

impl Token {
    fn is_plain(&self) -> bool {
        self.flag == Flag::None
    }

    /// Whether one character can be both.
    fn meets(&self, other: &Self) -> bool {
        match (&self.letters, &other.letters) {
            (Letters::Any, _) | (_, Letters::Any) => true,
            (Letters::One(one), Letters::One(other)) => one == other,
            (Letters::One(one), Letters::Set(set)) | (Letters::Set(set), Letters::One(one)) => {
                let ranges = set.ranges();
                let has = |range: &regex_syntax::hir::ClassUnicodeRange| {
                    (range.start()..=range.end()).contains(one)
                };
                ranges.iter().any(has)
            }
            (Letters::Set(set), Letters::Set(other)) => {
                let mut both = set.clone();
                both.intersect(other);
                !both.ranges().is_empty()
            }
        }
    }
}

/// What is left of both without the plain tokens that both begin and end with, but for one of each; `None`: they do not
/// meet.
fn trimmed<'a>(left: &'a [Token], right: &'a [Token]) -> Option<(&'a [Token], &'a [Token])> {
    let plain = |(one, other): &(&Token, &Token)| one.is_plain() && other.is_plain();
    let begin = || left.iter().zip(right).take_while(plain);
    if !begin().all(|(one, other)| one.meets(other)) {
        return None;
    }
    let kept = begin().count().saturating_sub(1);
    let (left, right) = (left.get(kept..)?, right.get(kept..)?);
    let end = || left.iter().rev().zip(right.iter().rev()).take_while(plain);
    if !end().all(|(one, other)| one.meets(other)) {
        return None;
    }
    let cut = end().count().saturating_sub(1);
    let without = |tokens: &'a [Token]| tokens.get(..tokens.len().saturating_sub(cut));
    Some((without(left)?, without(right)?))
}

struct Search {
    steps: usize,
    depth: usize,
}

impl Search {
    fn meet(&mut self, one: &Token, other: &Token) -> Result<bool, String> {
        self.steps = self
            .steps
            .checked_sub(1)
            .ok_or("the globs are too complex")?;
        Ok(one.meets(other))
    }

    fn plain(&mut self, left: &[Token], right: &[Token]) -> Result<bool, String> {
        self.depth = self
            .depth
            .checked_sub(1)
            .ok_or("the globs have too many flags")?;
        let answer = self.within(left, right);
        self.depth += 1;
        answer
    }

    fn within(&mut self, left: &[Token], right: &[Token]) -> Result<bool, String> {
        let (mut ones, mut others) = (left, right);
        while let ([one, after_one @ ..], [other, after_other @ ..]) = (ones, others) {
            if !one.is_plain() {
                return self.flagged(one, after_one, others);
            }
            if !other.is_plain() {
                return self.flagged(other, after_other, ones);
            }
            if !self.meet(one, other)? {
                return Ok(false);
            }
            (ones, others) = (after_one, after_other);
        }
        Ok(ones.is_empty() && others.is_empty())
    }

    fn flagged(&mut self, token: &Token, after: &[Token], other: &[Token]) -> Result<bool, String> {
        if token.flag == Flag::Star {
            return self.starred(token, after, other);
        }
        let [first, rest @ ..] = other else {
            return Ok(false);
        };
        if !self.meet(token, first)? {
            return Ok(false);
        }
        if self.starred(token, after, rest)? {
            return Ok(true);
        }
        Ok(!first.is_plain() && self.plain(after, other)?)
    }

    /// Takes away what the star can stand for, until the rest meets what follows it.
    fn starred(&mut self, token: &Token, after: &[Token], other: &[Token]) -> Result<bool, String> {
        let mut rest = other;
        while let [first, behind @ ..] = rest {
            if let Some(next) = after.first()
                && self.meet(first, next)?
                && self.plain(after, rest)?
            {
                return Ok(true);
            }
            if !self.meet(first, token)? {
                return Ok(false);
            }
            rest = behind;
        }
        Ok(after.is_empty())
    }
}

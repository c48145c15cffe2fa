//! The words and signs of a file, as OPA's scanner finds them.
//!
//! Comments and white space are none. Each bracket knows its partner. It reads once from the beginning to the end and
//! keeps a list of what is open, whose length is bounded; it refuses to know what statements are.

use super::Wrong;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Close,
    Name,
    Number,
    Open,
    /// A piece of a text with expressions in it: from `$"` or `}` to `{` or the end.
    Part,
    Sign,
    Text,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Where in the list that is which closes this; itself where nothing has to.
    pub(super) partner: usize,
}

/// How many brackets may be open at one place.
const MOST_OPEN: usize = 200;

/// How often the engine's parser may read a word or sign of a file: it tries what stands in `[` and `{` as one thing and
/// then as another, so each of them around a word doubles this.
const MOST_READ: u64 = 1_000_000;

/// How many of these may be open at one place.
const MOST_DOUBLED: usize = 12;

const TOO_MUCH: &str = "too much stands in brackets within brackets for a parser to read it in time: give a part a name, or write it in data.json";

/// What is open, and where in the list that is.
enum Opened {
    Bracket(char, usize),
    /// The expression of such a text, raw or not.
    Part(bool, usize),
}

/// # Errors
///
/// What makes the file one that nobody can read.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Wrong> {
    match read(text) {
        (tokens, None) => Ok(tokens),
        (_, Some(wrong)) => Err(wrong),
    }
}

/// As far as the file can be read, and what ends that.
pub(super) fn read(text: &str) -> (Vec<Token>, Option<Wrong>) {
    let mut reader = Reader {
        text,
        at: 0,
        tokens: Vec::new(),
        open: Vec::new(),
        read: 0,
    };
    while let Some(next) = reader.peek() {
        let read = reader.token(next).and_then(|()| reader.is_readable());
        if let Err(wrong) = read {
            return (reader.tokens, Some(wrong));
        }
    }
    let wrong = reader.open.last().map(|opened| match opened {
        Opened::Bracket(bracket, number) => {
            let said = format!("nothing closes this {bracket}");
            Wrong::new(reader.start(*number), said)
        }
        Opened::Part(_, number) => {
            let said = "the expression in this text has no end: write } behind it";
            Wrong::new(reader.start(*number), said)
        }
    });
    (reader.tokens, wrong)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    open: Vec<Opened>,
    /// How often the parser reads all words and signs so far.
    read: u64,
}

impl Reader<'_> {
    fn start(&self, number: usize) -> usize {
        self.tokens.get(number).map_or(0, |token| token.start)
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, is_part: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    }

    fn push(&mut self, kind: Kind, start: usize) -> usize {
        let number = self.tokens.len();
        self.tokens.push(Token {
            kind,
            start,
            end: self.at,
            partner: number,
        });
        number
    }

    fn token(&mut self, next: char) -> Result<(), Wrong> {
        let start = self.at;
        match next {
            ' ' | '\t' | '\r' | '\n' => self.at += 1,
            '#' => self.skip(|c| c != '\n'),
            '"' => {
                self.at += 1;
                self.quoted(start)?;
                self.push(Kind::Text, start);
            }
            '`' => {
                let end = self.rest().get(1..).and_then(|rest| rest.find('`'));
                self.at += end.ok_or_else(|| endless(start, '`'))? + 2;
                self.push(Kind::Text, start);
            }
            '$' if self.rest().starts_with("$\"") => {
                self.at += 2;
                self.part(start, false)?;
            }
            '$' if self.rest().starts_with("$`") => {
                self.at += 2;
                self.part(start, true)?;
            }
            '(' | '[' | '{' => {
                self.at += 1;
                let number = self.push(Kind::Open, start);
                self.opened(Opened::Bracket(next, number), start)?;
            }
            ')' | ']' | '}' => {
                self.at += 1;
                self.closed(next, start)?;
            }
            _ if next.is_ascii_alphabetic() || next == '_' => {
                self.skip(|c| c.is_ascii_alphanumeric() || c == '_');
                self.push(Kind::Name, start);
            }
            _ if next.is_ascii_digit() => {
                self.number();
                self.push(Kind::Number, start);
            }
            _ => {
                let pairs = [":=", "==", "!=", "<=", ">="];
                let is_pair = pairs.iter().any(|pair| self.rest().starts_with(pair));
                self.at += if is_pair { 2 } else { next.len_utf8() };
                self.push(Kind::Sign, start);
            }
        }
        Ok(())
    }

    fn number(&mut self) {
        self.skip(|c| c.is_ascii_digit());
        let mut rest = self.rest().chars();
        if rest.next() == Some('.') && rest.next().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            self.skip(|c| c.is_ascii_digit());
        }
        if self.rest().starts_with(['e', 'E']) {
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
        }
        // What is no number remains one word.
        self.skip(|c| c.is_ascii_alphanumeric() || c == '_');
    }

    /// To behind the quotation mark.
    fn quoted(&mut self, start: usize) -> Result<(), Wrong> {
        loop {
            self.skip(|c| !matches!(c, '"' | '\\' | '\n'));
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\\') => {
                    self.at += 1;
                    self.at += self.peek().map_or(0, char::len_utf8);
                }
                _ => return Err(endless(start, '"')),
            }
        }
    }

    /// A piece of a text with expressions, from behind what begins it.
    fn part(&mut self, start: usize, is_raw: bool) -> Result<(), Wrong> {
        let quote = if is_raw { '`' } else { '"' };
        loop {
            self.skip(|c| c != quote && !matches!(c, '{' | '\\') && (is_raw || c != '\n'));
            let Some(next) = self.peek().filter(|next| is_raw || *next != '\n') else {
                return Err(endless(start, quote));
            };
            self.at += 1;
            if next == '\\' {
                let escaped = self.peek();
                // Of a raw text only this is escaped.
                if escaped == Some('{') || !is_raw {
                    self.at += escaped.map_or(0, char::len_utf8);
                }
                continue;
            }
            let number = self.push(Kind::Part, start);
            if next == '{' {
                self.opened(Opened::Part(is_raw, number), start)?;
            }
            return Ok(());
        }
    }

    /// Refuses a file that the parser would read for minutes.
    fn is_readable(&mut self) -> Result<(), Wrong> {
        let doubles = |it: &&Opened| matches!(it, Opened::Bracket('[' | '{', _) | Opened::Part(..));
        let deep = self.open.iter().filter(doubles).count();
        self.read = self.read.saturating_add(1 << deep.min(MOST_DOUBLED));
        if deep > MOST_DOUBLED || self.read > MOST_READ {
            return Err(Wrong::beyond(self.at, TOO_MUCH));
        }
        Ok(())
    }

    fn opened(&mut self, opened: Opened, start: usize) -> Result<(), Wrong> {
        if self.open.len() >= MOST_OPEN {
            let said = format!("more than {MOST_OPEN} brackets are open here: give a part a name");
            return Err(Wrong::beyond(start, said));
        }
        self.open.push(opened);
        Ok(())
    }

    fn closed(&mut self, close: char, start: usize) -> Result<(), Wrong> {
        match (self.open.pop(), close) {
            (Some(Opened::Part(is_raw, number)), '}') => {
                let next = self.tokens.len();
                self.part(start, is_raw)?;
                self.pair(number, next);
            }
            (Some(Opened::Bracket('(', number)), ')')
            | (Some(Opened::Bracket('[', number)), ']')
            | (Some(Opened::Bracket('{', number)), '}') => {
                let next = self.push(Kind::Close, start);
                self.pair(number, next);
            }
            (Some(Opened::Bracket(bracket, number)), _) => {
                let said = format!("nothing closes this {bracket} before {close}");
                return Err(Wrong::new(self.start(number), said));
            }
            (Some(Opened::Part(..)) | None, _) => {
                let said = format!("no bracket is open that this {close} could close");
                return Err(Wrong::new(start, said));
            }
        }
        Ok(())
    }

    fn pair(&mut self, open: usize, close: usize) {
        if let Some(token) = self.tokens.get_mut(open) {
            token.partner = close;
        }
    }
}

fn endless(start: usize, quote: char) -> Wrong {
    Wrong::new(
        start,
        format!("this text has no end: write {quote} behind it"),
    )
}

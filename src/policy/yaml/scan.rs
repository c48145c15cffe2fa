//! How deep the brackets of a text go, and what else of it costs time.
//!
//! It follows the library's scanner (`yaml_parser_fetch_next_token`) step by step, because only that says what is a
//! bracket and what a part of a text or comment. Where the library ends with an error, it ends, too: nothing behind that
//! costs anything. It keeps no more than the columns that blocks begin at.

use std::ops::Range;

use super::Fault;

/// How many brackets may be open at one place.
pub(super) const MOST_OPEN: usize = 200;

/// How many lines may say something of the document (`%TAG`, `%YAML`).
pub(super) const MOST_DIRECTIVES: usize = 20;

/// What a text is made of.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Scanned {
    pub(super) tokens: usize,
    /// The most brackets that are open at one place.
    pub(super) deepest: usize,
    /// Parts of it are named and repeated.
    pub(super) repeats: bool,
    /// Where texts without quotation marks stand, each as far as its line goes.
    pub(super) plain: Vec<Range<usize>>,
}

/// # Errors
///
/// What goes beyond a bound.
pub(super) fn text(text: &str) -> Result<Scanned, Fault> {
    let mut scan = Scan {
        text: text.as_bytes(),
        at: Mark::default(),
        indent: -1,
        indents: Vec::new(),
        open: 0,
        is_key_allowed: true,
        key: None,
        directives: 0,
        scanned: Scanned::default(),
    };
    loop {
        match scan.token() {
            Step::On => scan.scanned.tokens += 1,
            Step::End => return Ok(scan.scanned),
            Step::Beyond(message) => {
                return Err(Fault {
                    line: scan.at.line + 1,
                    column: usize::try_from(scan.at.column).unwrap_or_default() + 1,
                    message,
                });
            }
        }
    }
}

enum Step {
    On,
    /// Of the text, or the library says that something is wrong.
    End,
    Beyond(String),
}

/// A place in the text: of bytes, and of characters as the library counts them.
#[derive(Clone, Copy, Default)]
struct Mark {
    byte: usize,
    index: usize,
    line: usize,
    column: i64,
}

/// Where what may be a key begins.
#[derive(Clone, Copy)]
struct Key {
    mark: Mark,
    is_required: bool,
}

struct Scan<'a> {
    text: &'a [u8],
    at: Mark,
    /// The column of the block around; -1 outside of all.
    indent: i64,
    indents: Vec<i64>,
    open: usize,
    is_key_allowed: bool,
    /// Outside of brackets: only there it says where a block begins.
    key: Option<Key>,
    directives: usize,
    scanned: Scanned,
}

impl Scan<'_> {
    fn byte(&self, ahead: usize) -> u8 {
        self.text.get(self.at.byte + ahead).copied().unwrap_or(0)
    }

    /// How many bytes end a line here; 0: none.
    fn line_end(&self, ahead: usize) -> usize {
        let of = |more: usize| self.byte(ahead + more);
        match (of(0), of(1), of(2)) {
            (b'\r', b'\n', _) | (0xC2, 0x85, _) => 2,
            (b'\r' | b'\n', ..) => 1,
            (0xE2, 0x80, 0xA8 | 0xA9) => 3,
            _ => 0,
        }
    }

    fn is_break(&self, ahead: usize) -> bool {
        self.line_end(ahead) > 0
    }

    fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), b' ' | b'\t')
    }

    /// A blank, the end of a line, or of all.
    fn is_apart(&self, ahead: usize) -> bool {
        self.is_blank(ahead) || self.byte(ahead) == 0 || self.is_break(ahead)
    }

    /// A character that ends no line.
    fn skip(&mut self) {
        let width = match self.byte(0) {
            0..0x80 => 1,
            0x80..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => 4,
        };
        self.at.byte += width;
        self.at.index += 1;
        self.at.column += 1;
    }

    fn skip_line(&mut self) {
        let width = self.line_end(0);
        if width > 0 {
            self.at.byte += width;
            self.at.index += if self.byte(0) == b'\r' && width == 2 {
                2
            } else {
                1
            };
            self.at.line += 1;
            self.at.column = 0;
        }
    }

    /// One character, whatever it is.
    fn step(&mut self) {
        if self.is_break(0) {
            self.skip_line();
        } else {
            self.skip();
        }
    }

    fn skip_to_end_of_line(&mut self) {
        while self.byte(0) != 0 && !self.is_break(0) {
            self.skip();
        }
    }

    fn find_next_token(&mut self) {
        loop {
            if self.at.column == 0
                && self
                    .text
                    .get(self.at.byte..)
                    .is_some_and(|it| it.starts_with(b"\xEF\xBB\xBF"))
            {
                self.skip();
            }
            while self.byte(0) == b' '
                || ((self.open > 0 || !self.is_key_allowed) && self.byte(0) == b'\t')
            {
                self.skip();
            }
            if self.byte(0) == b'#' {
                self.skip_to_end_of_line();
            }
            if !self.is_break(0) {
                return;
            }
            self.skip_line();
            if self.open == 0 {
                self.is_key_allowed = true;
            }
        }
    }

    /// A key ends in its line, and within so many characters. `false`: it had to be one.
    fn forget_old_key(&mut self) -> bool {
        let Some(key) = self.key else {
            return true;
        };
        if key.mark.line < self.at.line || key.mark.index + 1024 < self.at.index {
            self.key = None;
            return !key.is_required;
        }
        true
    }

    /// What stands here may be a key. `false`: what stood before had to be one.
    fn save_key(&mut self) -> bool {
        if !self.is_key_allowed || self.open > 0 {
            return true;
        }
        let is_well = self.remove_key();
        self.key = Some(Key {
            mark: self.at,
            is_required: self.indent == self.at.column,
        });
        is_well
    }

    fn remove_key(&mut self) -> bool {
        if self.open > 0 {
            return true;
        }
        self.key.take().is_none_or(|key| !key.is_required)
    }

    fn roll(&mut self, column: i64) {
        if self.open == 0 && self.indent < column {
            self.indents.push(self.indent);
            self.indent = column;
        }
    }

    fn unroll(&mut self, column: i64) {
        if self.open > 0 {
            return;
        }
        while self.indent > column {
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn is_marker(&self) -> bool {
        let is = |letter| (0..3).all(|ahead| self.byte(ahead) == letter);
        self.at.column == 0 && (is(b'-') || is(b'.')) && self.is_apart(3)
    }

    fn token(&mut self) -> Step {
        self.find_next_token();
        if !self.forget_old_key() {
            return Step::End;
        }
        self.unroll(self.at.column);
        let next = self.byte(0);
        if next == 0 {
            return Step::End;
        }
        if self.at.column == 0 && next == b'%' {
            return self.directive();
        }
        if self.is_marker() {
            self.unroll(-1);
            let is_well = self.remove_key();
            self.is_key_allowed = false;
            (0..3).for_each(|_| self.skip());
            return on(is_well);
        }
        let is_within = self.open > 0;
        match next {
            b'[' | b'{' => self.opened(),
            b']' | b'}' => {
                let is_well = self.remove_key();
                self.open = self.open.saturating_sub(1);
                self.is_key_allowed = false;
                self.skip();
                on(is_well)
            }
            b',' => {
                let is_well = self.remove_key();
                self.is_key_allowed = true;
                self.skip();
                on(is_well)
            }
            b'-' if self.is_apart(1) => self.begins_in_block(true),
            b'?' if is_within || self.is_apart(1) => self.begins_in_block(!is_within),
            b':' if is_within || self.is_apart(1) => self.value(),
            b'*' | b'&' => self.name(next == b'*'),
            b'!' => self.tag(),
            b'|' | b'>' if !is_within => self.block_text(),
            b'\'' | b'"' => self.quoted(next),
            b'-' if !self.is_blank(1) => self.plain(),
            b'?' | b':' if !is_within && !self.is_apart(1) => self.plain(),
            b'-' | b'?' | b':' | b'#' | b'|' | b'>' | b'%' | b'@' | b'`' | b'\t' => Step::End,
            _ => self.plain(),
        }
    }

    fn directive(&mut self) -> Step {
        self.directives += 1;
        if self.directives > MOST_DIRECTIVES {
            return Step::Beyond(format!(
                "more than {MOST_DIRECTIVES} lines begin with %: nobody reads that many in time"
            ));
        }
        self.unroll(-1);
        let is_well = self.remove_key();
        self.is_key_allowed = false;
        self.skip_to_end_of_line();
        on(is_well)
    }

    fn opened(&mut self) -> Step {
        let is_well = self.save_key();
        self.open += 1;
        self.scanned.deepest = self.scanned.deepest.max(self.open);
        if self.open > MOST_OPEN {
            return Step::Beyond(format!(
                "more than {MOST_OPEN} brackets are open here: nobody reads that in time"
            ));
        }
        self.is_key_allowed = true;
        self.skip();
        on(is_well)
    }

    /// `-` or `?`.
    fn begins_in_block(&mut self, then_allowed: bool) -> Step {
        if self.open == 0 {
            if !self.is_key_allowed {
                return Step::End;
            }
            self.roll(self.at.column);
        }
        let is_well = self.remove_key();
        self.is_key_allowed = then_allowed;
        self.skip();
        on(is_well)
    }

    fn value(&mut self) -> Step {
        if self.open > 0 {
            self.is_key_allowed = false;
        } else if let Some(key) = self.key.take() {
            self.roll(key.mark.column);
            self.is_key_allowed = false;
        } else {
            if !self.is_key_allowed {
                return Step::End;
            }
            self.roll(self.at.column);
        }
        self.skip();
        Step::On
    }

    fn name(&mut self, repeats: bool) -> Step {
        let is_well = self.save_key();
        self.is_key_allowed = false;
        self.scanned.repeats |= repeats;
        self.skip();
        while self.byte(0).is_ascii_alphanumeric() || matches!(self.byte(0), b'_' | b'-') {
            self.skip();
        }
        on(is_well && (self.is_apart(0) || b"?:,]}%@`".contains(&self.byte(0))))
    }

    fn tag(&mut self) -> Step {
        let is_well = self.save_key();
        self.is_key_allowed = false;
        let is_whole = self.byte(1) == b'<';
        while !self.is_apart(0) {
            let next = self.byte(0);
            if !is_whole && !next.is_ascii_alphanumeric() && !b"_-;/?:@&=+$.%!~*'()".contains(&next)
            {
                break;
            }
            self.skip();
            if is_whole && next == b'>' {
                break;
            }
        }
        on(is_well && (self.is_apart(0) || (self.open > 0 && self.byte(0) == b',')))
    }

    /// Behind `|` or `>`: all lines that are indented enough.
    fn block_text(&mut self) -> Step {
        if !self.remove_key() {
            return Step::End;
        }
        self.is_key_allowed = true;
        self.skip();
        let mut increment = 0;
        for _ in 0..2 {
            match self.byte(0) {
                b'+' | b'-' => self.skip(),
                digit @ b'1'..=b'9' if increment == 0 => {
                    increment = i64::from(digit - b'0');
                    self.skip();
                }
                _ => {}
            }
        }
        while self.is_blank(0) {
            self.skip();
        }
        if self.byte(0) == b'#' {
            self.skip_to_end_of_line();
        }
        if self.byte(0) != 0 && !self.is_break(0) {
            return Step::End;
        }
        self.skip_line();
        let mut indent = match increment {
            0 => 0,
            _ => self.indent.max(0) + increment,
        };
        let mut is_well = self.block_breaks(&mut indent);
        while is_well && self.at.column == indent && self.byte(0) != 0 {
            self.skip_to_end_of_line();
            self.skip_line();
            is_well = self.block_breaks(&mut indent);
        }
        on(is_well)
    }

    /// Indentation and empty lines. Where nobody has said how far the text is indented, the first line does.
    fn block_breaks(&mut self, indent: &mut i64) -> bool {
        let mut most = 0;
        loop {
            while (*indent == 0 || self.at.column < *indent) && self.byte(0) == b' ' {
                self.skip();
            }
            most = most.max(self.at.column);
            if (*indent == 0 || self.at.column < *indent) && self.byte(0) == b'\t' {
                return false;
            }
            if !self.is_break(0) {
                break;
            }
            self.skip_line();
        }
        if *indent == 0 {
            *indent = most.max(self.indent + 1).max(1);
        }
        true
    }

    fn quoted(&mut self, quote: u8) -> Step {
        let is_well = self.save_key();
        self.is_key_allowed = false;
        self.skip();
        loop {
            if self.byte(0) == 0 || self.is_marker() {
                return Step::End;
            }
            let next = self.byte(0);
            if next == quote && quote == b'\'' && self.byte(1) == quote {
                self.skip();
            } else if next == quote {
                break;
            } else if next == b'\\' && quote == b'"' {
                self.skip();
                if self.byte(0) == 0 {
                    return Step::End;
                }
            }
            self.step();
        }
        self.skip();
        on(is_well)
    }

    fn plain(&mut self) -> Step {
        let is_well = self.save_key();
        self.is_key_allowed = false;
        let indent = self.indent + 1;
        let (start, mut end) = (self.at, self.at.byte);
        let mut is_in_next_line = false;
        while !self.is_marker() && self.byte(0) != b'#' {
            while !self.is_apart(0) {
                let (next, behind) = (self.byte(0), self.byte(1));
                if self.open > 0 && next == b':' && b",?[]{}".contains(&behind) {
                    return Step::End;
                }
                let is_end = next == b':' && self.is_apart(1);
                if is_end || (self.open > 0 && b",[]{}".contains(&next)) {
                    break;
                }
                self.skip();
                is_in_next_line = false;
                if self.at.line == start.line {
                    end = self.at.byte;
                }
            }
            if !self.is_blank(0) && !self.is_break(0) {
                break;
            }
            while self.is_blank(0) || self.is_break(0) {
                if self.is_break(0) {
                    is_in_next_line = true;
                } else if is_in_next_line && self.at.column < indent && self.byte(0) == b'\t' {
                    return Step::End;
                }
                self.step();
            }
            if self.open == 0 && self.at.column < indent {
                break;
            }
        }
        self.is_key_allowed |= is_in_next_line;
        self.scanned.plain.push(start.byte..end);
        on(is_well)
    }
}

/// What stands here is taken, and the library goes on where it `is_well`.
fn on(is_well: bool) -> Step {
    if is_well { Step::On } else { Step::End }
}

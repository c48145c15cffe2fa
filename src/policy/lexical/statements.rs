//! Finds where statements, their operands and the texts within them begin and end, and has written out what is new.

mod conditions;
mod texts;

use super::Wrong;
use super::keywords::{Imported, is_reference, is_step, word};
use super::moved::Changes;
use super::tokens::{Kind, Token};

pub(super) fn write_out(
    text: &str,
    tokens: &[Token],
    imported: Imported,
    changes: &mut Changes,
) -> Result<(), Wrong> {
    if imported.is_nothing() && !tokens.iter().any(|token| token.kind == Kind::Part) {
        return Ok(());
    }
    let mut walk = Walk {
        text,
        tokens,
        imported,
        changes,
        at: 0,
        texts: 0,
        assigned: None,
    };
    while walk.token().is_some() {
        if walk.is("if") {
            walk.at += 1;
            walk.body()?;
        } else {
            walk.step()?;
        }
    }
    Ok(())
}

struct Walk<'a> {
    text: &'a str,
    tokens: &'a [Token],
    imported: Imported,
    changes: &'a mut Changes,
    at: usize,
    /// How many expressions in texts there were.
    texts: usize,
    /// Where the last expression assigns something.
    assigned: Option<usize>,
}

impl<'a> Walk<'a> {
    fn token(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn word(&self) -> &'a str {
        self.token().map_or("", |token| word(self.text, token))
    }

    fn is(&self, keyword: &str) -> bool {
        self.is_at(self.at, keyword)
    }

    fn is_at(&self, number: usize, keyword: &str) -> bool {
        let token = self.tokens.get(number);
        token.is_some_and(|token| token.kind == Kind::Name && word(self.text, token) == keyword)
            && !is_step(self.text, self.tokens, number)
            && !is_reference(self.text, self.tokens, number)
    }

    fn joins(&self, number: usize) -> bool {
        (self.imported.and && self.is_at(number, "and"))
            || (self.imported.or && self.is_at(number, "or"))
    }

    fn start(&self) -> usize {
        self.token().map_or(self.text.len(), |token| token.start)
    }

    /// Where what was read last ends.
    fn end(&self) -> usize {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        last.map_or(0, |token| token.end)
    }

    fn partner(&self) -> usize {
        self.token().map_or(self.at, |token| token.partner)
    }

    /// Whether nothing stands between this and what was read last.
    fn is_joined(&self) -> bool {
        self.at > 0 && self.start() == self.end()
    }

    fn wrong(&self, message: &str) -> Wrong {
        Wrong::new(self.start(), message)
    }

    /// Whatever is next, with all that it holds.
    fn step(&mut self) -> Result<(), Wrong> {
        match self.token().map(|token| token.kind) {
            Some(Kind::Open) => self.group(),
            Some(Kind::Part) => self.template(),
            _ if self.joins(self.at) && !self.is_call() => Err(self.wrong(
                "`and` and `or` stand between two conditions here, because they are imported, and not within a value",
            )),
            _ => {
                self.at += 1;
                Ok(())
            }
        }
    }

    /// Whether this is the name of a function that is called.
    fn is_call(&self) -> bool {
        let next = self.tokens.get(self.at + 1);
        next.is_some_and(|next| {
            word(self.text, next) == "(" && self.token().is_some_and(|name| name.end == next.start)
        })
    }

    /// What stands between brackets of a term: behind the first bar there may be a query.
    fn group(&mut self) -> Result<(), Wrong> {
        let may_ask = self.word() != "(";
        let end = self.partner();
        self.at += 1;
        let mut is_list = false;
        while self.at < end {
            if self.word() == "|" && may_ask && !is_list {
                self.at += 1;
                self.statements(end)?;
            } else {
                is_list |= self.word() == ",";
                self.step()?;
            }
        }
        self.at = end + 1;
        Ok(())
    }

    fn body(&mut self) -> Result<(), Wrong> {
        if self.word() == "{" && !self.joins(self.partner() + 1) {
            return self.block();
        }
        self.statement()
    }

    fn block(&mut self) -> Result<(), Wrong> {
        let end = self.partner();
        self.at += 1;
        self.statements(end)?;
        self.at = end + 1;
        Ok(())
    }

    fn statements(&mut self, end: usize) -> Result<(), Wrong> {
        while self.at < end {
            let before = self.at;
            self.statement()?;
            if self.at == before {
                self.step()?;
            }
        }
        Ok(())
    }

    fn statement(&mut self) -> Result<(), Wrong> {
        if self.is("some") {
            self.at += 1;
            self.expression()?;
        } else if self.is("every") {
            self.at += 1;
            self.expression()?;
            if self.word() == "{" {
                self.block()?;
            }
        } else {
            self.chain()?;
        }
        self.replacements()
    }

    fn replacements(&mut self) -> Result<(), Wrong> {
        while self.is("with") {
            self.at += 1;
            self.expression()?;
            if self.is("as") {
                self.at += 1;
                self.expression()?;
            }
        }
        Ok(())
    }

    /// To its end: an operand, and one more behind each operator.
    fn expression(&mut self) -> Result<bool, Wrong> {
        self.assigned = None;
        let mut assigned = None;
        loop {
            while self.word() == "-" {
                self.at += 1;
            }
            if !self.operand_begins() {
                self.assigned = assigned;
                return Ok(false);
            }
            self.step()?;
            while self.is_joined() && matches!(self.word(), "." | "[" | "(") {
                if self.word() == "." {
                    self.at += 2;
                } else {
                    self.group()?;
                }
            }
            if !self.continues() {
                self.assigned = assigned;
                return Ok(true);
            }
            if matches!(self.word(), ":=" | "=") {
                assigned.get_or_insert_with(|| self.start());
            }
            self.at += 1;
        }
    }

    fn operand_begins(&self) -> bool {
        const OTHERS: [&str; 9] = [
            "as", "default", "else", "every", "if", "import", "not", "some", "with",
        ];
        let Some(token) = self.token() else {
            return false;
        };
        match token.kind {
            // Without their import `and` and `or` are names, and a function may have one.
            Kind::Name if matches!(self.word(), "and" | "or") => {
                !self.joins(self.at) || self.is_call()
            }
            Kind::Name => !OTHERS.iter().any(|other| self.is(other)),
            Kind::Number | Kind::Open | Kind::Text => true,
            Kind::Part => self.word().starts_with('$'),
            Kind::Close | Kind::Sign => false,
        }
    }

    /// Whether an operator is next.
    fn continues(&self) -> bool {
        const OPERATORS: [&str; 17] = [
            "!=", "%", "&", "*", "+", ",", "-", "/", ":=", "<", "<=", "=", "==", ">", ">=", "in",
            "|",
        ];
        let is_text = self.token().is_some_and(|token| token.kind == Kind::Text);
        !is_text && OPERATORS.contains(&self.word())
    }
}

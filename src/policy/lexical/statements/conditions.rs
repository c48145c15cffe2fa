//! `and`, `or` and the `not` of `future.keywords`, as comprehensions.
//!
//! An operand is true or not whatever it binds: each is asked in a comprehension of its own. `[] != [1 | some _ in [0]; a]`
//! says that `a` holds, `[] == [1 | some _ in [0]; a]` that it does not; the first that decides is the last that is
//! evaluated, as in OPA. The `some` keeps the parser from taking what follows for something else, and the bytecode engine
//! from leaving the comprehension around this one, too, where a condition without a loop around it fails.

use super::super::keywords::word;
use super::super::tokens::Token;
use super::super::{IMPLICIT, Wrong};
use super::Walk;

/// What a comprehension begins with that asks for conditions: those in braces, or one that may bind nothing.
fn begin(holds: bool, binds: bool) -> String {
    let operator = if holds { "!=" } else { "==" };
    let name = if binds { "_" } else { IMPLICIT };
    format!("[] {operator} [1 | some {name} in [0]; ")
}

/// One side of `and` or `or`.
struct Operand {
    start: usize,
    end: usize,
    /// Whether it is written out as one that binds nothing.
    is_closed: bool,
}

impl Walk<'_> {
    /// Operands with `and` and `or` between them; `and` binds more.
    pub(super) fn chain(&mut self) -> Result<(), Wrong> {
        let first = self.operand(false)?;
        if !self.joins(self.at) {
            return Ok(());
        }
        let Some(first) = first else {
            return Ok(());
        };
        let mut either = vec![vec![self.implicit(first)?]];
        while self.joins(self.at) {
            let is_or = self.word() == "or";
            self.changes.replace(
                self.start(),
                self.start() + self.word().len(),
                ";".to_owned(),
            );
            self.at += 1;
            let missing = self.wrong("a condition is missing here");
            let next = self.operand(true)?.ok_or(missing)?;
            let next = self.implicit(next)?;
            match either.last_mut() {
                Some(all) if !is_or => all.push(next),
                _ => either.push(vec![next]),
            }
        }
        self.joined(&either);
        Ok(())
    }

    /// An operand that declares nothing.
    fn implicit(&self, operand: Operand) -> Result<Operand, Wrong> {
        match self.assigned {
            Some(start) if !operand.is_closed && self.is_assignment(start) => {
                let said = "a condition beside `and` or `or` declares nothing: put it into braces, `{ x := … }`";
                Err(Wrong::new(start, said))
            }
            _ => Ok(operand),
        }
    }

    fn is_assignment(&self, start: usize) -> bool {
        let rest = self.text.get(start..).unwrap_or_default();
        rest.starts_with(":=")
    }

    fn joined(&mut self, either: &[Vec<Operand>]) {
        for all in either {
            // One that is alone gets what says that it does not hold.
            if either.len() == 1 || all.len() > 1 {
                for one in all.iter().filter(|one| !one.is_closed) {
                    self.around(one, one, &begin(true, false));
                }
            }
            if let (true, [first, ..], [.., last]) = (either.len() > 1, &**all, &**all) {
                let binds = all.len() > 1 || first.is_closed;
                self.around(first, last, &begin(false, binds));
            }
        }
        let whole = begin(either.len() == 1, true);
        let ends = (
            either.first().and_then(|all| all.first()),
            either.last().and_then(|all| all.last()),
        );
        if let (Some(first), Some(last)) = ends {
            self.around(first, last, &whole);
        }
    }

    fn around(&mut self, first: &Operand, last: &Operand, begin: &str) {
        self.changes.open(first.start, begin);
        self.changes.close(last.end, "]");
    }

    /// One condition, whether alone or beside an `and` or `or`; `is_next`: one of these stands before it.
    fn operand(&mut self, is_next: bool) -> Result<Option<Operand>, Wrong> {
        let start = self.start();
        if self.is("not") {
            return if self.imported.not {
                self.negation(start).map(Some)
            } else {
                self.at += 1;
                self.plain(start)
            };
        }
        let is_beside = is_next || self.joins(self.partner() + 1);
        if self.word() == "{" && is_beside && !self.is_without_logic() {
            self.braces(true)?;
            return self.closed(start).map(Some);
        }
        if self.word() == "(" && self.is_grouped(self.at, is_beside) {
            self.parentheses(true)?;
            return self.closed(start).map(Some);
        }
        self.plain(start)
    }

    fn is_without_logic(&self) -> bool {
        !self.imported.and && !self.imported.or
    }

    fn plain(&mut self, start: usize) -> Result<Option<Operand>, Wrong> {
        Ok(self.expression()?.then(|| Operand {
            start,
            end: self.end(),
            is_closed: false,
        }))
    }

    fn closed(&mut self, start: usize) -> Result<Operand, Wrong> {
        if (self.continues() && self.word() != ",")
            || (self.is_joined() && matches!(self.word(), "." | "[" | "("))
        {
            let said = "the brackets before this are a body of conditions here: put a value and what is asked of it \
                        into parentheses or braces";
            return Err(self.wrong(said));
        }
        self.assigned = None;
        Ok(Operand {
            start,
            end: self.end(),
            is_closed: true,
        })
    }

    fn negation(&mut self, start: usize) -> Result<Operand, Wrong> {
        let not = (start, start + "not".len());
        self.at += 1;
        if self.word() == "{" {
            self.changes.replace(not.0, not.1, String::new());
            self.braces(false)?;
            return self.closed(start);
        }
        if self.word() == "(" && self.is_grouped(self.at, true) {
            self.changes.replace(not.0, not.1, String::new());
            self.parentheses(false)?;
            return self.closed(start);
        }
        self.changes.replace(not.0, not.1, begin(false, false));
        let missing = self.wrong("a condition is missing behind `not`");
        if !self.expression()? {
            return Err(missing);
        }
        if let Some(assigned) = self.assigned.filter(|start| self.is_assignment(*start)) {
            let said = "a negated condition declares nothing: put it into braces, `not { x := … }`";
            return Err(Wrong::new(assigned, said));
        }
        self.changes.close(self.end(), "]");
        Ok(Operand {
            start,
            end: self.end(),
            is_closed: true,
        })
    }

    /// A body in braces as a comprehension.
    fn braces(&mut self, holds: bool) -> Result<(), Wrong> {
        let end = self.partner();
        if end == self.at + 1 {
            return Err(self.wrong("this body is empty"));
        }
        self.brackets(begin(holds, true), end);
        self.block()
    }

    fn parentheses(&mut self, holds: bool) -> Result<(), Wrong> {
        let end = self.partner();
        self.brackets(begin(holds, false), end);
        self.at += 1;
        self.chain()?;
        self.replacements()?;
        if self.at != end {
            return Err(self.wrong("this is no condition beside `and`, `or` or `not`"));
        }
        self.at = end + 1;
        Ok(())
    }

    fn brackets(&mut self, begin: String, end: usize) {
        let start = self.start();
        self.changes.replace(start, start + 1, begin);
        if let Some(close) = self.tokens.get(end) {
            self.changes.replace(close.start, close.end, "]".to_owned());
        }
    }

    /// Whether parentheses stand around conditions, and not around a value.
    fn is_grouped(&self, open: usize, is_operand: bool) -> bool {
        if self.is_without_logic() && !self.imported.not {
            return false;
        }
        let Some(end) = self.tokens.get(open).map(|token| token.partner) else {
            return false;
        };
        let mut at = open + 1;
        if self.imported.not && self.is_at(at, "not") {
            return true;
        }
        let inner = self.tokens.get(at).map_or(0, |token| token.partner);
        let is_nested = |token: &Token| word(self.text, token) == "(";
        if self.tokens.get(at).is_some_and(is_nested) && inner + 1 == end {
            return self.is_grouped(at, is_operand);
        }
        while let Some(token) = self.tokens.get(at).filter(|_| at < end) {
            if self.joins(at) || (is_operand && self.is_at(at, "with")) {
                return true;
            }
            at = token.partner.max(at) + 1;
        }
        false
    }
}

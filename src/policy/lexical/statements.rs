//! Finds where statements, their operands and the texts within them begin and end, and writes out what is new.
//!
//! An operand is true or not whatever it binds: each is asked in a comprehension of its own. `[] != [1 | some _ in [0]; a]`
//! says that `a` holds, `[] == [1 | some _ in [0]; a]` that it does not; the first that decides is the last that is
//! evaluated, as in OPA. The `some` keeps the parser from taking what follows for something else, and the bytecode engine
//! from leaving the comprehension around this one, too, where a condition without a loop around it fails.

use super::keywords::{Imported, is_reference, is_step, word};
use super::moved::Changes;
use super::tokens::{Kind, Token};
use super::{IMPLICIT, TEMPLATE, Wrong};

/// What a comprehension begins with that asks for conditions: those in braces, or one that may bind nothing.
fn begin(holds: bool, binds: bool) -> String {
    let operator = if holds { "!=" } else { "==" };
    let name = if binds { "_" } else { IMPLICIT };
    format!("[] {operator} [1 | some {name} in [0]; ")
}

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

/// One side of `and` or `or`.
struct Operand {
    start: usize,
    end: usize,
    /// Whether it is written out as one that binds nothing.
    is_closed: bool,
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

    /// Operands with `and` and `or` between them; `and` binds more.
    fn chain(&mut self) -> Result<(), Wrong> {
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

    /// A text with expressions in it, as a call that puts its pieces together.
    fn template(&mut self) -> Result<(), Wrong> {
        let is_raw = self.word().starts_with("$`");
        let mut is_first = true;
        loop {
            let Some(part) = self.token().copied() else {
                return Ok(());
            };
            let written = self.word();
            let opens = written.ends_with('{') && part.partner != self.at;
            let begin = if is_first { 2 } else { 1 };
            let inner = written.get(begin..written.len().saturating_sub(1));
            let mut pieces = pieces(inner.unwrap_or_default(), is_raw);
            let mut new = String::new();
            if is_first {
                new.push_str(TEMPLATE);
                new.push_str("([");
            } else {
                new.push('}');
                if opens || !pieces.is_empty() {
                    new.push_str(", ");
                }
            }
            if opens {
                self.texts += 1;
                let name = format!("{TEMPLATE}_{}", self.texts);
                pieces.push(format!("{{{name} | some {IMPLICIT} in [0]; {name} := "));
            }
            new.push_str(&pieces.join(", "));
            if !opens {
                new.push_str("])");
            }
            self.changes.replace(part.start, part.end, new);
            self.at += 1;
            if !opens {
                return Ok(());
            }
            self.embedded(part.partner)?;
            is_first = false;
        }
    }

    /// The expression in a text, to where the text goes on.
    fn embedded(&mut self, end: usize) -> Result<(), Wrong> {
        let missing = self.wrong("an expression with a value has to stand between these braces; \\{ is a brace of the text");
        let first = self.at;
        if !self.expression()? {
            return Err(missing);
        }
        self.number(first);
        if let Some(start) = self.assigned {
            return Err(Wrong::new(
                start,
                "nothing can be given a value within a text",
            ));
        }
        self.replacements()?;
        if self.at != end {
            return Err(
                self.wrong("one expression can stand between the braces of a text: this is more")
            );
        }
        Ok(())
    }

    /// A number that stands there alone is written as in the file.
    fn number(&mut self, first: usize) {
        let written = self
            .tokens
            .get(first)
            .map(|first| (first.start, self.end()));
        let Some((start, end)) = written else { return };
        let number = self.text.get(start..end).unwrap_or_default();
        if serde_json::from_str::<serde_json::Number>(number).is_ok() {
            self.changes.replace(start, end, format!("\"{number}\""));
        }
    }
}

/// The pieces of a part of a text, as texts of their own; `\{` is a brace.
fn pieces(inner: &str, is_raw: bool) -> Vec<String> {
    if is_raw {
        // In it there is no other escape: a piece ends before each such.
        let mut pieces = Vec::new();
        let mut start = 0;
        for (place, _) in inner.match_indices("\\{") {
            pieces.push(inner.get(start..place).unwrap_or_default());
            start = place + 1;
        }
        pieces.push(inner.get(start..).unwrap_or_default());
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        return pieces.map(|piece| format!("`{piece}`")).collect();
    }
    if inner.is_empty() {
        return Vec::new();
    }
    let mut piece = String::with_capacity(inner.len() + 2);
    piece.push('"');
    let mut characters = inner.chars();
    while let Some(next) = characters.next() {
        if next != '\\' {
            piece.push(next);
            continue;
        }
        match characters.next() {
            Some('{') => piece.push('{'),
            escaped => {
                piece.push('\\');
                piece.extend(escaped);
            }
        }
    }
    piece.push('"');
    vec![piece]
}

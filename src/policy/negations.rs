//! Negations as OPA's compiler reads them, before an engine evaluates them.
//!
//! OPA looks up first, outside of `not`, whatever a call is given and whatever stands in brackets: where that is
//! undefined, so is the body. The engine looks it up within, and takes `not startswith(input.change.name.requested,
//! "a")` for true where the request has no name. So `name := input.change.name.requested; not startswith(name, "a")` is
//! what the engine gets. The same goes for `in` within an expression, which the engine takes for false where OPA finds
//! nothing. `not x == y` and `not rule` hold in both when there is nothing to compare.

use std::collections::BTreeSet;

use regorus::unstable::{
    AssignOp, BoolOp, Expr, Literal, LiteralStmt, Module, Query, Ref, Rule, RuleHead, Span,
};

use super::bundle::Problem;
use super::check::{self, Names, Path};
use super::places::{Change, Changes, applied, insert};
use super::walk::{self, Site};

/// The rules that are sets which grow: they are always there.
pub(super) fn sets(modules: &[Ref<Module>]) -> BTreeSet<Path> {
    let mut sets = BTreeSet::new();
    for module in modules {
        let names = Names::of(module);
        for rule in &module.policy {
            if let Rule::Spec {
                head: RuleHead::Set { key: Some(_), .. },
                ..
            } = rule.as_ref()
            {
                sets.extend(check::path_of(&names, rule));
            }
        }
    }
    sets
}

/// Writes out the negations of a module, on top of other changes.
///
/// # Errors
///
/// Names a statement whose parts cannot be told apart for certain.
pub(super) fn write_out(
    module: &Module,
    sets: &BTreeSet<Path>,
    changes: &mut Changes,
) -> Result<(), Problem> {
    let names = Names::of(module);
    let mut found: Vec<Found> = Vec::new();
    for rule in &module.policy {
        let scope = Scope {
            names: &names,
            sets,
            bound: walk::bound(rule),
        };
        scope.rule(rule, &mut found)?;
    }
    // From the end to the beginning, so that what stands within another is done before it.
    found.sort_by_key(|found| std::cmp::Reverse(found.start));
    let source = module.package.span.source.get_contents();
    for (number, found) in found.into_iter().enumerate() {
        found.write_out(source, number, changes)?;
    }
    Ok(())
}

/// A statement with something that OPA looks up first. Places are those in the file.
struct Found {
    start: usize,
    /// Where the `with`s begin, if there are any.
    with: usize,
    end: usize,
    asked: Vec<(usize, usize)>,
    /// Whether it is all that stands behind an `if`, without braces.
    is_bare: bool,
    problem: Problem,
}

impl Found {
    fn write_out(self, source: &str, number: usize, changes: &mut Changes) -> Result<(), Problem> {
        let mut first = String::new();
        for (place, (from, to)) in self.asked.into_iter().enumerate() {
            let replacing = in_one_line(&applied(source, self.with, self.end, changes));
            let asked = in_one_line(&applied(source, from, to, changes));
            let (Some(asked), Some(replacing)) = (asked, replacing) else {
                return Err(self.problem);
            };
            let name = format!("dtgate_asked_{number}_{place}");
            first.extend([name.as_str(), " := ", &asked, &replacing, "; "]);
            changes.retain(|at, change| *at < from || change.end > to);
            changes.insert(
                from,
                Change {
                    end: to,
                    text: name,
                },
            );
        }
        if self.is_bare {
            first.insert_str(0, "{ ");
            insert(changes, self.end, " }");
        }
        insert(changes, self.start, &first);
        Ok(())
    }
}

/// What names mean where a statement stands.
struct Scope<'a> {
    names: &'a Names<'a>,
    sets: &'a BTreeSet<Path>,
    bound: BTreeSet<String>,
}

impl Scope<'_> {
    /// All statements of a rule, those of queries within it too.
    fn rule(&self, rule: &Rule, found: &mut Vec<Found>) -> Result<(), Problem> {
        let mut unclear = None;
        let mut query = |query: &Query, is_body: bool| {
            for statement in &query.stmts {
                let is_bare = is_body && statement.span.start == query.span.start;
                match self.statement(statement, is_bare) {
                    Ok(one) => found.extend(one),
                    Err(problem) => unclear = Some(problem),
                }
            }
        };
        if let Rule::Spec { bodies, .. } = rule {
            for body in bodies {
                query(&body.query, true);
            }
        }
        walk::rule(rule, &mut |site| match site {
            Site::Every { query: body, .. } => query(body, false),
            Site::Operation(
                Expr::ArrayCompr { query: body, .. }
                | Expr::SetCompr { query: body, .. }
                | Expr::ObjectCompr { query: body, .. },
            ) => query(body, false),
            _ => {}
        });
        unclear.map_or(Ok(()), Err)
    }

    fn statement(&self, statement: &LiteralStmt, is_bare: bool) -> Result<Option<Found>, Problem> {
        let mut asked = Vec::new();
        let span = match &statement.literal {
            Literal::NotExpr { expr, span } => {
                self.within_not(expr, &mut asked);
                span
            }
            Literal::Expr { expr, span } => {
                self.members(expr, true, &mut asked);
                span
            }
            Literal::SomeIn { .. } | Literal::SomeVars { .. } | Literal::Every { .. } => {
                return Ok(None);
            }
        };
        let message = "dtgate cannot tell for certain what is asked for here: bind it to a name first \
                       (`name := ...`) and use that name";
        let problem = check::at(&statement.span, message);
        let asked: Option<Vec<_>> = asked.into_iter().map(extent).collect();
        match asked {
            None => Err(problem),
            Some(asked) if asked.is_empty() => Ok(None),
            Some(asked) => Ok(Some(Found {
                start: offset(statement.span.start),
                with: end_of(span),
                end: end_of(&statement.span),
                asked,
                is_bare,
                problem,
            })),
        }
    }

    /// What OPA looks up before it negates an expression.
    fn within_not<'e>(&self, expr: &'e Expr, asked: &mut Vec<&'e Expr>) {
        match expr {
            Expr::BoolExpr {
                op: BoolOp::Eq,
                lhs,
                rhs,
                ..
            }
            | Expr::AssignExpr { lhs, rhs, .. } => {
                for side in [lhs, rhs] {
                    match side.as_ref() {
                        Expr::Call { .. } => self.looked_up(side, asked),
                        other => self.parts(other, asked),
                    }
                }
            }
            other => self.parts(other, asked),
        }
    }

    /// What an expression is made of, and not itself.
    fn parts<'e>(&self, expr: &'e Expr, asked: &mut Vec<&'e Expr>) {
        let mut each = |parts: &'e [Ref<Expr>]| {
            for part in parts {
                self.looked_up(part, asked);
            }
        };
        match expr {
            Expr::Call { params, .. } => each(params),
            Expr::Array { items, .. } | Expr::Set { items, .. } => each(items),
            Expr::Object { fields, .. } => {
                for (_, key, value) in fields {
                    self.looked_up(key, asked);
                    self.looked_up(value, asked);
                }
            }
            Expr::Membership {
                key,
                value,
                collection,
                ..
            } => {
                each(key.as_slice());
                self.looked_up(value, asked);
                self.looked_up(collection, asked);
            }
            Expr::UnaryExpr { expr, .. } => self.looked_up(expr, asked),
            Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::BinExpr { lhs, rhs, .. } => {
                self.looked_up(lhs, asked);
                self.looked_up(rhs, asked);
            }
            Expr::RefDot { refr, .. } => self.parts_of_root(refr, asked),
            Expr::RefBrack { refr, index, .. } => {
                self.parts_of_root(refr, asked);
                self.looked_up(index, asked);
            }
            _ => {}
        }
    }

    /// What a reference begins with: another one, or a call that is looked up itself.
    fn parts_of_root<'e>(&self, root: &'e Expr, asked: &mut Vec<&'e Expr>) {
        match root {
            Expr::Call { .. } => self.looked_up(root, asked),
            other => self.parts(other, asked),
        }
    }

    /// An expression that has to have a value.
    fn looked_up<'e>(&self, expr: &'e Expr, asked: &mut Vec<&'e Expr>) {
        match expr {
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                if !self.is_there(expr) {
                    asked.push(expr);
                }
            }
            Expr::Call { .. } => asked.push(expr),
            other => self.parts(other, asked),
        }
    }

    /// A name that the rule binds, or a set that grows.
    fn is_there(&self, expr: &Expr) -> bool {
        let Some(path) = walk::fixed_path(expr) else {
            return false;
        };
        match path.as_slice() {
            [name] if self.bound.contains(name) || name == "_" || name == "input" => true,
            [first, ..] if self.bound.contains(first) => false,
            _ => {
                let mut meant = self.names.functions(&path).into_iter();
                meant.any(|path| self.sets.contains(&path))
            }
        }
    }

    /// What `in` is asked of within an expression; as a statement of its own it fails either way.
    fn members<'e>(&self, expr: &'e Expr, is_whole: bool, asked: &mut Vec<&'e Expr>) {
        match expr {
            Expr::Membership { .. } if !is_whole => self.parts(expr, asked),
            Expr::AssignExpr {
                op: AssignOp::ColEq | AssignOp::Eq,
                lhs,
                rhs,
                ..
            }
            | Expr::BoolExpr { lhs, rhs, .. } => {
                self.members(lhs, false, asked);
                self.members(rhs, false, asked);
            }
            Expr::Call { params, .. } => {
                for part in params {
                    self.members(part, false, asked);
                }
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => {
                for part in items {
                    self.members(part, false, asked);
                }
            }
            _ => {}
        }
    }
}

/// Where a name, a reference or a call stands, all of it.
fn extent(expr: &Expr) -> Option<(usize, usize)> {
    let mut first = expr;
    let start = loop {
        match first {
            Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => first = refr,
            Expr::Call { fcn, .. } => first = fcn,
            other => break offset(other.span().start),
        }
    };
    let end = match expr {
        Expr::RefDot { field, .. } => offset(field.0.end),
        other => offset(other.span().end),
    };
    let text = expr.span().source.get_contents().get(start..end)?;
    let closes = match expr {
        Expr::Call { .. } => text.ends_with(')'),
        Expr::RefBrack { .. } => text.ends_with(']'),
        _ => true,
    };
    (closes && depth(text) == Some(0)).then_some((start, end))
}

fn offset(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The engine's spans leave out the last quotation mark of a text.
fn end_of(span: &Span) -> usize {
    let end = offset(span.end);
    let rest = span.source.get_contents().get(end..).unwrap_or_default();
    end + usize::from(rest.starts_with(['"', '`']))
}

/// What a piece of Rego is made of.
enum Piece<'a> {
    Text(&'a str),
    Comment,
    Code(char),
}

/// The pieces in order; a text that does not end is none.
fn pieces(source: &str) -> Option<Vec<Piece<'_>>> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        let length = match character {
            '"' | '`' => {
                let length = quoted(rest, character)?;
                found.push(Piece::Text(rest.get(..length)?));
                length
            }
            '#' => {
                found.push(Piece::Comment);
                rest.find('\n').unwrap_or(rest.len())
            }
            other => {
                found.push(Piece::Code(other));
                other.len_utf8()
            }
        };
        rest = rest.get(length..)?;
    }
    Some(found)
}

/// How long a text is, with both of its quotation marks.
fn quoted(source: &str, mark: char) -> Option<usize> {
    let mut escaped = false;
    let end = source.char_indices().skip(1).find(|(_, character)| {
        let ends = *character == mark && !escaped;
        escaped = mark == '"' && *character == '\\' && !escaped;
        ends
    });
    end.map(|(place, _)| place + 1)
}

/// How many brackets are open at the end.
fn depth(source: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for piece in pieces(source)? {
        match piece {
            Piece::Code('(' | '[' | '{') => depth += 1,
            Piece::Code(')' | ']' | '}') => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    Some(depth)
}

/// The same without comments, in one line; nothing when a text has a line break.
fn in_one_line(source: &str) -> Option<String> {
    let mut line = String::new();
    for piece in pieces(source)? {
        match piece {
            Piece::Text(text) if text.contains('\n') => return None,
            Piece::Text(text) => line.push_str(text),
            Piece::Comment => {}
            Piece::Code('\n' | '\r') => line.push(' '),
            Piece::Code(character) => line.push(character),
        }
    }
    Some(line)
}

#[cfg(test)]
mod tests;

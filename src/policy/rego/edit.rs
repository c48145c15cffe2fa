//! Where things stand in the text of a module, and the text with changes there.
//!
//! Spans of the engine do not always cover what they are of: a place is given only where it is certain, and none
//! otherwise. It refuses to know what is changed, and why.

use std::collections::BTreeMap;

use regorus::unstable::{Expr, Span};

use super::syntax;

/// By the place where they begin; no two overlap.
pub(in crate::policy) type Changes = BTreeMap<usize, Change>;

pub(in crate::policy) struct Change {
    pub(in crate::policy) end: usize,
    pub(in crate::policy) text: String,
}

/// Puts text before whatever else is changed at a place.
pub(in crate::policy) fn insert(changes: &mut Changes, start: usize, text: &str) {
    let change = changes.entry(start).or_insert_with(|| Change {
        end: start,
        text: String::new(),
    });
    change.text.insert_str(0, text);
}

/// Where a reference or call stands, all of it.
pub(in crate::policy) fn whole(expr: &Expr) -> Option<(usize, usize)> {
    let mut first = expr;
    let start = loop {
        match syntax::start_of(first) {
            Expr::Var { span, .. } => break span.start,
            Expr::Call { fcn, .. } => first = fcn,
            _ => return None,
        }
    };
    let span = expr.span();
    let (start, end) = (
        usize::try_from(start).ok()?,
        usize::try_from(span.end).ok()?,
    );
    let source = span.source.get_contents();
    let text = source.get(start..end)?;
    let closes =
        |open: char, close: char| text.matches(open).count() == text.matches(close).count();
    let after = source.get(end..)?.chars().next().unwrap_or(' ');
    let is_whole = closes('[', ']')
        && closes('(', ')')
        && !text.contains(['"', '`', '\n', '#'])
        && (after.is_whitespace() || matches!(after, ')' | ']' | '}' | ',' | ';'));
    is_whole.then_some((start, end))
}

/// Where the `:=` stands behind a name that is assigned to.
pub(in crate::policy) fn colon(name: &Expr) -> Option<usize> {
    let span = name.span();
    let end = usize::try_from(span.end).ok()?;
    let rest = span.source.get_contents().get(end..)?;
    let operator = rest.trim_start();
    operator
        .starts_with(":=")
        .then(|| end + rest.len() - operator.len())
}

/// Where a whole statement or rule stands, when nothing else is on its lines but what may precede it: the engine's
/// spans do not always begin where the thing does.
pub(in crate::policy) fn lines(span: &Span) -> Option<(usize, usize)> {
    let (start, end) = (
        usize::try_from(span.start).ok()?,
        usize::try_from(span.end).ok()?,
    );
    let source = span.source.get_contents();
    // The span of a text leaves out its last quotation mark.
    let end = end + usize::from(source.get(end..)?.starts_with('"'));
    let (before, after) = (source.get(..start)?, source.get(end..)?);
    let before = before.rsplit('\n').next().unwrap_or_default();
    let after = after.split('\n').next().unwrap_or_default();
    let alone = before.trim().is_empty() || before.ends_with(" if ");
    (alone && after.trim().is_empty()).then_some((start, end))
}

/// A part of the source with the changes in it.
pub(in crate::policy) fn applied(
    source: &str,
    start: usize,
    end: usize,
    changes: &Changes,
) -> String {
    let mut text = String::new();
    let mut done = start;
    // What is put behind the last character belongs to it.
    let inside = |(place, change): &(&usize, &Change)| **place < end || change.end == end;
    for (place, change) in changes.range(start..=end).filter(inside) {
        text.push_str(source.get(done..*place).unwrap_or_default());
        text.push_str(&change.text);
        done = change.end;
    }
    text.push_str(source.get(done..end).unwrap_or_default());
    text
}

pub(in crate::policy) fn is_after_a_dot(span: &Span) -> bool {
    let start = usize::try_from(span.start).unwrap_or(0);
    let before = span.source.get_contents().get(..start).unwrap_or_default();
    before.ends_with('.')
}

//! Forms of expressions: what is compared with what, what is true or false, where it is written.

use std::ptr;

use regorus::unstable::{BoolOp, Expr, Span};

use crate::policy::rego::program;
use crate::policy::rego::syntax::{self, Form};

/// The expression that is compared with `true` or `false`, and whether it is to be true.
pub(super) fn truth(expr: &Expr) -> Option<(&Expr, bool)> {
    let Expr::BoolExpr { op, lhs, rhs, .. } = expr else {
        return None;
    };
    let ((Expr::Bool { value, .. }, other) | (other, Expr::Bool { value, .. })) =
        (lhs.as_ref(), rhs.as_ref())
    else {
        return None;
    };
    let is_true = *value == true.into();
    match op {
        BoolOp::Eq => Some((other, is_true)),
        BoolOp::Ne => Some((other, !is_true)),
        _ => None,
    }
}

/// Of a comparison, the side that has to grow for it to hold: the first or the second.
pub(super) fn side_that_grows(comparison: &Expr, negated: bool) -> Option<usize> {
    let Expr::BoolExpr { op, lhs, rhs, .. } = comparison else {
        return None;
    };
    let of_empty = |is_equal: bool| {
        let side = match (is_nothing(lhs), is_nothing(rhs)) {
            (_, true) => 0,
            (true, _) => 1,
            _ => return None,
        };
        Some(if is_equal { 1 - side } else { side })
    };
    match effective(op, negated) {
        BoolOp::Eq => of_empty(true),
        BoolOp::Ne => of_empty(false),
        BoolOp::Gt | BoolOp::Ge => Some(0),
        BoolOp::Lt | BoolOp::Le => Some(1),
    }
}

pub(super) fn effective(op: &BoolOp, negated: bool) -> BoolOp {
    match (op, negated) {
        (BoolOp::Eq, false) | (BoolOp::Ne, true) => BoolOp::Eq,
        (BoolOp::Ne, false) | (BoolOp::Eq, true) => BoolOp::Ne,
        (BoolOp::Lt, false) | (BoolOp::Ge, true) => BoolOp::Lt,
        (BoolOp::Le, false) | (BoolOp::Gt, true) => BoolOp::Le,
        (BoolOp::Gt, false) | (BoolOp::Le, true) => BoolOp::Gt,
        (BoolOp::Ge, false) | (BoolOp::Lt, true) => BoolOp::Ge,
    }
}

/// Whether an expression is true or false, and nothing else.
pub(super) fn is_predicate(expr: &Expr) -> bool {
    let name = called(expr);
    matches!(expr, Expr::BoolExpr { .. } | Expr::Membership { .. })
        || PREDICATES.contains(&name.as_str())
        || name.starts_with("is_")
}

/// The name of the function that is called.
fn called(expr: &Expr) -> String {
    let name = match expr {
        Expr::Call { fcn, .. } => program::dotted(fcn),
        _ => None,
    };
    name.unwrap_or_default().join(".")
}

const PREDICATES: [&str; 10] = [
    "contains",
    "endswith",
    "glob.match",
    "net.cidr_contains",
    "object.subset",
    "regex.is_valid",
    "regex.match",
    "startswith",
    "strings.any_prefix_match",
    "strings.any_suffix_match",
];

/// Whether an expression puts a text together.
pub(super) fn is_text(expr: &Expr) -> bool {
    ["sprintf", "concat"].contains(&called(expr).as_str())
}

pub(super) fn is_false(expr: &Expr) -> bool {
    syntax::literal(expr) == Some(false.into())
}

pub(super) fn is_count(expr: &Expr) -> bool {
    called(expr) == "count"
}

pub(super) fn is_zero(expr: &Expr) -> bool {
    syntax::form(expr) == Form::Number && expr.span().text() == "0"
}

/// What is compared with what may have nothing in it.
pub(super) fn is_nothing(expr: &Expr) -> bool {
    is_empty(expr) || is_zero(expr)
}

pub(super) fn is_empty(expr: &Expr) -> bool {
    match syntax::form(expr) {
        Form::Array | Form::Object | Form::Set => {
            syntax::comprehension(expr).is_none() && syntax::parts(expr).is_empty()
        }
        Form::Call => called(expr) == "set" && syntax::parts(expr).is_empty(),
        _ => syntax::written(expr).is_some_and(str::is_empty),
    }
}

/// Where an expression begins: the engine's spans do not always begin there.
pub(super) fn start(expr: &Expr) -> &Span {
    let first = match (syntax::form(expr), expr) {
        (Form::Reference, _) => Some(syntax::start_of(expr)).filter(|first| !ptr::eq(*first, expr)),
        (_, Expr::Call { fcn, .. }) => Some(fcn.as_ref()),
        (_, Expr::UnaryExpr { .. }) => None,
        (Form::Object | Form::Operation, _) => syntax::parts(expr).into_iter().next(),
        _ => None,
    };
    first.map_or_else(|| expr.span(), start)
}

/// What is written there, in one line.
pub(super) fn text(start: &Span, whole: &Span) -> String {
    let source = whole.source.get_contents();
    let from = usize::try_from(start.start).unwrap_or(0);
    let to = usize::try_from(whole.end).unwrap_or(0);
    let rest = source.get(from..).unwrap_or_default();
    let mut end = to.saturating_sub(from);
    let written = |end: usize| rest.get(..end).unwrap_or_default();
    // The span of a text leaves out its last quotation mark.
    if rest.get(end..).is_some_and(|rest| rest.starts_with('"')) {
        end += 1;
    }
    let open = |text: &str, one: char, other: char| {
        text.matches(one).count() > text.matches(other).count()
    };
    let is_open = |text: &str| open(text, '(', ')') || open(text, '[', ']') || open(text, '{', '}');
    let closes = |text: &str| {
        !(is_open(text) || open(text, ')', '(') || open(text, ']', '[') || open(text, '}', '{'))
    };
    while is_open(written(end)) && end < rest.len() && end - to.saturating_sub(from) < MOST_CLOSING
    {
        end += 1;
    }
    // Nor does that of a text or an object begin where it does.
    let (mut whole, before) = (
        written(end).to_owned(),
        source.get(..from).unwrap_or_default(),
    );
    for open in before.chars().rev().take(MOST_CLOSING) {
        let is_whole = closes(&whole) && whole.matches('"').count() % 2 == 0;
        if is_whole || !(open.is_whitespace() || "\"{[(".contains(open)) {
            break;
        }
        whole.insert(0, open);
    }
    let lines = whole.lines().map(str::trim);
    let text = lines.collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MOST_WRITTEN) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}

const MOST_CLOSING: usize = 8;
/// Characters of a statement that are told.
const MOST_WRITTEN: usize = 100;

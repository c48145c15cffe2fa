//! Functions that say nothing but what they hold for (`stage("dev")`): the engine's parser wants a value or a body.

use super::keywords::{is_reference, word};
use super::moved::Changes;
use super::tokens::{Kind, Token};

/// Gives them the value that they have.
pub(super) fn write_out(text: &str, tokens: &[Token], changes: &mut Changes) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if let Some(closing) = fact(text, tokens, at)
            && let Some(end) = tokens.get(closing).map(|token| token.end)
        {
            changes.close(end, " := true");
            at = closing + 1;
        } else if token.kind == Kind::Open {
            at = token.partner + 1;
        } else {
            at += 1;
        }
    }
}

/// The bracket that closes a fact which begins here, between brackets of no other thing.
fn fact(text: &str, tokens: &[Token], first: usize) -> Option<usize> {
    let before = first.checked_sub(1).and_then(|at| tokens.get(at));
    let name = tokens.get(first)?;
    let begins_a_rule = name.kind == Kind::Name
        && before.is_none_or(|before| ends_a_rule(text, tokens, first - 1, before, name.start));
    if !begins_a_rule {
        return None;
    }
    let mut open = first + 1;
    while tokens.get(open).is_some_and(|dot| word(text, dot) == ".") {
        open += 2;
    }
    let bracket = tokens.get(open)?;
    let last = tokens.get(open.checked_sub(1)?)?;
    if word(text, bracket) != "(" || last.kind != Kind::Name || last.end != bracket.start {
        return None;
    }
    let end = tokens.get(bracket.partner)?.end;
    // Nothing follows that says more about it.
    let follows = tokens.get(bracket.partner + 1);
    let is_alone = follows.is_none_or(|next| {
        is_broken(text, end, next.start)
            && (next.kind == Kind::Name
                && !["if", "else", "contains", "in", "with", "as"].contains(&word(text, next))
                || is_reference(text, tokens, bracket.partner + 1))
    });
    is_alone.then_some(bracket.partner)
}

/// Whether a rule can end with a token, and another begin behind it.
fn ends_a_rule(text: &str, tokens: &[Token], at: usize, before: &Token, start: usize) -> bool {
    let is_value = match before.kind {
        Kind::Close | Kind::Number | Kind::Text | Kind::Part => true,
        Kind::Name => {
            const GO_ON: [&str; 12] = [
                "if", "in", "not", "some", "every", "contains", "default", "with", "as", "and",
                "or", "else",
            ];
            !GO_ON.contains(&word(text, before)) || is_reference(text, tokens, at)
        }
        Kind::Open | Kind::Sign => false,
    };
    is_value && is_broken(text, before.end, start)
}

fn is_broken(text: &str, end: usize, start: usize) -> bool {
    text.get(end..start).unwrap_or_default().contains('\n')
}

//! How deep one expression goes into itself.
//!
//! The engine's parser, its evaluators and the passes over its trees call themselves for every operator, step of a
//! reference and bracket, so a line of a few hundred bytes could end the program. Each counts once here, also where what
//! it joins stands side by side: `1 + 1 + 1` is a sum in a sum.

use super::Wrong;
use super::tokens::{Kind, Token};

/// How many operators, steps and brackets may stand within one another.
pub(in crate::policy) const MOST_DEEP: usize = 200;

/// # Errors
///
/// Names the place at which an expression goes too deep.
pub(super) fn refuse(text: &str, tokens: &[Token]) -> Result<(), Wrong> {
    let mut frames = vec![Frame::default()];
    let mut before: Option<Seen> = None;
    for token in tokens {
        let word = text.get(token.start..token.end).unwrap_or_default();
        let seen = Seen::of(token.kind, word);
        if ends_statement(text, before.as_ref(), &seen, token)
            && let Some(frame) = frames.last_mut()
            && !frame.is_joined
        {
            frame.next();
        }
        match token.kind {
            Kind::Open => frames.push(Frame {
                is_behind: before.as_ref().is_some_and(|it| it.may_have(token)),
                is_joined: word != "{",
                ..Frame::default()
            }),
            Kind::Close => close(&mut frames),
            Kind::Part => {
                if frames.last().is_some_and(|frame| frame.is_part) {
                    close(&mut frames);
                }
                if word.ends_with('{') {
                    frames.push(Frame {
                        is_part: true,
                        is_joined: true,
                        ..Frame::default()
                    });
                }
            }
            _ => {
                if let Some(frame) = frames.last_mut() {
                    frame.see(seen.role);
                }
            }
        }
        if frames.last().is_some_and(|it| it.depth() > MOST_DEEP) {
            return Err(too_deep(token.start));
        }
        before = Some(Seen {
            end: token.end,
            ..seen
        });
    }
    // What nothing closes, where the parser is to say so.
    while frames.len() > 1 {
        close(&mut frames);
    }
    match frames.last() {
        Some(frame) if frame.depth() > MOST_DEEP => {
            Err(too_deep(tokens.first().map_or(0, |it| it.start)))
        }
        _ => Ok(()),
    }
}

fn too_deep(start: usize) -> Wrong {
    Wrong::beyond(
        start,
        format!(
            "more than {MOST_DEEP} operators, steps and brackets stand within one another up to here: give a part a name"
        ),
    )
}

fn close(frames: &mut Vec<Frame>) {
    if frames.len() < 2 {
        return;
    }
    if let Some(frame) = frames.pop()
        && let Some(around) = frames.last_mut()
    {
        let one = usize::from(frame.is_behind);
        around.steps += one;
        around.within = around.within.max(frame.depth() + 1 - one);
    }
}

/// What a word or sign does to an expression.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Role {
    /// Between what it joins.
    Joins,
    /// Before or behind what it is about: `-`, `not`, `.`.
    Steps,
    /// Between two expressions.
    Separates,
    /// Before what a rule is where nothing above holds.
    Else,
    Other,
}

struct Seen {
    role: Role,
    /// Nothing that it begins can go on with what stands before.
    begins: bool,
    is_value: bool,
    end: usize,
}

impl Seen {
    fn of(kind: Kind, word: &str) -> Self {
        let role = match (kind, word) {
            (Kind::Sign, "," | ";") => Role::Separates,
            (Kind::Sign, ".") | (Kind::Name, "not" | "some" | "every") => Role::Steps,
            (Kind::Sign, _) | (Kind::Name, "in" | "with" | "and" | "or") => Role::Joins,
            (Kind::Name, "else") => Role::Else,
            _ => Role::Other,
        };
        let begins = match kind {
            Kind::Name => !matches!(role, Role::Joins | Role::Else),
            Kind::Number | Kind::Text => true,
            Kind::Part => word.starts_with('$'),
            Kind::Open | Kind::Close | Kind::Sign => false,
        };
        let is_value = match kind {
            Kind::Name => role == Role::Other,
            Kind::Close | Kind::Text => true,
            _ => false,
        };
        Self {
            role,
            begins,
            is_value,
            end: 0,
        }
    }

    /// Whether a bracket belongs to what stands before it: `f(`, `a[`.
    fn may_have(&self, bracket: &Token) -> bool {
        self.is_value && self.end == bracket.start
    }
}

/// Whether a statement ends between two words: at the end of a line, where nothing goes on in the next.
fn ends_statement(text: &str, before: Option<&Seen>, seen: &Seen, token: &Token) -> bool {
    let Some(before) = before.filter(|_| seen.begins) else {
        return false;
    };
    let between = text.get(before.end..token.start).unwrap_or_default();
    before.role == Role::Other && between.contains('\n')
}

/// What stands between two brackets, or outside of all.
#[derive(Default)]
struct Frame {
    is_part: bool,
    /// It belongs to what stands before it.
    is_behind: bool,
    /// No end of a line ends an expression here.
    is_joined: bool,
    /// How many times `else` stands before what is read.
    others: usize,
    /// What is joined of the expression that is read.
    joins: usize,
    /// Of the operand that is read: what is before and behind it, and how deep its brackets go.
    steps: usize,
    within: usize,
    /// The deepest operand of the expression so far, and the deepest expression so far.
    operand: usize,
    deepest: usize,
}

impl Frame {
    fn see(&mut self, role: Role) {
        match role {
            Role::Joins => {
                self.operand = self.operand.max(self.steps + self.within);
                (self.steps, self.within) = (0, 0);
                self.joins += 1;
            }
            Role::Steps => self.steps += 1,
            Role::Separates => self.next(),
            Role::Else => {
                let others = self.others;
                self.next();
                self.others = others + 1;
            }
            Role::Other => {}
        }
    }

    /// Another expression begins.
    fn next(&mut self) {
        self.deepest = self.depth();
        (self.joins, self.steps, self.within, self.operand) = (0, 0, 0, 0);
        self.others = 0;
    }

    fn depth(&self) -> usize {
        let now = self.others + self.joins + self.operand.max(self.steps + self.within);
        self.deepest.max(now)
    }
}

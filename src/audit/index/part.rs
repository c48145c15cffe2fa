//! The parts of a query: what each column may be.

use rusqlite::ToSql;

use super::filter::{Otherwise, Pattern, Which};
use super::tables::{
    ANSWERED, COULD_NOT, FAILED, Kind, TIMED_OUT, UNCLEAR, UNKNOWN, VIOLATIONS, WOULD_ALLOW,
    WOULD_DENY,
};
use super::texts::within;

/// A condition on one column, and the index by which it can lead.
pub(super) struct Part {
    pub(super) column: &'static str,
    pub(super) index: Option<&'static str>,
    /// What the column may be; a subquery, or a literal.
    pub(super) one_of: String,
    pub(super) values: Vec<Box<dyn ToSql>>,
    /// It is one value only: its index is in the order of numbers.
    pub(super) is_one: bool,
}

impl Part {
    pub(super) fn literal(column: &'static str, index: Option<&'static str>, value: i64) -> Self {
        Self {
            column,
            index,
            one_of: value.to_string(),
            values: Vec::new(),
            is_one: true,
        }
    }

    /// Without the table before it.
    pub(super) fn condition(&self) -> String {
        if self.is_one {
            format!("{} = {}", self.column, self.one_of)
        } else {
            format!("{} IN ({})", self.column, self.one_of)
        }
    }

    pub(super) fn of(self, column: &'static str, index: &'static str) -> Self {
        Self {
            column,
            index: Some(index),
            ..self
        }
    }
}

/// What has to be said too, so that an index over a part of the decisions may be used.
pub(super) fn narrow(index: &str) -> Option<&'static str> {
    match index {
        "by_end" => Some("d.outcome > 1"),
        "by_challenger" => Some("d.challenger IS NOT NULL"),
        "by_denial" => Some("d.verdict = 1"),
        "by_effect" => Some("d.noop = 0"),
        "by_id" => Some("d.id IS NOT NULL"),
        _ => None,
    }
}

/// By how requests ended.
pub(super) fn ended(which: Which) -> Part {
    let doubt = |which: &str| Part {
        column: "seq",
        index: None,
        one_of: format!("SELECT seq FROM decision WHERE verdict = 0 AND {which}"),
        values: Vec::new(),
        is_one: false,
    };
    match which {
        Which::Answered => Part {
            one_of: format!("{ANSWERED}, {UNCLEAR}"),
            is_one: false,
            ..Part::literal("outcome", None, ANSWERED)
        },
        Which::Failed => Part::literal("outcome", Some("by_end"), FAILED),
        Which::Unknown => Part::literal("outcome", Some("by_end"), UNKNOWN),
        Which::None => doubt("outcome IS NULL"),
        Which::Settled => doubt(
            "outcome IS NULL AND settled > 0 UNION ALL
             SELECT seq FROM decision WHERE verdict = 0 AND outcome > 1 AND outcome IN (3, 4) AND settled > 0",
        ),
        Which::Doubt => doubt(
            "outcome IS NULL AND coalesce(settled, 0) <= 0 UNION ALL
             SELECT seq FROM decision WHERE verdict = 0 AND outcome > 1 AND outcome IN (3, 4) AND coalesce(settled, 0) <= 0",
        ),
    }
}

/// By what a challenger would have done otherwise.
pub(super) fn challenged(otherwise: Otherwise) -> Part {
    let one = |differs| Part::literal("challenger", Some("by_challenger"), differs);
    match otherwise {
        Otherwise::Allow => one(WOULD_ALLOW),
        Otherwise::Any => Part {
            one_of: format!("{WOULD_DENY}, {WOULD_ALLOW}, {VIOLATIONS}, {COULD_NOT}, {TIMED_OUT}"),
            is_one: false,
            ..one(VIOLATIONS)
        },
        Otherwise::Deny => one(WOULD_DENY),
        Otherwise::Failed => one(COULD_NOT),
        Otherwise::TimedOut => one(TIMED_OUT),
    }
}

/// The numbers of the texts that are meant.
pub(super) fn texts_of(kind: Kind, patterns: &[Pattern]) -> Part {
    let mut one_of = format!("SELECT id FROM text WHERE kind = {} AND (", kind as i64);
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    for (number, pattern) in patterns.iter().enumerate() {
        if number > 0 {
            one_of.push_str(" OR ");
        }
        match pattern {
            Pattern::Exactly(text) => {
                one_of.push_str("value = ?");
                values.push(Box::new(within(text).into_owned()));
            }
            Pattern::Begins(text) => {
                one_of.push_str("(value >= ? AND value < ?)");
                values.push(Box::new(text.clone()));
                values.push(Box::new(format!("{text}\u{10ffff}")));
            }
        }
    }
    one_of.push(')');
    Part {
        column: "",
        index: None,
        one_of,
        values,
        is_one: false,
    }
}

/// Decisions by what they are about: more than one text each.
pub(super) fn about(texts: Part) -> Part {
    Part {
        column: "seq",
        one_of: format!("SELECT seq FROM about WHERE text IN ({})", texts.one_of),
        ..texts
    }
}

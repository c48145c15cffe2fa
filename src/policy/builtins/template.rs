//! Texts with expressions in them (`$"… {x} …"`), which [`lexical`](crate::policy::lexical) makes calls of this.

use regorus::Value;

use super::arguments::{bounded, kind};
use super::sprintf::written;
use super::{Answer, Arguments, Own};
use crate::policy::lexical::TEMPLATE;

pub(super) const OWN: &[Own] = &[Own::new(TEMPLATE, 1, template)];

/// The pieces behind one another. The value of an expression comes in a set, which is empty where it has none.
fn template(given: Arguments<'_>) -> Answer {
    let mut out = String::new();
    for piece in given.array(0)? {
        let found = match piece {
            Value::Set(values) => {
                let mut values = values.iter();
                let first = values.next().map_or_else(|| "<undefined>".to_owned(), text);
                if values.next().is_some() {
                    return Err("template-strings must not produce multiple outputs".to_owned());
                }
                first
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => text(piece),
            other => return Err(format!("illegal argument type: {}", kind(other))),
        };
        bounded(out.len() + found.len())?;
        out.push_str(&found);
    }
    Ok(out.into())
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        other => written::text(other),
    }
}

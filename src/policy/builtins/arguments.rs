//! What a builtin is given, and what it says when that is of the wrong kind (OPA's words).

use regorus::Value;

/// The arguments of one call, counted from 0; as many as the builtin takes.
#[derive(Clone, Copy)]
pub(in super::super) struct Arguments<'a>(&'a [Value]);

impl<'a> Arguments<'a> {
    pub(in super::super) fn new(values: &'a [Value]) -> Self {
        Self(values)
    }

    pub(super) fn any(self, place: usize) -> Result<&'a Value, String> {
        let missing = || format!("operand {} is missing", place + 1);
        self.0.get(place).ok_or_else(missing)
    }

    pub(super) fn text(self, place: usize) -> Result<&'a str, String> {
        match self.any(place)? {
            Value::String(text) => Ok(text),
            other => Err(wrong(place, "string", other)),
        }
    }
}

/// As OPA says it.
pub(super) fn wrong(place: usize, wanted: &str, found: &Value) -> String {
    format!(
        "operand {} must be {wanted} but got {}",
        place + 1,
        kind(found)
    )
}

/// What OPA calls it.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Set(_) => "set",
        Value::Object(_) => "object",
        Value::Undefined => "undefined",
    }
}

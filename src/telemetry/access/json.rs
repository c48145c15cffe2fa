//! One object a line, in the log's own names.

use super::{Access, MESSAGE, TARGET, Value, is_plain};
use crate::value::{milliseconds, visible_json};

pub(super) fn write(out: &mut String, now: jiff::Timestamp, access: &Access<'_>) {
    add!(out, r#"{{"timestamp":"{now:.6}","level":"INFO""#);
    text(out, "message", MESSAGE);
    for (name, value) in access.fields().into_iter().flatten() {
        match value {
            Value::Address(None) => text(out, name, ""),
            Value::Address(Some(address)) => add!(out, r#","{name}":"{address}""#),
            Value::Milliseconds(elapsed) => add!(out, r#","{name}":{:?}"#, milliseconds(elapsed)),
            Value::Number(number) => add!(out, r#","{name}":{number}"#),
            Value::True => add!(out, r#","{name}":true"#),
            Value::Bare(value) | Value::Text(value) => text(out, name, value),
        }
    }
    text(out, "target", TARGET);
    out.push('}');
}

/// One more member of an object that has some. The name is one of ours.
pub(super) fn text(out: &mut String, name: &str, text: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    if is_plain(text) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        let text = serde_json::Value::from(text).to_string();
        out.push_str(&visible_json(&text));
    }
}

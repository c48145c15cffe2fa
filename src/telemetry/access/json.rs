//! One object a line, in the log's own names.

use super::{Access, MESSAGE, TARGET, Value, digits, is_plain};
use crate::value::visible_json;

pub(super) fn write(out: &mut String, now: jiff::Timestamp, access: &Access<'_>) {
    out.push_str(r#"{"timestamp":""#);
    digits::timestamp(out, now);
    out.push_str(r#"","level":"INFO""#);
    text(out, "message", MESSAGE);
    for (name, value) in access.fields().into_iter().flatten() {
        match value {
            Value::Address(None) => text(out, name, ""),
            Value::Address(Some(address)) => {
                member(out, name);
                out.push('"');
                digits::address(out, address);
                out.push('"');
            }
            Value::Milliseconds(elapsed) => {
                member(out, name);
                digits::milliseconds(out, elapsed);
            }
            Value::Number(number) => {
                member(out, name);
                digits::number(out, number.into());
            }
            Value::True => {
                member(out, name);
                out.push_str("true");
            }
            Value::Bare(value) | Value::Text(value) => text(out, name, value),
        }
    }
    text(out, "target", TARGET);
    out.push('}');
}

/// The name of one more member of an object that has some. It is one of ours.
fn member(out: &mut String, name: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
}

/// One more member of an object that has some. The name is one of ours.
pub(super) fn text(out: &mut String, name: &str, text: &str) {
    member(out, name);
    if is_plain(text) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        let text = serde_json::Value::from(text).to_string();
        out.push_str(&visible_json(&text));
    }
}

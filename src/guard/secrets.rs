//! Secrets in the bodies of guarded requests: whether there is one, and in which member.

use std::fmt::Write;

use serde_json::Value;

use crate::dynatrace::catalogue::Content;
use crate::dynatrace::redact::{Redacted, Redactor};

/// Where a body holds a secret: the member, as clients know it (`scopes[2]`), its name without a secret.
///
/// A link with its key may stand in settings and dashboards; in what a token is called it would hide the name from
/// policies.
pub(super) fn secret_in(value: &Value, content: Content, redactor: &Redactor) -> Option<Redacted> {
    let is_token = matches!(content, Content::Token(_) | Content::Named(_));
    let holds_secret = |text: &str| {
        if is_token {
            redactor.hides(text)
        } else {
            redactor.holds_token(text)
        }
    };
    let mut path = String::new();
    find_secret(value, &holds_secret, &mut path).then(|| match path.as_str() {
        "" => Redacted::ours("the body"),
        path => {
            let path = redactor.text(path).cut(LONGEST_PLACE);
            redactor.text(&format!("the body, at {path},"))
        }
    })
}

/// Leaves in `path` where it is.
fn find_secret(value: &Value, holds_secret: &dyn Fn(&str) -> bool, path: &mut String) -> bool {
    let length = path.len();
    match value {
        Value::String(text) => return holds_secret(text),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                write!(path, "[{index}]").expect("writing to a string cannot fail");
                if find_secret(element, holds_secret, path) {
                    return true;
                }
                path.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(name);
                if holds_secret(name) || find_secret(value, holds_secret, path) {
                    return true;
                }
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    false
}

/// Bytes by which a place in a body is named: its names are the client's.
const LONGEST_PLACE: usize = 256;

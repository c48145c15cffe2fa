//! Values as OPA writes them down in a text.

use regorus::Value;

use super::quoted::quoted;
use crate::policy::builtins::arguments::whole;

/// As Rego has it.
pub(in crate::policy::builtins) fn text(value: &Value) -> String {
    match value {
        Value::Null | Value::Undefined => "null".to_owned(),
        Value::Bool(is_true) => is_true.to_string(),
        Value::Number(_) => number(value),
        Value::String(text) => quoted(text, false),
        Value::Array(members) => format!("[{}]", list(&mut members.iter())),
        Value::Set(members) if members.is_empty() => "set()".to_owned(),
        Value::Set(members) => format!("{{{}}}", list(&mut members.iter_sorted())),
        Value::Object(members) => {
            let members = members
                .iter_sorted()
                .map(|(key, value)| format!("{}: {}", text(key), text(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

fn list(members: &mut dyn Iterator<Item = &Value>) -> String {
    members.map(text).collect::<Vec<_>>().join(", ")
}

/// As JSON has it, in plain decimals where Go would write them.
fn number(value: &Value) -> String {
    if let Some(whole) = whole(value) {
        return whole.to_string();
    }
    match value.as_f64() {
        Ok(float) if float.abs() < 1e-6 => super::floats::shortest(float, 'e'),
        Ok(float) => float.to_string(),
        Err(_) => String::new(),
    }
}

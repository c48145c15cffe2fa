//! What a request would change, in a few words.

use serde_json::Value;

use super::{cut, list, listed, text};
use crate::audit::masks::Masks;
use crate::value::counted;

/// What would change, part by part. Where the token is not known: what is asked for.
pub(super) fn changes(record: &Value) -> Vec<String> {
    let change = record.pointer("/input/change").unwrap_or(&Value::Null);
    let operation = text(record, "/operation");
    let mut parts = Vec::new();
    let (requested, current) = (
        text(change, "/name/requested"),
        text(change, "/name/current"),
    );
    match (requested, current) {
        (requested, current) if requested.is_empty() || requested == current => {}
        (requested, "") if !text(record, "/input/token/id").is_empty() => {
            parts.push(format!("name \"{}\"", cut(requested)));
        }
        // The token that is made is called so already, before this.
        (_, "") => {}
        (requested, current) => {
            let word = match text(record, "/verdict") {
                "allow" => "renamed",
                _ => "asked to rename",
            };
            let (current, requested) = (cut(current), cut(requested));
            parts.push(format!("{word} \"{current}\" to \"{requested}\""));
        }
    }
    let enabled = |of: &str| change.pointer(of).and_then(Value::as_bool);
    if let Some(enabled_then) = enabled("/enabled/requested")
        && enabled("/enabled/current") != Some(enabled_then)
    {
        let word = if enabled_then { "enabled" } else { "disabled" };
        parts.push(word.to_owned());
    }
    parts.extend(scopes(change));
    if !text(change, "/expiration/requested").is_empty() {
        parts.push(format!("expires {}", text(change, "/expiration/requested")));
    }
    let schemas = list(record, "/input/settings/schemas");
    if !schemas.is_empty() {
        parts.push(format!("settings {}", listed(schemas, ", ")));
    }
    let others = record.pointer("/input/unknown_members");
    if let Some(others) = others
        .and_then(Value::as_object)
        .filter(|some| !some.is_empty())
    {
        let names: Vec<Value> = others.keys().map(|name| Value::from(&**name)).collect();
        parts.push(format!("other members: {}", listed(&names, ", ")));
    }
    parts.extend(masked(record));
    let differs = change.pointer("/differs").and_then(Value::as_array);
    if parts.is_empty() && operation.ends_with(".update") && differs.is_some_and(Vec::is_empty) {
        parts.push("changes nothing".to_owned());
    }
    if operation.ends_with(".delete") {
        let had = list(record, "/input/token/current/scopes");
        if !had.is_empty() {
            parts.push(format!("it had {}", scopes_listed(had)));
        }
    }
    parts
}

/// What masks have hidden of what would change.
fn masked(record: &Value) -> Option<String> {
    let masks = Masks::of(record);
    if masks.is_empty() {
        return None;
    }
    let members = ["name", "enabled", "scopes", "expiration", "differs"];
    let hidden = members.into_iter();
    let hidden = hidden.filter(|member| masks.hide(&format!("input.change.{member}")));
    let mut hidden: Vec<&str> = hidden.collect();
    let others = [
        ("input.settings", "settings"),
        ("input.unknown_members", "other members"),
    ];
    let others = others.into_iter().filter(|(member, _)| masks.hide(member));
    let all = hidden.len() == members.len();
    hidden.extend(others.map(|(_, name)| name));
    match &*hidden {
        [] => None,
        _ if all => Some("masked".to_owned()),
        some => Some(format!("masked: {}", some.join(", "))),
    }
}

/// The scopes that are added and taken away; where that is not known, those that are asked for.
fn scopes(change: &Value) -> Option<String> {
    let known = |of: &str| change.pointer(of).and_then(Value::as_array);
    let (Some(added), Some(removed)) = (known("/scopes/added"), known("/scopes/removed")) else {
        let asked = known("/scopes/requested")?;
        return Some(format!("asks for {}", scopes_listed(asked)));
    };
    let signed = |sign: &str, scopes: &[Value]| {
        (!scopes.is_empty()).then(|| format!("{sign}{}", listed(scopes, &format!(" {sign}"))))
    };
    let parts: Vec<String> = [signed("+", added), signed("-", removed)]
        .into_iter()
        .flatten()
        .collect();
    (!parts.is_empty()).then(|| format!("scopes {}", parts.join(", ")))
}

fn scopes_listed(scopes: &[Value]) -> String {
    let number = counted(scopes.len(), "scope");
    if scopes.is_empty() {
        return number;
    }
    format!("{number}: {}", listed(scopes, ", "))
}

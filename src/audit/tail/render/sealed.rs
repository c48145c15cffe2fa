//! Records that vouch for others: checkpoints, who confirmed them, whose keys sign them, what an operator found out.

use serde_json::Value;

use super::{append, list, number, objections, text};
use crate::value::counted;

pub(super) fn checkpoint(out: &mut String, record: &Value) {
    let covered = counted(number(record, "/size"), "record");
    append(
        out,
        format_args!("over {covered}, by {}", name(record, "/key")),
    );
}

/// What a challenger would have decided about an earlier request.
pub(super) fn challenger(out: &mut String, record: &Value) {
    let revision = text(record, "/bundles/policies/revision");
    append(
        out,
        format_args!(
            "of {:<9}  {} (policies {})",
            number(record, "/decision_seq"),
            otherwise(record),
            revision.get(..12).unwrap_or(revision)
        ),
    );
    objections(out, record, list(record, "/result/violations"));
}

/// In words.
pub(super) fn otherwise(record: &Value) -> &'static str {
    match text(record, "/differs") {
        "would_deny" => "would deny it",
        "would_allow" => "would allow it",
        "failed" => "could not be asked",
        "timed_out" => "took too long",
        _ => "has other objections",
    }
}

pub(super) fn cosigned(out: &mut String, record: &Value) {
    let covered = counted(number(record, "/size"), "record");
    let witness = name(record, "/witness");
    append(
        out,
        format_args!("the checkpoint over {covered}, by {witness}"),
    );
}

pub(super) fn key_change(out: &mut String, record: &Value) {
    let (old, new) = (name(record, "/old"), name(record, "/new"));
    append(
        out,
        format_args!("{new} signs checkpoints in place of {old}"),
    );
}

pub(super) fn settled(out: &mut String, record: &Value) {
    let found = match text(record, "/found") {
        "done" => "it was carried out",
        "not_done" => "it was not carried out",
        _ => "unknown",
    };
    append(
        out,
        format_args!("of {:<9}  {found}", number(record, "/decision_seq")),
    );
    if !text(record, "/detail").is_empty() {
        append(out, format_args!(": {}", text(record, "/detail")));
    }
}

/// A key by its name and its hash: the rest is for programs, and base64 may have a `+`, too.
fn name<'a>(record: &'a Value, pointer: &str) -> &'a str {
    let key = text(record, pointer);
    let second = key.match_indices('+').nth(1);
    let name = second.and_then(|(at, _)| key.get(..at));
    name.unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::render;

    #[test]
    fn a_key_is_shown_by_its_name_and_hash_whatever_its_base64_holds() {
        for base64 in ["AbCd", "Ab+Cd", "+A++b+"] {
            let key = format!("gate.example/a+0a1b2c3d+{base64}");
            for (record, shown) in [
                (
                    json!({"kind": "checkpoint", "size": 3, "key": key}),
                    "by gate.example/a+0a1b2c3d",
                ),
                (
                    json!({"kind": "cosigned", "size": 3, "witness": key}),
                    "by gate.example/a+0a1b2c3d",
                ),
                (
                    json!({"kind": "key", "old": "old", "new": key}),
                    "gate.example/a+0a1b2c3d signs checkpoints in place of old",
                ),
            ] {
                let text = render(record.to_string());
                assert!(text.contains(shown) && !text.contains(base64), "{text}");
            }
        }
    }
}

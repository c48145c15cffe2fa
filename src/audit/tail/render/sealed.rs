//! Records that vouch for others: checkpoints, who confirmed them, whose keys sign them, what an operator found out.

use serde_json::Value;

use super::{append, number, text};
use crate::value::counted;

pub(super) fn checkpoint(out: &mut String, record: &Value) {
    let covered = counted(number(record, "/size"), "record");
    append(
        out,
        format_args!("over {covered}, by {}", name(record, "/key")),
    );
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
        _ => "not known",
    };
    append(
        out,
        format_args!("of {:<9}  {found}", number(record, "/decision_seq")),
    );
    if !text(record, "/detail").is_empty() {
        append(out, format_args!(": {}", text(record, "/detail")));
    }
}

/// A key by its name and its hash: the rest is for programs.
fn name<'a>(record: &'a Value, pointer: &str) -> &'a str {
    let key = text(record, pointer);
    key.rsplit_once('+').map_or(key, |(name, _base64)| name)
}

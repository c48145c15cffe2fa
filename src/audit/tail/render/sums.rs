//! Records that sum up many requests.

use serde_json::Value;

use super::{append, below, caller, list, number, text, who};
use crate::value::{Visible, counted};

/// Which writes passed that the catalogue does not know, how they were answered, and whose they were.
pub(super) fn unseen(out: &mut String, record: &Value) {
    let writes = counted(number(record, "/count"), "write");
    match (text(record, "/method"), text(record, "/path")) {
        ("", _) => append(out, format_args!("writes of other kinds")),
        (method, path) => append(
            out,
            format_args!("{method} {path}  {}", text(record, "/environment")),
        ),
    }
    let statuses = record.get("statuses").and_then(Value::as_object);
    let answered: Vec<String> = statuses
        .into_iter()
        .flatten()
        .map(|(status, count)| format!("{}: {count}", Visible(status)))
        .collect();
    below(
        out,
        format_args!(
            "{writes} from {} to {}, answered {}",
            text(record, "/first"),
            text(record, "/last"),
            answered.join(", ")
        ),
    );
    match (text(record, "/requested_by"), text(record, "/method")) {
        ("", _) => {}
        (address, "") => below(out, format_args!("all of them from {address}")),
        _ => below(out, format_args!("{}", caller(record))),
    }
}

/// How many had no record of their own, of which kinds, and whose.
pub(super) fn suppressed(out: &mut String, record: &Value) {
    append(
        out,
        format_args!(
            "{} refused without a record of their own, from {} to {}",
            counted(number(record, "/count"), "request"),
            text(record, "/first"),
            text(record, "/last")
        ),
    );
    let mut line = |count: u64, what: &str| below(out, format_args!("{count:>8}  {what}"));
    for entry in list(record, "/reasons") {
        let (reason, operation) = (text(entry, "/reason"), text(entry, "/operation"));
        line(
            number(entry, "/count"),
            format!("{reason} {operation}").trim_end(),
        );
    }
    for entry in list(record, "/callers") {
        let by = who::counted(entry, "all other callers");
        line(number(entry, "/count"), &by);
    }
    for (member, what) in [
        ("/other_reasons", "for other reasons"),
        ("/other_callers", "by others"),
    ] {
        if number(record, member) > 0 {
            line(number(record, member), what);
        }
    }
}

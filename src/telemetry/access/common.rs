//! The Common Log Format: what every tool for logs of web servers reads.

use super::text::quoted;
use super::{Access, is_plain};

pub(super) fn write(out: &mut String, now: jiff::Timestamp, access: &Access<'_>) {
    match access.peer {
        Some(peer) => add!(out, "{peer}"),
        None => out.push('-'),
    }
    // A blank would begin the next field.
    let is_word = |caller: &&str| is_plain(caller) && !caller.is_empty() && !caller.contains(' ');
    let caller = access.caller.filter(is_word).unwrap_or("-");
    let now = now.strftime("%d/%b/%Y:%H:%M:%S +0000");
    add!(out, " - {caller} [{now}] ");
    let Access {
        method,
        path,
        version,
        status,
        ..
    } = access;
    quoted(out, &format!("{method} {path} HTTP/{version}"));
    add!(out, " {status} ");
    match access.length {
        Some(length) => add!(out, "{length}"),
        None => out.push('-'),
    }
}

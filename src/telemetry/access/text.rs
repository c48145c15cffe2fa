//! Lines for people.

use anstyle::{AnsiColor, Style};

use super::{Access, MESSAGE, Value, digits, is_plain};
use crate::value::Visible;

pub(super) fn write(out: &mut String, now: jiff::Timestamp, access: &Access<'_>, colour: bool) {
    let styled = |style: Style| if colour { style } else { Style::new() };
    let (dimmed, italic) = (styled(Style::new().dimmed()), styled(Style::new().italic()));
    let green = styled(AnsiColor::Green.on_default());
    if colour {
        add!(out, "{dimmed}{now:.6}{dimmed:#} {green} INFO{green:#} ");
    } else {
        digits::timestamp(out, now);
        out.push_str("  INFO ");
    }
    out.push_str(MESSAGE);
    for (name, value) in access.fields().into_iter().flatten() {
        if colour {
            add!(out, " {italic}{name}{italic:#}{dimmed}={dimmed:#}");
        } else {
            out.push(' ');
            out.push_str(name);
            out.push('=');
        }
        match value {
            Value::Address(None) => {}
            Value::Address(Some(address)) => digits::address(out, address),
            Value::Milliseconds(elapsed) => digits::milliseconds(out, elapsed),
            Value::Number(number) => digits::number(out, number.into()),
            Value::True => out.push_str("true"),
            Value::Bare(text) if is_plain(text) => out.push_str(text),
            Value::Bare(text) => add!(out, "{}", Visible(text)),
            Value::Text(text) => quoted(out, text),
        }
    }
}

/// Text in quotation marks, on one line, with nothing in it hidden.
pub(super) fn quoted(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        add!(out, "{}", Visible(format_args!("{text:?}")));
    }
}

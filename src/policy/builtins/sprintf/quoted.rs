//! Texts and characters in quotes, as Go's `strconv.Quote` writes them.

use std::fmt::Write as _;

/// Whether Go shows it as it is.
pub(super) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    // Behind another one, only what cannot be shown is escaped.
    let text = String::from_iter(['a', c]);
    text.escape_debug().nth(1) == Some(c)
}

/// Between double quotes; with only ASCII inside if wanted.
pub(super) fn quoted(text: &str, is_ascii: bool) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        push(&mut out, c, '"', is_ascii);
    }
    out.push('"');
    out
}

/// Between single quotes.
pub(super) fn quoted_character(c: char, is_ascii: bool) -> String {
    let mut out = String::from('\'');
    push(&mut out, c, '\'', is_ascii);
    out.push('\'');
    out
}

fn push(out: &mut String, c: char, quote: char, is_ascii: bool) {
    let short = match c {
        '\u{7}' => Some('a'),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        '\u{b}' => Some('v'),
        '\\' => Some('\\'),
        _ if c == quote => Some(c),
        _ => None,
    };
    let code = u32::from(c);
    let written = match short {
        Some(short) => write!(out, "\\{short}"),
        None if is_printable(c) && (c.is_ascii() || !is_ascii) => write!(out, "{c}"),
        None if code < 0x20 || code == 0x7f => write!(out, "\\x{code:02x}"),
        None if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
        None => write!(out, "\\U{code:08x}"),
    };
    written.expect("a text takes it");
}

//! Numbers and texts that OPA reads and the engine does not, or reads as something else.
//!
//! A number with a fraction or an exponent is one of a machine there: what that cannot hold is refused. A control
//! character in a text, and half a pair of surrogates, is written as the engine reads it.

use super::moved::Changes;
use super::tokens::{Kind, Token};
use super::{Wrong, numbers};

pub(super) fn write_out(text: &str, tokens: &[Token], changes: &mut Changes) -> Result<(), Wrong> {
    for token in tokens {
        let written = text.get(token.start..token.end).unwrap_or_default();
        match token.kind {
            Kind::Number => {
                if let Some(said) = numbers::unheld(written) {
                    return Err(Wrong::new(token.start, said));
                }
            }
            Kind::Text if written.starts_with('"') => escape(written, token.start, changes)?,
            _ => {}
        }
    }
    Ok(())
}

/// What the engine does not read in a text, as something that it reads.
fn escape(written: &str, start: usize, changes: &mut Changes) -> Result<(), Wrong> {
    let mut at = 0;
    let is_raw = !written.contains('\\');
    let is_special = |c: char| c == '\\' || c < ' ';
    while let Some(found) = written.get(at..).and_then(|rest| rest.find(is_special)) {
        at += found;
        let rest = written.get(at..).unwrap_or_default();
        let control = rest.bytes().next().filter(|byte| *byte < b' ');
        let (length, new) = match (control, unit(rest)) {
            (Some(control), _) if is_raw => (1, Some(format!("\\u{control:04x}"))),
            (Some(control), _) => {
                let said = format!(
                    "a control character and a backslash stand in one text, which OPA does not read: write \\u{control:04x} for it"
                );
                return Err(Wrong::new(start + at, said));
            }
            // It may be an escaped backslash.
            (None, None) => (2, None),
            (None, Some(first)) => {
                let second = rest.get(6..).and_then(unit);
                let mut pair = char::decode_utf16([first, second.unwrap_or_default()]);
                match pair.next() {
                    Some(Ok(letter)) => (6 * letter.len_utf16(), None),
                    _ => (6, Some("\\ufffd".to_owned())),
                }
            }
        };
        if let Some(new) = new {
            changes.replace(start + at, start + at + length, new);
        }
        at += length;
    }
    Ok(())
}

/// What an escape such as `\u00e9` stands for, in UTF-16.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

//! Text of others, fit to be shown: nothing in it moves the cursor, turns the direction of what is read, ends the
//! line, or is there without being seen.
//!
//! Hidden is what Rust's own `Debug` for text escapes (controls, format characters, line and paragraph separators,
//! tags, blanks other than the space, what is private or not assigned), and what Unicode says may be ignored when
//! text is drawn. Marks stay with their letters: whole scripts are written with them.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Displays what it holds with everything hidden escaped: `\n`, `\u{9b}`.
#[derive(Clone, Copy, Debug)]
pub struct Visible<T>(pub T);

/// The same for several lines: they stay lines.
#[derive(Clone, Copy, Debug)]
pub struct VisibleLines<T>(pub T);

impl<T: fmt::Display> fmt::Display for Visible<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            Escaping {
                out: f,
                keep_lines: false
            },
            "{}",
            self.0
        )
    }
}

impl<T: fmt::Display> fmt::Display for VisibleLines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            Escaping {
                out: f,
                keep_lines: true
            },
            "{}",
            self.0
        )
    }
}

/// The same JSON with everything hidden written as `\u009b`. What is hidden stands within strings: elsewhere JSON
/// has nothing but spaces and line ends, and those stay.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    let is_blank = |c| matches!(c, b'\n' | b'\r' | b'\t');
    if json.bytes().all(|byte| is_blank(byte) || is_shown(byte)) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_hidden(c) && !u8::try_from(c).is_ok_and(is_blank) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("writing to a string cannot fail");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

struct Escaping<W> {
    out: W,
    keep_lines: bool,
}

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(is_shown) {
            return self.out.write_str(text);
        }
        for c in text.chars() {
            if !is_hidden(c) || (c == '\n' && self.keep_lines) {
                self.out.write_char(c)?;
            } else if matches!(c, '\n' | '\r' | '\t') {
                write!(self.out, "{}", c.escape_default())?;
            } else {
                write!(self.out, "{}", c.escape_unicode())?;
            }
        }
        Ok(())
    }
}

/// Most text consists of these.
fn is_shown(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    // Behind a letter, because on its own `Debug` escapes a mark.
    let mut text = [b'x', 0, 0, 0, 0];
    let length = text
        .get_mut(1..)
        .map_or(0, |rest| c.encode_utf8(rest).len());
    let text = text
        .get(..=length)
        .and_then(|text| std::str::from_utf8(text).ok());
    text.is_none_or(|text| text.escape_debug().nth(2).is_some()) || may_be_ignored(c)
}

/// `Default_Ignorable_Code_Point`, as far as these are letters or marks.
fn may_be_ignored(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Written down again, from the Unicode standard, and not with the code's own eyes: first and last.
    const FORBIDDEN: [(u32, u32); 22] = [
        (0x00, 0x1f),
        (0x7f, 0x9f),
        (0xad, 0xad),
        (0x34f, 0x34f),
        (0x61c, 0x61c),
        (0x115f, 0x1160),
        (0x17b4, 0x17b5),
        (0x180b, 0x180f),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x206f),
        (0x3164, 0x3164),
        (0xe000, 0xf8ff),
        (0xfe00, 0xfe0f),
        (0xfeff, 0xfeff),
        (0xffa0, 0xffa0),
        (0xfff0, 0xfffb),
        (0xfffe, 0xffff),
        (0x1d173, 0x1d17a),
        (0xe0000, 0xe007f),
        (0xe0100, 0xe01ef),
        (0x0010_fffe, 0x0010_ffff),
    ];

    fn is_forbidden(c: char) -> bool {
        let within = |(first, last): &(u32, u32)| (*first..=*last).contains(&u32::from(c));
        FORBIDDEN.iter().any(within)
    }

    #[test]
    fn everything_forbidden_is_escaped() {
        for (first, last) in FORBIDDEN {
            for c in (first..=last).filter_map(char::from_u32) {
                let shown = Visible(c).to_string();
                assert!(shown.starts_with('\\') && shown.is_ascii(), "{shown:?}");
                let json = serde_json::to_string(&c).unwrap();
                let shown = visible_json(&json);
                assert!(shown.is_ascii(), "{shown:?}");
                assert_eq!(serde_json::from_str::<char>(&shown).unwrap(), c);
            }
        }
    }

    #[test]
    fn what_people_write_stays() {
        for text in [
            "payments-prod-ci",
            "naïve, Größe, e\u{301}",
            "समूह",
            "チーム",
            "команда",
            "קבוצה",
            "\u{fffd} 🙂 \\ \"",
        ] {
            assert_eq!(Visible(text).to_string(), text);
            assert_eq!(visible_json(text), text);
        }
    }

    #[test]
    fn lines_stay_lines_only_where_that_is_wanted() {
        let text = "a\nb\r\tc\u{9b}\u{2028}\u{e0041}";
        assert_eq!(
            Visible(text).to_string(),
            r"a\nb\r\tc\u{9b}\u{2028}\u{e0041}"
        );
        assert_eq!(
            VisibleLines(text).to_string(),
            "a\nb\\r\\tc\\u{9b}\\u{2028}\\u{e0041}"
        );
        assert_eq!(
            visible_json("{\n\"\u{9b}\u{e0041}\"\n}"),
            "{\n\"\\u009b\\udb40\\udc41\"\n}"
        );
    }

    proptest! {
        #[test]
        fn nothing_forbidden_comes_out(text: String) {
            let shown = Visible(&text).to_string();
            prop_assert!(!shown.contains(is_forbidden), "{shown:?}");
            let json = serde_json::to_string(&text).unwrap();
            let shown = visible_json(&json);
            prop_assert!(!shown.contains(is_forbidden), "{shown:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}

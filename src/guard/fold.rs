//! Folding: what the most lenient reader makes of text.
//!
//! Compatibility forms are resolved, case is folded, and what cannot be seen or only decorates a letter is taken
//! away. Each character is folded by itself, so that the work is that of the bytes, whatever they are.

use unicode_normalization::char::{canonical_combining_class, decompose_compatible};

/// A text, folded.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        fold_char(c, &mut |c| folded.push(c));
    }
    folded
}

/// Calls `take` with what a character is folded to: nothing, one, or at most eighteen.
///
/// Lower case of upper case folds the pairs that lower case alone leaves apart (`ſ` and `s`, the Kelvin sign and
/// `k`), as Go's `encoding/json` does.
pub(super) fn fold_char(c: char, take: &mut impl FnMut(char)) {
    if c.is_ascii() {
        return fold_ascii(c, take);
    }
    decompose_compatible(c, |c| {
        if c.is_ascii() {
            fold_ascii(c, take);
        } else if is_plain_letter(c) {
            take(c);
        } else if is_visible(c) {
            let lower = c.to_lowercase();
            let cased = lower.flat_map(char::to_uppercase);
            for c in cased.flat_map(char::to_lowercase) {
                // `ß` has become two letters, `ΐ` one with marks.
                decompose_compatible(c, |c| {
                    if is_visible(c) {
                        take(c);
                    }
                });
            }
        }
    });
}

fn fold_ascii(c: char, take: &mut impl FnMut(char)) {
    if c.is_ascii_graphic() {
        take(c.to_ascii_lowercase());
    }
}

/// Letters of scripts that have no case, where most of what characters stand for is: they need no closer look.
fn is_plain_letter(c: char) -> bool {
    matches!(c, '\u{5d0}'..='\u{5ea}' | '\u{621}'..='\u{64a}' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}'
        | '\u{1100}'..='\u{1112}' | '\u{1161}'..='\u{1175}' | '\u{11a8}'..='\u{11c2}' | '\u{4e00}'..='\u{9fff}')
}

/// Whether a character stands for itself: it can be seen, and is no mark on another.
fn is_visible(c: char) -> bool {
    !c.is_whitespace()
        && !c.is_control()
        && !is_invisible(c)
        && (canonical_combining_class(c) == 0 || c == IOTA_BELOW)
}

/// The one mark that is a letter in upper case.
const IOTA_BELOW: char = '\u{345}';

/// Format characters and fillers that render as nothing (Unicode `Default_Ignorable_Code_Point`, the
/// part that could stand in a name).
fn is_invisible(c: char) -> bool {
    matches!(
        u32::from(c),
        0x00AD | 0x034F | 0x061C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
            | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
            | 0xFFF0..=0xFFFB | 0x1_D173..=0x1_D17A | 0xE_0000..=0xE_0FFF
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guard::oracle;

    fn all() -> impl Iterator<Item = char> {
        (0..=0x0010_FFFF).filter_map(char::from_u32)
    }

    #[test]
    fn every_character_is_folded_once_and_for_all() {
        for c in all() {
            let text = c.to_string();
            let folded = fold(&text);
            assert_eq!(fold(&folded), folded, "{c:?}");
            // What whole texts are normalised to means the same.
            assert_eq!(fold(&oracle::fold(&text)), folded, "{c:?}");
            assert!(folded.chars().count() <= 18, "{c:?}");
            // What words are made of does not come out of nearly nothing.
            let ascii = folded.chars().filter(char::is_ascii).count();
            assert!(ascii <= 2 * c.len_utf8(), "{c:?}");
            let mut resolved = String::new();
            decompose_compatible(c, |c| resolved.push(c));
            if is_plain_letter(c) && resolved == text {
                assert_eq!(oracle::fold(&text), text, "{c:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn texts_that_are_the_same_when_normalised_are_folded_alike(text in "(\\PC|[a-zA-Z]\u{301}?|\u{323}|\u{302}|\u{1100}|\u{1161}|\u{11a8}){0,8}") {
            prop_assert_eq!(fold(&oracle::fold(&text)), fold(&text));
        }
    }
}

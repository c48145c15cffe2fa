//! What the gate did when it normalised whole texts: slow, and simple enough to be believed. Tests hold to it what is
//! done character by character.

use unicode_normalization::UnicodeNormalization;

/// Compatibility forms resolved, case folded, and everything that cannot be seen taken away, of a whole text.
pub(super) fn fold(text: &str) -> String {
    let invisible = |c: char| {
        matches!(
            u32::from(c),
            0x00AD | 0x034F | 0x061C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
                | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
                | 0xFFF0..=0xFFFB | 0x1_D173..=0x1_D17A | 0xE_0000..=0xE_0FFF
        )
    };
    let visible = |c: &char| !c.is_whitespace() && !c.is_control() && !invisible(*c);
    text.nfkc()
        .filter(visible)
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc()
        .filter(visible)
        .collect()
}

//! A number and what it counts, as people write it: `1 scope`, `2 scopes`.

use std::fmt::Display;

/// The noun is given in the singular; its last letters say how the plural is written.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    if count == N::from(1) {
        return format!("{count} {noun}");
    }
    let consonant = |stem: &str| !stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    match noun.strip_suffix('y') {
        Some(stem) if consonant(stem) => format!("{count} {stem}ies"),
        _ if noun.ends_with('s') => format!("{count} {noun}es"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_all_other_numbers_are_many() {
        for (count, noun, written) in [
            (0, "scope", "0 scopes"),
            (1, "scope", "1 scope"),
            (2, "scope", "2 scopes"),
            (1, "policy", "1 policy"),
            (9, "policy", "9 policies"),
            (3, "key", "3 keys"),
            (2, "address", "2 addresses"),
        ] {
            assert_eq!(counted(count, noun), written);
        }
        assert_eq!(counted(1_u64, "byte"), "1 byte");
        assert_eq!(counted(1_usize, "byte"), "1 byte");
    }
}

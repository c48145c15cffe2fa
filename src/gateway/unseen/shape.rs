//! The shape of a path: its words, and `{id}` for whatever could be a name, a number or a secret.
//!
//! Nothing is told that does not read like a word of an API. So it is short, there are not many, and a secret that
//! somebody pasted into a path is not in it.

use percent_encoding::percent_decode_str;

use super::known::{below, is_verb, words};

/// The shape of a path below its environment.
pub(super) fn of(path: &str) -> String {
    let path = percent_decode_str(path).decode_utf8_lossy();
    let mut shape = String::new();
    for (number, segment) in words(below(&path)).enumerate() {
        shape.push('/');
        if number == SEGMENTS {
            shape.push_str("{*}");
            break;
        }
        match segment.rsplit_once(':') {
            Some((name, verb)) if is_verb(verb) && is_word(verb) => {
                shape.push_str(folded(name));
                shape.push(':');
                shape.push_str(verb);
            }
            _ => shape.push_str(folded(segment)),
        }
    }
    if shape.is_empty() {
        shape.push('/');
    }
    shape
}

fn folded(segment: &str) -> &str {
    if is_word(segment) || is_version(segment) {
        segment
    } else {
        "{id}"
    }
}

/// `v1`, `v1.0`, `v2beta1`.
fn is_version(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix('v') else {
        return false;
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.';
    rest.len() <= 7 && rest.starts_with(|c: char| c.is_ascii_digit()) && rest.bytes().all(plain)
}

/// Words of letters in `kebab-case`, `snake_case` or `camelCase`, with few digits.
fn is_word(segment: &str) -> bool {
    let hexadecimal = segment.len() >= 8 && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    segment.len() <= LONGEST
        && !hexadecimal
        && segment.bytes().filter(u8::is_ascii_digit).count() <= 2
        && segment.split(['-', '_']).all(is_camel)
}

/// `connection`, `oauthClient`, `API`, `oauth2`.
fn is_camel(text: &str) -> bool {
    let mut start = 0;
    let mut parts = Vec::new();
    let bytes = text.as_bytes();
    for (at, pair) in bytes.windows(2).enumerate() {
        if let [before, after] = pair
            && !before.is_ascii_uppercase()
            && after.is_ascii_uppercase()
        {
            parts.extend(text.get(start..=at));
            start = at + 1;
        }
    }
    parts.extend(text.get(start..));
    parts.into_iter().all(can_be_spoken)
}

/// Whether a part of a word looks like one that people speak: chance does not write so for long.
fn can_be_spoken(part: &str) -> bool {
    let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
    let capital = letters.len() <= 5 && letters.bytes().all(|byte| byte.is_ascii_uppercase());
    let mut rest = letters.bytes();
    let lower = rest.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && rest.all(|byte| byte.is_ascii_lowercase());
    let vowel = |c: char| "aeiouyAEIOUY".contains(c);
    let consonants = letters.split(vowel).map(str::len).max();
    let vowels = letters.split(|c| !vowel(c)).map(str::len).max();
    !letters.is_empty()
        && (capital || lower)
        && letters.len() <= 20
        && consonants.is_none_or(|run| run <= 4)
        && vowels.is_none_or(|run| run <= 3)
}

/// Segments that are told, and bytes of one of them.
const SEGMENTS: usize = 10;
const LONGEST: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stay_and_ids_are_folded() {
        for (path, expected) in [
            ("/platform/hub/v1/extensions", "/platform/hub/v1/extensions"),
            (
                "/platform/public-access/v1/admin/shares/b3f0/passcode",
                "/platform/public-access/v1/admin/shares/{id}/passcode",
            ),
            (
                "/platform/app-engine/edge-connect/v1/edge-connects/d5836312-5790-4e80-afcf-09971954c3ea/oauthClient:rotate",
                "/platform/app-engine/edge-connect/v1/edge-connects/{id}/oauthClient:rotate",
            ),
            (
                "/e/abc12345/platform//x2/v1.0/things/42/",
                "/platform/x2/v1.0/things/{id}",
            ),
            (
                "/platform/storage/query/v1/query:execute",
                "/platform/storage/query/v1/query:execute",
            ),
            (
                "/platform/x/v1/d5836312-5790:poll",
                "/platform/x/v1/{id}:poll",
            ),
            ("/platform/x/v1/my.own.app", "/platform/x/v1/{id}"),
            ("/platform/x/v1/deadbeef", "/platform/x/v1/{id}"),
            (
                "/platform/x/v1/HOST-0123456789ABCDEF",
                "/platform/x/v1/{id}",
            ),
            ("/platform/x/v1/aGVsbG8gd29ybGQ", "/platform/x/v1/{id}"),
            ("/platform/x/v1/name%20of%20it", "/platform/x/v1/{id}"),
            ("/platform/x/v1/a=b;c@d", "/platform/x/v1/{id}"),
            (
                "/;a/platform;b=c/x/v1/things:recompute;d",
                "/platform/x/v1/things:recompute",
            ),
            ("/platform/x/v1/%C3%A4", "/platform/x/v1/{id}"),
            ("/", "/"),
            ("*", "/{id}"),
        ] {
            assert_eq!(of(path), expected, "{path}");
        }
    }

    #[test]
    fn a_credential_of_any_form_is_folded() {
        for secret in [
            "dt0c01.ST2EY72KQINMH574WMNVI7YN",
            "ST2EY72KQINMH574WMNVI7YN",
            "G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM",
            "abcdefghijklmnopqrstu",
            "aX3kPq_Zr-TbNmWvLsYdE",
            "eyJhbGciOiJIUzI1NiJ9",
        ] {
            for path in [
                format!("/platform/x/{secret}"),
                format!("/platform/{secret}:{secret}"),
            ] {
                assert!(!of(&path).contains(secret), "{path}: {}", of(&path));
            }
        }
    }

    proptest! {
        #[test]
        fn a_shape_is_short_and_what_old_tokens_are_made_of_is_no_word(
            path in "(/[a-zA-Z0-9%:._-]{0,80}){0,40}",
            old in "[A-Za-z0-9_-]{21}",
        ) {
            prop_assert!(of(&path).len() <= SEGMENTS * (2 * LONGEST + 2) + 4);
            let told = of(&format!("/platform/{old}"));
            let digits = old.bytes().filter(u8::is_ascii_digit).count();
            prop_assert!(digits < 3 || told == "/platform/{id}", "{}", told);
        }
    }
}

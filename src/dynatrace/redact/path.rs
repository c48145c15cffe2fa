//! Paths as they may be written: whatever stands in a token's place is not.

use percent_encoding::percent_decode_str;

use super::shape::is_like_an_old_token;
use crate::dynatrace::token::{TOKENS, is_shown_id};

/// A path without query, and without whatever stands in a token's place; `text` takes secrets out of the rest.
///
/// A path that is encoded, or spelled in a way that hides where its segments are, is not shown at all
/// when it could hold a token, or is too long to find out.
pub(super) fn path(path: &str, text: impl Fn(&str) -> String) -> String {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"%;\\".contains(&byte);
    if !path.bytes().all(plain) || path.contains("..") {
        if path.len() > MAX_ENCODED {
            return "[not shown: a long path that is encoded]".to_owned();
        }
        let mut decoded = path.to_lowercase();
        for _ in 0..MAX_ROUNDS {
            if decoded.contains("token") || decoded.contains("dt0") {
                return "[not shown: a path that may hold a token]".to_owned();
            }
            decoded = percent_decode_str(&decoded)
                .decode_utf8_lossy()
                .to_lowercase();
        }
        if decoded.contains('%') {
            return "[not shown: a path encoded many times]".to_owned();
        }
    }
    let path = text(path);
    // Most paths: no segment of theirs is looked at twice.
    if !mentions_tokens(&path) && !path.split('/').any(is_like_an_old_token) {
        return path;
    }
    let mut after_collection = false;
    let mut shown = String::with_capacity(path.len());
    for (number, segment) in path.split('/').enumerate() {
        if number > 0 {
            shown.push('/');
        }
        let hide = after_collection
            && !segment.is_empty()
            && !segment.eq_ignore_ascii_case("lookup")
            && !is_shown_id(segment);
        // Everything behind the collection: nobody knows at which place a look-alike has its token.
        after_collection |= COLLECTIONS.iter().any(|collection| {
            let begin = segment.get(..collection.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(collection))
        });
        shown.push_str(if hide || is_like_an_old_token(segment) {
            "{id}"
        } else {
            segment
        });
    }
    shown
}

/// Whether the word stands in it that all of [`COLLECTIONS`] have, in either case.
fn mentions_tokens(path: &str) -> bool {
    let mut letters = path.as_bytes().windows(5);
    letters.any(|letters| letters.eq_ignore_ascii_case(b"token"))
}

/// Lower case: the segments behind which a path names a token.
const COLLECTIONS: &[&str] = &["activegatetokens", "apitokens", TOKENS];

/// Rounds of percent decoding before a path is given up.
const MAX_ROUNDS: usize = 8;

/// Bytes of a path that is encoded, and still shown.
const MAX_ENCODED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_collection_of_tokens_mentions_them() {
        for collection in COLLECTIONS {
            assert!(mentions_tokens(collection), "{collection}");
            assert!(mentions_tokens(&format!(
                "/API/{}/x",
                collection.to_ascii_uppercase()
            )));
        }
        assert!(!mentions_tokens("/api/v2/metrics/toke"));
    }
}

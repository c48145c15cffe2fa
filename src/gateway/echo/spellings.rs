//! How a secret is written by those who repeat it: as it is, and in what errors, dumps and links make of it.

use std::ops::Range;

use data_encoding::{HEXLOWER, HEXUPPER};
use memchr::memchr_iter;
use memchr::memmem::Finder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::dynatrace::redact::encode::{BEFORE, base64};

/// Each spelling once.
#[derive(Debug)]
pub(super) struct Spellings(Vec<Finder<'static>>);

impl Spellings {
    pub(super) fn of(secret: &str) -> Self {
        let secret = secret.as_bytes();
        let mut others = vec![HEXLOWER.encode(secret), HEXUPPER.encode(secret)];
        for set in [NON_ALPHANUMERIC, RESERVED] {
            let encoded = percent_encode(secret, set).to_string();
            others.extend([with_small_digits(&encoded), encoded]);
        }
        // Some write a slash in JSON as two letters.
        others.push(String::from_utf8_lossy(secret).replace('/', "\\/"));
        for before in BEFORE {
            let standard = base64(secret, before);
            others.extend([standard.replace('+', "-").replace('/', "_"), standard]);
        }
        // What is shorter stands in honest texts.
        let others = others.into_iter().filter(|other| other.len() >= SHORTEST);
        let mut all: Vec<Vec<u8>> = others.map(String::into_bytes).collect();
        all.push(secret.to_vec());
        all.sort_unstable();
        all.dedup();
        let finders = all.iter().map(|one| Finder::new(one).into_owned());
        Self(finders.collect())
    }

    pub(super) fn stand_in(&self, text: &[u8]) -> bool {
        self.0.iter().any(|one| one.find(text).is_some())
    }

    /// Where they stand, each after the other.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for one in &self.0 {
            let mut at = 0;
            while let Some(start) = text.get(at..).and_then(|rest| one.find(rest)) {
                let start = at + start;
                found.push(start..start + one.needle().len());
                // It may begin before the last one ends.
                at = start + 1;
            }
        }
        found
    }

    /// How many bytes at the end of a text one of them could begin with.
    pub(super) fn begun_in(&self, text: &[u8]) -> usize {
        let begun = self.0.iter().map(|one| begun(one.needle(), text));
        begun.max().unwrap_or(0)
    }
}

fn begun(whole: &[u8], text: &[u8]) -> usize {
    let Some((first, _)) = whole.split_first() else {
        return 0;
    };
    let longest = text.len().min(whole.len() - 1);
    let end = text.get(text.len() - longest..).unwrap_or_default();
    let starts = memchr_iter(*first, end).filter_map(|at| end.get(at..));
    let mut begins = starts.filter(|tail| whole.starts_with(tail));
    begins.next().map_or(0, <[u8]>::len)
}

/// Escapes in the other case: `%2f`.
fn with_small_digits(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        text.extend(["%", &digits.to_ascii_lowercase(), rest]);
    }
    text
}

/// What a link does not have to escape stays (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Of an encoded secret, in bytes.
const SHORTEST: usize = 16;

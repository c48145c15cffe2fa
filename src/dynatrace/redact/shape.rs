//! What every token looks like, whoever has it.

use std::ops::Range;
use std::sync::LazyLock;

use super::Sought;
use super::encode::{BEFORE, base64};
use super::private;
use crate::dynatrace::token::is_any_prefix;

/// Letters, digits, `-` and `_`, as long as they go on.
#[derive(Clone, Copy, Default)]
struct Run {
    start: usize,
    end: usize,
}

/// Finds the secret part of every token, the key of every link without login, every bearer JWT, every private key, and
/// what follows the name of a scheme. Public parts stay.
pub(super) fn find(bytes: &[u8], sought: Sought, found: &mut impl FnMut(Range<usize>)) {
    let mut before = [Run::default(); 2];
    let (mut end, mut plain) = (0, 0);
    for run in runs(bytes) {
        let [first, second] = before;
        before = [second, run];
        if run.end <= end {
            continue;
        }
        let ranges = [
            token(bytes, [first, second, run]),
            jwt(bytes, run),
            key(bytes, run).filter(|_| sought == Sought::All),
            credential(bytes, second, run, &mut plain),
            folded(bytes, run),
            private::key(bytes, second.start..second.end, run.start..run.end),
        ];
        let both = |one: Range<usize>, other: Range<usize>| {
            one.start.min(other.start)..one.end.max(other.end)
        };
        let range = ranges.into_iter().flatten().reduce(both);
        if let Some(range) = range {
            end = range.end;
            found(range);
        }
    }
}

/// The same in text from which blanks were taken out: sentences are no secrets, so that it has to look random.
pub(super) fn find_broken(bytes: &[u8], sought: Sought, found: &mut impl FnMut(Range<usize>)) {
    find(bytes, sought, &mut |range| {
        let part = bytes.get(range.clone()).unwrap_or_default();
        if changes(part) >= MANY_CHANGES {
            found(range);
        }
    });
}

fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..)?;
        let start = at + rest.iter().position(|byte| is_token_byte(*byte))?;
        at = start + length(bytes, start, is_token_byte);
        Some(Run { start, end: at })
    })
}

pub(super) fn length(bytes: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(from..).unwrap_or_default().iter();
    rest.take_while(|byte| belongs(**byte)).count()
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

/// Whether there is nothing between two runs but a dot, or several.
fn dotted(bytes: &[u8], left: Run, right: Run) -> bool {
    let between = bytes.get(left.end..right.start).unwrap_or_default();
    !between.is_empty() && between.iter().all(|byte| *byte == b'.')
}

/// Whether the dots of a token are written in some other way, both in the same: `\.`, `[.]`, `=2E`, `:`. What stands
/// behind has to look random then.
fn alike(bytes: &[u8], [prefix, public, secret]: [Run; 3]) -> bool {
    let between = |left: Run, right: Run| bytes.get(left.end..right.start).unwrap_or_default();
    let sign = between(public, secret);
    let last = bytes.get(secret.start..secret.end).unwrap_or_default();
    let parts = |byte: &u8| byte.is_ascii_whitespace() || b",;/%".contains(byte);
    !sign.is_empty()
        && sign.len() <= LONGEST_SIGN
        && !sign.iter().any(parts)
        && sign == between(prefix, public)
        && last.iter().all(u8::is_ascii_alphanumeric)
        && last.len() >= MIN_UNDOTTED
        && changes(last) >= MANY_CHANGES
}

/// `dt0xNN.PUBLIC.SECRET`, the last part at least [`MIN_SECRET`] long. Shorter ones are what documentation and tests
/// invent (`dt0c01.A.B`); they are no secrets. A dot too many makes no other text of it: whatever parts follow belong
/// to it, if one of them is as long.
fn token(bytes: &[u8], [prefix, public, secret]: [Run; 3]) -> Option<Range<usize>> {
    let is_prefix = bytes
        .get(..prefix.end)
        .and_then(|bytes| bytes.last_chunk::<PREFIX>())
        .is_some_and(|prefix| is_any_prefix(prefix));
    if !is_prefix {
        return None;
    }
    let (mut end, mut longest) = (secret.end, secret.end - secret.start);
    if dotted(bytes, prefix, public) && dotted(bytes, public, secret) {
        for _ in 0..MORE_PARTS {
            if bytes.get(end) != Some(&b'.') {
                break;
            }
            let part = length(bytes, end + 1, is_token_byte);
            // The dot that ends a sentence is none of its parts.
            if part > 0 {
                longest = longest.max(part);
                end += 1 + part;
            }
        }
    } else if !alike(bytes, [prefix, public, secret]) {
        return None;
    }
    (longest >= MIN_SECRET).then_some(secret.start..end)
}

/// A JSON Web Token, from its `eyJ` to its end: two parts at least.
fn jwt(bytes: &[u8], run: Run) -> Option<Range<usize>> {
    let head = bytes.get(run.start..run.end)?;
    if head.len() < MIN_SECRET {
        return None;
    }
    let at = head
        .windows(3)
        .position(|letters| letters.eq_ignore_ascii_case(b"eyJ"))?;
    let (start, mut end) = (run.start + at, run.end);
    let mut longest = 0;
    while bytes.get(end) == Some(&b'.') {
        let part = length(bytes, end + 1, is_token_byte);
        longest = longest.max(part);
        end += 1 + part;
    }
    (end > run.end && longest >= MIN_SECRET).then_some(start..end)
}

/// The key of a link without login: "21 characters" behind `auth=`. Whoever has it sees the dashboard.
fn key(bytes: &[u8], run: Run) -> Option<Range<usize>> {
    let before = bytes.get(..run.start)?.strip_suffix(b"=")?;
    let name = before.last_chunk::<4>()?;
    let is_key = name.eq_ignore_ascii_case(b"auth") && run.end - run.start >= MIN_SECRET;
    is_key.then_some(run.start..run.end)
}

/// The base64 of a token whose letters were all made small, or large: nobody can decode it, but how it begins is known.
fn folded(bytes: &[u8], run: Run) -> Option<Range<usize>> {
    let text = bytes.get(run.start..run.end)?;
    let mixed = text.iter().any(u8::is_ascii_uppercase) && text.iter().any(u8::is_ascii_lowercase);
    if mixed || text.len() < MIN_FOLDED {
        return None;
    }
    let at = text
        .windows(BEGINNING)
        .position(|window| BEGINNINGS.binary_search(&packed(window)).is_ok())?;
    (text.len() - at >= MIN_FOLDED).then_some(run.start + at..run.end)
}

/// How the base64 of a token, of a JWT, and of a scheme begins. Sorted.
static BEGINNINGS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut beginnings = Vec::new();
    for word in WORDS {
        for word in [word, &word.to_ascii_lowercase(), &word.to_ascii_uppercase()] {
            for before in BEFORE {
                let digits = base64(word.as_bytes(), before);
                let digits: Vec<u8> = digits.bytes().take(BEGINNING).collect();
                beginnings.push(packed(&digits));
            }
        }
    }
    beginnings.sort_unstable();
    beginnings
});

/// A few letters, folded, in one number.
fn packed(letters: &[u8]) -> u64 {
    letters.iter().fold(0, |held, letter| {
        held << 8 | u64::from(letter.to_ascii_lowercase())
    })
}

/// What stands behind `Api-Token`, `Bearer` or `Basic`, if it is no plain word. Up to `plain` is nothing but plain words:
/// the end of one is one, and nobody has to read it again.
fn credential(bytes: &[u8], scheme: Run, run: Run, plain: &mut usize) -> Option<Range<usize>> {
    if run.start < *plain {
        return None;
    }
    let between = bytes.get(scheme.end..run.start)?;
    let separates = |byte: &u8| byte.is_ascii_whitespace() || b":=+\"'".contains(byte);
    if between.is_empty() || between.len() > 4 || !between.iter().all(separates) {
        return None;
    }
    let name = bytes.get(scheme.start..scheme.end)?;
    let named = SCHEMES.iter().any(|scheme| {
        let begin = name.len().checked_sub(scheme.len());
        let end = begin.and_then(|begin| name.get(begin..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(scheme.as_bytes()))
    });
    if !named {
        return None;
    }
    let goes_on = |byte: u8| is_token_byte(byte) || b"+/=~".contains(&byte);
    let end = run.start + length(bytes, run.start, goes_on);
    let credential = bytes.get(run.start..end)?;
    let is_secret = credential.len() >= MIN_CREDENTIAL
        && !is_made_of_words(credential)
        && (changes(credential) >= FEW_CHANGES
            || credential.len() >= OLD.start && credential.iter().any(u8::is_ascii_digit));
    if !is_secret {
        *plain = end;
    }
    is_secret.then_some(run.start..end)
}

/// Names such as `infrastructure-monitoring-2024` and `eu1-payments-v2`: two words or more with hyphens between, each of
/// letters of one case and a short number.
fn is_made_of_words(text: &[u8]) -> bool {
    let mut words = text.split(|byte| b"-_".contains(byte));
    let is_word = |word: &[u8]| {
        let letters = length(word, 0, |byte| byte.is_ascii_alphabetic());
        let (letters, number) = word.split_at(letters);
        let rest = letters.get(1..).unwrap_or_default();
        !word.is_empty()
            && (rest.iter().all(u8::is_ascii_lowercase)
                || letters.iter().all(u8::is_ascii_uppercase))
            && letters.len() <= LONGEST_WORD
            && number.len() <= LONGEST_NUMBER
            && number.iter().all(u8::is_ascii_digit)
    };
    words.clone().count() > 1 && words.all(is_word)
}

/// Whether a word is written as tokens of the old format are: 20 or 21 letters and digits at random, with no mark by
/// which to know them. Words, numbers, ids of entities and UUIDs are not.
pub(super) fn is_like_an_old_token(word: &str) -> bool {
    let bytes = word.as_bytes();
    OLD.contains(&bytes.len())
        && bytes.iter().all(|byte| is_token_byte(*byte))
        && bytes.iter().any(u8::is_ascii_uppercase)
        && bytes.iter().any(u8::is_ascii_lowercase)
        && changes(bytes) >= MOST_CHANGES
}

/// How often capitals, small letters and digits take turns. In words and numbers they hardly do.
pub(super) fn changes(bytes: &[u8]) -> usize {
    let kind = |byte: &u8| match byte {
        b'A'..=b'Z' => Some(0),
        b'a'..=b'z' => Some(1),
        b'0'..=b'9' => Some(2),
        _ => None,
    };
    let mut last = None;
    let turns = bytes.iter().filter_map(kind).filter(|kind| {
        let changed = last.is_some_and(|last| last != *kind);
        last = Some(*kind);
        changed
    });
    turns.count()
}

const SCHEMES: [&str; 3] = ["api-token", "bearer", "basic"];

/// The length of what a token begins with.
const PREFIX: usize = 6;

/// Parts of a token that has three and more, which are looked at.
const MORE_PARTS: usize = 8;

/// The shortest secret part, key, or part of a JWT.
const MIN_SECRET: usize = 16;

/// The longest sign in place of a dot, and the shortest secret part behind one.
const LONGEST_SIGN: usize = 4;
const MIN_UNDOTTED: usize = 32;

/// The shortest credential behind a scheme: `Basic dTpwYXNz`.
const MIN_CREDENTIAL: usize = 10;

/// The longest word in a name, and the longest number behind one: a year.
const LONGEST_WORD: usize = 16;
const LONGEST_NUMBER: usize = 4;

const WORDS: [&str; 8] = [
    "dt0c0", "dt0g0", "dt0s0", "dt0s1", "Api-T", "eyJhb", "eyJ0e", "eyJra",
];

/// Digits of base64 by which a token is known, and all that it has at least.
const BEGINNING: usize = 6;
const MIN_FOLDED: usize = 28;

/// Lengths of tokens of the old format, with one letter more or less.
const OLD: Range<usize> = 20..23;

/// In a short credential, in a secret, and in a token of the old format, which has twelve of them, give or take two.
/// `infrastructure-2024` has one, `activeGateUpdateJobs2` seven.
const FEW_CHANGES: usize = 3;
const MANY_CHANGES: usize = 6;
const MOST_CHANGES: usize = 8;

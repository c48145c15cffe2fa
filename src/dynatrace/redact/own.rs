//! The credentials that a request shows, found wherever else in it they stand: whole or a part, in any case, in base64
//! or hexadecimal digits, with blanks between.
//!
//! Each secret is kept in every encoding, letters folded, and of each the windows of [`WINDOW`] letters at every
//! [`STRIDE`]th place. Whatever has [`SHORTEST`] letters in a row of one has one of its windows. A secret is
//! random: no honest text has even eight letters of it in a row.

use std::ops::Range;
use std::sync::OnceLock;

use data_encoding::{BASE64, HEXLOWER};

use super::encode::{BEFORE, base64};
use super::reading::SHORTEST;
use super::shape::changes;
use crate::dynatrace::token::{TokenSecret, secret_part};

#[derive(Default)]
pub(super) struct Own {
    /// Every secret in every encoding, with a null byte behind each.
    letters: Vec<u8>,
    /// Where every window begins in the letters.
    places: Vec<u32>,
    /// Every window, and where it begins: sorted, and only made for a text that the filter lets through.
    windows: OnceLock<Vec<(u64, u32)>>,
    /// Two bits for every window, by its hash: most texts need to look no further.
    filter: Filter,
}

struct Filter(Box<[u64; FILTER]>);

impl Own {
    pub(super) fn of_credentials(credentials: &[TokenSecret]) -> Self {
        let mut own = Self::default();
        for credential in credentials {
            let mut words = credential.expose().split_ascii_whitespace();
            let Some(token) = words.next_back() else {
                continue;
            };
            own.add(secret_part(token));
            let scheme = words.next().unwrap_or_default();
            words.for_each(|word| own.add_value(word));
            if scheme.eq_ignore_ascii_case("basic") {
                let decoded = BASE64.decode(token.as_bytes());
                let decoded = decoded.unwrap_or_default();
                let text = String::from_utf8_lossy(&decoded);
                own.add(
                    text.split_once(':')
                        .map_or("", |(_user, password)| password),
                );
            }
        }
        own
    }

    /// Of values that may be secrets, and may be honest words.
    pub(super) fn of_values(values: &[TokenSecret]) -> Self {
        let mut own = Self::default();
        for value in values {
            own.add_value(value.expose().trim());
        }
        own
    }

    /// Unless it is an id, a list of languages, a time zone: honest words that are found in honest texts.
    fn add_value(&mut self, value: &str) {
        let value = secret_part(value);
        let random = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+/=.~%".contains(&byte);
        let honest = changes(value.as_bytes()) < MIN_CHANGES
            || !value.bytes().all(random)
            || uuid::Uuid::try_parse(value).is_ok();
        if !honest {
            self.add(value);
        }
    }

    fn add(&mut self, secret: &str) {
        if secret.len() < MIN_OWN {
            return;
        }
        let plain = secret.as_bytes();
        if plain.len() > LONGEST_TYPED {
            self.encoding(plain.iter().copied(), LONG_STRIDE);
            for before in BEFORE {
                self.encoding(base64(plain, before).bytes(), LONG_STRIDE);
            }
            return;
        }
        self.encoding(plain.iter().copied(), STRIDE);
        self.encoding(plain.iter().rev().copied(), STRIDE);
        let (lower, upper) = (plain.to_ascii_lowercase(), plain.to_ascii_uppercase());
        let mut spellings: Vec<&[u8]> = vec![plain];
        spellings.extend([&*lower, &*upper].iter().filter(|other| **other != plain));
        for spelling in spellings {
            for before in BEFORE {
                self.encoding(base64(spelling, before).bytes(), STRIDE);
            }
            self.encoding(HEXLOWER.encode(spelling).bytes(), STRIDE);
        }
    }

    fn encoding(&mut self, bytes: impl Iterator<Item = u8>, stride: usize) {
        let start = self.letters.len();
        self.letters.extend(bytes.filter_map(folded));
        let added = self.letters.get(start..).unwrap_or_default();
        for (number, window) in added.windows(WINDOW).enumerate().step_by(stride) {
            // One letter again and again, as in the invented ones of examples, is no secret.
            if window.iter().all(|letter| Some(letter) == window.first()) {
                continue;
            }
            let window = window.iter().copied().fold(0, rolled);
            if let Ok(place) = u32::try_from(start + number) {
                self.places.push(place);
                self.filter.add(window);
            }
        }
        self.letters.push(0);
    }

    /// Finds every part of a secret, with the letters and digits that stand beside it without a gap.
    pub(super) fn find(&self, bytes: &[u8], found: &mut impl FnMut(Range<usize>)) {
        if self.places.is_empty() || !self.may_stand_in(bytes) {
            return;
        }
        let text: Vec<(u8, usize)> = bytes
            .iter()
            .enumerate()
            .filter_map(|(at, byte)| Some((folded(*byte)?, at)))
            .collect();
        let letter = |at: usize| text.get(at).map(|(letter, _)| *letter);
        let (mut held, mut at, mut floor) = (0, 0, 0);
        while let Some(next) = letter(at) {
            held = rolled(held, next);
            at += 1;
            if at < floor + WINDOW {
                continue;
            }
            let Some(place) = self.place(held) else {
                continue;
            };
            let (start, end) = self.widest(&text, at - WINDOW..at, place, floor);
            if let (Some((_, first)), Some((_, last))) = (text.get(start), text.get(end - 1)) {
                found(*first..last + 1);
            }
            (at, floor) = (end, end);
        }
    }

    /// Whether a window of the text passes the filter: hardly any honest text has one.
    fn may_stand_in(&self, bytes: &[u8]) -> bool {
        let mut letters = bytes.iter().filter_map(|byte| folded(*byte));
        let first = letters.by_ref().take(WINDOW - 1).fold(0, rolled);
        letters
            .scan(first, |held, letter| {
                *held = rolled(*held, letter);
                Some(*held)
            })
            .any(|window| self.filter.has(window))
    }

    fn place(&self, window: u64) -> Option<usize> {
        if !self.filter.has(window) {
            return None;
        }
        let windows = self.windows.get_or_init(|| self.sorted());
        let number = windows.partition_point(|(other, _)| *other < window);
        let (other, place) = windows.get(number)?;
        (*other == window).then_some(*place as usize)
    }

    fn sorted(&self) -> Vec<(u64, u32)> {
        let window = |place: &u32| {
            let letters = self.letters.iter().skip(*place as usize).take(WINDOW);
            letters.copied().fold(0, rolled)
        };
        let mut windows: Vec<_> = self.places.iter().map(|at| (window(at), *at)).collect();
        windows.sort_unstable();
        windows
    }

    /// How far a match reaches, not below `floor`.
    fn widest(
        &self,
        text: &[(u8, usize)],
        window: Range<usize>,
        place: usize,
        floor: usize,
    ) -> (usize, usize) {
        let letter = |at: usize| text.get(at).map(|(letter, _)| *letter);
        let same = |at: usize, place: usize| {
            letter(at).is_some_and(|letter| self.letters.get(place) == Some(&letter))
        };
        let mut before = 0;
        while before < place
            && window.start - before > floor
            && same(window.start - before - 1, place - before - 1)
        {
            before += 1;
        }
        let mut behind = 0;
        while same(window.end + behind, place + WINDOW + behind) {
            behind += 1;
        }
        let (mut start, mut end) = (window.start - before, window.end + behind);
        // Whether a letter or digit stands right beside another.
        let beside = |left: usize, right: usize, new: usize| {
            let (left, right) = (text.get(left), text.get(right));
            let close = left
                .zip(right)
                .is_some_and(|(left, right)| left.1 + 1 == right.1);
            close && letter(new).is_some_and(|letter| letter.is_ascii_alphanumeric())
        };
        while start > floor && beside(start - 1, start, start - 1) {
            start -= 1;
        }
        while beside(end - 1, end, end) {
            end += 1;
        }
        (start, end)
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self(Box::new([0; FILTER]))
    }
}

impl Filter {
    fn bits(window: u64) -> [(usize, u64); 2] {
        let hash = window.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        [hash >> 50, hash >> 36].map(|hash| ((hash >> 6) as usize % FILTER, 1 << (hash & 63)))
    }

    fn add(&mut self, window: u64) {
        for (word, bit) in Self::bits(window) {
            if let Some(word) = self.0.get_mut(word) {
                *word |= bit;
            }
        }
    }

    fn has(&self, window: u64) -> bool {
        let has = |(word, bit): (usize, u64)| self.0.get(word).is_some_and(|word| word & bit != 0);
        Self::bits(window).into_iter().all(has)
    }
}

/// A letter or digit in the one spelling that is compared; nothing of what may stand between them, seen or not.
fn folded(byte: u8) -> Option<u8> {
    byte.is_ascii_alphanumeric()
        .then(|| byte.to_ascii_lowercase())
}

fn rolled(held: u64, letter: u8) -> u64 {
    held << 8 | u64::from(letter)
}

/// Words of 64 bits. A token has some 250 windows, and one window in a thousand that is none passes.
const FILTER: usize = 256;

/// Letters that are compared at once: as many as fit into a word.
const WINDOW: usize = 8;

/// From one window to the next: [`SHORTEST`] letters hold one.
const STRIDE: usize = SHORTEST - WINDOW + 1;

/// Shorter credentials are the invented ones of examples, and would be found in honest words.
const MIN_OWN: usize = 16;

/// Longer ones (JWTs, which have a shape of their own) are looked for in longer parts, and in base64 in their own case
/// only: each request that shows one pays for it.
const LONGEST_TYPED: usize = 256;
const LONG_STRIDE: usize = 2 * STRIDE + SHORTEST;

/// What a value that is no honest word has of them, at least.
const MIN_CHANGES: usize = 3;

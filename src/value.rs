//! Values as people write them, in the configuration file and on the command line.
//!
//! A text is either understood completely or refused with a message that shows what would be accepted;
//! what is displayed can be read back without loss. Knows no setting: which value is sensible where is
//! the business of the module whose `Config` holds it. And, in [`Visible`], text of others, as it can be shown.

mod address;
mod counted;
mod file;
mod holder;
mod network;
mod relative;
pub mod threads;
mod url;
mod visible;
mod words;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use bytesize::ByteSize;
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

pub use address::{clients_address, deserialize_listening, listening};
pub use counted::counted;
pub use file::{LONGEST_SETTING, read_file, read_setting};
pub use holder::Holder;
pub use network::{Network, deserialize_believed};
pub use relative::relative;
pub use url::{has_possible_port, is_this_machine, plain_url};
pub use visible::{Visible, VisibleLines, visible_json};
pub use words::{is_name, likeness, plain_words, unread, unwritten, with_causes};

/// A span of time that is longer than nothing, written as `500ms`, `10s` or `1h 30m`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Duration(std::time::Duration);

/// A number of bytes that is more than nothing, written as `64 KiB`, `10 MB` or a plain number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Size(u64);

/// A part of something that is more than nothing, written as `25%`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Share(u8);

/// A text that is not the value it should be. The message says what would be accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is not a {kind}: {reason}; write {examples}")]
pub struct ParseError {
    text: String,
    kind: &'static str,
    reason: String,
    examples: &'static str,
}

/// The one way this program writes a point in time: UTC, always with milliseconds.
///
/// Digits below the millisecond are cut, not rounded, so a time never moves into the next second.
pub fn rfc3339_millis(time: jiff::Timestamp) -> String {
    format!("{time:.3}")
}

/// The one way this program writes how long something took: milliseconds, with three decimals at most.
pub fn milliseconds(elapsed: std::time::Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e6).round() / 1e3
}

/// A path as people can use it who do not know the working directory.
pub fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    absolute
        .unwrap_or_else(|_unknown| path.to_owned())
        .display()
        .to_string()
}

/// A SHA-256 in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha256Hex([u8; 64]);

impl Sha256Hex {
    /// What no text has.
    pub const ZERO: Self = Self([b'0'; 64]);

    pub fn of(bytes: &[u8]) -> Self {
        let mut digits = [0; 64];
        let hash = Sha256::digest(bytes);
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(hash) {
            *pair = hex_digits(byte);
        }
        Self(digits)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Sha256Hex {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits: [u8; 64] = text.as_bytes().try_into().map_err(|_length| ())?;
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        digits
            .iter()
            .all(is_digit)
            .then_some(Self(digits))
            .ok_or(())
    }
}

impl Serialize for Sha256Hex {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.as_str())
    }
}

impl fmt::Debug for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| hex_digits(*byte));
    digits.map(char::from).collect()
}

fn hex_digits(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

impl Duration {
    pub const fn from_millis(millis: u64) -> Self {
        Self::checked(std::time::Duration::from_millis(millis))
    }

    pub const fn from_secs(secs: u64) -> Self {
        Self::checked(std::time::Duration::from_secs(secs))
    }

    pub const fn as_std(self) -> std::time::Duration {
        self.0
    }

    /// For values in our own code, where a zero is a mistake that every start of the program shows.
    const fn checked(duration: std::time::Duration) -> Self {
        assert!(!duration.is_zero(), "a duration is longer than nothing");
        Self(duration)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl FromStr for Duration {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = |reason: String| ParseError {
            text: text.to_owned(),
            kind: "duration",
            reason,
            examples: DURATION_EXAMPLES,
        };
        let duration =
            humantime::parse_duration(text.trim()).map_err(|error| refuse(error.to_string()))?;
        if duration.is_zero() {
            return Err(refuse("it must be longer than nothing".to_owned()));
        }
        // Deadlines are "now plus this": a sum beyond the clock's range would panic where it is made.
        if duration > LONGEST {
            return Err(refuse("it must not be longer than a century".to_owned()));
        }
        Ok(Self(duration))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a duration: {DURATION_EXAMPLES}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Size {
    pub const fn from_bytes(bytes: u64) -> Self {
        assert!(bytes > 0, "a size is more than nothing");
        Self(bytes)
    }

    pub const fn from_kib(kib: u64) -> Self {
        Self::from_bytes(kib * ByteSize::kib(1).as_u64())
    }

    pub const fn from_mib(mib: u64) -> Self {
        Self::from_bytes(mib * ByteSize::mib(1).as_u64())
    }

    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// As a length in memory; what memory cannot hold is as good as "no limit".
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = |reason: &str| ParseError {
            text: text.to_owned(),
            kind: "size",
            reason: reason.to_owned(),
            examples: SIZE_EXAMPLES,
        };
        let trimmed = text.trim();
        if !trimmed.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(refuse("it does not start with a number"));
        }
        let size = ByteSize::from_str(trimmed)
            .map_err(|_text_for_programmers| refuse("the number or its unit is unknown"))?;
        // The parser saturates: beyond the range it would answer with a size nobody wrote.
        if size.as_u64() == u64::MAX {
            return Err(refuse("it is too large"));
        }
        if size.as_u64() == 0 {
            return Err(refuse("it must be more than nothing"));
        }
        Ok(Self(size.as_u64()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS
            .into_iter()
            .find(|(bytes, _)| self.0 >= *bytes && self.0.is_multiple_of(*bytes));
        match unit {
            Some((bytes, name)) => write!(f, "{} {name}", self.0 / bytes),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNumber;

        impl Visitor<'_> for TextOrNumber {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a size: {SIZE_EXAMPLES}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                if bytes == 0 {
                    return Err(E::invalid_value(Unexpected::Unsigned(bytes), &self));
                }
                Ok(Size(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                match u64::try_from(bytes) {
                    Ok(bytes) => self.visit_u64(bytes),
                    Err(_negative) => Err(E::invalid_value(Unexpected::Signed(bytes), &self)),
                }
            }
        }

        deserializer.deserialize_any(TextOrNumber)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Share {
    pub const fn percent(percent: u8) -> Self {
        assert!(0 < percent && percent <= 100, "a share is 1% to 100%");
        Self(percent)
    }

    /// Of an amount, rounded down.
    pub fn of(self, amount: usize) -> usize {
        let percent = usize::from(self.0);
        // In two steps, so that no amount is too large.
        amount / 100 * percent + amount % 100 * percent / 100
    }
}

impl FromStr for Share {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let percent = text.trim().strip_suffix('%');
        let percent = percent.and_then(|number| number.trim_end().parse().ok());
        match percent {
            Some(percent @ 1..=100) => Ok(Self(percent)),
            Some(_) | None => Err(ParseError {
                text: text.to_owned(),
                kind: "share",
                reason: "it is not 1% to 100%".to_owned(),
                examples: SHARE_EXAMPLES,
            }),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a share: {SHARE_EXAMPLES}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Share, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

const DURATION_EXAMPLES: &str = r#""500ms", "10s" or "1h 30m""#;
const LONGEST: std::time::Duration = std::time::Duration::from_hours(100 * 366 * 24);
const SIZE_EXAMPLES: &str = r#""64 KiB", "10 MB" or a number of bytes"#;
const SHARE_EXAMPLES: &str = r#""25%", or "100%" for all of it"#;
const UNITS: [(u64, &str); 4] = [
    (ByteSize::tib(1).as_u64(), "TiB"),
    (ByteSize::gib(1).as_u64(), "GiB"),
    (ByteSize::mib(1).as_u64(), "MiB"),
    (ByteSize::kib(1).as_u64(), "KiB"),
];

#[cfg(test)]
mod tests;

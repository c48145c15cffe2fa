//! Values as people write them in configurations and on command lines. Pure.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// A length of time, written `500ms`, `30s`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Duration(std::time::Duration);

/// A number of bytes, written `64 KiB`, `10 MB`, `512 B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(u64);

/// Why text is no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ValueError {
    #[error("{0:?} is no duration: write for example 500ms, 30s or 1h, more than zero")]
    Duration(String),
    #[error("{0:?} is no size: write for example 64 KiB or 10 MB, more than zero")]
    Size(String),
}

impl FromStr for Duration {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match humantime::parse_duration(text) {
            Ok(duration) if !duration.is_zero() => Ok(Self(duration)),
            _ => Err(ValueError::Duration(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Duration {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self(duration)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Size {
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    pub fn bytes(self) -> u64 {
        self.0
    }

    /// As an amount of memory; what does not fit is the largest amount there is.
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) if size.as_u64() > 0 => Ok(Self(size.as_u64())),
            _ => Err(ValueError::Size(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Size {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-24T10:00:00.000Z`.
pub fn rfc3339_millis(time: jiff::Timestamp) -> String {
    format!("{time:.3}")
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| DIGITS.get(usize::from(nibble)))
        .map(|digit| char::from(*digit))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_people_write_them() {
        assert_eq!("1h 30m".parse::<Duration>().unwrap().to_string(), "1h 30m");
        assert_eq!("64 KiB".parse::<Size>().unwrap().bytes(), 65536);
        for text in ["", "0s", "5", "-1s"] {
            assert!(text.parse::<Duration>().is_err(), "{text:?}");
        }
        for text in ["", "0", "x", "-1 KB"] {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn timestamps_always_have_milliseconds() {
        assert_eq!(
            rfc3339_millis(jiff::Timestamp::UNIX_EPOCH),
            "1970-01-01T00:00:00.000Z"
        );
    }
}

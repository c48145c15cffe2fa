//! Points in time as Dynatrace's requests write them, and as its answers print them.
//!
//! Three spellings come in (milliseconds, a date, `now+14d/d`); one goes out, always with three
//! digits of a second, because clients parse exactly that. The clock is the caller's.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::value::relative;

/// Reads any of the documented spellings.
pub(super) fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(shift) = text.strip_prefix("now") {
        return relative(shift, now);
    }
    if let Ok(milliseconds) = text.parse::<i64>() {
        return Timestamp::from_millisecond(milliseconds).ok();
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    // No zone means UTC.
    TimeZone::UTC
        .to_timestamp(text.parse::<DateTime>().ok()?)
        .ok()
}

/// `yyyy-MM-dd'T'HH:mm:ss.SSS'Z'`.
pub(super) fn print(moment: Timestamp) -> String {
    format!("{moment:.3}")
}

/// Tokens live in milliseconds: finer parts would make equal dates differ.
pub(super) fn truncated(moment: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(moment.as_millisecond()).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_spelling_is_read() {
        let now: Timestamp = "2026-11-24T10:11:12.5Z".parse().unwrap();
        for (text, expected) in [
            ("1578902397474", "2020-01-13T07:59:57.474Z"),
            ("2021-01-25T05:57:01.123+01:00", "2021-01-25T04:57:01.123Z"),
            ("2021-01-25 05:57:01.123", "2021-01-25T05:57:01.123Z"),
            ("2021-01-25 05:57:01.123+01:00", "2021-01-25T04:57:01.123Z"),
            ("2021-01-25T05:57", "2021-01-25T05:57:00.000Z"),
            ("2021-01-25T05:57Z", "2021-01-25T05:57:00.000Z"),
            ("now", "2026-11-24T10:11:12.500Z"),
            ("now+14d", "2026-12-08T10:11:12.500Z"),
            ("now-90m", "2026-11-24T08:41:12.500Z"),
            ("now+1M/M", "2026-12-01T00:00:00.000Z"),
            ("now-1y/y", "2025-01-01T00:00:00.000Z"),
            ("now/w", "2026-11-23T00:00:00.000Z"),
            ("now-1d/w", "2026-11-23T00:00:00.000Z"),
            ("now+2h/h", "2026-11-24T12:00:00.000Z"),
        ] {
            assert_eq!(
                parse(text, now).map(print).as_deref(),
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_no_date() {
        let now = Timestamp::UNIX_EPOCH;
        for text in [
            "",
            "tomorrow",
            "now14d",
            "now+d",
            "now+1s",
            "now+1d/x",
            "now+99999999999y",
            "99999999999999999",
        ] {
            assert_eq!(parse(text, now), None, "{text}");
        }
    }
}

//! Points in time as Dynatrace's requests write them.
//!
//! Three spellings come in: milliseconds, a date, `now+14d/d`. One that is not documented is none: nobody could say
//! what Dynatrace takes it for. The clock is the caller's.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::value::relative;

/// Reads any of the documented spellings.
fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(shift) = text.strip_prefix("now") {
        return relative(shift, now);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Timestamp::from_millisecond(text.parse().ok()?).ok();
    }
    if !is_date(text) {
        return None;
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    // No zone means UTC.
    TimeZone::UTC
        .to_timestamp(text.parse::<DateTime>().ok()?)
        .ok()
}

/// When a token is to expire, in the notation of a change: that of v2, with seconds and milliseconds for those of v1.
/// Nothing for what has no nanoseconds of 64 bits, which is how policies calculate.
pub fn expiration(text: &str, now: Timestamp) -> Option<Timestamp> {
    let finer = |unit: &str, milliseconds: i64| {
        let number = text.strip_prefix("now+")?.strip_suffix(unit)?;
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: i64 = number.parse().ok().filter(|_| is_number)?;
        let shift = number.checked_mul(milliseconds)?;
        Timestamp::from_millisecond(now.as_millisecond().checked_add(shift)?).ok()
    };
    let moment = finer("ms", 1).or_else(|| finer("s", 1000));
    let moment = truncated(moment.or_else(|| parse(text, now))?)?;
    i64::try_from(moment.as_nanosecond()).ok().map(|_| moment)
}

/// `2021-01-25T05:57:01.123+01:00`: a space for the T, without seconds, without their parts, without zone.
fn is_date(text: &str) -> bool {
    let digits = |text: &str, of: &str| {
        text.len() == of.len()
            && text.bytes().zip(of.bytes()).all(|(byte, of)| match of {
                b'0' => byte.is_ascii_digit(),
                b'T' => byte == b'T' || byte == b' ',
                of => byte == of,
            })
    };
    let zone = text.get(16..).and_then(|rest| rest.find(['Z', '+', '-']));
    let (time, zone) = text.split_at(zone.map_or(text.len(), |place| place + 16));
    let (time, part) = time.split_once('.').unwrap_or((time, "0"));
    let is_time = digits(time, "0000-00-00T00:00:00")
        || (digits(time, "0000-00-00T00:00") && !text.contains('.'));
    let is_zone = matches!(zone, "" | "Z") || digits(zone, "+00:00") || digits(zone, "-00:00");
    let is_part = (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    is_time && is_part && is_zone
}

/// Tokens live in milliseconds.
fn truncated(moment: Timestamp) -> Option<Timestamp> {
    Timestamp::from_millisecond(moment.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(moment: Timestamp) -> String {
        format!("{moment:.3}")
    }

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
            "-5",
            "+5",
            " now+1d",
            "now+14d/d ",
            "now+-14d",
            "NOW+14d",
            "2021-01-25",
            "20210125T0557",
            "2021-01-25T05",
            "2021-01-25T05:57.5",
            "2021-01-25T05:57:01.",
            "2021-01-25T05:57:01+01",
            "2021-01-25T05:57:01+0100",
            "2021-01-25T05:57:01[Europe/Vienna]",
            "2021-01-25T05:57:01+01:00[Europe/Vienna]",
            "2021-01-25t05:57:01z",
            "2021-13-25T05:57:01",
            "+002021-01-25T05:57:01",
            "2021-01-25T05:57:0\u{e9}",
        ] {
            let found = expiration(text, now).filter(|_| text != "now+1s");
            assert_eq!((parse(text, now), found), (None, None), "{text}");
        }
    }

    #[test]
    fn what_a_change_says_of_its_expiration_is_an_instant() {
        let now: Timestamp = "2026-11-24T10:00:00.5Z".parse().unwrap();
        for (text, expected) in [
            ("now+5ms", Some("2026-11-24T10:00:00.505Z")),
            ("now+90s", Some("2026-11-24T10:01:30.500Z")),
            ("now+14d", Some("2026-12-08T10:00:00.500Z")),
            ("1795600800000", Some("2026-11-25T10:00:00.000Z")),
            ("2261-12-31T00:00Z", Some("2261-12-31T00:00:00.000Z")),
            ("9999-12-31T00:00Z", None),
            ("now+9223372036854775807ms", None),
            ("now+9223372036854775807s", None),
            ("now+18446744073709551615d", None),
            ("now+400y", None),
            ("now+s", None),
            ("now+-1s", None),
        ] {
            let found = expiration(text, now).map(print);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}

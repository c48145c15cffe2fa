//! Points in time as Dynatrace's requests write them, and as its answers print them.
//!
//! Three spellings come in (milliseconds, a date, `now+14d/d`); one goes out, always with three
//! digits of a second, because clients parse exactly that. The clock is the caller's.

use jiff::{
    Span, Timestamp,
    civil::{DateTime, Weekday},
    tz::TimeZone,
};

/// Reads any of the documented spellings.
pub(super) fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(relative) = text.strip_prefix("now") {
        return shifted(relative, now);
    }
    if let Ok(milliseconds) = text.parse::<i64>() {
        return Timestamp::from_millisecond(milliseconds).ok();
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    // No zone means UTC.
    instant(text.parse::<DateTime>().ok()?)
}

/// `yyyy-MM-dd'T'HH:mm:ss.SSS'Z'`.
pub(super) fn print(moment: Timestamp) -> String {
    format!("{moment:.3}")
}

/// Tokens live in milliseconds: finer parts would make equal dates differ.
pub(super) fn truncated(moment: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(moment.as_millisecond()).unwrap_or(moment)
}

fn instant(moment: DateTime) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(moment).ok()
}

/// `[+-]NU[/A]`: N units from now, then back to the start of the unit A.
fn shifted(relative: &str, now: Timestamp) -> Option<Timestamp> {
    let (shift, align) = match relative.split_once('/') {
        Some((shift, align)) => (shift, Some(align)),
        None => (relative, None),
    };
    let mut moment = TimeZone::UTC.to_datetime(now);
    if !shift.is_empty() {
        moment = moment.checked_add(span(shift)?).ok()?;
    }
    if let Some(align) = align {
        moment = aligned(moment, align)?;
    }
    instant(moment)
}

fn span(shift: &str) -> Option<Span> {
    if !shift.starts_with(['+', '-']) {
        return None;
    }
    let at = shift.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = shift.split_at_checked(at)?;
    let number: i64 = number.parse().ok()?;
    let span = Span::new();
    match unit {
        "m" => span.try_minutes(number),
        "h" => span.try_hours(number),
        "d" => span.try_days(number),
        "w" => span.try_weeks(number),
        "M" => span.try_months(number),
        "y" => span.try_years(number),
        _ => return None,
    }
    .ok()
}

fn aligned(moment: DateTime, unit: &str) -> Option<DateTime> {
    let date = moment.date();
    let midnight = |date: jiff::civil::Date| date.at(0, 0, 0, 0);
    Some(match unit {
        "m" => date.at(moment.hour(), moment.minute(), 0, 0),
        "h" => date.at(moment.hour(), 0, 0, 0),
        "d" => midnight(date),
        "w" if date.weekday() == Weekday::Monday => midnight(date),
        "w" => midnight(date.nth_weekday(-1, Weekday::Monday).ok()?),
        "M" => midnight(date.first_of_month()),
        "y" => midnight(date.first_of_year()),
        _ => return None,
    })
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

//! Points in time relative to now: `now-90m`, `now+1M/M`.

use jiff::{
    Span, Timestamp,
    civil::{DateTime, Weekday},
    tz::TimeZone,
};

/// Reads `[+-]NU[/A]`, what stands behind `now`: N units from now, then back to the start of the unit A, in UTC.
pub fn relative(text: &str, now: Timestamp) -> Option<Timestamp> {
    let (shift, align) = match text.split_once('/') {
        Some((shift, align)) => (shift, Some(align)),
        None => (text, None),
    };
    let mut moment = TimeZone::UTC.to_datetime(now);
    if !shift.is_empty() {
        moment = moment.checked_add(span(shift)?).ok()?;
    }
    if let Some(align) = align {
        moment = aligned(moment, align)?;
    }
    TimeZone::UTC.to_timestamp(moment).ok()
}

fn span(shift: &str) -> Option<Span> {
    if !shift.starts_with(['+', '-']) {
        return None;
    }
    let at = shift.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = shift.split_at_checked(at)?;
    if !number.bytes().skip(1).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
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

//! Moments as people write them: `7d`, `2026-11-01`, `2026-11-01T08:00`, `2026-11-01T08:00+01:00`.
//!
//! What is not said is midnight, and the zone of `--tz`. Nothing that is said is left out: a text is understood as a
//! whole or refused, and so is an hour that the zone skips or has twice.

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// A moment, how long ago it was, or what a clock shows then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum When {
    Ago(SignedDuration),
    At(Timestamp),
    Clock(DateTime),
    Day(Date),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "write how long ago it was (90s, 30m, 12h, 7d, 2w), or a date, with or without a time and a zone: 2026-11-01, \
     2026-11-01T08:00, 2026-11-01T08:00:00Z, 2026-11-01T08:00+01:00, 2026-11-01T08:00[Europe/Berlin]"
)]
pub struct WhenError;

/// Why a clock shows no one moment.
#[derive(Debug, thiserror::Error)]
pub enum MomentError {
    #[error(
        "there is no {0} in this time zone, because clocks are put forward then: write it with an offset, such as {0}+01:00"
    )]
    Skipped(String),
    #[error(
        "{shown} is there twice in this time zone, because clocks are put back then: write {shown}{before} or {shown}{after}"
    )]
    Twice {
        shown: String,
        before: String,
        after: String,
    },
    #[error(transparent)]
    Time(#[from] jiff::Error),
}

impl When {
    /// The moment that is meant, where a clock is one of this zone.
    pub fn moment(self, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, MomentError> {
        Ok(match self {
            Self::Ago(long) => now.checked_sub(long)?,
            Self::At(moment) => moment,
            // The first moment of the day, also where a zone has no midnight then.
            Self::Day(day) => zone.to_timestamp(day.at(0, 0, 0, 0))?,
            Self::Clock(clock) => {
                let found = zone.to_ambiguous_timestamp(clock);
                let shown = clock.strftime("%Y-%m-%dT%H:%M");
                match found.offset() {
                    AmbiguousOffset::Gap { .. } => {
                        return Err(MomentError::Skipped(shown.to_string()));
                    }
                    AmbiguousOffset::Fold { before, after } => {
                        let [before, after] = [before, after].map(written);
                        return Err(MomentError::Twice {
                            shown: shown.to_string(),
                            before,
                            after,
                        });
                    }
                    AmbiguousOffset::Unambiguous { .. } => found.unambiguous()?,
                }
            }
        })
    }
}

/// `+01:00`.
fn written(offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// Reads `--tz`.
pub fn zone(text: &str) -> Result<TimeZone, String> {
    match text {
        "UTC" | "utc" => Ok(TimeZone::UTC),
        "local" => TimeZone::try_system().map_err(|error| error.to_string()),
        name => TimeZone::get(name).map_err(|_unknown| {
            format!("{name:?} is no time zone: write UTC, local, or a name such as Europe/Vienna")
        }),
    }
}

impl FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        let text = text.trim();
        if let Some(long) = ago(text) {
            return Ok(Self::Ago(long));
        }
        // A number of its own is no date: 20261101 may be a mistyped span.
        if !text.contains('-') {
            return Err(WhenError);
        }
        if text.ends_with(']') {
            let zoned: ZonedDateTime = text.parse().map_err(|_other| WhenError)?;
            return Ok(Self::At(zoned.timestamp()));
        }
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Ok(Self::At(moment));
        }
        // The parser of dates reads over a time behind it.
        let is_date = text.chars().all(|c| c.is_ascii_digit() || c == '-');
        if is_date {
            return text.parse().map(Self::Day).map_err(|_other| WhenError);
        }
        text.parse().map(Self::Clock).map_err(|_other| WhenError)
    }
}

/// A number and a unit, or several: `7d`, `1h30m`.
fn ago(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut seconds: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = rest.split_at_checked(digits)?;
        let one = match unit.chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            'w' => 7 * 24 * 3600,
            _ => return None,
        };
        let number: i64 = number.parse().ok()?;
        seconds = seconds.checked_add(number.checked_mul(one)?)?;
        rest = unit.get(1..)?;
    }
    // Further back than any journal, and not beyond what can be told.
    let is_possible = !text.is_empty() && seconds <= 300 * 366 * 86_400;
    is_possible.then(|| SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_keeps_its_time_and_its_zone() {
        let now = "2026-11-29T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T08:00", "2026-11-01T08:00:00Z"),
            ("2026-11-01 08:00", "2026-11-01T08:00:00Z"),
            ("2026-11-01T08:00:30", "2026-11-01T08:00:30Z"),
            ("2026-11-01T08:00:30.250", "2026-11-01T08:00:30.25Z"),
            ("2026-11-01T08:00Z", "2026-11-01T08:00:00Z"),
            ("2026-11-01T08:00:00Z", "2026-11-01T08:00:00Z"),
            ("2026-11-01T08:00+01:00", "2026-11-01T07:00:00Z"),
            ("2026-11-01T08:00:00-05:30", "2026-11-01T13:30:00Z"),
            ("2026-11-01T08:00[Europe/Berlin]", "2026-11-01T07:00:00Z"),
            ("2026-07-01T08:00[Europe/Berlin]", "2026-07-01T06:00:00Z"),
            ("2026-11-01[Europe/Berlin]", "2026-10-31T23:00:00Z"),
            (" 7d ", "2026-11-22T12:00:00Z"),
            ("1h30m", "2026-11-29T10:30:00Z"),
            ("90s", "2026-11-29T11:58:30Z"),
            ("2w", "2026-11-15T12:00:00Z"),
            ("0s", "2026-11-29T12:00:00Z"),
        ] {
            let when: When = text
                .parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(
                when.moment(now, &TimeZone::UTC).unwrap(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_as_a_whole_is_refused() {
        for text in [
            "",
            "7",
            "d",
            "7x",
            "-7d",
            "7d ago",
            "yesterday",
            "20261101",
            "2026-13-01",
            "2026-11-31",
            "2026-11-01T",
            "2026-11-01T8",
            "2026-11-01T25:00",
            "2026-11-01Z",
            "2026-11-01T08:00 CET",
            "2026-11-01T08:00[Mars/One]",
            "99999999999999999999d",
            "2026-11-01+01:00",
        ] {
            assert_eq!(text.parse::<When>(), Err(WhenError), "{text}");
        }
    }

    #[test]
    fn a_clock_is_one_of_the_zone() {
        let now = "2026-11-29T12:00:00Z".parse().unwrap();
        let vienna = zone("Europe/Vienna").unwrap();
        for (text, expected) in [
            ("2026-11-01", "2026-10-31T23:00:00Z"),
            ("2026-07-01T08:00", "2026-07-01T06:00:00Z"),
            ("2026-11-01T08:00", "2026-11-01T07:00:00Z"),
            ("2026-11-01T08:00Z", "2026-11-01T08:00:00Z"),
            ("2026-11-01T08:00+05:00", "2026-11-01T03:00:00Z"),
            ("7d", "2026-11-22T12:00:00Z"),
            // The days on which clocks change.
            ("2026-03-29", "2026-03-28T23:00:00Z"),
            ("2026-03-29T03:00", "2026-03-29T01:00:00Z"),
            ("2026-10-25T02:30+02:00", "2026-10-25T00:30:00Z"),
            ("2026-10-25T02:30+01:00", "2026-10-25T01:30:00Z"),
        ] {
            let when: When = text.parse().unwrap();
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(when.moment(now, &vienna).unwrap(), expected, "{text}");
        }
        // A day that begins at one.
        let beirut = zone("Asia/Beirut").unwrap();
        let day: When = "2026-03-29".parse().unwrap();
        let expected: Timestamp = "2026-03-28T22:00:00Z".parse().unwrap();
        assert_eq!(day.moment(now, &beirut).unwrap(), expected);
        for (text, says) in [
            ("2026-03-29T02:30", "there is no 2026-03-29T02:30"),
            (
                "2026-10-25T02:30",
                "write 2026-10-25T02:30+02:00 or 2026-10-25T02:30+01:00",
            ),
        ] {
            let when: When = text.parse().unwrap();
            let error = when.moment(now, &vienna).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_zone_is_utc_local_or_has_a_name() {
        assert_eq!(zone("UTC").unwrap(), TimeZone::UTC);
        for text in ["Mars/Olympus", "", "CEST", "+01:00", "../../etc/passwd"] {
            let error = zone(text).unwrap_err();
            assert!(error.contains("Europe/Vienna"), "{text}: {error}");
        }
    }
}

//! Moments as people write them: `7d`, `2026-11-01`, `2026-11-01T08:00`, `2026-11-01T08:00+01:00`.
//!
//! What is not said is midnight, and UTC. Nothing that is said is left out: a text is understood as a whole or refused.

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// A moment, or how long ago it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum When {
    At(Timestamp),
    Ago(SignedDuration),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "write how long ago it was (90s, 30m, 12h, 7d, 2w), or a date, with or without a time and a zone: 2026-11-01, \
     2026-11-01T08:00, 2026-11-01T08:00:00Z, 2026-11-01T08:00+01:00, 2026-11-01T08:00[Europe/Berlin]; without a zone it \
     is UTC"
)]
pub(super) struct WhenError;

impl When {
    pub(super) fn moment(self, now: Timestamp) -> anyhow::Result<Timestamp> {
        match self {
            Self::At(moment) => Ok(moment),
            Self::Ago(long) => Ok(now.checked_sub(long)?),
        }
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
        let civil = if is_date {
            text.parse::<Date>().map(|date| date.at(0, 0, 0, 0))
        } else {
            text.parse::<DateTime>()
        };
        let civil = civil.map_err(|_other| WhenError)?;
        let moment = TimeZone::UTC
            .to_timestamp(civil)
            .map_err(|_other| WhenError)?;
        Ok(Self::At(moment))
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
    (!text.is_empty()).then(|| SignedDuration::from_secs(seconds))
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
            assert_eq!(when.moment(now).unwrap(), expected, "{text}");
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
}

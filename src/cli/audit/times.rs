//! Moments as people write and read them.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};

/// Reads `--tz`.
pub(super) fn zone(text: &str) -> Result<TimeZone, String> {
    match text {
        "UTC" | "utc" => Ok(TimeZone::UTC),
        "local" => TimeZone::try_system().map_err(|error| error.to_string()),
        name => TimeZone::get(name).map_err(|_unknown| {
            format!("{name:?} is no time zone: write UTC, local, or a name such as Europe/Vienna")
        }),
    }
}

/// Reads a moment: how long ago (`90s`, `15m`, `12h`, `7d`, `2w`), RFC 3339, or a date with or without a time of day, in
/// the zone.
pub(super) fn moment(text: &str, zone: &TimeZone, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Some(ago) = ago(text) {
        return Ok(now.checked_sub(ago)?);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    let civil = match text.parse::<DateTime>() {
        Ok(civil) => civil,
        Err(_no_time) => text.parse::<Date>().map(DateTime::from).map_err(|_invalid| {
            anyhow::anyhow!(
                "{text:?} is no time: write 7d, 12h, 2026-11-01, 2026-11-01T08:00 or 2026-11-01T08:00:00Z"
            )
        })?,
    };
    Ok(zone.to_timestamp(civil)?)
}

fn ago(text: &str) -> Option<jiff::SignedDuration> {
    let unit = text.chars().next_back()?;
    let number: i64 = text.get(..text.len() - unit.len_utf8())?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let seconds = number.checked_mul(seconds)?;
    // Further back than any journal, and not beyond what can be told.
    let is_possible = (0..=300 * 366 * 86_400).contains(&seconds);
    is_possible.then(|| jiff::SignedDuration::from_secs(seconds))
}

/// How times are shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) zone: TimeZone,
    pub(super) absolute: bool,
    pub(super) now: Timestamp,
}

impl Shown {
    /// A moment as a record writes it, for people; what is none, as it is.
    pub(super) fn of(&self, timestamp: &str) -> String {
        let Ok(moment) = timestamp.parse::<Timestamp>() else {
            return timestamp.to_owned();
        };
        if self.absolute {
            self.absolute(moment)
        } else {
            relative(self.now, moment)
        }
    }

    pub(super) fn absolute(&self, moment: Timestamp) -> String {
        let moment = moment.round(Unit::Second).unwrap_or(moment);
        let moment = moment.to_zoned_datetime(self.zone.clone());
        if self.zone == TimeZone::UTC {
            moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
        } else {
            moment.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
        }
    }
}

fn relative(now: Timestamp, moment: Timestamp) -> String {
    let seconds = now.duration_since(moment).as_secs();
    let (amount, unit) = match seconds {
        ..0 => return "in the future".to_owned(),
        0..60 => (seconds, "s"),
        60..3600 => (seconds / 60, "min"),
        3600..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{amount} {unit} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_the_zone() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let vienna = zone("Europe/Vienna").unwrap();
        for (text, wanted) in [
            ("7d", "2026-11-17T10:00:00Z"),
            ("90s", "2026-11-24T09:58:30Z"),
            ("2026-11-01", "2026-10-31T23:00:00Z"),
            ("2026-11-01T08:00", "2026-11-01T07:00:00Z"),
            ("2026-11-01T08:00:00Z", "2026-11-01T08:00:00Z"),
            ("2026-11-01T08:00:00+05:00", "2026-11-01T03:00:00Z"),
        ] {
            let wanted: Timestamp = wanted.parse().unwrap();
            assert_eq!(moment(text, &vienna, now).unwrap(), wanted, "{text}");
        }
        for text in [
            "",
            "d",
            "-7d",
            "7y",
            "99999999999999999999d",
            "yesterday",
            "2026-13-01",
            "é",
        ] {
            assert!(moment(text, &vienna, now).is_err(), "{text}");
        }
        assert!(zone("Mars/Olympus").is_err());
    }

    #[test]
    fn times_are_short_or_whole() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let mut shown = Shown {
            zone: zone("Europe/Vienna").unwrap(),
            absolute: false,
            now,
        };
        assert_eq!(shown.of("2026-11-24T09:59:18.123Z"), "41 s ago");
        assert_eq!(shown.of("2026-11-20T10:00:00.000Z"), "4 d ago");
        assert_eq!(shown.of("no time"), "no time");
        shown.absolute = true;
        assert_eq!(
            shown.of("2026-11-24T09:59:18.123Z"),
            "2026-11-24T10:59:18+01:00"
        );
    }
}

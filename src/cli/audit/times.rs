//! Moments as people read them.

use anyhow::{Context, bail};
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::app;
use crate::trail::when::{When, zone};

/// How times are read and shown.
#[derive(Clone, Debug, Args)]
pub(super) struct Times {
    /// Zone of times: UTC, local, or a name such as Europe/Vienna
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    tz: TimeZone,
    /// Show whole times, and not how long ago
    #[arg(long)]
    absolute: bool,
}

/// From when, and before when.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Span {
    /// From then on: 7d (ago), 12h, 2026-11-01, 2026-11-01T08:00 (in --tz), 2026-11-01T08:00+01:00
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Before then
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
}

/// How times are shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) zone: TimeZone,
    pub(super) absolute: bool,
    pub(super) now: Timestamp,
}

impl Times {
    pub(super) fn shown(&self) -> Shown {
        Shown {
            zone: self.tz.clone(),
            absolute: self.absolute,
            now: app::now(),
        }
    }
}

impl Span {
    /// In milliseconds since 1970.
    pub(super) fn read(&self, shown: &Shown) -> anyhow::Result<(Option<i64>, Option<i64>)> {
        let read = |when: Option<When>| {
            let moment = when.map(|when| when.moment(shown.now, &shown.zone));
            moment.transpose()
        };
        let since = read(self.since).context("--since")?;
        let until = read(self.until).context("--until")?;
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            bail!("--since is not before --until: nothing lies between");
        }
        let millis = |moment: Option<Timestamp>| moment.map(Timestamp::as_millisecond);
        Ok((millis(since), millis(until)))
    }
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

    /// The same, always as a whole time.
    pub(super) fn whole(&self, timestamp: &str) -> String {
        let moment = timestamp.parse::<Timestamp>();
        moment.map_or_else(|_| timestamp.to_owned(), |moment| self.absolute(moment))
    }

    /// The same, with all that the record says of it, for whoever compares records.
    pub(super) fn exact(&self, timestamp: &str) -> String {
        match timestamp.parse::<Timestamp>() {
            Ok(moment) if self.zone != TimeZone::UTC => {
                let moment = moment.to_zoned_datetime(self.zone.clone());
                moment.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
            }
            _ => timestamp.to_owned(),
        }
    }

    pub(super) fn absolute(&self, moment: Timestamp) -> String {
        // Cut and never rounded up: what is shown, handed in as --since, takes the record in.
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
        assert_eq!(
            shown.of("2026-11-24T09:59:18.999Z"),
            "2026-11-24T10:59:18+01:00"
        );
    }
}

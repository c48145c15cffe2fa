//! Time zones by name.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// `None` is UTC.
#[derive(Clone)]
pub(super) struct Zone(Option<TimeZone>);

impl Zone {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        if matches!(name, "" | "UTC") {
            return Ok(Self(None));
        }
        if name == "Local" {
            return Err("a decision may not depend on the time zone of the machine".to_owned());
        }
        let found = DATABASE.get(name).ok();
        // Go wants each letter as it is.
        let found = found.filter(|zone| zone.iana_name() == Some(name));
        let unknown = || "unknown time zone".to_owned();
        found.map(|zone| Self(Some(zone))).ok_or_else(unknown)
    }

    /// Seconds east of UTC, and what the zone is called, at a time.
    pub(super) fn at(&self, seconds: i64) -> (i32, String) {
        let known = self.0.as_ref().zip(Timestamp::from_second(seconds).ok());
        let Some((zone, time)) = known else {
            return (0, "UTC".to_owned());
        };
        let info = zone.to_offset_info(time);
        (info.offset().seconds(), info.abbreviation().to_owned())
    }

    pub(super) fn offset(&self, seconds: i64) -> i32 {
        self.at(seconds).0
    }

    /// When the zone's clocks show it. Of two times it is the one that Go takes, which depends on the zone's side of UTC.
    pub(super) fn seconds_of(&self, local: i64) -> Option<i64> {
        let guessed = local.checked_sub(i64::from(self.offset(local)))?;
        local.checked_sub(i64::from(self.offset(guessed)))
    }
}

//! Moments as the server keeps them: some of its own are in no calendar (`-infinity`), and stand for records without a time.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::BytesMut;
use jiff::Timestamp;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Microseconds since 2000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// Nothing is behind it.
    pub(super) const LATEST: Self = Self(i64::MAX);

    /// Of milliseconds since 1970. What is in no year that has four digits is taken for the nearest that is.
    pub fn of_millis(ms: i64) -> Self {
        Self((ms.clamp(FIRST, LAST) - OFFSET) * 1000)
    }

    /// Of a record's time. What the server has no time for is without one.
    pub(super) fn of(ms: Option<i64>) -> Self {
        let ms = ms.filter(|ms| *ms >= EARLIEST);
        Self(ms.map_or(i64::MIN, |ms| (ms - OFFSET) * 1000))
    }

    /// Year and month, where the table has partitions for months.
    pub(super) fn month(self) -> Option<(i16, i8)> {
        let ms = self.0.checked_div(1000)?.checked_add(OFFSET)?;
        let time = Timestamp::from_millisecond(ms).ok()?;
        let date = jiff::tz::Offset::UTC.to_datetime(time).date();
        let has_months = (2000..2100).contains(&date.year());
        has_months.then(|| (date.year(), date.month()))
    }

    /// How long that is behind another one; nothing, where it is before it.
    pub(super) fn since(self, other: Self) -> Duration {
        let micros = self.0.saturating_sub(other.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    }

    /// Milliseconds since 1970; `None`: it is no time.
    pub fn millis(self) -> Option<i64> {
        let ms = self.0.div_euclid(1000).checked_add(OFFSET)?;
        (FIRST..=LAST).contains(&ms).then_some(ms)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.checked_add(OFFSET * 1000);
        match (self.0, micros.map(Timestamp::from_microsecond)) {
            (i64::MIN, _) => f.write_str(NONE),
            (i64::MAX, _) => f.write_str(NEVER),
            (_, Some(Ok(time))) => write!(f, "{time}"),
            // No gate writes such a row, and a page has to go on behind it.
            (micros, _) => write!(f, "{FAR}{micros}"),
        }
    }
}

impl FromStr for Moment {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            NONE => return Ok(Self(i64::MIN)),
            NEVER => return Ok(Self(i64::MAX)),
            _ => {}
        }
        if let Some(micros) = text.strip_prefix(FAR) {
            return micros.parse().map(Self).map_err(|_invalid| ());
        }
        let time: Timestamp = text.parse().map_err(|_invalid| ())?;
        Ok(Self(time.as_microsecond() - OFFSET * 1000))
    }
}

impl<'a> FromSql<'a> for Moment {
    fn from_sql(_type: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}

impl ToSql for Moment {
    fn to_sql(
        &self,
        _type: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

/// What stands for no time.
const NONE: &str = "none";
/// What is behind every time.
const NEVER: &str = "infinity";
/// Before a moment that is in no calendar.
const FAR: char = '@';
/// Milliseconds from 1970 to 2000.
const OFFSET: i64 = 946_684_800_000;
/// The server's first day, 24 November 4714 BC.
const EARLIEST: i64 = -210_866_803_200_000;
/// The years 1 and 9999.
const FIRST: i64 = -62_135_596_800_000;
const LAST: i64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_shown() {
        for text in [
            "2026-11-24T10:20:00.123Z",
            "1969-12-31T23:59:59.999999Z",
            "-000400-11-24T10:20:00Z",
            "none",
            "infinity",
            "@9223372036854775806",
        ] {
            assert_eq!(text.parse::<Moment>().unwrap().to_string(), text);
        }
        for micros in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
            let moment = Moment(micros);
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
        assert_eq!(
            Moment::of_millis(1_795_512_600_123).to_string(),
            "2026-11-24T09:30:00.123Z"
        );
        assert_eq!(Moment::of_millis(-1).millis(), Some(-1));
        assert_eq!(Moment(i64::MIN).millis(), None);
        assert_eq!(Moment::of_millis(i64::MAX).millis(), Some(LAST));
        "soon".parse::<Moment>().unwrap_err();
    }
}

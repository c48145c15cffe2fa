//! The calendar: days and seconds, without a zone.

pub(super) const NANOSECONDS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// A date and a time of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    /// From 1 to 12.
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    /// Since 1970.
    days: i64,
}

impl Civil {
    /// By seconds since 1970 on a clock on the wall.
    pub(super) fn new(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // Years of 400, 100, 4 and 1 begin in March, so that a leap day is the last one.
        let since = days + 719_468;
        let (era, day_of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            days,
        }
    }

    /// From Sunday, 0.
    pub(super) fn weekday(&self) -> usize {
        usize::try_from((self.days + 4).rem_euclid(7)).unwrap_or(0)
    }

    /// From 1.
    pub(super) fn day_of_year(&self) -> i64 {
        self.days - days_until(self.year, 1) + 1
    }

    /// Seconds since 1970 on a clock on the wall, so many years, months and days later.
    pub(super) fn moved(&self, years: i64, months: i64, days: i64) -> Option<i64> {
        let month = self.month.checked_add(months)?;
        let year = self.year.checked_add(years)?;
        let day = self.day.checked_add(days)?;
        let time = self.hour * 3_600 + self.minute * 60 + self.second;
        seconds_of(year, month, day, time)
    }
}

/// Seconds since 1970; months and days that there are not run over.
pub(super) fn seconds_of(year: i64, month: i64, day: i64, time: i64) -> Option<i64> {
    let months = month.checked_sub(1)?;
    let year = year.checked_add(months.div_euclid(12))?;
    // What is farther away has no nanoseconds of 64 bits, whatever the days.
    let far = 10_000_000;
    if year.unsigned_abs() > far {
        return None;
    }
    let days = days_until(year, months.rem_euclid(12) + 1);
    let days = days.checked_add(day)?.checked_sub(1)?;
    days.checked_mul(DAY)?.checked_add(time)
}

/// Days from 1970 until a month begins.
fn days_until(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

pub(super) fn days_in(year: i64, month: i64) -> i64 {
    let (next_year, next) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    days_until(next_year, next) - days_until(year, month)
}

pub(super) fn is_leap(year: i64) -> bool {
    days_in(year, 2) == 29
}

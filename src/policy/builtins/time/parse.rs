//! Reading a time by a layout, as leniently as Go's `time.Parse`.

use super::calendar::{NANOSECONDS, days_in, is_leap, seconds_of};
use super::layout::{Chunk, MONTHS, Offset, WEEKDAYS};

/// Nanoseconds since 1970.
pub(super) fn nanoseconds(layout: &str, value: &str) -> Result<i64, String> {
    let mut parts = Parts::default();
    let read = parts.read(layout, value.as_bytes());
    let read = read.and_then(|()| parts.nanoseconds());
    let nanoseconds = read.ok_or_else(|| "it is no time as the layout has it".to_owned())?;
    i64::try_from(nanoseconds).map_err(|_large| "time outside of valid range".to_owned())
}

/// What has been read.
#[derive(Default)]
struct Parts {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanoseconds: i64,
    /// Whether it is after noon, if that was said.
    is_afternoon: Option<bool>,
    is_utc: bool,
    /// Seconds east of UTC.
    offset: Option<i64>,
}

impl Parts {
    /// `None` where the text does not fit.
    fn read(&mut self, layout: &str, value: &[u8]) -> Option<()> {
        let (mut layout, mut value) = (layout, value);
        loop {
            let (before, chunk, after) = Chunk::next(layout);
            value = skipped(value, before.as_bytes())?;
            let Some(chunk) = chunk else {
                return value.is_empty().then_some(());
            };
            value = match chunk {
                Chunk::ZoneName => self.zone_name(value)?,
                Chunk::Offset(written) => self.offset(written, value)?,
                Chunk::Fraction {
                    digits, is_trimmed, ..
                } => self.fraction(digits, is_trimmed, value)?,
                Chunk::Second | Chunk::ZeroSecond => {
                    let rest;
                    (self.second, rest) = number(value, chunk == Chunk::ZeroSecond)?;
                    within(self.second, 0, 59)?;
                    self.fraction_of_second(after, rest)?
                }
                Chunk::Hour | Chunk::Hour12 | Chunk::ZeroHour12 => {
                    let rest;
                    (self.hour, rest) = number(value, chunk == Chunk::ZeroHour12)?;
                    within(self.hour, 0, if chunk == Chunk::Hour { 23 } else { 12 })?;
                    rest
                }
                Chunk::Minute | Chunk::ZeroMinute => {
                    let rest;
                    (self.minute, rest) = number(value, chunk == Chunk::ZeroMinute)?;
                    within(self.minute, 0, 59)?;
                    rest
                }
                Chunk::Half { is_small } => {
                    let (half, rest) = value.split_at_checked(2)?;
                    self.is_afternoon = Some(match (half, is_small) {
                        (b"PM", false) | (b"pm", true) => true,
                        (b"AM", false) | (b"am", true) => false,
                        _ => return None,
                    });
                    rest
                }
                date => self.date(date, value)?,
            };
            layout = after;
        }
    }

    fn date<'a>(&mut self, chunk: Chunk, value: &'a [u8]) -> Option<&'a [u8]> {
        match chunk {
            Chunk::LongYear => {
                let (digits, rest) = value.split_at_checked(4)?;
                self.year = decimal(digits)?;
                Some(rest)
            }
            Chunk::Year => {
                let (digits, rest) = value.split_at_checked(2)?;
                let year = signed(digits)?;
                self.year = year + if year >= 69 { 1900 } else { 2000 };
                Some(rest)
            }
            Chunk::LongMonth | Chunk::Month => {
                let (place, rest) = name(value, &MONTHS, chunk == Chunk::LongMonth)?;
                self.month = Some(place + 1);
                Some(rest)
            }
            Chunk::NumberMonth | Chunk::ZeroMonth => {
                let (month, rest) = number(value, chunk == Chunk::ZeroMonth)?;
                within(month, 1, 12)?;
                self.month = Some(month);
                Some(rest)
            }
            Chunk::LongWeekday | Chunk::Weekday => {
                name(value, &WEEKDAYS, chunk == Chunk::LongWeekday).map(|(_, rest)| rest)
            }
            Chunk::Day | Chunk::SpaceDay | Chunk::ZeroDay => {
                let value = match value.strip_prefix(b" ") {
                    Some(rest) if chunk == Chunk::SpaceDay => rest,
                    _ => value,
                };
                let (day, rest) = number(value, chunk == Chunk::ZeroDay)?;
                self.day = Some(day);
                Some(rest)
            }
            Chunk::SpaceYearDay | Chunk::ZeroYearDay => {
                let mut value = value;
                for _ in 0..2 {
                    value = match value.strip_prefix(b" ") {
                        Some(rest) if chunk == Chunk::SpaceYearDay => rest,
                        _ => value,
                    };
                }
                let count = leading_digits(value).min(3);
                let is_good = count == 3 || (count > 0 && chunk == Chunk::SpaceYearDay);
                let (digits, rest) = value.split_at_checked(count).filter(|_| is_good)?;
                self.day_of_year = decimal(digits);
                Some(rest)
            }
            _ => None,
        }
    }

    /// A fraction in the text that the layout does not have.
    fn fraction_of_second<'a>(&mut self, layout: &str, value: &'a [u8]) -> Option<&'a [u8]> {
        let has_fraction = matches!(value, [b'.' | b',', digit, ..] if digit.is_ascii_digit());
        if !has_fraction || matches!(Chunk::next(layout).1, Some(Chunk::Fraction { .. })) {
            return Some(value);
        }
        let count = leading_digits(value.get(1..)?);
        self.fraction(count, false, value)
    }

    fn fraction<'a>(
        &mut self,
        digits: usize,
        is_trimmed: bool,
        value: &'a [u8],
    ) -> Option<&'a [u8]> {
        let mut count = digits;
        if is_trimmed {
            if !matches!(value, [b'.' | b',', digit, ..] if digit.is_ascii_digit()) {
                return Some(value);
            }
            count = leading_digits(value.get(1..)?);
        }
        let (fraction, rest) = value.split_at_checked(count + 1)?;
        let (b'.' | b',') = fraction.first()? else {
            return None;
        };
        let kept = fraction.get(1..fraction.len().min(10))?;
        let value = signed(kept).filter(|value| *value >= 0)?;
        self.nanoseconds = (kept.len()..9).fold(value, |value, _| value * 10);
        Some(rest)
    }

    fn offset<'a>(&mut self, written: Offset, value: &'a [u8]) -> Option<&'a [u8]> {
        if written.has_z
            && let Some(rest) = value.strip_prefix(b"Z")
        {
            self.is_utc = true;
            return Some(rest);
        }
        let (sign, mut rest) = value.split_first()?;
        let mut seconds = 0;
        let units = [(24, 3_600), (60, 60), (60, 1)];
        for (place, (most, unit)) in units.into_iter().enumerate().take(written.parts) {
            if written.has_colons && place > 0 {
                rest = rest.strip_prefix(b":")?;
            }
            let part;
            (part, rest) = number(rest, true)?;
            within(part, 0, most)?;
            seconds += part * unit;
        }
        self.offset = Some(match sign {
            b'+' => seconds,
            b'-' => -seconds,
            _ => return None,
        });
        Some(rest)
    }

    /// The name of a zone says nothing about the time, if it is not UTC.
    fn zone_name<'a>(&mut self, value: &'a [u8]) -> Option<&'a [u8]> {
        if let Some(rest) = value.strip_prefix(b"UTC") {
            self.is_utc = true;
            return Some(rest);
        }
        value.get(zone_name_length(value)?..)
    }

    fn nanoseconds(mut self) -> Option<i128> {
        match self.is_afternoon {
            Some(true) if self.hour < 12 => self.hour += 12,
            Some(false) if self.hour == 12 => self.hour = 0,
            _ => {}
        }
        if let Some(day_of_year) = self.day_of_year {
            self.set_day_of_year(day_of_year)?;
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        within(day, 1, days_in(self.year, month))?;
        let time = self.hour * 3_600 + self.minute * 60 + self.second;
        let seconds = seconds_of(self.year, month, day, time)?;
        // Go takes the one distance for none at all.
        let offset = self.offset.filter(|offset| *offset != -1 && !self.is_utc);
        let seconds = i128::from(seconds - offset.unwrap_or(0));
        Some(seconds * i128::from(NANOSECONDS) + i128::from(self.nanoseconds))
    }

    fn set_day_of_year(&mut self, day_of_year: i64) -> Option<()> {
        within(day_of_year, 1, 365 + i64::from(is_leap(self.year)))?;
        let (mut month, mut day) = (1, day_of_year);
        while day > days_in(self.year, month) {
            day -= days_in(self.year, month);
            month += 1;
        }
        let agrees = |known: Option<i64>, found: i64| known.is_none_or(|known| known == found);
        if !agrees(self.month, month) || !agrees(self.day, day) {
            return None;
        }
        (self.month, self.day) = (Some(month), Some(day));
        Some(())
    }
}

fn within(number: i64, least: i64, most: i64) -> Option<()> {
    (least..=most).contains(&number).then_some(())
}

/// What follows a text; any number of spaces stands for any number.
fn skipped<'a>(mut value: &'a [u8], mut before: &[u8]) -> Option<&'a [u8]> {
    while let [first, rest @ ..] = before {
        if *first == b' ' {
            if value.first().is_some_and(|first| *first != b' ') {
                return None;
            }
            before = without_spaces(before);
            value = without_spaces(value);
        } else {
            value = value.strip_prefix(std::slice::from_ref(first))?;
            before = rest;
        }
    }
    Some(value)
}

fn without_spaces(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b" ") {
        text = rest;
    }
    text
}

fn leading_digits(value: &[u8]) -> usize {
    value.iter().take_while(|c| c.is_ascii_digit()).count()
}

/// One or two digits; two if they have to be.
fn number(value: &[u8], is_fixed: bool) -> Option<(i64, &[u8])> {
    let count = leading_digits(value).min(2);
    if count == 0 || (is_fixed && count < 2) {
        return None;
    }
    let (digits, rest) = value.split_at_checked(count)?;
    Some((decimal(digits)?, rest))
}

fn decimal(digits: &[u8]) -> Option<i64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn signed(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => decimal(digits).map(|number| -number),
        [b'+', digits @ ..] | digits => decimal(digits),
    }
}

/// A month or a day of the week, in letters of any case.
fn name<'a>(value: &'a [u8], names: &[&str], is_long: bool) -> Option<(i64, &'a [u8])> {
    for (name, place) in names.iter().zip(0..) {
        let length = if is_long { name.len() } else { 3 };
        let wanted = name.as_bytes().get(..length)?;
        if let Some((found, rest)) = value.split_at_checked(length)
            && found.eq_ignore_ascii_case(wanted)
        {
            return Some((place, rest));
        }
    }
    None
}

/// The length of what looks like the name of a zone.
fn zone_name_length(value: &[u8]) -> Option<usize> {
    if value.len() < 3 {
        return None;
    }
    if value.starts_with(b"ChST") || value.starts_with(b"MeST") {
        return Some(4);
    }
    if let Some(rest) = value.strip_prefix(b"GMT") {
        return Some(3 + hours_length(rest).unwrap_or(0));
    }
    if let [b'+' | b'-', ..] = value {
        return hours_length(value);
    }
    let capitals = value.iter().take(6).take_while(|c| c.is_ascii_uppercase());
    match (capitals.count(), value) {
        (5, [_, _, _, _, b'T', ..]) => Some(5),
        (4, [_, _, _, b'T', ..] | [b'W', b'I', b'T', b'A', ..]) => Some(4),
        (3, _) => Some(3),
        _ => None,
    }
}

/// A sign and at most 23 hours.
fn hours_length(value: &[u8]) -> Option<usize> {
    let [b'+' | b'-', rest @ ..] = value else {
        return None;
    };
    let count = leading_digits(rest);
    let hours: u64 = std::str::from_utf8(rest.get(..count)?).ok()?.parse().ok()?;
    (hours <= 23).then_some(count + 1)
}

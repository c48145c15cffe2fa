//! Go's layouts: a time is written as the second of January 2006, 15:04:05, seven hours west, would be.

use std::fmt::Write as _;

use super::calendar::Civil;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A part of a time, as it is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Chunk {
    LongMonth,
    Month,
    NumberMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    /// With a space before one digit.
    SpaceDay,
    ZeroDay,
    SpaceYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    /// `PM`, or in small letters.
    Half {
        is_small: bool,
    },
    ZoneName,
    Offset(Offset),
    /// So many digits after a point or a comma; `is_trimmed`: without zeros at the end.
    Fraction {
        digits: usize,
        is_trimmed: bool,
        point: char,
    },
}

/// How the distance from UTC is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Offset {
    /// `Z` for UTC itself.
    pub(super) has_z: bool,
    /// Hours; with minutes; with seconds.
    pub(super) parts: usize,
    pub(super) has_colons: bool,
}

/// The texts that are parts, without those that depend on what follows; the first that matches is meant.
const PLAIN: [(&str, Chunk); 34] = {
    use Chunk::{
        Day, Half, Hour, Hour12, LongMonth, LongWeekday, LongYear, Minute, NumberMonth, Second,
        SpaceDay, SpaceYearDay, Year, ZeroDay, ZeroHour12, ZeroMinute, ZeroMonth, ZeroSecond,
        ZeroYearDay, ZoneName,
    };
    [
        ("January", LongMonth),
        ("Monday", LongWeekday),
        ("MST", ZoneName),
        ("01", ZeroMonth),
        ("02", ZeroDay),
        ("03", ZeroHour12),
        ("04", ZeroMinute),
        ("05", ZeroSecond),
        ("06", Year),
        ("002", ZeroYearDay),
        ("15", Hour),
        ("1", NumberMonth),
        ("2006", LongYear),
        ("2", Day),
        ("_2006", LongYear),
        ("_2", SpaceDay),
        ("__2", SpaceYearDay),
        ("3", Hour12),
        ("4", Minute),
        ("5", Second),
        ("PM", Half { is_small: false }),
        ("pm", Half { is_small: true }),
        ("-070000", offset(false, 3, false)),
        ("-07:00:00", offset(false, 3, true)),
        ("-0700", offset(false, 2, false)),
        ("-07:00", offset(false, 2, true)),
        ("-07", offset(false, 1, false)),
        ("Z070000", offset(true, 3, false)),
        ("Z07:00:00", offset(true, 3, true)),
        ("Z0700", offset(true, 2, false)),
        ("Z07:00", offset(true, 2, true)),
        ("Z07", offset(true, 1, false)),
        ("Jan", Chunk::Month),
        ("Mon", Chunk::Weekday),
    ]
};

const fn offset(has_z: bool, parts: usize, has_colons: bool) -> Chunk {
    Chunk::Offset(Offset {
        has_z,
        parts,
        has_colons,
    })
}

impl Chunk {
    /// What stands before the first part of a layout, that part, and what follows it.
    pub(super) fn next(layout: &str) -> (&str, Option<Self>, &str) {
        for (place, first) in layout.char_indices() {
            let (before, rest) = layout.split_at(place);
            if !"JM012_345PpZ-.,".contains(first) {
                continue;
            }
            if let Some((chunk, length)) = Self::at_start(rest) {
                // The line is not a part of the year.
                let line = usize::from(rest.starts_with("_2006"));
                let before = layout.get(..place + line).unwrap_or(before);
                return (before, Some(chunk), rest.get(length..).unwrap_or(""));
            }
        }
        (layout, None, "")
    }

    fn at_start(text: &str) -> Option<(Self, usize)> {
        if text.starts_with(['.', ',']) {
            return Self::fraction(text);
        }
        let found = PLAIN.iter().find(|(name, chunk)| {
            let rest = text.strip_prefix(name);
            let is_short = matches!(chunk, Self::Month | Self::Weekday);
            rest.is_some_and(|rest| {
                !is_short || !rest.starts_with(|c: char| c.is_ascii_lowercase())
            })
        });
        found.map(|(name, chunk)| (*chunk, name.len()))
    }

    /// Nines or zeros after a point, with no further digit.
    fn fraction(text: &str) -> Option<(Self, usize)> {
        let mut characters = text.chars();
        let point = characters.next()?;
        let digit = characters.next().filter(|c| matches!(c, '0' | '9'))?;
        let digits = 1 + characters.clone().take_while(|c| *c == digit).count();
        let next = characters.nth(digits - 1);
        if next.is_some_and(|next| next.is_ascii_digit()) {
            return None;
        }
        let chunk = Self::Fraction {
            digits,
            is_trimmed: digit == '9',
            point,
        };
        Some((chunk, digits + 1))
    }
}

/// A time as the layout has it; `offset` seconds east of UTC, in a zone of that name.
pub(super) fn format(
    layout: &str,
    civil: &Civil,
    nanoseconds: i64,
    offset: i32,
    zone: &str,
) -> String {
    let mut out = String::new();
    let mut rest = layout;
    loop {
        let (before, chunk, after) = Chunk::next(rest);
        out.push_str(before);
        let Some(chunk) = chunk else {
            return out;
        };
        match chunk {
            Chunk::ZoneName => out.push_str(zone),
            Chunk::Offset(written) => push_offset(&mut out, written, offset),
            Chunk::Fraction {
                digits,
                is_trimmed,
                point,
            } => push_fraction(&mut out, nanoseconds, digits, is_trimmed, point),
            other => out.push_str(&of_civil(other, civil)),
        }
        rest = after;
    }
}

fn of_civil(chunk: Chunk, civil: &Civil) -> String {
    let month = usize::try_from(civil.month - 1).ok();
    let month = month.and_then(|month| MONTHS.get(month)).unwrap_or(&"");
    let weekday = WEEKDAYS.get(civil.weekday()).unwrap_or(&"");
    let short = |name: &str| name.chars().take(3).collect::<String>();
    let hour12 = (civil.hour + 11) % 12 + 1;
    let Civil {
        year,
        day,
        hour,
        minute,
        second,
        ..
    } = civil;
    match chunk {
        Chunk::LongMonth => (*month).to_owned(),
        Chunk::Month => short(month),
        Chunk::NumberMonth => format!("{}", civil.month),
        Chunk::ZeroMonth => format!("{:02}", civil.month),
        Chunk::LongWeekday => (*weekday).to_owned(),
        Chunk::Weekday => short(weekday),
        Chunk::Day => format!("{day}"),
        Chunk::SpaceDay => format!("{day:2}"),
        Chunk::ZeroDay => format!("{day:02}"),
        Chunk::SpaceYearDay => format!("{:3}", civil.day_of_year()),
        Chunk::ZeroYearDay => format!("{:03}", civil.day_of_year()),
        Chunk::Hour => format!("{hour:02}"),
        Chunk::Hour12 => format!("{hour12}"),
        Chunk::ZeroHour12 => format!("{hour12:02}"),
        Chunk::Minute => format!("{minute}"),
        Chunk::ZeroMinute => format!("{minute:02}"),
        Chunk::Second => format!("{second}"),
        Chunk::ZeroSecond => format!("{second:02}"),
        Chunk::LongYear => format!("{year:04}"),
        Chunk::Year => format!("{:02}", year % 100),
        Chunk::Half { is_small } => {
            let half = if *hour >= 12 { "PM" } else { "AM" };
            if is_small {
                half.to_ascii_lowercase()
            } else {
                half.to_owned()
            }
        }
        Chunk::ZoneName | Chunk::Offset(_) | Chunk::Fraction { .. } => String::new(),
    }
}

fn push_offset(out: &mut String, written: Offset, offset: i32) {
    if written.has_z && offset == 0 {
        out.push('Z');
        return;
    }
    let minutes = offset / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let colon = if written.has_colons { ":" } else { "" };
    let minutes = minutes.abs();
    let mut text = format!("{sign}{:02}", minutes / 60);
    if written.parts > 1 {
        write!(text, "{colon}{:02}", minutes % 60).expect("a text takes it");
    }
    if written.parts > 2 {
        write!(text, "{colon}{:02}", offset.abs() % 60).expect("a text takes it");
    }
    out.push_str(&text);
}

fn push_fraction(out: &mut String, nanoseconds: i64, digits: usize, is_trimmed: bool, point: char) {
    if is_trimmed && nanoseconds == 0 {
        return;
    }
    let all = format!("{nanoseconds:09}");
    let kept = all.get(..digits.min(9)).unwrap_or(&all);
    let kept = if is_trimmed {
        kept.trim_end_matches('0')
    } else {
        kept
    };
    if is_trimmed && kept.is_empty() {
        return;
    }
    out.push(point);
    out.push_str(kept);
}

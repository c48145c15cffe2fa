//! Times, as OPA 1.22 has them (`topdown/time.go`): nanoseconds since 1970, Go's layouts and Go's calendar.
//!
//! Time zones come from the database in this program, not from the machine's: the same request is judged the same
//! everywhere. So `Local` is none.

mod calendar;
mod duration;
mod layout;
mod parse;
#[cfg(test)]
mod tests;
mod zone;

use num_traits::ToPrimitive;
use regorus::Value;

use super::arguments::{bounded, kind, whole};
use super::{Answer, Arguments, Own};
use calendar::{Civil, NANOSECONDS};
use zone::Zone;

pub(super) const OWN: &[Own] = &[
    Own::new("time.add_date", 4, add_date),
    Own::new("time.clock", 1, |given| {
        let civil = Moment::given(given, 0)?.civil();
        Ok(numbers([civil.hour, civil.minute, civil.second]))
    }),
    Own::new("time.date", 1, |given| {
        let civil = Moment::given(given, 0)?.civil();
        Ok(numbers([civil.year, civil.month, civil.day]))
    }),
    Own::new("time.diff", 2, difference),
    Own::new("time.format", 1, format),
    Own::new("time.parse_duration_ns", 1, |given| {
        Ok(duration::nanoseconds(given.text(0)?)?.into())
    }),
    Own::new("time.parse_ns", 2, |given| {
        parse::nanoseconds(known_layout(given.text(0)?), given.text(1)?).map(Value::from)
    }),
    Own::new("time.parse_rfc3339_ns", 1, |given| {
        parse::nanoseconds(RFC3339, given.text(0)?).map(Value::from)
    }),
    Own::new("time.weekday", 1, |given| {
        let weekday = Moment::given(given, 0)?.civil().weekday();
        Ok(layout::WEEKDAYS.get(weekday).copied().unwrap_or("").into())
    }),
];

const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

/// A layout, or what stands for one.
fn known_layout(layout: &str) -> &str {
    match layout {
        "ANSIC" => "Mon Jan _2 15:04:05 2006",
        "UnixDate" => "Mon Jan _2 15:04:05 MST 2006",
        "RubyDate" => "Mon Jan 02 15:04:05 -0700 2006",
        "RFC822" => "02 Jan 06 15:04 MST",
        "RFC822Z" => "02 Jan 06 15:04 -0700",
        "RFC850" => "Monday, 02-Jan-06 15:04:05 MST",
        "RFC1123" => "Mon, 02 Jan 2006 15:04:05 MST",
        "RFC1123Z" => "Mon, 02 Jan 2006 15:04:05 -0700",
        "RFC3339" => RFC3339,
        "RFC3339Nano" => "2006-01-02T15:04:05.999999999Z07:00",
        other => other,
    }
}

/// A time as it is given: a number, or a list of one with a zone and a layout.
struct Moment<'a> {
    nanoseconds: i64,
    zone: Zone,
    layout: &'a str,
}

impl<'a> Moment<'a> {
    fn given(given: Arguments<'a>, place: usize) -> Result<Self, String> {
        let value = given.any(place)?;
        let (number, zone, layout) = match value {
            Value::Array(members) => (
                members.get(0),
                members.get(1).map(text).transpose()?,
                members.get(2).map(text).transpose()?,
            ),
            other => (Some(other), None, None),
        };
        let number = number.filter(|number| matches!(number, Value::Number(_)));
        let number = number.ok_or_else(|| {
            format!(
                "operand 1 must be either number (ns) or [number (ns), string (tz)] but got {}",
                kind(value)
            )
        })?;
        let nanoseconds = whole(number).and_then(|whole| whole.to_i64());
        Ok(Self {
            nanoseconds: nanoseconds.ok_or("timestamp too big")?,
            zone: Zone::named(zone.unwrap_or(""))?,
            layout: layout.filter(|it| !it.is_empty()).unwrap_or("RFC3339Nano"),
        })
    }

    fn seconds(&self) -> i64 {
        self.nanoseconds.div_euclid(NANOSECONDS)
    }

    fn civil(&self) -> Civil {
        let offset = self.zone.offset(self.seconds());
        Civil::new(self.seconds() + i64::from(offset))
    }
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("operand 1 must be string but got {}", kind(other))),
    }
}

fn numbers<const N: usize>(numbers: [i64; N]) -> Value {
    numbers.map(Value::from).to_vec().into()
}

/// Days that there are not run over into the next month.
fn add_date(given: Arguments<'_>) -> Answer {
    let moment = Moment::given(given, 0)?;
    let (years, months, days) = (given.integer(1)?, given.integer(2)?, given.integer(3)?);
    let civil = moment.civil();
    let outside = || "time outside of valid range".to_owned();
    let local = civil.moved(years, months, days).ok_or_else(outside)?;
    let seconds = moment.zone.seconds_of(local).ok_or_else(outside)?;
    let fraction = moment.nanoseconds.rem_euclid(NANOSECONDS);
    let nanoseconds = i128::from(seconds) * i128::from(NANOSECONDS) + i128::from(fraction);
    let nanoseconds = i64::try_from(nanoseconds).map_err(|_large| outside())?;
    Ok(nanoseconds.into())
}

/// Years, months, days, hours, minutes and seconds, in the first one's zone.
fn difference(given: Arguments<'_>) -> Answer {
    let (first, second) = (Moment::given(given, 0)?, Moment::given(given, 1)?);
    let second = Moment {
        zone: first.zone.clone(),
        ..second
    };
    let (from, to) = if first.nanoseconds > second.nanoseconds {
        (second.civil(), first.civil())
    } else {
        (first.civil(), second.civil())
    };
    let mut parts = [
        to.year - from.year,
        to.month - from.month,
        to.day - from.day,
        to.hour - from.hour,
        to.minute - from.minute,
        to.second - from.second,
    ];
    let in_month = calendar::days_in(from.year, from.month);
    let full = [0, 12, in_month, 24, 60, 60];
    for place in (1..parts.len()).rev() {
        let (before, rest) = parts.split_at_mut(place);
        if let (Some(larger), Some(part), Some(full)) =
            (before.last_mut(), rest.first_mut(), full.get(place))
            && *part < 0
        {
            *part += full;
            *larger -= 1;
        }
    }
    Ok(numbers(parts))
}

fn format(given: Arguments<'_>) -> Answer {
    let moment = Moment::given(given, 0)?;
    let (offset, name) = moment.zone.at(moment.seconds());
    let civil = moment.civil();
    let fraction = moment.nanoseconds.rem_euclid(NANOSECONDS);
    let layout = known_layout(moment.layout);
    bounded(layout.len().saturating_mul(10))?;
    Ok(layout::format(layout, &civil, fraction, offset, &name).into())
}

/// Why a text that stands in a policy can never be used at its place, if so: `member` is its place in a list.
pub(in crate::policy) fn unusable(
    builtin: &str,
    place: usize,
    member: Option<usize>,
    text: &str,
) -> Option<String> {
    let layout = || {
        let is_known = layout::Chunk::next(known_layout(text)).1.is_some();
        let missing = "it has no part of a time: a layout is written 2006-01-02 15:04:05";
        (!is_known).then(|| missing.to_owned())
    };
    let reason = match (builtin, place, member) {
        ("time.parse_duration_ns", 0, None) => duration::nanoseconds(text).err(),
        ("time.parse_rfc3339_ns", 0, None) => parse::nanoseconds(RFC3339, text).err(),
        ("time.parse_ns", 0, None) | ("time.format", 0, Some(2)) => layout(),
        (
            "time.add_date" | "time.clock" | "time.date" | "time.diff" | "time.format"
            | "time.weekday",
            _,
            Some(1),
        ) => Zone::named(text).err(),
        _ => None,
    };
    reason.map(|reason| format!("{text:?}: {reason}"))
}

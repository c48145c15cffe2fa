//! A time in equal parts, with what stands below it.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{HEIGHT, WIDTH};
use crate::console::row::time;
use crate::value::rfc3339_millis;

/// A time in equal parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::console) struct Axis {
    from: i64,
    part: i64,
    parts: i64,
}

impl Axis {
    /// So many parts, each so many milliseconds long. The last one has this moment in it: it is the only one that is not
    /// over, and none holds more than its own time.
    pub(in crate::console) fn until(moment: i64, part: i64, parts: i64) -> Self {
        let (part, parts) = (part.max(1), parts.max(1));
        let end = (moment.div_euclid(part).saturating_add(1)).saturating_mul(part);
        Self {
            from: end.saturating_sub(part.saturating_mul(parts)),
            part,
            parts,
        }
    }

    /// The same without its beginning, where there is nothing before this moment; so many parts stay at least. Each tick
    /// stands at the beginning of a part.
    pub(in crate::console) fn beginning(self, moment: i64, least: i64) -> Self {
        let empty = moment.saturating_sub(self.from).div_euclid(self.part);
        let empty = empty.clamp(0, self.parts.saturating_sub(least).max(0));
        let left_out = empty / TICKS * TICKS;
        Self {
            from: self.from.saturating_add(left_out.saturating_mul(self.part)),
            parts: self.parts - left_out,
            ..self
        }
    }

    pub(in crate::console) fn from(&self) -> i64 {
        self.from
    }

    /// Of a part, in milliseconds.
    pub(in crate::console) fn part(&self) -> i64 {
        self.part
    }

    pub(super) fn parts(&self) -> usize {
        usize::try_from(self.parts).unwrap_or_default()
    }

    /// In which part a moment is, if it is in one.
    pub(super) fn at(&self, moment: i64) -> Option<usize> {
        let at = moment.saturating_sub(self.from).div_euclid(self.part);
        usize::try_from(at).ok().filter(|at| *at < self.parts())
    }

    /// How wide its picture is.
    pub(super) fn wide(&self) -> u64 {
        WIDTH.saturating_mul(self.parts.unsigned_abs())
    }

    /// When a part begins.
    pub(super) fn begins(&self, at: u64) -> String {
        let at = i64::try_from(at).unwrap_or_default();
        written(self.from.saturating_add(at.saturating_mul(self.part)))
    }

    /// The same for people.
    pub(super) fn when(&self, at: u64) -> String {
        let text = self.begins(at);
        let text = text.get(..19).unwrap_or(&text).replace('T', " ");
        format!("{text} UTC")
    }

    /// The same in the zone of whoever looks on.
    pub(super) fn time(&self, at: u64) -> Markup {
        time(&self.begins(at))
    }

    pub(super) fn long(&self) -> String {
        match self.part / 60_000 {
            0 => format!("{} seconds", self.part / 1_000),
            1 => "a minute".to_owned(),
            minutes @ 2..120 => format!("{minutes} minutes"),
            minutes => format!("{} hours", minutes / 60),
        }
    }

    /// The line on which all stands, and one for each tick.
    pub(super) fn lines(&self) -> Markup {
        let (wide, ticks) = (self.wide(), TICKS.unsigned_abs());
        html! {
            line x1="0" x2=(wide) y1=(HEIGHT) y2=(HEIGHT) {}
            @for tick in 0..=ticks {
                @let x = wide * tick / ticks;
                line x1=(x) x2=(x) y1="0" y2=(HEIGHT) {}
            }
        }
    }

    /// What the ticks stand for: the last one, when the last part is over.
    pub(super) fn ticks(&self) -> Markup {
        let long = self.part.saturating_mul(self.parts);
        let (form, shown) = match long {
            TWO_DAYS.. => ("day", 5..10),
            _ if self.part < 60_000 => ("seconds", 11..19),
            _ => ("clock", 11..16),
        };
        html! {
            div.axis.ticks aria-hidden="true" {
                @for tick in 0..=TICKS {
                    @let at = written(self.from.saturating_add(long / TICKS * tick));
                    @let text = at.get(shown.clone()).unwrap_or_default();
                    time datetime=(at) data-form=(form) data-zone[tick == TICKS] {
                        (text) @if tick == TICKS { " UTC" }
                    }
                }
            }
        }
    }
}

fn written(moment: i64) -> String {
    let moment = Timestamp::from_millisecond(moment);
    moment.map(rfc3339_millis).unwrap_or_default()
}

/// In so many parts the ticks divide it.
const TICKS: i64 = 4;
const TWO_DAYS: i64 = 48 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_is_the_one_that_is_not_over() {
        for now in [59_999, 60_000, 60_001, 119_999] {
            let axis = Axis::until(now, 60_000, 60);
            assert_eq!(axis.at(now), Some(59), "{now}");
            assert_eq!(axis.at(axis.from), Some(0));
            assert_eq!(axis.at(axis.from - 1), None);
            assert_eq!(axis.at(axis.from + 60 * 60_000), None);
        }
    }

    #[test]
    fn an_axis_begins_with_what_is_there_and_keeps_its_parts() {
        let axis = Axis::until(1_000 * 60_000, 60_000, 60);
        let began = |minute: i64| axis.beginning(minute * 60_000, 20);
        assert_eq!(began(0), axis);
        assert_eq!(began(944), axis);
        assert_eq!(began(951).parts, 52);
        assert_eq!(began(951).from, (949) * 60_000);
        assert_eq!(began(999).parts, 20);
        assert_eq!(began(5_000).parts, 20);
        assert_eq!(began(999).at(1_000 * 60_000), Some(19));
    }

    #[test]
    fn ticks_say_when_their_parts_begin() {
        let ticks = |part, parts| {
            Axis::until(1_000_000_000_000, part, parts)
                .ticks()
                .into_string()
        };
        let hour = ticks(60_000, 60);
        for text in [">00:47<", ">01:02<", ">01:17<", ">01:32<", ">01:47 UTC<"] {
            assert!(hour.contains(text), "{hour}");
        }
        assert!(
            ticks(15_000, 60).contains(">01:39:15<"),
            "{}",
            ticks(15_000, 60)
        );
        assert!(
            ticks(12 * 3_600_000, 60).contains(">09-09 UTC<"),
            "{}",
            ticks(12 * 3_600_000, 60)
        );
    }
}

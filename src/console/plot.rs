//! Decisions and latencies over time, as pictures that are made here: no script is needed to see them.

mod latency;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::audit::index::Sum;
use crate::value::rfc3339_millis;

pub(super) use latency::Latencies;

/// A time in equal parts.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    from: i64,
    part: i64,
    parts: usize,
}

/// Allowed and denied in equal parts of a time.
pub(super) struct Plot {
    axis: Axis,
    parts: Vec<(u64, u64)>,
}

impl Axis {
    /// From one moment until another, in milliseconds, in parts of so long or a multiple of it: what is counted is counted
    /// by that.
    pub(super) fn of(from: i64, until: i64, parts: usize, counted: i64) -> Self {
        let count = i64::try_from(parts).unwrap_or(1).max(1);
        let counted = counted.max(1);
        Self {
            from: from / counted * counted,
            part: (until.saturating_sub(from) / count).max(counted) / counted * counted,
            parts: parts.max(1),
        }
    }

    /// Of a part, in milliseconds.
    pub(super) fn part(&self) -> i64 {
        self.part
    }

    /// In which part a moment is: what is outside is in the first or the last.
    fn at(&self, moment: i64) -> usize {
        let at = moment.saturating_sub(self.from).div_euclid(self.part);
        usize::try_from(at)
            .unwrap_or_default()
            .min(self.parts.saturating_sub(1))
    }

    fn width(&self) -> u64 {
        WIDTH / u64::try_from(self.parts).unwrap_or(1).max(1)
    }

    fn when(&self, at: u64) -> String {
        let at = i64::try_from(at).unwrap_or_default();
        let moment = Timestamp::from_millisecond(self.from + at * self.part);
        let text = moment.map(rfc3339_millis).unwrap_or_default();
        let text = text.get(..16).unwrap_or(&text).replace('T', " ");
        format!("{text} UTC")
    }

    fn long(&self) -> String {
        match self.part / 60_000 {
            1 => "a minute".to_owned(),
            minutes @ 0..120 => format!("{minutes} minutes"),
            minutes => format!("{} hours", minutes / 60),
        }
    }
}

impl Plot {
    /// Of what was counted by verdict.
    pub(super) fn of(sums: &[Sum], axis: Axis) -> Self {
        let mut parts = vec![(0, 0); axis.parts];
        for sum in sums {
            if let Some((allowed, denied)) = parts.get_mut(axis.at(sum.from)) {
                *allowed += sum.allowed;
                *denied += sum.denied;
            }
        }
        Self { axis, parts }
    }

    pub(super) fn html(&self, title: &str) -> Markup {
        let most = self.parts.iter().map(|(allowed, denied)| allowed + denied);
        let most = most.max().unwrap_or_default().max(1);
        let (axis, width) = (self.axis, self.axis.width());
        let (allowed, denied) = self
            .parts
            .iter()
            .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        html! {
            figure.card {
                figcaption {
                    (title) ": " span.allow { i.key {} " " (allowed) " allowed" } ", " span.deny { i.key {} " " (denied) " denied" }
                }
                div.axis aria-hidden="true" { (most) }
                // Words in it would shrink with it.
                svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                    aria-label={ (title) ": " (allowed) " allowed, " (denied) " denied, at most " (most) " in " (axis.long()) } {
                    line x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
                    @for (at, (allowed, denied)) in (0_u64..).zip(&self.parts) {
                        @let (up, down) = (height(*allowed, most), height(*denied, most));
                        @if allowed + denied > 0 {
                            g {
                                title { (axis.when(at)) ": " (allowed) " allowed, " (denied) " denied" }
                                rect.allowed x=(at * width) y=(HEIGHT - up) width=(width.saturating_sub(1).max(1)) height=(up) {}
                                rect.denied x=(at * width) y=(HEIGHT.saturating_sub(up + down)) width=(width.saturating_sub(1).max(1)) height=(down) {}
                            }
                        }
                    }
                }
                div.axis aria-hidden="true" { span { (axis.when(0)) } span { "now" } }
                details {
                    summary { "The same as a table" }
                    table {
                        thead { tr { th scope="col" { "From" } th.num scope="col" { "Allowed" } th.num scope="col" { "Denied" } } }
                        tbody {
                            @for (at, (allowed, denied)) in (0_u64..).zip(&self.parts) {
                                @if allowed + denied > 0 {
                                    tr { td { (axis.when(at)) } td.num { (allowed) } td.num { (denied) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Anything that is there can be seen.
fn height(count: u64, most: u64) -> u64 {
    let height = count * HEIGHT / most;
    if count > 0 { height.max(2) } else { 0 }
}

const WIDTH: u64 = 960;
const HEIGHT: u64 = 140;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::index::QUARTER;

    #[test]
    fn each_decision_is_counted_once_and_what_is_there_can_be_seen() {
        let sum = |from: i64, allowed: u64, denied: u64| Sum {
            from: from * QUARTER,
            name: String::new(),
            allowed,
            denied,
        };
        let sums = [sum(0, 1, 0), sum(1, 0, 1), sum(95, 1_000, 0), sum(96, 2, 0)];
        let plot = Plot::of(&sums, Axis::of(0, 96 * QUARTER, 96, QUARTER));
        assert_eq!(plot.parts.iter().map(|it| it.0).sum::<u64>(), 1_003);
        assert_eq!(plot.parts[0], (1, 0));
        assert_eq!(plot.parts[95], (1_002, 0));
        let html = plot.html("Last day").into_string();
        assert!(html.contains("height=\"2\""), "{html}");
        assert!(
            html.contains("1003 allowed, 1 denied, at most 1002 in 15 minutes"),
            "{html}"
        );
    }
}

//! Decisions over time, as a picture that is made here: no script is needed to see it.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::audit::index::Sum;
use crate::value::rfc3339_millis;

/// Allowed and denied in equal parts of a time.
pub(super) struct Plot {
    from: i64,
    part: i64,
    parts: Vec<(u64, u64)>,
}

impl Plot {
    /// Of what was counted by verdict, in so many parts.
    pub(super) fn of(sums: &[Sum], from: i64, until: i64, parts: usize) -> Self {
        let count = i64::try_from(parts).unwrap_or(1).max(1);
        // Sums are of quarters of an hour: a part is one or several of them.
        let part = (until.saturating_sub(from) / count).max(QUARTER) / QUARTER * QUARTER;
        let from = from / QUARTER * QUARTER;
        let mut counted = vec![(0, 0); parts.max(1)];
        for sum in sums {
            let at = (sum.from - from).div_euclid(part);
            let at = usize::try_from(at).unwrap_or_default();
            let last = counted.len().saturating_sub(1);
            if let Some((allowed, denied)) = counted.get_mut(at.min(last)) {
                *allowed += sum.allowed;
                *denied += sum.denied;
            }
        }
        Self {
            from,
            part,
            parts: counted,
        }
    }

    pub(super) fn html(&self, title: &str) -> Markup {
        let most = self.parts.iter().map(|(allowed, denied)| allowed + denied);
        let most = most.max().unwrap_or_default().max(1);
        let width = WIDTH / u64::try_from(self.parts.len()).unwrap_or(1).max(1);
        let (allowed, denied) = self
            .parts
            .iter()
            .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        html! {
            figure.card {
                figcaption { (title) ": " span.allow { (allowed) " allowed" } ", " span.deny { (denied) " denied" } }
                div.axis aria-hidden="true" { (most) }
                // Words in it would shrink with it.
                svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                    aria-label={ (title) ": " (allowed) " allowed, " (denied) " denied, at most " (most) " in " (self.long()) } {
                    line x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
                    @for (at, (allowed, denied)) in (0_u64..).zip(&self.parts) {
                        @let (up, down) = (height(*allowed, most), height(*denied, most));
                        @if allowed + denied > 0 {
                            g {
                                title { (self.when(at)) ": " (allowed) " allowed, " (denied) " denied" }
                                rect.allowed x=(at * width) y=(HEIGHT - up) width=(width.saturating_sub(1).max(1)) height=(up) {}
                                rect.denied x=(at * width) y=(HEIGHT.saturating_sub(up + down)) width=(width.saturating_sub(1).max(1)) height=(down) {}
                            }
                        }
                    }
                }
                div.axis aria-hidden="true" { span { (self.when(0)) } span { "now" } }
                details {
                    summary { "The same as a table" }
                    table {
                        thead { tr { th scope="col" { "From" } th.num scope="col" { "Allowed" } th.num scope="col" { "Denied" } } }
                        tbody {
                            @for (at, (allowed, denied)) in (0_u64..).zip(&self.parts) {
                                @if allowed + denied > 0 {
                                    tr { td { (self.when(at)) } td.num { (allowed) } td.num { (denied) } }
                                }
                            }
                        }
                    }
                }
            }
        }
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
            minutes @ 0..120 => format!("{minutes} minutes"),
            minutes => format!("{} hours", minutes / 60),
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
/// What sums are of, in milliseconds.
const QUARTER: i64 = 15 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decision_is_counted_once_and_what_is_there_can_be_seen() {
        let sum = |from: i64, allowed: u64, denied: u64| Sum {
            from: from * QUARTER,
            name: String::new(),
            allowed,
            denied,
        };
        let sums = [sum(0, 1, 0), sum(1, 0, 1), sum(95, 1_000, 0), sum(96, 2, 0)];
        let plot = Plot::of(&sums, 0, 96 * QUARTER, 96);
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

//! Decisions and latencies over time, as pictures that are made here: no script is needed to see them.

mod axis;
mod latency;

use maud::{Markup, html};

use crate::audit::index::Sum;
use crate::console::row::many;

pub(super) use axis::Axis;
pub(super) use latency::Latencies;

/// Allowed and denied in equal parts of a time.
pub(super) struct Plot {
    axis: Axis,
    parts: Vec<(u64, u64)>,
}

impl Plot {
    /// Of what was counted by verdict in this time.
    pub(super) fn of(sums: &[Sum], axis: Axis) -> Self {
        let mut parts = vec![(0, 0); axis.parts()];
        for sum in sums {
            let part = axis.at(sum.from).and_then(|at| parts.get_mut(at));
            if let Some((allowed, denied)) = part {
                *allowed += sum.allowed;
                *denied += sum.denied;
            }
        }
        Self { axis, parts }
    }

    pub(super) fn html(&self, title: &str) -> Markup {
        let most = self.parts.iter().map(|(allowed, denied)| allowed + denied);
        let most = most.max().unwrap_or_default().max(1);
        let (axis, width) = (self.axis, WIDTH);
        let (allowed, denied) = self
            .parts
            .iter()
            .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        html! {
            figure.card {
                figcaption {
                    (title) ": " span.allow { i.key {} " " (many(allowed)) " allowed" } ", "
                    span.deny { i.key {} " " (many(denied)) " denied" }
                }
                div.axis aria-hidden="true" { (many(most)) }
                // Words in it would shrink with it.
                svg.plot viewBox={ "0 0 " (axis.wide()) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                    aria-label={ (title) ": " (many(allowed)) " allowed, " (many(denied)) " denied, at most " (many(most)) " in " (axis.long()) } {
                    (axis.lines())
                    @for (at, (allowed, denied)) in (0_u64..).zip(&self.parts) {
                        @let (up, down) = (height(*allowed, most), height(*denied, most));
                        @if allowed + denied > 0 {
                            g {
                                title data-at=(axis.begins(at)) { (axis.when(at)) ": " (many(*allowed)) " allowed, " (many(*denied)) " denied" }
                                rect.allowed x=(at * width) y=(HEIGHT - up) width=(width - 1) height=(up) {}
                                rect.denied x=(at * width) y=(HEIGHT.saturating_sub(up + down)) width=(width - 1) height=(down) {}
                            }
                        }
                    }
                }
                (axis.ticks())
                details data-of=(title) {
                    summary { "The same as a table" }
                    table {
                        thead { tr { th scope="col" { "From" } th.num scope="col" { "Allowed" } th.num scope="col" { "Denied" } } }
                        tbody {
                            @for (at, (allowed, denied)) in (0_u64..).zip(&self.parts) {
                                @if allowed + denied > 0 {
                                    tr { td { (axis.time(at)) } td.num { (many(*allowed)) } td.num { (many(*denied)) } }
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
    let height = u128::from(count) * u128::from(HEIGHT) / u128::from(most.max(1));
    let height = u64::try_from(height).unwrap_or(HEIGHT);
    if count > 0 {
        height.clamp(2, HEIGHT)
    } else {
        0
    }
}

/// Of a part, with the gap behind it.
const WIDTH: u64 = 16;
const HEIGHT: u64 = 140;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::index::QUARTER;

    #[test]
    fn each_decision_is_in_the_part_of_its_time_and_what_is_there_can_be_seen() {
        let sum = |from: i64, allowed: u64, denied: u64| Sum {
            from: from * QUARTER,
            name: String::new(),
            allowed,
            denied,
        };
        // It is in the middle of the quarter 196: that is the last part, and 101 the first.
        let axis = Axis::until(196 * QUARTER + 7, QUARTER, 96);
        let sums = [
            sum(100, 5, 0),
            sum(101, 1, 0),
            sum(102, 0, 1),
            sum(195, 1_000, 0),
            sum(196, 2, 0),
            sum(197, 5, 0),
        ];
        let plot = Plot::of(&sums, axis);
        assert_eq!(plot.parts[..3], [(1, 0), (0, 1), (0, 0)]);
        assert_eq!(plot.parts[94..], [(1_000, 0), (2, 0)]);
        let html = plot.html("Last day").into_string();
        assert!(html.contains("height=\"2\""), "{html}");
        assert!(
            html.contains("1,003 allowed, 1 denied, at most 1,000 in 15 minutes"),
            "{html}"
        );
        let title = "<title data-at=\"1970-01-03T01:00:00.000Z\">1970-01-03 01:00:00 UTC: 2 allowed, 0 denied</title>";
        assert!(html.contains(title), "{html}");
    }
}

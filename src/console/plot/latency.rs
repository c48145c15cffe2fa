//! How long something took over time: the median and the slowest twentieth.

use maud::{Markup, html};

use super::{Axis, HEIGHT, WIDTH};
use crate::audit::index::{Latency, Times, Took};
use crate::console::row::many;

/// Of one thing that takes time.
pub(in crate::console) struct Latencies {
    axis: Axis,
    parts: Vec<Times>,
    all: Times,
}

impl Latencies {
    pub(in crate::console) fn of(all: &[Latency], took: Took, axis: Axis) -> Self {
        let mut parts = vec![Times::default(); axis.parts()];
        let mut together = Times::default();
        for latency in all.iter().filter(|it| it.took == took) {
            let part = axis.at(latency.from).and_then(|at| parts.get_mut(at));
            if let Some(part) = part {
                part.merge(&latency.times);
                together.merge(&latency.times);
            }
        }
        Self {
            axis,
            parts,
            all: together,
        }
    }

    /// Nothing, where nothing took any time. `of`: what is counted, where it is not everything.
    pub(in crate::console) fn html(&self, title: &str, of: Option<&str>) -> Markup {
        let Some((median, p95)) = told(&self.all) else {
            return html! {};
        };
        let (axis, width) = (self.axis, WIDTH);
        let parts = (0_u64..).zip(&self.parts);
        let parts = parts.filter_map(|(at, times)| told(times).map(|told| (at, told, times)));
        let parts: Vec<(u64, (u64, u64), &Times)> = parts.collect();
        let most = parts.iter().map(|(_, (_, p95), _)| *p95).max();
        let most = most.unwrap_or_default().max(1);
        let slowest = self.all.percentile(100).unwrap_or_default();
        html! {
            figure.card {
                figcaption {
                    (title) ": " i.key.half {} " half within " strong { (ms(median)) } ", " i.key.nearly {} " 95 % within " strong { (ms(p95)) }
                    ", all within " (ms(slowest))
                    @if let Some(of) = of { " " span.soft { "(" (of) ")" } }
                }
                div.axis aria-hidden="true" { (ms(most)) }
                svg.plot.low viewBox={ "0 0 " (axis.wide()) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                    aria-label={ (title) ": half within " (ms(median)) ", 95 percent within " (ms(p95)) ", at most " (ms(most)) " in " (axis.long()) } {
                    (axis.lines())
                    @for (at, (median, p95), times) in &parts {
                        @let (half, nearly) = (height(*median, most), height(*p95, most));
                        g {
                            title data-at=(axis.begins(*at)) { (axis.when(*at)) ": half within " (ms(*median)) ", 95 % within " (ms(*p95)) ", of " (many(times.count())) }
                            rect.nearly x=(at * width) y=(HEIGHT - nearly) width=(width - 1) height=(nearly) {}
                            rect.half x=(at * width) y=(HEIGHT - half) width=(width - 1) height=(half) {}
                        }
                    }
                }
                (axis.ticks())
                details data-of=(title) {
                    summary { "The same as a table" }
                    // Four columns are wider than a phone.
                    div.wide role="region" aria-label=(title) tabindex="0" {
                        table {
                            thead { tr {
                                th scope="col" { "From" }
                                @for title in ["Half within", "95 % within", "Of"] { th.num scope="col" { (title) } }
                            } }
                            tbody {
                                @for (at, (median, p95), times) in &parts {
                                    tr { td { (axis.time(*at)) } td.num { (ms(*median)) } td.num { (ms(*p95)) } td.num { (many(times.count())) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The median and what 95 of a hundred are within.
fn told(times: &Times) -> Option<(u64, u64)> {
    Some((times.percentile(50)?, times.percentile(95)?))
}

fn height(micros: u64, most: u64) -> u64 {
    let height = u128::from(micros) * u128::from(HEIGHT) / u128::from(most.max(1));
    u64::try_from(height).unwrap_or(HEIGHT).clamp(2, HEIGHT)
}

fn ms(micros: u64) -> String {
    match micros {
        0..1_000_000 => format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10),
        _ => format!(
            "{}.{:02} s",
            micros / 1_000_000,
            micros % 1_000_000 / 10_000
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_tells_its_own_times_and_the_title_those_of_all() {
        let minute = |number: i64, micros: &[u64]| {
            let mut times = Times::default();
            for micros in micros {
                times.add(*micros);
            }
            let (from, took) = (number * 60_000, Took::Dynatrace);
            Latency { from, took, times }
        };
        let all = [
            minute(-2, &[1_000, 1_000]),
            minute(0, &[2_000_000]),
            // Not of this time.
            minute(1, &[9_000_000]),
            Latency {
                took: Took::Policies,
                ..minute(0, &[7])
            },
        ];
        let axis = Axis::until(0, 60_000, 60);
        let html = Latencies::of(&all, Took::Dynatrace, axis).html("Dynatrace", Some("a few"));
        let html = html.into_string();
        let told = "Dynatrace: <i class=\"key half\"></i> half within <strong>1.02 ms</strong>, \
                    <i class=\"key nearly\"></i> 95 % within <strong>2.09 s</strong>, all within 2.09 s \
                    <span class=\"soft\">(a few)</span>";
        assert!(html.contains(told), "{html}");
        assert!(
            html.contains(
                "1969-12-31 23:58:00 UTC: half within 1.02 ms, 95 % within 1.02 ms, of 2"
            ),
            "{html}"
        );
        assert!(
            html.contains("1970-01-01 00:00:00 UTC: half within 2.09 s, 95 % within 2.09 s, of 1"),
            "{html}"
        );
        assert!(!html.contains("23:59:00 UTC"), "{html}");
        let none = Latencies::of(&all[..1], Took::Policies, axis);
        assert_eq!(none.html("Policies", None).into_string(), "");
    }
}

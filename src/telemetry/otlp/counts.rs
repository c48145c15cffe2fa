//! What was counted up to a moment, so that only what came since is sent (`temporality = "delta"`).

use std::collections::HashMap;

use super::series::{Family, Number};

/// Every series of a counter or a histogram, as it was. As many as the metrics have.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Counts(HashMap<String, Count>);

#[derive(Debug, PartialEq)]
struct Count {
    number: Number,
    exemplar: Option<String>,
}

impl Counts {
    /// Takes what was counted before away from what is counted now, and gives all that is counted now.
    ///
    /// Buckets of a histogram hold what the smaller ones hold too, and so do their differences.
    pub(super) fn leave_out_of(&self, families: &mut [Family<'_>]) -> Self {
        let counting = families.iter_mut().filter(|family| family.counts());
        let samples = counting.flat_map(|family| &mut family.samples);
        let counts = samples.map(|sample| {
            let now = Count {
                number: sample.value,
                exemplar: sample.exemplar.map(str::to_owned),
            };
            if let Some(before) = self.0.get(sample.series) {
                sample.value = now.number.since(before.number);
                sample.exemplar = sample.exemplar.filter(|_| now.exemplar != before.exemplar);
            }
            (sample.series.to_owned(), now)
        });
        Self(counts.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::otlp::series::families;
    use crate::telemetry::{Limit, Metrics};

    /// The difference to what was counted before, by series, and what is counted now.
    fn since(before: &Counts, metrics: &Metrics) -> (HashMap<String, Number>, usize, Counts) {
        let text = metrics.encode();
        let mut families = families(&text);
        let counts = before.leave_out_of(&mut families);
        let samples = families.iter().flat_map(|family| &family.samples);
        let exemplars = samples.clone().filter(|it| it.exemplar.is_some()).count();
        let values = samples.map(|sample| (sample.series.to_owned(), sample.value));
        (values.collect(), exemplars, counts)
    }

    #[test]
    fn only_what_came_since_is_left_and_moments_stay_whole() {
        let metrics = Metrics::new("1.2.3");
        let body = r#"dtgate_limit_reached_total{limit="body"}"#;
        let id = uuid::Uuid::now_v7();
        metrics.reached(Limit::Body);
        metrics.upstream_answered(Duration::from_millis(3), Some(&id.into()));
        let held = metrics.begin();
        let (first, exemplars, taken) = since(&Counts::default(), &metrics);
        assert_eq!((first[body], exemplars), (Number::Whole(1), 1));

        metrics.reached(Limit::Body);
        metrics.reached(Limit::Body);
        metrics.upstream_answered(Duration::from_millis(700), None);
        // One that was not there before.
        metrics.violation("naming", "deny");
        // A message that is not taken changes nothing: the next one has it again.
        for _ in 0..2 {
            let (more, exemplars, _) = since(&taken, &metrics);
            assert_eq!((more[body], exemplars), (Number::Whole(2), 0));
            assert_eq!(more["dtgate_in_flight"], Number::Whole(1));
            let violations = r#"dtgate_violations_total{policy="naming",mode="deny"}"#;
            assert_eq!(more[violations], Number::Whole(1));
            let seconds = |of: &str| more[&format!("dtgate_upstream_seconds_{of}")];
            assert_eq!(seconds("count"), Number::Whole(1));
            let Number::Part(sum) = seconds("sum") else {
                panic!("{more:?}");
            };
            assert!((sum - 0.7).abs() < 1e-9, "{sum}");
            assert_eq!(seconds(r#"bucket{le="0.005"}"#), Number::Whole(0));
            assert_eq!(seconds(r#"bucket{le="1.0"}"#), Number::Whole(1));
            assert_eq!(seconds(r#"bucket{le="+Inf"}"#), Number::Whole(1));
        }
        drop(held);
        let (.., all) = since(&taken, &metrics);
        let (nothing, ..) = since(&all, &metrics);
        assert_eq!(nothing[body], Number::Whole(0));
    }
}

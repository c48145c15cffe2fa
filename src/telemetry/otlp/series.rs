//! The metrics as OTLP has them, made from the text that Prometheus reads: what is counted has one list, and what is
//! added to it is sent without another line here.
//!
//! Names stay what they are, with the unit and `_total` at their end, as OpenTelemetry's rules for Prometheus have it.

use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::Temporality;
use super::spans::{nanoseconds, pair, scope};

/// All metrics of a text, at the end of a time for which their counts are.
pub(super) fn message(
    families: &[Family<'_>],
    resource: &Resource,
    temporality: Temporality,
    since: Timestamp,
    now: Timestamp,
) -> ExportMetricsServiceRequest {
    let span = Span {
        since: nanoseconds(since),
        now: nanoseconds(now),
        temporality: match temporality {
            Temporality::Cumulative => AggregationTemporality::Cumulative,
            Temporality::Delta => AggregationTemporality::Delta,
        },
    };
    let metrics = families.iter().filter_map(|family| family.told(span));
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.clone()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: metrics.collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

#[derive(Clone, Copy)]
struct Span {
    since: u64,
    now: u64,
    temporality: AggregationTemporality,
}

/// One metric with all its series.
#[derive(Debug, Default)]
pub(super) struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    unit: &'a str,
    pub(super) samples: Vec<Sample<'a>>,
}

/// One line: a name, labels, a value.
#[derive(Debug, PartialEq)]
pub(super) struct Sample<'a> {
    /// Name and labels as they stand there.
    pub(super) series: &'a str,
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    pub(super) value: Number,
    /// Labels and value of what was observed.
    pub(super) exemplar: Option<&'a str>,
}

/// A count, or a sum of durations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(i64),
    Part(f64),
}

pub(super) fn families(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# ") {
            let mut words = said.splitn(3, ' ');
            let (Some(what), Some(name)) = (words.next(), words.next()) else {
                continue;
            };
            let rest = words.next().unwrap_or_default();
            if families.last().is_none_or(|family| family.name != name) {
                families.push(Family {
                    name,
                    ..Family::default()
                });
            }
            let Some(family) = families.last_mut() else {
                continue;
            };
            match what {
                "HELP" => family.help = rest,
                "TYPE" => family.kind = rest,
                "UNIT" => family.unit = rest,
                _ => {}
            }
        } else if let (Some(family), Some(sample)) = (families.last_mut(), Sample::read(line)) {
            family.samples.push(sample);
        }
    }
    families
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (name, rest) = line.split_at_checked(line.find(['{', ' '])?)?;
        let (labels, rest) = labels(rest)?;
        let series = line.strip_suffix(rest)?;
        let (rest, exemplar) = match rest.split_once(" # ") {
            Some((rest, exemplar)) => (rest, Some(exemplar)),
            None => (rest, None),
        };
        Some(Self {
            series,
            name,
            labels,
            value: Number::read(rest.trim().split(' ').next()?),
            exemplar,
        })
    }
}

impl Number {
    fn read(text: &str) -> Self {
        text.parse().map_or_else(
            |_| Self::Part(text.parse().unwrap_or(f64::NAN)),
            Self::Whole,
        )
    }

    /// How much more it is than it was.
    pub(super) fn since(self, before: Self) -> Self {
        match (self, before) {
            (Self::Whole(now), Self::Whole(before)) => Self::Whole(now.saturating_sub(before)),
            (now, before) => Self::Part(now.as_f64() - before.as_f64()),
        }
    }

    /// Nothing of a count is negative.
    fn as_u64(self) -> u64 {
        match self {
            Self::Whole(number) => u64::try_from(number).unwrap_or(0),
            Self::Part(_) => 0,
        }
    }

    fn as_f64(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "a sum is no more exact")]
            Self::Whole(number) => number as f64,
            Self::Part(number) => number,
        }
    }

    fn told(self) -> number_data_point::Value {
        match self {
            Self::Whole(number) => number_data_point::Value::AsInt(number),
            Self::Part(number) => number_data_point::Value::AsDouble(number),
        }
    }
}

fn labels_and_value(text: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let (labels, rest) = labels(text)?;
    Some((labels, rest.trim().split(' ').next()?))
}

/// `{name="value",…}`, if there is any, and what follows.
fn labels(text: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        return Some((labels, text));
    };
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, value) = rest.split_once("=\"")?;
        let (value, after) = quoted(value)?;
        labels.push((name, value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// A text up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match letters.next()? {
                (_, 'n') => value.push('\n'),
                (_, other) => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

impl Family<'_> {
    /// Whether it has counts, which are of a time, and not of a moment.
    pub(super) fn counts(&self) -> bool {
        matches!(self.kind, "counter" | "histogram")
    }

    fn told(&self, span: Span) -> Option<Metric> {
        let first = self.samples.first()?;
        let (name, data) = match self.kind {
            "counter" => (
                first.name,
                metric::Data::Sum(Sum {
                    data_points: self.points(span),
                    aggregation_temporality: span.temporality.into(),
                    is_monotonic: true,
                }),
            ),
            "histogram" => (
                self.name,
                metric::Data::Histogram(Histogram {
                    data_points: self.histograms(span),
                    aggregation_temporality: span.temporality.into(),
                }),
            ),
            // A moment, or something that is so as long as the program runs.
            _ => (
                first.name,
                metric::Data::Gauge(Gauge {
                    data_points: self.points(Span { since: 0, ..span }),
                }),
            ),
        };
        Some(Metric {
            name: name.to_owned(),
            description: self.help.trim_end_matches('.').to_owned(),
            unit: match self.unit {
                "seconds" => "s",
                "bytes" => "By",
                other => other,
            }
            .to_owned(),
            data: Some(data),
            ..Metric::default()
        })
    }

    fn points(&self, span: Span) -> Vec<NumberDataPoint> {
        let points = self.samples.iter().map(|sample| NumberDataPoint {
            attributes: pairs(&sample.labels),
            start_time_unix_nano: span.since,
            time_unix_nano: span.now,
            value: Some(sample.value.told()),
            ..NumberDataPoint::default()
        });
        points.collect()
    }

    /// One for all samples with the same labels but `le`.
    fn histograms(&self, span: Span) -> Vec<HistogramDataPoint> {
        let mut points: Vec<HistogramDataPoint> = Vec::new();
        // Of the point that is being read: how many fell into the buckets before.
        let mut before = 0;
        for sample in &self.samples {
            let (bounds, labels): (Vec<_>, Vec<_>) = sample
                .labels
                .iter()
                .cloned()
                .partition(|(name, _)| *name == "le");
            let attributes = pairs(&labels);
            if points
                .last()
                .is_none_or(|point| point.attributes != attributes)
            {
                before = 0;
                points.push(HistogramDataPoint {
                    attributes,
                    start_time_unix_nano: span.since,
                    time_unix_nano: span.now,
                    ..HistogramDataPoint::default()
                });
            }
            let Some(point) = points.last_mut() else {
                continue;
            };
            if sample.name.ends_with("_sum") {
                point.sum = Some(sample.value.as_f64());
            } else if sample.name.ends_with("_count") {
                point.count = sample.value.as_u64();
            } else if let Some((_, bound)) = bounds.first() {
                let so_far = sample.value.as_u64();
                point.bucket_counts.push(so_far.saturating_sub(before));
                before = so_far;
                if bound != "+Inf" {
                    point.explicit_bounds.extend(bound.parse::<f64>().ok());
                }
                let exemplar = sample.exemplar.and_then(|it| told(it, span));
                point.exemplars.extend(exemplar);
            }
        }
        points
    }
}

fn told(exemplar: &str, span: Span) -> Option<Exemplar> {
    let (labels, value) = labels_and_value(exemplar)?;
    Some(Exemplar {
        filtered_attributes: pairs(&labels),
        time_unix_nano: span.now,
        value: Some(exemplar::Value::AsDouble(value.parse().ok()?)),
        ..Exemplar::default()
    })
}

fn pairs(labels: &[(&str, String)]) -> Vec<KeyValue> {
    let text = |value: &String| any_value::Value::StringValue(value.clone());
    let pairs = labels.iter().map(|(name, value)| pair(name, text(value)));
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::{Limit, Metrics};

    fn told(text: &str) -> Vec<Metric> {
        let moment = |text: &str| text.parse().unwrap();
        let (since, now) = (
            moment("2026-11-28T10:00:00Z"),
            moment("2026-11-28T11:00:00Z"),
        );
        let resource = Resource::default();
        let cumulative = Temporality::Cumulative;
        let mut message = message(&families(text), &resource, cumulative, since, now);
        message
            .resource_metrics
            .remove(0)
            .scope_metrics
            .remove(0)
            .metrics
    }

    #[test]
    fn every_series_of_the_text_is_sent_with_its_value() {
        let metrics = Metrics::new("1.2.3");
        metrics.reached(Limit::Body);
        metrics.violation(r#"a "policy" \ of {mine}, # 1"#, "deny");
        let id = uuid::Uuid::now_v7();
        metrics.upstream_answered(Duration::from_millis(3), Some(&id.into()));
        metrics.upstream_answered(Duration::from_millis(700), None);
        metrics.upstream_answered(Duration::from_secs(1000), None);
        let told = told(&metrics.encode());
        let named = |name: &str| told.iter().find(|metric| metric.name == name).unwrap();

        let Some(metric::Data::Sum(sum)) = &named("dtgate_limit_reached_total").data else {
            panic!("{told:?}");
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.data_points.len(), Limit::ALL.len());
        let of_body = sum
            .data_points
            .iter()
            .find(|point| point.attributes == pairs(&[("limit", "body".to_owned())]));
        let value = of_body.unwrap().value;
        assert_eq!(value, Some(number_data_point::Value::AsInt(1)));

        let Some(metric::Data::Sum(sum)) = &named("dtgate_violations_total").data else {
            panic!("{told:?}");
        };
        let labels = [
            ("policy", r#"a "policy" \ of {mine}, # 1"#.to_owned()),
            ("mode", "deny".to_owned()),
        ];
        assert_eq!(sum.data_points[0].attributes, pairs(&labels));

        let upstream = named("dtgate_upstream_seconds");
        assert_eq!(upstream.unit, "s");
        let Some(metric::Data::Histogram(histogram)) = &upstream.data else {
            panic!("{told:?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!((histogram.data_points.len(), point.count), (1, 3));
        assert_eq!(point.sum, Some(1000.703));
        let [example] = &point.exemplars[..] else {
            panic!("{point:?}");
        };
        let id = [("decision_id", id.to_string())];
        assert_eq!(example.filtered_attributes, pairs(&id));
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), 3);
        assert_eq!(point.bucket_counts.last(), Some(&1));
        for (bound, count) in point.explicit_bounds.iter().zip(&point.bucket_counts) {
            let within = u64::from(["0.005", "1"].contains(&bound.to_string().as_str()));
            assert_eq!(*count, within, "{bound}");
        }

        assert!(matches!(
            named("dtgate_in_flight").data,
            Some(metric::Data::Gauge(_))
        ));
        assert!(matches!(
            named("dtgate_build_info").data,
            Some(metric::Data::Gauge(_))
        ));
    }

    #[test]
    fn an_exemplar_is_read() {
        let line = "a_bucket{le=\"0.1\"} 8 # {decision_id=\"0199\"} 0.07 1.5";
        let sample = Sample::read(line).unwrap();
        assert_eq!(sample.series, "a_bucket{le=\"0.1\"}");
        assert_eq!((sample.name, sample.value), ("a_bucket", Number::Whole(8)));
        let exemplar = labels_and_value(sample.exemplar.unwrap()).unwrap();
        assert_eq!(exemplar, (vec![("decision_id", "0199".to_owned())], "0.07"));
        for broken in ["", "a", "a{", "a{b} 1", "a{b=\"c} 1", "a{b=\"c\\"] {
            assert_eq!(Sample::read(broken), None, "{broken}");
        }
    }
}

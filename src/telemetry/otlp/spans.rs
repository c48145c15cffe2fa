//! Traces as OTLP has them.

use std::time::Duration;

use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use crate::telemetry::trace::{Attributes, Finished, Stepped, Value};

/// One message with all of them.
pub(super) fn message(traces: Vec<Finished>, resource: &Resource) -> ExportTraceServiceRequest {
    let spans = traces.into_iter().flat_map(spans).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

/// The request's own span, and one for each step below it.
fn spans(trace: Finished) -> Vec<Span> {
    let Finished {
        context,
        parent,
        at,
        took,
        attributes,
        steps,
    } = trace;
    let at = |after: Duration| nanoseconds(at).saturating_add(as_nanoseconds(after));
    let own = Span {
        trace_id: context.trace.to_vec(),
        span_id: context.span.to_vec(),
        parent_span_id: parent.map(Vec::from).unwrap_or_default(),
        name: name(&attributes),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: at(Duration::ZERO),
        end_time_unix_nano: at(took),
        status: status(&attributes),
        attributes: pairs(attributes),
        ..Span::default()
    };
    let below = steps.into_iter().map(|step| {
        let Stepped {
            step,
            id,
            began,
            ended,
            attributes,
        } = step;
        let kind = if step.is_a_call() {
            SpanKind::Client
        } else {
            SpanKind::Internal
        };
        Span {
            trace_id: context.trace.to_vec(),
            span_id: id.to_vec(),
            parent_span_id: context.span.to_vec(),
            name: step.as_str().to_owned(),
            kind: kind.into(),
            start_time_unix_nano: at(began),
            end_time_unix_nano: at(ended.unwrap_or(began)),
            status: status(&attributes),
            attributes: pairs(attributes),
            ..Span::default()
        }
    });
    std::iter::once(own).chain(below).collect()
}

/// The method and the operation: never a path.
fn name(attributes: &Attributes) -> String {
    let text = |name| attributes.get(name).and_then(Value::as_text);
    let method = text("http.request.method").filter(|method| *method != "_OTHER");
    let method = method.unwrap_or("HTTP");
    match text("dtgate.operation") {
        Some(operation) => format!("{method} {operation}"),
        None => method.to_owned(),
    }
}

/// What says which kind of error it had, had one.
fn status(attributes: &Attributes) -> Option<Status> {
    attributes.get("error.type").map(|_| Status {
        code: StatusCode::Error.into(),
        message: String::new(),
    })
}

fn pairs(attributes: Attributes) -> Vec<KeyValue> {
    let pairs = attributes.into_pairs();
    pairs
        .map(|(name, value)| {
            let text = || value.as_text().unwrap_or_default().to_owned();
            let value = value.as_number().map_or_else(
                || any_value::Value::StringValue(text()),
                any_value::Value::IntValue,
            );
            pair(name, value)
        })
        .collect()
}

/// An attribute.
pub fn pair(name: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Who measures.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "dtgate".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// Since 1970.
pub fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}

fn as_nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
